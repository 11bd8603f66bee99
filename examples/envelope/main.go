// Command envelope consumes two queues that other services of AWS feed. One gets orders
// by way of SNS and EventBridge. The other one gets what happens to the objects of an S3
// bucket. Both are in an embedded SQS, and the program ends by itself.
//
//	go run ./examples/envelope
//
// Look at the two ways to open an envelope. photo knows what its queue holds, and takes
// it as that type. orders lists the topics and sources that it believes, and lets
// a middleware open what they send. A message of somebody else, and a broken one, go to
// the dead-letter queue.
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

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/envelope"
)

func main() {
	log.SetFlags(0)
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	aws := newAWS()
	orders, err := orders(aws)
	if err != nil {
		return err
	}
	photos, err := sluice.New(aws.client, aws.photos, sluice.Options{PollTime: time.Second})
	if err != nil {
		return err
	}

	ctx, end := context.WithCancel(ctx) // then each Run finishes what it holds and returns
	defer end()
	ended := make(chan error)
	for _, task := range []func() error{
		func() error { return orders.Run(ctx, sluice.BatchJSON(order)) },
		func() error { return photos.Run(ctx, sluice.JSON(photo)) },
		func() error { return aws.send(ctx) },
	} {
		go func() {
			err := task()
			end()
			ended <- err
		}()
	}
	return errors.Join(<-ended, <-ended, <-ended)
}

// photo handles what happened to the objects of a bucket. A message may have several records. S3
// sends one without any when its notifications are set up.
func photo(_ context.Context, e envelope.S3Event) error {
	if e.Test {
		fmt.Println("photos: S3 says that its notifications work")
	}
	for _, r := range e.Records {
		fmt.Printf("photos: %s of %s, %d bytes\n", r.Name, r.Key, r.Size)
	}
	return nil
}

// orders returns a consumer whose handler sees what is in the envelopes.
func orders(aws *aws) (*sluice.Consumer, error) {
	unwrap, err := envelope.Unwrap(envelope.Options{
		Topics:             []string{ordersTopic},
		EventBridgeSources: []string{"com.acme.shop"},
		Strict:             true, // nothing else is meant to be in this queue
	})
	if err != nil {
		return nil, err
	}
	decompress, err := envelope.Decompress(envelope.Limits{Bytes: 1 << 20})
	if err != nil {
		return nil, err
	}
	return sluice.New(aws.client, aws.orders, sluice.Options{
		DeadLetterQueueURL: aws.dead,
		PollTime:           time.Second,
		Middleware:         []func(sluice.Handler) sluice.Handler{deadLetter, unwrap, decompress}, // the first one is outermost
	})
}

// An Order is what the handler of the orders decodes: it does not know how it came.
type Order struct {
	ID   int    `json:"order"`
	Item string `json:"item"`
}

// order handles orders. With the default BatchSize there is one in a batch.
func order(ctx context.Context, batch []sluice.Item[Order]) error {
	for _, o := range batch {
		fmt.Printf("orders: %d, %s, %s\n", o.Value.ID, o.Value.Item, way(envelope.From(ctx, o.Message)))
	}
	return nil
}

// way returns how a message came.
func way(from envelope.Origin, ok bool) string {
	switch {
	case !ok:
		return "in no envelope"
	case from.SNS != nil && from.EventBridge != nil:
		return "by EventBridge and SNS"
	case from.EventBridge != nil:
		return "by EventBridge: " + from.EventBridge.DetailType
	default:
		return "by SNS: " + from.SNS.Subject
	}
}

// deadLetter is a middleware that sends what is not in its envelope to the dead-letter queue at
// once: no other try would do better.
func deadLetter(next sluice.Handler) sluice.Handler {
	return func(ctx context.Context, batch []*sluice.Message) error {
		var errs []error
		for m, err := range sluice.Outcomes(batch, next(ctx, batch)) {
			if _, broken := errors.AsType[*envelope.Error](err); broken {
				err = sluice.DeadLetter(err)
			}
			errs = append(errs, sluice.Failed(m, err))
		}
		return errors.Join(errs...)
	}
}
