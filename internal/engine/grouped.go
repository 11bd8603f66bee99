package engine

import (
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/sluice-go/sluice/internal/fifo"
)

// A GroupFailure says what happens to the message group of a message that failed.
type GroupFailure int

const (
	RetryInPlace GroupFailure = iota // it is tried again, and those behind it wait
	ReleaseGroup                     // it is released, and so are those behind it
	SkipFailed                       // it is released, and those behind it are handled
)

// ErrUnhandled is the error of a message of a FIFO queue that was not handled because one
// before it in its group was not settled first.
var ErrUnhandled = errors.New("not handled: a message before it in its group failed")

// A grouped is the ordering of a FIFO queue. Each message group is a queue of its own, of which
// only the front is handed out. All that is decided about groups is decided here.
type grouped struct {
	limit

	e      *Engine
	groups *fifo.Groups[*Message]
}

func newGrouped(e *Engine) *grouped {
	return &grouped{e: e, limit: limit{e.BatchSize, e.BatchBytes, e.WaitTime}, groups: fifo.New[*Message]()}
}

func (o *grouped) add(now time.Time, ms ...*Message) {
	o.groups.Add(ms...)
	for _, m := range ms {
		if o.isOrphan(m.Group()) {
			o.release(m.Group(), nil, o.e.Visibility, now) // not sooner: it may be this consumer that receives it again
		}
	}
}

func (o *grouped) ready() int {
	n, _, _ := o.groups.Ready()
	return n
}

func (o *grouped) due() time.Time {
	n, _, oldest := o.groups.Ready()
	if n == 0 {
		return time.Time{}
	}
	return oldest.Add(o.wait)
}

func (o *grouped) wakes() time.Time { return earlier(o.due(), o.groups.Resumes()) }

func (o *grouped) next(now time.Time, flush Reason) ([]*Message, Reason) {
	o.groups.Resume(now)
	n, bytes, oldest := o.groups.Ready()
	var why Reason
	switch {
	case n == 0:
		return nil, noReason
	case n >= o.size:
		why = Full
	case bytes > o.bytes:
		why = Bytes
	default:
		why = unfilled(now, oldest.Add(o.wait), flush)
	}
	if why == noReason {
		return nil, noReason
	}
	return o.groups.Take(o.size, o.bytes), why
}

// postpone keeps what is behind a postponed message of a group behind it.
func (o *grouped) postpone(ms []*Message, until time.Time) {
	for group := range byGroup(ms) {
		o.groups.Return(group[0].Group(), group, until)
	}
}

func (*grouped) follows(a, b *Message) bool { return a.Group() == b.Group() }

// awaited reports whether others of the group of m wait for its delete: here or, which only a
// user who asks for a linger accepts, in the queue.
func (o *grouped) awaited(m *Message) bool {
	return o.groups.Waits(m.Group()) || m.marks.more && o.e.DeleteLinger == 0
}

// MarkUnhandled makes what came behind a failed message in its group unhandled, called by the
// goroutine of the handler. Whatever the handler said of it, it is handled again when the
// failed one is settled.
func (e *Engine) MarkUnhandled(c *Call) {
	if !e.FIFO {
		return
	}
	for group, begin := range byGroup(c.Batch) {
		halted := false
		for i := range group {
			o := &c.Outcomes[begin+i]
			if halted {
				*o = Outcome{Err: ErrUnhandled, Unhandled: true}
				continue
			}
			halted = o.failed()
		}
	}
}

// settle settles a call: in each message group up to the first message that failed or whose
// lease was lost.
func (o *grouped) settle(c *Call, now time.Time) {
	for group, begin := range byGroup(c.Batch) {
		o.settleGroup(c, group, begin, now)
	}
}

