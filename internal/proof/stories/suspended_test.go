//go:build suspend

package stories_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

// These run in real time, with a time package whose wall clock can be put forward; see
// TestTheWallClockOfARealMachine, which runs them.

// A batch fills when the machine falls asleep for ten minutes. The group goes on elsewhere.
func TestSuspendedWhileABatchFills(t *testing.T) {
	s := sqstest.New()
	url := s.MustCreateQueue("q.fifo", nil)
	s.Send(url, "1")
	var mu sync.Mutex
	var order []string
	note := func(who string) sluice.Handler {
		return func(_ context.Context, batch []*sluice.Message) error {
			mu.Lock()
			defer mu.Unlock()
			for _, m := range batch {
				order = append(order, who+" "+m.Body)
			}
			return nil
		}
	}
	a, _ := sluice.New(s, url, sluice.Options{Logger: quiet, BatchSize: 10, WaitTime: 4 * time.Second, PollTime: time.Second})
	b, _ := sluice.New(s, url, sluice.Options{Logger: quiet, PollTime: time.Second})
	ctxA, stopA := context.WithCancel(t.Context())
	ctxB, stopB := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = a.Run(ctxA, note("A")) })
	for a.Stats().InFlight == 0 {
		time.Sleep(10 * time.Millisecond)
	}
	a.Pause()
	time.Sleep(1500 * time.Millisecond) // its receives are back
	time.XWall.Add(600)
	wg.Go(func() { _ = b.Run(ctxB, note("B")) })
	s.Send(url, "2", "3")
	for b.Stats().Deleted < 3 {
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(5 * time.Second) // A's batch is due
	stopB()
	stopA()
	wg.Wait()
	if want := []string{"B 1", "B 2", "B 3"}; !slices.Equal(order, want) {
		t.Errorf("handled %v, want %v", order, want)
	}
}

// A handler is at work when the machine falls asleep. Awake again, it hears that it has
// lost its message.
func TestSuspendedWhileHandling(t *testing.T) {
	s := sqstest.New()
	url := s.MustCreateQueue("q", nil)
	s.Send(url, "1")
	a, _ := sluice.New(s, url, sluice.Options{Logger: quiet, PollTime: time.Second, VisibilityTimeout: 40 * time.Second})
	began, told := make(chan struct{}), make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = a.Run(ctx, func(ctx context.Context, _ []*sluice.Message) error {
			close(began)
			<-ctx.Done()
			close(told)
			return context.Cause(ctx)
		})
	})
	<-began
	a.Pause()
	time.Sleep(1500 * time.Millisecond)
	time.XWall.Add(600)
	select {
	case <-told:
	case <-time.After(10 * time.Second):
		t.Error("the handler does not know that its lease ended while the machine was asleep")
	}
	stop()
	wg.Wait()
}
