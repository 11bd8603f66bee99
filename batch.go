package sluice

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/sluice-go/sluice/internal/order"
)

// An Item is a message with its decoded body.
type Item[T any] struct {
	*Message
	Value T
}

// BatchJSON makes a [Handler] of a function that takes a batch with the messages'
// bodies decoded from JSON. Messages whose body cannot be decoded fail and are not
// passed to fn, on a FIFO queue with those behind them in their message group; if
// there are no others, fn is not called.
func BatchJSON[T any](fn func(ctx context.Context, batch []Item[T]) error) Handler {
	if fn == nil {
		return nil
	}
	return func(ctx context.Context, batch []*Message) error {
		var errs []error
		var halted groups
		items := make([]Item[T], 0, len(batch))
		for _, m := range batch {
			if m.fifo() && halted[m.group()] {
				errs = append(errs, Failed(m, errUnhandled))
				continue
			}
			v, err := decode[T](m)
			if err != nil {
				errs = append(errs, Failed(m, err))
				halted.add(m.group())
				continue
			}
			items = append(items, Item[T]{m, v})
		}
		if len(items) == 0 {
			return errors.Join(errs...)
		}
		err := guard(func() error { return fn(ctx, items) })
		if len(errs) == 0 {
			return err
		}
		return errors.Join(append(errs, toAll(items, err))...)
	}
}

// toAll makes an error of fn concern the messages that fn has seen: those that it
// names or, if it names none, all of them.
func toAll[T any](items []Item[T], err error) error {
	seen := make([]*Message, len(items))
	for i := range items {
		seen[i] = items[i].Message
	}
	var errs []error
	for m, err := range Outcomes(seen, err) {
		errs = append(errs, Failed(m, err))
	}
	return errors.Join(errs...)
}

// A MessageError is the error of one message of a batch.
type MessageError struct {
	Message *Message
	Err     error
}

func (e *MessageError) Error() string {
	if e == nil || e.Message == nil {
		return "a message failed"
	}
	return fmt.Sprintf("message %s: %v", e.Message.ID, e.Err)
}

// Unwrap returns e.Err.
func (e *MessageError) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.Err
}

// Failed says that only m failed, with err; the other messages of the batch are
// deleted, unless they are said to have failed too: combine several with
// errors.Join. It returns nil if err is nil. A message that the batch does not
// hold makes the whole batch fail.
func Failed(m *Message, err error) error {
	if err == nil {
		return nil
	}
	if m == nil {
		return err // it names no message, so it concerns all
	}
	return &MessageError{Message: m, Err: err}
}

// RetryAfter says that the messages that err concerns are to be received again
// after d, cut to SQS's 12 h from the receive and rounded up to whole seconds; 0 or
// less: at once. It returns nil if err is nil.
func RetryAfter(d time.Duration, err error) error {
	return decide(decision{kind: retryAfter, delay: max(0, d)}, err)
}

// Discard says that the messages that err concerns will never succeed: they are
// deleted. It returns nil if err is nil.
func Discard(err error) error { return decide(decision{kind: discard}, err) }

// DeadLetter says that the messages that err concerns will never succeed: they are
// sent to [Options.DeadLetterQueueURL] and then deleted. It returns nil if err is nil.
// Without a dead-letter queue the messages fail as with any other error.
//
// A dead letter has the message's body, attributes, message group and trace header
// (AWSTraceHeader). It has three attributes more: Sluice.Reason is err's text, up to
// 1,024 bytes of it. Sluice.Source is the URL of the queue that it came from.
// Sluice.ReceiveCount is how often it was received there. SQS allows ten attributes and
// 1 MiB a message. Where they leave no room for all three, the reason comes first, cut
// to what is left, and a log line says what was omitted.
func DeadLetter(err error) error { return decide(decision{kind: deadLetter}, err) }

func decide(d decision, err error) error {
	if err == nil {
		return nil
	}
	return &decided{decision: d, err: err}
}

// A decision is what becomes of a message that failed.
type decision struct {
	kind  decisionKind
	delay time.Duration // of retryAfter
}

// The kinds in the order of caution: of two for one message the first counts.
type decisionKind int

const (
	retry      decisionKind = iota // after Options.RetryDelay
	retryAfter                     // after the decision's delay
	deadLetter
	discard
)

// decided is an error with the decision about the messages that it concerns.
type decided struct {
	decision

	err error
}

func (d *decided) Error() string { return d.err.Error() }
func (d *decided) Unwrap() error { return d.err }

