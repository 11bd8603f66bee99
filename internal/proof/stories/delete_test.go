package stories_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

func TestDeletesGoSideBySideUnderLoad(t *testing.T) {
	tell(t, func(w *world) {
		const n = 5000
		var out gauge
		w.send(0, n)
		for _, op := range []string{opReceive, opDelete} {
			w.server.Inject(sqstest.Fault{Op: op, Lag: 30 * time.Millisecond})
		}
		w.server.Observe(func(e sqstest.Event) {
			switch {
			case e.Call.Op != opDelete:
			case e.Kind == sqstest.CallStarted:
				out.add(1)
			case e.Kind == sqstest.CallEnded:
				out.add(-1)
			}
		})
		c := w.consumer(sluice.Options{Concurrency: 200})
		require.NoError(w, c.Drain(w.Context(), w.handler(takes(10*time.Millisecond))))
		w.eachOnce(n)
		require.GreaterOrEqual(w, out.most.Load(), int64(4), "delete calls at once")
		require.LessOrEqual(w, out.most.Load(), int64(46))
		require.LessOrEqual(w, w.calls(opDelete), n/10*105/100)
	})
}

func TestADeleteLingersForAMomentOnlyWhileOthersAreOnTheirWay(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 10)
		e := w.watch()
		c := w.consumer(sluice.Options{Concurrency: 10})
		stop := w.run(c, w.handler(func(_ context.Context, batch []*sluice.Message) error {
			switch batch[0].Body {
			case "0":
				time.Sleep(time.Second)
			case "1":
				time.Sleep(time.Second + 30*time.Millisecond)
			default: // their deletes are on their way, for long
				time.Sleep(time.Minute)
			}
			return nil
		}))
		time.Sleep(10 * time.Second)
		at := e.calls(opDelete)
		require.Len(w, at, 1, "two that end together share a call")
		require.InDelta(w, time.Second+50*time.Millisecond, at[0].Sub(w.began), float64(time.Millisecond))
		time.Sleep(time.Minute)
		require.Len(w, e.calls(opDelete), 2, "and so do eight")
		require.LessOrEqual(w, e.calls(opDelete)[1].Sub(w.began), time.Minute, "the last of all waits for none")
		require.NoError(w, stop())
		w.eachOnce(10)
	})
}

func TestADeleteDoesNotLingerTowardsTheEndOfItsLease(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 1)
		w.outage(sqstest.Unavailable(), opChange) // the lease cannot be made longer
		c := w.consumer(sluice.Options{VisibilityTimeout: 8 * time.Second, DeleteLinger: 10 * time.Second})
		e := w.watch()
		stop := w.run(c, w.handler(takes(6*time.Second)))
		time.Sleep(20 * time.Second)
		at := e.calls(opDelete)
		require.Len(w, at, 1)
		require.LessOrEqual(w, at[0].Sub(w.began), 6500*time.Millisecond, "a quarter of what was left")
		require.NoError(w, stop())
		w.eachOnce(1)
	})
}
