package otelsluice_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/contrib/otelsluice"
	"github.com/sluice-go/sluice/sqstest"
)

// A batch of two messages, one of which fails. A program of yours has an exporter that sends
// spans to a collector, and mostly a global provider.
func Example() {
	spans := tracetest.NewInMemoryExporter()
	cfg := otelsluice.Config{TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))}
	server := sqstest.New()
	url := server.MustCreateQueue("orders", nil)
	server.Send(url, "first", "second")

	opts := sluice.Options{BatchSize: 2, MaxMessages: 2, Logger: slog.New(slog.DiscardHandler)}
	otelsluice.Install(&opts, url, cfg)
	consumer, err := sluice.New(server.Client(), url, opts)
	if err != nil {
		log.Fatal(err)
	}
	err = consumer.Run(context.Background(), func(_ context.Context, batch []*sluice.Message) error {
		return sluice.Failed(batch[1], errors.New("out of stock"))
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, s := range spans.GetSpans() {
		fmt.Println(s.SpanKind, "span:", s.Name)
		fmt.Println("status:", s.Status.Code, s.Status.Description)
	}
	// Output:
	// consumer span: process orders
	// status: Error 1 of 2 messages failed
}

// A producer puts its span into the message. Its consumer goes on with the trace, in any language.
func ExampleInject() {
	ctx, span := sdktrace.NewTracerProvider().Tracer("shop").Start(context.Background(), "checkout")
	defer span.End()
	in := &sqs.SendMessageInput{MessageBody: new("order 1")} // and the URL of the queue
	otelsluice.Inject(ctx, in)
	fmt.Println(len(*in.MessageAttributes["traceparent"].StringValue), "bytes of traceparent")
	// Output: 55 bytes of traceparent
}

// Gauges are read from the consumer whenever metrics are collected.
func ExampleObserve() {
	reader := sdkmetric.NewManualReader() // yours: sdkmetric.NewPeriodicReader(exporter)
	cfg := otelsluice.Config{MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))}
	server := sqstest.New()
	url := server.MustCreateQueue("orders", nil)
	server.Send(url, "first")
	consumer, err := sluice.New(server.Client(), url, sluice.Options{MaxMessages: 1})
	if err != nil {
		log.Fatal(err)
	}
	registration, err := otelsluice.Observe(consumer, cfg)
	if err != nil {
		log.Print(err)
		return
	}
	defer func() { _ = registration.Unregister() }()

	err = consumer.Run(context.Background(), func(context.Context, []*sluice.Message) error { return nil })
	fmt.Println("error:", err)
	var all metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &all); err != nil {
		log.Print(err)
	}
	for _, m := range all.ScopeMetrics[0].Metrics {
		if m.Name == "sluice.in_flight.messages" {
			fmt.Println(m.Name, m.Data.(metricdata.Gauge[float64]).DataPoints[0].Value)
		}
	}
	// Output:
	// error: <nil>
	// sluice.in_flight.messages 0
}
