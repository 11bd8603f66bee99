package sluice_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

// An order is what the queue of these examples is about.
type order struct {
	ID    int `json:"id"`
	Cents int `json:"cents"`
}

// Batches of ten, from a queue in memory. A program of yours takes
// sqs.NewFromConfig(cfg) and the queue's URL instead.
func Example() {
	server := sqstest.New()
	url := server.MustCreateQueue("orders", nil)
	for i := range 25 {
		server.Send(url, fmt.Sprint("order ", i+1))
	}

	consumer, err := sluice.New(server.Client(), url, sluice.Options{
		BatchSize:   10,
		WaitTime:    10 * time.Second,
		Concurrency: 1,  // so that the batches come one after another
		MaxMessages: 25, // so that the example ends
	})
	if err != nil {
		log.Fatal(err)
	}
	err = consumer.Run(context.Background(), func(_ context.Context, batch []*sluice.Message) error {
		fmt.Println(len(batch), "messages, the first is", batch[0].Body)
		return nil
	})
	fmt.Println("error:", err)
	fmt.Println("left in the queue:", len(server.Messages(url)))
	// Output:
	// 10 messages, the first is order 1
	// 10 messages, the first is order 11
	// 5 messages, the first is order 21
	// error: <nil>
	// left in the queue: 0
}

// All that is wrong is said at once.
func ExampleNew() {
	_, err := sluice.New(sqstest.New().Client(), "orders", sluice.Options{
		BatchSize: 20_000,
		PollTime:  1500 * time.Millisecond,
	})
	fmt.Println(err)
	// Output:
	// sluice: queueURL is "orders", want the URL of a queue, such as https://sqs.eu-central-1.amazonaws.com/123456789012/orders
	// BatchSize is 20000, want at most 10000
	// PollTime is 1.5s, want whole seconds, as SQS counts them
}

// A client for many receives and deletes at once. The credentials and the region
// are those of the usual AWS environment.
func ExampleNewClient() {
	cfg, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	const url = "https://sqs.eu-central-1.amazonaws.com/123456789012/orders"
	consumer, err := sluice.New(sluice.NewClient(cfg), url, sluice.Options{Receivers: 100, Concurrency: 1000})
	if err != nil {
		log.Fatal(err)
	}
	_ = consumer // and now Run
}

// Run until the process is told to end; then what is held is finished, and Run
// returns nil.
func ExampleConsumer_Run() {
	server := sqstest.New()
	url := server.MustCreateQueue("orders", nil)
	server.Send(url, "coffee", "tea")

	consumer, err := sluice.New(server.Client(), url, sluice.Options{PollTime: time.Second, Concurrency: 1})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	err = consumer.Run(ctx, func(_ context.Context, batch []*sluice.Message) error {
		fmt.Println(batch[0].Body)
		if batch[0].Body == "tea" {
			stop() // here instead of a signal
		}
		return nil
	})
	fmt.Println("error:", err)
	// Output:
	// coffee
	// tea
	// error: <nil>
}

// A job that a timer starts: handle what is there, then end.
func ExampleConsumer_Drain() {
	server := sqstest.New()
	url := server.MustCreateQueue("orders", nil)
	server.Send(url, "one", "two", "three")

	consumer, err := sluice.New(server.Client(), url, sluice.Options{BatchSize: 100, PollTime: time.Second})
	if err != nil {
		log.Fatal(err)
	}
	err = consumer.Drain(context.Background(), func(_ context.Context, batch []*sluice.Message) error {
		fmt.Println("a night's batch of", len(batch))
		return nil
	})
	fmt.Println("error:", err)
	// Output:
	// a night's batch of 3
	// error: <nil>
}

// A handler may end the run that it is part of.
func ExampleConsumer_Stop() {
	server := sqstest.New()
	url := server.MustCreateQueue("orders", nil)
	server.Send(url, "a", "b", "the end")

	consumer, err := sluice.New(server.Client(), url, sluice.Options{PollTime: time.Second})
	if err != nil {
		log.Fatal(err)
	}
	err = consumer.Run(context.Background(), sluice.Each(func(_ context.Context, m *sluice.Message) error {
		if m.Body == "the end" {
			consumer.Stop()
		}
		return nil
	}))
	fmt.Println("error:", err)
	fmt.Println("deleted:", consumer.Stats().Deleted)
	// Output:
	// error: <nil>
	// deleted: 3
}

