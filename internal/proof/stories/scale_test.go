package stories_test

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
)

// consumers of one queue that come and go, each with four handlers that take 10 ms.
type fleet struct {
	*world

	opts    sluice.Options
	stops   []func() error
	handled []*atomic.Int64 // by each
}

func (f *fleet) grow(n int) {
	for len(f.stops) < n {
		count := new(atomic.Int64)
		f.handled = append(f.handled, count)
		h := f.handler(takes(10 * time.Millisecond))
		f.stops = append(f.stops, f.run(f.consumer(f.opts), func(ctx context.Context, batch []*sluice.Message) error {
			count.Add(int64(len(batch)))
			return h(ctx, batch)
		}))
		time.Sleep(37 * time.Millisecond) // they do not begin at one instant
	}
}

func (f *fleet) shrink(n int) {
	for _, stop := range f.stops[n:] {
		require.NoError(f, stop())
	}
	f.stops, f.handled = f.stops[:n], f.handled[:n]
}

// load sends rate messages a second for d, at random moments, and returns how many.
func (f *fleet) load(r *rand.Rand, sent int, rate float64, d time.Duration) int {
	for end := time.Now().Add(d); time.Now().Before(end); {
		time.Sleep(time.Duration(r.ExpFloat64() / rate * 1e9))
		f.send(sent, 1)
		sent++
	}
	return sent
}

func TestConsumersThatComeAndGoShareTheLoad(t *testing.T) {
	for name, opts := range map[string]sluice.Options{
		"events":  {Concurrency: 4, PollTime: 5 * time.Second},
		"batches": {Concurrency: 4, PollTime: 5 * time.Second, BatchSize: 10, WaitTime: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			tell(t, func(w *world) {
				const rate = 200
				w.slow(20 * time.Millisecond)
				f, r, sent := &fleet{world: w, opts: opts}, rand.New(rand.NewPCG(1, 2)), 0
				for _, n := range []int{1, 3, 20, 1} {
					if n < len(f.stops) {
						f.shrink(n)
					}
					f.grow(n)
					sent = f.load(r, sent, rate, 6*time.Second) // they find out
					before, began := make([]int64, n), w.calls(opReceive)
					for i, count := range f.handled {
						before[i] = count.Load()
					}
					const d = 10 * time.Second
					from := sent
					sent = f.load(r, sent, rate, d)
					require.LessOrEqual(w, w.visible(), rate/2, "%d consumers", n)
					mean := float64(sent-from) / float64(n)
					for i, count := range f.handled {
						require.Greater(w, float64(count.Load()-before[i]), mean/10, "consumer %d of %d starves", i, n)
					}
					idle := float64(n) * d.Seconds() / 5 // a receive of each in each poll
					require.LessOrEqual(w, float64(w.calls(opReceive)-began), 1.2*float64(sent-from)+2*idle, "%d consumers", n)
				}
				time.Sleep(30 * time.Second)
				f.shrink(0)
				w.eachOnce(sent)
			})
		})
	}
}
