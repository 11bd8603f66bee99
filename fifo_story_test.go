package sluice_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

func TestGroupsStayInOrderWhileHandlersFail(t *testing.T) {
	for _, size := range []int{1, 7, 100} {
		t.Run(fmt.Sprintf("batches of %d", size), func(t *testing.T) {
			tellBoth(t, func(w *world) {
				const groups, each = 100, 100
				w.groups()
				o := w.orderly()
				for i := range each {
					for g := range groups {
						w.sendGroup(fmt.Sprintf("g%d", g), fmt.Sprintf("g%d %d", g, i))
					}
				}
				w.slow(8 * time.Millisecond)
				random := rand.New(rand.NewPCG(1, 2))
				var mu sync.Mutex
				chance := func() float64 {
					mu.Lock()
					defer mu.Unlock()
					return random.Float64()
				}
				h := sluice.Each(func(ctx context.Context, m *sluice.Message) (err error) {
					o.begin(m)
					ok := false
					defer func() { o.end(m, ok) }()
					time.Sleep(time.Duration(1+20*chance()) * time.Millisecond)
					switch p := chance(); {
					case p < 0.01:
						panic("a bug")
					case p < 0.05:
						return sluice.RetryAfter(time.Duration(chance()*5)*time.Second, errors.New("not now"))
					case p < 0.06:
						return errors.New("not now")
					}
					ok = true
					return nil
				})
				c := w.consumer(sluice.Options{BatchSize: size, Concurrency: 64})
				stop := w.run(c, h)
				for range 600 {
					time.Sleep(time.Second)
					if _, _, deleted := w.fifoCounts(); deleted == groups*each {
						break
					}
				}
				require.NoError(w, stop())
				sent, deliveries, deleted := w.fifoCounts()
				require.Equal(w, groups*each, sent)
				require.Equal(w, sent, deleted)
				require.Equal(w, sent, deliveries)
				require.Zero(w, o.again)
				t.Logf("%v, %.3f calls a message, %+v", time.Since(w.began), float64(w.calls("ReceiveMessage")+w.calls("DeleteMessageBatch")+w.calls("ChangeMessageVisibilityBatch"))/float64(sent), c.Stats().Calls)
			})
		})
	}
}

func TestFollowersWaitForTheirHead(t *testing.T) {
	tellBoth(t, func(w *world) {
		w.groups()
		for i := range 3 {
			w.sendGroup("a", fmt.Sprintf("a %d", i))
		}
		var mu sync.Mutex // guards the fields below
		tries := 0
		var counts []int
		seen := func() []int {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(counts)
		}
		stop := w.run(w.consumer(sluice.Options{}), func(_ context.Context, batch []*sluice.Message) error {
			mu.Lock()
			defer mu.Unlock()
			if number(batch[0]) == 0 && tries < 5 {
				tries++
				return sluice.RetryAfter(time.Minute, errors.New("not now"))
			}
			counts = append(counts, batch[0].ReceiveCount)
			return nil
		})
		time.Sleep(4*time.Minute + 30*time.Second)
		require.Empty(w, seen())
		time.Sleep(time.Minute)
		require.Equal(w, []int{1, 1, 1}, seen())
		require.NoError(w, stop())
	})
}

func TestAThousandGroupsAreAsFastAsAStandardQueue(t *testing.T) {
	took := func(fifo bool) (d time.Duration, perMessage float64) {
		tell(t, func(w *world) {
			const groups, each = 1000, 10
			if fifo {
				w.groups()
				for g := range groups {
					for i := range each {
						w.sendGroup(fmt.Sprintf("g%d", g), fmt.Sprintf("g%d %d", g, i))
					}
				}
			} else {
				w.send(0, groups*each)
			}
			w.slow(8 * time.Millisecond)
			stop := w.run(w.consumer(sluice.Options{Concurrency: 64}), func(context.Context, []*sluice.Message) error {
				time.Sleep(5 * time.Millisecond)
				return nil
			})
			for w.server.Stats().Total.Deleted < groups*each {
				time.Sleep(10 * time.Millisecond)
			}
			d = time.Since(w.began)
			perMessage = float64(w.calls("ReceiveMessage")+w.calls("DeleteMessageBatch")) / (groups * each)
			require.NoError(w, stop())
		})
		return d, perMessage
	}
	standard, a := took(false)
	fifo, b := took(true)
	t.Log(standard, a, fifo, b)
	require.LessOrEqual(t, fifo, standard*12/10)
	require.LessOrEqual(t, b, 0.25)
}

