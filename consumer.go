package sluice

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice/internal/aside"
	"github.com/sluice-go/sluice/internal/crew"
	"github.com/sluice-go/sluice/internal/elapsed"
	"github.com/sluice-go/sluice/internal/lease"
	"github.com/sluice-go/sluice/internal/order"
	"github.com/sluice-go/sluice/internal/pace"
	"github.com/sluice-go/sluice/internal/queue"
	"github.com/sluice-go/sluice/internal/settle"
	"github.com/sluice-go/sluice/internal/tally"
	"github.com/sluice-go/sluice/internal/turns"
)

// A Client makes the calls to SQS. [*sqs.Client] is one. For
// [Options.DeadLetterQueueURL] it must have SendMessage too, as that has.
type Client interface {
	ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, optFns ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput, optFns ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error)
	ChangeMessageVisibilityBatch(ctx context.Context, in *sqs.ChangeMessageVisibilityBatchInput, optFns ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error)
}

// NewClient returns an SQS client whose HTTP connections fit a busy consumer. It speaks
// HTTP/1.1, also to servers that offer HTTP/2, with one connection for each call that is
// out. It keeps up to 3,000 idle connections: three for each of 1,000 [Options.Receivers].
// The SDK's own client keeps ten of them, so that with more receives and deletes at once
// nearly every call opens a new one. An HTTP client in cfg that is not the SDK's, and any
// that optFns set, keeps its connections as it likes, and its HTTP/2.
//
// The client loses no answers. The SDK closes the body of a request while the
// connection may still look at it. Now and then the connection takes that for a failed
// write, and ends before its answer is read: the SDK makes the call once more, and
// the messages of the lost answer stay hidden for their visibility timeout. So the HTTP
// client is wrapped, except for calls with an HTTP client of their own. A Consumer
// does so in its own calls, with any client of the SDK.
//
// A Consumer works with any client. Users who bring their own may want as many idle
// connections per host as receives and deletes can be out at once, three times
// [Options.Receivers]. Five things are the same for all clients of the SDK:
//
//   - A receive is cut when nothing has come for its poll time and 5 s, or up to 10 s
//     after others were cut, but 25 s in all. While an answer arrives, it is cut after
//     5 s of silence, and when its messages are visible to others again. On a slow line
//     fewer receives are out, and they ask for fewer messages.
//   - An answer of more than 61 MiB is refused: ten messages of 1 MiB, each byte of which
//     JSON spells with six, are not longer.
//   - A redirect is not followed, since the session token would go along.
//   - A request that a server of HTTP/2 refused unseen is sent again.
//   - Where MD5 is forbidden (GODEBUG=fips140=only), the digests of bodies are not checked.
//
// A call whose client ignores its context is left behind, and counts as failed. After 100
// of them that have not returned, calls fail without being made; [Health] says so.
//
// The calls of a client of the SDK that has no middleware, interceptors, tracing or logging
// of its own go past the SDK's middleware, which takes more of the processor than all else:
// as soon as a call of the SDK's has shown that they are the same to the signature. A call
// that fails is the SDK's to explain, and a client with anything of its own makes all its
// calls.
func NewClient(cfg aws.Config, optFns ...func(*sqs.Options)) *sqs.Client {
	keep := func(o *sqs.Options) {
		base, ok := o.HTTPClient.(*awshttp.BuildableClient)
		if !ok {
			return
		}
		o.HTTPClient = base.WithTransportOptions(func(t *http.Transport) {
			const plenty = 3000 // three for each receiver there can be; they are closed when they have been idle for long
			t.MaxIdleConns, t.MaxIdleConnsPerHost = plenty, plenty
			onlyHTTP1(t) // a connection for each call in flight: cheaper here than one for all
		})
	}
	read := func(o *sqs.Options) { o.HTTPClient = queue.Whole(o.HTTPClient) }
	return sqs.NewFromConfig(cfg, slices.Concat([]func(*sqs.Options){keep}, optFns, []func(*sqs.Options){read})...)
}

// onlyHTTP1 lets a transport speak HTTP/1.1 alone, and offer nothing else to servers: a
// transport that was copied brings the offer of h2 along.
func onlyHTTP1(t *http.Transport) {
	t.ForceAttemptHTTP2 = false
	t.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	if t.Protocols != nil {
		t.Protocols = new(http.Protocols)
		t.Protocols.SetHTTP1(true)
	}
	if t.TLSClientConfig != nil {
		t.TLSClientConfig.NextProtos = slices.DeleteFunc(slices.Clone(t.TLSClientConfig.NextProtos), func(p string) bool { return p == "h2" })
	}
}

// A Handler handles a batch of messages, 1 to [Options.BatchSize] of them. If it
// returns nil they are deleted. If it returns an error, all of them are received
// again, later. Only if each part of the error names a message, by [Failed], are
// the others deleted; on a FIFO queue not those that come behind it in its group.
// [RetryAfter], [Discard] and [DeadLetter] say what else becomes of a message that
// failed. A panic is an error that names none.
//
// ctx ends when a message's lease was lost ([ErrLeaseLost]), when the call took
// too long ([ErrHandlerTimeout]) and when the run does not wait any longer
// ([ErrShutdown]); context.Cause tells. It does not end when Run's context does.
//
// Several calls run at once, see [Options.Concurrency]. The slice is the
// handler's. The messages must not be changed.
type Handler func(ctx context.Context, batch []*Message) error

// A Message is a message as it was received.
type Message struct {
	ID            string
	Body          string
	ReceiptHandle string // of this receive; the consumer uses a newer one if it gets one

	GroupID         string // message group; on standard queues the tenant of fair queues; "": none
	DeduplicationID string // FIFO queues only
	SequenceNumber  string // FIFO queues only: a number that increases within a message group

	ReceiveCount int       // how often the message was received, by anybody; 1: for the first time
	Attempt      int       // how often this is tried: ReceiveCount, and one more for each try in place that failed since; see [GroupRetryInPlace]
	SentAt       time.Time // when SQS took it, to the millisecond
	ReceivedAt   time.Time // when this receive brought it

	Attributes       map[string]types.MessageAttributeValue // what the sender gave it; nil: nothing
	SystemAttributes map[string]string                      // as SQS gave them, by name

	from mark
}

// A mark says where a message was received. The zero value is that of a message that no
// consumer has received.
type mark struct {
	queue queueType
	group string
}

// A queueType is what kind of queue a message came from.
type queueType int

const (
	unknownQueue queueType = iota // made by a test, or by code that copies messages
	standardQueue
	fifoQueue
)

// fifo reports whether m came from a FIFO queue. Where no consumer knows, its sequence
// number says so; group ids exist on standard queues too.
func (m *Message) fifo() bool {
	return m.from.queue == fifoQueue || m.from.queue == unknownQueue && m.SequenceNumber != ""
}

// group returns m's message group, as it was received if a consumer has received it.
func (m *Message) group() string {
	if m.from.queue == unknownQueue {
		return m.GroupID
	}
	return m.from.group
}

// Errors that callers and handlers branch on.
var (
	// ErrRunning is returned by Run and Drain of a Consumer that is running.
	ErrRunning = errors.New("sluice: the consumer is already running")
	// ErrShutdown is the cause of a handler's context that ended because
	// [Options.ShutdownTimeout] was over. A [*ShutdownError] is one.
	ErrShutdown = errors.New("sluice: shutdown timeout is over")
	// ErrLeaseLost is the cause of a handler's context that ended because a
	// message of its batch is visible to other consumers again, or was deleted.
	ErrLeaseLost = errors.New("sluice: lease lost")
	// ErrHandlerTimeout is the cause of a handler's context that ended because
	// the call took longer than [Options.HandlerTimeout].
	ErrHandlerTimeout = errors.New("sluice: handler timeout is over")
)

// A ShutdownError reports a stop, or the end of a run that has all its messages, that left
// something unsettled: it could not wait for all handlers, or leases ended before
// their messages could be deleted. It matches
// [ErrShutdown].
type ShutdownError struct {
	Finished  int // messages settled during the stop, by their handlers' results
	GivenBack int // messages made visible again because nothing, or too little, had been done about them
	Abandoned int // messages left to the end of their visibility timeout
	Stuck     int // handler calls that did not return although their context had ended
}

func (e *ShutdownError) Error() string {
	return fmt.Sprintf("sluice: stopped before all was settled: %d messages finished, %d given back, %d abandoned, %d handlers still running",
		e.Finished, e.GivenBack, e.Abandoned, e.Stuck)
}

// Is tells that e is an [ErrShutdown].
func (*ShutdownError) Is(target error) bool { return target == ErrShutdown }

