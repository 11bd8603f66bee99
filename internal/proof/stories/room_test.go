package stories_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
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

// Groups that fail keep their messages for the next try. A healthy group that comes later
// finds room all the same.
func TestGroupsThatFailLeaveRoomForOthers(t *testing.T) {
	for _, poisoned := range []int{10, 40, 100} {
		t.Run(fmt.Sprint(poisoned, " groups"), func(t *testing.T) {
			tell(t, func(w *world) {
				w.groups()
				body := strings.Repeat("x", 10<<10)
				for g := range poisoned {
					for i := range 10 {
						w.sendGroup(fmt.Sprint("poison", g), fmt.Sprint(g, i, body))
					}
				}
				var mu sync.Mutex
				var first, last time.Duration
				tried := map[string]bool{}
				c := w.consumer(sluice.Options{BytesInFlight: 3 << 20}) // of 30 groups
				stop := w.run(c, func(_ context.Context, batch []*sluice.Message) error {
					mu.Lock()
					defer mu.Unlock()
					if group := batch[0].GroupID; strings.HasPrefix(group, "poison") {
						tried[group] = true
						return errBad
					}
					if first == 0 {
						first = time.Since(w.began)
					}
					last = time.Since(w.began)
					return nil
				})
				time.Sleep(10 * time.Second)
				for i := range 10 {
					w.sendGroup("healthy", fmt.Sprint(i, body))
				}
				time.Sleep(time.Minute)
				mu.Lock()
				require.NotZero(w, first)
				require.Less(w, first, 15*time.Second)
				require.Less(w, last, 15*time.Second)
				require.Len(w, tried, poisoned)
				mu.Unlock()
				require.Less(w, c.Stats().BytesInFlight, 3<<20+1<<20)
				require.NoError(w, stop())
			})
		})
	}
}

func TestGroupsThatFailHoldAtMostHalfOfTheRoom(t *testing.T) {
	tell(t, func(w *world) {
		w.groups()
		body := strings.Repeat("x", 100<<10)
		for g := range 20 {
			w.sendGroup(fmt.Sprint("g", g), fmt.Sprint(g, body))
		}
		seen := &tries{world: w}
		c := w.consumer(sluice.Options{BytesInFlight: 1 << 20})
		stop := w.run(c, func(_ context.Context, batch []*sluice.Message) error {
			batch[0].Body = batch[0].GroupID
			seen.note(batch[0])
			return errBad
		})
		time.Sleep(time.Second)
		require.LessOrEqual(w, c.Stats().BytesInFlight, 512<<10)
		require.Greater(w, c.Stats().BytesInFlight, 400<<10)
		require.NoError(w, stop())
		for g := range 20 {
			require.Len(w, seen.of(fmt.Sprint("g", g)), 1)
		}
	})
}

// Few groups that fail are tried in place, as many times as is asked for.
func TestGroupsThatFailAreKeptWhereThereIsRoom(t *testing.T) {
	tell(t, func(w *world) {
		w.groups()
		w.sendGroups(30, 5)
		seen := &tries{world: w}
		stop := w.run(w.consumer(sluice.Options{}), func(_ context.Context, batch []*sluice.Message) error {
			seen.note(batch[0])
			if batch[0].Attempt < 5 {
				return errBad
			}
			return nil
		})
		time.Sleep(3 * time.Hour)
		require.NoError(w, stop())
		require.Empty(w, w.left())
		_, deliveries, _ := w.fifoCounts()
		require.Equal(w, 150, deliveries)
	})
}

// A generous client brings more than it was asked for.
type generous struct {
	sluice.Client

	asks int // how many receives it makes of one
}

func (g *generous) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, opts ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	out, err := g.Client.ReceiveMessage(ctx, in, opts...)
	if err != nil {
		return nil, err
	}
	for range g.asks - 1 {
		in := *in
		in.WaitTimeSeconds, in.ReceiveRequestAttemptId = 0, nil
		more, err := g.Client.ReceiveMessage(ctx, &in, opts...)
		if err != nil {
			return nil, err
		}
		out.Messages = append(out.Messages, more.Messages...)
	}
	return out, nil
}

func TestWhatWasNotAskedForIsReleasedAtOnce(t *testing.T) {
	for _, fifo := range []bool{false, true} {
		t.Run(fmt.Sprint("fifo ", fifo), func(t *testing.T) {
			tell(t, func(w *world) {
				w.client = &generous{Client: w.server, asks: 3}
				if fifo {
					w.groups()
					w.sendGroups(40, 5)
				} else {
					w.send(0, 200)
				}
				var lines strings.Builder
				var held gauge
				o := w.orderly()
				c := w.consumer(sluice.Options{Logger: slog.New(slog.NewTextHandler(&lines, nil))})
				stop := w.run(c, func(_ context.Context, batch []*sluice.Message) error {
					if fifo {
						o.begin(batch[0])
						defer o.end(batch[0], true)
					}
					held.add(1)
					time.Sleep(100 * time.Millisecond)
					held.add(-1)
					return nil
				})
				time.Sleep(time.Minute)
				require.Empty(w, w.left(), "in a minute: none has waited for its visibility timeout but by chance")
				s := c.Stats()
				require.Equal(w, s.Received, s.Succeeded+s.GivenBack)
				require.Positive(w, s.GivenBack)
				require.Zero(w, s.InFlight)
				require.NoError(w, stop())
				require.Contains(w, lines.String(), "more messages than were asked for")
			})
		})
	}
}

