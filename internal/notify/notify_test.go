package notify_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/notify"
)

func TestFunctionsRunInOrderAndTheRestAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := notify.New(10, 1<<20)
		var got []int
		for i := range 5 {
			q.Do(func() { got = append(got, i) })
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		q.Run(ctx)
		require.Equal(t, []int{0, 1, 2, 3, 4}, got)
	})
}

func TestPanicAndGoexitStopNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := notify.New(10, 1<<20)
		ran := 0
		q.Do(func() { panic("hook") })
		q.Do(func() { ran++ })
		q.Do(runtime.Goexit)
		q.Do(func() { ran++ })
		ctx, cancel := context.WithCancel(t.Context())
		go q.Run(ctx)
		synctest.Wait()
		require.Equal(t, 2, ran)
		cancel()
	})
}

func TestABlockedFunctionCostsEventsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := notify.New(2, 1<<20)
		ctx, cancel := context.WithCancel(t.Context())
		go q.Run(ctx)
		release := make(chan struct{})
		q.Do(func() { <-release })
		synctest.Wait()
		for range 5 {
			q.Do(func() {})
		}
		require.EqualValues(t, 3, q.Dropped())
		close(release)
		cancel()
	})
}
