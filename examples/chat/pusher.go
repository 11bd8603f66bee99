package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/sluice-go/sluice"
)

// A pusher turns events into entries of notification queues, each as it happens.
type pusher struct {
	notify func(ctx context.Context, message string) (recipient string, err error) // may be told twice of a message
	wake   func(user string)                                                       // there is something new for that user
	arrive func(message string)                                                    // its event has come out of the queue
	log    *slog.Logger
	hooks  sluice.Hooks // for the page that draws the queue
}

// consumer returns a Consumer that hands over each event as soon as it arrives.
// The queue is a FIFO queue: of one conversation it hands over one event at a time,
// in order, and one that failed again before the next; conversations go on beside
// each other. Deletes do not wait to share a call, since the queue keeps what comes
// next in a conversation until then.
func (p *pusher) consumer(client sluice.Client, queueURL string, poll time.Duration) (*sluice.Consumer, error) {
	return sluice.New(client, queueURL, sluice.Options{
		BatchSize:    1,
		Concurrency:  50,
		PollTime:     poll,
		RetryDelay:   retryDelay,
		DeleteLinger: -1,
		Logger:       p.log,
		Hooks:        p.hooks,
	})
}

// retryDelay keeps the conversation waiting for no longer than it must: two people
// look at it.
func retryDelay(m *sluice.Message, _ error) time.Duration {
	const doublings = 4 // 1 s, 2 s, ... 16 s
	return time.Second << min(m.Attempt-1, doublings)
}

// handler returns what the consumer calls for each event.
func (p *pusher) handler() sluice.Handler {
	return sluice.JSON(func(ctx context.Context, e event) error {
		p.arrive(e.Message)
		recipient, err := p.notify(ctx, e.Message)
		if errors.Is(err, errUnknown) {
			// Of another database, which may be gone: to wait would hold up the
			// conversation, and there is nothing to show.
			p.log.Error("an event without a message is dropped", "message", e.Message)
			return sluice.Discard(err)
		}
		if err != nil {
			return err
		}
		p.wake(recipient)
		return nil
	})
}
