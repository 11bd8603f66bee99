package stories_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

func TestAHandlerOfHoursKeepsItsMessage(t *testing.T) {
	tellBoth(t, func(w *world) {
		w.send(0, 10)
		c := w.consumer(sluice.Options{Concurrency: 10})
		stop := w.run(c, w.handler(takes(3*time.Hour)))
		time.Sleep(3*time.Hour + time.Minute)
		require.NoError(w, stop())
		w.eachOnce(10)
		require.Zero(w, c.Stats().LeasesLost)
		// One call for all ten each half timeout.
		require.LessOrEqual(w, w.calls(opChange), int(3*time.Hour/(15*time.Second)))
	})
}

func TestEveryMessageOfABatchIsRenewed(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 25)
		stop := w.run(w.consumer(sluice.Options{BatchSize: 25}), w.handler(takes(10*time.Minute)))
		time.Sleep(11 * time.Minute)
		require.NoError(w, stop())
		w.eachOnce(25)
	})
}

func TestTheLeaseCountsFromTheReceiveNotFromTheHandler(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 2)
		c := w.consumer(sluice.Options{Concurrency: 1, VisibilityTimeout: 10 * time.Second, BatchSize: 2, WaitTime: 2 * time.Minute})
		changed := w.watch()
		stop := w.run(c, w.handler(takes(time.Minute)))
		time.Sleep(4 * time.Second)
		w.send(2, 1)
		time.Sleep(5 * time.Minute)
		require.NoError(w, stop())
		w.eachOnce(3)
		first := changed.calls(opChange)[0]
		require.LessOrEqual(w, first.Sub(w.began), 6*time.Second)
	})
}

func TestAMessageThatIsFasterThanHalfItsLeaseCausesNoRenewal(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 100)
		stop := w.run(w.consumer(sluice.Options{}), w.handler(takes(14*time.Second)))
		for i := range 100 {
			time.Sleep(2 * time.Second)
			w.send(100+i, 1)
		}
		time.Sleep(6 * time.Minute)
		require.NoError(w, stop())
		w.eachOnce(200)
		require.Zero(w, w.calls(opChange))
	})
}

func TestTheRenewalFollowsTheVisibilityTimeout(t *testing.T) {
	for _, v := range []time.Duration{2 * time.Second, 7 * time.Second, 30 * time.Second, 5 * time.Minute, 12 * time.Hour} {
		t.Run(v.String(), func(t *testing.T) {
			tell(t, func(w *world) {
				w.send(0, 1)
				e := w.watch()
				c := w.consumer(sluice.Options{VisibilityTimeout: v})
				stop := w.run(c, w.handler(takes(5*v/4)))
				time.Sleep(2 * v)
				require.NoError(w, stop())
				if v < 8*time.Hour {
					w.eachOnce(1)
					steps := e.calls(opChange)
					require.Len(w, steps, 2, "at a half and a whole of it")
					for i, at := range steps {
						want := time.Duration(i+1) * v / 2
						require.InDelta(w, want, at.Sub(w.began), float64(v/5))
					}
				}
			})
		})
	}
}

func TestALeaseIsBelievedToBeLongerOnlyWhenItsRenewalIsConfirmed(t *testing.T) {
	for name, fault := range map[string]sqstest.Fault{
		"the call fails":       {Op: opChange, Err: sqstest.Unavailable()},
		"each entry fails":     {Op: opChange, Entries: func(int) bool { return true }},
		"the calls hang":       {Op: opChange, Wait: time.Hour},
		"the answers are lost": {Op: opChange, Err: sqstest.Reset(), After: true},
	} {
		t.Run(name, func(t *testing.T) {
			tell(t, func(w *world) {
				w.send(0, 1)
				w.server.Inject(fault)
				c := w.consumer(sluice.Options{Concurrency: 1})
				// One slot, so no receive can bring the message back while it is handled.
				var ended time.Duration
				var cause error
				stop := w.run(c, w.handler(func(ctx context.Context, _ []*sluice.Message) error {
					<-ctx.Done()
					if ended == 0 {
						ended, cause = time.Since(w.began), context.Cause(ctx)
					}
					return context.Cause(ctx)
				}))
				time.Sleep(31 * time.Second)
				synctest.Wait()
				require.ErrorIs(w, cause, sluice.ErrLeaseLost)
				require.InDelta(w, 30*time.Second, ended, float64(time.Second))
				require.EqualValues(w, 1, c.Stats().LeasesLost)
				_ = stop()
			})
		})
	}
}

