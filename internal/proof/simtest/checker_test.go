package simtest

import (
	"fmt"
	"slices"
	"time"
)

// A breach is an invariant that does not hold.
type breach struct {
	invariant string
	at        time.Duration
	message   string // id; "": none in particular
	text      string
}

// check holds a world's history against every invariant.
func check(w *world) (broken []breach) {
	s := study(w)
	invariants := []struct {
		name string
		test func(*studied)
	}{
		{"I1", onlySuccessIsDeleted},
		{"I2", nothingIsLost},
		{"I3", eachRepetitionHasACause},
		{"I4", noMessageTwiceAtOnce},
		{"I5", groupsStayInOrder},
		{"I6", handlersHaveLeases},
		{"I7", everythingIsBounded},
		{"I8", backlogsDrain},
		{"I9", stopsEnd},
		{"I10", batchesKeepTheirMeasure},
		{"I11", calmWorldsReceiveOnce},
		{"I12", countsAgree},
		{"I13", secretsStaySecret},
		{"I14", runsEndByThemselves},
		{"I15", loadsAreFollowed},
	}
	for _, i := range invariants {
		s.invariant = i.name
		i.test(s)
	}
	return s.broken
}

// A studied history is one that can be asked about messages, lives and calls.
type studied struct {
	*world
	events     []event
	byMessage  map[string][]event // those that concern one message
	of         map[string]string  // receipt handle → message
	lives      map[int]*lived
	void       map[handling]bool // successes that do not count, see voidSuccesses
	calmAt     time.Duration     // when faults ended
	purgedAt   time.Duration     // when the queue was deleted last; -1: never
	end        time.Duration
	hollows    []time.Duration // when answers were empty by chance
	meanAnswer float64         // messages of an answer that has any
	asked      int             // messages that had to be received in time
	late       int             // those of them that were left for longer than is granted

	invariant string
	counts    map[string]int // breaches, by invariant
	broken    []breach
}

// A handling is one message in one handler call.
type handling struct {
	call    int
	message string
}

// lived is what a life did.
type lived struct {
	events         []event
	from, to       time.Duration // to: of its run or of its crash; 0: it has not ended
	stopAt         time.Duration // when its stop was asked for first; 0: never
	crashed        bool
	err            error
	batches        map[int][]event // handler calls
	deathOfContext map[int]time.Duration
}

// study makes the world's history ready for questions, once.
func study(w *world) *studied {
	if w.studied != nil {
		return w.studied
	}
	answers, got := 0, 0
	s := &studied{
		world: w, events: w.hist.events, byMessage: map[string][]event{}, of: map[string]string{}, lives: map[int]*lived{}, counts: map[string]int{}, purgedAt: -1,
	}
	for _, e := range s.events {
		if e.kind == delivered {
			s.of[e.handle] = e.message
		}
		switch e.kind {
		case calmed:
			s.calmAt = e.at
		case gone:
			s.purgedAt = e.at
		case hollow:
			s.hollows = append(s.hollows, e.at)
		}
		s.end = e.at
		if e.message != "" {
			s.byMessage[e.message] = append(s.byMessage[e.message], e)
		}
		for _, h := range e.handles {
			s.byMessage[s.of[h]] = append(s.byMessage[s.of[h]], e)
		}
		if len(e.got) > 0 {
			answers++
			got += len(e.got)
		}
		for _, r := range e.got {
			s.byMessage[r.message] = append(s.byMessage[r.message], e)
		}
		if e.inc > 0 {
			s.life(e.inc).note(e)
		}
	}
	s.meanAnswer = float64(got) / float64(max(1, answers))
	s.voidSuccesses()
	w.studied = s
	return s
}

