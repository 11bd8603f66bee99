package server

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice/sqstest"
)

const queueName = "orders"

// A run is one consumer's queue, port and counters.
type run struct {
	setup    Setup
	pacer    *pacer
	queues   *sqstest.Server
	meter    *meter
	http     *http.Server
	endpoint string
	url      string
	body     string

	ctx    context.Context //nolint:containedctx // the life of the run, which no call spans
	cancel context.CancelFunc
	once   sync.Once      // of begin
	wg     sync.WaitGroup // all goroutines of the run
}

func newRun(p *pacer, setup Setup) (*run, error) {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for a run: %w", err)
	}
	r := &run{setup: setup, pacer: p, meter: newMeter(), endpoint: "http://" + listener.Addr().String()}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.queues = sqstest.New(sqstest.BaseURL(r.endpoint), sqstest.Seed(rand.Uint64()), sqstest.LargeAnswerDelay(0)) // the latency is the setup's
	r.url = r.queues.MustCreateQueue(queueName, nil)
	r.body = strings.Repeat("x", setup.Size)
	if err := r.inject(); err != nil {
		r.cancel()
		_ = listener.Close()
		return nil, err
	}
	r.fill(setup.Depth)
	r.queues.Observe(r.meter.happened)
	r.http = &http.Server{
		Handler: r, ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return r.ctx },
		ConnState: func(_ net.Conn, s http.ConnState) {
			if s == http.StateNew {
				r.meter.connected()
			}
		},
	}
	r.wg.Go(func() { _ = r.http.Serve(listener) }) // until close
	if setup.Depth > 0 {
		r.wg.Go(r.refill)
	}
	return r, nil
}

// close ends the run.
func (r *run) close() {
	r.cancel()
	_ = r.http.Close()
	r.wg.Wait()
}

// begin starts what the first mark starts.
func (r *run) begin() {
	r.once.Do(func() {
		if r.setup.Rate > 0 {
			r.wg.Go(r.trickle)
		}
		if r.setup.Fault == Outage {
			r.wg.Go(r.outage)
		}
	})
}

// ServeHTTP is one call with its latency: the way there, the effect, the way back.
func (r *run) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	op := operation(req)
	r.meter.begin(op)
	r.pacer.sleep(r.setup.Latency / 2)
	late := &late{ResponseWriter: w, run: r}
	defer func() { r.meter.end(op, late.status != http.StatusOK) }()
	r.queues.ServeHTTP(late, req)
}

// late is an answer that takes its time to arrive.
type late struct {
	http.ResponseWriter

	run    *run
	status int
}

func (l *late) WriteHeader(status int) {
	l.status = status
	l.run.pacer.sleep(l.run.setup.Latency / 2)
	l.ResponseWriter.WriteHeader(status)
}

// fill sends n messages, without latency and uncounted.
func (r *run) fill(n int) {
	for ; n > 0; n -= 10 {
		entries := make([]types.SendMessageBatchRequestEntry, min(10, n))
		for i := range entries {
			entries[i] = types.SendMessageBatchRequestEntry{Id: &digits[i], MessageBody: &r.body}
		}
		if _, err := r.queues.SendMessageBatch(r.ctx, &sqs.SendMessageBatchInput{QueueUrl: &r.url, Entries: entries}); err != nil {
			return // the run is over
		}
	}
}

var digits = [...]string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}

// refill keeps the queue as deep as it was, however fast the consumer is.
func (r *run) refill() {
	const often = 20 * time.Millisecond
	tick := time.NewTicker(often)
	defer tick.Stop()
	for taken := 0; ; {
		select {
		case <-tick.C:
		case <-r.ctx.Done():
			return
		}
		r.meter.mu.Lock()
		more := r.meter.now.Received - r.meter.now.Again - taken
		r.meter.mu.Unlock()
		taken += more
		r.fill(more)
	}
}

// trickle sends messages at random intervals. Their bodies begin with the time of sending, in
// nanoseconds since 1970: what the consumer's handler compares its clock with.
func (r *run) trickle() {
	for next := time.Now(); r.ctx.Err() == nil; {
		next = next.Add(time.Duration(rand.ExpFloat64() / r.setup.Rate * float64(time.Second)))
		r.pacer.sleep(time.Until(next))
		r.wg.Go(r.sendOne)
	}
}

// sendOne is a SendMessage by somebody else: half a latency until it has its effect.
func (r *run) sendOne() {
	stamp := strconv.FormatInt(time.Now().UnixNano(), 10)
	body := stamp + " " + r.body[min(len(r.body), len(stamp)+1):]
	r.pacer.sleep(r.setup.Latency / 2)
	_, _ = r.queues.SendMessage(r.ctx, &sqs.SendMessageInput{QueueUrl: &r.url, MessageBody: &body}) // fails only when the run is over
}
