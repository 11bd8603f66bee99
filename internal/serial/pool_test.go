package serial_test

import (
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/serial"
)

// A once is a Work after which nothing comes next.
type once func()

func (f once) Do() (next serial.Work) {
	f()
	return nil
}

// A chain is a Work that gives the next one.
type chain func() (next serial.Work)

func (f chain) Do() (next serial.Work) { return f() }

// members counts the goroutines of all crews. Those of the process come and go as the
// tests before have left them.
func members() int {
	stacks := make([]byte, 1<<20)
	return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "serial.(*Pool).serve(")
}

func TestFunctionsRunAtOnceOnAsManyGoroutinesAsNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := serial.NewPool()
		for range 3 {
			gate := make(chan struct{})
			var ran atomic.Int64
			for range 100 {
				c.Go(once(func() {
					ran.Add(1)
					<-gate
				}))
			}
			synctest.Wait()
			require.EqualValues(t, 100, ran.Load(), "none waits for another")
			close(gate)
			synctest.Wait()
			require.Equal(t, 100, members(), "the members are kept, and are no more")
		}
		c.Close()
		c.Wait()
	})
}

func TestAFunctionThatEndsItsGoroutineCostsOneMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := serial.NewPool()
		c.Go(once(runtime.Goexit))
		synctest.Wait()
		ran := false
		c.Go(once(func() { ran = true }))
		synctest.Wait()
		require.True(t, ran)
		c.Close()
		c.Wait()
	})
}

func TestWhatComesNextIsDoneByTheSameGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := serial.NewPool()
		var did []int
		var count func(n int) serial.Work
		count = func(n int) serial.Work {
			return chain(func() serial.Work {
				did = append(did, n)
				if n == 3 {
					return nil
				}
				return count(n + 1)
			})
		}
		c.Go(count(1))
		synctest.Wait()
		require.Equal(t, []int{1, 2, 3}, did)
		require.Equal(t, 1, members())
		c.Close()
		c.Wait()
	})
}

func TestManyGoroutinesMayCallGo(t *testing.T) {
	c := serial.NewPool()
	var callers, functions sync.WaitGroup
	var ran atomic.Int64
	for range 8 {
		callers.Go(func() {
			for range 1000 {
				functions.Add(1)
				c.Go(once(func() {
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
	c := serial.NewPool()
	done := make(chan struct{})
	f := once(func() { done <- struct{}{} })
	b.ReportAllocs()
	for b.Loop() {
		c.Go(f)
		<-done
	}
	c.Close()
	c.Wait()
}
