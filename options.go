package sluice

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice/internal/seam"
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

	// hardStop is how long after ShutdownTimeout Run returns at the latest: the
	// time that handlers have to heed the end of their context, and that what
	// they leave has to be settled.
	hardStop = 3 * time.Second
)

// Options of a [Consumer]. The zero value works: it handles each event as soon as
// it arrives, ten at once. [New] fails if a value cannot work, and its error has all such
// values. Times that do not fit each other are shortened where the field says so.
type Options struct {
	// BatchSize is how many messages a full batch has, 1 to 10,000. 0 means 1:
	// each event is handled as soon as it arrives.
	BatchSize int

	// WaitTime is how long a batch may wait to fill, counted from the arrival of
	// its first message. The batch is handed over when it is full or when its
	// wait time is over, whichever comes first. 0 means 1 s. At a batch size of 1
	// it has no effect. The longest is 11 h, since SQS lets a message be held for
	// 12 h.
	//
	// Messages that trickle in are left in the queue for part of the wait time, so
	// that each receive brings several: for at most half of it, for at most 5 s, and
	// no more than about 100 messages. A batch that could be full is noticed that much
	// later. Once messages are older than that, none are left.
	WaitTime time.Duration

	// BatchBytes closes a batch that is not full before it grows larger than
	// this, in bytes of bodies and attributes. A single message that is larger
	// is a batch of its own. 0 means 64 MiB.
	BatchBytes int

	// Concurrency is how many handler calls run at once. 0 means 10.
	Concurrency int

	// BytesInFlight bounds the messages held, in bytes of bodies and attributes:
	// no receive goes out that would exceed it if its messages were as large as
	// the largest of the latest ones. Where bodies suddenly are larger, the
	// receives that are out by then may bring more, 10 MiB each at most, and
	// nothing is received until there is room again. What an answer has beyond the
	// messages that were asked for is made visible again. 0 means 64 MiB.
	BytesInFlight int

	// Receivers is how many receives may be out at once, 1 to 1,000. One is out while
	// the queue is idle. How long messages have lain in the queue decides how many
	// more are: up to 16 so that a receive waits whenever a message is sent, and
	// beyond 16 so that no message waits for more than about two round trips, for as
	// long as more receives do not only take longer. In batches it is as many as bring
	// what is in the queue. With 20 ms for a call 46 receivers bring up to 23,000
	// messages a second, and fewer where SQS answers with fewer than ten. As many
	// deletes may be out at once, or four if that is more. 0 means 46.
	Receivers int

	// VisibilityTimeout is how long SQS hides a message after a receive and after
	// each renewal: whole seconds, 2 s to 12 h. It is renewed at about half, for
	// as long as the message is held, so it need not cover the time of a handler;
	// it is the time after which the messages of a process that died are received
	// again. 0 means 30 s, whatever the queue's own is.
	//
	// Handlers that compute keep renewals waiting for a processor: some 10 ms for each
	// that computes on the same one. The timeout needs 12.5 times that wait, so 200
	// such handlers on one processor need 25 s. A log line and [Health.ProcessorWait] tell
	// of a wait that is too long.
	//
	// Leases go on while the machine sleeps, as the wall clock does. A wall clock that
	// is set forward by 5 s shortens leases by 5 s; one that is set back changes nothing.
	VisibilityTimeout time.Duration

	// PollTime is how long one receive waits at SQS for a first message: whole
	// seconds, 1 s to 20 s. 0 means 20 s. It is shortened to two thirds of
	// VisibilityTimeout and to four fifths of ShutdownTimeout, but not below 1 s,
	// since a stop waits for the receives that are out: tests may want a shorter one.
	PollTime time.Duration

	// HandlerTimeout is how long one handler call may take. After it the call's
	// context ends with [ErrHandlerTimeout] as its cause, and its messages'
	// visibility timeouts are renewed no more. 0 means no limit but SQS's 12 h.
	HandlerTimeout time.Duration

	// RetryDelay says how long a message that failed stays hidden before it is
	// received again, unless the error says so itself ([RetryAfter]). It is called
	// once for each message that failed, after the handler has returned and by a
	// goroutine of the run; several calls may run at once. The slot is not free until it
	// returns. The delay is cut to what SQS allows:
	// 12 h from the receive. nil means VisibilityTimeout, doubled with each
	// attempt ([Message.Attempt]) up to 15 min, or up to VisibilityTimeout if that is
	// longer, and 10 % more or less: a message that fails does not hurry towards
	// its dead-letter queue.
	RetryDelay func(m *Message, err error) time.Duration

	// OnGroupFailure says what happens to the message group of a message of a FIFO
	// queue that failed. The zero value is [GroupRetryInPlace]. On a standard queue it
	// has no effect.
	OnGroupFailure GroupFailure

	// InPlaceTries is how many times a message is handled, and InPlaceTime how
	// long it is tried, before [GroupRetryInPlace] gives its group back. 0 means 10
	// times and 15 min.
	InPlaceTries int
	InPlaceTime  time.Duration

	// DeadLetterQueueURL is where [DeadLetter] sends messages. The client must
	// have SendMessage then, as *sqs.Client has. It is another queue than the
	// consumer's, in the same region, and a standard one if that is one: messages without
	// a group cannot go to a FIFO queue. "": such messages only fail.
	// Such a message is a new one to SQS, which knows no source for it: a move back by
	// StartMessageMoveTask needs its DestinationArn. See [DeadLetter] for what it has.
	DeadLetterQueueURL string

	// ReceiveLinger is how long messages may stay in the queue so that each receive
	// brings several, at a batch size of 1: up to 10 s. At 100 messages a second 50 ms
	// save four of five receives, and half of all events are handled 30 ms later. 0
	// means that none stay there for that. In larger batches it has no effect, see
	// WaitTime. A [Consumer.Drain] does not wait.
	ReceiveLinger time.Duration

	// DeleteLinger is how long a delete waits for others to share its call. 0
	// means up to 50 ms while other messages are being handled, whose deletes are
	// on their way, or come so often that another is likely within that time, and not
	// at all otherwise. A negative one means never; a
	// positive one, up to 10 s, means always: at 40 messages a second 200 ms save
	// nine of ten delete calls. Handlers do not wait for it. On a FIFO queue a delete
	// goes at once when others of its message group have been received, and with 0 also
	// when some may wait in the queue, as its answer and its age show: they stay there
	// until it is made.
	DeleteLinger time.Duration

	// ShutdownTimeout is how long handlers may go on after Run's context is done.
	// Then their contexts end with [ErrShutdown] as the cause, and what has not
	// begun is made visible again, in as many calls at once as that needs, up to 512.
	// Run returns within 3 s more, whatever handlers do. A receive that is out is
	// waited for, 1.5 s even if this is shorter: the messages of one that is cut would
	// stay hidden. It goes on while the machine sleeps. 0 means 25 s, which fits into
	// the 30 s that Kubernetes gives.
	ShutdownTimeout time.Duration

	// GiveUpAfter is how long a run that has received goes on while SQS refuses: access
	// is denied, the queue's key cannot be used, or the queue does not exist. Such a
	// refusal may pass, as when a policy changes or a queue is replaced. Receives are then
	// tried again every 1 s to 30 s, deletes and renewals as long as the lease
	// lasts, and [Consumer.Health] says [StateRefused]. Run ends when receives, deletes
	// or visibility changes were refused for so long and were not granted once. Dead
	// letters that were refused for so long are given back, and Run goes on.
	// 0 means 5 min, a negative one never. See docs/errors.md for each error.
	GiveUpAfter time.Duration

	// MaxMessages ends a run after that many messages were received; those are
	// finished first, as at a stop. So handlers have ShutdownTimeout from the arrival of
	// the last message on; what fails waits for its next try in the queue,
	// and on a FIFO queue so does what is behind it in its group. 0 means no end.
	MaxMessages int

	// MaxDuration ends a run after that time, as if its context were done. 0
	// means no end.
	MaxDuration time.Duration

	// SystemAttributes are asked for besides those that [Message] has fields for.
	// They are in [Message.SystemAttributes].
	SystemAttributes []types.MessageSystemAttributeName

	// Logger is told of what a person may want to know. It gets no body, no
	// attribute value, no receipt handle. nil means slog.Default().
	Logger *slog.Logger

	// Hooks are told of what happens. See [Hooks].
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

// pollTime is the longest that a receive waits: so short that its messages have
// some lease left when they arrive, counted from its sending, and that a stop can
// wait for it.
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

// validate reports all that is wrong with o, which has its defaults.
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
	wrong.checkDeadLetterQueue(client, queueURL, o.DeadLetterQueueURL)
	return wrong
}

