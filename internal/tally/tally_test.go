package tally_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/tally"
)

func TestAStateIsEnteredOnce(t *testing.T) {
	var ta tally.Tally
	noon := time.Date(2026, time.January, 1, 12, 0, 0, 0, time.UTC)
	state, since, failure := ta.State()
	require.Empty(t, state)
	require.Zero(t, since)
	require.NoError(t, failure)

	before, changed := ta.Enter("receiving", noon)
	require.Empty(t, before)
	require.True(t, changed)
	before, changed = ta.Enter("receiving", noon.Add(time.Hour))
	require.Equal(t, "receiving", before)
	require.False(t, changed)
	_, since, _ = ta.State()
	require.Equal(t, noon, since, "it began then")

	before, changed = ta.Enter("paused", noon.Add(time.Hour))
	require.Equal(t, "receiving", before)
	require.True(t, changed)
	state, since, _ = ta.State()
	require.Equal(t, "paused", state)
	require.Equal(t, noon.Add(time.Hour), since)
}

func TestTheErrorIsThatOfTheNewestReceive(t *testing.T) {
	var ta tally.Tally
	down := errors.New("down")
	ta.Receiving(down)
	_, _, failure := ta.State()
	require.Equal(t, down, failure)
	ta.Receiving(nil)
	_, _, failure = ta.State()
	require.NoError(t, failure)
}

func TestRestEmptiesTheGaugesAndKeepsTheCounts(t *testing.T) {
	var ta tally.Tally
	ta.Received.Add(3)
	ta.LastReceive.Store(4)
	ta.InFlight.Store(5)
	ta.Bytes.Store(6)
	ta.Handlers.Store(7)
	ta.Oldest.Store(8)
	ta.Rest()
	require.EqualValues(t, 3, ta.Received.Load())
	require.EqualValues(t, 4, ta.LastReceive.Load())
	require.Zero(t, ta.InFlight.Load())
	require.Zero(t, ta.Bytes.Load())
	require.Zero(t, ta.Handlers.Load())
	require.Zero(t, ta.Oldest.Load())
}

func TestACounterCountsByName(t *testing.T) {
	c := tally.NewCounter("apples", "pears")
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			for range 100 {
				c.Add("pears")
			}
		})
	}
	wg.Wait()
	require.Equal(t, map[string]int64{"apples": 0, "pears": 1000}, c.Counts())
	require.Panics(t, func() { c.Add("plums") })
}

func TestAMomentIsNoneOrATime(t *testing.T) {
	require.Zero(t, tally.Moment(0))
	now := time.Now()
	require.True(t, now.Equal(tally.Moment(now.UnixNano())))
}
