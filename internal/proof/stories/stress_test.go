package stories_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

// A nosy logger calls back whenever it is written to.
type nosy struct {
	slog.Handler

	call func()
}

func (nosy) Enabled(context.Context, slog.Level) bool { return true }
func (n nosy) Handle(context.Context, slog.Record) error {
	n.call()
	return nil
}

// nosyOptions are options all of whose callbacks call back.
func nosyOptions(call func()) sluice.Options {
	return sluice.Options{
		PollTime: time.Second,
		Logger:   slog.New(nosy{slog.DiscardHandler, call}),
		RetryDelay: func(*sluice.Message, error) time.Duration {
			call()
			return time.Second
		},
		Hooks: sluice.Hooks{
			Call: func(sluice.CallEvent) { call() }, Batch: func(sluice.BatchEvent) { call() },
			LeaseLost: func(sluice.LeaseEvent) { call() }, Health: func(sluice.Health) { call() },
		},
	}
}

// An inquisitive error calls back whenever it is looked at.
type inquisitive struct{ call func() }

func (e *inquisitive) Error() string { e.call(); return "inquisitive" }
func (e *inquisitive) Unwrap() error { e.call(); return nil }

func TestAllMethodsMayBeCalledFromEveryCallback(t *testing.T) {
	once := func(_ context.Context, batch []*sluice.Message) error { // fails each message once, after its first renewal
		if batch[0].ReceiveCount > 1 {
			return nil
		}
		time.Sleep(4 * time.Second)
		panic(errBad)
	}
	// Each case returns options and a handler that call back from one place.
	for name, from := range map[string]func(o sluice.Options, call func()) (sluice.Options, sluice.Handler){
		"a handler": func(o sluice.Options, call func()) (sluice.Options, sluice.Handler) {
			return o, func(context.Context, []*sluice.Message) error { call(); return nil }
		},
		"a handler whose context has ended": func(o sluice.Options, call func()) (sluice.Options, sluice.Handler) {
			o.HandlerTimeout = time.Second
			return o, func(ctx context.Context, batch []*sluice.Message) error { <-ctx.Done(); call(); return nil }
		},
		"a handler's panic": func(o sluice.Options, call func()) (sluice.Options, sluice.Handler) {
			return o, func(_ context.Context, batch []*sluice.Message) error {
				if batch[0].ReceiveCount > 1 {
					return nil
				}
				defer call()
				panic("no")
			}
		},
		"a handler's error": func(o sluice.Options, call func()) (sluice.Options, sluice.Handler) {
			return o, func(_ context.Context, batch []*sluice.Message) error {
				if batch[0].ReceiveCount > 1 {
					return nil
				}
				return &inquisitive{call}
			}
		},
		"the logger": func(o sluice.Options, call func()) (sluice.Options, sluice.Handler) {
			o.Logger = slog.New(nosy{slog.DiscardHandler, call})
			return o, once
		},
		"RetryDelay": func(o sluice.Options, call func()) (sluice.Options, sluice.Handler) {
			o.RetryDelay = func(*sluice.Message, error) time.Duration { call(); return time.Second }
			return o, func(_ context.Context, batch []*sluice.Message) error {
				if batch[0].ReceiveCount > 1 {
					return nil
				}
				return errBad
			}
		},
		"the Call hook": func(o sluice.Options, call func()) (sluice.Options, sluice.Handler) {
			o.Hooks.Call = func(sluice.CallEvent) { call() }
			return o, once
		},
		"the Batch hook": func(o sluice.Options, call func()) (sluice.Options, sluice.Handler) {
			o.Hooks.Batch = func(sluice.BatchEvent) { call() }
			return o, once
		},
		"the LeaseLost hook": func(o sluice.Options, call func()) (sluice.Options, sluice.Handler) {
			o.Hooks.LeaseLost = func(sluice.LeaseEvent) { call() }
			return o, once
		},
		"the Health hook": func(o sluice.Options, call func()) (sluice.Options, sluice.Handler) {
			o.Hooks.Health = func(sluice.Health) { call() }
			return o, once
		},
	} {
		t.Run(name, func(t *testing.T) {
			tell(t, func(w *world) {
				w.send(0, 25)
				if name == "the LeaseLost hook" {
					w.server.Inject(sqstest.Fault{Op: opChange, Entries: func(int) bool { return true }, Err: sqstest.InvalidReceiptHandle("?"), Times: 1})
				}
				var c *sluice.Consumer
				var ran atomic.Int64
				ctx, cancel := context.WithCancel(w.Context())
				opts, h := from(sluice.Options{PollTime: time.Second, VisibilityTimeout: 6 * time.Second, Logger: quiet}, func() {
					c.Pause()
					_, _ = c.Stats(), c.Health()
					c.Resume()
					if c.Run(ctx, takes(0)) != sluice.ErrRunning || c.Drain(ctx, takes(0)) != sluice.ErrRunning { //nolint:errorlint // it is returned as it is
						w.Error("a second run, from a callback")
					}
					c.Stop()
					cancel()
					c.Stop()
					ran.Add(1)
				})
				c = w.consumer(opts)
				err := c.Run(ctx, w.handler(h))
				if err != nil { // it tells of the leases that were lost
					require.Equal(w, "the LeaseLost hook", name)
					require.ErrorIs(w, err, sluice.ErrShutdown)
				}
				require.NotZero(w, ran.Load(), "not called back")
				w.silent()
				w.adds(c)
				for len(w.left()) > 0 { // now and then one is still hidden
					require.NoError(w, c.Drain(w.Context(), takes(0)))
					time.Sleep(time.Second)
				}
			})
		})
	}
}

