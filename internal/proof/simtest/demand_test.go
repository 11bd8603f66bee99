package simtest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// A demand is how messages come, and who is there for them.
type demand struct {
	shape  shape
	from   time.Duration // of the load
	lasts  time.Duration
	at     []time.Duration // when each message is sent that is not in a burst
	early  int             // messages that are there before the first process: what an outage has left
	late   time.Duration   // when the first process starts, besides up to 3 s
	leaves int             // the process that leaves for good in the middle of it; 0: none
	heavy  bool            // hundreds of messages or more, and handlers that are quick; see weigh
}

// A shape is how a load changes.
type shape string

const (
	inBursts shape = "bursts" // as many messages as a burst has at once, see plan.bursts
	steady   shape = "steady"
	rising   shape = "rising"
	falling  shape = "falling"
	doubling shape = "doubling" // three times as much in its second half
	pulsing  shape = "pulsing"  // all in a tenth of the time
)

// demands draws the demand. Half of the worlds have bursts and nothing else.
func (p *plan) demands() {
	p.demand.shape = inBursts
	r := die(p.seed).named("demand").rand()
	if p.mood.hours {
		return
	}
	if p.demand.heavy {
		p.beHeavy(r)
	}
	if p.demand.heavy || r.Float64() < 0.4 {
		p.demand.shape = oneOf(r, steady, rising, falling, doubling, pulsing)
	}
	if r.Float64() < 0.1 {
		p.demand.early = p.messages/2 + r.IntN(p.messages/2)
		p.demand.late = span(r, 0, p.active/2)
	}
	if p.processes > 1 && r.Float64() < 0.2 {
		p.leave(r)
	}
	p.send(r)
}

// weigh decides whether a world is heavy. Most of those are calm, so that nothing but
// the library itself decides how it keeps up.
func (p *plan) weigh() {
	d := die(p.seed).named("heavy")
	p.demand.heavy = d.under(0.04)
	p.calm = p.calm || p.demand.heavy && d.of(1).under(0.7)
}

// beHeavy makes a world of many messages, and of handlers that are quick enough for them.
func (p *plan) beHeavy(r *rand.Rand) {
	p.messages = 300 + r.IntN(1200)
	p.mood.longest = oneOf(r, time.Millisecond, 5*time.Millisecond, 50*time.Millisecond)
	if p.options.BatchSize > 1 {
		p.options.BatchSize = oneOf(r, 2, 10, 100)
		p.options.BatchBytes = 0
	}
	p.options.Concurrency = 10 + r.IntN(50)
	p.options.Receivers = 4 + r.IntN(16)
}

// leave lets a process that is not the first go for good, and not come back.
func (p *plan) leave(r *rand.Rand) {
	i := 1 + r.IntN(p.processes-1)
	at := span(r, p.active/4, p.active*3/4)
	before := slices.IndexFunc(p.lives[i], func(t turn) bool { return t.at >= at })
	if before >= 0 {
		p.lives[i] = p.lives[i][:before]
	}
	p.demand.leaves = i
	p.lives[i] = append(p.lives[i], turn{at: at, what: left})
}

// left is a stop after which nobody starts the process again.
const left kind = "leaves for good"

// send draws when messages are sent.
func (p *plan) send(r *rand.Rand) {
	d := &p.demand
	if d.shape == inBursts {
		return
	}
	n := p.messages - d.early
	peak := oneOf(r, 5.0, 50, 200, 1000) // messages a second, on the average of the whole load
	d.lasts = min(p.active*3/4, time.Duration(float64(n)/peak*float64(time.Second)))
	d.from = span(r, 0, p.active*9/10-d.lasts)
	for range n {
		d.at = append(d.at, d.from+time.Duration(d.shape.place(r.Float64())*float64(d.lasts)))
	}
	slices.Sort(d.at)
}

// place returns when, in a load from 0 to 1, the given share of its messages has come.
func (s shape) place(share float64) float64 {
	const pulses, duty = 4, 0.1
	switch s {
	case rising:
		return math.Sqrt(share)
	case falling:
		return 1 - math.Sqrt(1-share)
	case doubling:
		if share < 0.25 {
			return 2 * share
		}
		return 0.5 + (share-0.25)/1.5
	case pulsing:
		pulse, within := math.Modf(share * pulses)
		return (pulse + within*duty) / pulses
	default:
		return share
	}
}

// sendLoad sends messages one by one, at their times.
func (w *world) sendLoad(r *rand.Rand, first int) {
	for i, at := range w.demand.at {
		time.Sleep(max(time.Nanosecond, at-time.Since(w.hist.began)))
		w.sendBurst(r, first+i, 1)
	}
}

func (d *demand) String() string {
	return fmt.Sprintf("%s from %v for %v, %d of them early, processes from %v, process %d leaves, heavy %t", d.shape, d.from, d.lasts, d.early, d.late, d.leaves, d.heavy)
}
