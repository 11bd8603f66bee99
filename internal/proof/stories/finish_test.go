package stories_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

// Answers that are empty at once say nothing of the queue.
func TestDrainDoesNotBelieveAnswersThatCameAtOnce(t *testing.T) {
	for name, fault := range map[string]sqstest.Fault{
		"one":               {Times: 1},
		"two":               {Times: 2},
		"many":              {Times: 200},
		"every other":       {Match: func(c sqstest.Call) bool { return c.N%2 == 1 }},
		"some at the end":   {Skip: 3, Times: 5},
		"one that was slow": {Times: 1, Lag: 500 * time.Millisecond},
		"a mixture":         {Match: func(c sqstest.Call) bool { return rand.New(rand.NewPCG(uint64(c.N), 2)).Float64() < 0.7 }},
	} {
		for _, fifo := range []bool{false, true} {
			for _, size := range []int{1, 10} {
				t.Run(fmt.Sprintf("%s, fifo=%v, batches of %d", name, fifo, size), func(t *testing.T) {
					tellBoth(t, func(w *world) {
						if fifo {
							w.groups()
							for i := range 25 {
								w.sendGroup(fmt.Sprint(i%5), fmt.Sprint(i))
							}
						} else {
							w.send(0, 25)
						}
						fault.Op, fault.Empty = opReceive, true
						w.server.Inject(fault)
						require.NoError(w, w.consumer(sluice.Options{BatchSize: size}).Drain(w.Context(), w.handler(nil)))
						require.Equal(w, 25, w.handled())
						require.Empty(w, w.left())
					})
				})
			}
		}
	}
}

// SQS may fail to find what is there even when it has waited.
func TestDrainAsksOnceMoreWhenTheQueueSeemsEmpty(t *testing.T) {
	tellBoth(t, func(w *world) {
		w.send(0, 25)
		w.server.Inject(sqstest.Fault{Op: opReceive, Empty: true, Lag: time.Second, Times: 1})
		require.NoError(w, w.consumer(sluice.Options{}).Drain(w.Context(), w.handler(nil)))
		w.eachOnce(25)
	})
}

func TestDrainEndsOverASlowNetwork(t *testing.T) {
	for _, lag := range []time.Duration{time.Millisecond, 100 * time.Millisecond, 800 * time.Millisecond, 4 * time.Second} {
		tellBoth(t, func(w *world) {
			for _, op := range []string{opReceive, opDelete, opChange} {
				w.server.Inject(sqstest.Fault{Op: op, Lag: lag})
			}
			w.send(0, 25)
			require.NoError(w, w.consumer(sluice.Options{}).Drain(w.Context(), w.handler(nil)))
			w.eachOnce(25)
		})
	}
}

func TestDrainDoesNotCutHandlersThatTakeLong(t *testing.T) {
	tellBoth(t, func(w *world) {
		w.send(0, 3)
		c := w.consumer(sluice.Options{ShutdownTimeout: 2 * time.Second})
		require.NoError(w, c.Drain(w.Context(), w.handler(heeds(3*time.Hour))))
		w.eachOnce(3)
	})
}

// The messages of such a handler are given up, and so the queue is as good as empty.
func TestDrainEndsBesideAHandlerThatHangsWithoutItsMessage(t *testing.T) {
	for name, do := range map[string]sluice.Handler{
		"until its context ends": func(ctx context.Context, _ []*sluice.Message) error {
			<-ctx.Done()
			return context.Cause(ctx)
		},
		"for ever": func(context.Context, []*sluice.Message) error { select {} },
	} {
		t.Run(name, func(t *testing.T) {
			tellHanging(t, func(w *world, hang <-chan struct{}) {
				w.send(0, 3)
				h := do
				if name == "for ever" {
					h = func(context.Context, []*sluice.Message) error { <-hang; return nil }
				}
				c := w.consumer(sluice.Options{ShutdownTimeout: 10 * time.Second, HandlerTimeout: time.Minute, VisibilityTimeout: 30 * time.Second})
				ended := make(chan error, 1)
				go func() { ended <- c.Drain(w.Context(), w.handler(h)) }()
				select {
				case <-ended:
				case <-time.After(30 * time.Minute):
					require.Fail(w, "it goes on", "%v, %+v", c.Health(), c.Stats())
				}
				w.silent()
			})
		})
	}
}

