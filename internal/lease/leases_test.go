package lease_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	lease "github.com/sluice-go/sluice/internal/lease"
)

func TestRenewedAtHalfInEqualSteps(t *testing.T) {
	s := tell()
	s.receive(1, 1)
	s.until(61 * time.Second)
	require.Equal(t, seconds(15, 30, 45, 60), s.times(1))
	require.Equal(t, renewal{15 * time.Second, 1, v}, s.calls[0][0])
	require.Empty(t, s.losses)
}

func TestSettledEarlyCausesNoCall(t *testing.T) {
	s := tell()
	ls := s.receive(1, 10)
	s.until(14 * time.Second)
	require.Equal(t, 10, s.Len())
	s.Remove(ls...)
	s.until(time.Hour)
	require.Empty(t, s.calls)
	require.Empty(t, s.losses)
	require.Zero(t, s.Len())
}

func TestTwentyFiveLeasesTakeThreeCalls(t *testing.T) {
	s := tell()
	s.receive(1, 25)
	s.until(16 * time.Second)
	require.Len(t, s.calls, 3)
	require.Equal(t, []int{10, 10, 5}, []int{len(s.calls[0]), len(s.calls[1]), len(s.calls[2])})
	s.until(31 * time.Second)
	require.Len(t, s.calls, 6)
}

func TestTenDueGoAtOnceAndFewerWaitForMore(t *testing.T) {
	s := tell()
	s.receive(1, 6) // due at 15
	s.until(2 * time.Second)
	s.receive(7, 4) // due at 17: the tenth, so the call goes
	s.until(20 * time.Second)
	require.Len(t, s.calls, 1)
	require.Len(t, s.calls[0], 10)
	require.Equal(t, 17*time.Second, s.calls[0][0].at)
	s.until(33 * time.Second)
	require.Len(t, s.calls, 2, "together from now on")
	require.Equal(t, 32*time.Second, s.calls[1][0].at)
}

func TestRenewalsThatAreDueInOneStepGoTogether(t *testing.T) {
	ls := lease.New[int](lease.Config{Timeout: v})
	for _, at := range []time.Duration{time.Millisecond, 9 * time.Millisecond} {
		for range 10 {
			ls.Add(at, at, &held{})
		}
	}
	at := v/2 + 10*time.Millisecond
	require.Equal(t, at, ls.Next())
	require.Nil(t, ls.Due(at-1))
	require.NotNil(t, ls.Due(at))
	require.NotNil(t, ls.Due(at))
	require.Nil(t, ls.Due(at))
}

func TestStepsDoNotPutOffTheEndOfALease(t *testing.T) {
	ls := lease.New[int](lease.Config{Timeout: v})
	l := &held{}
	ls.Add(time.Millisecond, time.Millisecond, l)
	ls.Halt(l)
	require.Equal(t, v+time.Millisecond, ls.Next())
	require.Len(t, ls.Lost(v+time.Millisecond), 1)
}

// A receive may have waited for nearly as long as its messages are hidden.
func TestALeaseOfWhichLittleIsLeftIsRenewedAtOnce(t *testing.T) {
	for _, left := range []time.Duration{time.Microsecond, time.Millisecond, time.Second} {
		ls := lease.New[int](lease.Config{Timeout: v})
		arrived := time.Nanosecond + v - left
		ls.Add(time.Nanosecond, arrived, &held{})
		require.Equal(t, arrived, ls.Next())
	}
}

func TestADueLeaseWaitsATenthOfTheTimeoutAtMost(t *testing.T) {
	s := tell()
	s.receive(1, 1) // due at 15
	s.until(time.Second)
	s.receive(2, 1) // due at 16
	s.until(2500 * time.Millisecond)
	s.receive(3, 7) // due at 17.5
	s.until(3500 * time.Millisecond)
	s.receive(10, 10) // due at 18.5: too late
	s.until(19 * time.Second)
	require.Len(t, s.calls, 2)
	require.Len(t, s.calls[0], 9)
	require.Equal(t, 17500*time.Millisecond, s.calls[0][0].at, "nothing else becomes due before 18")
	require.Len(t, s.calls[1], 10)
	require.Equal(t, 18500*time.Millisecond, s.calls[1][0].at)
}

