package lease

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-go/sluice/internal/elapsed"
)

// BenchmarkHundredThousandLeases is half a timeout of 100,000 held leases, due at random times, with a queue that answers
// at once. Waiting is left out: the benchmark moves the keeper's clock and does Run's rounds itself, so that ns/renewal
// is what the keeper costs, its goroutine per call included.
func BenchmarkHundredThousandLeases(b *testing.B) {
	const (
		n       = 100_000
		timeout = 30 * time.Second
		steps   = 10_000
	)
	ok, renewed, calls := make([]error, maxEntries), 0, 0
	var moved atomic.Int64 // nanoseconds; the clock believes in a tenth of a second at once
	k := NewKeeper(Config[int]{
		Clock:   elapsed.New(func(time.Time) time.Duration { return time.Duration(moved.Load()) }),
		Timeout: timeout,
		Renew:   func(context.Context, []Renewal[int]) []error { return ok },
		Lost:    func(ls []*Lease[int], err error) { b.Errorf("%d leases lost: %v", len(ls), err) },
	})
	start := time.Now()
	leases := make([]Lease[int], n)
	rnd := rand.New(rand.NewPCG(1, 1))
	for i := 0; i < n; i += maxEntries {
		var rs [maxEntries]Receipt[int]
		for j := range rs {
			rs[j].Lease = &leases[i+j]
		}
		at := start.Add(-time.Duration(rnd.Int64N(int64(timeout / 2))))
		k.Add(at, at, rs[:]...)
	}
	var wg sync.WaitGroup
	tick := func() {
		moved.Add(int64(timeout / 2 / steps))
		for sleep := time.Duration(0); sleep <= 0; {
			r := k.round()
			k.report(r.lost)
			for _, c := range r.calls {
				calls++
				renewed += len(c.entries)
				c.jitter = k.cfg.Rand()
				wg.Go(func() { k.call(b.Context(), c) })
			}
			wg.Wait()
			sleep = r.sleep
			select {
			case <-k.wake:
				sleep = 0
			default:
			}
		}
	}
	for range steps {
		tick()
	}
	renewed, calls = 0, 0
	b.ReportAllocs()
	for b.Loop() {
		for range steps {
			tick()
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(renewed), "ns/renewal")
	b.ReportMetric(float64(renewed)/float64(calls), "renewals/call")
}
