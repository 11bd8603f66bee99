package simtest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/sluice-go/sluice/sqstest"
)

// A nature is what SQS and the network are like in a world when nothing is wrong. The
// zero nature is a single server that answers with all it has, up to ten messages, over
// a network whose ways take from half a millisecond up to the plan's latency.
type nature struct {
	servers  int     // that the queue lies on; 0: one
	disorder int     // later messages that may overtake one
	sizes    []sizes // of answers, one after another, each for a phase; none: all there is
	empty    float64 // share of receives that are answered with nothing, whatever is there

	median time.Duration // of a way, whose times are lognormal; 0: evenly spread, see above
	sigma  float64       // of its logarithm
	tails  float64       // share of ways that take longer, by up to tail
	tail   time.Duration
	pulls  []float64 // factors of the latency, one after another, each for a phase; none: 1

	receives int // times as long as those of other calls are the ways of a receive; 0: as long

	heavy time.Duration // that a large answer goes on arriving, where there are bytes; 0: it is there at once
}

// large is how many bytes a large answer has: ten messages of most worlds have about as many.
const large = 10_000

// phase is how long a distribution lasts where it changes.
const phase = 10 * time.Second

// sizes are from least to most, evenly.
type sizes struct{ least, most int }

// natures draws the nature of a world. Six in ten have one that differs from the zero
// nature, in calm worlds too: none of it is a fault.
func (p *plan) natures() {
	r := die(p.seed).named("nature").rand()
	if r.Float64() >= 0.6 && !p.demand.heavy {
		return
	}
	n := &p.nature
	if r.Float64() < 0.5 {
		n.servers = oneOf(r, 2, 5, 20, 200)
	}
	if r.Float64() < 0.4 {
		n.sizes = someSizes(r)
	}
	if r.Float64() < 0.2 {
		n.empty = oneOf(r, 0.01, 0.1)
	}
	if r.Float64() < 0.4 {
		n.disorder = oneOf(r, 3, 30)
	}
	if r.Float64() < 0.7 {
		n.latency(r)
	}
}

// slowReceives draws whether receives take longer than other calls. They do in one world of
// five, unless calls are slow there anyway.
func (p *plan) slowReceives() {
	const slow = 200 * time.Millisecond
	r := die(p.seed).named("receives").rand()
	if r.Float64() < 0.2 && p.roundTrip() <= slow {
		p.nature.receives = oneOf(r, 2, 3, 5)
	}
}

// slowLinks draws whether large answers take long to arrive. They do in one world of five,
// unless calls are slow there anyway, and for no longer than a first one can that has waited.
func (p *plan) slowLinks() {
	const slow = 200 * time.Millisecond
	r := die(p.seed).named("links").rand()
	if r.Float64() < 0.2 && p.roundTrip() <= slow {
		p.nature.heavy = min(oneOf(r, 300*time.Millisecond, time.Second, 3*time.Second), p.options.VisibilityTimeout/5)
	}
}

// arriving is how long an answer of so many bytes goes on arriving.
func (n *nature) arriving(bytes int64) time.Duration {
	return time.Duration(float64(n.heavy) * min(1, float64(bytes)/large))
}

// someSizes draws how large answers are: always the same, or up to ten; one in three
// changes.
func someSizes(r *rand.Rand) []sizes {
	one := func() sizes {
		return oneOf(r, sizes{1, 1}, sizes{2, 2}, sizes{7, 7}, sizes{1, 3}, sizes{1, 10}, sizes{3, 10}, sizes{5, 10}, sizes{8, 10})
	}
	if r.Float64() < 0.67 {
		return []sizes{one()}
	}
	return []sizes{one(), {10, 10}, one(), one()}
}

