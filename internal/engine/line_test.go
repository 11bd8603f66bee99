package engine_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/engine"
)

// arrival is one of got messages of those asked for that has been arriving for so long.
func arrival(got, asked int, arriving time.Duration, out int) engine.Arrival {
	return engine.Arrival{Asked: asked, Got: got, Bytes: got << 10, Took: arriving, Arriving: arriving, Out: out}
}

var quick = engine.Arrival{Asked: 10, Got: 10, Took: 8 * time.Millisecond, Bytes: 10 << 10, Arriving: 10 * time.Microsecond, Out: 2}

func TestALineThatIsSlowBearsFewReceives(t *testing.T) {
	l := engine.NewLine(30 * time.Second)
	require.True(t, l.Takes(1000), "nothing is known")
	l.Arrived(arrival(10, 10, 3*time.Second, 1))
	require.True(t, l.Takes(2))
	require.False(t, l.Takes(3), "three at once would take 9 s each, more than a quarter of the lease")
	l.Arrived(quick)
	require.True(t, l.Takes(5))
	require.False(t, l.Takes(6), "one quick answer says little")
	for range 100 {
		l.Arrived(quick)
	}
	require.True(t, l.Takes(1000))
}

func TestALineBearsFewReceivesWhereTheNextAnswersMayBeLarger(t *testing.T) {
	l := engine.NewLine(20 * time.Second)
	l.Arrived(arrival(10, 10, 2*time.Second, 1))
	for range 5 {
		l.Arrived(arrival(2, 2, 800*time.Millisecond, 2))
	}
	require.True(t, l.Takes(2))
	require.False(t, l.Takes(3), "receives for ten would take 6 s each")
	l = engine.NewLine(20 * time.Second)
	l.Arrived(arrival(2, 10, 400*time.Millisecond, 1))
	for range 40 {
		l.Arrived(arrival(2, 10, 800*time.Millisecond, 2))
	}
	require.True(t, l.Takes(12), "it is SQS that gives no more")
	require.False(t, l.Takes(13))
	l.Arrived(arrival(10, 10, 4*time.Second, 2))
	l.Arrived(arrival(2, 10, 800*time.Millisecond, 2))
	require.False(t, l.Takes(3), "but it has")
}

// Ten messages take 9 s: more than a quarter of the lease, which is as long as answers should take
// that share a line.
func TestLinesThatAreNotSharedBearAsManyReceivesAsThereMayBe(t *testing.T) {
	l, now := engine.NewLine(30*time.Second), time.Now()
	out := 1
	for range 20 {
		l.Arrived(arrival(10, 10, 9*time.Second, out))
		if l.Takes(out) {
			out++
		}
		now = now.Add(9 * time.Second)
	}
	require.Equal(t, 21, out)
	l.Arrived(arrival(10, 10, 9*time.Second, 1))
	require.True(t, l.Takes(20), "the first one that was sent of many")
	require.Equal(t, 10, l.Size(10, now))
	for range 4 {
		l.Arrived(arrival(10, 10, 9*time.Second*time.Duration(out), out))
	}
	require.True(t, l.Takes(0))
	require.False(t, l.Takes(1), "they have come to share it")
	require.Equal(t, 1, l.Size(10, now), "as many as arrive in two fifths of a lease")
}

func TestALineWhoseAnswersShareItIsTriedAgainNowAndThen(t *testing.T) {
	l := engine.NewLine(30 * time.Second)
	twice := 0
	for range 100 {
		l.Arrived(arrival(10, 10, 9*time.Second, 1))
		for l.Takes(1) {
			l.Arrived(arrival(10, 10, 18*time.Second, 2))
			twice++
		}
	}
	require.InDelta(t, 25, twice, 10)
}

func TestOneSlowAnswerDoesNotSayThatAllShareALine(t *testing.T) {
	l := engine.NewLine(30 * time.Second)
	for out := range 8 {
		l.Arrived(arrival(10, 10, 9*time.Second, out+1))
	}
	l.Arrived(arrival(10, 10, 12*time.Second, 8))
	require.True(t, l.Takes(8))
}

func TestPollsAreShorterWhereMessagesGoOnArriving(t *testing.T) {
	l, poll := engine.NewLine(30*time.Second), 20*time.Second
	require.Equal(t, poll, l.Wait(poll), "nothing is known")
	l.Arrived(quick)
	require.Equal(t, poll, l.Wait(poll))
	l.Arrived(arrival(1, 10, 9500*time.Millisecond, 1))
	require.Equal(t, 14*time.Second, l.Wait(poll), "and a message of 9.5 s: four fifths of a lease")
	l.Arrived(arrival(1, 10, 25*time.Second, 1))
	require.Equal(t, time.Second, l.Wait(poll), "the shortest poll")
	require.Equal(t, time.Second, l.Wait(time.Second))
}

func TestALineRemembersLargeMessagesAmongSmallOnes(t *testing.T) {
	l, now := engine.NewLine(20*time.Second), time.Now()
	large, small := arrival(4, 10, 10*time.Second, 1), arrival(10, 10, 80*time.Millisecond, 1)
	for range 20 {
		l.Arrived(large)
		l.Arrived(small)
		require.LessOrEqual(t, l.Size(10, now), 3, "2.5 s for a large one, two fifths of a lease for all")
	}
	for range 30 {
		l.Arrived(small)
	}
	require.Equal(t, 10, l.Size(10, now), "none of late")
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
	l.Arrived(arrival(5, 5, 25*time.Second, 1))
	require.Equal(t, 2, l.Size(10, now.Add(time.Hour)), "as many as arrive in two fifths of a lease")
}
