package lease_test

import (
	"math/rand/v2"
	"testing"
	"time"

	lease "github.com/sluice-go/sluice/internal/lease"
)

// BenchmarkHundredThousandLeases is half a timeout of 100,000 held leases, due at random times, with a queue that answers
// at once. ns/renewal is what the leases cost their owner.
func BenchmarkHundredThousandLeases(b *testing.B) {
	const (
		n     = 100_000
		steps = 10_000
	)
	ok, renewed, calls := make([]result, 10), 0, 0
	ls := lease.New[int](lease.Config{Timeout: v})
	kept := make([]held, n)
	rnd := rand.New(rand.NewPCG(1, 1))
	for i := 0; i < n; i += 10 {
		var ten [10]*held
		for j := range ten {
			ten[j] = &kept[i+j]
		}
		at := -time.Duration(rnd.Int64N(int64(v / 2)))
		ls.Add(at, at, ten[:]...)
	}
	now := time.Duration(0)
	tick := func() {
		now += v / 2 / steps
		for ls.Next() <= now {
			if lost := ls.Lost(now); len(lost) > 0 {
				b.Fatalf("%d leases lost", len(lost))
			}
			for c := ls.Due(now); c != nil; c = ls.Due(now) {
				calls++
				renewed += len(c.Entries)
				ls.Returned(c, ok, now)
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

// BenchmarkAddRemove is a message that is settled before its first renewal, with others held.
func BenchmarkAddRemove(b *testing.B) {
	for name, n := range map[string]int{"1000": 1000, "120000": 120_000} {
		b.Run(name, func(b *testing.B) {
			ls := lease.New[int](lease.Config{Timeout: v})
			others := make([]held, n)
			now := time.Duration(0)
			for i := range others {
				now += time.Microsecond
				ls.Add(now, now, &others[i])
			}
			kept := make([]held, 10)
			ten := make([]*held, len(kept))
			for i := range kept {
				ten[i] = &kept[i]
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if i%10 == 0 {
					now += 10 * time.Microsecond
					ls.Add(now, now, ten...)
				}
				ls.Remove(&kept[i%10])
			}
		})
	}
}

// BenchmarkStarved is a measurement that changes when 120,000 leases need attention.
func BenchmarkStarved(b *testing.B) {
	ls := lease.New[int](lease.Config{Timeout: v})
	kept := make([]held, 120_000)
	for i := range kept {
		at := time.Duration(i) * 100 * time.Microsecond
		ls.Add(at, at, &kept[i])
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		ls.Starved(2400 * time.Millisecond)
		for ls.Wait() > 1500*time.Millisecond {
			ls.Starved(0)
		}
	}
}
