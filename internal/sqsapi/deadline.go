package sqsapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// grace is how long a client may take to return after the end of its call's context.
	// One that returns when its context ends takes microseconds.
	grace = time.Second

	// mostStuck bounds the calls of a run that are over and whose client has not returned.
	// Each keeps a goroutine. At the bound, calls fail without being made.
	mostStuck = 100

	// maxAnswer bounds the body of an answer, in bytes. SQS gives ten messages of 1 MiB
	// at most (quotas, ReceiveMessage), and JSON may spend six bytes on one (\u0009).
	maxAnswer = 10*6<<20 + 1<<20 // the last MiB is for ids, receipt handles and digests
)

var (
	// errStuck is the error of a call that was not made.
	errStuck = fmt.Errorf("not made: %d calls have not returned although their contexts have ended", mostStuck)
	// errIgnored is the error of a call whose client has not returned.
	errIgnored = errors.New("the client has not returned although the call's context has ended")
	// errEnded is the error of a call whose client has ended its goroutine.
	errEnded = errors.New("the client has ended the goroutine of the call")
	// errTooLong is the error of an answer that is longer than any of SQS's.
	errTooLong = fmt.Errorf("the answer is longer than %d bytes, the most that SQS can give", maxAnswer)
)

// A lateError says that a call was cut by its deadline.
type lateError struct {
	after time.Duration // since the call began
	err   error         // what the client made of it
}

func (e *lateError) Error() string {
	return fmt.Sprintf("cut after %v: %v", e.after.Round(time.Millisecond), e.err)
}

// Unwrap returns what the client said, and that a deadline was exceeded.
func (e *lateError) Unwrap() []error { return []error{e.err, context.DeadlineExceeded} }

// A deadline is the context of one call, and its end. The limit moves on while an answer
// arrives: it is on silence, not on the length of the answer.
//
// Nobody waits longer than that, whatever the client does:
//
//  1. At the limit the timer fires and ends the context.
//  2. A second later it fires again. If the client has not returned it is left behind,
//     and overdue is called, once, on the timer's goroutine.
//
// The client's return wins or loses against each of these: stage decides.
type deadline struct {
	context.Context //nolint:containedctx // it is one; it ends at the limit, and with that of the caller

	parent context.Context //nolint:containedctx // the caller's
	cancel context.CancelCauseFunc
	timer  *time.Timer
	epoch  time.Time    // when it was made, at the start of its first call
	began  time.Time    // when the call began
	limit  atomic.Int64 // of silence, in nanoseconds since epoch
	stuck  *atomic.Int32
	stage  atomic.Int32
	spare  bool // the call is over, and another one may have it; owned by the caller's goroutine

	silence, lease time.Duration // after a sign of life; and after the first one of the body. 0: the limit stays
	overdue        overdue       // nil: the call is waited for

	values context.Context //nolint:containedctx // what else there is to find in the context; nil: nothing

	first time.Time // when the body of the answer began to arrive; zero: no such thing was seen; owned by the client's goroutine
	body  body
}

// An overdue is told that a client has not returned although its call is over.
type overdue interface{ overdue(err error) }

// The stages of a call.
const (
	underWay int32 = iota
	cut            // its context has ended
	stuck          // and the client has not returned
	finished
)

// newDeadline returns the context of a call that ends after limit, or with ctx: then the
// limit comes a little later, since two ends at one moment could come in either order.
func newDeadline(ctx context.Context, limit time.Duration, stuck *atomic.Int32) *deadline {
	now := time.Now()
	d := &deadline{parent: ctx, epoch: now, began: now, stuck: stuck}
	d.limit.Store(int64(after(ctx, limit)))
	d.Context, d.cancel = context.WithCancelCause(ctx)
	return d
}

// after returns limit, or what comes a little later than the end of ctx.
func after(ctx context.Context, limit time.Duration) time.Duration {
	if until, ok := ctx.Deadline(); ok && time.Until(until) <= limit {
		return time.Until(until) + grace
	}
	return limit
}

// again makes a spare deadline that of another call.
func (d *deadline) again(limit time.Duration) {
	d.began, d.first, d.spare = time.Now(), time.Time{}, false
	d.silence, d.lease = 0, 0
	d.limit.Store(int64(d.began.Sub(d.epoch) + after(d.parent, limit)))
	d.stage.Store(underWay)
}

// start starts the timer. The fields above are not written any more.
func (d *deadline) start() {
	left := time.Duration(d.limit.Load()) - d.began.Sub(d.epoch)
	if d.timer != nil {
		d.timer.Reset(left) // that of an earlier call, stopped before it fired
		return
	}
	d.timer = time.AfterFunc(left, d.fire)
}

// Deadline returns the limit as it stands.
func (d *deadline) Deadline() (time.Time, bool) {
	return d.epoch.Add(time.Duration(d.limit.Load())), true
}

// Err returns why the context has ended; nil: it has not.
func (d *deadline) Err() error {
	err := d.Context.Err()
	if err != nil && d.timedOut() {
		return context.DeadlineExceeded
	}
	return err
}

// deadlineKey is the key of a deadline in contexts that come from it.
type deadlineKey struct{}

// Value returns the deadline to those who have its key.
func (d *deadline) Value(key any) any {
	if key == (deadlineKey{}) {
		return d
	}
	if d.values != nil {
		if v := d.values.Value(key); v != nil {
			return v
		}
	}
	return d.Context.Value(key)
}

// timedOut reports whether the limit has ended the call.
func (d *deadline) timedOut() bool { return errors.Is(context.Cause(d.Context), errSilent) }

