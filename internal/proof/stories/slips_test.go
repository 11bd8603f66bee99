package stories_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
)

// scribble changes all that a handler can change of a message.
func scribble(m *sluice.Message) {
	*m = sluice.Message{
		ID: "x", Body: "x", ReceiptHandle: "x", GroupID: "x", DeduplicationID: "x", SequenceNumber: "1", ReceiveCount: 99, Attempt: -1,
	}
}

func scribbleFields(m *sluice.Message) {
	m.ID, m.Body, m.ReceiptHandle, m.GroupID, m.SequenceNumber = "x", "x", "x", "x", "99999999999999999999"
	m.ReceiveCount, m.Attempt = -1, -1
	m.Attributes, m.SystemAttributes = nil, nil
}

func TestAHandlerThatChangesItsMessagesLeaksNothing(t *testing.T) {
	change := map[string]func(*sluice.Message){"each field": scribbleFields, "the whole": scribble}
	ends := map[string]error{"succeed": nil, "fail": errBad, "are discarded": sluice.Discard(errBad), "are dead-lettered": sluice.DeadLetter(errBad)}
	for how, do := range change {
		for name, end := range ends {
			for _, fifo := range []bool{false, true} {
				t.Run(fmt.Sprint(how, " of those that ", name, ", fifo ", fifo), func(t *testing.T) {
					tell(t, func(w *world) {
						dead := w.deadLetters(fifo)
						if fifo {
							w.sendGroups(5, 4)
						} else {
							w.send(0, 20)
						}
						c := w.consumer(sluice.Options{BatchSize: 3, DeadLetterQueueURL: dead})
						var calls atomic.Int64
						stop := w.run(c, func(_ context.Context, batch []*sluice.Message) error {
							for _, m := range batch {
								do(m)
							}
							if calls.Add(1) <= 10 {
								return end
							}
							return nil
						})
						time.Sleep(time.Hour)
						require.Empty(w, w.left())
						require.Zero(w, c.Stats().InFlight)
						require.Zero(w, c.Stats().BytesInFlight)
						require.NoError(w, stop())
						for _, m := range w.server.Messages(dead) {
							require.NotEqual(w, "x", m.Body)
						}
					})
				})
			}
		}
	}
}

func TestEachHaltsTheGroupOfAMessageThatWasChanged(t *testing.T) {
	tell(t, func(w *world) {
		w.groups()
		w.sendGroups(2, 2)
		var seen []string
		stop := w.run(w.consumer(sluice.Options{BatchSize: 4}), sluice.Each(func(_ context.Context, m *sluice.Message) error {
			seen = append(seen, m.Body)
			scribble(m)
			if len(seen) == 1 {
				return errBad
			}
			return nil
		}))
		time.Sleep(time.Hour)
		require.NoError(w, stop())
		require.Equal(w, []string{"g0 0", "g1 0", "g1 1", "g0 0", "g0 1"}, seen)
	})
}

func TestATryInPlaceSeesTheMessageAsItWas(t *testing.T) {
	tell(t, func(w *world) {
		w.groups()
		w.sendGroup("a", "a 0")
		seen := &tries{world: w}
		stop := w.run(w.consumer(sluice.Options{}), func(_ context.Context, batch []*sluice.Message) error {
			seen.note(batch[0])
			scribbleFields(batch[0])
			if len(seen.bodies()) < 3 {
				return errBad
			}
			return nil
		})
		time.Sleep(time.Hour)
		require.NoError(w, stop())
		require.Equal(w, []string{"a 0", "a 0", "a 0"}, seen.bodies())
	})
}

func TestAPanicInEachIsAnErrorToMiddlewareAtEveryBatchSize(t *testing.T) {
	item := func(context.Context, *sluice.Message) error { panic("no") }
	value := func(context.Context, int) error { panic("no") }
	for _, n := range []int{1, 2, 10} {
		var batch []*sluice.Message
		for i := range n {
			batch = append(batch, &sluice.Message{ID: fmt.Sprint(i), Body: "1"})
		}
		for name, h := range map[string]sluice.Handler{
			"Each": sluice.Each(item), "JSON": sluice.JSON(value),
			"BatchJSON": sluice.BatchJSON(func(context.Context, []sluice.Item[int]) error { panic("no") }),
		} {
			require.NotPanics(t, func() {
				err := h(t.Context(), batch)
				p, ok := errors.AsType[*sluice.PanicError](err)
				require.True(t, ok, "%s of %d", name, n)
				require.Equal(t, "no", p.Value)
				require.Contains(t, string(p.Stack), "slips_test.go")
				failed := 0
				for range sluice.Outcomes(batch, err) {
					failed++
				}
				require.Equal(t, n, failed)
			})
		}
	}
}

// A quitter ends the goroutine of one of its sends: before the queue has the letter.
type quitter struct {
	sluice.Client

	sender interface {
		SendMessage(ctx context.Context, in *sqs.SendMessageInput, opts ...func(*sqs.Options)) (*sqs.SendMessageOutput, error)
	}
	n  atomic.Int64
	at func(n int64) bool
}

func (q *quitter) SendMessage(ctx context.Context, in *sqs.SendMessageInput, opts ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	time.Sleep(10 * time.Millisecond)
	if q.at(q.n.Add(1)) {
		runtime.Goexit()
	}
	return q.sender.SendMessage(ctx, in, opts...)
}