// A Consumer passes the messages of one queue to a [Handler]. Its methods may be
// called concurrently.
type Consumer struct {
	client Client
	url    string
	region string // for those who read errors; "": it is not known
	opts   Options

	running atomic.Bool
	current atomic.Pointer[run] // the run that is under way; nil: none
	paused  atomic.Bool

	tally   tally.Tally
	batches *tally.Counter // by Reason
	calls   *tally.Counter // to SQS, by operation
	errors  *tally.Counter // those that failed as a whole
}

// New returns a Consumer of the queue with the given URL. It makes no call. All
// that is wrong with opts is reported at once, each with field, value and rule.
func New(client Client, queueURL string, opts Options) (*Consumer, error) {
	wrong := make(faults, 0, 4)
	wrong.add(checkClient(client))
	wrong.add(checkURL("queueURL", queueURL))
	opts = opts.withDefaults()
	wrong = append(wrong, opts.validate(client, queueURL)...)
	doubts := wrong.checkRegions(client, queueURL, opts.DeadLetterQueueURL)
	if err := errors.Join(wrong...); err != nil {
		return nil, fmt.Errorf("sluice: %w", err)
	}
	for _, doubt := range doubts {
		opts.Logger.Warn("a queue of another region", "queue", queueURL, "err", doubt)
	}
	return &Consumer{
		client: client, url: queueURL, region: regionOf(client, queueURL), opts: opts,
		batches: tally.NewCounter(string(ReasonFull), string(ReasonBytes), string(ReasonWaitTime), string(ReasonDrained), string(ReasonStopping)),
		calls:   tally.NewCounter(queue.Operations...),
		errors:  tally.NewCounter(queue.Operations...),
	}, nil
}

// Run passes messages to h until ctx is done, then finishes those it holds and
// returns nil. It returns within [Options.ShutdownTimeout] and 3 s, and reports
// with a [*ShutdownError] if that was too short. Handlers that are still running then
// are not waited for: a later run may be given their messages while they go on.
//
// It returns an error at once if h is nil or the Consumer is running already. It
// returns one as soon as it has finished what it holds when SQS refuses, because
// access is denied or the queue does not exist: before the first receive has
// succeeded, or for [Options.GiveUpAfter]. So it does after an error that no call can
// cure, such as a region that is missing. All other errors of SQS are tried again.
func (c *Consumer) Run(ctx context.Context, h Handler) error {
	return c.run(ctx, h, false)
}

// Drain is [Consumer.Run] that also ends when the queue is empty: when two receives in
// a row, while nothing was in progress, have waited for about a second and brought
// nothing. An answer that comes sooner says nothing, since SQS at times finds no
// message where there are some; so with a stand-in for SQS that never waits, Drain does
// not end. Messages that are delayed, that failed and wait for their next try, or that
// other consumers hold do not count. A part-filled batch does not wait for its
// wait time when the queue is empty.
//
// Handlers may take as long as they need, as in Run. One that goes on without its lease
// does not count as progress; when all else is done, Drain waits for it for
// [Options.ShutdownTimeout].
func (c *Consumer) Drain(ctx context.Context, h Handler) error {
	return c.run(ctx, h, true)
}

// Stop ends the run that is under way as the end of its context would, and does
// not wait for it. It may be called from handlers and hooks, and more than once.
func (c *Consumer) Stop() {
	if r := c.current.Load(); r != nil {
		r.loop.Leave(doing(r.stop))
	}
}

// Pause makes the Consumer receive no more, until [Consumer.Resume]; what it holds
// is handled, and a receive that is out may still bring messages. It may be
// called before a run, and from handlers and hooks. A [Consumer.Drain] does not end
// meanwhile, since it cannot know that the queue is empty.
func (c *Consumer) Pause() { c.pause(true) }

// Resume ends a [Consumer.Pause].
func (c *Consumer) Resume() { c.pause(false) }

func (c *Consumer) pause(on bool) {
	c.paused.Store(on)
	if r := c.current.Load(); r != nil {
		r.loop.Leave(doing(func() {})) // a turn of the loop sees it
	}
}

func (c *Consumer) run(ctx context.Context, h Handler, drain bool) error {
	if h == nil {
		return errors.New("sluice: handler is nil, want a function")
	}
	if !c.running.CompareAndSwap(false, true) {
		return ErrRunning
	}
	defer c.running.Store(false)
	if ctx.Err() != nil {
		return nil
	}
	r := newRun(ctx, c, h, drain)
	c.current.Store(r)
	defer c.current.Store(nil)
	return r.whole(ctx)
}

// fifo tells whether the queue is a FIFO queue. Its name says so; message groups
// do not, since standard queues have them too.
func (c *Consumer) fifo() bool { return isFIFO(c.url) }

func isFIFO(queueURL string) bool {
	return strings.HasSuffix(strings.TrimRight(queueURL, "/"), ".fifo")
}

// systemAttributes are those that Message has fields for.
func (c *Consumer) systemAttributes() []types.MessageSystemAttributeName {
	names := []types.MessageSystemAttributeName{
		types.MessageSystemAttributeNameApproximateReceiveCount,
		types.MessageSystemAttributeNameSentTimestamp,
		types.MessageSystemAttributeNameMessageGroupId,
	}
	if c.fifo() {
		names = append(names, types.MessageSystemAttributeNameSequenceNumber, types.MessageSystemAttributeNameMessageDeduplicationId)
	}
	if c.hidesTrace() {
		names = append(names, types.MessageSystemAttributeNameAWSTraceHeader)
	}
	return append(names, c.opts.SystemAttributes...)
}

// hidesTrace reports whether trace headers are received only for dead letters.
func (c *Consumer) hidesTrace() bool {
	asked := func(name types.MessageSystemAttributeName) bool {
		return name == types.MessageSystemAttributeNameAWSTraceHeader || name == types.MessageSystemAttributeNameAll
	}
	return c.opts.DeadLetterQueueURL != "" && !slices.ContainsFunc(c.opts.SystemAttributes, asked)
}

// fill fills m with what SQS gave.
func (m *Message) fill(raw *types.Message, now time.Time) {
	m.ID, m.Body, m.ReceiptHandle = text(raw.MessageId), text(raw.Body), text(raw.ReceiptHandle)
	m.Attributes, m.SystemAttributes = raw.MessageAttributes, raw.Attributes
	m.GroupID = raw.Attributes[string(types.MessageSystemAttributeNameMessageGroupId)]
	m.DeduplicationID = raw.Attributes[string(types.MessageSystemAttributeNameMessageDeduplicationId)]
	m.SequenceNumber = raw.Attributes[string(types.MessageSystemAttributeNameSequenceNumber)]
	m.ReceiveCount, _ = strconv.Atoi(raw.Attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)])
	m.ReceiveCount = max(1, m.ReceiveCount)
	m.Attempt = m.ReceiveCount
	if ms, err := strconv.ParseInt(raw.Attributes[string(types.MessageSystemAttributeNameSentTimestamp)], 10, 64); err == nil {
		m.SentAt = time.UnixMilli(ms)
	}
	m.ReceivedAt = now
}

// fill fills h with what SQS gave.
func (h *held) fill(raw *types.Message, now time.Time, queue queueType, hidesTrace bool) {
	h.Message.fill(raw, now)
	h.from = mark{queue: queue, group: h.GroupID}
	h.origin = origin{
		key: h.ID, id: h.ID, group: h.GroupID, sequence: h.SequenceNumber,
		body: h.Body, attributes: h.Attributes, receives: h.ReceiveCount,
		trace: raw.Attributes[string(types.MessageSystemAttributeNameAWSTraceHeader)],
		again: raw.Attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)] != "1",
	}
	if h.ID == "" {
		h.origin.key = h.ReceiptHandle // SQS itself never leaves the id out; two messages must not be taken for one
	}
	if hidesTrace && h.origin.trace != "" {
		h.SystemAttributes = maps.Clone(h.SystemAttributes) // it is the client's
		delete(h.SystemAttributes, string(types.MessageSystemAttributeNameAWSTraceHeader))
	}
}

