package sluice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice/internal/engine"
	"github.com/sluice-go/sluice/internal/failures"
	"github.com/sluice-go/sluice/internal/sqsapi"
)

// Each makes a [Handler] of a function that handles one message. The Handler calls fn for the
// messages of a batch, one after another. A message for which fn returns an error, or panics,
// fails. The others are deleted. If fn is nil, so is the Handler.
//
// When ctx is done, fn is not called again. The rest of the batch fails with the context's
// cause. On a FIFO queue fn is not called for the messages behind one that failed in its message
// group. Other groups go on.
func Each(fn func(ctx context.Context, m *Message) error) Handler {
	if fn == nil {
		return nil // New's and Run's error is clearer than a panic at the first message
	}
	return func(ctx context.Context, batch []*Message) error {
		if len(batch) == 1 {
			return guard(func() error { return fn(ctx, batch[0]) }) // the commonest batch needs no list of errors
		}
		return errors.Join(inTurn(ctx, batch, func(m *Message) error { return fn(ctx, m) })...)
	}
}

// inTurn calls fn for the messages of a batch, one after another, and returns the errors of those
// that failed, each naming its message. When ctx is done, fn is not called again. On a FIFO queue
// it is not called for the messages behind one that failed in its message group.
func inTurn(ctx context.Context, batch []*Message, fn func(m *Message) error) (errs []error) {
	var halted groups
	for _, m := range batch {
		group, ordered := m.group(), m.fifo() // fn may change m
		err := engine.ErrUnhandled
		switch {
		case ordered && halted[group]:
		case ctx.Err() != nil:
			err = context.Cause(ctx)
		default:
			err = guard(func() error { return fn(m) })
		}
		if err != nil {
			errs = append(errs, Failed(m, err))
			if ordered {
				halted.add(group)
			}
		}
	}
	return errs
}

// groups is a set of FIFO message groups. The zero value is empty.
type groups map[string]bool

func (g *groups) add(group string) {
	if *g == nil {
		*g = groups{}
	}
	(*g)[group] = true
}

// JSON makes a [Handler] of a function that takes the body of one message, decoded from JSON. A
// body that cannot be decoded fails its message. It is received again, and ends in the queue's
// dead-letter queue, if there is one. It is not deleted. If fn is nil, so is the Handler.
//
// The error of such a message repeats nothing of the body. The text of an error by a decoder of
// your own (UnmarshalJSON) is kept back. It is shown if the error has a method Redacted() bool that
// returns true.
func JSON[T any](fn func(ctx context.Context, v T) error) Handler {
	if fn == nil {
		return nil
	}
	return Each(func(ctx context.Context, m *Message) error {
		v, err := decode[T](m)
		if err != nil {
			return err
		}
		return fn(ctx, v)
	})
}

func decode[T any](m *Message) (v T, err error) {
	if err = guard(func() error { return json.Unmarshal([]byte(m.Body), &v) }); err != nil {
		return v, fmt.Errorf("decoding the body as %T: %w", v, redacted(err))
	}
	return v, nil
}

// redacted returns err with a text that repeats nothing of the body: errors are logged, and
// bodies must not be. A wrapper may say more than what it wraps, so only err itself is trusted.
func redacted(err error) error {
	switch e := err.(type) { //nolint:errorlint // as it says
	case *json.UnmarshalTypeError:
		e.Value, _, _ = strings.Cut(e.Value, " ") // "number", not which
		return e
	case *json.SyntaxError:
		return e
	case interface{ Redacted() bool }:
		if e.Redacted() {
			return err
		}
	}
	return &redactedError{err} // by the type's own decoder, such as that of time.Time
}

// A redactedError is an error whose text is kept back.
type redactedError struct{ err error }

func (e *redactedError) Error() string {
	return fmt.Sprintf("a value is not as its type wants it (%T)", e.err)
}
func (e *redactedError) Unwrap() error { return e.err }

// said returns the decision in what is kept back; nil: there is none.
func (e *redactedError) said() *decision {
	if d, ok := errors.AsType[*decided](e.err); ok {
		return &d.decision
	}
	return nil
}

// A PanicError is the error of a handler that panicked or called runtime.Goexit. It is in the log
// line about the panic and in [BatchEvent.Err].
type PanicError struct {
	Value any    // what the handler panicked with; nil after runtime.Goexit
	Stack []byte // of the handler's goroutine; nil after runtime.Goexit
}

func (e *PanicError) Error() string {
	if e.Value == nil {
		return "the handler called runtime.Goexit"
	}
	return fmt.Sprintf("the handler panicked: %v", e.Value)
}

// Unwrap returns e.Value if that is an error, else nil.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// guard returns fn's error, or a *PanicError if fn panics.
func guard(fn func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return fn()
}

