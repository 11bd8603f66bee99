package main

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestASlopeIsThatOfTheLine(t *testing.T) {
	s := fit([]float64{0, 1, 2, 3}, []float64{5, 7, 9, 11})
	require.InDelta(t, 2, s.perHour, 1e-9)
	require.InDelta(t, 0, s.err, 1e-6)
}

func TestASlopeLiesWithinItsError(t *testing.T) {
	const series, points, truth = 400, 40, 3.0
	for name, memory := range map[string]float64{"independent points": 0, "points that are much like the one before": 0.8} {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			outside := 0
			for range series {
				x, y := make([]float64, points), make([]float64, points)
				noise := 0.0
				for i := range x {
					noise = memory*noise + r.NormFloat64()
					x[i] = float64(i) / points
					y[i] = truth*x[i] + noise
				}
				if s := fit(x, y); math.Abs(s.perHour-truth) > sure*s.err {
					outside++
				}
			}
			require.LessOrEqual(t, outside, series/16, "slopes further away than %v standard errors", sure)
		})
	}
}

func TestABookKnowsWhatIsLost(t *testing.T) {
	b := newBook(200)
	for number := range 150 {
		if number != 63 && number != 64 && number != 127 {
			b.write(number)
		}
	}
	require.Empty(t, b.lost("orders", queueReport{Sent: 63}))
	require.Equal(t, []string{"orders: 2 of 150 messages are lost"}, b.lost("orders", queueReport{Sent: 150, Dead: []int{127, 5}}))
	require.Len(t, b.lost("orders", queueReport{Sent: 10, Left: 1}), 1)
	require.Zero(t, b.again.Load())
	b.write(5)
	require.EqualValues(t, 1, b.again.Load())
}

func TestABodySaysWhatBecomesOfIt(t *testing.T) {
	number, f, err := parse("17 buried xxx")
	require.NoError(t, err)
	require.Equal(t, 17, number)
	require.Equal(t, buried, f)
	_, _, err = parse("coffee")
	require.Error(t, err)
}

func TestAGrowthThatNoiseExplainsIsNone(t *testing.T) {
	const start, hour = 20 * mib, mib
	samples := make([]sample, 30)
	for i := range samples {
		at := time.Duration(i) * round
		samples[i] = sample{at: at, rss: start + int(at.Hours()*30*hour), heap: start + i%2*hour}
	}
	leak, noise := growth(samples, rss), growth(samples, heap)
	require.Greater(t, leak.perHour-sure*leak.err, mostGrowth)
	require.Less(t, noise.perHour-sure*noise.err, mostGrowth)
}

func TestMemoryMayTakeAStepAndTheHeapMayNot(t *testing.T) {
	climb := func(n int) []sample { // 30 MiB an hour, in both
		samples := make([]sample, n)
		for i := range samples {
			at := time.Duration(i) * 6 * time.Second
			samples[i] = sample{at: at, rss: int(at.Hours() * 30 * mib), heap: int(at.Hours() * 30 * mib)}
		}
		return samples
	}
	short, long := climb(26), climb(100) // two and a half minutes, and ten
	require.False(t, tooMuch(growth(short, rss), short, steps), "1.25 MiB are a step")
	require.True(t, tooMuch(growth(long, rss), long, steps), "5 MiB are more than steps")
	require.True(t, tooMuch(growth(short, heap), short, 0))
	require.False(t, tooMuch(slope{}, nil, 0))
}
