package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/sluice-go/sluice/bench/server"
)

// Results are the records of all rounds, by section, cell and peer.
type Results map[[3]string][]*Record

func gather(records []Record) Results {
	all := Results{}
	for i := range records {
		r := &records[i]
		key := [3]string{r.Section, r.Cell, r.Peer}
		all[key] = append(all[key], r)
	}
	return all
}

// of returns a figure of one peer in one cell, once for each round.
func (all Results) of(section, cell, peer string, figure func(*Record) float64) sample {
	records := all[[3]string{section, cell, peer}]
	s := make(sample, len(records))
	for i, r := range records {
		s[i] = figure(r)
	}
	return s
}

// blocked is the time that a peer's goroutines waited for mutexes, once for each round in which that could be told.
func (all Results) blocked(section, cell, peer string) sample {
	var s sample
	for _, r := range all[[3]string{section, cell, peer}] {
		if r.Result.Blocked != nil {
			s = append(s, r.blocked())
		}
	}
	return s
}

// peers are those that a section has, in the order of the tables.
func (all Results) peers(section string) []string {
	order := []string{"article", expertDefault, "expert", "expert-attributes", "expert-inner", "go-cloud", nodePeer, "sluice", "sluice, linger 200 ms", "batches of 10", "batches of 100", "batches of 1000"}
	found := map[string]bool{}
	for key := range all {
		if key[0] == section {
			found[key[2]] = true
		}
	}
	return slices.SortedFunc(maps.Keys(found), func(a, b string) int { return slices.Index(order, a) - slices.Index(order, b) })
}

// titles of peers in the tables.
var titles = map[string]string{
	"article":           "the article's loop",
	"expert":            "the expert's loop",
	expertDefault:       "the expert's loop, SDK's default client",
	"expert-inner":      "the expert's loop, ten at once",
	"expert-attributes": "the expert's loop, asking for sluice's attributes",
	"go-cloud":          "go-cloud awssnssqs",
	"pool":              "the fixed pool",
	"sluice":            "**sluice**",
	"batches of 10":     "**sluice**, batches of 10", "batches of 100": "**sluice**, batches of 100", "batches of 1000": "**sluice**, batches of 1,000",
}

func title(peer string) string {
	if t := titles[peer]; t != "" {
		return t
	}
	return peer
}

// A page is a Markdown document in the making.
type page struct{ bytes.Buffer }

func (p *page) linef(format string, args ...any) { _, _ = fmt.Fprintf(p, format+"\n", args...) }

// table writes a table whose first column is text and whose others are figures.
func (p *page) table(heads []string, rows [][]string) {
	p.linef("| %s |", strings.Join(heads, " | "))
	p.linef("|%s", " --- |"+strings.Repeat(" ---: |", len(heads)-1))
	for _, row := range rows {
		p.linef("| %s |", strings.Join(row, " | "))
	}
	p.linef("")
}

// report writes all that the results tell to a folder, and the targets to the terminal too.
func report(folder string, records []Record) error {
	if len(records) == 0 {
		return fmt.Errorf("there are no results in %s", folder)
	}
	all := gather(records)
	var p page
	p.linef("# Results\n")
	p.linef("![messages a second of each consumer](throughput.svg)\n")
	p.throughput(all)
	p.reading()
	p.costs(all)
	for _, s := range fullPace.comparisons() {
		if len(s.rows(all)) > 0 {
			p.set(all, s)
		}
	}
	p.trickles(all)
	p.idle(all)
	p.faults(all)
	if err := p.shares(folder, all); err != nil {
		return err
	}
	p.details(all)
	verdicts := targets(all)
	p.targets(verdicts)
	if err := os.WriteFile(filepath.Join(folder, "results.md"), p.Bytes(), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "throughput.svg"), chart(all), 0o644); err != nil {
		return err
	}
	fmt.Println()
	for _, v := range verdicts {
		fmt.Println(v)
	}
	fmt.Printf("\nTables and chart: %s\n", filepath.Join(folder, "results.md"))
	return nil
}

// reading says how the tables are to be read, in one paragraph.
func (p *page) reading() {
	p.linef("Made by `go run ./bench` on %d cores with %s. Each consumer runs in a process of its own, against one server on loopback that answers after a latency of L ms. "+
		"Handlers take H ms, and C of them run at once. All figures are medians of interleaved rounds, ± half their range. Ratios are taken within a round: a machine's speed drifts, so compare ratios and not figures of different days. "+
		"0.200 calls a message is the least there is. Bodies have %d bytes where nothing else is said. The [targets](#targets) stand at the end. "+
		"[The page above](../README.md) says how all this is measured, and `runs.jsonl` has the raw figures.\n", runtime.NumCPU(), runtime.Version(), bodySize)
}

