package transports

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
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

const (
	messages  = 1000
	atOnce    = 4 // worlds that run at the same time
	receivers = 8

	// limit is the end of a world that hangs. No world needs a tenth of it.
	limit = 4 * time.Minute
)

// A row is one kind of network.
type row struct {
	name       string
	server     server
	trust      trust
	spoil      func() spoiler // nil: answers pass as they are
	poll       time.Duration  // 0: 20 s
	visibility time.Duration  // 0: 60 s
	twice      string         // why messages may be received twice; "": none may
}

// An end is what became of a world.
type end struct {
	skipped string // why there was none; "": there was one
	counts  sqstest.QueueStats
	handled int64
	failed  int64 // calls, until all was handled
	why     error // the first of them failed
	strayed int64 // requests that have reached another host
	err     error
}

func TestEachClientConsumesOverEachNetwork(t *testing.T) {
	t.Parallel() // it mostly waits
	ends := make([][]end, len(rows))
	var all sync.WaitGroup
	free := make(chan struct{}, atOnce)
	for i := range rows {
		ends[i] = make([]end, len(clients))
		for j := range clients {
			all.Go(func() {
				free <- struct{}{}
				defer func() { <-free }()
				ends[i][j] = play(t.Context(), &rows[i], clients[j])
			})
		}
	}
	all.Wait()
	var table strings.Builder
	for i := range rows {
		for j := range clients {
			e := &ends[i][j]
			fmt.Fprintf(&table, "| %s | %s | %s |\n", rows[i].name, clients[j].name, e.text())
			t.Run(rows[i].name+", "+clients[j].name, func(t *testing.T) { e.check(t, &rows[i]) })
		}
	}
	t.Logf("\n| network | client | handled | received | calls failed | |\n| --- | --- | ---: | ---: | ---: | --- |\n%s", table.String())
}

func (e *end) text() string {
	if e.skipped != "" {
		return "SKIPPED: " + e.skipped + " | | |"
	}
	verdict := "each once"
	if e.why != nil {
		verdict += fmt.Sprint("; ", e.why)
	}
	if e.counts.Deliveries > messages {
		verdict = fmt.Sprintf("%d again", e.counts.Deliveries-messages)
	}
	return fmt.Sprintf("%d | %d | %d | %s", e.handled, e.counts.Deliveries, e.failed, verdict)
}

// check checks that nothing was lost, and that what was received twice had a reason.
func (e *end) check(t *testing.T, r *row) {
	if e.skipped != "" {
		t.Skip("SKIPPED: " + e.skipped)
	}
	require.NoError(t, e.err)
	require.EqualValues(t, messages, e.handled, "messages handled")
	require.Equal(t, messages, e.counts.Deleted, "messages deleted")
	require.Zero(t, e.strayed, "requests that have followed a redirect")
	if r.twice == "" {
		require.Equal(t, messages, e.counts.Deliveries, "receives of messages")
	}
}

// play lets a client consume all messages over a network.
func play(ctx context.Context, r *row, c client) (e end) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	account := sqstest.New(sqstest.Region("eu-central-1"))
	url := account.MustCreateQueue("orders", nil)
	if e.err = send(ctx, account, url); e.err != nil {
		return e
	}
	n := newNetwork(r)
	defer n.close()
	if e.skipped = n.start(account); e.skipped != "" {
		return e
	}
	sdk, err := c.make(ctx, n)
	if err != nil {
		return end{err: err}
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	consumer, err := sluice.New(sdk, n.url+"/000000000000/orders", sluice.Options{
		PollTime: cmp.Or(r.poll, 20*time.Second), VisibilityTimeout: cmp.Or(r.visibility, time.Minute), Receivers: receivers, Logger: slog.New(slog.DiscardHandler),
		Hooks: sluice.Hooks{Call: func(c sluice.CallEvent) {
			if c.Err != nil && running.Err() == nil {
				e.failed++
				e.why = cmp.Or(e.why, c.Err)
			}
		}},
	})
	if err != nil {
		return end{err: err}
	}
	var seen sync.Map
	var handled atomic.Int64
	e.err = consumer.Run(running, func(_ context.Context, batch []*sluice.Message) error {
		for _, m := range batch {
			if _, again := seen.LoadOrStore(m.ID, true); !again && handled.Add(1) == messages {
				stop()
				n.empty() // nobody waits for more
			}
		}
		return nil
	})
	e.handled, e.counts, e.strayed = handled.Load(), account.Stats().Queues["orders"], n.strayed.Load()
	if e.err == nil && ctx.Err() != nil {
		e.err = fmt.Errorf("after %v it has not ended, Health says %+v", limit, consumer.Health())
	}
	return e
}

func send(ctx context.Context, account *sqstest.Server, url string) error {
	for i := 0; i < messages; i += 10 {
		in := &sqs.SendMessageBatchInput{QueueUrl: &url}
		for j := range 10 {
			in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{
				Id: new(fmt.Sprint(j)), MessageBody: new(fmt.Sprintf("message %d: %s", i+j, strings.Repeat("x", 200))),
			})
		}
		if _, err := account.SendMessageBatch(ctx, in); err != nil {
			return err
		}
	}
	return nil
}