func TestAWaitEndsThoughOthersAreStillToCome(t *testing.T) {
	s := tell()
	for i := range 8 { // due at 15, 15.5, … 18.5
		s.receive(i, 1)
		s.until(s.now + 500*time.Millisecond)
	}
	s.until(18100 * time.Millisecond)
	require.Len(t, s.calls, 1)
	require.Len(t, s.calls[0], 7)
	require.Equal(t, 18*time.Second, s.calls[0][0].at)
}

func TestAFailedEntryIsTriedAgainWhileTheOthersAdvance(t *testing.T) {
	s := tell()
	s.reply = func(c *call) ([]result, time.Duration) {
		rs := answers(c, nil)
		for i, e := range c.Entries {
			if e.Lease.Of == 3 && s.now < 16*time.Second {
				rs[i].Err = errQueue
			}
		}
		return rs, 0
	}
	ls := s.receive(1, 10)
	s.until(15 * time.Second)
	require.Equal(t, 15*time.Second, s.left(ls[2]))
	require.Equal(t, v, s.left(ls[3]))
	s.until(29 * time.Second)
	// A fixed 0.15 s and half of 0.75 s, then of 1.5 s.
	require.Equal(t, seconds(15, 15.525, 16.425), s.times(3))
	require.Equal(t, seconds(15), s.times(4))
	require.Equal(t, seconds(46.425 - 29)[0], s.left(ls[2]))
	require.Empty(t, s.losses)
}

func TestNothingConfirmedIsLostExactlyAtTheDeadline(t *testing.T) {
	for name, reply := range map[string]reply{
		"refused":    always(errQueue),
		"unanswered": func(*call) ([]result, time.Duration) { return nil, 0 },
		"hanging":    after(5*time.Second, errQueue),
	} {
		t.Run(name, func(t *testing.T) {
			s := tell()
			s.reply = reply
			s.receive(1, 10)
			s.until(time.Minute)
			require.Len(t, s.losses, 1)
			require.Equal(t, v, s.losses[0].at)
			require.Equal(t, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, s.losses[0].of)
			require.ErrorIs(t, s.losses[0].err, lease.ErrExpired)
			if name != "unanswered" {
				require.ErrorIs(t, s.losses[0].err, errQueue, "the last failure is told")
			}
			require.Zero(t, s.Len())
			for _, c := range s.calls {
				require.Len(t, c, 10, "what failed together is tried again together")
				require.Less(t, c[0].at, v)
			}
			if name != "hanging" {
				require.GreaterOrEqual(t, len(s.calls), 4)
			}
			require.LessOrEqual(t, len(s.calls), 30)
		})
	}
}

func TestThreeTriesFitBeforeTheDeadlineWhateverTheJitter(t *testing.T) {
	for _, jitter := range []float64{0, 0.5, 0.999999} {
		s := tell(func(c *lease.Config) { c.Rand = func() float64 { return jitter } })
		s.reply = always(errQueue)
		s.Add(-20*time.Second, 0, &held{Of: 1}) // the longest poll there is at this timeout
		s.until(time.Minute)
		require.GreaterOrEqual(t, len(s.calls), 3)
		require.Less(t, len(s.calls), 80)
	}
}

func TestAMissingResultCountsAsAFailure(t *testing.T) {
	s := tell()
	s.reply = func(c *call) ([]result, time.Duration) {
		if s.now < 15500*time.Millisecond {
			return answers(c, nil)[:1], 0
		}
		return answers(c, nil), 0
	}
	s.receive(1, 2)
	s.until(20 * time.Second)
	require.Equal(t, seconds(15), s.times(1))
	require.Equal(t, seconds(15, 15.525), s.times(2))
}

func TestAConfirmationAfterTheLossIsIgnored(t *testing.T) {
	s := tell()
	s.reply = after(40*time.Second, nil)
	ls := s.receive(1, 2)
	s.until(29999 * time.Millisecond)
	require.Empty(t, s.losses)
	s.until(30 * time.Second)
	require.Len(t, s.losses, 1)
	require.Equal(t, lease.ErrExpired, s.losses[0].err)
	s.until(5 * time.Minute)
	require.Len(t, s.losses, 1)
	require.Len(t, s.calls, 1)
	require.Negative(t, s.left(ls[0]))
	require.Zero(t, s.Len())
}

