package sockets

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/sluice-go/sluice"
)

// childVariable is the environment variable that makes a child of the test's
// program, and has its spec.
const childVariable = "SLUICE_SOCKETS_CHILD"

// A spec tells a child what to do. Where SQS is, it reads from the environment, as
// users' programs do.
type spec struct {
	Number     int           `json:"number"`
	Queues     []string      `json:"queues"` // URLs
	Batch      int           `json:"batch"`  // BatchSize
	Visibility time.Duration `json:"visibility"`
	Log        string        `json:"log"` // file for what was handled
}

// consume is the child: a program that handles messages until it is asked to end.
func consume(text string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var s spec
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return fmt.Errorf("reading the spec: %w", err)
	}
	handled, err := os.OpenFile(s.Log, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	client := sluice.NewClient(cfg)
	errs := make([]error, len(s.Queues))
	var runs sync.WaitGroup
	go endWithParent()
	fmt.Println(ready)
	for i, queue := range s.Queues {
		consumer, err := sluice.New(client, queue, sluice.Options{
			BatchSize: s.Batch, WaitTime: 100 * time.Millisecond, VisibilityTimeout: s.Visibility, PollTime: time.Second,
		})
		if err != nil {
			return err
		}
		runs.Go(func() { errs[i] = consumer.Run(ctx, s.handler(handled)) })
	}
	runs.Wait()
	return errors.Join(errs...)
}

// ready is what a child prints when a SIGTERM no longer kills it.
const ready = "ready"

// endWithParent ends the process when the one that started it has: that is when its
// standard input ends. It goes on for as long as the process.
func endWithParent() {
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(3)
}

// handler does some work and writes down what it has handled.
func (s *spec) handler(handled *os.File) sluice.Handler {
	return func(ctx context.Context, batch []*sluice.Message) error {
		select {
		case <-time.After(work()):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		records := make([]byte, 0, len(batch)*recordSize)
		for _, m := range batch {
			records = append(records, s.record(m.ID)...)
		}
		_, err := handled.Write(records)
		return err
	}
}

// work is how long a handler call takes: a little, and now and then so long that a
// stop has to wait for it.
func work() time.Duration {
	if rand.IntN(500) == 0 {
		return 300 * time.Millisecond
	}
	return time.Duration(rand.Int64N(int64(4 * time.Millisecond)))
}

// recordSize is the length of each record in bytes: a power of two, so that none
// lies across two pages of the file, of which a kill could leave the first alone.
const recordSize = 64

func (s *spec) record(id string) string { return fmt.Sprintf("%6d %-56s\n", s.Number, id) }

// handling is a record read back: who has handled which message.
type handling struct {
	child int
	id    string
}

// readLog returns the records of a log in their order.
func readLog(file string) ([]handling, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	list := make([]handling, 0, len(text)/recordSize)
	for ; len(text) >= recordSize; text = text[recordSize:] {
		var h handling
		if _, err := fmt.Sscan(string(text[:recordSize]), &h.child, &h.id); err != nil {
			return nil, fmt.Errorf("record %d: %w", len(list), err)
		}
		list = append(list, h)
	}
	if len(text) > 0 {
		return nil, fmt.Errorf("after %d records there are %d bytes more", len(list), len(text))
	}
	return list, nil
}
