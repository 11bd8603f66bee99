package stories_test

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
)

func TestGroupIDsOnAStandardQueueDoNotSerialise(t *testing.T) {
	for _, size := range []int{1, 10} {
		t.Run(fmt.Sprintf("batches of %d", size), func(t *testing.T) {
			tellBoth(t, func(w *world) {
				for i := range 100 { // all of one tenant, as fair queues have them
					w.sendGroup("tenant", strconv.Itoa(i))
				}
				var running gauge
				c := w.consumer(sluice.Options{BatchSize: size, Concurrency: 10})
				each := sluice.Each(func(_ context.Context, m *sluice.Message) error {
					require.Equal(w, "tenant", m.GroupID)
					if strings.HasSuffix(m.Body, "5") && m.ReceiveCount == 1 {
						return sluice.RetryAfter(10*time.Minute, errBad)
					}
					return nil
				})
				stop := w.run(c, func(ctx context.Context, batch []*sluice.Message) error {
					running.add(1)
					defer running.add(-1)
					time.Sleep(time.Second)
					return each(ctx, batch)
				})
				time.Sleep(30 * time.Second)
				require.EqualValues(w, 10, running.most.Load(), "messages of one group are handled side by side")
				require.EqualValues(w, 10, c.Stats().Failed)
				require.Equal(w, 90, w.counts().Deleted)
				require.Equal(w, 100, w.counts().Deliveries, "and none comes back because another has failed")
				time.Sleep(10 * time.Minute)
				require.NoError(w, stop())
				require.Empty(w, w.left())
			})
		})
	}
}

func TestBodiesOfAGroupOnAStandardQueueFailByThemselves(t *testing.T) {
	tell(t, func(w *world) {
		for i := range 6 {
			w.sendGroup("tenant", fmt.Sprint(i))
			w.sendGroup("tenant", "not JSON")
		}
		var got []int
		c := w.consumer(sluice.Options{BatchSize: 12})
		stop := w.run(c, sluice.BatchJSON(func(_ context.Context, items []sluice.Item[int]) error {
			for _, it := range items {
				got = append(got, it.Value)
			}
			return nil
		}))
		time.Sleep(5 * time.Second)
		require.NoError(w, stop())
		require.ElementsMatch(w, []int{0, 1, 2, 3, 4, 5}, got)
		require.EqualValues(w, 6, c.Stats().Failed)
		require.Equal(w, 12, w.counts().Deliveries, "none comes back because of another")
	})
}

func TestGroupsRunSideBySideUpToConcurrency(t *testing.T) {
	tellBoth(t, func(w *world) {
		w.groups()
		for g := range 50 {
			for i := range 2 {
				w.sendGroup(fmt.Sprint(g), fmt.Sprintf("%d %d", g, i))
			}
		}
		var running gauge
		stop := w.run(w.consumer(sluice.Options{Concurrency: 8}), func(context.Context, []*sluice.Message) error {
			running.add(1)
			defer running.add(-1)
			time.Sleep(time.Second)
			return nil
		})
		time.Sleep(100/8*time.Second + 3*time.Second)
		require.EqualValues(w, 8, running.most.Load())
		require.Empty(w, w.server.Messages("orders.fifo"), "and no slot stood empty")
		require.NoError(w, stop())
	})
}

func TestTheDeleteOfAHeadGoesAtOnceSinceItsFollowerWaits(t *testing.T) {
	tellBoth(t, func(w *world) {
		w.groups()
		w.sendGroup("a", "a 0")
		w.sendGroup("a", "a 1")
		w.sendGroup("b", "b 0") // handled for long: there are deletes to wait for
		e := w.watch()
		stop := w.run(w.consumer(sluice.Options{}), func(_ context.Context, batch []*sluice.Message) error {
			if batch[0].GroupID == "b" {
				time.Sleep(time.Minute)
			}
			time.Sleep(time.Second)
			return nil
		})
		time.Sleep(5 * time.Second)
		at := e.calls(opDelete)
		require.Len(w, at, 2)
		require.LessOrEqual(w, at[0].Sub(w.began), time.Second+time.Millisecond)
		require.LessOrEqual(w, at[1].Sub(w.began), 2*time.Second+52*time.Millisecond, "nothing of its group waits: it may wait for others")
		time.Sleep(time.Minute)
		require.NoError(w, stop())
	})
}

func TestDeletesOfDifferentGroupsShareTheirCalls(t *testing.T) {
	tell(t, func(w *world) {
		const groups, each = 30, 10
		w.groups()
		for i := range each {
			for g := range groups {
				w.sendGroup(fmt.Sprint(g), fmt.Sprintf("%d %d", g, i))
			}
		}
		w.slow(8 * time.Millisecond)
		stop := w.run(w.consumer(sluice.Options{Concurrency: groups}), takes(50*time.Millisecond))
		time.Sleep(10 * time.Second)
		require.NoError(w, stop())
		require.Empty(w, w.server.Messages("orders.fifo"))
		t.Logf("%d delete calls for %d messages", w.calls(opDelete), groups*each)
		require.LessOrEqual(w, w.calls(opDelete), groups*each*2/5, "though none of them waits") // how many end at one moment is chance
	})
}

