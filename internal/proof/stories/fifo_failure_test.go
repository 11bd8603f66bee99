package stories_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

// Nobody has looked at a message behind a dead letter when the call's time is over, so
// it has not failed.
func TestEachEndsAGroupOnceAlsoWhenItsTimeIsOver(t *testing.T) {
	tellBoth(t, func(w *world) {
		w.groups()
		for _, body := range []string{"a 0", "a 1", "b 0", "b 1"} {
			w.sendGroup(body[:1], body)
		}
		c := w.consumer(sluice.Options{BatchSize: 4, HandlerTimeout: time.Second, DeadLetterQueueURL: w.server.MustCreateQueue("dead.fifo", map[string]string{"FifoQueue": "true"})})
		seen := &tries{world: w}
		stop := w.run(c, sluice.Each(func(ctx context.Context, m *sluice.Message) error {
			seen.note(m)
			if len(seen.bodies()) > 1 {
				return nil
			}
			<-ctx.Done()
			return sluice.DeadLetter(errBad)
		}))
		time.Sleep(2 * time.Second)
		require.EqualValues(w, 2, c.Stats().Failed, "a 0, and b 0, for which there was no time")
		time.Sleep(5 * time.Minute)
		require.NoError(w, stop())
		require.Equal(w, []string{"a 0", "a 1", "b 0", "b 1"}, slices.Compact(seen.bodies()))
	})
}

func TestWhatStandsBehindAFailedMessageOfABatchCountsAsNotHandled(t *testing.T) {
	tellBoth(t, func(w *world) {
		w.groups()
		for _, body := range []string{"a 0", "a 1", "a 2", "a 3", "b 0", "b 1"} {
			w.sendGroup(body[:1], body)
		}
		seen := &tries{world: w}
		c := w.consumer(sluice.Options{BatchSize: 10})
		stop := w.run(c, func(_ context.Context, batch []*sluice.Message) error {
			failed := error(nil)
			for _, m := range batch {
				seen.note(m)
				if m.Body == "a 1" && len(seen.of("a 1")) == 1 {
					failed = sluice.Failed(m, sluice.RetryAfter(5*time.Second, errBad)) // and not a word of those behind it
				}
			}
			return failed
		})
		time.Sleep(4 * time.Second)
		require.EqualValues(w, 3, c.Stats().Succeeded, "what was said of a 2 and a 3 does not count")
		require.EqualValues(w, 1, c.Stats().Failed, "nor have they failed")
		require.EqualValues(w, 3, c.Stats().Deleted)
		time.Sleep(26 * time.Second)
		require.NoError(w, stop())
		require.Equal(w, []string{"a 0", "a 1", "a 2", "a 3", "b 0", "b 1", "a 1", "a 2", "a 3"}, seen.bodies())
		for _, one := range seen.of("a 3") {
			require.Equal(w, 1, one.count, "the head alone has failed")
		}
		require.Empty(w, w.server.Messages("orders.fifo"))
	})
}

func TestAHeadIsTriedInPlaceForATimeAndACountAndThenItsGroupIsGivenBack(t *testing.T) {
	for name, opts := range map[string]sluice.Options{
		"three times":      {InPlaceTries: 3, InPlaceTime: time.Hour},
		"for half an hour": {InPlaceTime: 25 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			tellBoth(t, func(w *world) {
				w.groups()
				w.sendGroup("a", "a 0")
				w.sendGroup("a", "a 1")
				seen := &tries{world: w}
				stop := w.run(w.consumer(opts), func(_ context.Context, batch []*sluice.Message) error {
					seen.note(batch[0])
					if batch[0].Body == "a 0" && batch[0].ReceiveCount < 3 {
						return sluice.RetryAfter(10*time.Minute, errBad)
					}
					return nil
				})
				time.Sleep(2 * time.Hour)
				require.NoError(w, stop())
				for i, one := range seen.of("a 0") {
					require.Equal(w, 1+i/3, one.count, "received again after each three tries")
					require.InDelta(w, time.Duration(i)*10*time.Minute, one.at, float64(2*time.Second))
				}
				require.Equal(w, []string{"a 0", "a 0", "a 0", "a 0", "a 0", "a 0", "a 0", "a 1"}, seen.bodies())
				require.Empty(w, w.server.Messages("orders.fifo"))
			})
		})
	}
}

