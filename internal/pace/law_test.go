package pace_test

import (
	"fmt"
	"math/rand/v2"
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
	slots int
	asked []int // by those receives
}

func meet(t *testing.T, c pace.Config) *meeting {
	return &meeting{t: t, p: pace.New(c), slots: c.Slots}
}

// fill sends all receives that may go out, and returns how many are.
func (m *meeting) fill() int {
	for {
		n, at := m.p.Next(view(m.at, m.slots, 0, 0))
		if n == 0 && len(m.since) == 0 {
			require.False(m.t, at.IsZero(), "nothing is out, and nothing will be")
			m.at = at.Sub(began)
			continue
		}
		if n == 0 {
			return len(m.since)
		}
		m.since, m.asked = append(m.since, m.p.Sent(n)), append(m.asked, n)
	}
}

// answer lets a receive come back that took so long and brought n messages, which had been
// in the queue for so long when it reached them.
func (m *meeting) answer(n int, took, lay time.Duration) int {
	m.fill()
	m.at += took
	a := pace.Answer{Asked: m.asked[0], Got: n, New: n, Hungry: true, Sent: began.Add(m.at - took), Began: began.Add(m.at), Since: m.since[0]}
	m.since, m.asked = m.since[1:], m.asked[1:]
	if n > 0 {
		a.Aged, a.Oldest, a.Youngest = n, lay+trip/2+m.skew, lay+trip/2+m.skew
	}
	m.p.Answered(a, view(m.at, m.slots, 0, 0))
	return m.fill()
}

// waited lets a receive come back that has waited for its message.
func (m *meeting) waited() int { return m.answer(1, 2*time.Second, 0) }

func TestAMessageThatLayInTheQueueSpeaksForAReceiverMoreWhateverTheAnswersSize(t *testing.T) {
	for _, size := range []int{1, 3, 9} {
		for _, skew := range []time.Duration{0, time.Hour, -time.Hour} {
			m := meet(t, events(10_000))
			m.skew = skew
			require.LessOrEqual(t, m.waited(), 2)
			n := 0
			for range 16 {
				n = m.answer(size, trip, trip)
			}
			require.InDelta(t, 16, n, 1, "answers of %d, clocks that differ by %v", size, skew)
		}
	}
}

func TestBeyondSixteenReceiversAMessageMayWaitForARoundTripAndAHalf(t *testing.T) {
	for lay, want := range map[time.Duration]int{trip: 16, 3 * trip: 46} {
		c := events(10_000)
		c.Receivers = 46
		m := meet(t, c)
		m.waited()
		for range 400 {
			m.answer(5, trip, lay)
		}
		require.InDelta(t, want, m.fill(), 1, "%v", lay)
	}
}

func TestMessagesThatDidNotLieInTheQueueSpeakForNone(t *testing.T) {
	m := meet(t, events(10_000))
	m.waited()
	for range 1000 {
		m.answer(7, trip, 0)
	}
	require.Equal(t, 1, m.fill())
}

func TestWhereNoReceiveEverWaitsItIsTriedWhetherMoreBringYoungerMessages(t *testing.T) {
	m := meet(t, events(10_000))
	most := 0
	for range 2000 {
		most = max(most, m.answer(5, trip, 0))
	}
	require.Greater(t, most, 1, "the first messages may be old ones")
	require.Equal(t, 1, m.fill(), "and they were not")

	m = meet(t, events(10_000))
	for i := range 500 {
		m.answer(5, trip, time.Hour-time.Duration(i)*time.Second)
	}
	require.GreaterOrEqual(t, m.fill(), 16, "they become younger: it is a backlog")
}

