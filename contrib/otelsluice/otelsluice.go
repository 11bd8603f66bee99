// Package otelsluice gives a consumer OpenTelemetry traces and metrics, and producers the
// context that makes both one trace.
//
//	opts := sluice.Options{BatchSize: 100}
//	otelsluice.Install(&opts, queueURL, otelsluice.Config{})
//	consumer, err := sluice.New(client, queueURL, opts)
//	…
//	registration, err := otelsluice.Observe(consumer, otelsluice.Config{}) // gauges
//
// [Install] comes last: it reads BatchSize, and what is in Options.Middleware already stays
// outside of the span. Middleware that unpacks envelopes may stand before or after it.
//
// # Spans
//
// Each handler call has one span, "process orders" for a queue named orders, of the kind
// CONSUMER. There is no span for a receive: an idle long poll takes 20 s, and the conventions
// forbid spans for messages that a library holds until the application gets them.
//
// With a BatchSize of 1 the span of the producer is the parent, and a link too. In batches the
// span is the root of a new trace, with a link to each producer: at most 128, different ones
// first. The attribute sluice.links.omitted counts messages without a link for want of room. The
// span that Run's context may carry is never the parent. A new root is sampled anew, so the
// producer's part may be there and the consumer's not.
//
// The producer's context comes from the first of these that has one:
//
//  1. Message attributes, by the propagator: traceparent, tracestate and baggage.
//  2. The same names in the MessageAttributes of a body that is an SNS notification.
//  3. The system attribute AWSTraceHeader, which X-Ray writes.
//
// Baggage reaches the handler's context with a BatchSize of 1 only.
//
// # Conventions
//
// Names and attributes are those of the semantic conventions 1.44 for messaging and Amazon SQS,
// which are in development, and what has no convention begins with "sluice.". The page
// docs/telemetry.md of the repository has all of them in tables. No span, metric or attribute
// has a body, a receipt handle, an attribute of a message or a message group.
package otelsluice

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/sluice-go/sluice"
)

// scope is the name of the instrumentation.
const scope = "github.com/sluice-go/sluice/contrib/otelsluice"

// A Config says where telemetry goes, and what is in it. The zero value works.
type Config struct {
	// TracerProvider makes the spans. nil means otel.GetTracerProvider().
	TracerProvider trace.TracerProvider

	// MeterProvider makes the metrics. nil means otel.GetMeterProvider().
	MeterProvider metric.MeterProvider

	// Propagator reads the context that producers send in message attributes. nil means
	// otel.GetTextMapPropagator() when a run begins. If nobody has set that, it means W3C's trace
	// context and baggage.
	Propagator propagation.TextMapPropagator

	// NewRoot makes the span of a single message the root of a new trace too. Its producer is a
	// link then, not the parent.
	NewRoot bool

	// SettleSpans adds a span for each delete call, such as "delete orders", of the kind CLIENT.
	SettleSpans bool

	// ErrorText puts the text of a handler's error into its span. It may have anything in it that
	// the handler wrote.
	ErrorText bool

	// Attributes are added to all spans and metrics. They keep two consumers of one queue in one
	// process apart.
	Attributes []attribute.KeyValue
}

// Install adds spans and metrics to the options of a consumer of the queue with the given URL. It
// appends to Middleware, adds to Hooks, and asks for the system attribute AWSTraceHeader. Call it
// when the other options are set, and once for each [sluice.New]. Instruments that cannot be made
// are reported to otel.Handle, and the others work.
func Install(opts *sluice.Options, queueURL string, cfg Config) {
	q := queueOf(queueURL)
	p := &process{
		queue: q, cfg: cfg, single: opts.BatchSize <= 1,
		tracer: cfg.tracer(), metrics: newMetrics(cfg.meter(), q, opts, cfg.Attributes),
	}
	_, p.off = p.tracer.(noop.Tracer)
	p.attributes = slices.Concat(cfg.Attributes, q.identity(), []attribute.KeyValue{
		semconv.AWSSQSQueueURL(queueURL), semconv.MessagingOperationName(operationProcess), semconv.MessagingOperationTypeProcess,
	})
	opts.Middleware = append(slices.Clip(opts.Middleware), p.wrap)
	opts.Hooks = opts.Hooks.And(p.metrics.hooks())
	if cfg.SettleSpans {
		opts.Hooks = opts.Hooks.And(sluice.Hooks{Call: p.settled})
	}
	opts.SystemAttributes = withTraceHeader(opts.SystemAttributes)
}

// withTraceHeader returns names with AWSTraceHeader among them.
func withTraceHeader(names []types.MessageSystemAttributeName) []types.MessageSystemAttributeName {
	if slices.Contains(names, types.MessageSystemAttributeNameAll) || slices.Contains(names, types.MessageSystemAttributeNameAWSTraceHeader) {
		return names
	}
	return append(slices.Clip(names), types.MessageSystemAttributeNameAWSTraceHeader)
}

func (c Config) tracer() trace.Tracer {
	provider := c.TracerProvider
	if provider == nil {
		provider = otel.GetTracerProvider()
	}
	return provider.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL))
}

func (c Config) meter() metric.Meter {
	provider := c.MeterProvider
	if provider == nil {
		provider = otel.GetMeterProvider()
	}
	return provider.Meter(scope, metric.WithSchemaURL(semconv.SchemaURL))
}

// w3c is what most producers send.
var w3c = propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})

// propagator returns the given propagator, or the one that nil means.
func propagator(given propagation.TextMapPropagator) propagation.TextMapPropagator {
	if given != nil {
		return given
	}
	if global := otel.GetTextMapPropagator(); len(global.Fields()) > 0 {
		return global
	}
	return w3c
}

// A queue is what telemetry says about where messages come from.
type queue struct {
	name, host string
	port       int // 0: it is not known
}

// queueOf returns the queue with the given URL. A URL that is none, which [sluice.New] refuses, is
// a queue of that name.
func queueOf(queueURL string) queue {
	u, err := url.Parse(queueURL)
	if err != nil {
		return queue{name: queueURL}
	}
	path := strings.TrimRight(u.Path, "/")
	q := queue{name: path[strings.LastIndexByte(path, '/')+1:], host: u.Hostname()}
	switch port, err := strconv.Atoi(u.Port()); {
	case err == nil:
		q.port = port
	case u.Scheme == "https":
		q.port = 443
	case u.Scheme == "http":
		q.port = 80
	}
	return q
}

// identity returns the attributes that spans and metrics share.
func (q queue) identity() []attribute.KeyValue {
	attributes := []attribute.KeyValue{semconv.MessagingSystemAWSSQS, semconv.MessagingDestinationName(q.name)}
	if q.host != "" {
		attributes = append(attributes, semconv.ServerAddress(q.host))
	}
	if q.host != "" && q.port != 0 {
		attributes = append(attributes, semconv.ServerPort(q.port))
	}
	return attributes
}