func TestMaxMessagesHoldsAlsoWhenMoreCome(t *testing.T) {
	tell(t, func(w *world) {
		w.client = &generous{Client: w.server, asks: 5}
		w.send(0, 50)
		c := w.consumer(sluice.Options{MaxMessages: 7})
		require.NoError(w, c.Run(w.Context(), w.handler(nil)))
		require.Equal(w, 7, w.handled())
		require.Len(w, w.left(), 43)
		require.Equal(w, 43, w.visible())
	})
}

// A flood is one answer with very many messages.
type flood struct {
	*sqstest.Server

	n    int
	sent atomic.Bool
}

func (f *flood) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, opts ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	if f.sent.Swap(true) {
		return f.Server.ReceiveMessage(ctx, in, opts...)
	}
	out := &sqs.ReceiveMessageOutput{Messages: make([]types.Message, f.n)}
	for i := range out.Messages {
		id := fmt.Sprint("m", i)
		out.Messages[i] = types.Message{MessageId: &id, ReceiptHandle: &id, Body: &id}
	}
	return out, nil
}

func TestAnAnswerWithAMillionMessagesNeedsNoRoom(t *testing.T) {
	tell(t, func(w *world) {
		w.client = &flood{Server: w.server, n: 1_000_000}
		c := w.consumer(sluice.Options{ShutdownTimeout: 2 * time.Second, PollTime: time.Second})
		stop := w.run(c, w.handler(heeds(time.Minute)))
		time.Sleep(time.Millisecond / 2)
		require.LessOrEqual(w, c.Stats().InFlight, 1010)
		time.Sleep(time.Second)
		require.LessOrEqual(w, c.Stats().InFlight, 20)
		stopping := time.Now()
		_ = stop()
		require.LessOrEqual(w, time.Since(stopping), 5*time.Second)
		s := c.Stats()
		require.EqualValues(w, 1_000_000, s.Received)
	})
}

// steady sends messages, each to a group of its own, at random times, so many a second.
func (w *world) steady(rate float64, end *atomic.Bool) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := 0; !end.Load(); i++ {
		time.Sleep(time.Duration(r.ExpFloat64() * 1e9 / rate))
		in := &sqs.SendMessageInput{QueueUrl: &w.url, MessageBody: new("x")}
		if strings.HasSuffix(w.url, ".fifo") {
			in.MessageGroupId, in.MessageDeduplicationId = new(fmt.Sprint(i)), new(fmt.Sprint(i))
		}
		_, _ = w.server.SendMessage(w.Context(), in)
	}
}

func TestDeletesOfAFIFOQueueShareTheirCallsAsThoseOfAStandardQueueDo(t *testing.T) {
	calls := map[bool]float64{}
	for _, fifo := range []bool{false, true} {
		tell(t, func(w *world) {
			if fifo {
				w.groups()
			}
			w.slow(10 * time.Millisecond)
			var end atomic.Bool
			go w.steady(100, &end)
			stop := w.run(w.consumer(sluice.Options{Concurrency: 100}), w.handler(takes(200*time.Millisecond)))
			time.Sleep(30 * time.Second)
			calls[fifo] = float64(w.calls(opDelete)) / float64(w.handled())
			end.Store(true)
			require.NoError(w, stop())
			time.Sleep(time.Second)
		})
	}
	require.Less(t, calls[true], 0.25)
	require.InDelta(t, calls[false], calls[true], 0.05)
}

// The queue gives no more of a group before what was received of it is deleted. So a
// group with a backlog never waits for a linger.
func TestALingerDoesNotHoldUpAGroupThatHasMoreInTheQueue(t *testing.T) {
	took := func(linger time.Duration, most int) (d time.Duration) {
		tell(t, func(w *world) {
			w.groups()
			w.server.Inject(sqstest.Fault{Op: opReceive, Max: most})
			w.slow(5 * time.Millisecond)
			for i := range 600 {
				w.sendGroup("g0", fmt.Sprint("g0 ", i))
			}
			o := w.orderly()
			var end atomic.Bool
			go func() { // others are being handled all the time
				for i := 0; !end.Load(); i++ {
					time.Sleep(20 * time.Millisecond)
					w.sendGroup(fmt.Sprint("other", i), "x")
				}
			}()
			stop := w.run(w.consumer(sluice.Options{DeleteLinger: linger}), func(_ context.Context, batch []*sluice.Message) error {
				if batch[0].GroupID != "g0" {
					time.Sleep(100 * time.Millisecond)
					return nil
				}
				o.begin(batch[0])
				defer o.end(batch[0], true)
				time.Sleep(time.Millisecond)
				return nil
			})
			for !o.done(1, 600) {
				time.Sleep(time.Millisecond)
			}
			d = time.Since(w.began)
			end.Store(true)
			time.Sleep(time.Second)
			require.NoError(w, stop())
		})
		return d
	}
	for _, most := range []int{10, 3, 1} { // messages of an answer
		require.InEpsilon(t, took(-1, most), took(0, most), 0.1)
	}
}
