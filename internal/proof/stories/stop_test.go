package stories_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

func TestAStopWaitsForTheLongPollThatIsOutAndHandlesWhatItBrings(t *testing.T) {
	tellBoth(t, func(w *world) {
		c := w.consumer(sluice.Options{})
		stop := w.run(c, w.handler(takes(time.Second)))
		time.Sleep(time.Second)
		go func() {
			time.Sleep(10 * time.Second)
			w.send(0, 5)
		}()
		require.NoError(w, stop())
		require.LessOrEqual(w, time.Since(w.began), 20*time.Second)
		w.eachOnce(5)
		w.agrees(c)
		w.silent()
	})
}

func TestAStopWithAShortTimeoutOrphansNoMessages(t *testing.T) {
	tell(t, func(w *world) {
		w.server.Inject(sqstest.Fault{Op: opReceive, Lag: 10 * time.Millisecond})
		stop := w.run(w.consumer(sluice.Options{ShutdownTimeout: 5 * time.Second}), w.handler(nil))
		time.Sleep(time.Second)
		go func() {
			for i := range 8 {
				w.send(i, 1)
				time.Sleep(time.Second - time.Millisecond)
			}
		}()
		require.NoError(w, stop())
		time.Sleep(10 * time.Second)
		require.Len(w, w.left(), w.visible(), "messages of an answer that nobody read")
	})
}

func TestAPartFilledBatchGoesOutAtAStop(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 7)
		c := w.consumer(sluice.Options{BatchSize: 100, WaitTime: time.Hour, PollTime: time.Second})
		stop := w.run(c, w.handler(nil))
		time.Sleep(time.Minute)
		require.Empty(w, w.seen())
		at := time.Now()
		require.NoError(w, stop())
		require.LessOrEqual(w, time.Since(at), time.Second)
		w.eachOnce(7)
		require.EqualValues(w, 1, c.Stats().Batches[sluice.ReasonStopping])
	})
}

func TestHandlersGoOnDuringAStopAndTheirContextsDoNotEnd(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 10)
		stop := w.run(w.consumer(sluice.Options{VisibilityTimeout: 5 * time.Second}), w.handler(heeds(20*time.Second)))
		time.Sleep(time.Second)
		require.NoError(w, stop())
		w.eachOnce(10)
	})
}

func TestDeletesThatArePendingAreSentBeforeRunReturns(t *testing.T) {
	for name, handler := range map[string]time.Duration{"that lingered before the stop": time.Second, "of handlers that outlast all else": 4 * time.Second} {
		t.Run(name, func(t *testing.T) {
			tellBoth(t, func(w *world) {
				w.send(0, 95) // five of them fill no call, and linger
				w.slow(100 * time.Millisecond)
				stop := w.run(w.consumer(sluice.Options{Concurrency: 100, DeleteLinger: 10 * time.Second, PollTime: time.Second}), w.handler(takes(handler)))
				time.Sleep(1500 * time.Millisecond)
				require.NotEmpty(w, w.left())
				err := stop()
				require.LessOrEqual(w, time.Since(w.began), handler+3*time.Second)
				w.eachOnce(95)
				require.NoError(w, err)
			})
		})
	}
}

func TestDeletesAreSentThoughTheContextIsDone(t *testing.T) {
	tellBoth(t, func(w *world) {
		w.send(0, 5)
		ctx, cancel := context.WithCancel(w.Context())
		c := w.consumer(sluice.Options{PollTime: time.Second})
		err := c.Run(ctx, w.handler(func(ctx context.Context, _ []*sluice.Message) error {
			cancel()
			time.Sleep(time.Second)
			return ctx.Err()
		}))
		w.eachOnce(5)
		require.NoError(w, err)
		w.agrees(c)
	})
}

func TestAtTheShutdownTimeoutHandlersAreToldAndTheRestIsGivenBack(t *testing.T) {
	tellBoth(t, func(w *world) {
		w.send(0, 30)
		var cause atomic.Value
		c := w.consumer(sluice.Options{Concurrency: 1, BatchSize: 10, WaitTime: time.Hour, PollTime: time.Second, ShutdownTimeout: 10 * time.Second})
		stop := w.run(c, w.handler(func(ctx context.Context, _ []*sluice.Message) error {
			if len(w.seen()) == 1 {
				return nil // quick, so that more is received than can be handled
			}
			<-ctx.Done()
			cause.Store(context.Cause(ctx))
			return context.Cause(ctx)
		}))
		time.Sleep(5 * time.Second)
		held := c.Stats().InFlight
		at := time.Now()
		err := stop()
		require.LessOrEqual(w, time.Since(at), 12*time.Second)
		require.ErrorIs(w, cause.Load().(error), sluice.ErrShutdown)
		require.ErrorIs(w, err, sluice.ErrShutdown)
		var report *sluice.ShutdownError
		require.ErrorAs(w, err, &report)
		require.Equal(w, sluice.ShutdownError{GivenBack: held}, *report)
		require.Equal(w, 20, w.visible(), "all that was not finished can be received at once")
		w.adds(c)
		w.agrees(c)
		w.silent()
	})
}