func TestALostLeaseStaysLostThoughARenewalTookEffect(t *testing.T) {
	s := tell()
	s.reply = after(8*time.Second, nil)
	s.until(20 * time.Second)
	l := &held{Of: 1}
	s.Add(0, s.now, l) // due at 24, over at 30, confirmed at 32
	s.until(33 * time.Second)
	require.Equal(t, []loss{{v, []int{1}, lease.ErrExpired}}, s.losses)
	require.Equal(t, -3*time.Second, s.left(l))
}

func TestAnAnswerThatIsPassedOnAfterTheLossDoesNotCount(t *testing.T) {
	ls := lease.New[int](lease.Config{Timeout: v})
	l := &held{Of: 1}
	ls.Add(0, 0, l)
	c := ls.Due(15 * time.Second)
	require.Len(t, ls.Lost(31*time.Second), 1)
	ls.Returned(c, []result{{}}, 29*time.Second) // it came in time, but the owner saw it too late
	require.Equal(t, -time.Second, l.Left(31*time.Second))
	require.Zero(t, ls.Len())
}

func TestAnAnswerThatCameInTimeCountsThoughTheOwnerLooksLate(t *testing.T) {
	ls := lease.New[int](lease.Config{Timeout: v})
	l := &held{Of: 1}
	ls.Add(0, 0, l)
	c := ls.Due(15 * time.Second)
	ls.Returned(c, []result{{}}, 29*time.Second)
	require.Empty(t, ls.Lost(31*time.Second))
	require.Equal(t, 14*time.Second, l.Left(31*time.Second))
}

func TestOnlyTheFirstAnswerToACallCounts(t *testing.T) {
	ls := lease.New[int](lease.Config{Timeout: v, Calls: 1})
	a, b := &held{Of: 1}, &held{Of: 2}
	ls.Add(0, 0, a)
	first := ls.Due(15 * time.Second)
	ls.Returned(first, answers(first, nil), 15*time.Second)
	second := ls.Due(30 * time.Second)
	require.NotNil(t, second)
	ls.Returned(first, answers(first, lease.ErrGone), 31*time.Second)
	require.Equal(t, 14*time.Second, a.Left(31*time.Second))
	require.True(t, a.Renewing())
	ls.Add(15*time.Second, 15*time.Second, b)
	require.Nil(t, ls.Due(32*time.Second), "the second call is still in flight")
}

func TestAReceiptThatIsGoneIsLostNow(t *testing.T) {
	s := tell()
	wrapped := fmt.Errorf("no such receipt: %w", lease.ErrGone)
	s.reply = func(c *call) ([]result, time.Duration) {
		rs := answers(c, nil)
		rs[1] = result{Err: wrapped, Gone: true}
		return rs, 20 * time.Millisecond
	}
	ls := s.receive(1, 3)
	s.until(16 * time.Second)
	require.Equal(t, []loss{{15020 * time.Millisecond, []int{2}, wrapped}}, s.losses)
	require.Equal(t, 2, s.Len())
	require.LessOrEqual(t, s.left(ls[1]), time.Duration(0))
	s.until(31 * time.Second)
	require.Len(t, s.calls[1], 2)
}

func TestALeaseCountsFromTheSendingOfItsRenewal(t *testing.T) {
	s := tell()
	s.reply = after(4*time.Second, nil)
	ls := s.receive(1, 1)
	s.until(18 * time.Second)
	require.Equal(t, 12*time.Second, s.left(ls[0]), "believed only when confirmed")
	s.until(20 * time.Second)
	require.Equal(t, 25*time.Second, s.left(ls[0]))
	s.until(50 * time.Second)
	require.Equal(t, seconds(15, 30, 45), s.times(1))
}

func TestNothingIsAskedBeyondTwelveHours(t *testing.T) {
	s := tell()
	s.reply = func(c *call) ([]result, time.Duration) {
		const reaches = 2 * time.Second // the queue counts from when the call reaches it
		rs := answers(c, nil)
		for i, e := range c.Entries {
			if s.now+reaches+e.Timeout > 12*time.Hour {
				rs[i] = result{Err: lease.ErrGone, Gone: true}
			}
		}
		return rs, reaches
	}
	s.receive(1, 1)
	s.until(13 * time.Hour)
	last := s.calls[len(s.calls)-1][0]
	require.Equal(t, renewal{12*time.Hour - 30*time.Second, 1, 20 * time.Second}, last)
	require.Len(t, s.losses, 1)
	require.Equal(t, 12*time.Hour-10*time.Second, s.losses[0].at)
	require.ErrorIs(t, s.losses[0].err, lease.ErrLimit)
	require.Len(t, s.calls, 12*60*60/15-2, "no call that would win less than a second")
}

