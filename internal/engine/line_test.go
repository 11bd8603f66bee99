package engine_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/engine"
)

func TestALineThatIsSlowBearsFewReceives(t *testing.T) {
	l := engine.NewLine(30 * time.Second)
	require.True(t, l.Takes(1000), "nothing is known")
	l.Arrived(10, 3*time.Second, 3*time.Second, 1)
	require.True(t, l.Takes(2))
	require.False(t, l.Takes(3), "three at once would take 9 s each, more than a quarter of the lease")
	l.Arrived(10, 8*time.Millisecond, 10*time.Microsecond, 2)
	require.True(t, l.Takes(5))
	require.False(t, l.Takes(6), "one quick answer says little")
	for range 20 {
		l.Arrived(10, 8*time.Millisecond, 10*time.Microsecond, 2)
	}
	require.True(t, l.Takes(1000))
}

func TestALineThatCutsIsAskedForLess(t *testing.T) {
	l, now := engine.NewLine(30*time.Second), time.Now()
	require.Equal(t, 10, l.Size(10, now))
	require.Equal(t, 5*time.Second, l.Margin(time.Second))
	l.Cut(8, now)
	require.Equal(t, 5, l.Size(10, now))
	require.Equal(t, 3, l.Size(3, now))
	require.True(t, l.Takes(3))
	require.False(t, l.Takes(4))
	require.Equal(t, 10*time.Second, l.Margin(time.Second), "and is given more time")
	require.Equal(t, 5*time.Second, l.Margin(20*time.Second), "but for a poll that is long enough")
	for range 9 {
		l.Cut(1, now)
	}
	require.Equal(t, 1, l.Size(10, now))
	require.True(t, l.Takes(0), "one receive goes always")
	require.Equal(t, 10, l.Size(10, now.Add(2*time.Minute)), "after a minute it is tried again")
	l.Arrived(5, 25*time.Second, 25*time.Second, 1)
	require.Equal(t, 3, l.Size(10, now.Add(time.Hour)), "as many as arrive in half a lease")
}
