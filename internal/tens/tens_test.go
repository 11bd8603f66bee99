package tens_test

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/tens"
)

const second = time.Second

// call is what one Send was given, and when.
type call struct {
	at      time.Duration // since the story began
	entries []int
}

// story is a batcher whose calls are recorded.
type story struct {
	*tens.Batcher[int]

	t     *testing.T
	begin time.Time

	mu    sync.Mutex // guards calls
	calls []call
}

// tell runs a story in virtual time. cfg.Send may be nil for calls that succeed
// at once. A goroutine that is left behind fails the bubble by itself.
func tell(t *testing.T, cfg tens.Config[int], body func(*testing.T, *story)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &story{t: t, begin: time.Now()}
		send := cfg.Send
		cfg.Send = func(ctx context.Context, entries []int) []int {
			s.record(entries)
			if send == nil {
				return nil
			}
			return send(ctx, entries)
		}
		s.Batcher = tens.New(cfg)
		body(t, s)
		require.Nil(t, s.Close(t.Context()))
	})
}

func (s *story) record(entries []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, call{time.Since(s.begin), slices.Clone(entries)})
}

// happened requires exactly the given calls to have been made so far. Those of
// one moment have no order among them, so they are compared by their entries.
func (s *story) happened(want ...call) {
	s.t.Helper()
	require.Equal(s.t, want, s.made())
}

// made returns the calls made so far.
func (s *story) made() []call {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.SortFunc(s.calls, func(a, b call) int {
		return cmp.Or(cmp.Compare(a.at, b.at), slices.Compare(a.entries, b.entries))
	})
	return append([]call(nil), s.calls...)
}

// ints returns from, from+1, … up to, not including, to.
func ints(from, to int) []int {
	var is []int
	for i := from; i < to; i++ {
		is = append(is, i)
	}
	return is
}

// slow returns a Send that takes d.
func slow(d time.Duration) func(context.Context, []int) []int {
	return func(context.Context, []int) []int {
		time.Sleep(d)
		return nil
	}
}

// always is a back-off that does not depend on the tries.
func always(d time.Duration) func(int) time.Duration {
	return func(int) time.Duration { return d }
}

func TestFullCallGoesAtOnce(t *testing.T) {
	tell(t, tens.Config[int]{}, func(t *testing.T, s *story) {
		s.Add(time.Hour, ints(0, 9)...)
		s.happened()
		time.Sleep(second)
		s.Add(time.Hour, 9)
		s.happened(call{second, ints(0, 10)})
	})
}

func TestWithoutLingerASingleEntryGoesAtOnce(t *testing.T) {
	tell(t, tens.Config[int]{}, func(t *testing.T, s *story) {
		s.Add(0, 1)
		s.happened(call{0, []int{1}})
		s.Add(-1, 2)
		s.happened(call{0, []int{1}}, call{0, []int{2}})
	})
}

func TestEntryWithoutLingerTakesAlongWhatWaits(t *testing.T) {
	tell(t, tens.Config[int]{}, func(t *testing.T, s *story) {
		s.Add(time.Hour, 1)
		s.Add(time.Minute, 2)
		time.Sleep(second)
		s.Add(0, 3)
		s.happened(call{second, []int{1, 2, 3}})
	})
}

