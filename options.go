package sluice

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice/internal/engine"
	"github.com/sluice-go/sluice/internal/seam"
	"github.com/sluice-go/sluice/internal/sqsapi"
)

// Limits of SQS that options are held to.
const (
	maxBatchSize  = 10_000         // ours: a batch that needs more than 1,000 receives is a job for a database
	maxInFlight   = 120_000        // messages of one queue; SQS gives no more (developer guide, "Message quotas")
	maxVisibility = 12 * time.Hour // of one receive, however often it is extended (ChangeMessageVisibility)
	maxPoll       = 20 * time.Second
	maxBody       = 1 << 20 // bytes of a message with its attributes (since August 2025)
)

const (
	defaultBatchSize       = 1
	defaultWaitTime        = time.Second
	defaultConcurrency     = 10
	defaultBatchBytes      = 64 << 20
	defaultBytesInFlight   = 64 << 20
	defaultReceivers       = 46               // with each more the end of a backlog costs one more receive that is empty
	defaultVisibility      = 30 * time.Second // SQS's own default
	defaultPollTime        = maxPoll
	defaultShutdownTimeout = 25 * time.Second // Kubernetes kills after 30 s
	defaultLinger          = 50 * time.Millisecond
	defaultInPlaceTries    = 10
	defaultInPlaceTime     = 15 * time.Minute
	defaultGiveUpAfter     = 5 * time.Minute // a change of a policy or a key takes seconds to minutes to be known everywhere
	longestRetryDelay      = 15 * time.Minute
)

