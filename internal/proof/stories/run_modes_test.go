package stories_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
)

func TestDrainEndsWhenTheQueueIsEmpty(t *testing.T) {
	for _, size := range []int{1, 7, 1000} {
		tellBoth(t, func(w *world) {
			w.send(0, 123)
			c := w.consumer(sluice.Options{BatchSize: size, WaitTime: time.Hour})
			require.NoError(w, c.Drain(w.Context(), w.handler(takes(time.Second))))
			require.Less(w, time.Since(w.began), 30*time.Second)
			w.eachOnce(123)
			w.agrees(c)
			w.adds(c)
			w.silent()
		})
	}
}

func TestDrainOfAnEmptyQueueIsShort(t *testing.T) {
	tellBoth(t, func(w *world) {
		require.NoError(w, w.consumer(sluice.Options{}).Drain(w.Context(), w.handler(nil)))
		require.LessOrEqual(w, time.Since(w.began), 2*time.Second)
		require.Equal(w, 2, w.all(), "the second one confirms the first")
	})
}

func TestDrainHandlesWhatIsSentMeanwhile(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 5)
		sent := 5
		c := w.consumer(sluice.Options{})
		require.NoError(w, c.Drain(w.Context(), w.handler(func(context.Context, []*sluice.Message) error {
			time.Sleep(time.Second)
			w.mu.Lock()
			first := sent
			sent++
			w.mu.Unlock()
			if first < 50 {
				w.send(first, 1)
			}
			return nil
		})))
		w.eachOnce(50)
	})
}

func TestDrainDoesNotWaitForDelayedAndFailedMessages(t *testing.T) {
	tell(t, func(w *world) {
		_, err := w.server.SendMessage(w.Context(), &sqs.SendMessageInput{QueueUrl: &w.url, MessageBody: new("later"), DelaySeconds: 600})
		require.NoError(w, err)
		w.send(0, 3)
		require.NoError(w, w.consumer(sluice.Options{}).Drain(w.Context(), w.handler(fails(errBad))))
		require.Less(w, time.Since(w.began), 10*time.Second)
		require.Equal(w, 3, w.handled())
		require.Len(w, w.left(), 4)
	})
}

func TestDrainIsPatientWithSlowHandlers(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 3)
		require.NoError(w, w.consumer(sluice.Options{}).Drain(w.Context(), w.handler(takes(3*time.Hour))))
		w.eachOnce(3)
	})
}

func TestARunEndsAfterItsMessages(t *testing.T) {
	for _, opts := range []sluice.Options{{MaxMessages: 1}, {MaxMessages: 37}, {MaxMessages: 100, BatchSize: 30, WaitTime: time.Hour}, {MaxMessages: 500, Concurrency: 100}} {
		tellBoth(t, func(w *world) {
			w.send(0, 1000)
			w.slow(8 * time.Millisecond)
			c := w.consumer(opts)
			require.NoError(w, c.Run(w.Context(), w.handler(takes(10*time.Millisecond))))
			require.Equal(w, opts.MaxMessages, w.handled())
			require.Equal(w, opts.MaxMessages, w.counts().Deliveries)
			require.Equal(w, opts.MaxMessages, w.counts().Deleted)
			require.Less(w, time.Since(w.began), 10*time.Second)
			w.silent()
			require.NoError(w, c.Run(w.Context(), w.handler(nil)), "the bound is of one run")
			require.Equal(w, 2*opts.MaxMessages, w.counts().Deleted)
			w.agrees(c)
			w.adds(c)
		})
	}
}

func TestARunEndsAfterItsTime(t *testing.T) {
	tellBoth(t, func(w *world) {
		c := w.consumer(sluice.Options{MaxDuration: time.Minute, PollTime: time.Second})
		go w.trickle(10, 2*time.Minute)
		require.NoError(w, c.Run(w.Context(), w.handler(nil)))
		require.InDelta(w, time.Minute, time.Since(w.began), float64(1100*time.Millisecond))
		require.Equal(w, w.handled(), w.counts().Deleted)
		time.Sleep(2 * time.Minute)
		require.NoError(w, c.Run(w.Context(), w.handler(nil)), "the time is of one run")
		w.eachOnce(w.counts().Sent)
	})
}

func TestAHandlerMayGoOnAfterTheTimeOfItsRun(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 1)
		c := w.consumer(sluice.Options{MaxDuration: 10 * time.Second, PollTime: time.Second})
		require.NoError(w, c.Run(w.Context(), w.handler(heeds(30*time.Second))))
		w.eachOnce(1)
	})
}

func TestTwoRunsOfOneConsumerAreAnError(t *testing.T) {
	tell(t, func(w *world) {
		c := w.consumer(sluice.Options{PollTime: time.Second})
		stop := w.run(c, w.handler(nil))
		synctest.Wait()
		require.Equal(w, sluice.ErrRunning, c.Run(w.Context(), w.handler(nil)))
		require.Equal(w, sluice.ErrRunning, c.Drain(w.Context(), w.handler(nil)))
		require.NoError(w, stop())
		w.send(0, 5)
		require.NoError(w, c.Drain(w.Context(), w.handler(nil)), "one after the other is none")
		stop = w.run(c, w.handler(nil))
		w.send(5, 5)
		time.Sleep(time.Second)
		require.NoError(w, stop())
		w.eachOnce(10)
		w.agrees(c)
	})
}

func TestAHandlerThatIsNilIsAnErrorAtOnce(t *testing.T) {
	tell(t, func(w *world) {
		c := w.consumer(sluice.Options{})
		for _, h := range []sluice.Handler{nil, sluice.Each(nil), sluice.JSON[int](nil), sluice.BatchJSON[int](nil)} {
			require.ErrorContains(w, c.Run(w.Context(), h), "handler is nil")
			require.ErrorContains(w, c.Drain(w.Context(), h), "handler is nil")
		}
		require.Zero(w, w.all())
	})
}

func TestAPausedConsumerReceivesNothing(t *testing.T) {
	tellBoth(t, func(w *world) {
		c := w.consumer(sluice.Options{})
		c.Pause() // before the run
		w.send(0, 5)
		stop := w.run(c, w.handler(takes(time.Second)))
		time.Sleep(time.Hour)
		require.Zero(w, w.all())
		require.Equal(w, sluice.StatePaused, c.Health().State)
		c.Resume()
		time.Sleep(2 * time.Second)
		require.Equal(w, 5, w.handled())
		require.Equal(w, sluice.StateReceiving, c.Health().State)

		c.Pause()
		time.Sleep(30 * time.Second) // the receive that is out ends
		calls := w.calls(opReceive)
		w.send(5, 5)
		time.Sleep(time.Hour)
		require.Equal(w, calls, w.calls(opReceive))
		c.Resume()
		c.Resume()
		synctest.Wait()
		require.Equal(w, 10, w.handled())
		time.Sleep(2 * time.Second)
		require.NoError(w, stop())
		w.eachOnce(10)
	})
}

func TestAPausedConsumerFinishesWhatItHoldsAndCanBeStopped(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 30)
		c := w.consumer(sluice.Options{Concurrency: 2, BatchSize: 4})
		stop := w.run(c, w.handler(func(context.Context, []*sluice.Message) error {
			c.Pause()
			time.Sleep(time.Minute)
			return nil
		}))
		time.Sleep(10 * time.Minute)
		require.Equal(w, w.handled(), w.counts().Deleted)
		require.Zero(w, c.Stats().InFlight)
		require.NoError(w, stop())
		require.Equal(w, w.counts().Deliveries, w.counts().Deleted)
	})
}

func TestHealthTellsTheStatesOfARun(t *testing.T) {
	tell(t, func(w *world) {
		c := w.consumer(sluice.Options{Concurrency: 1})
		require.Equal(w, sluice.Health{State: sluice.StateStopped}, c.Health())
		stop := w.run(c, w.handler(heeds(time.Minute)))
		synctest.Wait()
		require.Equal(w, sluice.Health{State: sluice.StateReceiving, Since: w.began}, c.Health())
		time.Sleep(time.Second)
		w.send(0, 2)
		synctest.Wait()
		require.Equal(w, sluice.Health{State: sluice.StateWaiting, Since: w.began.Add(time.Second)}, c.Health())
		require.Equal(w, w.began.Add(time.Second).UnixNano(), c.Stats().OldestHandler.UnixNano())
		require.Equal(w, w.began.Add(time.Second).UnixNano(), c.Stats().LastReceive.UnixNano())
		go func() { _ = stop() }()
		synctest.Wait()
		require.Equal(w, sluice.StateStopping, c.Health().State)
		_ = stop()
		require.Equal(w, sluice.StateStopped, c.Health().State)
	})
}