func TestLingerGathers(t *testing.T) {
	tell(t, tens.Config[int]{}, func(t *testing.T, s *story) {
		for i := range 5 {
			s.Add(second, i)
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(500*time.Millisecond - time.Nanosecond)
		s.happened()
		time.Sleep(time.Nanosecond)
		s.happened(call{second, ints(0, 5)})
	})
}

func TestEarliestLingerWins(t *testing.T) {
	tell(t, tens.Config[int]{}, func(t *testing.T, s *story) {
		s.Add(10*second, 1)
		s.Add(2*second, 2)
		s.Add(5*second, 3)
		time.Sleep(time.Minute)
		s.happened(call{2 * second, []int{1, 2, 3}})

		s.Add(3*second, 4) // the earlier lingers are over and count no more
		time.Sleep(time.Minute)
		s.happened(call{2 * second, []int{1, 2, 3}}, call{63 * second, []int{4}})
	})
}

func TestEntriesAreLeftWhileACallIsBeingStarted(t *testing.T) {
	start := make(chan struct{})
	cfg := tens.Config[int]{Go: func(call func()) {
		<-start
		go call()
	}}
	tell(t, cfg, func(t *testing.T, s *story) {
		start = make(chan struct{}) // of this bubble
		go s.Add(0, 1)
		synctest.Wait()
		require.True(t, s.Add(time.Hour, 2))
		s.happened()
		close(start)
		s.happened(call{0, []int{1}})
		s.Flush()
		s.happened(call{0, []int{1}}, call{0, []int{2}})
	})
}

func TestNoCallIsStartedAfterClose(t *testing.T) {
	start := make(chan struct{})
	closed := false
	cfg := tens.Config[int]{Send: slow(second), Go: func(call func()) {
		<-start
		require.False(t, closed)
		go call()
	}}
	tell(t, cfg, func(t *testing.T, s *story) {
		start = make(chan struct{}) // of this bubble
		go s.Add(0, 1)
		synctest.Wait()
		time.AfterFunc(second, func() { close(start) })
		ctx, cancel := context.WithTimeout(t.Context(), second/2)
		defer cancel()
		require.Equal(t, []int{1}, s.Close(ctx))
		closed = true
		require.Equal(t, second, time.Since(s.begin))
		time.Sleep(second) // the call comes to its end
	})
}

func TestLongestLingerThereIsEndsOnlyByFlush(t *testing.T) {
	tell(t, tens.Config[int]{}, func(t *testing.T, s *story) {
		s.Add(1<<63-1, 1)
		time.Sleep(1000 * time.Hour)
		s.happened()
		s.Flush()
		s.happened(call{1000 * time.Hour, []int{1}})
	})
}

func TestTwoFullCallsGoAndTheRestLingers(t *testing.T) {
	tell(t, tens.Config[int]{}, func(t *testing.T, s *story) {
		s.Add(second, ints(0, 25)...)
		s.happened(call{0, ints(0, 10)}, call{0, ints(10, 20)})
		time.Sleep(second)
		s.happened(call{0, ints(0, 10)}, call{0, ints(10, 20)}, call{second, ints(20, 25)})
	})
}

func TestAddOfNothingIsNothing(t *testing.T) {
	tell(t, tens.Config[int]{}, func(t *testing.T, s *story) {
		require.True(t, s.Add(0))
		s.Flush()
		time.Sleep(time.Hour)
		s.happened()
	})
}

func TestOnlySoManyCallsAtOnce(t *testing.T) {
	tell(t, tens.Config[int]{Calls: 2, Send: slow(second)}, func(t *testing.T, s *story) {
		s.Add(0, ints(0, 45)...)
		time.Sleep(time.Minute)
		s.happened(
			call{0, ints(0, 10)}, call{0, ints(10, 20)},
			call{second, ints(20, 30)}, call{second, ints(30, 40)},
			call{2 * second, ints(40, 45)},
		)
	})
}

func TestSixteenCallsAtOnceUnlessSaidOtherwise(t *testing.T) {
	tell(t, tens.Config[int]{Send: slow(second)}, func(t *testing.T, s *story) {
		for i := range 17 {
			s.Add(0, i)
		}
		require.Len(t, s.made(), 16)
	})
}

func TestWhileAllCallsAreOutEntriesPileUpAndGoInTens(t *testing.T) {
	tell(t, tens.Config[int]{Calls: 1, Send: slow(second)}, func(t *testing.T, s *story) {
		s.Add(0, -1)
		for i := range 23 {
			s.Add(0, i)
		}
		time.Sleep(time.Minute)
		s.happened(
			call{0, []int{-1}},
			call{second, ints(0, 10)}, call{2 * second, ints(10, 20)}, call{3 * second, ints(20, 23)},
		)
	})
}

func TestWhenACallComesBackTheRestKeepsItsLinger(t *testing.T) {
	tell(t, tens.Config[int]{Calls: 1, Send: slow(second)}, func(t *testing.T, s *story) {
		s.Add(0, -1)
		s.Add(0, 0) // due as soon as a call is free, and it takes nine along
		s.Add(10*second, ints(1, 13)...)
		time.Sleep(9 * second)
		s.happened(call{0, []int{-1}}, call{second, ints(0, 10)})
		time.Sleep(second)
		s.happened(call{0, []int{-1}}, call{second, ints(0, 10)}, call{10 * second, ints(10, 13)})
	})
}

func TestLingerThatEndsWhileAllCallsAreOutGoesWithTheNext(t *testing.T) {
	tell(t, tens.Config[int]{Calls: 1, Send: slow(5 * second)}, func(t *testing.T, s *story) {
		s.Add(0, 0)
		s.Add(second, 1)
		s.Add(time.Hour, 2)
		time.Sleep(time.Minute)
		s.happened(call{0, []int{0}}, call{5 * second, []int{1, 2}})
	})
}

func TestFlushSendsWhatWaitsInFullCalls(t *testing.T) {
	tell(t, tens.Config[int]{Calls: 1, Send: slow(second)}, func(t *testing.T, s *story) {
		s.Flush()
		s.Add(time.Hour, ints(0, 3)...)
		s.Flush()
		s.Add(time.Hour, ints(3, 16)...)
		s.Flush() // while a call is out
		s.Add(time.Hour, 16)
		time.Sleep(time.Minute)
		s.happened(call{0, ints(0, 3)}, call{second, ints(3, 13)}, call{2 * second, ints(13, 17)})
	})
}

func TestWhatFailedTogetherIsTriedAgainTogetherAfterItsBackoff(t *testing.T) {
	var tries []int
	backoff := func(n int) time.Duration {
		tries = append(tries, n)
		return time.Duration(n) * second
	}
	failing := 2
	send := func(_ context.Context, entries []int) []int {
		if failing--; failing >= 0 {
			return entries[1:]
		}
		return nil
	}
	tell(t, tens.Config[int]{Send: send, Backoff: backoff}, func(t *testing.T, s *story) {
		s.Add(0, ints(0, 4)...)
		time.Sleep(time.Minute)
		s.happened(call{0, ints(0, 4)}, call{second, ints(1, 4)}, call{3 * second, ints(2, 4)})
		require.Equal(t, []int{1, 2}, tries)
	})
}

func TestTriesAreCountedForEachEntry(t *testing.T) {
	var tries []int
	backoff := func(n int) time.Duration {
		tries = append(tries, n)
		return second
	}
	send := func(_ context.Context, entries []int) []int {
		return slices.DeleteFunc(entries, func(int) bool { return len(tries) > 2 }) // in place: the slice is Send's
	}
	tell(t, tens.Config[int]{Send: send, Backoff: backoff}, func(t *testing.T, s *story) {
		s.Add(0, 7)
		time.Sleep(second / 2)
		s.Add(second/2, 7, 8) // joins the other at its second try; equal entries are two all the same
		time.Sleep(time.Minute)
		s.happened(call{0, []int{7}}, call{second, []int{7, 8, 7}}, call{2 * second, []int{7, 8, 7}})
		slices.Sort(tries)
		require.Equal(t, []int{1, 1, 2}, tries)
	})
}

func TestEntriesWithoutEqualityAreTriedAgainToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tries []int
		b := tens.New(tens.Config[func()]{
			Send: func(_ context.Context, entries []func()) []func() {
				if len(tries) < 3 {
					return entries
				}
				for _, f := range entries {
					f()
				}
				return nil
			},
			Backoff: func(n int) time.Duration { tries = append(tries, n); return second },
		})
		sent := 0
		b.Add(0, func() { sent++ }, func() { sent++ })
		require.Nil(t, b.Close(t.Context()))
		require.Equal(t, 2, sent)
		require.Equal(t, []int{1, 2, 3}, tries)
	})
}

