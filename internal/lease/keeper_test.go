package lease_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/lease"
)

const v = 30 * time.Second // the visibility timeout of most stories

type (
	held    = lease.Lease[int]
	receipt = lease.Receipt[int]
	renewal = lease.Renewal[int]
)

// A beat is one renewal as the queue saw it, at a time since the story began.
type beat struct {
	at      time.Duration
	of      int
	handle  string
	timeout time.Duration
}

type loss struct {
	at  time.Duration
	of  []int
	err error
}

// A story is a keeper that runs in a bubble, with a queue that confirms every renewal at once unless told otherwise.
type story struct {
	*lease.Keeper[int]

	t     *testing.T
	start time.Time
	stop  func() // ends Run and waits for it

	mu    sync.Mutex // guards the fields below
	reply reply
	sent  [][]beat
	ended []loss
}

type reply = func(ctx context.Context, entries []renewal) []error

// tell runs a story in a bubble. The keeper ends with it, and the bubble fails if it leaves a goroutine behind.
func tell(t *testing.T, f func(t *testing.T, s *story), change ...func(*lease.Config[int])) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &story{t: t, start: time.Now(), reply: always(nil)}
		cfg := lease.Config[int]{
			Timeout: v,
			Renew:   s.note,
			Lost:    s.lost,
			Rand:    func() float64 { return 0.5 },
		}
		for _, c := range change {
			c(&cfg)
		}
		s.Keeper = lease.NewKeeper(cfg)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { s.Run(ctx) })
		s.stop = func() { cancel(); wg.Wait() }
		defer s.stop()
		f(t, s)
	})
}

func (s *story) note(ctx context.Context, entries []renewal) []error {
	beats := make([]beat, len(entries))
	for i, e := range entries {
		beats[i] = beat{s.now(), e.Lease.Of, e.Handle, e.Timeout}
	}
	s.mu.Lock()
	s.sent = append(s.sent, beats)
	reply := s.reply
	s.mu.Unlock()
	return reply(ctx, entries)
}

func (s *story) lost(ls []*held, err error) {
	l := loss{at: s.now(), err: err}
	for _, h := range ls {
		l.of = append(l.of, h.Of)
	}
	slices.Sort(l.of) // leases that end together do so in any order
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = append(s.ended, l)
}

// renew sets how the queue answers from now on.
func (s *story) renew(r reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reply = r
}

func (s *story) calls() [][]beat {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.sent)
}

func (s *story) losses() []loss {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ended)
}

func (s *story) now() time.Duration { return time.Since(s.start) }

// until sleeps to a time since the story began and lets everybody finish what is to be done then.
func (s *story) until(d time.Duration) {
	s.t.Helper()
	time.Sleep(d - s.now())
	synctest.Wait()
}

// receive adds n leases, of the numbers from first on, received just now.
func (s *story) receive(first, n int) []*held {
	ls := make([]*held, n)
	rs := make([]receipt, n)
	for i := range ls {
		ls[i] = &held{Of: first + i}
		rs[i] = receipt{Lease: ls[i], Handle: "h"}
	}
	s.Add(time.Now(), time.Now(), rs...)
	return ls
}

// times returns when the lease of this number was renewed.
func (s *story) times(of int) (at []time.Duration) {
	for _, c := range s.calls() {
		for _, b := range c {
			if b.of == of {
				at = append(at, b.at)
			}
		}
	}
	return at
}

func seconds(n ...float64) (ds []time.Duration) {
	for _, s := range n {
		ds = append(ds, time.Duration(s*float64(time.Second)))
	}
	return ds
}