// size returns the bytes of m that count towards SQS's limits.
func (m *Message) size() int {
	n := len(m.Body)
	for name, a := range m.Attributes {
		n += len(name) + len(text(a.DataType)) + len(text(a.StringValue)) + len(a.BinaryValue)
	}
	return n
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// Stats are counts since [New], over all runs, and the state of the moment.
type Stats struct {
	Received   int64 // messages, each receive of a message counting
	Duplicates int64 // of those: messages that were in hand already, and were not handled twice
	Succeeded  int64 // messages whose handler call reported no error for them
	Failed     int64 // messages whose handler call reported an error for them, or panicked
	Panics     int64 // handler calls that panicked or called runtime.Goexit

	Deleted      int64 // messages whose delete SQS confirmed
	GivenBack    int64 // messages made visible again, at once or after a delay
	DeadLettered int64 // messages sent to the dead-letter queue
	LeasesLost   int64 // messages whose lease ended while they waited or were handled
	Unsettled    int64 // messages that could not be deleted or given back: their receipt was worth nothing any more, or no call could do it

	Batches map[Reason]int64 // handler calls, by why their batch was handed over
	Calls   map[string]int64 // calls to SQS, by operation, successful or not
	Errors  map[string]int64 // calls to SQS that failed as a whole, by operation

	InFlight      int       // messages held now
	BytesInFlight int       // of their bodies and attributes
	Handlers      int       // handler calls now
	OldestHandler time.Time `json:",omitzero"` // when the longest of them began; zero: there is none
	LastReceive   time.Time `json:",omitzero"` // when a receive succeeded last; zero: never
	Receives      int       // receives that are out now
	ReceivesMost  int       // and as many as may be, by what messages have waited in the queue; at most Options.Receivers

	// Lag is how long the oldest message had been in the queue that was received for
	// the first time in the last half minute to minute. What SQS's clock differs from
	// ours does not count, as far as it is known. 0: there was none.
	Lag          time.Duration
	HooksDropped int64 // hook calls and log lines dropped because hooks were too slow
}

// A State is what a [Consumer] is doing about receiving.
type State string

// The states of a Consumer.
const (
	StateStopped    State = "stopped"          // there is no run
	StateReceiving  State = "receiving"        // a receive is out
	StateWaiting    State = "waiting for room" // handlers are busy, or messages are left in the queue until a receive brings more of them
	StateBehind     State = "falling behind"   // messages come faster than they are handled: see [Stats] for what is at its bound, handlers or receives
	StatePaused     State = "paused"           // by Pause
	StateBackingOff State = "backing off"      // receives fail
	StateRefused    State = "refused"          // SQS refuses receives, deletes or visibility changes, which may pass; see [Options.GiveUpAfter]
	StateStopping   State = "stopping"         // what is held is finished
)

// Health is what a [Consumer] is doing about receiving. [StateBehind] says that it does not
// keep up, once what it receives has waited for 30 s and waits longer and longer; the
// number of messages in the queue says so sooner.
type Health struct {
	State State
	Since time.Time // when the state began; zero: there was no run yet
	Err   error     // what SQS refuses now; else of the newest receive, if that failed; nil: neither

	// ProcessorWait is how long a goroutine that is ready waits for a processor, in a
	// run that holds messages. Where it is more than 8 % of the visibility timeout
	// renewals may come too late. See [Options.VisibilityTimeout].
	ProcessorWait time.Duration
}

// MarshalJSON gives Err as a sentence, and leaves out what is not known.
func (h Health) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		State State     `json:"State"`
		Since time.Time `json:"Since,omitzero"`
		Err   string    `json:"Err,omitempty"`

		ProcessorWait time.Duration `json:"ProcessorWait,omitzero"`
	}{h.State, h.Since, sentence(h.Err), h.ProcessorWait})
}

// sentence is the text of an error; "": there is none.
func sentence(err error) (text string) {
	if err != nil {
		_ = foreign(func() { text = err.Error() })
	}
	return text
}

// Stats returns what the Consumer has done. It is cheap and never waits.
func (c *Consumer) Stats() Stats {
	t := &c.tally
	s := Stats{
		Received: t.Received.Load(), Duplicates: t.Duplicates.Load(), Succeeded: t.Succeeded.Load(),
		Failed: t.Failed.Load(), Panics: t.Panics.Load(),
		Deleted: t.Deleted.Load(), GivenBack: t.GivenBack.Load(), DeadLettered: t.DeadLettered.Load(),
		LeasesLost: t.Lost.Load(), Unsettled: t.Unsettled.Load(),
		Batches: map[Reason]int64{}, Calls: c.calls.Counts(), Errors: c.errors.Counts(),
		InFlight: int(t.InFlight.Load()), BytesInFlight: int(t.Bytes.Load()), Handlers: int(t.Handlers.Load()),
		OldestHandler: tally.Moment(t.Oldest.Load()), LastReceive: tally.Moment(t.LastReceive.Load()),
		HooksDropped: t.Dropped.Load(),
		Receives:     int(t.Receives.Load()), ReceivesMost: int(t.Allowed.Load()), Lag: time.Duration(t.Lag.Load()),
	}
	for why, n := range c.batches.Counts() {
		s.Batches[Reason(why)] = n
	}
	return s
}

// Health returns what the Consumer is doing about receiving. It is cheap and never
// waits.
func (c *Consumer) Health() Health {
	state, since, err := c.tally.State()
	orElse(&state, string(StateStopped))
	h := Health{State: State(state), Since: since, Err: err}
	if r := c.current.Load(); r != nil {
		h.ProcessorWait = r.keeper.Wait()
	}
	return h
}

// held is a message in hand, from its receive until it is settled.
type held struct {
	Message

	origin  origin
	lease   lease.Lease[*held]
	bytes   int
	arrived time.Time
	stage   stage        // owned by the loop
	handle  string       // the newest receipt handle; owned by the loop
	sent    time.Time    // of the receive that brought it; owned by the loop
	tries   int          // that failed, in place; owned by the loop
	failed  time.Time    // when the first of them did; owned by the loop
	call    *call        // that handles it; owned by the loop
	newer   *held        // the latest receive of it since; nil: there was none; owned by the loop
	twice   int          // receives of it while it was being settled, not counted yet; owned by the loop
	lost    atomic.Bool  // its lease has ended
	mourned bool         // and that is counted; owned by the loop
	done    atomic.Bool  // its handler has returned, and it is being settled
	behind  func(burial) // settles those behind it in its group, when it is known whether the dead-letter queue has it; owned by the loop
	stays   bool         // in the queue, although it was settled; owned by the loop
	more    bool         // of its group may be in the queue; owned by the loop
	surplus bool         // it was not asked for, or came too late, and never stood in a line; owned by the loop
	given   bool         // back by a stop, without a handler's result; owned by the loop once settling
	gone    bool         // SQS has said that its receipt is worth nothing any more, while it was being settled; owned by the loop
}

// An origin is a message as it was received, whatever a handler does to what it is given.
type origin struct {
	key                 string // what the message is known by in hand
	id, group, sequence string
	body                string
	attributes          map[string]types.MessageAttributeValue
	trace               string // AWSTraceHeader; asked for where there is a dead-letter queue
	receives            int
	again               bool // it was received before, or may have been
}

// key is what h is known by in hand.
func (h *held) key() string { return h.origin.key }

// receives is the receive count of the newest receipt.
func (h *held) receives() int {
	if h.newer != nil {
		return h.newer.origin.receives
	}
	return h.origin.receives
}

// Group returns the message group.
func (h *held) Group() string { return h.origin.group }

// Sequence returns the sequence number.
func (h *held) Sequence() string { return h.origin.sequence }

// Failed returns when h failed first, in place.
func (h *held) Failed() time.Time { return h.failed }

// Again reports whether h was received before, or may have been.
func (h *held) Again() bool { return h.origin.again }

// Arrived returns when h arrived.
func (h *held) Arrived() time.Time { return h.arrived }

// Size returns the bytes of h.
func (h *held) Size() int { return h.bytes }

// A stage is how far a message has come.
type stage int

const (
	waiting stage = iota // for its batch, or for a slot
	handling
	settling
)

