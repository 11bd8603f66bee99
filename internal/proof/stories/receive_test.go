package stories_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

func TestAnIdleConsumerMakesOneReceiveEachTwentySecondsAndNothingElse(t *testing.T) {
	for _, opts := range []sluice.Options{{}, {BatchSize: 100, WaitTime: time.Minute}, {Concurrency: 500, Receivers: 100}} {
		t.Run(fmt.Sprint("batches of ", opts.BatchSize), func(t *testing.T) {
			tellBoth(t, func(w *world) {
				c := w.consumer(opts)
				stop := w.run(c, w.handler(nil))
				time.Sleep(24*time.Hour - time.Second)
				require.Equal(w, 3*60*24, w.calls(opReceive))
				require.Equal(w, w.calls(opReceive), w.all())
				require.NoError(w, stop())
				w.agrees(c)
			})
		})
	}
}

func TestAConsumerIsIdleAgainAfterALoad(t *testing.T) {
	tell(t, func(w *world) {
		w.slow(8 * time.Millisecond)
		w.send(0, 10_000)
		stop := w.run(w.consumer(sluice.Options{Concurrency: 100}), w.handler(takes(10*time.Millisecond)))
		time.Sleep(5 * time.Minute)
		before := w.all()
		time.Sleep(time.Hour)
		require.LessOrEqual(w, w.all()-before, 181)
		require.NoError(w, stop())
		w.eachOnce(10_000)
	})
}

func TestATrickleOfEventsIsHandledWithinARequestsTime(t *testing.T) {
	tell(t, func(w *world) {
		const answer = 20 * time.Millisecond
		for _, op := range []string{opReceive, opDelete} {
			w.server.Inject(sqstest.Fault{Op: op, Wait: answer / 2, Lag: answer / 2})
		}
		stop := w.run(w.consumer(sluice.Options{}), w.handler(nil))
		for i := range 200 {
			time.Sleep(time.Duration(1000+37*i) * time.Millisecond)
			w.send(i, 1)
			sent := time.Since(w.began)
			time.Sleep(answer)
			synctest.Wait()
			at := w.times(fmt.Sprint(i))
			require.Len(w, at, 1)
			require.LessOrEqual(w, at[0]-sent, answer)
		}
		require.NoError(w, stop())
		w.eachOnce(200)
	})
}

func TestReceiversAreManyUnderABacklogAndOneWhenItIsGone(t *testing.T) {
	tell(t, func(w *world) {
		var out gauge
		w.send(0, 20_000)
		w.server.Inject(sqstest.Fault{Op: opReceive, Wait: 10 * time.Millisecond, Match: func(sqstest.Call) bool { return true }})
		w.server.Observe(func(e sqstest.Event) {
			switch {
			case e.Call.Op != opReceive:
			case e.Kind == sqstest.CallStarted:
				out.add(1)
			case e.Kind == sqstest.CallEnded:
				out.add(-1)
			}
		})
		stop := w.run(w.consumer(sluice.Options{Concurrency: 500, Receivers: 8}), w.handler(takes(5*time.Millisecond)))
		time.Sleep(2 * time.Minute)
		require.EqualValues(w, 8, out.most.Load())
		require.EqualValues(w, 1, out.now.Load())
		require.NoError(w, stop())
		w.eachOnce(20_000)
		require.Less(w, w.calls(opReceive), 2200)
	})
}

func TestReceiversStayManyWhileSomeAnswersAreNotFull(t *testing.T) {
	tell(t, func(w *world) {
		const n = 20_000
		w.slow(20 * time.Millisecond)
		w.send(0, n)
		w.server.Inject(sqstest.Fault{Op: opReceive, Max: 6, Match: func(c sqstest.Call) bool { return c.N%2 == 0 }})
		c := w.consumer(sluice.Options{Concurrency: 500, Receivers: 8})
		require.NoError(w, c.Drain(w.Context(), w.handler(takes(5*time.Millisecond))))
		w.eachOnce(n)
		last := w.seen()[n-1].at
		require.Less(w, last, 2*n/8/8*20*time.Millisecond, "eight receives at once, of eight messages each, and as long again to become so many")
	})
}

func TestAnAnswerThatIsNotFullIsNoEmptyQueueToDrain(t *testing.T) {
	tellBoth(t, func(w *world) {
		w.send(0, 200)
		w.slow(8 * time.Millisecond)
		w.server.Inject(sqstest.Fault{Op: opReceive, Max: 3})
		require.NoError(w, w.consumer(sluice.Options{BatchSize: 50, WaitTime: time.Minute}).Drain(w.Context(), w.handler(nil)))
		require.Len(w, w.seen(), 4, "full batches: there was more to come")
		w.eachOnce(200)
	})
}

