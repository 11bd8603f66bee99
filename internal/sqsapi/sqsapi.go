// Package sqsapi makes the calls that a consumer makes to one queue: each with its
// own deadline, none repeated behind the caller's back, all counted.
package sqsapi

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

const (
	answerMargin = 5 * time.Second  // for an answer to arrive after the poll's wait; a dead connection hangs no longer
	callTimeout  = 10 * time.Second // for the calls that SQS answers at once
)

// A Client makes the calls that every consumer needs. [*sqs.Client] is one.
type Client interface {
	ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, optFns ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput, optFns ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error)
	ChangeMessageVisibilityBatch(ctx context.Context, in *sqs.ChangeMessageVisibilityBatchInput, optFns ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error)
}

// A Sender sends one message. [*sqs.Client] is one. Only dead letters need it.
type Sender interface {
	SendMessage(ctx context.Context, in *sqs.SendMessageInput, optFns ...func(*sqs.Options)) (*sqs.SendMessageOutput, error)
}

// The operations, by the names that SQS has for them.
const (
	OpReceive = "ReceiveMessage"
	OpDelete  = "DeleteMessageBatch"
	OpChange  = "ChangeMessageVisibilityBatch"
	OpSend    = "SendMessage"
)

// Operations are all of them.
var Operations = [...]string{OpReceive, OpDelete, OpChange, OpSend}

// A Call is what became of one call.
type Call struct {
	Op      string        // one of the operations above
	Entries int           // messages received, or entries sent
	Failed  int           // entries that SQS refused; all of them when Err is set
	Took    time.Duration // from the request to its answer
	Err     error         // of the whole call
}

// A Queue is one queue as its consumer sees it. All methods may be called
// concurrently.
type Queue struct {
	Client     Client
	Lean       *Lean // makes receives, deletes and changes in the Client's stead; nil: the Client makes all calls
	URL        string
	Visibility time.Duration                      // asked for at each receive; whole seconds
	Attributes []types.MessageSystemAttributeName // asked for at each receive
	Shown      []types.MessageSystemAttributeName // those of them that are in [Message.System]
	Observe    func(Call)                         // told of each call, on the caller's goroutine; nil: nobody

	options options
	stuck   atomic.Int32 // calls that are over and whose client has not returned

	receives, deletes, changes deadlines
}

// A Change gives messages in flight new visibility timeouts, counted from the call.
type Change struct {
	Handles  []string        // ten at most
	Timeouts []time.Duration // one for each; whole seconds; 0 makes the message visible at once
	Limit    time.Duration   // of the call; 0 or more than 10 s: 10 s

	// Late is told, on another goroutine, if the call's time is over and the client has not
	// returned. nil: the client is waited for.
	Late LateBatch
}

// A Fetch is one receive.
type Fetch struct {
	N       int           // messages asked for, at most
	Wait    time.Duration // for the first message; whole seconds
	Margin  time.Duration // after the wait, until the answer begins to arrive; less than 5 s means 5 s
	Attempt string        // repeats an earlier receive of a FIFO queue; empty: none

	To Taker // takes the messages; nil: nobody

	// Late is told, on another goroutine, if the receive's time is over and the client has
	// not returned. What it returns later is returned all the same. nil: nobody is.
	Late LateReceive
}

// A LateReceive is told of the end of a receive whose client has not returned. The error says
// what it means, see [Requesting].
type LateReceive interface{ Overdue(err error) }

// A Taker takes the messages of an answer, unless there are none. They are good until it
// returns; what is in them is good for ever.
type Taker interface{ Take([]Message) }

// A fetching is a receive under way.
type fetching struct {
	receipt

	ask      Fetch
	deadline *deadline
}

// overdue tells of the end of a receive whose client has not returned.
func (r *fetching) overdue(err error) {
	r.queue.observe(Call{Op: OpReceive, Took: time.Since(r.deadline.began), Err: err})
	r.ask.Late.Overdue(Requesting(err))
}

// Fetch makes a receive. began is when the body of its answer began to arrive; zero: that was not
// seen. The receive is cut when nothing has come for as long as it may take, or when the
// answer has been arriving for as long as the messages are hidden.
func (q *Queue) Fetch(ctx context.Context, f Fetch) (began time.Time, err error) {
	if q.stuck.Load() >= mostStuck {
		q.observe(Call{Op: OpReceive, Err: errStuck})
		return time.Time{}, errStuck
	}
	margin := max(answerMargin, f.Margin)
	d := q.receives.take(ctx, f.Wait+margin, &q.stuck)
	d.silence, d.lease = margin, q.Visibility
	r := &fetching{receipt{queue: q, to: f.To}, f, d}
	if f.Late != nil {
		d.overdue = r
	}
	d.start()
	defer q.receives.leave(d) // also when the client ends the goroutine
	err = q.receive(r)
	inTime := d.finish(err == nil && q.reuses())
	if err != nil {
		err = blank(d.late(err), ofHandles(nil))
	}
	if inTime {
		q.observe(Call{Op: OpReceive, Took: time.Since(d.began), Entries: r.n, Err: err})
	}
	return d.first, err
}

