package serial_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/serial"
)

// A log is what a loop did: it is guarded by nothing but the loop.
type log struct {
	loop  *serial.Loop[string]
	lines []string
	turns int
	each  func() (last bool) // beside what is noted; nil: nothing
}

func newLog(each func() (last bool)) *log {
	l := &log{each: each}
	l.loop = serial.NewLoop(l.turn)
	return l
}

func (l *log) turn(_ time.Time, events []string) (last bool) {
	l.lines = append(l.lines, events...)
	l.turns++
	return l.each != nil && l.each()
}

func TestALoopEndsWithItsLastTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done := make(chan struct{})
		var l *log
		l = newLog(func() bool { return len(l.lines) == 4 })
		go func() {
			time.Sleep(time.Second)
			l.loop.Tell("a", nil)
			time.Sleep(time.Second)
			l.loop.Leave("b")
			time.Sleep(time.Second)
			close(done)
		}()
		began := time.Now()
		l.loop.Run(done, "", "stop")
		require.Equal(t, []string{"", "a", "b", "stop"}, l.lines)
		require.Equal(t, 4, l.turns)
		require.Equal(t, 3*time.Second, time.Since(began))
		l.loop.Tell("late", nil)
		require.Equal(t, 4, l.turns, "there is no turn after the last one")
		l.loop.Close()
		l.loop.Tell("later", nil)
		require.Equal(t, 4, l.turns)
	})
}

func TestALoopWakesAtTheEarliestOfWhatItWasAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var at []time.Duration
		var l *log
		l = newLog(func() bool {
			at = append(at, time.Since(began))
			if len(at) == 1 {
				l.loop.WakeAt(time.Time{})
				l.loop.WakeAt(began.Add(3 * time.Second))
				l.loop.WakeAt(began.Add(time.Second))
				l.loop.WakeAt(began.Add(2 * time.Second))
			}
			if len(at) == 2 {
				l.loop.WakeAt(began.Add(time.Minute)) // the alarm of before has rung
			}
			return len(at) == 3
		})
		l.loop.Run(nil, "", "")
		require.Equal(t, []time.Duration{0, time.Second, time.Minute}, at)
	})
}

func TestTheOneWhoTakesATurnDoesWhatItBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mine, others := serial.NewPool(), serial.NewPool()
		var mu sync.Mutex
		var did []string
		do := func(what string) serial.Work {
			return once(func() {
				mu.Lock()
				defer mu.Unlock()
				did = append(did, what)
			})
		}
		var l *log
		l = newLog(func() bool {
			if len(l.lines) == 2 {
				l.loop.Begin(others, do("another's"))
				l.loop.Begin(mine, do("first"))
				l.loop.Begin(mine, do("second"))
			}
			return false
		})
		l.loop.Tell("nobody's", nil)
		next := l.loop.Tell("mine", mine)
		synctest.Wait()
		require.ElementsMatch(t, []string{"another's", "second"}, did, "the first one is left to the caller")
		next.Do()
		require.Contains(t, did, "first")
		require.Nil(t, l.loop.Tell("more", mine), "and nothing is left of it")
		mine.Close()
		others.Close()
		synctest.Wait()
	})
}

func TestEveryEventIsSeenOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const senders, each = 8, 1000
		done := make(chan struct{})
		var l *log
		l = newLog(func() bool { return len(l.lines) > 0 && l.lines[len(l.lines)-1] == "stop" })
		var wg sync.WaitGroup
		for s := range senders {
			wg.Go(func() {
				for i := range each {
					if (s+i)%3 == 0 {
						l.loop.Leave("x")
					} else {
						l.loop.Tell("x", nil)
					}
				}
			})
		}
		go func() {
			wg.Wait()
			close(done)
		}()
		l.loop.Run(done, "", "stop")
		require.Len(t, l.lines, senders*each+2)
	})
}
