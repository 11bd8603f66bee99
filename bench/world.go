package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-go/sluice/bench/child"
	"github.com/sluice-go/sluice/bench/server"
)

// A World is how the sets are measured: queues and loads that are like the world's.
type World struct {
	Rounds int
	Scale  float64 // of all durations
}

// of is d, scaled.
func (w World) of(d time.Duration) time.Duration { return time.Duration(float64(d) * w.Scale) }

// A set is a table of the world's report, and what it is made of.
type set struct {
	flag    string // what -set calls it
	section string
	title   string
	text    string
	jobs    func(w World, round int) [][]Job // of one round, in groups that run at the same time
	columns []column
	aims    func(all Results, cell, peer string) []aim
}

// sets of the report, in its order.
func sets() []set {
	return []set{answersSet(), serversSet(), loadsSet(), latencySet(), tricklesSet(), idleSet()}
}

// chosen are the sets that a comma-separated list names; "all": all of them.
func chosen(list string) ([]set, error) {
	var found []set
	for name := range strings.SplitSeq(list, ",") {
		matching := slices.DeleteFunc(sets(), func(s set) bool { return name != "all" && s.flag != name })
		if len(matching) == 0 {
			return nil, fmt.Errorf("-set has %q, want all or some of answers, servers, loads, latency, trickle", name)
		}
		found = append(found, matching...)
	}
	return found, nil
}

// plan is all rounds of some sets. A round of a set ends before the next begins.
func (w World) plan(of []set) [][]Job {
	plan := make([][]Job, 0, w.Rounds*len(of))
	for _, s := range of {
		for round := range w.Rounds {
			plan = append(plan, s.jobs(w, round)...)
		}
	}
	return plan
}

// alone makes a group of each job.
func alone(jobs []Job) [][]Job {
	groups := make([][]Job, len(jobs))
	for i, job := range jobs {
		groups[i] = []Job{job}
	}
	return groups
}

// together makes groups of n jobs at most.
func together(jobs []Job, n int) [][]Job { return slices.Collect(slices.Chunk(jobs, n)) }

// rotated begins with another one each round.
func rotated(list []contender, round int) []contender {
	n := round % len(list)
	return slices.Concat(list[n:], list[:n])
}

// A contender is a consumer as a set measures it.
type contender struct {
	name  string // in the tables
	peer  string
	batch int
	wait  time.Duration

	client string // of [child.Spec]
}

var (
	ourEvents = contender{name: "sluice", peer: "sluice"}
	thePool   = contender{name: "pool", peer: "pool"}
	theExpert = contender{name: "expert", peer: "expert"}
)

func ourBatches(size int) contender {
	return contender{name: fmt.Sprintf("batches of %d", size), peer: "sluice", batch: size}
}

// job is a run of c with so many messages in handlers at once.
func (c contender) job(section, cell string, round, messages int) Job {
	calls := messages
	if c.batch > 0 {
		calls = (messages + c.batch - 1) / c.batch
	}
	return Job{
		Section: section, Cell: cell, Peer: c.name, Round: round,
		Setup: server.Setup{Size: bodySize, Seed: uint64(round) + 1},
		Spec:  child.Spec{Peer: c.peer, Batch: c.batch, Wait: c.wait, Handlers: calls, Client: c.client},
	}
}

// ours reports whether a row is one of sluice's, which has targets.
func ours(peer string) bool { return peer == ourEvents.name || strings.HasPrefix(peer, "batches") }

