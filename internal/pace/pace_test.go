package pace_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/pace"
)

var began = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func events(slots int) pace.Config {
	return pace.Config{Batch: 1, Slots: slots, WaitTime: time.Second, Receivers: 16, MaxInFlight: 120_000, Hold: true, Rand: func() float64 { return 0.999 }}
}

func view(at time.Duration, free, waiting, held int) pace.View {
	return pace.View{Now: began.Add(at), Free: free, Waiting: waiting, Held: held, Budget: 1000, Enough: 1000, Latency: 10 * time.Millisecond}
}

func TestTheFirstReceiveAsksForNoMoreThanThereAreSlots(t *testing.T) {
	for slots, want := range map[int]int{1: 1, 3: 3, 10: 10, 500: 10} {
		n, _ := pace.New(events(slots)).Next(view(0, slots, 0, 0))
		require.Equal(t, want, n)
	}
}

func TestABudgetBoundsAReceive(t *testing.T) {
	v := view(0, 100, 0, 0)
	v.Budget, v.Enough = 3, 3
	n, _ := pace.New(events(100)).Next(v)
	require.Equal(t, 3, n)
	v.Budget = 0
	n, _ = pace.New(events(100)).Next(v)
	require.Zero(t, n)
	c := events(100)
	c.MaxInFlight = 4
	n, _ = pace.New(c).Next(view(0, 100, 0, 0))
	require.Equal(t, 4, n)
}

func TestNothingIsPrefetchedBeforeTheHandlersAreKnown(t *testing.T) {
	p := pace.New(events(10))
	n, at := p.Next(view(0, 0, 0, 10))
	require.Zero(t, n)
	require.True(t, at.IsZero())
}

func TestASingleFreeSlotIsNotWorthAReceiveAtOnce(t *testing.T) {
	p := pace.New(events(10))
	p.Handled(5*time.Second, began)
	n, at := p.Next(view(0, 1, 0, 9))
	require.Zero(t, n)
	require.Equal(t, began.Add(10*time.Millisecond), at)
	n, _ = p.Next(view(10*time.Millisecond, 1, 0, 9))
	require.Positive(t, n, "but it is after a round trip")
}

func TestNoMoreIsHeldThanIsHandledWithinASecond(t *testing.T) {
	for took, most := range map[time.Duration]int{10 * time.Minute: 0, 20 * time.Second: 0, 5 * time.Second: 2, time.Second: 10} {
		p := pace.New(events(10))
		for range 20 {
			p.Handled(took, began)
		}
		n, _ := p.Next(view(0, 0, 0, 10))
		require.LessOrEqual(t, n, most, "%v", took)
		n, _ = p.Next(view(0, 0, most, 10+most))
		require.Zero(t, n, "%v", took)
	}
}

func TestHandlersThatHangAreNotFast(t *testing.T) {
	p := pace.New(events(10))
	for range 10 {
		p.Handled(10*time.Millisecond, began)
	}
	n, _ := p.Next(view(0, 0, 0, 10))
	require.Equal(t, 10, n)
	n, _ = p.Next(view(time.Hour, 0, 0, 10))
	require.Zero(t, n)
}

func TestAQuickHandlerCallPromisesNoMoreThanAnother(t *testing.T) {
	p := pace.New(events(2))
	p.Handled(time.Millisecond, began)
	n, _ := p.Next(view(0, 1, 0, 1))
	require.Zero(t, n, "a slot and one more message are not worth a receive at once")
	n, _ = p.Next(view(time.Second/10, 1, 0, 1))
	require.Equal(t, 2, n)
}

// out sends receives until no more go out and returns how many there were.
func out(p *pace.Pace, v pace.View) (n int) {
	for {
		asked, _ := p.Next(v)
		if asked == 0 {
			return n
		}
		p.Sent(asked)
		v.Budget -= asked
		n++
	}
}

func TestReceiversGrowWithFullAnswersAndShrinkToOne(t *testing.T) {
	p := pace.New(events(1000))
	v := view(0, 1000, 0, 0)
	for want := 1; want <= 16; want++ {
		more := out(p, v)
		require.Positive(t, more)
		p.Answered(pace.Answer{Asked: 10, Got: 10, New: 10, Hungry: true, Sent: v.Now, Began: v.Now}, v)
		require.Positive(t, out(p, v))
		p.Answered(pace.Answer{Asked: 10, Got: 10, New: 10, Hungry: true, Sent: v.Now, Began: v.Now}, v)
	}
	p.Answered(pace.Answer{Asked: 10, Sent: v.Now.Add(-20 * time.Second), Began: v.Now}, v)
	require.Zero(t, out(p, v), "an empty queue needs a single receiver")
}

func TestFailuresAreBackedOffUpToThirtySeconds(t *testing.T) {
	p := pace.New(events(10))
	v := view(0, 10, 0, 0)
	var last time.Duration
	for i := range 30 {
		n, at := p.Next(v)
		require.Positive(t, n, "%v", at)
		p.Sent(n)
		sent := v.Now
		v.Now = v.Now.Add(time.Millisecond)
		p.Answered(pace.Answer{Asked: n, Sent: sent, Failed: true}, v)
		n, at = p.Next(v)
		require.Zero(t, n, "no receive at once after a failure")
		wait := at.Sub(v.Now)
		require.LessOrEqual(t, wait, 30*time.Second)
		require.GreaterOrEqual(t, wait, last)
		failures, until := p.Outage()
		require.Equal(t, i+1, failures)
		require.Equal(t, at, until)
		last, v.Now = wait, at
	}
	require.Greater(t, last, 29*time.Second)
	n, _ := p.Next(v)
	p.Sent(n)
	p.Answered(pace.Answer{Asked: n, Got: 1, New: 1, Sent: v.Now, Began: v.Now}, v)
	failures, _ := p.Outage()
	require.Zero(t, failures)
	n, _ = p.Next(v)
	require.Positive(t, n, "a success resets it")
}

