package simtest

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

// A load is how many messages come a second, for two minutes.
type load struct {
	name          string
	before, after float64 // in the first half minute, and from then on
	atOnce        int     // messages that come at once after the first half minute
	two           bool    // two consumers share it, and then one of them stops
}

var loads = []load{
	{name: "steady", before: 600, after: 600},
	{name: "doubles", before: 300, after: 600},
	{name: "doubles, higher", before: 500, after: 1000},
	{name: "falls, and is there again", before: 600, after: 100},
	{name: "steady, and what an outage has left", before: 600, after: 600, atOnce: 20_000},
	{name: "one of two consumers leaves", before: 600, after: 600, two: true},
}

// A consumption is how a load is consumed, and over what network.
type consumption struct {
	size    int // of batches
	wait    time.Duration
	fifo    bool
	latency time.Duration // there and back
	nature  string        // key of natures
}

// answerings are natures of a queue; "" is one server that answers with all it has.
var answerings = map[string]sqstest.Option{
	"20 servers": sqstest.Servers(20),
	"1 to 3":     sqstest.AnswerSize(func(r *rand.Rand) int { return 1 + r.IntN(3) }),
	"1 to 10":    sqstest.AnswerSize(func(r *rand.Rand) int { return 1 + r.IntN(10) }),
}

func (c consumption) String() string {
	kind := "standard"
	if c.fifo {
		kind = "FIFO"
	}
	return fmt.Sprintf("%s, batches of %d in %v, %v a call %s", kind, c.size, c.wait, c.latency, c.nature)
}

// few are the consumptions of each load, so that each load, each size and each latency
// is there.
var few = [][]consumption{
	{
		{size: 100, wait: 10 * time.Second, latency: 20 * time.Millisecond},
		{size: 1, latency: 20 * time.Millisecond, nature: "20 servers"},
		{size: 1000, wait: time.Second, latency: 20 * time.Millisecond, fifo: true},
		{size: 10_000, wait: time.Second, latency: 50 * time.Millisecond},
	}, {
		{size: 100, wait: time.Second, latency: 20 * time.Millisecond},
		{size: 2, wait: time.Second, latency: 5 * time.Millisecond},
		{size: 10, wait: 2 * time.Second, latency: 50 * time.Millisecond, fifo: true},
		{size: 100, wait: time.Second, latency: 150 * time.Millisecond},
		{size: 1, latency: 20 * time.Millisecond, nature: "1 to 3"},
		{size: 100, wait: time.Second, latency: 20 * time.Millisecond, nature: "1 to 10"},
	}, {
		{size: 100, wait: time.Second, latency: 50 * time.Millisecond},
		{size: 10, wait: time.Second, latency: 150 * time.Millisecond},
		{size: 100, wait: time.Second, latency: 20 * time.Millisecond, nature: "20 servers"},
	}, {
		{size: 100, wait: 10 * time.Second, latency: 20 * time.Millisecond, fifo: true},
		{size: 1, latency: 150 * time.Millisecond, fifo: true},
	}, {
		{size: 100, wait: time.Second, latency: 20 * time.Millisecond},
		{size: 1000, wait: time.Second, latency: 5 * time.Millisecond, fifo: true},
	}, {
		{size: 100, wait: 10 * time.Second, latency: 20 * time.Millisecond},
		{size: 1, latency: 5 * time.Millisecond},
	},
}

// all are all of them, for whoever has an hour: LOADS=all.
func all() (every []consumption) {
	for _, size := range []int{1, 2, 10, 100, 1000, 10_000} {
		for _, ms := range []int{5, 20, 50, 150} {
			for _, fifo := range []bool{false, true} {
				every = append(every, consumption{size: size, wait: time.Second, latency: time.Duration(ms) * time.Millisecond, fifo: fifo})
			}
		}
	}
	return every
}

// TestLoadsAreFollowed shows that a consumer with receivers to spare takes what comes,
// whatever that was before: at most 200 messages are left in the queue at any minute's
// end. A world of the simulation is too small to show it.
func TestLoadsAreFollowed(t *testing.T) {
	for i, l := range loads {
		consumptions := few[i]
		if os.Getenv("LOADS") == "all" {
			consumptions = all()
		}
		for _, c := range consumptions {
			t.Run(l.name+"/"+c.String(), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { follow(t, l, c) })
			})
		}
	}
}