// answersSet are backlogs whose answers are cut.
func answersSet() set {
	const latency, handling, messages = 8 * time.Millisecond, 5 * time.Millisecond, 64
	sizes := []server.Answers{{Least: 1, Most: 10}, {Least: 3, Most: 10}, {Least: 5, Most: 10}, {Least: 8, Most: 10}, {Least: 1, Most: 1}, {Least: 2, Most: 2}, {Least: 7, Most: 7}}
	contenders := []contender{thePool, theExpert, ourEvents, ourBatches(10), ourBatches(100), ourBatches(1000)}
	jobs := func(w World, round int) [][]Job {
		list := make([]Job, 0, len(sizes)*len(contenders))
		for _, size := range sizes {
			for _, c := range rotated(contenders, round) {
				job := c.job("answers", answersCell(size), round, messages)
				job.Setup.Latency, job.Setup.Depth, job.Setup.Answers = latency, depth, []server.Answers{size}
				job.Spec.Handling, job.Spec.Warm, job.Spec.Window = handling, w.of(2*time.Second), w.of(3*time.Second)
				list = append(list, job)
			}
		}
		return alone(list)
	}
	return set{
		flag: "answers", section: "answers", title: "A backlog whose answers are short",
		text: fmt.Sprintf("Each answer brings a random number of messages, though 30,000 are there. L %d, H %d, C %d. × pool and × expert: messages a second beside theirs in the same round.",
			latency.Milliseconds(), handling.Milliseconds(), messages),
		jobs: jobs,
		columns: []column{
			rateColumn, figure("receives/msg", "%.3f", (*Record).receivesEach), figure("calls/msg", "%.3f", (*Record).callsEach),
			figure("calls allowed", "%.3f", (*Record).callsForAnswers), ratio("× pool", thePool, (*Record).rate),
			ratio("× expert", theExpert, (*Record).rate), peakReceives,
		},
		aims: func(all Results, cell, peer string) []aim {
			return []aim{
				atLeast("messages/s ≥ the pool's", all.paired("answers", cell, peer, cell, thePool.name, (*Record).rate), 1, "%.2f ×"),
				atLeast("messages/s ≥ the expert's loop's", all.paired("answers", cell, peer, cell, theExpert.name, (*Record).rate), 1, "%.2f ×"),
				atMost("calls/msg ≤ 1.05 × (1/(10 × fill) + 0.1)", all.of("answers", cell, peer, func(r *Record) float64 { return r.callsEach() / r.callsForAnswers() }), 1.05, "%.3f ×"),
			}
		},
	}
}

func answersCell(a server.Answers) string {
	if a.Least == a.Most {
		return fmt.Sprintf("always %d", a.Least)
	}
	return fmt.Sprintf("%d to %d", a.Least, a.Most)
}

// callsForAnswers is what a message costs at least: its share of an answer of the mean size, and of a delete of ten.
func (r *Record) callsForAnswers() float64 {
	a := r.Setup.Answers[0]
	return 2/float64(a.Least+a.Most) + 0.1
}

// A spread is a queue that lies on several servers, and what else makes it like the world.
type spread struct {
	name      string
	servers   int
	changing  bool
	tails     bool
	consumers int
	least     time.Duration // of the window
}

// serversSet are queues on many servers, with a steady load.
func serversSet() set {
	const latency, handling, messages, turn = 8 * time.Millisecond, 5 * time.Millisecond, 64, 10 * time.Second
	spreads := []spread{
		{name: "S 5", servers: 5},
		{name: "S 20", servers: 20},
		{name: "S 200", servers: 200},
		{name: "S 20 answers change", servers: 20, changing: true, least: 3 * turn},
		{name: "S 20 tails", servers: 20, tails: true, least: 10 * time.Second},
		{name: "S 20 three consumers", servers: 20, consumers: 3},
	}
	changes := []server.Answers{{Least: 10, Most: 10}, {Least: 1, Most: 3}, {Least: 1, Most: 10}} // full, few, anything
	loads := []struct {
		rate   float64
		window time.Duration
	}{{50, 20 * time.Second}, {500, 8 * time.Second}, {3000, 5 * time.Second}}
	contenders := []contender{thePool, ourEvents}
	jobs := func(w World, round int) [][]Job {
		var groups [][]Job
		for _, s := range spreads {
			for _, load := range loads {
				list := make([]Job, 0, len(contenders))
				for _, c := range rotated(contenders, round) {
					job := c.job("servers", fmt.Sprintf("%s at %.0f/s", s.name, load.rate), round, messages)
					job.Setup.Latency, job.Setup.Rate, job.Setup.Servers, job.Setup.Tails = latency, load.rate, s.servers, s.tails
					if s.changing {
						job.Setup.Answers, job.Setup.Turn = changes, w.of(turn)
					}
					job.Spec.Handling, job.Spec.Stamped, job.Spec.Early, job.Spec.Consumers = handling, true, true, s.consumers
					job.Spec.Warm, job.Spec.Window = w.of(3*time.Second), w.of(max(load.window, s.least))
					list = append(list, job)
				}
				if load.rate < 100 { // they hardly take any of the processor
					groups = append(groups, list)
					continue
				}
				groups = append(groups, alone(list)...)
			}
		}
		return groups
	}
	return set{
		flag: "servers", section: "servers", title: "A steady load on a queue that lies on S servers",
		text: fmt.Sprintf("Messages come at random (Poisson) intervals; an answer brings what one of the servers has. L %d, H %d, C %d. From send to handler in ms. Answers that change are of ten, then of 1 to 3, then of 1 to 10, ten seconds each. With tails 2 %% of the calls take 500 ms more.",
			latency.Milliseconds(), handling.Milliseconds(), messages),
		jobs: jobs,
		columns: []column{
			figure("p50 ms", "%.1f", toStart(0.5)), figure("p99 ms", "%.1f", toStart(0.99)), rateColumn,
			figure("receives/msg", "%.3f", (*Record).receivesEach), figure("calls/msg", "%.3f", (*Record).callsEach), peakReceives,
		},
		aims: func(all Results, cell, peer string) []aim {
			return []aim{
				atMost("p50 from send to handler ≤ the pool's + 1 ms", all.further("servers", cell, peer, thePool.name, toStart(0.5)), 1, "%+.1f ms"),
				atMost("p99 from send to handler ≤ 1.2 × the pool's", all.paired("servers", cell, peer, cell, thePool.name, toStart(0.99)), 1.2, "%.2f ×"),
				atMost("calls/msg ≤ the pool's", all.paired("servers", cell, peer, cell, thePool.name, (*Record).callsEach), 1, "%.2f ×"),
			}
		},
	}
}

