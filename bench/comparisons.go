package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/sluice-go/sluice/bench/child"
	"github.com/sluice-go/sluice/bench/server"
)

// A comparison is a table beside that of the nine cells: messages, queues and networks of another kind.
type comparison struct {
	section, title, text string

	variants []variant
	peers    []contender
	stretch  int // its windows are so many times as long as those of the nine cells; 0: once
	columns  []column
	aims     func(all Results, cell, peer string) []aim
}

// A variant is what a comparison measures its peers with.
type variant struct {
	name   string
	cell   Cell
	change func(*Job)  // nil: nothing
	peers  []contender // nil: those of the comparison
}

var (
	// theDefault is the expert's loop on the client that the SDK makes by default.
	theDefault = contender{name: expertDefault, peer: "expert", client: child.SDKClient}
	theCloud   = contender{name: goCloudPeer, peer: goCloudPeer}
	ourHundred = ourBatches(100)
)

// The cells of comparisons that have only one.
var (
	middleCell = Cell{8 * time.Millisecond, 5 * time.Millisecond, 64}
	bodiesCell = Cell{8 * time.Millisecond, 20 * time.Millisecond, 16} // 800 messages a second, so that bodies of 64 KiB do not need all of the processor
	largeCell  = Cell{8 * time.Millisecond, 20 * time.Millisecond, 2}  // 20 MiB are a round of the loop's
)

// comparisons are those of the report, in its order.
func (p Pace) comparisons() []set {
	list := []comparison{tlsComparison(), bodiesComparison(), attributesComparison(), shortComparison(), tailsComparison(), fifoComparison(), consumersComparison(), apartComparison()}
	sets := make([]set, len(list))
	for i, c := range list {
		sets[i] = set{
			section: c.section, title: c.title, text: c.text, columns: c.columns, aims: c.aims,
			jobs: func(_ World, round int) [][]Job { return alone(p.compare(c, round)) },
		}
	}
	return sets
}

// compare is one round of a comparison.
func (p Pace) compare(c comparison, round int) []Job {
	jobs := make([]Job, 0, len(c.variants)*len(c.peers))
	for _, v := range c.variants {
		who := c.peers
		if v.peers != nil {
			who = v.peers
		}
		for _, peer := range rotated(who, round) {
			job := peer.job(c.section, v.name, round, v.cell.C)
			job.Setup.Latency, job.Setup.Depth = v.cell.L, depth
			job.Spec.Handling, job.Spec.Warm, job.Spec.Window = v.cell.H, p.Warm, p.Window*time.Duration(max(1, c.stretch))
			if v.change != nil {
				v.change(&job)
			}
			jobs = append(jobs, job)
		}
	}
	return jobs
}

// The columns that most comparisons have.
func beside(more ...column) []column {
	return append([]column{
		rateColumn, figure("calls/msg", "%.3f", func(r *Record) float64 { return r.per(r.calls("")) }), figure("CPU µs/msg", "%.0f", (*Record).cpu),
	}, more...)
}

// costColumns compare processor time with that of both of the expert's loops.
func costColumns() []column {
	return beside(
		ratio("× default client", theDefault, (*Record).cpu), ratio("× same client", theExpert, (*Record).cpu),
		figure("allocs/msg", "%.1f", (*Record).allocs), figure("RSS MB", "%.0f", (*Record).rss),
	)
}

// events reports whether a row of sluice's has one message at a time.
func events(peer string) bool { return peer == ourEvents.name }

// forOne is one limit for one message at a time, and another for batches.
func forOne(peer string, one, batch float64) float64 {
	if events(peer) {
		return one
	}
	return batch
}

// cheaper are the aims for processor time beside the loops named.
func cheaper(all Results, section, cell, peer, target string, one, batch float64, loops ...contender) []aim {
	aims := make([]aim, len(loops))
	for i, loop := range loops {
		aims[i] = atMost(target, all.paired(section, cell, peer, cell, loop.name, (*Record).cpu), forOne(peer, one, batch), "%.2f ×")
		aims[i].than = loop.name
	}
	return aims
}

func tlsComparison() comparison {
	variants := make([]variant, 0, 9)
	for _, c := range cells() {
		variants = append(variants, variant{name: c.String(), cell: c, change: func(j *Job) {
			j.Setup.TLS = true
			j.Spec.Warm *= 2 // connections take longer to be made
		}})
	}
	return comparison{
		section: "tls", title: "Over TLS",
		text:     "TLS 1.3. The server offers h2 and HTTP/1.1: the SDK's default client speaks h2, sluice's client HTTP/1.1.",
		variants: variants, peers: []contender{ourEvents, ourHundred, theExpert, theDefault},
		columns: append(costColumns(), figure("connections", "%.0f", (*Record).connections)),
		aims: func(all Results, cell, peer string) []aim {
			return append(cheaper(all, "tls", cell, peer, "CPU/msg ≤ 0.50 / 0.42 × the loop's on the SDK's default client", 0.50, 0.42, theDefault),
				atLeast("messages/s not below the loops'", all.best("tls", cell, peer, theExpert, theDefault), 1, "%.2f ×"))
		},
	}
}

