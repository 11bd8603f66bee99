package lease_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	lease "github.com/sluice-go/sluice/internal/lease"
)

// starve is a story whose goroutines wait so long for a processor.
func starve(wait time.Duration, change ...func(*lease.Config)) *story {
	s := tell(change...)
	s.Starved(wait)
	return s
}

func TestRenewalsBeginTheSoonerTheLongerGoroutinesWaitForAProcessor(t *testing.T) {
	for wait, want := range map[time.Duration]struct{ due, timeout time.Duration }{
		0:                       {15 * time.Second, 7500 * time.Millisecond},
		100 * time.Millisecond:  {15 * time.Second, 7500 * time.Millisecond},
		1500 * time.Millisecond: {15 * time.Second, 7500 * time.Millisecond},
		1600 * time.Millisecond: {14 * time.Second, 8 * time.Second},
		2 * time.Second:         {10 * time.Second, 10 * time.Second},
		time.Minute:             {6 * time.Second, 10 * time.Second},
	} {
		s := starve(wait)
		s.receive(1, 1)
		s.until(70 * time.Second)
		require.Empty(t, s.losses)
		at := s.times(1)
		require.Equal(t, want.due, at[0], "with a wait of %v", wait)
		require.Equal(t, want.due, at[1]-at[0], "with a wait of %v", wait)
		require.Equal(t, want.timeout, s.CallTimeout(), "with a wait of %v", wait)
	}
}

func TestLeasesThatAreKeptWhenAWaitBeginsAreRenewedSoonerToo(t *testing.T) {
	s := tell()
	for i := range 20 { // due at 15, 16, … 34
		s.receive(i, 1)
		s.until(s.now + 100*time.Millisecond)
	}
	s.until(10 * time.Second)
	require.Empty(t, s.calls)
	s.Starved(time.Minute)
	require.LessOrEqual(t, s.Next(), s.now)
	s.look()
	require.Len(t, s.calls, 2)
	s.until(15 * time.Second)
	require.Len(t, s.calls, 2)
	for range 100 { // the wait is forgotten
		s.Starved(0)
	}
	s.until(24 * time.Second)
	require.Len(t, s.calls, 2, "due at 25 again")
	s.until(26 * time.Second)
	require.Len(t, s.calls, 4)
}

// One that is over soon, is halted, in flight or tried again has no renewal to begin sooner. It hides no other.
func TestALeaseThatCannotBeRenewedSoonerHidesNoOther(t *testing.T) {
	s := starve(time.Minute)
	halted := &held{Of: 1}
	s.Add(-20*time.Second, 0, halted) // over at 10
	s.Halt(halted)
	s.receive(2, 1) // due at 15, so at 6
	s.until(7 * time.Second)
	require.Equal(t, seconds(6), s.times(2))

	s = starve(time.Minute)
	s.reply = after(time.Hour, nil)
	s.Add(-20*time.Second, 0, &held{Of: 1}) // in flight at 0, over at 10
	s.until(time.Second)
	require.Len(t, s.times(1), 1)
	s.Add(500*time.Millisecond, 500*time.Millisecond, &held{Of: 2}) // due at 15.5, so at 6.5
	s.until(7 * time.Second)
	require.Equal(t, seconds(6.5), s.times(2))
}

func TestALeaseThatIsHaltedIsLostNoSoonerWhenProcessorsAreShort(t *testing.T) {
	s := starve(time.Minute)
	l := s.receive(1, 1)[0]
	s.Halt(l)
	s.until(29*time.Second + 999*time.Millisecond)
	require.Equal(t, 1, s.Len())
	s.until(30*time.Second + time.Millisecond)
	require.Zero(t, s.Len())
	require.Empty(t, s.calls)
	require.Equal(t, []loss{{v, []int{1}, lease.ErrHalted}}, s.losses)
}

func TestAWaitIsForgottenSlowly(t *testing.T) {
	s := starve(time.Minute)
	s.Starved(0)
	require.Equal(t, 45*time.Second, s.Wait())
	s.Starved(time.Second)
	require.Equal(t, 33750*time.Millisecond, s.Wait())
	s.Starved(time.Hour)
	require.Equal(t, time.Hour, s.Wait(), "a longer wait counts at once")
}

func TestAWaitThatIsNotOverCountsAndForgetsNothing(t *testing.T) {
	s := starve(time.Minute)
	for range 10 {
		s.Starving(time.Second)
	}
	require.Equal(t, time.Minute, s.Wait())
	s.Starving(time.Hour)
	require.Equal(t, time.Hour, s.Wait(), "it takes that long already")
}

func TestAWaitIsTooLongWhenTwoTriesDoNotFitIntoTheLease(t *testing.T) {
	for wait, want := range map[time.Duration]bool{
		0: false, time.Second: false, 2400 * time.Millisecond: false, 2401 * time.Millisecond: true, 4 * time.Second: true,
	} {
		require.Equal(t, want, starve(wait).TooStarved(), "%v", wait)
	}
}

func TestRenewalsThatFailDoNotSpinWhenProcessorsAreShort(t *testing.T) {
	s := starve(time.Minute)
	s.reply = always(errQueue)
	s.receive(1, 1)
	s.until(time.Minute)
	require.Zero(t, s.Len())
	require.Less(t, len(s.calls), 60)
}

func TestShortLeasesLastWhenProcessorsAreShort(t *testing.T) {
	for _, timeout := range []time.Duration{2 * time.Second, 3 * time.Second, 4 * time.Second, 10 * time.Second} {
		s := starve(time.Minute, func(c *lease.Config) { c.Timeout = timeout })
		s.Add(-timeout/3, 0, &held{Of: 1})
		s.until(time.Hour)
		require.Equal(t, 1, s.Len())
		require.Empty(t, s.losses)
	}
}

func TestACallLeavesTimeForAnother(t *testing.T) {
	for _, c := range []struct{ timeout, wait, want time.Duration }{
		{timeout: time.Second, want: 250 * time.Millisecond},
		{timeout: v, want: 7500 * time.Millisecond},
		{timeout: 10 * time.Minute, want: 10 * time.Second},
		{timeout: 10 * time.Minute, wait: time.Minute, want: 10 * time.Second},
		{timeout: v, wait: 1600 * time.Millisecond, want: 8 * time.Second},
		{timeout: 15 * time.Second, wait: time.Minute, want: 5 * time.Second},
	} {
		s := starve(c.wait, func(cfg *lease.Config) { cfg.Timeout = c.timeout })
		require.Equal(t, c.want, s.CallTimeout(), "%+v", c)
	}
}