// A load is what is sent, phase by phase.
type load struct {
	name    string
	latency time.Duration
	phases  []server.Phase
	leaves  int // phase after which the second of two consumers leaves; 0: there is one consumer
	crowd   int // consumers that are measured at the same time
}

// under puts a job under the load, until its last phase has said what it left.
func (l load) under(w World, job *Job) {
	const saying = time.Second / 2
	job.Setup.Latency, job.Spec.Stamped = l.latency, true
	for i, p := range l.phases {
		p.For = w.of(p.For)
		job.Setup.Load = append(job.Setup.Load, p)
		job.Spec.Window += p.For
		if i+1 == l.leaves {
			job.Spec.Consumers, job.Spec.Leaves = 2, job.Spec.Window
		}
	}
	job.Spec.Window += saying
}

// loads of the set of that name. Those that take much of the processor have smaller crowds.
func loads() []load {
	const near, far, short, long = 20 * time.Millisecond, 50 * time.Millisecond, 15 * time.Second, 20 * time.Second
	return []load{
		{"steady 600/s", near, []server.Phase{{For: long, Rate: 600}}, 0, 8},
		{"300 then 600 then 300/s", near, []server.Phase{{For: short, Rate: 300}, {For: long, Rate: 600}, {For: short, Rate: 300}}, 0, 8},
		{"500 then 1000/s", near, []server.Phase{{For: short, Rate: 500}, {For: long, Rate: 1000}}, 0, 8},
		{"1000 then 2000/s at L 50", far, []server.Phase{{For: short, Rate: 1000}, {For: long, Rate: 2000}}, 0, 4},
		{"600/s then 20000 at once", near, []server.Phase{{For: short, Rate: 600}, {For: long, Rate: 600, Burst: 20_000}}, 0, 4},
		{"600/s and one of two leaves", near, []server.Phase{{For: short, Rate: 600}, {For: long, Rate: 600}}, 1, 8},
		{"600/s and an outage", near, []server.Phase{{For: short, Rate: 600}, {For: short, Rate: 600, Down: true}, {For: long, Rate: 600}}, 0, 4},
	}
}

