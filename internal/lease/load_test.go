package lease_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/lease"
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
	synctest.Test(t, func(t *testing.T) {
		var calls, tooSoon atomic.Int64
		last := make([]time.Time, n) // each element is only touched by the one renewal of its lease in flight
		keeper := lease.NewKeeper(lease.Config[int]{
			Timeout: timeout,
			Renew: func(_ context.Context, entries []renewal) []error {
				calls.Add(1)
				now := time.Now()
				for _, e := range entries {
					if now.Sub(last[e.Lease.Of]) < timeout/2 {
						tooSoon.Add(1)
					}
					last[e.Lease.Of] = now
				}
				time.Sleep(8*time.Millisecond + time.Duration(entries[0].Lease.Of%12_000)*time.Microsecond)
				return make([]error, len(entries))
			},
			Lost: func(ls []*held, err error) { t.Errorf("%d leases lost: %v", len(ls), err) },
		})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { keeper.Run(ctx) })

		rnd := rand.New(rand.NewPCG(1, 1))
		start := time.Now()
		for i := 0; i < n; {
			rs := make([]receipt, min(n-i, 1+rnd.IntN(10))) // not every receive is full
			for j := range rs {
				rs[j].Lease = &held{Of: i}
				last[i] = time.Now()
				i++
			}
			sent := time.Now()
			time.Sleep(time.Duration(rnd.IntN(3_000)) * time.Microsecond)
			keeper.Add(sent, time.Now(), rs...)
		}
		time.Sleep(hold - time.Since(start))
		synctest.Wait()
		require.Equal(t, n, keeper.Len())
		require.LessOrEqual(t, calls.Load(), int64(n/10*(hold/(timeout/2))))
		require.Zero(t, tooSoon.Load(), "renewed twice within half a timeout")
		cancel()
		wg.Wait()
	})
}

// TestTenThousandCallsFitIntoHalfATimeout holds 100,000 leases of 30 s that began together.
func TestTenThousandCallsFitIntoHalfATimeout(t *testing.T) {
	tell(t, func(t *testing.T, s *story) {
		s.renew(func(_ context.Context, entries []renewal) []error {
			time.Sleep(20 * time.Millisecond)
			return make([]error, len(entries))
		})
		s.receive(0, 100_000)
		s.until(44 * time.Second)
		require.Len(t, s.calls(), 20_000)
		require.Empty(t, s.losses())
	})
}

// BenchmarkAddRemove is a message that is settled before its first renewal, with 1,000 others held.
func BenchmarkAddRemove(b *testing.B) {
	keeper := lease.NewKeeper(lease.Config[int]{Timeout: v, Renew: always(nil), Lost: func([]*held, error) {}})
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(b.Context())
	wg.Go(func() { keeper.Run(ctx) })
	others := make([]held, 1000)
	now := time.Now()
	for i := range others {
		keeper.Add(now, now, receipt{Lease: &others[i]})
	}
	ls := make([]held, 10)
	rs := make([]receipt, len(ls))
	for i := range ls {
		rs[i] = receipt{Lease: &ls[i], Handle: "h"}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%10 == 0 {
			now = time.Now()
			keeper.Add(now, now, rs...)
		}
		keeper.Remove(&ls[i%10])
	}
	cancel()
	wg.Wait()
}