// costs writes the processor time and the allocations of a message beside the expert's loop.
func (p *page) costs(all Results) {
	p.linef("## Processor time beside the expert's loop\n")
	p.linef("Microseconds for each message · as a share of the loop's on the SDK's default client · of the loop's on the client of all others · allocations for each message.\n")
	own := []struct{ section, peer string }{{sectionCells, ourEvents.name}, {sectionBatches, ourBatches(10).name}, {sectionBatches, ourHundred.name}, {sectionBatches, ourBatches(1000).name}}
	heads := make([]string, 1, 1+len(own))
	for _, o := range own {
		heads = append(heads, title(o.peer))
	}
	rows := make([][]string, 0, len(cells()))
	for _, c := range cells() {
		rows = append(rows, row(c.title(), own, func(o struct{ section, peer string }) string {
			cpu := all.of(o.section, c.String(), o.peer, (*Record).cpu)
			beside := func(loop string) string {
				return textOf(all.against(o.section, c.String(), o.peer, loop, (*Record).cpu), "%.2f")
			}
			return fmt.Sprintf("%s · %s · %s · %s", textOf(cpu, "%.0f"), beside(expertDefault), beside("expert"), textOf(all.of(o.section, c.String(), o.peer, (*Record).allocs), "%.1f"))
		}))
	}
	p.table(heads, rows)
}

// throughput writes the main table, for each latency.
func (p *page) throughput(all Results) {
	p.linef("## Throughput\n")
	p.linef("Messages a second · API calls for each · microseconds of the consumer's processor time for each. L and H in ms; medians of the rounds, ± half their range.\n")
	for _, l := range latencies {
		heads, of := []string{""}, []Cell{}
		for _, c := range cells() {
			if c.L == l {
				heads, of = append(heads, c.title()), append(of, c)
			}
		}
		var rows [][]string
		for _, section := range []string{sectionCells, sectionBatches} {
			for _, peer := range all.peers(section) {
				rows = append(rows, row(title(peer), of, func(c Cell) string { return all.three(section, c.String(), peer) }))
			}
		}
		p.table(heads, rows)
	}
}

// row is a row of a table: its first field, and one for each of the others.
func row[T any](first string, others []T, field func(T) string) []string {
	fields := make([]string, 1, 1+len(others))
	fields[0] = first
	for _, o := range others {
		fields = append(fields, field(o))
	}
	return fields
}

// three is a field of the main table.
func (all Results) three(section, cell, peer string) string {
	rate := all.of(section, cell, peer, (*Record).rate)
	if len(rate) == 0 {
		return "–"
	}
	calls := all.of(section, cell, peer, func(r *Record) float64 { return r.per(r.calls("")) })
	cpu := all.of(section, cell, peer, (*Record).cpu)
	return fmt.Sprintf("%s%s · %.3f · %.0f", thousands(rate.median()), plusMinus(rate), calls.median(), cpu.median())
}

func plusMinus(s sample) string {
	if len(s) < 2 {
		return ""
	}
	return fmt.Sprintf(" ±%.0f %%", 100*s.spread())
}