func TestTheReportOfAStopTellsWhatBecameOfEachMessage(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 9)
		c := w.consumer(sluice.Options{Concurrency: 9, PollTime: time.Second, ShutdownTimeout: 10 * time.Second})
		free := make(chan struct{})
		stop := w.run(c, w.handler(func(ctx context.Context, batch []*sluice.Message) error {
			switch batch[0].Body {
			case "0", "1": // finish in time
				time.Sleep(5 * time.Second)
				return nil
			case "2": // fails in time
				time.Sleep(5 * time.Second)
				return errBad
			case "3": // finishes when it is told
				<-ctx.Done()
				return nil
			case "4", "5", "6": // heed their contexts
				<-ctx.Done()
				return context.Cause(ctx)
			default: // do not
				<-free
				return nil
			}
		}))
		time.Sleep(time.Second)
		at := time.Now()
		err := stop()
		require.LessOrEqual(w, time.Since(at), 13*time.Second)
		var report *sluice.ShutdownError
		require.ErrorAs(w, err, &report)
		require.Equal(w, sluice.ShutdownError{Finished: 4, GivenBack: 3, Abandoned: 2, Stuck: 2}, *report)
		require.ErrorContains(w, err, "4 messages finished, 3 given back, 2 abandoned, 2 handlers still running")
		require.Equal(w, 3, w.visible())
		calls := w.all()
		close(free)
		synctest.Wait()
		time.Sleep(time.Hour)
		require.Equal(w, calls, w.all(), "a handler that returns after Run makes no call")
		w.adds(c)
	})
}

func TestRunReturnsWithinItsHardLimitWhateverGoesWrong(t *testing.T) {
	forever := 1000 * time.Hour
	for name, fault := range map[string]sqstest.Fault{
		"nothing else":                {Op: opSend},
		"every call fails":            {Err: sqstest.Unavailable()},
		"every call hangs":            {Wait: forever},
		"every answer is lost":        {Lag: forever},
		"deletes fail":                {Op: opDelete, Err: sqstest.Unavailable()},
		"deletes hang":                {Op: opDelete, Wait: forever},
		"visibility changes fail":     {Op: opChange, Err: sqstest.Throttled()},
		"visibility changes hang":     {Op: opChange, Wait: forever},
		"each entry fails":            {Entries: func(int) bool { return true }},
		"credentials are over":        {Err: sqstest.ExpiredToken()},
		"access is denied":            {Err: sqstest.AccessDenied()},
		"the queue is gone":           {Err: sqstest.NoSuchQueue()},
		"receipts are worth nothing":  {Op: opDelete, Entries: func(int) bool { return true }, Err: sqstest.InvalidReceiptHandle("?")},
		"the dead-letter queue fails": {Op: opSend, Err: sqstest.Unavailable()},
	} {
		for kind, hung := range map[string]bool{"handlers heed their contexts": false, "a handler does not": true} {
			t.Run(name+" and "+kind, func(t *testing.T) {
				tellBoth(t, func(w *world) {
					const timeout = 7 * time.Second
					dead := w.server.MustCreateQueue("dead", nil)
					w.send(0, 60)
					free := make(chan struct{})
					defer close(free)
					block := func(sluice.BatchEvent) {
						if hung {
							<-free
						}
					}
					c := w.consumer(sluice.Options{
						BatchSize: 4, Concurrency: 5, ShutdownTimeout: timeout, DeadLetterQueueURL: dead, Hooks: sluice.Hooks{Batch: block},
					})
					stop := w.run(c, w.handler(func(ctx context.Context, batch []*sluice.Message) error {
						switch len(w.seen()) {
						case 1, 2:
							return errors.Join(sluice.Failed(batch[0], sluice.DeadLetter(errBad)), sluice.Failed(batch[1], errBad))
						case 3:
							if hung {
								<-free
							}
						}
						select {
						case <-ctx.Done():
							return context.Cause(ctx)
						case <-time.After(20 * time.Second):
							return nil
						}
					}))
					time.Sleep(time.Second)
					fault.Queue = ""
					w.server.Inject(fault)
					time.Sleep(time.Second)
					at := time.Now()
					_ = stop()
					require.LessOrEqual(w, time.Since(at), timeout+3*time.Second)
					w.silent()
				})
			})
		}
	}
}

