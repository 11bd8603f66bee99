package stories_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
)

func TestTheZeroOptionsWork(t *testing.T) {
	tellBoth(t, func(w *world) {
		w.send(0, 100)
		stop := w.run(w.consumer(sluice.Options{}), w.handler(nil))
		time.Sleep(time.Second)
		require.NoError(w, stop())
		w.eachOnce(100)
		for _, s := range w.seen() {
			require.Len(w, s.bodies, 1)
		}
	})
}

func TestWhatIsAtTheLimitIsTaken(t *testing.T) {
	for name, opts := range map[string]sluice.Options{
		"least": {
			BatchSize: 1, WaitTime: time.Millisecond, BatchBytes: 1, Concurrency: 1, BytesInFlight: 1 << 20, Receivers: 1, VisibilityTimeout: 2 * time.Second,
			PollTime: time.Second, HandlerTimeout: 1, DeleteLinger: math.MinInt64, ShutdownTimeout: time.Millisecond, MaxMessages: 1, MaxDuration: 1,
		},
		"most": {
			BatchSize: 10_000, WaitTime: 11 * time.Hour, BatchBytes: math.MaxInt, Concurrency: 120_000, BytesInFlight: math.MaxInt, Receivers: 1000,
			VisibilityTimeout: 12 * time.Hour, PollTime: 20 * time.Second, HandlerTimeout: 12 * time.Hour, DeleteLinger: 10 * time.Second,
			ShutdownTimeout: 12 * time.Hour, MaxMessages: math.MaxInt, MaxDuration: math.MaxInt64,
		},
	} {
		t.Run(name, func(t *testing.T) {
			tell(t, func(w *world) {
				w.send(0, 5)
				c := w.consumer(opts)
				require.NoError(w, c.Drain(w.Context(), w.handler(nil)))
				require.LessOrEqual(w, w.handled(), 5)
			})
		})
	}
}