func bodiesComparison() comparison {
	with := func(name string, size, messages int, json bool) variant {
		return variant{name: name, cell: bodiesCell, change: func(j *Job) { j.Setup.Size, j.Setup.Depth, j.Setup.JSON = size, messages, json }}
	}
	large := with("1 MiB", 1<<20, 300, false)
	change := large.change
	large.cell, large.change = largeCell, func(j *Job) {
		change(j)
		j.Spec.Warm, j.Spec.Window = 5*j.Spec.Warm, 5*j.Spec.Window // some tens of messages a second
	}
	return comparison{
		section: "bodies", title: "Small and large bodies",
		text: bodiesCell.title() + "; with 1 MiB C 2, and windows are longer. JSON bodies are full of quotes, which the answers of SQS escape; the others are one letter again and again.",
		variants: []variant{
			with("128 B", 128, depth, false), with("4 KiB", 4<<10, 10_000, false), with("4 KiB of JSON", 4<<10, 10_000, true),
			with("64 KiB", 64<<10, 2_000, false), large,
		},
		peers: []contender{ourEvents, ourHundred, theExpert, theDefault}, columns: costColumns(),
		aims: func(all Results, cell, peer string) []aim {
			if cell != "64 KiB" {
				return nil
			}
			return cheaper(all, "bodies", cell, peer, "64 KiB: CPU/msg ≤ 0.40 × the loop's, on both clients", 0.40, 0.40, theExpert, theDefault)
		},
	}
}

func attributesComparison() comparison {
	five := func(j *Job) { j.Setup.Attributes, j.Spec.Attributes = 5, true }
	return comparison{
		section: "attributes", title: "Five message attributes",
		text:     "Each message has five attributes of 16 bytes. The loops ask for them too.",
		variants: []variant{{name: cells()[0].String(), cell: cells()[0], change: five}, {name: middleCell.String(), cell: middleCell, change: five}},
		peers:    []contender{ourEvents, ourHundred, theExpert, theDefault}, columns: costColumns(),
		aims: func(all Results, cell, peer string) []aim {
			return []aim{atMost("≤ 26 allocations/msg with five", all.of("attributes", cell, peer, (*Record).allocs), 26, "%.1f")}
		},
	}
}

func shortComparison() comparison {
	cut := func(least, most int) func(*Job) {
		return func(j *Job) { j.Setup.Answers = []server.Answers{{Least: least, Most: most}} }
	}
	spread := func(servers, messages int) func(*Job) {
		return func(j *Job) { j.Setup.Servers, j.Setup.Depth = servers, messages }
	}
	on := func(name string, change func(*Job)) variant {
		return variant{name: name, cell: middleCell, change: change}
	}
	rivals := []contender{theExpert, theDefault, thePool, theCloud}
	return comparison{
		section: "short", title: "Answers that are cut, and queues on many servers",
		text: middleCell.title() + ". An answer brings a random number of messages, though more are there. Or a backlog lies on S servers, a few messages on each, and an answer brings what one of them has.",
		variants: []variant{
			on("1 to 10", cut(1, 10)),
			on("3 to 10", cut(3, 10)),
			on("S 20 with 200", spread(20, 200)),
			on("S 200 with 1000", spread(200, 1000)),
		},
		peers: append([]contender{ourEvents, ourHundred}, rivals...), stretch: 2,
		columns: beside(ratio("× pool", thePool, (*Record).rate), ratio("× expert", theExpert, (*Record).rate), peakReceives),
		aims: func(all Results, cell, peer string) []aim {
			return []aim{atLeast("messages/s ≥ the best peer's", all.best("short", cell, peer, rivals...), 1, "%.2f ×")}
		},
	}
}

func tailsComparison() comparison {
	slow := func(j *Job) { j.Setup.Tails = true }
	variants := make([]variant, 0, 2*len(latencies))
	for _, l := range latencies {
		cell := Cell{l, middleCell.H, middleCell.C}
		variants = append(variants, variant{name: calmName(cell.String()), cell: cell}, variant{name: cell.String(), cell: cell, change: slow})
	}
	return comparison{
		section: "tails", title: "Calls that are slow at times",
		text:     "2 % of the calls take 500 ms more. The rate is compared with the same consumer's where none do, in the same round.",
		variants: variants, peers: []contender{ourEvents, ourHundred, theExpert, thePool}, stretch: 2,
		columns: beside(column{"of the calm rate", func(all Results, records []*Record) string {
			return textOf(all.calmShare(records[0].Cell, records[0].Peer), "%.2f")
		}}, peakReceives),
		aims: func(all Results, cell, peer string) []aim {
			return []aim{atLeast("≥ 0.90 × the rate without tails", all.calmShare(cell, peer), 0.90, "%.2f")}
		},
	}
}

func calmName(cell string) string { return cell + " without" }

