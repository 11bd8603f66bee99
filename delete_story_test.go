package sluice_test

import (
	"context"
	"fmt"
	"sync/atomic"
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
		require.LessOrEqual(w, out.most.Load(), int64(32))
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

func TestARenewalCountsFromItsSending(t *testing.T) {
	tell(t, func(w *world) {
		// The first renewal is sent at 5 s, has its effect at once and is answered at 7 s;
		// no other is confirmed. So the lease ends at 15 s, and not at 17.
		w.send(0, 1)
		w.server.Inject(sqstest.Fault{Op: opChange, Lag: 2 * time.Second, Times: 1})
		w.server.Inject(sqstest.Fault{Op: opChange, Err: sqstest.Unavailable(), Skip: 1, Times: patience})
		c := w.consumer(sluice.Options{Concurrency: 1, VisibilityTimeout: 10 * time.Second})
		var ended atomic.Int64
		stop := w.run(c, w.handler(func(ctx context.Context, _ []*sluice.Message) error {
			<-ctx.Done()
			if ended.CompareAndSwap(0, int64(time.Since(w.began))) {
				require.ErrorIs(w, context.Cause(ctx), sluice.ErrLeaseLost)
			}
			return context.Cause(ctx)
		}))
		time.Sleep(18 * time.Second)
		require.InDelta(w, 15*time.Second, ended.Load(), float64(100*time.Millisecond))
		_ = stop()
	})
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
