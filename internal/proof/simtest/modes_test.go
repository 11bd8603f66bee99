package simtest

import (
	"slices"
	"strings"
	"time"
)

// runsEndByThemselves is I14, of runs that are to end by themselves. Drain ends when
// the queue is empty and nothing is in progress, and not before. MaxMessages is
// never exceeded, nor asked for more than, and what was received is finished.
// MaxDuration ends a run as a stop at that time would; that it does so in time is
// I9's, and that it does not do so earlier I7's.
func runsEndByThemselves(s *studied) {
	for inc, l := range s.lives {
		switch s.mode {
		case drains:
			s.drainsToTheEnd(inc, l)
		case counted:
			s.countsToTheEnd(inc, l)
		case endless, timed:
		}
	}
}

// soon is how long a run takes at most that has nothing more to do.
const soon = 1500 * time.Millisecond // hooks may have to be waited for

func (s *studied) drainsToTheEnd(inc int, l *lived) {
	k, out := s.ledgerOf(l), map[int]bool{} // receives
	alone, over := 0, time.Duration(0)      // the receive that was sent when nothing was in progress; when the second such came back empty
	empties, last := 0, event{}             // such answers in a row; the newest answer of a receive
	for _, e := range l.events {
		if e.at > l.until(s) {
			break
		}
		if over > 0 && !k.unsure && (e.kind == called && e.op == opReceive || e.at > over+soon) {
			s.breachf(e.at, "", "life %d goes on although the queue was empty at %v: %v", inc, over, e)
			return
		}
		k.see(e)
		if e.op != opReceive {
			continue
		}
		switch e.kind {
		case called:
			alone = 0 // of two that are out together, one may have been alone, or none
			if len(out) == 0 && len(k.hand) == 0 {
				alone = e.call
			}
			out[e.call] = true
		case answered:
			delete(out, e.call)
			last = e
			if len(e.got) > 0 || len(k.hand) > 0 {
				empties = 0
			}
			if e.call == alone && e.err == nil && len(e.got) == 0 && len(k.hand) == 0 && !l.stopped() && e.at-k.asked[e.call].at >= drainPoll {
				empties++
			}
			if empties == 2 {
				over = e.at
			}
		}
	}
	if l.to > 0 && !l.crashed && !l.stopped() && l.err == nil {
		s.endsEmpty(inc, l, k, last)
		s.endsConfirmed(inc, l)
	}
}

// drainPoll is how long the receives of a Drain wait. An answer that came much sooner says
// nothing of the queue.
const drainPoll = time.Second

// endsConfirmed checks that a Drain that ended by itself had two answers in a row that brought nothing,
// each after about its poll time.
func (s *studied) endsConfirmed(inc int, l *lived) {
	sent, slow := map[int]time.Duration{}, 0
	for _, e := range l.events {
		switch {
		case e.op != opReceive || e.at > l.to:
		case e.kind == called:
			sent[e.call] = e.at
		case e.kind == answered && len(e.got) > 0:
			slow = 0
		case e.kind == answered && e.err == nil && e.at-sent[e.call] >= drainPoll*3/4:
			slow++
		}
	}
	if slow < 2 {
		s.breachf(l.to, "", "life %d ends although only %d answers in a row have found the queue empty, want 2", inc, slow)
	}
}

// endsEmpty checks that a Drain that ended by itself had seen the queue empty: no
// message was there all the time while its last receive was out.
func (s *studied) endsEmpty(inc int, l *lived, k *ledger, last event) {
	if last.err != nil || len(last.got) > 0 {
		s.breachf(l.to, "", "life %d ends although its last receive did not find the queue empty: %v", inc, last)
		return
	}
	if len(k.hand) > 0 && !k.unsure {
		s.breachf(l.to, "", "life %d ends although %d messages are in progress", inc, len(k.hand))
	}
	from := k.asked[last.call].at
	if slices.ContainsFunc(s.events, func(e event) bool {
		return (e.kind == struck && e.op == opReceive || e.kind == hollow) && e.at >= from && e.at <= last.at
	}) {
		return // it was told that the queue was empty
	}
	for id, events := range s.byMessage {
		if id != "" && !s.fifo && events[0].at > s.purgedAt && visibleThroughout(events, from, last.at) {
			s.breachf(l.to, id, "life %d ends although a message was in the queue", inc)
		}
	}
}

// visibleThroughout reports whether a message of a standard queue was there to be
// received all the time, as far as its history tells.
func visibleThroughout(events []event, from, to time.Duration) bool {
	since, known := time.Duration(-1), false // visible since; -1: it is not there
	for _, e := range events {
		if e.at > to {
			break
		}
		switch e.kind {
		case sent: // noted by the sender, so it may come behind its first receive
			if !known {
				since = e.at
			}
		case delivered, changed:
			since, known = e.until, true
		case deleted, buried:
			since, known = -1, true
		}
	}
	return since >= 0 && since <= from
}

// outOfTime reports whether the error of a run says that something was left when its time to
// finish was over.
func outOfTime(err error) bool {
	return err != nil && strings.Contains(err.Error(), "stopped before all was settled")
}

// reached is when a life had received all messages that it was to receive; the end of time: it had not.
func (s *studied) reached(l *lived) time.Duration {
	received := 0
	for _, e := range l.events {
		if e.kind == answered && e.op == opReceive {
			if received += len(e.got); received >= s.options.MaxMessages {
				return e.at
			}
		}
	}
	return s.end
}

// finishesInTime checks that a life that has its messages ends within the time of a stop.
func (s *studied) finishesInTime(inc int, l *lived) {
	at := s.reached(l)
	if took := l.until(s) - at; !l.crashed && took > s.options.ShutdownTimeout+limitOfStop+10*time.Millisecond {
		s.breachf(l.until(s), "", "life %d takes %v after it had its messages at %v, want at most %v", inc, took, at, s.options.ShutdownTimeout+limitOfStop)
	}
}

func (s *studied) countsToTheEnd(inc int, l *lived) {
	s.finishesInTime(inc, l)
	k, most := s.ledgerOf(l), int64(s.options.MaxMessages)
	asked, calls := int64(0), 0 // messages that receives have asked for that are out; handler calls
	done := time.Duration(0)    // when all was received and settled
	for _, e := range l.events {
		if e.at > l.until(s) {
			break
		}
		if done > 0 && !k.unsure && e.at > done+soon {
			s.breachf(e.at, "", "life %d goes on although it had finished its %d messages at %v", inc, most, done)
			return
		}
		k.see(e)
		switch {
		case e.kind == batchBegan:
			calls++
		case e.kind == batchEnded:
			calls--
		case e.op != opReceive:
		case e.kind == called:
			asked += int64(e.n)
		case e.kind == answered:
			asked -= int64(k.asked[e.call].n)
		}
		if k.received+asked > most {
			s.breachf(e.at, "", "life %d has received %d messages and asks for %d, want no more than %d", inc, k.received, asked, most)
			return
		}
		if done == 0 && k.received == most && len(k.hand) == 0 && calls == 0 && asked == 0 {
			done = e.at
		}
	}
	if l.to > 0 && !l.crashed && !l.stopped() && l.err == nil && k.received != most {
		s.breachf(l.to, "", "life %d ends by itself after %d messages, want %d", inc, k.received, most)
	}
}