// faults collects what is wrong: each with field, value and rule.
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

func (f *faults) fraction(field string, v time.Duration) {
	if v > 0 && v%time.Second != 0 {
		f.add(fmt.Errorf("%s is %v, want whole seconds, as SQS counts them", field, v))
	}
}

// checkURL tells what is wrong with the URL of a queue.
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

// A GroupFailure says what happens to the message group of a message that failed.
// Only with [GroupSkip] is a later message of the group handled before the failed one.
type GroupFailure int

const (
	// GroupRetryInPlace keeps the failed message and those behind it, under their
	// leases, and handles it again after its delay: up to [Options.InPlaceTries]
	// times and for [Options.InPlaceTime]. Then the group is given back as with
	// [GroupRelease]. The receive counts do not rise meanwhile, so the dead-letter
	// queue is reached only after tries times maxReceiveCount. A stop, and Drain,
	// do not wait for the next try. [Message.Attempt] counts the tries.
	//
	// Groups that wait hold at most half of [Options.BytesInFlight], and 60,000
	// messages. Beyond that those that failed longest ago are given back, so that
	// others find room.
	GroupRetryInPlace GroupFailure = iota
	// GroupRelease gives the failed message back, to be received again after its delay,
	// and those held behind it, which SQS keeps behind it. Their receive counts
	// rise with each failure too, so innocent ones may end in the dead-letter
	// queue.
	GroupRelease
	// GroupSkip gives the failed message back and handles those behind it: the order
	// of the group is lost for that message.
	GroupSkip
)

