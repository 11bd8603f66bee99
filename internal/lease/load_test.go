package lease_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	lease "github.com/sluice-go/sluice/internal/lease"
)

// TestAHundredThousandLeasesCostOneCallInTen holds them for ten minutes at 8 to 20 ms a call.
func TestAHundredThousandLeasesCostOneCallInTen(t *testing.T) {
	const (
		n       = 100_000
		timeout = 2 * time.Minute
		hold    = 10 * time.Minute
	)
	if testing.Short() {
		t.Skip("600,000 renewals take a few seconds")
	}
	s := tell(func(c *lease.Config) { c.Timeout, c.Rand = timeout, nil })
	tooSoon := 0
	last := make([]time.Duration, n)
	s.reply = func(c *call) ([]result, time.Duration) {
		for _, e := range c.Entries {
			if s.now-last[e.Lease.Of] < timeout/2 {
				tooSoon++
			}
			last[e.Lease.Of] = s.now
		}
		return answers(c, nil), 8*time.Millisecond + time.Duration(c.Entries[0].Lease.Of%12_000)*time.Microsecond
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	for i := 0; i < n; {
		ls := make([]*held, min(n-i, 1+rnd.IntN(10))) // not every receive is full
		for j := range ls {
			ls[j] = &held{Of: i}
			last[i] = s.now
			i++
		}
		sent := s.now
		s.until(s.now + time.Duration(rnd.IntN(3_000))*time.Microsecond)
		s.Add(sent, s.now, ls...)
	}
	s.until(hold)
	require.Empty(t, s.losses)
	require.Equal(t, n, s.Len())
	require.LessOrEqual(t, len(s.calls), int(n/10*(hold/(timeout/2))))
	require.Zero(t, tooSoon, "renewed twice within half a timeout")
}

// TestTenThousandCallsFitIntoHalfATimeout holds 100,000 leases of 30 s that began together.
func TestTenThousandCallsFitIntoHalfATimeout(t *testing.T) {
	s := tell()
	s.reply = after(20*time.Millisecond, nil)
	s.receive(0, 100_000)
	s.until(44 * time.Second)
	require.Len(t, s.calls, 20_000)
	require.Empty(t, s.losses)
}

// Some 700 calls a second are needed for that.
func TestAHundredThousandLeasesOutliveSlowCalls(t *testing.T) {
	for _, took := range []time.Duration{50 * time.Millisecond, 150 * time.Millisecond} {
		s := tell(func(c *lease.Config) { c.Calls = 46 })
		most := 0
		s.reply = func(c *call) ([]result, time.Duration) {
			most = max(most, len(s.flights)+1)
			return answers(c, nil), took
		}
		s.receive(0, 100_000)
		s.until(90 * time.Second)
		require.Zero(t, len(s.losses), "calls of %v", took) //nolint:testifylint // nobody wants to read them
		require.LessOrEqual(t, most, lease.Rush*46)
	}
}

func TestKeepingAllocatesNothingAndACallOnce(t *testing.T) {
	const n = 1000
	ls := lease.New[int](lease.Config{Timeout: v, Calls: 2 * n})
	held := make([]held, n)
	now := time.Duration(0)
	ten := make([]*lease.Lease[int], 10)
	life := func() {
		for i := 0; i < n; i += len(ten) {
			for j := range ten {
				ten[j] = &held[i+j]
			}
			ls.Add(now, now, ten...)
		}
		now += v / 2
		for c := ls.Due(now); c != nil; c = ls.Due(now) {
			ls.Returned(c, nil, now)
		}
		for i := range held {
			ls.Remove(&held[i])
		}
	}
	life() // the heap grows
	require.InDelta(t, n/10, testing.AllocsPerRun(10, life), 1)
}
