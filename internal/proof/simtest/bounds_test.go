package simtest

import "time"

// everythingIsBounded is I7: bounds at every event. Handler calls at once; the time
// of a handler's context; receives that fail one after another wait; a paused
// consumer sends no receive; methods that handlers may call do not wait. A run does
// not end by itself unless SQS refuses at its beginning or for long. While there is room, a receive
// ends at least every poll and 30 s.
func everythingIsBounded(s *studied) {
	for inc, l := range s.lives {
		s.callsAtOnce(inc, l)
		s.callsEnd(inc, l)
		s.pausesHold(inc, l)
		s.failuresWait(inc, l)
		s.receivesGoOn(inc, l)
		s.runsGoOn(inc, l)
		s.bytesFit(inc, l)
		s.refusalsAreOutlived(inc, l)
	}
	callsAreFew(s)
}

func (s *studied) callsAtOnce(inc int, l *lived) {
	calls := 0
	for _, e := range l.events {
		switch e.kind {
		case batchBegan:
			if calls++; calls > s.options.Concurrency {
				s.breachf(e.at, "", "life %d runs %d handler calls at once, want at most %d", inc, calls, s.options.Concurrency)
			}
		case batchEnded:
			calls--
		case waited:
			s.breachf(e.at, "", "life %d: a handler called a method that should not wait: %s", inc, e.note)
		}
	}
}

// callsEnd checks that a call's context ends when HandlerTimeout is over.
func (s *studied) callsEnd(inc int, l *lived) {
	limit := s.options.HandlerTimeout
	if limit == 0 {
		return
	}
	for call, events := range l.batches {
		from, to := events[0].at, events[len(events)-1].at
		if cut, isCut := l.deathOfContext[call]; to-from > limit+time.Second && (!isCut || cut > from+limit+time.Second) {
			s.breachf(to, "", "life %d: the context of a handler call outlives the handler timeout by %v", inc, to-from-limit)
		}
	}
}

func (s *studied) pausesHold(inc int, l *lived) {
	asleep := -time.Second
	on := false
	for _, e := range l.events {
		switch {
		case e.kind == paused:
			on, asleep = true, e.at
		case e.kind == resumed:
			on = false
		case e.kind == called && e.op == opReceive && on && e.at > asleep:
			s.breachf(e.at, "", "life %d receives although it was paused at %v", inc, asleep)
		}
	}
}

// failuresWait checks that receives do not fail faster than their back-off allows.
func (s *studied) failuresWait(inc int, l *lived) {
	const window, most = 10 * time.Second, 150 // of up to 8 receivers at the beginning of an outage
	var fails []time.Duration
	for _, e := range l.events {
		if e.kind != answered || e.op != opReceive {
			continue
		}
		if e.err == nil {
			fails = nil
			continue
		}
		fails = append(fails, e.at)
		if n := len(fails) - most; n >= 0 && e.at-fails[n] < window {
			s.breachf(e.at, "", "life %d: %d receives failed within %v", inc, most, e.at-fails[n])
			return
		}
	}
}

// receivesGoOn checks that a life with a free slot always has a receive that ends.
func (s *studied) receivesGoOn(inc int, l *lived) {
	const answers, backOff = 10 * time.Second, 30 * time.Second // for so long one is waited for beyond its poll, and a back-off may take
	longest := s.options.PollTime + answers + backOff + maxHold
	last, calls, on, received := l.from, 0, false, 0
	undeleted, returning, k := map[string]bool{}, map[string]bool{}, s.ledgerOf(l)
	for _, e := range append(l.events, event{kind: batchEnded, at: l.until(s)}) {
		if l.stopAt > 0 && e.at > l.stopAt || l.to > 0 && e.at > l.to {
			return
		}
		if k.stuffed() {
			last = e.at
		}
		// A life that cannot delete or give back what it holds does not receive more of it, until this
		// event perhaps.
		idle := calls < s.options.Concurrency && !on && len(undeleted)+k.alive(returning, e.at) <= 10*s.options.Receivers &&
			(s.mode != counted || received < s.options.MaxMessages)
		if idle && e.at-last > longest {
			s.breachf(e.at, "", "life %d has not received since %v", inc, last)
			return
		}
		k.see(e)
		switch {
		case e.kind == paused:
			on = true
		case e.kind == resumed:
			on, last = false, e.at
		case e.kind == batchBegan:
			calls++
		case e.kind == batchEnded:
			calls--
			if calls == s.options.Concurrency-1 {
				last = e.at
			}
		case e.kind == answered && e.op == opReceive:
			last = e.at
			received += len(e.got)
			for _, r := range e.got {
				delete(returning, r.message)
			}
		case e.kind == ended && e.verdict != failure:
			undeleted[e.message] = true
		case e.kind == called && e.op == opChange:
			for i, h := range e.handles {
				if k.gives[e.call][i] {
					returning[s.of[h]] = true
				}
			}
		case e.kind == answered && e.op == opChange:
			for i, h := range e.handles {
				if m := s.of[h]; returning[m] && (e.ok[i] || e.err == nil) {
					delete(returning, m)
					last = e.at
				}
			}
		case e.kind == answered && e.op == opDelete:
			for i, h := range e.handles {
				if e.ok[i] || e.err == nil {
					delete(undeleted, s.of[h])
				}
			}
			last = max(last, e.at)
		}
	}
}