// Outcomes tells which messages of batch failed, by the error that a [Handler]
// returned, in the order of the batch and each once. A part of err that names no
// message, by [Failed], or one that is not in the batch, concerns all messages.
// Middleware, a func(Handler) Handler, learns from it what its handler did.
//
// The error of a message keeps what [RetryAfter], [Discard] and [DeadLetter] said
// of it. Where parts of err disagree about a message, the one counts that keeps it.
func Outcomes(batch []*Message, err error) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		if err == nil {
			return
		}
		for i, o := range outcomes(batch, err) {
			if o.err != nil && !yield(batch[i], o.err) {
				return
			}
		}
	}
}

// An outcome is what a handler's error says of one message.
type outcome struct {
	decision

	err error // nil: the message succeeded
}

// outcomes returns what err says of each message of batch.
func outcomes(batch []*Message, err error) []outcome {
	r := reader{batch: batch, outcomes: make([]outcome, len(batch))}
	if err != nil {
		r.read(err, nil, everyone)
	}
	return r.outcomes
}

// A reader finds out what an error tree says of the messages of a batch.
type reader struct {
	batch    []*Message
	outcomes []outcome
	index    map[*Message]int // of batch; made when it is first needed
}

// everyone stands for the position of a message where an error concerns them all.
const everyone = -1

// read walks the tree under err, which concerns the message at position who, or
// everyone. said is the decision that stands above it, nil if there is none.
func (r *reader) read(err error, said *decision, who int) {
	for at := err; at != nil; at = errors.Unwrap(at) {
		switch e := at.(type) { //nolint:errorlint // walks the chain itself
		case *decided:
			if said == nil {
				said = &e.decision // the outermost decision counts
			}
		case *MessageError:
			if who == everyone && e != nil && e.Err != nil {
				r.read(e.Err, said, r.position(e.Message))
				return
			}
			if e != nil && e.Message != nil && who == everyone {
				who = r.position(e.Message) // it has no error of its own, so it is one
			}
		case interface{ Unwrap() []error }:
			if r.parts(e.Unwrap(), said, who) {
				return
			}
		}
	}
	r.note(err, said, who)
}

// parts reads the errors that were joined, and tells whether there were any.
func (r *reader) parts(joined []error, said *decision, who int) (any bool) {
	for _, part := range joined {
		if part != nil {
			r.read(part, said, who)
			any = true
		}
	}
	return any
}

// position returns where m is in the batch; everyone if it is not: a failure that
// cannot be assigned concerns all.
func (r *reader) position(m *Message) int {
	if r.index == nil {
		r.index = make(map[*Message]int, len(r.batch))
		for i, m := range r.batch {
			r.index[m] = i
		}
	}
	if i, known := r.index[m]; known {
		return i
	}
	return everyone
}

// note notes an error that is not made of others.
func (r *reader) note(err error, said *decision, who int) {
	d := decision{kind: retry}
	if said != nil && err != errUnhandled { //nolint:errorlint // ours: nothing is decided about what nobody has looked at
		d = *said
		err = &decided{decision: d, err: err}
	}
	if who != everyone {
		r.outcomes[who].add(err, d)
		return
	}
	for i := range r.outcomes {
		r.outcomes[i].add(err, d)
	}
}

// add notes one more error of a message. The one counts that keeps it.
func (o *outcome) add(err error, d decision) {
	if o.err == nil || d.kind < o.kind {
		o.err, o.decision = err, d
	}
}

// A Reason is why a batch was handed over.
type Reason string

// The reasons for which batches are handed over.
const (
	ReasonFull     Reason = "full"      // it had BatchSize messages
	ReasonBytes    Reason = "bytes"     // the next message would have made it larger than BatchBytes, or BytesInFlight has no room for more
	ReasonWaitTime Reason = "wait time" // WaitTime had passed since its first message
	ReasonDrained  Reason = "drained"   // the queue is empty and Drain waits for nothing more
	ReasonStopping Reason = "stopping"  // the run is ending
)

// A collector gathers messages into batches: by size, by bytes, by the time that
// the first one has waited. It is touched only by the run's own goroutine.
type collector interface {
	add(hs ...*held)
	// next takes the next batch if there is one to hand over at now. hurry is the
	// reason not to wait for a batch to fill; empty: there is none.
	next(now time.Time, hurry Reason) ([]*held, Reason)
	// postpone takes messages back that next has given, until the given time.
	postpone(hs []*held, until time.Time)
	// due returns when the wait of the open batch is over; zero if none is open.
	due() time.Time
	// wakes returns when next may give something only because time has passed;
	// zero: it will not.
	wakes() time.Time
	// ready returns how many messages wait for nothing but their batch or a slot.
	ready() int
}

// measure is what closes a batch.
type measure struct {
	size  int
	bytes int
	wait  time.Duration
}