// Options are the options of a [Consumer]. The zero value works: each event is handled as soon as it
// arrives, ten at once. [New] fails if a value cannot work, and its error has all such values. Times
// that do not fit each other are shortened where the field says so. A Consumer keeps a copy.
type Options struct {
	// BatchSize is how many messages a full batch has, 1 to 10,000. 0 means 1: each event is
	// handled as soon as it arrives.
	BatchSize int

	// WaitTime is how long a batch may wait to fill, from 1 ms to 11 h. It counts from the arrival
	// of the first message. A batch is handed over when it is full or when its wait time is
	// over, whichever comes first. 0 means 1 s. At a batch size of 1 it has no effect.
	//
	// Messages that trickle in are left in the queue for a while, so that each receive brings
	// several: for at most half of the wait time, for at most 5 s, and no more than about 100
	// messages. A batch that could be full is noticed that much later. Once messages are
	// older than that, none are left.
	WaitTime time.Duration

	// BatchBytes is how large a batch may be, in bytes of bodies and attributes. A batch is handed
	// over when the next message would make it larger. A single message that is larger is a
	// batch of its own. 0 means 64 MiB.
	BatchBytes int

	// Concurrency is how many handler calls run at once, 1 to 120,000. 0 means 10.
	Concurrency int

	// BytesInFlight is how many bytes of bodies and attributes are held at most, 1 MiB or more. 0
	// means 64 MiB. Before a receive, each message that it asks for counts as large as the
	// largest of the latest ones. If bodies suddenly are larger, the receives that are out may
	// bring more, 10 MiB each at most. Then nothing is received until there is room. Messages
	// beyond those that a receive asked for are made visible again.
	BytesInFlight int

	// Receivers is how many receives may be out at once, 1 to 1,000. 0 means 46. As many deletes
	// may be out at once, or four if that is more.
	//
	// One receive is out while the queue is idle. How long messages wait in the queue decides how
	// many more are out. Up to 16 are, so that a receive waits whenever a message is sent.
	// More than 16 are out if messages would else wait for more than about two round trips. If
	// more receives only take longer, they become fewer. In batches as many are out as bring
	// what is in the queue.
	//
	// With 20 ms for a call, 46 receivers bring up to 23,000 messages a second. They bring fewer
	// where SQS answers with fewer than ten.
	Receivers int

	// VisibilityTimeout is how long SQS hides a message after a receive and after each renewal:
	// whole seconds, 2 s to 12 h. 0 means 30 s, whatever the queue's own is. It is renewed at
	// about half, for as long as the message is held. So it need not cover the time of a
	// handler. It is the time after which the messages of a process that died are received
	// again.
	//
	// Handlers that compute keep renewals waiting for a processor: some 10 ms for each that
	// computes on the same one. The timeout should be 12.5 times that wait or more. So 200 such
	// handlers on one processor need 25 s. If the wait is too long, a log line and
	// [Health.ProcessorWait] show it.
	//
	// Leases go on while the machine sleeps, as the wall clock does. A wall clock that is set
	// forward by 5 s shortens leases by 5 s. One that is set back changes nothing.
	VisibilityTimeout time.Duration

	// PollTime is how long one receive waits at SQS for a first message: whole seconds, 1 s to
	// 20 s. 0 means 20 s. It is shortened to two thirds of VisibilityTimeout and to four fifths
	// of ShutdownTimeout, but not below 1 s, and where messages take seconds to arrive, so that
	// one that comes late has some of its lease left. A stop waits for the receives that are out,
	// so tests may want a shorter one.
	PollTime time.Duration

	// HandlerTimeout is how long one handler call may take, up to 12 h. After it the call's context
	// ends with [ErrHandlerTimeout] as its cause. The visibility timeouts of its messages are
	// renewed no more. Its slot is taken until it returns. 0 means no limit but SQS's 12 h.
	HandlerTimeout time.Duration

	// RetryDelay returns how long a message that failed stays hidden before it is handled again. It
	// is not asked if the error says so itself, by [RetryAfter], or has a [Discard]. It is called
	// once for each message that failed, after the handler has returned. The goroutine of the
	// handler call waits for it, and the slot is not free before. Several calls may run at once.
	//
	// A delay is cut to what SQS allows, 12 h from the receive. Less than 0 means 0: at once. If
	// RetryDelay panics, the delay is VisibilityTimeout.
	//
	// nil means VisibilityTimeout, doubled with each attempt ([Message.Attempt]), 10 % more or
	// less. The delay grows up to 15 min, or up to VisibilityTimeout if that is longer. So a
	// message that fails does not hurry towards its dead-letter queue.
	RetryDelay func(m *Message, err error) time.Duration

	// OnGroupFailure is what happens to the message group of a message that failed, on a FIFO
	// queue. The zero value is [GroupRetryInPlace]. On a standard queue it has no effect.
	OnGroupFailure GroupFailure

	// InPlaceTries and InPlaceTime bound [GroupRetryInPlace]: how many times a message is handled
	// before its group is given back, and for how long. 0 means 10 times and 15 min. The time
	// may be 1 ms to 11 h.
	InPlaceTries int
	InPlaceTime  time.Duration

	// DeadLetterQueueURL is the URL of the queue to which [DeadLetter] sends messages. "" means
	// none: such messages fail as any others. The [Client] must have SendMessage, as *sqs.Client
	// has. The queue is another one than the consumer's, in the same region. It is a standard queue
	// if the consumer's is one: messages without a group cannot go to a FIFO queue.
	//
	// To SQS a dead letter is a new message, for which it knows no source. So a move back by
	// StartMessageMoveTask needs its DestinationArn. See [DeadLetter] for what such a message has.
	DeadLetterQueueURL string

	// ReceiveLinger is how long messages may stay in the queue so that each receive brings
	// several, up to 10 s. It is for a batch size of 1. In larger batches it has no effect, see
	// WaitTime, nor in a [Consumer.Drain]. 0 means that none stay there for that. At 100 messages
	// a second 50 ms save four of five receives. Half of all events are handled 30 ms later then.
	ReceiveLinger time.Duration

	// DeleteLinger is how long a delete waits for others to share its call, up to 10 s. Handlers do
	// not wait for it.
	//
	//   - A positive one is the time that each delete may wait. At 40 messages a second 200 ms
	//     save nine of ten delete calls.
	//   - 0 means up to 50 ms while others are likely to come: other messages are being handled,
	//     or messages come often enough. Else deletes do not wait.
	//   - A negative one means that deletes do not wait.
	//
	// On a FIFO queue a delete does not wait while others of its message group are held: they
	// wait for it. With 0 it also does not wait if others of the group may be in the queue. The
	// message's age shows that, and the answer that brought it.
	DeleteLinger time.Duration

	// ShutdownTimeout is how long handlers may go on after Run's context is done, 1 ms to 12 h. 0
	// means 25 s, which fits into the 30 s that Kubernetes gives. It goes on while the machine
	// sleeps.
	//
	// After it the contexts of handlers end with [ErrShutdown] as the cause. What has not begun is
	// made visible again, in as many calls at once as that needs, up to 512. Run returns within
	// 3 s more, whatever handlers do. A receive that is out is waited for, for 1.5 s even if
	// ShutdownTimeout is shorter: if it were cut, its messages would stay hidden.
	ShutdownTimeout time.Duration

	// GiveUpAfter is how long a run goes on while SQS refuses: access is denied, the queue's key
	// cannot be used, or the queue does not exist. 0 means 5 min. A negative one means for ever. A
	// run that has not received yet ends at the first refusal.
	//
	// A refusal may pass, as when a policy changes or a queue is replaced. Receives are then tried
	// again every 1 s to 30 s. Deletes and renewals are tried again as long as the lease lasts.
	// [Consumer.Health] says [StateRefused] meanwhile. Run ends when receives, deletes or visibility
	// changes were refused for so long and were not granted once. Dead letters that were refused
	// for so long are given back, and Run goes on. See docs/errors.md for each error.
	GiveUpAfter time.Duration

	// MaxMessages is how many messages a run receives at most. Then it finishes them, as at a stop,
	// and ends. Handlers have ShutdownTimeout from the arrival of the last message on. What fails
	// waits for its next try in the queue. On a FIFO queue so does what is behind it in its
	// group. 0 means no bound.
	MaxMessages int

	// MaxDuration is how long a run goes on at most. Then it ends as if its context were done. 0
	// means no bound.
	MaxDuration time.Duration

	// SystemAttributes are attributes of SQS to ask for, besides those that [Message] has fields
	// for. They are in [Message.SystemAttributes].
	SystemAttributes []types.MessageSystemAttributeName

	// SDKCalls makes all calls through the Client's own methods. false means that receives,
	// deletes and renewals of a plain client of the SDK are made without its middleware, with
	// the same requests. See [NewClient].
	SDKCalls bool

	// Logger gets a line about what a person may want to know. docs/operations.md has them all. No
	// line has a body, an attribute value or a receipt handle. During a run the goroutine of the
	// hooks calls it. nil means slog.Default().
	Logger *slog.Logger

	// Middleware wraps the handler of each run. The first is the outermost: it is called first, and
	// sees last what the handler returned. nil means none. Each is called once when a run begins.
	// See [Transform] for middleware that changes messages.
	Middleware []func(Handler) Handler

	// Hooks are called when something has happened. See [Hooks].
	Hooks Hooks

	rand  func() float64                // jitter, in [0, 1); see seam.Seams, for both
	ahead func(time.Time) time.Duration // added to what the wall clock shows
}

