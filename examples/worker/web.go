package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/ops"
)

// A web is what people and machines look at: one port for health, metrics and the page.
type web struct {
	url    string
	server *http.Server
	ended  chan error
}

// serve begins to serve. What it shows has names of queues and texts of errors, so that only the team and
// the cluster should reach it.
func serve(ctx context.Context, address string, metrics prometheus.Collector, consumer *sluice.Consumer) (*web, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("-listen is %q: %w", address, err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	page, mux, health := ops.Page(consumer), http.NewServeMux(), ops.Health(consumer)
	mux.Handle("/livez", health)
	mux.Handle("/readyz", health)
	mux.Handle("/statusz", health)
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.Handle("/", page)
	w := &web{
		url:    "http://" + listener.Addr().String() + "/",
		server: &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second},
		ended:  make(chan error, 1),
	}
	w.server.RegisterOnShutdown(page.Close)
	go page.Record(ctx)
	go func() { w.ended <- w.server.Serve(listener) }()
	return w, nil
}

// patience is how long the parts around the consumer may take to end.
const patience = time.Second

// close ends the answers that are under way, and serves no more.
func (w *web) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := w.server.Shutdown(ctx)
	if served := <-w.ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// checkHealth asks the worker at an address whether it is alive.
func checkHealth(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/livez", nil)
	if err != nil {
		return fmt.Errorf("-listen is %q: %w", address, err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("/livez says %s", answer.Status)
	}
	return nil
}

// traces sets OpenTelemetry up and returns what sends the last spans. Without an endpoint in the
// environment there are none.
func traces(ctx context.Context) (flush func() error, err error) {
	otel.SetTextMapPropagator(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}))
	if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" {
		return func() error { return nil }, nil
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("setting up traces: %w", err)
	}
	provider := trace.NewTracerProvider(trace.WithBatcher(exporter))
	otel.SetTracerProvider(provider)
	return func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		return provider.Shutdown(ctx)
	}, nil
}
