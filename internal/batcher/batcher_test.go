package batcher_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/batcher"
)

var noon = time.Date(2026, time.January, 1, 12, 0, 0, 0, time.UTC)

func after(d time.Duration) time.Time { return noon.Add(d) }

// next returns the entries of the next call.
func next(b *batcher.Batcher[int], at time.Time) []int {
	var into [10]int
	n := b.Next(at, into[:])
	return slices.Clone(into[:n])
}

func numbers(from, n int) (all []int) {
	for i := range n {
		all = append(all, from+i)
	}
	return all
}

func TestWhatDoesNotLingerGoesAtOnceWithAllThatWaits(t *testing.T) {
	b := batcher.New[int](10, 4)
	require.Empty(t, next(b, noon))
	b.Add(noon, time.Second, 1, 2)
	require.Empty(t, next(b, noon))
	require.Equal(t, after(time.Second), b.Wakes())
	b.Add(noon, 0, 3)
	require.Equal(t, []int{1, 2, 3}, next(b, noon))
	require.Zero(t, b.Wakes())
	require.Equal(t, 1, b.Out())
}

func TestTheFirstLingerThatEndsEndsAll(t *testing.T) {
	b := batcher.New[int](10, 4)
	b.Add(noon, 3*time.Second, 1)
	b.Add(noon, time.Second, 2)
	b.Add(after(time.Second/2), 5*time.Second, 3)
	require.Equal(t, after(time.Second), b.Wakes())
	require.Empty(t, next(b, after(time.Second-1)))
	require.Equal(t, []int{1, 2, 3}, next(b, after(time.Second)))
	b.Add(after(time.Second), 2*time.Second, 4)
	require.Equal(t, after(3*time.Second), b.Wakes())
}

func TestAFullCallDoesNotWaitAndTheRestGoesOnLingering(t *testing.T) {
	b := batcher.New[int](10, 4)
	b.Add(noon, time.Second, numbers(0, 13)...)
	require.Equal(t, numbers(0, 10), next(b, noon))
	require.Empty(t, next(b, noon))
	require.Equal(t, after(time.Second), b.Wakes())
	require.Equal(t, numbers(10, 3), next(b, after(time.Second)))
}

func TestTheRestOfAFullCallWaitsForItsOwnLinger(t *testing.T) {
	b := batcher.New[int](10, 4)
	b.Add(noon, time.Second, numbers(0, 6)...)
	b.Add(after(time.Second/2), time.Second, numbers(6, 2)...)
	b.Add(after(time.Second*3/4), time.Second, numbers(8, 4)...)
	require.Equal(t, after(time.Second), b.Wakes())
	require.Equal(t, numbers(0, 10), next(b, after(time.Second*3/4)))
	require.Equal(t, after(time.Second*7/4), b.Wakes(), "those whose linger ended sooner have gone")
	require.Empty(t, next(b, after(time.Second*3/2)))
	require.Equal(t, numbers(10, 2), next(b, after(time.Second*7/4)))
	require.Zero(t, b.Wakes())
}

func TestNoMoreCallsAreOutThanMayBe(t *testing.T) {
	b := batcher.New[int](10, 2)
	b.Add(noon, 0, numbers(0, 35)...)
	require.Len(t, next(b, noon), 10)
	require.Len(t, next(b, noon), 10)
	require.Empty(t, next(b, noon))
	require.Zero(t, b.Wakes(), "the return of a call comes first")
	b.Returned()
	require.Len(t, next(b, noon), 10)
	b.Widen(3)
	b.Widen(1)
	require.Len(t, next(b, noon), 5)
}

func TestARetryWaitsForItsTimeAndThenDoesNotLinger(t *testing.T) {
	b := batcher.New[int](10, 2)
	b.Retry(after(2*time.Second), 3)
	b.Retry(after(time.Second), 1)
	b.Retry(after(time.Second), 2)
	b.Retry(after(time.Second))
	b.Flush()
	require.Empty(t, next(b, noon), "a flush does not hurry it")
	require.Equal(t, after(time.Second), b.Wakes())
	b.Add(noon, time.Hour, 4)
	require.Equal(t, []int{4, 1, 2}, next(b, after(time.Second)), "together, and with what waits")
	require.Equal(t, after(2*time.Second), b.Wakes())
}

// A model keeps each entry with the time at which it must be sent at the latest, and which
// ones need not fill their call: a linger of one that waited with them is over.
type model struct {
	ends    map[int]time.Time
	retries map[int]time.Time
	due     map[int]bool
}

// pass lets the lingers end that are over, and that of all that waits with them.
func (m model) pass(now time.Time, sent map[int]bool, flushed bool) {
	for e, end := range m.ends {
		flushed = flushed || !sent[e] && !now.Before(end)
	}
	for e, at := range m.retries {
		flushed = flushed || !sent[e] && !now.Before(at)
	}
	for e := range m.ends {
		m.due[e] = m.due[e] || flushed && !sent[e]
	}
}

func TestEachEntryGoesOnceAndInTimeWhateverHappens(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 1))
		calls := 1 + r.IntN(3)
		b := batcher.New[int](10, calls)
		m := model{map[int]time.Time{}, map[int]time.Time{}, map[int]bool{}}
		now, added, sent, out := noon, 0, map[int]bool{}, 0
		for range 300 {
			flushed := false
			switch r.IntN(5) {
			case 0:
				n, linger := 1+r.IntN(12), time.Duration(r.IntN(3))*time.Second
				b.Add(now, linger, numbers(added, n)...)
				for _, e := range numbers(added, n) {
					m.ends[e] = now.Add(linger)
				}
				added += n
			case 1:
				b.Retry(now.Add(time.Second), added)
				m.retries[added] = now.Add(time.Second)
				added++
			case 2:
				if out > 0 {
					b.Returned()
					out--
				}
			case 3:
				now = now.Add(time.Duration(r.IntN(700)) * time.Millisecond)
			case 4:
				b.Flush()
				flushed = true
			}
			m.pass(now, sent, flushed)
			for got := next(b, now); len(got) > 0; got = next(b, now) {
				out++
				why := func(e int) bool { _, again := m.retries[e]; return again || m.due[e] }
				require.True(t, len(got) == 10 || slices.ContainsFunc(got, why), "seed %d: %v go although they may wait for others", seed, got)
				for _, e := range got {
					require.False(t, sent[e], "seed %d: %d goes twice", seed, e)
					require.False(t, now.Before(m.retries[e]), "seed %d: %d goes too soon", seed, e)
					sent[e] = true
				}
			}
			require.LessOrEqual(t, out, calls)
			if out == calls {
				continue
			}
			for e, end := range m.ends {
				require.True(t, sent[e] || now.Before(end), "seed %d: %d is late", seed, e)
			}
			for e, at := range m.retries {
				require.True(t, sent[e] || now.Before(at), "seed %d: %d is late", seed, e)
			}
		}
	}
}

func BenchmarkAddAndNext(b *testing.B) {
	bt := batcher.New[*int](10, 1<<30)
	var into [10]*int
	e := new(int)
	b.ReportAllocs()
	for b.Loop() {
		bt.Add(noon, time.Second, e)
		bt.Next(noon, into[:])
	}
}
