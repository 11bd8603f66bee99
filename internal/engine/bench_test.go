package engine

import (
	"context"
	"log/slog"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/counters"
	"github.com/sluice-go/sluice/internal/elapsed"
)

// A shortcut is a Transport that answers at once, with as many messages as it is asked for. What
// is measured with it is the engine. It is a Listener that does not listen.
type shortcut struct {
	deliveries []Delivery // the first ones are held, the others given again and again
	held       int
	given      atomic.Int64
}

func newShortcut(held, groups int) *shortcut {
	const several = 4000 // many more than are in hand at once beside those that are held
	if held > 0 {
		held += several // those that come first are not always handled first
	}
	s := &shortcut{deliveries: make([]Delivery, held+several), held: held}
	for i := range s.deliveries {
		d := &s.deliveries[i]
		*d = Delivery{ID: "00000000-0000-0000-0000-" + strconv.Itoa(i), Bytes: 512, Receives: 1, SentAt: time.Now()}
		d.Handle = d.ID
		if groups > 0 {
			d.Group, d.Sequence = "group-"+strconv.Itoa(i%groups), strconv.Itoa(i)
		}
	}
	return s
}

func (s *shortcut) next() Delivery {
	i := int(s.given.Add(1)) - 1
	if i >= s.held {
		i = s.held + (i-s.held)%(len(s.deliveries)-s.held)
	}
	return s.deliveries[i]
}

func (s *shortcut) Receive(_ context.Context, a Ask) Answer {
	room, messages := make([]Message, a.N), make([]*Message, a.N)
	for i := range messages {
		room[i].Delivery = s.next()
		messages[i] = &room[i]
	}
	return Answer{Messages: messages}
}

func (*shortcut) Delete(_ context.Context, handles []string, _ LateBatch) (errs []error, inTime bool) {
	return make([]error, len(handles)), true
}

func (*shortcut) Release(_ context.Context, c Change) (errs []error, inTime bool) {
	return make([]error, len(c.Handles)), true
}
func (*shortcut) DeadLetter(context.Context, *Message, error) error { return nil }
func (*shortcut) Log(slog.Level, string, ...any)                    {}
func (*shortcut) LeaseLost(*Message, error)                         {}
func (*shortcut) StateChanged()                                     {}
func (*shortcut) Settled([]*Message, Settlement)                    {}
func (*shortcut) Stuck(*Call)                                       {}

// BenchmarkMessage lets messages pass through an engine whose calls and handlers take no time: an
// operation is one message, and cpu-ns/op is the processor time of the whole process for each,
// garbage collection included. Held messages are in handlers that do not end.
func BenchmarkMessage(b *testing.B) {
	for _, c := range []struct {
		name                       string
		batch, slots, groups, held int
	}{
		{name: "single", batch: 1, slots: 16},
		{name: "batch=100", batch: 100, slots: 4},
		{name: "groups=1000", batch: 1, slots: 16, groups: 1000},
		{name: "held=100000", batch: 1, slots: 16, held: 100_000},
	} {
		b.Run(c.name, func(b *testing.B) {
			transport := newShortcut(c.held, c.groups)
			benchmarkEngine(b, transport, Settings{FIFO: c.groups > 0, BatchSize: c.batch, Concurrency: c.slots + c.held}, c.held)
		})
	}
}

func benchmarkEngine(b *testing.B, transport *shortcut, s Settings, held int) {
	b.Helper()
	s.BatchBytes, s.BytesInFlight, s.Receivers, s.WaitTime = 1<<30, 1<<30, 16, time.Second
	s.Visibility, s.PollTime, s.ShutdownTimeout, s.GiveUpAfter = 11*time.Hour, 20*time.Second, time.Minute, -1
	s.MaxMessages = b.N + held
	var begun atomic.Int64
	full, release := make(chan struct{}), make(chan struct{})
	e := New(Config{
		Settings: s, Transport: transport, Told: transport, Counters: &counters.Counters{}, Clock: elapsed.New(nil),
		Rand: func() float64 { return 0.5 }, Paused: func() bool { return false },
		NewCall: func() *Call { return new(Call) },
		Handle: func(_ context.Context, c *Call) {
			c.Took = time.Since(c.Began)
			switch n := begun.Add(1); {
			case n < int64(held):
				<-release
			case n == int64(held):
				close(full) // from now on it counts
				<-release
			}
		},
	})
	var began, spent time.Duration
	if held == 0 {
		close(full)
	}
	go func() {
		<-full
		b.ReportAllocs()
		b.ResetTimer()
		began = processorTime()
		if held > 0 {
			for begun.Load() < int64(b.N+held) {
				time.Sleep(time.Millisecond)
			}
			b.StopTimer()
			spent = processorTime() - began // the ends of those that are held do not count
			close(release)
		}
	}()
	left, err := e.Run(b.Context())
	b.StopTimer()
	if held == 0 {
		spent = processorTime() - began
	}
	require.NoError(b, err)
	require.Nil(b, left)
	b.ReportMetric(float64(spent)/float64(b.N), "cpu-ns/op")
}

func processorTime() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
