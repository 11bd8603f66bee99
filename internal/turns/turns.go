// Package turns is a loop that has no goroutine of its own.
//
// A loop that makes all decisions needs no locks for what it decides about. But a
// goroutine that waits for news costs more to wake than most news are worth. So at
// any time one goroutine at most is the loop, and not always the same: who brings
// news while nobody takes the loop's turn takes it himself. A mutex would have the
// same effect, were it not for the one who waits for it: here nobody waits.
package turns

import (
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/sluice-go/sluice/internal/crew"
)

// A Loop takes one turn after the other: it heeds the events that have come since
// the last one, then does what is to be done now. Heed and Turn are called by one
// goroutine at a time. The zero value is not usable; see [New].
type Loop[E any] struct {
	in    *inbox[E]
	timer *time.Timer
	rang  atomic.Bool   // the timer, since the last turn
	ended chan struct{} // closed after the last turn

	heed func(events []E)
	turn func(now time.Time) (last bool)

	// Owned by the one who takes the turn.
	alarm  time.Time  // when timer rings; zero: it does not
	member *crew.Crew // of which the goroutine is that takes the turn; nil: of none, or it has something to do next
	next   crew.Work  // for that goroutine
}

// New returns a Loop that heeds events and takes turns until one is the last.
func New[E any](heed func(events []E), turn func(now time.Time) (last bool)) *Loop[E] {
	return &Loop[E]{in: newInbox[E](), timer: time.NewTimer(time.Hour), ended: make(chan struct{}), heed: heed, turn: turn}
}

// Run takes the first turn, and each that nobody else takes, until the last one.
// nothing is an event to take a turn for; stop is brought when done is closed.
func (l *Loop[E]) Run(done <-chan struct{}, nothing, stop E) {
	defer l.timer.Stop()
	l.Tell(nothing, nil)
	for {
		select {
		case <-l.ended:
			return
		case <-l.in.ready():
			if l.in.claim() {
				l.see(nil)
			}
		case <-done:
			l.Tell(stop, nil)
			done = nil
		case <-l.timer.C:
			l.rang.Store(true)
			l.Tell(nothing, nil)
		}
	}
}

// Tell brings an event. The calling goroutine, which is of the given crew, takes the
// turn if nobody has it, and returns what it has to do next.
func (l *Loop[E]) Tell(e E, member *crew.Crew) (next crew.Work) {
	if l.in.put(e) {
		return l.see(member)
	}
	return nil
}

// Leave brings an event and leaves the turn to others.
func (l *Loop[E]) Leave(e E) { l.in.leave(e) }

// Close returns the events that no turn has heeded; those that come from now on are
// dropped.
func (l *Loop[E]) Close() []E { return l.in.shut() }

// WakeAt lets there be a turn at t, if there is none before. The zero time is none.
// It is for the one who takes the turn.
func (l *Loop[E]) WakeAt(t time.Time) {
	if t.IsZero() || (!l.alarm.IsZero() && !t.Before(l.alarm)) {
		return
	}
	l.alarm = t
	l.timer.Reset(time.Until(t))
}

// Begin lets a crew do w: the goroutine that takes the turn, if it is of the crew and
// has nothing to do next, which wakes no other one. It is for the one who takes the turn.
func (l *Loop[E]) Begin(by *crew.Crew, w crew.Work) {
	if l.member == by {
		l.member, l.next = nil, w
		return
	}
	by.Go(w)
}

// see takes the turn for as long as something happens. When a turn has given the
// calling goroutine something to do, others see to the rest.
func (l *Loop[E]) see(member *crew.Crew) (next crew.Work) {
	defer crash()
	for {
		events := l.in.take()
		if len(events) == 0 {
			return nil
		}
		if l.rang.Swap(false) {
			l.alarm = time.Time{}
		}
		l.member = member
		l.heed(events)
		last := l.turn(time.Now())
		next, l.next, l.member = l.next, nil, nil
		if last {
			close(l.ended) // the turn stays taken: nobody takes another
			return next
		}
		if next != nil {
			l.in.pass()
			return next
		}
	}
}

// crash ends the process if the loop panics, which is a bug of its own. The goroutine
// may be one whose panics are taken for somebody else's, and a loop that ends in
// silence is the worst of ends.
func crash() {
	if v := recover(); v != nil {
		stack := debug.Stack()
		go panic(fmt.Sprintf("sluice: %v\n\n%s", v, stack))
		select {}
	}
}