// voidSuccesses finds the successes that do not count. In one call of a FIFO queue
// those of messages behind the first one of their group that failed: they are not
// deleted before it, and so they are handled again, in their order. And those in a
// call whose goroutine the handler ended, since that call returned no result.
func (s *studied) voidSuccesses() {
	s.void = map[handling]bool{}
	for _, l := range s.lives {
		for call, events := range l.batches {
			away := slices.ContainsFunc(events, func(e event) bool { return e.kind == wentAway })
			if !away && !s.fifo {
				continue
			}
			good, halted, group := map[string]bool{}, map[string]bool{}, map[string]string{}
			for _, e := range events {
				if e.kind == ended && e.verdict != failure {
					good[e.message] = true
				}
			}
			for _, h := range events[0].handles {
				m := s.of[h]
				group[m] = s.groupOf(m)
				if (away || halted[group[m]]) && good[m] {
					s.void[handling{call, m}] = true
				}
				if !good[m] {
					halted[group[m]] = true
				}
			}
		}
	}
}

func (s *studied) life(inc int) *lived {
	if s.lives[inc] == nil {
		s.lives[inc] = &lived{batches: map[int][]event{}, deathOfContext: map[int]time.Duration{}}
	}
	return s.lives[inc]
}

func (l *lived) note(e event) {
	l.events = append(l.events, e)
	switch e.kind {
	case runBegan:
		l.from = e.at
	case runEnded:
		l.to, l.err = e.at, e.err
	case crashed:
		if l.to == 0 { // else its run had ended by itself, and it waited for its supervisor
			l.to, l.crashed = e.at, true
		}
	case stopAsked:
		if l.stopAt == 0 {
			l.stopAt = e.at
		}
	case began, ended, batchBegan, batchEnded, wentAway, panicked:
		l.batches[e.call] = append(l.batches[e.call], e)
	case cancelled:
		l.deathOfContext[e.call] = e.at
	}
}

// breachf notes a breach of the invariant that is being tested.
func (s *studied) breachf(at time.Duration, message, format string, args ...any) {
	const enough = 3 // of one invariant, in one world
	if s.counts[s.invariant]++; s.counts[s.invariant] <= enough {
		s.broken = append(s.broken, breach{s.invariant, at, message, fmt.Sprintf(format, args...)})
	}
}

// onlySuccessIsDeleted is I1: a delete only after a success of a delivery of that
// message. A message that its handler discarded, or sent to the dead-letter queue,
// may be deleted too.
func onlySuccessIsDeleted(s *studied) {
	type key struct {
		inc     int
		message string
	}
	allowed := map[key]bool{}
	for _, e := range s.events {
		switch {
		case e.kind == ended && e.verdict != failure:
			allowed[key{e.inc, e.message}] = true
		case e.kind == called && e.op == opDelete:
			for _, h := range e.handles {
				if m := s.of[h]; !allowed[key{e.inc, m}] {
					s.breachf(e.at, m, "life %d deletes a message of which none of its handlers said success", e.inc)
				}
			}
		}
	}
}

// nothingIsLost is I2: in the end each sent message is deleted after a success, or
// in the dead-letter queue, or still in the queue. Only a queue that was deleted
// takes its messages with it.
func nothingIsLost(s *studied) {
	s.deadLettersArrive()
	left := map[string]bool{}
	for _, m := range s.rest {
		left[m.ID] = true
	}
	for _, m := range s.graveyard {
		left[m.ID] = true
	}
	for id, events := range s.byMessage {
		if id == "" {
			continue
		}
		sentAt := time.Duration(-1)
		ended := false
		for _, e := range events {
			switch e.kind {
			case sent:
				sentAt = e.at
			case deleted:
				ended = true
			}
		}
		if sentAt >= 0 && !ended && !left[id] && sentAt > s.purgedAt {
			s.breachf(s.end, id, "a message is lost")
		}
	}
}

// deadLettersArrive checks that a message that its handler sent to the dead-letter
// queue is there before it is deleted. It may be there twice: a send whose answer is
// lost is made again.
func (s *studied) deadLettersArrive() {
	type key struct {
		inc     int
		message string
	}
	there, said := map[string]bool{}, map[key]verdict{}
	for _, e := range s.events {
		switch {
		case e.kind == laid:
			there[e.message] = true
		case e.kind == ended && !s.void[handling{e.call, e.message}]:
			said[key{e.inc, e.message}] = e.verdict
		case e.kind == called && e.op == opDelete:
			for _, h := range e.handles {
				if m := s.of[h]; said[key{e.inc, m}] == deadLetter && !there[m] {
					s.breachf(e.at, m, "life %d deletes a message that has not come to the dead-letter queue", e.inc)
				}
			}
		}
	}
}