func TestTwelveHoursCountFromTheReceiveRequest(t *testing.T) {
	s := tell()
	s.until(19500 * time.Millisecond)
	s.Add(0, s.now, &held{Of: 1}) // due at 24 s, then each 15 s
	s.until(13 * time.Hour)
	last := s.calls[len(s.calls)-1][0]
	require.Equal(t, renewal{12*time.Hour - 36*time.Second, 1, 26 * time.Second}, last)
	require.Equal(t, []loss{{12*time.Hour - 10*time.Second, []int{1}, lease.ErrLimit}}, s.losses)
}

func TestOnlyWholeSecondsAreAsked(t *testing.T) {
	s := tell()
	s.Add(-300*time.Millisecond, 0, &held{Of: 1})
	s.until(13 * time.Hour)
	last := s.calls[len(s.calls)-1][0]
	require.Equal(t, renewal{12*time.Hour - 30*time.Second, 1, 19 * time.Second}, last)
	require.Equal(t, []loss{{12*time.Hour - 11*time.Second, []int{1}, lease.ErrLimit}}, s.losses)
}

func TestALeaseAtItsLimitIsGivenUp(t *testing.T) {
	s := tell()
	s.Add(-12*time.Hour, -15*time.Second, &held{Of: 1})
	s.until(time.Second)
	require.Empty(t, s.calls)
	require.Len(t, s.losses, 1)
	require.Zero(t, s.losses[0].at)
}

func TestALeaseThatMeetsItsLimitWhileItWaitsForACallIsNotRenewed(t *testing.T) {
	const limit = 12*time.Hour - 10*time.Second
	s := tell()
	s.Add(0, 3800*time.Millisecond, &held{Of: 1}) // due at 18.8 s, then each 15 s
	s.until(limit - 30700*time.Millisecond)       // renewed 0.5 s ago, until 1.2 s before the limit
	s.receive(2, 1)
	s.until(13 * time.Hour)
	at := s.times(1)
	require.Equal(t, limit-31200*time.Millisecond, at[len(at)-1], "whole seconds win 1.0 s when it is due, and 0.5 s later")
	require.Equal(t, limit-15700*time.Millisecond, s.times(2)[0], "with the other, which became due later")
	require.Equal(t, loss{limit - 1200*time.Millisecond, []int{1}, lease.ErrLimit}, s.losses[0])
}

func TestALeaseAtItsLimitIsNotRenewedThoughItIsResumed(t *testing.T) {
	s := tell(func(c *lease.Config) { c.Timeout = 12 * time.Hour })
	l := s.receive(1, 1)[0]
	s.until(7 * time.Hour)
	s.Remove(l)
	s.Resume(l, s.now)
	require.Equal(t, 12*time.Hour, s.Next())
}

func TestALeaseOfTwelveHoursIsNeverRenewed(t *testing.T) {
	s := tell(func(c *lease.Config) { c.Timeout = 12 * time.Hour })
	s.receive(1, 1)
	s.until(13 * time.Hour)
	require.Len(t, s.losses, 1)
	require.Equal(t, loss{12 * time.Hour, []int{1}, lease.ErrLimit}, s.losses[0])
	require.Empty(t, s.calls)
}

func TestTheFirstRenewalAfterALongPoll(t *testing.T) {
	for _, tc := range []struct{ poll, due time.Duration }{
		{0, 15 * time.Second},
		{4 * time.Second, 19 * time.Second},
		{9 * time.Second, 24 * time.Second},
		{20 * time.Second, 24 * time.Second},
		{25 * time.Second, 25 * time.Second},
	} {
		s := tell()
		s.until(tc.poll)
		l := &held{Of: 1}
		s.Add(0, s.now, l)
		require.Equal(t, v-tc.poll, s.left(l), "the safe deadline counts from the request")
		s.until(tc.due + 16*time.Second)
		require.Equal(t, []time.Duration{tc.due, tc.due + v/2}, s.times(1), "poll of %v", tc.poll)
	}
}

