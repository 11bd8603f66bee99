package stories_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

// told counts what hooks are told.
type told struct {
	mu       sync.Mutex // guards the fields below
	calls    map[string]int64
	errs     map[string]int64
	received int
	messages int
	failed   int
	lost     int
	states   []sluice.State
}

func (h *told) hooks() sluice.Hooks {
	h.calls, h.errs = map[string]int64{}, map[string]int64{}
	return sluice.Hooks{Call: h.call, Batch: h.batch, LeaseLost: h.loss, Health: h.health}
}

func (h *told) call(e sluice.CallEvent) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls[e.Operation]++
	if e.Err != nil {
		h.errs[e.Operation]++
	}
	if e.Operation == opReceive {
		h.received += e.Entries
	}
}

func (h *told) batch(e sluice.BatchEvent) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.messages += len(e.Messages)
	h.failed += e.Failed
}

func (h *told) loss(sluice.LeaseEvent) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lost++
}

func (h *told) health(e sluice.Health) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.states = append(h.states, e.State)
}

func TestHooksAreToldWhatStatsCount(t *testing.T) {
	tellBoth(t, func(w *world) {
		var h told
		w.slow(8 * time.Millisecond)
		w.send(0, 300)
		w.server.Inject(sqstest.Fault{Op: opReceive, Err: sqstest.Unavailable(), Skip: 3, Times: 12})
		w.server.Inject(sqstest.Fault{Op: opDelete, Err: sqstest.Unavailable(), Skip: 3, Times: 2})
		c := w.consumer(sluice.Options{Hooks: h.hooks()})
		stop := w.run(c, w.handler(func(_ context.Context, batch []*sluice.Message) error {
			time.Sleep(100 * time.Millisecond)
			if batch[0].Body == "7" && batch[0].ReceiveCount == 1 {
				return errBad
			}
			return nil
		}))
		time.Sleep(2 * time.Minute)
		require.NoError(w, stop())
		s := c.Stats()
		require.Equal(w, s.Calls, fill(h.calls, s.Calls))
		require.Equal(w, s.Errors, fill(h.errs, s.Errors))
		require.EqualValues(w, s.Received, h.received)
		require.EqualValues(w, s.Succeeded+s.Failed, h.messages)
		require.EqualValues(w, s.Failed, h.failed)
		require.Equal(w, 301, h.messages)
		require.Zero(w, s.HooksDropped)
		require.Contains(w, h.states, sluice.StateBackingOff)
		require.Equal(w, sluice.StateStopped, h.states[len(h.states)-1])
		w.agrees(c)
		w.adds(c)
	})
}

// fill adds the operations that were never called.
func fill(counts, like map[string]int64) map[string]int64 {
	for op := range like {
		counts[op] += 0
	}
	return counts
}

func TestAHookThatPanicsOrExitsDoesNotTouchTheRun(t *testing.T) {
	for name, bad := range map[string]func(){"panics": func() { panic("hook") }, "exits": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			tell(t, func(w *world) {
				w.send(0, 200)
				hooks := sluice.Hooks{
					Call: func(sluice.CallEvent) { bad() }, Batch: func(sluice.BatchEvent) { bad() },
					LeaseLost: func(sluice.LeaseEvent) { bad() }, Health: func(sluice.Health) { bad() },
				}
				c := w.consumer(sluice.Options{Hooks: hooks, PollTime: time.Second})
				stop := w.run(c, w.handler(nil))
				time.Sleep(10 * time.Second)
				require.NoError(w, stop())
				w.eachOnce(200)
			})
		})
	}
}

func TestAHookThatBlocksCostsEventsAndNoMessages(t *testing.T) {
	tell(t, func(w *world) {
		free := make(chan struct{})
		w.send(0, 20_000)
		c := w.consumer(sluice.Options{Hooks: sluice.Hooks{Batch: func(sluice.BatchEvent) { <-free }}, PollTime: time.Second})
		stop := w.run(c, w.handler(nil))
		time.Sleep(time.Minute)
		w.eachOnce(20_000)
		require.NotZero(w, c.Stats().HooksDropped)
		at := time.Now()
		require.NoError(w, stop())
		require.LessOrEqual(w, time.Since(at), 4*time.Second)
		close(free)
	})
}

// blocking is a log handler that never comes back.
type blocking struct {
	slog.Handler

	free chan struct{}
}

func (b blocking) Enabled(context.Context, slog.Level) bool { return true }
func (b blocking) Handle(context.Context, slog.Record) error {
	<-b.free
	return nil
}

func TestALoggerThatBlocksHoldsNothingUp(t *testing.T) {
	tell(t, func(w *world) {
		free := make(chan struct{})
		defer close(free)
		w.send(0, 100)
		c := w.consumer(sluice.Options{Logger: slog.New(blocking{slog.DiscardHandler, free}), PollTime: time.Second})
		stop := w.run(c, w.handler(func(_ context.Context, batch []*sluice.Message) error {
			if batch[0].ReceiveCount == 1 {
				panic("no")
			}
			return nil
		}))
		time.Sleep(2 * time.Minute)
		require.NoError(w, stop())
		require.Equal(w, 200, w.handled())
		require.Empty(w, w.left())
	})
}

