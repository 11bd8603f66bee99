package stories_test

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

// The operations of a consumer.
const (
	opReceive = "ReceiveMessage"
	opDelete  = "DeleteMessageBatch"
	opChange  = "ChangeMessageVisibilityBatch"
	opSend    = "SendMessage"
)

// takes is a handler that needs d, whatever its context says.
func takes(d time.Duration) sluice.Handler {
	return func(context.Context, []*sluice.Message) error {
		time.Sleep(d)
		return nil
	}
}

// heeds is a handler that needs d and stops when its context ends.
func heeds(d time.Duration) sluice.Handler {
	return func(ctx context.Context, _ []*sluice.Message) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// patience is how often something fails in a story: far more often than it is
// tried by a consumer that backs off. One that spins comes to the end of it, and to
// what the story claims, instead of never.
const patience = 10_000

// fails is a handler that returns err.
func fails(err error) sluice.Handler {
	var n atomic.Int64
	return func(context.Context, []*sluice.Message) error {
		if n.Add(1) > patience {
			return nil
		}
		return err
	}
}

// outage makes all calls fail with err until end is called.
func (w *world) outage(err error, ops ...string) (end func()) {
	if len(ops) == 0 {
		ops = []string{opReceive, opDelete, opChange, opSend}
	}
	var removes []func()
	for _, op := range ops {
		removes = append(removes, w.server.Inject(sqstest.Fault{Op: op, Err: err, Times: patience}))
	}
	return func() {
		for _, remove := range removes {
			remove()
		}
	}
}

// left returns the messages in the queue, in any state.
func (w *world) left() []sqstest.Snapshot { return w.server.Messages(w.url) }

// visible returns how many messages in the queue could be received now.
func (w *world) visible() (n int) {
	for _, m := range w.left() {
		if m.State == sqstest.Visible {
			n++
		}
	}
	return n
}

// times returns when each message with that body was begun to be handled.
func (w *world) times(body string) (at []time.Duration) {
	for _, s := range w.seen() {
		for _, b := range s.bodies {
			if b == body {
				at = append(at, s.at)
			}
		}
	}
	return at
}

// all returns how many calls of a consumer's operations there were.
func (w *world) all() (n int) {
	for _, op := range []string{opReceive, opDelete, opChange, opSend} {
		n += w.calls(op)
	}
	return n
}

// silent checks that no call is made for an hour: the run is over.
func (w *world) silent() {
	w.Helper()
	before := w.all()
	time.Sleep(time.Hour)
	require.Equal(w, before, w.all(), "calls after the end of the run")
}

// agrees checks that the Consumer has counted what the queue has.
func (w *world) agrees(cs ...*sluice.Consumer) {
	w.Helper()
	var received, deleted int64
	calls := map[string]int64{}
	errs := map[string]int64{}
	for _, c := range cs {
		s := c.Stats()
		received += s.Received
		deleted += s.Deleted
		for op, n := range s.Calls {
			calls[op] += n
			errs[op] += s.Errors[op]
		}
	}
	require.EqualValues(w, w.counts().Deliveries, received, "received")
	require.EqualValues(w, w.counts().Deleted, deleted, "deleted")
	for _, op := range []string{opReceive, opDelete, opChange} {
		of := w.server.Stats().Calls[op]
		require.EqualValues(w, of.Started, calls[op], op)
		require.EqualValues(w, of.Failed, errs[op], op+" that failed")
	}
}

// adds checks that the counts of a Consumer at rest make a whole.
func (w *world) adds(c *sluice.Consumer) {
	w.Helper()
	s := c.Stats()
	require.Zero(w, s.InFlight, "in flight")
	require.Zero(w, s.BytesInFlight, "bytes in flight")
	require.Zero(w, s.Handlers, "handlers")
	require.Zero(w, s.OldestHandler)
}

// gauge notes the most of something that was there at once.
type gauge struct{ now, most atomic.Int64 }

func (g *gauge) add(n int) {
	v := g.now.Add(int64(n))
	for {
		most := g.most.Load()
		if v <= most || g.most.CompareAndSwap(most, v) {
			return
		}
	}
}

// events keeps what the queue tells of itself.
type events struct {
	mu  sync.Mutex // guards all
	all []sqstest.Event
}

// watch keeps the events that happen from now on.
func (w *world) watch() *events {
	e := &events{}
	w.server.Observe(func(event sqstest.Event) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.all = append(e.all, event)
	})
	return e
}

// of returns the events of a kind.
func (e *events) of(kind sqstest.EventKind) (some []sqstest.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, event := range e.all {
		if event.Kind == kind {
			some = append(some, event)
		}
	}
	return some
}

// calls returns when calls of an operation began.
func (e *events) calls(op string) (at []time.Time) {
	for _, event := range e.of(sqstest.CallStarted) {
		if event.Call.Op == op {
			at = append(at, event.Time)
		}
	}
	return at
}

// attempts returns the ids under which receives of a FIFO queue were made.
func (e *events) attempts() (ids []string) {
	for _, event := range e.of(sqstest.CallStarted) {
		if in, ok := event.Call.Input.(*sqs.ReceiveMessageInput); ok {
			id := ""
			if in.ReceiveRequestAttemptId != nil {
				id = *in.ReceiveRequestAttemptId
			}
			ids = append(ids, id)
		}
	}
	return ids
}
