package sluice_test

import (
	"context"
	"fmt"
	"log"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

// counted is a client that counts the messages that are deleted. What it embeds
// makes the other calls.
type counted struct {
	sluice.Client

	deleted int
}

func (c *counted) DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput, optFns ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	out, err := c.Client.DeleteMessageBatch(ctx, in, optFns...) // with the options: they keep retries in one place
	if err == nil {
		c.deleted += len(out.Successful)
	}
	return out, err
}

// A client of one's own stands before the SDK's: to count, to trace, to slow down.
func ExampleClient() {
	server := sqstest.New()
	url := server.MustCreateQueue("orders", nil)
	server.Send(url, "coffee", "tea")

	client := &counted{Client: server.Client()}
	consumer, err := sluice.New(client, url, sluice.Options{BatchSize: 2, MaxMessages: 2})
	if err != nil {
		log.Fatal(err)
	}
	err = consumer.Run(context.Background(), func(context.Context, []*sluice.Message) error { return nil })
	fmt.Println("deleted:", client.deleted, "error:", err)
	// Output: deleted: 2 error: <nil>
}