func TestALeaseWithLittleTimeLeftHardlyWaitsForOthers(t *testing.T) {
	s := tell()
	s.until(20 * time.Second)
	s.Add(0, s.now, &held{Of: 1}) // due at 24, over at 30
	s.until(22500 * time.Millisecond)
	s.Add(s.now-20*time.Second, s.now, &held{Of: 2}) // due at 26.5
	s.until(29 * time.Second)
	require.Equal(t, seconds(24), s.times(1), "a tenth of the timeout would be half of what is left")
	require.Equal(t, seconds(26.5), s.times(2))
}

func TestAnAdoptedLeaseBeginsAnew(t *testing.T) {
	s := tell()
	l := s.receive(1, 1)[0]
	s.until(10 * time.Second)
	s.Adopt(l, s.now, s.now)
	require.Equal(t, v, s.left(l))
	require.Equal(t, 1, s.Len())
	s.until(30 * time.Second)
	require.Equal(t, [][]renewal{{{25 * time.Second, 1, v}}}, s.calls)
}

func TestAnAdoptedLeaseIgnoresTheCallInFlight(t *testing.T) {
	for _, answer := range []error{nil, errQueue, lease.ErrGone} {
		s := tell()
		s.reply = after(5*time.Second, answer)
		l := s.receive(1, 1)[0]
		s.until(16 * time.Second) // the call left at 15
		s.Adopt(l, s.now, s.now)
		s.reply = always(nil)
		s.until(21 * time.Second)
		require.Equal(t, 25*time.Second, s.left(l))
		s.until(32 * time.Second)
		require.Equal(t, seconds(15, 31), s.times(1))
		require.Empty(t, s.losses)
	}
}

func TestALostLeaseCanBeAdopted(t *testing.T) {
	s := tell()
	s.reply = always(lease.ErrGone)
	l := s.receive(1, 1)[0]
	s.until(20 * time.Second)
	require.Len(t, s.losses, 1)
	s.reply = always(nil)
	s.Adopt(l, s.now, s.now)
	s.until(time.Minute)
	require.Equal(t, seconds(15, 35, 50), s.times(1))
	require.Len(t, s.losses, 1)
	require.Equal(t, 1, s.Len())
}

func TestALeaseThatIsAdoptedBeforeItsLossIsReportedIsNotLost(t *testing.T) {
	s := tell()
	l := s.receive(1, 1)[0]
	require.NotNil(t, s.Due(15*time.Second))
	s.Adopt(l, 31*time.Second, 31*time.Second)
	require.Empty(t, s.Lost(32*time.Second))
	require.Equal(t, 1, s.Len())
}

func TestAResumedLeaseGoesOnAsItStood(t *testing.T) {
	s := tell()
	l := s.receive(1, 1)[0]
	s.until(20 * time.Second) // renewed at 15
	s.Resume(l, s.now)        // kept: nothing changes
	s.Remove(l)
	s.until(25 * time.Second)
	s.Resume(l, s.now)
	require.Equal(t, 20*time.Second, s.left(l), "what was confirmed is not forgotten")
	s.until(time.Minute)
	require.Equal(t, seconds(15, 35, 50), s.times(1))
	require.Empty(t, s.losses)
}

func TestALeaseResumedAfterItsEndIsLost(t *testing.T) {
	s := tell()
	l := s.receive(1, 1)[0]
	s.Remove(l)
	s.until(40 * time.Second)
	s.Resume(l, s.now)
	s.Resume(&held{}, s.now) // was never kept: nothing happens
	s.until(time.Hour)
	require.Empty(t, s.calls)
	require.Equal(t, []loss{{40 * time.Second, []int{1}, lease.ErrExpired}}, s.losses)
}

func TestARetiredLeaseThatIsResumedIsAdoptedAgain(t *testing.T) {
	s := tell()
	l := s.receive(1, 1)[0]
	s.Retire(l)
	s.Adopt(l, s.now, s.now)
	require.Zero(t, s.Len())
	require.Equal(t, v, s.left(l), "it is known how long it lasts")
	s.Resume(l, s.now)
	require.Equal(t, 1, s.Len())
	s.Adopt(l, s.now, s.now)
	s.until(16 * time.Second)
	require.Equal(t, seconds(15), s.times(1))
}