func init() { //nolint:gochecknoinits // package seam cannot import this one
	seam.Register(func(options any, s seam.Seams) {
		o, ok := options.(*Options)
		if !ok {
			panic(fmt.Sprintf("seam: options are a %T, want a *sluice.Options", options))
		}
		o.rand, o.ahead = s.Rand, s.WallClock
	})
}

// withDefaults returns o with each zero field set to what it means.
func (o Options) withDefaults() Options {
	orElse(&o.BatchSize, defaultBatchSize)
	orElse(&o.WaitTime, defaultWaitTime)
	orElse(&o.BatchBytes, defaultBatchBytes)
	orElse(&o.Concurrency, defaultConcurrency)
	orElse(&o.BytesInFlight, defaultBytesInFlight)
	orElse(&o.Receivers, defaultReceivers)
	orElse(&o.VisibilityTimeout, defaultVisibility)
	orElse(&o.PollTime, defaultPollTime)
	orElse(&o.ShutdownTimeout, defaultShutdownTimeout)
	orElse(&o.InPlaceTries, defaultInPlaceTries)
	orElse(&o.InPlaceTime, defaultInPlaceTime)
	orElse(&o.GiveUpAfter, defaultGiveUpAfter)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.rand == nil {
		o.rand = rand.Float64
	}
	if o.RetryDelay == nil {
		o.RetryDelay = o.defaultRetryDelay
	}
	return o
}

// pollTime is the longest that a receive waits. Its messages have some lease left when they
// arrive, although that counts from the sending, and a stop can wait for it.
func (o *Options) pollTime() time.Duration {
	return max(time.Second, min(o.PollTime, o.VisibilityTimeout*2/3, o.ShutdownTimeout*4/5).Truncate(time.Second))
}

func orElse[T comparable](v *T, otherwise T) {
	var zero T
	if *v == zero {
		*v = otherwise
	}
}

// defaultRetryDelay is the RetryDelay of the zero Options.
func (o *Options) defaultRetryDelay(m *Message, _ error) time.Duration {
	longest := max(longestRetryDelay, o.VisibilityTimeout)
	delay := o.VisibilityTimeout
	for range m.Attempt - 1 {
		delay = min(2*delay, longest)
		if delay == longest {
			break
		}
	}
	return time.Duration(float64(delay) * (0.9 + 0.2*o.rand()))
}

