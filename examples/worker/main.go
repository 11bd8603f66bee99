// Command worker is a consumer for production, to copy: JSON orders go in batches into a database,
// with dead letters, health endpoints, metrics, traces, a live page, and a stop that loses nothing.
//
//	go run ./examples/worker                                  an embedded SQS that feeds itself, and a link to the page
//	ORDERS_QUEUE_URL=https://sqs… ORDERS_BATCH_SIZE=500 worker   your queue
//	worker -healthcheck                                       asks the one that runs, for images without a shell
//
// All flags can be set by the environment: -wait-time by ORDERS_WAIT_TIME. A variable that is misspelt
// is an error. Traces go to OTEL_EXPORTER_OTLP_ENDPOINT, if that is set.
//
// The files: main.go wires the parts and ends them in order, settings.go has the flags, orders.go the handler,
// web.go what people and machines look at, feed.go the queue of the trial. The folder deploy has what the
// cloud needs: an image, manifests, policies and alarms.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/contrib/otelsluice"
	"github.com/sluice-go/sluice/contrib/promsluice"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	err := run(ctx, os.Args[1:], os.Environ(), os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.Is(err, sluice.ErrShutdown):
		fmt.Fprintln(os.Stderr, "worker:", err) // it has stopped as it was told, and says what comes back
	case err != nil:
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
}

// run is the whole program. Its parts begin in this order and end in the opposite one: the consumer
// finishes what it holds while the database, the endpoints and the exporters are still there.
func run(ctx context.Context, args, environ []string, log io.Writer) (err error) {
	s, err := parse(args, environ, log)
	if err != nil {
		return err
	}
	if s.healthcheck {
		return checkHealth(ctx, s.listen)
	}
	logger := slog.New(slog.NewJSONHandler(log, nil))

	flush, err := traces(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, flush()) }()

	db, err := open(ctx, s.db)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()

	queue, err := connect(ctx, s)
	if err != nil {
		return err
	}
	metrics := promsluice.New()
	consumer, err := newConsumer(queue, s, metrics, logger)
	if err != nil {
		return err
	}
	report(ctx, consumer, logger)

	web, err := serve(ctx, s.listen, metrics, consumer)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, web.close()) }()
	logger.Info("the worker runs", "page", web.url)

	go queue.feed(ctx)
	return consumer.Run(ctx, insert(db))
}

// newConsumer returns a consumer that can be watched.
func newConsumer(q *queue, s *settings, metrics *promsluice.Metrics, logger *slog.Logger) (*sluice.Consumer, error) {
	options := s.options
	options.Logger = logger
	metrics.Install(&options, q.url)
	otelsluice.Install(&options, q.url, otelsluice.Config{})
	consumer, err := sluice.New(q.client, q.url, options)
	if err != nil {
		return nil, err
	}
	metrics.Watch(consumer)
	return consumer, nil
}

// report logs what is likely to be wrong with the queue's settings. It is no reason not to run.
func report(ctx context.Context, consumer *sluice.Consumer, logger *slog.Logger) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	findings, err := consumer.Preflight(ctx)
	if err != nil {
		logger.Warn("the queue's settings were not looked at", "error", err)
	}
	for _, f := range findings {
		logger.Warn("a setting of the queue", "finding", f.Text, "fatal", f.Fatal)
	}
}
