// Command batch consumes a queue in batches: a batch is handed over when it has ten messages, or ten
// seconds after its first one, whichever comes first.
//
//	go run ./examples/batch                  an embedded SQS, fed with orders for less than half a minute
//	go run ./examples/batch -queue-url URL   your queue, until Ctrl-C
//
// Look at process, which does something with a batch, and at the Options: the batch size of 10 and the
// wait time of 10 s are what tells this program from examples/async. Receiving until a batch is full,
// deleting after processing, and keeping messages hidden meanwhile are sluice's.
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
	"sync"
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
		BatchSize: 10,
		WaitTime:  10 * time.Second,
		PollTime:  time.Second, // the end of the program waits for a receive that is out
		Hooks:     sluice.Hooks{Batch: report},
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
	sayf("an embedded SQS is fed with %d orders: %d in a rush, and %d when the shop is calm", rush+calm, rush, calm)
	return consume(ctx, server.Client(), queueURL, options)
}

// consume is all that there is to consuming a queue.
func consume(ctx context.Context, client *sqs.Client, queueURL string, options sluice.Options) error {
	consumer, err := sluice.New(client, queueURL, options)
	if err != nil {
		return err
	}
	sayf("consuming %s; Ctrl-C ends it", queueURL)
	go watch(ctx, consumer)
	if err := consumer.Run(ctx, process); err != nil {
		return err
	}
	s := consumer.Stats()
	sayf("received %d, deleted %d, failed %d, in %d batches", s.Received, s.Deleted, s.Failed, batches(s))
	return nil
}

// process does something with a batch. Its messages are deleted when process returns nil; otherwise
// they are received again, later. An error may name one of them, by sluice.Failed.
func process(_ context.Context, batch []*sluice.Message) error {
	for _, m := range batch {
		sayf("  %s, sent %4.1f s ago", m.Body, time.Since(m.SentAt).Seconds())
	}
	return nil
}

// report tells of a batch after it was handled.
func report(e sluice.BatchEvent) {
	sayf("a batch of %d, handed over because of: %s, filled in %.1f s", len(e.Messages), e.Reason, e.FillTime.Seconds())
}

func batches(s sluice.Stats) (n int64) {
	for _, of := range s.Batches {
		n += of
	}
	return n
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

const (
	rush = 20 // orders that come fast: two batches that fill
	calm = 4  // orders that come slowly: a batch whose wait time ends
)

// feed sends orders, with pauses as between customers, and returns when all have been deleted.
func feed(ctx context.Context, server *sqstest.Server, queueURL string) {
	goods := []string{"coffee", "tea", "a kettle", "two cups", "a filter", "a spoon"}
	for i := range rush + calm {
		pause := 200 * time.Millisecond
		if i >= rush {
			pause = 2 * time.Second
		}
		time.Sleep(pause/2 + rand.N(pause))
		if ctx.Err() != nil {
			return
		}
		server.Send(queueURL, fmt.Sprintf(`{"order":%d,"item":%q}`, 1000+i, goods[rand.N(len(goods))]))
	}
	for server.Stats().Total.Deleted < rush+calm && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
}

// printing keeps lines and the line of watch apart.
var printing sync.Mutex

// sayf prints a line with the time since the beginning.
func sayf(format string, args ...any) {
	printing.Lock()
	defer printing.Unlock()
	fmt.Printf("%s%6.2f s  %s\n", clearLine(), time.Since(began).Seconds(), fmt.Sprintf(format, args...))
}

// watch keeps a line on a terminal that shows the batch that fills.
func watch(ctx context.Context, consumer *sluice.Consumer) {
	for clearLine() != "" && ctx.Err() == nil {
		printing.Lock()
		fmt.Printf("%s%6.2f s  %d of 10 messages in hand", clearLine(), time.Since(began).Seconds(), consumer.Stats().InFlight)
		printing.Unlock()
		time.Sleep(100 * time.Millisecond)
	}
}

// clearLine clears the line of a terminal. It is "" where there is none.
var clearLine = sync.OnceValue(func() string {
	if out, err := os.Stdout.Stat(); err != nil || out.Mode()&os.ModeCharDevice == 0 {
		return ""
	}
	return "\r\x1b[K"
})
