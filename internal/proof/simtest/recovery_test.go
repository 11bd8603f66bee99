package simtest

import (
	"slices"
	"time"
)

// recovery is how long after the last fault, of whatever kind and length, a life may
// take to receive again: the longest back-off, a poll, and some seconds.
const recovery = 60 * time.Second

// backlogsDrain is I8: after the last fault lives receive again within a minute, no
// minute passes without progress while messages are there to be received, and in
// the end the queue is empty.
func backlogsDrain(s *studied) {
	for _, m := range s.rest {
		s.breachf(s.end, m.ID, "a message is still in the queue, %v after the last fault", s.end-s.calmAt)
	}
	for inc, l := range s.lives {
		s.recovers(inc, l)
	}
	s.progresses()
}

// recovers checks that a life that was there when faults ended receives again, or
// has no slot free for what it would receive. A receive that was out then may have
// to come to its own end first.
func (s *studied) recovers(inc int, l *lived) {
	if l.from > s.calmAt {
		return
	}
	due, out, calls, on := s.calmAt+recovery, map[int]bool{}, 0, false
	k := s.ledgerOf(l)
	for _, e := range append(l.events, event{kind: calmed, at: min(l.until(s), s.end)}) {
		if k.stuffed() {
			due = max(due, e.at+recovery)
		}
		k.see(e)
		switch {
		case l.stopAt > 0 && e.at >= l.stopAt, l.to > 0 && e.at > l.to:
			return
		case e.at > due && len(out) == 0 && calls < s.options.Concurrency && !on:
			s.breachf(e.at, "", "life %d has not received since faults ended at %v", inc, s.calmAt)
			return
		case e.kind == paused:
			on = true
		case e.kind == resumed:
			on, due = false, max(due, e.at+recovery)
		case e.kind == batchBegan:
			calls++
		case e.kind == batchEnded:
			calls--
			due = max(due, e.at+recovery)
		case e.op != opReceive:
		case e.kind == called && e.at <= s.calmAt:
			out[e.call] = true
		case e.kind == answered && e.at > s.calmAt && e.err == nil:
			return // it has recovered
		case e.kind == answered:
			if out[e.call] && e.at > s.calmAt {
				due = max(due, e.at+recovery)
			}
			delete(out, e.call)
		}
	}
}

// progresses checks each minute after the recovery. A supervisor may take ten
// seconds of it to start the next life, a batch twenty to fill, and a handler call
// of a whole batch ninety to end, so what counts as progress is also a handling of
// one message that begins or ends.
func (s *studied) progresses() {
	if s.fifo {
		return // which of its messages can be received is SQS's secret
	}
	moved := map[int]bool{} // in minutes after the recovery
	for _, e := range s.events {
		if e.at >= s.calmAt+recovery && slices.Contains([]kind{delivered, deleted, began, ended}, e.kind) {
			moved[int((e.at-s.calmAt)/recovery)] = true
		}
	}
	for n := 1; s.calmAt+time.Duration(n+1)*recovery <= s.end; n++ {
		if moved[n] {
			continue
		}
		from := s.calmAt + time.Duration(n)*recovery
		for id, events := range s.byMessage {
			if id != "" && events[0].at > s.purgedAt && visibleThroughout(events, from, from+recovery) {
				s.breachf(from, id, "nothing happens for a minute although a message is in the queue")
				return
			}
		}
	}
}
