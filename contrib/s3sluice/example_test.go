package s3sluice_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/contrib/s3sluice"
	"github.com/sluice-go/sluice/sqstest"
)

// memory returns a client of an S3 in memory, with a bucket. A program of yours takes
// s3.NewFromConfig(cfg).
func memory() *s3.Client {
	client := clientOf("http://s3.test", inProcess{gofakes3.New(s3mem.New()).Server()})
	if _, err := client.CreateBucket(context.Background(), &s3.CreateBucketInput{Bucket: new(bucket)}); err != nil {
		log.Fatal(err)
	}
	return client
}

// A body of 3 MiB goes to the handler as if SQS had delivered it. Then its object is deleted.
func Example() {
	ctx, objects, server := context.Background(), memory(), sqstest.New()
	queue := server.MustCreateQueue("orders", nil)

	store := s3sluice.Store{Client: objects, Bucket: bucket}
	body, attributes, err := store.Put(ctx, strings.Repeat("tea", 1<<20), nil)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := server.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &queue, MessageBody: &body, MessageAttributes: attributes}); err != nil {
		log.Fatal(err)
	}
	fmt.Println("sent:", body[:50], "…")

	where := s3sluice.Options{Buckets: []string{bucket}}
	fetch, err := s3sluice.Fetch(objects, where)
	if err != nil {
		log.Fatal(err)
	}
	remove, err := s3sluice.NewDeleter(objects, where)
	if err != nil {
		log.Fatal(err)
	}
	consumer, err := sluice.New(server.Client(), queue, sluice.Options{
		Middleware:  []func(sluice.Handler) sluice.Handler{fetch},
		Hooks:       sluice.Hooks{Settled: remove.Settled},
		MaxMessages: 1, // so that the example ends
	})
	if err != nil {
		log.Fatal(err)
	}
	err = consumer.Run(ctx, sluice.Each(func(_ context.Context, m *sluice.Message) error {
		fmt.Println("handled:", len(m.Body), "bytes")
		return nil
	}))
	if err != nil {
		log.Fatal(err)
	}
	remove.Wait()
	left, err := objects.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: new(bucket)})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("objects left:", len(left.Contents))
	// Output:
	// sent: ["software.amazon.payloadoffloading.PayloadS3Point …
	// handled: 3145728 bytes
	// objects left: 0
}

// All that is wrong is said at once. Buckets must be chosen: a message may name any.
func ExampleFetch() {
	_, err := s3sluice.Fetch(memory(), s3sluice.Options{MaxBytes: -1})
	fmt.Println(err)
	// Output:
	// s3sluice: Buckets is empty, want the buckets that payloads may lie in
	// s3sluice: MaxBytes is -1, want at least 1
}

// Small bodies stay in their messages.
func ExampleStore_Put() {
	store := s3sluice.Store{Client: memory(), Bucket: bucket, Over: 10}
	for _, order := range []string{"tea", "coffee and a kettle"} {
		body, attributes, err := store.Put(context.Background(), order, nil)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(body == order, len(attributes))
	}
	// Output:
	// true 0
	// false 1
}

// A Deleter is a hook: it hears what SQS has confirmed.
func ExampleDeleter() {
	remove, err := s3sluice.NewDeleter(memory(), s3sluice.Options{Buckets: []string{bucket}})
	if err != nil {
		log.Fatal(err)
	}
	opts := sluice.Options{Hooks: sluice.Hooks{Batch: func(e sluice.BatchEvent) { log.Println(e.Duration) }}}
	opts.Hooks = opts.Hooks.And(sluice.Hooks{Settled: remove.Settled})
	fmt.Println(opts.Hooks.Settled != nil)
	// Output: true
}
