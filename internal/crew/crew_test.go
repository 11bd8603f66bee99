package crew_test

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/crew"
)

func TestFunctionsRunAtOnceOnAsManyGoroutinesAsNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := crew.New()
		before := runtime.NumGoroutine()
		for range 3 {
			gate := make(chan struct{})
			var ran atomic.Int64
			for range 100 {
				c.Go(crew.Once(func() {
					ran.Add(1)
					<-gate
				}))
			}
			synctest.Wait()
			require.EqualValues(t, 100, ran.Load(), "none waits for another")
			close(gate)
			synctest.Wait()
			require.Equal(t, before+100, runtime.NumGoroutine(), "the members are kept, and are no more")
		}
		c.Close()
		c.Wait()
	})
}

func TestAFunctionThatEndsItsGoroutineCostsOneMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := crew.New()
		c.Go(crew.Once(runtime.Goexit))
		synctest.Wait()
		ran := false
		c.Go(crew.Once(func() { ran = true }))
		synctest.Wait()
		require.True(t, ran)
		c.Close()
		c.Wait()
	})
}

func TestWhatComesNextIsDoneByTheSameGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := crew.New()
		before := runtime.NumGoroutine()
		var did []int
		var count func(n int) crew.Work
		count = func(n int) crew.Work {
			return func() crew.Work {
				did = append(did, n)
				if n == 3 {
					return nil
				}
				return count(n + 1)
			}
		}
		c.Go(count(1))
		synctest.Wait()
		require.Equal(t, []int{1, 2, 3}, did)
		require.Equal(t, before+1, runtime.NumGoroutine())
		c.Close()
		c.Wait()
	})
}

func TestManyGoroutinesMayCallGo(t *testing.T) {
	c := crew.New()
	var callers, functions sync.WaitGroup
	var ran atomic.Int64
	for range 8 {
		callers.Go(func() {
			for range 1000 {
				functions.Add(1)
				c.Go(crew.Once(func() {
					defer functions.Done()
					ran.Add(1)
				}))
			}
		})
	}
	callers.Wait()
	functions.Wait()
	require.EqualValues(t, 8000, ran.Load())
	c.Close()
	c.Wait()
}

func BenchmarkGo(b *testing.B) {
	c := crew.New()
	done := make(chan struct{})
	f := crew.Once(func() { done <- struct{}{} })
	b.ReportAllocs()
	for b.Loop() {
		c.Go(f)
		<-done
	}
	c.Close()
	c.Wait()
}
