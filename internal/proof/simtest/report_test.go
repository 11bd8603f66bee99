package simtest

import (
	"fmt"
	"strings"
)

// leaks notes a line that tells what nobody should read.
func (s *studied) leaks(line string) {
	if strings.Contains(line, canary) {
		s.breachf(s.end, "", "a body or a credential is in a log line or an error: %.200s", line)
		return
	}
	for handle := range s.of {
		if strings.Contains(line, handle) {
			s.breachf(s.end, "", "a receipt handle is in a log line or an error: %.200s", line)
			return
		}
	}
}

// report tells a person what is wrong with a world, and how to see it again.
func (w *world) report(broken []breach) string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d breaks %d invariants\n", w.seed, len(broken))
	fmt.Fprintf(&b, "replay: go test ./internal/proof/simtest -run TestReplay -v -seed=%d -level=%s\n", w.seed, w.level)
	fmt.Fprintf(&b, "world: %s\n", w.plan)
	for _, one := range broken {
		fmt.Fprintf(&b, "%s at %v: %s", one.invariant, one.at, one.text)
		if one.message != "" {
			fmt.Fprintf(&b, " (message %.8s)", one.message)
		}
		b.WriteString("\n")
	}
	if m := broken[0].message; m != "" {
		fmt.Fprintf(&b, "what happened to message %.8s:\n", m)
		b.WriteString(timeline(study(w).byMessage[m]))
	}
	return b.String()
}

// timeline is events, one on each line.
func timeline(events []event) string {
	var b strings.Builder
	for _, e := range events {
		b.WriteString(e.String() + "\n")
	}
	return b.String()
}

// String tells what a seed decided.
func (p *plan) String() string {
	o := p.options
	text := fmt.Sprintf("calm %t, fifo %t, %d processes, %d messages in %d groups, %v, %s handlers up to %v, redrive %d, latency %v; batch %d, wait %v, concurrency %d, receivers %d, lease %v, poll %v, bytes %d, shutdown %v, limit %v, on group failure %d; %s up to %d or %v;",
		p.calm, p.fifo, p.processes, p.messages, p.groups, p.active, p.form, p.mood.longest, p.redrive, p.latency,
		o.BatchSize, o.WaitTime, o.Concurrency, o.Receivers, o.VisibilityTimeout, o.PollTime, o.BytesInFlight, o.ShutdownTimeout, o.HandlerTimeout, o.OnGroupFailure, p.mode, o.MaxMessages, o.MaxDuration)
	text += fmt.Sprintf(" %v; %v;", &p.demand, &p.nature)
	for f, odds := range p.odds {
		if odds > 0 {
			text += fmt.Sprintf(" %v %v,", fault(f), odds)
		}
	}
	for _, win := range p.windows {
		text += fmt.Sprintf(" %v from %v to %v,", win.fault, win.from, win.to)
	}
	return strings.TrimSuffix(text, ",")
}
