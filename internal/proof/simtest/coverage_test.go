package simtest

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
)

// coverage is how much happened in many worlds: that nothing broke says little if
// nothing happened.
type coverage struct {
	mu       sync.Mutex // guards the fields below
	worlds   int
	calm     int
	messages int
	calls    int
	past     int // of the calls: made past the SDK's client
	sends    int // of the calls: to the dead-letter queue
	fired    [numFaults]int
	shares   map[string]int // worlds in which it happened

	calmEvents, calmBatches cost

	asked, late int // messages that had to be received in time, and those that were late
}

// A cost is what messages of calm worlds have cost.
type cost struct {
	messages int
	calls    map[string]int // that brought or settled messages, by operation
}

// What must have happened in a twentieth of all worlds.
const (
	redelivery    = "a redelivery"
	crash         = "a crash"
	lostLease     = "a lost lease"
	partialDelete = "a partial delete"
	stuckHandler  = "a handler that outlived its context"
)

func (c *coverage) add(w *world) {
	s := study(w)
	seen := map[string]bool{}
	calls, past, sends, messages := 0, 0, 0, 0
	useful := map[string]int{}
	for _, e := range s.events {
		if e.kind == answered && (e.op != opReceive || len(e.got) > 0) {
			useful[e.op]++
		}
		switch {
		case e.kind == sent:
			messages++
		case e.kind == called:
			calls++
			if e.past {
				past++
			}
			if e.op == opSend {
				sends++
			}
		case e.kind == delivered && e.count > 1:
			seen[redelivery] = true
		case e.kind == crashed:
			seen[crash] = true
		case e.kind == answered && e.op == opDelete && e.err == nil && len(e.refused) > 0 && len(e.refused) < len(e.ok):
			seen[partialDelete] = true
		case e.kind == buried:
			w.hist.count(redrives)
		}
	}
	for _, l := range s.stats {
		if l.stats.LeasesLost > 0 {
			seen[lostLease] = true
		}
	}
	for _, l := range s.lives {
		for call, cut := range l.deathOfContext {
			events := l.batches[call]
			if len(events) > 0 && events[len(events)-1].at > cut {
				seen[stuckHandler] = true
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.worlds++
	c.messages += messages
	c.calls += calls
	c.past += past
	c.sends += sends
	if w.calm {
		c.calm++
	}
	if w.calm && w.bulk == 0 && w.nature.plain() && !w.demand.heavy { // else receives have to ask for less, or bring less
		if w.options.BatchSize > 1 {
			c.calmBatches.add(messages, useful)
		} else {
			c.calmEvents.add(messages, useful)
		}
	}
	c.asked += s.asked
	c.late += s.late
	for f, n := range w.hist.fired {
		c.fired[f] += n
	}
	if c.shares == nil {
		c.shares = map[string]int{}
	}
	for what := range seen {
		c.shares[what]++
	}
}

func (c *cost) add(messages int, calls map[string]int) {
	if c.calls == nil {
		c.calls = map[string]int{}
	}
	c.messages += messages
	for op, n := range calls {
		c.calls[op] += n
	}
}

// perMessage is how many calls of an operation each message cost, receives that brought
// nothing apart.
func (c *cost) perMessage(op string) float64 {
	return float64(c.calls[op]) / float64(max(1, c.messages))
}

// String is a table of what happened.
func (c *coverage) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d worlds, %d of them calm, %d messages, %d calls\n", c.worlds, c.calm, c.messages, c.calls)
	for _, what := range []string{redelivery, crash, lostLease, partialDelete, stuckHandler} {
		fmt.Fprintf(&b, "%5.1f %% of the worlds had %s\n", 100*float64(c.shares[what])/float64(c.worlds), what)
	}
	for _, op := range []string{opReceive, opDelete, opChange} {
		fmt.Fprintf(&b, "%6.3f calls of %s for each event of a calm world, %.3f for each message of a batch\n",
			c.calmEvents.perMessage(op), op, c.calmBatches.perMessage(op))
	}
	fmt.Fprintf(&b, "%d of %d messages beside a free slot were left for longer than is granted\n", c.late, c.asked)
	if c.past > 0 {
		fmt.Fprintf(&b, "%5.1f %% of the calls went past the SDK's client\n", 100*float64(c.past)/float64(c.calls))
	}
	for f := lostAnswer; f < numFaults; f++ {
		fmt.Fprintf(&b, "%8d × %v\n", c.fired[f], f)
	}
	return b.String()
}

// direct checks that all calls were made past the SDK's client but those to the dead-letter
// queue.
func (c *coverage) direct(t *testing.T) {
	t.Helper()
	assert.Positive(t, c.past)
	assert.Equal(t, c.calls-c.sends, c.past)
}

// enough checks that it was not too little: over 10,000 worlds each kind of fault
// must have met a call a thousand times, and over fewer in proportion.
func (c *coverage) enough(t *testing.T) {
	t.Helper()
	if c.worlds < 100 {
		return // too few to ask for shares
	}
	for f := lostAnswer; f < numFaults; f++ {
		assert.GreaterOrEqual(t, c.fired[f], least(c.worlds), "%v", f)
	}
	for _, what := range []string{redelivery, crash, lostLease, partialDelete, stuckHandler} {
		assert.GreaterOrEqual(t, c.shares[what], c.worlds/20, "worlds with %s", what)
	}
}

// cheap checks what messages of calm worlds cost on the average: that no single call
// is wasted is I7's, but a change that makes them all a little emptier is seen here.
// Over thousands of worlds the bounds are a fifth above what was measured, or more. Of a
// thousand worlds only some fifty handle events and count, so their draws decide: half as
// much again is left to chance.
func (c *coverage) cheap(t *testing.T) {
	t.Helper()
	leeway := 1.5
	switch {
	case c.worlds < 300:
		return
	case c.worlds >= 3000:
		leeway = 1
	}
	c.calmEvents.cheap(t, "event at a time", 0.42*leeway, 0.8*leeway, 0.08*leeway) // measured: 0.34, 0.68 and 0.02
	c.calmBatches.cheap(t, "in batches", 0.28*leeway, 0.36*leeway, 0.08*leeway)    // measured: 0.20, 0.23 and 0.02
}

func (c *cost) cheap(t *testing.T, how string, receives, deletes, renewals float64) {
	t.Helper()
	assert.LessOrEqual(t, c.perMessage(opReceive), receives, "receives per message, %s", how)
	assert.LessOrEqual(t, c.perMessage(opDelete), deletes, "deletes per message, %s", how)
	assert.LessOrEqual(t, c.perMessage(opChange), renewals, "renewals per message, %s", how)
}

// timely checks how many messages of all worlds were late, see [keeping.takesInTime]. In ten
// thousand worlds it is one in 50,000, but a single world may have a hundred of them, which
// weighs more where worlds are few.
func (c *coverage) timely(t *testing.T) {
	t.Helper()
	switch {
	case c.worlds >= 3000:
		assert.LessOrEqual(t, c.late, c.asked/500)
	case c.worlds >= 300:
		assert.LessOrEqual(t, c.late, c.asked/50)
	}
}

// least is how often each kind of fault must have happened.
func least(worlds int) int { return worlds / 10 }
