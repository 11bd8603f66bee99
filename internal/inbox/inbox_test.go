package inbox_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/inbox"
)

func TestTakeReturnsWhatWasPutInOrder(t *testing.T) {
	in := inbox.New[int]()
	for i := range 3 {
		in.Put(i)
	}
	require.Equal(t, []int{0, 1, 2}, in.Take())
	require.Empty(t, in.Take())
}

func TestWhoBringsSomethingSeesToItUnlessSomebodyDoes(t *testing.T) {
	in := inbox.New[string]()
	require.True(t, in.Put("a"))
	require.False(t, in.Put("b"), "the first one does")
	in.Leave("c")
	require.False(t, in.Claim())
	require.Equal(t, []string{"a", "b", "c"}, in.Take())
	require.False(t, in.Put("d"), "the first one still does")
	require.Equal(t, []string{"d"}, in.Take())
	require.Empty(t, in.Take(), "and has ceased to")
	require.True(t, in.Put("e"))
}

func TestWhatIsLeftWakesTheOneWhoWaits(t *testing.T) {
	in := inbox.New[string]()
	in.Leave("a")
	<-in.Ready()
	require.True(t, in.Claim())
	require.Equal(t, []string{"a"}, in.Take())
	in.Put("b")
	in.Pass()
	<-in.Ready()
	require.True(t, in.Claim())
	require.Equal(t, []string{"b"}, in.Take())
	in.Pass()
	require.Empty(t, in.Ready(), "nothing was left")
	require.False(t, in.Claim())
}

func TestNobodySeesToAClosedInbox(t *testing.T) {
	in := inbox.New[string]()
	in.Leave("a")
	require.Equal(t, []string{"a"}, in.Close())
	<-in.Ready()
	require.False(t, in.Claim())
	require.False(t, in.Put("b"))
}

func TestOneAtATimeSeesToAllThatIsPut(t *testing.T) {
	in := inbox.New[int]()
	const senders, each = 8, 1000
	sum, count := 0, 0 // guarded by the inbox: the race detector would tell
	see := func(pass bool) {
		for values := in.Take(); len(values) > 0; values = in.Take() {
			for _, v := range values {
				sum += v
				count++
			}
			if pass {
				in.Pass()
				return
			}
		}
	}
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for i := range each {
				switch {
				case (s+i)%3 == 0:
					in.Leave(i)
				case in.Put(i):
					see(i%2 == 0)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	for waiting := true; waiting; {
		select {
		case <-in.Ready():
		case <-done:
			waiting = false
		}
		if in.Claim() {
			see(false)
		}
	}
	require.Equal(t, senders*each, count)
	require.Equal(t, senders*each*(each-1)/2, sum)
}

func TestTakenSliceSurvivesTheNextPut(t *testing.T) {
	in := inbox.New[string]()
	in.Put("a")
	first := in.Take()
	in.Put("b")
	require.Equal(t, []string{"a"}, first)
	require.Equal(t, []string{"b"}, in.Take())
}

func BenchmarkPutTake(b *testing.B) {
	in := inbox.New[func()]()
	f := func() {}
	b.ReportAllocs()
	for b.Loop() {
		in.Put(f)
		in.Take()
	}
}
