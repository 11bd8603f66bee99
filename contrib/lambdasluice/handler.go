package lambdasluice

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"golang.org/x/sync/errgroup"

	"github.com/sluice-go/sluice"
)

// Handler returns a function for lambda.Start that passes the messages of each event to h and
// reports those that failed. The function may be called concurrently.
//
// The function returns an error, and reports nothing, in three cases. If h is nil or an option
// cannot work, each call returns an error that says so. It also does for an event that is not of one
// SQS queue. If all messages failed, it does unless [Options.ReportAllFailed] is set. After an error
// Lambda counts the whole batch as failed: all its messages come back.
//
// Of two messages of an event with the same id, h gets the first one only.
func Handler(h sluice.Handler, o Options) func(context.Context, events.SQSEvent) (events.SQSEventResponse, error) {
	o = o.withDefaults()
	fault := o.validate()
	if h == nil {
		fault = errors.Join(errors.New("lambdasluice: the handler is nil, want a function"), fault)
	}
	return func(ctx context.Context, event events.SQSEvent) (events.SQSEventResponse, error) {
		if fault != nil {
			return events.SQSEventResponse{}, fault
		}
		queue, messages, err := read(event)
		if err != nil {
			return events.SQSEventResponse{}, fmt.Errorf("lambdasluice: %w", err)
		}
		in := &invocation{o: &o, handler: h, queue: queue, entries: entriesOf(messages)}
		handling, settling, end := o.contexts(ctx)
		defer end()
		in.handle(handling, settling)
		in.haltGroups()
		in.postpone(settling)
		in.log(ctx)
		return in.answer()
	}
}

// contexts returns the context of handlers and that of calls to SQS. The first ends the margin before
// the deadline of the function, the second when a quarter of the margin is left: a call that hangs
// must not make the function time out.
func (o *Options) contexts(ctx context.Context) (handling, settling context.Context, end func()) {
	deadline, ok := ctx.Deadline()
	if !ok { // a test; Lambda always sets one
		return ctx, ctx, func() {}
	}
	margin := max(0, min(o.Margin, time.Until(deadline)/2))
	handling, endHandling := context.WithDeadlineCause(ctx, deadline.Add(-margin), sluice.ErrShutdown)
	settling, endSettling := context.WithDeadline(ctx, deadline.Add(-margin/4))
	return handling, settling, func() {
		endHandling()
		endSettling()
	}
}

// An invocation is one event on its way through the handler.
type invocation struct {
	o       *Options
	handler sluice.Handler
	queue   source
	entries []*entry // in the order of the event
}

// An entry is a message and what became of it. While the handler is called, only the goroutine of
// the message's lane touches it.
type entry struct {
	sluice.Message // as the event has it

	given   *sluice.Message // the handler's, which may change it
	err     error           // nil: it succeeded
	outcome sluice.Outcome  // of err; DeadLetter only if the dead letter was sent
}

// failed reports whether the message is to come back.
func (e *entry) failed() bool {
	switch e.outcome.Kind {
	case sluice.OutcomeSuccess, sluice.OutcomeDiscard, sluice.OutcomeDeadLetter:
		return false
	default:
		return true
	}
}

// fail makes e a message that has not succeeded because of err.
func (e *entry) fail(kind sluice.OutcomeKind, err error) {
	e.err, e.outcome = err, sluice.Outcome{Kind: kind}
}

var (
	errNotBegun = errors.New("the message was not begun before the deadline of the function")
	errBehind   = errors.New("the message stands behind one of its message group that failed")
)

// entriesOf returns entries of messages that nobody has begun: what no handler gets stays so.
func entriesOf(messages []*sluice.Message) []*entry {
	entries := make([]*entry, len(messages))
	for i, m := range messages {
		entries[i] = &entry{Message: *m, given: m}
		entries[i].fail(sluice.OutcomeUnhandled, errNotBegun)
	}
	return entries
}

// handle calls the handler for all messages, as far as there is time.
func (in *invocation) handle(handling, settling context.Context) {
	var lanes errgroup.Group
	lanes.SetLimit(in.o.Concurrency)
	for _, lane := range in.lanes() {
		lanes.Go(func() error {
			for batch := range slices.Chunk(lane, in.o.BatchSize) {
				if handling.Err() != nil {
					break
				}
				in.call(handling, settling, batch)
				if in.queue.fifo && slices.ContainsFunc(batch, (*entry).failed) {
					break // what is behind it in its message group must wait for it
				}
			}
			return nil
		})
	}
	_ = lanes.Wait() // they return none
}

