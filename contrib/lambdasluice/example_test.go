package lambdasluice_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/contrib/lambdasluice"
	"github.com/sluice-go/sluice/sqstest"
)

// An order is what the queue of these examples is about.
type order struct {
	ID    int `json:"id"`
	Cents int `json:"cents"`
}

// An event with three orders, of which the second cannot be booked. In a function, lambda.Start calls
// fn.
func Example() {
	fn := lambdasluice.Handler(sluice.JSON(func(_ context.Context, o order) error {
		if o.Cents < 0 {
			return fmt.Errorf("order %d has %d cents", o.ID, o.Cents)
		}
		return nil
	}), lambdasluice.Options{Logger: slog.New(slog.DiscardHandler)})

	var event events.SQSEvent
	err := json.Unmarshal([]byte(`{"Records":[
		{"messageId":"m1","body":"{\"id\":1,\"cents\":250}","eventSource":"aws:sqs"},
		{"messageId":"m2","body":"{\"id\":2,\"cents\":-10}","eventSource":"aws:sqs"},
		{"messageId":"m3","body":"{\"id\":3,\"cents\":990}","eventSource":"aws:sqs"}]}`), &event)
	if err != nil {
		log.Fatal(err)
	}
	report, err := fn(context.Background(), event)
	if err != nil {
		log.Fatal(err)
	}
	text, err := json.Marshal(report)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(text))
	// Output: {"batchItemFailures":[{"itemIdentifier":"m2"}]}
}

// With a client, RetryAfter and DeadLetter are carried out too.
func ExampleOptions() {
	server := sqstest.New() // a function of yours takes sqs.NewFromConfig(cfg)
	queue, dead := server.MustCreateQueue("orders", nil), server.MustCreateQueue("orders-dead", nil)
	server.Send(queue, "busy", "broken")

	fn := lambdasluice.Handler(sluice.Each(func(_ context.Context, m *sluice.Message) error {
		if m.Body == "busy" {
			return sluice.RetryAfter(time.Minute, errors.New("the bank is busy"))
		}
		return sluice.DeadLetter(errors.New("no such customer"))
	}), lambdasluice.Options{
		Client:             server.Client(),
		DeadLetterQueueURL: dead,
		Logger:             slog.New(slog.DiscardHandler),
	})

	report, err := fn(context.Background(), received(server, queue))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("reported:", len(report.BatchItemFailures))
	fmt.Println("in the dead-letter queue:", server.Messages(dead)[0].Body)
	// Output:
	// reported: 1
	// in the dead-letter queue: broken
}

// received returns what Lambda makes of the messages of a queue.
func received(server *sqstest.Server, queue string) (event events.SQSEvent) {
	out, err := server.ReceiveMessage(context.Background(), &sqs.ReceiveMessageInput{QueueUrl: &queue, MaxNumberOfMessages: 10})
	if err != nil {
		log.Fatal(err)
	}
	for _, m := range out.Messages {
		event.Records = append(event.Records, events.SQSMessage{
			MessageId: *m.MessageId, ReceiptHandle: *m.ReceiptHandle, Body: *m.Body,
			EventSource: "aws:sqs", EventSourceARN: "arn:aws:sqs:us-east-1:000000000000:orders",
		})
	}
	return event
}

// A whole function. Its mapping needs FunctionResponseTypes: [ReportBatchItemFailures].
func ExampleHandler() {
	lambda.Start(lambdasluice.Handler(sluice.JSON(func(_ context.Context, o order) error {
		log.Printf("order %d", o.ID)
		return nil
	}), lambdasluice.Options{}))
}