// maxHold is the longest time for which receives are held back so that they come
// back fuller.
const maxHold = 5 * time.Second

// until is how far a life is known.
func (l *lived) until(s *studied) time.Duration {
	if l.to > 0 {
		return l.to
	}
	return s.end
}

// stopped reports whether a life's stop was asked for before it ended.
func (l *lived) stopped() bool { return l.stopAt > 0 && (l.to == 0 || l.stopAt <= l.to) }

// runsGoOn checks that a run ends only when it is asked to, or when SQS refuses at its
// beginning or for long.
func (s *studied) runsGoOn(inc int, l *lived) {
	if l.crashed || l.to == 0 || l.stopped() || (l.err == nil && (s.mode == drains || s.mode == counted)) {
		return // the last two are I14's
	}
	if s.isRefused(l) || s.mode == drains && outOfTime(l.err) || s.mode == counted && outOfTime(l.err) && l.to >= s.reached(l)+s.options.ShutdownTimeout {
		return
	}
	s.breachf(l.to, "", "life %d ends by itself: %v", inc, l.err)
}

// bytesFit checks that no receive goes out that would exceed the bound of bytes if its
// messages were as large as the newest one. One message may be asked for whatever its
// size when nothing is held and no other receive is out.
func (s *studied) bytesFit(inc int, l *lived) {
	most := s.options.BytesInFlight
	if most == 0 {
		return
	}
	k := s.ledgerOf(l)
	newest, asked := 0, 0
	for _, e := range l.events {
		for _, r := range e.got {
			if k.hand[r.message] == nil {
				newest = s.sizeOf(r.message)
			}
		}
		k.see(e)
		if e.at > l.until(s) || k.unsure {
			return
		}
		switch {
		case e.op != opReceive:
		case e.kind == called:
			asked += e.n
			if held := k.bytes(); held+asked*newest > most && (len(k.hand) > 0 || asked > 1) {
				s.breachf(e.at, "", "life %d holds %d bytes and asks for %d messages like one of %d, want at most %d", inc, held, asked, newest, most)
				return
			}
		case e.kind == answered:
			asked -= k.asked[e.call].n
		}
	}
}

// sizeOf is the size of a message in bytes.
func (w *world) sizeOf(id string) int { return w.sizes[w.numbers[id]] }

// limitOfStop is how long after its ShutdownTimeout a run may take to end.
const limitOfStop = 3 * time.Second

// stopsEnd is I9: a stop ends within its limit; afterwards no call and no handler
// start; with a healthy API nothing that succeeded is left undeleted, and
// everything unfinished is visible again at most 2 s later.
func stopsEnd(s *studied) {
	for inc, l := range s.lives {
		if l.crashed {
			continue
		}
		if l.to == 0 {
			s.breachf(s.end, "", "life %d never ends", inc)
			continue
		}
		if took := l.to - l.stopAt; l.stopped() && took > s.options.ShutdownTimeout+limitOfStop+10*time.Millisecond {
			s.breachf(l.to, "", "life %d ends %v after its stop, want at most %v", inc, took, s.options.ShutdownTimeout+limitOfStop)
		}
		for _, e := range l.events {
			if e.at > l.to && (e.kind == called || e.kind == batchBegan) {
				s.breachf(e.at, "", "life %d goes on after its end at %v: %v", inc, l.to, e)
			}
		}
		s.nothingLeft(inc, l)
	}
}

