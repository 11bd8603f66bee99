package main

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

// queues are where the parts of the system meet.
type queues struct {
	client     *sqs.Client
	events     string // URL: transactions from the gateway, to be staged
	settlement string // URL: staged transactions, to be settled
}

// connect finds the queues: those of the flags, reached as the AWS environment
// says, or two in this process, which end with it.
func connect(ctx context.Context, s *settings) (*queues, error) {
	if s.events == "" {
		return embedded(sqstest.New()), nil
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the AWS configuration: %w", err)
	}
	if s.endpoint != "" {
		cfg.BaseEndpoint = &s.endpoint
	}
	return &queues{sluice.NewClient(cfg), s.events, s.settlement}, nil
}

// embedded makes the queues as one would make them at AWS: what failed five times
// is set aside in a dead-letter queue, not lost.
func embedded(account *sqstest.Server) *queues {
	withDead := func(name string) string {
		account.MustCreateQueue(name+"-dead", nil)
		return account.MustCreateQueue(name, map[string]string{
			"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:` + name + `-dead","maxReceiveCount":5}`,
		})
	}
	return &queues{account.Client(), withDead("card-events"), withDead("card-settlement")}
}
