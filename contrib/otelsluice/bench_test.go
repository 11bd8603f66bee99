package otelsluice_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"

	"github.com/aws/smithy-go"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/contrib/otelsluice"
	"github.com/sluice-go/sluice/sqstest"
)

func apiError(code string) error { return &smithy.GenericAPIError{Code: code} }

// noops is a Config whose telemetry comes to nothing.
func noops() otelsluice.Config {
	return otelsluice.Config{TracerProvider: tracenoop.NewTracerProvider(), MeterProvider: metricnoop.NewMeterProvider()}
}

// sdk is a Config with the SDK, whose telemetry nobody reads.
func sdk(sampler sdktrace.Sampler) otelsluice.Config {
	return otelsluice.Config{
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSampler(sampler)),
		MeterProvider:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader())),
	}
}

// installed is a handler that does nothing, with telemetry.
func installed(cfg otelsluice.Config, size int) sluice.Handler {
	opts := sluice.Options{BatchSize: size}
	otelsluice.Install(&opts, "https://sqs.eu-central-1.amazonaws.com/123456789012/orders", cfg)
	return opts.Middleware[0](succeed)
}

// BenchmarkHandlerCall is what one call costs, without the handler.
func BenchmarkHandlerCall(b *testing.B) {
	for _, c := range []struct {
		name string
		cfg  otelsluice.Config
	}{
		{"noop", noops()},
		{"unset", otelsluice.Config{}}, // no SDK, and nobody has said so
		{"unsampled", sdk(sdktrace.NeverSample())},
		{"sampled", sdk(sdktrace.AlwaysSample())},
	} {
		for _, size := range []int{1, 100} {
			b.Run(fmt.Sprintf("%s/batch=%d", c.name, size), func(b *testing.B) {
				h, batch := installed(c.cfg, size), make([]*sluice.Message, size)
				for i := range batch {
					batch[i] = from(i)
				}
				b.ReportAllocs()
				for b.Loop() {
					_ = h(b.Context(), batch)
				}
			})
		}
	}
}

// BenchmarkConsumer is what a message costs, from the queue to its delete: the embedded queue and
// the consumer, without and with telemetry.
func BenchmarkConsumer(b *testing.B) {
	for _, c := range []struct {
		name string
		cfg  *otelsluice.Config
	}{{"plain", nil}, {"noop", new(noops())}, {"sampled", new(sdk(sdktrace.AlwaysSample()))}} {
		for _, size := range []int{1, 100} {
			b.Run(fmt.Sprintf("%s/batch=%d", c.name, size), func(b *testing.B) { consume(b, c.cfg, size) })
		}
	}
}

// consume lets a consumer handle b.N messages.
func consume(b *testing.B, cfg *otelsluice.Config, size int) {
	server := sqstest.New()
	url := server.MustCreateQueue("orders", nil)
	bodies := make([]string, b.N)
	for i := range bodies {
		bodies[i] = "order"
	}
	server.Send(url, bodies...)
	opts := sluice.Options{BatchSize: size, MaxMessages: b.N, Logger: slog.New(slog.DiscardHandler)}
	if cfg != nil {
		otelsluice.Install(&opts, url, *cfg)
	}
	consumer, err := sluice.New(server.Client(), url, opts)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	if err := consumer.Run(context.Background(), succeed); err != nil {
		b.Fatal(err)
	}
}
