package engine_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/engine"
)

func TestAReceiveIsRepeatedOnceWhenItsAnswerWasLost(t *testing.T) {
	var as engine.Attempts
	now := time.Now()
	first := as.Next(10, now)
	require.Equal(t, 10, first.N)
	require.False(t, first.Again)
	require.NotEqual(t, first.ID, as.Next(10, now).ID)

	as.Lost(first)
	again := as.Next(10, now.Add(time.Minute))
	require.Equal(t, first.ID, again.ID)
	require.True(t, again.Again)
	require.NotEqual(t, first.ID, as.Next(10, now.Add(time.Minute)).ID, "once")
}

func TestARepetitionIsNoLargerThanThereIsRoomFor(t *testing.T) {
	var as engine.Attempts
	now := time.Now()
	large, small := as.Next(10, now), as.Next(3, now)
	as.Lost(large)
	as.Lost(small)
	require.Equal(t, small.ID, as.Next(9, now).ID)
	require.False(t, as.Next(9, now).Again)
	require.Equal(t, large.ID, as.Next(10, now).ID)
}

func TestAReceiveIsRepeatedNoLongerThanItsIDIsKnown(t *testing.T) {
	var as engine.Attempts
	now := time.Now()
	a := as.Next(10, now)
	as.Lost(a)
	again := as.Next(10, now.Add(5*time.Minute))
	require.Equal(t, a.ID, again.ID)
	as.Lost(again)
	require.NotEqual(t, a.ID, as.Next(10, now.Add(5*time.Minute+1)).ID, "counted from the first time")
}
