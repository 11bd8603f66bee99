package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"gocloud.dev/pubsub"
	"gocloud.dev/pubsub/awssnssqs"

	"github.com/sluice-go/sluice"
)

// A peer consumes until the process ends.
type peer func(ctx context.Context, client *sqs.Client, spec *Spec, w *work) error

// peers in Go, by name. The one in JavaScript is in the folder node.
var peers = map[string]peer{
	"sluice":       consumeSluice,
	"article":      consumeArticle,
	"expert":       consumeExpert,
	"expert-inner": consumeExpertInner,
	"go-cloud":     consumeGoCloud,
}

// newClient returns the client that all peers in Go share: the SDK's own, with idle connections
// for as many calls as a peer makes at once, since with the SDK's ten it would be reconnecting
// that is compared. All else is stock, retries included.
func newClient(endpoint string) *sqs.Client {
	cfg := aws.Config{
		Region:       "us-east-1",
		Credentials:  credentials.NewStaticCredentialsProvider("bench", "bench", ""),
		BaseEndpoint: &endpoint,
		HTTPClient: awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
			t.MaxIdleConns, t.MaxIdleConnsPerHost = 0, 1024
		}),
	}
	return sqs.NewFromConfig(cfg)
}

func consumeSluice(ctx context.Context, client *sqs.Client, spec *Spec, w *work) error {
	c, err := sluice.New(client, spec.QueueURL, sluice.Options{
		BatchSize: spec.Batch, Concurrency: spec.Handlers, DeleteLinger: spec.Linger,
	})
	if err != nil {
		return err
	}
	return c.Run(ctx, func(_ context.Context, batch []*sluice.Message) error {
		if len(batch) == 1 {
			w.do(batch[0].Body)
			return nil
		}
		bodies := make([]string, len(batch))
		for i, m := range batch {
			bodies[i] = m.Body
		}
		w.do(bodies...)
		return nil
	})
}

const longestPoll = 20 // seconds

func receive(ctx context.Context, client *sqs.Client, url string) ([]types.Message, error) {
	out, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &url, MaxNumberOfMessages: 10, WaitTimeSeconds: longestPoll,
	})
	if err != nil {
		return nil, err
	}
	return out.Messages, nil
}

// consumeArticle is the loop of every article about SQS: receive, handle one by one, delete one by one.
func consumeArticle(ctx context.Context, client *sqs.Client, spec *Spec, w *work) error {
	for ctx.Err() == nil {
		messages, err := receive(ctx, client, spec.QueueURL)
		if err != nil {
			continue // the SDK has waited and tried again
		}
		for _, m := range messages {
			w.do(*m.Body)
			_, _ = client.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &spec.QueueURL, ReceiptHandle: m.ReceiptHandle})
		}
	}
	return ctx.Err()
}

// consumeExpert is what somebody writes who knows the bill: as many receivers as handlers, and
// each receives ten, handles them one after the other, and deletes them in one call.
func consumeExpert(ctx context.Context, client *sqs.Client, spec *Spec, w *work) error {
	return expert(ctx, client, spec, spec.Handlers, func(messages []types.Message) {
		for _, m := range messages {
			w.do(*m.Body)
		}
	})
}

// consumeExpertInner handles the ten of a batch at once, and so has a tenth of the receivers.
func consumeExpertInner(ctx context.Context, client *sqs.Client, spec *Spec, w *work) error {
	return expert(ctx, client, spec, (spec.Handlers+9)/10, func(messages []types.Message) {
		var wg sync.WaitGroup
		for _, m := range messages {
			wg.Go(func() { w.do(*m.Body) })
		}
		wg.Wait()
	})
}

func expert(ctx context.Context, client *sqs.Client, spec *Spec, receivers int, handle func([]types.Message)) error {
	var wg sync.WaitGroup
	for range receivers {
		wg.Go(func() {
			for ctx.Err() == nil {
				messages, err := receive(ctx, client, spec.QueueURL)
				if err != nil || len(messages) == 0 {
					continue
				}
				handle(messages)
				deleteAll(ctx, client, spec.QueueURL, messages)
			}
		})
	}
	wg.Wait()
	return ctx.Err()
}

func deleteAll(ctx context.Context, client *sqs.Client, url string, messages []types.Message) {
	entries := make([]types.DeleteMessageBatchRequestEntry, len(messages))
	for i, m := range messages {
		id := strconv.Itoa(i)
		entries[i] = types.DeleteMessageBatchRequestEntry{Id: &id, ReceiptHandle: m.ReceiptHandle}
	}
	_, _ = client.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: entries})
}

// consumeGoCloud is go-cloud's portable subscription with its own defaults.
func consumeGoCloud(ctx context.Context, client *sqs.Client, spec *Spec, w *work) error {
	sub := awssnssqs.OpenSubscription(ctx, client, spec.QueueURL, &awssnssqs.SubscriptionOptions{})
	var wg sync.WaitGroup
	errs := make(chan error, spec.Handlers)
	for range spec.Handlers {
		wg.Go(func() { errs <- receiveGoCloud(ctx, sub, w) })
	}
	wg.Wait()
	return fmt.Errorf("go-cloud: %w", <-errs)
}

func receiveGoCloud(ctx context.Context, sub *pubsub.Subscription, w *work) error {
	for {
		m, err := sub.Receive(ctx)
		if err != nil {
			return err
		}
		w.do(string(m.Body))
		m.Ack()
	}
}
