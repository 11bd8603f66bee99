// Command async consumes a queue event by event: each message is handled as soon as it arrives.
//
//	go run ./examples/async                  an embedded SQS, fed with orders for some ten seconds
//	go run ./examples/async -queue-url URL   your queue, until Ctrl-C
//
// Look at process, which does something with one message, and at the Options: the batch size of 1 is
// all that tells this program from examples/batch. Receiving, deleting after processing, and keeping
// messages hidden meanwhile are sluice's.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

var began = time.Now()

func main() {
	queueURL := flag.String("queue-url", "", "`URL` of the queue to consume; empty: one in an embedded SQS")
	endpoint := flag.String("endpoint", "", "`address` of SQS, such as http://127.0.0.1:9324; empty: that of the queue's region")
	flag.Parse()
	log.SetFlags(0)
	if err := run(*queueURL, *endpoint); err != nil {
		log.Fatal(err)
	}
}

func run(queueURL, endpoint string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once

	options := sluice.Options{
		BatchSize: 1,           // the default: handle each event as soon as it arrives
		PollTime:  time.Second, // the end of the program waits for a receive that is out
		Logger:    slog.New(slog.DiscardHandler),
	}
	if queueURL != "" {
		client, err := connect(ctx, endpoint)
		if err != nil {
			return err
		}
		return consume(ctx, client, queueURL, options)
	}

	server := sqstest.New()
	queueURL = server.MustCreateQueue("orders", nil)
	ctx, end := context.WithCancel(ctx)
	go func() {
		defer end() // Run finishes what it holds and returns
		feed(ctx, server, queueURL)
	}()
	sayf("an embedded SQS is fed with %d orders", orders)
	return consume(ctx, server.Client(), queueURL, options)
}

// consume is all that there is to consuming a queue.
func consume(ctx context.Context, client *sqs.Client, queueURL string, options sluice.Options) error {
	consumer, err := sluice.New(client, queueURL, options)
	if err != nil {
		return err
	}
	sayf("consuming %s; Ctrl-C ends it", queueURL)
	if err := consumer.Run(ctx, sluice.Each(process)); err != nil {
		return err
	}
	s := consumer.Stats()
	sayf("received %d, deleted %d, failed %d", s.Received, s.Deleted, s.Failed)
	return nil
}

// process does something with a message. It is deleted when process returns nil; otherwise it is
// received again, later.
func process(_ context.Context, m *sluice.Message) error {
	sayf("handled %3d ms after it was sent: %s", time.Since(m.SentAt).Milliseconds(), m.Body)
	return nil
}

// connect returns a client for the queues of the usual AWS environment: AWS_REGION, AWS_PROFILE and so on.
func connect(ctx context.Context, endpoint string) (*sqs.Client, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the AWS configuration: %w", err)
	}
	if endpoint != "" {
		cfg.BaseEndpoint = &endpoint
	}
	return sluice.NewClient(cfg), nil
}

const orders = 25

// feed sends orders, with pauses as between customers, and returns when all have been deleted.
func feed(ctx context.Context, server *sqstest.Server, queueURL string) {
	goods := []string{"coffee", "tea", "a kettle", "two cups", "a filter", "a spoon"}
	for i := range orders {
		time.Sleep(200*time.Millisecond + rand.N(400*time.Millisecond))
		if ctx.Err() != nil {
			return
		}
		server.Send(queueURL, fmt.Sprintf(`{"order":%d,"item":%q}`, 1000+i, goods[rand.N(len(goods))]))
	}
	for server.Stats().Total.Deleted < orders && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
}

// sayf prints a line with the time since the beginning.
func sayf(format string, args ...any) {
	fmt.Printf("%6.2f s  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
}