// settleGroup settles messages of one group that are in the batch of c at begin.
func (o *grouped) settleGroup(c *Call, group []*Message, begin int, now time.Time) {
	for i, m := range group {
		out := &c.Outcomes[begin+i]
		switch {
		case m.marks.lost:
			o.e.conclude(m, Lost, now)
			o.release(m.Group(), group[i+1:], 0, now)
			return
		case out.failed():
			o.stopGroup(c, group[i:], out, now)
			return
		case out.Err != nil && out.Kind == DeadLetter:
			// Where it is not taken it has failed, and those behind it are not to be settled before it.
			o.e.hand.move(blocked, group[i+1:]...)
			o.e.settle.deadLetter(m, out.Err, out.Delay, now)
			m.end().suspended = &suspended{call: c, group: group[i:], begin: begin + i}
			return
		default:
			o.e.settle.delete(m)
		}
	}
}

// A suspended is the rest of a call that waits for the end of a dead letter, which is the first
// of the group.
type suspended struct {
	call  *Call
	group []*Message
	begin int // where the group is in the batch of the call
}

// deadLettered goes on, once, with those behind m in its group.
func (o *grouped) deadLettered(m *Message, end deadLetterEnd, now time.Time) {
	rest := m.ending().suspended
	if rest == nil {
		return
	}
	m.fate.suspended = nil
	switch end {
	case taken:
		o.settleGroup(rest.call, rest.group[1:], rest.begin+1, now)
	case rejected:
		o.stopGroup(rest.call, rest.group, &rest.call.Outcomes[rest.begin], now)
	case unknown:
		o.release(m.Group(), rest.group[1:], 0, now)
	}
}

// stopGroup deals with the failure of the first of ms, messages of one group. The others came
// behind it and count as not handled.
func (o *grouped) stopGroup(c *Call, ms []*Message, out *Outcome, now time.Time) {
	head := ms[0]
	if out.Kind == Retry && (o.e.stop.interrupting() || c.interrupted()) {
		head.marks.returned = true // it failed because it was interrupted
		o.release(head.Group(), ms, 0, now)
		return
	}
	stays := c.stays(head.Group())
	if out.Unhandled {
		// After the handler timeout the leases are renewed no more, and nothing can go on under them.
		if c.expired || stays {
			o.release(head.Group(), ms, 0, now)
		} else { // what stands before it is being settled
			o.reinsert(head.Group(), ms, time.Time{}, now)
		}
		return
	}
	head.attempts.n++
	if head.attempts.first.IsZero() {
		head.attempts.first = now
	}
	switch {
	case o.e.OnGroupFailure == SkipFailed && !c.expired && !o.e.stop.interrupting():
		o.e.settle.release(head, 0, out.Delay, now)
		o.reinsert(head.Group(), ms[1:], time.Time{}, now)
	case !stays && o.inPlace(c, head, now.Add(out.Delay), now):
		o.reinsert(head.Group(), ms, now.Add(out.Delay), now)
	default:
		o.release(head.Group(), ms, out.Delay, now)
	}
}

// stays reports whether a message of the group stays in the queue although the call has
// settled it: what came behind it must not be handled before it.
func (c *Call) stays(group string) bool {
	return slices.ContainsFunc(c.Batch, func(m *Message) bool { return m.marks.stays && m.Group() == group })
}

// inPlace reports whether a message that failed is to be tried again at next without being
// released.
func (o *grouped) inPlace(c *Call, head *Message, next, now time.Time) bool {
	switch {
	case o.e.OnGroupFailure != RetryInPlace, o.e.stop.begun(), o.e.Drain:
		return false
	case c.expired: // its lease is renewed no more
		return false
	case head.attempts.n >= o.e.InPlaceTries, next.Sub(head.attempts.first) > o.e.InPlaceTime:
		return false
	default:
		return next.Sub(now) < o.e.leases.longest(head, now)
	}
}

// reinsert puts messages of a group that were part of a call back to its front, to be handled
// from the given time on. Zero: at once.
func (o *grouped) reinsert(group string, ms []*Message, at, now time.Time) {
	if i := slices.IndexFunc(ms, func(m *Message) bool { return m.marks.lost }); i >= 0 { // here the group ends
		o.release(group, ms[i+1:], 0, now)
		o.e.conclude(ms[i], Lost, now)
		ms = ms[:i]
	}
	o.e.hand.move(waiting, ms...)
	o.groups.Return(group, ms, at)
}

