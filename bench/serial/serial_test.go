package main

import (
	"testing"
	"time"

	"github.com/google/pprof/profile"
	"github.com/stretchr/testify/require"
)

func TestOneProcessorDoesOneThingAfterTheOther(t *testing.T) {
	for batch, events := range map[int]float64{1: 1.2, 10: 0.3, 100: 0.21} { // for each message
		m := model{processors: 1, batch: batch, loop: time.Microsecond, work: 9 * time.Microsecond, messages: 10_000}
		rate, busy := simulate(m)
		each := 10*time.Microsecond + time.Duration(events*float64(lockTime))
		require.InEpsilon(t, perSecond(each), rate, 0.03, "batches of %d", batch)
		require.InEpsilon(t, 0.1, busy, 0.05, "batches of %d", batch)
	}
}

func TestTwoProcessorsAreTwiceAsFastWhileTheLoopIsCheap(t *testing.T) {
	m := model{processors: 1, batch: 1, loop: 100 * time.Nanosecond, work: 10 * time.Microsecond, messages: 10_000}
	one, _ := simulate(m)
	m.processors = 2
	two, _ := simulate(m)
	require.InEpsilon(t, 2*one, two, 0.02)
}

func TestTheLoopBoundsManyProcessors(t *testing.T) {
	for _, batch := range []int{1, 10, 100} {
		m := model{processors: 32, batch: batch, loop: 2 * time.Microsecond, work: 10 * time.Microsecond, messages: 20_000}
		rate, busy := simulate(m)
		require.LessOrEqual(t, busy, 1.0)
		require.Greater(t, busy, 0.9)
		require.LessOrEqual(t, rate, 1.01*perSecond(m.loop), "batches of %d", batch)
	}
}

func TestMoreProcessorsFetchTheMemoryMoreOften(t *testing.T) {
	k := kind{size: 1, one: cost{loop: 1000}, two: cost{loop: 1400}}
	require.EqualValues(t, 1000, k.loop(1))
	require.EqualValues(t, 1400, k.loop(2))
	require.EqualValues(t, 1750, k.loop(16))
	k.two.loop = 900 // by chance
	require.EqualValues(t, 1000, k.loop(16))
}

func TestASampleIsOfTheLoopIfATurnIsOnItsStack(t *testing.T) {
	stack := func(names ...string) *profile.Sample {
		s := &profile.Sample{}
		for _, name := range names {
			s.Location = append(s.Location, &profile.Location{Line: []profile.Line{{Function: &profile.Function{Name: name}}}})
		}
		return s
	}
	const loop = "github.com/sluice-go/sluice/internal/serial.(*Loop[go.shape.interface {}])"
	require.True(t, inLoop(stack("runtime.mallocgc", "github.com/sluice-go/sluice/internal/engine.(*Engine).turn", loop+".takeTurns", loop+".Tell")))
	require.False(t, inLoop(stack("sync.(*Mutex).Lock", loop+".Tell")))
	require.False(t, inLoop(stack("github.com/sluice-go/sluice.(*run).Receive")))
}

func TestTheSectionIsPutBetweenItsMarks(t *testing.T) {
	text, err := replace("before\n"+begin+"old\n"+end+"after\n", "new\n")
	require.NoError(t, err)
	require.Equal(t, "before\n"+begin+"new\n"+end+"after\n", text)
	_, err = replace("before\n"+begin+"old\n", "new\n")
	require.EqualError(t, err, "it has no marks for the section")
}

func TestFiguresHaveThreeDigits(t *testing.T) {
	for v, want := range map[float64]string{1: "1", 12.4: "12", 999: "999", 1234: "1,230", 393_466: "393,000", 1_999_999: "2,000,000"} {
		require.Equal(t, want, thousands(v))
	}
}

func TestThePageHasARowForEachSizeAndNumberOfProcessors(t *testing.T) {
	k := kind{size: 100, one: cost{loop: 1000, all: 3000}, two: cost{loop: 1400, all: 4000}}
	text := page([]kind{k}, 20*time.Microsecond)
	require.Contains(t, text, "| batches of 100 | 1000 ns | 1400 ns | 3000 ns | 4000 ns | 1750 ns | **571,000/s** |")
	require.Contains(t, text, "| | work | N 1 | N 2 | N 4 | N 8 | N 16 | N 32 |")
}
