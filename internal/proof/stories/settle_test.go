package stories_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

var errBad = errors.New("bad")

func TestNothingIsDeletedBeforeItsHandlerEnds(t *testing.T) {
	tellBoth(t, func(w *world) {
		w.send(0, 20)
		stop := w.run(w.consumer(sluice.Options{BatchSize: 10}), w.handler(takes(time.Minute)))
		time.Sleep(time.Minute - time.Millisecond)
		require.Len(w, w.left(), 20)
		require.Zero(w, w.calls(opDelete))
		time.Sleep(time.Second)
		require.Empty(w, w.left())
		require.NoError(w, stop())
	})
}

func TestAMessageWhoseHandlerDidNotSucceedIsNotDeleted(t *testing.T) {
	for name, h := range map[string]sluice.Handler{
		"an error":                   fails(errBad),
		"an error that is cancelled": fails(context.Canceled),
		"a panic":                    func(context.Context, []*sluice.Message) error { panic("no") },
		"a panic with an error":      func(context.Context, []*sluice.Message) error { panic(errBad) },
		"a panic with nil":           func(context.Context, []*sluice.Message) error { panic(nil) }, //nolint:govet // on purpose
		"a Goexit":                   func(context.Context, []*sluice.Message) error { runtime.Goexit(); return nil },
		"a body that is not JSON":    sluice.JSON(func(context.Context, []string) error { return nil }),
		"bodies that are not JSON":   sluice.BatchJSON(func(context.Context, []sluice.Item[[]string]) error { return nil }),
	} {
		t.Run(name, func(t *testing.T) {
			tellBoth(t, func(w *world) {
				w.send(0, 7)
				c := w.consumer(sluice.Options{BatchSize: 3})
				stop := w.run(c, w.handler(h))
				time.Sleep(5 * time.Second)
				require.NoError(w, stop())
				require.Len(w, w.left(), 7)
				require.Zero(w, w.calls(opDelete))
				s := c.Stats()
				require.EqualValues(w, 7, s.Failed)
				require.EqualValues(w, 7, s.GivenBack)
				require.Zero(w, s.Succeeded)
				if strings.Contains(name, "panic") || strings.Contains(name, "Goexit") {
					require.EqualValues(w, 3, s.Panics)
				}
				w.adds(c)
				w.agrees(c)
			})
		})
	}
}

func TestHandlersGoOnAfterPanics(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 1000)
		c := w.consumer(sluice.Options{Concurrency: 3, RetryDelay: func(*sluice.Message, error) time.Duration { return time.Second }})
		stop := w.run(c, w.handler(sluice.Each(func(_ context.Context, m *sluice.Message) error {
			switch {
			case m.ReceiveCount > 1:
				return nil
			case strings.HasSuffix(m.Body, "3"):
				panic(m.Body)
			case strings.HasSuffix(m.Body, "7"):
				runtime.Goexit()
			}
			return nil
		})))
		time.Sleep(time.Minute)
		require.Equal(w, 1200, w.handled(), "no slot is lost with a panic")
		require.NoError(w, stop())
		require.Empty(w, w.left())
		require.EqualValues(w, 200, c.Stats().Panics)
		w.adds(c)
		w.agrees(c)
	})
}

func TestAFailedMessageComesBackNotSoonerThanItsVisibilityTimeout(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 1)
		stop := w.run(w.consumer(sluice.Options{}), w.handler(fails(errBad)))
		time.Sleep(2 * time.Hour)
		require.NoError(w, stop())
		at := w.times("0")
		require.Greater(w, len(at), 8)
		delays := map[time.Duration]bool{}
		for i := range at[1:] {
			delays[at[i+1]-at[i]] = true
			want := min(30*time.Second<<i, 15*time.Minute)
			require.InDelta(w, want, at[i+1]-at[i], float64(want)/10+float64(time.Second))
		}
		require.Greater(w, len(delays), 7, "jittered: even those at the cap differ") // five grow, the others are 15 min each
	})
}