func TestWhatAFailedHeadCostsItsFollowersIsTheOptionsChoice(t *testing.T) {
	for how, want := range map[sluice.GroupFailure]struct {
		order []string
		count int // of the follower
	}{
		sluice.GroupRetryInPlace: {[]string{"a 0", "a 0", "a 0", "a 1"}, 1},
		sluice.GroupRelease:      {[]string{"a 0", "a 0", "a 0", "a 1"}, 3},
		sluice.GroupSkip:         {[]string{"a 0", "a 1", "a 0", "a 0"}, 1},
	} {
		tellBoth(t, func(w *world) {
			w.groups()
			w.sendGroup("a", "a 0")
			w.sendGroup("a", "a 1")
			seen := &tries{world: w}
			stop := w.run(w.consumer(sluice.Options{OnGroupFailure: how}), func(_ context.Context, batch []*sluice.Message) error {
				seen.note(batch[0])
				if batch[0].Body == "a 0" && len(seen.of("a 0")) < 3 {
					return sluice.RetryAfter(time.Minute, errBad)
				}
				return nil
			})
			time.Sleep(10 * time.Minute)
			require.NoError(w, stop())
			require.Equal(w, want.order, seen.bodies())
			require.Equal(w, want.count, seen.of("a 1")[0].count)
			require.Empty(w, w.server.Messages("orders.fifo"))
		})
	}
}

func TestAHeadThatNeverSucceedsEndsInTheDeadLetterQueueAndItsGroupGoesOn(t *testing.T) {
	tell(t, func(w *world) {
		dead := w.server.MustCreateQueue("dead.fifo", map[string]string{"FifoQueue": "true"})
		w.url = w.server.MustCreateQueue("orders.fifo", map[string]string{
			"FifoQueue": "true", "ContentBasedDeduplication": "true",
			"RedrivePolicy": `{"maxReceiveCount":"3","deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead.fifo"}`,
		})
		w.sendGroup("a", "a 0")
		seen := &tries{world: w}
		stop := w.run(w.consumer(sluice.Options{InPlaceTries: 4}), func(_ context.Context, batch []*sluice.Message) error {
			seen.note(batch[0])
			if batch[0].Body == "a 0" {
				return sluice.RetryAfter(time.Minute, errBad)
			}
			return nil
		})
		time.Sleep(10*time.Minute + 30*time.Second) // it is held for the third time: each one adds four tries
		w.sendGroup("a", "a 1")
		time.Sleep(10 * time.Minute)
		require.NoError(w, stop())
		require.Len(w, seen.of("a 0"), 3*4)
		require.Len(w, seen.of("a 1"), 1)
		require.Greater(w, seen.of("a 1")[0].at, seen.of("a 0")[11].at, "not before the head was out of its way")
		require.Empty(w, w.server.Messages("orders.fifo"))
		require.Len(w, w.server.Messages(dead), 1)
	})
}

func TestAReceiveIsRepeatedUnderItsIDOnlyWhenItsAnswerMayHaveBeenLost(t *testing.T) {
	for name, tt := range map[string]struct {
		fault sqstest.Fault
		same  bool
	}{
		"no answer":              {sqstest.Fault{Err: sqstest.Reset()}, true},
		"an answer that is lost": {sqstest.Fault{Err: sqstest.Reset(), After: true}, true},
		"unavailable":            {sqstest.Fault{Err: sqstest.Unavailable()}, true},
		"a call that hangs":      {sqstest.Fault{Wait: time.Hour}, true},
		"throttled":              {sqstest.Fault{Err: sqstest.Throttled()}, false},
		"credentials over":       {sqstest.Fault{Err: sqstest.ExpiredToken()}, false},
		"an answer with nothing": {sqstest.Fault{Empty: true}, false},
		"an answer of a message": {sqstest.Fault{Max: 1}, false},
	} {
		t.Run(name, func(t *testing.T) {
			tellBoth(t, func(w *world) {
				w.groups()
				w.sendGroup("a", "a 0")
				w.sendGroup("b", "b 0")
				tt.fault.Op, tt.fault.Times = opReceive, 1
				w.server.Inject(tt.fault)
				e := w.watch()
				stop := w.run(w.consumer(sluice.Options{}), w.handler(nil))
				time.Sleep(time.Minute)
				require.NoError(w, stop())
				require.Equal(w, 2, w.handled())
				ids := e.attempts()
				require.NotContains(w, ids, "", "each receive has one")
				require.Equal(w, tt.same, ids[0] == ids[1])
				slices.Sort(ids)
				distinct := len(slices.Compact(slices.Clone(ids)))
				if tt.same {
					distinct++
				}
				require.Len(w, ids, distinct, "and none is used for another receive")
			})
		})
	}
}

