package sluice_test

import (
	"fmt"
	"slices"
	"sync"
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