func TestAFailedRenewalIsTriedAgainWithinItsLease(t *testing.T) {
	for name, fault := range map[string]sqstest.Fault{
		"503":                 {Op: opChange, Err: sqstest.Unavailable(), Times: 3},
		"throttled":           {Op: opChange, Err: sqstest.Throttled(), Times: 3},
		"reset":               {Op: opChange, Err: sqstest.Reset(), Times: 3},
		"an entry each":       {Op: opChange, Entries: func(i int) bool { return i%2 == 0 }, Times: 3},
		"expired credentials": {Op: opChange, Err: sqstest.ExpiredToken(), Times: 3},
		"one that hangs":      {Op: opChange, Wait: time.Hour, Times: 1},
	} {
		t.Run(name, func(t *testing.T) {
			tellBoth(t, func(w *world) {
				w.send(0, 10)
				w.server.Inject(fault)
				c := w.consumer(sluice.Options{})
				stop := w.run(c, w.handler(heeds(2*time.Minute)))
				time.Sleep(3 * time.Minute)
				require.NoError(w, stop())
				w.eachOnce(10)
				require.Zero(w, c.Stats().LeasesLost)
			})
		})
	}
}

func TestAReceiptThatIsGoneEndsItsHandlerAtOnceAndIsNotTriedAgain(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 1)
		w.server.Inject(sqstest.Fault{Op: opChange, Entries: func(int) bool { return true }, Err: sqstest.InvalidReceiptHandle("?"), Times: 1})
		c := w.consumer(sluice.Options{PollTime: time.Second})
		var ended time.Duration
		stop := w.run(c, w.handler(func(ctx context.Context, _ []*sluice.Message) error {
			<-ctx.Done()
			if ended == 0 {
				ended = time.Since(w.began)
			}
			return context.Cause(ctx)
		}))
		time.Sleep(25 * time.Second)
		synctest.Wait()
		require.LessOrEqual(w, ended, 19*time.Second)
		require.Equal(w, 1, w.calls(opChange))
		require.EqualValues(w, 1, c.Stats().LeasesLost)
		require.EqualValues(w, 0, c.Stats().GivenBack)
		require.NoError(w, stop())
	})
}

// A loss and the end of the handler may come at the same moment, in either order.
func TestALossIsCountedAlsoWhenTheHandlerEndsJustThen(t *testing.T) {
	for range 200 {
		tell(t, func(w *world) {
			w.send(0, 1)
			w.server.Inject(sqstest.Fault{
				Op: opChange, Entries: func(int) bool { return true }, Err: sqstest.InvalidReceiptHandle("?"), Times: 1, Lag: time.Second,
			})
			c := w.consumer(sluice.Options{PollTime: time.Second})
			stop := w.run(c, w.handler(func(context.Context, []*sluice.Message) error {
				if len(w.seen()) > 1 {
					return nil
				}
				const firstRenewal = 18 * time.Second // half the timeout, and a tenth for others to join it
				time.Sleep(firstRenewal + time.Second)
				return errBad
			}))
			time.Sleep(2 * time.Minute)
			require.NoError(w, stop())
			s := c.Stats()
			require.EqualValues(w, 2, s.Received)
			require.EqualValues(w, 2, s.Deleted+s.LeasesLost+s.Unsettled, "each has its end: %+v", s)
		})
	}
}

func TestAfterALossNothingIsGivenBack(t *testing.T) {
	tell(t, func(w *world) {
		w.slow(8 * time.Millisecond)
		w.send(0, 1)
		c := w.consumer(sluice.Options{PollTime: time.Second})
		stop := w.run(c, w.handler(func(ctx context.Context, _ []*sluice.Message) error {
			if len(w.seen()) > 1 {
				return nil
			}
			<-ctx.Done()
			return errors.New("interrupted")
		}))
		time.Sleep(time.Second)
		end := w.outage(sqstest.Unavailable(), opChange)
		time.Sleep(29*time.Second + 500*time.Millisecond)
		require.EqualValues(w, 1, c.Stats().LeasesLost)
		end()
		changes := w.calls(opChange)
		time.Sleep(10 * time.Second)
		require.Equal(w, changes, w.calls(opChange), "a nack after the loss")
		require.EqualValues(w, 0, c.Stats().GivenBack)
		require.NoError(w, stop())
		require.Empty(w, w.left())
	})
}