// lastResults is how long after it has ended their contexts a run settles what handlers
// return: later there is no time for a call. Those that go on for longer count as never
// returning.
const lastResults = 2 * time.Second

// nothingLeft checks what a life that ended by a stop leaves behind when SQS was
// healthy all the time from its stop on.
func (s *studied) nothingLeft(inc int, l *lived) {
	if !l.stopped() || s.meets(s.events, l.stopAt-time.Minute, l.to) {
		return
	}
	type fate struct {
		handle  string
		until   time.Duration
		done    bool
		good    bool // its handler said success, or that it failed: then its delay counts
		running bool // its handler call does not end
		settled bool // a call about it was confirmed, since then
	}
	held, away := map[string]*fate{}, map[string]bool{}
	there := map[string]bool{} // received since the queue was made
	for _, e := range s.events {
		if e.at > l.to {
			break
		}
		if e.kind == gone {
			clear(held) // the queue was deleted, and all in it
			clear(there)
			continue
		}
		there[e.message] = there[e.message] || e.kind == delivered
		f := held[e.message]
		away[e.message] = away[e.message] || e.kind == deleted || e.kind == buried
		switch {
		case e.inc == inc && e.kind == answered:
			for _, r := range e.got {
				if !there[r.message] {
					continue // the answer was on its way when the queue was deleted
				}
				before := held[r.message]
				settling := before != nil && before.done && !before.settled // with its newer receipt, when this answer is there
				held[r.message] = &fate{
					handle: r.handle, until: l.to + time.Hour, done: away[r.message] || settling,
					running: before != nil && before.running, // a duplicate of what is being handled
				}
			}
			for i, h := range e.handles {
				if f := held[s.of[h]]; f != nil && f.handle == h {
					f.settled = f.settled || e.ok[i]
				}
			}
		case e.inc == inc && (e.kind == batchBegan || e.kind == batchEnded || e.kind == wentAway):
			for _, h := range l.batches[e.call][0].handles {
				if other := held[s.of[h]]; other != nil {
					cut := l.deathOfContext[e.call]
					other.running = e.kind == batchBegan || cut > 0 && e.at > cut+lastResults
					limited := e.kind == batchEnded && cut > 0 && cut < l.stopAt+s.options.ShutdownTimeout
					other.done = other.done || limited || e.kind == wentAway // all have failed: their delays count
				}
			}
		case f == nil:
		case e.kind == deleted || e.kind == buried:
			f.done = true
		case e.kind == changed && e.handle == f.handle:
			f.until = e.until
		case e.kind == delivered:
			f.done = true // somebody else's
		case e.inc == inc && e.kind == began:
			f.good = false
		case e.inc == inc && e.kind == ended:
			f.good = !s.void[handling{e.call, e.message}] && l.deathOfContext[e.call] == 0 && e.verdict != failure
			if cut := l.deathOfContext[e.call]; e.verdict == failure && (e.note == delayed || cut < l.stopAt+s.options.ShutdownTimeout || e.at < cut) {
				f.done, f.settled = true, false // it failed by itself: its delay counts
			}
		}
	}
	for id, f := range held {
		switch {
		case f.done || f.running || s.undecodable(id) || s.meets(s.byMessage[id], 0, l.to):
		case f.good:
			s.breachf(l.to, id, "life %d ends and leaves a message undeleted that it handled with success", inc)
		case f.until > l.to+2*time.Second && !s.fifo:
			s.breachf(l.to, id, "life %d ends and leaves a message hidden that it has not finished", inc)
		}
	}
}

// batchesKeepTheirMeasure is I10: batches have their size, and in a calm world they
// wait no longer than their wait time while a slot is free; only the failed are
// tried again, and not at once. None begins without lease margin.
func batchesKeepTheirMeasure(s *studied) {
	for inc, l := range s.lives {
		s.sizes(inc, l)
		s.margins(inc, l)
		s.windows10(inc, l)
		s.onlyTheFailed(inc, l)
		s.noHurry(inc, l)
	}
}