// validate returns all that is wrong with o, which has its defaults.
func (o Options) validate(client Client, queueURL string) faults {
	var wrong faults
	wrong.outside("BatchSize", o.BatchSize, 1, maxBatchSize)
	wrong.outside("Concurrency", o.Concurrency, 1, maxInFlight)
	wrong.outside("Receivers", o.Receivers, 1, 1000)
	wrong.outside("MaxMessages", o.MaxMessages, 0, -1)
	wrong.outside("OnGroupFailure", int(o.OnGroupFailure), int(GroupRetryInPlace), int(GroupSkip))
	wrong.outside("InPlaceTries", o.InPlaceTries, 1, -1)
	wrong.outside("BatchBytes", o.BatchBytes, 1, -1)
	wrong.outside("BytesInFlight", o.BytesInFlight, maxBody, -1)
	wrong.outsideTime("WaitTime", o.WaitTime, time.Millisecond, 11*time.Hour)
	wrong.outsideTime("VisibilityTimeout", o.VisibilityTimeout, 2*time.Second, maxVisibility) // a poll takes up to 1 s of it, at least
	wrong.outsideTime("PollTime", o.PollTime, time.Second, maxPoll)
	wrong.outsideTime("HandlerTimeout", o.HandlerTimeout, 0, maxVisibility)
	wrong.outsideTime("ShutdownTimeout", o.ShutdownTimeout, time.Millisecond, maxVisibility)
	wrong.outsideTime("InPlaceTime", o.InPlaceTime, time.Millisecond, 11*time.Hour)
	wrong.outsideTime("ReceiveLinger", o.ReceiveLinger, 0, 10*time.Second)
	wrong.outsideTime("DeleteLinger", o.DeleteLinger, -1<<63, 10*time.Second)
	wrong.outsideTime("MaxDuration", o.MaxDuration, 0, 1<<63-1)
	wrong.fraction("VisibilityTimeout", o.VisibilityTimeout)
	wrong.fraction("PollTime", o.PollTime)
	wrong.checkAttributes(o.SystemAttributes)
	wrong.checkMiddleware(o.Middleware)
	wrong.checkDeadLetterQueue(client, queueURL, o.DeadLetterQueueURL)
	return wrong
}

// faults are what is wrong: each with field, value and rule.
type faults []error

func (f *faults) add(err error) {
	if err != nil {
		*f = append(*f, err)
	}
}

// outside notes v if it is not between least and most; a negative most is none.
func (f *faults) outside(field string, v, least, most int) {
	switch {
	case v < least:
		f.add(fmt.Errorf("%s is %d, want at least %d", field, v, least))
	case most >= 0 && v > most:
		f.add(fmt.Errorf("%s is %d, want at most %d", field, v, most))
	}
}

func (f *faults) outsideTime(field string, v, least, most time.Duration) {
	switch {
	case v < least:
		f.add(fmt.Errorf("%s is %v, want at least %v", field, v, least))
	case v > most:
		f.add(fmt.Errorf("%s is %v, want at most %v", field, v, most))
	}
}

func (f *faults) checkMiddleware(all []func(Handler) Handler) {
	for i, one := range all {
		if one == nil {
			f.add(fmt.Errorf("%s[%d] is nil, want a function", "Middleware", i))
		}
	}
}

func (f *faults) fraction(field string, v time.Duration) {
	if v > 0 && v%time.Second != 0 {
		f.add(fmt.Errorf("%s is %v, want whole seconds, as SQS counts them", field, v))
	}
}

// checkURL returns what is wrong with the URL of a queue.
func checkURL(field, queueURL string) error {
	if queueURL == "" {
		return fmt.Errorf("%s is empty, want the URL of a queue, such as https://sqs.eu-central-1.amazonaws.com/123456789012/orders", field)
	}
	u, err := url.Parse(queueURL)
	if err != nil || u.Host == "" || strings.Trim(u.Path, "/") == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("%s is %q, want the URL of a queue, such as https://sqs.eu-central-1.amazonaws.com/123456789012/orders", field, queueURL)
	}
	return nil
}

// A GroupFailure is what happens to the message group of a message that failed. Only with
// [GroupSkip] is a later message of the group handled before the failed one.
type GroupFailure int

const (
	// GroupRetryInPlace keeps the failed message and those behind it, under their leases. It is
	// handled again after its delay: up to [Options.InPlaceTries] times and for
	// [Options.InPlaceTime]. Then the group is given back as with [GroupRelease]. The receive
	// counts do not rise meanwhile. So the dead-letter queue is reached only after tries times
	// maxReceiveCount. [Message.Attempt] counts the tries. A run that ends does not wait for the
	// next try, and in a [Consumer.Drain] there is none in place.
	//
	// Groups that wait hold at most half of [Options.BytesInFlight], and 60,000 messages. Beyond
	// that the groups that failed longest ago are given back, so that others find room.
	GroupRetryInPlace GroupFailure = iota
	// GroupRelease gives back the failed message, to be received again after its delay, and those
	// held behind it. SQS keeps them behind it. Their receive counts rise with each failure too.
	// So messages that have not failed may end in the dead-letter queue.
	GroupRelease
	// GroupSkip gives back the failed message and handles those behind it. The order of the group
	// is lost for that message.
	GroupSkip
)