// A renewal is in flight when the lease is removed and resumed, and it comes back while the lease waits for a call.
func TestALeaseThatIsResumedDuringACallIsRenewedOnce(t *testing.T) {
	for _, answer := range []error{nil, errQueue, lease.ErrGone} {
		s := tell()
		s.reply = after(8500*time.Millisecond, answer)
		l := s.receive(1, 1)[0]   // over at 30
		s.until(16 * time.Second) // its call left at 15, and will be back at 23.5
		s.Remove(l)
		s.Resume(l, s.now) // due at 23
		s.reply = after(5*time.Second, nil)
		s.Add(4*time.Second, 9200*time.Millisecond, &held{Of: 2}) // due at 24.2: they share a call
		s.until(29 * time.Second)
		require.Equal(t, seconds(15, 24.2), s.times(1))
		require.Equal(t, time.Second, s.left(l))
		s.until(30 * time.Second)
		require.Equal(t, seconds(24.2)[0], s.left(l))
		require.Empty(t, s.losses)
	}
}

func TestARetiredLeaseIsRenewingUntilItsCallReturns(t *testing.T) {
	s := tell()
	s.reply = after(3*time.Second, nil)
	ls := s.receive(1, 2)
	s.until(10 * time.Second)
	s.Retire(ls[0])
	require.False(t, ls[0].Renewing())
	s.until(16 * time.Second)
	s.Retire(ls[1])
	s.Retire(ls[1])
	require.Zero(t, s.Len())
	s.until(17999 * time.Millisecond)
	require.True(t, ls[1].Renewing())
	s.until(18 * time.Second)
	require.False(t, ls[1].Renewing())
	s.until(time.Minute)
	require.Len(t, s.calls, 1)
	require.Empty(t, s.losses)
	require.Equal(t, -15*time.Second, s.left(ls[1]), "a renewal that counted is counted")
}

func TestALeaseIsRenewingUntilEveryCallReturns(t *testing.T) {
	s := tell()
	s.reply = after(20*time.Second, nil)
	l := s.receive(1, 1)[0]
	s.until(16 * time.Second)
	s.Adopt(l, s.now, s.now)
	s.until(32 * time.Second)
	require.Equal(t, seconds(15, 31), s.times(1))
	s.Retire(l)
	s.until(36 * time.Second) // the renewal of the older delivery is back since 35
	require.True(t, l.Renewing())
	s.until(50999 * time.Millisecond)
	require.True(t, l.Renewing())
	s.until(51 * time.Second)
	require.False(t, l.Renewing())
}

func TestHaltedIsLostAtItsDeadline(t *testing.T) {
	s := tell()
	l := s.receive(1, 1)[0]
	s.until(40 * time.Second) // renewed at 15 and 30
	s.Halt(l)
	s.Halt(&held{}) // not kept: nothing happens
	s.until(2 * time.Minute)
	require.Equal(t, seconds(15, 30), s.times(1))
	require.Equal(t, []loss{{time.Minute, []int{1}, lease.ErrHalted}}, s.losses)
}

func TestHaltLetsTheRenewalInFlightCount(t *testing.T) {
	s := tell()
	s.reply = after(3*time.Second, nil)
	l := s.receive(1, 1)[0]
	s.until(16 * time.Second)
	s.Halt(l)
	s.until(20 * time.Second)
	require.Equal(t, 25*time.Second, s.left(l))
	s.Adopt(l, s.now, s.now) // of no use: the limit was the handler's
	s.until(2 * time.Minute)
	require.Equal(t, seconds(15), s.times(1))
	require.Equal(t, []loss{{50 * time.Second, []int{1}, lease.ErrHalted}}, s.losses)
}

func TestHaltOutlivesALostReceipt(t *testing.T) {
	for _, when := range []time.Duration{16 * time.Second, 20 * time.Second} { // before and after the loss
		s := tell()
		s.reply = after(3*time.Second, lease.ErrGone)
		l := s.receive(1, 1)[0]
		s.until(when)
		s.Halt(l)
		s.until(25 * time.Second)
		s.Adopt(l, s.now, s.now)
		s.until(2 * time.Minute)
		require.Equal(t, seconds(15), s.times(1))
		require.Equal(t, []loss{
			{18 * time.Second, []int{1}, lease.ErrGone},
			{55 * time.Second, []int{1}, lease.ErrHalted},
		}, s.losses)
	}
}

