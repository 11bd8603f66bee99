package sluice_test

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

// A middleware that times each handler call. The first in Options.Middleware is the outermost.
func Example_middleware() {
	timed := func(next sluice.Handler) sluice.Handler {
		return func(ctx context.Context, batch []*sluice.Message) error {
			began := time.Now()
			err := next(ctx, batch)
			failed := 0
			for range sluice.Outcomes(batch, err) {
				failed++
			}
			fmt.Printf("%d messages, %d failed, fast: %t\n", len(batch), failed, time.Since(began) < time.Minute)
			return err
		}
	}
	server := sqstest.New()
	queue := server.MustCreateQueue("orders", nil)
	server.Send(queue, "one", "two")
	consumer, err := sluice.New(server, queue, sluice.Options{BatchSize: 10, Middleware: []func(sluice.Handler) sluice.Handler{timed}})
	if err != nil {
		panic(err)
	}
	if err := consumer.Drain(context.Background(), func(context.Context, []*sluice.Message) error { return nil }); err != nil {
		panic(err)
	}
	// Output: 2 messages, 0 failed, fast: true
}

// One INSERT for a batch. A message that comes twice is inserted once, by the key of its order.
func Example_sqlInsert() {
	type order struct {
		ID    string
		Cents int
	}
	insert := func(db *sql.DB) sluice.Handler {
		return sluice.BatchJSON(func(ctx context.Context, batch []sluice.Item[order]) error {
			var rows strings.Builder
			args := make([]any, 0, 2*len(batch))
			for i, o := range batch {
				if i > 0 {
					rows.WriteString(", ")
				}
				fmt.Fprintf(&rows, "($%d, $%d)", 2*i+1, 2*i+2)
				args = append(args, o.Value.ID, o.Value.Cents)
			}
			_, err := db.ExecContext(ctx, "INSERT INTO orders (id, cents) VALUES "+rows.String()+" ON CONFLICT (id) DO NOTHING", args...)
			return err // an error: all come back, later
		})
	}
	_ = insert
	fmt.Println("see docs/effects-once.md for effects that are more than one row")
	// Output: see docs/effects-once.md for effects that are more than one row
}

// SIGTERM lets Run finish what it holds. A second signal ends the program at once.
func Example_sigterm() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	context.AfterFunc(ctx, stop)

	server := sqstest.New()
	queue := server.MustCreateQueue("orders", nil)
	consumer, err := sluice.New(server, queue, sluice.Options{PollTime: time.Second})
	if err != nil {
		panic(err)
	}
	time.AfterFunc(10*time.Millisecond, func() { _ = syscall.Kill(syscall.Getpid(), syscall.SIGTERM) })
	err = consumer.Run(ctx, func(context.Context, []*sluice.Message) error { return nil })
	fmt.Println("ended:", err)
	// Output: ended: <nil>
}

// Two queues in one process: a Consumer each, and one end for both.
func Example_twoQueues() {
	server := sqstest.New()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan error, 2)
	for _, name := range []string{"orders", "returns"} {
		queue := server.MustCreateQueue(name, nil)
		server.Send(queue, "for "+name)
		consumer, err := sluice.New(server, queue, sluice.Options{})
		if err != nil {
			panic(err)
		}
		go func() {
			err := consumer.Drain(ctx, sluice.Each(func(context.Context, *sluice.Message) error { return nil }))
			if err != nil {
				stop() // one that fails ends the other
			}
			ended <- err
		}()
	}
	fmt.Println(errors.Join(<-ended, <-ended))
	// Output: <nil>
}

// How long until the next try, by the error.
func Example_retriesByError() {
	busy := errors.New("the service is busy")
	options := sluice.Options{RetryDelay: func(m *sluice.Message, err error) time.Duration {
		if errors.Is(err, busy) {
			return 5 * time.Second
		}
		return time.Minute * time.Duration(m.Attempt)
	}}
	fmt.Println(options.RetryDelay(&sluice.Message{Attempt: 3}, busy))
	fmt.Println(options.RetryDelay(&sluice.Message{Attempt: 3}, errors.New("no such table")))
	// Output:
	// 5s
	// 3m0s
}