var groupFailures = [...]string{GroupRetryInPlace: "retry in place", GroupRelease: "release", GroupSkip: "skip"}

// String returns the name of g, such as "retry in place".
func (g GroupFailure) String() string { return nameOf("GroupFailure", int(g), groupFailures[:]) }

// MarshalText returns the name of g.
func (g GroupFailure) MarshalText() ([]byte, error) { return []byte(g.String()), nil }

// UnmarshalText sets g by its name. It takes hyphens and underscores for spaces, so that it can be
// written as a flag.
func (g *GroupFailure) UnmarshalText(text []byte) error {
	name := strings.NewReplacer("-", " ", "_", " ").Replace(strings.ToLower(string(text)))
	i := slices.Index(groupFailures[:], name)
	if i < 0 {
		return fmt.Errorf("it is %q, want one of %q", text, groupFailures)
	}
	*g = GroupFailure(i)
	return nil
}

// RegisterFlags defines a flag for each option that can be written as text: -batch-size for
// BatchSize, with the prefix before it. The values that o has are the defaults. A flag with the
// value 0 means what the zero value of its field means. Whether values can work is [New]'s to say.
// For environment variables see [SetFromEnv].
func (o *Options) RegisterFlags(fs *flag.FlagSet, prefix string) {
	number := func(to *int, name, usage string) { fs.IntVar(to, prefix+name, *to, usage) }
	span := func(to *time.Duration, name, usage string) { fs.DurationVar(to, prefix+name, *to, usage) }
	number(&o.BatchSize, "batch-size", "how many messages a full batch has, 1 to 10,000; 0: 1")
	span(&o.WaitTime, "wait-time", "how long a batch may wait to fill, 1ms to 11h; 0: 1s")
	number(&o.BatchBytes, "batch-bytes", "how large a batch may be, in bytes; 0: 64 MiB")
	number(&o.Concurrency, "concurrency", "how many handler calls run at once, 1 to 120,000; 0: 10")
	number(&o.BytesInFlight, "bytes-in-flight", "how many bytes are held at most, 1 MiB or more; 0: 64 MiB")
	number(&o.Receivers, "receivers", "how many receives may be out at once, 1 to 1,000; 0: 46")
	span(&o.VisibilityTimeout, "visibility-timeout", "how long SQS hides a message after a receive and each renewal, 2s to 12h; 0: 30s")
	span(&o.PollTime, "poll-time", "how long a receive waits for a first message, 1s to 20s; 0: 20s")
	span(&o.HandlerTimeout, "handler-timeout", "how long a handler call may take, up to 12h; 0: no limit")
	fs.TextVar(&o.OnGroupFailure, prefix+"on-group-failure", o.OnGroupFailure, "what happens to the message group of a message that failed, on a FIFO queue: retry-in-place, release or skip")
	number(&o.InPlaceTries, "in-place-tries", "how many times a message is handled before its group is given back; 0: 10")
	span(&o.InPlaceTime, "in-place-time", "for how long a message is tried in place, 1ms to 11h; 0: 15m")
	fs.StringVar(&o.DeadLetterQueueURL, prefix+"dead-letter-queue-url", o.DeadLetterQueueURL, "the queue to which dead letters are sent; empty: none")
	span(&o.ReceiveLinger, "receive-linger", "how long messages may stay in the queue so that each receive brings several, up to 10s")
	span(&o.DeleteLinger, "delete-linger", "how long a delete waits for others to share its call, up to 10s; 0: up to 50ms where that pays; negative: deletes do not wait")
	span(&o.ShutdownTimeout, "shutdown-timeout", "how long handlers may go on after a stop, 1ms to 12h; 0: 25s")
	span(&o.GiveUpAfter, "give-up-after", "how long a run goes on while SQS refuses; 0: 5m; negative: for ever")
	number(&o.MaxMessages, "max-messages", "how many messages a run receives at most; 0: no bound")
	span(&o.MaxDuration, "max-duration", "how long a run goes on at most; 0: no bound")
	fs.BoolVar(&o.SDKCalls, prefix+"sdk-calls", o.SDKCalls, "make all calls through the client's own methods")
	fs.Func(prefix+"system-attributes", "attributes of SQS to ask for besides the usual ones, separated by commas", func(names string) error {
		o.SystemAttributes = nil
		for name := range strings.SplitSeq(names, ",") {
			if name = strings.TrimSpace(name); name != "" {
				o.SystemAttributes = append(o.SystemAttributes, types.MessageSystemAttributeName(name))
			}
		}
		return nil
	})
}