// isolate runs code of the user's that is not a handler, and waits for it. It returns a
// *PanicError if the code panicked or called runtime.Goexit. The code runs on a goroutine of its
// own, so that Goexit does not end the caller's.
func isolate(fn func()) error {
	ended := make(chan error, 1)
	go func() {
		err := error(&PanicError{}) // stands if fn ends the goroutine
		defer func() { ended <- err }()
		err = guard(func() error {
			fn()
			return nil
		})
	}()
	return <-ended
}

// A work is one call of the handler, as its goroutine sees it.
type work struct {
	engine.Call

	messages []*Message
	err      error
	panicked *PanicError // nil: it did not
	single   struct {    // the commonest call is for a single message, and has its memory in itself
		message [1]*Message
		copied  [1]*Message // the handler's
	}
}

// newCall returns an empty call for the engine, with the work that it is part of.
func newCall() *engine.Call {
	w := new(work)
	w.Payload = w
	return &w.Call
}

// errExit is the error of a handler that called runtime.Goexit.
var errExit PanicError

// handle calls the handler, and finds out what it says of each message. Called by a goroutine of
// the handlers. What comes after the handler is done also if that panics or ends the goroutine.
func (r *run) handle(ctx context.Context, c *engine.Call) {
	w, _ := c.Payload.(*work) // newCall has put it there
	w.err = &errExit
	w.messages = w.single.message[:]
	if n := len(c.Batch); n > 1 {
		w.messages = make([]*Message, n)
	}
	for i, m := range c.Batch {
		w.messages[i] = delivered(m).shown()
	}
	defer r.conclude(w)
	messages := append(w.single.copied[:0], w.messages...) // the handler may do with its slice what it likes
	w.err = guard(func() error { return r.handler(ctx, messages) })
}

// shown returns the message for a handler. Each try in place has its own: somebody
// may still look at that of an earlier one, such as a hook.
func (d *delivery) shown() *Message {
	tries := d.held.Attempts()
	if tries == 0 {
		return &d.Message
	}
	m, was := d.Message, &d.held.Delivery
	m.from = mark{queue: fifoQueue, group: was.Group}
	m.ID, m.Body, m.GroupID, m.SequenceNumber, m.Attributes = was.ID, d.body, was.Group, was.Sequence, d.attributes
	m.ReceiveCount, m.Attempt = was.Receives, was.Receives+tries
	return &m
}

// conclude decides what becomes of the messages of a call. Called by the goroutine of the handler.
func (r *run) conclude(w *work) {
	w.Took = time.Since(w.Began)
	w.read()
	if r.c.opts.DeadLetterQueueURL == "" {
		w.failDeadLetters()
	}
	r.engine.MarkUnhandled(&w.Call)
	r.askDelays(w)
	r.told(w)
}

// read finds out what the handler's error says. The error is the user's, and so are its methods.
// If one of them panics, all messages have failed.
func (w *work) read() {
	if w.err == nil {
		return
	}
	err := isolate(func() {
		w.Outcomes = outcomes(w.messages, w.err)
		w.panicked, _ = errors.AsType[*PanicError](w.err)
	})
	if err != nil {
		w.Outcomes = make([]engine.Outcome, len(w.Batch)) // not those that the failure has left
		for i := range w.Outcomes {
			add(&w.Outcomes[i], err, decision{kind: engine.Retry})
		}
	}
	for i := range w.Outcomes {
		w.Outcomes[i].Unhandled = unhandled(w.Outcomes[i].Err)
	}
}

// unhandled reports whether err says that a message was not handled because one before it in
// its group failed. errors.Is would ask the error, which is the user's code and may panic.
func unhandled(err error) bool {
	if d, ok := err.(*decided); ok { //nolint:errorlint // ours, and outermost
		err = d.err
	}
	return err == engine.ErrUnhandled //nolint:errorlint // ours, never wrapped otherwise
}

// failDeadLetters makes dead letters messages that failed as with any other error: there is
// no queue to send them to.
func (w *work) failDeadLetters() {
	for i := range w.Outcomes {
		if o := &w.Outcomes[i]; o.Kind == engine.DeadLetter {
			o.Kind = engine.Retry
		}
	}
}

// askDelays finds out how long the messages that failed stay hidden. Options.RetryDelay is the
// user's code and may block: the loop must not call it. Called by the goroutine of the handler.
func (r *run) askDelays(w *work) {
	for i := range w.Outcomes {
		o := &w.Outcomes[i]
		if o.Err == nil || o.Kind == engine.RetryAfter || o.Kind == engine.Discard || o.Unhandled {
			continue
		}
		o.Delay = r.c.opts.VisibilityTimeout // stands if the user's function fails
		_ = isolate(func() { o.Delay = max(0, r.c.opts.RetryDelay(w.messages[i], o.Err)) })
	}
}

