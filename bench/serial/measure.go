package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/pprof/profile"

	"github.com/sluice-go/sluice"
)

// A cost is what was measured in one run.
type cost struct {
	loop time.Duration // of turns, for each message
	all  time.Duration // of the processor, for each message
	rate float64       // messages a second
}

func (c cost) String() string {
	return fmt.Sprintf("loop %4d ns, in all %5d ns of the processor a message, %8.0f messages/s", c.loop.Nanoseconds(), c.all.Nanoseconds(), c.rate)
}

// median is that of each figure.
func median(costs []cost) cost {
	middle := func(of func(cost) float64) float64 {
		figures := make([]float64, len(costs))
		for i, c := range costs {
			figures[i] = of(c)
		}
		slices.Sort(figures)
		return figures[len(figures)/2]
	}
	return cost{
		loop: time.Duration(middle(func(c cost) float64 { return float64(c.loop) })),
		all:  time.Duration(middle(func(c cost) float64 { return float64(c.all) })),
		rate: middle(func(c cost) float64 { return c.rate }),
	}
}

// measure runs a consumer on so many processors whose client costs next to nothing.
func measure(ctx context.Context, size, processors int, window time.Duration) (cost, error) {
	const messages = 64 // in handlers at once, at least
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(processors))
	runtime.GC()
	c, err := sluice.New(&source{}, "https://sqs.us-east-1.amazonaws.com/123456789012/orders", sluice.Options{
		BatchSize: size, Concurrency: max(4, (messages+size-1)/size), Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		return cost{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx, func(context.Context, []*sluice.Message) error { return nil }) }()
	time.Sleep(window / 5) // it settles
	result, err := watch(c, window)
	cancel()
	return result, errors.Join(err, <-ended)
}

// watch measures a consumer for so long.
func watch(c *sluice.Consumer, window time.Duration) (cost, error) {
	var text bytes.Buffer
	if err := pprof.StartCPUProfile(&text); err != nil {
		return cost{}, err
	}
	began, used, deleted := time.Now(), cpu(), c.Stats().Deleted
	time.Sleep(window)
	took, spent, n := time.Since(began), cpu()-used, c.Stats().Deleted-deleted
	pprof.StopCPUProfile()
	if n == 0 {
		return cost{}, errors.New("no message was deleted")
	}
	share, err := loopShare(&text)
	if err != nil {
		return cost{}, err
	}
	each := spent / time.Duration(n)
	return cost{loop: time.Duration(share * float64(each)), all: each, rate: float64(n) / took.Seconds()}, nil
}

// turns is the function of the loop that has all turns in it. A type parameter may stand within.
const (
	turnsOf = "github.com/sluice-go/sluice/internal/serial.(*Loop"
	turns   = ".takeTurns"
)

// loopShare is the share of a CPU profile that was spent in turns of the loop.
func loopShare(text io.Reader) (float64, error) {
	p, err := profile.Parse(text)
	if err != nil {
		return 0, fmt.Errorf("reading the profile: %w", err)
	}
	inTurns, all := 0.0, 0.0
	for _, s := range p.Sample {
		spent := float64(s.Value[len(s.Value)-1])
		all += spent
		if inLoop(s) {
			inTurns += spent
		}
	}
	if inTurns == 0 {
		return 0, fmt.Errorf("no sample of %d is in a turn of the loop: is %s…%s called otherwise now?", len(p.Sample), turnsOf, turns)
	}
	return inTurns / all, nil
}

func inLoop(s *profile.Sample) bool {
	return slices.ContainsFunc(s.Location, func(l *profile.Location) bool {
		return slices.ContainsFunc(l.Line, func(line profile.Line) bool {
			return line.Function != nil && strings.HasPrefix(line.Function.Name, turnsOf) && strings.HasSuffix(line.Function.Name, turns)
		})
	})
}

// source is a client of a queue that always has ten messages, and whose calls return at once.
type source struct{ count atomic.Int64 }

var (
	body     = strings.Repeat("x", 512)
	received = map[string]string{"ApproximateReceiveCount": "1", "SentTimestamp": strconv.FormatInt(time.Now().UnixMilli(), 10)}
)

func (s *source) ReceiveMessage(_ context.Context, in *sqs.ReceiveMessageInput, _ ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	messages := make([]types.Message, cmp.Or(in.MaxNumberOfMessages, 1))
	last := s.count.Add(int64(len(messages)))
	for i := range messages {
		id := strconv.FormatInt(last-int64(i), 10)
		messages[i] = types.Message{MessageId: &id, ReceiptHandle: &id, Body: &body, Attributes: received}
	}
	return &sqs.ReceiveMessageOutput{Messages: messages}, nil
}

func (s *source) DeleteMessageBatch(_ context.Context, in *sqs.DeleteMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	done := make([]types.DeleteMessageBatchResultEntry, len(in.Entries))
	for i, e := range in.Entries {
		done[i].Id = e.Id
	}
	return &sqs.DeleteMessageBatchOutput{Successful: done}, nil
}

func (s *source) ChangeMessageVisibilityBatch(_ context.Context, in *sqs.ChangeMessageVisibilityBatchInput, _ ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	done := make([]types.ChangeMessageVisibilityBatchResultEntry, len(in.Entries))
	for i, e := range in.Entries {
		done[i].Id = e.Id
	}
	return &sqs.ChangeMessageVisibilityBatchOutput{Successful: done}, nil
}
