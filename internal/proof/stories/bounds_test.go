package stories_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
)

func TestNoMoreHandlersRunAtOnceThanConcurrencySays(t *testing.T) {
	for _, opts := range []sluice.Options{{Concurrency: 1}, {Concurrency: 7}, {Concurrency: 3, BatchSize: 5}} {
		t.Run(fmt.Sprintf("%d, batches of %d", opts.Concurrency, max(1, opts.BatchSize)), func(t *testing.T) {
			tell(t, func(w *world) {
				w.slow(8 * time.Millisecond)
				w.send(0, 3000)
				var running gauge
				stop := w.run(w.consumer(opts), w.handler(func(context.Context, []*sluice.Message) error {
					running.add(1)
					defer running.add(-1)
					if w.handled() < 1000 { // quick, so that messages are received ahead
						time.Sleep(time.Millisecond)
						return nil
					}
					time.Sleep(time.Second)
					return nil
				}))
				time.Sleep(time.Minute)
				require.NoError(w, stop())
				require.Greater(w, w.handled(), 1000)
				require.EqualValues(w, opts.Concurrency, running.most.Load())
			})
		})
	}
}

// heaviest returns the most bytes that c holds at once until the queue is empty.
func (w *world) heaviest(c *sluice.Consumer) (most int) {
	for w.counts().Deleted < w.counts().Sent {
		time.Sleep(5 * time.Millisecond)
		most = max(most, c.Stats().BytesInFlight)
	}
	return most
}

func TestBodiesThatJumpInSizeExceedTheBoundByTheReceivesThatAreOut(t *testing.T) {
	const small, large = 1 << 10, 1 << 20
	for _, opts := range []sluice.Options{
		{Concurrency: 500, Receivers: 16, BytesInFlight: 64 << 20},
		{Concurrency: 10, Receivers: 16, BytesInFlight: 64 << 20, BatchSize: 500},
		{Concurrency: 500, Receivers: 16, BytesInFlight: 16 << 20},
	} {
		t.Run(fmt.Sprintf("%d handlers, batches of %d, %d receivers, %d MiB", opts.Concurrency, max(1, opts.BatchSize), opts.Receivers, opts.BytesInFlight>>20), func(t *testing.T) {
			tell(t, func(w *world) {
				w.slow(8 * time.Millisecond)
				w.server.Send(w.url, slices.Repeat([]string{strings.Repeat("x", small)}, 6000)...)
				w.server.Send(w.url, slices.Repeat([]string{strings.Repeat("x", large)}, 200)...)
				c := w.consumer(opts)
				stop := w.run(c, takes(20*time.Millisecond))
				most := w.heaviest(c)
				require.NoError(w, stop())
				t.Logf("%d MiB at once", most>>20)
				require.LessOrEqual(w, most, opts.BytesInFlight+10*opts.Receivers*large, "ten messages for each receive that was out")
				require.Equal(w, w.counts().Sent, w.counts().Deliveries)
			})
		})
	}
}

func TestASlotIsFreeAgainAsSoonAsItsHandlerReturns(t *testing.T) {
	for name, size := range map[string]int{"events": 1, "batches": 5} {
		t.Run(name, func(t *testing.T) {
			tellBoth(t, func(w *world) {
				const at, quick = 4, 30
				w.send(0, size*(1+quick))
				c := w.consumer(sluice.Options{BatchSize: size, Concurrency: at, WaitTime: 100 * time.Millisecond})
				stop := w.run(c, w.handler(func(_ context.Context, batch []*sluice.Message) error {
					if batch[0].Body == "0" { // came with others, and is slower than all
						time.Sleep(time.Hour)
						return nil
					}
					time.Sleep(time.Second)
					return nil
				}))
				time.Sleep(quick/(at-1)*time.Second + 500*time.Millisecond)
				require.Len(w, w.seen(), 1+quick, "three slots go on beside the one that is taken")
				require.Equal(w, 1, c.Stats().Handlers)
				time.Sleep(time.Hour)
				require.NoError(w, stop())
				w.eachOnce(size * (1 + quick))
			})
		})
	}
}

func TestRoomIsGivenBackOnceForEachMessage(t *testing.T) {
	tell(t, func(w *world) {
		w.slow(8 * time.Millisecond)
		for i := range 500 {
			w.server.Send(w.url, fmt.Sprintf("%0*d", 1000+i, i))
		}
		var handled int
		c := w.consumer(sluice.Options{Concurrency: 1, BatchSize: 100, RetryDelay: func(*sluice.Message, error) time.Duration { return time.Second }})
		stop := w.run(c, w.handler(sluice.Each(func(_ context.Context, m *sluice.Message) error {
			handled++
			s := c.Stats()
			require.GreaterOrEqual(w, s.BytesInFlight, s.InFlight*1000)
			require.LessOrEqual(w, s.BytesInFlight, s.InFlight*1500)
			time.Sleep(10 * time.Millisecond)
			if handled%3 == 0 && m.ReceiveCount == 1 {
				return errBad
			}
			return nil
		})))
		for len(w.left()) > 0 {
			time.Sleep(time.Second)
			s := c.Stats()
			require.GreaterOrEqual(w, s.BytesInFlight, s.InFlight*1000)
			require.LessOrEqual(w, s.BytesInFlight, s.InFlight*1500)
		}
		require.NoError(w, stop())
		w.adds(c)
	})
}

func TestAsManyMessagesAsFitIntoTheBytesAreHandledAtOnce(t *testing.T) {
	tell(t, func(w *world) {
		for range 40 {
			w.server.Send(w.url, strings.Repeat("x", 100_000))
		}
		var running gauge
		stop := w.run(w.consumer(sluice.Options{BytesInFlight: 1 << 20}), func(ctx context.Context, batch []*sluice.Message) error {
			running.add(1)
			defer running.add(-1)
			return heeds(10*time.Minute)(ctx, batch)
		})
		time.Sleep(time.Hour)
		require.Greater(w, running.most.Load(), int64(5))
		_ = stop()
	})
}
