package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A column of a set's table: what it says of the rounds of one row.
type column struct {
	head string
	text func(all Results, records []*Record) string
}

// figure is a column with the median of a figure.
func figure(head, format string, of func(*Record) float64) column {
	return column{head, func(_ Results, records []*Record) string {
		return fmt.Sprintf(format, sampleOf(records, of).median())
	}}
}

// ratio is a column with the median ratio of a figure to another consumer's in the same round.
func ratio(head string, other contender, of func(*Record) float64) column {
	return column{head, func(all Results, records []*Record) string {
		r := records[0]
		s := all.paired(r.Section, r.Cell, r.Peer, r.Cell, other.name, of)
		if len(s) == 0 {
			return "–"
		}
		return fmt.Sprintf("%.2f", s.median())
	}}
}

var (
	rateColumn = column{"messages/s", func(_ Results, records []*Record) string {
		s := sampleOf(records, (*Record).rate)
		return thousands(s.median()) + plusMinus(s)
	}}
	peakReceives = figure("receives at once", "%.0f", func(r *Record) float64 { return float64(r.Result.After.PeakReceives) })
)

func sampleOf(records []*Record, of func(*Record) float64) sample {
	s := make(sample, len(records))
	for i, r := range records {
		s[i] = of(r)
	}
	return s
}

// further is how far a figure of one run is from that of another consumer in the same round.
func (all Results) further(section, cell, peer, other string, of func(*Record) float64) sample {
	var s sample
	for _, r := range all[[3]string{section, cell, peer}] {
		for _, o := range all[[3]string{section, cell, other}] {
			if o.Round == r.Round {
				s = append(s, of(r)-of(o))
			}
		}
	}
	return s
}

// receivesEach is receives for each message received.
func (r *Record) receivesEach() float64 {
	n := r.Result.After.Received - r.Result.Before.Received
	if n == 0 {
		return 0
	}
	return r.calls("ReceiveMessage") / float64(n)
}

// callsEach is API calls for each message: receives for each that was received, all others for each
// that was deleted. A window that ends between the receives of a batch and its deletes changes little.
func (r *Record) callsEach() float64 {
	return r.receivesEach() + r.per(r.calls("")-r.calls("ReceiveMessage"))
}

// An aim is a target in one row.
type aim struct {
	target string
	figure sample
	limit  float64
	least  bool // the figure is to be the limit or more, not the limit or less
	format string
	than   string // what the figure is compared with; empty: the target says so
}

func atMost(target string, s sample, limit float64, format string) aim {
	return aim{target: target, figure: s, limit: limit, format: format}
}

func atLeast(target string, s sample, limit float64, format string) aim {
	return aim{target: target, figure: s, limit: limit, format: format, least: true}
}

// look notes the aim in a check.
func (a aim) look(c *check, where string) {
	if a.than != "" {
		where = strings.TrimSpace(where + " " + a.than)
	}
	if a.least {
		c.atLeast(where, a.figure, a.limit, a.format)
		return
	}
	c.atMost(where, a.figure, a.limit, a.format)
}

// result is the aims' field in a row: whether all are met, or which are not. A row without aims has none.
func result(aims []aim) string {
	if len(aims) == 0 {
		return "–"
	}
	var missed []string
	known := false
	for _, a := range aims {
		c := check{target: a.target}
		a.look(&c, "")
		known = known || c.looked > 0
		if len(c.missed) > 0 {
			missed = append(missed, "**not met**: "+a.target+": "+strings.TrimSpace(c.missed[0]))
		}
	}
	switch {
	case !known:
		return "no data"
	case len(missed) > 0:
		return strings.Join(missed, "; ")
	default:
		return "met"
	}
}

// A place is a row of a set's table: a consumer in a cell.
type place struct{ cell, peer string }

// worldTitle is a consumer's name in the tables.
func worldTitle(peer string) string {
	if titles[peer] == "" && ours(peer) {
		return "**sluice**, " + peer
	}
	return title(peer)
}