// A run is one call of Run or Drain: its stages, wired together.
//
// The loop makes all decisions: what to receive, what to hand over, when to stop.
// Receives, handler calls, deletes and renewals go on beside it and report to it,
// which never blocks them. One goroutine at a time takes its turn, so the fields
// below need no lock.
type run struct {
	c       *Consumer
	opts    *Options
	handler Handler
	drain   bool

	loop     *turns.Loop[event]
	queue    *queue.Queue
	clock    *elapsed.Clock
	keeper   *lease.Keeper[*held]
	settler  *settle.Settler[*held]
	aside    *aside.Queue
	ending   atomic.Bool  // the stop has begun
	refusing atomic.Bool  // there are refusals
	onWay    atomic.Int64 // messages that are waiting or being handled: their deletes will come
	brisk    atomic.Bool  // messages come so often that another delete follows within a moment
	warned   atomic.Int64 // when a log line said last that processors are short, in nanoseconds since 1970
	latency  atomic.Int64 // moving average of calls that SQS answers at once, in nanoseconds

	newCall  func() (context.Context, context.CancelCauseFunc) // for a handler call
	fetch    func(a *answer)                                   // makes a receive; ends by cut
	cut      context.CancelFunc                                // at the shutdown timeout
	handlers *crew.Crew                                        // for handler calls
	callers  *crew.Crew                                        // for calls to SQS
	helpers  sync.WaitGroup                                    // for what runs all the time
	tellers  sync.WaitGroup                                    // for hooks, which are told of all the others do

	// Owned by the loop.
	pace       *pace.Pace
	collector  collector             // of what waits: pile or lines
	pile       *pile                 // nil on a FIFO queue
	lines      *lines                // nil on a standard queue
	attempts   queue.Attempts        // of a FIFO queue
	line       *queue.Line           // on which answers come
	unread     int                   // answers in a row that could not be read
	unreadAt   time.Time             // when the latest of them came
	hand       map[string]*held      // all messages held, by id
	deletes    []*lease.Lease[*held] // to be made by the end of this turn
	running    calls
	out        int       // receives that wait for their answers
	asked      int       // messages that they asked for
	bytes      int       // of the messages held
	largest    int       // bytes of the largest of the latest messages
	received   int       // in this run
	empties    int       // answers in a row that have found the queue empty while it was drained
	empty      bool      // the newest answer brought nothing
	closing    bool      // no more receives; the run ends when all is settled
	stopped    time.Time // when the stop began; zero: it has not
	closed     time.Time // when receiving ended, by a stop or because the run has had all that it was to have; zero: it has not
	over       bool      // the shutdown timeout is over
	fatal      error     // why the run ends by itself
	report     ShutdownError
	limit      time.Time           // end of the run by MaxDuration; zero: none
	dropped    int64               // hook calls by earlier runs
	outage     bool                // receives fail and it has been said
	behind     bool                // messages come faster than they are handled
	worked     bool                // a receive has succeeded
	refusals   map[string]*refusal // by operation
	queueType  queueType
	hidesTrace bool // from handlers: it was asked for on behalf of dead letters
	bereft     int  // handler calls of a FIFO queue that are, see call
}

// An event is something that the loop is told of.
type event interface {
	// happen does what follows from it. It is called by the loop.
	happen(r *run)
}

// doing is an event that is only something to do.
type doing func()

func (d doing) happen(*run) { d() }

func newRun(ctx context.Context, c *Consumer, h Handler, drain bool) *run {
	o := &c.opts
	r := &run{
		c: c, opts: o, handler: h, drain: drain,
		handlers:  crew.New(),
		callers:   crew.New(),
		aside:     aside.New(hookBacklog, o.BytesInFlight),
		hand:      map[string]*held{},
		largest:   maxBody, // until a message has been seen
		dropped:   c.tally.Dropped.Load(),
		refusals:  map[string]*refusal{},
		queueType: standardQueue, hidesTrace: c.hidesTrace(),
	}
	c.tally.Refusing(nil)
	r.loop = turns.New(r.heed, r.turn)
	closes := measure{size: o.BatchSize, bytes: o.BatchBytes, wait: o.WaitTime}
	if c.fifo() {
		r.queueType = fifoQueue
		r.lines = &lines{measure: closes, Lines: order.New[*held]()}
		r.collector = r.lines
	} else {
		r.pile = &pile{measure: closes}
		r.collector = r.pile
	}
	r.latency.Store(int64(unseen))
	base := context.WithoutCancel(ctx)
	receives, cut := context.WithCancel(context.WithoutCancel(ctx))
	r.cut = cut
	r.newCall = func() (context.Context, context.CancelCauseFunc) { return context.WithCancelCause(base) }
	r.fetch = func(a *answer) {
		a.messages, a.began, a.err = r.queue.Fetch(receives, queue.Fetch{
			N: a.try.N, Wait: a.wait, Margin: a.margin, Attempt: a.try.ID,
			Overdue: func(err error) { r.loop.Leave(&overdue{a, err}) },
		})
	}
	r.line = queue.NewLine(o.VisibilityTimeout)
	r.queue = &queue.Queue{Client: c.client, URL: c.url, Visibility: o.VisibilityTimeout, Attributes: c.systemAttributes(), Observe: r.observe}
	r.clock = elapsed.New(o.ahead)
	r.attempts.Clock = r.clock
	r.keeper = lease.NewKeeper(lease.Config[*held]{Clock: r.clock, Starved: r.starved, Timeout: o.VisibilityTimeout, Renew: r.renew, Lost: r.lost, Calls: max(16, o.Receivers), Rand: o.rand})
	r.settler = settle.New(settle.Config[*held]{
		Queue: r.queue, Keeper: r.keeper, FIFO: c.fifo(), Calls: max(4, o.Receivers), Rand: o.rand,
		Go:   func(call func()) { r.callers.Go(crew.Once(call)) },
		Done: func(results []settle.Result[*held]) { r.loop.Tell(doing(func() { r.settled(results) }), nil) },
		Send: r.bury, Buried: r.buried, Unburied: r.unburied,
		Heard: r.heard, Patience: r.patienceWithLetters,
	})
	r.pace = pace.New(pace.Config{
		Batch: o.BatchSize, Slots: o.Concurrency, WaitTime: o.WaitTime, Receivers: o.Receivers,
		MaxInFlight: maxInFlight, Hold: !drain, Linger: o.ReceiveLinger, Rand: o.rand,
	})
	if o.MaxDuration > 0 {
		r.limit = time.Now().Add(o.MaxDuration)
	}
	return r
}

// whole is a run from its beginning to its end.
func (r *run) whole(ctx context.Context) error {
	keeping, release := context.WithCancel(context.WithoutCancel(ctx))
	telling, hush := context.WithCancel(context.WithoutCancel(ctx))
	r.helpers.Go(func() { r.keeper.Run(keeping) })
	r.tellers.Go(func() { r.aside.Run(telling) })
	r.loop.Run(ctx.Done(), doing(func() {}), doing(r.stop))
	r.interrupt()
	r.cut()
	left := r.leave()
	err := r.result(left)
	r.rest()
	release() // the leases last until nothing more can be settled
	r.wait(hush)
	return err
}

// turn does what is to be done now, and tells whether the loop is at its end.
func (r *run) turn(now time.Time) (last bool) {
	r.keepTime(now)
	r.remind(now)
	r.makeRoom(now)
	r.dispatch(now)
	r.receive(now)
	r.publish(now)
	return r.finished(now)
}

// heed does what follows from what has happened. What is to be deleted because of it
// goes together.
func (r *run) heed(events []event) {
	for _, e := range events {
		e.happen(r)
	}
	if len(r.deletes) == 0 {
		return
	}
	linger := r.linger(int64(r.running.n + r.collector.ready()))
	if slices.ContainsFunc(r.deletes, r.awaited) {
		linger = 0
	}
	r.settler.Delete(linger, r.deletes...)
	clear(r.deletes)
	r.deletes = r.deletes[:0]
}

// awaited reports whether others of its message group wait for the delete of a message:
// here or, which only a user who asks for a linger accepts, in the queue.
func (r *run) awaited(l *lease.Lease[*held]) bool {
	return r.lines != nil && (r.lines.Waits(l.Of.Group()) || l.Of.more && r.opts.DeleteLinger == 0)
}

// makeRoom gives groups back that wait for a try in place, those that failed longest ago
// first, as far as they hold more than half of the room. The others would find none.
func (r *run) makeRoom(now time.Time) {
	for r.lines != nil {
		n, bytes := r.lines.Parked()
		if n <= maxInFlight/2 && bytes <= r.opts.BytesInFlight/2 {
			return
		}
		group, until := r.lines.LongestParked()
		r.yield(group, nil, max(0, until.Sub(now)))
	}
}

// finished tells whether the loop is at its end: all is settled, or time is up.
func (r *run) finished(now time.Time) bool {
	if r.closing && r.out == 0 && len(r.hand) == 0 && r.running.n == 0 {
		return true
	}
	return r.closing && r.clock.Between(r.closed, now) >= r.end().Sub(r.closed)
}

// end is when the loop ends at the latest. Run itself does a second later, after
// what leave and wait take.
func (r *run) end() time.Time {
	return r.closed.Add(r.opts.ShutdownTimeout + hardStop - time.Second)
}

// stop begins to end the run: nothing more is received, what is held is finished.
func (r *run) stop() {
	if !r.stopped.IsZero() {
		return
	}
	r.stopped = time.Now()
	r.close()
}