// Hooks are told of what happens, for metrics and traces. Any of them may be nil.
// They are called one after another, on a goroutine of their own, a little after
// the fact; one that panics, or is slow, or blocks, does not touch the run: events
// that it cannot take are dropped and counted in [Stats]. What they are given must
// not be changed.
type Hooks struct {
	Call      func(CallEvent)  // a call to SQS has ended
	Batch     func(BatchEvent) // a handler call has ended
	LeaseLost func(LeaseEvent) // a message became visible to others while it was held
	Health    func(Health)     // receiving began, failed, paused, ended
}

// hookBacklog is how many hook calls and log lines may wait.
const hookBacklog = 4096

// A CallEvent is the end of a call to SQS.
type CallEvent struct {
	Operation string        // such as ReceiveMessage
	Entries   int           // messages received, or entries sent
	Failed    int           // entries that SQS refused; all of them when Err is set
	Duration  time.Duration // from the request to its answer; for a receive with the wait for messages
	Err       error         // of the whole call
}

// A BatchEvent is the end of a handler call.
type BatchEvent struct {
	Messages []*Message
	Reason   Reason        // why the batch was handed over
	FillTime time.Duration // from the arrival of its first message until it was handed over
	Duration time.Duration // how long the handler took
	Failed   int           // messages that failed
	Err      error         // what the handler returned; a [*PanicError] if it panicked
}

// A LeaseEvent is the loss of a lease.
type LeaseEvent struct {
	Message *Message
	Err     error // why it was lost
}

// MarshalJSON gives Err as a sentence.
func (e CallEvent) MarshalJSON() ([]byte, error) {
	type event CallEvent
	return json.Marshal(struct {
		event
		Err string `json:",omitempty"`
	}{event(e), sentence(e.Err)})
}

// MarshalJSON gives Err as a sentence.
func (e BatchEvent) MarshalJSON() ([]byte, error) {
	type event BatchEvent
	return json.Marshal(struct {
		event
		Err string `json:",omitempty"`
	}{event(e), sentence(e.Err)})
}

// MarshalJSON gives Err as a sentence.
func (e LeaseEvent) MarshalJSON() ([]byte, error) {
	type event LeaseEvent
	return json.Marshal(struct {
		event
		Err string `json:",omitempty"`
	}{event(e), sentence(e.Err)})
}
