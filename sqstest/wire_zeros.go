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

func receive(ctx context.Context, s *Server, r *receiveRequest) (*sqs.ReceiveMessageOutput, error) {
	in := &r.ReceiveMessageInput
	in.MaxNumberOfMessages = value(r.MaxNumberOfMessages)
	in.VisibilityTimeout = value(r.VisibilityTimeout)
	in.WaitTimeSeconds = value(r.WaitTimeSeconds)
	z := zeros{Max: isZero(r.MaxNumberOfMessages), Visibility: isZero(r.VisibilityTimeout), Wait: isZero(r.WaitTimeSeconds)}
	return s.ReceiveMessage(withZeros(ctx, z), in)
}

type sendRequest struct {
	sqs.SendMessageInput

	DelaySeconds *int32
}

func send(ctx context.Context, s *Server, r *sendRequest) (*sqs.SendMessageOutput, error) {
	in := &r.SendMessageInput
	in.DelaySeconds = value(r.DelaySeconds)
	return s.SendMessage(withZeros(ctx, zeros{Delay: isZero(r.DelaySeconds)}), in)
}

type sendBatchRequest struct {
	sqs.SendMessageBatchInput

	Entries []sendBatchEntry
}

type sendBatchEntry struct {
	types.SendMessageBatchRequestEntry

	DelaySeconds *int32
}

func sendBatch(ctx context.Context, s *Server, r *sendBatchRequest) (*sqs.SendMessageBatchOutput, error) {
	in := &r.SendMessageBatchInput
	in.Entries = make([]types.SendMessageBatchRequestEntry, len(r.Entries))
	z := zeros{Delays: make([]bool, len(r.Entries))}
	for i := range r.Entries {
		in.Entries[i] = r.Entries[i].SendMessageBatchRequestEntry
		in.Entries[i].DelaySeconds = value(r.Entries[i].DelaySeconds)
		z.Delays[i] = isZero(r.Entries[i].DelaySeconds)
	}
	return s.SendMessageBatch(withZeros(ctx, z), in)
}

type changeVisibilityRequest struct {
	sqs.ChangeMessageVisibilityInput

	VisibilityTimeout *int32
}

// changeVisibility always means the zero it is sent, so that only a forgotten field is special.
func changeVisibility(ctx context.Context, s *Server, r *changeVisibilityRequest) (*sqs.ChangeMessageVisibilityOutput, error) {
	if r.VisibilityTimeout == nil {
		return nil, &wireError{smithy.GenericAPIError{
			Code:    "MissingParameter",
			Message: "The request must contain the parameter VisibilityTimeout.",
			Fault:   smithy.FaultClient,
		}, http.StatusBadRequest}
	}
	in := &r.ChangeMessageVisibilityInput
	in.VisibilityTimeout = *r.VisibilityTimeout
	return s.ChangeMessageVisibility(ctx, in)
}

func value(n *int32) int32 {
	if n == nil {
		return 0
	}
	return *n
}

func isZero(n *int32) bool { return n != nil && *n == 0 }
