// Example sends an order that SQS has no room for, and consumes the queue until it is empty. It
// needs a queue, QUEUE_URL, and a bucket, BUCKET.
package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/contrib/s3sluice"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := run(ctx)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	client, objects := sluice.NewClient(cfg), s3.NewFromConfig(cfg)
	queue, bucket := os.Getenv("QUEUE_URL"), os.Getenv("BUCKET")
	if err := send(ctx, client, queue, s3sluice.Store{Client: objects, Bucket: bucket, Prefix: "orders/"}); err != nil {
		return err
	}

	where := s3sluice.Options{Buckets: []string{bucket}, Prefix: "orders/"}
	fetch, err := s3sluice.Fetch(objects, where)
	if err != nil {
		return err
	}
	remove, err := s3sluice.NewDeleter(objects, where) // only if objects are to be deleted with their messages
	if err != nil {
		return err
	}
	consumer, err := sluice.New(client, queue, sluice.Options{
		Middleware: []func(sluice.Handler) sluice.Handler{fetch},
		Hooks:      sluice.Hooks{Settled: remove.Settled},
	})
	if err != nil {
		return err
	}
	err = consumer.Drain(ctx, sluice.Each(func(_ context.Context, m *sluice.Message) error {
		log.Printf("an order of %d bytes", len(m.Body))
		return nil
	}))
	remove.Wait()
	return err
}

// send sends an order of 3 MiB.
func send(ctx context.Context, client *sqs.Client, queue string, store s3sluice.Store) error {
	body, attributes, err := store.Put(ctx, strings.Repeat("tea, ", 3<<20/5), nil)
	if err != nil {
		return err
	}
	_, err = client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &queue, MessageBody: &body, MessageAttributes: attributes})
	return err
}
