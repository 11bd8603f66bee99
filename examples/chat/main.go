// Chat is the second of the two systems that sluice was made for: a message from
// one person reaches the other at once.
//
//	go run ./examples/chat
//
// prints an address. Open it: two phones, Ada's and Ben's. Write on one and see it
// on the other. Take a phone offline, write to it, and take it online again: what
// waited arrives, in order, once. Between the phones the page draws the queue: what was
// sent, what is in flight, what was deleted, by how many calls to SQS, and how long
// messages took from Send to the screen.
//
// Look first at pusher.go, a Consumer with batch size 1, then at relay.go, which
// fires the events, stream.go, which brings notifications to a device, and numbers.go,
// which reads what the page draws.
//
//	phone ─► server.go ─► message table ─► relay.go ─► FIFO queue
//	                                                       │
//	phone ◄─ stream.go ◄─ notification queue ◄─ pusher.go ◄┘
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	err := start(ctx, os.Args[1:])
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "chat:", err)
		os.Exit(1)
	}
}

func start(ctx context.Context, args []string) error {
	s, err := parse(args, os.Stderr)
	if err != nil {
		return err
	}
	return run(ctx, s, os.Stdout)
}

// run serves until ctx is done.
func run(ctx context.Context, set settings, out io.Writer) (err error) {
	log := slog.New(slog.NewTextHandler(out, nil))
	file, err := databaseFile(set.db)
	if err != nil {
		return err
	}
	store, err := openStore(ctx, file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.close()) }()
	q, err := connect(ctx, set.queueURL, set.endpoint)
	if err != nil {
		return err
	}
	listener, err := listen(ctx, set.listen)
	if err != nil {
		return err
	}
	a, err := newApp(store, q, log)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	sayf(out, "database  %s\nqueue     %s\nopen      http://%s/\n", file, q.name, listener.Addr())
	err = a.run(ctx, listener)
	sayf(out, "stopped; from post to stream: %s\n", &a.server.took)
	return err
}

// sayf tells the person at the terminal; if there is none, nobody.
func sayf(out io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(out, format, args...) }

// databaseFile returns the file that the user named, or a new one. That is left
// where it is when the program ends, for a look at it.
func databaseFile(named string) (string, error) {
	if named != "" {
		return named, nil
	}
	dir, err := os.MkdirTemp("", "sluice-chat-")
	if err != nil {
		return "", fmt.Errorf("making a folder for the database: %w", err)
	}
	return filepath.Join(dir, "chat.db"), nil
}

// A queue is where events go.
type queue struct {
	client *sqs.Client
	url    string
	name   string        // for people
	poll   time.Duration // how long a receive waits, and so how long a stop may; 0: the library's default
}

// connect returns the queue with that URL, or one in this process.
func connect(ctx context.Context, url, endpoint string) (queue, error) {
	if url == "" {
		account := sqstest.New()
		return queue{
			client: account.Client(), url: account.MustCreateQueue("chat.fifo", nil),
			name: "in this process", poll: time.Second, // receives cost nothing here
		}, nil
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return queue{}, fmt.Errorf("reading the AWS configuration: %w", err)
	}
	if endpoint != "" {
		cfg.BaseEndpoint = &endpoint
	}
	return queue{client: sluice.NewClient(cfg), url: url, name: url}, nil
}

// listen listens on addr, or somewhere on loopback.
func listen(ctx context.Context, addr string) (net.Listener, error) {
	var config net.ListenConfig
	if addr != "" {
		return config.Listen(ctx, "tcp", addr)
	}
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:8080")
	if errors.Is(err, syscall.EADDRINUSE) {
		return config.Listen(ctx, "tcp", "127.0.0.1:0")
	}
	return listener, err
}

// An app is the whole: a message server, a relay, a pusher.
type app struct {
	server *server
	relay  *relay
	pusher *pusher
	push   func(ctx context.Context) error
	log    *slog.Logger
}

func newApp(s *store, q queue, log *slog.Logger) (*app, error) {
	hub := newHub()
	relay := newRelay(s, q.client, q.url, log)
	server := &server{store: s, hub: hub, sent: relay.wake, log: log}
	meter := &meter{began: time.Now(), relay: relay, took: &server.took}
	server.meter = meter.read
	pusher := &pusher{notify: s.notify, wake: hub.wake, arrive: relay.sent.arrive, log: log, hooks: meter.hooks()}
	consumer, err := pusher.consumer(q.client, q.url, q.poll)
	if err != nil {
		return nil, err
	}
	meter.consumer = consumer
	return &app{
		server: server,
		relay:  relay,
		pusher: pusher,
		push:   func(ctx context.Context) error { return consumer.Run(ctx, pusher.handler()) },
		log:    log,
	}, nil
}

// run runs all parts until ctx is done, or one of them cannot go on.
func (a *app) run(ctx context.Context, listener net.Listener) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	web := &http.Server{
		Handler:           a.server.handler(),
		BaseContext:       func(net.Listener) context.Context { return ctx }, // streams end with the program
		ReadHeaderTimeout: 5 * time.Second,
		ErrorLog:          slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
	parts := []func() error{
		func() error { a.relay.run(ctx); return nil },
		func() error { return a.push(ctx) },
		func() error { return web.Serve(listener) },
		func() error {
			<-ctx.Done()
			patient, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			return web.Shutdown(patient)
		},
	}
	errs := make([]error, len(parts))
	var wg sync.WaitGroup
	for i, part := range parts {
		wg.Go(func() {
			defer stop() // one for all: a chat that takes messages and does not deliver them is worse than none
			if err := part(); !errors.Is(err, http.ErrServerClosed) {
				errs[i] = err
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