func TestFailuresDoNotHurryTowardsTheDeadLetterQueue(t *testing.T) {
	tell(t, func(w *world) {
		dead := w.server.MustCreateQueue("dead", nil)
		w.url = w.server.MustCreateQueue("poison", map[string]string{
			"RedrivePolicy": `{"maxReceiveCount":"3","deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead"}`,
		})
		w.send(0, 1)
		stop := w.run(w.consumer(sluice.Options{}), w.handler(fails(errBad)))
		for len(w.server.Messages(dead)) == 0 {
			time.Sleep(time.Second)
			require.Less(w, time.Since(w.began), time.Hour)
		}
		require.Greater(w, time.Since(w.began), 3*time.Minute)
		require.NoError(w, stop())
		require.Len(w, w.seen(), 3)
	})
}

func TestRetryDelaysAreKept(t *testing.T) {
	for name, tt := range map[string]struct {
		delay func(*sluice.Message, error) time.Duration
		err   error
		want  time.Duration
	}{
		"RetryAfter":                       {nil, sluice.RetryAfter(90*time.Second, errBad), 90 * time.Second},
		"RetryAfter nothing":               {nil, sluice.RetryAfter(0, errBad), 0},
		"RetryAfter less than nothing":     {nil, sluice.RetryAfter(-time.Hour, errBad), 0},
		"RetryAfter part of a second":      {nil, sluice.RetryAfter(1200*time.Millisecond, errBad), 2 * time.Second},
		"RetryAfter beside RetryDelay":     {func(*sluice.Message, error) time.Duration { return time.Minute }, sluice.RetryAfter(time.Second, errBad), time.Second},
		"RetryDelay":                       {func(*sluice.Message, error) time.Duration { return 7 * time.Second }, errBad, 7 * time.Second},
		"RetryDelay below zero":            {func(*sluice.Message, error) time.Duration { return -7 }, errBad, 0},
		"RetryDelay that panics":           {func(*sluice.Message, error) time.Duration { panic("delay") }, errBad, 30 * time.Second},
		"DeadLetter without such a queue":  {func(*sluice.Message, error) time.Duration { return 5 * time.Second }, sluice.DeadLetter(errBad), 5 * time.Second},
		"RetryAfter far beyond the lease":  {nil, sluice.RetryAfter(3*time.Hour, errBad), 3 * time.Hour},
		"RetryAfter for the whole of time": {nil, sluice.RetryAfter(1<<63-1, errBad), 12*time.Hour - 10*time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			tell(t, func(w *world) {
				w.send(0, 1)
				stop := w.run(w.consumer(sluice.Options{RetryDelay: tt.delay}), w.handler(func(context.Context, []*sluice.Message) error {
					if len(w.seen()) > 1 {
						return nil
					}
					return tt.err
				}))
				time.Sleep(13 * time.Hour)
				require.NoError(w, stop())
				require.Equal(w, []time.Duration{0, tt.want}, w.times("0"))
				require.Empty(w, w.left())
			})
		})
	}
}

func TestOnlyTheFailedOfABatchComeBack(t *testing.T) {
	tellBoth(t, func(w *world) {
		w.send(0, 100)
		c := w.consumer(sluice.Options{BatchSize: 50})
		stop := w.run(c, w.handler(func(_ context.Context, batch []*sluice.Message) error {
			var errs []error
			for _, m := range batch {
				if strings.HasSuffix(m.Body, "4") && m.ReceiveCount == 1 {
					errs = append(errs, sluice.Failed(m, errBad))
				}
			}
			return errors.Join(errs...)
		}))
		time.Sleep(2 * time.Minute)
		require.NoError(w, stop())
		require.Empty(w, w.left())
		require.Equal(w, 110, w.handled())
		require.Len(w, w.times("4"), 2)
		require.Len(w, w.times("5"), 1)
		require.EqualValues(w, 10, c.Stats().Failed)
		require.EqualValues(w, 10, c.Stats().GivenBack)
		w.agrees(c)
		w.adds(c)
	})
}

func TestADiscardedMessageIsDeleted(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 25)
		c := w.consumer(sluice.Options{BatchSize: 5})
		stop := w.run(c, w.handler(fails(sluice.Discard(errBad))))
		time.Sleep(time.Second)
		require.NoError(w, stop())
		require.Empty(w, w.left())
		require.EqualValues(w, 25, c.Stats().Failed)
		require.EqualValues(w, 25, c.Stats().Deleted)
	})
}