// SetFromEnv sets the flags that the command line has not set from environment variables, such as
// those of [os.Environ]. It is called after fs.Parse. With the prefix ORDERS_ the variable
// ORDERS_BATCH_SIZE sets the flag -batch-size. A variable that has the prefix and belongs to no flag is
// an error, which names the nearest one that does. The error has all that is wrong.
//
// Take a prefix that nobody else uses. Kubernetes gives a pod variables for each Service, such as
// ORDERS_SERVICE_HOST for one named orders, unless the pod has enableServiceLinks: false.
func SetFromEnv(fs *flag.FlagSet, prefix string, environ []string) error {
	flags, done := map[string]string{}, map[string]bool{}
	fs.VisitAll(func(f *flag.Flag) {
		flags[prefix+strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(f.Name))] = f.Name
	})
	fs.Visit(func(f *flag.Flag) { done[f.Name] = true })
	var wrong faults
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		if prefix == "" && flags[name] == "" || !strings.HasPrefix(name, prefix) {
			continue
		}
		flag, known := flags[name]
		switch {
		case !known:
			wrong.add(fmt.Errorf("the environment variable %s belongs to no flag; the nearest is %s", name, nearest(name, slices.Sorted(maps.Keys(flags)))))
		case done[flag]:
		default:
			if err := fs.Set(flag, value); err != nil {
				wrong.add(fmt.Errorf("the environment variable %s is %q: %w", name, value, err))
			}
		}
	}
	return errors.Join(wrong...)
}

// nearest returns the one of names that differs least from name.
func nearest(name string, names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return slices.MinFunc(names, func(a, b string) int { return distance(name, a) - distance(name, b) })
}

// distance is how many bytes must be inserted, deleted or replaced to make b of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

// Hooks are functions that are called when something has happened, for metrics. Any of them may be
// nil. They are called one after another, on a goroutine of their own, a little after the fact. So
// they cannot change what happens, and a span that a hook makes begins after the fact.
//
// A hook that panics, is slow or blocks does not hold up the run. Events that hooks cannot take in
// time are dropped and counted in [Stats]. What hooks are given must not be changed. Hooks may call
// the methods of the [Consumer].
type Hooks struct {
	Call      func(CallEvent)    // a call to SQS has ended
	Batch     func(BatchEvent)   // a handler call has ended
	Settled   func(SettledEvent) // messages were deleted, given back, or sent to the dead-letter queue
	LeaseLost func(LeaseEvent)   // a message became visible to others while it was held
	Stuck     func(StuckEvent)   // a handler call has not returned although its context ended long ago
	Health    func(Health)       // the state is another one; receiving and waiting for room count as one
}

// And returns hooks that call those of h and then those of others. Those of others are also
// called if those of h panic.
func (h Hooks) And(others Hooks) Hooks {
	return Hooks{
		Call: both(h.Call, others.Call), Batch: both(h.Batch, others.Batch), Settled: both(h.Settled, others.Settled),
		LeaseLost: both(h.LeaseLost, others.LeaseLost), Stuck: both(h.Stuck, others.Stuck), Health: both(h.Health, others.Health),
	}
}

// both returns a function that calls a and then b. nil stands for a function that does nothing.
func both[E any](a, b func(E)) func(E) {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	default:
		return func(e E) {
			defer b(e)
			a(e)
		}
	}
}

// hookBacklog is how many hook calls and log lines may wait.
const hookBacklog = 4096

// A CallEvent is the end of a call to SQS.
type CallEvent struct {
	Operation string        // such as ReceiveMessage
	Began     time.Time     `json:",omitzero"` // when the request was made
	Entries   int           // messages received, or entries sent
	Failed    int           // entries that failed; all of them when Err is set
	Duration  time.Duration // from the request to its answer; for a receive with the wait for messages
	Err       error         // of the whole call; nil: there is none
}

// A BatchEvent is the end of a handler call.
type BatchEvent struct {
	Messages []*Message    // of the batch, in its order
	Reason   Reason        // why the batch was handed over
	Began    time.Time     `json:",omitzero"` // when the batch was handed over
	FillTime time.Duration // from the arrival of its first message until it was handed over
	Duration time.Duration // how long the handler took
	Failed   int           // messages that failed
	Err      error         // what the handler returned; a [*PanicError] if it panicked; nil: it succeeded
}