// A pile is the collector of a standard queue: first come, first served.
type pile struct {
	measure

	waiting []*held // oldest first
	open    int     // how many of them are in the open batch
	sum     int     // their bytes
	closed  Reason  // why the open batch takes no more; empty: it does

	late  []*held // postponed
	until time.Time
}

func (c *pile) add(hs ...*held) {
	c.waiting = append(c.waiting, hs...)
	c.fill()
}

// fill moves what waits into the open batch, as far as it has room.
func (c *pile) fill() {
	for c.closed == "" && c.open < len(c.waiting) {
		h := c.waiting[c.open]
		if c.open > 0 && c.sum+h.bytes > c.bytes {
			c.closed = ReasonBytes
			return
		}
		c.open++
		c.sum += h.bytes
		if c.open == c.size {
			c.closed = ReasonFull
		}
	}
}

func (c *pile) due() time.Time {
	if len(c.waiting) == 0 {
		return time.Time{}
	}
	return c.waiting[0].arrived.Add(c.wait)
}

func (c *pile) wakes() time.Time {
	if len(c.late) > 0 {
		return earlier(c.due(), c.until)
	}
	return c.due()
}

func (c *pile) ready() int { return len(c.waiting) }

func (c *pile) next(now time.Time, hurry Reason) ([]*held, Reason) {
	if len(c.late) > 0 && !now.Before(c.until) {
		late := c.late
		c.late = nil
		c.reset(slices.Concat(late, c.waiting))
	}
	why := c.closed
	if why == "" && c.open > 0 {
		why = c.unfilled(now, c.due(), hurry)
	}
	if why == "" {
		return nil, ""
	}
	batch := slices.Clone(c.waiting[:c.open]) // else a call would keep in memory what has come with its messages
	clear(c.waiting[:c.open])
	c.reset(c.waiting[c.open:])
	return batch, why
}

// unfilled returns why a batch that has room should be handed over all the same;
// empty: it should not.
func (m measure) unfilled(now, due time.Time, hurry Reason) Reason {
	switch {
	case hurry != "":
		return hurry
	case !now.Before(due):
		return ReasonWaitTime
	default:
		return ""
	}
}

func (c *pile) postpone(hs []*held, until time.Time) {
	c.late, c.until = append(c.late, hs...), until
}

// reset makes waiting all that waits, with the open batch filled from it.
func (c *pile) reset(waiting []*held) {
	c.waiting, c.open, c.sum, c.closed = waiting, 0, 0, ""
	c.fill()
}

// remove takes out the messages that are gone.
func (c *pile) remove(gone func(*held) bool) {
	c.late = slices.DeleteFunc(c.late, gone)
	c.reset(slices.DeleteFunc(c.waiting, gone))
}

// leave takes out all messages.
func (c *pile) leave() []*held {
	left := slices.Concat(c.late, c.waiting)
	c.late = nil
	c.reset(nil)
	return left
}

// lines is the collector of a FIFO queue: a line for each message group.
type lines struct {
	measure
	*order.Lines[*held]
}

func (c *lines) add(hs ...*held) { c.Add(hs...) }

func (c *lines) ready() int {
	n, _, _ := c.Ready()
	return n
}

func (c *lines) due() time.Time {
	n, _, oldest := c.Ready()
	if n == 0 {
		return time.Time{}
	}
	return oldest.Add(c.wait)
}

func (c *lines) wakes() time.Time { return earlier(c.due(), c.Resumes()) }

func (c *lines) next(now time.Time, hurry Reason) ([]*held, Reason) {
	c.Resume(now)
	n, bytes, oldest := c.Ready()
	var why Reason
	switch {
	case n == 0:
		return nil, ""
	case n >= c.size:
		why = ReasonFull
	case bytes > c.bytes:
		why = ReasonBytes
	default:
		why = c.unfilled(now, oldest.Add(c.wait), hurry)
	}
	if why == "" {
		return nil, ""
	}
	return c.Take(c.size, c.bytes), why
}

// postpone keeps what is behind a postponed message of a group behind it.
func (c *lines) postpone(hs []*held, until time.Time) {
	for group := range byGroup(hs) {
		c.Return(group[0].Group(), group, until)
	}
}

// byGroup gives the parts of a batch that are of one message group. A batch holds
// the messages of a group together.
func byGroup(batch []*held) iter.Seq2[[]*held, int] {
	return func(yield func([]*held, int) bool) {
		for begin := 0; begin < len(batch); {
			end := begin + 1
			for end < len(batch) && batch[end].Group() == batch[begin].Group() {
				end++
			}
			if !yield(batch[begin:end], begin) {
				return
			}
			begin = end
		}
	}
}

// earlier returns the earlier of two times; a zero one is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}
