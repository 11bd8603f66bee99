package simtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"regexp"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/sluice-go/sluice"
)

// The operations of a consumer.
const (
	opReceive = "ReceiveMessage"
	opDelete  = "DeleteMessageBatch"
	opChange  = "ChangeMessageVisibilityBatch"
	opSend    = "SendMessage"
)

// A sendingClient is a client that can send to the dead-letter queue too.
type sendingClient interface {
	sluice.Client
	SendMessage(ctx context.Context, in *sqs.SendMessageInput, optFns ...func(*sqs.Options)) (*sqs.SendMessageOutput, error)
}

// A recorder writes down what the library asks for and what it is told, as the
// library sees it.
type recorder struct {
	*wire
	next sendingClient
}

func (r *recorder) ask(e event) int {
	e.kind, e.inc, e.call = called, r.inc, r.w.hist.number()
	if !r.dead.Load() {
		r.w.hist.add(e)
	}
	return e.call
}

func (r *recorder) tell(call int, e event) {
	e.kind, e.inc, e.call = answered, r.inc, call
	if e.err != nil {
		e.err = errors.New(bare(e.err))
	}
	if !r.dead.Load() {
		r.w.hist.add(e)
	}
}

// attemptText is what is random in the text of an error: the id of a FIFO queue's receive.
var attemptText = regexp.MustCompile(`\b[A-Z2-7]{26}\b`)

// bare is the text of an error as a trace wants it.
func bare(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return "SQS says " + api.ErrorCode()
	}
	text := attemptText.ReplaceAllString(err.Error(), "…")
	return text[:min(len(text), 90)]
}

func (r *recorder) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, opts ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	call := r.ask(event{op: opReceive, n: int(in.MaxNumberOfMessages), asked: time.Duration(in.VisibilityTimeout) * time.Second})
	out, err := r.next.ReceiveMessage(ctx, in, opts...)
	e := event{op: opReceive, err: err}
	if err == nil {
		for i := range out.Messages {
			m := &out.Messages[i]
			count, _ := strconv.Atoi(m.Attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)])
			e.got = append(e.got, receipt{*m.MessageId, *m.ReceiptHandle, count})
		}
	}
	r.tell(call, e)
	return out, err
}

func (r *recorder) DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput, opts ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	handles := deleteHandles(in)
	call := r.ask(event{op: opDelete, handles: handles})
	out, err := r.next.DeleteMessageBatch(ctx, in, opts...)
	e := event{op: opDelete, handles: handles, ok: make([]bool, len(handles)), err: err}
	if err == nil {
		for _, s := range out.Successful {
			e.confirm(s.Id)
		}
		e.refuse(out.Failed)
	}
	r.tell(call, e)
	return out, err
}

func (r *recorder) ChangeMessageVisibilityBatch(ctx context.Context, in *sqs.ChangeMessageVisibilityBatchInput, opts ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	handles := changeHandles(in)
	timeouts := make([]time.Duration, len(in.Entries))
	for i := range in.Entries {
		timeouts[i] = time.Duration(in.Entries[i].VisibilityTimeout) * time.Second
	}
	call := r.ask(event{op: opChange, handles: handles, timeouts: timeouts})
	out, err := r.next.ChangeMessageVisibilityBatch(ctx, in, opts...)
	e := event{op: opChange, handles: handles, timeouts: timeouts, ok: make([]bool, len(handles)), err: err}
	if err == nil {
		for _, s := range out.Successful {
			e.confirm(s.Id)
		}
		e.refuse(out.Failed)
	}
	r.tell(call, e)
	return out, err
}

func (r *recorder) SendMessage(ctx context.Context, in *sqs.SendMessageInput, opts ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	call := r.ask(event{op: opSend})
	out, err := r.next.SendMessage(ctx, in, opts...)
	r.tell(call, event{op: opSend, err: err})
	return out, err
}

// confirm notes an entry by its id. The library names entries by their positions;
// a library that did not would confirm nothing here.
func (e *event) confirm(id *string) {
	if i, err := strconv.Atoi(*id); err == nil && i < len(e.ok) {
		e.ok[i] = true
	}
}

func (e *event) refuse(failed []types.BatchResultErrorEntry) {
	for _, f := range failed {
		e.refused = append(e.refused, *f.Code)
	}
}

func deleteHandles(in *sqs.DeleteMessageBatchInput) []string {
	handles := make([]string, len(in.Entries))
	for i := range in.Entries {
		handles[i] = *in.Entries[i].ReceiptHandle
	}
	return handles
}

func changeHandles(in *sqs.ChangeMessageVisibilityBatchInput) []string {
	handles := make([]string, len(in.Entries))
	for i := range in.Entries {
		handles[i] = *in.Entries[i].ReceiptHandle
	}
	return handles
}

func newReader(b []byte) io.Reader { return bytes.NewReader(b) }
