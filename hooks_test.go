package sluice_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

func TestHooksOfTwoAreBothCalled(t *testing.T) {
	var heard []string
	note := func(name string) sluice.Hooks {
		return sluice.Hooks{
			Call:      func(sluice.CallEvent) { heard = append(heard, name+" call") },
			Batch:     func(sluice.BatchEvent) { heard = append(heard, name+" batch") },
			Settled:   func(sluice.SettledEvent) { heard = append(heard, name+" settled") },
			LeaseLost: func(sluice.LeaseEvent) { heard = append(heard, name+" lease") },
			Stuck:     func(sluice.StuckEvent) { heard = append(heard, name+" stuck") },
			Health:    func(sluice.Health) { heard = append(heard, name+" health") },
		}
	}
	all := func(h sluice.Hooks) []string {
		heard = nil
		h.Call(sluice.CallEvent{})
		h.Batch(sluice.BatchEvent{})
		h.Settled(sluice.SettledEvent{})
		h.LeaseLost(sluice.LeaseEvent{})
		h.Stuck(sluice.StuckEvent{})
		h.Health(sluice.Health{})
		return heard
	}
	one := []string{"a call", "a batch", "a settled", "a lease", "a stuck", "a health"}
	require.Equal(t, one, all(note("a").And(sluice.Hooks{})))
	require.Equal(t, one, all(sluice.Hooks{}.And(note("a"))))
	require.Equal(t, []string{"a call", "b call", "a batch", "b batch", "a settled", "b settled", "a lease", "b lease", "a stuck", "b stuck", "a health", "b health"},
		all(note("a").And(note("b"))))

	heard = nil
	h := sluice.Hooks{Health: func(sluice.Health) { panic("a") }}.And(note("b"))
	require.PanicsWithValue(t, "a", func() { h.Health(sluice.Health{}) })
	require.Equal(t, []string{"b health"}, heard)
}

func TestHooksHearWhatBecameOfEachMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := sqstest.New()
		queue, dead := server.MustCreateQueue("orders", nil), server.MustCreateQueue("dead", nil)
		ends := map[string]sluice.SettleResult{}
		c, err := sluice.New(server, queue, sluice.Options{
			BatchSize: 10, DeadLetterQueueURL: dead, Logger: slog.New(slog.DiscardHandler),
			Hooks: sluice.Hooks{Settled: func(e sluice.SettledEvent) {
				for _, m := range e.Messages {
					require.NotContains(t, ends, m.Body)
					ends[m.Body] = e.Result
				}
			}},
		})
		require.NoError(t, err)
		for _, body := range []string{"fine", "late", "hopeless", "useless"} {
			server.Send(queue, body)
		}
		require.NoError(t, c.Drain(t.Context(), sluice.Each(func(_ context.Context, m *sluice.Message) error {
			switch m.Body {
			case "late":
				return sluice.RetryAfter(time.Hour, errBad)
			case "hopeless":
				return sluice.DeadLetter(errBad)
			case "useless":
				return sluice.Discard(errBad)
			default:
				return nil
			}
		})))
		require.Equal(t, map[string]sluice.SettleResult{
			"fine": sluice.ResultDeleted, "useless": sluice.ResultDeleted, "late": sluice.ResultGivenBack, "hopeless": sluice.ResultDeadLettered,
		}, ends)
	})
}

func TestHooksHearOfAHandlerThatGoesOnWithoutItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := sqstest.New()
		queue := server.MustCreateQueue("orders", nil)
		var mu sync.Mutex
		var stuck []sluice.StuckEvent
		c, err := sluice.New(server, queue, sluice.Options{
			HandlerTimeout: time.Minute, MaxMessages: 2, Logger: slog.New(slog.DiscardHandler),
			Hooks: sluice.Hooks{Stuck: func(e sluice.StuckEvent) {
				mu.Lock()
				defer mu.Unlock()
				stuck = append(stuck, e)
			}},
		})
		require.NoError(t, err)
		began := time.Now()
		server.Send(queue, "hangs")
		server.Send(queue, "heeds")
		err = c.Run(t.Context(), sluice.Each(func(ctx context.Context, m *sluice.Message) error {
			if m.Body == "heeds" {
				<-ctx.Done()
				return context.Cause(ctx)
			}
			time.Sleep(100 * time.Second)
			return nil
		}))
		require.ErrorIs(t, err, sluice.ErrShutdown, "the handler outlasts the patience of the stop")
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		require.Len(t, stuck, 1, "each call is reported once")
		require.Equal(t, "hangs", stuck[0].Messages[0].Body)
		require.ErrorIs(t, stuck[0].Err, sluice.ErrShutdown)
		require.Less(t, stuck[0].Ended.Sub(began), time.Minute)
		time.Sleep(2 * time.Minute)
	})
}

