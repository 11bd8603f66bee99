package tens_test

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/tens"
)

func TestACallThatIsGivenUpFreesItsPlace(t *testing.T) {
	for name, ends := range map[string]func(){"returns": func() {}, "exits": runtime.Goexit, "panics": func() { panic("late") }} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var b *tens.Batcher[int]
				var mu sync.Mutex
				var sent [][]int
				free, calls := make(chan struct{}), 0
				b = tens.New(tens.Config[int]{Calls: 1, Backoff: func(int) time.Duration { return time.Second }, Send: func(ctx context.Context, entries []int) []int {
					mu.Lock()
					calls++
					first := calls == 1
					sent = append(sent, append([]int(nil), entries...))
					mu.Unlock()
					if first {
						time.AfterFunc(10*time.Second, func() { b.GiveUp(ctx, []int{2, 3}) })
						<-free
						ends()
						return []int{1, 2, 3} // which counts for nothing
					}
					return nil
				}})
				b.Add(0, 1, 2, 3)
				b.Add(0, 4)
				time.Sleep(time.Minute)
				all := func() [][]int {
					mu.Lock()
					defer mu.Unlock()
					return slices.Clone(sent)
				}
				require.Equal(t, [][]int{{1, 2, 3}, {4}, {2, 3}}, all())
				close(free)
				time.Sleep(time.Minute)
				require.Len(t, all(), 3)
				require.Empty(t, b.Close(t.Context()))
			})
		})
	}
}

func TestWhatIsGivenUpAfterTheEndIsNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		giveUp := make(chan func(), 1)
		var b *tens.Batcher[int]
		b = tens.New(tens.Config[int]{Send: func(ctx context.Context, entries []int) []int {
			giveUp <- func() { b.GiveUp(ctx, entries) }
			<-free
			return nil
		}})
		b.Add(0, 1)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.Equal(t, []int{1}, b.Close(ctx))
		(<-giveUp)()
		close(free)
		synctest.Wait()
		require.Empty(t, b.Close(t.Context()))
	})
}