// A SettledEvent says what SQS has confirmed of messages, each once. Messages for which it
// has confirmed nothing are in none: see [Stats.Unsettled]. Nor are those of a dead letter that was
// sent, but whose delete was not confirmed.
type SettledEvent struct {
	Messages []*Message
	Result   SettleResult // the same for all
}

// A SettleResult is what became of a message at SQS.
type SettleResult int

// The ends of messages.
const (
	ResultDeleted      = SettleResult(engine.WasDeleted)      // it succeeded, or was discarded, and is deleted
	ResultGivenBack    = SettleResult(engine.WasReleased)     // it is visible again, at once or after a delay
	ResultDeadLettered = SettleResult(engine.WasDeadLettered) // it is in [Options.DeadLetterQueueURL], and deleted
)

var settleResults = [...]string{ResultDeleted: "deleted", ResultGivenBack: "given back", ResultDeadLettered: "dead-lettered"}

// String returns the name of r, such as "given back".
func (r SettleResult) String() string { return nameOf("SettleResult", int(r), settleResults[:]) }

// MarshalText returns the name of r, for JSON.
func (r SettleResult) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// A LeaseEvent is the loss of the lease of a message that was held.
type LeaseEvent struct {
	Message *Message
	Err     error // why it was lost
}

// A StuckEvent is a handler call that goes on although its context ended 30 s ago, or when the
// run ends. It is reported once. Its slot is taken until it returns.
type StuckEvent struct {
	Messages []*Message
	Began    time.Time // when the batch was handed over
	Ended    time.Time // when the context of the call ended
	Err      error     // the cause of that end, such as [ErrLeaseLost]
}

// MarshalJSON returns e as JSON, with Err as text.
func (e CallEvent) MarshalJSON() ([]byte, error) {
	type event CallEvent
	return json.Marshal(struct {
		event
		Err string `json:",omitempty"`
	}{event(e), sentence(e.Err)})
}

// MarshalJSON returns e as JSON, with Err as text.
func (e BatchEvent) MarshalJSON() ([]byte, error) {
	type event BatchEvent
	return json.Marshal(struct {
		event
		Err string `json:",omitempty"`
	}{event(e), sentence(e.Err)})
}

// MarshalJSON returns e as JSON, with Err as text.
func (e StuckEvent) MarshalJSON() ([]byte, error) {
	type event StuckEvent
	return json.Marshal(struct {
		event
		Err string `json:",omitempty"`
	}{event(e), sentence(e.Err)})
}

// MarshalJSON returns e as JSON, with Err as text.
func (e LeaseEvent) MarshalJSON() ([]byte, error) {
	type event LeaseEvent
	return json.Marshal(struct {
		event
		Err string `json:",omitempty"`
	}{event(e), sentence(e.Err)})
}

// checkClient returns what is wrong with a client.
func checkClient(client Client) error {
	switch {
	case client == nil:
		return errors.New("client is nil, want one such as *sqs.Client")
	case isNil(client):
		return fmt.Errorf("client is a %T that is nil, want one such as *sqs.Client", client)
	default:
		return nil
	}
}

// isNil reports whether the value in an interface is nil.
func isNil(v any) bool {
	switch value := reflect.ValueOf(v); value.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Func, reflect.Slice, reflect.Chan:
		return value.IsNil()
	default:
		return false
	}
}

// checkAttributes notes names that are no system attributes. With one of them each receive would fail.
func (f *faults) checkAttributes(names []types.MessageSystemAttributeName) {
	known := types.MessageSystemAttributeName("").Values()
	for _, name := range names {
		if !slices.Contains(known, name) {
			f.add(fmt.Errorf("SystemAttributes has %q, want names of %v", name, known))
		}
	}
}

// checkDeadLetterQueue notes what is wrong with the dead-letter queue of a queue.
func (f *faults) checkDeadLetterQueue(client Client, queueURL, deadURL string) {
	if deadURL == "" {
		return
	}
	if err := checkURL("DeadLetterQueueURL", deadURL); err != nil {
		f.add(err)
	} else if sameQueue(queueURL, deadURL) {
		f.add(fmt.Errorf("DeadLetterQueueURL is %q, which is the queue itself, want another one", deadURL))
	} else if isFIFO(deadURL) && !isFIFO(queueURL) { // as SQS asks of its own: the messages have no group
		f.add(fmt.Errorf("DeadLetterQueueURL is %q, a FIFO queue, want a standard queue as the queue is one", deadURL))
	}
	if _, ok := client.(sqsapi.Sender); !ok {
		f.add(fmt.Errorf("DeadLetterQueueURL is set but %T has no SendMessage, want a client that has", client))
	}
}

