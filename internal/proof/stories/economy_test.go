package stories_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

// slow makes every call take l.
func (w *world) slow(l time.Duration) {
	for _, op := range []string{"ReceiveMessage", "DeleteMessageBatch", "ChangeMessageVisibilityBatch"} {
		w.server.Inject(sqstest.Fault{Op: op, Wait: l / 2, Lag: l - l/2})
	}
}

// perMessage returns the calls to SQS for each message that was deleted.
func (w *world) perMessage() float64 {
	calls := w.calls("ReceiveMessage") + w.calls("DeleteMessageBatch") + w.calls("ChangeMessageVisibilityBatch")
	return float64(calls) / float64(w.counts().Deleted)
}

// trickle sends messages at random moments, rate a second, for d.
func (w *world) trickle(rate float64, d time.Duration) (sent int) { return w.trickleFrom(0, rate, d) }

// trickleFrom is trickle where n messages were sent before.
func (w *world) trickleFrom(n int, rate float64, d time.Duration) (sent int) {
	random := rand.New(rand.NewPCG(1, uint64(rate)))
	for end := time.Now().Add(d); ; sent++ {
		time.Sleep(time.Duration(random.ExpFloat64() / rate * 1e9))
		if time.Now().After(end) {
			return sent
		}
		w.send(n+sent, 1)
	}
}

func TestABacklogCostsAFifthOfACallPerMessage(t *testing.T) {
	for _, size := range []int{1, 10, 100, 1000} {
		for _, takes := range []time.Duration{0, 5 * time.Millisecond, 50 * time.Millisecond} {
			for _, at := range []int{16, 64, 256} {
				t.Run(fmt.Sprintf("batches of %d, handlers of %v, %d at once", size, takes, at), func(t *testing.T) {
					tell(t, func(w *world) {
						const n = 10_000
						w.send(0, n)
						w.slow(8 * time.Millisecond)
						c := w.consumer(sluice.Options{BatchSize: size, Concurrency: at})
						require.NoError(w, c.Drain(w.Context(), w.handler(func(context.Context, []*sluice.Message) error {
							time.Sleep(takes)
							return nil
						})))
						w.eachOnce(n)
						require.LessOrEqual(w, w.perMessage(), 0.205, "calls for each message")
					})
				})
			}
		}
	}
}

func TestATrickleIntoBatchesCostsAQuarterOfACallPerMessage(t *testing.T) {
	for _, rate := range []float64{15, 40, 90} {
		t.Run(fmt.Sprintf("%v messages a second", rate), func(t *testing.T) {
			tell(t, func(w *world) {
				w.slow(8 * time.Millisecond)
				c := w.consumer(sluice.Options{BatchSize: 100, WaitTime: 5 * time.Second})
				stop := w.run(c, w.handler(func(_ context.Context, batch []*sluice.Message) error {
					require.LessOrEqual(w, time.Since(batch[0].ReceivedAt), 5*time.Second, "a batch that is late")
					require.LessOrEqual(w, time.Since(batch[0].SentAt), 7600*time.Millisecond, "half of it in the queue, at most")
					return nil
				}))
				n := w.trickle(rate, 5*time.Minute)
				time.Sleep(30 * time.Second)
				require.NoError(w, stop())
				w.eachOnce(n)
				require.LessOrEqual(w, w.perMessage(), 0.25, "calls for each message")
			})
		})
	}
}
