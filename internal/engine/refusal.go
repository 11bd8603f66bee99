package engine

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/sluice-go/sluice/internal/fault"
)

const (
	// A policy takes seconds to minutes to be known everywhere, so there is no hurry.
	firstRefusal   = time.Second
	longestRefusal = 30 * time.Second

	// sameFor is how long after a refusal another one counts as the same. It is longer than
	// the longest wait for the next receive and the longest time that one takes.
	sameFor = 90 * time.Second

	sayAgain = time.Minute // between the log lines about one refusal
)

// The operations, by the names that SQS has for them.
const (
	opReceive = "ReceiveMessage"
	opDelete  = "DeleteMessageBatch"
	opChange  = "ChangeMessageVisibilityBatch"
	opSend    = "SendMessage"
)

// purposes are what calls are made for.
var purposes = []struct{ op, purpose string }{
	{opReceive, "receiving from"},
	{opDelete, "deleting messages of"},
	{opChange, "changing the visibility of messages of"},
	{opSend, "sending to the dead-letter queue"},
}

// refusals are what SQS refuses. The loop owns them.
type refusals struct {
	e  *Engine
	of map[string]*refusal // by operation
}

// A refusal is what SQS has refused since a time, and nothing else.
type refusal struct {
	err    error
	since  time.Time
	latest time.Time // the newest refusal
	said   time.Time // when a log line told of it

	tries int       // receives that were sent one after the other
	again time.Time // when the next one may go out
	asked bool      // it has gone out
}

// heard looks at what SQS said of the entries of a call. A call of which an entry was
// granted was not refused.
func (r *refusals) heard(op string, sent time.Time, errs []error, now time.Time) {
	var refused error
	for _, err := range errs {
		switch {
		case err == nil:
			r.granted(op, sent, now)
			return
		case refused == nil && fault.Of(err).Kind == fault.Refused:
			refused = fault.Of(err).Err
		}
	}
	if refused != nil {
		r.refused(op, refused, now)
	}
}

// refused notes that SQS has refused a call. The run ends when it has never received, and
// when nothing else was heard of such calls for Settings.GiveUpAfter. A dead letter ends no
// run: its message is released.
func (r *refusals) refused(op string, err error, now time.Time) {
	if r.e.stop.begun() {
		return // nothing is begun any more, and the report says what was not settled
	}
	f := r.of[op]
	if f == nil || now.Sub(f.latest) > sameFor {
		f = &refusal{since: now}
		r.of[op] = f
	}
	f.err, f.latest = err, now
	r.e.Counters.Refusing(r.e.describe(op, err))
	patience := r.e.GiveUpAfter
	switch {
	case op == opSend:
	case !r.e.receives.worked:
		r.e.fail(op, err, now)
	case patience >= 0 && now.Sub(f.since) >= patience:
		r.e.fail(op, fmt.Errorf("refused for %v: %w", now.Sub(f.since).Round(time.Second), err), now)
	}
}

// patience is how long a dead letter that is refused is sent again. Negative: for as long as
// its lease lasts. At the end of a run it is not, so that its message is released in time.
func (r *refusals) patience() time.Duration {
	if r.e.stop.begun() {
		return 0
	}
	return r.e.GiveUpAfter
}

// receiveRefused is refused for a receive. Those that were out together count as one try.
func (r *refusals) receiveRefused(a *received, err error, now time.Time) {
	r.refused(opReceive, err, now)
	f := r.of[opReceive]
	if f == nil || f.tries > 0 && !a.probe {
		return
	}
	f.tries++
	bound := min(longestRefusal, 2*firstRefusal<<min(f.tries-1, 10))
	f.again = now.Add(bound/2 + time.Duration(r.e.Rand()*float64(bound/2)))
	if last := f.since.Add(r.e.GiveUpAfter); r.e.GiveUpAfter > 0 && f.again.After(last) {
		f.again = last
	}
}

// granted notes that SQS has not refused a call that was sent at the given time.
func (r *refusals) granted(op string, sent, now time.Time) {
	if f := r.of[op]; f != nil && !sent.Before(f.since) {
		r.forget(op, now)
	}
}

// forget notes that nothing of an operation is known any more to be refused.
func (r *refusals) forget(op string, now time.Time) {
	r.e.Told.Log(slog.LevelInfo, "not refused any more", "call", op, "since", r.of[op].since)
	delete(r.of, op)
	if len(r.of) == 0 {
		r.e.Counters.Refusing(nil)
	}
	r.remind(now)
}

// remind tells Health what is refused, and the log once a minute. It forgets refusals of
// which nothing was heard for long: of deletes when there are none to be made, say.
func (r *refusals) remind(now time.Time) {
	if len(r.of) == 0 || r.e.stop.begun() { // the end of the run says it
		return
	}
	var newest *refusal
	var call string
	for _, p := range purposes {
		f := r.of[p.op]
		switch {
		case f == nil:
			continue
		case now.Sub(f.latest) > sameFor:
			r.forget(p.op, now)
			return
		case newest == nil || f.latest.After(newest.latest):
			newest, call = f, p.op
		}
		if now.Sub(f.said) >= sayAgain {
			f.said = now
			r.e.Told.Log(slog.LevelWarn, "SQS refuses a call", "call", p.op, "since", f.since, "error", f.err)
		}
		r.e.loop.WakeAt(f.said.Add(sayAgain))
	}
	r.e.Counters.Refusing(r.e.describe(call, newest.err))
}

// mayReceive reports whether a receive may go out although receives are refused: one at a time
// finds out whether they still are. Else it may at the given time, or when that one is back.
func (r *refusals) mayReceive(now time.Time) (ok bool, at time.Time) {
	f := r.of[opReceive]
	switch {
	case f == nil:
		return true, time.Time{}
	case f.asked:
		return false, time.Time{}
	default:
		return !now.Before(f.again), f.again
	}
}

// probes notes that a receive goes out, and reports whether it is one that finds out.
func (r *refusals) probes() bool {
	f := r.of[opReceive]
	if f != nil {
		f.asked = true
	}
	return f != nil
}

// probed notes that a receive is back.
func (r *refusals) probed(a *received) {
	if f := r.of[opReceive]; f != nil && a.probe {
		f.asked = false
	}
}

// fail ends the run because of the error of a call, which will not pass or has not for long.
func (e *Engine) fail(op string, err error, now time.Time) {
	if e.stop.fatal == nil {
		e.stop.fatal = fmt.Errorf("sluice: %w", e.describe(op, err))
		e.Told.Log(slog.LevelError, "the run ends", "call", op, "error", err)
	}
	e.stop.ask(now)
}

// describe returns in one sentence which call about which queue failed, and why.
func (e *Engine) describe(op string, err error) error {
	to, how, what := e.Queue, op, op
	if op == opSend {
		to = e.DeadLetterQueue
	}
	if e.Region != "" {
		how += ", region " + e.Region
	}
	for _, p := range purposes {
		if p.op == op {
			what = p.purpose
		}
	}
	return fmt.Errorf("%s %s (%s): %w", what, to, how, err)
}