// rows are those of a set that were measured, in the order of its plan.
func (s set) rows(all Results) []place {
	var places []place
	for _, job := range slices.Concat(s.jobs(World{Rounds: 1, Scale: 1}, 0)...) {
		if len(all[[3]string{s.section, job.Cell, job.Peer}]) > 0 {
			places = append(places, place{job.Cell, job.Peer})
		}
	}
	return places
}

// verdicts are the targets of a set, each over all its rows.
func (s set) verdicts(all Results) []Verdict {
	var checks []*check
	for _, row := range s.rows(all) {
		if !ours(row.peer) {
			continue
		}
		for _, a := range s.aims(all, row.cell, row.peer) {
			target := s.section + ": " + a.target
			i := slices.IndexFunc(checks, func(c *check) bool { return c.target == target })
			if i < 0 {
				i, checks = len(checks), append(checks, &check{target: target})
			}
			a.look(checks[i], row.cell+", "+row.peer+":")
		}
	}
	verdicts := make([]Verdict, len(checks))
	for i, c := range checks {
		verdicts[i] = c.verdict()
	}
	return verdicts
}

// measured says how often and how long the set was measured.
func (s set) measured(all Results) string {
	shortest, longest, rounds := time.Duration(0), time.Duration(0), 0
	for key, records := range all {
		if key[0] != s.section {
			continue
		}
		rounds = max(rounds, len(records))
		for _, r := range records {
			longest = max(longest, r.Spec.Window)
			if shortest == 0 || r.Spec.Window < shortest {
				shortest = r.Spec.Window
			}
		}
	}
	if shortest == longest {
		return fmt.Sprintf("Measured %d times for %v", rounds, longest)
	}
	return fmt.Sprintf("Measured %d times for %v to %v", rounds, shortest, longest)
}

// set writes the table of a set.
func (p *page) set(all Results, s set) {
	p.linef("## %s\n", s.title)
	p.linef("%s %s.\n", s.text, s.measured(all))
	heads := make([]string, 2, 2+len(s.columns))
	for _, c := range s.columns {
		heads = append(heads, c.head)
	}
	p.linef("| %s | targets |", strings.Join(heads, " | "))
	p.linef("| --- | --- |%s --- |", strings.Repeat(" ---: |", len(s.columns)))
	for _, row := range s.rows(all) {
		records := all[[3]string{s.section, row.cell, row.peer}]
		fields := append(make([]string, 0, 2+len(s.columns)), row.cell, worldTitle(row.peer))
		for _, c := range s.columns {
			fields = append(fields, c.text(all, records))
		}
		verdict := "–"
		if ours(row.peer) {
			verdict = result(s.aims(all, row.cell, row.peer))
		}
		p.linef("| %s | %s |", strings.Join(fields, " | "), verdict)
	}
	p.linef("")
}

// reportWorld writes all that the results of the sets tell, and their targets to the terminal too.
func reportWorld(folder string, records []Record) error {
	if len(records) == 0 {
		return fmt.Errorf("there are no results of sets in %s", folder)
	}
	all := gather(records)
	var tables page
	var verdicts []Verdict
	for _, s := range sets() {
		if len(s.rows(all)) == 0 {
			continue
		}
		verdicts = append(verdicts, s.verdicts(all)...)
		tables.set(all, s)
	}
	var p page
	p.linef("# In a world like the real one\n")
	p.linef("Made by `go run ./bench -set all` on %d cores with %s; `world.jsonl` has the raw figures, [the page above](../README.md#sets-like-the-world) says what they mean. L and H are in ms, figures are medians of the rounds, ± half their range.\n",
		runtime.NumCPU(), runtime.Version())
	p.targets(verdicts)
	p.Write(tables.Bytes())
	file := filepath.Join(folder, "world.md")
	if err := os.WriteFile(file, p.Bytes(), 0o644); err != nil {
		return err
	}
	fmt.Println()
	for _, v := range verdicts {
		fmt.Println(v)
	}
	fmt.Printf("\nTables: %s\n", file)
	return nil
}