func TestAnUndecodableHeadIsNotSkipped(t *testing.T) {
	for _, size := range []int{1, 10} {
		t.Run(fmt.Sprintf("batches of %d", size), func(t *testing.T) {
			tellBoth(t, func(w *world) {
				w.groups()
				w.sendGroup("a", "not JSON")
				w.sendGroup("a", "1")
				w.sendGroup("b", "2")
				var got []int
				one := sluice.JSON(func(_ context.Context, v int) error {
					got = append(got, v)
					return nil
				})
				many := sluice.BatchJSON(func(_ context.Context, items []sluice.Item[int]) error {
					for _, it := range items {
						got = append(got, it.Value)
					}
					return nil
				})
				for _, h := range []sluice.Handler{one, many} {
					stop := w.run(w.consumer(sluice.Options{BatchSize: size}), h)
					time.Sleep(30 * time.Minute)
					require.NoError(w, stop())
					require.NotContains(w, got, 1)
				}
				require.Equal(w, []int{2}, got)
				require.Len(w, w.server.Messages("orders.fifo"), 2)
			})
		})
	}
}

func TestAGroupHaltsWhereALeaseIsLost(t *testing.T) {
	tellBoth(t, func(w *world) {
		w.groups()
		for i := range 3 {
			w.sendGroup("a", fmt.Sprintf("a %d", i))
		}
		var seen []string
		lost := false
		w.slow(8 * time.Millisecond)
		heal := w.server.Inject(sqstest.Fault{Op: "ChangeMessageVisibilityBatch", Err: sqstest.Unavailable()})
		c := w.consumer(sluice.Options{})
		stop := w.run(c, func(ctx context.Context, batch []*sluice.Message) error {
			m := batch[0]
			seen = append(seen, m.Body)
			if m.Body == "a 0" && !lost {
				lost = true
				<-ctx.Done()
				heal()
				require.ErrorIs(w, context.Cause(ctx), sluice.ErrLeaseLost)
			}
			return nil
		})
		time.Sleep(5 * time.Minute)
		require.NoError(w, stop())
		require.Equal(w, []string{"a 0", "a 0", "a 1", "a 2"}, seen)
		require.Empty(w, w.server.Messages("orders.fifo"))
		require.Positive(w, c.Stats().LeasesLost)
	})
}

func TestAStopGivesAGroupBackBehindItsHead(t *testing.T) {
	tellBoth(t, func(w *world) {
		w.groups()
		for i := range 5 {
			w.sendGroup("a", fmt.Sprintf("a %d", i))
		}
		first := w.run(w.consumer(sluice.Options{ShutdownTimeout: 5 * time.Second}), func(ctx context.Context, _ []*sluice.Message) error {
			<-ctx.Done()
			return context.Cause(ctx)
		})
		time.Sleep(time.Second)
		o := w.orderly()
		second := w.run(w.consumer(sluice.Options{}), func(_ context.Context, batch []*sluice.Message) error {
			o.begin(batch[0])
			time.Sleep(time.Millisecond)
			o.end(batch[0], true)
			return nil
		})
		time.Sleep(10 * time.Second)
		require.ErrorIs(w, first(), sluice.ErrShutdown)
		time.Sleep(2 * time.Second)
		require.Empty(w, w.server.Messages("orders.fifo"), "visible again within two seconds")
		require.NoError(w, second())
		require.Zero(w, o.again)
	})
}

func TestOrderHoldsWhileOneOfTwoConsumersIsKilled(t *testing.T) {
	for seed := range uint64(20) {
		tell(t, func(w *world) {
			const groups, each = 20, 20
			w.groups()
			o := w.orderly()
			for i := range each {
				for g := range groups {
					w.sendGroup(fmt.Sprintf("g%d", g), fmt.Sprintf("g%d %d", g, i))
				}
			}
			w.slow(8 * time.Millisecond)
			random := rand.New(rand.NewPCG(seed, 3))
			kill := time.Duration(random.Float64() * float64(2*time.Second))
			handler := func(dead *atomic.Bool) sluice.Handler {
				return sluice.Each(func(ctx context.Context, m *sluice.Message) error {
					if dead.Load() {
						return nil // a process that is gone does nothing
					}
					o.begin(m)
					time.Sleep(20 * time.Millisecond)
					o.end(m, !dead.Load()) // what it did after its death it did not do
					return nil
				})
			}
			var killed, never atomic.Bool
			mortal := &deadly{Client: w.client, dead: &killed}
			w.client = mortal
			first := w.run(w.consumer(sluice.Options{BatchSize: 5, VisibilityTimeout: 10 * time.Second, ShutdownTimeout: time.Second}), handler(&killed))
			w.client = w.server
			second := w.run(w.consumer(sluice.Options{BatchSize: 1}), handler(&never))
			time.Sleep(kill)
			killed.Store(true)
			time.Sleep(5 * time.Minute)
			require.Empty(w, w.server.Messages("orders.fifo"))
			require.NoError(w, second())
			_ = first()
			for g := range groups {
				require.Equal(w, each, o.next[fmt.Sprintf("g%d", g)])
			}
		})
	}
}