// Nothing is received while what the handlers need is down. Here the consumer is
// paused before it runs; a handler or a health check can pause it as well.
func ExampleConsumer_Pause() {
	server := sqstest.New()
	url := server.MustCreateQueue("orders", nil)
	server.Send(url, "coffee")

	states := make(chan sluice.State, 10)
	consumer, err := sluice.New(server.Client(), url, sluice.Options{
		MaxMessages: 1,
		Hooks:       sluice.Hooks{Health: func(h sluice.Health) { states <- h.State }},
	})
	if err != nil {
		log.Fatal(err)
	}
	consumer.Pause()
	go func() {
		fmt.Println("it is", <-states, "and the queue has", len(server.Messages(url)), "message")
		consumer.Resume()
	}()
	err = consumer.Run(context.Background(), func(_ context.Context, batch []*sluice.Message) error {
		fmt.Println("handled", batch[0].Body)
		return nil
	})
	fmt.Println("error:", err)
	// Output:
	// it is paused and the queue has 1 message
	// handled coffee
	// error: <nil>
}

// See the example of [Consumer.Pause].
func ExampleConsumer_Resume() {
	consumer, err := sluice.New(sqstest.New(), "https://sqs.eu-central-1.amazonaws.com/123456789012/orders", sluice.Options{})
	if err != nil {
		log.Fatal(err)
	}
	consumer.Pause()
	time.AfterFunc(time.Minute, consumer.Resume) // by then the database is back
	// Output:
}

// What a consumer did, for a metrics page. The numbers count since New.
func ExampleConsumer_Stats() {
	server := sqstest.New()
	url := server.MustCreateQueue("orders", nil)
	server.Send(url, "1", "2", "three", "4")

	consumer, err := sluice.New(server.Client(), url, sluice.Options{MaxMessages: 4})
	if err != nil {
		log.Fatal(err)
	}
	err = consumer.Run(context.Background(), sluice.JSON(func(context.Context, int) error { return nil }))
	if err != nil {
		log.Fatal(err)
	}
	s := consumer.Stats()
	fmt.Println("received", s.Received, "succeeded", s.Succeeded, "failed", s.Failed)
	fmt.Println("deleted", s.Deleted, "given back", s.GivenBack, "in flight", s.InFlight)
	// Output:
	// received 4 succeeded 3 failed 1
	// deleted 3 given back 1 in flight 0
}