// A probe that says whether the consumer has received, and that it still runs.
func Example_readiness() {
	server := sqstest.New()
	queue := server.MustCreateQueue("orders", nil)
	consumer, err := sluice.New(server, queue, sluice.Options{})
	if err != nil {
		panic(err)
	}
	ready := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if consumer.Stats().LastReceive.IsZero() || consumer.Health().State == sluice.StateStopped {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	answer := httptest.NewRecorder()
	ready.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	fmt.Println(answer.Code)
	// Output: 503
}

func ExampleTransform() {
	// A middleware that takes a wrapping off. The handler sees what is inside.
	unquote := func(next sluice.Handler) sluice.Handler {
		return sluice.Transform(next, func(_ context.Context, m *sluice.Message) (*sluice.Message, error) {
			inner, ok := strings.CutPrefix(m.Body, "v1:")
			if !ok {
				return nil, sluice.DeadLetter(errors.New("not of version 1"))
			}
			unwrapped := *m
			unwrapped.Body = inner
			return &unwrapped, nil
		})
	}
	handler := unquote(sluice.Each(func(_ context.Context, m *sluice.Message) error {
		fmt.Println(m.Body)
		return nil
	}))
	batch := []*sluice.Message{{ID: "1", Body: "v1:coffee"}, {ID: "2", Body: "tea"}}
	for m, err := range sluice.Outcomes(batch, handler(context.Background(), batch)) {
		fmt.Println("message", m.ID, "failed:", err)
	}
	// Output:
	// coffee
	// message 2 failed: not of version 1
}

func ExampleMux() {
	type created struct{ Order string }
	type paid struct{ Cents int }
	mux := sluice.Mux{
		Key: sluice.ByAttribute("type"),
		Handlers: map[string]sluice.Handler{
			"created": sluice.JSON(func(_ context.Context, e created) error {
				fmt.Println("created", e.Order)
				return nil
			}),
			"paid": sluice.JSON(func(_ context.Context, e paid) error {
				fmt.Println("paid", e.Cents)
				return nil
			}),
		},
	}
	message := func(kind, body string) *sluice.Message {
		return &sluice.Message{Body: body, Attributes: map[string]types.MessageAttributeValue{"type": {DataType: new("String"), StringValue: &kind}}}
	}
	batch := []*sluice.Message{message("paid", `{"Cents":250}`), message("created", `{"Order":"A1"}`), message("shipped", `{}`)}
	err := mux.Handle(context.Background(), batch)
	fmt.Println(errors.Is(err, sluice.ErrUnknownType))
	// Output:
	// paid 250
	// created A1
	// true
}

func ExampleOutcomeOf() {
	batch := []*sluice.Message{{ID: "1"}, {ID: "2"}}
	err := sluice.Failed(batch[1], sluice.RetryAfter(time.Minute, errors.New("busy")))
	for m, err := range sluice.Outcomes(batch, err) {
		o := sluice.OutcomeOf(err)
		fmt.Println(m.ID, o.Kind, o.Delay)
	}
	// Output: 2 retry after 1m0s
}

func ExampleConsumer_Preflight() {
	server := sqstest.New()
	queue := server.MustCreateQueue("orders", nil)
	consumer, err := sluice.New(server, queue, sluice.Options{})
	if err != nil {
		panic(err)
	}
	findings, err := consumer.Preflight(context.Background())
	if err != nil {
		panic(err)
	}
	for _, f := range findings {
		fmt.Println(f.Text)
	}
	// Output: the queue has no redrive policy: a message that always fails comes back until it is 96h0m0s old, and is lost then
}

func ExampleOptions_RegisterFlags() {
	options := sluice.Options{BatchSize: 100}
	flags := flag.NewFlagSet("worker", flag.ContinueOnError)
	options.RegisterFlags(flags, "")
	if err := flags.Parse([]string{"-wait-time=10s"}); err != nil {
		panic(err)
	}
	environ := []string{"ORDERS_CONCURRENCY=4", "ORDERS_BATCHSIZE=7"} // of os.Environ
	fmt.Println(sluice.SetFromEnv(flags, "ORDERS_", environ))
	fmt.Println(options.BatchSize, options.WaitTime, options.Concurrency)
	// Output:
	// the environment variable ORDERS_BATCHSIZE belongs to no flag; the nearest is ORDERS_BATCH_SIZE
	// 100 10s 4
}

func ExampleHooks_And() {
	counting := sluice.Hooks{Batch: func(e sluice.BatchEvent) { fmt.Println("counted", len(e.Messages)) }}
	logging := sluice.Hooks{Batch: func(e sluice.BatchEvent) { fmt.Println("logged", len(e.Messages)) }}
	hooks := counting.And(logging)
	hooks.Batch(sluice.BatchEvent{Messages: make([]*sluice.Message, 3)})
	// Output:
	// counted 3
	// logged 3
}
