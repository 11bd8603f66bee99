// Gocloud is the consumer's process of go-cloud's portable subscription.
package main

import (
	"context"
	"fmt"
	"os"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"gocloud.dev/pubsub"
	"gocloud.dev/pubsub/awssnssqs"

	"github.com/sluice-go/sluice/bench/child"
)

func main() {
	if err := child.Run(os.Getenv(child.Variable), map[string]child.Peer{"go-cloud": consume}); err != nil {
		fmt.Fprintln(os.Stderr, "gocloud:", err)
		os.Exit(1)
	}
}

// consume is go-cloud's portable subscription with its own defaults.
func consume(ctx context.Context, client *sqs.Client, spec *child.Spec, w *child.Work) error {
	sub := awssnssqs.OpenSubscription(ctx, client, spec.QueueURL, &awssnssqs.SubscriptionOptions{})
	var wg sync.WaitGroup
	errs := make(chan error, spec.Handlers)
	for range spec.Handlers {
		wg.Go(func() { errs <- receive(ctx, sub, w) })
	}
	wg.Wait()
	return fmt.Errorf("go-cloud: %w", <-errs)
}

func receive(ctx context.Context, sub *pubsub.Subscription, w *child.Work) error {
	for {
		m, err := sub.Receive(ctx)
		if err != nil {
			return err
		}
		w.Do(string(m.Body))
		m.Ack()
	}
}
