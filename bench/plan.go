package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-go/sluice/bench/child"
	"github.com/sluice-go/sluice/bench/server"
)

// bodySize is that of all messages, in bytes.
const bodySize = 512

// depth is how many messages the queue of a busy run always has.
const depth = 30_000

// A Cell is a column of the tables: a latency, a handling time, and so many handlers.
type Cell struct {
	L, H time.Duration
	C    int
}

func (c Cell) String() string {
	return fmt.Sprintf("L%d-H%d-C%d", c.L.Milliseconds(), c.H.Milliseconds(), c.C)
}

// title is the cell as a table's heading.
func (c Cell) title() string {
	return fmt.Sprintf("L %d, H %d, C %d", c.L.Milliseconds(), c.H.Milliseconds(), c.C)
}

var latencies = []time.Duration{time.Millisecond, 8 * time.Millisecond, 20 * time.Millisecond}

// cells are those of the main table, by rows of one latency.
func cells() []Cell {
	list := make([]Cell, 0, 3*len(latencies))
	for _, l := range latencies {
		list = append(list, Cell{l, 0, 16}, Cell{l, 5 * time.Millisecond, 64}, Cell{l, 50 * time.Millisecond, 256})
	}
	return list
}

// The sections of the report.
const (
	sectionCells   = "cells"
	sectionBatches = "batches"
	sectionTrickle = "trickle"
	sectionIdle    = "idle"
	sectionLinger  = "linger"
	sectionLeases  = "leases"
	sectionFaults  = "faults"
	sectionProfile = "profile"
	sectionLocks   = "locks"
)

// expertDefault is what tables call the expert's loop on the SDK's default client.
const expertDefault = "expert-sdk"

// A Job is one run of one consumer.
type Job struct {
	Section string       `json:"section"`
	Cell    string       `json:"cell"`
	Peer    string       `json:"peer"` // as the tables call it
	Round   int          `json:"round"`
	Apart   bool         `json:"apart,omitzero"` // server and consumer have a half of the cores each
	Setup   server.Setup `json:"setup"`
	Spec    child.Spec   `json:"spec"`
}

// Key names a job among those of all runs of the command.
func (j *Job) Key() string { return fmt.Sprintf("%s/%s/%s/%d", j.Section, j.Cell, j.Peer, j.Round) }

// A Pace is how long things are measured.
type Pace struct {
	Rounds int
	Warm   time.Duration
	Window time.Duration
	Faults time.Duration // at least 2 s: the outage is the second of them
	Slow   time.Duration // of a trickle
	Idle   time.Duration
	Leases time.Duration // half a lease of 30 s at least: in that time each is renewed
}

var (
	fullPace = Pace{
		Rounds: 3, Warm: 700 * time.Millisecond, Window: 2 * time.Second,
		Faults: 4 * time.Second, Slow: 10 * time.Second, Idle: 40 * time.Second, Leases: 45 * time.Second,
	}
	quickPace = Pace{
		Rounds: 1, Warm: 300 * time.Millisecond, Window: 600 * time.Millisecond,
		Faults: 3 * time.Second, Slow: 2 * time.Second, Idle: 20 * time.Second, Leases: 15 * time.Second,
	}
)

// Jobs of all sections, in groups: those of a group run at the same time, since they cost next to nothing.
func (p Pace) plan(goPeers, all []string) [][]Job {
	var plan [][]Job
	for round := range p.Rounds {
		plan = append(plan, p.busy(round, all)...)
		for _, s := range p.comparisons() {
			plan = append(plan, s.jobs(World{}, round)...)
		}
	}
	for round := range p.Rounds {
		plan = append(plan, p.faults(round)...)
	}
	for _, l := range latencies {
		for _, peer := range without(all, "article", expertDefault) {
			plan = append(plan, []Job{p.trickle(l, peer)})
		}
	}
	plan = append(plan, p.quiet(without(all, "article", expertDefault)), []Job{p.leases()})
	plan = append(plan, p.profiles(goPeers)...)
	return append(plan, p.locks()...)
}

// busy is one round of the main table and of sluice's batches. Peers take turns at being first.
func (p Pace) busy(round int, names []string) [][]Job {
	plan := make([][]Job, 0, 9*(len(names)+3))
	for _, cell := range cells() {
		for i := range names {
			plan = append(plan, []Job{p.steady(sectionCells, cell, names[(i+round)%len(names)], 0, round)})
		}
		for _, size := range []int{10, 100, 1000} {
			plan = append(plan, []Job{p.steady(sectionBatches, cell, "sluice", size, round)})
		}
	}
	return plan
}

// steady is a run with as many messages as it can take.
func (p Pace) steady(section string, cell Cell, peer string, batch, round int) Job {
	spec := child.Spec{Peer: peer, Handlers: cell.C, Handling: cell.H, Batch: batch, Warm: p.Warm, Window: p.Window}
	if peer == expertDefault {
		spec.Peer, spec.Client = theDefault.peer, theDefault.client
	}
	if batch > 0 {
		spec.Handlers = (cell.C + batch - 1) / batch // as many messages are handled at once, or the few more that a whole call takes
		peer = fmt.Sprintf("batches of %d", batch)
	}
	return Job{
		Section: section, Cell: cell.String(), Peer: peer, Round: round,
		Setup: server.Setup{Latency: cell.L, Size: bodySize, Depth: depth}, Spec: spec,
	}
}