func TestNothingIsReceivedThatHasNoRoom(t *testing.T) {
	for _, opts := range []sluice.Options{
		{Concurrency: 7},
		{Concurrency: 3, BatchSize: 25},
		{Concurrency: 1},
		{Concurrency: 64, Receivers: 32},
	} {
		t.Run(fmt.Sprintf("%d handlers, batches of %d", opts.Concurrency, opts.BatchSize), func(t *testing.T) {
			tell(t, func(w *world) {
				w.slow(8 * time.Millisecond)
				w.send(0, 2000)
				c := w.consumer(opts)
				stop := w.run(c, w.handler(heeds(time.Hour)))
				for range 100 {
					time.Sleep(time.Second)
					require.LessOrEqual(w, c.Stats().InFlight, opts.Concurrency*max(1, opts.BatchSize))
				}
				require.Equal(w, opts.Concurrency, c.Stats().Handlers)
				require.Equal(w, sluice.StateWaiting, c.Health().State)
				_ = stop()
			})
		})
	}
}

func TestNoMessageWaitsLongerThanAboutASecondForItsHandler(t *testing.T) {
	for _, each := range []time.Duration{3 * time.Millisecond, 50 * time.Millisecond, 300 * time.Millisecond, 2 * time.Second, 20 * time.Second} {
		t.Run("handlers of "+each.String(), func(t *testing.T) {
			tell(t, func(w *world) {
				random := rand.New(rand.NewPCG(1, 2))
				w.slow(8 * time.Millisecond)
				w.send(0, 3000)
				var longest time.Duration
				stop := w.run(w.consumer(sluice.Options{Concurrency: 10}), w.handler(func(_ context.Context, batch []*sluice.Message) error {
					w.mu.Lock()
					longest = max(longest, time.Since(batch[0].ReceivedAt))
					some := each/2 + time.Duration(random.Int64N(int64(each)))
					w.mu.Unlock()
					time.Sleep(some)
					return nil
				}))
				time.Sleep(2 * time.Minute)
				require.NoError(w, stop())
				require.LessOrEqual(w, longest, 2500*time.Millisecond, "a second on the average, with uneven handlers")
			})
		})
	}
}

func TestHandlersNeverStarveBesideABacklog(t *testing.T) {
	tell(t, func(w *world) {
		const n, each, at = 5000, 50 * time.Millisecond, 20
		w.slow(8 * time.Millisecond)
		w.send(0, n)
		require.NoError(w, w.consumer(sluice.Options{Concurrency: at}).Drain(w.Context(), w.handler(takes(each))))
		last := w.seen()[n-1].at
		require.Less(w, last, n/at*each*115/100)
		w.eachOnce(n)
	})
}

func TestBytesInFlightAreBounded(t *testing.T) {
	tell(t, func(w *world) {
		for range 100 {
			w.server.Send(w.url, strings.Repeat("x", 1<<20))
		}
		c := w.consumer(sluice.Options{Concurrency: 50, BytesInFlight: 12 << 20})
		most := 0
		stop := w.run(c, w.handler(takes(time.Second)))
		for range 300 {
			time.Sleep(101 * time.Millisecond)
			most = max(most, c.Stats().BytesInFlight)
		}
		require.LessOrEqual(w, most, 12<<20)
		require.GreaterOrEqual(w, most, 10<<20)
		require.NoError(w, stop())
		w.eachOnce(100)
	})
}

func TestReceivesThatFailAreTriedAgainMoreAndMoreSlowly(t *testing.T) {
	for name, fault := range map[string]sqstest.Fault{
		"503":                    {Err: sqstest.Unavailable()},
		"500":                    {Err: sqstest.InternalError()},
		"throttled":              {Err: sqstest.Throttled()},
		"over the limit":         {Err: sqstest.OverLimit()},
		"reset":                  {Err: sqstest.Reset()},
		"credentials over":       {Err: sqstest.ExpiredToken()},
		"something never seen":   {Err: errors.New("a bit has flipped")},
		"an answer that is lost": {Err: sqstest.Reset(), After: true},
	} {
		t.Run(name, func(t *testing.T) {
			tellBoth(t, func(w *world) {
				w.send(0, 100)
				fault.Op, fault.Times = opReceive, patience
				end := w.server.Inject(fault)
				c := w.consumer(sluice.Options{})
				stop := w.run(c, w.handler(nil))
				time.Sleep(time.Hour)
				calls := w.calls(opReceive)
				require.Less(w, calls, 500, "no spin")
				require.Greater(w, calls, 110, "and no silence")
				require.Equal(w, sluice.StateBackingOff, c.Health().State)
				require.Error(w, c.Health().Err)
				end()
				time.Sleep(time.Minute)
				require.Equal(w, 100, w.handled())
				require.Equal(w, sluice.StateReceiving, c.Health().State)
				require.NoError(w, c.Health().Err)
				require.NoError(w, stop())
				require.Empty(w, w.left())
				if !fault.After {
					w.agrees(c)
				}
			})
		})
	}
}

