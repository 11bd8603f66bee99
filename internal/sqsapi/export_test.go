package sqsapi

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// Receive is [Queue.Fetch] that waits for the client. attempt repeats an earlier receive of
// a FIFO queue; empty: none.
func (q *Queue) Receive(ctx context.Context, n int, wait time.Duration, attempt string) ([]types.Message, error) {
	messages, _, err := q.Fetch(ctx, Fetch{N: n, Wait: wait, Attempt: attempt})
	return messages, err
}

// Delete is [Queue.DeleteInTime] that waits for the client.
func (q *Queue) Delete(ctx context.Context, handles []string) []error {
	errs, _ := q.DeleteInTime(ctx, handles, nil)
	return errs
}