// tellHanging is tell for handlers that hang until the story is over.
func tellHanging(t *testing.T, story func(w *world, hang <-chan struct{})) {
	t.Helper()
	tell(t, func(w *world) {
		hang := make(chan struct{})
		defer close(hang)
		story(w, hang)
	})
}

func TestARunThatHasItsMessagesWaitsForTheShutdownTimeoutAtMost(t *testing.T) {
	for name, deaf := range map[string]bool{"its handler heeds its context": false, "its handler hangs": true} {
		t.Run(name, func(t *testing.T) {
			tellHanging(t, func(w *world, hang <-chan struct{}) {
				w.send(0, 1)
				c := w.consumer(sluice.Options{MaxMessages: 1, ShutdownTimeout: time.Second})
				causes := make(chan error, 1)
				err := c.Run(w.Context(), w.handler(func(ctx context.Context, _ []*sluice.Message) error {
					<-ctx.Done()
					causes <- context.Cause(ctx)
					if deaf {
						<-hang
					}
					return context.Cause(ctx)
				}))
				var report *sluice.ShutdownError
				require.ErrorAs(w, err, &report)
				require.ErrorIs(w, <-causes, sluice.ErrShutdown)
				require.LessOrEqual(w, time.Since(w.began), 4*time.Second)
				if deaf {
					require.Equal(w, sluice.ShutdownError{Abandoned: 1, Stuck: 1}, *report)
				} else {
					require.Equal(w, sluice.ShutdownError{GivenBack: 1}, *report)
				}
				w.silent()
			})
		})
	}
}

func TestARunThatHasItsMessagesFinishesThem(t *testing.T) {
	tellBoth(t, func(w *world) {
		w.send(0, 50)
		c := w.consumer(sluice.Options{MaxMessages: 30, BatchSize: 20, WaitTime: time.Hour})
		require.NoError(w, c.Run(w.Context(), w.handler(heeds(20*time.Second))))
		require.Equal(w, 30, w.handled())
		require.Equal(w, 30, w.counts().Deleted)
	})
}

// The shortest poll takes longer than that.
func TestAVeryShortShutdownTimeoutCutsNoReceive(t *testing.T) {
	for _, timeout := range []time.Duration{time.Millisecond, 100 * time.Millisecond, time.Second, 1249 * time.Millisecond} {
		for _, at := range []time.Duration{0, 10 * time.Millisecond, 700 * time.Millisecond} {
			t.Run(fmt.Sprint(timeout, " ", at), func(t *testing.T) {
				tellBoth(t, func(w *world) {
					c := w.consumer(sluice.Options{ShutdownTimeout: timeout, BatchSize: 10, WaitTime: time.Minute})
					stop := w.run(c, w.handler(nil))
					time.Sleep(100 * time.Millisecond)
					go func() {
						time.Sleep(at)
						w.send(0, 10)
					}()
					began := time.Now()
					err := stop()
					require.LessOrEqual(w, time.Since(began), timeout+3*time.Second)
					if err != nil {
						require.ErrorIs(w, err, sluice.ErrShutdown)
					}
					time.Sleep(time.Second)
					require.Zero(w, c.Stats().Errors[opReceive], "no receive was cut")
					for _, m := range w.left() {
						require.Equal(w, sqstest.Visible, m.State, "nothing is left hidden")
					}
					w.silent()
				})
			})
		}
	}
}

// A stop that comes while a run finishes is the same stop.
func TestAStopWhileARunFinishesDoesNotProlongIt(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 1)
		c := w.consumer(sluice.Options{MaxMessages: 1, ShutdownTimeout: 10 * time.Second})
		ctx, cancel := context.WithTimeout(w.Context(), 8*time.Second)
		defer cancel()
		err := c.Run(ctx, w.handler(heeds(time.Hour)))
		require.ErrorIs(w, err, sluice.ErrShutdown)
		require.LessOrEqual(w, time.Since(w.began), 13*time.Second)
	})
}