func TestAClientThatEndsItsGoroutineSendsEachDeadLetterOnce(t *testing.T) {
	for name, at := range map[string]func(n int64) bool{
		"the first":   func(n int64) bool { return n == 1 },
		"the fifth":   func(n int64) bool { return n == 5 },
		"every third": func(n int64) bool { return n%3 == 0 },
		"many":        func(n int64) bool { return n < 50 },
	} {
		for _, fifo := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", fifo ", fifo), func(t *testing.T) {
				tell(t, func(w *world) {
					dead := w.deadLetters(fifo)
					if fifo {
						w.sendGroups(20, 5)
					} else {
						w.send(0, 100)
					}
					w.client = &quitter{Client: w.server, sender: w.server, at: at}
					c := w.consumer(sluice.Options{DeadLetterQueueURL: dead, BatchSize: 100, Concurrency: 1, Receivers: 1})
					stop := w.run(c, func(context.Context, []*sluice.Message) error { return sluice.DeadLetter(errBad) })
					time.Sleep(10 * time.Minute)
					require.NoError(w, stop())
					var bodies []string
					for _, m := range w.server.Messages(dead) {
						bodies = append(bodies, m.Body)
					}
					slices.Sort(bodies)
					require.Len(w, bodies, 100)
					require.Len(w, slices.Compact(bodies), 100, "none twice")
					require.Empty(w, w.left())
					require.EqualValues(w, 100, c.Stats().DeadLettered)
					require.EqualValues(w, 100, c.Stats().Deleted)
				})
			})
		}
	}
}

// attempts keeps what handlers and RetryDelay see of how often a message is tried.
type attempts struct {
	mu      sync.Mutex // guards the fields below
	handler []string
	delay   []string
}

func (a *attempts) handle(_ context.Context, batch []*sluice.Message) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.handler = append(a.handler, fmt.Sprintf("%d/%d", batch[0].Attempt, batch[0].ReceiveCount))
	return errBad
}

func (a *attempts) wait(m *sluice.Message, _ error) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.delay = append(a.delay, fmt.Sprintf("%d/%d", m.Attempt, m.ReceiveCount))
	return time.Minute
}

func TestAttemptCountsReceivesAndTriesInPlace(t *testing.T) {
	for queue, want := range map[string]string{
		"standard":       "1/1 2/2 3/3 4/4",
		"in place":       "1/1 2/1 3/1 2/2 3/2 4/2 3/3",
		"given back":     "1/1 2/2 3/3 4/4",
		"goes on behind": "1/1 2/2 3/3 4/4",
	} {
		t.Run(queue, func(t *testing.T) {
			tell(t, func(w *world) {
				opts := sluice.Options{InPlaceTries: 3}
				if queue == "standard" {
					w.send(0, 1)
				} else {
					opts.OnGroupFailure = map[string]sluice.GroupFailure{"in place": sluice.GroupRetryInPlace, "given back": sluice.GroupRelease, "goes on behind": sluice.GroupSkip}[queue]
					w.groups()
					w.sendGroup("a", "a 0")
				}
				var a attempts
				opts.RetryDelay = a.wait
				stop := w.run(w.consumer(opts), a.handle)
				n := len(strings.Fields(want))
				time.Sleep(time.Duration(n)*time.Minute - 30*time.Second)
				require.NoError(w, stop())
				require.Equal(w, want, strings.Join(a.handler, " "))
				require.Equal(w, want, strings.Join(a.delay, " "))
			})
		})
	}
}

func TestTheUsualPauseGrowsWithEachTryInPlace(t *testing.T) {
	tell(t, func(w *world) {
		w.groups()
		w.sendGroup("a", "a 0")
		seen := &tries{world: w}
		stop := w.run(w.consumer(sluice.Options{}), func(_ context.Context, batch []*sluice.Message) error {
			seen.note(batch[0])
			return errBad
		})
		time.Sleep(10 * time.Minute)
		require.NoError(w, stop())
		all := seen.of("a 0")
		require.Len(w, all, 5)
		pause := 30 * time.Second
		for i := 1; i < 5; i++ {
			require.InDelta(w, pause, all[i].at-all[i-1].at, 0.1*float64(pause)+1e9)
			require.Equal(w, 1, all[i].count)
			pause *= 2
		}
	})
}

// A hook still looks at the message of a try when the next one begins.
func TestEachTryInPlaceHasAMessageOfItsOwn(t *testing.T) {
	tell(t, func(w *world) {
		w.groups()
		w.sendGroup("a", "a 0")
		var mu sync.Mutex
		var told []int
		hooks := sluice.Hooks{Batch: func(e sluice.BatchEvent) {
			time.Sleep(100 * time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			told = append(told, e.Messages[0].Attempt)
		}}
		opts := sluice.Options{Hooks: hooks, RetryDelay: func(*sluice.Message, error) time.Duration { return time.Millisecond }}
		stop := w.run(w.consumer(opts), func(context.Context, []*sluice.Message) error { return errBad })
		time.Sleep(10 * time.Second)
		require.NoError(w, stop())
		mu.Lock()
		defer mu.Unlock()
		require.Equal(w, []int{1, 2, 3}, told[:3])
	})
}