func TestMessagesThatCannotBeSettledDuringAStopAreReported(t *testing.T) {
	for name, v := range map[string]time.Duration{"their leases end first": 5 * time.Second, "the timeout ends first": time.Minute} {
		t.Run(name, func(t *testing.T) {
			tell(t, func(w *world) {
				w.send(0, 7)
				c := w.consumer(sluice.Options{VisibilityTimeout: v, PollTime: time.Second, ShutdownTimeout: 20 * time.Second})
				stop := w.run(c, w.handler(takes(time.Second)))
				time.Sleep(time.Second / 2)
				w.outage(sqstest.Unavailable())
				var report *sluice.ShutdownError
				require.ErrorAs(w, stop(), &report)
				require.Equal(w, 7, report.Abandoned)
				w.adds(c)
				w.silent()
			})
		})
	}
}

func TestAStopDoesNotWaitForTheLingerOfDeletes(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 1)
		stop := w.run(w.consumer(sluice.Options{PollTime: time.Second, DeleteLinger: 10 * time.Second}), w.handler(nil))
		time.Sleep(1500 * time.Millisecond)
		begin := time.Now()
		require.NoError(w, stop())
		require.LessOrEqual(w, time.Since(begin), time.Second)
		w.eachOnce(1)
	})
}

func TestADeleteWhoseAnswerIsLostIsNoFailureOfAStop(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 1)
		// Done at once, answered never; the renewal meanwhile finds no message.
		w.server.Inject(sqstest.Fault{Op: opDelete, Lag: 3 * time.Second, Err: sqstest.Reset(), After: true, Times: 1})
		var log bytes.Buffer
		c := w.consumer(sluice.Options{VisibilityTimeout: 4 * time.Second, PollTime: time.Second, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		stop := w.run(c, w.handler(nil))
		time.Sleep(time.Second)
		require.NoError(w, stop())
		require.Empty(w, w.left())
		require.Equal(w, 1, w.handled())
		require.EqualValues(w, 1, c.Stats().Unsettled)
		require.NotContains(w, log.String(), "WARN", "no lease was lost but by our own delete")
	})
}

func TestStopMayBeCalledFromAHandlerAndMoreThanOnce(t *testing.T) {
	tellBoth(t, func(w *world) {
		w.send(0, 25)
		c := w.consumer(sluice.Options{PollTime: time.Second})
		err := c.Run(w.Context(), w.handler(func(context.Context, []*sluice.Message) error {
			c.Stop()
			time.Sleep(time.Second)
			c.Stop()
			return nil
		}))
		require.NoError(w, err)
		require.Equal(w, w.handled(), w.counts().Deleted)
		c.Stop()
		w.silent()
		w.adds(c)
	})
}

func TestStopAndPauseMayBeCalledFromHooks(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 25)
		var c *sluice.Consumer
		hook := func() { c.Pause(); c.Resume(); c.Stop(); _ = c.Stats(); _ = c.Health() }
		c = w.consumer(sluice.Options{PollTime: time.Second, Hooks: sluice.Hooks{
			Call:   func(sluice.CallEvent) { hook() },
			Batch:  func(sluice.BatchEvent) { hook() },
			Health: func(sluice.Health) { c.Pause(); c.Resume() },
		}})
		require.NoError(w, c.Run(w.Context(), w.handler(nil)))
		require.Equal(w, w.handled(), w.counts().Deleted)
		w.silent()
	})
}

func TestTheSecondEndOfAContextChangesNothing(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 3)
		c := w.consumer(sluice.Options{PollTime: time.Second})
		stop := w.run(c, w.handler(takes(10*time.Second)))
		time.Sleep(time.Second)
		c.Stop()
		time.Sleep(time.Second)
		c.Stop()
		require.NoError(w, stop())
		require.LessOrEqual(w, time.Since(w.began), 11*time.Second)
		w.eachOnce(3)
	})
}

func TestARunWhoseContextIsDoneReceivesNothing(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 3)
		ctx, cancel := context.WithCancel(w.Context())
		cancel()
		require.NoError(w, w.consumer(sluice.Options{}).Run(ctx, w.handler(nil)))
		require.NoError(w, w.consumer(sluice.Options{}).Drain(ctx, w.handler(nil)))
		require.Zero(w, w.all())
		require.Zero(w, time.Since(w.began))
	})
}

