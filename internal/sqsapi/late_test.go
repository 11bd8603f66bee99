package sqsapi_test

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/fault"
	"github.com/sluice-go/sluice/internal/sqsapi"
)

// A hearer keeps what it is told of a late batch.
type hearer struct {
	told atomic.Int64
	errs atomic.Pointer[[]error] // of the newest
}

func (h *hearer) Overdue(errs []error) {
	h.errs.Store(&errs)
	h.told.Add(1)
}

// batches are the calls about several messages.
var batches = map[string]func(ctx context.Context, q *sqsapi.Queue, late sqsapi.LateBatch) (errs []error, inTime bool){
	sqsapi.OpDelete: func(ctx context.Context, q *sqsapi.Queue, late sqsapi.LateBatch) ([]error, bool) {
		return q.DeleteInTime(ctx, []string{"handle-a", "handle-b"}, late)
	},
	sqsapi.OpChange: func(ctx context.Context, q *sqsapi.Queue, late sqsapi.LateBatch) ([]error, bool) {
		return q.ChangeInTime(ctx, sqsapi.Change{Handles: []string{"handle-a", "handle-b"}, Timeouts: make([]time.Duration, 2), Late: late})
	},
}

func TestABatchThatIgnoresItsDeadlineIsToldOfOnce(t *testing.T) {
	for op, call := range batches {
		t.Run(op, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var calls []sqsapi.Call
				free, late := make(chan struct{}), &hearer{}
				q := &sqsapi.Queue{Client: hangs{free}, URL: "http://sqs.test/1/q", Observe: func(c sqsapi.Call) { calls = append(calls, c) }}
				var errs []error
				returned, inTime := false, true
				go func() {
					errs, inTime = call(t.Context(), q, late)
					returned = true
				}()
				time.Sleep(11*time.Second - 1)
				require.Zero(t, late.told.Load())
				time.Sleep(time.Minute)
				require.EqualValues(t, 1, late.told.Load())
				require.Len(t, *late.errs.Load(), 2)
				for _, err := range *late.errs.Load() {
					require.ErrorContains(t, err, "has not returned")
					require.ErrorIs(t, err, context.DeadlineExceeded)
					require.True(t, fault.Of(err).Unsure)
					require.Equal(t, fault.Passing, fault.Of(err).Kind)
				}
				require.False(t, returned)
				close(free)
				synctest.Wait()
				require.True(t, returned)
				require.False(t, inTime)
				require.Empty(t, errs)
				require.EqualValues(t, 1, late.told.Load())
				require.Len(t, calls, 1, "the call is counted once")
				require.Equal(t, op, calls[0].Op)
				require.Equal(t, 2, calls[0].Failed)
			})
		})
	}
}

func TestABatchWhoseClientReturnsJustInTimeIsNotLate(t *testing.T) {
	for op, call := range batches {
		t.Run(op, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				free, late := make(chan struct{}), &hearer{}
				q := &sqsapi.Queue{Client: hangs{free}, URL: "http://sqs.test/1/q"}
				time.AfterFunc(11*time.Second-1, func() { close(free) }) // after the end of its context
				errs, inTime := call(t.Context(), q, late)
				require.True(t, inTime)
				require.ErrorContains(t, errs[1], "cut after 11s: late")
				time.Sleep(time.Minute)
				require.Zero(t, late.told.Load())
			})
		})
	}
}

func TestALateBatchWhoseContextEndsMeanwhileIsToldOfOnce(t *testing.T) {
	for op, call := range batches {
		t.Run(op, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				free, late := make(chan struct{}), &hearer{}
				q := &sqsapi.Queue{Client: hangs{free}, URL: "http://sqs.test/1/q"}
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() {
					_, _ = call(ctx, q, late)
					close(ended)
				}()
				time.Sleep(5 * time.Second)
				stop()
				time.Sleep(time.Minute)
				require.EqualValues(t, 1, late.told.Load())
				close(free)
				<-ended
				require.EqualValues(t, 1, late.told.Load())
			})
		})
	}
}

func TestAChangeMayHaveLessTime(t *testing.T) {
	for limit, want := range map[time.Duration]time.Duration{
		0: 10 * time.Second, time.Second: time.Second, 7500 * time.Millisecond: 7500 * time.Millisecond, time.Hour: 10 * time.Second,
	} {
		synctest.Test(t, func(t *testing.T) {
			q := &sqsapi.Queue{Client: waits{}, URL: "http://sqs.test/1/q"}
			began := time.Now()
			errs, inTime := q.ChangeInTime(t.Context(), sqsapi.Change{Handles: []string{"handle-a"}, Timeouts: []time.Duration{time.Second}, Limit: limit, Late: &hearer{}})
			require.True(t, inTime)
			require.ErrorIs(t, errs[0], context.DeadlineExceeded)
			require.Equal(t, want, time.Since(began))
		})
	}
}

// waits is a client whose changes end with their contexts.
type waits struct{ sqsapi.Client }

