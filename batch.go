package sluice

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
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
		items := make([]Item[T], 0, len(batch))
		errs := inTurn(context.Background(), batch, func(m *Message) error {
			v, err := decode[T](m)
			if err == nil {
				items = append(items, Item[T]{m, v})
			}
			return err
		})
		if len(items) == 0 {
			return errors.Join(errs...)
		}
		err := guard(func() error { return fn(ctx, items) })
		if len(errs) == 0 {
			return err
		}
		seen := make([]*Message, len(items))
		for i := range items {
			seen[i] = items[i].Message
		}
		return errors.Join(append(errs, toAll(seen, seen, err)...)...)
	}
}

// toAll makes an error concern the messages that were seen, by the names that they have in
// the batch: those that it names or, if it names none, all of them.
func toAll(seen, named []*Message, err error) (errs []error) {
	if err == nil {
		return nil
	}
	for i, o := range outcomes(seen, err) {
		if o.Err != nil {
			errs = append(errs, Failed(named[i], o.Err))
		}
	}
	return errs
}

// Transform returns a [Handler] that calls next with what fn makes of each message: a copy that
// fn has changed, or the message as it is. It is how middleware unwraps envelopes or decodes
// bodies, since messages must not be changed. What next says of a copy counts for its message.
//
// A message for which fn returns an error fails, and next does not get it. On a FIFO queue next
// does not get those behind it in its message group either. If no message is left, next is not
// called. fn fails a message also if it panics, or returns nil. When ctx is done, fn is not called
// again, and the rest fails with the context's cause. If next or fn is nil, so is the Handler.
func Transform(next Handler, fn func(ctx context.Context, m *Message) (*Message, error)) Handler {
	if next == nil || fn == nil {
		return nil
	}
	return func(ctx context.Context, batch []*Message) error {
		made, of := make([]*Message, 0, len(batch)), make([]*Message, 0, len(batch))
		errs := inTurn(ctx, batch, func(m *Message) error {
			changed, err := fn(ctx, m)
			switch {
			case err != nil:
				return err
			case changed == nil:
				return errNothing
			case changed != m:
				own := *changed // fn may return the same one twice
				own.from = m.from
				changed = &own
			}
			made, of = append(made, changed), append(of, m)
			return nil
		})
		if len(made) == 0 {
			return errors.Join(errs...)
		}
		err := guard(func() error { return next(ctx, slices.Clone(made)) }) // next may do with its slice what it likes
		return errors.Join(append(errs, toAll(made, of, err)...)...)
	}
}

var errNothing = errors.New("the transformation returned no message")

// A Mux is a [Handler] for a queue of several types of messages: each goes to the handler of its
// type. Nothing that a message names is made or called: types are only looked up in Handlers.
//
//	mux := sluice.Mux{
//		Key:      sluice.ByAttribute("type"),
//		Handlers: map[string]sluice.Handler{"created": sluice.JSON(create), "paid": sluice.JSON(pay)},
//	}
//	err = consumer.Run(ctx, mux.Handle)
type Mux struct {
	// Key returns the type of a message. A message for which it returns an error fails. It must
	// not be nil. See [ByAttribute] and [ByField].
	Key func(m *Message) (string, error)

	// Handlers are the handlers by type.
	Handlers map[string]Handler

	// Unknown handles the messages of other types. nil means that they fail, with
	// [ErrUnknownType]: they are received again and end in the queue's dead-letter queue.
	Unknown Handler
}

// ErrUnknownType is the error of a message for whose type a [Mux] has no handler.
var ErrUnknownType = errors.New("there is no handler for messages of this type")

// Handle is a [Handler]. It calls the handlers one after another, each with the messages of its type.
// On a standard queue each is called once. On a FIFO queue the messages of a message group are
// handled in their order, in several calls if types alternate in it. Those behind a message that
// failed are not handled.
func (x Mux) Handle(ctx context.Context, batch []*Message) error {
	if x.Key == nil {
		return errors.New("sluice: Mux.Key is nil, want a function such as that of ByAttribute")
	}
	var s shares
	errs := inTurn(ctx, batch, func(m *Message) error {
		key, err := x.Key(m)
		if err != nil {
			return err
		}
		h, known := x.Handlers[key]
		if !known {
			h = x.Unknown
		}
		if h == nil {
			return ErrUnknownType
		}
		if !known {
			key = "" // all unknown types share a handler
		}
		s.add(m, share{key: key, known: known, handler: h})
		return nil
	})
	return errors.Join(append(errs, s.handle(ctx)...)...)
}

// shares are the messages of a batch, by the handler that gets them. Those of an earlier round
// come first, so that the messages of a message group keep their order.
type shares struct {
	all   []*share
	round map[string]*share // the latest share of each message group
}

// A share is what one call of a handler gets.
type share struct {
	key     string
	known   bool
	round   int
	handler Handler
	batch   []*Message
}

