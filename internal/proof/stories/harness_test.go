package stories_test

import (
	"context"
	"fmt"
	"log/slog"
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

// A world is a queue, its consumers and what their handlers saw, in virtual time.
type world struct {
	*testing.T

	server *sqstest.Server
	client sluice.Client
	url    string
	began  time.Time

	mu      sync.Mutex // guards the fields below
	batches []seen
	live    map[string]bool // messages being handled
}

// seen is one handler call.
type seen struct {
	at     time.Duration // since the world began
	bodies []string
}

// tell runs a story in a bubble of its own, with the queue in process: the seam
// that the library sees.
func tell(t *testing.T, story func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { story(newWorld(t)) })
}

// tellBoth runs a story at the library's seam, and once more through the real SDK
// client: that is what users run.
func tellBoth(t *testing.T, story func(w *world)) {
	t.Helper()
	t.Run("in process", func(t *testing.T) { tell(t, story) })
	t.Run("with the SDK", func(t *testing.T) {
		tell(t, func(w *world) {
			w.client = w.server.Client()
			story(w)
		})
	})
}

func newWorld(t *testing.T, opts ...sqstest.Option) *world {
	t.Helper()
	s := sqstest.New(opts...)
	w := &world{T: t, server: s, client: s, began: time.Now(), live: map[string]bool{}}
	w.url = s.MustCreateQueue("orders", nil)
	return w
}

// quiet keeps the log lines of expected trouble out of the tests' output.
var quiet = slog.New(slog.DiscardHandler)

func (w *world) consumer(opts sluice.Options) *sluice.Consumer {
	w.Helper()
	if opts.Logger == nil {
		opts.Logger = quiet
	}
	c, err := sluice.New(w.client, w.url, opts)
	require.NoError(w, err)
	return c
}

// run starts a consumer. stop ends it and returns Run's error. A test that fails
// before it stops the consumer says why it failed, not that the bubble is stuck.
func (w *world) run(c *sluice.Consumer, h sluice.Handler) (stop func() error) {
	w.Helper()
	ctx, cancel := context.WithCancel(w.Context())
	ended := make(chan struct{})
	var err error
	go func() {
		defer close(ended)
		err = c.Run(ctx, h)
	}()
	stop = func() error {
		cancel()
		<-ended
		return err
	}
	w.Cleanup(func() { _ = stop() })
	return stop
}

// handler notes what it sees and then does what do says; nil: nothing.
func (w *world) handler(do sluice.Handler) sluice.Handler {
	return func(ctx context.Context, batch []*sluice.Message) error {
		w.enter(batch)
		defer w.leave(batch)
		if do == nil {
			return nil
		}
		return do(ctx, batch)
	}
}

func (w *world) enter(batch []*sluice.Message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := seen{at: time.Since(w.began)}
	for _, m := range batch {
		s.bodies = append(s.bodies, m.Body)
		if w.live[m.ID] {
			w.Errorf("message %q is handled twice at the same time", m.Body)
		}
		w.live[m.ID] = true
	}
	w.batches = append(w.batches, s)
}

func (w *world) leave(batch []*sluice.Message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range batch {
		delete(w.live, m.ID)
	}
}

// seen returns the handler calls so far.
func (w *world) seen() []seen {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]seen(nil), w.batches...)
}

// handled returns how many messages handlers have seen so far, each time counting.
func (w *world) handled() (n int) {
	for _, s := range w.seen() {
		n += len(s.bodies)
	}
	return n
}

// send sends n messages with the bodies first, first+1, …
func (w *world) send(first, n int) {
	w.Helper()
	for i := 0; i < n; i += 10 {
		in := &sqs.SendMessageBatchInput{QueueUrl: &w.url}
		for j := i; j < min(i+10, n); j++ {
			in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{
				Id: new(fmt.Sprint(j - i)), MessageBody: new(fmt.Sprint(first + j)),
			})
		}
		out, err := w.server.SendMessageBatch(w.Context(), in)
		require.NoError(w, err)
		require.Empty(w, out.Failed)
	}
}

// counts returns what the queue has counted.
func (w *world) counts() sqstest.QueueStats { return w.server.Stats().Queues["orders"] }

// calls returns how often an operation was called.
func (w *world) calls(op string) int { return w.server.Stats().Calls[op].Started }

// eachOnce checks that n messages were sent, each received once, and deleted.
func (w *world) eachOnce(n int) {
	w.Helper()
	c := w.counts()
	require.Equal(w, n, c.Sent, "sent")
	require.Equal(w, n, c.Deliveries, "deliveries")
	require.Equal(w, n, c.Distinct, "distinct deliveries")
	require.Equal(w, n, c.Deleted, "deleted")
	require.Equal(w, n, w.handled(), "handled")
}

// after sleeps until d has passed since the world began.
func (w *world) after(d time.Duration) { time.Sleep(time.Until(w.began.Add(d))) }
