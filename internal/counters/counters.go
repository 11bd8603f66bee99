// Package counters counts what a consumer does, for goroutines that ask from outside.
package counters

import (
	"sync"
	"sync/atomic"
	"time"
)

// Counters holds the counts of a consumer over all its runs, and what is so now. All
// methods may be called concurrently, and so may those of the fields. The zero value has
// counted nothing.
type Counters struct {
	Received, Duplicates, Succeeded, Failed, Panics  atomic.Int64
	Deleted, Released, DeadLettered, Lost, Unsettled atomic.Int64
	Batches                                          [5]atomic.Int64 // by reason
	BatchMessages                                    atomic.Int64    // of all batches
	ReceiveCounts                                    [Counts]atomic.Int64
	InFlight, Bytes, Handlers                        atomic.Int64 // now
	Receives, Allowed                                atomic.Int64 // out now, and as many as may be
	Lag, LeaseMargin                                 atomic.Int64 // nanoseconds
	Oldest, LastReceive                              atomic.Int64 // in nanoseconds since 1970; 0: never
	Dropped                                          atomic.Int64 // hook calls and log lines
	ProcessorWait                                    atomic.Int64 // nanoseconds
	ProbedAt                                         atomic.Int64 // when the probe that is under way began, in nanoseconds since 1970; 0: there is none

	asked atomic.Pointer[time.Time] // when the loop was asked for a turn that it has not taken; nil: it was not

	mu      sync.Mutex // guards the fields below; never held while calling out
	state   int
	since   time.Time
	failure error
	refusal error
}

// Counts is how many receive counts are counted apart. The last one stands for all above.
const Counts = 10

// Arrived counts a message that was received for the n-th time.
func (c *Counters) Arrived(n int) {
	c.Received.Add(1)
	c.ReceiveCounts[min(max(1, n), Counts)-1].Add(1)
}

// Ask notes that the loop is asked for a turn. It returns for how long it has been asked
// already.
func (c *Counters) Ask(now time.Time) time.Duration {
	if !c.asked.CompareAndSwap(nil, &now) {
		if since := c.asked.Load(); since != nil {
			return now.Sub(*since)
		}
	}
	return 0
}

// Turned notes that the loop has taken a turn, or that there is none.
func (c *Counters) Turned() {
	if c.asked.Load() != nil {
		c.asked.Store(nil)
	}
}

// Rest notes that nothing is in hand any more.
func (c *Counters) Rest() {
	for _, gauge := range []*atomic.Int64{&c.InFlight, &c.Bytes, &c.Handlers, &c.Receives, &c.Allowed, &c.Lag, &c.LeaseMargin, &c.Oldest, &c.ProcessorWait, &c.ProbedAt} {
		gauge.Store(0)
	}
	c.Turned()
}

// Receiving notes the error of the newest receive. nil: it succeeded.
func (c *Counters) Receiving(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failure = err
}

// Refusing notes what SQS refuses. nil: nothing.
func (c *Counters) Refusing(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refusal = err
}

// Enter notes a state and returns the one before it. It reports whether that is another.
func (c *Counters) Enter(state int, now time.Time) (before int, changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before = c.state
	if before == state {
		return before, false
	}
	c.state, c.since = state, now
	return before, true
}

// State returns the state, since when it is so, and what SQS refuses, else the error of the
// newest receive.
func (c *Counters) State() (state int, since time.Time, failure error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refusal != nil {
		return c.state, c.since, c.refusal
	}
	return c.state, c.since, c.failure
}

// Wait returns how long a goroutine that is ready waits for a processor. A probe that is
// under way has waited for as long as it takes.
func (c *Counters) Wait(now time.Time) time.Duration {
	wait := time.Duration(c.ProcessorWait.Load())
	if began := c.ProbedAt.Load(); began != 0 {
		wait = max(wait, now.Sub(Moment(began)))
	}
	return wait
}

// Moment returns a time that is kept in nanoseconds since 1970. 0 is the zero time.
func Moment(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}
