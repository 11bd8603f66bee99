package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/sluice-go/sluice/bench/server"
)

// Sluice's defaults, which its runs have.
const (
	receivers = 46
	senders   = 46 // of deletes
)

// A Verdict reports whether a target is met.
type Verdict struct {
	Target string
	Met    bool
	Figure string
	None   bool // nothing was measured
}

func (v Verdict) String() string { return fmt.Sprintf("%-8s %s: %s", v.word(), v.Target, v.Figure) }

func (v Verdict) word() string {
	switch {
	case v.None:
		return "no data"
	case v.Met:
		return "met"
	default:
		return "not met"
	}
}

// targets writes the verdicts as a table.
func (p *page) targets(verdicts []Verdict) {
	p.linef("## Targets\n")
	p.linef("Two limits, such as 0.45 / 0.38, are for one message at a time and for batches of 100.\n")
	p.linef("| target | | figures | for a user |\n| --- | --- | --- | --- |")
	for _, v := range verdicts {
		word := v.word()
		if word == "not met" {
			word = "**not met**"
		}
		p.linef("| %s | %s | %s | %s |", v.Target, word, v.Figure, meaning(v.Target))
	}
	p.linef("")
}

// targets are what the project has set itself.
func targets(all Results) []Verdict {
	verdicts := slices.Concat(all.busyTargets(sectionCells), all.busyTargets(sectionBatches), all.costTargets(), all.memoryTargets(sectionCells), all.memoryTargets(sectionBatches))
	for _, s := range fullPace.comparisons() {
		verdicts = append(verdicts, s.verdicts(all)...)
	}
	return slices.Concat(verdicts, all.lockTargets(), all.faultTargets(), all.quietTargets(), all.leaseTargets())
}

// leaseTargets is what it may cost to hold messages.
func (all Results) leaseTargets() []Verdict {
	keep := check{target: "100,000 leases: ≤ 5 % of a core"}
	keep.atMost("", all.of(sectionLeases, "leases", leaseKeeper, (*Record).leaseCost), 5, "%.1f %%")
	return []Verdict{keep.verdict()}
}

// leaseCost is the processor time that it takes to keep 100,000 leases, in percent of a core. The messages
// that were held are those in flight.
func (r *Record) leaseCost() float64 {
	held := float64(r.Result.After.PeakInFlight)
	return 100 * r.Result.CPU.Seconds() / r.window().Seconds() * 100_000 / held
}

// A check is one target, looked at in several places.
type check struct {
	target string
	missed []string
	worst  string
	by     float64 // how far the worst is from the limit, as a share; largest
	looked int     // at so many places
}

// atMost notes that a figure, or a ratio, is to be at most limit.
func (c *check) atMost(where string, s sample, limit float64, format string) {
	if len(s) == 0 {
		return
	}
	v := s.median()
	c.note(where, v <= limit, v/limit, fmt.Sprintf(format+" of at most "+format, v, limit))
}

// atLeast notes that a figure is to be at least limit.
func (c *check) atLeast(where string, s sample, limit float64, format string) {
	if len(s) == 0 {
		return
	}
	v := s.median()
	c.note(where, v >= limit, limit/math.Max(v, 1e-9), fmt.Sprintf(format+" of at least "+format, v, limit))
}

func (c *check) note(where string, met bool, by float64, figure string) {
	figure = where + " " + figure
	if !met {
		c.missed = append(c.missed, figure)
	}
	if c.looked == 0 || by > c.by {
		c.worst, c.by = figure, by
	}
	c.looked++
}

func (c *check) verdict() Verdict {
	const few = 4 // misses that are named one by one; the tables have all
	v := Verdict{Target: c.target, Met: len(c.missed) == 0, None: c.looked == 0, Figure: "the nearest: " + c.worst}
	switch {
	case v.None:
		v.Figure = "nothing was measured"
	case len(c.missed) > few:
		v.Figure = fmt.Sprintf("missed in %d of %d places, most of all %s", len(c.missed), c.looked, c.worst)
	case !v.Met:
		v.Figure = strings.Join(c.missed, "; ")
	}
	return v
}

// bound is what the model allows a run: handlers, receivers, and the processor. A consumer shares the
// cores with the server, or each has its own.
func (r *Record) bound() float64 {
	bound := float64(r.cores()) * 1e6 / (r.cpu() + r.serverCPU())
	if r.Apart {
		bound = min(float64(r.cores())*1e6/r.cpu(), float64(max(1, r.Result.After.Cores))*1e6/r.serverCPU())
	}
	if r.Result.Handling > 0 {
		bound = min(bound, float64(r.Spec.Handlers*max(1, r.Spec.Batch))/r.Result.Handling.Seconds())
	}
	return min(bound, float64(10*r.Result.After.PeakReceives)/r.Result.Latency.Seconds())
}