// faultCell is where faults are measured.
var faultCell = Cell{8 * time.Millisecond, 0, 16}

// faults is one round of runs with faults and without.
func (p Pace) faults(round int) [][]Job {
	plan := make([][]Job, 0, 8)
	for _, fault := range []string{"", server.Errors, server.Throttle, server.Outage} {
		for _, peer := range []string{"sluice", "expert"} {
			job := p.steady(sectionFaults, faultCell, peer, 0, round)
			job.Cell, job.Setup.Fault = "no fault", fault
			job.Spec.Window = p.Faults
			if fault != "" {
				job.Cell = fault
			}
			plan = append(plan, []Job{job})
		}
	}
	return plan
}

// trickleRate is 40 messages a second.
const trickleRate = 40

func (p Pace) trickle(l time.Duration, peer string) Job {
	return Job{
		Section: sectionTrickle, Cell: fmt.Sprintf("L%d", l.Milliseconds()), Peer: peer,
		Setup: server.Setup{Latency: l, Size: bodySize, Rate: trickleRate},
		Spec:  child.Spec{Peer: peer, Handlers: 16, Stamped: true, Warm: p.Warm, Window: p.Slow},
	}
}

// quiet are the runs that do next to nothing, all at once: idle ones, and trickles whose calls are counted.
func (p Pace) quiet(names []string) []Job {
	group := make([]Job, 0, len(names)+4)
	for _, peer := range names {
		group = append(group, Job{
			Section: sectionIdle, Cell: "idle", Peer: peer,
			Setup: server.Setup{Latency: faultCell.L, Size: bodySize},
			Spec:  child.Spec{Peer: peer, Handlers: 16, Warm: p.Warm, Window: p.Idle},
		})
	}
	for _, rate := range []int{40, 90} {
		for name, linger := range map[string]time.Duration{"sluice": 0, "sluice, linger 200 ms": 200 * time.Millisecond} {
			group = append(group, Job{
				Section: sectionLinger, Cell: fmt.Sprintf("%d/s", rate), Peer: name,
				Setup: server.Setup{Latency: faultCell.L, Size: bodySize, Rate: float64(rate)},
				Spec:  child.Spec{Peer: "sluice", Handlers: 16, Linger: linger, Stamped: true, Warm: p.Warm, Window: p.Idle},
			})
		}
	}
	return group
}

// leases is a run in which messages are received and then only held.
func (p Pace) leases() Job {
	const filling = 15 * time.Second
	const size, calls = 10_000, 12 // together the 120,000 messages that SQS lets a queue's consumers hold
	return Job{
		Section: sectionLeases, Cell: "leases", Peer: leaseKeeper,
		Setup: server.Setup{Latency: faultCell.L, Size: bodySize, Depth: depth},
		Spec:  child.Spec{Peer: leaseKeeper, Handlers: calls, Batch: size, Warm: filling, Window: p.Leases},
	}
}

// profiles are runs of the saturated cell whose CPU profiles are kept.
func (p Pace) profiles(names []string) [][]Job {
	plan := make([][]Job, 0, len(names))
	for _, peer := range names {
		job := p.steady(sectionProfile, cells()[0], peer, 0, 0)
		job.Spec.Window = 4 * p.Window // a profile needs samples
		job.Spec.Profile = peer + ".pprof"
		plan = append(plan, []Job{job})
	}
	return plan
}

// locks are runs with most handlers at once, in which it is kept who waits for which mutex.
func (p Pace) locks() [][]Job {
	peers := []string{"sluice", "expert"}
	plan := make([][]Job, 0, len(peers))
	for _, peer := range peers {
		job := p.steady(sectionLocks, cells()[2], peer, 0, 0)
		job.Spec.Window = 4 * p.Window
		job.Spec.Locks = peer + ".locks.pprof"
		plan = append(plan, []Job{job})
	}
	return plan
}

// duration is about how long the runs of a plan take.
func duration(plan [][]Job) time.Duration {
	const around = 700 * time.Millisecond // a group: filling queues, starting processes
	whole := time.Duration(0)
	for _, group := range plan {
		longest := time.Duration(0)
		for _, job := range group {
			longest = max(longest, job.Spec.Warm+job.Spec.Window)
		}
		whole += longest + around
	}
	return whole
}

func without(names []string, others ...string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(s string) bool { return slices.Contains(others, s) })
}

// leave leaves jobs out of a plan.
func leave(plan [][]Job, out func(Job) bool) [][]Job {
	var kept [][]Job
	for _, group := range plan {
		if group = slices.DeleteFunc(group, out); len(group) > 0 {
			kept = append(kept, group)
		}
	}
	return kept
}

// only keeps the jobs whose keys contain one of the comma-separated words; none: all.
func only(plan [][]Job, words string) [][]Job {
	if words == "" {
		return plan
	}
	return leave(plan, func(j Job) bool {
		return !slices.ContainsFunc(strings.Split(words, ","), func(word string) bool { return strings.Contains(j.Key(), word) })
	})
}
