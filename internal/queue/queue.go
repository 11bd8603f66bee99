// Package queue makes the calls that a consumer makes to one queue: each with its
// own deadline, none repeated behind the caller's back, all counted.
package queue

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
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
var Operations = []string{OpReceive, OpDelete, OpChange, OpSend}

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
}

// A Change gives a message in flight a new visibility timeout, counted from the call.
type Change struct {
	Handle  string
	Timeout time.Duration // whole seconds; 0 makes the message visible at once
}

// Receive asks for up to n messages and waits for the first at most wait (whole
// seconds). attempt repeats an earlier receive of a FIFO queue; empty: none.
func (q *Queue) Receive(ctx context.Context, n int, wait time.Duration, attempt string) ([]types.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, wait+answerMargin)
	defer cancel()
	in := &sqs.ReceiveMessageInput{
		QueueUrl:                    &q.URL,
		MaxNumberOfMessages:         int32(n),
		WaitTimeSeconds:             seconds(wait),
		VisibilityTimeout:           seconds(q.Visibility),
		MessageAttributeNames:       allAttributes,
		MessageSystemAttributeNames: q.Attributes,
	}
	if attempt != "" {
		in.ReceiveRequestAttemptId = &attempt
	}
	began := time.Now()
	out, err := invoke(ctx, q, in, q.Client.ReceiveMessage)
	if err != nil {
		q.observe(Call{Op: OpReceive, Took: time.Since(began), Err: err})
		return nil, err
	}
	q.observe(Call{Op: OpReceive, Took: time.Since(began), Entries: len(out.Messages)})
	return out.Messages, nil
}

// Delete deletes the messages with the given receipt handles, ten at most, and
// returns one error for each: nil where SQS confirmed it.
func (q *Queue) Delete(ctx context.Context, handles []string) []error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	entries := make([]types.DeleteMessageBatchRequestEntry, len(handles))
	for i := range handles {
		entries[i] = types.DeleteMessageBatchRequestEntry{Id: entryID(i), ReceiptHandle: &handles[i]}
	}
	began := time.Now()
	out, err := invoke(ctx, q, &sqs.DeleteMessageBatchInput{QueueUrl: &q.URL, Entries: entries}, q.Client.DeleteMessageBatch)
	errs := results(len(handles), err)
	if err == nil {
		for _, ok := range out.Successful {
			confirm(errs, ok.Id)
		}
		refuse(errs, out.Failed, func(i int) string { return handles[i] })
	}
	q.observe(Call{Op: OpDelete, Entries: len(handles), Failed: failed(errs), Took: time.Since(began), Err: err})
	return errs
}

// Change applies up to ten changes and returns one error for each: nil where SQS
// confirmed it.
func (q *Queue) Change(ctx context.Context, changes []Change) []error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	entries := make([]types.ChangeMessageVisibilityBatchRequestEntry, len(changes))
	for i := range changes {
		entries[i] = types.ChangeMessageVisibilityBatchRequestEntry{
			Id: entryID(i), ReceiptHandle: &changes[i].Handle, VisibilityTimeout: seconds(changes[i].Timeout),
		}
	}
	began := time.Now()
	out, err := invoke(ctx, q, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &q.URL, Entries: entries}, q.Client.ChangeMessageVisibilityBatch)
	errs := results(len(changes), err)
	if err == nil {
		for _, ok := range out.Successful {
			confirm(errs, ok.Id)
		}
		refuse(errs, out.Failed, func(i int) string { return changes[i].Handle })
	}
	q.observe(Call{Op: OpChange, Entries: len(changes), Failed: failed(errs), Took: time.Since(began), Err: err})
	return errs
}

// Send sends in with sender.
func (q *Queue) Send(ctx context.Context, sender Sender, in *sqs.SendMessageInput) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	began := time.Now()
	_, err := invoke(ctx, q, in, sender.SendMessage)
	call := Call{Op: OpSend, Entries: 1, Took: time.Since(began), Err: err}
	if err != nil {
		call.Failed = 1
	}
	q.observe(call)
	return err
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

// refuse notes what SQS refused. Its texts name the receipt handle, with which
// anybody could delete the message: that stays out of errors, which are logged.
func refuse(errs []error, failed []types.BatchResultErrorEntry, handle func(i int) string) {
	for _, f := range failed {
		if i, ok := position(errs, f.Id); ok {
			message := aws.ToString(f.Message)
			if h := handle(i); h != "" {
				message = strings.ReplaceAll(message, h, "…")
			}
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
