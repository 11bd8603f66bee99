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
	<-in.Ready()
	require.Equal(t, []int{0, 1, 2}, in.Take())
	require.Empty(t, in.Take())
}

func TestPutDuringReadingIsNotLost(t *testing.T) {
	in := inbox.New[int]()
	const senders, each = 8, 1000
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for i := range each {
				in.Put(i)
			}
		})
	}
	sum := 0
	for got := 0; got < senders*each; {
		<-in.Ready()
		for _, v := range in.Take() {
			sum += v
			got++
		}
	}
	wg.Wait()
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