// A storm starts and stops consumers from many goroutines.
type storm struct {
	*world

	mu    sync.Mutex // guards all
	all   []*sluice.Consumer
	busy  atomic.Int64 // starts of a consumer that was running
	calls atomic.Int64 // from callbacks
}

// consumer returns a consumer whose callbacks call its methods.
func (s *storm) consumer(change func(*sluice.Options)) *sluice.Consumer {
	var c *sluice.Consumer
	opts := nosyOptions(func() {
		s.calls.Add(1)
		c.Pause()
		_, _ = c.Stats(), c.Health()
		c.Resume()
	})
	change(&opts)
	c = s.world.consumer(opts)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, c)
	return c
}

// round starts c and ends its run after about d: by its context or by Stop, from
// outside or from a handler.
func (s *storm) round(c *sluice.Consumer, h sluice.Handler, d time.Duration, how int) {
	ctx, cancel := context.WithCancel(s.Context())
	defer cancel()
	end := cancel
	if how%2 == 0 {
		end = c.Stop
	}
	began := time.Now()
	timer := time.AfterFunc(d, cancel) // there may be nothing to handle
	defer timer.Stop()
	err := c.Run(ctx, s.handler(func(ctx context.Context, batch []*sluice.Message) error {
		if how >= 2 || time.Since(began) > d {
			end()
		}
		return h(ctx, batch)
	}))
	switch {
	case errors.Is(err, sluice.ErrRunning):
		s.busy.Add(1)
		time.Sleep(d)
	case err != nil:
		s.Error(err)
	}
}

// rage has ten goroutines make fifty rounds each, half of them with consumers of
// their own, the others with two that they share, while one more does to those
// what it likes.
func (s *storm) rage(change func(*sluice.Options), h sluice.Handler) {
	const goroutines, rounds = 10, 50
	shared := []*sluice.Consumer{s.consumer(change), s.consumer(change)}
	var wg, meddling sync.WaitGroup
	over := make(chan struct{})
	for g := range goroutines {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(g)))
			own := s.consumer(change)
			for i := range rounds {
				c := own
				if g%2 == 0 {
					c = shared[random.IntN(len(shared))]
				}
				s.round(c, h, time.Duration(random.Int64N(int64(700*time.Millisecond))), i%4)
			}
		})
	}
	meddling.Go(func() {
		random := rand.New(rand.NewPCG(2, 2))
		for {
			select {
			case <-over:
				return
			case <-time.After(time.Duration(random.Int64N(int64(300 * time.Millisecond)))):
			}
			c := shared[random.IntN(len(shared))]
			c.Pause()
			_, _ = c.Stats(), c.Health()
			c.Resume()
			c.Stop()
		}
	})
	wg.Wait()
	close(over)
	meddling.Wait()
}