func TestRetriesGoBehindWhatWaits(t *testing.T) {
	first := true
	send := func(_ context.Context, entries []int) []int {
		if again := first; again {
			first = false
			return entries
		}
		time.Sleep(5 * second)
		return nil
	}
	tell(t, tens.Config[int]{Calls: 1, Send: send, Backoff: always(second)}, func(t *testing.T, s *story) {
		s.Add(0, 1)
		synctest.Wait()
		s.Add(0, 2)
		s.Add(time.Hour, ints(3, 14)...)
		time.Sleep(time.Minute)
		s.happened(
			call{0, []int{1}}, call{0, []int{2}},
			call{5 * second, ints(3, 13)}, call{10 * second, []int{13, 1}},
		)
	})
}

func TestBackoffHoldsNoCall(t *testing.T) {
	failing := true
	send := func(_ context.Context, entries []int) []int {
		if failing {
			return entries
		}
		return nil
	}
	tell(t, tens.Config[int]{Calls: 1, Send: send, Backoff: always(time.Hour)}, func(t *testing.T, s *story) {
		s.Add(0, 1)
		synctest.Wait()
		failing = false
		s.Add(0, 2)
		s.happened(call{0, []int{1}}, call{0, []int{2}})
		s.Flush() // does not cut the back-off short
		time.Sleep(time.Hour)
		s.happened(call{0, []int{1}}, call{0, []int{2}}, call{time.Hour, []int{1}})
	})
}

