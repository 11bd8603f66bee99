package sqsapi

import (
	"context"
	"slices"
	"time"
)

// Receive is [Queue.Fetch] that waits for the client. attempt repeats an earlier receive of
// a FIFO queue; empty: none.
func (q *Queue) Receive(ctx context.Context, n int, wait time.Duration, attempt string) (messages []Message, err error) {
	to := new(taken)
	_, err = q.Fetch(ctx, Fetch{N: n, Wait: wait, Attempt: attempt, To: to})
	return *to, err
}

type taken []Message

func (t *taken) Take(ms []Message) { *t = slices.Clone(ms) }

// Delete is [Queue.DeleteInTime] that waits for the client.
func (q *Queue) Delete(ctx context.Context, handles []string) []error {
	errs, _ := q.DeleteInTime(ctx, handles, nil)
	return errs
}

// Change is [Queue.ChangeInTime] that waits for the client.
func (q *Queue) Change(ctx context.Context, handles []string, timeouts ...time.Duration) []error {
	errs, _ := q.ChangeInTime(ctx, Change{Handles: handles, Timeouts: timeouts})
	return errs
}
