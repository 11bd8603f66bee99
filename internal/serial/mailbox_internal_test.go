package serial

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTakeReturnsWhatWasPutInOrder(t *testing.T) {
	in := newMailbox[int]()
	require.Equal(t, []int{0}, in.put(0))
	for i := range 3 {
		require.Empty(t, in.put(1+i), "it has the turn already")
	}
	require.Equal(t, []int{1, 2, 3}, in.take())
	require.Empty(t, in.take())
}

func TestWhoBringsSomethingSeesToItUnlessSomebodyDoes(t *testing.T) {
	in := newMailbox[string]()
	require.Equal(t, []string{"a"}, in.put("a"))
	require.Empty(t, in.put("b"), "the first one does")
	in.leave("c")
	require.Empty(t, in.claim())
	require.Equal(t, []string{"b", "c"}, in.take())
	require.Empty(t, in.put("d"), "the first one still does")
	require.Equal(t, []string{"d"}, in.take())
	require.Empty(t, in.take(), "and has ceased to")
	require.Equal(t, []string{"e"}, in.put("e"))
}

func TestWhatIsLeftWakesTheOneWhoWaits(t *testing.T) {
	in := newMailbox[string]()
	in.leave("a")
	<-in.ready()
	require.Equal(t, []string{"a"}, in.claim())
	in.put("b")
	in.pass()
	<-in.ready()
	require.Equal(t, []string{"b"}, in.claim())
	in.pass()
	require.Empty(t, in.ready(), "nothing was left")
	require.Empty(t, in.claim())
}

func TestNobodySeesToAClosedMailbox(t *testing.T) {
	in := newMailbox[string]()
	in.leave("a")
	in.shut()
	<-in.ready()
	require.Empty(t, in.claim())
	require.Empty(t, in.put("b"))
}

func TestOneAtATimeSeesToAllThatIsPut(t *testing.T) {
	in := newMailbox[int]()
	const senders, each = 8, 1000
	sum, count := 0, 0 // guarded by the mailbox: the race detector would tell
	see := func(values []int, pass bool) {
		for ; len(values) > 0; values = in.take() {
			for _, v := range values {
				sum += v
				count++
			}
			if pass {
				in.pass()
				return
			}
		}
	}
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for i := range each {
				if (s+i)%3 == 0 {
					in.leave(i)
				} else {
					see(in.put(i), i%2 == 0)
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
		case <-in.ready():
		case <-done:
			waiting = false
		}
		see(in.claim(), false)
	}
	require.Equal(t, senders*each, count)
	require.Equal(t, senders*each*(each-1)/2, sum)
}

func TestTakenSliceSurvivesTheNextPut(t *testing.T) {
	in := newMailbox[string]()
	first := in.put("a")
	in.put("b")
	require.Equal(t, []string{"a"}, first)
	require.Equal(t, []string{"b"}, in.take())
}

func BenchmarkPutTake(b *testing.B) {
	in := newMailbox[func()]()
	f := func() {}
	b.ReportAllocs()
	for b.Loop() {
		in.put(f)
		in.take()
	}
}
