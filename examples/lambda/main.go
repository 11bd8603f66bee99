// Lambda books orders: in AWS Lambda, or in a process of its own, with the same handler. Look at book,
// which says what becomes of an order, and at template.yaml, which has the queues and the
// function.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/contrib/lambdasluice"
)

// An order is the body of a message.
type order struct {
	ID       int    `json:"id"`
	Customer string `json:"customer"`
	Cents    int    `json:"cents"`
}

// book handles one order.
func book(_ context.Context, o order) error {
	switch {
	case o.Customer == "":
		return sluice.DeadLetter(fmt.Errorf("order %d has no customer", o.ID)) // it never will
	case o.Cents > 1_000_000:
		return sluice.RetryAfter(time.Minute, errors.New("the bank takes no large orders now"))
	case o.Cents <= 0:
		return fmt.Errorf("order %d has %d cents", o.ID, o.Cents) // received again, later
	}
	log.Printf("order %d is booked", o.ID)
	return nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := run(ctx)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

// run handles orders in Lambda if that is where it is, else in this process until ctx is done.
func run(ctx context.Context) error {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	client, dead := sluice.NewClient(cfg), os.Getenv("DEAD_LETTER_QUEUE_URL")
	h := sluice.JSON(book)

	if os.Getenv("AWS_LAMBDA_RUNTIME_API") != "" { // Lambda sets it
		lambda.Start(lambdasluice.Handler(h, lambdasluice.Options{Client: client, DeadLetterQueueURL: dead}))
	}
	consumer, err := sluice.New(client, os.Getenv("QUEUE_URL"), sluice.Options{DeadLetterQueueURL: dead})
	if err != nil {
		return err
	}
	return consumer.Run(ctx, h)
}