func TestDeletesTravelInCallsOfTen(t *testing.T) {
	tellBoth(t, func(w *world) {
		w.send(0, 1000)
		w.slow(8 * time.Millisecond)
		stop := w.run(w.consumer(sluice.Options{Concurrency: 50}), w.handler(takes(20*time.Millisecond)))
		time.Sleep(time.Minute)
		require.NoError(w, stop())
		w.eachOnce(1000)
		require.LessOrEqual(w, w.calls(opDelete), 105)
	})
}

func TestADeleteGoesAtOnceWhenNothingElseIsUnderWay(t *testing.T) {
	tell(t, func(w *world) {
		e := w.watch()
		stop := w.run(w.consumer(sluice.Options{}), w.handler(takes(20*time.Millisecond)))
		for i := range 10 {
			time.Sleep(3 * time.Second)
			w.send(i, 1)
			time.Sleep(21 * time.Millisecond)
			require.Len(w, e.calls(opDelete), i+1)
		}
		require.NoError(w, stop())
		w.eachOnce(10)
	})
}

func TestAnEntryThatFailedIsDeletedOnceMore(t *testing.T) {
	for name, err := range map[string]error{"the service's fault": nil, "throttled": sqstest.Throttled(), "unavailable": sqstest.Unavailable()} {
		t.Run(name, func(t *testing.T) {
			tellBoth(t, func(w *world) {
				w.send(0, 50)
				w.server.Inject(sqstest.Fault{Op: opDelete, Entries: func(i int) bool { return i%3 == 1 }, Err: err, Times: 4})
				c := w.consumer(sluice.Options{BatchSize: 10})
				stop := w.run(c, w.handler(nil))
				time.Sleep(20 * time.Second)
				require.NoError(w, stop())
				w.eachOnce(50)
				require.EqualValues(w, 50, c.Stats().Deleted)
				require.Zero(w, c.Stats().Failed)
			})
		})
	}
}

func TestAReceiptThatIsLostIsCountedAndNotTriedAgain(t *testing.T) {
	for name, err := range map[string]error{
		"invalid":       sqstest.InvalidReceiptHandle("?"),
		"not in flight": sqstest.NotInflight(),
	} {
		t.Run(name, func(t *testing.T) {
			tellBoth(t, func(w *world) {
				w.send(0, 10)
				w.server.Inject(sqstest.Fault{Op: opDelete, Entries: func(i int) bool { return i < 3 }, Err: err, Times: 1})
				c := w.consumer(sluice.Options{BatchSize: 10})
				stop := w.run(c, w.handler(nil))
				time.Sleep(10 * time.Second)
				require.Equal(w, 1, w.calls(opDelete))
				require.EqualValues(w, 3, c.Stats().Unsettled)
				require.EqualValues(w, 7, c.Stats().Deleted)
				require.Zero(w, c.Stats().InFlight)
				time.Sleep(time.Minute)
				require.NoError(w, stop(), "one entry does not end the run")
				require.Empty(w, w.left())
			})
		})
	}
}

func TestADeleteWhoseAnswerIsLostIsTriedAgainAndHandledOnce(t *testing.T) {
	for name, fault := range map[string]sqstest.Fault{
		"reset after its effect":  {Op: opDelete, Err: sqstest.Reset(), After: true, Times: 3},
		"503 after its effect":    {Op: opDelete, Err: sqstest.Unavailable(), After: true, Times: 3},
		"reset before its effect": {Op: opDelete, Err: sqstest.Reset(), Times: 3},
		"an answer in a minute":   {Op: opDelete, Lag: time.Minute, Times: 1},
		"a request in a minute":   {Op: opDelete, Wait: time.Minute, Times: 3},
		"credentials over":        {Op: opDelete, Err: sqstest.ExpiredToken(), Times: 3},
	} {
		t.Run(name, func(t *testing.T) {
			tellBoth(t, func(w *world) {
				w.send(0, 10)
				w.server.Inject(fault)
				c := w.consumer(sluice.Options{BatchSize: 10})
				stop := w.run(c, w.handler(nil))
				time.Sleep(5 * time.Minute)
				require.NoError(w, stop())
				w.eachOnce(10)
				require.Zero(w, c.Stats().Failed)
				require.EqualValues(w, 10, c.Stats().Deleted)
			})
		})
	}
}