// close ends receiving. What waits for its next try does not do so here, and handlers
// have the shutdown timeout from now on.
func (r *run) close() {
	if r.closing {
		return
	}
	r.closing, r.closed = true, time.Now()
	r.ending.Store(true)
	r.settler.Flush() // what lingers would hold the stop up
	if r.lines == nil {
		return
	}
	failed := func(h *held) bool { return h.tries > 0 }
	for _, group := range r.lines.Delayed(failed) {
		r.yield(group, nil, r.opts.VisibilityTimeout)
	}
}

// keepTime does what is due because time has passed.
func (r *run) keepTime(now time.Time) {
	if !r.limit.IsZero() && !now.Before(r.limit) {
		r.stop()
	}
	switch {
	case r.closing && r.over:
		r.cutReceives(now)
		r.loop.WakeAt(r.end())
	case r.closing:
		const watch = time.Second // a timer does not go on while the machine sleeps
		if passed := r.clock.Between(r.closed, now); passed < r.opts.ShutdownTimeout {
			r.loop.WakeAt(now.Add(min(watch, r.opts.ShutdownTimeout-passed)))
			return
		}
		r.interruptAll()
		r.cutReceives(now)
	case !r.limit.IsZero():
		r.loop.WakeAt(r.limit)
	}
}

// interruptAll ends the patience with handlers. What has not begun is given back.
func (r *run) interruptAll() {
	r.over = true
	r.settler.Widen(r.releases())
	r.interrupt()
	r.giveBack(r.unbegun())
	r.loop.WakeAt(r.end())
}

// releases is how many calls at once give all that is held back in the time that is left,
// with half as many more to spare.
func (r *run) releases() int {
	const (
		most  = 512 // beyond it a call waits for the others more than it helps them
		spare = 1.5
		tens  = 10 // messages of a call
	)
	left := r.end().Sub(r.closed) - r.opts.ShutdownTimeout
	calls := float64(len(r.hand)) / tens
	latency := max(unseen, time.Duration(r.latency.Load())) // many at once take longer
	return int(min(most, spare*calls*float64(latency)/float64(left)))
}

// interrupt ends the contexts of all handler calls.
func (r *run) interrupt() {
	for c := r.running.first; c != nil; c = c.after {
		c.cancel(ErrShutdown)
	}
}

// cutReceives ends the patience with receives that are out. The shortest poll may last longer than
// a very short ShutdownTimeout; what it brings would stay hidden if it were cut.
func (r *run) cutReceives(now time.Time) {
	const shortestPoll = 1500 * time.Millisecond // of one second, and its answer
	at := r.closed.Add(max(r.opts.ShutdownTimeout, shortestPoll))
	if now.Before(at) {
		r.loop.WakeAt(at)
		return
	}
	r.cut()
}

// unbegun takes out of the collector all that waits, in the order in which it is
// to be given back.
func (r *run) unbegun() (hs []*held) {
	if r.pile != nil {
		return r.pile.leave()
	}
	for _, group := range r.lines.Groups() {
		hs = append(hs, backwards(r.lines.Leave(group))...)
	}
	return hs
}

// backwards reverses messages of a group, so that none becomes visible to others
// before those that come before it.
func backwards(hs []*held) []*held {
	slices.Reverse(hs)
	return hs
}

// giveBack makes messages that no handler has seen visible again.
func (r *run) giveBack(hs []*held) {
	r.onWay.Add(-int64(len(hs)))
	for _, h := range hs {
		h.stage, h.given = settling, true
		r.settler.GiveBack(0, 0, &h.lease)
	}
}

// leave settles what can still be settled when the loop has ended, and returns how
// many messages cannot.
func (r *run) leave() int {
	const lastCalls = 400 * time.Millisecond // they were tried all the time
	ctx, cancel := context.WithTimeout(context.Background(), lastCalls)
	defer cancel()
	r.settler.Close(ctx)
	r.heed(r.loop.Close())
	for _, h := range r.hand {
		r.c.tally.Duplicates.Add(int64(h.twice)) // its end will not tell any more
	}
	return len(r.hand)
}

// wait waits for all goroutines of the run, except for handlers that ignore the
// end of their context, and hooks that block. hush ends the telling of hooks, when
// nobody else is left who has anything to tell.
func (r *run) wait(hush func()) {
	defer hush()
	r.callers.Close()
	r.handlers.Close()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		r.helpers.Wait()
		r.callers.Wait()
		if r.running.n == 0 {
			r.handlers.Wait()
		}
		hush()
		r.tellers.Wait()
	}()
	patience := time.NewTimer(r.patience())
	defer patience.Stop()
	select {
	case <-gone:
	case <-patience.C:
	}
}

// patience is how long to wait for goroutines that are at their end.
func (r *run) patience() time.Duration {
	const least, most = 200 * time.Millisecond, time.Second
	if !r.closing {
		return most
	}
	return max(least, min(most, time.Until(r.end())))
}

func (r *run) result(left int) error {
	var errs []error
	if r.fatal != nil {
		errs = append(errs, r.fatal)
	}
	if left+r.report.Abandoned > 0 || r.over && r.report.GivenBack+r.running.n > 0 {
		report := r.report
		report.Abandoned += left
		report.Stuck = r.running.n
		errs = append(errs, &report)
	}
	return errors.Join(errs...)
}

// fail ends the run because of the error of a call, which will not pass or has not for long.
func (r *run) fail(op string, err error) {
	if r.fatal == nil {
		r.fatal = fmt.Errorf("sluice: %w", r.c.failure(op, err))
		r.log(slog.LevelError, "the consumer stops", "queue", r.c.url, "call", op, "err", err)
	}
	r.stop()
}

// receive sends the receives that are useful now.
func (r *run) receive(now time.Time) {
	for !r.closing && !r.c.paused.Load() {
		if ok, at := r.mayReceive(now); !ok {
			r.loop.WakeAt(at)
			return
		}
		if !r.useful(now) {
			return
		}
		n, again := r.pace.Next(r.view(now))
		if n == 0 {
			r.loop.WakeAt(again)
			return
		}
		if r.lines == nil { // a receive of a FIFO queue that is repeated asks for as much as before
			n = r.line.Size(n, now)
		}
		since := r.pace.Sent(n)
		r.out++
		r.asked += n
		alone := r.drain && r.out == 1 && !r.busy()
		try, probe, wait := r.attempt(n, now), r.probes(), r.pollTime()
		if probe {
			wait = time.Second // what is granted is to be known soon
		}
		margin := r.line.Margin(wait)
		r.loop.Begin(r.callers, func() (next crew.Work) {
			a := &answer{asked: n, alone: alone, probe: probe, try: try, since: since, wait: wait, margin: margin, sent: time.Now(), err: errNoAnswer}
			ending := true
			defer func() { // also when the client ends the goroutine
				a.arrived = time.Now()
				if ending {
					r.loop.Leave(a)
					return
				}
				next = r.loop.Tell(a, r.callers)
			}()
			r.fetch(a)
			ending = false
			return nil
		})
	}
}

// useful reports whether one more receive can do any good now: the line takes it, and
// answers can be read. Each answer that cannot hides its messages and costs them a receive.
func (r *run) useful(now time.Time) bool {
	const several, rarely = 5, 30 * time.Second
	if !r.line.Takes(r.out) {
		return false
	}
	if r.unread < several {
		return true
	}
	again := r.unreadAt.Add(rarely)
	if r.out == 0 && now.Before(again) {
		r.loop.WakeAt(again)
	}
	return r.out == 0 && !now.Before(again)
}

// attempt returns the receive to make for n messages. On a FIFO queue that may be one
// that was made before.
func (r *run) attempt(n int, now time.Time) queue.Attempt {
	if r.lines == nil {
		return queue.Attempt{N: n}
	}
	return r.attempts.Next(n, now)
}

// pollTime is how long a receive waits for its first message.
func (r *run) pollTime() time.Duration {
	const whenDraining = time.Second // any long poll asks every server, and so knows that the queue is empty
	if r.drain {
		return min(whenDraining, r.opts.pollTime())
	}
	return r.opts.pollTime()
}

