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
				c.Go(func() {
					ran.Add(1)
					<-gate
				})
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
		c.Go(runtime.Goexit)
		synctest.Wait()
		ran := false
		c.Go(func() { ran = true })
		synctest.Wait()
		require.True(t, ran)
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
				c.Go(func() {
					defer functions.Done()
					ran.Add(1)
				})
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
	f := func() { done <- struct{}{} }
	b.ReportAllocs()
	for b.Loop() {
		c.Go(f)
		<-done
	}
	c.Close()
	c.Wait()
}