func TestAFailedDeleteIsNotAFailedHandler(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 10)
		end := w.outage(sqstest.Unavailable(), opDelete)
		delays := 0
		c := w.consumer(sluice.Options{RetryDelay: func(*sluice.Message, error) time.Duration { delays++; return 0 }})
		stop := w.run(c, w.handler(nil))
		time.Sleep(2 * time.Minute)
		end()
		time.Sleep(6 * time.Second)
		require.NoError(w, stop())
		w.eachOnce(10)
		require.Zero(w, delays)
		require.Zero(w, c.Stats().GivenBack)
	})
}

func TestDeletesThatFailAreBoundedInNumber(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 10)
		end := w.outage(sqstest.Unavailable(), opDelete)
		stop := w.run(w.consumer(sluice.Options{BatchSize: 10}), w.handler(nil))
		time.Sleep(time.Hour)
		require.Less(w, w.calls(opDelete), 3600)
		end()
		time.Sleep(10 * time.Second)
		require.NoError(w, stop())
		w.eachOnce(10)
	})
}

func TestADeleteThatHadNoEffectIsARedeliveryAndNothingWorse(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 10)
		w.server.Inject(sqstest.Fault{Op: opDelete, NoEffect: true, Times: 1})
		c := w.consumer(sluice.Options{BatchSize: 10})
		stop := w.run(c, w.handler(nil))
		time.Sleep(2 * time.Minute)
		require.NoError(w, stop())
		require.Empty(w, w.left())
		require.Equal(w, 20, w.handled())
	})
}

func TestAMessageThatIsGivenBackIsGivenBackWhateverHappens(t *testing.T) {
	for name, fault := range map[string]sqstest.Fault{
		"503":               {Op: opChange, Err: sqstest.Unavailable(), Times: 3},
		"the answer lost":   {Op: opChange, Err: sqstest.Reset(), After: true, Times: 2},
		"an entry each":     {Op: opChange, Entries: func(int) bool { return true }, Times: 3},
		"throttled":         {Op: opChange, Err: sqstest.Throttled(), Times: 3},
		"a call that hangs": {Op: opChange, Wait: time.Hour, Times: 1},
	} {
		t.Run(name, func(t *testing.T) {
			tell(t, func(w *world) {
				w.send(0, 10)
				w.server.Inject(fault)
				c := w.consumer(sluice.Options{BatchSize: 10})
				stop := w.run(c, w.handler(func(_ context.Context, batch []*sluice.Message) error {
					if len(w.seen()) > 1 {
						return nil
					}
					return sluice.RetryAfter(2*time.Minute, errBad)
				}))
				time.Sleep(5 * time.Minute)
				require.NoError(w, stop())
				require.Equal(w, 20, w.handled())
				at := w.times("0")
				require.InDelta(w, 2*time.Minute, at[1], float64(15*time.Second))
				require.EqualValues(w, 10, c.Stats().GivenBack)
				require.Empty(w, w.left())
			})
		})
	}
}

func TestAMessageThatIsBackIsHandledAgainWhicheverAnswerIsFirst(t *testing.T) {
	for name, delay := range map[string]time.Duration{"at once": 0, "after a second": time.Second} {
		t.Run(name, func(t *testing.T) {
			tellBoth(t, func(w *world) {
				w.slow(8 * time.Millisecond)
				w.server.Inject(sqstest.Fault{Op: opChange, Lag: delay + 20*time.Millisecond}) // the receive that is out hears of it sooner
				w.send(0, 1)
				c := w.consumer(sluice.Options{})
				stop := w.run(c, w.handler(func(context.Context, []*sluice.Message) error {
					if len(w.seen()) < 3 {
						return sluice.RetryAfter(delay, errors.New("not now"))
					}
					return nil
				}))
				time.Sleep(time.Minute)
				require.NoError(w, stop())
				require.Equal(w, 3, w.handled())
				require.Equal(w, 3, w.counts().Deliveries, "each receive is for a handler call")
				require.Empty(w, w.left())
				require.Zero(w, c.Stats().Duplicates)
				require.EqualValues(w, 2, c.Stats().GivenBack)
				w.agrees(c)
				w.adds(c)
			})
		})
	}
}