// view is the run as its pace sees it.
func (r *run) view(now time.Time) pace.View {
	v := pace.View{
		Now: now, Free: r.opts.Concurrency - r.running.n, Waiting: r.collector.ready(),
		Held: len(r.hand), Due: r.collector.due(), Latency: time.Duration(r.latency.Load()),
	}
	v.Settling = v.Held - int(r.onWay.Load())
	v.Budget = (r.opts.BytesInFlight-r.bytes)/r.largest - r.asked
	v.Enough = max(1, r.opts.BytesInFlight/r.largest)
	if v.Held == 0 && r.out == 0 {
		v.Budget = max(1, v.Budget) // whatever its size: nobody else will make room
	}
	if most := r.opts.MaxMessages; most > 0 {
		v.Budget = min(v.Budget, most-r.received-r.asked)
		v.Enough = min(v.Enough, v.Budget)
	}
	return v
}

// errNoAnswer is the error of a receive whose client has called runtime.Goexit.
var errNoAnswer = errors.New("sluice: the client did not return")

// An answer is the end of a receive.
type answer struct {
	asked         int
	alone         bool // nothing was in progress when it was sent, by a run that drains
	probe         bool // it finds out whether receives are still refused
	try           queue.Attempt
	since         time.Time     // what the pace wants to know again
	wait          time.Duration // for the first message
	margin        time.Duration // beyond that, for the answer to begin
	began         time.Time     // when it began to arrive; zero: nobody has seen that
	seen          bool          // by the loop, as it came or when its time was over; owned by the loop
	late          bool          // its time was over before it came; owned by the loop
	sent, arrived time.Time
	messages      []types.Message
	err           error
}

func (a *answer) happen(r *run) { r.answered(a) }

// arriving returns how long the answer has been arriving.
func (a *answer) arriving() time.Duration {
	if a.began.IsZero() {
		return 0
	}
	return a.arrived.Sub(a.began)
}

// An overdue is a receive whose client has not returned although its time is over. Another
// one takes its place.
type overdue struct {
	answer *answer
	err    error
}

func (o *overdue) happen(r *run) {
	if o.answer.seen {
		return // it came just then
	}
	o.answer.late = true
	r.probed(o.answer)
	r.out--
	r.asked -= o.answer.asked
	r.unanswered(&answer{asked: o.answer.asked, try: o.answer.try, sent: o.answer.sent, err: o.err}, time.Now())
}

// answeredLate takes the messages of a receive whose time is over, if they are still
// hidden from others.
func (r *run) answeredLate(a *answer) {
	n := len(a.messages)
	if a.err != nil {
		return // it has been said that it failed
	}
	r.worked = true
	r.recovered()
	if n == 0 {
		return
	}
	known := r.lines == nil || r.attempts.Found(a.try) // else it has been repeated, which brings the same
	room := r.opts.MaxMessages == 0 || r.received+r.asked+n <= r.opts.MaxMessages
	if known && room && time.Since(a.sent) < r.opts.VisibilityTimeout {
		r.take(a)
		return
	}
	r.log(slog.LevelWarn, "an answer came too late, its messages will be received again", "queue", r.c.url, "messages", n, "after", a.arrived.Sub(a.sent))
}

func (r *run) answered(a *answer) {
	if a.late {
		r.answeredLate(a)
		return
	}
	a.seen = true
	r.out--
	r.asked -= a.asked
	r.probed(a)
	now := time.Now()
	if a.err != nil {
		r.unanswered(a, now)
		return
	}
	r.worked = true
	r.granted(queue.OpReceive, a.sent)
	r.unread = 0
	if len(a.messages) > 0 {
		r.line.Arrived(len(a.messages), a.arrived.Sub(a.sent), a.arriving(), r.out+1)
	}
	hungry := r.running.n < r.opts.Concurrency && r.collector.ready() < r.opts.BatchSize
	r.recovered()
	r.c.tally.LastReceive.Store(now.UnixNano())
	fresh := r.take(a)
	r.empty = len(a.messages) == 0 && (!r.drain || r.waited(a))
	if r.drain && r.drained(a) {
		r.close()
	}
	end := pace.Answer{Asked: a.asked, Got: len(a.messages), New: len(fresh), Hungry: hungry, Sent: a.sent, Since: a.since}
	end.Aged, end.Oldest, end.Youngest = ages(fresh) // before handlers have them
	r.dispatch(now)
	r.pace.Answered(end, r.view(now))
	r.brisk.Store(r.pace.Rate()*defaultLinger.Seconds() >= 1)
}

// drained reports whether the queue is empty: two answers in a row have found it so while
// nothing was in progress. One that came at once has not asked every server of SQS.
func (r *run) drained(a *answer) bool {
	if len(a.messages) > 0 || r.busy() {
		r.empties = 0
	}
	if r.empty && a.alone && r.out == 0 && !r.busy() {
		r.empties++
	}
	return r.empties >= 2
}

// busy reports whether a message is in progress. One whose handler goes on without its lease,
// although its context has ended, is not: nobody knows whether it ever returns.
func (r *run) busy() bool {
	for _, h := range r.hand {
		if h.stage != handling || !h.call.lost {
			return true
		}
	}
	return false
}

// waited reports whether an answer took about as long as its receive was to wait for
// messages, besides the time that any call takes.
func (r *run) waited(a *answer) bool {
	poll := r.pollTime()
	return a.arrived.Sub(a.sent) >= poll*3/4+min(time.Duration(r.latency.Load()), poll/8)
}

// ages returns how many of the messages are received for the first time, and the ages of
// the oldest and the youngest of these when they arrived.
func ages(fresh []*held) (n int, oldest, youngest time.Duration) {
	for _, h := range fresh {
		if h.ReceiveCount > 1 || h.SentAt.IsZero() {
			continue
		}
		age := h.arrived.Sub(h.SentAt)
		if n++; n == 1 {
			oldest, youngest = age, age
		}
		oldest, youngest = max(oldest, age), min(youngest, age)
	}
	return n, oldest, youngest
}

// unanswered deals with a receive that failed.
func (r *run) unanswered(a *answer, now time.Time) {
	fault := queue.ClassifyRequest(a.err)
	if r.over {
		return // the receive was cut
	}
	switch {
	case queue.Cut(a.err):
		r.line.Cut(r.out+1, now)
	case queue.Unreadable(a.err):
		r.unread++
		r.unreadAt = now
	}
	if fault == queue.Lasting && a.try.Again { // what it would have repeated is not repeatable any more
		r.pace.Answered(pace.Answer{Asked: a.asked, Sent: a.sent, Void: true}, r.view(now))
		return
	}
	switch fault {
	case queue.Lasting:
		r.fail(queue.OpReceive, a.err)
	case queue.Refused:
		r.receiveRefused(a, now)
	case queue.Passing, queue.Throttled, queue.Lost: // they end nothing
	}
	if r.lines != nil && fault == queue.Passing && !queue.Expired(a.err) {
		r.attempts.Lost(a.try) // it may have had its effect; one that was throttled had not, and its id is spent
	}
	r.pace.Answered(pace.Answer{Asked: a.asked, Sent: a.sent, Failed: true, Throttled: fault == queue.Throttled}, r.view(now))
	r.c.tally.Receiving(a.err)
	if fault == queue.Refused {
		return // and that is said
	}
	failures, until := r.pace.Outage()
	if failures >= worthSaying && !r.outage {
		r.outage = true
		r.log(slog.LevelWarn, "receiving fails", "queue", r.c.url, "failures", failures, "again", until, "err", a.err)
	}
}

// worthSaying is how many receives in a row have failed when a log line says so:
// a single one is what networks are like.
const worthSaying = 3

func (r *run) recovered() {
	r.c.tally.Receiving(nil)
	if r.outage {
		r.outage = false
		r.log(slog.LevelDebug, "receiving again", "queue", r.c.url)
	}
}

// take puts the messages of an answer under leases and into the collector, and returns
// those that were not in hand already.
func (r *run) take(a *answer) (fresh []*held) {
	surplus := a.cut()
	if r.received == 0 {
		r.largest = smallest // until now nothing was known
	}
	r.received += len(a.messages)
	r.c.tally.Received.Add(int64(len(a.messages)))
	var room places
	fresh = make([]*held, 0, len(a.messages))
	receipts := make([]lease.Receipt[*held], 0, len(a.messages))
	var twice []*held
	for i := range a.messages {
		h := room.next(&a.messages[i], len(a.messages)-i)
		r.fill(h, &a.messages[i], a)
		if r.hand[h.key()] != nil {
			twice = append(twice, h) // in hand, or in this very answer
			continue
		}
		fresh = append(fresh, h)
		receipts = append(receipts, r.hold(h))
	}
	r.keeper.Add(a.sent, a.arrived, receipts...)
	for _, newer := range twice {
		r.adopt(r.hand[newer.key()], newer, a)
	}
	if r.lines != nil {
		a.mark(fresh)
	}
	r.admit(fresh...)
	if len(surplus) > 0 {
		r.release(surplus, a)
	}
	if most := r.opts.MaxMessages; most > 0 && r.received >= most {
		r.close()
	}
	return fresh
}

