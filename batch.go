package sluice

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/sluice-go/sluice/internal/engine"
)

// An Item is a message with its decoded body.
type Item[T any] struct {
	*Message
	Value T
}

// BatchJSON makes a [Handler] of a function that takes a batch of messages with their bodies
// decoded from JSON. Messages whose bodies cannot be decoded fail. fn does not get them, nor, on a
// FIFO queue, those behind them in their message group. If no message is left, fn is not called. An
// error of fn concerns the messages that fn got. If fn is nil, so is the Handler.
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
				errs = append(errs, Failed(m, engine.ErrUnhandled))
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

// toAll makes an error of fn concern the messages that fn got: those that it names or, if it
// names none, all of them.
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

// A MessageError is the error of one message of a batch; see [Failed].
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

// Failed returns an error that concerns m only: the other messages of the batch are deleted.
// errors.Join combines the errors of several messages. If err is nil, Failed returns nil. If m is
// nil, it returns err, which concerns all messages. If m is not in the batch, the error concerns
// all messages too.
func Failed(m *Message, err error) error {
	if err == nil {
		return nil
	}
	if m == nil {
		return err // it names no message, so it concerns all
	}
	return &MessageError{Message: m, Err: err}
}

// RetryAfter returns an error that says when the messages that err concerns are received again:
// after d, rounded up to whole seconds. 0 or less means at once. SQS allows 12 h from the
// receive, and d is cut to that. RetryAfter returns nil if err is nil.
func RetryAfter(d time.Duration, err error) error {
	return decide(decision{kind: engine.RetryAfter, delay: max(0, d)}, err)
}

// Discard returns an error that says that the messages that err concerns will never succeed.
// They are deleted, and a log line has err. Discard returns nil if err is nil.
func Discard(err error) error { return decide(decision{kind: engine.Discard}, err) }

// DeadLetter returns an error that says that the messages that err concerns will never succeed.
// They are sent to [Options.DeadLetterQueueURL] and then deleted. Without a dead-letter queue, or
// where it does not take them, they fail as with any other error. DeadLetter returns nil if err is
// nil.
//
// A dead letter has the message's body, attributes, message group and trace header
// (AWSTraceHeader). It has three attributes more:
//
//   - Sluice.Reason is err's text, up to 1,024 bytes of it.
//   - Sluice.Source is the URL of the queue that the message came from.
//   - Sluice.ReceiveCount is how often it was received there.
//
// SQS allows ten attributes and 1 MiB a message. They may leave no room for all three. The reason
// comes first, cut to what is left, and a log line names what was omitted.
func DeadLetter(err error) error { return decide(decision{kind: engine.DeadLetter}, err) }

func decide(d decision, err error) error {
	if err == nil {
		return nil
	}
	return &decided{decision: d, err: err}
}

// A decision is what becomes of a message that failed.
type decision struct {
	kind  engine.Kind
	delay time.Duration // of retryAfter
}

// decided is an error with the decision about the messages that it concerns.
type decided struct {
	decision

	err error
}

func (d *decided) Error() string { return d.err.Error() }
func (d *decided) Unwrap() error { return d.err }

// Outcomes returns the messages of batch that failed, each once and in the order of the batch,
// with their errors. err is what a [Handler] returned for batch. It concerns all messages if a
// part of it names none by [Failed], or one that is not in the batch. Middleware, a
// func(Handler) Handler, learns from Outcomes what its handler did.
//
// The error of a message keeps what [RetryAfter], [Discard] and [DeadLetter] said of it. Parts of
// err may disagree about a message. Then the first of these counts: an error without one of the
// three, RetryAfter, DeadLetter, Discard.
func Outcomes(batch []*Message, err error) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		if err == nil {
			return
		}
		for i, o := range outcomes(batch, err) {
			if o.Err != nil && !yield(batch[i], o.Err) {
				return
			}
		}
	}
}

// outcomes returns what err says of each message of batch.
func outcomes(batch []*Message, err error) []engine.Outcome {
	r := reader{batch: batch, outcomes: make([]engine.Outcome, len(batch))}
	if err != nil {
		r.read(err, nil, everyone)
	}
	return r.outcomes
}

// A reader finds out what a tree of errors says of the messages of a batch.
type reader struct {
	batch    []*Message
	outcomes []engine.Outcome
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

// parts reads the errors that were joined. It reports whether there were any.
func (r *reader) parts(joined []error, said *decision, who int) (any bool) {
	for _, part := range joined {
		if part != nil {
			r.read(part, said, who)
			any = true
		}
	}
	return any
}

// position returns where m is in the batch, or everyone if it is not: a failure that cannot be
// assigned concerns all.
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
	d := decision{kind: engine.Retry}
	if said != nil && err != engine.ErrUnhandled { //nolint:errorlint // ours: nothing is decided about what nobody has looked at
		d = *said
		err = &decided{decision: d, err: err}
	}
	if who != everyone {
		add(&r.outcomes[who], err, d)
		return
	}
	for i := range r.outcomes {
		add(&r.outcomes[i], err, d)
	}
}

// add notes one more error of a message. The one counts that keeps it.
func add(o *engine.Outcome, err error, d decision) {
	if o.Err == nil || d.kind < o.Kind {
		o.Err, o.Kind, o.Delay = err, d.kind, d.delay
	}
}

// A Reason is why a batch was handed over.
type Reason int

// The reasons for which a batch is handed over.
const (
	ReasonFull     = Reason(engine.Full)     // it has BatchSize messages
	ReasonBytes    = Reason(engine.Bytes)    // the next message would make it larger than BatchBytes, or there is no room for another message
	ReasonWaitTime = Reason(engine.WaitTime) // WaitTime had passed since its first message arrived
	ReasonDrained  = Reason(engine.Drained)  // the queue is empty, and Drain does not wait
	ReasonStopping = Reason(engine.Stopping) // the run is ending
)

// reasons are their names.
var reasons = [...]string{
	ReasonFull: "full", ReasonBytes: "bytes", ReasonWaitTime: "wait time", ReasonDrained: "drained", ReasonStopping: "stopping",
}

// String returns the name of r, such as "wait time".
func (r Reason) String() string {
	if r < 0 || int(r) >= len(reasons) {
		return fmt.Sprintf("Reason(%d)", int(r))
	}
	return reasons[r]
}

// MarshalText returns the name of r, for JSON.
func (r Reason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }
