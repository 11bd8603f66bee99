package stories_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

func TestNothingOfAGroupGoesOnUnderLeasesThatTheHandlerTimeoutEnded(t *testing.T) {
	for _, on := range []sluice.GroupFailure{sluice.GroupRetryInPlace, sluice.GroupRelease, sluice.GroupSkip} {
		t.Run(fmt.Sprint(on), func(t *testing.T) {
			tell(t, func(w *world) {
				w.groups()
				w.slow(8 * time.Millisecond)
				for i := range 3 {
					w.sendGroup("a", fmt.Sprintf("a %d", i))
				}
				calls := 0
				c := w.consumer(sluice.Options{BatchSize: 3, OnGroupFailure: on, HandlerTimeout: 2 * time.Minute})
				stop := w.run(c, func(ctx context.Context, batch []*sluice.Message) error {
					calls++
					if calls == 1 {
						<-ctx.Done()
						return context.Cause(ctx)
					}
					err := heeds(time.Minute)(ctx, batch)
					require.NoError(w, err)
					return err
				})
				time.Sleep(time.Hour)
				require.NoError(w, stop())
				require.Zero(w, c.Stats().LeasesLost)
				require.Empty(w, w.server.Messages("orders.fifo"))
			})
		})
	}
}

func TestAFIFORunThatWasInterruptedReportsIt(t *testing.T) {
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprintf("messages in each group: %d", n), func(t *testing.T) {
			tell(t, func(w *world) {
				w.groups()
				for g := range 2 {
					for i := range n {
						w.sendGroup(fmt.Sprint(g), fmt.Sprintf("%d %d", g, i))
					}
				}
				c := w.consumer(sluice.Options{PollTime: time.Second, ShutdownTimeout: 5 * time.Second})
				stop := w.run(c, heeds(time.Hour))
				time.Sleep(time.Second)
				var report *sluice.ShutdownError
				require.ErrorAs(w, stop(), &report)
				require.Equal(w, sluice.ShutdownError{GivenBack: 2 * n}, *report)
			})
		})
	}
}

func TestADelayThatAHandlerAskedForIsKeptAtTheShutdownTimeout(t *testing.T) {
	tell(t, func(w *world) {
		w.groups()
		w.sendGroup("a", "a 0")
		c := w.consumer(sluice.Options{PollTime: time.Second, ShutdownTimeout: 5 * time.Second})
		stop := w.run(c, func(ctx context.Context, _ []*sluice.Message) error {
			<-ctx.Done()
			return sluice.RetryAfter(time.Hour, errBad)
		})
		time.Sleep(time.Second)
		_ = stop()
		left := w.server.Messages("orders.fifo")
		require.Len(w, left, 1)
		require.Equal(w, sqstest.InFlight, left[0].State)
		require.Greater(w, time.Until(left[0].Until), 59*time.Minute)
	})
}

func TestWhatWasNotHandledIsNotDiscarded(t *testing.T) {
	tell(t, func(w *world) {
		w.groups()
		for i := range 3 {
			w.sendGroup("a", fmt.Sprintf("a %d", i))
		}
		var seen []string
		each := sluice.Each(func(_ context.Context, m *sluice.Message) error {
			seen = append(seen, m.Body)
			return errBad
		})
		stop := w.run(w.consumer(sluice.Options{BatchSize: 3}), func(ctx context.Context, batch []*sluice.Message) error {
			return sluice.Discard(each(ctx, batch)) // all that fails is dropped
		})
		time.Sleep(time.Minute)
		require.NoError(w, stop())
		slices.Sort(seen)
		require.Equal(w, []string{"a 0", "a 1", "a 2"}, seen)
		require.Empty(w, w.server.Messages("orders.fifo"))
	})
}

func TestALimitThatWasNotTheFirstToEndACallEndsItsLeasesAllTheSame(t *testing.T) {
	tell(t, func(w *world) {
		w.groups()
		w.slow(8 * time.Millisecond)
		w.sendGroup("a", "a")
		w.sendGroup("b", "b")
		calls := 0
		c := w.consumer(sluice.Options{BatchSize: 2, HandlerTimeout: time.Minute, RetryDelay: func(*sluice.Message, error) time.Duration { return time.Second }})
		stop := w.run(c, func(ctx context.Context, batch []*sluice.Message) error {
			calls++
			if calls > 1 {
				time.Sleep(40 * time.Second)
				return context.Cause(ctx)
			}
			_, err := w.server.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &w.url, ReceiptHandle: &batch[0].ReceiptHandle})
			require.NoError(w, err)
			time.Sleep(70 * time.Second) // the loss of the first ends the context, not the limit
			return errBad
		})
		time.Sleep(time.Hour)
		require.NoError(w, stop())
		require.EqualValues(w, 1, c.Stats().LeasesLost)
	})
}

func TestAHandlerThatFailsInTheInstantOfTheLimitIsNotTriedAgainUnderAnEndedLease(t *testing.T) {
	for range 20 {
		tell(t, func(w *world) {
			w.groups()
			for i := range 20 {
				w.sendGroup(fmt.Sprint(i), "x")
			}
			var calls atomic.Int64
			c := w.consumer(sluice.Options{Concurrency: 20, HandlerTimeout: time.Minute, RetryDelay: func(*sluice.Message, error) time.Duration { return time.Second }})
			stop := w.run(c, func(context.Context, []*sluice.Message) error {
				if calls.Add(1) <= 20 {
					time.Sleep(time.Minute)
					return errBad
				}
				time.Sleep(40 * time.Second)
				return nil
			})
			time.Sleep(time.Hour)
			require.NoError(w, stop())
			require.Zero(w, c.Stats().LeasesLost)
		})
	}
}

func TestAStopDoesNotWaitForANextTryBehindADeleteThatIsOnItsWay(t *testing.T) {
	tell(t, func(w *world) {
		w.groups()
		for i := range 3 {
			w.sendGroup("a", fmt.Sprintf("a %d", i))
		}
		w.server.Inject(sqstest.Fault{Op: opDelete, Wait: 5 * time.Second})
		c := w.consumer(sluice.Options{BatchSize: 3, PollTime: time.Second, RetryDelay: func(*sluice.Message, error) time.Duration { return 20 * time.Second }})
		stop := w.run(c, w.handler(func(_ context.Context, batch []*sluice.Message) error {
			return sluice.Failed(batch[1], errBad)
		}))
		w.after(2 * time.Second)
		require.NoError(w, stop())
		require.Less(w, time.Since(w.began), 6*time.Second)
		require.Len(w, w.seen(), 1)
		require.Len(w, w.server.Messages("orders.fifo"), 2)
	})
}

func TestNothingBehindAMessageThatCannotBeBuriedIsDeletedBeforeItIsBuried(t *testing.T) {
	tell(t, func(w *world) {
		const answer = time.Second // that a dead letter's takes
		w.groups()
		for _, body := range []string{"a 0", "a 1", "a 2"} {
			w.sendGroup("a", body)
		}
		dead := w.server.MustCreateQueue("dead", nil)
		w.server.Inject(sqstest.Fault{Op: opSend, Queue: "dead", Times: 1, Err: &smithy.GenericAPIError{Code: "AccessDenied"}})
		w.server.Inject(sqstest.Fault{Op: opSend, Queue: "dead", Lag: answer})
		e := w.watch()
		c := w.consumer(sluice.Options{BatchSize: 3, DeadLetterQueueURL: dead})
		stop := w.run(c, w.handler(func(_ context.Context, batch []*sluice.Message) error {
			return sluice.Failed(batch[0], sluice.DeadLetter(errBad))
		}))
		time.Sleep(10 * time.Minute)
		require.NoError(w, stop())
		require.Empty(w, w.server.Messages("orders.fifo"))
		buried, deleted := e.of(sqstest.Sent), e.of(sqstest.Deleted)
		require.Len(w, buried, 1)
		require.Len(w, deleted, 3)
		for _, event := range deleted {
			require.GreaterOrEqual(w, event.Time.Sub(buried[0].Time), answer)
		}
	})
}

func TestWhatComesBehindADeadLetterIsNotHandledBeforeAMessageThatIsBack(t *testing.T) {
	for name, story := range map[string]struct {
		fault sqstest.Fault
		back  time.Duration // when the message is visible again, after which its delete had no effect
	}{
		"received while the dead letter is sent": {sqstest.Fault{Op: opDelete, NoEffect: true, Times: 1}, time.Second},
		"refused while the dead letter is sent": {sqstest.Fault{
			Op: opDelete, Entries: func(int) bool { return true }, Err: sqstest.InvalidReceiptHandle("a 0"), Times: 1,
		}, 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			tell(t, func(w *world) {
				w.groups()
				dead := w.server.MustCreateQueue("dead.fifo", map[string]string{"FifoQueue": "true"})
				for i := range 4 {
					w.sendGroup("a", fmt.Sprintf("a %d", i))
				}
				w.server.Inject(story.fault)
				w.server.Inject(sqstest.Fault{Op: opSend, Wait: 5 * time.Second, Times: 1})
				tries := &tries{world: w}
				c := w.consumer(sluice.Options{BatchSize: 4, PollTime: time.Second, DeadLetterQueueURL: dead})
				stop := w.run(c, sluice.Each(func(_ context.Context, m *sluice.Message) error {
					tries.note(m)
					if m.Body == "a 1" {
						return sluice.DeadLetter(errBad)
					}
					return nil
				}))
				time.Sleep(story.back)
				first := w.server.Messages("orders.fifo")[0]
				require.True(w, w.server.ExpireLease(w.url, first.ID))
				time.Sleep(10 * time.Minute)
				require.NoError(w, stop())
				require.Equal(w, []string{"a 0", "a 1", "a 0", "a 2", "a 3"}, tries.bodies())
				require.Empty(w, w.server.Messages("orders.fifo"))
				require.Len(w, w.server.Messages("dead.fifo"), 1)
			})
		})
	}
}

func TestWhatHasSucceededBehindADeadLetterIsNotHandledAgainBecauseItsDeleteIsRefused(t *testing.T) {
	tell(t, func(w *world) {
		w.groups()
		dead := w.server.MustCreateQueue("dead.fifo", map[string]string{"FifoQueue": "true"})
		for i := range 3 {
			w.sendGroup("a", fmt.Sprintf("a %d", i))
		}
		w.server.Inject(sqstest.Fault{Op: opSend, Wait: 5 * time.Second, Times: 1})
		tries := &tries{world: w}
		c := w.consumer(sluice.Options{BatchSize: 3, PollTime: time.Second, DeadLetterQueueURL: dead})
		stop := w.run(c, func(_ context.Context, batch []*sluice.Message) error {
			for _, m := range batch {
				tries.note(m)
			}
			if batch[0].Body == "a 0" {
				return sluice.Failed(batch[0], sluice.DeadLetter(errBad))
			}
			return nil
		})
		time.Sleep(time.Second)
		c.Pause()
		time.Sleep(2 * time.Second)
		require.True(w, w.server.ExpireLease(w.url, w.server.Messages("orders.fifo")[0].ID))
		time.Sleep(10 * time.Second)
		c.Resume()
		time.Sleep(10 * time.Minute)
		require.NoError(w, stop())
		require.Len(w, tries.of("a 0"), 2)
		require.Len(w, tries.of("a 1"), 1)
		require.Len(w, tries.of("a 2"), 1)
		require.Empty(w, w.server.Messages("orders.fifo"))
	})
}

func TestAGroupIsFreeWhenTheLeaseOfItsHeadIsLostAndItsHandlerHangs(t *testing.T) {
	tell(t, func(w *world) {
		w.groups()
		for i := range 3 {
			w.sendGroup("a", fmt.Sprintf("a %d", i))
		}
		hang := make(chan struct{})
		first := w.consumer(sluice.Options{VisibilityTimeout: 10 * time.Second, HandlerTimeout: 20 * time.Second, PollTime: time.Second, ShutdownTimeout: time.Second})
		stop := w.run(first, func(context.Context, []*sluice.Message) error {
			<-hang
			return nil
		})
		time.Sleep(10 * time.Minute)
		require.Less(w, w.server.Stats().Queues["orders.fifo"].Deliveries, 500, "what it receives of the group meanwhile is not given back at once")
		first.Pause()
		tries := &tries{world: w}
		stopSecond := w.run(w.consumer(sluice.Options{PollTime: time.Second}), func(_ context.Context, batch []*sluice.Message) error {
			tries.note(batch[0])
			return nil
		})
		time.Sleep(time.Minute)
		require.Equal(w, []string{"a 0", "a 1", "a 2"}, tries.bodies())
		require.Empty(w, w.server.Messages("orders.fifo"))
		close(hang)
		_ = stop()
		require.NoError(w, stopSecond())
	})
}

func TestWhatIsBehindAFailureIsGivenBackAtTheShutdownTimeout(t *testing.T) {
	for _, on := range []sluice.GroupFailure{sluice.GroupRetryInPlace, sluice.GroupRelease, sluice.GroupSkip} {
		t.Run(fmt.Sprint(on), func(t *testing.T) {
			tell(t, func(w *world) {
				w.groups()
				for i := range 3 {
					w.sendGroup("a", fmt.Sprintf("a %d", i))
				}
				c := w.consumer(sluice.Options{BatchSize: 3, OnGroupFailure: on, PollTime: time.Second, ShutdownTimeout: 5 * time.Second})
				stop := w.run(c, func(ctx context.Context, _ []*sluice.Message) error {
					<-ctx.Done()
					return sluice.RetryAfter(time.Second, errBad)
				})
				time.Sleep(3 * time.Second)
				began := time.Now()
				var report *sluice.ShutdownError
				require.ErrorAs(w, stop(), &report)
				require.Equal(w, sluice.ShutdownError{Finished: 1, GivenBack: 2}, *report)
				require.Less(w, time.Since(began), 6*time.Second)
			})
		})
	}
}

func TestAGroupThatWaitsForASaferLeaseIsHandledBeforeTheRunEnds(t *testing.T) {
	for name, most := range map[string]int{"by a stop": 0, "by its bound": 2} {
		t.Run(name, func(t *testing.T) {
			tell(t, func(w *world) {
				w.groups()
				for i := range 2 {
					w.sendGroup(fmt.Sprint(i), fmt.Sprintf("%d 0", i))
				}
				w.server.Inject(sqstest.Fault{Op: opReceive, Lag: 5600 * time.Millisecond, Max: 1 + most%2, Times: 1}) // of a lease of 6 s
				w.server.Inject(sqstest.Fault{Op: opChange, Lag: 50 * time.Millisecond})
				c := w.consumer(sluice.Options{VisibilityTimeout: 6 * time.Second, PollTime: 4 * time.Second, MaxMessages: most})
				tries := &tries{world: w}
				stop := w.run(c, func(_ context.Context, batch []*sluice.Message) error {
					tries.note(batch[0])
					return nil
				})
				time.Sleep(5650 * time.Millisecond)
				if most > 0 {
					time.Sleep(time.Minute)
				}
				require.NoError(w, stop())
				require.NotEmpty(w, tries.of("0 0"))
				require.Zero(w, c.Stats().GivenBack)
				require.Len(w, tries.bodies(), int(c.Stats().Received))
			})
		})
	}
}

func TestAFollowerOfALostMessageIsReportedAsGivenBack(t *testing.T) {
	tell(t, func(w *world) {
		w.groups()
		for i := range 3 {
			w.sendGroup("a", fmt.Sprintf("a %d", i))
		}
		c := w.consumer(sluice.Options{PollTime: time.Second, ShutdownTimeout: 40 * time.Second})
		stop := w.run(c, heeds(time.Hour))
		time.Sleep(time.Second)
		time.AfterFunc(1500*time.Millisecond, func() { w.server.ExpireLease(w.url, w.server.Messages("orders.fifo")[0].ID) }) // no receive is out any more
		var report *sluice.ShutdownError
		require.ErrorAs(w, stop(), &report)
		require.Equal(w, sluice.ShutdownError{GivenBack: 2, Abandoned: 1}, *report)
	})
}
