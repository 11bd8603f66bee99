package otelsluice

import (
	"context"
	"slices"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/semconv/v1.43.0/messagingconv"

	"github.com/sluice-go/sluice"
)

const operationProcess = "process"

// An operation is a call to SQS, by the API's name and by that in telemetry.
type operation struct {
	api, name string
	kind      attribute.KeyValue // messaging.operation.type; zero: none applies
}

var (
	operationReceive = operation{"ReceiveMessage", "receive", semconv.MessagingOperationTypeReceive}
	operationDelete  = operation{"DeleteMessageBatch", "delete", semconv.MessagingOperationTypeSettle}
	// A renewal settles nothing, and SQS has one operation for both.
	operationChange = operation{"ChangeMessageVisibilityBatch", "change_visibility", attribute.KeyValue{}}
	operationSend   = operation{"SendMessage", "send", semconv.MessagingOperationTypeSend}
	operations      = []operation{operationReceive, operationDelete, operationChange, operationSend}
)

// Boundaries of histograms. The first 14 are those of the conventions. A receive may wait for 20 s,
// handlers may run for hours, and messages may wait for days.
var (
	boundsOfCalls    = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 30}
	boundsOfHandlers = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60, 300, 900, 3600}
	boundsOfDwell    = []float64{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600, 24 * 3600, 4 * 24 * 3600}
	boundsOfBatches  = []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000}
)

const (
	keyReason = attribute.Key("sluice.batch.reason") // why a batch was handed over
	keyResult = attribute.Key("sluice.result")       // what became of messages
	keyState  = attribute.Key("sluice.state")
)

// metrics are the instruments of a consumer, with the attributes of each.
type metrics struct {
	identity []attribute.KeyValue
	dead     []attribute.KeyValue // of the dead-letter queue

	duration  metric.Float64Histogram
	consumed  metric.Int64Counter
	calls     metric.Float64Histogram
	dwell     metric.Float64Histogram
	lost      metric.Int64Counter
	batchSize metric.Int64Histogram // nil: each batch has one message
	batchFill metric.Float64Histogram

	ofSuccess  []metric.RecordOption // duration
	ofDelivery []metric.AddOption    // consumed
	ofQueue    metric.MeasurementOption
	ofDwell    []metric.RecordOption
}

func newMetrics(m metric.Meter, q queue, opts *sluice.Options, more []attribute.KeyValue) *metrics {
	s := &metrics{identity: slices.Concat(more, q.identity()), dead: slices.Concat(more, queueOf(opts.DeadLetterQueueURL).identity())}
	s.ofQueue = metric.WithAttributeSet(attribute.NewSet(s.identity...))
	processing := metric.WithAttributeSet(s.with(semconv.MessagingOperationName(operationProcess)))
	s.ofSuccess, s.ofDelivery = []metric.RecordOption{processing}, []metric.AddOption{processing}
	s.ofDwell = []metric.RecordOption{s.ofQueue}

	var errs [7]error
	var duration messagingconv.ProcessDuration
	duration, errs[0] = messagingconv.NewProcessDuration(m, metric.WithExplicitBucketBoundaries(boundsOfHandlers...))
	var consumed messagingconv.ClientConsumedMessages
	consumed, errs[1] = messagingconv.NewClientConsumedMessages(m)
	var calls messagingconv.ClientOperationDuration
	calls, errs[2] = messagingconv.NewClientOperationDuration(m, metric.WithExplicitBucketBoundaries(boundsOfCalls...))
	s.duration, s.consumed, s.calls = duration.Float64Histogram, consumed.Int64Counter, calls.Float64Histogram
	s.dwell, errs[3] = m.Float64Histogram("sluice.dwell", metric.WithUnit("s"), metric.WithExplicitBucketBoundaries(boundsOfDwell...),
		metric.WithDescription("Time from the sending of a message to its first handler call."))
	s.lost, errs[4] = m.Int64Counter("sluice.leases.lost", metric.WithUnit("{message}"),
		metric.WithDescription("Number of messages that became visible to others while they were held."))
	if opts.BatchSize > 1 {
		s.batchSize, errs[5] = m.Int64Histogram("sluice.batch.size", metric.WithUnit("{message}"), metric.WithExplicitBucketBoundaries(boundsOfBatches...),
			metric.WithDescription("Number of messages in a batch that was handed over."))
		s.batchFill, errs[6] = m.Float64Histogram("sluice.batch.fill.duration", metric.WithUnit("s"), metric.WithExplicitBucketBoundaries(boundsOfCalls...),
			metric.WithDescription("Time from the arrival of a batch's first message until it was handed over."))
	}
	for _, err := range errs {
		if err != nil {
			otel.Handle(err)
		}
	}
	return s
}

// with returns the attributes of the queue and more.
func (s *metrics) with(more ...attribute.KeyValue) attribute.Set {
	return attribute.NewSet(slices.Concat(s.identity, more)...)
}

// delivered counts messages that a handler is given.
func (s *metrics) delivered(ctx context.Context, batch []*sluice.Message, now time.Time) {
	s.consumed.Add(ctx, int64(len(batch)), s.ofDelivery...)
	if !s.dwell.Enabled(ctx) {
		return
	}
	for _, m := range batch {
		if m.Attempt <= 1 && !m.SentAt.IsZero() {
			s.dwell.Record(ctx, max(0, now.Sub(m.SentAt)).Seconds(), s.ofDwell...)
		}
	}
}

// processed counts a handler call that has ended. The kind of its failure is "" if there is none.
func (s *metrics) processed(ctx context.Context, took time.Duration, kind string) {
	switch {
	case kind == "":
		s.duration.Record(ctx, took.Seconds(), s.ofSuccess...)
	case s.duration.Enabled(ctx):
		s.duration.Record(ctx, took.Seconds(), metric.WithAttributeSet(s.with(
			semconv.MessagingOperationName(operationProcess), semconv.ErrorTypeKey.String(kind))))
	}
}

// hooks count what the consumer does besides calling handlers.
func (s *metrics) hooks() sluice.Hooks {
	ctx := context.Background()
	h := sluice.Hooks{
		Call:      func(e sluice.CallEvent) { s.called(ctx, e) },
		LeaseLost: func(sluice.LeaseEvent) { s.lost.Add(ctx, 1, s.ofQueue) },
	}
	if s.batchSize != nil {
		h.Batch = func(e sluice.BatchEvent) {
			reason := metric.WithAttributeSet(s.with(keyReason.String(e.Reason.String())))
			s.batchSize.Record(ctx, int64(len(e.Messages)), reason)
			s.batchFill.Record(ctx, e.FillTime.Seconds(), reason)
		}
	}
	return h
}

// called counts a call to SQS.
func (s *metrics) called(ctx context.Context, e sluice.CallEvent) {
	if !s.calls.Enabled(ctx) {
		return
	}
	op := operation{api: e.Operation, name: e.Operation}
	if i := slices.IndexFunc(operations, func(o operation) bool { return o.api == e.Operation }); i >= 0 {
		op = operations[i]
	}
	attributes := slices.Clone(s.identity)
	if op == operationSend {
		attributes = slices.Clone(s.dead)
	}
	attributes = append(attributes, semconv.MessagingOperationName(op.name))
	if op.kind.Valid() {
		attributes = append(attributes, op.kind)
	}
	if e.Err != nil {
		attributes = append(attributes, semconv.ErrorTypeKey.String(kindOfCall(e.Err)))
	}
	s.calls.Record(ctx, e.Duration.Seconds(), metric.WithAttributeSet(attribute.NewSet(attributes...)))
}