// sameQueue reports whether two URLs name one queue. A client of the SDK sends each request to its own
// endpoint, whatever the host in a queue's URL, so the account and the name tell; unless
// the hosts are AWS's, of different regions.
func sameQueue(a, b string) bool {
	regionA, _ := regionIn(a)
	regionB, _ := regionIn(b)
	if regionA != "" && regionB != "" && regionA != regionB {
		return false
	}
	return pathOf(a) == pathOf(b)
}

// pathOf returns the account and the name in the URL of a queue.
func pathOf(queueURL string) string {
	u, err := url.Parse(queueURL)
	if err != nil {
		return queueURL
	}
	parts := strings.FieldsFunc(u.Path, func(c rune) bool { return c == '/' })
	return strings.Join(parts[max(0, len(parts)-2):], "/")
}

// checkRegions is checkRegion for a queue and its dead-letter queue. It returns the doubts.
func (f *faults) checkRegions(client Client, queueURL, deadURL string) (doubts []error) {
	for _, q := range []struct{ field, url string }{{"queueURL", queueURL}, {"DeadLetterQueueURL", deadURL}} {
		mistake, doubt := checkRegion(client, q.field, q.url)
		f.add(mistake)
		if doubt != nil {
			doubts = append(doubts, doubt)
		}
	}
	return doubts
}

// checkRegion compares the region in the URL of a queue with the one that the client calls.
// Another one is a mistake if nothing else says where the client's requests go; else it is
// a doubt.
func checkRegion(client Client, field, queueURL string) (mistake, doubt error) {
	o, ok := optionsOf(client)
	region, public := regionIn(queueURL)
	if !ok || region == "" || o.Region == "" || region == o.Region {
		return nil, nil
	}
	err := fmt.Errorf("%s is %q, of region %s, but the client is of %s, want the same", field, queueURL, region, o.Region)
	if public && goesWhereItsRegionIs(&o) {
		return err, nil
	}
	return nil, err
}

// goesWhereItsRegionIs reports whether nothing but its region says where the requests of a client go.
func goesWhereItsRegionIs(o *sqs.Options) bool {
	switch c := sqsapi.Inner(o.HTTPClient).(type) {
	case *awshttp.BuildableClient:
	case *http.Client:
		if c.Transport != nil {
			return false
		}
	default:
		return false
	}
	byRegion := reflect.TypeOf(sqs.NewDefaultEndpointResolverV2())
	old := o.EndpointResolver //nolint:staticcheck // and still used
	return o.BaseEndpoint == nil && old == nil && reflect.TypeOf(o.EndpointResolverV2) == byRegion
}

// regionOf returns the region that a client of the SDK calls; else the one that the URL of the queue
// names. "": neither is known.
func regionOf(client Client, queueURL string) string {
	if o, ok := optionsOf(client); ok && o.Region != "" {
		return o.Region
	}
	region, _ := regionIn(queueURL)
	return region
}

// optionsOf returns the options of a client of the SDK, also where another type embeds it.
func optionsOf(client Client) (o sqs.Options, ok bool) {
	c, ok := client.(interface{ Options() sqs.Options })
	if !ok || isNil(client) {
		return o, false
	}
	err := guard(func() error { // what is embedded may be nil
		o = c.Options()
		return nil
	})
	return o, err == nil
}

// regionIn returns the region that the URL of a queue names, and whether the host is one of AWS's public
// ones, which serve that region only.
func regionIn(queueURL string) (region string, public bool) {
	u, err := url.Parse(queueURL)
	if err != nil {
		return "", false
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	for _, domain := range []string{".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".api.amazonwebservices.com.cn"} {
		if name, found := strings.CutSuffix(host, domain); found {
			return regionOfHost(strings.Split(name, "."))
		}
	}
	return "", false
}

// regionOfHost is regionIn for the parts of a host's name in front of AWS's domain.
func regionOfHost(parts []string) (region string, public bool) {
	n := len(parts)
	switch {
	case n == 1 && parts[0] == "queue": // as URLs were written first
		return "us-east-1", true
	case n == 2 && parts[1] == "queue": // and then
		return parts[0], true
	case n == 2 && (parts[0] == "sqs" || parts[0] == "sqs-fips"):
		return parts[1], true
	case n >= 4 && parts[n-1] == "vpce" && parts[n-3] == "sqs": // an interface endpoint, which a resolver may lead anywhere
		return parts[n-2], false
	default:
		return "", false
	}
}
