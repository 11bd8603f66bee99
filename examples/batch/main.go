// Command batch consumes a queue in batches: a batch is handed over when it has
// ten messages, or ten seconds after its first one, whichever comes first.
//
//	go run ./examples/batch                      an embedded SQS, fed with orders
//	go run ./examples/batch -queue-url URL       your queue, until Ctrl-C
//
// Look at process, which does something with one message, and at the Options: the
// batch size of 10 and the wait time of 10 s are all that tells this program from
// examples/async. Receiving until a batch is full, deleting after processing, and
// keeping messages hidden meanwhile are sluice's.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"slices"
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
		BatchSize: 10,
		WaitTime:  10 * time.Second,
		PollTime:  queue.PollTime,
		Hooks:     sluice.Hooks{Batch: report},
	})
	if err != nil {
		return err
	}

	ctx, end := context.WithCancel(ctx)
	fed := make(chan error, 1)
	go func() {
		rush := demo.Pauses(20, 200*time.Millisecond) // two batches that fill
		calm := demo.Pauses(4, 2*time.Second)         // one that does not
		fed <- queue.Feed(ctx, slices.Concat(rush, calm))
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
// otherwise it is received again, later, and the others of its batch are not.
func process(_ context.Context, m *sluice.Message) error {
	fmt.Printf("  %s\n", m.Body)
	return nil
}

// report tells of a batch after it was handled.
func report(e sluice.BatchEvent) {
	fmt.Printf("batch of %d, closed because: %s, filled in %.1f s\n", len(e.Messages), e.Reason, e.FillTime.Seconds())
}