// reuses reports whether the context of a call may be that of another one.
func (q *Queue) reuses() bool { return q.Lean != nil && q.Lean.stock }

// receive makes a receive.
func (q *Queue) receive(r *fetching) (err error) {
	defer guard(&err)
	if q.Lean != nil {
		return q.leanReceive(r.deadline, &r.ask, &r.receipt)
	}
	out, err := answered(q.Client.ReceiveMessage(r.deadline, q.receiveInput(&r.ask), q.options.single))
	if err == nil {
		r.convert(out)
	}
	return err
}

func (q *Queue) receiveInput(f *Fetch) *sqs.ReceiveMessageInput {
	in := &sqs.ReceiveMessageInput{
		QueueUrl:                    &q.URL,
		MaxNumberOfMessages:         int32(f.N),
		WaitTimeSeconds:             seconds(f.Wait),
		VisibilityTimeout:           seconds(q.Visibility),
		MessageAttributeNames:       allAttributes,
		MessageSystemAttributeNames: q.Attributes,
	}
	if f.Attempt != "" {
		in.ReceiveRequestAttemptId = new(f.Attempt)
	}
	return in
}

// A LateBatch is told of the end of a delete or a change whose client has not returned: an error
// for each handle, with what it means, see [Settling].
type LateBatch interface{ Overdue(errs []error) }

// A batch is a delete or a change under way.
type batch struct {
	queue    *Queue
	op       string
	handles  []string
	timeouts []time.Duration // of a change
	late     LateBatch
	deadline *deadline
	verdict  verdict
}

// DeleteInTime deletes the messages with the given receipt handles, ten at most, and
// returns one error for each: nil where SQS confirmed it. It does not wait for a client that
// ignores its context: then late is told instead, on another goroutine, and once the client
// has returned inTime is false. If late is nil the client is waited for.
func (q *Queue) DeleteInTime(ctx context.Context, handles []string, late LateBatch) (errs []error, inTime bool) {
	c := &batch{queue: q, op: OpDelete, handles: handles, late: late}
	return c.make(ctx, &q.deletes, callTimeout)
}

// ChangeInTime makes a change and returns one error for each message: nil where SQS confirmed
// it. It waits for the client as [Queue.DeleteInTime] does.
func (q *Queue) ChangeInTime(ctx context.Context, change Change) (errs []error, inTime bool) {
	limit := callTimeout
	if change.Limit > 0 {
		limit = min(limit, change.Limit)
	}
	c := &batch{queue: q, op: OpChange, handles: change.Handles, timeouts: change.Timeouts, late: change.Late}
	return c.make(ctx, &q.changes, limit)
}

// make makes the call with a deadline from a list. inTime is false if the call was given up before.
func (c *batch) make(ctx context.Context, from *deadlines, limit time.Duration) (errs []error, inTime bool) {
	q := c.queue
	if q.stuck.Load() >= mostStuck {
		return c.results(time.Now(), errStuck), true
	}
	d := from.take(ctx, limit, &q.stuck)
	c.deadline = d
	if c.late != nil {
		d.overdue = c
	}
	d.start()
	defer from.leave(d) // also when the client ends the goroutine
	err := c.call()
	if !d.finish(err == nil && q.reuses()) {
		return nil, false
	}
	return c.results(d.began, d.late(err)), true
}

// call makes the call.
func (c *batch) call() (err error) {
	defer guard(&err)
	switch q := c.queue; {
	case q.Lean != nil && c.op == OpDelete:
		return q.leanDelete(c.deadline, c.handles, &c.verdict)
	case q.Lean != nil:
		return q.leanChange(c.deadline, c.handles, c.timeouts, &c.verdict)
	case c.op == OpDelete:
		out, err := answered(q.Client.DeleteMessageBatch(c.deadline, q.deleteInput(c.handles), q.options.single))
		if err == nil {
			c.verdict.fromDelete(out)
		}
		return err
	default:
		out, err := answered(q.Client.ChangeMessageVisibilityBatch(c.deadline, q.changeInput(c.handles, c.timeouts), q.options.single))
		if err == nil {
			c.verdict.fromChange(out)
		}
		return err
	}
}

// overdue tells of the end of a call whose client has not returned.
func (c *batch) overdue(err error) { c.late.Overdue(Settling(c.results(c.deadline.began, err))) }

// results returns what became of each entry of a call that has ended with err, and tells of the
// call.
func (c *batch) results(began time.Time, err error) []error {
	if err != nil {
		err = blank(err, ofHandles(slices.Clone(c.handles))) // the error outlives the call, and its handles do not
	}
	errs := results(len(c.handles), err)
	if err == nil {
		c.verdict.apply(errs, c.handles)
	}
	c.queue.observe(Call{Op: c.op, Entries: len(errs), Failed: failed(errs), Took: time.Since(began), Err: err})
	return errs
}

