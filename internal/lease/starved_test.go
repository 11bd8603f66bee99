package lease

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// starved runs a Keeper whose goroutines wait so long for a processor, with one lease of
// 30 s, and returns when its renewals were sent and with which time to answer.
func starved(t *testing.T, wait time.Duration, prepare func(*Keeper[int], *Lease[int])) (sent, timeouts []time.Duration, lost []error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var mu sync.Mutex
		k := NewKeeper(Config[int]{
			Timeout: 30 * time.Second,
			Renew: func(ctx context.Context, entries []Renewal[int]) []error {
				mu.Lock()
				defer mu.Unlock()
				sent = append(sent, time.Since(start))
				deadline, _ := ctx.Deadline()
				timeouts = append(timeouts, time.Until(deadline))
				return make([]error, len(entries))
			},
			Lost: func(_ []*Lease[int], err error) { lost = append(lost, err) },
		})
		k.wait, k.probed = wait, start.Add(24*time.Hour) // nothing is measured
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { k.Run(ctx) })
		var l Lease[int]
		k.Add(start, start, Receipt[int]{Lease: &l})
		if prepare != nil {
			prepare(k, &l)
		}
		time.Sleep(70 * time.Second)
		k.Remove(&l)
		cancel()
		wg.Wait()
	})
	return sent, timeouts, lost
}

func TestRenewalsBeginTheSoonerTheLongerGoroutinesWaitForAProcessor(t *testing.T) {
	for wait, c := range map[time.Duration]struct{ due, timeout time.Duration }{
		0:                       {15 * time.Second, 7500 * time.Millisecond},
		100 * time.Millisecond:  {15 * time.Second, 7500 * time.Millisecond},
		1500 * time.Millisecond: {15 * time.Second, 7500 * time.Millisecond},
		2 * time.Second:         {10 * time.Second, 10 * time.Second},
		time.Minute:             {6 * time.Second, 10 * time.Second},
	} {
		sent, timeouts, lost := starved(t, wait, nil)
		require.Empty(t, lost)
		require.InDelta(t, c.due, sent[0], float64(time.Second), "with a wait of %v", wait)
		require.InDelta(t, c.due, sent[1]-sent[0], float64(time.Second))
		require.Equal(t, c.timeout, timeouts[0])
	}
}

func TestALeaseThatIsHaltedIsLostNoSoonerWhenProcessorsAreShort(t *testing.T) {
	at := time.Duration(0)
	sent, _, lost := starved(t, time.Minute, func(k *Keeper[int], l *Lease[int]) {
		start := time.Now()
		k.Halt(l)
		time.Sleep(29*time.Second + 999*time.Millisecond)
		require.Equal(t, 1, k.Len())
		time.Sleep(2 * time.Millisecond)
		require.Zero(t, k.Len())
		at = time.Since(start)
	})
	require.Empty(t, sent)
	require.Len(t, lost, 1)
	require.ErrorIs(t, lost[0], ErrHalted)
	require.InDelta(t, 30*time.Second, at, float64(10*time.Millisecond))
}

func TestAProbeIsMadeEachSecondWhileLeasesAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := NewKeeper(Config[int]{
			Timeout: 30 * time.Second,
			Renew:   func(_ context.Context, entries []Renewal[int]) []error { return make([]error, len(entries)) },
			Lost:    func([]*Lease[int], error) {},
		})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { k.Run(ctx) })
		probed := func() time.Time {
			k.mu.Lock()
			defer k.mu.Unlock()
			return k.probed
		}
		time.Sleep(time.Minute)
		require.Zero(t, probed(), "nothing is kept")
		var l Lease[int]
		k.Add(time.Now(), time.Now(), Receipt[int]{Lease: &l})
		time.Sleep(time.Minute)
		require.LessOrEqual(t, time.Since(probed()), time.Second)
		require.Zero(t, k.Wait())
		k.Remove(&l)
		time.Sleep(time.Minute)
		require.GreaterOrEqual(t, time.Since(probed()), 59*time.Second)
		cancel()
		wg.Wait()
	})
}

func TestAWaitIsForgottenSlowly(t *testing.T) {
	k := NewKeeper(Config[int]{
		Timeout: 30 * time.Second, Renew: func(context.Context, []Renewal[int]) []error { return nil }, Lost: func([]*Lease[int], error) {},
	})
	k.wait = time.Minute
	k.probing, k.probed = true, time.Now()
	k.probe()
	require.Equal(t, 45*time.Second, k.Wait())
	k.probing, k.probed = true, time.Now().Add(-time.Hour)
	require.GreaterOrEqual(t, k.Wait(), time.Hour, "it takes that long already")
}

func TestTheOwnerHearsOfAWaitThatIsTooLongForItsLeases(t *testing.T) {
	for wait, want := range map[time.Duration]bool{time.Second: false, 2400 * time.Millisecond: false, 4 * time.Second: true} {
		heard := time.Duration(0)
		k := NewKeeper(Config[int]{
			Timeout: 30 * time.Second, Renew: func(context.Context, []Renewal[int]) []error { return nil }, Lost: func([]*Lease[int], error) {},
			Starved: func(wait time.Duration) { heard = wait },
		})
		k.wait, k.probing, k.probed = wait, true, time.Now()
		k.probe()
		require.Equal(t, want, heard > 0, "%v", wait)
	}
}

func TestRenewalsThatFailDoNotSpinWhenProcessorsAreShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		k := NewKeeper(Config[int]{
			Timeout: 30 * time.Second,
			Renew: func(_ context.Context, entries []Renewal[int]) []error {
				calls.Add(1)
				return slices.Repeat([]error{errors.New("throttled")}, len(entries))
			},
			Lost: func([]*Lease[int], error) {},
		})
		k.wait, k.probed = time.Minute, time.Now().Add(24*time.Hour)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { k.Run(ctx) })
		var l Lease[int]
		k.Add(time.Now(), time.Now(), Receipt[int]{Lease: &l})
		time.Sleep(time.Minute)
		require.Zero(t, k.Len())
		require.Less(t, calls.Load(), int64(60))
		cancel()
		wg.Wait()
	})
}

func TestShortLeasesLastWhenProcessorsAreShort(t *testing.T) {
	for _, timeout := range []time.Duration{2 * time.Second, 3 * time.Second, 4 * time.Second, 10 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			k := NewKeeper(Config[int]{
				Timeout: timeout,
				Renew:   func(_ context.Context, entries []Renewal[int]) []error { return make([]error, len(entries)) },
				Lost:    func(_ []*Lease[int], err error) { t.Error(timeout, err) },
			})
			k.wait, k.probed = time.Minute, time.Now().Add(24*time.Hour)
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			wg.Go(func() { k.Run(ctx) })
			var l Lease[int]
			k.Add(time.Now().Add(-timeout/3), time.Now(), Receipt[int]{Lease: &l})
			time.Sleep(time.Hour)
			require.Equal(t, 1, k.Len())
			cancel()
			wg.Wait()
		})
	}
}
