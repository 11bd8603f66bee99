// Sqslocal serves an SQS in memory over HTTP, for the clients of any language: tests, demos and
// benchmarks that need queues but no account.
//
//	go run ./sqstest/sqslocal -addr 127.0.0.1:9324 -queue orders -queue payments.fifo
//
// Everything is gone when it stops. It checks no credentials, and so listens on loopback only,
// unless -public says that this is wanted. The region of a call is the one that its client is set
// to, as with the service: -region is only where -queue makes its queues. GET /health answers 200.
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
	"regexp"
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

const intro = `Sqslocal serves an SQS in memory over HTTP, for the clients of any language.
Everything is gone when it stops.

	sqslocal -queue orders -queue payments.fifo

Programs find it by AWS_ENDPOINT_URL_SQS=http://127.0.0.1:9324, or by the endpoint
in their client's options. They need credentials, which may be any, and a region,
which may be any: queues of different regions know nothing of each other.

`

// errUsage is a mistake in the command line, which has been printed.
var errUsage = errors.New("usage")

// config is the command line.
type config struct {
	addr    string
	public  bool
	region  string
	account string
	latency time.Duration
	delay   time.Duration // of large answers
	queues  []string
}

func parse(args []string, stderr io.Writer) (config, error) {
	var c config
	flags := flag.NewFlagSet("sqslocal", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		_, _ = io.WriteString(stderr, intro)
		flags.PrintDefaults()
	}
	flags.StringVar(&c.addr, "addr", "127.0.0.1:9324", "host:port to listen on; port 0 takes a free one")
	flags.BoolVar(&c.public, "public", false, "allow an -addr that other machines can reach; no credentials are checked")
	flags.StringVar(&c.region, "region", "us-east-1", "`name` of the region of the queues that -queue makes, and of calls without a signature")
	flags.StringVar(&c.account, "account", "000000000000", "`id` of the account of all calls, but for those whose access key id is the 12 digits of another one")
	flags.DurationVar(&c.delay, "delay", 2*time.Millisecond, "let answers of more than 4 kB to aws-sdk-go-v2 wait for this `duration`: that SDK loses some of those\n"+
		"that come faster than any network brings them, with their messages; 0 switches it off")
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
	if mistake := c.mistake(); mistake != "" {
		_, _ = fmt.Fprintf(stderr, "sqslocal: %s\n", mistake)
		return c, errUsage
	}
	return c, nil
}

var (
	regions  = regexp.MustCompile(`^[a-z0-9-]{1,63}$`)
	accounts = regexp.MustCompile(`^[0-9]{12}$`)
)

// mistake says which flag has a value that it cannot have; "" for none.
func (c *config) mistake() string {
	switch {
	case c.latency < 0:
		return fmt.Sprintf("-latency is %v, want at least 0", c.latency)
	case c.delay < 0:
		return fmt.Sprintf("-delay is %v, want at least 0", c.delay)
	case !regions.MatchString(c.region):
		return fmt.Sprintf("-region is %q, want lower-case letters, digits and hyphens, such as eu-west-1", c.region)
	case !accounts.MatchString(c.account):
		return fmt.Sprintf("-account is %q, want 12 digits", c.account)
	}
	return ""
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
	queues := sqstest.New(sqstest.Region(c.region), sqstest.Account(c.account),
		sqstest.LargeAnswerDelay(c.delay-c.latency)) // a call waits for its latency, too
	for _, name := range c.queues {
		if err := create(ctx, queues, name); err != nil {
			return err
		}
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.addr)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", c.addr, err)
	}
	announce(stdout, "http://"+reachable(listener.Addr()), &c)
	return serve(ctx, listener, withHealth(delayed(queues, c.latency)))
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

// announce prints the line that scripts wait for, a first command to try, and what a program needs.
// The command names the endpoint itself, because version 1 of the AWS CLI ignores AWS_ENDPOINT_URL_SQS.
func announce(w io.Writer, endpoint string, c *config) {
	try := "create-queue --queue-name orders"
	if len(c.queues) > 0 {
		try = "get-queue-url --queue-name " + c.queues[0]
	}
	_, _ = fmt.Fprintf(w, "sqslocal: ready at %s\n", endpoint)
	_, _ = fmt.Fprintf(w, "try: AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any aws --region %s --endpoint-url %s sqs %s\n", c.region, endpoint, try)
	_, _ = fmt.Fprintf(w, "for programs: AWS_ENDPOINT_URL_SQS=%s AWS_REGION=%s AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any\n", endpoint, c.region)
}

// withHealth answers GET /health, for whoever waits until the server is up.
func withHealth(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/health" || r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "ok\n")
	})
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