// ofBound is the share of the bound that was reached.
func (r *Record) ofBound() float64 { return r.rate() / r.bound() }

// busyTargets are those of the main table.
func (all Results) busyTargets(section string) []Verdict {
	suffix := suffixOf(section)
	t := busyChecks{
		model:  check{target: "≥ 0.95 × the model's bound, where handlers or receivers are the bound" + suffix},
		best:   check{target: "not below any peer" + suffix},
		calls:  check{target: "≤ 0.205 calls/msg, ≤ 0.21 at C 256" + suffix},
		flight: check{target: "in flight ≤ C + 10 × receivers + 10 × senders" + suffix},
		dials:  check{target: "≤ receivers + senders + 2 connections" + suffix},
	}
	for _, c := range cells() {
		for _, peer := range all.ours(section) {
			t.look(all, section, c, peer)
		}
	}
	return []Verdict{t.model.verdict(), t.best.verdict(), t.calls.verdict(), t.flight.verdict(), t.dials.verdict()}
}

// busyChecks are the targets of the main table.
type busyChecks struct{ model, best, calls, flight, dials check }

// look looks at one field of the main table.
func (t *busyChecks) look(all Results, section string, c Cell, peer string) {
	cell, where := c.String(), whereOf(c, section, peer)
	of := func(figure func(*Record) float64) sample { return all.of(section, cell, peer, figure) }
	if !processorBound(c, all.batchOf(section, cell, peer)) { // else it is the processor that both share: apartComparison has those
		t.model.atLeast(where, of((*Record).ofBound), 0.95, "%.2f")
	}
	for _, other := range all.peers(sectionCells) {
		if other != "sluice" {
			t.best.atLeast(where+" "+other, all.against(section, cell, peer, other, (*Record).rate), 1, "%.2f ×")
		}
	}
	most := 0.205
	if c.C == 256 {
		most = 0.21
	}
	t.calls.atMost(where, of(func(r *Record) float64 { return r.per(r.calls("")) }), most, "%.3f")
	t.flight.atMost(where, of((*Record).overHeld), 1, "%.2f ×")
	t.dials.atMost(where, of((*Record).connections), receivers+senders+2, "%.0f")
}

// batchOf is the size of the batches of a row.
func (all Results) batchOf(section, cell, peer string) int {
	if records := all[[3]string{section, cell, peer}]; len(records) > 0 {
		return records[0].Spec.Batch
	}
	return 0
}

// overHeld is the peak of messages in flight as a share of what is allowed. Of batches, one more may be filling.
func (r *Record) overHeld() float64 {
	allowed := r.Spec.Handlers*max(1, r.Spec.Batch) + 10*receivers + 10*senders
	if r.Spec.Batch > 1 {
		allowed += r.Spec.Batch
	}
	return float64(r.Result.After.PeakInFlight) / float64(allowed)
}

// against is the ratio of a figure to that of a peer in the same cell and round of the main table.
func (all Results) against(section, cell, peer, other string, figure func(*Record) float64) sample {
	var s sample
	for _, r := range all[[3]string{section, cell, peer}] {
		for _, o := range all[[3]string{sectionCells, cell, other}] {
			if o.Round == r.Round && figure(o) != 0 {
				s = append(s, figure(r)/figure(o))
			}
		}
	}
	return s
}

// costTargets are those of processor time and allocations, for one message at a time and for batches of 100.
func (all Results) costTargets() []Verdict {
	byHand := check{target: "CPU/msg ≤ 0.45 / 0.38 × the expert's loop on the SDK's default client"}
	bound := check{target: "H 0: CPU/msg ≤ 0.45 / 0.40 × the expert's loop on the same client"}
	waiting := check{target: "H 5 and 50: CPU/msg ≤ 0.70 / 0.50 × the expert's loop on the same client"}
	allocs := check{target: "≤ 14 / 12 allocations/msg"}
	for _, c := range cells() {
		for _, own := range []struct{ section, peer string }{{sectionCells, ourEvents.name}, {sectionBatches, ourHundred.name}} {
			cell, where := c.String(), whereOf(c, own.section, own.peer)
			beside := func(loop string) sample { return all.against(own.section, cell, own.peer, loop, (*Record).cpu) }
			byHand.atMost(where, beside(expertDefault), forOne(own.peer, 0.45, 0.38), "%.2f")
			if c.H == 0 {
				bound.atMost(where, beside("expert"), forOne(own.peer, 0.45, 0.40), "%.2f")
			} else {
				waiting.atMost(where, beside("expert"), forOne(own.peer, 0.70, 0.50), "%.2f")
			}
			allocs.atMost(where, all.of(own.section, cell, own.peer, (*Record).allocs), forOne(own.peer, 14, 12), "%.1f")
		}
	}
	return []Verdict{byHand.verdict(), bound.verdict(), waiting.verdict(), allocs.verdict()}
}