func TestABatchHoldsEachGroupTogetherAndInOrder(t *testing.T) {
	tellBoth(t, func(w *world) {
		const groups, each = 7, 9
		w.groups()
		for i := range each {
			for g := range groups {
				w.sendGroup(fmt.Sprint(g), fmt.Sprintf("%d %d", g, i))
			}
		}
		next := map[string]int{}
		handled := 0
		c := w.consumer(sluice.Options{BatchSize: 25, Concurrency: 1, WaitTime: 2 * time.Second})
		stop := w.run(c, func(_ context.Context, batch []*sluice.Message) error {
			ended := map[string]bool{} // groups that others have come after
			for i, m := range batch {
				require.False(w, ended[m.GroupID], "group %s is not together", m.GroupID)
				if i+1 < len(batch) && batch[i+1].GroupID != m.GroupID {
					ended[m.GroupID] = true
				}
				require.Equal(w, next[m.GroupID], number(m), "of group %s", m.GroupID)
				next[m.GroupID]++
				handled++
			}
			return nil
		})
		time.Sleep(20 * time.Second)
		require.NoError(w, stop())
		require.Equal(w, groups*each, handled)
		require.NotZero(w, c.Stats().Batches[sluice.ReasonFull], "groups are gathered into full batches")
	})
}

// A mint is a FIFO queue of as many groups as asked for, of one message each, that
// keeps nothing of them.
type mint struct {
	sluice.Client

	left, deleted atomic.Int64
}

func (m *mint) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, _ ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	time.Sleep(time.Millisecond)
	out := &sqs.ReceiveMessageOutput{}
	for range in.MaxNumberOfMessages {
		n := m.left.Add(-1)
		if n < 0 {
			break
		}
		id := new(strconv.FormatInt(n, 10))
		out.Messages = append(out.Messages, types.Message{MessageId: id, Body: id, ReceiptHandle: id, Attributes: map[string]string{
			"MessageGroupId": "group " + *id, "SequenceNumber": "188" + *id, "ApproximateReceiveCount": "1", "SentTimestamp": "946684800000",
		}})
	}
	if len(out.Messages) == 0 {
		time.Sleep(time.Duration(in.WaitTimeSeconds) * time.Second)
	}
	return out, ctx.Err()
}

func (m *mint) DeleteMessageBatch(_ context.Context, in *sqs.DeleteMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	time.Sleep(time.Millisecond)
	out := &sqs.DeleteMessageBatchOutput{}
	for _, e := range in.Entries {
		out.Successful = append(out.Successful, types.DeleteMessageBatchResultEntry{Id: e.Id})
	}
	m.deleted.Add(int64(len(in.Entries)))
	return out, nil
}

// raced reports whether the race detector is on.
func raced() bool {
	info, _ := debug.ReadBuildInfo()
	return slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// heap returns the bytes in use on the heap.
func heap() uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC() // what the first has freed is swept
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

func TestAMillionGroupsThatAreDoneLeaveNothingBehind(t *testing.T) {
	first, groups := int64(2000), int64(1_000_000)
	if testing.Short() || raced() {
		groups = 30_000 // a million take eight seconds, and with the race detector a minute
	}
	tell(t, func(w *world) {
		m := &mint{}
		w.client, w.url = m, "https://sqs.eu-central-1.amazonaws.com/123456789012/orders.fifo"
		c := w.consumer(sluice.Options{Concurrency: 50})
		stop := w.run(c, takes(time.Millisecond))
		pass := func(n int64) uint64 {
			before := m.deleted.Load()
			m.left.Store(n)
			for m.deleted.Load() < before+n {
				time.Sleep(time.Second)
			}
			time.Sleep(time.Minute)
			require.Zero(w, c.Stats().InFlight)
			return heap()
		}
		base := pass(first)
		after := pass(groups)
		require.NoError(w, stop())
		require.Equal(w, first+groups, c.Stats().Deleted)
		t.Logf("heap %d kB, %d kB after %d groups", base>>10, after>>10, groups)
		require.Less(w, after, base+256<<10, "a quarter of a byte a group, or eight of the fewer: not even its name")
	})
}

func TestALingeringDeleteDoesNotHoldItsGroupUp(t *testing.T) {
	tellBoth(t, func(w *world) {
		w.groups()
		w.slow(8 * time.Millisecond)
		for i := range 3 {
			w.sendGroup("a", fmt.Sprintf("a %d", i))
		}
		time.AfterFunc(time.Second, func() { w.sendGroup("b", "b 0") })
		tries := &tries{world: w}
		stop := w.run(w.consumer(sluice.Options{DeleteLinger: 10 * time.Second, PollTime: time.Second}), func(_ context.Context, batch []*sluice.Message) error {
			tries.note(batch[0])
			return nil
		})
		time.Sleep(5 * time.Second)
		require.Len(w, tries.bodies(), 4)
		require.Less(w, tries.of("a 2")[0].at, time.Second)
		require.NotEmpty(w, w.server.Messages("orders.fifo"), "what nobody waits behind lingers")
		require.NoError(w, stop())
		require.Empty(w, w.server.Messages("orders.fifo"))
	})
}