func TestBackoffUnlessSaidOtherwiseDoublesToTwoSecondsAndIsJittered(t *testing.T) {
	const tries = 12
	failures := 0
	send := func(_ context.Context, entries []int) []int {
		if failures++; failures <= tries {
			return entries
		}
		return nil
	}
	tell(t, tens.Config[int]{Send: send}, func(t *testing.T, s *story) {
		s.Add(0, 1)
		time.Sleep(time.Hour)
		calls := s.made()
		require.Len(t, calls, tries+1)
		limit := 20 * time.Millisecond
		for i := range tries {
			wait := calls[i+1].at - calls[i].at
			require.Positive(t, wait)
			require.LessOrEqual(t, wait, min(limit, 2*second))
			limit *= 2
		}
	})
}

func TestSendThatBreaksIsTriedAgain(t *testing.T) {
	for name, breaks := range map[string]func(){
		"panic":  func() { panic("broken") },
		"goexit": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			broken := true
			send := func(_ context.Context, entries []int) []int {
				clear(entries) // whatever Send has done to its slice, the batcher knows what was in it
				if broken {
					broken = false
					breaks()
				}
				return nil
			}
			tell(t, tens.Config[int]{Calls: 1, Send: send, Backoff: always(second)}, func(t *testing.T, s *story) {
				s.Add(0, 1, 2)
				time.Sleep(time.Minute)
				s.happened(call{0, []int{1, 2}}, call{second, []int{1, 2}})
				s.Add(0, 3)
				s.happened(call{0, []int{1, 2}}, call{second, []int{1, 2}}, call{time.Minute, []int{3}})
			})
		})
	}
}

func TestAddAndFlushFromWithinSend(t *testing.T) {
	var s *story
	send := func(_ context.Context, entries []int) []int {
		if n := entries[0]; n < 3 {
			require.True(s.t, s.Add(time.Hour, n+1))
			s.Flush()
		}
		return nil
	}
	tell(t, tens.Config[int]{Calls: 1, Send: send}, func(_ *testing.T, told *story) {
		s = told
		s.Add(0, 0)
		s.happened(call{0, []int{0}}, call{0, []int{1}}, call{0, []int{2}}, call{0, []int{3}})
	})
}

func TestCloseSendsWhatLingersAndWaitsForRetries(t *testing.T) {
	failing := true
	send := func(_ context.Context, entries []int) []int {
		time.Sleep(second)
		if failing {
			failing = false
			return entries[:1]
		}
		return nil
	}
	tell(t, tens.Config[int]{Send: send, Backoff: always(10 * second)}, func(t *testing.T, s *story) {
		s.Add(time.Hour, 1, 2)
		require.Nil(t, s.Close(t.Context()))
		require.Equal(t, 12*second, time.Since(s.begin))
		s.happened(call{0, []int{1, 2}}, call{11 * second, []int{1}})

		require.False(t, s.Add(0, 3))
		require.False(t, s.Add(0))
		s.Flush()
		require.Nil(t, s.Close(t.Context()))
		require.Equal(t, 12*second, time.Since(s.begin))
	})
}

func TestWhileClosingEntriesAreTakenAndDoNotLinger(t *testing.T) {
	tell(t, tens.Config[int]{Calls: 1, Send: slow(second)}, func(t *testing.T, s *story) {
		s.Add(0, 1)
		time.AfterFunc(second/2, func() { require.True(t, s.Add(time.Hour, 2)) })
		require.Nil(t, s.Close(t.Context()))
		s.happened(call{0, []int{1}}, call{second, []int{2}})
	})
}

func TestCloseOfAnIdleBatcherReturnsAtOnce(t *testing.T) {
	tell(t, tens.Config[int]{}, func(t *testing.T, s *story) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.Nil(t, s.Close(ctx))
		require.False(t, s.Add(0, 1))
		require.Zero(t, time.Since(s.begin))
	})
}

