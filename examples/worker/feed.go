package main

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

// A queue is where the orders come from.
type queue struct {
	client *sqs.Client
	url    string
	feed   func(ctx context.Context) // sends orders until ctx is done, if the queue is an embedded one
}

// connect returns the queue of the settings, or an embedded one that is set as one should be at AWS.
func connect(ctx context.Context, s *settings) (*queue, error) {
	if s.queueURL == "" {
		return trial(s), nil
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the AWS configuration: %w", err)
	}
	if s.endpoint != "" {
		cfg.BaseEndpoint = &s.endpoint
	}
	return &queue{client: sluice.NewClient(cfg), url: s.queueURL, feed: func(context.Context) {}}, nil
}

func trial(s *settings) *queue {
	server := sqstest.New()
	s.options.DeadLetterQueueURL = server.MustCreateQueue("orders-dead", map[string]string{"MessageRetentionPeriod": "1209600"})
	if s.options.PollTime == 0 {
		s.options.PollTime = 2 * time.Second // a stop waits for it
	}
	url := server.MustCreateQueue("orders", map[string]string{
		"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:orders-dead","maxReceiveCount":5}`,
	})
	q := &queue{client: server.Client(), url: url}
	q.feed = func(ctx context.Context) {
		for n := 1; ctx.Err() == nil; n++ {
			server.Send(url, fmt.Sprintf(`{"id":"A%d","item":%q,"cents":%d}`, n, goods[rand.N(len(goods))], rand.N(500)-5)) // some cost nothing, and are hopeless
			time.Sleep(rand.N(40 * time.Millisecond))
		}
	}
	return q
}

var goods = []string{"coffee", "tea", "a kettle", "two cups", "a filter", "a spoon"}
