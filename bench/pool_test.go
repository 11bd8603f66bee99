package main

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/bench/child"
	"github.com/sluice-go/sluice/sqstest"
)

func TestGatherPassesTenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out := make(chan types.Message, 25), make(chan []types.Message, 3)
		for range 25 {
			in <- types.Message{}
		}
		go gatherTens(in, out)
		began := time.Now()
		require.Len(t, <-out, 10)
		require.Len(t, <-out, 10)
		require.Zero(t, time.Since(began), "a full ten does not linger")
		require.Len(t, <-out, 5)
		require.Equal(t, poolLinger, time.Since(began))
		close(in)
		_, open := <-out
		require.False(t, open)
	})
}

func TestGatherCountsTheLingerFromTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out := make(chan types.Message), make(chan []types.Message)
		go gatherTens(in, out)
		time.Sleep(time.Minute) // without a message nothing lingers
		began := time.Now()
		go func() {
			for range 5 {
				in <- types.Message{}
				time.Sleep(6 * time.Millisecond)
			}
		}()
		require.Len(t, <-out, 4) // at 0, 6, 12 and 18 ms
		require.Equal(t, poolLinger, time.Since(began))
		require.Len(t, <-out, 1)
		close(in)
		_, open := <-out
		require.False(t, open)
	})
}

func TestGatherLeavesNothingWhenItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out := make(chan types.Message, 3), make(chan []types.Message, 1)
		for range 3 {
			in <- types.Message{}
		}
		close(in)
		began := time.Now()
		gatherTens(in, out)
		require.Len(t, <-out, 3)
		require.Zero(t, time.Since(began))
	})
}

// withPool lets a pool consume a queue until story returns, and then finish.
func withPool(t *testing.T, spec child.Spec, story func(queue *sqstest.Server, url string)) *sqstest.Server {
	t.Helper()
	queue := sqstest.New()
	spec.QueueURL = queue.MustCreateQueue("orders", nil)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- consumePool(ctx, queue.Client(), &spec, child.NewWork(&spec)) }()
	story(queue, spec.QueueURL)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	return queue
}

func TestPoolAlwaysHasItsReceiversOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		withPool(t, child.Spec{Handlers: 4}, func(queue *sqstest.Server, _ string) {
			time.Sleep(time.Second)
			require.Equal(t, poolReceivers, queue.Stats().Calls["ReceiveMessage"].Started)
			time.Sleep(20 * time.Second) // as long as a poll
			require.Equal(t, 2*poolReceivers, queue.Stats().Calls["ReceiveMessage"].Started)
		})
	})
}

func TestPoolHandlesAsManyAtOnceAsItHasHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := withPool(t, child.Spec{Handlers: 4, Handling: time.Second}, func(queue *sqstest.Server, url string) {
			synctest.Wait() // all receivers poll
			began := time.Now()
			send(queue, url, 20)
			for len(queue.Messages(url)) > 0 {
				time.Sleep(10 * time.Millisecond)
			}
			require.GreaterOrEqual(t, time.Since(began), 5*time.Second)
			require.Less(t, time.Since(began), 5*time.Second+2*poolLinger)
		})
		require.Equal(t, 20, queue.Stats().Total.Deleted)
		require.Equal(t, 5, queue.Stats().Calls["DeleteMessageBatch"].Started, "four end at once, and go in one call")
	})
}

func TestPoolDeletesTenInACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := withPool(t, child.Spec{Handlers: 64}, func(queue *sqstest.Server, url string) {
			send(queue, url, 1000)
			time.Sleep(time.Second)
			require.Empty(t, queue.Messages(url))
		})
		require.Zero(t, queue.Stats().Total.Redeliveries())
		require.LessOrEqual(t, queue.Stats().Calls["DeleteMessageBatch"].Started, 101)
	})
}

func TestPoolFinishesWhatItHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := withPool(t, child.Spec{Handlers: 2, Handling: time.Second}, func(queue *sqstest.Server, url string) {
			send(queue, url, 10)
			time.Sleep(1500 * time.Millisecond) // two of ten are handled
		})
		require.Equal(t, 10, queue.Stats().Total.Deleted)
	})
}

func send(queue *sqstest.Server, url string, n int) {
	bodies := make([]string, n)
	for i := range bodies {
		bodies[i] = strconv.Itoa(i)
	}
	queue.Send(url, bodies...)
}