// calmShare is the rate with tails as a share of that without.
func (all Results) calmShare(cell, peer string) sample {
	return all.paired("tails", cell, peer, calmName(cell), peer, (*Record).rate)
}

const standardQueue = "standard"

func fifoComparison() comparison {
	with := func(groups, messages int) variant {
		return variant{name: fmt.Sprintf("%d groups", groups), cell: middleCell, change: func(j *Job) { j.Setup.Groups, j.Setup.Depth = groups, messages }}
	}
	share := func(all Results, cell, peer string) sample {
		return all.paired("fifo", cell, peer, standardQueue, peer, (*Record).rate)
	}
	return comparison{
		section: "fifo", title: "FIFO queues",
		text:     middleCell.title() + ". Messages take turns with their groups. The rate is compared with the same consumer's on a standard queue, in the same round. The loop takes ten messages one after the other, so a group never waits for its delete.",
		variants: []variant{{name: standardQueue, cell: middleCell}, with(10, depth), with(1000, depth), with(100_000, 100_000)},
		peers:    []contender{ourEvents, ourHundred, theExpert},
		columns: beside(column{"of standard", func(all Results, records []*Record) string {
			return textOf(share(all, records[0].Cell, records[0].Peer), "%.2f")
		}}, figure("allocs/msg", "%.1f", (*Record).allocs)),
		aims: func(all Results, cell, peer string) []aim {
			if cell != "1000 groups" {
				return nil
			}
			return []aim{
				atLeast("1,000 groups: ≥ 0.9 × the standard queue's rate", share(all, cell, peer), 0.9, "%.2f"),
				atMost("1,000 groups: ≤ 0.25 calls/msg", all.of("fifo", cell, peer, func(r *Record) float64 { return r.per(r.calls("")) }), 0.25, "%.3f"),
			}
		},
	}
}

func consumersComparison() comparison {
	const n = 4
	each := Cell{middleCell.L, middleCell.H, 16}
	rivals := []contender{theExpert, theDefault, thePool}
	return comparison{
		section: "consumers", title: "Several consumers on one queue",
		text:     fmt.Sprintf("%d consumers, each with a client of its own and as if alone: %s. They share a process and a queue.", n, each.title()),
		variants: []variant{{name: fmt.Sprintf("%d consumers", n), cell: each, change: func(j *Job) { j.Spec.Consumers = n }}},
		peers:    append([]contender{ourEvents, ourHundred}, rivals...), columns: costColumns(),
		aims: func(all Results, cell, peer string) []aim {
			return []aim{atLeast("messages/s not below any peer", all.best("consumers", cell, peer, rivals...), 1, "%.2f ×")}
		},
	}
}

// apartSection has the runs in which server and consumer do not share their cores.
const apartSection = "apart"

// processorBound reports whether handlers are so fast that only the processor bounds the rate.
func processorBound(c Cell, batch int) bool {
	return c.H == 0 || (batch >= 1000 && c.H <= 5*time.Millisecond)
}

func apartComparison() comparison {
	all := []contender{ourEvents, ourBatches(10), ourHundred, ourBatches(1000)}
	var variants []variant
	for _, c := range cells() {
		bound := slices.DeleteFunc(slices.Clone(all), func(p contender) bool { return !processorBound(c, p.batch) })
		if len(bound) > 0 {
			variants = append(variants, variant{name: c.String(), cell: c, change: func(j *Job) { j.Apart = true }, peers: append(bound, theExpert)})
		}
	}
	return comparison{
		section: apartSection, title: "With cores of their own",
		text:     "The server has one half of the cores and the consumer the other, so neither takes the processor from the other. Here are the rows that only the processor bounds. Busy is the share of its cores that each uses.",
		variants: variants,
		columns: beside(
			figure("server µs/msg", "%.0f", (*Record).serverCPU), figure("consumer busy", "%.2f", (*Record).busy),
			figure("server busy", "%.2f", (*Record).serverBusy), figure("of the bound", "%.2f", (*Record).ofBound),
		),
		aims: func(all Results, cell, peer string) []aim {
			return []aim{atLeast("≥ 0.95 × the model's bound", all.of(apartSection, cell, peer, (*Record).ofBound), 0.95, "%.2f")}
		},
	}
}

// best is the rate of a consumer beside that of the fastest of others in the same cell and round.
func (all Results) best(section, cell, peer string, others ...contender) sample {
	var s sample
	for _, r := range all[[3]string{section, cell, peer}] {
		most := 0.0
		for _, o := range others {
			for _, other := range all[[3]string{section, cell, o.name}] {
				if other.Round == r.Round {
					most = max(most, other.rate())
				}
			}
		}
		if most > 0 {
			s = append(s, r.rate()/most)
		}
	}
	return s
}

// textOf is the median of a figure, or a dash if there is none.
func textOf(s sample, format string) string {
	if len(s) == 0 {
		return "–"
	}
	return fmt.Sprintf(format, s.median())
}