// fill fills h with a message of an answer.
func (r *run) fill(h *held, raw *types.Message, a *answer) {
	h.fill(raw, a.arrived, r.queueType, r.hidesTrace)
	h.handle, h.sent, h.arrived = h.ReceiptHandle, a.sent, a.arrived
}

// mark notes of which messages the queue may have more in their groups. It gives as many
// as it can of a group before it goes on to the next one, so of the last group of a full
// answer there may be more. A message that has waited in the queue may have waited for
// others of its group, and others behind it.
func (a *answer) mark(hs []*held) {
	const atOnce = 250 * time.Millisecond // on its way, and between two clocks
	full := len(a.messages) >= a.asked
	for _, h := range slices.Backward(hs) {
		full = full && h.Group() == hs[len(hs)-1].Group()
		h.more = full || a.arrived.Sub(h.SentAt) > atOnce
	}
}

// cut leaves in the answer what was asked for, and returns the rest.
func (a *answer) cut() (surplus []types.Message) {
	if len(a.messages) <= a.asked {
		return nil
	}
	surplus = a.messages[a.asked:]
	a.messages = a.messages[:a.asked:a.asked]
	return surplus
}

// release makes messages visible again that were not asked for: there may be no room for
// them. Of very many only some are, so that they need no room either; the others are
// when their visibility timeout is over.
func (r *run) release(surplus []types.Message, a *answer) {
	const most = 1000
	r.log(slog.LevelWarn, "an answer has more messages than were asked for", "queue", r.c.url, "asked", a.asked, "surplus", len(surplus))
	r.c.tally.Received.Add(int64(len(surplus)))
	if len(surplus) > most {
		r.c.tally.Unsettled.Add(int64(len(surplus) - most))
		surplus = surplus[:most]
	}
	var back []*held
	for i := range surplus {
		h := new(held)
		r.fill(h, &surplus[i], a)
		if known := r.hand[h.key()]; known != nil {
			r.adopt(known, h, a)
			continue
		}
		r.keeper.Add(a.sent, a.arrived, r.hold(h))
		back = append(back, h)
	}
	r.decline(backwards(back))
}

// decline gives messages back that have just come.
func (r *run) decline(hs []*held) {
	for _, h := range hs {
		h.surplus = true
	}
	r.onWay.Add(int64(len(hs)))
	r.giveBack(hs)
}

// places are where the messages of an answer go. Small ones share an allocation. A
// larger one has its own: one that takes long, or that its handler keeps, would keep
// all that share it in memory, although they are counted no more.
type places []held

// next returns the place of raw, which is the first of n that are left.
func (ps *places) next(raw *types.Message, n int) *held {
	if len(text(raw.Body)) > smallest || len(raw.MessageAttributes) > 0 {
		return new(held)
	}
	if len(*ps) == 0 {
		*ps = make([]held, n)
	}
	h := &(*ps)[0]
	*ps = (*ps)[1:]
	return h
}

// hold takes a message in hand and returns what begins its lease.
func (r *run) hold(h *held) lease.Receipt[*held] {
	h.lease.Of, h.bytes = h, h.size()
	r.hand[h.key()] = h
	r.bytes += h.bytes
	r.largest = max(h.bytes, r.largest-r.largest/64, smallest)
	return lease.Receipt[*held]{Lease: &h.lease, Handle: h.handle}
}

// admit lets messages wait for a handler.
func (r *run) admit(hs ...*held) {
	if r.over {
		r.decline(hs) // nobody will handle them in time
		return
	}
	r.onWay.Add(int64(len(hs)))
	r.collector.add(hs...)
	for _, h := range hs {
		if r.forsaken(h.Group()) {
			r.yield(h.Group(), nil, r.opts.VisibilityTimeout) // not sooner: it may be this consumer that receives it again
		}
	}
}

// smallest is what a message is taken to need at least, whatever its body.
const smallest = 1 << 10

// adopt notes that a message in hand was received once more. Only its newest
// receipt handle is sure to delete it; it is not handled twice.
func (r *run) adopt(known, newer *held, a *answer) {
	if known.stage == settling {
		known.twice++ // its end will tell whether this was one
	} else {
		r.c.tally.Duplicates.Add(1)
	}
	if newer.origin.receives < known.receives() {
		return // it is older: its answer was overtaken by that of a later receive
	}
	known.handle, known.sent, known.newer = newer.handle, a.sent, newer
	r.keeper.Adopt(&known.lease, newer.handle, a.sent, a.arrived)
	known.mourned = false
	known.lost.Store(false) // after that: lost looks whether there is a lease
}

// dispatch hands batches over to free slots.
func (r *run) dispatch(now time.Time) {
	if r.over {
		return
	}
	for r.running.n < r.opts.Concurrency {
		batch, why := r.collector.next(now, r.hurry())
		if len(batch) == 0 {
			r.loop.WakeAt(r.collector.wakes())
			return
		}
		if batch = r.safe(batch, now); len(batch) > 0 {
			r.start(batch, why, now)
		}
	}
}

// hurry returns why batches do not wait to be full; empty: they do.
func (r *run) hurry() Reason {
	switch {
	case r.drain && r.empty:
		return ReasonDrained
	case r.closing:
		return ReasonStopping
	case r.stuffed():
		return ReasonBytes
	default:
		return ""
	}
}

// stuffed tells whether there is no room for another message, and nothing but a
// batch that is handed over will make some.
func (r *run) stuffed() bool {
	return r.out == 0 && r.running.n == 0 &&
		(r.bytes+r.largest > r.opts.BytesInFlight || len(r.hand) >= maxInFlight)
}

// margin is how much lease a message must have left to begin: enough for a
// renewal that was late to be tried again.
func (r *run) margin() time.Duration {
	const enough = 30 * time.Second
	return min(r.opts.VisibilityTimeout/10, enough)
}

// safe returns the messages of a batch that may begin, and postpones those that
// are too near the end of their leases: renewals fail, or the receive was slow. On
// a FIFO queue those behind them in their group wait with them.
func (r *run) safe(batch []*held, now time.Time) []*held {
	risky := func(h *held) bool {
		return r.clock.Between(h.sent, now) >= r.opts.VisibilityTimeout/2 && // before, not even the first renewal is due
			r.keeper.Left(&h.lease, now) < r.margin()
	}
	if !slices.ContainsFunc(batch, risky) {
		return batch
	}
	var safe, late []*held
	var halted groups
	for _, h := range batch {
		if risky(h) || r.lines != nil && halted[h.Group()] {
			halted.add(h.Group())
			late = append(late, h)
			continue
		}
		safe = append(safe, h)
	}
	r.collector.postpone(late, now.Add(r.margin()/2))
	return safe
}

// settled notes the ends of messages. One that was received once more while it was
// being settled is settled anew, since only its newest receipt handle is sure to have
// an effect; unless it was received because it had been given back.
func (r *run) settled(results []settle.Result[*held]) {
	for _, res := range results {
		h := res.Lease.Of
		if h.handle == res.Handle {
			r.ended(h, res)
			continue
		}
		if res.Change && !res.Sent.IsZero() && r.clock.Between(res.Sent, h.newer.arrived) >= res.Delay {
			r.readmit(h, res.End)
			continue
		}
		r.keeper.Resume(&h.lease)
		if res.Change {
			r.settler.GiveBack(0, res.Delay, &h.lease)
			continue
		}
		r.deletes = append(r.deletes, &h.lease)
	}
}

// readmit begins anew with a message that was given back, as far as is known, and
// received once more before that was. Nobody has handled it since: to give it back
// again would be to spend its receives on nothing.
func (r *run) readmit(h *held, end settle.End) {
	h.twice-- // it was none
	r.keeper.Remove(&h.lease)
	r.count(end)
	r.conclude(h, end)
	r.keeper.Add(h.newer.sent, h.newer.arrived, r.hold(h.newer))
	r.admit(h.newer)
}

// ended notes the end of one message.
func (r *run) ended(h *held, res settle.Result[*held]) {
	if res.End == settle.Refused {
		op := queue.OpDelete
		if res.Change {
			op = queue.OpChange
		}
		r.fail(op, res.Err)
	}
	r.count(res.End)
	if r.lines != nil && !h.surplus && res.End != settle.Deleted && r.opts.OnGroupFailure != GroupSkip {
		// what waits behind it must not be handled before it
		h.stays = true
		r.giveBack(backwards(r.lines.LeaveBehind(h)))
	}
	r.conclude(h, res.End)
}