func TestSlowAnswersWithOldMessagesHaveNotWaited(t *testing.T) {
	m := meet(t, events(10_000))
	for i := range 200 {
		m.answer(3, 3*trip, time.Hour-time.Duration(i)*time.Second) // receives take longer than other calls
	}
	require.GreaterOrEqual(t, m.fill(), 16)
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

func TestAnswersWithNothingNewAreSlowedDown(t *testing.T) {
	m := meet(t, events(10_000))
	m.waited()
	sent, began := 0, m.at
	for m.at < began+10*time.Second {
		m.fill()
		m.at += trip
		a := pace.Answer{Asked: 10, Got: 1, Hungry: true, Sent: start(m.at - trip), Began: start(m.at), Since: m.since[0]}
		m.since = m.since[1:]
		m.p.Answered(a, view(m.at, 10_000, 0, 1))
		sent++
	}
	require.Less(t, sent, 40, "receives in ten seconds that bring what is in hand already")
}

func start(at time.Duration) time.Time { return began.Add(at) }

func TestWithoutTimesOfSendingReceiversAreAsManyAsDoNotWait(t *testing.T) {
	for _, took := range []time.Duration{trip, 5 * trip, 20 * trip} {
		m := meet(t, events(10_000))
		for range 200 {
			m.fill()
			m.at += took
			a := pace.Answer{Asked: 10, Got: 2, New: 2, Hungry: true, Sent: began.Add(m.at - took), Began: began.Add(m.at), Since: m.since[0]}
			m.since = m.since[1:]
			m.p.Answered(a, view(m.at, 10_000, 0, 0))
		}
		if took < 20*trip {
			require.GreaterOrEqual(t, m.fill(), 16, "each found its messages there, though receives may be slower than other calls")
		} else {
			require.Equal(t, 1, m.fill(), "each had to wait for them")
		}
	}
}

func TestABatchIsSweptUpAndThenLeftToFill(t *testing.T) {
	c := events(10_000)
	c.Batch, c.WaitTime = 1000, 10*time.Second
	left := func(behind bool) (held bool) {
		m := meet(t, c)
		m.waited()
		var lay time.Duration
		for range 20 {
			if n, _ := m.p.Next(view(m.at, 10_000, 5, 5)); n == 0 && len(m.since) == 0 {
				return true
			}
			m.fill()
			if behind {
				lay = time.Second + m.at // before any receive
			}
			m.at += trip
			v := view(m.at, 10_000, 5, 5)
			v.Due = v.Now.Add(5 * time.Second)
			a := pace.Answer{Asked: 10, Got: 4, New: 4, Hungry: true, Sent: v.Now.Add(-trip), Began: v.Now, Since: m.since[0], Aged: 4, Oldest: lay + trip/2, Youngest: trip / 2}
			m.since = m.since[1:]
			m.p.Answered(a, v)
		}
		return false
	}
	require.True(t, left(false), "it was all there was")
	require.False(t, left(true), "an earlier receive has left these behind")
}

func TestMoreSlotsThanANumberHoldsAskForNoLess(t *testing.T) {
	c := events(100_000)
	c.Batch = 10_000
	p := pace.New(c)
	for range 1000 {
		p.Handled(0, began)
	}
	n, _ := p.Next(view(0, 0, 0, 0))
	require.Equal(t, 10, n)
}

// worlds are queues of every kind.
func worlds(rate float64) map[string]*loop {
	const l = 8 * time.Millisecond
	return map[string]*loop{
		"full answers":                     {trip: always(l)},
		"answers of 1 to 3":                {trip: always(l), size: upTo(1, 3)},
		"answers of 1 to 10":               {trip: always(l), size: upTo(1, 10)},
		"5 servers":                        {trip: always(l), servers: 5},
		"20 servers":                       {trip: always(l), servers: 20},
		"200 servers":                      {trip: always(l), servers: 200},
		"varied latency":                   {trip: lognormal(l, 0.5), servers: 20},
		"receives slower than other calls": {trip: always(l), servers: 20, slower: 5},
		"a clock that is an hour ahead":    {trip: always(l), servers: 20, clock: always(time.Hour)},
		"clocks that differ by a second":   {trip: always(l), servers: 20, clock: func(r *rand.Rand) time.Duration { return time.Duration(r.Int64N(1e9)) }},
		"no times of sending":              {trip: always(l), ageless: true},
		"an old backlog":                   {trip: always(l), old: int(10 * rate)},
		"an old backlog on many servers":   {trip: always(l), servers: 200, old: int(10 * rate)},
		"an old backlog in short answers":  {trip: always(l), size: upTo(1, 3), old: int(10 * rate)},
	}
}

func TestAnEventFindsAReceiveWaiting(t *testing.T) {
	for _, rate := range []float64{5, 50, 500} {
		for name, l := range worlds(rate) {
			t.Run(fmt.Sprintf("%v a second, %s", rate, name), func(t *testing.T) {
				l.Config, l.rate = events(10_000), steady(rate)
				got := l.run(time.Minute)
				require.LessOrEqual(t, got.behind(40), 10)
				recent := got.waits[:len(got.waits)-len(got.waits)/50] // but for the first ones, which find out
				if l.old > 0 {
					return
				}
				require.LessOrEqual(t, recent[len(recent)/2], 5*time.Millisecond+time.Millisecond/2, "half a round trip, for half of them")
				require.LessOrEqual(t, got.p(0.98), 16*time.Millisecond, "two round trips")
				require.LessOrEqual(t, got.perMessage(), 1.2)
			})
		}
	}
}

func TestNoRateIsACeiling(t *testing.T) {
	double := func(at time.Duration) float64 {
		if at < 15*time.Second {
			return 400
		}
		return 800
	}
	burst := func(at time.Duration) float64 {
		if at > 15*time.Second && at < 16*time.Second {
			return 10_000
		}
		return 300
	}
	for _, size := range []int{1, 10, 1000} {
		for load, rate := range map[string]func(time.Duration) float64{"steady": steady(600), "doubles": double, "bursts": burst} {
			for name, l := range worlds(0) {
				t.Run(fmt.Sprintf("batches of %d, a load that is %s, %s", size, load, name), func(t *testing.T) {
					l.Config, l.rate = events(10_000), rate
					l.Batch, l.WaitTime = size, 2*time.Second
					got := l.run(40 * time.Second)
					held := 0
					if size > 1 {
						held = 2 * 800 // that are left for a receive to bring several, at most half a wait time's
					}
					require.LessOrEqual(t, got.behind(30), max(20, held))
				})
			}
		}
	}
}

func TestABurstAfterCalmIsReceivedByAllReceiversHoweverSlowTheyAre(t *testing.T) {
	const l = 8 * time.Millisecond
	trips := map[string]func(*rand.Rand) time.Duration{
		"even": always(l), "varied": lognormal(l, 0.5), "very varied": lognormal(l, 0.8),
		"now and then very long": tailed(l),
	}
	for _, calm := range []float64{0, 20} {
		burst := func(at time.Duration) float64 {
			if at >= 15*time.Second && at < 15*time.Second+time.Second/2 {
				return 1000
			}
			return calm
		}
		for name, trip := range trips {
			for _, slower := range []int{1, 3, 5} {
				for _, size := range []int{1, 10, 100} {
					for seed := range uint64(10) {
						x := &loop{Config: events(10_000), trip: trip, size: upTo(1, 1), slower: slower, seed: seed, rate: burst}
						x.Receivers, x.Batch = 8, size
						left := x.run(20 * time.Second).left[18]
						require.LessOrEqual(t, left, 20+size/4, "%v a second before, ways %s, receives %d times as slow as other calls, batches of %d, seed %d", calm, name, slower, size, seed)
					}
				}
			}
		}
	}
}

// Others are not: calls that delete. An old backlog says how old it is, one that was received
// before does not.
func TestABacklogIsReceivedByAllReceiversHoweverTheirAnswersVary(t *testing.T) {
	const l, old, receivers = 8 * time.Millisecond, 8000, 16
	trips := map[string]func(*rand.Rand) time.Duration{
		"even": always(l), "varied": lognormal(l, 0.4), "very varied": lognormal(l, 0.8),
		"half of them five times as long": longer(l, 5, 0.5), "most of them five times as long": longer(l, 5, 0.9),
		"most of them ten times as long": longer(l, 10, 0.9), "now and then very long": tailed(l),
	}
	for name, trip := range trips {
		for _, calls := range []time.Duration{l / 2, l, 2 * l} {
			for _, size := range []int{1, 10, 100} {
				for _, ageless := range []bool{false, true} {
					if ageless && name == "most of them ten times as long" && calls < l {
						continue // twenty times as long as other calls: they look as if they had waited
					}
					x := &loop{Config: events(10_000), trip: trip, calls: calls, size: upTo(1, 3), old: old, rate: steady(0), ageless: ageless}
					x.Receivers, x.Batch, x.WaitTime = receivers, size, 10*time.Second
					best := old / 2 * mean(trip, rand.New(rand.NewPCG(1, 2))).Seconds() / receivers // with all receivers
					left := x.run(time.Duration(2*best+30) * time.Second).left[int(2*best+20)]
					require.LessOrEqual(t, left, 20+size/4, "ways %s, %v for other calls, batches of %d, received before: %v", name, calls, size, ageless)
				}
			}
		}
	}
}

func TestABacklogOfLargeMessagesOnSlowLinksIsReceivedByAllReceivers(t *testing.T) {
	const old, receivers = 2000, 16
	for _, heavy := range []time.Duration{10 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 300 * time.Millisecond, time.Second} {
		for name, answers := range map[string]func(*rand.Rand) int{"full": nil, "1 to 3": upTo(1, 3), "1 to 10": upTo(1, 10)} {
			for _, share := range []float64{0, 0.5} { // of what all receivers can bring, while it goes on
				for _, size := range []int{1, 10, 100} {
					rate := share * receivers / heavy.Seconds()
					l := &loop{Config: events(10_000), trip: always(8 * time.Millisecond), heavy: heavy, size: answers, old: old, rate: steady(rate)}
					l.Batch, l.Receivers, l.WaitTime = size, receivers, 2*time.Second
					best := old * heavy.Seconds() / receivers / (1 - share) // seconds, with all receivers
					held := 0
					if size > 1 {
						held = int(2 * rate) // that are left for a receive to bring several
					}
					left := l.run(time.Duration(2*best+30) * time.Second).left[int(2*best+20)]
					require.LessOrEqual(t, left, 20+size/4+held, "%v for each message, answers %s, %v messages a second besides, batches of %d: %.0f s would do", heavy, name, rate, size, best)
				}
			}
		}
	}
}

func TestWhereLargeMessagesShareALineReceiversBeyondSixteenComeSlowly(t *testing.T) {
	l := &loop{Config: events(10_000), trip: always(8 * time.Millisecond), heavy: 2 * time.Millisecond, shared: true, size: upTo(1, 3), old: 20_000, rate: steady(100)}
	l.Receivers = 46
	require.LessOrEqual(t, l.run(6*time.Second).most, 36, "answers take longer, the more there are")
}

func TestAnswersThatAreSlowNowAndThenLetNoMoreReceivesWait(t *testing.T) {
	for _, trip := range []time.Duration{8 * time.Millisecond, 20 * time.Millisecond} {
		for _, rate := range []float64{0.3, 1, 3, 15} {
			l := &loop{Config: events(10_000), rate: steady(rate), trip: tailed(trip)}
			l.Receivers = 46
			got := l.run(20 * time.Minute)
			require.LessOrEqual(t, got.most, 8, "%v messages a second, %v a call", rate, trip)
			require.LessOrEqual(t, got.perMessage(), 1.02)
		}
	}
}

func TestAFullBacklogCostsNoMoreThanItsTenth(t *testing.T) {
	for _, size := range []int{1, 100} {
		l := &loop{Config: events(10_000), trip: always(8 * time.Millisecond), old: 100_000, rate: steady(0)}
		l.Batch = size
		got := l.run(20 * time.Second)
		require.Equal(t, 100_000, got.got)
		require.LessOrEqual(t, got.receives, 10_000+2*46)
	}
}

// With -v it prints the table of docs/receiving.md.
func TestALingerBuysReceives(t *testing.T) {
	var cost float64
	for _, rate := range []float64{15, 100, 500} {
		for _, servers := range []int{1, 20} {
			for _, linger := range []time.Duration{0, 20 * time.Millisecond, 50 * time.Millisecond, 200 * time.Millisecond} {
				l := &loop{Config: events(10_000), trip: always(20 * time.Millisecond), rate: steady(rate), servers: servers}
				l.Linger, l.Receivers = linger, 46
				got := l.run(time.Minute)
				t.Logf("| %v | %d | %v | %.2f | %v | %v |", rate, servers, linger, got.perMessage(), got.p(0.5).Round(time.Millisecond), got.p(0.99).Round(time.Millisecond))
				if servers > 1 {
					continue // there it depends on how many messages lie on each
				}
				require.LessOrEqual(t, got.p(0.99), linger+40*time.Millisecond)
				if linger > 0 {
					require.Less(t, got.perMessage(), cost)
				} else {
					cost = 0.9 * got.perMessage()
				}
			}
		}
	}
}

func TestWhereAnswersAreShortNoReceiveAsksForAllTheRoom(t *testing.T) {
	m := meet(t, events(10))
	m.waited()
	for range 20 {
		m.answer(1, trip, time.Second)
	}
	require.GreaterOrEqual(t, m.fill(), 3, "ten slots, and answers of one message")
}

func TestABacklogThatWasReceivedBeforeIsNotLeftInTheQueue(t *testing.T) {
	for _, size := range []int{1, 100} {
		c := events(10_000)
		c.Batch, c.WaitTime = size, 10*time.Second
		m := meet(t, c)
		for range 100 {
			m.fill()
			m.at += trip
			a := pace.Answer{Asked: m.asked[0], Got: 2, New: 2, Hungry: true, Sent: began.Add(m.at - trip), Began: began.Add(m.at), Since: m.since[0]}
			m.since, m.asked = m.since[1:], m.asked[1:]
			v := view(m.at, 10_000, size/2, 50)
			v.Due = v.Now.Add(5 * time.Second)
			m.p.Answered(a, v)
		}
		require.GreaterOrEqual(t, m.fill(), 15, "batches of %d: their ages say nothing, but that they were there does", size)
	}
}