// A deadly client makes no call any more when it is dead: its process is gone.
type deadly struct {
	sluice.Client

	dead *atomic.Bool
}

var errDead = errors.New("the process is gone")

func (d *deadly) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, o ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	if d.dead.Load() {
		return nil, errDead
	}
	out, err := d.Client.ReceiveMessage(ctx, in, o...)
	if d.dead.Load() {
		return nil, errDead
	}
	return out, err
}

func (d *deadly) DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput, o ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	if d.dead.Load() {
		return nil, errDead
	}
	return d.Client.DeleteMessageBatch(ctx, in, o...)
}

func (d *deadly) ChangeMessageVisibilityBatch(ctx context.Context, in *sqs.ChangeMessageVisibilityBatchInput, o ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	if d.dead.Load() {
		return nil, errDead
	}
	return d.Client.ChangeMessageVisibilityBatch(ctx, in, o...)
}

func TestALostAnswerOfAFIFOReceiveIsRepeated(t *testing.T) {
	tellBoth(t, func(w *world) {
		w.groups()
		w.sendGroup("a", "a 0")
		w.server.Inject(sqstest.Fault{Op: "ReceiveMessage", Times: 1, After: true, Err: sqstest.Reset()})
		stop := w.run(w.consumer(sluice.Options{}), w.handler(nil))
		time.Sleep(time.Second)
		require.Equal(w, 1, w.handled(), "not only after the visibility timeout")
		require.NoError(w, stop())
	})
}

func TestGroupsAreGivenBackOrSkippedWhereThatIsWanted(t *testing.T) {
	for how, want := range map[sluice.GroupFailure][]string{
		sluice.GiveBack: {"a 0", "a 0", "a 1"},
		sluice.GoOn:     {"a 0", "a 1", "a 0"},
	} {
		tellBoth(t, func(w *world) {
			w.groups()
			w.sendGroup("a", "a 0")
			w.sendGroup("a", "a 1")
			var seen []string
			failed := false
			stop := w.run(w.consumer(sluice.Options{OnGroupFailure: how}), func(_ context.Context, batch []*sluice.Message) error {
				seen = append(seen, batch[0].Body)
				if batch[0].Body == "a 0" && !failed {
					failed = true
					return sluice.RetryAfter(time.Minute, errors.New("not now"))
				}
				return nil
			})
			time.Sleep(5 * time.Minute)
			require.NoError(w, stop())
			require.Equal(w, want, seen)
		})
	}
}

func TestWhatStandsBehindADiscardedMessageIsHandled(t *testing.T) {
	for _, outcome := range []func(error) error{sluice.Discard, sluice.DeadLetter} {
		tellBoth(t, func(w *world) {
			w.groups()
			for i := range 3 {
				w.sendGroup("a", fmt.Sprintf("a %d", i))
			}
			var seen []string
			c := w.consumer(sluice.Options{BatchSize: 3, DeadLetterQueueURL: w.server.MustCreateQueue("dead.fifo", map[string]string{"FifoQueue": "true"})})
			stop := w.run(c, sluice.Each(func(_ context.Context, m *sluice.Message) error {
				seen = append(seen, m.Body)
				if m.Body == "a 0" {
					return outcome(errors.New("no order at all"))
				}
				return nil
			}))
			time.Sleep(time.Minute)
			require.NoError(w, stop())
			require.Equal(w, []string{"a 0", "a 1", "a 2"}, seen)
			require.Empty(w, w.server.Messages("orders.fifo"))
			require.EqualValues(w, 1, c.Stats().Failed)
			require.EqualValues(w, 2, c.Stats().Succeeded)
		})
	}
}