// loadsSet are loads that change.
func loadsSet() set {
	const messages = 10 // at once: the handlers return immediately
	contenders := append(make([]contender, 0, 8), thePool, ourEvents)
	for _, size := range []int{10, 100, 1000} {
		for _, wait := range []time.Duration{time.Second, 10 * time.Second} {
			c := ourBatches(size)
			c.name, c.wait = fmt.Sprintf("%s in %.0f s", c.name, wait.Seconds()), wait
			contenders = append(contenders, c)
		}
	}
	jobs := func(w World, round int) [][]Job {
		groups := make([][]Job, 0, 2*len(loads()))
		for _, l := range loads() {
			list := make([]Job, 0, len(contenders))
			for _, c := range rotated(contenders, round) {
				job := c.job("loads", l.name, round, messages)
				job.Spec.Handlers = messages // calls, also of batches
				l.under(w, &job)
				list = append(list, job)
			}
			groups = append(groups, together(list, l.crowd)...)
		}
		return groups
	}
	return set{
		flag: "loads", section: "loads", title: "Loads that rise, fall and burst",
		text: "Messages come at random (Poisson) intervals, phase by phase; handlers return at once. L 20 where nothing else is said, C 10. Left are the messages that could be received at the end of each phase, in the worst round; the end of an outage is not judged. From send to handler in ms, with the wait for the batch.",
		jobs: jobs,
		columns: []column{
			{"left", leftText},
			rateColumn, figure("calls/msg", "%.3f", (*Record).callsEach),
			figure("p50 ms", "%.0f", toStart(0.5)), figure("p99 ms", "%.0f", toStart(0.99)), peakReceives,
		},
		aims: func(all Results, cell, peer string) []aim {
			return []aim{atMost("≤ 200 messages left at the end of each phase", all.of("loads", cell, peer, (*Record).mostLeft).worst(), 200, "%.0f")}
		},
	}
}

// mostLeft is how many messages were left at the end of a phase, at most. An outage leaves what it likes.
func (r *Record) mostLeft() float64 {
	most := 0
	for i, n := range r.Result.After.Left {
		if i < len(r.Setup.Load) && !r.Setup.Load[i].Down {
			most = max(most, n)
		}
	}
	return float64(most)
}

// leftText are the messages left at the ends of phases, the most of all rounds.
func leftText(_ Results, records []*Record) string {
	var most []int
	for _, r := range records {
		for i, n := range r.Result.After.Left {
			if i == len(most) {
				most = append(most, n)
			}
			most[i] = max(most[i], n)
		}
	}
	parts := make([]string, len(most))
	for i, n := range most {
		parts[i] = thousands(float64(n))
	}
	return strings.Join(parts, " · ")
}

// latencySet are backlogs behind a network that varies, and with answers that are empty.
func latencySet() set {
	const latency, handling, messages = 50 * time.Millisecond, 5 * time.Millisecond, 64
	contenders := []contender{thePool, ourEvents, ourBatches(100)}
	cells := []struct {
		name  string
		setup server.Setup
	}{
		{"no variation", server.Setup{}},
		{"sigma 0.2", server.Setup{Sigma: 0.2}},
		{"sigma 0.4", server.Setup{Sigma: 0.4}},
		{"sigma 0.8", server.Setup{Sigma: 0.8}},
		{"tails", server.Setup{Tails: true}},
		{"1 % empty", server.Setup{Empty: 0.01}},
		{"10 % empty", server.Setup{Empty: 0.1}},
	}
	jobs := func(w World, round int) [][]Job {
		list := make([]Job, 0, len(cells)*len(contenders))
		for _, cell := range cells {
			for _, c := range rotated(contenders, round) {
				job := c.job("latency", cell.name, round, messages)
				job.Setup.Sigma, job.Setup.Tails, job.Setup.Empty = cell.setup.Sigma, cell.setup.Tails, cell.setup.Empty
				job.Setup.Latency, job.Setup.Depth = latency, depth
				job.Spec.Handling, job.Spec.Warm, job.Spec.Window = handling, w.of(4*time.Second), w.of(4*time.Second)
				list = append(list, job)
			}
		}
		return alone(list)
	}
	return set{
		flag: "latency", section: "latency", title: "A backlog behind a network that varies, and with empty answers",
		text: fmt.Sprintf("Latencies have a median of %d ms and are lognormal with that sigma, or 2 %% of them are 500 ms longer. Could bring: so many messages a second %d receivers could bring, given the latencies that were drawn and the share of answers that are empty; the pool has %d. H %d, C %d.",
			latency.Milliseconds(), receivers, poolReceivers, handling.Milliseconds(), messages),
		jobs: jobs,
		columns: []column{
			rateColumn, figure("could bring", "%.0f", (*Record).couldBring), figure("of it", "%.2f", (*Record).brought),
			figure("calls/msg", "%.3f", (*Record).callsEach), peakReceives,
		},
		aims: func(all Results, cell, peer string) []aim {
			return []aim{atLeast("≥ 0.9 × what the receivers could bring", all.of("latency", cell, peer, (*Record).brought), 0.9, "%.2f ×")}
		},
	}
}

