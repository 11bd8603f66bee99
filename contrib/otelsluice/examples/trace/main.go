// Trace sends a message within a span and handles it in another one, of the same trace. It needs no
// account and no collector: the queue is in memory, and it prints the spans itself.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/contrib/otelsluice"
	"github.com/sluice-go/sluice/sqstest"
)

func main() {
	spans := tracetest.NewInMemoryExporter() // yours: otlptracehttp.New(ctx), and WithBatcher
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)))

	server := sqstest.New() // yours: sluice.NewClient(cfg), and the URL of your queue
	client, url := server.Client(), server.MustCreateQueue("orders", nil)

	// The producer.
	ctx, span := otel.Tracer("shop").Start(context.Background(), "checkout")
	in := &sqs.SendMessageInput{QueueUrl: &url, MessageBody: new(`{"order": 1}`)}
	otelsluice.Inject(ctx, in)
	if _, err := client.SendMessage(ctx, in); err != nil {
		log.Fatal(err)
	}
	span.End()

	// The consumer.
	opts := sluice.Options{MaxMessages: 1} // so that the program ends
	otelsluice.Install(&opts, url, otelsluice.Config{})
	consumer, err := sluice.New(client, url, opts)
	if err != nil {
		log.Fatal(err)
	}
	err = consumer.Run(context.Background(), func(ctx context.Context, _ []*sluice.Message) error {
		_, span := otel.Tracer("shop").Start(ctx, "insert")
		defer span.End()
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}

	for _, s := range spans.GetSpans() {
		fmt.Printf("trace %s  span %s  parent %s  %s\n", s.SpanContext.TraceID(), s.SpanContext.SpanID(), s.Parent.SpanID(), s.Name)
	}
}
