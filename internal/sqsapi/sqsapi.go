// Package sqsapi makes the calls that a consumer makes to one queue: each with its
// own deadline, none repeated behind the caller's back, all counted.
package sqsapi

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
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
	URL        string
	Visibility time.Duration                      // asked for at each receive; whole seconds
	Attributes []types.MessageSystemAttributeName // asked for at each receive
	Observe    func(Call)                         // told of each call, on the caller's goroutine; nil: nobody

	options options
	stuck   atomic.Int32 // calls that are over and whose client has not returned
}

// A Change gives a message in flight a new visibility timeout, counted from the call.
type Change struct {
	Handle  string
	Timeout time.Duration // whole seconds; 0 makes the message visible at once
}

// A Fetch is one receive.
type Fetch struct {
	N       int           // messages asked for, at most
	Wait    time.Duration // for the first message; whole seconds
	Margin  time.Duration // after the wait, until the answer begins to arrive; less than 5 s means 5 s
	Attempt string        // repeats an earlier receive of a FIFO queue; empty: none

	// Overdue is called, on another goroutine, if the receive's time is over and the
	// client has not returned. What it returns later is returned all the same. nil: the
	// receive ends when the client returns.
	Overdue func(error)
}

// Fetch makes a receive. began is when its answer began to arrive; zero: that was not
// seen. The receive is cut when nothing has come for as long as it may take, or when the
// answer has been arriving for as long as the messages are hidden.
func (q *Queue) Fetch(ctx context.Context, f Fetch) (messages []types.Message, began time.Time, err error) {
	in := &sqs.ReceiveMessageInput{
		QueueUrl:                    &q.URL,
		MaxNumberOfMessages:         int32(f.N),
		WaitTimeSeconds:             seconds(f.Wait),
		VisibilityTimeout:           seconds(q.Visibility),
		MessageAttributeNames:       allAttributes,
		MessageSystemAttributeNames: q.Attributes,
	}
	if f.Attempt != "" {
		in.ReceiveRequestAttemptId = &f.Attempt
	}
	if q.stuck.Load() >= mostStuck {
		q.observe(Call{Op: OpReceive, Err: errStuck})
		return nil, time.Time{}, errStuck
	}
	margin := max(answerMargin, f.Margin)
	d := newDeadline(ctx, f.Wait+margin, &q.stuck)
	d.silence, d.lease = margin, q.Visibility
	if f.Overdue != nil {
		d.overdue = func(err error) {
			q.observe(Call{Op: OpReceive, Took: time.Since(d.began), Err: err})
			f.Overdue(err)
		}
	}
	d.start()
	defer d.finish() // also when the client ends the goroutine
	out, err := invoke(d, q, in, q.Client.ReceiveMessage)
	inTime := d.finish()
	if err != nil {
		err = blank(d.late(err), ofHandles(nil))
	} else {
		messages = out.Messages
	}
	if inTime {
		q.observe(Call{Op: OpReceive, Took: time.Since(d.began), Entries: len(messages), Err: err})
	}
	return messages, d.first, err
}

// DeleteInTime deletes the messages with the given receipt handles, ten at most, and
// returns one error for each: nil where SQS confirmed it. It does not wait for a client that
// ignores its context: then overdue is called instead, on another goroutine, and once the
// client has returned inTime is false. nil: it is waited for.
func (q *Queue) DeleteInTime(ctx context.Context, handles []string, overdue func([]error)) (errs []error, inTime bool) {
	if q.stuck.Load() >= mostStuck {
		return q.deleted(handles, time.Now(), nil, errStuck), true
	}
	d := newDeadline(ctx, callTimeout, &q.stuck)
	if overdue != nil {
		d.overdue = func(err error) { overdue(q.deleted(handles, d.began, nil, err)) }
	}
	d.start()
	defer d.finish() // also when the client ends the goroutine
	entries := make([]types.DeleteMessageBatchRequestEntry, len(handles))
	for i := range handles {
		entries[i] = types.DeleteMessageBatchRequestEntry{Id: entryID(i), ReceiptHandle: &handles[i]}
	}
	out, err := invoke(d, q, &sqs.DeleteMessageBatchInput{QueueUrl: &q.URL, Entries: entries}, q.Client.DeleteMessageBatch)
	if !d.finish() {
		return nil, false
	}
	return q.deleted(handles, d.began, out, d.late(err)), true
}

