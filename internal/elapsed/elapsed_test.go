package elapsed

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

const second = time.Second

// A reading is what both clocks show, since the start.
type reading struct{ mono, wall time.Duration }

// show returns where the readings of a new Clock are on its time axis.
func show(c *Clock, rs ...reading) (at []time.Duration) {
	for _, r := range rs {
		at = append(at, c.at(r.mono, r.wall-r.mono))
	}
	return at
}

func TestTheClockThatSaysMoreIsBelieved(t *testing.T) {
	for name, c := range map[string]struct {
		readings []reading
		want     []time.Duration
	}{
		"both go on":               {[]reading{{0, 0}, {10 * second, 10 * second}}, []time.Duration{0, 10 * second}},
		"a sleep":                  {[]reading{{1 * second, 1 * second}, {2 * second, 602 * second}, {3 * second, 603 * second}}, []time.Duration{second, 602 * second, 603 * second}},
		"two sleeps":               {[]reading{{1 * second, 11 * second}, {2 * second, 32 * second}}, []time.Duration{11 * second, 32 * second}},
		"set forward":              {[]reading{{5 * second, 10 * second}}, []time.Duration{10 * second}},
		"set back":                 {[]reading{{5 * second, -3600 * second}, {6 * second, -3599 * second}}, []time.Duration{5 * second, 6 * second}},
		"set back, then a sleep":   {[]reading{{1 * second, -3600 * second}, {2 * second, -3000 * second}}, []time.Duration{second, 2*second + 599*second}},
		"back and forth":           {[]reading{{1 * second, -9 * second}, {2 * second, 2 * second}, {3 * second, 3 * second}}, []time.Duration{second, 12 * second, 13 * second}},
		"noise":                    {[]reading{{1 * second, 1*second + 99*time.Millisecond}, {2 * second, 2*second - 99*time.Millisecond}}, []time.Duration{second, 2 * second}},
		"drift counts in the end":  {[]reading{{1 * second, 1*second + 60*time.Millisecond}, {2 * second, 2*second + 120*time.Millisecond}}, []time.Duration{second, 2*second + 120*time.Millisecond}},
		"a reading from before it": {[]reading{{2 * second, 602 * second}, {1 * second, 1 * second}}, []time.Duration{602 * second, second}},
		"one from just after it":   {[]reading{{2 * second, 602 * second}, {1900 * time.Millisecond, 601900 * time.Millisecond}}, []time.Duration{602 * second, 601900 * time.Millisecond}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, show(New(nil), c.readings...))
		})
	}
}

func TestAClockThatIsAlwaysSetStaysBounded(t *testing.T) {
	c := New(nil)
	last := time.Duration(0)
	for i := range 10_000 {
		mono := time.Duration(i) * second
		at := c.at(mono, time.Duration(i%7)*time.Minute)
		require.GreaterOrEqual(t, at, last)
		last = at
	}
	require.Len(t, *c.steps.Load(), maxSteps)
	require.Equal(t, second, c.at(second, 0), "what is forgotten counts as long ago")
}

func TestRealReadingsPassAsTheClockSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		woken := time.Now().Add(time.Minute)
		c := New(func(t time.Time) time.Duration {
			if t.Before(woken) {
				return 0
			}
			return time.Hour
		})
		begin := time.Now()
		time.Sleep(59 * time.Second)
		require.Equal(t, 59*time.Second, c.Between(begin, time.Now()))
		time.Sleep(time.Second)
		require.Equal(t, time.Hour+time.Minute, c.Between(begin, time.Now()))
		require.Equal(t, time.Second, c.Between(time.Now(), time.Now().Add(time.Second)))
	})
}

func TestManyGoroutinesSeeOneSleep(t *testing.T) {
	c := New(nil)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			for j := range 100 {
				mono := time.Duration(100*i+j) * time.Millisecond
				want, skew := mono, time.Duration(0)
				if mono >= second {
					want, skew = mono+time.Hour, time.Hour
				}
				if got := c.at(mono, skew); got != want {
					t.Errorf("%v is at %v, want %v", mono, got, want)
				}
			}
		})
	}
	wg.Wait()
	require.Len(t, *c.steps.Load(), 2)
}

func TestAWallClockThatIsSetBackGoesOnAsItWould(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ahead time.Duration
		c := New(func(time.Time) time.Duration { return ahead })
		began := time.Now().Round(0)
		after := func(set time.Duration) (time.Duration, int) {
			time.Sleep(second)
			ahead += set
			wall, epoch := c.Wall(time.Now())
			return wall.Sub(began), epoch
		}
		for i, step := range []struct {
			set   time.Duration
			wall  time.Duration
			epoch int
		}{
			{0, second, 0},
			{-time.Hour, 2 * second, 0},
			{10 * second, 13 * second, 1},
			{-time.Second, 14 * second, 1},
			{50 * time.Millisecond, 15*second + 50*time.Millisecond, 1}, // too little to be seen
		} {
			wall, epoch := after(step.set)
			require.Equal(t, step.wall, wall, "step %d", i)
			require.Equal(t, step.epoch, epoch, "step %d", i)
		}
	})
}