// told counts a call of the handler, and calls the hook, soon.
func (r *run) told(w *work) {
	n := &r.c.counters
	failed, succeeded := 0, 0
	for i := range w.Outcomes {
		switch o := &w.Outcomes[i]; {
		case o.Err == nil:
			succeeded++
		case !o.Unhandled:
			failed++
		}
	}
	n.Succeeded.Add(int64(succeeded))
	if failed > 0 {
		n.Failed.Add(int64(failed))
	}
	if p := w.panicked; p != nil {
		n.Panics.Add(1)
		r.Log(slog.LevelError, "the handler panicked", "panic", p.Error(), "stack", string(p.Stack))
	}
	hook := r.c.opts.Hooks.Batch
	var note func()
	if failed > 0 {
		note = r.failed(w.failure(failed))
	}
	if hook == nil && note == nil {
		return
	}
	first, bytes := w.Batch[0], 0
	for _, m := range w.Batch {
		bytes += m.Size()
	}
	if hook == nil {
		r.tell(bytes, note, nil)
		return
	}
	e := BatchEvent{
		Messages: w.messages, Reason: Reason(w.Reason), Began: w.Began, FillTime: w.Began.Sub(first.Arrived()), Duration: w.Took, Failed: failed, Err: w.err,
	}
	r.tell(bytes, note, func() { hook(e) })
}

// failure returns the failure of so many messages, and the error of the first of them.
func (w *work) failure(failed int) (f failures.Failure, err error) {
	i := slices.IndexFunc(w.Outcomes, func(o engine.Outcome) bool { return o.Err != nil && !o.Unhandled })
	return failures.Failure{Operation: OperationHandler, MessageID: w.Batch[i].Delivery.ID, Count: int64(failed)}, w.Outcomes[i].Err
}

// Attributes of a message in the dead-letter queue, besides its own.
const (
	attrReason = "Sluice.Reason"       // why it was sent there
	attrSource = "Sluice.Source"       // URL of the queue that it came from
	attrCount  = "Sluice.ReceiveCount" // how often it was received there

	maxAttributes = 10   // of a message; SQS rejects more
	maxReason     = 1024 // bytes of it that are kept
)

// DeadLetter sends a message to the dead-letter queue for the engine. Called by a goroutine of
// the callers.
func (r *run) DeadLetter(ctx context.Context, m *engine.Message, reason error) error {
	d, to := delivered(m), r.c.opts.DeadLetterQueueURL
	attributes, omitted := r.deadLetterAttributes(d, reason)
	in := &sqs.SendMessageInput{QueueUrl: &to, MessageBody: &d.body, MessageAttributes: attributes}
	was := &d.held.Delivery
	if was.Group != "" {
		in.MessageGroupId = &was.Group
	}
	if isFIFO(to) {
		in.MessageDeduplicationId = &was.ID // as SQS's own redrive does
	}
	if d.trace != "" {
		in.MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{
			string(types.MessageSystemAttributeNameForSendsAWSTraceHeader): {DataType: new("String"), StringValue: &d.trace},
		}
	}
	sender, _ := r.c.client.(sqsapi.Sender) // New has checked it
	if err := r.queue.Send(ctx, sender, in); err != nil {
		return sqsapi.Requesting(err)
	}
	if len(omitted) > 0 {
		r.Log(slog.LevelWarn, "a dead letter has no room for all of its attributes",
			"dead_letter_queue", to, "message_id", was.ID, "omitted", omitted, "reason", printable(reason))
	}
	return nil
}

// deadLetterAttributes returns the attributes of a message in the dead-letter queue: its own, and as
// many of ours as SQS allows, the reason first, cut to the bytes that are left. It
// returns the names of those that have no room.
func (r *run) deadLetterAttributes(d *delivery, reason error) (attributes map[string]types.MessageAttributeValue, omitted []string) {
	attributes = make(map[string]types.MessageAttributeValue, len(d.attributes)+3)
	maps.Copy(attributes, d.attributes)
	for _, name := range []string{attrReason, attrSource, attrCount} {
		delete(attributes, name) // of an earlier time in a dead-letter queue
	}
	room := maxBody - d.held.Size()
	add := func(name, kind, value string) {
		left := room - len(name) - len(kind)
		if name == attrReason {
			value = cut(value, left)
		}
		if len(attributes) == maxAttributes || len(value) > left || value == "" {
			omitted = append(omitted, name)
			return
		}
		room = left - len(value)
		attributes[name] = types.MessageAttributeValue{DataType: &kind, StringValue: &value}
	}
	if text := printable(reason); text != "" { // else the error has none
		add(attrReason, "String", text)
	}
	add(attrSource, "String", r.c.url)
	add(attrCount, "Number", strconv.Itoa(d.held.Delivery.Receives))
	return attributes, omitted
}

// printable returns the text of err, cut and without the characters that SQS
// rejects in an attribute.
func printable(err error) string {
	text := ""
	_ = isolate(func() { text = err.Error() })
	text = strings.Map(func(c rune) rune {
		if c == '\t' || c == '\n' || c == '\r' || (c >= ' ' && c != 0xFFFE && c != 0xFFFF) {
			return c
		}
		return -1
	}, strings.ToValidUTF8(text, ""))
	return cut(text, maxReason)
}

// cut returns the beginning of text, at most so many bytes of it.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:max(0, most)], "")
}
