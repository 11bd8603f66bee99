package sluice_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/seam"
	"github.com/sluice-go/sluice/sqstest"
)

// consume runs a consumer of a new queue for so long, and returns it.
func consume(t *testing.T, s *sqstest.Server, url string, o sluice.Options, d time.Duration, h sluice.Handler) *sluice.Consumer {
	t.Helper()
	o.Logger = slog.New(slog.DiscardHandler)
	c, err := sluice.New(s, url, o)
	require.NoError(t, err)
	ctx, stop := context.WithTimeout(t.Context(), d)
	defer stop()
	if err = c.Run(ctx, h); err != nil {
		require.ErrorIs(t, err, sluice.ErrShutdown, "it left what it could not settle")
	}
	return c
}

func TestFailuresSayWhichMessagesFailedAndWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sqstest.New()
		url := s.MustCreateQueue("q", nil)
		ids := s.Send(url, "bad", "good")
		c := consume(t, s, url, sluice.Options{BatchSize: 2}, 20*time.Second, func(_ context.Context, batch []*sluice.Message) error {
			return sluice.Failed(batch[0], sluice.RetryAfter(time.Hour, errors.New("no stock of <b>")))
		})
		fs := c.Failures()
		require.Len(t, fs, 1)
		require.Equal(t, sluice.OperationHandler, fs[0].Operation)
		require.Equal(t, "no stock of <b>", fs[0].Text, "without the message's id, so that equal ones are one")
		require.Equal(t, ids[0], fs[0].MessageID)
		require.EqualValues(t, 1, fs[0].Count)
	})
}

func TestFailuresOfSQSAreWhatItSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sqstest.New()
		url := s.MustCreateQueue("q", nil)
		s.Inject(sqstest.Fault{Op: "ReceiveMessage", Skip: 1, Err: sqstest.AccessDenied()})
		c := consume(t, s, url, sluice.Options{PollTime: time.Second}, time.Minute, func(context.Context, []*sluice.Message) error { return nil })
		fs := c.Failures()
		require.Len(t, fs, 1, "requests differ in their ids only")
		require.Equal(t, "ReceiveMessage", fs[0].Operation)
		require.True(t, strings.HasPrefix(fs[0].Text, "AccessDenied"), fs[0].Text)
		require.Greater(t, fs[0].Count, int64(1))
		require.True(t, fs[0].Last.After(fs[0].First))
		require.Equal(t, c.Stats().Errors["ReceiveMessage"], fs[0].Count)
	})
}

func TestALostLeaseIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sqstest.New()
		url := s.MustCreateQueue("q", nil)
		ids := s.Send(url, "slow")
		s.Inject(sqstest.Fault{Op: "ChangeMessageVisibilityBatch", Err: sqstest.Unavailable()})
		c := consume(t, s, url, sluice.Options{VisibilityTimeout: 4 * time.Second}, 10*time.Second, func(ctx context.Context, _ []*sluice.Message) error {
			<-ctx.Done()
			return context.Cause(ctx)
		})
		byOperation := map[string]sluice.Failure{}
		for _, f := range c.Failures() {
			byOperation[f.Operation] = f
		}
		require.Equal(t, ids[0], byOperation[sluice.OperationLease].MessageID)
		require.Contains(t, byOperation[sluice.OperationHandler].Text, "lease lost")
		require.Contains(t, byOperation["ChangeMessageVisibilityBatch"].Text, "ServiceUnavailable")
	})
}

func TestAnErrorWhoseTextPanicsIsAFailureWithoutText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sqstest.New()
		url := s.MustCreateQueue("q", nil)
		s.Send(url, "bad")
		c := consume(t, s, url, sluice.Options{}, time.Second, func(context.Context, []*sluice.Message) error { return exits{} })
		require.Len(t, c.Failures(), 1)
		require.Empty(t, c.Failures()[0].Text)
	})
}

func TestStatsCountReceiveCountsAndTheMessagesOfBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sqstest.New()
		url := s.MustCreateQueue("q", nil)
		s.Send(url, "1", "2", "3", "bad")
		c := consume(t, s, url, sluice.Options{BatchSize: 10}, time.Minute, func(_ context.Context, batch []*sluice.Message) error {
			for _, m := range batch {
				if m.Body == "bad" && m.ReceiveCount < 15 {
					return sluice.Failed(m, sluice.RetryAfter(0, errors.New("again")))
				}
			}
			return nil
		})
		stats := c.Stats()
		require.Equal(t, map[int]int64{1: 4, 2: 1, 3: 1, 4: 1, 5: 1, 6: 1, 7: 1, 8: 1, 9: 1, 10: 6}, stats.ReceiveCounts)
		require.EqualValues(t, 4+14, stats.BatchMessages)
		require.EqualValues(t, 4+14, stats.Received)
	})
}

func TestARunThatWorksIsNeverStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sqstest.New()
		url := s.MustCreateQueue("q", nil)
		c, err := sluice.New(s, url, sluice.Options{Logger: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		require.Zero(t, c.Stalled(), "there is no run")
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			ended <- c.Run(ctx, func(ctx context.Context, _ []*sluice.Message) error {
				<-ctx.Done() // until the stop's patience is over
				return nil
			})
		}()
		for minute := range 60 {
			if minute == 20 {
				c.Pause()
			}
			if minute == 40 {
				c.Resume()
				s.Send(url, "slow")
			}
			time.Sleep(time.Minute)
			require.Zero(t, c.Stalled(), "idle, paused, or with a handler that takes long")
		}
		stop()
		for range 40 {
			require.LessOrEqual(t, c.Stalled(), 3*time.Second)
			time.Sleep(time.Second)
		}
		require.NoError(t, <-ended)
		require.Zero(t, c.Stalled())
	})
}

func TestARunThatHangsIsStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sqstest.New()
		url := s.MustCreateQueue("q", nil)
		var hangs atomic.Bool
		o := sluice.Options{Logger: slog.New(slog.DiscardHandler)}
		seam.Set(&o, seam.Seams{WallClock: func(time.Time) time.Duration {
			for hangs.Load() { // in a turn of the loop
				time.Sleep(time.Second)
			}
			return 0
		}})
		c, err := sluice.New(s, url, o)
		require.NoError(t, err)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- c.Run(ctx, func(context.Context, []*sluice.Message) error { return nil }) }()
		synctest.Wait()
		hangs.Store(true)
		s.Send(url, "1")
		time.Sleep(time.Second)
		require.Zero(t, c.Stalled(), "it was not asked before")
		time.Sleep(time.Minute)
		require.Equal(t, time.Minute, c.Stalled())
		hangs.Store(false)
		time.Sleep(2 * time.Second)
		require.Zero(t, c.Stalled())
		stop()
		require.NoError(t, <-ended)
	})
}
