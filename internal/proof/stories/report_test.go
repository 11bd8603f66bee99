package stories_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

// lines is a log that a story reads once the run is over.
func lines(out *bytes.Buffer) *slog.Logger {
	return slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func TestBatchesAreCountedByTheReasonTheyWereHandedOverFor(t *testing.T) {
	tellBoth(t, func(w *world) {
		c := w.consumer(sluice.Options{BatchSize: 10, BatchBytes: 2000, WaitTime: 5 * time.Second, PollTime: time.Second})
		stop := w.run(c, w.handler(nil))
		time.Sleep(500 * time.Millisecond)
		w.send(0, 20)
		time.Sleep(10 * time.Second)
		require.Equal(w, map[sluice.Reason]int64{sluice.ReasonFull: 2, sluice.ReasonBytes: 0, sluice.ReasonWaitTime: 0, sluice.ReasonDrained: 0, sluice.ReasonStopping: 0}, c.Stats().Batches)
		w.send(20, 3)
		time.Sleep(10 * time.Second)
		require.EqualValues(w, 1, c.Stats().Batches[sluice.ReasonWaitTime])
		w.server.Send(w.url, strings.Repeat("a", 900), strings.Repeat("b", 900), strings.Repeat("c", 900))
		time.Sleep(10 * time.Second)
		require.EqualValues(w, 1, c.Stats().Batches[sluice.ReasonBytes])
		require.EqualValues(w, 2, c.Stats().Batches[sluice.ReasonWaitTime], "the third of them")
		w.send(23, 1)
		time.Sleep(time.Second)
		require.NoError(w, stop())
		require.EqualValues(w, 1, c.Stats().Batches[sluice.ReasonStopping])
		w.send(24, 1)
		require.NoError(w, c.Drain(w.Context(), w.handler(nil)))
		require.EqualValues(w, 1, c.Stats().Batches[sluice.ReasonDrained])
		w.agrees(c)
	})
}

func TestExpiredCredentialsAreSeenAndTheRunGoesOnWhenTheyAreRenewed(t *testing.T) {
	tellBoth(t, func(w *world) {
		var states []sluice.Health
		c := w.consumer(sluice.Options{Hooks: sluice.Hooks{Health: func(h sluice.Health) { states = append(states, h) }}})
		w.send(0, 10)
		end := w.outage(sqstest.ExpiredToken())
		stop := w.run(c, w.handler(nil))
		time.Sleep(20 * time.Minute)
		health := c.Health()
		require.Equal(w, sluice.StateBackingOff, health.State)
		require.LessOrEqual(w, health.Since.Sub(w.began), 10*time.Second)
		var coded smithy.APIError
		require.ErrorAs(w, health.Err, &coded)
		require.Equal(w, "ExpiredToken", coded.ErrorCode())
		end()
		time.Sleep(time.Minute)
		require.Equal(w, 10, w.handled())
		require.NoError(w, c.Health().Err)
		require.NoError(w, stop())
		require.Len(w, states, 5, "receiving, backing off, receiving, stopping, stopped")
		require.Equal(w, sluice.StateBackingOff, states[1].State)
		require.Error(w, states[1].Err)
		require.Contains(w, []sluice.State{sluice.StateReceiving, sluice.StateWaiting}, states[2].State)
		require.NoError(w, states[2].Err)
		w.eachOnce(10)
	})
}

func TestAnOutageIsOneWarningAMinuteAndOneLineAtItsEnd(t *testing.T) {
	tellBoth(t, func(w *world) {
		var out bytes.Buffer
		c := w.consumer(sluice.Options{Logger: lines(&out)})
		stop := w.run(c, w.handler(nil))
		time.Sleep(time.Minute)
		for range 3 {
			end := w.outage(sqstest.Unavailable())
			time.Sleep(time.Hour)
			end()
			time.Sleep(5 * time.Minute)
		}
		require.NoError(w, stop())
		warnings := strings.Count(out.String(), `level=WARN msg="receiving fails"`)
		require.Equal(w, warnings, strings.Count(out.String(), "level=WARN"), out.String())
		require.Greater(w, warnings, 3*30, "at least every other minute: receives back off up to 30 s")
		require.LessOrEqual(w, warnings, 3*61)
		require.Equal(w, 3, strings.Count(out.String(), `level=INFO msg="receiving again"`))
		require.Zero(w, strings.Count(out.String(), "level=ERROR"))
		require.Equal(w, 6, strings.Count(out.String(), "level=INFO"), "the run begins, is stopping and ends, too")
	})
}

func TestASingleReceiveThatFailsIsNoNews(t *testing.T) {
	tell(t, func(w *world) {
		var out bytes.Buffer
		w.server.Inject(sqstest.Fault{Op: opReceive, Err: sqstest.Reset(), Match: func(c sqstest.Call) bool { return c.N%3 == 0 }})
		c := w.consumer(sluice.Options{Logger: lines(&out)})
		stop := w.run(c, w.handler(nil))
		for i := range 100 {
			w.send(i, 1)
			time.Sleep(7 * time.Second)
		}
		require.NoError(w, stop())
		require.Equal(w, 3, strings.Count(out.String(), "\n"), "that the run begins, is stopping and ends: %s", &out)
		require.NotZero(w, c.Stats().Errors[opReceive])
		w.eachOnce(100)
	})
}

func TestARunThatEndsByItselfSaysWhyOnce(t *testing.T) {
	tellBoth(t, func(w *world) {
		var out bytes.Buffer
		c := w.consumer(sluice.Options{Logger: lines(&out), Receivers: 8})
		w.outage(sqstest.AccessDenied())
		err := c.Run(w.Context(), w.handler(nil))
		require.ErrorContains(w, err, "sluice: receiving from "+w.url)
		require.Equal(w, 1, strings.Count(err.Error(), "sluice:"))
		var coded smithy.APIError
		require.ErrorAs(w, err, &coded)
		require.Equal(w, 1, strings.Count(out.String(), "level=ERROR"), out.String())
		require.Contains(w, out.String(), w.url)
	})
}