func always(err error) reply {
	return func(_ context.Context, entries []renewal) []error {
		errs := make([]error, len(entries))
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
}

var errQueue = errors.New("the queue is ill")

func TestRenewedAtHalfInEqualSteps(t *testing.T) {
	tell(t, func(t *testing.T, s *story) {
		s.receive(1, 1)
		s.until(61 * time.Second)
		require.Equal(t, seconds(15, 30, 45, 60), s.times(1))
		require.Equal(t, beat{15 * time.Second, 1, "h", v}, s.calls()[0][0])
		require.Empty(t, s.losses())
	})
}

func TestSettledEarlyCausesNoCall(t *testing.T) {
	tell(t, func(t *testing.T, s *story) {
		ls := s.receive(1, 10)
		s.until(14 * time.Second)
		require.Equal(t, 10, s.Len())
		s.Remove(ls...)
		s.until(time.Hour)
		require.Empty(t, s.calls())
		require.Empty(t, s.losses())
		require.Zero(t, s.Len())
	})
}

func TestTwentyFiveLeasesTakeThreeCalls(t *testing.T) {
	tell(t, func(t *testing.T, s *story) {
		s.receive(1, 25)
		s.until(16 * time.Second)
		require.Len(t, s.calls(), 3)
		require.ElementsMatch(t, []int{10, 10, 5}, []int{len(s.calls()[0]), len(s.calls()[1]), len(s.calls()[2])})
		s.until(31 * time.Second)
		require.Len(t, s.calls(), 6)
	})
}

func TestTenDueGoAtOnceAndFewerWaitForMore(t *testing.T) {
	tell(t, func(t *testing.T, s *story) {
		s.receive(1, 6) // due at 15
		s.until(2 * time.Second)
		s.receive(7, 4) // due at 17: the tenth, so the call goes
		s.until(20 * time.Second)
		require.Len(t, s.calls(), 1)
		require.Len(t, s.calls()[0], 10)
		require.Equal(t, 17*time.Second, s.calls()[0][0].at)
		s.until(33 * time.Second)
		require.Len(t, s.calls(), 2, "together from now on")
		require.Equal(t, 32*time.Second, s.calls()[1][0].at)
	})
}

func TestADueLeaseWaitsATenthOfTheTimeoutAtMost(t *testing.T) {
	tell(t, func(t *testing.T, s *story) {
		s.receive(1, 1) // due at 15
		s.until(time.Second)
		s.receive(2, 1) // due at 16
		s.until(2500 * time.Millisecond)
		s.receive(3, 7) // due at 17.5
		s.until(3500 * time.Millisecond)
		s.receive(10, 10) // due at 18.5: too late
		s.until(19 * time.Second)
		require.Len(t, s.calls(), 2)
		require.Len(t, s.calls()[0], 9)
		require.Equal(t, 17500*time.Millisecond, s.calls()[0][0].at, "nothing else becomes due before 18")
		require.Len(t, s.calls()[1], 10)
		require.Equal(t, 18500*time.Millisecond, s.calls()[1][0].at)
	})
}

func TestAWaitEndsThoughOthersAreStillToCome(t *testing.T) {
	tell(t, func(t *testing.T, s *story) {
		for i := range 8 { // due at 15, 15.5, … 18.5
			s.receive(i, 1)
			time.Sleep(500 * time.Millisecond)
		}
		s.until(18100 * time.Millisecond)
		require.Len(t, s.calls(), 1)
		require.Len(t, s.calls()[0], 7)
		require.Equal(t, 18*time.Second, s.calls()[0][0].at)
	})
}

func TestAFailedEntryIsTriedAgainWhileTheOthersAdvance(t *testing.T) {
	tell(t, func(t *testing.T, s *story) {
		s.renew(func(_ context.Context, entries []renewal) []error {
			errs := make([]error, len(entries))
			for i, e := range entries {
				if e.Lease.Of == 3 && s.now() < 16*time.Second {
					errs[i] = errQueue
				}
			}
			return errs
		})
		ls := s.receive(1, 10)
		s.until(15 * time.Second)
		require.Equal(t, 15*time.Second, s.Left(ls[2], time.Now()))
		require.Equal(t, v, s.Left(ls[3], time.Now()))
		s.until(29 * time.Second)
		// A fixed 0.15 s and half of 0.75 s, then of 1.5 s.
		require.Equal(t, seconds(15, 15.525, 16.425), s.times(3))
		require.Equal(t, seconds(15), s.times(4))
		require.Equal(t, seconds(46.425 - 29)[0], s.Left(ls[2], time.Now()))
		require.Empty(t, s.losses())
	})
}

func TestNothingConfirmedIsLostExactlyAtTheDeadline(t *testing.T) {
	for name, renew := range map[string]reply{
		"refused":    always(errQueue),
		"unanswered": func(context.Context, []renewal) []error { return nil },
		"panic":      func(context.Context, []renewal) []error { panic(errQueue) },
		"hanging": func(ctx context.Context, _ []renewal) []error {
			<-ctx.Done()
			return always(errQueue)(ctx, make([]renewal, 10))
		},
	} {
		t.Run(name, func(t *testing.T) {
			tell(t, func(t *testing.T, s *story) {
				s.renew(renew)
				s.receive(1, 10)
				s.until(time.Minute)
				require.Len(t, s.losses(), 1)
				require.Equal(t, v, s.losses()[0].at)
				require.Equal(t, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, s.losses()[0].of)
				require.ErrorIs(t, s.losses()[0].err, lease.ErrExpired)
				if name == "refused" {
					require.ErrorIs(t, s.losses()[0].err, errQueue, "the last failure is told")
				}
				require.Zero(t, s.Len())
				for _, c := range s.calls() {
					require.Len(t, c, 10, "what failed together is tried again together")
					require.Less(t, c[0].at, v)
				}
				if name != "hanging" {
					require.GreaterOrEqual(t, len(s.calls()), 4)
				}
				require.LessOrEqual(t, len(s.calls()), 30)
			}, func(c *lease.Config[int]) { c.CallTimeout = 5 * time.Second })
		})
	}
}

func TestThreeTriesFitBeforeTheDeadlineWhateverTheJitter(t *testing.T) {
	for _, jitter := range []float64{0, 0.5, 0.999999} {
		tell(t, func(t *testing.T, s *story) {
			s.renew(always(errQueue))
			sent := s.start.Add(-20 * time.Second) // the longest poll there is at this timeout
			s.Add(sent, s.start, receipt{Lease: &held{Of: 1}})
			s.until(time.Minute)
			require.GreaterOrEqual(t, len(s.calls()), 3)
			require.Less(t, len(s.calls()), 80)
		}, func(c *lease.Config[int]) { c.Rand = func() float64 { return jitter } })
	}
}

func TestGoexitInACallCountsAsAFailure(t *testing.T) {
	tell(t, func(t *testing.T, s *story) {
		first := true
		s.renew(func(_ context.Context, entries []renewal) []error {
			if first {
				first = false
				runtime.Goexit()
			}
			return make([]error, len(entries))
		})
		s.receive(1, 1)
		s.until(20 * time.Second)
		require.Equal(t, seconds(15, 15.525), s.times(1))
	})
}

func TestAConfirmationAfterTheLossIsIgnored(t *testing.T) {
	tell(t, func(t *testing.T, s *story) {
		s.renew(func(_ context.Context, entries []renewal) []error {
			time.Sleep(40 * time.Second) // deaf to its context
			return make([]error, len(entries))
		})
		ls := s.receive(1, 2)
		s.until(29999 * time.Millisecond)
		require.Empty(t, s.losses())
		s.until(30 * time.Second)
		require.Len(t, s.losses(), 1)
		require.Equal(t, lease.ErrExpired, s.losses()[0].err)
		s.until(5 * time.Minute)
		require.Len(t, s.losses(), 1)
		require.Len(t, s.calls(), 1)
		require.Negative(t, s.Left(ls[0], time.Now()))
		require.Zero(t, s.Len())
	})
}

func TestALostLeaseStaysLostThoughARenewalTookEffect(t *testing.T) {
	tell(t, func(t *testing.T, s *story) {
		s.renew(func(_ context.Context, entries []renewal) []error {
			time.Sleep(8 * time.Second) // deaf to its context
			return make([]error, len(entries))
		})
		s.until(20 * time.Second)
		l := &held{Of: 1}
		s.Add(s.start, time.Now(), receipt{Lease: l}) // due at 24, over at 30, confirmed at 32
		s.until(33 * time.Second)
		require.Equal(t, []loss{{v, []int{1}, lease.ErrExpired}}, s.losses())
		require.Equal(t, -3*time.Second, s.Left(l, time.Now()))
	})
}

func TestACallIsCutToLeaveTimeForAnother(t *testing.T) {
	for _, tc := range []struct{ timeout, asked, want time.Duration }{
		{timeout: 30 * time.Second, want: 7500 * time.Millisecond},
		{timeout: 10 * time.Minute, want: 10 * time.Second},
		{timeout: 10 * time.Minute, asked: time.Minute, want: 10 * time.Second},
		{timeout: 10 * time.Minute, asked: time.Second, want: time.Second},
	} {
		var cut time.Duration
		tell(t, func(_ *testing.T, s *story) {
			s.renew(func(ctx context.Context, entries []renewal) []error {
				if deadline, ok := ctx.Deadline(); ok {
					cut = time.Until(deadline)
				}
				return make([]error, len(entries))
			})
			s.receive(1, 1)
			s.until(tc.timeout/2 + time.Second)
		}, func(c *lease.Config[int]) { c.Timeout, c.CallTimeout = tc.timeout, tc.asked })
		require.Equal(t, tc.want, cut, "%+v", tc)
	}
}

func TestAReceiptThatIsGoneIsLostNow(t *testing.T) {
	tell(t, func(t *testing.T, s *story) {
		wrapped := fmt.Errorf("no such receipt: %w", lease.ErrGone)
		s.renew(func(_ context.Context, entries []renewal) []error {
			time.Sleep(20 * time.Millisecond)
			errs := make([]error, len(entries))
			errs[1] = wrapped
			return errs
		})
		ls := s.receive(1, 3)
		s.until(16 * time.Second)
		require.Equal(t, []loss{{15020 * time.Millisecond, []int{2}, wrapped}}, s.losses())
		require.Equal(t, 2, s.Len())
		require.LessOrEqual(t, s.Left(ls[1], time.Now()), time.Duration(0))
		s.until(31 * time.Second)
		require.Len(t, s.calls()[1], 2)
	})
}

func TestALeaseCountsFromTheSendingOfItsRenewal(t *testing.T) {
	tell(t, func(t *testing.T, s *story) {
		s.renew(func(_ context.Context, entries []renewal) []error {
			time.Sleep(4 * time.Second)
			return make([]error, len(entries))
		})
		ls := s.receive(1, 1)
		s.until(18 * time.Second)
		require.Equal(t, 12*time.Second, s.Left(ls[0], time.Now()), "believed only when confirmed")
		s.until(20 * time.Second)
		require.Equal(t, 25*time.Second, s.Left(ls[0], time.Now()))
		s.until(50 * time.Second)
		require.Equal(t, seconds(15, 30, 45), s.times(1))
	})
}

func TestNothingIsAskedBeyondTwelveHours(t *testing.T) {
	tell(t, func(t *testing.T, s *story) {
		s.renew(func(_ context.Context, entries []renewal) []error {
			time.Sleep(2 * time.Second) // the queue counts from when the call reaches it
			errs := make([]error, len(entries))
			for i, e := range entries {
				if s.now()+e.Timeout > 12*time.Hour {
					errs[i] = lease.ErrGone
				}
			}
			return errs
		})
		s.receive(1, 1)
		s.until(13 * time.Hour)
		last := s.calls()[len(s.calls())-1][0]
		require.Equal(t, beat{12*time.Hour - 30*time.Second, 1, "h", 20 * time.Second}, last)
		require.Len(t, s.losses(), 1)
		require.Equal(t, 12*time.Hour-10*time.Second, s.losses()[0].at)
		require.ErrorIs(t, s.losses()[0].err, lease.ErrLimit)
		require.Len(t, s.calls(), 12*60*60/15-2, "no call that would win less than a second")
	})
}

func TestTwelveHoursCountFromTheReceiveRequest(t *testing.T) {
	tell(t, func(t *testing.T, s *story) {
		s.until(19500 * time.Millisecond)
		s.Add(s.start, time.Now(), receipt{Lease: &held{Of: 1}}) // due at 24 s, then each 15 s
		s.until(13 * time.Hour)
		last := s.calls()[len(s.calls())-1][0]
		require.Equal(t, beat{12*time.Hour - 36*time.Second, 1, "", 26 * time.Second}, last)
		require.Equal(t, []loss{{12*time.Hour - 10*time.Second, []int{1}, lease.ErrLimit}}, s.losses())
	})
}

func TestOnlyWholeSecondsAreAsked(t *testing.T) {
	tell(t, func(t *testing.T, s *story) {
		s.Add(s.start.Add(-300*time.Millisecond), s.start, receipt{Lease: &held{Of: 1}})
		s.until(13 * time.Hour)
		last := s.calls()[len(s.calls())-1][0]
		require.Equal(t, beat{12*time.Hour - 30*time.Second, 1, "", 19 * time.Second}, last)
		require.Equal(t, []loss{{12*time.Hour - 11*time.Second, []int{1}, lease.ErrLimit}}, s.losses())
	})
}

func TestALeaseAtItsLimitIsGivenUp(t *testing.T) {
	tell(t, func(t *testing.T, s *story) {
		s.Add(s.start.Add(-12*time.Hour), s.start.Add(-12*time.Hour).Add(12*time.Hour-15*time.Second), receipt{Lease: &held{Of: 1}})
		s.until(time.Second)
		require.Empty(t, s.calls())
		require.Len(t, s.losses(), 1)
		require.Zero(t, s.losses()[0].at)
	})
}

func TestALeaseOfTwelveHoursIsNeverRenewed(t *testing.T) {
	tell(t, func(t *testing.T, s *story) {
		s.receive(1, 1)
		s.until(13 * time.Hour)
		require.Len(t, s.losses(), 1)
		require.Equal(t, loss{12 * time.Hour, []int{1}, lease.ErrLimit}, s.losses()[0])
		require.Empty(t, s.calls())
	}, func(c *lease.Config[int]) { c.Timeout = 12 * time.Hour })
}

func TestTheFirstRenewalAfterALongPoll(t *testing.T) {
	for _, tc := range []struct{ poll, due time.Duration }{
		{0, 15 * time.Second},
		{4 * time.Second, 19 * time.Second},
		{9 * time.Second, 24 * time.Second},
		{20 * time.Second, 24 * time.Second},
		{25 * time.Second, 25 * time.Second},
	} {
		tell(t, func(t *testing.T, s *story) {
			s.until(tc.poll)
			l := &held{Of: 1}
			s.Add(s.start, time.Now(), receipt{Lease: l})
			require.Equal(t, v-tc.poll, s.Left(l, time.Now()), "the safe deadline counts from the request")
			s.until(tc.due + 16*time.Second)
			require.Equal(t, []time.Duration{tc.due, tc.due + v/2}, s.times(1), "poll of %v", tc.poll)
		})
	}
}

func TestALeaseWithLittleTimeLeftHardlyWaitsForOthers(t *testing.T) {
	tell(t, func(t *testing.T, s *story) {
		s.until(20 * time.Second)
		s.Add(s.start, time.Now(), receipt{Lease: &held{Of: 1}}) // due at 24, over at 30
		s.until(22500 * time.Millisecond)
		s.Add(time.Now().Add(-20*time.Second), time.Now(), receipt{Lease: &held{Of: 2}}) // due at 26.5
		s.until(29 * time.Second)
		require.Equal(t, seconds(24), s.times(1), "a tenth of the timeout would be half of what is left")
		require.Equal(t, seconds(26.5), s.times(2))
	})
}

func TestAnAdoptedLeaseBeginsAnew(t *testing.T) {
	tell(t, func(t *testing.T, s *story) {
		l := s.receive(1, 1)[0]
		s.until(10 * time.Second)
		s.Adopt(l, "newer", time.Now(), time.Now())
		require.Equal(t, "newer", s.Handle(l))
		require.Equal(t, v, s.Left(l, time.Now()))
		require.Equal(t, 1, s.Len())
		s.until(30 * time.Second)
		require.Equal(t, [][]beat{{{25 * time.Second, 1, "newer", v}}}, s.calls())
	})
}

func TestAnAdoptedLeaseIgnoresTheCallInFlight(t *testing.T) {
	for _, answer := range []error{nil, errQueue, lease.ErrGone} {
		tell(t, func(t *testing.T, s *story) {
			s.renew(func(ctx context.Context, entries []renewal) []error {
				if entries[0].Handle == "newer" {
					return make([]error, len(entries))
				}
				time.Sleep(5 * time.Second)
				return always(answer)(ctx, entries)
			})
			l := s.receive(1, 1)[0]
			s.until(16 * time.Second) // the call left at 15
			s.Adopt(l, "newer", time.Now(), time.Now())
			s.until(21 * time.Second)
			require.Equal(t, 25*time.Second, s.Left(l, time.Now()))
			s.until(32 * time.Second)
			require.Equal(t, seconds(15, 31), s.times(1))
			require.Empty(t, s.losses())
		})
	}
}

func TestALostLeaseCanBeAdopted(t *testing.T) {
	tell(t, func(t *testing.T, s *story) {
		s.renew(always(lease.ErrGone))
		l := s.receive(1, 1)[0]
		s.until(20 * time.Second)
		require.Len(t, s.losses(), 1)
		s.renew(always(nil))
		s.Adopt(l, "newer", time.Now(), time.Now())
		s.until(time.Minute)
		require.Equal(t, seconds(15, 35, 50), s.times(1))
		require.Len(t, s.losses(), 1)
		require.Equal(t, 1, s.Len())
	})
}

func TestAResumedLeaseGoesOnAsItStood(t *testing.T) {
	tell(t, func(t *testing.T, s *story) {
		l := s.receive(1, 1)[0]
		s.until(20 * time.Second) // renewed at 15
		s.Resume(l)               // kept: nothing changes
		s.Remove(l)
		s.until(25 * time.Second)
		s.Resume(l)
		require.Equal(t, 20*time.Second, s.Left(l, time.Now()), "what was confirmed is not forgotten")
		s.until(time.Minute)
		require.Equal(t, seconds(15, 35, 50), s.times(1))
		require.Empty(t, s.losses())
	})
}

func TestALeaseResumedAfterItsEndIsLost(t *testing.T) {
	tell(t, func(t *testing.T, s *story) {
		l := s.receive(1, 1)[0]
		s.Remove(l)
		s.until(40 * time.Second)
		s.Resume(l)
		s.Resume(&held{}) // was never kept: nothing happens
		s.until(time.Hour)
		require.Empty(t, s.calls())
		require.Equal(t, []loss{{40 * time.Second, []int{1}, lease.ErrExpired}}, s.losses())
	})
}

func TestRetireWaitsForTheBeatInFlight(t *testing.T) {
	tell(t, func(t *testing.T, s *story) {
		s.renew(func(_ context.Context, entries []renewal) []error {
			time.Sleep(3 * time.Second)
			return make([]error, len(entries))
		})
		var done []time.Duration
		note := func() { done = append(done, s.now()) }
		ls := s.receive(1, 2)
		s.until(10 * time.Second)
		s.Retire(ls[0], note)
		require.Equal(t, seconds(10), done, "at once, in the caller's goroutine")
		s.until(16 * time.Second)
		s.Retire(ls[1], note)
		s.Retire(ls[1], note)
		require.Zero(t, s.Len())
		s.until(time.Minute)
		require.Equal(t, seconds(10, 18, 18), done)
		require.Len(t, s.calls(), 1)
		require.Empty(t, s.losses())
		require.Equal(t, -15*time.Second, s.Left(ls[1], time.Now()), "a beat that counted is counted")
	})
}

func TestRetireWaitsForEveryBeatInFlight(t *testing.T) {
	tell(t, func(t *testing.T, s *story) {
		s.renew(func(_ context.Context, entries []renewal) []error {
			time.Sleep(20 * time.Second) // deaf to its context
			return make([]error, len(entries))
		})
		l := s.receive(1, 1)[0]
		s.until(16 * time.Second)
		s.Adopt(l, "newer", time.Now(), time.Now())
		s.until(32 * time.Second)
		require.Equal(t, seconds(15, 31), s.times(1))
		var done time.Duration
		s.Retire(l, func() { done = s.now() })
		s.until(time.Minute)
		require.Equal(t, 51*time.Second, done, "the old handle's beat is back at 35, the newer one's at 51")
	})
}

func TestHaltedIsLostAtItsDeadline(t *testing.T) {
	tell(t, func(t *testing.T, s *story) {
		l := s.receive(1, 1)[0]
		s.until(40 * time.Second) // renewed at 15 and 30
		s.Halt(l)
		s.Halt(&held{}) // not kept: nothing happens
		s.until(2 * time.Minute)
		require.Equal(t, seconds(15, 30), s.times(1))
		require.Equal(t, []loss{{time.Minute, []int{1}, lease.ErrHalted}}, s.losses())
	})
}

func TestHaltLetsTheBeatInFlightCount(t *testing.T) {
	tell(t, func(t *testing.T, s *story) {
		s.renew(func(_ context.Context, entries []renewal) []error {
			time.Sleep(3 * time.Second)
			return make([]error, len(entries))
		})
		l := s.receive(1, 1)[0]
		s.until(16 * time.Second)
		s.Halt(l)
		s.until(20 * time.Second)
		s.Adopt(l, "newer", time.Now(), time.Now()) // of no use: the limit was the handler's
		s.until(2 * time.Minute)
		require.Equal(t, seconds(15), s.times(1))
		require.Equal(t, []loss{{50 * time.Second, []int{1}, lease.ErrHalted}}, s.losses())
	})
}

func TestHaltOutlivesALostReceipt(t *testing.T) {
	for _, when := range []time.Duration{16 * time.Second, 20 * time.Second} { // before and after the loss
		tell(t, func(t *testing.T, s *story) {
			s.renew(func(ctx context.Context, entries []renewal) []error {
				time.Sleep(3 * time.Second)
				return always(lease.ErrGone)(ctx, entries)
			})
			l := s.receive(1, 1)[0]
			s.until(when)
			s.Halt(l)
			s.until(25 * time.Second)
			s.Adopt(l, "newer", time.Now(), time.Now())
			s.until(2 * time.Minute)
			require.Equal(t, seconds(15), s.times(1))
			require.Equal(t, []loss{
				{18 * time.Second, []int{1}, lease.ErrGone},
				{55 * time.Second, []int{1}, lease.ErrHalted},
			}, s.losses())
		})
	}
}

func TestRemovedDuringACallIsForgotten(t *testing.T) {
	for _, answer := range []error{nil, errQueue, lease.ErrGone} {
		tell(t, func(t *testing.T, s *story) {
			s.renew(func(ctx context.Context, entries []renewal) []error {
				time.Sleep(3 * time.Second)
				return always(answer)(ctx, entries)
			})
			ls := s.receive(1, 2)
			s.until(16 * time.Second)
			s.Remove(ls...)
			s.Remove(ls...)
			s.until(5 * time.Minute)
			require.Len(t, s.calls(), 1)
			require.Empty(t, s.losses())
		})
	}
}

func TestRemovedWhileWaitingForOthersIsNotRenewed(t *testing.T) {
	tell(t, func(t *testing.T, s *story) {
		ls := s.receive(1, 3) // due at 15
		s.until(time.Second)
		s.receive(4, 1) // due at 16
		s.until(15500 * time.Millisecond)
		s.Remove(ls[1])
		s.until(17 * time.Second)
		require.Len(t, s.calls(), 1)
		require.Len(t, s.calls()[0], 3)
		require.Empty(t, s.times(2))
	})
}

func TestNoMoreCallsAtOnceThanAllowed(t *testing.T) {
	tell(t, func(t *testing.T, s *story) {
		running, most := 0, 0
		s.renew(func(_ context.Context, entries []renewal) []error {
			s.mu.Lock()
			running++
			most = max(most, running)
			s.mu.Unlock()
			time.Sleep(time.Second)
			s.mu.Lock()
			running--
			s.mu.Unlock()
			return make([]error, len(entries))
		})
		s.receive(1, 95)
		s.until(20 * time.Second)
		require.Equal(t, 3, most)
		require.Len(t, s.calls(), 10)
		require.Equal(t, 18*time.Second, s.calls()[9][0].at)
		require.Empty(t, s.losses())
	}, func(c *lease.Config[int]) { c.Calls = 3 })
}

func TestStoppingCutsTheCallsAndWaitsForThem(t *testing.T) {
	tell(t, func(t *testing.T, s *story) {
		s.renew(func(ctx context.Context, entries []renewal) []error {
			<-ctx.Done()
			time.Sleep(time.Second)
			return always(ctx.Err())(ctx, entries)
		})
		ls := s.receive(1, 20)
		s.until(16 * time.Second)
		retired := false
		s.Retire(ls[0], func() { retired = true })
		s.stop()
		require.Equal(t, 17*time.Second+150*time.Millisecond, s.now())
		require.True(t, retired)
		s.until(time.Hour)
		require.Len(t, s.calls(), 2)
		require.Empty(t, s.losses())
		require.Equal(t, 19, s.Len())
		s.Remove(ls...)
	})
}

func TestAKeeperWithNothingToDoSleeps(t *testing.T) {
	tell(t, func(t *testing.T, s *story) {
		s.until(1000 * time.Hour)
		s.receive(1, 1)
		s.until(1000*time.Hour + 16*time.Second)
		require.Len(t, s.calls(), 1)
	})
}

func TestTheZeroLeaseIsNotKept(t *testing.T) {
	tell(t, func(t *testing.T, s *story) {
		var l held
		s.until(time.Second)
		s.Remove(&l)
		require.Zero(t, s.Left(&l, s.start.Add(-time.Hour)))
		require.Empty(t, s.Handle(&l))
		ran := false
		s.Retire(&l, func() { ran = true })
		require.True(t, ran)
	})
}

func TestAKeeperRefusesWhatItCannotKeep(t *testing.T) {
	good := lease.Config[int]{Timeout: time.Second, Renew: always(nil), Lost: func([]*held, error) {}}
	require.NotPanics(t, func() { lease.NewKeeper(good) })
	for _, spoil := range []func(*lease.Config[int]){
		func(c *lease.Config[int]) { c.Timeout = 0 },
		func(c *lease.Config[int]) { c.Timeout = 1500 * time.Millisecond },
		func(c *lease.Config[int]) { c.Renew = nil },
		func(c *lease.Config[int]) { c.Lost = nil },
	} {
		cfg := good
		spoil(&cfg)
		require.Panics(t, func() { lease.NewKeeper(cfg) })
	}
}
