package stories_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

func TestReceivesThatFailDoNotUseUpWhatDeletesNeed(t *testing.T) {
	for name, retryer := range map[string]aws.Retryer{
		"standard": retry.NewStandard(), // 500 tokens, five of which each retry costs
		"adaptive": retry.NewAdaptiveMode(),
		"eager":    retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts = 50 }),
	} {
		t.Run(name, func(t *testing.T) {
			tell(t, func(w *world) {
				w.client = w.server.Client(func(o *sqs.Options) { o.Retryer = retryer })
				w.send(0, 50)
				e := w.watch()
				c := w.consumer(sluice.Options{Concurrency: 60})
				stop := w.run(c, w.handler(takes(10*time.Minute)))
				time.Sleep(30 * time.Second)
				end := w.outage(sqstest.Throttled(), opReceive)
				w.after(10*time.Minute - time.Second)
				w.server.Inject(sqstest.Fault{Op: opDelete, Err: sqstest.Unavailable(), Times: 3})
				time.Sleep(3 * time.Second)
				require.Empty(w, w.left(), "deletes are tried again, and soon, while no receive succeeds")
				require.EqualValues(w, w.calls(opReceive), c.Stats().Calls[opReceive], "no call is made behind the consumer's back")
				require.EqualValues(w, w.calls(opDelete), c.Stats().Calls[opDelete])
				require.Equal(w, len(e.calls(opReceive)), w.calls(opReceive))
				end()
				require.NoError(w, stop())
				w.eachOnce(50)
			})
		})
	}
}

func TestDeletesAreTriedAgainHoweverOftenOthersHaveFailed(t *testing.T) {
	tellBoth(t, func(w *world) {
		const n = 3000
		w.slow(8 * time.Millisecond)
		w.server.Inject(sqstest.Fault{Op: opDelete, Err: sqstest.Unavailable(), Match: func(c sqstest.Call) bool { return c.N%2 == 1 }})
		w.send(0, n)
		c := w.consumer(sluice.Options{Concurrency: 5})
		stop := w.run(c, w.handler(takes(20*time.Millisecond)))
		time.Sleep(5 * time.Minute)
		require.NoError(w, stop())
		w.eachOnce(n)
		require.Greater(w, c.Stats().Errors[opDelete], int64(300), "each of which a retry")
		require.Zero(w, c.Stats().Unsettled)
	})
}

// deadlines is a client that notes by when calls must have ended.
type deadlines struct {
	sluice.Client

	mu    sync.Mutex // guards the fields below
	least map[string]time.Duration
	most  map[string]time.Duration
	ended int // calls whose context had ended when they were made
	none  int // calls without a deadline
}

func (d *deadlines) note(ctx context.Context, op string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if ctx.Err() != nil {
		d.ended++
	}
	until, ok := ctx.Deadline()
	if !ok {
		d.none++
		return
	}
	left := time.Until(until)
	if d.least == nil {
		d.least, d.most = map[string]time.Duration{}, map[string]time.Duration{}
	}
	if least, known := d.least[op]; !known || left < least {
		d.least[op] = left
	}
	d.most[op] = max(d.most[op], left)
}

func (d *deadlines) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, o ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	d.note(ctx, opReceive)
	return d.Client.ReceiveMessage(ctx, in, o...)
}

func (d *deadlines) DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput, o ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	d.note(ctx, opDelete)
	return d.Client.DeleteMessageBatch(ctx, in, o...)
}

func (d *deadlines) ChangeMessageVisibilityBatch(ctx context.Context, in *sqs.ChangeMessageVisibilityBatchInput, o ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	d.note(ctx, opChange)
	return d.Client.ChangeMessageVisibilityBatch(ctx, in, o...)
}

func TestEveryCallHasADeadlineOfItsOwnAndNotTheCallersContext(t *testing.T) {
	tell(t, func(w *world) {
		d := &deadlines{Client: w.server}
		w.client = d
		w.slow(8 * time.Millisecond)
		w.send(0, 40)
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		c := w.consumer(sluice.Options{VisibilityTimeout: 6 * time.Second, PollTime: 2 * time.Second})
		err := c.Run(ctx, w.handler(sluice.Each(func(_ context.Context, m *sluice.Message) error {
			time.Sleep(10 * time.Second) // renewals too are made after the caller's context has ended
			if strings.HasSuffix(m.Body, "5") {
				return errBad
			}
			return nil
		})))
		require.Zero(w, d.none, "calls without a deadline")
		require.Zero(w, d.ended, "calls whose context had ended")
		require.NoError(w, err)
		require.Equal(w, 7*time.Second, d.most[opReceive], "the poll and a margin")
		for _, op := range []string{opDelete, opChange} {
			require.LessOrEqual(w, d.most[op], 10*time.Second, op)
			require.GreaterOrEqual(w, d.least[op], time.Second, op)
		}
		require.Equal(w, w.counts().Deliveries-1, w.counts().Deleted)
	})
}

func TestTheBackOffBeginsAnewAfterASuccess(t *testing.T) {
	tell(t, func(w *world) {
		end := w.outage(sqstest.Unavailable(), opReceive)
		e := w.watch()
		stop := w.run(w.consumer(sluice.Options{PollTime: 20 * time.Second}), w.handler(nil))
		time.Sleep(time.Hour)
		end()
		time.Sleep(time.Minute)
		w.server.Inject(sqstest.Fault{Op: opReceive, Err: sqstest.Unavailable(), Times: 1})
		before := len(e.calls(opReceive))
		time.Sleep(time.Minute)
		synctest.Wait()
		at := e.calls(opReceive)[before:]
		require.Greater(w, len(at), 2)
		require.Less(w, at[1].Sub(at[0]), 100*time.Millisecond, "the one that failed, and the next")
		require.NoError(w, stop())
	})
}

func TestTheBackOffIsFullyJittered(t *testing.T) {
	tell(t, func(w *world) {
		w.outage(sqstest.Unavailable(), opReceive)
		e := w.watch()
		c := w.consumer(sluice.Options{})
		stop := w.run(c, w.handler(nil))
		time.Sleep(3 * time.Hour)
		at := e.calls(opReceive)
		require.NoError(w, stop())
		var short, long int // of the waits that may be up to 30 s
		gaps := at[20:]
		for i := range gaps[1:] {
			gap := gaps[i+1].Sub(gaps[i])
			require.LessOrEqual(w, gap, 30*time.Second)
			if gap < 10*time.Second {
				short++
			}
			if gap > 20*time.Second {
				long++
			}
		}
		require.Greater(w, short, len(gaps)/5, "a third of them: a thousand consumers do not come back at once")
		require.Greater(w, long, len(gaps)/5)
	})
}