func TestALeaseThatIsHaltedWhileItWaitsForACallIsNotRenewed(t *testing.T) {
	s := tell()
	ls := s.receive(1, 2) // due at 15
	s.until(time.Second)
	s.receive(3, 1) // due at 16
	s.until(15500 * time.Millisecond)
	s.Halt(ls[0])
	s.until(40 * time.Second)
	require.Empty(t, s.times(1))
	require.Equal(t, []loss{{v, []int{1}, lease.ErrHalted}}, s.losses)
}

func TestAddEndsAHaltAndARetirement(t *testing.T) {
	for _, end := range []func(*story, *held){
		func(s *story, l *held) { s.Halt(l) },
		func(s *story, l *held) { s.Retire(l) },
	} {
		s := tell()
		l := s.receive(1, 1)[0]
		end(s, l)
		s.Add(s.now, s.now, l)
		s.until(31 * time.Second)
		require.Equal(t, seconds(15, 30), s.times(1))
		require.Empty(t, s.losses)
	}
}

func TestRemovedDuringACallIsForgotten(t *testing.T) {
	for _, answer := range []error{nil, errQueue, lease.ErrGone} {
		s := tell()
		s.reply = after(3*time.Second, answer)
		ls := s.receive(1, 2)
		s.until(16 * time.Second)
		s.Remove(ls...)
		s.Remove(ls...)
		s.until(5 * time.Minute)
		require.Len(t, s.calls, 1)
		require.Empty(t, s.losses)
	}
}

func TestRemovedWhileWaitingForOthersIsNotRenewed(t *testing.T) {
	s := tell()
	ls := s.receive(1, 3) // due at 15
	s.until(time.Second)
	s.receive(4, 1) // due at 16
	s.until(15500 * time.Millisecond)
	s.Remove(ls[1])
	s.until(17 * time.Second)
	require.Len(t, s.calls, 1)
	require.Len(t, s.calls[0], 3)
	require.Empty(t, s.times(2))
}

func TestNoMoreCallsAtOnceThanAllowed(t *testing.T) {
	s := tell(func(c *lease.Config) { c.Calls = 3 })
	most := 0
	s.reply = func(c *call) ([]result, time.Duration) {
		most = max(most, len(s.flights)+1)
		return answers(c, nil), time.Second
	}
	s.receive(1, 95)
	s.until(20 * time.Second)
	require.Equal(t, 3, most)
	require.Len(t, s.calls, 10)
	require.Equal(t, 18*time.Second, s.calls[9][0].at)
	require.Empty(t, s.losses)
}

// The owner wakes late: the machine slept, say. SQS would accept the renewals on a standard queue, and hide what others
// have received by now.
func TestALeaseThatIsOverIsNotRenewed(t *testing.T) {
	for _, n := range []int{1, 9, 300, 1000} {
		s := tell(func(c *lease.Config) { c.Calls = 1 })
		s.reply = after(time.Second, nil)
		s.receive(1, n)
		s.until(15 * time.Second)
		calls := len(s.calls)
		require.Equal(t, 1, calls)
		s.now = 10 * time.Minute
		s.land()
		for s.Len() > 0 {
			require.Nil(t, s.Due(s.now))
			require.LessOrEqual(t, s.Next(), s.now)
			require.LessOrEqual(t, len(s.Lost(s.now)), 256)
		}
		require.Nil(t, s.Due(s.now))
		require.Equal(t, lease.Never, s.Next())
	}
}

func TestLossesComeInPiecesThatAreNotTooLarge(t *testing.T) {
	s := tell()
	s.reply = after(time.Hour, nil)
	s.receive(1, 600)
	s.until(29 * time.Second)
	var sizes []int
	for s.Next() <= v {
		if lost := s.Lost(v); len(lost) > 0 {
			sizes = append(sizes, len(lost))
		}
	}
	require.Equal(t, []int{256, 256, 88}, sizes)
	require.Zero(t, s.Len())
}

func TestLeasesWithNothingToDoNeverNeedAttention(t *testing.T) {
	s := tell()
	require.Equal(t, lease.Never, s.Next())
	s.until(1000 * time.Hour)
	l := s.receive(1, 1)[0]
	require.Equal(t, 1000*time.Hour+15*time.Second, s.Next())
	s.until(1000*time.Hour + 16*time.Second)
	require.Len(t, s.calls, 1)
	require.Equal(t, 1000*time.Hour+30*time.Second, s.Next())
	s.Remove(l)
	require.Equal(t, lease.Never, s.Next())
}