// A probe for an alarm: the consumer has not been able to receive for a minute. It is no
// liveness probe, since to restart a process does not make SQS answer.
func ExampleConsumer_Health() {
	consumer, err := sluice.New(sqstest.New(), "https://sqs.eu-central-1.amazonaws.com/123456789012/orders", sluice.Options{})
	if err != nil {
		log.Fatal(err)
	}
	probe := func(w http.ResponseWriter, _ *http.Request) {
		h := consumer.Health()
		if h.State == sluice.StateBackingOff && time.Since(h.Since) > time.Minute {
			http.Error(w, h.Err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, h.State)
	}

	answer := httptest.NewRecorder()
	probe(answer, nil)
	fmt.Println(answer.Code, answer.Body)
	// Output: 200 stopped
}

// Middleware is a function from Handler to Handler. This one writes a line for
// each message that failed, whatever the handler is made of.
func ExampleHandler() {
	logged := func(next sluice.Handler) sluice.Handler {
		return func(ctx context.Context, batch []*sluice.Message) error {
			err := next(ctx, batch)
			for m, err := range sluice.Outcomes(batch, err) {
				fmt.Println("message", m.ID, "failed:", err)
			}
			return err // it still decides
		}
	}

	// A handler is a function: it can be tested without a queue.
	handler := logged(sluice.JSON(func(_ context.Context, o order) error {
		if o.Cents < 0 {
			return errors.New("a negative price")
		}
		return nil
	}))
	err := handler(context.Background(), []*sluice.Message{
		{ID: "a", Body: `{"id": 1, "cents": 250}`},
		{ID: "b", Body: `{"id": 2, "cents": -1}`},
	})
	fmt.Println("returned:", err)
	// Output:
	// message b failed: a negative price
	// returned: message b: a negative price
}

// Each makes a handler of a function for one message. The others of a batch do not
// suffer when one fails.
func ExampleEach() {
	handler := sluice.Each(func(_ context.Context, m *sluice.Message) error {
		if m.Body == "" {
			return errors.New("nothing in it")
		}
		fmt.Println(m.ID, m.Body)
		return nil
	})
	err := handler(context.Background(), []*sluice.Message{{ID: "a", Body: "coffee"}, {ID: "b"}, {ID: "c", Body: "tea"}})
	fmt.Println("failed:", err)
	// Output:
	// a coffee
	// c tea
	// failed: message b: nothing in it
}

// A body that is not what it should be fails its message; what was in it is not in
// the error.
func ExampleJSON() {
	handler := sluice.JSON(func(_ context.Context, o order) error {
		fmt.Println("order", o.ID, "costs", o.Cents)
		return nil
	})
	err := handler(context.Background(), []*sluice.Message{{ID: "a", Body: `{"id": 7, "cents": 250}`}})
	fmt.Println("error:", err)
	err = handler(context.Background(), []*sluice.Message{{ID: "b", Body: `{"id": "7"}`}})
	fmt.Println("error:", err)
	// Output:
	// order 7 costs 250
	// error: <nil>
	// error: decoding the body as sluice_test.order: json: cannot unmarshal string into Go struct field order.id of type int
}

// One insert for a whole batch. An Item is the message with its decoded body.
func ExampleBatchJSON() {
	handler := sluice.BatchJSON(func(_ context.Context, batch []sluice.Item[order]) error {
		sum := 0
		for _, item := range batch {
			sum += item.Value.Cents
		}
		fmt.Println(len(batch), "orders of", sum, "cents, the first is message", batch[0].ID)
		return nil
	})
	err := handler(context.Background(), []*sluice.Message{
		{ID: "a", Body: `{"id": 1, "cents": 250}`},
		{ID: "b", Body: `{"id": 2, "cents": 410}`},
	})
	fmt.Println("error:", err)
	// Output:
	// 2 orders of 660 cents, the first is message a
	// error: <nil>
}

// An item knows its message: how often it was received, what its attributes are.
func ExampleItem() {
	item := sluice.Item[order]{
		Message: &sluice.Message{ID: "a", ReceiveCount: 3},
		Value:   order{ID: 1, Cents: 250},
	}
	if item.ReceiveCount > 1 {
		fmt.Println("order", item.Value.ID, "in message", item.ID, "was received before")
	}
	// Output: order 1 in message a was received before
}

// What a message brings along.
func ExampleMessage() {
	server := sqstest.New()
	url := server.MustCreateQueue("orders.fifo", nil)
	server.Send(url, "coffee")

	consumer, err := sluice.New(server.Client(), url, sluice.Options{MaxMessages: 1})
	if err != nil {
		log.Fatal(err)
	}
	err = consumer.Run(context.Background(), sluice.Each(func(_ context.Context, m *sluice.Message) error {
		fmt.Printf("%q of group %s, receive %d\n", m.Body, m.GroupID, m.ReceiveCount)
		fmt.Println("sent before it was received:", !m.SentAt.After(m.ReceivedAt))
		return nil
	}))
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// "coffee" of group default, receive 1
	// sent before it was received: true
}

// Two messages of a batch failed, each for its own reason. The others are deleted.
func ExampleFailed() {
	handler := func(_ context.Context, batch []*sluice.Message) error {
		var errs []error
		for _, m := range batch {
			if !json.Valid([]byte(m.Body)) {
				errs = append(errs, sluice.Failed(m, errors.New("not JSON")))
			}
		}
		return errors.Join(errs...)
	}
	err := handler(context.Background(), []*sluice.Message{{ID: "a", Body: "{"}, {ID: "b", Body: "{}"}, {ID: "c", Body: "}"}})
	fmt.Println(err)
	// Output:
	// message a: not JSON
	// message c: not JSON
}

// Outcomes tells who failed, in the order of the batch.
func ExampleOutcomes() {
	a, b, c := &sluice.Message{ID: "a"}, &sluice.Message{ID: "b"}, &sluice.Message{ID: "c"}
	err := errors.Join(
		sluice.Failed(c, errors.New("out of stock")),
		sluice.Failed(a, sluice.Discard(errors.New("cancelled"))),
	)
	for m, err := range sluice.Outcomes([]*sluice.Message{a, b, c}, err) {
		fmt.Println(m.ID, err)
	}
	// Output:
	// a cancelled
	// c out of stock
}

// A shop that is closed for the night says when to come again.
func ExampleRetryAfter() {
	server := sqstest.New()
	url := server.MustCreateQueue("orders", nil)
	server.Send(url, "coffee")

	consumer, err := sluice.New(server.Client(), url, sluice.Options{MaxMessages: 1})
	if err != nil {
		log.Fatal(err)
	}
	err = consumer.Run(context.Background(), sluice.Each(func(context.Context, *sluice.Message) error {
		return sluice.RetryAfter(8*time.Hour, errors.New("the shop is closed"))
	}))
	if err != nil {
		log.Fatal(err)
	}
	for _, m := range server.Messages(url) {
		fmt.Println(m.Body, "is hidden for", time.Until(m.Until).Round(time.Hour))
	}
	// Output: coffee is hidden for 8h0m0s
}

// An event of a kind that nobody needs any more is deleted, and still counts as
// failed.
func ExampleDiscard() {
	server := sqstest.New()
	url := server.MustCreateQueue("orders", nil)
	server.Send(url, "fax")

	consumer, err := sluice.New(server.Client(), url, sluice.Options{MaxMessages: 1})
	if err != nil {
		log.Fatal(err)
	}
	err = consumer.Run(context.Background(), sluice.Each(func(context.Context, *sluice.Message) error {
		return sluice.Discard(errors.New("we have no fax"))
	}))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("failed:", consumer.Stats().Failed, "left in the queue:", len(server.Messages(url)))
	// Output: failed: 1 left in the queue: 0
}

// A message that will never succeed goes to the dead-letter queue at once, with
// the reason, instead of being received until its redrive policy ends it.
func ExampleDeadLetter() {
	server := sqstest.New()
	url := server.MustCreateQueue("orders", nil)
	dead := server.MustCreateQueue("orders-dead", nil)
	server.Send(url, `{"id": `)

	consumer, err := sluice.New(server.Client(), url, sluice.Options{DeadLetterQueueURL: dead, MaxMessages: 1})
	if err != nil {
		log.Fatal(err)
	}
	err = consumer.Run(context.Background(), sluice.Each(func(_ context.Context, m *sluice.Message) error {
		var o order
		return sluice.DeadLetter(json.Unmarshal([]byte(m.Body), &o)) // nil stays nil
	}))
	if err != nil {
		log.Fatal(err)
	}

	burier, err := sluice.New(server.Client(), dead, sluice.Options{MaxMessages: 1})
	if err != nil {
		log.Fatal(err)
	}
	err = burier.Run(context.Background(), sluice.Each(func(_ context.Context, m *sluice.Message) error {
		fmt.Println(m.Body, "because:", *m.Attributes["Sluice.Reason"].StringValue)
		return nil
	}))
	if err != nil {
		log.Fatal(err)
	}
	// Output: {"id":  because: unexpected end of JSON input
}

// Whom an error is about.
func ExampleMessageError() {
	err := sluice.Failed(&sluice.Message{ID: "a"}, fmt.Errorf("writing the receipt: %w", syscall.ENOSPC))
	if failed, ok := errors.AsType[*sluice.MessageError](err); ok {
		fmt.Println(failed.Message.ID, failed.Err)
	}
	fmt.Println(errors.Is(err, syscall.ENOSPC))
	// Output:
	// a writing the receipt: no space left on device
	// true
}

// A panic fails the batch, and the process lives. What it panicked with and where
// is for the hook.
func ExamplePanicError() {
	server := sqstest.New()
	url := server.MustCreateQueue("orders", nil)
	server.Send(url, "coffee")

	consumer, err := sluice.New(server.Client(), url, sluice.Options{
		MaxMessages: 1,
		Logger:      slog.New(slog.DiscardHandler), // it would write the stack
		Hooks: sluice.Hooks{Batch: func(e sluice.BatchEvent) {
			if p, ok := errors.AsType[*sluice.PanicError](e.Err); ok {
				fmt.Println(p, "- with a stack:", len(p.Stack) > 0)
			}
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	err = consumer.Run(context.Background(), func(_ context.Context, batch []*sluice.Message) error {
		fmt.Println(batch[1].Body) // there is one message only
		return nil
	})
	fmt.Println("error:", err, "panics:", consumer.Stats().Panics)
	// Output:
	// the handler panicked: runtime error: index out of range [1] with length 1 - with a stack: true
	// error: <nil> panics: 1
}

// A Consumer runs once at a time; for two queues, or two runs, take two.
func ExampleErrRunning() {
	server := sqstest.New()
	url := server.MustCreateQueue("orders", nil)
	server.Send(url, "coffee")

	consumer, err := sluice.New(server.Client(), url, sluice.Options{MaxMessages: 1})
	if err != nil {
		log.Fatal(err)
	}
	var handler sluice.Handler
	handler = func(ctx context.Context, _ []*sluice.Message) error {
		fmt.Println(errors.Is(consumer.Run(ctx, handler), sluice.ErrRunning))
		return nil
	}
	if err := consumer.Run(context.Background(), handler); err != nil {
		log.Fatal(err)
	}
	// Output: true
}

// A handler learns why its context ended.
func ExampleErrShutdown() {
	server := sqstest.New()
	url := server.MustCreateQueue("orders", nil)
	server.Send(url, "a long one")

	consumer, err := sluice.New(server.Client(), url, sluice.Options{
		MaxMessages: 1, ShutdownTimeout: 10 * time.Millisecond,
	})
	if err != nil {
		log.Fatal(err)
	}
	_ = consumer.Run(context.Background(), func(ctx context.Context, _ []*sluice.Message) error {
		consumer.Stop()
		<-ctx.Done()
		fmt.Println(errors.Is(context.Cause(ctx), sluice.ErrShutdown))
		return context.Cause(ctx) // the message is visible again at once
	})
	fmt.Println(server.Messages(url)[0].State)
	// Output:
	// true
	// visible
}

// The report of a stop that did not wait for all handlers.
func ExampleShutdownError() {
	server := sqstest.New()
	url := server.MustCreateQueue("orders", nil)
	server.Send(url, "a short one", "a long one")

	consumer, err := sluice.New(server.Client(), url, sluice.Options{
		MaxMessages: 2, ShutdownTimeout: 10 * time.Millisecond,
	})
	if err != nil {
		log.Fatal(err)
	}
	err = consumer.Run(context.Background(), sluice.Each(func(ctx context.Context, m *sluice.Message) error {
		if m.Body == "a short one" {
			return nil
		}
		for consumer.Stats().Deleted == 0 {
			time.Sleep(time.Millisecond) // the short one is over
		}
		consumer.Stop()
		<-ctx.Done()
		return context.Cause(ctx)
	}))
	if report, ok := errors.AsType[*sluice.ShutdownError](err); ok {
		fmt.Println("given back:", report.GivenBack, "abandoned:", report.Abandoned, "stuck:", report.Stuck)
	}
	// Output: given back: 1 abandoned: 0 stuck: 0
}

// A lease is lost when SQS does not let it be renewed: here, because somebody has
// purged the queue. The handler is told, and so is a hook.
func ExampleErrLeaseLost() {
	server := sqstest.New()
	url := server.MustCreateQueue("orders", nil)
	server.Send(url, "a long one")

	consumer, err := sluice.New(server.Client(), url, sluice.Options{
		MaxMessages:       1,
		VisibilityTimeout: 2 * time.Second, // renewed after one
		Logger:            slog.New(slog.DiscardHandler),
		Hooks: sluice.Hooks{LeaseLost: func(e sluice.LeaseEvent) {
			fmt.Println("lost:", e.Message.Body)
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	err = consumer.Run(context.Background(), func(ctx context.Context, _ []*sluice.Message) error {
		_, _ = server.PurgeQueue(ctx, &sqs.PurgeQueueInput{QueueUrl: &url})
		<-ctx.Done()
		if errors.Is(context.Cause(ctx), sluice.ErrLeaseLost) {
			return context.Cause(ctx) // stop: others may be handling the message
		}
		return nil
	})
	fmt.Println("error:", err, "leases lost:", consumer.Stats().LeasesLost)
	// Output:
	// lost: a long one
	// error: <nil> leases lost: 1
}

// A call that hangs ends, and its message is received again.
func ExampleErrHandlerTimeout() {
	server := sqstest.New()
	url := server.MustCreateQueue("orders", nil)
	server.Send(url, "a long one")

	consumer, err := sluice.New(server.Client(), url, sluice.Options{
		MaxMessages: 1, HandlerTimeout: 10 * time.Millisecond,
	})
	if err != nil {
		log.Fatal(err)
	}
	err = consumer.Run(context.Background(), func(ctx context.Context, _ []*sluice.Message) error {
		<-ctx.Done()
		fmt.Println(errors.Is(context.Cause(ctx), sluice.ErrHandlerTimeout))
		return context.Cause(ctx)
	})
	fmt.Println("error:", err, "failed:", consumer.Stats().Failed)
	// Output:
	// true
	// error: <nil> failed: 1
}

// The zero value handles each event as soon as it arrives. A batch size makes
// batches of any size, and the rest is for those who know why.
func ExampleOptions() {
	opts := sluice.Options{
		BatchSize:       500,              // far beyond the ten of a receive
		WaitTime:        30 * time.Second, // the longest that a message waits for others
		Concurrency:     2,                // inserts at once
		ShutdownTimeout: 50 * time.Second, // a batch takes that long
		RetryDelay: func(m *sluice.Message, _ error) time.Duration {
			return time.Duration(m.ReceiveCount) * time.Minute
		},
	}
	consumer, err := sluice.New(sqstest.New(), "https://sqs.eu-central-1.amazonaws.com/123456789012/orders", opts)
	fmt.Println(consumer != nil, err)
	// Output: true <nil>
}

// Hooks feed metrics. They are called on a goroutine of their own, in order.
func ExampleHooks() {
	server := sqstest.New()
	url := server.MustCreateQueue("orders", nil)
	server.Send(url, "1", "2", "three")

	consumer, err := sluice.New(server.Client(), url, sluice.Options{
		BatchSize: 3, MaxMessages: 3,
		Hooks: sluice.Hooks{
			Call: func(e sluice.CallEvent) {
				fmt.Println(e.Operation, "entries:", e.Entries, "failed:", e.Failed, "error:", e.Err)
			},
			Batch: func(e sluice.BatchEvent) {
				fmt.Println("batch of", len(e.Messages), "failed:", e.Failed, "in less than a minute:", e.Duration < time.Minute)
			},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	err = consumer.Run(context.Background(), sluice.JSON(func(context.Context, int) error { return nil }))
	if err != nil {
		log.Fatal(err)
	}
	// Unordered output:
	// ReceiveMessage entries: 3 failed: 0 error: <nil>
	// batch of 3 failed: 1 in less than a minute: true
	// DeleteMessageBatch entries: 2 failed: 0 error: <nil>
	// ChangeMessageVisibilityBatch entries: 1 failed: 0 error: <nil>
}

// Stats counts batches by the reason for which they were handed over. The counts show
// whether BatchSize and WaitTime fit the traffic.
func ExampleReason() {
	server := sqstest.New()
	url := server.MustCreateQueue("orders", nil)
	for range 5 {
		server.Send(url, "coffee", "tea", "a kettle")
	}

	consumer, err := sluice.New(server.Client(), url, sluice.Options{BatchSize: 6, MaxMessages: 15, Concurrency: 1})
	if err != nil {
		log.Fatal(err)
	}
	err = consumer.Run(context.Background(), func(context.Context, []*sluice.Message) error { return nil })
	if err != nil {
		log.Fatal(err)
	}
	batches := consumer.Stats().Batches
	for _, why := range slices.Sorted(maps.Keys(batches)) {
		if batches[why] > 0 {
			fmt.Printf("%s: %d\n", why, batches[why])
		}
	}
	// Output:
	// full: 2
	// stopping: 1
}

// On a FIFO queue a message that failed holds up its message group: by default in
// place, so that those behind it are not received again and again.
func ExampleGroupFailure() {
	server := sqstest.New()
	url := server.MustCreateQueue("orders.fifo", nil)
	server.Send(url, "order", "pay", "ship")

	consumer, err := sluice.New(server.Client(), url, sluice.Options{
		OnGroupFailure: sluice.GroupRetryInPlace, // the default
		RetryDelay:     func(*sluice.Message, error) time.Duration { return 10 * time.Millisecond },
		PollTime:       time.Second,
	})
	if err != nil {
		log.Fatal(err)
	}
	declined := false
	err = consumer.Run(context.Background(), sluice.Each(func(_ context.Context, m *sluice.Message) error {
		if m.Body == "pay" && !declined {
			declined = true
			return errors.New("the card was declined")
		}
		fmt.Println(m.Body, "- receive", m.ReceiveCount)
		if m.Body == "ship" {
			consumer.Stop()
		}
		return nil
	}))
	fmt.Println("error:", err, "failed:", consumer.Stats().Failed)
	// Output:
	// order - receive 1
	// pay - receive 1
	// ship - receive 1
	// error: <nil> failed: 1
}
