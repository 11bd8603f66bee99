package lease

import (
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	maxEntries = 10             // per call; SQS rejects more (TooManyEntriesInBatchRequest)
	maxHeld    = 12 * time.Hour // from the receive; SQS rejects a renewal beyond it (InvalidParameterValue, "Total VisibilityTimeout … beyond the limit")

	// maxCall is the longest a renewal call may take. It is also kept clear of maxHeld: SQS counts a timeout from when
	// the call reaches it, which is at most that much later than when it was sent.
	maxCall = 10 * time.Second

	// Rush is how many times as many calls as usual may be in flight when leases wait for too long for one.
	Rush = 8

	// chunk is how many leases a method looks at in one call at most. Many leases that are due together must not keep
	// the owner from its other work.
	chunk = 256
)

// Config describes the leases of one queue. Timeout is required.
type Config struct {
	// Timeout is the visibility timeout that each receive and renewal asks for: whole seconds, at least one.
	Timeout time.Duration

	// Calls is how many renewal calls may be in flight at once; 0 means 16. While the lease that waits longest has less
	// than 3/8 of Timeout left, it is [Rush] times as many: there are more leases than so few calls can renew, or they
	// are slow.
	Calls int

	// Rand returns the jitter of retries, in [0, 1); nil means math/rand/v2.
	Rand func() float64
}

// Leases are the leases that are kept: renewed until they are removed, or reported as lost. One goroutine owns the value
// and all leases in it.
//
// The owner does this whenever something happened, and at [Leases.Next]:
//
//  1. It passes the answers that came to [Leases.Returned].
//  2. It asks [Leases.Lost] for the leases that are over.
//  3. It sends the calls of [Leases.Due], until that returns nil.
//
// While leases are kept, it should do so each second at least: a timer stands still while the machine sleeps, and leases
// do not.
type Leases[T any] struct {
	cfg   Config
	heap  heap[T]       // all kept leases
	queue queue[T]      // those that wait for a call
	calls int           // in flight
	spare []*Call[T]    // that have returned, for their memory
	wait  time.Duration // how long a goroutine that is ready waits for a processor; see Starved
	early time.Duration // how much sooner than at its due a lease is renewed because of that
}

// New returns an empty Leases. It panics if c.Timeout is not whole seconds, at least one.
func New[T any](c Config) *Leases[T] {
	if c.Timeout < time.Second || c.Timeout%time.Second != 0 {
		panic(fmt.Sprintf("lease: Timeout is %v, want whole seconds, at least one", c.Timeout))
	}
	if c.Calls <= 0 {
		c.Calls = 16
	}
	if c.Rand == nil {
		c.Rand = rand.Float64
	}
	return &Leases[T]{cfg: c}
}

// Add keeps the leases of one receive. sent is when its request was sent, arrived when its answer came. A lease counts
// from sent, the earliest moment SQS can have begun it.
//
// The first renewal is due half a timeout after arrived, or after 80 % of the time from sent if that is sooner. A long
// poll that waited has mostly waited before the lease began, and to renew early for its sake would waste a call.
func (ls *Leases[T]) Add(sent, arrived Instant, leases ...*Lease[T]) {
	for _, l := range leases {
		l.halted, l.retired = false, false
		ls.begin(l, sent, arrived)
	}
}

// Adopt begins l anew for a newer delivery of the same message, also when it was lost. The 12 hours count from the new
// sent. A renewal in flight no longer counts, nor does its failure. A halted lease stays halted. A retired lease is not
// kept: the change that it was retired for may be about to happen.
func (ls *Leases[T]) Adopt(l *Lease[T], sent, arrived Instant) { ls.begin(l, sent, arrived) }