func TestAPermanentErrorOfAReceiveEndsTheRun(t *testing.T) {
	for name, err := range map[string]error{"no such queue": sqstest.NoSuchQueue(), "access denied": sqstest.AccessDenied()} {
		t.Run(name, func(t *testing.T) {
			tellBoth(t, func(w *world) {
				w.send(0, 30)
				c := w.consumer(sluice.Options{BatchSize: 5})
				ended := make(chan error, 1)
				go func() { ended <- c.Run(w.Context(), w.handler(takes(30*time.Second))) }()
				time.Sleep(10 * time.Second)
				w.outage(err, opReceive)
				w.send(30, 20) // ends the receive that is out
				got := <-ended
				require.ErrorContains(w, got, w.url)
				require.Zero(w, c.Stats().InFlight, "what was held was finished")
				require.Equal(w, sluice.StateStopped, c.Health().State)
				require.EqualValues(w, w.handled(), c.Stats().Deleted)
				w.silent()
			})
		})
	}
}

func TestAQueueThatIsDeletedEndsTheRun(t *testing.T) {
	tellBoth(t, func(w *world) {
		w.send(0, 3)
		c := w.consumer(sluice.Options{GiveUpAfter: 5 * time.Second})
		ended := make(chan error, 1)
		go func() { ended <- c.Run(w.Context(), w.handler(takes(10*time.Second))) }()
		time.Sleep(3 * time.Second)
		_, err := w.server.DeleteQueue(w.Context(), &sqs.DeleteQueueInput{QueueUrl: &w.url})
		require.NoError(w, err)
		require.ErrorContains(w, <-ended, "does not exist")
		require.LessOrEqual(w, time.Since(w.began), 35*time.Second, "deletes are tried until the leases end")
		w.silent()
	})
}

func TestAReceiveWhoseAnswerIsLostLosesNoMessage(t *testing.T) {
	tellBoth(t, func(w *world) {
		w.send(0, 100)
		w.server.Inject(sqstest.Fault{Op: opReceive, Err: sqstest.Reset(), After: true, Times: 2})
		c := w.consumer(sluice.Options{})
		stop := w.run(c, w.handler(nil))
		time.Sleep(time.Minute)
		require.NoError(w, stop())
		require.Equal(w, 100, w.handled())
		require.Empty(w, w.left())
		require.EqualValues(w, 2, c.Stats().Errors[opReceive])
		require.Equal(w, 120, w.counts().Deliveries, "no hidden retry has burnt more")
	})
}

func TestAConnectionThatIsDeadDoesNotHangTheConsumer(t *testing.T) {
	tellBoth(t, func(w *world) {
		w.server.Inject(sqstest.Fault{Op: opReceive, Wait: 1000 * time.Hour, Times: 1})
		stop := w.run(w.consumer(sluice.Options{}), w.handler(nil))
		w.send(0, 10)
		time.Sleep(26 * time.Second)
		require.Equal(w, 10, w.handled())
		require.NoError(w, stop())
		w.eachOnce(10)
	})
}

func TestAnswersThatAreNotFullDoNotStopAConsumer(t *testing.T) {
	for name, fault := range map[string]sqstest.Fault{"few at a time": {Max: 3}, "none now and then": {Empty: true, Match: func(c sqstest.Call) bool { return c.N%2 == 0 }}} {
		t.Run(name, func(t *testing.T) {
			tell(t, func(w *world) {
				w.slow(8 * time.Millisecond)
				w.send(0, 2000)
				fault.Op = opReceive
				w.server.Inject(fault)
				stop := w.run(w.consumer(sluice.Options{Concurrency: 50}), w.handler(takes(5*time.Millisecond)))
				time.Sleep(30 * time.Second)
				require.NoError(w, stop())
				w.eachOnce(2000)
			})
		})
	}
}

func TestWrongDigestsLoseNoMessage(t *testing.T) {
	tell(t, func(w *world) {
		w.client = w.server.Client()
		w.send(0, 30)
		w.server.Inject(sqstest.Fault{Op: opReceive, WrongMD5: true, Times: 2})
		c := w.consumer(sluice.Options{})
		stop := w.run(c, w.handler(nil))
		time.Sleep(time.Minute)
		require.NoError(w, stop())
		require.Equal(w, 30, w.handled())
		require.Empty(w, w.left())
		require.EqualValues(w, 2, c.Stats().Errors[opReceive])
	})
}