func (waits) ChangeMessageVisibilityBatch(ctx context.Context, _ *sqs.ChangeMessageVisibilityBatchInput, _ ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestNoBatchIsMadeWhileTooManyHaveNotReturned(t *testing.T) {
	for op, call := range batches {
		t.Run(op, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				free, late := make(chan struct{}), &hearer{}
				q := &sqsapi.Queue{Client: hangs{free}, URL: "http://sqs.test/1/q"}
				for range 100 {
					go func() { _, _ = call(t.Context(), q, late) }()
				}
				time.Sleep(time.Minute)
				require.EqualValues(t, 100, late.told.Load())
				errs, inTime := call(t.Context(), q, late)
				require.True(t, inTime)
				require.ErrorContains(t, errs[0], "not made: 100 calls have not returned")
				close(free)
				synctest.Wait()
				errs, inTime = call(t.Context(), q, late)
				require.True(t, inTime)
				require.EqualError(t, errs[0], "late", "the client's, which is asked again")
				require.EqualValues(t, 100, late.told.Load())
			})
		})
	}
}

// A keeper is a client that keeps the inputs of its calls.
type keeper struct {
	sqsapi.Client

	handles []*string
}

func (k *keeper) DeleteMessageBatch(_ context.Context, in *sqs.DeleteMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	k.handles = append(k.handles, in.Entries[0].ReceiptHandle)
	return &sqs.DeleteMessageBatchOutput{Successful: []types.DeleteMessageBatchResultEntry{{Id: in.Entries[0].Id}}}, nil
}

func (k *keeper) ChangeMessageVisibilityBatch(_ context.Context, in *sqs.ChangeMessageVisibilityBatchInput, _ ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	k.handles = append(k.handles, in.Entries[0].ReceiptHandle)
	return &sqs.ChangeMessageVisibilityBatchOutput{Successful: []types.ChangeMessageVisibilityBatchResultEntry{{Id: in.Entries[0].Id}}}, nil
}

func TestWhatAClientKeepsOfACallDoesNotChange(t *testing.T) {
	k := &keeper{}
	q := &sqsapi.Queue{Client: k, URL: "http://sqs.test/1/q"}
	handles := []string{"handle-a"}
	require.NoError(t, q.Delete(t.Context(), handles)[0])
	require.NoError(t, q.Change(t.Context(), handles, 0)[0])
	handles[0] = "another call's"
	require.Equal(t, "handle-a", *k.handles[0])
	require.Equal(t, "handle-a", *k.handles[1])
}

// A babbler is a client whose errors name what it was asked for.
type babbler struct{ sqsapi.Client }

// A named error has a type that is found.
type named struct{ text string }

func (e *named) Error() string { return e.text }

func (babbler) DeleteMessageBatch(_ context.Context, in *sqs.DeleteMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	return nil, &named{"refused: " + *in.Entries[0].ReceiptHandle}
}

func (babbler) ChangeMessageVisibilityBatch(_ context.Context, in *sqs.ChangeMessageVisibilityBatchInput, _ ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	return nil, &named{"refused: " + *in.Entries[0].ReceiptHandle}
}

// An error outlives its call, and is asked by hooks on their goroutine.
func TestWhatAnErrorKeepsToItselfDoesNotChange(t *testing.T) {
	for _, op := range []string{sqsapi.OpDelete, sqsapi.OpChange} {
		t.Run(op, func(t *testing.T) {
			var kept error
			q := &sqsapi.Queue{Client: babbler{}, URL: "http://sqs.test/1/q", Observe: func(c sqsapi.Call) { kept = c.Err }}
			handles := []string{"secret-handle-0001"}
			errs := q.Delete(t.Context(), handles)
			if op == sqsapi.OpChange {
				errs = q.Change(t.Context(), handles, 0)
			}
			handles[0] = "another call's"
			for _, err := range []error{errs[0], kept} {
				require.Error(t, err)
				var part *named
				require.NotErrorAs(t, err, &part, "it names the handle")
				require.NotContains(t, err.Error(), "secret")
			}
		})
	}
}

// exits is a client that ends the goroutines of its calls, when it is let.
type exits struct{ hangs }

func (e exits) ChangeMessageVisibilityBatch(context.Context, *sqs.ChangeMessageVisibilityBatchInput, ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	<-e.free
	runtime.Goexit()
	return nil, nil
}

func TestALateChangeThatEndsItsGoroutineMakesRoomForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free, late := make(chan struct{}), &hearer{}
		q := &sqsapi.Queue{Client: exits{hangs{free}}, URL: "http://sqs.test/1/q"}
		for range 100 {
			go func() { _, _ = batches[sqsapi.OpChange](t.Context(), q, late) }()
		}
		time.Sleep(time.Minute)
		close(free)
		synctest.Wait()
		require.EqualValues(t, 100, late.told.Load())
		require.NotContains(t, q.Delete(t.Context(), []string{"handle-a"})[0].Error(), "not made")
	})
}
