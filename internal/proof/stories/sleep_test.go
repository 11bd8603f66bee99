package stories_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/seam"
	"github.com/sluice-go/sluice/sqstest"
)

// A machine sleeps now and then: its wall clock is ahead of its monotonic one afterwards.
type machine struct {
	mu   sync.Mutex // guards naps
	naps []nap
}

// A nap is a time at which the clocks come apart.
type nap struct {
	at time.Time
	by time.Duration // negative: the wall clock was set back
}

// sleeps lets the clocks come apart now.
func (m *machine) sleeps(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.naps = append(m.naps, nap{time.Now(), d})
}

func (m *machine) ahead(t time.Time) (d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range m.naps {
		if !t.Before(n.at) {
			d += n.by
		}
	}
	return d
}

// on returns a consumer on the machine.
func (w *world) on(m *machine, opts sluice.Options) *sluice.Consumer {
	w.Helper()
	seam.Set(&opts, seam.Seams{WallClock: m.ahead})
	return w.consumer(opts)
}

// expireAll ends the leases of all messages in flight, as SQS does while a machine sleeps.
func (w *world) expireAll() {
	for _, m := range w.left() {
		w.server.ExpireLease(w.url, m.ID)
	}
}

func TestAHandlerHearsWithinASecondThatItsLeaseEndedWhileTheMachineSlept(t *testing.T) {
	for _, fifo := range []bool{false, true} {
		tell(t, func(w *world) {
			if fifo {
				w.groups()
				w.sendGroup("a", "a 0")
			} else {
				w.send(0, 1)
			}
			var m machine
			c := w.on(&m, sluice.Options{VisibilityTimeout: 40 * time.Second, PollTime: time.Second})
			var calls atomic.Int64
			var told time.Time
			var cause error
			stop := w.run(c, func(ctx context.Context, _ []*sluice.Message) error {
				if calls.Add(1) > 1 {
					return nil
				}
				<-ctx.Done()
				told, cause = time.Now(), context.Cause(ctx)
				return cause
			})
			time.Sleep(1500 * time.Millisecond)
			m.sleeps(10 * time.Minute)
			woken := time.Now()
			time.Sleep(3 * time.Second)
			synctest.Wait() // the handler has returned
			require.ErrorIs(w, cause, sluice.ErrLeaseLost)
			require.LessOrEqual(w, told.Sub(woken), time.Second)
			require.EqualValues(w, 1, c.Stats().LeasesLost)
			w.expireAll()
			time.Sleep(time.Second)
			require.NoError(w, stop())
			require.Empty(w, w.left())
		})
	}
}

func TestABatchThatWaitedWhileTheMachineSleptIsNotHandled(t *testing.T) {
	for _, pause := range []time.Duration{0, time.Second, 2500 * time.Millisecond, 3998 * time.Millisecond} {
		tell(t, func(w *world) {
			w.groups()
			w.sendGroup("a", "a 0")
			var m machine
			var mu sync.Mutex
			var order []string
			note := func(who string) sluice.Handler {
				return func(_ context.Context, batch []*sluice.Message) error {
					mu.Lock()
					defer mu.Unlock()
					for _, m := range batch {
						order = append(order, who+m.Body)
					}
					return nil
				}
			}
			a := w.on(&m, sluice.Options{BatchSize: 10, WaitTime: 4 * time.Second, PollTime: time.Second})
			stopA := w.run(a, note("A "))
			time.Sleep(time.Millisecond)
			a.Pause()
			time.Sleep(pause)
			m.sleeps(10 * time.Minute)
			w.expireAll()
			stopB := w.run(w.consumer(sluice.Options{PollTime: time.Second}), note("B "))
			w.sendGroup("a", "a 1")
			time.Sleep(time.Minute)
			require.NoError(w, stopB())
			require.NoError(w, stopA())
			require.Equal(w, []string{"B a 0", "B a 1"}, order)
			require.Empty(w, w.left())
		})
	}
}

// A handler that returns just after the machine woke up has handled its message for
// nothing: another consumer has it, and its group.
func TestAMessageOfAGroupIsNotDeletedAfterTheMachineSlept(t *testing.T) {
	tell(t, func(w *world) {
		w.groups()
		w.sendGroup("a", "a 0")
		w.sendGroup("a", "a 1")
		var m machine
		c := w.on(&m, sluice.Options{PollTime: time.Second})
		woken := make(chan struct{})
		var seen []string
		stop := w.run(c, func(_ context.Context, batch []*sluice.Message) error {
			seen = append(seen, batch[0].Body)
			<-woken
			return nil
		})
		time.Sleep(1500 * time.Millisecond)
		c.Pause()
		time.Sleep(time.Second)
		m.sleeps(10 * time.Minute)
		w.expireAll()
		close(woken)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(w, []string{"a 0"}, seen, "what is behind it is not handled either")
		require.Zero(w, w.calls(opDelete))
		require.Zero(w, w.calls(opChange))
		require.Len(w, w.left(), 2)
		require.NoError(w, stop())
	})
}

