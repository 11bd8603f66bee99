// Package tally counts what a consumer does, for those who ask from outside.
package tally

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A Tally holds the counts of a consumer. Its fields may be used by any goroutine.
// The zero value has counted nothing.
type Tally struct {
	Received, Duplicates, Succeeded, Failed, Panics   atomic.Int64
	Deleted, GivenBack, DeadLettered, Lost, Unsettled atomic.Int64

	InFlight, Bytes, Handlers atomic.Int64 // now
	Receives, Allowed         atomic.Int64 // out now, and as many as may be
	Lag                       atomic.Int64 // nanoseconds
	Oldest, LastReceive       atomic.Int64 // in nanoseconds since 1970; 0: never
	Dropped                   atomic.Int64

	mu      sync.Mutex // guards the fields below; never held while calling out
	state   string
	since   time.Time
	failure error
	refusal error
}

// Rest notes that there is nothing in hand any more.
func (t *Tally) Rest() {
	for _, gauge := range []*atomic.Int64{&t.InFlight, &t.Bytes, &t.Handlers, &t.Receives, &t.Allowed, &t.Lag, &t.Oldest} {
		gauge.Store(0)
	}
}

// Receiving notes the error of the newest receive; nil: it succeeded.
func (t *Tally) Receiving(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failure = err
}

// Refusing notes what SQS refuses; nil: nothing.
func (t *Tally) Refusing(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refusal = err
}

// Enter notes a state and returns the one before it; changed tells whether that is
// another.
func (t *Tally) Enter(state string, now time.Time) (before string, changed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before = t.state
	if before == state {
		return before, false
	}
	t.state, t.since = state, now
	return before, true
}

// State returns the state, since when, and what is refused, else the error of the newest receive.
func (t *Tally) State() (state string, since time.Time, failure error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.refusal != nil {
		return t.state, t.since, t.refusal
	}
	return t.state, t.since, t.failure
}

// A Counter counts by name. The names are few and fixed.
type Counter struct {
	names  []string
	counts []atomic.Int64
}

// NewCounter returns a Counter of the given names.
func NewCounter(names ...string) *Counter {
	return &Counter{names: names, counts: make([]atomic.Int64, len(names))}
}

// Add counts one more of a name. A name that is not counted is a mistake of the
// caller's and panics.
func (c *Counter) Add(name string) { c.counts[slices.Index(c.names, name)].Add(1) }

// Counts returns the counts by name.
func (c *Counter) Counts() map[string]int64 {
	m := make(map[string]int64, len(c.names))
	for i, name := range c.names {
		m[name] = c.counts[i].Load()
	}
	return m
}

// Moment returns a time that is kept in nanoseconds since 1970; 0 is none.
func Moment(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}