func (s *studied) sizes(inc int, l *lived) {
	for _, e := range l.events {
		if e.kind == batchBegan && (e.n > s.options.BatchSize || e.n == 0) {
			s.breachf(e.at, "", "life %d is given a batch of %d, want 1 to %d", inc, e.n, s.options.BatchSize)
		}
	}
}

// margins checks that no message is handed over with too little of its lease left: a
// tenth of the visibility timeout, or 30 s if that is less. Before half of the timeout
// since its receive was sent has passed, not even the first renewal is due.
func (s *studied) margins(inc int, l *lived) {
	v, k := s.options.VisibilityTimeout, s.ledgerOf(l)
	for _, e := range l.events {
		if e.at > l.until(s) {
			return
		}
		for _, h := range e.handles {
			m := k.hand[s.of[h]]
			if e.kind == batchBegan && m != nil && e.at >= m.sent+v/2 && m.until-e.at < min(v/10, 30*time.Second) {
				s.breachf(e.at, s.of[h], "life %d hands a message over whose lease ends at %v", inc, m.until)
			}
		}
		k.see(e)
	}
}

func (s *studied) windows10(inc int, l *lived) {
	if !s.calm || s.fifo {
		return
	}
	arrived := map[string]time.Duration{}
	calls, free := 0, time.Duration(0)
	for _, e := range l.events {
		switch e.kind {
		case answered:
			for _, r := range e.got {
				arrived[r.message] = e.at
			}
		case batchBegan:
			calls++
			wait := s.options.WaitTime
			if s.options.BatchSize == 1 {
				wait = 0
			}
			if due := max(arrived[s.of[e.handles[0]]]+wait, free); e.at > due+10*time.Millisecond {
				s.breachf(e.at, s.of[e.handles[0]], "life %d hands over a batch %v too late", inc, e.at-due)
			}
		case batchEnded:
			if calls == s.options.Concurrency {
				free = e.at
			}
			calls--
		}
	}
}

// onlyTheFailed checks that on a standard queue each message of a call that was not
// cut is handled.
func (s *studied) onlyTheFailed(inc int, l *lived) {
	if s.fifo {
		return
	}
	for call, events := range l.batches {
		seen := map[string]bool{}
		over := false
		for _, e := range events {
			seen[e.message] = seen[e.message] || e.kind == began
			over = over || e.kind == batchEnded
			if e.kind == wentAway {
				over = false
				break
			}
		}
		if _, cut := l.deathOfContext[call]; cut || !over {
			continue
		}
		for _, h := range events[0].handles {
			if m := s.of[h]; !seen[m] && !s.undecodable(m) {
				s.breachf(events[0].at, m, "life %d: the handler never saw a message of its batch", inc)
			}
		}
	}
}

// undecodable reports whether the body of a message cannot be decoded.
func (w *world) undecodable(id string) bool {
	number, known := w.numbers[id]
	return known && w.bad[number]
}

// noHurry checks that a message that failed stays hidden for its delay: the default
// one is nine tenths of the visibility timeout at least, or what is left of 12 h.
func (s *studied) noHurry(inc int, l *lived) {
	if s.fifo || s.options.RetryDelay != nil {
		return
	}
	failed, received := map[string]bool{}, map[string]time.Duration{}
	short := func(e event, i int) bool {
		const longestPoll = 20 * time.Second // 12 h count from the receive's request
		want := s.options.VisibilityTimeout * 8 / 10
		return e.timeouts[i] < want && e.at+want < received[s.of[e.handles[i]]]+12*time.Hour-longestPoll
	}
	for _, e := range l.events {
		switch {
		case e.kind == stopAsked:
			return
		case e.kind == ended:
			_, cut := l.deathOfContext[e.call]
			failed[e.message] = e.note == plain && !cut
		case e.kind == answered:
			for _, r := range e.got {
				failed[r.message] = false // a copy of it, which has not been handled yet
				received[r.message] = e.at
			}
		case e.kind == called && e.op == opChange:
			for i, h := range e.handles {
				if failed[s.of[h]] && short(e, i) {
					s.breachf(e.at, s.of[h], "life %d gives a message that failed back after %v", inc, e.timeouts[i])
				}
			}
		}
	}
}