func (n *nature) latency(r *rand.Rand) {
	n.median = oneOf(r, time.Millisecond, 4*time.Millisecond, 10*time.Millisecond, 40*time.Millisecond)
	n.sigma = oneOf(r, 0.2, 0.4, 0.8)
	if r.Float64() < 0.3 {
		n.tails, n.tail = oneOf(r, 0.005, 0.02), oneOf(r, 100*time.Millisecond, 500*time.Millisecond)
	}
	if r.Float64() < 0.2 {
		n.pulls = []float64{1, 0.5, 3, 1, 2}
	}
}

// serverOptions are what the nature asks of the embedded queue. The latency is the
// wire's, since what chance decides there belongs to a call, and not to who is first.
func (w *world) serverOptions() []sqstest.Option {
	n := &w.nature
	options := []sqstest.Option{sqstest.Seed(w.seed), sqstest.Servers(n.servers), sqstest.Disorder(n.disorder)}
	if n.sizes == nil && n.empty == 0 {
		return options
	}
	return append(options, sqstest.AnswerSize(func(r *rand.Rand) int {
		if r.Float64() < n.empty {
			w.hist.add(event{kind: hollow})
			return 0
		}
		if n.sizes == nil {
			return 10
		}
		now := n.sizes[w.phase()%len(n.sizes)]
		return now.least + r.IntN(now.most-now.least+1)
	}))
}

// phase numbers the phases of a world.
func (w *world) phase() int { return int(time.Since(w.hist.began) / phase) }

// way is how long a request or an answer of a call travels.
func (w *world) way(d die, op string) time.Duration {
	way := w.plainWay(d)
	if op == opReceive {
		way *= time.Duration(max(1, w.nature.receives))
	}
	return way
}

func (w *world) plainWay(d die) time.Duration {
	const least = 500 * time.Microsecond
	n := &w.nature
	if n.median == 0 {
		return d.between(least, w.latency)
	}
	way := time.Duration(float64(n.median) * math.Exp(n.sigma*d.of(1).normal()))
	if n.pulls != nil {
		way = time.Duration(float64(way) * n.pulls[w.phase()%len(n.pulls)])
	}
	if d.of(2).under(n.tails) {
		way += d.of(3).between(n.tail/2, n.tail)
	}
	return least + way
}

// normal returns a number that is normally distributed.
func (d die) normal() float64 {
	return math.Sqrt(-2*math.Log(1-d.of(1).float())) * math.Cos(2*math.Pi*d.of(2).float())
}

// roundTrip is how long a call takes, there and back, that is slower than all but a few.
// Tails belong to the few where less than one call in a hundred has one.
func (p *plan) roundTrip() time.Duration {
	return p.plainTrip() * time.Duration(max(1, p.nature.receives))
}

func (p *plan) plainTrip() time.Duration {
	const z = 2.6 // standard deviations: one way in 200 takes longer
	n := &p.nature
	if n.median == 0 {
		return 2 * p.latency
	}
	slow := float64(n.median) * math.Exp(z*n.sigma)
	for _, factor := range n.pulls {
		slow = max(slow, float64(n.median)*math.Exp(z*n.sigma)*factor)
	}
	trip := 2*time.Duration(slow) + time.Millisecond
	if 2*n.tails > 0.01 {
		trip += n.tail
	}
	return trip
}

// roundTrip is the same of a world: with the time that a large answer goes on arriving.
func (w *world) roundTrip() time.Duration {
	if w.level == atSeam {
		return w.plan.roundTrip()
	}
	return w.plan.roundTrip() + w.nature.heavy
}

// plain reports whether answers bring all there is, up to ten messages.
func (n *nature) plain() bool { return n.servers == 0 && n.sizes == nil && n.empty == 0 }

func (n *nature) String() string {
	return fmt.Sprintf("%d servers, disorder %d, answers %v, empty %v; ways lognormal %v %v, tails %v %v, times %v, receives times %d, large answers %v",
		n.servers, n.disorder, n.sizes, n.empty, n.median, n.sigma, n.tails, n.tail, n.pulls, n.receives, n.heavy)
}
