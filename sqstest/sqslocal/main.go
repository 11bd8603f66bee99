// Sqslocal serves an SQS in memory over HTTP, for the clients of any language: tests, demos and
// benchmarks that need queues but no account.
//
//	go run ./sqstest/sqslocal -addr 127.0.0.1:9324 -queue orders -queue payments.fifo
//
// Everything is gone when it stops. It checks no credentials, and so listens on loopback only,
// unless -public says that this is wanted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sluice-go/sluice/sqstest"
)

// stopTimeout is how long a stop waits for answers that are being written.
const stopTimeout = 800 * time.Millisecond

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "sqslocal:", err)
		os.Exit(1)
	}
}

// errUsage is a mistake in the command line, which has been printed.
var errUsage = errors.New("usage")

// config is the command line.
type config struct {
	addr    string
	public  bool
	latency time.Duration
	delay   time.Duration // of large answers
	queues  []string
}

func parse(args []string, stderr io.Writer) (config, error) {
	var c config
	flags := flag.NewFlagSet("sqslocal", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&c.addr, "addr", "127.0.0.1:9324", "host:port to listen on; port 0 takes a free one")
	flags.BoolVar(&c.public, "public", false, "allow an -addr that other machines can reach; no credentials are checked")
	flags.DurationVar(&c.delay, "delay", 2*time.Millisecond, "let answers of more than 4 kB to aws-sdk-go-v2 wait for this `duration`, since that SDK loses\n"+
		"some of those that come faster than any network; 0 switches it off")
	flags.DurationVar(&c.latency, "latency", 0, "delay every call by this `duration`, as a network would")
	flags.Func("queue", "create the queue with this `name` at the start; repeatable; .fifo at its end makes it FIFO", func(name string) error {
		c.queues = append(c.queues, name)
		return nil
	})
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return c, err
		}
		return c, errUsage
	}
	if flags.NArg() > 0 {
		_, _ = fmt.Fprintf(stderr, "sqslocal: unexpected argument %q\n", flags.Arg(0))
		return c, errUsage
	}
	if c.latency < 0 {
		_, _ = fmt.Fprintf(stderr, "sqslocal: -latency is %v, want at least 0\n", c.latency)
		return c, errUsage
	}
	return c, nil
}

// run serves until ctx is done.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	c, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if !c.public {
		if err := checkLoopback(c.addr); err != nil {
			return err
		}
	}
	queues := sqstest.New(sqstest.LargeAnswerDelay(c.delay - c.latency)) // a request waits for its latency, too
	for _, name := range c.queues {
		if err := create(ctx, queues, name); err != nil {
			return err
		}
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.addr)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", c.addr, err)
	}
	announce(stdout, "http://"+reachable(listener.Addr()), c.queues)
	return serve(ctx, listener, delayed(queues, c.latency))
}

// checkLoopback refuses an address that other machines can reach.
func checkLoopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("-addr is %q, want host:port: %w", addr, err)
	}
	if host == "localhost" {
		return nil
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("-addr is %q, which other machines may reach, and no credentials are checked: add -public to allow it", addr)
}

// reachable is the address to connect to: a listener on every interface is also on loopback.
func reachable(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

func create(ctx context.Context, queues *sqstest.Server, name string) error {
	in := &sqs.CreateQueueInput{QueueName: &name}
	if strings.HasSuffix(name, ".fifo") {
		in.Attributes = map[string]string{"FifoQueue": "true"}
	}
	if _, err := queues.CreateQueue(ctx, in); err != nil {
		return fmt.Errorf("creating queue %q: %w", name, err)
	}
	return nil
}

// announce prints the line that scripts wait for, and a first command to try. The command names the
// endpoint itself, because version 1 of the AWS CLI ignores AWS_ENDPOINT_URL_SQS.
func announce(w io.Writer, endpoint string, names []string) {
	try := "create-queue --queue-name orders"
	if len(names) > 0 {
		try = "get-queue-url --queue-name " + names[0]
	}
	_, _ = fmt.Fprintf(w, "sqslocal: ready at %s\n", endpoint)
	_, _ = fmt.Fprintf(w, "try: AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any aws --region us-east-1 --endpoint-url %s sqs %s\n", endpoint, try)
}

// delayed makes every call take d longer. A caller that goes away is not waited for.
func delayed(h http.Handler, d time.Duration) http.Handler {
	if d == 0 {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		wait := time.NewTimer(d)
		defer wait.Stop()
		select {
		case <-wait.C:
			h.ServeHTTP(w, r)
		case <-r.Context().Done():
			panic(http.ErrAbortHandler) // an empty answer would be taken for a success
		}
	})
}

// serve answers until ctx is done. Then the open long polls end, since their contexts come from
// this one, and what is being written is waited for.
func serve(ctx context.Context, listener net.Listener, h http.Handler) error {
	polls, endPolls := context.WithCancel(context.WithoutCancel(ctx))
	defer endPolls()
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return polls },
	}

	var wg sync.WaitGroup
	defer wg.Wait()
	stopped := make(chan struct{})
	defer close(stopped)
	wg.Go(func() {
		select {
		case <-stopped:
			return
		case <-ctx.Done():
		}
		endPolls()
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		if server.Shutdown(limit) != nil {
			_ = server.Close() // whoever still reads has had its time
		}
	})

	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving %s: %w", listener.Addr(), err)
	}
	return nil
}