// lanes returns the messages in lanes. Batches of one lane are handled one after another, and those
// of several lanes at the same time. A standard queue has a lane for each batch, a FIFO queue
// one for each message group, or one in all if the messages are no more than a batch.
func (in *invocation) lanes() (lanes [][]*entry) {
	if !in.queue.fifo || len(in.entries) <= in.o.BatchSize {
		return slices.Collect(slices.Chunk(in.entries, in.o.BatchSize))
	}
	laneOf := map[string]int{} // by message group
	for _, e := range in.entries {
		i, known := laneOf[e.GroupID]
		if !known {
			i = len(lanes)
			laneOf[e.GroupID], lanes = i, append(lanes, nil)
		}
		lanes[i] = append(lanes[i], e)
	}
	return lanes
}

// call calls the handler for a batch and finds out what it says of each message. It does so also if
// the handler panics or ends the goroutine.
func (in *invocation) call(handling, settling context.Context, batch []*entry) {
	messages := make([]*sluice.Message, len(batch))
	for i, e := range batch {
		messages[i] = e.given
	}
	err := error(&sluice.PanicError{}) // stands if the handler calls runtime.Goexit
	defer func() { in.settle(settling, batch, err) }()
	err = guard(func() error { return in.handler(handling, slices.Clone(messages)) }) // the handler may do with its slice what it likes
}

// settle notes what an error of the handler says of each message of a batch, and sends the dead
// letters among them.
func (in *invocation) settle(ctx context.Context, batch []*entry, err error) {
	if broken := guard(func() error { return note(batch, err) }); broken != nil {
		for _, e := range batch { // the error's own methods panicked
			e.fail(sluice.OutcomeRetry, broken)
		}
	}
	halted := map[string]bool{}
	for _, e := range batch {
		if in.queue.fifo && halted[e.GroupID] {
			continue // it is handled again, whatever was said of it
		}
		if e.outcome.Kind == sluice.OutcomeDeadLetter {
			in.deadLetter(ctx, e)
		}
		halted[e.GroupID] = e.failed()
	}
}

// note notes in batch what an error of the handler says of each message.
func note(batch []*entry, err error) error {
	byMessage, messages := make(map[*sluice.Message]*entry, len(batch)), make([]*sluice.Message, len(batch))
	for i, e := range batch {
		e.err, e.outcome = nil, sluice.Outcome{}
		byMessage[e.given], messages[i] = e, e.given
	}
	for m, err := range sluice.Outcomes(messages, err) {
		byMessage[m].err, byMessage[m].outcome = err, sluice.OutcomeOf(err)
	}
	return nil
}

// haltGroups makes the messages of a FIFO queue that stand behind a failed one of their message group
// messages that come back with it: after the same delay, since SQS gives out nothing of a group
// while any message of it is hidden.
func (in *invocation) haltGroups() {
	if !in.queue.fifo {
		return
	}
	heads := map[string]*entry{}
	for _, e := range in.entries {
		head := heads[e.GroupID]
		switch {
		case head == nil && e.failed():
			heads[e.GroupID] = e
		case head != nil && head.err != errNotBegun: //nolint:errorlint // ours, never wrapped
			e.fail(sluice.OutcomeUnhandled, errBehind)
			if head.outcome.Kind == sluice.OutcomeRetryAfter {
				e.outcome = head.outcome
			}
		}
	}
}

// answer returns what the function returns.
func (in *invocation) answer() (events.SQSEventResponse, error) {
	failures := []events.SQSBatchItemFailure{} // not nil, which JSON shows as null
	var first *entry
	for _, e := range in.entries {
		if !e.failed() {
			continue
		}
		if e.ID == "" {
			return events.SQSEventResponse{}, fmt.Errorf("lambdasluice: a message without an id failed, and cannot be reported: %w", e.err)
		}
		if first == nil {
			first = e
		}
		failures = append(failures, events.SQSBatchItemFailure{ItemIdentifier: e.ID})
	}
	if first != nil && len(failures) == len(in.entries) && !in.o.ReportAllFailed {
		return events.SQSEventResponse{}, fmt.Errorf("lambdasluice: all %d messages failed, first message %s: %w", len(failures), first.ID, first.err)
	}
	return events.SQSEventResponse{BatchItemFailures: failures}, nil
}

// guard returns fn's error, or a *sluice.PanicError if fn panics.
func guard(fn func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &sluice.PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return fn()
}