func TestReceivesThatWereOutTogetherFailOnce(t *testing.T) {
	p := pace.New(events(1000))
	v := view(0, 1000, 0, 0)
	for range 8 {
		out(p, v)
		p.Answered(pace.Answer{Asked: 10, Got: 10, New: 10, Hungry: true, Sent: v.Now, Began: v.Now}, v)
	}
	n := out(p, v)
	require.Greater(t, n, 1)
	sent := v.Now
	for range n {
		v.Now = v.Now.Add(time.Millisecond)
		p.Answered(pace.Answer{Asked: 10, Sent: sent, Failed: true}, v)
	}
	failures, _ := p.Outage()
	require.Equal(t, 1, failures)
}

func TestAReceiveIsHeldBackWhileABatchFillsAndNotAfterAFullAnswer(t *testing.T) {
	c := events(10)
	c.Batch, c.WaitTime = 100, 5*time.Second
	fresh := func(got int) (*pace.Pace, pace.View) {
		p := pace.New(c)
		v := view(0, 10, 0, 0)
		n, _ := p.Next(v)
		p.Sent(n)
		v = view(time.Millisecond, 10, got, got)
		v.Due = v.Now.Add(5 * time.Second)
		p.Answered(pace.Answer{Asked: n, Got: got, New: got, Sent: began.Add(-time.Second), Began: v.Now}, v) // it has waited
		return p, v
	}
	p, v := fresh(1)
	n, at := p.Next(v)
	require.Zero(t, n)
	require.True(t, at.After(v.Now) && at.Before(v.Due), "%v", at)
	v.Now = at
	n, _ = p.Next(v)
	require.Equal(t, 10, n)
	p, v = fresh(10)
	n, _ = p.Next(v)
	require.Equal(t, 10, n)
}

// backlog is a queue that answers every receive with ten messages, in the given time.
type backlog struct {
	t   *testing.T
	p   *pace.Pace
	at  time.Duration
	out []time.Duration // when those that are out were sent
}

// fill sends all receives that may go out, and returns how many are.
func (b *backlog) fill() int {
	for {
		n, _ := b.p.Next(view(b.at, 10_000, 0, 0))
		if n == 0 || len(b.out) == 1000 {
			return len(b.out)
		}
		require.Equal(b.t, 10, n)
		b.p.Sent(n)
		b.out = append(b.out, b.at)
	}
}

// answer lets the oldest receive come back so long after it was sent.
func (b *backlog) answer(took time.Duration, throttled bool) {
	sent := b.out[0]
	b.out = b.out[1:]
	b.at = max(b.at, sent+took)
	a := pace.Answer{Asked: 10, Got: 10, New: 10, Hungry: true, Sent: began.Add(sent), Began: began.Add(b.at)}
	if throttled {
		a.Got, a.New, a.Failed, a.Throttled = 0, 0, true, true
	}
	b.p.Answered(a, view(b.at, 10_000, 0, 0))
}

// run lets n receives come back, one of so many throttled (0: none), and returns how many are out then.
func (b *backlog) run(n int, took time.Duration, throttled int) int {
	for i := range n {
		b.fill()
		b.answer(took, throttled > 0 && i%throttled == throttled-1)
	}
	if throttled > 0 {
		b.at += time.Second // their back-offs are shorter
	}
	return b.fill()
}

func busy(t *testing.T, receivers int) *backlog {
	c := events(10_000)
	c.Receivers = receivers
	return &backlog{t: t, p: pace.New(c)}
}

func TestReceiversBecomeMoreThanPlentyWhileThatHelps(t *testing.T) {
	b := busy(t, 64)
	require.Equal(t, 15, b.run(14, 20*time.Millisecond, 0), "each answer speaks for one more")
	require.Less(t, b.run(60, 20*time.Millisecond, 0), 40, "beyond plenty they take their time")
	require.Equal(t, 64, b.run(300, 20*time.Millisecond, 0))
	least := 64
	for range 300 {
		least = min(least, b.fill())
		b.answer(50*time.Millisecond, false)
	}
	require.Equal(t, 16, least, "answers have become slow: it is tried with fewer")
}

func TestAFewThrottledReceivesSitItOutAlone(t *testing.T) {
	b := busy(t, 16)
	require.Equal(t, 16, b.run(100, 10*time.Millisecond, 0))
	require.Equal(t, 16, b.run(200, 10*time.Millisecond, 50))
	require.Less(t, b.run(16, 10*time.Millisecond, 1), 8, "many are a sign")
}

func TestWhatIsBeingDeletedTakesRoomAndWhatWaitsForItsGroupDoesNot(t *testing.T) {
	c := events(6)
	c.Receivers = 1
	asks := func(held, settling int) (n int) {
		p := pace.New(c)
		for _, at := range []time.Duration{0, 100 * time.Millisecond} { // one slot is not worth a receive at once
			v := view(at, 1, 0, held)
			v.Settling = settling
			n, _ = p.Next(v)
		}
		return n
	}
	require.Positive(t, asks(500, 0), "495 messages that wait for five others")
	require.Positive(t, asks(17, 12), "five that are handled, twelve that are deleted, and ten more: as many as six slots, a batch and two tens")
	require.Zero(t, asks(18, 13))
}
