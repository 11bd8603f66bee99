package pace

import "time"

const (
	surely    = 0.25            // share of answers that have waited, so that it is not just slow ones
	believed  = 5 * time.Minute // so long the age of a fresh message is believed
	plausible = 5 * time.Second // two clocks differ by no more, unless something surer says so
)

// ages knows how old a fresh message is when it comes, by two clocks that may differ. A
// message is fresh if it came while a receive waited a second for it; where none does, a
// trial finds it out. Answers that took less, but longer than other calls do, have most
// likely waited too, if they are a quarter of all. But receives may just be slow, and then
// it is a backlog's messages that they bring. So they say at first how old fresh ones are,
// and then only confirm it: what has grown older since is not fresh.
type ages struct {
	fresh     time.Duration // of those that came while a receive waited; until that is known, the least
	spread    time.Duration // how far their ages are from it, on the average
	any       bool          // an age was seen
	known     bool          // fresh is known
	until     time.Time     // that is believed
	last      time.Time     // when it was confirmed last
	confirmed int           // how often it was
	waited    float64       // share of the latest answers
	seen      int           // answers that the share is of
	trial     trial
	epoch     int // of our clock
}

// tolerance is how much older than fresh a message may seem that is fresh.
func (g *ages) tolerance() time.Duration { return 3*g.spread + tick }

// of returns how long a message of the given age had been in the queue, as far as is known.
func (g *ages) of(age time.Duration) time.Duration {
	if g.known {
		age -= g.fresh
	}
	return max(0, age)
}

// note notes the ages of an answer, with so many receivers of those that there may be.
func (g *ages) note(a Answer, took time.Duration, v View, receivers, most int) {
	if a.Epoch != g.epoch {
		*g = ages{epoch: a.Epoch}
	}
	waited := 0.0
	if took > patient*v.Latency {
		waited = 1
	}
	g.seen = min(g.seen+1, 2*several)
	g.waited += (waited - g.waited) / float64(g.seen)
	if g.known && v.Now.After(g.until) {
		g.known, g.trial = false, trial{}
	}
	mostly := g.seen >= several && g.waited >= surely
	alike := a.Youngest-g.fresh <= g.tolerance()+v.Latency
	if !g.known {
		alike = a.Youngest.Abs() < plausible
	}
	switch {
	case waited > 0 && took >= calm:
		g.confirm(a.Youngest, v, true)
	case waited > 0 && mostly && alike:
		g.confirm(a.Youngest, v, false)
	case !g.known && g.trial.ended(a.Youngest, receivers, receivers >= most, v.Latency):
		g.confirm(g.trial.low, v, true)
	}
	if !g.any || a.Youngest < g.fresh-g.tolerance() || !g.known && a.Youngest < g.fresh {
		g.any, g.fresh, g.spread = true, a.Youngest, 0
	}
}

// confirm notes the age of a message that came while a receive waited for it, which is sure
// or nearly so. One that is far off counts little: its answer was slow. What is not sure
// makes the ages lie no further apart than about a round trip, or a backlog that grows old
// would widen what counts as fresh for ever.
func (g *ages) confirm(age time.Duration, v View, sure bool) {
	const slowly, drift = 16, 1000 // clocks drift apart by no more than a thousandth
	if !g.known {
		g.any, g.known, g.fresh, g.spread, g.confirmed = true, true, age, 0, 0
	}
	off := min(age-g.fresh, max(v.Latency, 4*g.spread))
	step := off / slowly
	if g.confirmed++; g.confirmed > slowly {
		step = min(step, v.Now.Sub(g.last)/drift)
	}
	g.fresh += step
	if sure || g.spread < v.Latency {
		g.spread += (off.Abs() - g.spread) / slowly
	}
	g.last, g.until = v.Now, v.Now.Add(believed)
}

// A trial finds out how old fresh messages are where no receive ever waits for any: if
// twice the receivers do not bring younger ones, no older ones are left.
type trial struct {
	before, low time.Duration // ages of the youngest, with fewer receivers and with those that there are now
	from        int           // receivers before
	count       int           // answers that low is of
}

// ended notes the age of the youngest message of an answer, and reports whether it is
// known now that low is that of a fresh one.
func (t *trial) ended(age time.Duration, receivers int, all bool, latency time.Duration) bool {
	const little = 4
	if t.from > 0 && receivers < 2*t.from && !all {
		t.count = 0
		return false
	}
	if t.count++; t.count == 1 || age < t.low {
		t.low = age
	}
	if t.count < max(several, 2*receivers) {
		return false
	}
	if t.from > 0 && t.low >= t.before-latency/little-tick {
		return true
	}
	t.before, t.from, t.count = t.low, receivers, 0
	return false
}