// memoryTargets is what a process may need.
func (all Results) memoryTargets(section string) []Verdict {
	rss := check{target: "RSS ≤ 25 MB" + suffixOf(section)}
	for _, c := range cells() {
		for _, peer := range all.ours(section) {
			rss.atMost(whereOf(c, section, peer), all.of(section, c.String(), peer, (*Record).rss), 25, "%.1f")
		}
	}
	return []Verdict{rss.verdict()}
}

// lockTargets is how long goroutines may wait for mutexes, all of the process: those of the client and the runtime too.
func (all Results) lockTargets() []Verdict {
	locks := check{target: "waiting for mutexes at C 256: ≤ 1 % of a core"}
	for _, c := range cells() {
		if c.C != 256 {
			continue
		}
		for _, section := range []string{sectionCells, sectionBatches} {
			for _, peer := range all.ours(section) {
				locks.atMost(whereOf(c, section, peer), all.blocked(section, c.String(), peer), 1, "%.2f %%")
			}
		}
	}
	return []Verdict{locks.verdict()}
}

// ours are sluice's runs of a section of the main table.
func (all Results) ours(section string) []string {
	return slices.DeleteFunc(all.peers(section), func(peer string) bool { return section == sectionCells && peer != "sluice" })
}

// suffixOf tells targets of batches from those of messages one at a time.
func suffixOf(section string) string {
	if section == sectionBatches {
		return " (batches)"
	}
	return ""
}

// whereOf names a field of the main table.
func whereOf(c Cell, section, peer string) string {
	if section == sectionBatches {
		return c.title() + ", " + peer + ":"
	}
	return c.title() + ":"
}

// noFault is the cell of the runs that faults are compared with.
const noFault = "no fault"

// faultTargets are what faults may cost.
func (all Results) faultTargets() []Verdict {
	failing := check{target: "2 % HTTP 500: ≥ 95 % of the faultless rate"}
	throttled := check{target: "2 % throttled: ≥ 90 %"}
	share := func(fault string) sample {
		return all.paired(sectionFaults, fault, "sluice", noFault, "sluice", (*Record).rate)
	}
	failing.atLeast(faultCell.title()+":", share(server.Errors), 0.95, "%.3f")
	throttled.atLeast(faultCell.title()+":", share(server.Throttle), 0.90, "%.3f")
	return []Verdict{failing.verdict(), throttled.verdict()}
}

// quietTargets are those of little load.
func (all Results) quietTargets() []Verdict {
	idle := check{target: "idle: 1 receive in 20 s"}
	idle.atMost("L 8:", all.of(sectionIdle, "idle", "sluice", (*Record).idleReceives), 1.01, "%.2f")
	p50 := check{target: "trickle, send to handler: p50 ≤ L + 2 ms"}
	p99 := check{target: "trickle, send to handler: p99 ≤ L + 3.5 ms"}
	for _, l := range latencies {
		cell := fmt.Sprintf("L%d", l.Milliseconds())
		p50.atMost(cell+":", all.of(sectionTrickle, cell, "sluice", toStart(0.5)), milliseconds(l)+2, "%.1f ms")
		p99.atMost(cell+":", all.of(sectionTrickle, cell, "sluice", toStart(0.99)), milliseconds(l)+3.5, "%.1f ms")
	}
	linger := check{target: "40 to 90 messages/s, 200 ms of delete linger: ≤ 0.12 deletes/msg"}
	for _, cell := range []string{"40/s", "90/s"} {
		linger.atMost(cell+":", all.of(sectionLinger, cell, "sluice, linger 200 ms", func(r *Record) float64 { return r.per(r.deletes()) }), 0.12, "%.3f")
	}
	return []Verdict{idle.verdict(), p50.verdict(), p99.verdict(), linger.verdict()}
}
