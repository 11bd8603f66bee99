package server

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/sqstest"
)

func TestAnswersHaveTheSizesThatAreAskedFor(t *testing.T) {
	s := Setup{Answers: []Answers{{Least: 3, Most: 5}}}
	count := map[int]int{}
	random := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		count[s.size(time.Hour, random)]++
	}
	require.Len(t, count, 3)
	for _, n := range []int{3, 4, 5} {
		require.InDelta(t, 1000, count[n], 150, "answers of %d", n)
	}
}

func TestAnswersTakeTurns(t *testing.T) {
	s := Setup{Answers: []Answers{{Least: 1, Most: 1}, {Least: 7, Most: 7}}, Turn: 10 * time.Second}
	random := rand.New(rand.NewPCG(1, 2))
	for since, want := range map[time.Duration]int{0: 1, 9 * time.Second: 1, 10 * time.Second: 7, 19 * time.Second: 7, 20 * time.Second: 1} {
		require.Equal(t, want, s.size(since, random), "after %v", since)
	}
}

func TestAShareOfTheAnswersIsEmpty(t *testing.T) {
	s := Setup{Empty: 0.1}
	empty := 0
	random := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		if n := s.size(0, random); n == 0 {
			empty++
		} else {
			require.Equal(t, maxReceive, n)
		}
	}
	require.InDelta(t, 1000, empty, 100)
}

func TestDelaysAreThoseOfTheSetup(t *testing.T) {
	const n = 10_000
	draw := func(s Setup) []time.Duration {
		d, c := s.delay(), newChance(7, forCalls)
		times := make([]time.Duration, n)
		for i := range times {
			times[i] = c.latency(d, opReceive)
		}
		slices.Sort(times)
		return times
	}
	fixed := draw(Setup{Latency: 20 * time.Millisecond})
	require.Equal(t, fixed[0], fixed[n-1])
	spread := draw(Setup{Latency: 20 * time.Millisecond, Sigma: 0.8})
	require.InDelta(t, 20, spread[n/2].Milliseconds(), 1)
	require.InDelta(t, 20*2.23, spread[n*84/100].Milliseconds(), 3, "a deviation above the median")
	tails := draw(Setup{Latency: 20 * time.Millisecond, Tails: true})
	require.Equal(t, 20*time.Millisecond, tails[n*97/100])
	require.Equal(t, 520*time.Millisecond, tails[n*99/100])
}

func TestASeedDrawsTheSameAgain(t *testing.T) {
	a, b := newChance(3, forLoad), newChance(3, forLoad)
	require.Equal(t, a.number(), b.number())
	require.InDelta(t, a.exponential(), b.exponential(), 0)
	require.NotEqual(t, newChance(3, forCalls).number(), newChance(3, forLoad).number())
	other, another := newChance(0, forLoad), newChance(0, forLoad)
	require.NotEqual(t, other.number(), another.number())
}

// quiet is a run with nobody to talk to it.
func quiet(t *testing.T, setup Setup) *run {
	t.Helper()
	clock := &virtual{timer: time.NewTimer(time.Hour), done: make(chan struct{})}
	r := &run{setup: setup, pacer: &pacer{alarm: clock}, chance: newChance(1, forCalls), arrivals: newChance(1, forLoad), delay: setup.delay(), meter: newMeter(), supply: newSupply(&setup)}
	r.ctx, r.cancel = context.WithCancel(t.Context())
	r.queues = sqstest.New(r.world()...)
	r.url = r.queues.MustCreateQueue(setup.queue(), nil)
	go func() { _ = r.pacer.run() }()
	t.Cleanup(func() {
		r.cancel()
		r.wg.Wait()
		close(clock.done)
	})
	return r
}

// virtual is an alarm of the time package.
type virtual struct {
	timer *time.Timer
	done  chan struct{}
}

func (v *virtual) set(d time.Duration) { v.timer.Reset(d) }

func (v *virtual) wait() error {
	select {
	case <-v.timer.C:
		return nil
	case <-v.done:
		return errors.New("over")
	}
}

func TestAPhaseLeavesWhatNobodyReceives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := quiet(t, Setup{Load: []Phase{{For: 10 * time.Second, Rate: 100}, {For: time.Second}, {For: time.Second, Burst: 50}}})
		began := time.Now()
		r.load()
		require.Equal(t, 12*time.Second, time.Since(began))
		left := r.meter.mark().Left
		require.Len(t, left, 3)
		require.InDelta(t, 1000, left[0], 120)
		require.Equal(t, left[0], left[1])
		require.Equal(t, left[1]+50, left[2])
	})
}

func TestAPhaseThatIsDownFailsForConsumersOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := quiet(t, Setup{Load: []Phase{{For: time.Second, Rate: 100, Down: true}, {For: time.Second}}})
		r.wg.Go(r.load)
		receive := func() error {
			_, err := r.queues.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &r.url})
			return err
		}
		time.Sleep(time.Second / 2)
		require.Error(t, receive())
		time.Sleep(time.Second)
		require.NoError(t, receive())
		require.Positive(t, r.meter.mark().Left[0], "messages were sent meanwhile")
	})
}

func TestTheLoadIsTheSameWhateverCallsAreMade(t *testing.T) {
	sent := func(calls int) (bodies []string) {
		synctest.Test(t, func(t *testing.T) {
			r := quiet(t, Setup{Latency: 20 * time.Millisecond, Sigma: 0.4, Load: []Phase{{For: time.Second, Rate: 100}}})
			r.wg.Go(r.load)
			for range calls {
				r.chance.latency(r.delay, opReceive)
				time.Sleep(time.Millisecond)
			}
			time.Sleep(2 * time.Second)
			for _, m := range r.queues.Messages(r.url) {
				bodies = append(bodies, m.Body)
			}
		})
		return bodies
	}
	idle := sent(0)
	require.NotEmpty(t, idle)
	require.Equal(t, idle, sent(500))
}

func TestALoadEndsWithItsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := quiet(t, Setup{Load: []Phase{{For: time.Hour}}})
		began := time.Now()
		r.wg.Go(r.load)
		time.Sleep(time.Second)
		r.cancel()
		r.wg.Wait()
		require.Equal(t, time.Second, time.Since(began))
		require.Empty(t, r.meter.mark().Left)
	})
}

func TestMeterAddsUpLatenciesOfReceives(t *testing.T) {
	m := newMeter()
	m.travels(opReceive, time.Second)
	m.travels(opDeleteBatch, time.Hour)
	m.travels(opReceive, time.Second)
	require.Equal(t, 2*time.Second, m.mark().ReceiveTime)
}
