package lease

import (
	"errors"
	"time"
)

// A Renewal asks SQS to keep a message hidden for Timeout, counted from the call.
type Renewal[T any] struct {
	Lease   *Lease[T]
	Timeout time.Duration // whole seconds
}

// A Call is up to ten renewals, each of another lease, that are sent in one request.
type Call[T any] struct {
	Entries []Renewal[T] // one to ten

	sent        Instant
	jitter      float64 // for all that fail in it: they are tried again together, not one by one
	returned    bool
	generations [maxEntries]uint32 // of the leases, when the call was sent
	room        [maxEntries]Renewal[T]
}

// A Result is the answer to one [Renewal]. The zero value is a confirmation.
type Result struct {
	Err  error // why the renewal was not confirmed
	Gone bool  // the queue no longer accepts the receipt handle; to try again is of no use
}

var errUnanswered = errors.New("lease: a renewal was not answered")

// Due returns a call that is to be sent now, or nil if there is none. The call is in flight from now on, until
// [Leases.Returned]. Due holds leases back for a moment so that they share a call, and returns nil while as many calls as
// allowed are in flight; see [Config.Calls]. The owner calls it until it returns nil.
func (ls *Leases[T]) Due(now Instant) *Call[T] {
	for n := 0; n < chunk && ls.first() <= now; n++ {
		l := ls.heap[0].lease
		if l.deadline <= now {
			break // Lost comes first
		}
		ls.enqueue(l, now)
	}
	for ls.departure() <= now {
		if c := ls.load(now); c != nil {
			return c
		}
	}
	return nil
}

// departure returns when the next call should leave. That is at once if ten leases are queued, or if no other lease can
// become due as long as these can wait. Else it is when they can wait no longer. It is Never while no call may start.
func (ls *Leases[T]) departure() Instant {
	switch {
	case ls.queue.len == 0 || ls.calls >= Rush*ls.cfg.Calls:
		return Never
	case ls.calls >= ls.cfg.Calls:
		return ls.queue.head.deadline - ls.cfg.Timeout*3/8
	case ls.queue.len >= maxEntries:
		return atOnce
	}
	by := ls.queue.sendBy()
	if ls.first() > by {
		return atOnce
	}
	return by
}

// enqueue puts l, which is due, into the queue. A first try can wait for a tenth of the timeout for its call to fill, or
// less if the time to its deadline is short. A retry cannot wait.
func (ls *Leases[T]) enqueue(l *Lease[T], now Instant) {
	if l.ask(now, ls.cfg.Timeout) == 0 {
		l.cause = ErrLimit
		ls.runOut(l)
		return
	}
	l.sendBy = min(l.due, now)
	if l.tries == 0 {
		l.sendBy += min(ls.cfg.Timeout/10, (l.deadline-l.due)/5)
	}
	l.due = Never
	ls.keep(l)
	ls.queue.push(l)
}

// load moves up to ten leases from the queue into a call. It returns nil if none of them can be renewed.
func (ls *Leases[T]) load(now Instant) *Call[T] {
	var c *Call[T]
	for ls.queue.len > 0 && (c == nil || len(c.Entries) < maxEntries) {
		l := ls.queue.head
		ls.queue.remove(l)
		if l.deadline <= now { // over while it waited; Lost reports it
			continue
		}
		timeout := l.ask(now, ls.cfg.Timeout)
		if timeout == 0 { // the limit came near while it waited
			l.cause = ErrLimit
			continue
		}
		if c == nil {
			c = ls.send(now)
		}
		l.inFlight++
		c.generations[len(c.Entries)] = l.generation
		c.Entries = append(c.Entries, Renewal[T]{l, timeout})
	}
	return c
}

// send returns an empty call, which is in flight.
func (ls *Leases[T]) send(now Instant) *Call[T] {
	ls.calls++
	var c *Call[T]
	if n := len(ls.spare); n > 0 {
		c, ls.spare = ls.spare[n-1], ls.spare[:n-1]
	} else {
		c = new(Call[T])
	}
	c.sent, c.jitter, c.Entries = now, ls.cfg.Rand(), c.room[:0]
	return c
}

// Recycle keeps the memory of c, which has returned, for another call. The owner has no more use for c.
func (ls *Leases[T]) Recycle(c *Call[T]) {
	*c = Call[T]{}
	ls.spare = append(ls.spare, c)
}

// Returned takes in the answer to c, which came at now. results has one element for each entry, in their order; what is
// missing counts as failed. After it the leases of c may no longer be [Lease.Renewing]. Only the first answer counts.
func (ls *Leases[T]) Returned(c *Call[T], results []Result, now Instant) {
	if c.returned {
		return
	}
	c.returned = true
	ls.calls--
	for i, e := range c.Entries {
		l := e.Lease
		l.inFlight--
		// An answer after the deadline is too late: others may have received the message before SQS saw the call.
		if l.generation != c.generations[i] || l.deadline <= now {
			continue
		}
		r := Result{Err: errUnanswered}
		if i < len(results) {
			r = results[i]
		}
		ls.apply(l, c, c.sent+e.Timeout, r, now)
		if l.slot > 0 {
			ls.keep(l)
		}
	}
}

// apply takes in the result of a renewal of l, which is until then if it is confirmed. It does so for a lease that is no
// longer kept too, for the sake of [Lease.Left].
func (ls *Leases[T]) apply(l *Lease[T], c *Call[T], until Instant, r Result, now Instant) {
	switch {
	case r.Gone:
		l.deadline, l.cause, l.failure = now, ErrGone, r.Err
	case r.Err == nil:
		// Both count from the time of sending, the earliest from which SQS can have counted.
		l.deadline, l.due = until, c.sent+ls.cfg.Timeout/2
		l.tries, l.failure = 0, nil
	default:
		l.tries++
		l.failure = r.Err
		l.due = now + ls.backoff(l, now, c.jitter)
	}
	if l.cause != nil || l.halted {
		l.due = Never
	}
}

// backoff returns the time until the next try. It is short at first, then longer, but never more than about half of what
// is left.
func (ls *Leases[T]) backoff(l *Lease[T], now Instant, jitter float64) time.Duration {
	v := ls.cfg.Timeout
	longest := min(v/40<<min(l.tries-1, 5), (l.deadline-now)/2)
	return v/200 + time.Duration(jitter*float64(longest))
}
