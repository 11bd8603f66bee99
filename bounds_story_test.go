package sluice_test

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