func TestCloseCancelsItsCallsWhenItsContextEnds(t *testing.T) {
	broken := errors.New("broken")
	var cause error
	send := func(ctx context.Context, entries []int) []int {
		<-ctx.Done()
		cause = context.Cause(ctx)
		return entries[:1]
	}
	tell(t, tens.Config[int]{Calls: 1, Send: send}, func(t *testing.T, s *story) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), second, broken)
		defer cancel()
		s.Add(0, 1, 2)
		s.Add(0, 3)
		require.Equal(t, []int{3, 1}, s.Close(ctx))
		require.Equal(t, second, time.Since(s.begin))
		require.ErrorIs(t, cause, broken)
		require.False(t, s.Add(0, 4))
		s.happened(call{0, []int{1, 2}})
	})
}

func TestCloseLeavesAHungSendBehind(t *testing.T) {
	var release chan struct{}
	send := func(_ context.Context, entries []int) []int {
		if entries[0] == 1 {
			return entries
		}
		<-release
		return entries
	}
	tell(t, tens.Config[int]{Calls: 1, Send: send, Backoff: always(time.Hour)}, func(t *testing.T, s *story) {
		release = make(chan struct{})
		s.Add(0, 1)
		synctest.Wait()
		s.Add(0, 2, 3)
		s.Add(time.Hour, 4)

		ctx, cancel := context.WithTimeout(t.Context(), second)
		defer cancel()
		time.AfterFunc(second+50*time.Millisecond, func() { require.True(t, s.Add(0, 5)) })
		require.Equal(t, []int{2, 3, 4, 5, 1}, s.Close(ctx))
		require.Equal(t, second+100*time.Millisecond, time.Since(s.begin))

		require.Nil(t, s.Close(ctx)) // what was left is told once
		close(release)
		time.Sleep(2 * time.Hour)
		s.happened(call{0, []int{1}}, call{0, []int{2, 3}})
	})
}

func TestCloseWhoseContextIsDoneBeginsNoCall(t *testing.T) {
	tell(t, tens.Config[int]{}, func(t *testing.T, s *story) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		s.Add(time.Hour, 1)
		require.Equal(t, []int{1}, s.Close(ctx))
		s.happened()
	})
}

func TestClosesAtTheSameTimeTellWhatIsLeftOnce(t *testing.T) {
	var release chan struct{}
	send := func(context.Context, []int) []int { <-release; return nil }
	tell(t, tens.Config[int]{Send: send}, func(t *testing.T, s *story) {
		release = make(chan struct{})
		s.Add(0, 1)
		ctx, cancel := context.WithTimeout(t.Context(), second)
		defer cancel()
		var left [3][]int
		var wg sync.WaitGroup
		for i, ctx := range []context.Context{ctx, ctx, t.Context()} {
			wg.Go(func() { left[i] = s.Close(ctx) })
		}
		wg.Wait()
		require.Equal(t, []int{1}, slices.Concat(left[:]...))
		close(release)
	})
}

func TestIdleBatcherHasNoGoroutine(t *testing.T) {
	tell(t, tens.Config[int]{Send: slow(second), Backoff: always(second)}, func(t *testing.T, s *story) {
		require.Zero(t, goroutines())
		s.Add(10*second, 1)
		require.Zero(t, goroutines(), "a linger is a timer")
		time.Sleep(10 * second)
		synctest.Wait()
		require.Equal(t, 1, goroutines(), "a call is a goroutine")
		time.Sleep(second)
		synctest.Wait()
		require.Zero(t, goroutines())
	})
}

// goroutines returns how many goroutines run a batcher's code.
func goroutines() int {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	n := 0
	for stack := range strings.SplitSeq(string(stacks), "\n\n") {
		if strings.Contains(stack, "internal/tens.(*Batcher") {
			n++
		}
	}
	return n
}

// TestNothingIsLost lets several goroutines add at random to a batcher whose
// calls are slow, fail, break and hang at random, closes it in the middle, and
// looks for each entry: it must have been sent for good, or be left, and only an
// entry of a call that Close left behind may be both.
func TestNothingIsLost(t *testing.T) {
	seeds := 300
	if testing.Short() {
		seeds = 30
	}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) { newChaos(t, uint64(seed)).run() })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

type chaos struct {
	t       *testing.T
	b       *tens.Batcher[int]
	calls   int
	release chan struct{} // closed when Close has returned: hung calls go on

	mu     sync.Mutex // guards the fields below
	rnd    *rand.Rand
	flying int
	taken  map[int]bool // by Add
	sent   map[int]int  // for good, how often
	hung   map[int]bool // in a call that did not heed its context
	broken map[int]bool // in a call that panicked after its work: may be sent again
}

