package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	mib = 1 << 20

	// mostGrowth is how much memory may grow, in MiB an hour. It is held against what
	// is surely there: a growth that noise alone would hardly show. That the noise of
	// an hour is small, and that of three minutes is not, comes out by itself.
	mostGrowth = 1.0
	sure       = 3.0 // standard errors

	// steps is what a process may take besides, in MiB, however short the time. The
	// runtime and the kernel give memory in steps that a line through a few minutes
	// takes for a slope: thread stacks, tables of pages and spans, an arena. What
	// leaks is in the heap, for which there is no such allowance.
	steps = 3.0

	// mostCalls is for each message. Ten messages that share a receive and a delete
	// make 0.2, a message that shares with none makes 2; a loop that spins, thousands.
	mostCalls = 1.0

	mostFiles = 2 // more open at the end than at the beginning
)

// warm returns the samples at rest after the warm-up, in which pools, buffers and
// stacks grow to the size that they keep.
func (w *works) warm(s settings) []sample {
	from := min(s.duration/3, 5*time.Minute)
	return slices.DeleteFunc(slices.Clone(w.rested), func(one sample) bool { return one.at < from })
}

// growth returns how much memory grows at rest, in MiB an hour.
func growth(samples []sample, of func(sample) int) slope {
	x, y := make([]float64, len(samples)), make([]float64, len(samples))
	for i, s := range samples {
		x[i], y[i] = s.at.Hours(), float64(of(s))/mib
	}
	return fit(x, y)
}

func rss(s sample) int  { return s.rss }
func heap(s sample) int { return s.heap }

// tooMuch reports whether a growth is surely more than it may be, and has made more
// of the samples than what is granted besides, in MiB.
func tooMuch(g slope, samples []sample, granted float64) bool {
	if len(samples) == 0 {
		return false
	}
	hours := (samples[len(samples)-1].at - samples[0].at).Hours()
	surely := g.perHour - sure*g.err
	return surely > mostGrowth && g.perHour*hours > granted
}

// verdict returns what is wrong.
func (w *works) verdict(s settings, before, after sample, r *report) (wrong []string) {
	wrongIf := func(is bool, format string, args ...any) {
		if is {
			wrong = append(wrong, fmt.Sprintf(format, args...))
		}
	}
	wrongIf(after.goroutines != before.goroutines, "%d goroutines before, %d after", before.goroutines, after.goroutines)
	wrongIf(after.files > before.files+mostFiles || after.files < before.files-mostFiles, "%d files open before, %d after", before.files, after.files)
	for _, one := range w.rested {
		if one.goroutines != before.goroutines {
			wrongIf(true, "%d goroutines before, %d at the rest after %v", before.goroutines, one.goroutines, one.at.Round(time.Second))
			break
		}
	}
	warm := w.warm(s)
	memory, objects := growth(warm, rss), growth(warm, heap)
	wrongIf(tooMuch(memory, warm, steps), "memory grows by %.1f ± %.1f MiB an hour", memory.perHour, memory.err)
	wrongIf(tooMuch(objects, warm, 0), "the heap grows by %.1f ± %.1f MiB an hour", objects.perHour, objects.err)
	wrongIf(after.inFlight != 0, "%d messages are in hand after the end", after.inFlight)
	perMessage := float64(r.calls()) / float64(max(1, r.sent()))
	wrongIf(perMessage > mostCalls, "%.2f calls for each message, at most %.2f are right", perMessage, mostCalls)
	for _, c := range w.consumers {
		wrong = append(wrong, c.book.lost(c.name, r.Queues[c.name])...)
	}
	return wrong
}

func (r *report) calls() (n int) {
	for _, one := range r.Calls {
		n += one
	}
	return n
}

func (r *report) sent() (n int) {
	for _, q := range r.Queues {
		n += q.Sent
	}
	return n
}

// A column is something that a sample has, for the table.
type column struct {
	name string
	of   func(sample) float64
}

var columns = []column{
	{"goroutines", func(s sample) float64 { return float64(s.goroutines) }},
	{"open files", func(s sample) float64 { return float64(s.files) }},
	{"memory, MiB", func(s sample) float64 { return float64(s.rss) / mib }},
	{"heap, MiB", func(s sample) float64 { return float64(s.heap) / mib }},
	{"messages held", func(s sample) float64 { return float64(s.inFlight) }},
}

// table tells what was seen.
func (w *works) table(s settings, r *report) string {
	var b strings.Builder
	span := min(time.Minute, s.duration/3)
	first := func(one sample) bool { return one.at < span }
	last := func(one sample) bool { return one.at >= s.duration-span && one.at < s.duration }
	line := func(name, begin, end string) { fmt.Fprintf(&b, "%-26s%12s%12s\n", name, begin, end) }
	line("", "first "+short(span), "last "+short(span))
	for _, c := range columns {
		for _, when := range []struct {
			name    string
			samples []sample
		}{{"at work", w.busy}, {"at rest", w.rested}} {
			line(c.name+" "+when.name, fmt.Sprintf("%.1f", average(when.samples, first, c.of)), fmt.Sprintf("%.1f", average(when.samples, last, c.of)))
		}
	}
	w.tell(&b, s, r)
	return b.String()
}

// short writes whole seconds.
func short(d time.Duration) string { return fmt.Sprintf("%d s", int(d.Seconds())) }

func average(samples []sample, in func(sample) bool, of func(sample) float64) float64 {
	var v []float64
	for _, s := range samples {
		if in(s) {
			v = append(v, of(s))
		}
	}
	return mean(v)
}

// tell tells what cannot be in a table.
func (w *works) tell(b *strings.Builder, s settings, r *report) {
	points := w.warm(s)
	memory, objects := growth(points, rss), growth(points, heap)
	fmt.Fprintf(b, "growth at rest, from %d rests after the warm-up: memory %.2f ± %.2f MiB an hour, heap %.2f ± %.2f\n",
		len(points), memory.perHour, memory.err, objects.perHour, objects.err)
	fmt.Fprintf(b, "%d runs of %d consumers, %d messages, calls for each message %.3f:", w.runs, len(w.consumers), r.sent(), float64(r.calls())/float64(max(1, r.sent())))
	for _, op := range consumed {
		fmt.Fprintf(b, " %s %d (%d failed)", op, r.Calls[op], r.Failed[op])
	}
	fmt.Fprintln(b)
	for _, c := range w.consumers {
		q, stats := r.Queues[c.name], c.Stats()
		fmt.Fprintf(b, "%s: sent %d, deleted %d, dead-lettered %d, received again %d, handled again %d, failed %d, panics %d, leases lost %d\n",
			c.name, q.Sent, q.Deleted, len(q.Dead), q.Again, c.book.again.Load(), stats.Failed, stats.Panics, stats.LeasesLost)
	}
}