// rest drains the queue: what failed is hidden for a while.
func (s *storm) rest(queue string, h sluice.Handler) {
	c := s.consumer(func(*sluice.Options) {})
	for len(s.server.Messages(queue)) > 0 {
		require.NoError(s, c.Drain(s.Context(), s.handler(h)))
		time.Sleep(time.Second)
	}
	s.silent()
}

// A goroutine that stayed would keep the bubble from ending, and fail the story.
func TestStartsAndStopsFromManyGoroutinesLoseAndRepeatNothing(t *testing.T) {
	for name, change := range map[string]func(*sluice.Options){
		"events":  func(o *sluice.Options) { o.Concurrency = 5 },
		"batches": func(o *sluice.Options) { o.BatchSize, o.WaitTime, o.Concurrency = 15, 300*time.Millisecond, 2 },
	} {
		t.Run(name, func(t *testing.T) {
			tell(t, func(w *world) {
				w.slow(8 * time.Millisecond)
				s := &storm{world: w}
				h := sluice.Each(func(_ context.Context, m *sluice.Message) error {
					time.Sleep(5 * time.Millisecond)
					switch {
					case m.ReceiveCount > 1:
						return nil
					case strings.HasSuffix(m.Body, "13"):
						panic("a bug")
					case strings.HasSuffix(m.Body, "7"):
						return errBad
					}
					return nil
				})
				sent := make(chan int)
				go func() { sent <- w.trickle(50, time.Minute) }()
				s.rage(change, h)
				n := <-sent
				s.rest("orders", h)

				var failed int64
				for _, c := range s.all {
					failed += c.Stats().Failed
					w.adds(c)
				}
				require.NotZero(w, failed)
				require.NotZero(w, s.busy.Load(), "no consumer was started while it ran")
				require.Equal(w, n, w.counts().Deleted)
				require.Equal(w, n+int(failed), w.counts().Deliveries, "received again only where a handler failed")
				require.Equal(w, n+int(failed), w.handled())
				handlings := map[string]int{}
				for _, call := range w.seen() {
					for _, body := range call.bodies {
						handlings[body]++
					}
				}
				for i := range n {
					body := fmt.Sprint(i)
					want := 1
					if strings.HasSuffix(body, "13") || strings.HasSuffix(body, "7") {
						want = 2
					}
					require.Equal(w, want, handlings[body], "handlings of %s", body)
				}
				w.agrees(s.all...)
				t.Logf("%d messages, %d starts of a running consumer, %d callbacks, %v", n, s.busy.Load(), s.calls.Load(), time.Since(w.began))
			})
		})
	}
}

func TestStartsAndStopsFromManyGoroutinesKeepGroupsInOrder(t *testing.T) {
	for name, change := range map[string]func(*sluice.Options){
		"events":            func(o *sluice.Options) { o.Concurrency = 5 },
		"batches":           func(o *sluice.Options) { o.BatchSize, o.WaitTime, o.Concurrency = 15, 300*time.Millisecond, 2 },
		"groups given back": func(o *sluice.Options) { o.BatchSize, o.OnGroupFailure = 3, sluice.GroupRelease },
	} {
		t.Run(name, func(t *testing.T) {
			tell(t, func(w *world) {
				const groups, each = 40, 30
				w.groups()
				w.slow(8 * time.Millisecond)
				o := w.orderly()
				h := sluice.Each(func(_ context.Context, m *sluice.Message) error {
					o.begin(m)
					ok := m.ReceiveCount > 1 || number(m)%7 != 3
					defer func() { o.end(m, ok) }()
					time.Sleep(5 * time.Millisecond)
					if !ok {
						return errBad
					}
					return nil
				})
				s := &storm{world: w}
				var sending sync.WaitGroup
				sending.Go(func() {
					for i := range each {
						for g := range groups {
							w.sendGroup(fmt.Sprintf("g%d", g), fmt.Sprintf("g%d %d", g, i))
						}
						time.Sleep(time.Second)
					}
				})
				s.rage(change, h)
				sending.Wait()
				s.rest("orders.fifo", h)

				require.Zero(w, o.again, "handled once more after a success")
				sent, _, deleted := w.fifoCounts()
				require.Equal(w, groups*each, sent)
				require.Equal(w, sent, deleted)
				for _, c := range s.all {
					w.adds(c)
				}
			})
		})
	}
}
