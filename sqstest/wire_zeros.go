package sqstest

import (
	"context"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
)

// On the wire a zero differs from nothing: "WaitTimeSeconds":0 asks for a short poll, its absence
// for the queue's default. Go's SDK sends no zeros and its types cannot hold the difference, but
// those of other languages do. So these operations look for them beside the SDK's types, whose
// fields of the same name they hide from the decoder.

type receiveRequest struct {
	sqs.ReceiveMessageInput

	MaxNumberOfMessages *int32
	VisibilityTimeout   *int32
	WaitTimeSeconds     *int32
}

func receive(ctx context.Context, ops operations, in []byte, e *encoder) error {
	var r receiveRequest
	if err := decode(in, &r); err != nil {
		return err
	}
	input := &r.ReceiveMessageInput
	input.MaxNumberOfMessages = value(r.MaxNumberOfMessages)
	input.VisibilityTimeout = value(r.VisibilityTimeout)
	input.WaitTimeSeconds = value(r.WaitTimeSeconds)
	z := zeros{Max: isZero(r.MaxNumberOfMessages), Visibility: isZero(r.VisibilityTimeout), Wait: isZero(r.WaitTimeSeconds)}
	out, err := ops.ReceiveMessage(withZeros(ctx, z), input)
	if err != nil {
		return err
	}
	e.open()
	encodeReceived(e, out)
	e.close()
	return nil
}

type sendRequest struct {
	sqs.SendMessageInput

	DelaySeconds *int32
}

func send(ctx context.Context, ops operations, in []byte, e *encoder) error {
	var r sendRequest
	if err := decode(in, &r); err != nil {
		return err
	}
	input := &r.SendMessageInput
	input.DelaySeconds = value(r.DelaySeconds)
	out, err := ops.SendMessage(withZeros(ctx, zeros{Delay: isZero(r.DelaySeconds)}), input)
	if err != nil {
		return err
	}
	e.open()
	encodeSent(e, out)
	e.close()
	return nil
}

type sendBatchRequest struct {
	sqs.SendMessageBatchInput

	Entries []sendBatchEntry
}

type sendBatchEntry struct {
	types.SendMessageBatchRequestEntry

	DelaySeconds *int32
}

func sendBatch(ctx context.Context, ops operations, in []byte, e *encoder) error {
	var r sendBatchRequest
	if err := decode(in, &r); err != nil {
		return err
	}
	input := &r.SendMessageBatchInput
	input.Entries = make([]types.SendMessageBatchRequestEntry, len(r.Entries))
	z := zeros{Delays: make([]bool, len(r.Entries))}
	for i := range r.Entries {
		input.Entries[i] = r.Entries[i].SendMessageBatchRequestEntry
		input.Entries[i].DelaySeconds = value(r.Entries[i].DelaySeconds)
		z.Delays[i] = isZero(r.Entries[i].DelaySeconds)
	}
	out, err := ops.SendMessageBatch(withZeros(ctx, z), input)
	if err != nil {
		return err
	}
	e.open()
	encodeSentBatch(e, out)
	e.close()
	return nil
}

type changeVisibilityRequest struct {
	sqs.ChangeMessageVisibilityInput

	VisibilityTimeout *int32
}

// changeVisibility always means the zero it is sent, so that only a forgotten field is special.
func changeVisibility(ctx context.Context, ops operations, in []byte, e *encoder) error {
	var r changeVisibilityRequest
	if err := decode(in, &r); err != nil {
		return err
	}
	if r.VisibilityTimeout == nil {
		return &wireError{smithy.GenericAPIError{
			Code:    "MissingParameter",
			Message: "The request must contain the parameter VisibilityTimeout.",
			Fault:   smithy.FaultClient,
		}, http.StatusBadRequest}
	}
	input := &r.ChangeMessageVisibilityInput
	input.VisibilityTimeout = *r.VisibilityTimeout
	if _, err := ops.ChangeMessageVisibility(ctx, input); err != nil {
		return err
	}
	e.open()
	e.close()
	return nil
}

func value(n *int32) int32 {
	if n == nil {
		return 0
	}
	return *n
}

func isZero(n *int32) bool { return n != nil && *n == 0 }