// thousands writes a whole number with commas.
func thousands(v float64) string {
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// details writes what else was counted in the runs of the main table.
func (p *page) details(all Results) {
	p.linef("## Details\n")
	p.linef("Held: from receive to delete, as the server sees it. Again: deliveries beyond a message's first. Peaks are of the window, connections of the whole run. For mutexes: how long goroutines waited for them, of all together, as a share of the window.\n")
	heads := []string{
		"", "receives/msg", "deletes/msg", "other/msg", "allocs/msg", "B/msg", "RSS MB", "peak in flight", "peak receives", "peak deletes",
		"held p50 ms", "held p99 ms", "again", "connections", "of the bound", "for mutexes",
	}
	for _, c := range cells() {
		p.linef("### %s\n", c.title())
		var rows [][]string
		for _, section := range []string{sectionCells, sectionBatches} {
			for _, peer := range all.peers(section) {
				if row := all.detail(section, c.String(), peer); row != nil {
					rows = append(rows, row)
				}
			}
		}
		p.table(heads, rows)
	}
}

func (all Results) detail(section, cell, peer string) []string {
	records := all[[3]string{section, cell, peer}]
	if len(records) == 0 {
		return nil
	}
	row := []string{title(peer)}
	add := func(format string, figure func(*Record) float64) {
		row = append(row, fmt.Sprintf(format, all.of(section, cell, peer, figure).median()))
	}
	add("%.3f", func(r *Record) float64 { return r.per(r.calls("ReceiveMessage")) })
	add("%.3f", func(r *Record) float64 { return r.per(r.deletes()) })
	add("%.3f", func(r *Record) float64 { return r.per(r.calls("") - r.calls("ReceiveMessage") - r.deletes()) })
	if records[0].Result.Allocs > 0 {
		add("%.1f", (*Record).allocs)
		add("%.0f", (*Record).bytes)
	} else {
		row = append(row, "–", "–")
	}
	add("%.1f", (*Record).rss)
	add("%.0f", func(r *Record) float64 { return float64(r.Result.After.PeakInFlight) })
	add("%.0f", func(r *Record) float64 { return float64(r.Result.After.PeakReceives) })
	add("%.0f", func(r *Record) float64 { return float64(r.Result.After.PeakDeletes) })
	add("%.1f", func(r *Record) float64 { return milliseconds(r.Result.After.HeldP50) })
	add("%.1f", func(r *Record) float64 { return milliseconds(r.Result.After.HeldP99) })
	add("%.0f", (*Record).again)
	add("%.0f", (*Record).connections)
	add("%.2f", (*Record).ofBound)
	if s := all.blocked(section, cell, peer); len(s) > 0 {
		return append(row, fmt.Sprintf("%.2f %%", s.median()))
	}
	return append(row, "–")
}

// toStart is the time from send to handler start.
func toStart(p float64) func(*Record) float64 {
	return func(r *Record) float64 { return milliseconds(quantile(r.Result.ToStart, p)) }
}

// trickles writes the latencies at a trickle.
func (p *page) trickles(all Results) {
	p.linef("## From send to handler, %d messages a second at random intervals\n", trickleRate)
	p.linef("p50 / p99 in ms · API calls for each message\n")
	heads := row("", latencies, func(l time.Duration) string { return fmt.Sprintf("L %d", l.Milliseconds()) })
	peers := all.peers(sectionTrickle)
	rows := make([][]string, len(peers))
	for i, peer := range peers {
		rows[i] = row(title(peer), latencies, func(l time.Duration) string {
			of := func(figure func(*Record) float64) float64 {
				return all.of(sectionTrickle, fmt.Sprintf("L%d", l.Milliseconds()), peer, figure).median()
			}
			return fmt.Sprintf("%.1f / %.1f · %.2f", of(toStart(0.5)), of(toStart(0.99)), of(func(r *Record) float64 { return r.per(r.calls("")) }))
		})
	}
	p.table(heads, rows)
}

// idle writes what little load costs.
func (p *page) idle(all Results) {
	p.linef("## An idle queue, and a trickle with lingering deletes\n")
	peers := all.peers(sectionIdle)
	rows := make([][]string, len(peers))
	for i, peer := range peers {
		rows[i] = []string{title(peer), fmt.Sprintf("%.1f", all.of(sectionIdle, "idle", peer, (*Record).idleReceives).median())}
	}
	p.table([]string{"idle", "receives in 20 s"}, rows)
	p.lingers(all)
	p.leases(all)
}

// lingers writes what trickles cost with lingering deletes and without.
func (p *page) lingers(all Results) {
	peers := all.peers(sectionLinger)
	rows := make([][]string, 0, 2*len(peers))
	for _, cell := range []string{"40/s", "90/s"} {
		for _, peer := range peers {
			figures := []func(*Record) float64{
				func(r *Record) float64 { return r.per(r.calls("ReceiveMessage")) },
				func(r *Record) float64 { return r.per(r.deletes()) },
				toStart(0.5), toStart(0.99),
			}
			rows = append(rows, row(cell+", "+title(peer), figures, func(f func(*Record) float64) string {
				return fmt.Sprintf("%.2f", all.of(sectionLinger, cell, peer, f).median())
			}))
		}
	}
	p.table([]string{"L 8", "receives/msg", "deletes/msg", "to handler p50 ms", "p99 ms"}, rows)
}

// leases writes what it costs to hold messages.
func (p *page) leases(all Results) {
	of := func(f func(*Record) float64) float64 { return all.of(sectionLeases, "leases", leaseKeeper, f).median() }
	p.linef("As many messages as SQS lets a consumer hold, only held: %.0f leases, %.0f renewals of ten a second, %.1f %% of a core for 100,000 of them.\n",
		of(func(r *Record) float64 { return float64(r.Result.After.PeakInFlight) }),
		of(func(r *Record) float64 { return r.calls("ChangeMessageVisibilityBatch") / r.window().Seconds() }), of((*Record).leaseCost))
}

// idleReceives is how many receives there were in 20 s.
func (r *Record) idleReceives() float64 { return r.calls("ReceiveMessage") * 20 / r.window().Seconds() }

// faults writes what faults cost.
func (p *page) faults(all Results) {
	p.linef("## Faults, %s\n", faultCell.title())
	p.linef("Messages a second, and as a share of the same peer's rate without faults in the same round. The outage is one second of the window of %.0f.\n", fullPace.Faults.Seconds())
	peers := all.peers(sectionFaults)
	rows := make([][]string, len(peers))
	for i, peer := range peers {
		rows[i] = row(title(peer), []string{noFault, server.Errors, server.Throttle, server.Outage}, func(fault string) string {
			share := all.paired(sectionFaults, fault, peer, noFault, peer, (*Record).rate)
			return fmt.Sprintf("%s · %.0f %%", thousands(all.of(sectionFaults, fault, peer, (*Record).rate).median()), 100*share.median())
		})
	}
	p.table([]string{"", "no fault", "2 % HTTP 500", "2 % throttled", "a second's outage"}, rows)
}

// paired is the ratio of a figure in one run to that in another one of the same round.
func (all Results) paired(section, cell, peer, otherCell, otherPeer string, figure func(*Record) float64) sample {
	var s sample
	for _, r := range all[[3]string{section, cell, peer}] {
		for _, o := range all[[3]string{section, otherCell, otherPeer}] {
			if o.Round == r.Round && figure(o) != 0 {
				s = append(s, figure(r)/figure(o))
			}
		}
	}
	return s
}