// deleted returns what became of each delete of a call, and tells of the call.
func (q *Queue) deleted(handles []string, began time.Time, out *sqs.DeleteMessageBatchOutput, err error) []error {
	if err != nil {
		err = blank(err, ofHandles(handles))
	}
	errs := results(len(handles), err)
	if err == nil {
		for _, ok := range out.Successful {
			confirm(errs, ok.Id)
		}
		markFailed(errs, out.Failed, func(i int) string { return handles[i] })
	}
	q.observe(Call{Op: OpDelete, Entries: len(handles), Failed: failed(errs), Took: time.Since(began), Err: err})
	return errs
}

// Change applies up to ten changes and returns one error for each: nil where SQS
// confirmed it. It does not wait for a client that ignores its context.
func (q *Queue) Change(ctx context.Context, changes []Change) []error {
	entries := make([]types.ChangeMessageVisibilityBatchRequestEntry, len(changes))
	handles := make([]string, len(changes))
	for i := range changes {
		handles[i] = changes[i].Handle
		entries[i] = types.ChangeMessageVisibilityBatchRequestEntry{
			Id: entryID(i), ReceiptHandle: &handles[i], VisibilityTimeout: seconds(changes[i].Timeout),
		}
	}
	began := time.Now()
	out, err := detach(ctx, q, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &q.URL, Entries: entries}, q.Client.ChangeMessageVisibilityBatch)
	if err != nil {
		err = blank(err, ofHandles(handles))
	}
	errs := results(len(changes), err)
	if err == nil {
		for _, ok := range out.Successful {
			confirm(errs, ok.Id)
		}
		markFailed(errs, out.Failed, func(i int) string { return handles[i] })
	}
	q.observe(Call{Op: OpChange, Entries: len(changes), Failed: failed(errs), Took: time.Since(began), Err: err})
	return errs
}

// Send sends in with sender. It does not wait for a client that ignores its context.
func (q *Queue) Send(ctx context.Context, sender Sender, in *sqs.SendMessageInput) error {
	began := time.Now()
	_, err := detach(ctx, q, in, sender.SendMessage)
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

// detach makes a call that is left behind if the client ignores its context.
func detach[I, O any](ctx context.Context, q *Queue, in *I, through func(context.Context, *I, ...func(*sqs.Options)) (*O, error)) (*O, error) {
	if q.stuck.Load() >= mostStuck {
		return nil, errStuck
	}
	d := newDeadline(ctx, callTimeout, &q.stuck)
	return detached(d, func() (*O, error) { return invoke(d, q, in, through) })
}

// errNothing stands for the answer of a client that returns neither one nor an error.
var errNothing = errors.New("the client returned nothing")

// invoke makes a call: past the client where that is the same, else through it.
func invoke[I, O any](ctx context.Context, q *Queue, in *I, through func(context.Context, *I, ...func(*sqs.Options)) (*O, error)) (*O, error) {
	return answer(func() (*O, error) {
		trip := q.options.direct(q.Client).Go(ctx, in)
		if out, ok := trip.Result.(*O); ok {
			return out, nil
		}
		defer trip.Drop()
		return through(ctx, in, q.options.single, trip.End)
	})
}

// answer makes a call of the client's. The client is the user's code, and so is what is
// in its middleware: a panic is an error like any other, to be seen and tried again.
func answer[O any](call func() (*O, error)) (out *O, err error) {
	defer func() {
		if v := recover(); v != nil {
			out, err = nil, fmt.Errorf("the client panicked: %v", v)
		}
	}()
	out, err = call()
	if out == nil && err == nil {
		err = errNothing
	}
	if err != nil {
		_ = Classify(err) // an error has methods too, which others are about to ask
	}
	return out, err
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

func confirm(errs []error, id *string) {
	if i, ok := position(errs, id); ok {
		errs[i] = nil
	}
}

// markFailed notes the entries that SQS rejected. Its texts name the receipt handle, with which
// anybody could delete the message: that stays out of errors, which are logged.
func markFailed(errs []error, failed []types.BatchResultErrorEntry, handle func(i int) string) {
	for _, f := range failed {
		if i, ok := position(errs, f.Id); ok {
			message := withoutHandles(aws.ToString(f.Message), []string{handle(i)})
			errs[i] = &entryError{code: aws.ToString(f.Code), message: message}
		}
	}
}

func position(errs []error, id *string) (int, bool) {
	i, err := strconv.Atoi(aws.ToString(id))
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
