package stories_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
)

// A quarry is a client of a queue of large messages, which it does not keep.
type quarry struct {
	size  int   // of the messages, in bytes
	n     int64 // how many there are
	given atomic.Int64
}

func (q *quarry) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, _ ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	out := &sqs.ReceiveMessageOutput{}
	for range in.MaxNumberOfMessages {
		n := q.given.Add(1)
		if n > q.n {
			break
		}
		id := fmt.Sprint(n)
		out.Messages = append(out.Messages, types.Message{MessageId: &id, ReceiptHandle: &id, Body: new(strings.Repeat("x", q.size))})
	}
	pause := time.NewTimer(10 * time.Millisecond)
	if len(out.Messages) == 0 {
		pause.Reset(time.Duration(in.WaitTimeSeconds) * time.Second)
	}
	select {
	case <-pause.C:
		return out, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (q *quarry) DeleteMessageBatch(_ context.Context, in *sqs.DeleteMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	out := &sqs.DeleteMessageBatchOutput{}
	for _, e := range in.Entries {
		out.Successful = append(out.Successful, types.DeleteMessageBatchResultEntry{Id: e.Id})
	}
	return out, nil
}

func (q *quarry) ChangeMessageVisibilityBatch(_ context.Context, in *sqs.ChangeMessageVisibilityBatchInput, _ ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	out := &sqs.ChangeMessageVisibilityBatchOutput{}
	for _, e := range in.Entries {
		out.Successful = append(out.Successful, types.ChangeMessageVisibilityBatchResultEntry{Id: e.Id})
	}
	return out, nil
}

func TestAMessageThatTakesLongKeepsNoOtherInMemory(t *testing.T) {
	const size, n, slow = 256 << 10, 400, 40
	tell(t, func(w *world) {
		before := heap()
		w.client = &quarry{size: size, n: n}
		c := w.consumer(sluice.Options{Concurrency: 60})
		stop := w.run(c, func(_ context.Context, batch []*sluice.Message) error {
			if strings.HasSuffix(batch[0].ID, "0") { // one of ten
				time.Sleep(time.Hour)
			}
			return nil
		})
		time.Sleep(10 * time.Minute)
		require.EqualValues(w, n-slow, c.Stats().Deleted)
		require.Less(w, heap(), before+2*slow*size)
		time.Sleep(time.Hour)
		require.NoError(w, stop())
	})
}

func TestAHookThatBlocksKeepsNoMoreInMemoryThanMayBeInFlight(t *testing.T) {
	const size, n = 256 << 10, 200
	tell(t, func(w *world) {
		before := heap()
		w.client = &quarry{size: size, n: n}
		release := make(chan struct{})
		defer close(release)
		c := w.consumer(sluice.Options{BytesInFlight: 10 << 20, Hooks: sluice.Hooks{Batch: func(sluice.BatchEvent) { <-release }}})
		stop := w.run(c, func(context.Context, []*sluice.Message) error { return nil })
		time.Sleep(time.Minute)
		require.EqualValues(w, n, c.Stats().Deleted)
		require.Less(w, heap(), before+20<<20)
		require.Positive(w, c.Stats().HooksDropped)
		_ = stop() // the hook blocks that too
	})
}
