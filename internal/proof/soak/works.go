package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sluice-go/sluice"
)

// round is how long the consumers work between two rests.
const round = 5 * time.Second

// works are the consumers, and what was seen of them.
type works struct {
	transport *http.Transport // of the SDK's client
	consumers []*consumer

	began  time.Time
	busy   []sample // each second, while consumers work
	rested []sample // between rounds
	runs   int
}

// A consumer is one of the consumers with its queue.
type consumer struct {
	*sluice.Consumer

	name    string
	book    *book
	handler sluice.Handler
}

func newWorks(endpoint string, s settings) *works {
	w := &works{busy: room(int(s.duration/time.Second) + 600), rested: room(int(s.duration/round) + 100)}
	client := w.client(endpoint)
	for _, name := range names {
		opts := sluice.Options{
			VisibilityTimeout: 6 * time.Second, PollTime: 2 * time.Second, InPlaceTries: 2,
			RetryDelay:         func(*sluice.Message, error) time.Duration { return time.Second },
			DeadLetterQueueURL: endpoint + "/000000000000/" + deadOf(name),
			Logger:             slog.New(slog.DiscardHandler),
			Hooks: sluice.Hooks{
				Call: func(sluice.CallEvent) {}, Batch: func(sluice.BatchEvent) {}, Health: func(sluice.Health) {},
			},
		}
		if strings.HasPrefix(name, "batches") {
			opts.BatchSize, opts.WaitTime = 50, 500*time.Millisecond
		}
		c, err := sluice.New(client, endpoint+"/000000000000/"+name, opts)
		if err != nil {
			panic(err) // a mistake of this program
		}
		most := int(s.duration.Seconds()+1) * s.rate // all could be this queue's
		one := &consumer{Consumer: c, name: name, book: newBook(most)}
		one.handler = sluice.Each(one.book.handle)
		w.consumers = append(w.consumers, one)
	}
	return w
}

// client returns the SDK's client as [sluice.NewClient] makes it, but that the idle
// connections can be closed.
func (w *works) client(endpoint string) *sqs.Client {
	cfg := aws.Config{
		Region: "us-east-1", BaseEndpoint: &endpoint,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "made", SecretAccessKey: "up"}, nil
		}),
	}
	return sluice.NewClient(cfg, func(o *sqs.Options) {
		if stock, ok := o.HTTPClient.(*awshttp.BuildableClient); ok {
			w.transport = stock.GetTransport()
			o.HTTPClient = &http.Client{Transport: w.transport}
		}
	})
}

// work lets the consumers work under load, and then without until the queues are empty.
func (w *works) work(ctx context.Context, queues *server, s settings, goroutines int) error {
	var r report
	if err := queues.ask(fmt.Sprint("load ", s.rate), &r); err != nil {
		return err
	}
	w.began = time.Now()
	for time.Since(w.began) < s.duration {
		if err := w.round(ctx, goroutines); err != nil {
			return err
		}
	}
	if err := queues.ask("calm", &r); err != nil {
		return err
	}
	for patience := time.Now().Add(time.Minute); r.left() > 0 && time.Now().Before(patience); {
		if err := w.round(ctx, goroutines); err != nil {
			return err
		}
		if err := queues.ask("report", &r); err != nil {
			return err
		}
	}
	return nil
}

func (r *report) left() (n int) {
	for _, q := range r.Queues {
		n += q.Left
	}
	return n
}

// round lets all consumers work for a while and then rest.
func (w *works) round(ctx context.Context, goroutines int) error {
	if ctx.Err() != nil {
		return fmt.Errorf("it was ended after %v: %w", time.Since(w.began).Round(time.Second), ctx.Err())
	}
	ctx, cancel := context.WithTimeout(ctx, round)
	defer cancel()
	errs := make([]error, len(w.consumers)+1)
	var working, watching sync.WaitGroup
	for i, c := range w.consumers {
		working.Go(func() { errs[i] = c.turn(ctx) })
	}
	done := make(chan struct{})
	watching.Go(func() { errs[len(w.consumers)] = w.watch(done) })
	working.Wait()
	close(done)
	watching.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	w.runs += 2 * len(w.consumers)
	rested, err := w.rest(goroutines)
	w.rested = append(w.rested, rested)
	return err
}

// turn runs a consumer, stops it, and runs it again until ctx is done. Now and then
// it is paused for a moment.
func (c *consumer) turn(ctx context.Context) error {
	first, stop := context.WithTimeout(ctx, round/4+rand.N(round/2))
	defer stop()
	if err := c.Run(first, c.handler); err != nil {
		return fmt.Errorf("running the consumer of %s: %w", c.name, err)
	}
	pause := time.AfterFunc(rand.N(round), c.Pause)
	defer pause.Stop()
	resume := time.AfterFunc(rand.N(round), c.Resume)
	defer c.Resume()
	defer resume.Stop()
	if err := c.Run(ctx, c.handler); err != nil {
		return fmt.Errorf("running the consumer of %s once more: %w", c.name, err)
	}
	return nil
}

// watch takes a sample each second.
func (w *works) watch(done <-chan struct{}) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-done:
			return nil
		}
		s, err := w.look()
		if err != nil {
			return err
		}
		w.busy = append(w.busy, s)
	}
}

// rest closes the idle connections, waits until what is ending has ended, down to so
// many goroutines, and measures. Nothing is running then.
func (w *works) rest(goroutines int) (sample, error) {
	const patience = 5 * time.Second // the ends of connections are noticed by goroutines of their own
	for end := time.Now().Add(patience); ; {
		w.transport.CloseIdleConnections()
		if runtime.NumGoroutine() <= goroutines || time.Now().After(end) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	release()
	return w.look()
}
