// Package elapsed measures time by two clocks, and believes the one that says that more
// has passed.
//
// A monotonic clock stands still while a machine sleeps: suspended, hibernated, or stored
// as a snapshot of a virtual machine. The wall clock goes on, but people and NTP set it.
// A lease of SQS ends by SQS's clock, which knows of neither.
package elapsed

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// noise is how far the clocks may be apart by chance: they are read one after the other,
	// and a thread may be stopped in between. Less is not believed.
	noise = 100 * time.Millisecond

	maxSteps = 64 // kept; a clock that is set more often in twelve hours is none
)

// A Clock is a time axis on which a machine's sleep counts. A wall clock that is set
// forward looks like a sleep, and counts; one that is set back changes nothing. All
// methods may be called concurrently.
type Clock struct {
	start time.Time
	ahead func(time.Time) time.Duration
	steps atomic.Pointer[[]step] // oldest first; never empty
	leaps atomic.Int64
	back  atomic.Int64 // nanoseconds by which the wall clock was set back
	mu    sync.Mutex   // held by who adds a step
}

// A step is a moment since which the clocks differ otherwise than before.
type step struct {
	mono  time.Duration // since the start, by the monotonic clock
	skew  time.Duration // how far the wall clock is ahead of that
	slept time.Duration // time that the monotonic clock has missed so far
}

// New returns a Clock that starts now. ahead is added to what the wall clock shows in a
// reading, for tests; nil: nothing is.
func New(ahead func(time.Time) time.Duration) *Clock {
	if ahead == nil {
		ahead = func(time.Time) time.Duration { return 0 }
	}
	c := &Clock{start: time.Now(), ahead: ahead}
	c.steps.Store(&[]step{{skew: ahead(c.start)}})
	return c
}

// Between returns how much time passed from one reading of [time.Now] to a later one.
func (c *Clock) Between(from, to time.Time) time.Duration { return c.At(to) - c.At(from) }

// At returns the time from the start of c to t, a reading of [time.Now].
func (c *Clock) At(t time.Time) time.Duration {
	mono := t.Sub(c.start)
	return c.at(mono, t.Round(0).Sub(c.start.Round(0))+c.ahead(t)-mono)
}

// Wall returns what the wall clock would show at t, a reading of [time.Now], had it never been
// set back since the start. epoch is another one after each leap forward: the machine slept,
// or the clock was set, which is not to be told apart.
func (c *Clock) Wall(t time.Time) (wall time.Time, epoch int) {
	c.At(t) // notes a step
	return t.Round(0).Add(c.ahead(t) + time.Duration(c.back.Load())), int(c.leaps.Load())
}

// at is [Clock.At] for a reading of both clocks.
func (c *Clock) at(mono, skew time.Duration) time.Duration {
	steps := *c.steps.Load()
	at, apart := place(steps, mono, skew)
	if !apart {
		return at
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	steps = *c.steps.Load()
	at, apart = place(steps, mono, skew)
	if !apart { // somebody else has seen it meanwhile
		return at
	}
	kept := steps[max(0, len(steps)+1-maxSteps):]
	added := slices.Concat(kept, []step{{mono: mono, skew: skew, slept: at - mono}})
	c.steps.Store(&added)
	if d := skew - steps[len(steps)-1].skew; d < 0 {
		c.back.Add(int64(-d))
	} else {
		c.leaps.Add(1)
	}
	return at
}

// place returns where a reading is on the time axis that steps make. It reports whether
// the reading is newer than all of them, and the clocks are further apart by then.
func place(steps []step, mono, skew time.Duration) (at time.Duration, apart bool) {
	i := len(steps) - 1
	for i >= 0 && steps[i].mono > mono {
		i--
	}
	if i < 0 { // from before all that is remembered
		return mono, false
	}
	d := skew - steps[i].skew
	if d > -noise && d < noise {
		return mono + steps[i].slept, false
	}
	return mono + steps[i].slept + max(0, d), i == len(steps)-1
}
