package stories_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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
				w.sendGroups(groups, each)
				w.slow(8 * time.Millisecond)
				o := w.orderly()
				d := newDice(1)
				c := w.consumer(sluice.Options{BatchSize: size, Concurrency: 64})
				stop := w.run(c, sluice.Each(func(_ context.Context, m *sluice.Message) (err error) {
					o.begin(m)
					ok := false
					defer func() { o.end(m, ok) }()
					time.Sleep(time.Millisecond + d.upTo(20*time.Millisecond))
					err = d.misfortune()
					ok = err == nil
					return err
				}))
				for len(w.left()) > 0 && time.Since(w.began) < time.Hour { // some groups fail again and again
					time.Sleep(time.Second)
				}
				require.NoError(w, stop())
				sent, deliveries, deleted := w.fifoCounts()
				require.Equal(w, groups*each, sent)
				require.Equal(w, sent, deleted)
				require.Equal(w, sent, deliveries)
				require.Zero(w, o.again)
				t.Logf("%v, %.3f calls a message, %+v", time.Since(w.began), float64(w.all())/float64(sent), c.Stats().Calls)
			})
		})
	}
}

// misfortune is how a handler ends: one of a hundred panics, five fail.
func (d *dice) misfortune() error {
	switch p := d.chance(); {
	case p < 0.01:
		panic("a bug")
	case p < 0.05:
		return sluice.RetryAfter(d.upTo(5*time.Second), errBad)
	case p < 0.06:
		return errBad
	}
	return nil
}

// A siege is all that can befall the groups of a queue at once: two consumers, whose
// handlers fail, of which one is killed time and again; leases that end early, and
// renewals that fail while handlers take long.
type siege struct {
	*orderly
	*dice

	size int // of batches

	mu        sync.Mutex // guards delivered
	delivered []string   // ids of messages
	lost      int        // leases that ended early; only touched by plunder
}

// start runs a consumer, which dies when dead is set.
func (s *siege) start(dead *atomic.Bool) (stop func() error) {
	s.Helper()
	c, err := sluice.New(s.mortal(dead), s.url, sluice.Options{
		BatchSize: s.size, Concurrency: 32, VisibilityTimeout: 10 * time.Second, ShutdownTimeout: time.Second, Logger: quiet,
	})
	require.NoError(s, err)
	return s.run(c, s.handler(s.beside(), dead))
}

func (s *siege) handler(o *orderly, dead *atomic.Bool) sluice.Handler {
	return sluice.Each(func(ctx context.Context, m *sluice.Message) (err error) {
		if dead.Load() {
			return nil // a process that is gone does nothing
		}
		o.begin(m)
		ok := false
		defer func() { o.end(m, ok && !dead.Load()) }() // what it did after its death it did not do
		takes := time.Millisecond + s.upTo(20*time.Millisecond)
		if s.chance() < 0.003 {
			takes = s.upTo(40 * time.Second)
		}
		if s.chance() < 0.5 {
			time.Sleep(takes) // deaf to the loss of its lease
		} else if err := heeds(takes)(ctx, nil); err != nil {
			return err
		}
		err = s.misfortune()
		ok = err == nil
		return err
	})
}

// notice keeps the ids of what is delivered.
func (s *siege) notice(event sqstest.Event) {
	if event.Kind != sqstest.Delivered {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delivered = append(s.delivered, event.MessageID)
}

// plunder ends the leases of messages in flight until over is closed, a few a second.
func (s *siege) plunder(over <-chan struct{}) {
	for {
		select {
		case <-over:
			return
		case <-time.After(s.upTo(500 * time.Millisecond)):
		}
		if s.server.ExpireLease("orders.fifo", s.recent()) {
			s.lost++
		}
	}
}

// recent returns one of the last hundred messages that were delivered.
func (s *siege) recent() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.delivered[max(0, len(s.delivered)-100):]
	if len(last) == 0 {
		return ""
	}
	return last[int(s.chance()*float64(len(last)))]
}

func TestGroupsStayInOrderWhateverHappens(t *testing.T) {
	for _, size := range []int{1, 25} {
		t.Run(fmt.Sprintf("batches of %d", size), func(t *testing.T) {
			tellBoth(t, func(w *world) {
				const groups, each, kills = 100, 100, 6
				w.groups()
				w.sendGroups(groups, each)
				w.slow(8 * time.Millisecond)
				s := &siege{orderly: w.orderly(), dice: newDice(uint64(size)), size: size}
				defer w.server.Observe(s.notice)()
				var others sync.WaitGroup
				over := make(chan struct{})
				others.Go(func() { s.plunder(over) })

				survivor := s.start(new(atomic.Bool))
				for range kills {
					var dead atomic.Bool
					stop := s.start(&dead)
					time.Sleep(s.upTo(6 * time.Second))
					heal := w.outage(sqstest.Unavailable(), opChange)
					time.Sleep(s.upTo(12 * time.Second))
					dead.Store(true)
					heal()
					others.Go(func() { _ = stop() }) // it is gone, and does not know
				}
				close(over)
				others.Wait()
				for len(w.left()) > 0 && time.Since(w.began) < 30*time.Minute {
					time.Sleep(time.Second)
				}
				require.NoError(w, survivor())
				require.Empty(w, w.left())
				require.True(w, s.done(groups, each), "all have succeeded")
				sent, deliveries, deleted := w.fifoCounts()
				require.Equal(w, groups*each, sent)
				require.Equal(w, sent, deleted)
				require.NotZero(w, s.lost)
				require.NotZero(w, s.again, "a siege that did no harm")
				t.Logf("%v, %d leases ended early, %d deliveries, %d handled again after a success", time.Since(w.began), s.lost, deliveries, s.again)
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
		sluice.GroupRelease: {"a 0", "a 0", "a 1"},
		sluice.GroupSkip:    {"a 0", "a 1", "a 0"},
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
		stop := w.run(w.consumer(sluice.Options{OnGroupFailure: sluice.GroupRelease}), func(_ context.Context, batch []*sluice.Message) error {
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
		stop := w.run(w.consumer(sluice.Options{OnGroupFailure: sluice.GroupRelease}), func(_ context.Context, batch []*sluice.Message) error {
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
	for _, how := range []sluice.GroupFailure{sluice.GroupRetryInPlace, sluice.GroupRelease, sluice.GroupSkip} {
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