func TestAHandlerIsStuckHalfAMinuteAfterItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := sqstest.New()
		queue := server.MustCreateQueue("orders", nil)
		heard := make(chan sluice.StuckEvent, 10)
		c, err := sluice.New(server, queue, sluice.Options{
			HandlerTimeout: time.Minute, Logger: slog.New(slog.DiscardHandler),
			Hooks: sluice.Hooks{Stuck: func(e sluice.StuckEvent) { heard <- e }},
		})
		require.NoError(t, err)
		server.Send(queue, "hangs")
		server.Send(queue, "nearly")
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- c.Run(ctx, sluice.Each(func(ctx context.Context, m *sluice.Message) error {
				<-ctx.Done()
				time.Sleep(29 * time.Second)
				if m.Body == "hangs" {
					time.Sleep(time.Minute)
				}
				return sluice.Discard(errBad)
			}))
		}()
		e := <-heard
		require.Equal(t, "hangs", e.Messages[0].Body)
		require.ErrorIs(t, e.Err, sluice.ErrHandlerTimeout)
		require.Equal(t, 30*time.Second, time.Since(e.Ended))
		require.Equal(t, 90*time.Second, time.Since(e.Began))
		time.Sleep(2 * time.Minute) // until it has returned
		require.Empty(t, heard, "each call is reported once")
		stop()
		<-done
		time.Sleep(2 * time.Minute)
	})
}

func TestEventsSayWhenTheyBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := sqstest.New()
		queue := server.MustCreateQueue("orders", nil)
		server.Send(queue, "x")
		begin := time.Now()
		var calls []sluice.CallEvent
		var batches []sluice.BatchEvent
		c, err := sluice.New(server, queue, sluice.Options{PollTime: 5 * time.Second, Hooks: sluice.Hooks{
			Call:  func(e sluice.CallEvent) { calls = append(calls, e) },
			Batch: func(e sluice.BatchEvent) { batches = append(batches, e) },
		}})
		require.NoError(t, err)
		require.NoError(t, c.Drain(t.Context(), func(context.Context, []*sluice.Message) error {
			time.Sleep(3 * time.Second)
			return nil
		}))
		require.Len(t, batches, 1)
		require.WithinDuration(t, begin, batches[0].Began, time.Second)
		require.Equal(t, 3*time.Second, batches[0].Duration)
		i := slices.IndexFunc(calls, func(e sluice.CallEvent) bool { return e.Operation == "DeleteMessageBatch" })
		require.WithinDuration(t, batches[0].Began.Add(batches[0].Duration), calls[i].Began, 100*time.Millisecond)
	})
}

func TestSettleResultsHaveNames(t *testing.T) {
	text, err := json.Marshal(sluice.ResultGivenBack)
	require.NoError(t, err)
	require.Equal(t, `"given back"`, string(text))
	require.Equal(t, "SettleResult(-1)", sluice.SettleResult(-1).String())
}

func TestOptionsOfAConsumerAreThoseThatWork(t *testing.T) {
	asked := []types.MessageSystemAttributeName{types.MessageSystemAttributeNameSenderId}
	c, err := sluice.New(sqstest.New(), anyQueue, sluice.Options{VisibilityTimeout: 12 * time.Second, SystemAttributes: asked})
	require.NoError(t, err)
	require.Equal(t, anyQueue, c.QueueURL())
	o := c.Options()
	require.Equal(t, 1, o.BatchSize)
	require.Equal(t, 10, o.Concurrency)
	require.Equal(t, 8*time.Second, o.PollTime, "two thirds of the visibility timeout")
	require.NotNil(t, o.Logger)
	require.NotNil(t, o.RetryDelay)
	asked[0], o.SystemAttributes[0] = "x", "y"
	require.Equal(t, types.MessageSystemAttributeNameSenderId, c.Options().SystemAttributes[0])
}

func TestStatsShowHowMuchOfALeaseIsLeftAtItsRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := sqstest.New()
		queue := server.MustCreateQueue("orders", nil)
		server.Send(queue, "x")
		c, err := sluice.New(server, queue, sluice.Options{VisibilityTimeout: 30 * time.Second})
		require.NoError(t, err)
		require.NoError(t, c.Drain(t.Context(), func(context.Context, []*sluice.Message) error {
			require.Zero(t, c.Stats().LeaseMargin, "nothing was renewed yet")
			time.Sleep(time.Minute)
			require.InDelta(t, 15*time.Second, c.Stats().LeaseMargin, float64(6*time.Second))
			return nil
		}))
		require.Zero(t, c.Stats().LeaseMargin, "there is no run")
	})
}