// conclude lets go of a message.
func (r *run) conclude(h *held, end settle.End) {
	if end == settle.Lost {
		r.keeper.Remove(&h.lease) // it may have been received once more since it was marked as lost
	}
	delete(r.hand, h.key())
	r.bytes -= h.bytes
	r.c.tally.Duplicates.Add(int64(h.twice))
	h.settleBehind(unknown) // unless it has been told
	if r.lines != nil && h.stage != waiting && !h.surplus {
		r.lines.Settled(h.Group())
	}
	if !r.closing {
		return
	}
	switch {
	case h.given && end == settle.GivenBack:
		r.report.GivenBack++
	case end == settle.Deleted || end == settle.GivenBack:
		r.report.Finished++
	case h.gone, r.stopped.IsZero() && !r.over: // not hidden any more, or not there: nothing was left; or nobody has asked for a stop
	default:
		r.report.Abandoned++
	}
}

// renew makes one call for the keeper.
func (r *run) renew(ctx context.Context, renewals []lease.Renewal[*held]) []error {
	changes := make([]queue.Change, len(renewals))
	for i, w := range renewals {
		changes[i] = queue.Change{Handle: w.Handle, Timeout: w.Timeout}
	}
	sent := time.Now()
	errs := r.queue.Change(ctx, changes)
	r.heard(queue.OpChange, sent, errs)
	for i, err := range errs {
		switch {
		case err == nil:
		case queue.ClassifyEntry(err) == queue.Lost:
			errs[i] = fmt.Errorf("%w: %w", lease.ErrGone, err)
		case queue.ClassifyEntry(err) == queue.Lasting:
			r.loop.Leave(doing(func() { r.fail(queue.OpChange, err) }))
		}
	}
	return errs
}

// lost is told by the keeper of leases that have ended while they were kept.
func (r *run) lost(leases []*lease.Lease[*held], cause error) {
	now := time.Now()
	for _, l := range leases {
		if r.keeper.Left(l, now) <= 0 { // else it was adopted meanwhile
			l.Of.lost.Store(true)
		}
	}
	r.loop.Leave(doing(func() { r.loseAll(leases, cause) }))
}

func (r *run) loseAll(leases []*lease.Lease[*held], cause error) {
	var lost []*held
	for _, l := range leases {
		h := l.Of
		switch {
		case r.keeper.Left(l, time.Now()) > 0: // it was received once more since, perhaps just when lost looked
			h.lost.Store(false)
		case h.done.Load(): // it may be our own delete that has overtaken the renewal
			h.gone = errors.Is(cause, lease.ErrGone)
		case h.lost.Load():
			lost = append(lost, h)
		}
	}
	if len(lost) == 0 {
		return
	}
	r.log(slog.LevelWarn, "leases lost", "queue", r.c.url, "messages", len(lost), "first", lost[0].origin.id, "cause", cause)
	for _, h := range lost {
		r.lose(h, cause)
	}
	if r.pile != nil {
		r.pile.remove(func(h *held) bool { return r.hand[h.key()] != h })
	}
}

// lose deals with a message whose lease has ended.
func (r *run) lose(h *held, cause error) {
	r.mourn(h, cause)
	switch h.stage {
	case waiting:
		r.onWay.Add(-1)
		r.conclude(h, settle.Lost)
		r.halt(h)
	case handling:
		h.call.cancel(fmt.Errorf("%w: message %s: %w", ErrLeaseLost, h.origin.id, cause))
		h.call.lost = true
		r.bereave(h)
	case settling: // what settles it will find out
	}
}

// mourn counts the loss of a message's lease, once, and tells the hooks of it.
func (r *run) mourn(h *held, cause error) {
	if h.mourned {
		return
	}
	h.mourned = true
	r.c.tally.Lost.Add(1)
	if hook := r.opts.Hooks.LeaseLost; hook != nil {
		r.aside.Keep(h.bytes, func() { hook(LeaseEvent{Message: &h.Message, Err: cause}) })
	}
}

// halt takes a lost message of a FIFO queue out of its line, and gives back those
// behind it: it may be handled elsewhere now, and they must not be before it.
func (r *run) halt(h *held) {
	if r.lines == nil {
		return
	}
	behind := r.lines.LeaveBehind(h)
	r.lines.Remove(h.Group(), func(other *held) bool { return other == h })
	r.giveBack(backwards(behind))
}

// starved is told by the keeper that goroutines wait long for a processor.
func (r *run) starved(wait time.Duration) {
	now := time.Now().UnixNano()
	if before := r.warned.Load(); now-before < int64(time.Minute) || !r.warned.CompareAndSwap(before, now) {
		return
	}
	r.log(slog.LevelWarn, "renewals may come too late: goroutines wait for a processor",
		"queue", r.c.url, "wait", wait, "visibility_timeout", r.opts.VisibilityTimeout)
}

// observe is told of each call to SQS, by the goroutine that made it.
func (r *run) observe(c queue.Call) {
	r.c.calls.Add(c.Op)
	if c.Err != nil {
		r.c.errors.Add(c.Op)
	}
	old := r.latency.Load()
	atOnce := c.Op != queue.OpReceive || c.Entries == 10 || old == int64(unseen) && c.Entries > 0 && c.Took < time.Second
	if c.Err == nil && atOnce {
		const weight, most = 8, 3 // of the past against the newest, in a moving average; and times the average that one call counts
		if old == int64(unseen) {
			old = int64(c.Took)
		}
		r.latency.Store(old + (min(int64(c.Took), most*old)-old)/weight) // a lost update changes little
	}
	if hook := r.opts.Hooks.Call; hook != nil {
		r.aside.Do(func() {
			hook(CallEvent{Operation: c.Op, Entries: c.Entries, Failed: c.Failed, Duration: c.Took, Err: c.Err})
		})
	}
}

// unseen is how long calls are taken to last until one has been seen.
const unseen = 20 * time.Millisecond

// log writes a line about the queue, soon and on another goroutine: a logger may block.
func (r *run) log(level slog.Level, msg string, args ...any) {
	r.aside.Do(func() { r.opts.Logger.Log(context.Background(), level, msg, args...) }) //nolint:sloglint // each caller's is a constant
}

// publish tells how the run is doing to those who ask from outside.
func (r *run) publish(now time.Time) {
	t := &r.c.tally
	t.InFlight.Store(int64(len(r.hand)))
	t.Bytes.Store(int64(r.bytes))
	t.Handlers.Store(int64(r.running.n))
	t.Dropped.Store(r.dropped + r.aside.Dropped())
	t.Oldest.Store(r.oldest())
	t.Receives.Store(int64(r.out))
	t.Allowed.Store(int64(r.pace.Allowed()))
	lag, rising := r.pace.Lag(now)
	t.Lag.Store(int64(lag))
	r.behind = rising
	r.enter(r.state(), now)
}

// oldest returns when the handler call began that has been running longest, in
// nanoseconds since 1970; 0: there is none.
func (r *run) oldest() int64 {
	if r.running.first == nil {
		return 0
	}
	return r.running.first.began.UnixNano()
}

// enter notes a state, and tells the hooks of it if it is worth telling: waiting
// for room is a part of receiving.
func (r *run) enter(s State, now time.Time) {
	before, changed := r.c.tally.Enter(string(s), now)
	working := func(s State) bool { return s == StateReceiving || s == StateWaiting }
	if !changed || working(s) && working(State(before)) {
		return
	}
	if hook := r.opts.Hooks.Health; hook != nil {
		health := r.c.Health()
		r.aside.Do(func() { hook(health) })
	}
}

// count notes how a message ended.
func (r *run) count(end settle.End) {
	switch end {
	case settle.Deleted:
		r.c.tally.Deleted.Add(1)
	case settle.GivenBack:
		r.c.tally.GivenBack.Add(1)
	case settle.Lost, settle.Refused:
		r.c.tally.Unsettled.Add(1)
	}
}

// rest tells that nothing is going on any more.
func (r *run) rest() {
	r.c.tally.Rest()
	r.enter(StateStopped, time.Now())
}

// state tells what the run is doing about receiving.
func (r *run) state() State {
	failures, _ := r.pace.Outage()
	switch {
	case r.closing:
		return StateStopping
	case r.c.paused.Load():
		return StatePaused
	case len(r.refusals) > 0:
		return StateRefused
	case failures >= worthSaying:
		return StateBackingOff
	case r.behind:
		return StateBehind
	case r.out > 0:
		return StateReceiving
	default:
		return StateWaiting
	}
}
