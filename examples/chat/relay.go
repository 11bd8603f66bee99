package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// An event tells the queue that there is a message. It says which, not what: text
// stays in the database.
type event struct {
	Message string `json:"message"` // its id
}

// A sender is what the relay needs of *sqs.Client.
type sender interface {
	SendMessage(ctx context.Context, in *sqs.SendMessageInput, optFns ...func(*sqs.Options)) (*sqs.SendMessageOutput, error)
}

// A relay fires an event for each message in the database, in the messages' order.
//
// Writing a message and firing its event are two steps, and the process may die
// between them. So it is not the one who posts that fires, but the relay, which
// looks into the database: when it starts it fires for every message that is in
// nobody's notification queue, and after that for each new one. That makes the
// message table an outbox. Firing twice does no harm: the queue drops an event that
// it saw in the last five minutes, by its deduplication id, and the notification
// queue takes each message once.
//
// There is one relay, and it fires one event after the other, since two senders
// could overtake each other.
type relay struct {
	store    *store
	queue    sender
	queueURL string
	log      *slog.Logger
	news     chan struct{} // of capacity 1: there may be new messages

	calls atomic.Int64 // of SendMessage
	sent  tally
}

func newRelay(s *store, queue sender, queueURL string, log *slog.Logger) *relay {
	return &relay{store: s, queue: queue, queueURL: queueURL, log: log, news: make(chan struct{}, 1)}
}

// wake tells the relay that there is a new message. It never waits.
func (r *relay) wake() {
	select {
	case r.news <- struct{}{}:
	default: // it has been told, and not looked yet
	}
}

// run fires events until ctx is done. What it has not fired by then it fires when
// it runs again.
func (r *relay) run(ctx context.Context) {
	var fired int64 // seq of the newest message that has its event
	pause := shortestPause
	for ctx.Err() == nil {
		var again <-chan time.Time
		err := r.fire(ctx, &fired)
		switch {
		case err == nil:
			pause = shortestPause
		case ctx.Err() == nil:
			r.log.Warn("firing an event", "again in", pause, "err", err)
			again = time.After(pause)
			pause = min(2*pause, longestPause)
		}
		select {
		case <-ctx.Done():
		case <-r.news: // after an error too: who sends once more does not want to wait
		case <-again:
		}
	}
}

// Between tries, when the queue or the database does not answer.
const (
	shortestPause = 100 * time.Millisecond
	longestPause  = 5 * time.Second
)

// fire fires an event for each message after fired, which it advances.
func (r *relay) fire(ctx context.Context, fired *int64) error {
	for {
		messages, err := r.store.unannounced(ctx, *fired)
		if len(messages) == 0 || err != nil {
			return err
		}
		for _, m := range messages {
			if err := r.fireOne(ctx, m); err != nil {
				return fmt.Errorf("message %s: %w", m.ID, err)
			}
			*fired = m.seq
		}
	}
}

func (r *relay) fireOne(ctx context.Context, m message) error {
	body, err := json.Marshal(event{Message: m.ID})
	if err != nil {
		return err
	}
	r.calls.Add(1)
	r.sent.begin(m.ID)
	_, err = r.queue.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl:               &r.queueURL,
		MessageBody:            new(string(body)),
		MessageGroupId:         new(m.conversation()), // in order within, in parallel between
		MessageDeduplicationId: new(m.ID),
	}, once)
	if err == nil {
		r.sent.confirm(m.ID)
	}
	return err
}

// once makes a call one request: it is run that tries again, and each try is counted.
func once(o *sqs.Options) { o.Retryer = aws.NopRetryer{} }
