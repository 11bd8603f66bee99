// Command async consumes a queue event by event: each message is handled as soon
// as it arrives.
//
//	go run ./examples/async                      an embedded SQS, fed with orders
//	go run ./examples/async -queue-url URL       your queue, until Ctrl-C
//
// Look at process, which does something with one message, and at the Options: the
// batch size of 1 is all that tells this program from examples/batch. Receiving,
// deleting after processing, and keeping messages hidden meanwhile are sluice's.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/examples/internal/demo"
)

func main() {
	queueURL := flag.String("queue-url", "", "URL of the queue to consume; empty: one in an embedded SQS")
	flag.Parse()
	log.SetFlags(0)
	if err := run(*queueURL); err != nil {
		log.Fatal(err)
	}
}

func run(queueURL string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	queue, err := demo.Open(ctx, queueURL)
	if err != nil {
		return err
	}
	consumer, err := sluice.New(queue.Client, queue.URL, sluice.Options{
		BatchSize: 1, // the default: handle each event as soon as it arrives
		PollTime:  queue.PollTime,
	})
	if err != nil {
		return err
	}

	ctx, end := context.WithCancel(ctx)
	fed := make(chan error, 1)
	go func() {
		fed <- queue.Feed(ctx, demo.Pauses(25, 400*time.Millisecond))
		end() // Run finishes what it holds and returns
	}()
	if err := consumer.Run(ctx, sluice.Each(process)); err != nil {
		return err
	}
	demo.Summary(consumer.Stats())
	end()
	return <-fed
}

// process does something with a message. It is deleted when process returns nil;
// otherwise it is received again, later.
func process(_ context.Context, m *sluice.Message) error {
	fmt.Printf("handled %3d ms after it was sent: %s\n", time.Since(m.SentAt).Milliseconds(), m.Body)
	return nil
}