func TestAStopAtAnyMomentRedeliversNothing(t *testing.T) {
	for _, opts := range []sluice.Options{{Concurrency: 5, PollTime: time.Second}, {Concurrency: 2, BatchSize: 15, WaitTime: 700 * time.Millisecond, PollTime: time.Second}} {
		tell(t, func(w *world) {
			w.slow(8 * time.Millisecond)
			go w.trickle(60, 2*time.Minute)
			var cs []*sluice.Consumer
			for i := range 60 {
				c := w.consumer(opts)
				cs = append(cs, c)
				stop := w.run(c, w.handler(takes(70*time.Millisecond)))
				time.Sleep(time.Duration(i) * 41 * time.Millisecond)
				require.NoError(w, stop())
			}
			c := w.consumer(opts)
			cs = append(cs, c)
			require.NoError(w, c.Drain(w.Context(), w.handler(nil)))
			for w.counts().Sent != w.counts().Deleted {
				time.Sleep(time.Second)
				require.NoError(w, c.Drain(w.Context(), w.handler(nil)))
			}
			time.Sleep(2 * time.Minute)
			require.NoError(w, c.Drain(w.Context(), w.handler(nil)))
			w.eachOnce(w.counts().Sent)
			w.agrees(cs...)
		})
	}
}

func TestAGoexitDuringAStopHoldsNothingUp(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 5)
		stop := w.run(w.consumer(sluice.Options{PollTime: time.Second}), w.handler(func(ctx context.Context, _ []*sluice.Message) error {
			time.Sleep(5 * time.Second)
			runtime.Goexit()
			return nil
		}))
		time.Sleep(time.Second)
		require.NoError(w, stop())
		require.LessOrEqual(w, time.Since(w.began), 6*time.Second)
		require.Len(w, w.left(), 5)
	})
}

func TestTheDefaultsFitTheThirtySecondsThatKubernetesGives(t *testing.T) {
	tellBoth(t, func(w *world) {
		free := make(chan struct{})
		defer close(free)
		w.send(0, 30)
		w.server.Inject(sqstest.Fault{Op: opReceive, Wait: time.Hour, Skip: 3}) // the last one hangs
		c := w.consumer(sluice.Options{})
		stop := w.run(c, w.handler(func(ctx context.Context, batch []*sluice.Message) error {
			if batch[0].Body == "3" {
				<-free
			}
			return heeds(time.Hour)(ctx, batch)
		}))
		time.Sleep(30 * time.Second)
		w.outage(sqstest.Unavailable(), opDelete, opChange)
		at := time.Now()
		require.ErrorIs(w, stop(), sluice.ErrShutdown)
		require.LessOrEqual(w, time.Since(at), 29*time.Second, "before the process is killed")
		w.silent()
	})
}

// What is held when the time is over is given back in many calls at once; what is not is
// counted.
func TestAStopReleasesWhatItHoldsInManyCallsAtOnceAndCountsTheRest(t *testing.T) {
	for latency, all := range map[time.Duration]bool{50 * time.Millisecond: true, 500 * time.Millisecond: false} {
		t.Run(fmt.Sprint(latency, " a call"), func(t *testing.T) {
			tell(t, func(w *world) {
				const n = 40_000
				w.send(0, n)
				w.slow(latency)
				c := w.consumer(sluice.Options{
					BatchSize: n / 10, Concurrency: 10, WaitTime: time.Hour, BytesInFlight: 1 << 30, VisibilityTimeout: 10 * time.Minute, ShutdownTimeout: time.Second,
				})
				var began atomic.Int64
				stop := w.run(c, func(ctx context.Context, batch []*sluice.Message) error {
					began.Add(int64(len(batch)))
					<-ctx.Done()
					return context.Cause(ctx)
				})
				for began.Load() < n {
					time.Sleep(time.Second)
				}
				c.Pause()
				time.Sleep(30 * time.Second)
				stopping := time.Now()
				report, ok := errors.AsType[*sluice.ShutdownError](stop())
				require.True(w, ok)
				require.LessOrEqual(w, time.Since(stopping), 4*time.Second)
				require.Equal(w, n, report.GivenBack+report.Abandoned)
				require.Equal(w, all, report.Abandoned == 0, "%d were abandoned", report.Abandoned)
				require.LessOrEqual(w, report.GivenBack, w.visible(), "the answers of some calls may have come too late")
				require.Greater(w, report.GivenBack, n/100)
			})
		})
	}
}

func TestAStopWithoutARunHasNoEffect(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 3)
		c := w.consumer(sluice.Options{})
		c.Stop()
		require.NoError(w, c.Drain(w.Context(), w.handler(nil)))
		w.eachOnce(3)
		c.Stop()
		w.send(3, 3)
		require.NoError(w, c.Drain(w.Context(), w.handler(nil)))
		w.eachOnce(6)
	})
}
