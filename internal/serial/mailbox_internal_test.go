package serial

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTakeReturnsWhatWasPutInOrder(t *testing.T) {
	in := newMailbox[int]()
	for i := range 3 {
		in.put(i)
	}
	require.Equal(t, []int{0, 1, 2}, in.take())
	require.Empty(t, in.take())
}

func TestWhoBringsSomethingSeesToItUnlessSomebodyDoes(t *testing.T) {
	in := newMailbox[string]()
	require.True(t, in.put("a"))
	require.False(t, in.put("b"), "the first one does")
	in.leave("c")
	require.False(t, in.claim())
	require.Equal(t, []string{"a", "b", "c"}, in.take())
	require.False(t, in.put("d"), "the first one still does")
	require.Equal(t, []string{"d"}, in.take())
	require.Empty(t, in.take(), "and has ceased to")
	require.True(t, in.put("e"))
}

func TestWhatIsLeftWakesTheOneWhoWaits(t *testing.T) {
	in := newMailbox[string]()
	in.leave("a")
	<-in.ready()
	require.True(t, in.claim())
	require.Equal(t, []string{"a"}, in.take())
	in.put("b")
	in.pass()
	<-in.ready()
	require.True(t, in.claim())
	require.Equal(t, []string{"b"}, in.take())
	in.pass()
	require.Empty(t, in.ready(), "nothing was left")
	require.False(t, in.claim())
}

func TestNobodySeesToAClosedMailbox(t *testing.T) {
	in := newMailbox[string]()
	in.leave("a")
	in.shut()
	<-in.ready()
	require.False(t, in.claim())
	require.False(t, in.put("b"))
}

func TestOneAtATimeSeesToAllThatIsPut(t *testing.T) {
	in := newMailbox[int]()
	const senders, each = 8, 1000
	sum, count := 0, 0 // guarded by the mailbox: the race detector would tell
	see := func(pass bool) {
		for values := in.take(); len(values) > 0; values = in.take() {
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
				switch {
				case (s+i)%3 == 0:
					in.leave(i)
				case in.put(i):
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
		case <-in.ready():
		case <-done:
			waiting = false
		}
		if in.claim() {
			see(false)
		}
	}
	require.Equal(t, senders*each, count)
	require.Equal(t, senders*each*(each-1)/2, sum)
}

func TestTakenSliceSurvivesTheNextPut(t *testing.T) {
	in := newMailbox[string]()
	in.put("a")
	first := in.take()
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