func TestAClockThatIsSetALittleCostsNoLease(t *testing.T) {
	for _, by := range []time.Duration{50 * time.Millisecond, 5 * time.Second, -5 * time.Second, -time.Hour} {
		tell(t, func(w *world) {
			w.send(0, 20)
			var m machine
			c := w.on(&m, sluice.Options{Concurrency: 20})
			stop := w.run(c, w.handler(takes(2*time.Minute)))
			for range 4 {
				time.Sleep(29500 * time.Millisecond)
				m.sleeps(by)
			}
			time.Sleep(time.Minute)
			require.NoError(w, stop())
			require.Zero(w, c.Stats().LeasesLost)
			w.eachOnce(20)
		})
	}
}

func TestShutdownTimeoutGoesOnWhileTheMachineSleeps(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 1)
		var m machine
		c := w.on(&m, sluice.Options{ShutdownTimeout: 10 * time.Minute, VisibilityTimeout: time.Hour})
		var cause error
		ctx, cancel := context.WithCancel(w.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- c.Run(ctx, func(ctx context.Context, _ []*sluice.Message) error {
				<-ctx.Done()
				cause = context.Cause(ctx)
				return cause
			})
		}()
		time.Sleep(time.Minute)
		cancel()
		time.Sleep(time.Minute)
		m.sleeps(9 * time.Minute)
		woken := time.Now()
		err := <-ended
		require.ErrorIs(w, cause, sluice.ErrShutdown)
		require.ErrorIs(w, err, sluice.ErrShutdown)
		require.Less(w, time.Since(woken), 2*time.Second)
	})
}

func TestAReceiveIsNotRepeatedWhenTheMachineSleptForLongerThanItsIDIsKnown(t *testing.T) {
	for slept, repeated := range map[time.Duration]bool{0: true, time.Minute: true, 5 * time.Minute: false} {
		tell(t, func(w *world) {
			w.groups()
			var m machine
			e := w.watch()
			w.server.Inject(sqstest.Fault{Op: opReceive, Err: context.DeadlineExceeded, Times: 1, Wait: 2 * time.Millisecond})
			stop := w.run(w.on(&m, sluice.Options{}), w.handler(nil))
			time.Sleep(time.Millisecond)
			m.sleeps(slept)
			time.Sleep(time.Minute)
			require.NoError(w, stop())
			ids := e.attempts()
			require.Greater(w, len(ids), 1)
			require.Equal(w, repeated, ids[0] == ids[1], "after %v", slept)
		})
	}
}

// Nothing is held, so nothing can be lost: nobody looks at the clock.
func TestAnIdleConsumerDoesNotLookAtTheClock(t *testing.T) {
	tell(t, func(w *world) {
		looks := 0
		var mu sync.Mutex
		var opts sluice.Options
		seam.Set(&opts, seam.Seams{WallClock: func(time.Time) time.Duration {
			mu.Lock()
			defer mu.Unlock()
			looks++
			return 0
		}})
		c := w.consumer(opts)
		stop := w.run(c, w.handler(nil))
		time.Sleep(time.Minute)
		synctest.Wait()
		mu.Lock()
		before := looks
		mu.Unlock()
		time.Sleep(time.Hour)
		mu.Lock()
		after := looks
		mu.Unlock()
		require.Less(w, after-before, 400, "two or so each poll")
		require.NoError(w, stop())
	})
}

// NTP sets a clock, or a virtual machine comes back with that of its snapshot. How old messages
// are when they come is then another figure than before, and has to be found out once more.
func TestAClockThatIsSetCostsFewCalls(t *testing.T) {
	for by, most := range map[time.Duration]float64{
		0: 0.25, time.Second: 0.3, 10 * time.Second: 0.3, time.Hour: 0.3, // as after a sleep
		-time.Second: 0.25, -10 * time.Second: 0.25, -time.Hour: 0.25,
	} {
		t.Run(by.String(), func(t *testing.T) {
			tell(t, func(w *world) {
				w.slow(8 * time.Millisecond)
				var m machine
				c := w.on(&m, sluice.Options{BatchSize: 100, WaitTime: 5 * time.Second, VisibilityTimeout: 12 * time.Hour})
				stop := w.run(c, w.handler(func(context.Context, []*sluice.Message) error { return nil }))
				n := w.trickle(15, 2*time.Minute)
				m.sleeps(by)
				n += w.trickleFrom(n, 15, 3*time.Minute)
				time.Sleep(30 * time.Second)
				require.NoError(w, stop())
				w.eachOnce(n)
				require.LessOrEqual(w, w.perMessage(), most, "calls for each message")
			})
		})
	}
}