func TestAReceiveWhoseAnswerIsLostIsRepeatedNoLongerThanItsIDIsKnown(t *testing.T) {
	tellBoth(t, func(w *world) {
		w.groups()
		w.sendGroup("a", "a 0")
		end := w.outage(sqstest.Unavailable(), opReceive)
		e := w.watch()
		stop := w.run(w.consumer(sluice.Options{}), w.handler(nil))
		time.Sleep(30 * time.Minute)
		end()
		time.Sleep(time.Minute)
		require.NoError(w, stop())
		require.Equal(w, 1, w.handled())
		first, last := map[string]time.Time{}, map[string]time.Time{}
		at := e.calls(opReceive)
		for i, id := range e.attempts() {
			if first[id].IsZero() {
				first[id] = at[i]
			}
			last[id] = at[i]
		}
		require.Greater(w, len(first), 5)
		for id := range first {
			require.LessOrEqual(w, last[id].Sub(first[id]), 5*time.Minute)
		}
	})
}

func TestAnAttemptThatCannotBeRepeatedAnyMoreIsGivenUp(t *testing.T) {
	tellBoth(t, func(w *world) {
		w.groups()
		w.sendGroup("a", "a 0")
		// The answer is lost, and so is, for a while, what would repeat it: meanwhile
		// somebody else receives the message and gives it back.
		w.server.Inject(sqstest.Fault{Op: opReceive, Err: sqstest.Reset(), After: true, Times: 1})
		touched := false
		w.server.Observe(func(e sqstest.Event) {
			if e.Kind == sqstest.CallEnded && e.Call.Op == opReceive && e.Err != nil && !touched {
				touched = true
				w.server.ExpireLease(w.url, w.server.Messages("orders.fifo")[0].ID)
			}
		})
		e := w.watch()
		stop := w.run(w.consumer(sluice.Options{}), w.handler(nil))
		time.Sleep(time.Minute)
		require.NoError(w, stop(), "a repetition that is refused ends no run")
		require.Equal(w, 1, w.handled())
		ids, at := e.attempts(), e.calls(opReceive)
		require.Equal(w, ids[0], ids[1])
		require.NotEqual(w, ids[1], ids[2])
		require.Less(w, at[2].Sub(at[1]), 100*time.Millisecond, "a new one follows at once: there is nothing to be patient about")
		require.Empty(w, w.server.Messages("orders.fifo"))
	})
}

func TestFollowersDoNotPayForADeadLetterThatIsRefused(t *testing.T) {
	for on, want := range map[sluice.GroupFailure][]string{
		sluice.GroupRetryInPlace: {"a 0", "a 0", "a 0", "a 1", "a 2"},
		sluice.GroupSkip:         {"a 0", "a 1", "a 2", "a 0", "a 0"},
	} {
		t.Run(fmt.Sprint(on), func(t *testing.T) {
			tell(t, func(w *world) {
				w.groups()
				for i := range 3 {
					w.sendGroup("a", fmt.Sprintf("a %d", i))
				}
				dead := w.server.MustCreateQueue("dead.fifo", map[string]string{"FifoQueue": "true"})
				w.server.Inject(sqstest.Fault{Op: opSend, Queue: "dead.fifo", Err: &types.UnsupportedOperation{}, Times: 2})
				tries := &tries{world: w}
				c := w.consumer(sluice.Options{
					OnGroupFailure: on, DeadLetterQueueURL: dead, PollTime: time.Second,
					RetryDelay: func(*sluice.Message, error) time.Duration { return time.Minute },
				})
				stop := w.run(c, sluice.Each(func(_ context.Context, m *sluice.Message) error {
					tries.note(m)
					if m.Body == "a 0" {
						return sluice.DeadLetter(errBad)
					}
					return nil
				}))
				time.Sleep(30 * time.Minute)
				require.NoError(w, stop())
				require.Equal(w, want, tries.bodies())
				require.Equal(w, 1, tries.of("a 2")[0].count)
				require.Len(w, w.server.Messages("dead.fifo"), 1)
				require.Empty(w, w.server.Messages("orders.fifo"))
			})
		})
	}
}

// SQS refuses the receipt of a message that is back in a FIFO queue. So the second try says that
// the first one had its effect.
func TestAGroupWhoseReleaseAtAStopLostItsAnswerIsNotLeftBehind(t *testing.T) {
	tell(t, func(w *world) {
		w.groups()
		for i := range 9 {
			w.sendGroup("a", fmt.Sprint("a ", i))
		}
		c := w.consumer(sluice.Options{RetryDelay: func(*sluice.Message, error) time.Duration { return time.Minute }})
		stop := w.run(c, w.handler(func(context.Context, []*sluice.Message) error { return errors.New("not yet") }))
		time.Sleep(time.Second)
		w.server.Inject(sqstest.Fault{Op: opChange, Err: sqstest.Reset(), After: true, Times: 1})
		require.NoError(w, stop())
		require.Len(w, w.left(), 9)
	})
}