// follow lets a load come, and looks at each minute's end.
func follow(t *testing.T, l load, c consumption) {
	const most = 200
	f := newFollowed(t, c)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var runs sync.WaitGroup
	runs.Go(func() { f.send(ctx, l) })
	f.consume(ctx, &runs)
	if l.two {
		short, leave := context.WithTimeout(ctx, half)
		defer leave()
		f.consume(short, &runs)
	}
	for minute := 1; minute <= 2; minute++ {
		time.Sleep(time.Minute - second)
		if left := f.fewest(); left > most {
			t.Errorf("%d messages are left after minute %d, want at most %d", left, minute, most)
		}
	}
	stop()
	runs.Wait()
}

const (
	half   = 30 * time.Second // so long a load lasts before it changes
	second = time.Second
)

// A followed queue is one with a load.
type followed struct {
	*testing.T

	c      consumption
	server *sqstest.Server
	url    string
	r      *rand.Rand
	sent   int
}

func newFollowed(t *testing.T, c consumption) *followed {
	latency := func(op string, _ *rand.Rand) time.Duration {
		if op == opReceive || op == opDelete || op == opChange {
			return c.latency
		}
		return 0
	}
	options := []sqstest.Option{sqstest.Latency(latency)}
	if c.nature != "" {
		options = append(options, answerings[c.nature])
	}
	f := &followed{T: t, c: c, server: sqstest.New(options...), r: rand.New(rand.NewPCG(1, 2))}
	name := "orders"
	if c.fifo {
		name += ".fifo"
	}
	f.url = f.server.MustCreateQueue(name, nil)
	return f
}

// send is the actor that sends the load, as it has come in each hundredth of a second.
func (f *followed) send(ctx context.Context, l load) {
	const tick = 10 * time.Millisecond
	for n := 0; ctx.Err() == nil; n++ {
		rate := l.before
		switch at := time.Duration(n) * tick; {
		case at == half:
			f.sendSome(l.atOnce)
			rate = l.after
		case at > half:
			rate = l.after
		}
		f.sendSome(poisson(f.r, rate*tick.Seconds()))
		time.Sleep(tick)
	}
}

// poisson draws how many of something happen where mean do on the average.
func poisson(r *rand.Rand, mean float64) (n int) {
	for p := r.Float64(); p > math.Exp(-mean); n++ {
		p *= r.Float64()
	}
	return n
}

func (f *followed) sendSome(n int) {
	const groups = 2000
	for ; n > 0; n -= 10 {
		in := &sqs.SendMessageBatchInput{QueueUrl: &f.url}
		for i := range min(n, 10) {
			f.sent++
			e := types.SendMessageBatchRequestEntry{Id: new(strconv.Itoa(i)), MessageBody: new("x")}
			if f.c.fifo {
				e.MessageGroupId, e.MessageDeduplicationId = new(strconv.Itoa(f.r.IntN(groups))), new(strconv.Itoa(f.sent))
			}
			in.Entries = append(in.Entries, e)
		}
		_, err := f.server.SendMessageBatch(context.Background(), in)
		require.NoError(f, err)
	}
}

// consume starts a consumer whose handlers return at once.
func (f *followed) consume(ctx context.Context, runs *sync.WaitGroup) {
	consumer, err := sluice.New(f.server, f.url, sluice.Options{BatchSize: f.c.size, WaitTime: f.c.wait, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(f, err)
	runs.Go(func() {
		_ = consumer.Run(ctx, func(context.Context, []*sluice.Message) error { return nil })
	})
}

// fewest is how many messages could be received in the course of a second, at least. What
// has come since the last receive went out is not left: it is on its way.
func (f *followed) fewest() int {
	const looks = 10
	least := f.visible()
	for range looks {
		time.Sleep(second / looks)
		least = min(least, f.visible())
	}
	return least
}

// visible is how many messages could be received.
func (f *followed) visible() int {
	out, err := f.server.GetQueueAttributes(context.Background(), &sqs.GetQueueAttributesInput{
		QueueUrl: &f.url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameApproximateNumberOfMessages},
	})
	require.NoError(f, err)
	n, err := strconv.Atoi(out.Attributes[string(types.QueueAttributeNameApproximateNumberOfMessages)])
	require.NoError(f, err)
	return n
}