// release releases messages of a group that were part of a call, and all that wait behind
// them: the last one first, so that none becomes visible before those that come before it.
// The first one stays hidden for delay, and so do, behind it, the others.
func (o *grouped) release(group string, taken []*Message, delay time.Duration, now time.Time) {
	ms := o.groups.Merge(taken, o.groups.Leave(group))
	for i, m := range slices.Backward(ms) {
		m.marks.returned = m.marks.returned || i > 0 || m.attempts.n == 0 // nothing was done about it
		if i > 0 {
			o.e.settle.release(m, 0, 0, now)
		} else {
			o.e.settle.release(m, 0, delay, now)
		}
	}
}

// ended releases what waits behind a message that stays in the queue: it must not be handled
// before it.
func (o *grouped) ended(m *Message, end End, now time.Time) {
	if m.marks.surplus || end == Deleted || o.e.OnGroupFailure == SkipFailed {
		return
	}
	m.marks.stays = true
	o.releaseBehind(m, now)
}

// releaseBehind releases what waits behind a message in its group.
func (o *grouped) releaseBehind(m *Message, now time.Time) {
	behind := o.groups.LeaveBehind(m)
	slices.Reverse(behind)
	o.e.settle.releaseAll(behind, now)
}

func (o *grouped) forget(m *Message) {
	if m.stage != waiting && !m.marks.surplus {
		o.groups.Settled(m.Group())
	}
}

// lost takes messages out of their groups, and releases those behind them: another consumer may
// handle them now.
func (o *grouped) lost(ms []*Message, now time.Time) {
	for _, m := range ms {
		if m.stage != waiting {
			continue // one before it in its group was lost
		}
		o.releaseBehind(m, now)
		o.groups.Remove(m.Group(), func(other *Message) bool { return other == m })
		o.e.conclude(m, Lost, now)
	}
}

// orphaned frees the group of a message whose lease has ended while it is handled: another
// consumer may handle it now, and its handler here may never return.
func (o *grouped) orphaned(m *Message, now time.Time) {
	if !m.call.orphan {
		m.call.orphan = true
		o.e.calls.orphans++
	}
	o.release(m.Group(), nil, 0, now)
}

// isOrphan reports whether a message of the group is still being handled although its lease
// has ended: nothing of the group can be handled here.
func (o *grouped) isOrphan(group string) bool {
	if o.e.calls.orphans == 0 {
		return false
	}
	for c := o.e.calls.first; c != nil; c = c.after {
		if c.orphan && slices.ContainsFunc(c.Batch, func(m *Message) bool { return m.Group() == group && m.marks.lost }) {
			return true
		}
	}
	return false
}

// makeRoom releases groups that wait for a try in place, those that failed longest ago first,
// as far as they hold more than half of the room. The others would find none.
func (o *grouped) makeRoom(now time.Time) {
	for {
		n, bytes := o.groups.Parked()
		if n <= maxInFlight/2 && bytes <= o.e.BytesInFlight/2 {
			return
		}
		group, until := o.groups.LongestParked()
		o.release(group, nil, max(0, until.Sub(now)), now)
	}
}

// closing releases the groups that wait for a try in place: that will not be in this run.
func (o *grouped) closing(now time.Time) {
	for _, group := range o.groups.Delayed(func(front *Message) bool { return front.attempts.n > 0 }) {
		o.release(group, nil, o.e.Visibility, now)
	}
}

func (o *grouped) leave() (ms []*Message) {
	for _, group := range o.groups.Names() {
		behind := o.groups.Leave(group)
		slices.Reverse(behind)
		ms = append(ms, behind...)
	}
	return ms
}

// byGroup gives the parts of a batch that are of one message group. A batch holds the messages
// of a group together.
func byGroup(batch []*Message) iter.Seq2[[]*Message, int] {
	return func(yield func([]*Message, int) bool) {
		for begin := 0; begin < len(batch); {
			end := begin + 1
			for end < len(batch) && batch[end].Group() == batch[begin].Group() {
				end++
			}
			if !yield(batch[begin:end], begin) {
				return
			}
			begin = end
		}
	}
}
