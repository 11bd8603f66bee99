package sluice

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/sluice-go/sluice/internal/queue"
)

const (
	// A policy takes seconds to minutes to be known everywhere, so there is no hurry.
	firstRefusal   = time.Second
	longestRefusal = 30 * time.Second

	// apart is how long after a refusal another one counts as the same. It is longer than
	// the longest wait for the next receive and the longest time that one takes.
	apart = 90 * time.Second

	sayAgain = time.Minute // between the log lines about one refusal
)

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

// heard looks at what SQS said of the entries of a call. The goroutine of the call calls it.
// A call of which an entry was granted was not refused.
func (r *run) heard(op string, sent time.Time, errs []error) {
	var refused error
	for _, err := range errs {
		switch {
		case err == nil && r.refusing.Load():
			r.loop.Leave(doing(func() { r.granted(op, sent) }))
			return
		case err == nil:
			return
		case refused == nil && queue.ClassifyEntry(err) == queue.Refused:
			refused = err
		}
	}
	if refused != nil {
		r.loop.Leave(doing(func() { r.refused(op, refused) }))
	}
}

// refused notes that SQS has refused a call. The run ends when it has never received, and
// when nothing else was heard of such calls for Options.GiveUpAfter. A dead letter
// ends no run: the settler gives it back.
func (r *run) refused(op string, err error) {
	if r.closing {
		return // nothing is begun any more, and the report tells what could not be settled
	}
	now := time.Now()
	f := r.refusals[op]
	if f == nil || now.Sub(f.latest) > apart {
		f = &refusal{since: now}
		r.refusals[op] = f
		r.refusing.Store(true)
	}
	f.err, f.latest = err, now
	r.c.tally.Refusing(r.c.failure(op, err))
	patience := r.opts.GiveUpAfter
	switch {
	case op == queue.OpSend:
	case !r.worked:
		r.fail(op, err)
	case patience >= 0 && now.Sub(f.since) >= patience:
		r.fail(op, fmt.Errorf("refused for %v: %w", now.Sub(f.since).Round(time.Second), err))
	}
	r.remind(now)
}

// patienceWithLetters is how long a dead letter that is refused is sent again: not at all when the
// run ends, so that its message is given back in time. A goroutine of the settler calls it.
func (r *run) patienceWithLetters() time.Duration {
	if r.ending.Load() {
		return 0
	}
	return r.opts.GiveUpAfter
}

// receiveRefused is refused for a receive. Those that were out together count as one try.
func (r *run) receiveRefused(a *answer, now time.Time) {
	r.refused(queue.OpReceive, a.err)
	f := r.refusals[queue.OpReceive]
	if f == nil || f.tries > 0 && !a.probe {
		return
	}
	f.tries++
	bound := min(longestRefusal, 2*firstRefusal<<min(f.tries-1, 10))
	f.again = now.Add(bound/2 + time.Duration(r.opts.rand()*float64(bound/2)))
	if last := f.since.Add(r.opts.GiveUpAfter); r.opts.GiveUpAfter > 0 && f.again.After(last) {
		f.again = last
	}
}

// granted notes that SQS has not refused a call that was sent at the given time.
func (r *run) granted(op string, sent time.Time) {
	if f := r.refusals[op]; f != nil && !sent.Before(f.since) {
		r.allowed(op)
	}
}

// allowed notes that nothing is known any more to be refused of an operation.
func (r *run) allowed(op string) {
	r.log(slog.LevelDebug, "not refused any more", "queue", r.c.url, "call", op, "since", r.refusals[op].since)
	delete(r.refusals, op)
	r.refusing.Store(len(r.refusals) > 0)
	if len(r.refusals) == 0 {
		r.c.tally.Refusing(nil)
	}
	r.remind(time.Now())
}

// remind tells Health what is refused, and the log once a minute. It forgets what nothing was
// heard of for long: of deletes when there are none to be made, say.
func (r *run) remind(now time.Time) {
	if len(r.refusals) == 0 || r.closing { // the end of the run says it
		return
	}
	var newest *refusal
	var call string
	for _, op := range queue.Operations {
		f := r.refusals[op]
		switch {
		case f == nil:
			continue
		case now.Sub(f.latest) > apart:
			r.allowed(op)
			return
		case newest == nil || f.latest.After(newest.latest):
			newest, call = f, op
		}
		if now.Sub(f.said) >= sayAgain {
			f.said = now
			r.log(slog.LevelWarn, "SQS refuses a call", "queue", r.c.url, "call", op, "since", f.since, "err", f.err)
		}
		r.loop.WakeAt(f.said.Add(sayAgain))
	}
	r.c.tally.Refusing(r.c.failure(call, newest.err))
}

// mayReceive reports whether a receive may go out although receives are refused: one at a time
// finds out whether they still are. Else it may at the given time, or when that one is back.
func (r *run) mayReceive(now time.Time) (ok bool, at time.Time) {
	f := r.refusals[queue.OpReceive]
	switch {
	case f == nil:
		return true, time.Time{}
	case f.asked:
		return false, time.Time{}
	default:
		return !now.Before(f.again), f.again
	}
}

// probes notes whether a receive that goes out is one that finds out.
func (r *run) probes() bool {
	f := r.refusals[queue.OpReceive]
	if f != nil {
		f.asked = true
	}
	return f != nil
}

// probed notes that a receive is back.
func (r *run) probed(a *answer) {
	if f := r.refusals[queue.OpReceive]; f != nil && a.probe {
		f.asked = false
	}
}

// purposes are what calls are made for.
var purposes = map[string]string{
	queue.OpReceive: "receiving from", queue.OpDelete: "deleting messages of",
	queue.OpChange: "changing the visibility of messages of", queue.OpSend: "sending to the dead-letter queue",
}

// failure tells in one sentence which call about which queue failed, and why.
func (c *Consumer) failure(op string, err error) error {
	to, how := c.url, op
	if op == queue.OpSend {
		to = c.opts.DeadLetterQueueURL
	}
	if c.region != "" {
		how += ", region " + c.region
	}
	return fmt.Errorf("%s %s (%s): %w", purposes[op], to, how, err)
}
