// Package demo is what the examples need besides the library: a queue to consume.
// It is either the user's own or one in an embedded SQS, fed with events at a human
// pace. There is nothing in it to copy.
package demo

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

// A Queue is a queue to consume.
type Queue struct {
	Client   *sqs.Client // the real SDK client, for the embedded SQS too
	URL      string
	PollTime time.Duration // how long a receive should wait; the end of the example waits for it

	server *sqstest.Server // nil: the queue is the user's own
}

// Open returns the queue with the given URL, reached as the usual AWS environment
// says (AWS_REGION, AWS_PROFILE, AWS_ENDPOINT_URL and so on), or one in an embedded
// SQS if the URL is empty.
func Open(ctx context.Context, queueURL string) (*Queue, error) {
	if queueURL == "" {
		server := sqstest.New()
		return &Queue{
			Client: server.Client(), URL: server.MustCreateQueue("orders", nil), server: server,
			PollTime: time.Second,
		}, nil
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the AWS configuration: %w", err)
	}
	return &Queue{Client: sluice.NewClient(cfg), URL: queueURL, PollTime: 5 * time.Second}, nil
}

// Feed sends an event after each of the pauses to the embedded queue and returns
// when they have all been deleted. With a queue of the user's own it only waits
// until ctx is done.
func (q *Queue) Feed(ctx context.Context, pauses []time.Duration) error {
	if q.server == nil {
		fmt.Printf("consuming %s; Ctrl-C ends it as soon as the receive that waits at SQS is back, %v at most\n", q.URL, q.PollTime)
		<-ctx.Done()
		return nil
	}
	fmt.Printf("an embedded SQS is fed with %d orders, all will be over in less than 30 s\n", len(pauses))
	for i, pause := range pauses {
		if !sleep(ctx, pause) {
			return nil
		}
		if _, err := q.Client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &q.URL, MessageBody: new(order(i))}); err != nil {
			return fmt.Errorf("sending order %d: %w", i, err)
		}
	}
	for q.server.Stats().Total.Deleted < len(pauses) && sleep(ctx, 10*time.Millisecond) {
	}
	return nil
}

// sleep reports whether it slept to the end.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// Pauses returns n pauses around mean, as between customers.
func Pauses(n int, mean time.Duration) []time.Duration {
	pauses := make([]time.Duration, n)
	for i := range pauses {
		pauses[i] = mean/2 + rand.N(mean)
	}
	return pauses
}

func order(i int) string {
	goods := []string{"coffee", "tea", "a kettle", "two cups", "a filter", "a spoon"}
	return fmt.Sprintf(`{"order":%d,"item":%q,"cents":%d}`, 1000+i, goods[rand.N(len(goods))], 250+10*rand.N(400))
}

// Summary prints what a consumer did.
func Summary(s sluice.Stats) {
	calls := int64(0)
	for _, n := range s.Calls {
		calls += n
	}
	fmt.Printf("received %d, deleted %d, failed %d, with %d calls to SQS\n", s.Received, s.Deleted, s.Failed, calls)
}
