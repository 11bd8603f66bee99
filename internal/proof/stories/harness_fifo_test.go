package stories_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
)

// groups makes the world's queue a FIFO queue.
func (w *world) groups() {
	w.url = w.server.MustCreateQueue("orders.fifo", map[string]string{"FifoQueue": "true", "ContentBasedDeduplication": "true"})
}

// deadLetters makes a dead-letter queue. Where it is to be a FIFO queue, so is the world's own.
func (w *world) deadLetters(fifo bool) (url string) {
	if !fifo {
		return w.server.MustCreateQueue("dead", nil)
	}
	w.groups()
	return w.server.MustCreateQueue("dead.fifo", map[string]string{"FifoQueue": "true"})
}

// sendGroup sends a message to a group.
func (w *world) sendGroup(group, body string) {
	w.Helper()
	_, err := w.server.SendMessage(w.Context(), &sqs.SendMessageInput{QueueUrl: &w.url, MessageBody: &body, MessageGroupId: &group})
	require.NoError(w, err)
}

// sendGroups sends n messages to each group, g0, g1, …, in turn.
func (w *world) sendGroups(groups, n int) {
	w.Helper()
	for i := range n {
		for g := range groups {
			w.sendGroup(fmt.Sprintf("g%d", g), fmt.Sprintf("g%d %d", g, i))
		}
	}
}

// An orderly checks a FIFO consumer: in each group one message at a time, and none
// succeeds before those that were sent earlier.
type orderly struct {
	*world
	*line

	busy map[string]bool // guarded by the line's lock
}

// A line is what has succeeded in each group, whoever handled it.
type line struct {
	lock  sync.Mutex     // guards the fields below
	next  map[string]int // the message of each group that is to succeed next
	again int            // successes of messages that had succeeded before
}

func (w *world) orderly() *orderly {
	return &orderly{world: w, line: &line{next: map[string]int{}}, busy: map[string]bool{}}
}

// beside checks another process: it may have a group in hand whose lease this one has
// lost and does not know it yet, but not go on before it.
func (o *orderly) beside() *orderly {
	return &orderly{world: o.world, line: o.line, busy: map[string]bool{}}
}

func (o *orderly) begin(m *sluice.Message) {
	o.lock.Lock()
	defer o.lock.Unlock()
	if o.busy[m.GroupID] {
		o.Errorf("group %s is handled twice at the same time", m.GroupID)
	}
	o.busy[m.GroupID] = true
	if n := number(m); n > o.next[m.GroupID] {
		o.Errorf("group %s: message %d begins before %d has succeeded", m.GroupID, n, o.next[m.GroupID])
	}
}

func (o *orderly) end(m *sluice.Message, ok bool) {
	o.lock.Lock()
	defer o.lock.Unlock()
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

// done reports whether n messages of each group have succeeded.
func (o *orderly) done(groups, n int) bool {
	o.lock.Lock()
	defer o.lock.Unlock()
	for g := range groups {
		if o.next[fmt.Sprintf("g%d", g)] != n {
			return false
		}
	}
	return true
}

func number(m *sluice.Message) (n int) {
	_, _ = fmt.Sscanf(m.Body, m.GroupID+" %d", &n)
	return n
}

func (w *world) fifoCounts() (sent, deliveries, deleted int) {
	c := w.server.Stats().Queues["orders.fifo"]
	return c.Sent, c.Deliveries, c.Deleted
}

// A dice makes chance for many goroutines.
type dice struct {
	mu     sync.Mutex // guards random
	random *rand.Rand
}

func newDice(seed uint64) *dice { return &dice{random: rand.New(rand.NewPCG(seed, 2))} }

// chance is a number from 0 to 1.
func (d *dice) chance() float64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.random.Float64()
}

// upTo is a time shorter than most.
func (d *dice) upTo(most time.Duration) time.Duration {
	return time.Duration(d.chance() * float64(most))
}

// A deadly client makes no call any more when it is dead: its process is gone.
type deadly struct {
	sluice.Client

	dead *atomic.Bool
}

var errDead = errors.New("the process is gone")

func (d *deadly) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, o ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	if d.dead.Load() {
		return nil, errDead
	}
	out, err := d.Client.ReceiveMessage(ctx, in, o...)
	if d.dead.Load() {
		return nil, errDead
	}
	return out, err
}

func (d *deadly) DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput, o ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	if d.dead.Load() {
		return nil, errDead
	}
	return d.Client.DeleteMessageBatch(ctx, in, o...)
}

func (d *deadly) ChangeMessageVisibilityBatch(ctx context.Context, in *sqs.ChangeMessageVisibilityBatchInput, o ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	if d.dead.Load() {
		return nil, errDead
	}
	return d.Client.ChangeMessageVisibilityBatch(ctx, in, o...)
}

// A deadlyLine is the same below the SDK's client.
type deadlyLine struct {
	sqs.HTTPClient

	dead *atomic.Bool
}

func (d *deadlyLine) Do(r *http.Request) (*http.Response, error) {
	if d.dead.Load() {
		return nil, errDead
	}
	resp, err := d.HTTPClient.Do(r)
	if err == nil && d.dead.Load() {
		return nil, errors.Join(errDead, resp.Body.Close())
	}
	return resp, err
}

// mortal returns a client like the world's that dies when dead is set.
func (w *world) mortal(dead *atomic.Bool) sluice.Client {
	if _, sdk := w.client.(*sqs.Client); sdk {
		return w.server.Client(func(o *sqs.Options) { o.HTTPClient = &deadlyLine{o.HTTPClient, dead} })
	}
	return &deadly{w.client, dead}
}

// A try is one handling of a message of a group.
type try struct {
	body  string
	at    time.Duration // since the world began
	count int           // the message's receive count
}

// tries keeps the handlings of a story, in their order.
type tries struct {
	*world

	mu  sync.Mutex // guards all
	all []try
}

func (t *tries) note(m *sluice.Message) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = append(t.all, try{m.Body, time.Since(t.began), m.ReceiveCount})
}

// of returns the handlings of a message.
func (t *tries) of(body string) []try {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(t.all), func(one try) bool { return one.body != body })
}

func (t *tries) bodies() (all []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, one := range t.all {
		all = append(all, one.body)
	}
	return all
}
