package pace_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/pace"
)

const trip = 10 * time.Millisecond // of a call; half of it is the way back

// meeting is a pace that meets answers, one after the other.
type meeting struct {
	t     *testing.T
	p     *pace.Pace
	at    time.Duration
	since []time.Time // of the receives that are out
	skew  time.Duration
}

func meet(t *testing.T, c pace.Config) *meeting { return &meeting{t: t, p: pace.New(c)} }

// fill sends all receives that may go out, and returns how many are.
func (m *meeting) fill() int {
	for {
		n, _ := m.p.Next(view(m.at, 10_000, 0, 0))
		if n == 0 {
			return len(m.since)
		}
		m.since = append(m.since, m.p.Sent(n))
	}
}

// answer lets a receive come back that took so long and brought n messages, which lay in
// the queue for so long before it went out; less than nothing: they were sent while it waited.
func (m *meeting) answer(n int, took, lay time.Duration) int {
	m.fill()
	m.at += took
	a := pace.Answer{Asked: 10, Got: n, Hungry: true, Sent: began.Add(m.at - took), Since: m.since[0]}
	m.since = m.since[1:]
	if n > 0 {
		a.Aged, a.Oldest, a.Youngest = n, lay+took+m.skew, max(trip/2, lay+took-trip/2)+m.skew
	}
	m.p.Answered(a, view(m.at, 10_000, 0, 0))
	return m.fill()
}

// waited lets a receive come back that has waited for its message.
func (m *meeting) waited() int { return m.answer(1, 2*time.Second, -2*time.Second+trip/2) }

func TestAMessageThatLayInTheQueueSpeaksForAReceiverMoreWhateverTheAnswersSize(t *testing.T) {
	for _, size := range []int{1, 3, 9} {
		for _, skew := range []time.Duration{0, time.Hour, -time.Hour} {
			m := meet(t, events(10_000))
			m.skew = skew
			require.LessOrEqual(t, m.waited(), 2)
			n := 0
			for range 16 {
				n = m.answer(size, trip, 2*trip)
			}
			require.Equal(t, 16, n, "answers of %d, clocks that differ by %v", size, skew)
		}
	}
}

func TestMessagesThatDidNotLieInTheQueueSpeakForNone(t *testing.T) {
	m := meet(t, events(10_000))
	m.waited()
	for range 1000 {
		m.answer(7, trip, trip/4)
	}
	require.LessOrEqual(t, m.fill(), 2, "one, and a spare one")
}

func TestWhereNoReceiveEverWaitsItIsTriedWhetherMoreBringYoungerMessages(t *testing.T) {
	m := meet(t, events(10_000))
	most := 0
	for range 2000 {
		most = max(most, m.answer(5, trip, 0))
	}
	require.Greater(t, most, 1, "the first messages may be old ones")
	require.LessOrEqual(t, m.fill(), 2, "and they were not")

	m = meet(t, events(10_000))
	for i := range 500 {
		m.answer(5, trip, time.Hour-time.Duration(i)*time.Second)
	}
	require.Equal(t, 16, m.fill(), "they become younger: it is a backlog")
}

func TestAnEmptyAnswerThatCameAtOnceCostsNoMoreThanItself(t *testing.T) {
	m := meet(t, events(10_000))
	m.waited()
	for i := range 200 {
		n := 5
		if i%10 == 9 {
			n = 0
		}
		m.answer(n, trip, 2*trip)
	}
	m.answer(5, trip, 2*trip)
	require.GreaterOrEqual(t, m.fill(), 15)
}

func TestABatchIsSweptUpAndThenLeftToFill(t *testing.T) {
	c := events(10_000)
	c.Batch, c.WaitTime = 1000, 10*time.Second
	left := func(behind bool) (held bool) {
		m := meet(t, c)
		m.waited()
		lay := -trip
		for range 20 {
			m.fill()
			if len(m.since) == 0 {
				return true
			}
			if behind {
				lay = time.Second + m.at // before any receive
			}
			m.at += trip
			v := view(m.at, 10_000, 5, 5)
			v.Due = v.Now.Add(5 * time.Second)
			a := pace.Answer{Asked: 10, Got: 4, Hungry: true, Sent: v.Now.Add(-trip), Since: m.since[0], Aged: 4, Oldest: lay + trip, Youngest: trip / 2}
			m.since = m.since[1:]
			m.p.Answered(a, v)
		}
		return false
	}
	require.True(t, left(false), "it was all there was")
	require.False(t, left(true), "an earlier receive has left these behind")
}
