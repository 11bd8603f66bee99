package server

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice/sqstest"
)

// Names of the queue.
const (
	queueName = "orders"
	fifoName  = queueName + ".fifo"
)

// A run is one consumer's queue, port and counters.
type run struct {
	setup    Setup
	pacer    *pacer
	chance   *chance       // of calls
	arrivals *chance       // of messages that are sent
	delay    sqstest.Delay // of calls
	queues   *sqstest.Server
	meter    *meter
	http     *http.Server
	identity *identity // nil: plain HTTP
	endpoint string
	url      string
	supply   supply

	ctx    context.Context //nolint:containedctx // the life of the run, which no call spans
	cancel context.CancelFunc
	once   sync.Once      // of begin
	wg     sync.WaitGroup // all goroutines of the run
}

// newRun begins a run, over TLS if it has an identity.
func newRun(p *pacer, setup Setup, own *identity) (*run, error) {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for a run: %w", err)
	}
	r := &run{
		setup: setup, pacer: p, meter: newMeter(), delay: setup.delay(),
		chance: newChance(setup.Seed, forCalls), arrivals: newChance(setup.Seed, forLoad),
		endpoint: own.scheme() + "://" + listener.Addr().String(), identity: own, supply: newSupply(&setup),
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.queues = sqstest.New(r.world()...)
	r.url = r.queues.MustCreateQueue(setup.queue(), nil)
	if err := r.inject(); err != nil {
		r.cancel()
		_ = listener.Close()
		return nil, err
	}
	r.fill(setup.Depth, r.supply.body)
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
	r.wg.Go(func() { _ = r.serve(listener) }) // until close
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
			r.wg.Go(func() { r.trickle(r.setup.Rate, time.Time{}) })
		}
		if len(r.setup.Load) > 0 {
			r.wg.Go(r.load)
		}
		if r.setup.Fault == Outage {
			r.wg.Go(r.outage)
		}
	})
}

// ServeHTTP is one call with its latency: the way there, the effect, the way back.
func (r *run) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	op := operation(req)
	latency := r.chance.latency(r.delay, op)
	r.meter.begin(op)
	r.meter.travels(op, latency)
	r.pacer.sleep(latency / 2)
	late := &late{ResponseWriter: w, pacer: r.pacer, back: latency / 2}
	defer func() { r.meter.end(op, late.status != http.StatusOK) }()
	r.queues.ServeHTTP(late, req)
}

// late is an answer that takes its time to arrive.
type late struct {
	http.ResponseWriter

	pacer  *pacer
	back   time.Duration // the way back
	status int
}

func (l *late) WriteHeader(status int) {
	l.status = status
	l.pacer.sleep(l.back)
	l.ResponseWriter.WriteHeader(status)
}

// serve answers calls until the run is closed.
func (r *run) serve(listener net.Listener) error {
	if r.identity == nil {
		return r.http.Serve(listener)
	}
	r.http.TLSConfig = r.identity.config()
	return r.http.ServeTLS(listener, "", "")
}

// fill sends n messages with the same body, without latency and uncounted.
func (r *run) fill(n int, body string) {
	for n > 0 {
		entries := make([]types.SendMessageBatchRequestEntry, min(r.supply.entries, n))
		for i := range entries {
			entries[i] = r.supply.entry(i, body)
		}
		if _, err := r.queues.SendMessageBatch(r.ctx, &sqs.SendMessageBatchInput{QueueUrl: &r.url, Entries: entries}); err != nil {
			return // the run is over
		}
		n -= len(entries)
	}
}

// refill keeps the queue as deep as it was, however fast the consumer is.
func (r *run) refill() {
	tick := time.NewTicker(r.setup.refillEvery())
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
		r.fill(more, r.supply.body)
	}
}

// trickle sends messages at random intervals, until that time if it is not zero. Their bodies begin
// with the time of sending, in nanoseconds since 1970: what the consumer's handler compares its clock with.
func (r *run) trickle(rate float64, until time.Time) {
	for next := time.Now(); r.ctx.Err() == nil; {
		next = next.Add(time.Duration(r.arrivals.exponential() / rate * float64(time.Second)))
		if !until.IsZero() && next.After(until) {
			return
		}
		way := r.arrivals.latency(r.delay, "SendMessage") / 2
		r.pacer.sleep(time.Until(next))
		r.wg.Go(func() { r.sendOne(way) })
	}
}

// sendOne is a SendMessage by somebody else, which is on its way for that time until it has its effect.
func (r *run) sendOne(way time.Duration) {
	body := r.stamped()
	r.pacer.sleep(way)
	_, _ = r.queues.SendMessage(r.ctx, &sqs.SendMessageInput{QueueUrl: &r.url, MessageBody: &body}) // fails only when the run is over
}

// stamped is a body that begins with the time.
func (r *run) stamped() string {
	stamp := strconv.FormatInt(time.Now().UnixNano(), 10)
	body := r.supply.body
	return stamp + " " + body[min(len(body), len(stamp)+1):]
}