// begin starts a generation of l. It keeps l unless l is retired.
func (ls *Leases[T]) begin(l *Lease[T], sent, arrived Instant) {
	v := ls.cfg.Timeout
	ls.queue.remove(l)
	l.generation++
	l.tries, l.failure, l.cause = 0, nil, nil
	l.deadline, l.limit = sent+v, sent+maxHeld-maxCall
	l.due = Never
	if !l.halted {
		l.due = min(arrived+v/2, max(arrived, sent+v*4/5))
	}
	if !l.retired {
		ls.keep(l)
	}
}

// Resume keeps l again, which was removed or retired, for as long as it was confirmed. It is for a message whose
// settlement had no effect. A renewal in flight no longer counts. Resume does nothing to a lease that is kept or that
// was never added.
func (ls *Leases[T]) Resume(l *Lease[T], now Instant) {
	if l.slot > 0 || l.generation == 0 {
		return
	}
	l.generation++
	l.retired = false
	l.due = Never
	if l.cause == nil && !l.halted {
		l.due = now + max(0, l.deadline-now)/2
	}
	ls.keep(l)
}

// Remove ends the keeping of leases whose messages are settled. They are not renewed again and their loss is not
// reported, whatever the answer to a renewal in flight. Leases that are not kept are passed over.
func (ls *Leases[T]) Remove(leases ...*Lease[T]) {
	for _, l := range leases {
		ls.drop(l)
	}
}

// Retire removes l before its visibility timeout is changed on purpose. Later deliveries that l may [Leases.Adopt] are
// not kept either, until [Leases.Resume] or [Leases.Add]. The change must wait until l is no longer [Lease.Renewing].
func (ls *Leases[T]) Retire(l *Lease[T]) {
	ls.drop(l)
	l.retired = true
}

// Halt stops the renewals of l, of which one may still be in flight and count. At its deadline l is lost with
// [ErrHalted]. It holds for later deliveries that l may [Leases.Adopt], even if l is lost at the time.
func (ls *Leases[T]) Halt(l *Lease[T]) {
	l.halted = true
	if l.slot > 0 {
		ls.runOut(l)
	}
}

// Len returns the number of leases that are kept.
func (ls *Leases[T]) Len() int { return len(ls.heap) }

// Next returns when [Leases.Due] or [Leases.Lost] may have something to give although nothing else happens. An instant
// that has passed means at once. It is [Never] when no time is enough.
func (ls *Leases[T]) Next() Instant { return min(ls.first(), ls.departure()) }

// first returns when the first lease needs attention.
func (ls *Leases[T]) first() Instant {
	if len(ls.heap) == 0 {
		return Never
	}
	return ls.heap[0].at
}

// event returns when l needs attention: a renewal or its end.
func (ls *Leases[T]) event(l *Lease[T]) Instant {
	if l.due == Never || l.tries > 0 { // a try that failed has its own pause
		return min(l.due, l.deadline)
	}
	due, step := l.due-ls.early, ls.step()
	if end := (due + step - 1).Truncate(step); l.deadline-end > ls.cfg.Timeout/4 {
		due = end
	}
	return min(due, l.deadline)
}

// step divides time: renewals that become due in the same step are made at its end. Where many leases are kept, and
// nothing else happens, a wake-up for each call would cost as much as the call. It is 10 ms at most. A lease of which
// little is left, such as that of a message whose receive has waited for long, is renewed at once.
func (ls *Leases[T]) step() time.Duration { return min(10*time.Millisecond, ls.cfg.Timeout/3000) }

// keep puts l into the heap, or where it belongs now if it is there.
func (ls *Leases[T]) keep(l *Lease[T]) {
	if l.slot == 0 {
		ls.heap.push(l, ls.event(l))
		return
	}
	ls.heap.fix(l, ls.event(l))
}

// drop stops keeping l.
func (ls *Leases[T]) drop(l *Lease[T]) {
	ls.queue.remove(l)
	if l.slot > 0 {
		ls.heap.remove(l)
	}
}

// runOut lets l, which is kept, live to its deadline without further renewals.
func (ls *Leases[T]) runOut(l *Lease[T]) {
	l.due = Never
	ls.queue.remove(l)
	ls.keep(l)
}
