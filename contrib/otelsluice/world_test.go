package otelsluice_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/contrib/otelsluice"
	"github.com/sluice-go/sluice/sqstest"
)

// A world is a queue, and what becomes of the telemetry about it.
type world struct {
	*testing.T

	server *sqstest.Server
	url    string
	spans  *tracetest.SpanRecorder
	reader *sdkmetric.ManualReader
	cfg    otelsluice.Config
	ctx    context.Context // of calls
	order  []string        // bodies, as they were handled
}

// tell tells a story in virtual time.
func tell(t *testing.T, story func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { story(newWorld(t)) })
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, server: sqstest.New(), spans: tracetest.NewSpanRecorder(), reader: sdkmetric.NewManualReader()}
	w.url = w.server.MustCreateQueue("orders", nil)
	w.ctx = t.Context()
	w.cfg = otelsluice.Config{
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(w.spans)),
		MeterProvider:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(w.reader)),
	}
	return w
}

// consumer makes a consumer with telemetry.
func (w *world) consumer(opts sluice.Options) *sluice.Consumer {
	opts.Logger = slog.New(slog.DiscardHandler)
	otelsluice.Install(&opts, w.url, w.cfg)
	c, err := sluice.New(w.server, w.url, opts)
	require.NoError(w, err)
	return c
}

// drain handles all that is in the queue.
func (w *world) drain(opts sluice.Options, h sluice.Handler) {
	require.NoError(w, w.consumer(opts).Drain(w.Context(), h))
}

// call makes one handler call with the middleware that Install has added.
func (w *world) call(opts sluice.Options, h sluice.Handler, batch ...*sluice.Message) error {
	otelsluice.Install(&opts, w.url, w.cfg)
	return opts.Middleware[len(opts.Middleware)-1](h)(w.ctx, batch)
}

// send sends a message with attributes of the type String.
func (w *world) send(body string, attributes map[string]string) {
	_, err := w.server.SendMessage(w.Context(), &sqs.SendMessageInput{QueueUrl: &w.url, MessageBody: &body, MessageAttributes: texts(attributes)})
	require.NoError(w, err)
}

// span returns the only span of a name.
func (w *world) span(name string) sdktrace.ReadOnlySpan {
	spans := w.named(name)
	require.Len(w, spans, 1, "spans %q", name)
	return spans[0]
}

func (w *world) named(name string) (spans []sdktrace.ReadOnlySpan) {
	for _, s := range w.spans.Ended() {
		if s.Name() == name {
			spans = append(spans, s)
		}
	}
	return spans
}

// metrics returns all metrics, by name.
func (w *world) metrics() map[string]metricdata.Metrics {
	var all metricdata.ResourceMetrics
	require.NoError(w, w.reader.Collect(w.Context(), &all))
	byName := map[string]metricdata.Metrics{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			byName[m.Name] = m
		}
	}
	return byName
}

func texts(attributes map[string]string) map[string]types.MessageAttributeValue {
	m := map[string]types.MessageAttributeValue{}
	for name, value := range attributes {
		m[name] = types.MessageAttributeValue{DataType: new("String"), StringValue: &value}
	}
	return m
}

// producer returns the context of the n-th producer, whose span is sampled.
func producer(n int) trace.SpanContext {
	var c trace.SpanContextConfig
	copy(c.TraceID[:], fmt.Sprintf("trace %09d.", n))
	copy(c.SpanID[:], fmt.Sprintf("%07d.", n))
	c.TraceFlags = trace.FlagsSampled
	return trace.NewSpanContext(c)
}

// traceparent returns the n-th producer as W3C writes it.
func traceparent(n int) string {
	c := producer(n)
	return fmt.Sprintf("00-%s-%s-01", c.TraceID(), c.SpanID())
}

// traceHeader returns the n-th producer as X-Ray writes it.
func traceHeader(n int) string {
	c := producer(n)
	id := c.TraceID().String()
	return fmt.Sprintf("Root=1-%s-%s;Parent=%s;Sampled=1", id[:8], id[8:], c.SpanID())
}

// from is a message of the n-th producer.
func from(n int) *sluice.Message {
	return &sluice.Message{ID: fmt.Sprint("m", n), Attributes: texts(map[string]string{"traceparent": traceparent(n)})}
}

// requireProducer requires that a span context is of the n-th producer.
func requireProducer(t require.TestingT, n int, c trace.SpanContext) {
	require.Equal(t, producer(n).TraceID(), c.TraceID())
	require.Equal(t, producer(n).SpanID(), c.SpanID())
	require.True(t, c.IsRemote())
}

func succeed(context.Context, []*sluice.Message) error { return nil }

// attributesOf writes attributes as lines, in their order.
func attributesOf(attributes []attribute.KeyValue) string {
	set := attribute.NewSet(attributes...)
	var b strings.Builder
	for iter := set.Iter(); iter.Next(); {
		kv := iter.Attribute()
		fmt.Fprintf(&b, "%s = %s\n", kv.Key, kv.Value.String())
	}
	return b.String()
}

// ambient is a context with a span, as that of a main function.
func ambient(t *testing.T) context.Context {
	t.Helper()
	return trace.ContextWithSpanContext(t.Context(), producer(99))
}