func TestNoHandlerStartsWithoutALease(t *testing.T) {
	for _, lag := range []time.Duration{4900 * time.Millisecond, 5300 * time.Millisecond, 5500 * time.Millisecond, 5900 * time.Millisecond, 7 * time.Second} {
		t.Run("an answer after "+lag.String(), func(t *testing.T) {
			tell(t, func(w *world) {
				const v, margin = 6 * time.Second, 600 * time.Millisecond
				w.slow(8 * time.Millisecond)
				w.send(0, 10)
				w.server.Inject(sqstest.Fault{Op: opReceive, Lag: lag, Times: 1})
				c := w.consumer(sluice.Options{VisibilityTimeout: v})
				stop := w.run(c, w.handler(func(_ context.Context, batch []*sluice.Message) error {
					for _, m := range w.left() {
						if m.ID == batch[0].ID {
							require.Greater(w, time.Until(m.Until), margin)
						}
					}
					return nil
				}))
				time.Sleep(5 * time.Minute)
				require.NoError(w, stop())
				require.Empty(w, w.left())
				require.Equal(w, 10, w.handled())
			})
		})
	}
}

func TestAnAnswerSlowerThanItsLeaseIsNotHandled(t *testing.T) {
	tell(t, func(w *world) {
		w.slow(8 * time.Millisecond)
		w.send(0, 10)
		w.server.Inject(sqstest.Fault{Op: opReceive, Lag: 6 * time.Second, Times: 1})
		c := w.consumer(sluice.Options{VisibilityTimeout: 5 * time.Second, PollTime: 3 * time.Second})
		stop := w.run(c, w.handler(func(_ context.Context, batch []*sluice.Message) error {
			require.Equal(w, 2, batch[0].ReceiveCount)
			return nil
		}))
		time.Sleep(time.Minute)
		require.NoError(w, stop())
		require.Empty(w, w.left())
		require.Equal(w, 10, w.handled())
		require.EqualValues(w, 10, c.Stats().LeasesLost)
		w.agrees(c)
	})
}

func TestMessagesThatWaitForASlotKeepTheirLeases(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 100)
		stop := w.run(w.consumer(sluice.Options{Concurrency: 2, VisibilityTimeout: 4 * time.Second}), w.handler(func(context.Context, []*sluice.Message) error {
			if w.handled() < 20 { // quick at first, and then not
				time.Sleep(time.Millisecond)
				return nil
			}
			time.Sleep(10 * time.Second)
			return nil
		}))
		time.Sleep(15 * time.Minute)
		require.NoError(w, stop())
		w.eachOnce(100)
	})
}

func TestADeleteThatIsPendingKeepsItsLease(t *testing.T) {
	tellBoth(t, func(w *world) {
		w.send(0, 25)
		end := w.outage(sqstest.Unavailable(), opDelete)
		c := w.consumer(sluice.Options{BatchSize: 5})
		stop := w.run(c, w.handler(nil))
		time.Sleep(10 * time.Minute)
		require.Len(w, w.left(), 25)
		require.Equal(w, 25, c.Stats().InFlight)
		end()
		time.Sleep(10 * time.Second)
		require.NoError(w, stop())
		w.eachOnce(25)
		require.Zero(w, c.Stats().Failed)
	})
}

func TestAMessageIsHeldForTwelveHoursAndNoLonger(t *testing.T) {
	tell(t, func(w *world) {
		w.slow(8 * time.Millisecond)
		w.send(0, 1)
		e := w.watch()
		var cause error
		var ended time.Duration
		c := w.consumer(sluice.Options{VisibilityTimeout: 7 * time.Minute})
		stop := w.run(c, w.handler(func(ctx context.Context, _ []*sluice.Message) error {
			if len(w.seen()) > 1 {
				return nil
			}
			<-ctx.Done()
			cause, ended = context.Cause(ctx), time.Since(w.began)
			return cause
		}))
		time.Sleep(13 * time.Hour)
		synctest.Wait()
		require.ErrorIs(w, cause, sluice.ErrLeaseLost)
		require.InDelta(w, 12*time.Hour, ended, float64(time.Minute))
		require.LessOrEqual(w, ended, 12*time.Hour)
		for _, event := range e.of(sqstest.CallEnded) {
			require.NoError(w, event.Err)
		}
		require.Equal(w, 0, w.server.Stats().Calls[opChange].Failed)
		for _, event := range e.of(sqstest.CallStarted) {
			if in, ok := event.Call.Input.(*sqs.ChangeMessageVisibilityBatchInput); ok {
				ends := event.Time.Add(time.Duration(in.Entries[0].VisibilityTimeout) * time.Second)
				require.LessOrEqual(w, ends.Sub(w.began), 12*time.Hour)
			}
		}
		require.NoError(w, stop())
	})
}