// couldBring is how many messages a second the receivers could bring, with full answers but for the empty ones.
func (r *Record) couldBring() float64 {
	n := receivers
	if r.Spec.Peer == thePool.peer {
		n = poolReceivers
	}
	if r.calls("ReceiveMessage") == 0 {
		return 0
	}
	mean := (r.Result.After.ReceiveTime - r.Result.Before.ReceiveTime).Seconds() / r.calls("ReceiveMessage")
	return float64(10*n) * (1 - r.Setup.Empty) / mean
}

// brought is the share of that which came.
func (r *Record) brought() float64 {
	if r.couldBring() == 0 {
		return 0
	}
	return r.rate() / r.couldBring()
}

// tricklesSet are trickles into batches.
func tricklesSet() set {
	const latency, wait, size, calls = 8 * time.Millisecond, 5 * time.Second, 100, 10
	jobs := func(w World, round int) [][]Job {
		rates := []float64{15, 40, 90}
		list := make([]Job, 0, len(rates))
		for _, rate := range rates {
			c := ourBatches(size)
			c.wait = wait
			job := c.job("trickles", fmt.Sprintf("%.0f/s", rate), round, 1)
			job.Setup.Latency, job.Setup.Rate = latency, rate
			job.Spec.Handlers, job.Spec.Stamped, job.Spec.Early = calls, true, true
			job.Spec.Warm, job.Spec.Window = w.of(10*time.Second), w.of(40*time.Second)
			list = append(list, job)
		}
		return [][]Job{list} // they take next to nothing of the processor
	}
	return set{
		flag: "trickle", section: "trickles", title: "Trickles into batches of 100",
		text: fmt.Sprintf("Messages come at random (Poisson) intervals; WaitTime %.0f s, L %d. From send to handler in ms, with the wait for the batch: a message may be left in the queue for half of WaitTime, and its batch may wait for all of it.",
			wait.Seconds(), latency.Milliseconds()),
		jobs: jobs,
		columns: []column{
			figure("receives/msg", "%.3f", (*Record).receivesEach), figure("calls/msg", "%.3f", (*Record).callsEach),
			figure("p50 ms", "%.0f", toStart(0.5)), figure("p99 ms", "%.0f", toStart(0.99)),
		},
		aims: func(all Results, cell, peer string) []aim {
			return []aim{
				atMost("≤ 0.25 calls/msg", all.of("trickles", cell, peer, (*Record).callsEach), 0.25, "%.3f"),
				atMost("p99 from send to handler ≤ 1.5 × WaitTime", all.of("trickles", cell, peer, toStart(0.99)), 1.5*milliseconds(wait), "%.0f ms"),
			}
		},
	}
}

// idleSet are queues with nothing in them.
func idleSet() set {
	contenders := []contender{thePool, ourEvents, ourBatches(100)}
	jobs := func(w World, round int) [][]Job {
		list := make([]Job, 0, len(contenders))
		for _, c := range contenders {
			job := c.job("idle", "idle", round, 64)
			job.Setup.Latency = 8 * time.Millisecond
			job.Spec.Window = max(20*time.Second, w.of(40*time.Second)) // a poll takes 20 s
			list = append(list, job)
		}
		return [][]Job{list}
	}
	return set{
		flag: "trickle", section: "idle", title: "An idle queue",
		text:    "Nothing is sent. L 8.",
		jobs:    jobs,
		columns: []column{figure("receives in 20 s", "%.2f", (*Record).idleReceives)},
		aims: func(all Results, cell, peer string) []aim {
			return []aim{atMost("1 receive in 20 s", all.of("idle", cell, peer, (*Record).idleReceives), 1.01, "%.2f")}
		},
	}
}
