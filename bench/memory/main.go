// Memory measures what a consumer of large messages needs: a backlog of 1 MiB
// bodies in a server process of its own, 50 handlers, and the default bounds.
//
//	go run ./bench/memory
//
// It reports whether the target of the project is met, and exits with 1 if not.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

const (
	variable = "SLUICE_MEMORY_SERVER" // set in the server's process
	handlers = 50
	takes    = 20 * time.Millisecond
	target   = 512 << 20 // bytes that may be resident
)

func main() {
	n := flag.Int("n", 5000, "messages of the backlog")
	flag.Parse()
	log.SetFlags(0)
	run := func(ctx context.Context) error { return measure(ctx, *n) }
	if os.Getenv(variable) != "" {
		run = serve
	}
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

// serve is the server's process. It tells its address and ends by being killed.
func serve(ctx context.Context) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	fmt.Println(l.Addr())
	return http.Serve(l, sqstest.New()) // on loopback, for the time of a measurement
}

func measure(ctx context.Context, n int) error {
	address, stop, err := server(ctx)
	if err != nil {
		return err
	}
	defer stop()
	client := sluice.NewClient(aws.Config{
		Region: "us-east-1", BaseEndpoint: new("http://" + address),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "b"}, nil
		}),
	})
	queue, err := client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: new("large")})
	if err != nil {
		return fmt.Errorf("creating the queue: %w", err)
	}
	if err := fill(ctx, client, queue.QueueUrl, n); err != nil {
		return err
	}
	before := peak()
	consumer, err := sluice.New(client, *queue.QueueUrl, sluice.Options{Concurrency: handlers, MaxMessages: n})
	if err != nil {
		return fmt.Errorf("making the consumer: %w", err)
	}
	began := time.Now()
	err = consumer.Run(ctx, func(context.Context, []*sluice.Message) error {
		time.Sleep(takes)
		return nil
	})
	if err != nil {
		return fmt.Errorf("consuming: %w", err)
	}
	took, most := time.Since(began), peak()
	fmt.Printf("%d messages of 1 MiB in %v, %d deleted; resident at most: %d MiB (%d MiB before, after sending them)\n",
		n, took.Round(time.Millisecond), consumer.Stats().Deleted, most>>20, before>>20)
	return judge(most)
}

// judge prints whether the target is met.
func judge(most int64) error {
	figure := fmt.Sprintf("RSS ≤ %d MiB: %d MiB", target>>20, most>>20)
	if most > target {
		return fmt.Errorf("not met  %s", figure)
	}
	fmt.Printf("met      %s\n", figure)
	return nil
}

// server starts the server's process.
func server(ctx context.Context) (address string, stop func(), err error) {
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), variable+"=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return "", nil, fmt.Errorf("starting the server: %w", err)
	}
	stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	}
	if _, err := fmt.Fscanln(out, &address); err != nil {
		stop()
		return "", nil, fmt.Errorf("reading the server's address: %w", err)
	}
	return address, stop, nil
}

// fill sends n messages, a few at once.
func fill(ctx context.Context, client *sqs.Client, url *string, n int) error {
	body := strings.Repeat("x", 1<<20)
	var senders sync.WaitGroup
	failed := make(chan error, n)
	free := make(chan struct{}, 4)
	for range n {
		free <- struct{}{}
		senders.Go(func() {
			defer func() { <-free }()
			if _, err := client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: url, MessageBody: &body}); err != nil {
				failed <- fmt.Errorf("sending: %w", err)
			}
		})
	}
	senders.Wait()
	close(failed)
	return <-failed
}

// peak is the most memory that was resident, in bytes.
func peak() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return usage.Maxrss << 10 // Linux counts in KiB
}