func TestAnOutageOfAnHourIsSurvived(t *testing.T) {
	for name, opts := range map[string]sluice.Options{
		"events":  {Concurrency: 50},
		"batches": {Concurrency: 4, BatchSize: 100, WaitTime: 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			tellBoth(t, func(w *world) {
				w.slow(8 * time.Millisecond)
				w.send(0, 2000)
				c := w.consumer(opts)
				stop := w.run(c, w.handler(takes(time.Second)))
				time.Sleep(3 * time.Second)
				end := w.outage(sqstest.Unavailable())
				time.Sleep(31 * time.Second) // the leases of those that were held end
				before := w.all()
				time.Sleep(time.Hour - 31*time.Second)
				require.Less(w, w.all()-before, 500, "calls in an hour")
				end()
				lost := c.Stats().Unsettled + c.Stats().LeasesLost
				again := time.Now()
				for len(w.left()) > 0 {
					time.Sleep(time.Second)
					require.Less(w, time.Since(again), 60*time.Second+2000*time.Second/time.Duration(opts.Concurrency*max(1, opts.BatchSize)))
				}
				require.NoError(w, stop())
				require.LessOrEqual(w, w.handled(), 2000+int(lost), "twice only where a lease has ended")
				w.agrees(c)
			})
		})
	}
}

func TestARollingStopRedeliversNothing(t *testing.T) {
	for name, opts := range map[string]sluice.Options{
		"events":  {Concurrency: 16},
		"batches": {Concurrency: 2, BatchSize: 50, WaitTime: 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			tell(t, func(w *world) {
				w.slow(8 * time.Millisecond)
				w.send(0, 5000)
				var cs []*sluice.Consumer
				var stops []func() error
				for range 3 {
					c := w.consumer(opts)
					cs = append(cs, c)
					stops = append(stops, w.run(c, w.handler(takes(50*time.Millisecond))))
				}
				go w.trickle(100, time.Minute)
				for range 6 {
					time.Sleep(3*time.Second + 137*time.Millisecond)
					require.NoError(w, stops[0]())
					c := w.consumer(opts)
					cs = append(cs, c)
					stops = append(stops[1:], w.run(c, w.handler(takes(50*time.Millisecond))))
				}
				time.Sleep(2 * time.Minute)
				for _, stop := range stops {
					require.NoError(w, stop())
				}
				w.eachOnce(w.counts().Sent)
				w.agrees(cs...)
			})
		})
	}
}

func TestTheReceiveLoopNeverFallsSilent(t *testing.T) {
	tell(t, func(w *world) {
		faults := []sqstest.Fault{
			{Op: opReceive, Err: sqstest.Unavailable(), Times: 7},
			{Op: opReceive, Wait: time.Hour, Times: 2},
			{Op: opReceive, Err: errors.New("?"), Times: 1},
			{Op: opReceive, Empty: true, Times: 5},
			{Op: opReceive, Lag: 40 * time.Second, Times: 2},
			{Op: opReceive, Err: sqstest.Throttled(), Times: 20},
		}
		e := w.watch()
		stop := w.run(w.consumer(sluice.Options{BatchSize: 10}), w.handler(nil))
		for i := range 60 {
			w.server.Inject(faults[i%len(faults)])
			w.send(10*i, 10)
			time.Sleep(time.Minute)
		}
		time.Sleep(5 * time.Minute)
		require.NoError(w, stop())
		at := e.calls(opReceive)
		for i := range at[1:] {
			require.LessOrEqual(w, at[i+1].Sub(at[i]), 55*time.Second, "a call's time and a back-off")
		}
		require.Empty(w, w.left())
	})
}

func TestAConsumerThatFallsBehindSaysSo(t *testing.T) {
	for name, opts := range map[string]sluice.Options{"events": {}, "batches": {BatchSize: 10}} {
		t.Run(name, func(t *testing.T) {
			tell(t, func(w *world) {
				w.slow(8 * time.Millisecond)
				c := w.consumer(opts)
				stop := w.run(c, w.handler(takes(time.Duration(max(1, opts.BatchSize))*time.Second)))
				n := w.trickle(50, 5*time.Minute) // ten a second are handled
				s := c.Stats()
				require.Equal(w, sluice.StateBehind, c.Health().State)
				require.Greater(w, s.Lag, time.Minute)
				require.Equal(w, 10, s.Handlers, "the handlers are at their bound")
				time.Sleep(25 * time.Minute)
				require.Equal(w, n, w.handled())
				s = c.Stats()
				require.Equal(w, sluice.StateReceiving, c.Health().State)
				require.Zero(w, s.Lag)
				require.LessOrEqual(w, s.Receives, s.ReceivesMost)
				require.Equal(w, 1, s.ReceivesMost, "an idle queue needs one")
				require.NoError(w, stop())
				require.Zero(w, c.Stats().Receives)
			})
		})
	}
}
