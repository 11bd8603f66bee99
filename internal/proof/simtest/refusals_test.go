package simtest

import (
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/sluice-go/sluice/sqstest"
)

// A refused time is one in which SQS refuses some operations (F28): access, the queue's
// key, or the queue itself.
type refusedTime struct {
	window
	ops  []string
	what string
}

// refusedTimes draws them, and how long a run is patient with them. The dice are its own.
func (p *plan) refusedTimes() {
	r := die(p.seed).named("refusals").rand()
	if p.calm || r.Float64() >= 0.3 {
		return
	}
	p.options.GiveUpAfter = oneOf(r, 0, 0, -1, 10*time.Second, time.Minute)
	for range 1 + r.IntN(2) {
		t := refusedTime{what: oneOf(r, "access", "key", "queue"), ops: oneOf(r, consumerOps, []string{opReceive}, []string{opDelete}, []string{opChange}, []string{opDelete, opChange})}
		from := span(r, 0, p.active)
		t.window = window{fault: refusals, from: from, to: from + passesAfter(r)}
		p.refused = append(p.refused, t)
		p.active = max(p.active, t.to+time.Second)
	}
}

// passesAfter draws how long a refusal lasts: short ones are as frequent as long ones.
func passesAfter(r *rand.Rand) time.Duration {
	return span(r, time.Second, oneOf(r, 5*time.Second, time.Minute, 5*time.Minute))
}

func (t refusedTime) err() error {
	switch t.what {
	case "key":
		return sqstest.KMSAccessDenied()
	case "queue":
		return sqstest.NoSuchQueue()
	default:
		return sqstest.AccessDenied()
	}
}

// refuse lets the refused times meet calls.
func (w *world) refuse() {
	for _, t := range w.refused {
		for _, op := range t.ops {
			match := func(c sqstest.Call) bool {
				at := time.Since(w.hist.began)
				if c.Queue != w.aim(op) || at < t.from || at >= t.to {
					return false
				}
				w.strike(refusals, c)
				return true
			}
			w.removes = append(w.removes, w.server.Inject(sqstest.Fault{Op: op, Match: match, Err: t.err()}))
		}
	}
}

// refuses reports whether SQS refuses with the text of an error, which may pass.
func refuses(text string) bool {
	return slices.ContainsFunc([]string{"AccessDenied", "NonExistentQueue", "QueueDoesNotExist"}, func(code string) bool { return strings.Contains(text, code) })
}

// refusedEntirely reports whether an answer is a refusal of all that was asked for, as far as
// it is told by anything else than lost receipts.
func (e event) refusedEntirely() bool {
	if e.kind != answered || slices.Contains(e.ok, true) {
		return false
	}
	return e.err != nil && refuses(e.err.Error()) || slices.ContainsFunc(e.refused, refuses)
}

// isRefused reports whether a life may end by itself: it has never received and SQS refuses a call,
// or nothing but refusals of one operation came for as long as it was to be patient.
func (s *studied) isRefused(l *lived) bool {
	patience := s.options.GiveUpAfter
	if patience == 0 {
		patience = 5 * time.Minute // the default
	}
	worked, since, sent := false, map[string]time.Duration{}, map[int]time.Duration{}
	for _, e := range l.events {
		switch {
		case e.kind == called:
			sent[e.call] = e.at
		case e.kind != answered || e.op == opSend || l.to > 0 && e.at > l.to: // a dead letter that is refused is given back
		case e.refusedEntirely():
			from, before := since[e.op]
			if !before {
				since[e.op], from = e.at, e.at
			}
			if !worked || patience > 0 && e.at-from >= patience {
				return true
			}
		case e.err == nil && (e.op == opReceive || slices.Contains(e.ok, true)):
			worked = worked || e.op == opReceive
			if from, refused := since[e.op]; refused && sent[e.call] >= from {
				delete(since, e.op)
			}
		}
	}
	return false
}

// refusalsAreOutlived is a part of I7: while receives are refused they are tried again, one at a time and
// not in a hurry.
func (s *studied) refusalsAreOutlived(inc int, l *lived) {
	const least = 900 * time.Millisecond // between one that is refused and the next; a second, or less before the end of patience
	var refusedAt, sentAt time.Duration  // the newest refusal; zero: there is none
	sent, quick := map[int]time.Duration{}, 0
	for _, e := range l.events {
		switch {
		case e.op != opReceive:
		case e.kind == called:
			sent[e.call] = e.at
			if refusedAt > 0 && e.at < refusedAt+least {
				quick++
			}
			sentAt = e.at
		case e.kind == answered && e.err == nil:
			refusedAt, quick = 0, 0
		case e.refusedEntirely() && sent[e.call] >= sentAt:
			refusedAt = e.at
		case e.kind == answered && !e.refusedEntirely():
			quick = 0 // another failure has a back-off of its own
		}
		if quick > 2 {
			s.breachf(e.at, "", "life %d receives again and again although SQS refused at %v", inc, refusedAt)
			return
		}
	}
}