func TestARetryDelayIsCutToTheTwelveHours(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 1)
		c := w.consumer(sluice.Options{})
		stop := w.run(c, w.handler(func(context.Context, []*sluice.Message) error {
			if len(w.seen()) > 1 {
				return nil
			}
			time.Sleep(5 * time.Hour)
			return sluice.RetryAfter(24*time.Hour, errors.New("tomorrow"))
		}))
		time.Sleep(13 * time.Hour)
		require.NoError(w, stop())
		at := w.times("0")
		require.Len(w, at, 2)
		require.InDelta(w, 12*time.Hour, at[1], float64(time.Minute))
		require.EqualValues(w, 1, c.Stats().GivenBack)
		require.Equal(w, 0, w.server.Stats().Calls[opChange].Failed)
	})
}

func TestAHungHandlerLosesItsLeaseAfterTheHandlerTimeout(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 1)
		free := make(chan struct{})
		var cause error
		c := w.consumer(sluice.Options{HandlerTimeout: 5 * time.Minute, ShutdownTimeout: time.Second, PollTime: time.Second})
		stop := w.run(c, w.handler(func(ctx context.Context, _ []*sluice.Message) error {
			<-ctx.Done()
			cause = context.Cause(ctx)
			require.Equal(w, 5*time.Minute, time.Since(w.began))
			<-free
			return nil
		}))
		time.Sleep(5*time.Minute + time.Second)
		synctest.Wait()
		require.Equal(w, sluice.ErrHandlerTimeout, cause)
		renewed := w.calls(opChange)
		time.Sleep(time.Hour)
		require.Equal(w, renewed, w.calls(opChange), "a hung handler's lease is not kept")
		require.GreaterOrEqual(w, w.counts().Deliveries, 2, "others can have it")
		require.Len(w, w.seen(), 1, "but it is not handled twice in one process")
		require.NotZero(w, c.Stats().LeasesLost)
		require.ErrorIs(w, stop(), sluice.ErrShutdown)
		close(free)
	})
}

func TestAHandlerThatHeedsTheHandlerTimeoutFailsAsAnyOther(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 1)
		c := w.consumer(sluice.Options{HandlerTimeout: 50 * time.Second, RetryDelay: func(*sluice.Message, error) time.Duration { return 10 * time.Minute }})
		stop := w.run(c, w.handler(heeds(time.Hour)))
		time.Sleep(12*time.Minute + time.Second)
		require.Equal(w, []time.Duration{0, 10*time.Minute + 50*time.Second}, w.times("0"))
		require.EqualValues(w, 2, c.Stats().GivenBack)
		require.NoError(w, stop())
	})
}

func TestADeletedMessageIsNoLostLease(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 10)
		w.server.Inject(sqstest.Fault{Op: opDelete, Lag: 8 * time.Second, Times: 1}) // done at 10 s, answered at 18 s
		lost := 0
		c := w.consumer(sluice.Options{BatchSize: 10, Hooks: sluice.Hooks{LeaseLost: func(sluice.LeaseEvent) { lost++ }}})
		stop := w.run(c, w.handler(takes(10*time.Second)))
		time.Sleep(time.Minute)
		require.NoError(w, stop())
		w.eachOnce(10)
		require.EqualValues(w, 10, c.Stats().Deleted)
		require.Zero(w, c.Stats().LeasesLost)
		require.Zero(w, lost, "its renewal is refused because it was deleted")
	})
}

