// Package serial has a loop that decides everything, and pools of goroutines that do
// what blocks.
//
// A loop that makes all decisions needs no locks for what it decides about. But to wake
// a goroutine costs more than most turns of such a loop. So the [Loop] has no goroutine
// of its own: the goroutine that brings an event takes the turn if nobody else has it.
// At any time at most one goroutine has the turn, and nobody waits for it.
package serial

import (
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// A Loop takes one turn after the other. Each turn gets the events that have come since
// the last one. One goroutine at a time has the turn. The zero value is not usable; see
// [NewLoop].
type Loop[E any] struct {
	in    *mailbox[E]
	timer *time.Timer
	rang  atomic.Bool   // the timer, since the last turn
	ended chan struct{} // closed after the last turn

	turn func(now time.Time, events []E) (last bool)

	// Owned by the goroutine that has the turn.
	alarm  time.Time // when timer rings; zero: it does not
	member *Pool     // the pool of that goroutine; nil: it is of none, or has something to do next
	next   Work      // for that goroutine
}

// NewLoop returns a Loop that takes turns until one is the last.
func NewLoop[E any](turn func(now time.Time, events []E) (last bool)) *Loop[E] {
	return &Loop[E]{in: newMailbox[E](), timer: time.NewTimer(time.Hour), ended: make(chan struct{}), turn: turn}
}

// Run takes the first turn, and each that nobody else takes, until the last one.
// nothing is an event to take a turn for. stop is the event that done is closed.
func (l *Loop[E]) Run(done <-chan struct{}, nothing, stop E) {
	defer l.timer.Stop()
	l.Tell(nothing, nil)
	for {
		select {
		case <-l.ended:
			return
		case <-l.in.ready():
			l.takeTurns(l.in.claim(), nil)
		case <-done:
			l.Tell(stop, nil)
			done = nil
		case <-l.timer.C:
			l.rang.Store(true)
			l.Tell(nothing, nil)
		}
	}
}

// Tell brings an event. The calling goroutine is of the given pool. It takes the turn if
// nobody has it, and Tell returns what it has to do next.
func (l *Loop[E]) Tell(e E, member *Pool) (next Work) {
	return l.takeTurns(l.in.put(e), member)
}

// Leave brings an event and leaves the turn to other goroutines.
func (l *Loop[E]) Leave(e E) { l.in.leave(e) }

// Close drops the events that no turn has seen, and all that come from now on.
func (l *Loop[E]) Close() { l.in.shut() }

// WakeAt makes sure that there is a turn at t or before. The zero time asks for none.
// Only a turn may call it.
func (l *Loop[E]) WakeAt(t time.Time) {
	if t.IsZero() || (!l.alarm.IsZero() && !t.Before(l.alarm)) {
		return
	}
	l.alarm = t
	l.timer.Reset(time.Until(t))
}

// Begin lets a pool do w. If the goroutine that has the turn is of that pool and has
// nothing to do next, it does w itself, which wakes no other one. Only a turn may call it.
func (l *Loop[E]) Begin(by *Pool, w Work) {
	if l.member == by {
		l.member, l.next = nil, w
		return
	}
	by.Go(w)
}

// takeTurns takes turns for as long as events come. When a turn has given the calling
// goroutine something to do, other goroutines see to the rest. Without events the goroutine
// does not have the turn.
func (l *Loop[E]) takeTurns(events []E, member *Pool) (next Work) {
	if len(events) == 0 {
		return nil
	}
	defer crash()
	for ; len(events) > 0; events = l.in.take() {
		if l.rang.Load() && l.rang.Swap(false) {
			l.alarm = time.Time{}
		}
		l.member = member
		last := l.turn(time.Now(), events)
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
	return nil
}

// crash ends the process if a turn panics, which is a bug of its own. The goroutine may be
// one whose panics count as somebody else's, and a loop that ends in silence helps nobody.
func crash() {
	if v := recover(); v != nil {
		stack := debug.Stack()
		go panic(fmt.Sprintf("sluice: %v\n\n%s", v, stack))
		select {}
	}
}