// errSilent is the cause of contexts that end by their limit.
var errSilent = fmt.Errorf("no sign of an answer: %w", context.DeadlineExceeded)

// fire is called by the timer, and by those that follow it.
func (d *deadline) fire() {
	if left := time.Duration(d.limit.Load()) - time.Since(d.epoch); left > 0 && d.stage.Load() == underWay {
		time.AfterFunc(left, d.fire) // bytes have arrived meanwhile
		return
	}
	switch {
	case d.stage.CompareAndSwap(underWay, cut):
		d.cancel(errSilent)
		if d.overdue != nil {
			time.AfterFunc(grace, d.fire)
		}
	case d.overdue != nil && d.stage.CompareAndSwap(cut, stuck):
		d.stuck.Add(1)
		d.overdue.overdue(d.late(errIgnored))
	}
}

// finish ends the deadline of a call that the client has returned from, and reports
// whether it was waited for. It may be called more than once; what counts is said the first
// time: whether another call may have the deadline, unless the timer has fired for this one.
// If none may, the context ends.
func (d *deadline) finish(reusable bool) (inTime bool) {
	was := d.stage.Swap(finished)
	if was != finished {
		stopped := d.timer.Stop()
		d.spare = reusable && stopped && was == underWay
	}
	if !d.spare {
		d.cancel(nil)
	}
	if was == stuck {
		d.stuck.Add(-1)
	}
	return was != stuck
}

// deadlines are those of calls that are over, for the next ones: making a context, having
// net/http make its own behind it, and a timer is a tenth of what a call costs in allocations.
//
// A context that does not end at the end of its call must be nobody's any more. So only calls
// that succeeded leave theirs, where the HTTP client and the credentials are net/http's and the
// SDK's own: see [Lean]. A dial for an earlier call may outlive it, and so may a refresh of
// credentials. These ask a context for values only, which never change.
type deadlines struct {
	mu   sync.Mutex
	list []*deadline // spare, and of calls of one kind
}

// take returns the deadline of a call.
func (s *deadlines) take(ctx context.Context, limit time.Duration, stuck *atomic.Int32) *deadline {
	s.mu.Lock()
	var d *deadline
	if n := len(s.list); n > 0 && s.list[n-1].parent == ctx {
		d, s.list[n-1] = s.list[n-1], nil
		s.list = s.list[:n-1]
	}
	s.mu.Unlock()
	if d == nil {
		return newDeadline(ctx, limit, stuck)
	}
	d.again(limit)
	return d
}

// leave ends a deadline, and keeps it if it is spare. It is the last that a call does with it.
func (s *deadlines) leave(d *deadline) {
	d.finish(false) // the client may have ended the goroutine
	if !d.spare {
		return
	}
	d.overdue, d.body = nil, body{} // else it would keep the messages of its call in memory
	s.mu.Lock()
	s.list = append(s.list, d)
	s.mu.Unlock()
}

// late returns err as that of a call that was cut, if it was.
func (d *deadline) late(err error) error {
	if err == nil || !d.timedOut() {
		return err
	}
	return &lateError{time.Since(d.began), err}
}

// alive notes a sign of life of the answer: some of its body, or only its headers, which a proxy
// may send before there is an answer.
func (d *deadline) alive(body bool) {
	if d.silence == 0 {
		return
	}
	now := time.Now()
	if body && d.first.IsZero() {
		d.first = now
	}
	limit := now.Sub(d.epoch) + d.silence
	if !d.first.IsZero() {
		limit = min(limit, d.first.Sub(d.epoch)+d.lease)
	}
	if int64(limit) > d.limit.Load() {
		d.limit.Store(int64(limit))
	}
}

// watch lets the deadline of a call see how its answer arrives, and bounds it.
func watch(ctx context.Context, answer *http.Response) {
	d, ok := ctx.Value(deadlineKey{}).(*deadline)
	if !ok || answer == nil || answer.Body == nil {
		return
	}
	d.alive(false)
	d.body = body{ReadCloser: answer.Body, deadline: d, left: maxAnswer}
	if answer.ContentLength > maxAnswer {
		d.body.left = 0
	}
	answer.Body = &d.body
}

// A body is the body of an answer.
type body struct {
	io.ReadCloser

	deadline *deadline
	left     int // bytes that may still come
}

// Read reads from the body, and notes that something came.
func (b *body) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, b.end()
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	if n > 0 {
		b.left -= n
		b.deadline.alive(true)
	}
	return n, err
}

// end returns what stands at the bound of a body: its end, or an error.
func (b *body) end() error {
	var more [1]byte
	n, err := b.ReadCloser.Read(more[:])
	if n > 0 {
		return errTooLong
	}
	return err
}

// An end takes what a client has returned, or that it has not.
type end chan error

func (e end) overdue(err error) { e <- err }

// detached makes a call on a goroutine of its own, which is left behind if the client
// does not return in time. It is for calls that are few: most pay for no goroutine.
func (q *Queue) detached(ctx context.Context, call func(*deadline) error) error {
	if q.stuck.Load() >= mostStuck {
		return errStuck
	}
	d, ended := newDeadline(ctx, callTimeout, &q.stuck), make(end, 1) // one of the two sends
	d.overdue = ended
	d.start()
	go func() {
		err := errEnded
		defer func() { // also when the client ends the goroutine
			if d.finish(false) {
				ended <- d.late(err)
			}
		}()
		err = call(d)
	}()
	return <-ended
}
