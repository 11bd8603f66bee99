package main

import (
	"context"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice/bench/child"
)

// Sizes of the fixed pool.
const (
	poolReceivers = 16
	poolBuffer    = 10 * poolReceivers // messages that wait for a handler, and as many that wait for a delete
	poolDeleters  = 2 * poolReceivers  // twice as many messages as the receivers bring: deletes hold nothing up
	poolLinger    = 20 * time.Millisecond
	maxEntries    = 10 // of a DeleteMessageBatch
)

// consumePool is what a good engineer builds by hand for throughput: a fixed pool of receivers that
// always poll, handlers behind a bounded channel, and deletes that are gathered ten at a time. It
// renews no lease. When ctx is done it handles and deletes what it has received, and what its last
// polls bring.
func consumePool(ctx context.Context, client *sqs.Client, spec *child.Spec, w *child.Work) error {
	received := make(chan types.Message, poolBuffer)
	handled := make(chan types.Message, poolBuffer)
	tens := make(chan []types.Message)
	finish := context.WithoutCancel(ctx) // a poll that is cut loses its messages for a visibility timeout
	var receivers, handlers, deleters sync.WaitGroup
	for range poolReceivers {
		receivers.Go(func() {
			for ctx.Err() == nil {
				messages, _ := asking(spec).receive(finish, client, spec.QueueURL) // after an error the SDK has waited and tried again
				for _, m := range messages {
					received <- m
				}
			}
		})
	}
	for range spec.Handlers {
		handlers.Go(func() {
			for m := range received {
				w.Do(*m.Body)
				handled <- m
			}
		})
	}
	deleters.Go(func() { gatherTens(handled, tens) })
	for range poolDeleters {
		deleters.Go(func() {
			for ten := range tens {
				deleteAll(finish, client, spec.QueueURL, ten)
			}
		})
	}
	receivers.Wait()
	close(received)
	handlers.Wait()
	close(handled)
	deleters.Wait()
	return ctx.Err()
}

// gatherTens passes messages on ten at a time until in is closed, and then closes out. Fewer than ten
// go when the first of them has waited for poolLinger.
func gatherTens(in <-chan types.Message, out chan<- []types.Message) {
	defer close(out)
	for first := range in {
		out <- tenFrom(first, in)
	}
}

// tenFrom returns first and what follows it within poolLinger, ten messages at most.
func tenFrom(first types.Message, in <-chan types.Message) []types.Message {
	ten := append(make([]types.Message, 0, maxEntries), first)
	over := time.After(poolLinger)
	for len(ten) < maxEntries {
		select {
		case m, ok := <-in:
			if !ok {
				return ten
			}
			ten = append(ten, m)
		case <-over:
			return ten
		}
	}
	return ten
}