func TestNextIsTheEndWhileNoCallMayStart(t *testing.T) {
	s := tell(func(c *lease.Config) { c.Calls = 1 })
	s.reply = after(time.Hour, nil)
	s.receive(1, 100)
	s.until(15 * time.Second)
	require.Len(t, s.calls, 1)
	require.Equal(t, v-v*3/8, s.Next())
	s.until(v - v*3/8)
	require.Len(t, s.calls, lease.Rush, "more of them, since those that wait are near their ends")
	require.Equal(t, v, s.Next())
	require.Nil(t, s.Due(20*time.Second))
}

func TestNextIsAtOnceWhenACallMayStartAgain(t *testing.T) {
	ls := lease.New[int](lease.Config{Timeout: v, Calls: 1})
	a, b := &held{Of: 1}, &held{Of: 2}
	ls.Add(0, 0, a)
	c := ls.Due(15 * time.Second)
	ls.Add(time.Second, time.Second, b)
	require.Nil(t, ls.Due(17*time.Second))
	require.Greater(t, ls.Next(), 17*time.Second)
	ls.Returned(c, answers(c, nil), 17*time.Second)
	require.LessOrEqual(t, ls.Next(), 17*time.Second)
	require.NotNil(t, ls.Due(17*time.Second))
}

func TestDueLooksAtNotTooManyAtOnce(t *testing.T) {
	s := tell(func(c *lease.Config) { c.Calls = 1 })
	s.receive(1, 1000)
	looks := 0
	for s.Next() <= 15*time.Second {
		s.Due(15 * time.Second)
		looks++
	}
	require.Equal(t, 4, looks)
}

func TestTheZeroLeaseIsNotKept(t *testing.T) {
	s := tell()
	var l held
	s.until(time.Second)
	s.Remove(&l)
	require.Zero(t, l.Left(-time.Hour))
	require.Zero(t, l.Longest(-time.Hour))
	s.Retire(&l)
	require.False(t, l.Renewing())
	require.Zero(t, s.Len())
}

func TestTheLongestTimeoutIsWhatIsLeftOfTwelveHours(t *testing.T) {
	s := tell()
	l := s.receive(1, 1)[0]
	for now, want := range map[time.Duration]time.Duration{
		0:                             12*time.Hour - 10*time.Second,
		1500 * time.Millisecond:       12*time.Hour - 12*time.Second,
		12*time.Hour - 11*time.Second: time.Second,
		12*time.Hour - 10*time.Second: 0,
		13 * time.Hour:                0,
	} {
		require.Equal(t, want, l.Longest(now), "at %v", now)
	}
}

func TestLeasesRefuseWhatTheyCannotKeep(t *testing.T) {
	require.NotPanics(t, func() { lease.New[int](lease.Config{Timeout: time.Second}) })
	for _, timeout := range []time.Duration{0, -time.Second, time.Second / 2, 1500 * time.Millisecond} {
		require.Panics(t, func() { lease.New[int](lease.Config{Timeout: timeout}) }, "%v", timeout)
	}
}

func TestALossTellsItsCauseAndTheFirstFailure(t *testing.T) {
	gone := fmt.Errorf("no such receipt: %w", lease.ErrGone)
	a, b, c, d, e := &held{Of: 1}, &held{Of: 2}, &held{Of: 3}, &held{Of: 4}, &held{Of: 5}
	groups := lease.ByCause([]lease.Loss[int]{
		{Lease: a, Cause: lease.ErrExpired},
		{Lease: b, Cause: lease.ErrExpired, Failure: errQueue},
		{Lease: c, Cause: lease.ErrGone, Failure: gone},
		{Lease: d, Cause: lease.ErrHalted},
		{Lease: e, Cause: lease.ErrGone, Failure: errQueue},
	})
	require.Len(t, groups, 3)
	require.Equal(t, lease.LostGroup[int]{Leases: []*held{c, e}, Err: gone}, groups[0])
	require.Equal(t, []*held{a, b}, groups[1].Leases)
	require.ErrorIs(t, groups[1].Err, lease.ErrExpired)
	require.ErrorIs(t, groups[1].Err, errQueue)
	require.Equal(t, lease.LostGroup[int]{Leases: []*held{d}, Err: lease.ErrHalted}, groups[2])
	require.Empty(t, lease.ByCause[int](nil))
}