// add adds m to the share of its handler: in the round of the message before it in its group,
// or in a later one if that has another handler.
func (s *shares) add(m *Message, to share) {
	if m.fifo() {
		if s.round == nil {
			s.round = map[string]*share{}
		}
		if before := s.round[m.group()]; before != nil {
			to.round = before.round
			if before.key != to.key || before.known != to.known {
				to.round++
			}
		}
	}
	i := slices.IndexFunc(s.all, func(one *share) bool {
		return one.key == to.key && one.known == to.known && one.round == to.round
	})
	if i < 0 {
		i = len(s.all)
		s.all = append(s.all, &to)
	}
	s.all[i].batch = append(s.all[i].batch, m)
	if m.fifo() {
		s.round[m.group()] = s.all[i]
	}
}

// handle calls the handlers, round by round, and returns the errors of the messages that failed.
func (s *shares) handle(ctx context.Context) (errs []error) {
	slices.SortStableFunc(s.all, func(a, b *share) int { return a.round - b.round })
	var halted groups
	for _, one := range s.all {
		var ready []*Message
		for _, m := range one.batch {
			if m.fifo() && halted[m.group()] {
				errs = append(errs, Failed(m, engine.ErrUnhandled))
				continue
			}
			ready = append(ready, m)
		}
		if len(ready) == 0 {
			continue
		}
		err := guard(func() error { return one.handler(ctx, slices.Clone(ready)) })
		for i, o := range outcomes(ready, err) {
			if o.Err == nil {
				continue
			}
			errs = append(errs, Failed(ready[i], o.Err))
			if ready[i].fifo() && o.Kind != engine.Discard {
				halted.add(ready[i].group())
			}
		}
	}
	return errs
}

// ByAttribute returns a [Mux.Key] that is the value of the message attribute with the given name,
// of the type String. A message that has none fails.
func ByAttribute(name string) func(*Message) (string, error) {
	return func(m *Message) (string, error) {
		a, ok := m.Attributes[name]
		if !ok || a.StringValue == nil {
			return "", fmt.Errorf("the message has no attribute %s of the type String", name)
		}
		return *a.StringValue, nil
	}
}

// ByField returns a [Mux.Key] that is a string in the body, which is a JSON object. The path names the
// fields that lead to it, the outermost first. A message whose body has none fails. Of two
// fields of one name the last counts.
func ByField(path ...string) func(*Message) (string, error) {
	return func(m *Message) (string, error) {
		wrong := func() error { return fmt.Errorf("the body has no string at %q", path) }
		at := json.RawMessage(m.Body)
		for _, name := range path {
			var fields map[string]json.RawMessage
			if json.Unmarshal(at, &fields) != nil {
				return "", wrong()
			}
			at = fields[name]
		}
		var key *string
		if len(path) == 0 || json.Unmarshal(at, &key) != nil || key == nil {
			return "", wrong()
		}
		return *key, nil
	}
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

// An Outcome is what an error says of a message.
type Outcome struct {
	Kind  OutcomeKind
	Delay time.Duration // of OutcomeRetryAfter
}

// An OutcomeKind is what becomes of a message.
type OutcomeKind int

// The kinds of outcomes.
const (
	OutcomeSuccess    OutcomeKind = iota // there is no error: it is deleted
	OutcomeRetry                         // it is received again after [Options.RetryDelay]
	OutcomeRetryAfter                    // it is received again after Delay; see [RetryAfter]
	OutcomeDiscard                       // it is deleted; see [Discard]
	OutcomeDeadLetter                    // it goes to the dead-letter queue; see [DeadLetter]
	OutcomeUnhandled                     // it was not handled, since one before it in its message group failed
)

var outcomeKinds = [...]string{
	OutcomeSuccess: "success", OutcomeRetry: "retry", OutcomeRetryAfter: "retry after", OutcomeDiscard: "discard",
	OutcomeDeadLetter: "dead letter", OutcomeUnhandled: "unhandled",
}

// String returns the name of k, such as "retry".
func (k OutcomeKind) String() string { return nameOf("OutcomeKind", int(k), outcomeKinds[:]) }

// MarshalText returns the name of k, for JSON.
func (k OutcomeKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// OutcomeOf returns what the error of one message says, as [Outcomes] yields it. Where parts of it
// disagree, the rule of Outcomes holds. It calls methods of err, which may panic.
func OutcomeOf(err error) Outcome {
	if err == nil {
		return Outcome{}
	}
	o := outcomes(make([]*Message, 1), err)[0]
	switch {
	case unhandled(o.Err):
		return Outcome{Kind: OutcomeUnhandled}
	case o.Kind == engine.RetryAfter:
		return Outcome{Kind: OutcomeRetryAfter, Delay: o.Delay}
	case o.Kind == engine.Discard:
		return Outcome{Kind: OutcomeDiscard}
	case o.Kind == engine.DeadLetter:
		return Outcome{Kind: OutcomeDeadLetter}
	default:
		return Outcome{Kind: OutcomeRetry}
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
		case *redactedError: // the parts of what it keeps back must not be seen
			r.note(err, cmp.Or(said, e.said()), who)
			return
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
func (r Reason) String() string { return nameOf("Reason", int(r), reasons[:]) }

// nameOf returns the name of a constant of a type, or its number if it has none.
func nameOf(kind string, n int, names []string) string {
	if n < 0 || n >= len(names) {
		return fmt.Sprintf("%s(%d)", kind, n)
	}
	return names[n]
}

// MarshalText returns the name of r, for JSON.
func (r Reason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }
