package lambdasluice

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

const (
	defaultBatchSize   = 1  // as in sluice.Options
	defaultConcurrency = 10 // as in sluice.Options
	defaultMargin      = time.Second
	maxBatchSize       = 10_000 // of an event source mapping (Lambda, "Creating and configuring an Amazon SQS event source mapping")
)

// A Client makes the calls that carry out what a handler says of a message. *sqs.Client is one. Its
// methods are called concurrently.
type Client interface {
	ChangeMessageVisibilityBatch(ctx context.Context, in *sqs.ChangeMessageVisibilityBatchInput, optFns ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error)
	SendMessage(ctx context.Context, in *sqs.SendMessageInput, optFns ...func(*sqs.Options)) (*sqs.SendMessageOutput, error)
}

// Options are the options of [Handler]. The zero value works: each message is handled by itself, ten
// at once, as with the zero [sluice.Options].
type Options struct {
	// BatchSize is how many messages a call of the handler gets at most, 1 to 10,000. 0 means 1. How
	// many messages an event has is set in the event source mapping.
	BatchSize int

	// Concurrency is how many calls of the handler run at once, 1 or more. 0 means 10. On a FIFO
	// queue messages of one message group are never handled at the same time.
	Concurrency int

	// Margin is how long before the deadline of the function the contexts of handlers end, with
	// [sluice.ErrShutdown] as the cause. It is for handlers to return, and for visibility changes.
	// 0 means 1 s. It is cut to half of the time that is left when the function is called.
	Margin time.Duration

	// Client carries out [sluice.RetryAfter] and [sluice.DeadLetter]. Its region must be the queue's.
	// nil means that messages with either are reported and come back after the queue's visibility
	// timeout.
	Client Client

	// DeadLetterQueueURL is the URL of the queue to which [sluice.DeadLetter] sends messages. "" means
	// none: such messages fail as any others. It needs a Client. Dead letters have the attributes that
	// sluice.DeadLetter describes.
	DeadLetterQueueURL string

	// ReportAllFailed says what the function returns if all messages of an event failed. false means
	// an error, so that the metric Errors of the function counts the call. true means a report, as if
	// only some had failed. The messages come back in both cases.
	ReportAllFailed bool

	// Logger gets at most one line of each kind for each event. No line has a body, an attribute value
	// or a receipt handle. nil means slog.Default().
	Logger *slog.Logger
}

// withDefaults returns o with each zero field set to what it means.
func (o Options) withDefaults() Options {
	if o.BatchSize == 0 {
		o.BatchSize = defaultBatchSize
	}
	if o.Concurrency == 0 {
		o.Concurrency = defaultConcurrency
	}
	if o.Margin == 0 {
		o.Margin = defaultMargin
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

// validate returns all that is wrong with o.
func (o *Options) validate() error {
	var wrong []error
	if o.BatchSize < 1 || o.BatchSize > maxBatchSize {
		wrong = append(wrong, fmt.Errorf("lambdasluice: BatchSize is %d, want 1 to %d", o.BatchSize, maxBatchSize))
	}
	if o.Concurrency < 1 {
		wrong = append(wrong, fmt.Errorf("lambdasluice: Concurrency is %d, want at least 1", o.Concurrency))
	}
	if o.Margin < 0 {
		wrong = append(wrong, fmt.Errorf("lambdasluice: Margin is %v, want at least 0", o.Margin))
	}
	if to := o.DeadLetterQueueURL; to != "" {
		u, err := url.Parse(to)
		if err != nil || u.Host == "" || strings.Trim(u.Path, "/") == "" {
			wrong = append(wrong, fmt.Errorf("lambdasluice: DeadLetterQueueURL is %q, want the URL of a queue, such as https://sqs.eu-central-1.amazonaws.com/123456789012/orders-dead", to))
		}
		if o.Client == nil {
			wrong = append(wrong, errors.New("lambdasluice: DeadLetterQueueURL is set but Client is nil, want a client to send with"))
		}
	}
	return errors.Join(wrong...)
}
