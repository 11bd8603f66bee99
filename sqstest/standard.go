package sqstest

import (
	"slices"
	"time"
)

// line is the order in which a queue hands out its visible messages. It is told of every change; the queue's lock
// guards it.
type line interface {
	join(m *message)                       // m entered the queue, visible or hidden
	leave(m *message)                      // m, visible or hidden, left the queue for good
	show(m *message)                       // m became visible
	hide(m *message)                       // m, visible until now, is going to be hidden
	flying(m *message, by int)             // m went into flight (1) or came out of it (-1)
	deliverable(yield func(*message) bool) // in order; yield hides or removes what it is given
	hasAny() bool                          // reports whether there is something deliverable
}

// standard is a standard queue's line: by the order of sending, or nearly, so that a message visible again comes ahead
// of later ones. With message groups it is fair: quiet tenants go before noisy ones.
type standard struct {
	inFlight *int                 // of the queue
	later    func(*message) int64 // places by which a message comes later than by its number; nil: none, see [Disorder]

	ungrouped timeline[*message] // by place; messages without a group: a tenant that is never noisy
	tenants   map[string]*tenant
	quiet     timeline[*tenant] // those with visible messages, by the place of their first
	noisy     []*tenant
}

// tenant is one message group of a standard queue.
type tenant struct {
	name     string
	visible  timeline[*message] // by place
	held     int                // messages in the queue
	sent     int64              // the latest time of sending
	inFlight int
	turn     entry[*tenant] // in standard.quiet
	noisy    bool           // in standard.noisy
}

func newStandard(inFlight *int) *standard {
	return &standard{inFlight: inFlight, tenants: map[string]*tenant{}}
}

func (l *standard) join(m *message) {
	if m.group != "" {
		t := l.tenants[m.group]
		if t == nil {
			t = &tenant{name: m.group}
			t.turn.of = t
			l.tenants[m.group] = t
		}
		t.held++
		t.sent = max(t.sent, m.sent)
	}
	if m.state == visible {
		l.show(m)
	}
}

func (l *standard) leave(m *message) {
	l.hide(m)
	if m.group == "" {
		return
	}
	t := l.tenants[m.group]
	t.held--
	if t.held == 0 {
		delete(l.tenants, m.group) // not noisy: nothing of it waits
	}
}

func (l *standard) show(m *message) {
	if m.group == "" {
		l.ungrouped.add(&m.place, l.placeOf(m))
		return
	}
	t := l.tenants[m.group]
	t.visible.add(&m.place, l.placeOf(m))
	l.queueUp(t)
}

// placeOf returns the place of m in the order.
func (l *standard) placeOf(m *message) int64 {
	if l.later == nil {
		return int64(m.number)
	}
	return int64(m.number) + l.later(m)
}

func (l *standard) hide(m *message) {
	if m.state != visible {
		return
	}
	if m.group == "" {
		l.ungrouped.remove(&m.place)
		return
	}
	t := l.tenants[m.group]
	t.visible.remove(&m.place)
	if t.noisy && t.visible.n == 0 {
		t.noisy = false // its backlog is gone
		l.noisy = slices.DeleteFunc(l.noisy, func(o *tenant) bool { return o == t })
	}
	l.queueUp(t)
}

// queueUp gives a quiet tenant its turn by its first visible message.
func (l *standard) queueUp(t *tenant) {
	if t.noisy {
		return
	}
	first := t.visible.first()
	if t.turn.on && first != nil && t.turn.key == first.key {
		return
	}
	l.quiet.remove(&t.turn)
	if first != nil {
		l.quiet.add(&t.turn, first.key)
	}
}

func (l *standard) hasAny() bool { return l.ungrouped.n > 0 || l.quiet.n > 0 || len(l.noisy) > 0 }

func (l *standard) deliverable(yield func(*message) bool) {
	for m := l.next(); m != nil; m = l.next() {
		if !yield(m) {
			return
		}
	}
}

// next is the first message of a quiet tenant; if there is none, of the noisy one with the fewest in flight.
func (l *standard) next() *message {
	l.calm()
	turn := l.quiet.first()
	for turn != nil && l.tooMany(turn.of) {
		l.quiet.remove(&turn.of.turn)
		turn.of.noisy = true
		l.noisy = append(l.noisy, turn.of)
		turn = l.quiet.first()
	}
	single := l.ungrouped.first()
	switch {
	case turn != nil && (single == nil || turn.key < single.key):
		return turn.of.visible.first().of
	case single != nil:
		return single.of
	}
	var fewest *tenant
	for _, t := range l.noisy {
		if t.visible.n > 0 && (fewest == nil || t.inFlight < fewest.inFlight) {
			fewest = t
		}
	}
	if fewest == nil {
		return nil
	}
	return fewest.visible.first().of
}

// calm gives tenants that have sent nothing for long their turn again.
func (l *standard) calm() {
	l.noisy = slices.DeleteFunc(l.noisy, func(t *tenant) bool {
		if t.sends() {
			return false
		}
		t.noisy = false
		l.queueUp(t)
		return true
	})
}

func (l *standard) tooMany(t *tenant) bool {
	return t.inFlight >= noisyInFlight && t.inFlight*10 > *l.inFlight && t.sends()
}

// sends reports whether t has sent something of late.
func (t *tenant) sends() bool { return time.Now().UnixNano()-t.sent < int64(quietAfter) }

func (l *standard) flying(m *message, by int) {
	if m.group != "" {
		l.tenants[m.group].inFlight += by
	}
}
