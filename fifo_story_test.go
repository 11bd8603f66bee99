package sluice_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
)

// groups makes the world's queue a FIFO queue.
func (w *world) groups() {
	w.url = w.server.MustCreateQueue("orders.fifo", map[string]string{"FifoQueue": "true", "ContentBasedDeduplication": "true"})
}

// sendGroup sends a message to a group.
func (w *world) sendGroup(group, body string) {
	w.Helper()
	_, err := w.server.SendMessage(w.Context(), &sqs.SendMessageInput{QueueUrl: &w.url, MessageBody: &body, MessageGroupId: &group})
	require.NoError(w, err)
}

// An orderly checks a FIFO consumer: in each group one message at a time, and none
// succeeds before those that were sent earlier.
type orderly struct {
	*world

	mu    sync.Mutex
	busy  map[string]bool
	next  map[string]int // the message of each group that is to succeed next
	again int            // successes of messages that had succeeded before
}

func (w *world) orderly() *orderly {
	return &orderly{world: w, busy: map[string]bool{}, next: map[string]int{}}
}

func (o *orderly) begin(m *sluice.Message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.busy[m.GroupID] {
		o.Errorf("group %s is handled twice at the same time", m.GroupID)
	}
	o.busy[m.GroupID] = true
	if n := number(m); n > o.next[m.GroupID] {
		o.Errorf("group %s: message %d begins before %d has succeeded", m.GroupID, n, o.next[m.GroupID])
	}
}

func (o *orderly) end(m *sluice.Message, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.busy[m.GroupID] = false
	if !ok {
		return
	}
	switch n := number(m); {
	case n < o.next[m.GroupID]:
		o.again++
	default:
		o.next[m.GroupID] = n + 1
	}
}

func number(m *sluice.Message) (n int) {
	_, _ = fmt.Sscanf(m.Body, m.GroupID+" %d", &n)
	return n
}

func (w *world) fifoCounts() (sent, deliveries, deleted int) {
	c := w.server.Stats().Queues["orders.fifo"]
	return c.Sent, c.Deliveries, c.Deleted
}

func TestGroupsStayInOrderWhileHandlersFail(t *testing.T) {
	for _, size := range []int{1, 7, 100} {
		t.Run(fmt.Sprintf("batches of %d", size), func(t *testing.T) {
			tellBoth(t, func(w *world) {
				const groups, each = 100, 100
				w.groups()
				o := w.orderly()
				for i := range each {
					for g := range groups {
						w.sendGroup(fmt.Sprintf("g%d", g), fmt.Sprintf("g%d %d", g, i))
					}
				}
				w.slow(8 * time.Millisecond)
				random := rand.New(rand.NewPCG(1, 2))
				var mu sync.Mutex
				chance := func() float64 {
					mu.Lock()
					defer mu.Unlock()
					return random.Float64()
				}
				h := sluice.Each(func(ctx context.Context, m *sluice.Message) (err error) {
					o.begin(m)
					ok := false
					defer func() { o.end(m, ok) }()
					time.Sleep(time.Duration(1+20*chance()) * time.Millisecond)
					switch p := chance(); {
					case p < 0.01:
						panic("a bug")
					case p < 0.05:
						return sluice.RetryAfter(time.Duration(chance()*5)*time.Second, errors.New("not now"))
					case p < 0.06:
						return errors.New("not now")
					}
					ok = true
					return nil
				})
				c := w.consumer(sluice.Options{BatchSize: size, Concurrency: 64})
				stop := w.run(c, h)
				for range 600 {
					time.Sleep(time.Second)
					if _, _, deleted := w.fifoCounts(); deleted == groups*each {
						break
					}
				}
				require.NoError(w, stop())
				sent, deliveries, deleted := w.fifoCounts()
				require.Equal(w, groups*each, sent)
				require.Equal(w, sent, deleted)
				require.Equal(w, sent, deliveries)
				require.Zero(w, o.again)
				t.Logf("%v, %.3f calls a message, %+v", time.Since(w.began), float64(w.calls("ReceiveMessage")+w.calls("DeleteMessageBatch")+w.calls("ChangeMessageVisibilityBatch"))/float64(sent), c.Stats().Calls)
			})
		})
	}
}

func TestFollowersWaitForTheirHead(t *testing.T) {
	tellBoth(t, func(w *world) {
		w.groups()
		for i := range 3 {
			w.sendGroup("a", fmt.Sprintf("a %d", i))
		}
		tries := 0
		var counts []int
		stop := w.run(w.consumer(sluice.Options{}), func(_ context.Context, batch []*sluice.Message) error {
			if number(batch[0]) == 0 && tries < 5 {
				tries++
				return sluice.RetryAfter(time.Minute, errors.New("not now"))
			}
			counts = append(counts, batch[0].ReceiveCount)
			return nil
		})
		time.Sleep(4*time.Minute + 30*time.Second)
		require.Empty(w, counts)
		time.Sleep(time.Minute)
		require.Equal(w, []int{1, 1, 1}, counts)
		require.NoError(w, stop())
	})
}

func TestAThousandGroupsAreAsFastAsAStandardQueue(t *testing.T) {
	took := func(fifo bool) (d time.Duration, perMessage float64) {
		tell(t, func(w *world) {
			const groups, each = 1000, 10
			if fifo {
				w.groups()
				for g := range groups {
					for i := range each {
						w.sendGroup(fmt.Sprintf("g%d", g), fmt.Sprintf("g%d %d", g, i))
					}
				}
			} else {
				w.send(0, groups*each)
			}
			w.slow(8 * time.Millisecond)
			stop := w.run(w.consumer(sluice.Options{Concurrency: 64}), func(context.Context, []*sluice.Message) error {
				time.Sleep(5 * time.Millisecond)
				return nil
			})
			for w.server.Stats().Total.Deleted < groups*each {
				time.Sleep(10 * time.Millisecond)
			}
			d = time.Since(w.began)
			perMessage = float64(w.calls("ReceiveMessage")+w.calls("DeleteMessageBatch")) / (groups * each)
			require.NoError(w, stop())
		})
		return d, perMessage
	}
	standard, a := took(false)
	fifo, b := took(true)
	t.Log(standard, a, fifo, b)
	require.LessOrEqual(t, fifo, standard*12/10)
	require.LessOrEqual(t, b, 0.25)
}

var _ = synctest.Wait