// eachRepetitionHasACause is I3: each execution of a message after one that
// succeeded is attributed to an injected fault that met the message, its life or
// the answer that brought it; in calm worlds there is none.
func eachRepetitionHasACause(s *studied) {
	for id, events := range s.byMessage {
		succeededIn := 0 // life
		var at time.Duration
		for _, e := range events {
			switch {
			case e.kind == ended && e.verdict != failure && !s.void[handling{e.call, id}]:
				succeededIn, at = e.inc, e.at
			case e.kind == began && succeededIn > 0:
				if !s.excused(id, succeededIn, at, e.at) {
					s.breachf(e.at, id, "life %d handles a message that life %d handled with success at %v, and no fault explains it", e.inc, succeededIn, at)
				}
			}
		}
	}
}

// excused reports whether a fault explains that a message that a life handled with
// success at a time was received once more before another: one that met the
// message itself, or the way between that life and SQS.
func (s *studied) excused(id string, inc int, success, again time.Duration) bool {
	l := s.lives[inc]
	if l.crashed && l.to <= again {
		return true
	}
	received := time.Duration(0)
	for _, e := range s.byMessage[id] {
		if e.kind == delivered && e.at <= success {
			received = e.at
			break
		}
	}
	if s.meets(s.byMessage[id], received, again) || s.meets(l.events, received, again) {
		return true
	}
	const longestPoll = 20 * time.Second // a fault meets a receive when it arrives, messages come up to a poll later
	for _, e := range s.events {
		if e.kind == struck && len(e.handles) == 0 && e.message == "" && e.inc == 0 && e.at >= received-longestPoll && e.at <= again {
			return true
		}
	}
	return s.overran(inc, id)
}

func (*studied) meets(events []event, from, to time.Duration) bool {
	return slices.ContainsFunc(events, func(e event) bool { return e.kind == struck && e.at >= from && e.at <= to })
}

// overran reports whether a handling of a message by a life was cut: by its limit, or
// by a stop. A success after that may come too late to be of use.
func (s *studied) overran(inc int, id string) bool {
	for _, e := range s.byMessage[id] {
		if e.inc == inc && e.kind == began {
			if _, cut := s.lives[inc].deathOfContext[e.call]; cut {
				return true
			}
		}
	}
	return false
}

// noMessageTwiceAtOnce is I4: in one process no message is handled twice at the
// same time.
func noMessageTwiceAtOnce(s *studied) {
	for inc, l := range s.lives {
		live := map[string]bool{}
		for _, e := range l.events {
			switch e.kind {
			case began:
				if live[e.message] {
					s.breachf(e.at, e.message, "life %d handles a message twice at the same time", inc)
				}
				live[e.message] = true
			case ended:
				live[e.message] = false
			}
		}
	}
}

// calmWorldsReceiveOnce is I11: in a calm world, rolling deploys included, each
// message is received once and handled once.
func calmWorldsReceiveOnce(s *studied) {
	if !s.calm {
		return
	}
	for _, e := range s.events {
		if e.kind == answered && e.err != nil && e.op != opChange { // nothing but the library itself can have cut it; a renewal may end with the run, its message being deleted
			s.breachf(e.at, "", "life %d cuts a call of %s in a calm world: %v", e.inc, e.op, e.err)
		}
	}
	for id, events := range s.byMessage {
		receives, runs := 0, 0
		for _, e := range events {
			switch e.kind {
			case delivered:
				receives++
			case began:
				runs++
			}
		}
		if id != "" && (receives != 1 || runs != 1) {
			s.breachf(events[len(events)-1].at, id, "a message is received %d times and handled %d times in a calm world", receives, runs)
		}
	}
}

// secretsStaySecret is I13: no body, handle or credential is in any log line or error.
func secretsStaySecret(s *studied) {
	for line := range s.hist.said {
		s.leaks(line)
	}
}
