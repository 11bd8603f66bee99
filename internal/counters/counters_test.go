package counters_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/counters"
)

func TestAStateIsEnteredOnce(t *testing.T) {
	const stopped, receiving, paused = 0, 1, 2
	var c counters.Counters
	noon := time.Date(2026, time.January, 1, 12, 0, 0, 0, time.UTC)
	state, since, failure := c.State()
	require.Equal(t, stopped, state)
	require.Zero(t, since)
	require.NoError(t, failure)

	before, changed := c.Enter(receiving, noon)
	require.Equal(t, stopped, before)
	require.True(t, changed)
	before, changed = c.Enter(receiving, noon.Add(time.Hour))
	require.Equal(t, receiving, before)
	require.False(t, changed)
	_, since, _ = c.State()
	require.Equal(t, noon, since, "it began then")

	before, changed = c.Enter(paused, noon.Add(time.Hour))
	require.Equal(t, receiving, before)
	require.True(t, changed)
	state, since, _ = c.State()
	require.Equal(t, paused, state)
	require.Equal(t, noon.Add(time.Hour), since)
}

func TestTheErrorIsWhatIsRefusedElseThatOfTheNewestReceive(t *testing.T) {
	var c counters.Counters
	down, denied := errors.New("down"), errors.New("denied")
	c.Receiving(down)
	_, _, failure := c.State()
	require.Equal(t, down, failure)
	c.Refusing(denied)
	_, _, failure = c.State()
	require.Equal(t, denied, failure)
	c.Refusing(nil)
	c.Receiving(nil)
	_, _, failure = c.State()
	require.NoError(t, failure)
}

func TestRestEmptiesTheGaugesAndKeepsTheCounts(t *testing.T) {
	var c counters.Counters
	c.Received.Add(3)
	c.LastReceive.Store(4)
	c.InFlight.Store(5)
	c.Bytes.Store(6)
	c.Handlers.Store(7)
	c.Oldest.Store(8)
	c.Rest()
	require.EqualValues(t, 3, c.Received.Load())
	require.EqualValues(t, 4, c.LastReceive.Load())
	require.Zero(t, c.InFlight.Load())
	require.Zero(t, c.Bytes.Load())
	require.Zero(t, c.Handlers.Load())
	require.Zero(t, c.Oldest.Load())
}

func TestAProbeUnderWayHasWaitedForAsLongAsItTakes(t *testing.T) {
	var c counters.Counters
	now := time.Now()
	require.Zero(t, c.Wait(now))
	c.ProcessorWait.Store(int64(time.Second))
	require.Equal(t, time.Second, c.Wait(now))
	c.ProbedAt.Store(now.UnixNano())
	require.Equal(t, time.Second, c.Wait(now.Add(time.Millisecond)))
	require.Equal(t, 3*time.Second, c.Wait(now.Add(3*time.Second)))
}

func TestAMomentIsNoneOrATime(t *testing.T) {
	require.Zero(t, counters.Moment(0))
	now := time.Now()
	require.True(t, now.Equal(counters.Moment(now.UnixNano())))
}