// deleteInput returns the input of a delete. It shares no memory with handles, which the
// caller uses again: the client may keep its input.
func (q *Queue) deleteInput(handles []string) *sqs.DeleteMessageBatchInput {
	handles = slices.Clone(handles)
	entries := make([]types.DeleteMessageBatchRequestEntry, len(handles))
	for i := range handles {
		entries[i] = types.DeleteMessageBatchRequestEntry{Id: entryID(i), ReceiptHandle: &handles[i]}
	}
	return &sqs.DeleteMessageBatchInput{QueueUrl: &q.URL, Entries: entries}
}

// changeInput is deleteInput for changes of visibility.
func (q *Queue) changeInput(handles []string, timeouts []time.Duration) *sqs.ChangeMessageVisibilityBatchInput {
	handles = slices.Clone(handles)
	entries := make([]types.ChangeMessageVisibilityBatchRequestEntry, len(handles))
	for i := range handles {
		entries[i] = types.ChangeMessageVisibilityBatchRequestEntry{
			Id: entryID(i), ReceiptHandle: &handles[i], VisibilityTimeout: seconds(timeouts[i]),
		}
	}
	return &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &q.URL, Entries: entries}
}

// Send sends in with sender. It does not wait for a client that ignores its context.
func (q *Queue) Send(ctx context.Context, sender Sender, in *sqs.SendMessageInput) error {
	began := time.Now()
	err := q.detached(ctx, func(d *deadline) (err error) {
		defer guard(&err)
		_, err = answered(sender.SendMessage(d, in, q.options.single))
		return err
	})
	if err != nil {
		err = blank(err, ofMessage(in))
	}
	call := Call{Op: OpSend, Entries: 1, Took: time.Since(began), Err: err}
	if err != nil {
		call.Failed = 1
	}
	q.observe(call)
	return err
}

// errNothing stands for the answer of a client that returns neither one nor an error.
var errNothing = errors.New("the client returned nothing")

// answered returns what a call of the client's has returned.
func answered[O any](out *O, err error) (*O, error) {
	if out == nil && err == nil {
		err = errNothing
	}
	return out, err
}

// guard is deferred by what makes a call. The client is the user's code, and so is what it is
// made of: a panic is an error like any other, to be seen and tried again.
func guard(err *error) {
	v := recover()
	if v == nil {
		v = panics(*err)
	}
	if v != nil {
		*err = fmt.Errorf("the client panicked: %v", v)
	}
}

// panics returns what an error panics with when it is asked, as others are about to do; nil:
// it does not.
func panics(err error) (v any) {
	if err != nil {
		defer func() { v = recover() }()
		_ = Classify(err)
	}
	return v
}

func (q *Queue) observe(c Call) {
	if q.Observe != nil {
		q.Observe(c)
	}
}

// allAttributes asks for every attribute that the sender gave a message.
var allAttributes = []string{"All"}

// Entries are named by their positions. Message ids would not do: a duplicate in
// one call makes SQS refuse all ten (BatchEntryIdsNotDistinct).
var entryIDs = [...]string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}

func entryID(i int) *string { return &entryIDs[i] }

// An entryError is what SQS said of one entry of a call that succeeded as a whole.
type entryError struct{ code, message string }

func (e *entryError) Error() string { return e.code + ": " + e.message }

func (e *entryError) ErrorCode() string { return e.code }

// errUnanswered stands for an entry that the answer does not mention.
var errUnanswered = errors.New("the answer says nothing of this entry")

func results(n int, err error) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
		if err == nil {
			errs[i] = errUnanswered
		}
	}
	return errs
}

// apply notes what an answer says of each entry.
func (v *verdict) apply(errs []error, handles []string) {
	for _, id := range v.done {
		if i, ok := position(errs, id); ok {
			errs[i] = nil
		}
	}
	v.markFailed(errs, handles)
}

// markFailed notes the entries that SQS rejected. Its texts name the receipt handle, with which
// anybody could delete the message: that stays out of errors, which are logged.
func (v *verdict) markFailed(errs []error, handles []string) {
	for _, f := range v.failed {
		if i, ok := position(errs, f.id); ok {
			message := withoutHandles(f.message, handles[i:i+1])
			errs[i] = &entryError{code: f.code, message: message}
		}
	}
}

func position(errs []error, id string) (int, bool) {
	i, err := strconv.Atoi(id)
	return i, err == nil && i >= 0 && i < len(errs)
}

func failed(errs []error) (n int) {
	for _, err := range errs {
		if err != nil {
			n++
		}
	}
	return n
}

// seconds rounds up: cutting 500 ms down to 0 would make a message visible now.
func seconds(d time.Duration) int32 {
	return int32((d + time.Second - 1) / time.Second)
}