func TestALingerDoesNotOutliveTheLeaseOfWhatIsGivenBack(t *testing.T) {
	tell(t, func(w *world) {
		w.slow(8 * time.Millisecond)
		w.send(0, 1)
		c := w.consumer(sluice.Options{VisibilityTimeout: 10 * time.Second, DeleteLinger: 10 * time.Second})
		stop := w.run(c, w.handler(func(context.Context, []*sluice.Message) error {
			if len(w.seen()) > 1 {
				return nil
			}
			return sluice.RetryAfter(time.Hour, errBad)
		}))
		time.Sleep(2 * time.Hour)
		require.NoError(w, stop())
		at := w.times("0")
		require.Len(w, at, 2)
		require.InDelta(w, time.Hour, at[1], float64(time.Minute))
		require.Equal(w, 2, w.counts().Deliveries)
	})
}

func TestAHandlerThatReturnsAfterItsLeaseWasLostGivesNothingBack(t *testing.T) {
	tell(t, func(w *world) {
		w.slow(8 * time.Millisecond)
		w.send(0, 2)
		end := w.outage(sqstest.Unavailable(), opChange)
		c := w.consumer(sluice.Options{Concurrency: 2})
		stop := w.run(c, w.handler(func(_ context.Context, batch []*sluice.Message) error {
			if len(w.seen()) > 2 {
				return nil
			}
			time.Sleep(40 * time.Second)
			return errBad
		}))
		time.Sleep(39 * time.Second)
		end()
		require.EqualValues(w, 2, c.Stats().LeasesLost)
		changes := w.calls(opChange)
		time.Sleep(10 * time.Second)
		require.Equal(w, changes, w.calls(opChange))
		require.Zero(w, c.Stats().GivenBack)
		time.Sleep(time.Minute)
		require.NoError(w, stop())
		require.Empty(w, w.left())
		w.adds(c)
	})
}

func TestASlowReaderOfTheQueueDoesNotHurryItsMessages(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 30)
		c := w.consumer(sluice.Options{Concurrency: 1, BatchSize: 10})
		stop := w.run(c, w.handler(takes(time.Minute)))
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		require.NoError(w, stop())
		w.eachOnce(30)
	})
}

func TestAMessageThatIsBeingGivenBackIsNotRenewedWhenItIsReceivedOnceMore(t *testing.T) {
	tell(t, func(w *world) {
		w.slow(8 * time.Millisecond)
		w.send(0, 1)
		renewal := func(c sqstest.Call) bool {
			return c.Input.(*sqs.ChangeMessageVisibilityBatchInput).Entries[0].VisibilityTimeout == 30
		}
		w.server.Inject(sqstest.Fault{Op: opChange, Wait: 5 * time.Second, Match: renewal})
		w.server.Inject(sqstest.Fault{Op: opChange, Err: sqstest.Unavailable(), Match: func(c sqstest.Call) bool {
			return !renewal(c) && time.Since(w.began) < 17*time.Second // the renewal would be on its way then
		}})
		stop := w.run(w.consumer(sluice.Options{PollTime: time.Second}), w.handler(func(_ context.Context, batch []*sluice.Message) error {
			if w.handled() > 1 {
				return nil
			}
			time.AfterFunc(time.Second, func() { w.server.Redeliver(w.url, batch[0].ID) })
			return sluice.RetryAfter(time.Hour, errBad)
		}))
		time.Sleep(2 * time.Hour)
		require.NoError(w, stop())
		times := w.times("0")
		require.Len(w, times, 2)
		require.Greater(w, times[1]-times[0], time.Hour)
	})
}
