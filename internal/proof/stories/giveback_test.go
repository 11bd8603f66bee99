package stories_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

func TestWhatFailsTogetherIsGivenBackInCallsOfTen(t *testing.T) {
	for _, n := range []int{10, 50, 100} {
		t.Run(fmt.Sprintf("a batch of %d", n), func(t *testing.T) {
			tellBoth(t, func(w *world) {
				w.slow(8 * time.Millisecond)
				w.send(0, n)
				stop := w.run(w.consumer(sluice.Options{BatchSize: n}), fails(errBad))
				time.Sleep(5 * time.Second)
				require.Equal(w, n/10, w.calls(opChange))
				require.NoError(w, stop())
			})
		})
	}
}

func TestWhatAStopGivesBackTravelsInCallsOfTen(t *testing.T) {
	for name, opts := range map[string]sluice.Options{"waiting": {BatchSize: 1000, WaitTime: time.Hour}, "being handled": {BatchSize: 50}} {
		t.Run(name, func(t *testing.T) {
			tellBoth(t, func(w *world) {
				w.slow(8 * time.Millisecond)
				w.send(0, 50)
				opts.PollTime, opts.ShutdownTimeout = time.Second, time.Second/2 // so that a part-filled batch is interrupted
				stop := w.run(w.consumer(opts), heeds(time.Hour))
				time.Sleep(3 * time.Second)
				require.ErrorIs(w, stop(), sluice.ErrShutdown)
				require.Equal(w, 5, w.calls(opChange))
				require.Equal(w, 50, w.visible())
			})
		})
	}
}

func TestAStopGivesAGroupBackFromItsEnd(t *testing.T) {
	for _, size := range []int{1, 10} {
		t.Run(fmt.Sprintf("batches of %d", size), func(t *testing.T) {
			tellBoth(t, func(w *world) {
				w.groups()
				for i := range 10 {
					w.sendGroup("a", fmt.Sprintf("a %d", i))
				}
				e := w.watch()
				c := w.consumer(sluice.Options{BatchSize: size, PollTime: time.Second, ShutdownTimeout: 2 * time.Second})
				stop := w.run(c, heeds(time.Hour))
				time.Sleep(time.Second)
				require.ErrorIs(w, stop(), sluice.ErrShutdown)
				// In one call the order of its entries counts, in several that of the calls:
				// at no time is a message visible before one that comes before it.
				all := w.server.Messages("orders.fifo")
				position := map[string]int{}
				for i, m := range all {
					position[m.ID] = i
				}
				var order []int
				for _, event := range e.of(sqstest.LeaseChanged) {
					order = append(order, position[event.MessageID])
				}
				require.Equal(w, []int{9, 8, 7, 6, 5, 4, 3, 2, 1, 0}, order)
			})
		})
	}
}

func TestWhatCouldNotBeGivenBackIsReportedAsAbandoned(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 3)
		w.outage(sqstest.AccessDenied(), opChange)
		c := w.consumer(sluice.Options{Concurrency: 1, PollTime: time.Second, ShutdownTimeout: 5 * time.Second})
		stop := w.run(c, heeds(time.Hour))
		time.Sleep(3 * time.Second)
		var report *sluice.ShutdownError
		require.ErrorAs(w, stop(), &report)
		require.Equal(w, sluice.ShutdownError{Abandoned: 1}, *report)
	})
}