func TestABatchThatWaitsLongerThanItsLeasesIsNotRedelivered(t *testing.T) {
	tell(t, func(w *world) {
		const n, fill = 10_000, 5 * time.Minute
		e := w.watch()
		c := w.consumer(sluice.Options{BatchSize: n, WaitTime: 2 * fill, VisibilityTimeout: 30 * time.Second})
		stop := w.run(c, w.handler(takes(10*time.Minute)))
		for i := range 100 {
			w.after(fill * time.Duration(i) / 99)
			w.send(100*i, 100)
		}
		w.after(16 * time.Minute)
		require.NoError(w, stop())
		require.Len(w, w.seen(), 1)
		require.Equal(w, fill, w.seen()[0].at)
		w.eachOnce(n)
		require.Zero(w, c.Stats().LeasesLost)
		renewals := map[string][]time.Time{}
		for _, event := range e.of(sqstest.LeaseChanged) {
			renewals[event.MessageID] = append(renewals[event.MessageID], event.Time)
		}
		total := 0
		for _, at := range renewals {
			total += len(at)
			for i := range at[1:] {
				require.GreaterOrEqual(w, at[i+1].Sub(at[i]), 15*time.Second)
			}
		}
		require.LessOrEqual(w, total, n*int(15*time.Minute/(15*time.Second)), "one renewal per message each 15 s")
		require.LessOrEqual(w, float64(w.calls(opChange)), 1.02*float64(total)/10, "ten to a call")
	})
}

func TestADelayIsNotUndoneByARenewalOnItsWay(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 1)
		w.server.Inject(sqstest.Fault{Op: opChange, Wait: 3 * time.Second, Times: 1}) // the renewal at 15 s
		stop := w.run(w.consumer(sluice.Options{}), w.handler(func(context.Context, []*sluice.Message) error {
			if len(w.seen()) > 1 {
				return nil
			}
			time.Sleep(16 * time.Second)
			return sluice.RetryAfter(5*time.Second, errors.New("soon"))
		}))
		time.Sleep(time.Minute)
		at := w.times("0")
		require.Len(w, at, 2)
		require.InDelta(w, 22*time.Second, at[1], float64(2*time.Second))
		require.NoError(w, stop())
	})
}

func TestALeaseShorterThanAskedIsLostAndRecovered(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 5)
		w.server.Inject(sqstest.Fault{Op: opReceive, Lease: func(asked time.Duration) time.Duration { return asked / 3 }, Times: 1})
		c := w.consumer(sluice.Options{})
		stop := w.run(c, w.handler(takes(time.Minute)))
		time.Sleep(3 * time.Minute)
		require.NoError(w, stop())
		require.Equal(w, 5, w.handled())
		require.Empty(w, w.left())
	})
}

func TestTheIdleConsumerBesideDoesNotGetWhatTheFirstHolds(t *testing.T) {
	tell(t, func(w *world) {
		first := w.consumer(sluice.Options{Concurrency: 10})
		w.send(0, 50)
		stop := w.run(first, w.handler(takes(10*time.Minute)))
		for range 100 {
			synctest.Wait()
			s := first.Stats()
			require.LessOrEqual(w, s.InFlight, 10)
			require.LessOrEqual(w, s.InFlight, s.Handlers, "held, but not being handled")
			time.Sleep(5 * time.Second)
		}
		second := w.consumer(sluice.Options{Concurrency: 10})
		stopSecond := w.run(second, w.handler(takes(10*time.Minute)))
		time.Sleep(time.Second)
		require.Equal(w, 10, second.Stats().Handlers)
		time.Sleep(time.Hour)
		require.NoError(w, stop())
		require.NoError(w, stopSecond())
		w.eachOnce(50)
		w.agrees(first, second)
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

func TestALargeBatchMayWaitForHoursWhateverItsVisibilityTimeout(t *testing.T) {
	for _, v := range []time.Duration{12 * time.Hour, 10 * time.Hour, 9 * time.Hour, 30 * time.Second} {
		t.Run(v.String(), func(t *testing.T) {
			tell(t, func(w *world) {
				w.send(0, 50)
				c := w.consumer(sluice.Options{BatchSize: 10_000, WaitTime: 11 * time.Hour, VisibilityTimeout: v})
				stop := w.run(c, w.handler(takes(10*time.Minute)))
				time.Sleep(24 * time.Hour)
				require.NoError(w, stop())
				require.Zero(w, c.Stats().LeasesLost)
				w.eachOnce(50)
			})
		})
	}
}