func TestAGroupThatIsBackAtOnceIsHandledAgainWhicheverAnswerIsFirst(t *testing.T) {
	tellBoth(t, func(w *world) {
		w.groups()
		w.slow(8 * time.Millisecond)
		w.server.Inject(sqstest.Fault{Op: opChange, Lag: 20 * time.Millisecond}) // the receive that is out hears of it sooner
		for i := range 3 {
			w.sendGroup("a", fmt.Sprintf("a %d", i))
		}
		var seen []string
		stop := w.run(w.consumer(sluice.Options{OnGroupFailure: sluice.GiveBack}), func(_ context.Context, batch []*sluice.Message) error {
			seen = append(seen, batch[0].Body)
			if len(seen) <= 2 {
				return sluice.RetryAfter(0, errors.New("not now"))
			}
			return nil
		})
		time.Sleep(time.Minute)
		require.NoError(w, stop())
		require.Equal(w, []string{"a 0", "a 0", "a 0", "a 1", "a 2"}, seen)
		_, deliveries, _ := w.fifoCounts()
		require.LessOrEqual(w, deliveries, 9, "three of each at most")
	})
}

func TestNothingIsHandledBeforeAMessageThatIsGivenBackTwice(t *testing.T) {
	tellBoth(t, func(w *world) {
		w.groups()
		w.sendGroup("a", "a 0")
		w.server.Inject(sqstest.Fault{Op: opChange, Lag: time.Second, NoEffect: true, Times: 1})
		var seen []string
		stop := w.run(w.consumer(sluice.Options{OnGroupFailure: sluice.GiveBack}), func(_ context.Context, batch []*sluice.Message) error {
			seen = append(seen, batch[0].Body)
			if len(seen) > 1 {
				return nil
			}
			w.sendGroup("a", "a 1") // it comes with the head, which is visible too early
			time.AfterFunc(500*time.Millisecond, func() { w.server.ExpireLease("orders.fifo", batch[0].ID) })
			return sluice.RetryAfter(10*time.Second, errors.New("not now"))
		})
		time.Sleep(time.Minute)
		require.NoError(w, stop())
		require.Equal(w, []string{"a 0", "a 0", "a 1"}, seen)
		require.Empty(w, w.server.Messages("orders.fifo"))
	})
}

func TestNothingIsHandledBeforeAMessageWhoseDeleteIsRefused(t *testing.T) {
	for name, err := range map[string]error{
		"its receipt is worth nothing": sqstest.InvalidReceiptHandle("?"),
		"its lease is over":            sqstest.NotInflight(),
	} {
		t.Run(name, func(t *testing.T) {
			tellBoth(t, func(w *world) {
				w.groups()
				for i := range 3 {
					w.sendGroup("a", fmt.Sprintf("a %d", i))
				}
				w.server.Inject(sqstest.Fault{Op: opDelete, Entries: func(int) bool { return true }, Err: err, Times: 1})
				var seen []string
				c := w.consumer(sluice.Options{})
				stop := w.run(c, func(_ context.Context, batch []*sluice.Message) error {
					seen = append(seen, batch[0].Body)
					return nil
				})
				time.Sleep(2 * time.Minute)
				require.NoError(w, stop())
				require.Equal(w, []string{"a 0", "a 0", "a 1", "a 2"}, seen, "it stays in the queue and is handled once more")
				require.Empty(w, w.server.Messages("orders.fifo"))
				require.EqualValues(w, 1, c.Stats().Unsettled)
			})
		})
	}
}

func TestAGroupGoesOnWhenAFollowerIsLostWhileItsHeadFails(t *testing.T) {
	for _, how := range []sluice.GroupFailure{sluice.RetryInPlace, sluice.GiveBack, sluice.GoOn} {
		tellBoth(t, func(w *world) {
			w.groups()
			w.slow(8 * time.Millisecond)
			for i := range 3 {
				w.sendGroup("a", fmt.Sprintf("a %d", i))
			}
			w.server.Inject(sqstest.Fault{
				Op: "ChangeMessageVisibilityBatch", Times: 1, Err: sqstest.NotInflight(), Entries: func(i int) bool { return i == 1 },
			})
			failed := false
			seen := map[string]bool{}
			stop := w.run(w.consumer(sluice.Options{BatchSize: 10, OnGroupFailure: how}), func(ctx context.Context, batch []*sluice.Message) error {
				if !failed {
					failed = true
					<-ctx.Done() // by the loss
					return sluice.Failed(batch[0], errors.New("not now"))
				}
				for _, m := range batch {
					seen[m.Body] = true
				}
				return nil
			})
			time.Sleep(time.Hour)
			require.NoError(w, stop())
			require.Equal(w, map[string]bool{"a 0": true, "a 1": true, "a 2": true}, seen)
			require.Empty(w, w.server.Messages("orders.fifo"))
		})
	}
}