func newChaos(t *testing.T, seed uint64) *chaos {
	c := &chaos{
		t: t, rnd: rand.New(rand.NewPCG(seed, 1)), release: make(chan struct{}),
		taken: map[int]bool{}, sent: map[int]int{}, hung: map[int]bool{}, broken: map[int]bool{},
	}
	c.calls = 1 + c.n(4)
	c.b = tens.New(tens.Config[int]{
		Send: c.send, Calls: c.calls,
		Backoff: func(int) time.Duration { return c.upTo(second) },
	})
	return c
}

func (c *chaos) n(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rnd.IntN(n)
}

func (c *chaos) upTo(d time.Duration) time.Duration { return time.Duration(c.n(int(d))) }

func (c *chaos) run() {
	var wg sync.WaitGroup
	for actor := range 5 {
		wg.Go(func() { c.add(actor * 1_000_000) })
	}
	time.Sleep(c.upTo(20 * second))
	ctx, cancel := context.WithTimeout(c.t.Context(), c.upTo(20*second))
	defer cancel()
	if c.n(3) == 0 {
		ctx = c.t.Context() // then everything must get through
		close(c.release)
	}
	left := c.b.Close(ctx)
	if ctx.Err() != nil {
		close(c.release)
	} else {
		require.Nil(c.t, left)
		select {
		case <-c.release:
		default:
			close(c.release)
		}
	}
	wg.Wait()
	synctest.Wait()
	c.check(left)
}

// add adds entries, the first of which is from, until the batcher is closed or
// its share is done: a batcher that is always fed never has nothing left.
func (c *chaos) add(from int) {
	for range 30 {
		entries := ints(from, from+1+c.n(1+c.n(30)))
		from += len(entries)
		linger := time.Duration(0)
		if c.n(2) == 0 {
			linger = c.upTo(second)
		}
		taken := c.b.Add(linger, entries...)
		c.mu.Lock()
		for _, e := range entries {
			c.taken[e] = taken
		}
		c.mu.Unlock()
		if !taken {
			return
		}
		if c.n(20) == 0 {
			c.b.Flush()
		}
		time.Sleep(1 + c.upTo(2*second))
	}
}

func (c *chaos) send(ctx context.Context, entries []int) (again []int) {
	c.begin(entries)
	defer c.end()
	dice := c.n(100)
	switch {
	case dice < 5:
		panic("broken")
	case dice < 10:
		runtime.Goexit()
	case dice < 12:
		c.mark(c.hung, entries)
		<-c.release
	default:
		select {
		case <-time.After(c.upTo(second)):
		case <-ctx.Done():
			return entries
		}
	}
	for _, e := range entries {
		if c.n(5) == 0 {
			again = append(again, e)
			continue
		}
		c.mu.Lock()
		c.sent[e]++
		c.mu.Unlock()
	}
	return again
}

func (c *chaos) begin(entries []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flying++
	if n := len(entries); c.flying > c.calls || n < 1 || n > 10 {
		c.t.Errorf("call %d at once, want at most %d, with %d entries", c.flying, c.calls, n)
	}
}

func (c *chaos) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flying--
}

func (c *chaos) mark(set map[int]bool, entries []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range entries {
		set[e] = true
	}
}

func (c *chaos) check(left []int) {
	isLeft := map[int]int{}
	for _, e := range left {
		isLeft[e]++
	}
	for e, taken := range c.taken {
		settled := c.sent[e] + isLeft[e]
		switch {
		case !taken:
			require.Zero(c.t, settled, "entry %d was not taken", e)
		case c.hung[e]:
			require.Positive(c.t, settled, "entry %d is lost", e)
			require.LessOrEqual(c.t, c.sent[e], 1, "entry %d was sent twice", e)
			require.LessOrEqual(c.t, isLeft[e], 1, "entry %d is left twice", e)
		default:
			require.Equal(c.t, 1, settled, "entry %d: sent %d times, left %d times", e, c.sent[e], isLeft[e])
		}
	}
}

func BenchmarkAdd(b *testing.B) {
	for name, linger := range map[string]time.Duration{"at once": 0, "lingering": time.Millisecond} {
		b.Run(name, func(b *testing.B) {
			batcher := tens.New(tens.Config[*int]{Send: func(context.Context, []*int) []*int { return nil }})
			entry := new(1)
			b.ReportAllocs()
			for b.Loop() {
				batcher.Add(linger, entry)
			}
			require.Nil(b, batcher.Close(b.Context()))
		})
	}
}