func TestLogsHoldNoBodyHandleOrCredential(t *testing.T) {
	tellBoth(t, func(w *world) {
		const canary = "canary-4242"
		var out bytes.Buffer // written by one goroutine at a time
		w.server.Send(w.url, canary, `{"a":"`+canary+`"}`, canary)
		c := w.consumer(sluice.Options{
			Logger: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})), VisibilityTimeout: 5 * time.Second,
			DeadLetterQueueURL: "http://sqs.us-east-1.localhost/000000000000/nowhere", GiveUpAfter: time.Second,
		})
		handles := []string{}
		stop := w.run(c, w.handler(func(_ context.Context, batch []*sluice.Message) error {
			w.mu.Lock()
			handles = append(handles, batch[0].ReceiptHandle)
			n := len(handles)
			w.mu.Unlock()
			time.Sleep(3 * time.Second)
			switch n % 3 {
			case 0:
				return sluice.DeadLetter(errBad)
			case 1:
				panic(errBad)
			}
			return sluice.JSON(func(context.Context, int) error { return nil })(context.Background(), batch)
		}))
		time.Sleep(10 * time.Second)
		end := w.outage(sqstest.Unavailable())
		time.Sleep(time.Minute)
		end()
		w.outage(sqstest.AccessDenied())
		time.Sleep(time.Minute)
		err := stop()
		require.Error(w, err)
		require.NotEmpty(w, out.String())
		for _, secret := range append(handles, canary) {
			require.NotContains(w, out.String(), secret)
			require.NotContains(w, err.Error(), secret)
		}
	})
}

func TestARetryDelayThatPanicsOrExitsLosesNoSlot(t *testing.T) {
	for name, bad := range map[string]func(){"panics": func() { panic("delay") }, "exits": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			tell(t, func(w *world) {
				w.send(0, 20)
				delay := func(*sluice.Message, error) time.Duration {
					bad()
					return 0
				}
				c := w.consumer(sluice.Options{Concurrency: 2, RetryDelay: delay, PollTime: time.Second})
				stop := w.run(c, w.handler(fails(errBad)))
				time.Sleep(25 * time.Second)
				require.NoError(w, stop())
				require.Equal(w, 20, w.handled())
				require.Len(w, w.left(), 20)
				w.adds(c)
			})
		})
	}
}

func TestARetryDelayThatBlocksHoldsNoRunUp(t *testing.T) {
	for _, fifo := range []bool{false, true} {
		t.Run(fmt.Sprintf("fifo=%v", fifo), func(t *testing.T) {
			tell(t, func(w *world) {
				if fifo {
					w.groups()
					w.sendGroup("a", "a 0")
				} else {
					w.send(0, 1)
				}
				free := make(chan struct{})
				delay := func(*sluice.Message, error) time.Duration {
					<-free
					return time.Second
				}
				c := w.consumer(sluice.Options{PollTime: time.Second, ShutdownTimeout: 5 * time.Second, RetryDelay: delay})
				stop := w.run(c, fails(errBad))
				time.Sleep(time.Second)
				time.AfterFunc(time.Minute, func() { close(free) })
				begin := time.Now()
				require.ErrorIs(w, stop(), sluice.ErrShutdown, "the call is not over")
				require.LessOrEqual(w, time.Since(begin), 8*time.Second)
				time.Sleep(2 * time.Minute)
			})
		})
	}
}

// A trap is an error whose methods go wrong.
type trap struct{ bad func() }

func (t *trap) Error() string { t.bad(); return "" }
func (t *trap) Unwrap() error { t.bad(); return nil }

// A picky error can only be asked whether it is one of its own kind.
type picky struct{ code int }

func (p *picky) Error() string        { return fmt.Sprint(p.code) }
func (p *picky) Is(target error) bool { return target.(*picky).code == p.code }

func TestAnErrorThatGoesWrongItselfIsAFailure(t *testing.T) {
	var none *sluice.MessageError
	for name, err := range map[string]error{
		"a nil in an interface":     none,
		"one that is joined":        errors.Join(none, errBad),
		"one that panics":           &trap{func() { panic("error") }},
		"one that exits":            &trap{runtime.Goexit},
		"one that is picky":         &picky{},
		"one of a message":          sluice.Discard(&trap{func() { panic("error") }}),
		"a dead letter that panics": sluice.DeadLetter(&trap{func() { panic("error") }}),
	} {
		for _, size := range []int{1, 3} {
			t.Run(name, func(t *testing.T) {
				tell(t, func(w *world) {
					w.send(0, 3)
					c := w.consumer(sluice.Options{BatchSize: size, PollTime: time.Second, DeadLetterQueueURL: w.server.MustCreateQueue("dead", nil)})
					stop := w.run(c, w.handler(fails(err)))
					time.Sleep(10 * time.Second)
					require.NoError(w, stop())
					require.EqualValues(w, 3, c.Stats().Failed)
					w.adds(c)
				})
			})
		}
	}
}

func TestTheSliceOfABatchIsTheHandlers(t *testing.T) {
	for _, n := range []int{1, 2} {
		t.Run(fmt.Sprintf("batches of %d", n), func(t *testing.T) {
			tell(t, func(w *world) {
				w.send(0, n)
				var seen []*sluice.Message
				c := w.consumer(sluice.Options{BatchSize: n, Hooks: sluice.Hooks{Batch: func(e sluice.BatchEvent) { seen = e.Messages }}})
				require.NoError(w, c.Drain(w.Context(), func(_ context.Context, batch []*sluice.Message) error {
					clear(batch)
					return nil
				}))
				require.Len(w, seen, n)
				require.NotContains(w, seen, (*sluice.Message)(nil))
			})
		})
	}
}
