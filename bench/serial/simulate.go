package main

import (
	"cmp"
	"container/heap"
	"time"
)

// A model is a machine whose processors do nothing but consume. It knows no latency: what waits for
// the network needs no processor.
//
// To receive ten messages takes a share of their work, and so do their handlers and their delete. Each
// of these ends with an event for the loop. A processor that brings an event takes the turn if none has
// it, and keeps it for as long as events come. If another one has the turn, it leaves the event there
// and goes on.
type model struct {
	processors int
	batch      int           // messages of a handler call: 1, 10, 100 and so on
	loop, work time.Duration // for each message: in turns, and outside of them
	messages   int           // until the end of the simulation; 0: enough
}

const (
	ten      = 10                    // messages of a receive, and of a delete
	inFlight = 2_000                 // messages at once, and a batch of each processor
	lockTime = 100 * time.Nanosecond // to lock the mailbox, whose memory comes from another processor: pessimistic
	enough   = 50_000                // messages of a simulation
)

// The kinds of tasks.
const (
	receiving = iota
	handling
	deleting
)

// Shares of the work and of the loop that the kinds take. They are estimates. What counts is their sum.
var (
	workShare  = [...]float64{receiving: 0.45, handling: 0.15, deleting: 0.40}
	loopShares = [...]float64{receiving: 0.3, handling: 0.4, deleting: 0.3}
)

// simulate returns messages a second, and the share of the time in which a processor has the turn.
func simulate(m model) (rate, busy float64) {
	s := &machine{model: m}
	for p := range m.processors {
		s.proceed(p)
	}
	for s.done < cmp.Or(m.messages, enough) {
		next, _ := heap.Pop(&s.agenda).(happening) // some processor is always at work
		s.now = next.at
		next.do()
	}
	return float64(s.done) / s.now.Seconds(), s.turns.Seconds() / s.now.Seconds()
}

// A machine is the state of a simulation.
type machine struct {
	model

	now     time.Duration
	agenda  agenda
	idle    []int         // processors
	ready   []int         // kinds of tasks that can be done, oldest first
	mailbox []int         // kinds of tasks whose events no turn has seen
	taken   bool          // a processor has the turn
	locked  time.Duration // until then the mailbox is
	turns   time.Duration // in all

	held, gathered, handled, done int // messages: of receives and later; for a batch; for a delete; at the end
}

// each is how many messages a task has.
func (m model) each(kind int) int {
	if kind == handling {
		return m.batch
	}
	return ten
}

// part is the share of a duration for each message that a kind takes for all its messages.
func (m model) part(shares []float64, kind int, d time.Duration) time.Duration {
	return time.Duration(shares[kind] * float64(m.each(kind)) * float64(d))
}

// proceed lets a processor do a task, or be idle.
func (s *machine) proceed(p int) {
	kind, ok := s.take()
	if !ok {
		s.idle = append(s.idle, p)
		return
	}
	s.after(s.part(workShare[:], kind, s.work), func() { s.bring(p, kind) })
}

// take is the oldest task, or a receive if there is room for its messages.
func (s *machine) take() (kind int, ok bool) {
	if len(s.ready) > 0 {
		kind, s.ready = s.ready[0], s.ready[1:]
		return kind, true
	}
	if s.held+ten > inFlight+s.processors*s.batch {
		return 0, false
	}
	s.held += ten
	return receiving, true
}

// bring locks the mailbox, one processor after the other, and puts an event into it.
func (s *machine) bring(p, kind int) {
	s.locked = max(s.now, s.locked) + lockTime
	s.after(s.locked-s.now, func() {
		s.mailbox = append(s.mailbox, kind)
		if s.taken {
			s.proceed(p)
			return
		}
		s.taken = true
		s.turn(p)
	})
}

// turn handles all events of the mailbox, and those that come meanwhile in another turn.
func (s *machine) turn(p int) {
	if len(s.mailbox) == 0 {
		s.taken = false
		s.proceed(p)
		return
	}
	events, takes := s.mailbox, time.Duration(0)
	s.mailbox = nil
	for _, kind := range events {
		takes += s.part(loopShares[:], kind, s.loop)
	}
	s.after(takes, func() {
		s.turns += takes
		for _, kind := range events {
			s.happened(kind)
		}
		for len(s.idle) > 0 && (len(s.ready) > 0 || s.held+ten <= inFlight+s.processors*s.batch) {
			first := s.idle[0]
			s.idle = s.idle[1:]
			s.proceed(first)
		}
		s.turn(p)
	})
}

// happened is what follows from an event.
func (s *machine) happened(kind int) {
	switch kind {
	case receiving:
		s.gathered += ten
		for ; s.gathered >= s.batch; s.gathered -= s.batch {
			s.ready = append(s.ready, handling)
		}
	case handling:
		s.handled += s.batch
		for ; s.handled >= ten; s.handled -= ten {
			s.ready = append(s.ready, deleting)
		}
	case deleting:
		s.done += ten
		s.held -= ten
	}
}

func (s *machine) after(d time.Duration, do func()) { heap.Push(&s.agenda, happening{s.now + d, do}) }

// A happening is what a processor does at a moment.
type happening struct {
	at time.Duration
	do func()
}

// agenda is a heap, the earliest first.
type agenda []happening

func (a agenda) Len() int           { return len(a) }
func (a agenda) Less(i, j int) bool { return a[i].at < a[j].at }
func (a agenda) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }

// Push adds a happening.
func (a *agenda) Push(x any) {
	h, _ := x.(happening) // nothing else is pushed
	*a = append(*a, h)
}

// Pop takes the last, as container/heap wants it.
func (a *agenda) Pop() any {
	last := len(*a) - 1
	h := (*a)[last]
	*a = (*a)[:last]
	return h
}
