package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

// The benchmarks below run the whole consumer in this process: an operation is one message, and so
// allocs/op are allocations for each message, those of the embedded queue included. What they are
// for is comparing one version with another:
//
//	go test -run '^$' -bench . -count 10 > new.txt && benchstat old.txt new.txt
//
// They count to b.N instead of looping: the messages of all operations are under way together.

// BenchmarkMessage handles messages one at a time: without the SDK, which shows the engine's own
// work, and with it.
func BenchmarkMessage(b *testing.B) {
	b.Run("client=queue", func(b *testing.B) {
		queue, url := filled(b)
		benchmarkConsumer(b, queue, url, sluice.Options{Concurrency: 16})
	})
	b.Run("client=sdk", func(b *testing.B) {
		queue, url := filled(b)
		benchmarkConsumer(b, queue.Client(), url, sluice.Options{Concurrency: 16})
	})
}

// BenchmarkBatch handles batches.
func BenchmarkBatch(b *testing.B) {
	for _, size := range []int{10, 100, 1000} {
		b.Run("size="+strconv.Itoa(size), func(b *testing.B) {
			queue, url := filled(b)
			benchmarkConsumer(b, queue, url, sluice.Options{BatchSize: size, Concurrency: 4})
		})
	}
}

// BenchmarkBesideHeld handles messages one at a time while so many others are held, in handlers that
// do not end. Ten times as many may cost what one more step of a logarithm does: that is what leases,
// deletes, and groups waiting for their turn are kept by. No lease is renewed meanwhile.
func BenchmarkBesideHeld(b *testing.B) {
	for _, kind := range []string{"orders", "orders.fifo"} {
		for _, held := range []int{1_000, 10_000, 100_000} {
			b.Run(fmt.Sprintf("queue=%s/held=%d", kind, held), func(b *testing.B) { benchmarkBeside(b, kind, held) })
		}
	}
}

func benchmarkBeside(b *testing.B, kind string, held int) {
	b.Helper()
	const room, long = 1 << 30, 11 * time.Hour // bytes; a lease
	queue := sqstest.New()
	url := queue.MustCreateQueue(kind, nil)
	fill(b, queue, url, "hold", held)
	c, err := sluice.New(queue, url, sluice.Options{Concurrency: held + 16, BytesInFlight: room, VisibilityTimeout: long, MaxMessages: held + b.N})
	require.NoError(b, err)
	var wg sync.WaitGroup
	release, done, handled := make(chan struct{}), make(chan struct{}), int64(0)
	wg.Go(func() {
		require.NoError(b, c.Run(b.Context(), func(_ context.Context, batch []*sluice.Message) error {
			if batch[0].Body == "hold" {
				<-release
			} else if atomic.AddInt64(&handled, 1) == int64(b.N) {
				close(done)
			}
			return nil
		}))
	})
	for c.Stats().Handlers < held {
		time.Sleep(time.Millisecond)
	}
	c.Pause()
	fill(b, queue, url, "pass", b.N)
	b.ReportAllocs()
	b.ResetTimer()
	c.Resume()
	<-done
	b.StopTimer()
	close(release)
	wg.Wait()
}

// fill sends n messages, each to a group of its own where there are groups.
func fill(b *testing.B, queue *sqstest.Server, url, body string, n int) {
	b.Helper()
	for first := 0; first < n; first += 10 {
		entries := make([]types.SendMessageBatchRequestEntry, min(n-first, 10))
		for i := range entries {
			entries[i] = types.SendMessageBatchRequestEntry{Id: new(strconv.Itoa(i)), MessageBody: &body}
			if strings.HasSuffix(url, ".fifo") {
				own := body + strconv.Itoa(first+i)
				entries[i].MessageGroupId, entries[i].MessageDeduplicationId = &own, &own
			}
		}
		_, err := queue.SendMessageBatch(b.Context(), &sqs.SendMessageBatchInput{QueueUrl: &url, Entries: entries})
		require.NoError(b, err)
	}
}

// BenchmarkExpert is the hand-written loop on the same SDK client as BenchmarkMessage/client=sdk.
func BenchmarkExpert(b *testing.B) {
	queue, url := filled(b)
	client := queue.Client()
	b.ReportAllocs()
	b.ResetTimer()
	for handled := 0; handled < b.N; {
		messages, err := asker{}.receive(b.Context(), client, url)
		require.NoError(b, err)
		deleteAll(b.Context(), client, url, messages)
		handled += len(messages)
	}
}

// BenchmarkRaw is the embedded queue alone, with ten messages a call: what is to be taken off the
// others.
func BenchmarkRaw(b *testing.B) {
	queue, url := filled(b)
	b.ReportAllocs()
	b.ResetTimer()
	for handled := 0; handled < b.N; {
		out, err := queue.ReceiveMessage(b.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10})
		require.NoError(b, err)
		entries := make([]types.DeleteMessageBatchRequestEntry, len(out.Messages))
		for i, m := range out.Messages {
			entries[i] = types.DeleteMessageBatchRequestEntry{Id: m.MessageId, ReceiptHandle: m.ReceiptHandle}
		}
		_, err = queue.DeleteMessageBatch(b.Context(), &sqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: entries})
		require.NoError(b, err)
		handled += len(entries)
	}
}

// filled returns a queue with as many messages as the benchmark has operations.
func filled(b *testing.B) (*sqstest.Server, string) {
	b.Helper()
	queue := sqstest.New()
	url := queue.MustCreateQueue("orders", nil)
	fill(b, queue, url, strings.Repeat("x", bodySize), b.N)
	return queue, url
}

// benchmarkConsumer consumes b.N messages.
func benchmarkConsumer(b *testing.B, client sluice.Client, url string, opts sluice.Options) {
	b.Helper()
	opts.MaxMessages = b.N
	opts.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	c, err := sluice.New(client, url, opts)
	require.NoError(b, err)
	var handled atomic.Int64
	b.ReportAllocs()
	b.ResetTimer()
	err = c.Run(b.Context(), func(_ context.Context, batch []*sluice.Message) error {
		handled.Add(int64(len(batch)))
		return nil
	})
	b.StopTimer()
	require.NoError(b, err)
	require.Equal(b, b.N, int(handled.Load()))
}
