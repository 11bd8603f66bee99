package sluice

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
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
	"github.com/aws/smithy-go"

	"github.com/sluice-go/sluice/internal/counters"
	"github.com/sluice-go/sluice/internal/elapsed"
	"github.com/sluice-go/sluice/internal/engine"
	"github.com/sluice-go/sluice/internal/failures"
	"github.com/sluice-go/sluice/internal/fault"
	"github.com/sluice-go/sluice/internal/notify"
	"github.com/sluice-go/sluice/internal/sqsapi"
)

// A Client makes the calls to SQS. [*sqs.Client] is one. A Consumer calls its methods
// concurrently, and expects that they return when their context ends. For
// [Options.DeadLetterQueueURL] a Client must have SendMessage too, as *sqs.Client has.
type Client interface {
	ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, optFns ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput, optFns ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error)
	ChangeMessageVisibilityBatch(ctx context.Context, in *sqs.ChangeMessageVisibilityBatchInput, optFns ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error)
}

// NewClient returns an SQS client whose HTTP connections fit a busy consumer. It speaks
// HTTP/1.1 only, also to servers that offer HTTP/2. Each call that is out has a connection.
// Up to 3,000 idle connections are kept: three for each of 1,000 [Options.Receivers]. The
// SDK's own client keeps ten, so with more calls at once nearly each call opens a new one.
// An HTTP client in cfg that is not the SDK's stays as it is. So does one that optFns set.
//
// The client loses no answers. The SDK closes the body of a request while the connection
// may still read it. Now and then the connection takes that for a failed write. Then it
// closes before the answer is read, and the SDK makes the call once more. The messages of
// the lost answer stay hidden for their visibility timeout. NewClient wraps the HTTP client
// so that this does not happen. Calls that are given an HTTP client of their own are not
// wrapped. A Consumer wraps its own calls in any case, with any client of the SDK.
//
// A Consumer works with any [Client]. One of your own should keep as many idle connections
// per host as there are calls at once: three times [Options.Receivers]. Six things are the
// same for all clients of the SDK:
//
//   - A receive is cut when no answer has begun 5 s after its poll time. After receives
//     that were cut it is up to 10 s. No receive waits longer than 25 s for its answer.
//   - A receive whose answer arrives is cut after 5 s of silence, or 10 s as above. It is
//     also cut when its messages are visible to others again. On a slow line fewer
//     receives are out, and they ask for fewer messages.
//   - An answer of more than 61 MiB is an error. Ten messages of 1 MiB are not longer,
//     even if JSON spells each byte with six.
//   - A redirect is not followed, since the session token would go along.
//   - A request that a server of HTTP/2 has not looked at is sent again.
//   - Where MD5 is forbidden (GODEBUG=fips140=only), the digests of bodies are not checked.
//
// A call whose client does not return a second after its context has ended counts as failed.
// After 100 such calls that have not returned, calls fail without being made.
// [Consumer.Health] shows that.
//
// The SDK's middleware takes more of the processor than all else. So a Consumer makes its
// receives, deletes and renewals itself, if the client is plain: it makes the SDK's requests,
// to the byte, with the client's credentials, region, endpoint and HTTP client. Errors are
// those of the SDK. A client is plain if it is a *sqs.Client without middleware, interceptors,
// logging, tracing or metrics, and has no protocol, signer, auth scheme or endpoint resolver of
// the user's. [Stats] says whether it is. [Options.SDKCalls] makes all calls through the
// client. A request whose signature SQS refuses for a wrong clock is made once more with SQS's
// time.
//
// If the HTTP client is the SDK's too, such a Consumer writes these requests and reads their
// answers itself. Each of net/http's connections has two goroutines, and to wake them costs
// more than most else in a call. The Consumer has connections of its own then, a second pool
// beside the client's. They have its dialer, its TLS, its bounds and its idle time. Calls go
// through net/http where there is more to it: a proxy, a server that speaks HTTP/2, an HTTP
// client of the user's or one with a timeout.
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
	read := func(o *sqs.Options) { o.HTTPClient = sqsapi.Wrap(o.HTTPClient) }
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

// A Handler handles a batch of messages, 1 to [Options.BatchSize] of them.
//
// If it returns nil, all of them are deleted. If it returns an error, the messages that the
// error concerns have failed. They are handled again later, and the others are deleted.
// [Failed] makes an error that concerns one message, and errors.Join combines several. An
// error concerns all messages if a part of it names none, or names one of another batch. A
// panic concerns all, and so does runtime.Goexit.
//
// [RetryAfter], [Discard] and [DeadLetter] say what else becomes of messages that failed. On a
// FIFO queue a message may stand behind one of its group that is to be handled again. Such a
// message counts as not handled, whatever the error says of it.
//
// ctx has the values of Run's context. It does not end when that ends. It ends for one of these
// causes, which context.Cause returns:
//
//   - [ErrLeaseLost]: the lease of a message of the batch is lost.
//   - [ErrHandlerTimeout]: the call has taken [Options.HandlerTimeout].
//   - [ErrShutdown]: [Options.ShutdownTimeout] is over.
//
// Up to [Options.Concurrency] calls run at once, each on a goroutine of the run. The slice
// belongs to the handler. The messages must not be changed.
type Handler func(ctx context.Context, batch []*Message) error

// A Message is a message as it was received. Nobody changes it after that.
//
// Strings of up to 1 KiB share their memory with those of up to nine other messages. So a
// program that keeps one of them for long may want to keep a copy, see strings.Clone.
type Message struct {
	ID            string
	Body          string
	ReceiptHandle string // of this receive. The consumer uses a newer one if it has one

	GroupID         string // message group. On a standard queue: the tenant, for fair queues. "": none
	DeduplicationID string // FIFO queues only
	SequenceNumber  string // FIFO queues only: a decimal number that increases within a message group

	ReceiveCount int       // how often the message was received, by any consumer, this receive included
	Attempt      int       // ReceiveCount, and one more for each try in place that failed since; see [GroupRetryInPlace]
	SentAt       time.Time // when SQS accepted it, by its clock, to the millisecond; zero: unknown
	ReceivedAt   time.Time // when this receive brought it, by this machine's clock

	Attributes       map[string]types.MessageAttributeValue // what the sender gave it; nil: none
	SystemAttributes map[string]string                      // those of [Options.SystemAttributes], as SQS gave them, by name; nil: none

	from mark
}

// LogValue returns what a log may show of m: id, message group, receive count and age. It
// leaves out the body, the attributes and the receipt handle, so that
// slog.Any("message", m) is safe, also for a Message that is no pointer.
func (m Message) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("id", m.ID)}
	if m.GroupID != "" {
		attrs = append(attrs, slog.String("group", m.GroupID))
	}
	attrs = append(attrs, slog.Int("receive_count", m.ReceiveCount))
	if !m.SentAt.IsZero() {
		attrs = append(attrs, slog.Duration("age", time.Since(m.SentAt)))
	}
	return slog.GroupValue(attrs...)
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

// Errors for errors.Is.
var (
	// ErrRunning is what Run and Drain return while the Consumer is running.
	ErrRunning = errors.New("sluice: the consumer is already running")
	// ErrShutdown is the cause of a handler's context that ended because
	// [Options.ShutdownTimeout] was over. A [*ShutdownError] matches it too.
	ErrShutdown = engine.ErrShutdown
	// ErrLeaseLost is in the cause of a handler's context that ended because a lease was
	// lost: a message of the batch is visible to other consumers again, or was deleted. The
	// cause names the message and the reason. Match it with errors.Is.
	ErrLeaseLost = engine.ErrLeaseLost
	// ErrHandlerTimeout is the cause of a handler's context that ended because the call
	// took [Options.HandlerTimeout].
	ErrHandlerTimeout = engine.ErrHandlerTimeout
	// ErrUnhandled is the error of a message that was not handled since one before it in its
	// message group failed. Middleware that stops a group says so by [Failed] with it: such a
	// message has not failed itself. See [OutcomeUnhandled].
	ErrUnhandled = engine.ErrUnhandled
)

// A ShutdownError reports that a run has ended and left something: it could not wait for all
// handlers, or leases ended before their messages were deleted. It matches [ErrShutdown]. Its
// counts are of the time since the run began to end.
type ShutdownError struct {
	Finished  int // messages settled by their handlers' results
	GivenBack int // messages made visible again without a result of a handler
	Abandoned int // messages left to the end of their visibility timeout
	Stuck     int // handler calls that did not return although their context had ended
}

func (e *ShutdownError) Error() string {
	return fmt.Sprintf("sluice: stopped before all was settled: %d messages finished, %d given back, %d abandoned, %d handlers still running",
		e.Finished, e.GivenBack, e.Abandoned, e.Stuck)
}

// Is reports whether target is [ErrShutdown].
func (*ShutdownError) Is(target error) bool { return target == ErrShutdown }

// A Consumer passes the messages of one queue to a [Handler]. The zero value is not usable; see
// [New]. All methods may be called concurrently, also from handlers and hooks.
type Consumer struct {
	client Client
	url    string
	region string // for those who read errors; "": it is not known
	opts   Options

	lean *sqsapi.Lean // nil: the client makes all calls
	why  error        // there is none; nil: there is

	paused   atomic.Bool
	counters counters.Counters
	failures failures.Log
	calls    [len(sqsapi.Operations)]atomic.Int64 // to SQS, by operation
	errors   [len(sqsapi.Operations)]atomic.Int64 // those that failed as a whole

	mu      sync.Mutex // guards the fields below; never held while calling out
	current *run       // the run that is under way; nil: none has begun, or it has ended
}

// New returns a Consumer of the queue with the given URL. It makes no call and starts no
// goroutine. Its error has all that is wrong with the arguments, each with field, value and
// rule. The URL must not name another region than the client's. If the client may have an
// endpoint of its own, that is no error but a line in the log.
func New(client Client, queueURL string, opts Options) (*Consumer, error) {
	wrong := make(faults, 0, 4)
	wrong.add(checkClient(client))
	wrong.add(checkURL("queueURL", queueURL))
	opts = opts.withDefaults()
	opts.SystemAttributes, opts.Middleware = slices.Clone(opts.SystemAttributes), slices.Clone(opts.Middleware)
	wrong = append(wrong, opts.validate(client, queueURL)...)
	doubts := wrong.checkRegions(client, queueURL, opts.DeadLetterQueueURL)
	if err := errors.Join(wrong...); err != nil {
		return nil, fmt.Errorf("sluice: %w", err)
	}
	for _, doubt := range doubts {
		opts.Logger.Warn("a queue of another region", "queue", queueURL, "error", doubt)
	}
	c := &Consumer{client: client, url: queueURL, region: regionOf(client, queueURL), opts: opts}
	c.chooseTransport()
	return c, nil
}

// chooseTransport decides what makes the calls.
func (c *Consumer) chooseTransport() {
	if c.opts.SDKCalls {
		c.why = errors.New("Options.SDKCalls is set")
		return
	}
	c.lean, c.why = sqsapi.NewLean(c.client)
}

// transport is what makes the calls; see Stats.Transport.
func (c *Consumer) transport() string {
	if c.why != nil {
		return "sdk: " + c.why.Error()
	}
	return c.lean.Transport()
}

// QueueURL returns the URL of the queue, as it was given to [New].
func (c *Consumer) QueueURL() string { return c.url }

// Options returns the options as they work: zero values are replaced by what they mean, and
// PollTime is as short as it has to be. The slices belong to the caller.
func (c *Consumer) Options() Options {
	o := c.opts
	o.PollTime = o.pollTime()
	o.SystemAttributes, o.Middleware = slices.Clone(o.SystemAttributes), slices.Clone(o.Middleware)
	return o
}

// Run passes messages to h until ctx is done, then finishes those it holds and
// returns nil. It returns within [Options.ShutdownTimeout] and 3 s. If that was too short,
// it returns a [*ShutdownError]. Run does not wait for handlers that are still running then.
// A later run may be given their messages while they go on.
//
// Run returns an error at once if h is nil, and [ErrRunning] if the Consumer is running. If
// ctx is done already, it returns nil and receives nothing.
//
// It ends by itself after [Options.MaxMessages] or [Options.MaxDuration], and when SQS refuses:
// access is denied, a key cannot be used, or the queue does not exist. Before the first
// receive has succeeded it ends at the first refusal, else after [Options.GiveUpAfter] of them.
// It also ends after an error that no call can cure, such as a region that is missing. It
// finishes what it holds and returns the error, joined with a [*ShutdownError] if it left
// something. All other errors of SQS are tried again.
func (c *Consumer) Run(ctx context.Context, h Handler) error {
	return c.start(ctx, h, false)
}

// Drain is [Consumer.Run] that also ends when the queue is empty. Two receives in a row must
// find it so: each has waited for about a second and brought nothing. No message may be in
// progress meanwhile. An answer that comes sooner does not count, since SQS at times finds no message
// where there are some. So with a stand-in for SQS that never waits, Drain does not end.
//
// Some messages do not count: those that are delayed, that other consumers hold, or that
// failed and wait in the queue for their next try. A part-filled batch does not wait for
// its wait time when the queue is empty.
//
// Handlers may take as long as they need, as in Run. A message whose handler goes on without
// its lease is not in progress. When all else is done, Drain waits for that handler for
// [Options.ShutdownTimeout].
func (c *Consumer) Drain(ctx context.Context, h Handler) error {
	return c.start(ctx, h, true)
}

// Stop ends the run that is under way as the end of its context would. It does not wait for
// the end. It may be called from handlers and hooks, and more than once. Without a run it has no
// effect: to stop a run that may not have begun, end the context of Run.
func (c *Consumer) Stop() {
	if r := c.run(); r != nil {
		r.engine.Stop()
	}
}

// Pause makes the Consumer receive no more, until [Consumer.Resume]. What it holds is handled.
// A receive that is out may still bring messages. Pause may be called before a run, and from
// handlers and hooks. It holds over the end of a run. A [Consumer.Drain] does not end while it is
// paused, since it cannot know that the queue is empty.
func (c *Consumer) Pause() { c.pause(true) }

// Resume ends a [Consumer.Pause]. It has no effect if there is none.
func (c *Consumer) Resume() { c.pause(false) }

func (c *Consumer) pause(on bool) {
	c.paused.Store(on)
	if r := c.run(); r != nil {
		r.engine.Wake()
	}
}

// run returns the run that is under way, or nil if there is none.
func (c *Consumer) run() *run {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current
}

// begin makes r the run that is under way. It reports whether there was none.
func (c *Consumer) begin(r *run) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil {
		return false
	}
	c.current = r
	return true
}

func (c *Consumer) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counters.Dropped.Add(c.current.notifier.Dropped())
	c.current = nil
}

// dropped returns how many hook calls and log lines were dropped, by all runs.
func (c *Consumer) dropped() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.counters.Dropped.Load()
	if c.current != nil {
		n += c.current.notifier.Dropped()
	}
	return n
}

func (c *Consumer) start(ctx context.Context, h Handler, drain bool) error {
	if h == nil {
		return errors.New("sluice: handler is nil, want a function")
	}
	r := newRun(c, drain)
	if !c.begin(r) {
		return ErrRunning
	}
	defer c.end()
	if ctx.Err() != nil {
		return nil
	}
	var err error
	if r.handler, err = wrapped(h, c.opts.Middleware); err != nil {
		return err
	}
	return r.run(ctx)
}

// wrapped returns h within middleware, of which the first is the outermost.
func wrapped(h Handler, middleware []func(Handler) Handler) (Handler, error) {
	for i, wrap := range slices.Backward(middleware) {
		if h = wrap(h); h == nil {
			return nil, fmt.Errorf("sluice: Middleware[%d] returned a handler that is nil, want a function", i)
		}
	}
	return h, nil
}

// fifo reports whether the queue is a FIFO queue. Its name says so; message groups
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
	if c.opts.DeadLetterQueueURL != "" {
		names = append(names, types.MessageSystemAttributeNameAWSTraceHeader) // it goes along with a dead letter
	}
	for _, name := range c.opts.SystemAttributes {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// fill fills m from what SQS gave.
func (m *Message) fill(raw *sqsapi.Message, now time.Time) {
	m.ID, m.Body, m.ReceiptHandle = raw.ID, raw.Body, raw.Handle
	m.Attributes, m.SystemAttributes = raw.Attributes, raw.System
	m.GroupID, m.DeduplicationID, m.SequenceNumber = raw.Group, raw.Deduplication, raw.Sequence
	m.ReceiveCount, _ = strconv.Atoi(raw.ReceiveCount)
	m.ReceiveCount = max(1, m.ReceiveCount)
	m.Attempt = m.ReceiveCount
	if ms, err := strconv.ParseInt(raw.SentAt, 10, 64); err == nil {
		m.SentAt = time.UnixMilli(ms)
	}
	m.ReceivedAt = now
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

// Stats are counts of a [Consumer] since [New], over all runs, and what is so now. What is so
// now is 0 while there is no run.
type Stats struct {
	Received   int64 // messages; each receive of a message counts
	Duplicates int64 // of those: messages that were in hand already, and were not handled twice
	Succeeded  int64 // messages for which their handler call reported no error
	Failed     int64 // messages for which their handler call reported an error, or panicked
	Panics     int64 // handler calls that panicked or called runtime.Goexit

	Deleted      int64 // messages whose delete SQS confirmed
	GivenBack    int64 // messages made visible again, at once or after a delay
	DeadLettered int64 // messages sent to the dead-letter queue
	LeasesLost   int64 // messages whose lease ended while they waited or were handled
	Unsettled    int64 // messages for which SQS did not confirm that they were deleted or given back

	ReceiveCounts map[int]int64 // messages received, by [Message.ReceiveCount]; those of 10 and more are at 10

	Batches       map[Reason]int64 // handler calls, by the reason for which their batch was handed over
	BatchMessages int64            // messages of these calls
	Calls         map[string]int64 // calls to SQS, by operation, successful or not
	Errors        map[string]int64 // calls to SQS that failed as a whole, by operation

	InFlight      int       // messages held now
	BytesInFlight int       // of their bodies and attributes
	Handlers      int       // handler calls now
	OldestHandler time.Time `json:",omitzero"` // when the longest of them began; zero: there is none
	LastReceive   time.Time `json:",omitzero"` // when a receive succeeded last; zero: never
	Receives      int       // receives that are out now
	ReceivesMost  int       // receives that may be out now, at most [Options.Receivers]; it follows how long messages wait in the queue

	// Lag is how long messages wait in the queue: the longest wait of those received for the
	// first time in the last half minute to minute. 0 means that there were none. A known
	// difference between SQS's clock and this machine's is left out.
	Lag time.Duration

	// LeaseMargin is how much was left of the leases that were renewed last, when SQS had confirmed
	// it: the least of one call, about half of [Options.VisibilityTimeout] if all is well. 0 means
	// that none was renewed, or that it was too late.
	LeaseMargin time.Duration

	HooksDropped int64 // hook calls and log lines that were dropped because hooks or the logger were too slow

	// Transport is what makes the calls: "lean", or "sdk: " and why, such as "sdk: the client
	// has interceptors". Where lean calls go through net/http it is "lean: " and why. See
	// [NewClient] and [Options.SDKCalls].
	Transport string
}

// A Finding is something that [Consumer.Preflight] has found.
type Finding struct {
	Fatal bool   // the consumer cannot work like this; else messages may be lost, or more work made than needed
	Text  string // what it is and what follows from it, in a sentence
}

// Preflight looks at the queue's settings before a run, and returns what is likely to be a mistake:
// a queue that does not exist, no redrive policy, a maxReceiveCount that sends healthy messages away, a
// dead-letter queue that is missing, of the wrong type or that forgets too soon, a retention that is
// shorter than what messages wait for. No finding means that nothing was found.
//
// It makes one GetQueueAttributes of the queue, and one of its dead-letter queue. A run needs
// neither, so a permission that is missing is a finding, and no fatal one. The error says why
// SQS could not be asked: the [Client] has no GetQueueAttributes, or the call failed.
func (c *Consumer) Preflight(ctx context.Context) ([]Finding, error) {
	asker, ok := c.client.(attributeClient)
	if !ok {
		return nil, fmt.Errorf("sluice: the client is a %T, want one with GetQueueAttributes, such as *sqs.Client", c.client)
	}
	p := preflight{c: c, asker: asker}
	queue, err := p.ask(ctx, "the queue", c.url)
	if queue == nil || err != nil {
		return p.findings, err
	}
	p.retention(queue)
	return p.findings, p.redrive(ctx, queue)
}

type attributeClient interface {
	GetQueueAttributes(ctx context.Context, in *sqs.GetQueueAttributesInput, optFns ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error)
}

// A preflight is one look at the settings of a queue.
type preflight struct {
	c        *Consumer
	asker    attributeClient
	findings []Finding
}

func (p *preflight) findf(fatal bool, format string, args ...any) {
	p.findings = append(p.findings, Finding{Fatal: fatal, Text: fmt.Sprintf(format, args...)})
}

// ask returns the attributes of a queue. nil without an error: it cannot be looked at, which is noted.
func (p *preflight) ask(ctx context.Context, what, queueURL string) (map[string]string, error) {
	out, err := p.asker.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &queueURL, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
	if err == nil {
		return out.Attributes, nil
	}
	if _, missing := errors.AsType[*types.QueueDoesNotExist](err); missing {
		p.findf(queueURL == p.c.url, "%s %s does not exist", what, queueURL)
		return nil, nil //nolint:nilnil // what it means is above
	}
	if sqsapi.Classify(err) == fault.Refused {
		p.findf(false, "%s %s cannot be looked at: SQS refuses sqs:GetQueueAttributes", what, queueURL)
		return nil, nil //nolint:nilnil // as above
	}
	return nil, fmt.Errorf("sluice: looking at %s %s: %w", what, queueURL, err)
}

// retention compares how long the queue keeps messages with how long they may be held.
func (p *preflight) retention(queue map[string]string) {
	keeps, o := secondsOf(queue, types.QueueAttributeNameMessageRetentionPeriod), &p.c.opts
	if keeps == 0 {
		return
	}
	if o.BatchSize > 1 && o.WaitTime >= keeps {
		p.findf(true, "the queue keeps messages for %v, and a batch waits for %v (WaitTime): messages vanish while they wait", keeps, o.WaitTime)
	}
	if o.HandlerTimeout >= keeps {
		p.findf(false, "the queue keeps messages for %v, and a handler may take %v (HandlerTimeout): messages may vanish before they can be tried again", keeps, o.HandlerTimeout)
	}
	if o.VisibilityTimeout >= keeps {
		p.findf(false, "the queue keeps messages for %v, and hides them for %v (VisibilityTimeout): those of a process that died vanish", keeps, o.VisibilityTimeout)
	}
}

// redrive looks at the redrive policy and the dead-letter queue that it names.
func (p *preflight) redrive(ctx context.Context, queue map[string]string) error {
	keeps := secondsOf(queue, types.QueueAttributeNameMessageRetentionPeriod)
	var policy struct {
		Target string `json:"deadLetterTargetArn"`
		Most   any    `json:"maxReceiveCount"` // a number or a string, as it was set
	}
	if json.Unmarshal([]byte(queue[string(types.QueueAttributeNameRedrivePolicy)]), &policy) != nil || policy.Target == "" {
		p.findf(false, "the queue has no redrive policy: a message that always fails comes back until it is %v old, and is lost then", keeps)
		return nil //nolint:nilerr // a policy that cannot be read is none
	}
	if most := fmt.Sprint(policy.Most); most == "1" {
		p.findf(false, "maxReceiveCount is 1: a message that a stop gave back, or that a lost answer has hidden, goes to the dead-letter queue although nothing is wrong with it; want 3 or more")
	}
	dead := beside(p.c.url, policy.Target)
	if dead == "" {
		return nil
	}
	if isFIFO(dead) != p.c.fifo() {
		p.findf(false, "the dead-letter queue %s is of another type than the queue, want both FIFO or both standard", dead)
	}
	attributes, err := p.ask(ctx, "the dead-letter queue", dead)
	if attributes == nil || err != nil {
		return err
	}
	if kept := secondsOf(attributes, types.QueueAttributeNameMessageRetentionPeriod); kept > 0 && kept <= keeps {
		p.findf(false, "the dead-letter queue keeps messages for %v, and the queue for %v: the age of a message of a standard queue goes on when it is moved, so it may be lost soon after; want 14 days", kept, keeps)
	}
	return nil
}

// secondsOf returns an attribute that is a number of seconds. 0: there is none.
func secondsOf(attributes map[string]string, name types.QueueAttributeName) time.Duration {
	n, _ := strconv.Atoi(attributes[string(name)])
	return time.Duration(n) * time.Second
}

// beside returns the URL of the queue with an ARN, at the endpoint of another queue. "": it cannot
// be told.
func beside(queueURL, arn string) string {
	u, err := url.Parse(queueURL)
	parts, path := strings.Split(arn, ":"), pathOf(queueURL)
	if err != nil || len(parts) != 6 || !strings.Contains(path, "/") {
		return ""
	}
	u.Path = strings.TrimSuffix(strings.TrimRight(u.Path, "/"), path) + parts[4] + "/" + parts[5]
	return u.String()
}

// A State is what a [Consumer] is doing about receiving.
type State string

// The states of a Consumer.
const (
	StateStopped    State = "stopped"          // there is no run
	StateReceiving  State = "receiving"        // a receive is out
	StateWaiting    State = "waiting for room" // for handlers, or until a receive brings more of the messages that are left in the queue
	StateBehind     State = "falling behind"   // messages come faster than they are handled; [Stats] shows what is at its bound, Handlers or Receives
	StatePaused     State = "paused"           // by Pause
	StateBackingOff State = "backing off"      // receives fail
	StateRefused    State = "refused"          // SQS refuses calls, which may pass; see [Options.GiveUpAfter]
	StateStopping   State = "stopping"         // nothing is received any more, and what is held is finished
)

// Health is what a [Consumer] is doing about receiving. [StateBehind] says that it does not keep
// up: what it receives has waited for 30 s, and waits longer and longer. The number of messages
// in the queue says so sooner.
type Health struct {
	State State
	Since time.Time // when the state began; zero: there was no run yet
	Err   error     // what SQS refuses now, else the error of the newest receive; nil: neither

	// ProcessorWait is how long a goroutine that is ready waits for a processor. It is
	// measured once a second while messages are held. If it is more than 8 % of the
	// visibility timeout, renewals may come too late. See [Options.VisibilityTimeout].
	ProcessorWait time.Duration
}

// MarshalJSON returns h as JSON, with Err as text. It leaves out zero values except for State.
func (h Health) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		State State     `json:"State"`
		Since time.Time `json:"Since,omitzero"`
		Err   string    `json:"Err,omitempty"`

		ProcessorWait time.Duration `json:"ProcessorWait,omitzero"`
	}{h.State, h.Since, sentence(h.Err), h.ProcessorWait})
}

// sentence returns the text of an error, or "" if there is none.
func sentence(err error) (text string) {
	if err != nil {
		_ = isolate(func() { text = err.Error() })
	}
	return text
}

// The states by their numbers.
var states = [...]State{
	engine.Stopped: StateStopped, engine.Receiving: StateReceiving, engine.Waiting: StateWaiting, engine.Behind: StateBehind,
	engine.Paused: StatePaused, engine.BackingOff: StateBackingOff, engine.Refused: StateRefused, engine.Ending: StateStopping,
}

// Stats returns what the Consumer has done. It is cheap and makes no call. Its maps belong to
// the caller.
func (c *Consumer) Stats() Stats {
	n := &c.counters
	s := Stats{
		Transport: c.transport(),
		Received:  n.Received.Load(), Duplicates: n.Duplicates.Load(), Succeeded: n.Succeeded.Load(),
		Failed: n.Failed.Load(), Panics: n.Panics.Load(),
		Deleted: n.Deleted.Load(), GivenBack: n.Released.Load(), DeadLettered: n.DeadLettered.Load(),
		LeasesLost: n.Lost.Load(), Unsettled: n.Unsettled.Load(),
		ReceiveCounts: map[int]int64{},
		Batches:       map[Reason]int64{}, BatchMessages: n.BatchMessages.Load(), Calls: map[string]int64{}, Errors: map[string]int64{},
		InFlight: int(n.InFlight.Load()), BytesInFlight: int(n.Bytes.Load()), Handlers: int(n.Handlers.Load()),
		OldestHandler: counters.Moment(n.Oldest.Load()), LastReceive: counters.Moment(n.LastReceive.Load()),
		HooksDropped: c.dropped(),
		Receives:     int(n.Receives.Load()), ReceivesMost: int(n.Allowed.Load()), Lag: time.Duration(n.Lag.Load()), LeaseMargin: time.Duration(n.LeaseMargin.Load()),
	}
	for i := range n.ReceiveCounts {
		s.ReceiveCounts[i+1] = n.ReceiveCounts[i].Load()
	}
	for i := range n.Batches {
		s.Batches[Reason(i)] = n.Batches[i].Load()
	}
	for i, op := range sqsapi.Operations {
		s.Calls[op], s.Errors[op] = c.calls[i].Load(), c.errors[i].Load()
	}
	return s
}

// Health returns what the Consumer is doing about receiving. It is cheap and makes no call.
func (c *Consumer) Health() Health {
	state, since, err := c.counters.State()
	return Health{State: states[state], Since: since, Err: err, ProcessorWait: c.counters.Wait(time.Now())}
}

// Stalled asks the run that is under way for a sign of life. It returns for how long the run
// has not given one although it was asked. A run gives one in less than a millisecond,
// whatever SQS and handlers do, and after that Stalled returns 0. So does the first call, and
// each one without a run. If Stalled returns more than 30 s, the process gets no processor
// time, or the run hangs, which is a bug. It is cheap and makes no call to SQS.
func (c *Consumer) Stalled() time.Duration {
	r := c.run()
	if r == nil {
		return 0
	}
	stalled := c.counters.Ask(time.Now())
	if stalled == 0 {
		r.engine.Wake()
	}
	return stalled
}

// A Failure is one of the newest failures of a [Consumer], with those that have the same text.
type Failure struct {
	Operation string    // of SQS, such as ReceiveMessage; [OperationHandler] or [OperationLease]
	Text      string    // of the error, up to 1,024 bytes of it
	MessageID string    // of a message that it concerns; "": it concerns none
	Count     int64     // messages or calls that failed so. If very many fail, some are counted with others
	First     time.Time // when it was seen first
	Last      time.Time // when it was seen last
}

// Operations of a [Failure], besides those of SQS.
const (
	OperationHandler = "Handler" // a handler call
	OperationLease   = "Lease"   // the lease of a message was lost
)

// Failures returns the newest failures over all runs, the newest first: calls to SQS that
// failed as a whole, messages whose handler call failed, and leases that were lost. There are
// up to eight texts of each operation. The texts are those of your handlers' errors and of SQS.
// It is cheap and makes no call. The slice belongs to the caller.
func (c *Consumer) Failures() []Failure {
	kept := c.failures.All()
	fs := make([]Failure, len(kept))
	for i, f := range kept {
		fs[i] = Failure(f)
	}
	return fs
}

// A run is one call of Run or Drain: the engine, and what connects it to the user.
type run struct {
	c        *Consumer
	handler  Handler
	engine   *engine.Engine
	queue    *sqsapi.Queue
	notifier *notify.Queue
	from     mark // of its messages
}

func newRun(c *Consumer, drain bool) *run {
	o := &c.opts
	r := &run{c: c, notifier: notify.New(hookBacklog, o.BytesInFlight), from: mark{queue: standardQueue}}
	if c.fifo() {
		r.from.queue = fifoQueue
	}
	r.queue = &sqsapi.Queue{
		Client: c.client, Lean: c.lean, URL: c.url, Visibility: o.VisibilityTimeout,
		Attributes: c.systemAttributes(), Shown: o.SystemAttributes, Observe: r.observe,
	}
	r.engine = engine.New(engine.Config{
		Settings: c.settings(drain), Transport: r, NewCall: newCall, Handle: r.handle, Told: r, Counters: &c.counters,
		Clock: elapsed.New(o.ahead), Rand: o.rand, Paused: c.paused.Load, TellSettled: o.Hooks.Settled != nil,
	})
	return r
}

// settings returns the options as an engine takes them.
func (c *Consumer) settings(drain bool) engine.Settings {
	o := &c.opts
	return engine.Settings{
		FIFO: c.fifo(), Drain: drain,
		BatchSize: o.BatchSize, BatchBytes: o.BatchBytes, WaitTime: o.WaitTime,
		Concurrency: o.Concurrency, BytesInFlight: o.BytesInFlight, Receivers: o.Receivers, MaxMessages: o.MaxMessages,
		Visibility: o.VisibilityTimeout, PollTime: o.pollTime(), HandlerTimeout: o.HandlerTimeout,
		ReceiveLinger: o.ReceiveLinger, DeleteLinger: o.DeleteLinger,
		ShutdownTimeout: o.ShutdownTimeout, MaxDuration: o.MaxDuration, GiveUpAfter: o.GiveUpAfter,
		OnGroupFailure: engine.GroupFailure(o.OnGroupFailure), InPlaceTries: o.InPlaceTries, InPlaceTime: o.InPlaceTime,
		Queue: c.url, DeadLetterQueue: o.DeadLetterQueueURL, Region: c.region,
	}
}

// run is a run from its beginning to its end. Hooks hear of all that the engine does, also of its
// end. Hooks that block are not waited for.
func (r *run) run(ctx context.Context) error {
	notifying, stopNotifier := context.WithCancel(context.WithoutCancel(ctx))
	defer stopNotifier()
	told := make(chan struct{})
	go func() {
		defer close(told)
		r.notifier.Run(notifying)
	}()
	r.c.counters.Refusing(nil)
	r.c.counters.Turned()
	o := &r.c.opts
	r.Log(slog.LevelInfo, "the run begins", "batch_size", o.BatchSize, "wait_time", o.WaitTime,
		"handlers", o.Concurrency, "transport", r.c.transport())
	began, before := time.Now(), r.c.Stats()
	unfinished, err := r.engine.Run(ctx)
	after := r.c.Stats()
	r.Log(slog.LevelInfo, "the run has ended", "took", time.Since(began), "received", after.Received-before.Received,
		"succeeded", after.Succeeded-before.Succeeded, "failed", after.Failed-before.Failed, "deleted", after.Deleted-before.Deleted)
	err = r.outcome(unfinished, err)
	stopNotifier()
	patience := time.NewTimer(time.Until(r.engine.Until()))
	defer patience.Stop()
	select {
	case <-told:
	case <-patience.C:
	}
	return err
}

// outcome returns what Run returns, and says in the log what the run has left.
func (r *run) outcome(unfinished *engine.Unfinished, err error) error {
	if unfinished == nil {
		return err
	}
	report := &ShutdownError{Finished: unfinished.Finished, GivenBack: unfinished.Released, Abandoned: unfinished.Abandoned, Stuck: unfinished.Stuck}
	r.Log(slog.LevelWarn, "the run ends and leaves something",
		"finished", report.Finished, "given_back", report.GivenBack, "abandoned", report.Abandoned, "stuck", report.Stuck)
	return errors.Join(err, report)
}

// observe counts a call to SQS and calls the hook, soon. Called by the goroutine that made the
// call, or by a timer.
func (r *run) observe(call sqsapi.Call) {
	i := slices.Index(sqsapi.Operations[:], call.Op)
	r.c.calls[i].Add(1)
	hook := r.c.opts.Hooks.Call
	var note func()
	if call.Err != nil {
		r.c.errors[i].Add(1)
		note = r.failed(failures.Failure{Operation: call.Op, Count: 1}, call.Err)
	}
	if hook == nil {
		r.tell(0, note, nil)
		return
	}
	began := time.Now().Add(-call.Took)
	r.tell(0, note, func() {
		hook(CallEvent{Operation: call.Op, Began: began, Entries: call.Entries, Failed: call.Failed, Duration: call.Took, Err: call.Err})
	})
}

// tell lets the notifier keep a failure and call a hook, soon and in one: both keep the same bytes of
// messages in memory. Either may be nil.
func (r *run) tell(bytes int, note, hook func()) {
	switch {
	case note == nil && hook == nil:
	case hook == nil:
		r.notifier.Keep(bytes, note)
	case note == nil:
		r.notifier.Keep(bytes, hook)
	default:
		r.notifier.Keep(bytes, func() {
			note()
			hook()
		})
	}
}

// shownOf returns messages as hooks get them, and their bytes.
func shownOf(ms []*engine.Message) (shown []*Message, bytes int) {
	shown = make([]*Message, len(ms))
	for i, m := range ms {
		shown[i] = &delivered(m).Message
		bytes += m.Size()
	}
	return shown, bytes
}

// Log writes a line about the queue, soon and on the goroutine of the notifier: a logger may
// block.
func (r *run) Log(level slog.Level, msg string, args ...any) {
	r.notifier.Do(func() {
		r.c.opts.Logger.Log(context.Background(), level, msg, append([]any{"queue", r.c.url}, args...)...) //nolint:sloglint // each caller's is a constant
	})
}

// Settled calls the hook, soon.
func (r *run) Settled(ms []*engine.Message, as engine.Settlement) {
	hook := r.c.opts.Hooks.Settled
	messages, bytes := shownOf(ms)
	r.notifier.Keep(bytes, func() { hook(SettledEvent{Messages: messages, Result: SettleResult(as)}) })
}

// Stuck calls the hook, soon.
func (r *run) Stuck(c *engine.Call) {
	hook := r.c.opts.Hooks.Stuck
	if hook == nil {
		return
	}
	messages, bytes := shownOf(c.Batch)
	e := StuckEvent{Messages: messages, Began: c.Began}
	e.Ended, e.Err = c.Ended()
	r.notifier.Keep(bytes, func() { hook(e) })
}

// failed returns what keeps a failure, for the notifier: the text of an error is the user's code.
// nil: many others were kept just now.
func (r *run) failed(f failures.Failure, err error) func() {
	now := time.Now()
	if !r.c.failures.Take(f.Operation, int(f.Count), now) {
		return nil
	}
	return func() {
		f.Text, f.First, f.Last = brief(err), now, now
		r.c.failures.Add(f)
	}
}

// brief returns the text of err, or what SQS says in it: the rest of an error of SQS differs
// with each request.
func brief(err error) string {
	_ = isolate(func() {
		if said, ok := errors.AsType[smithy.APIError](err); ok {
			err = errors.New(said.ErrorCode() + ": " + said.ErrorMessage())
		}
	})
	return printable(err)
}

// LeaseLost keeps the loss and calls the hook, soon.
func (r *run) LeaseLost(m *engine.Message, cause error) {
	note := r.failed(failures.Failure{Operation: OperationLease, MessageID: m.Delivery.ID, Count: 1}, cause)
	hook := r.c.opts.Hooks.LeaseLost
	if hook == nil {
		r.tell(m.Size(), note, nil)
		return
	}
	r.tell(m.Size(), note, func() { hook(LeaseEvent{Message: &delivered(m).Message, Err: cause}) })
}

// StateChanged calls the hook, soon.
func (r *run) StateChanged() {
	if hook := r.c.opts.Hooks.Health; hook != nil {
		health := r.c.Health()
		r.notifier.Do(func() { hook(health) })
	}
}

// A delivery is a message as it was received: for the engine, for the handler, and as it was
// for a dead letter, whatever a handler does to what it is given.
type delivery struct {
	Message

	held       engine.Message
	body       string
	attributes map[string]types.MessageAttributeValue
	trace      string // AWSTraceHeader; asked for where there is a dead-letter queue
}

// delivered returns the delivery of a message in hand.
func delivered(m *engine.Message) *delivery {
	d, _ := m.Delivery.Payload.(*delivery) // Receive has put it there
	return d
}

// fill fills d from what SQS gave.
func (d *delivery) fill(raw *sqsapi.Message, now time.Time, from mark) {
	d.Message.fill(raw, now)
	d.from = mark{queue: from.queue, group: d.GroupID}
	d.body, d.attributes, d.trace = d.Body, d.Attributes, raw.Trace
	d.held.Delivery = engine.Delivery{
		ID: d.ID, Handle: d.ReceiptHandle, Group: d.GroupID, Sequence: d.SequenceNumber, Bytes: d.size(),
		Receives: d.ReceiveCount, Redelivered: raw.ReceiveCount != "1",
		SentAt: d.SentAt, Payload: d,
	}
}

// Receive makes a receive for the engine. Called by a goroutine of the callers.
func (r *run) Receive(ctx context.Context, a engine.Ask) engine.Answer {
	to := &arrival{run: r}
	began, err := r.queue.Fetch(ctx, sqsapi.Fetch{
		N: a.N, Wait: a.Wait, Margin: a.Margin, Attempt: a.Attempt, To: to, Late: a.Late,
	})
	return engine.Answer{Messages: to.messages, Began: began, Err: sqsapi.Requesting(err)}
}

// An arrival takes what a receive brings.
type arrival struct {
	run      *run
	messages []*engine.Message
}

// Take makes messages of what SQS gave.
func (a *arrival) Take(raw []sqsapi.Message) {
	now := time.Now()
	a.messages = make([]*engine.Message, len(raw))
	var room places
	for i := range raw {
		d := room.next(&raw[i], len(raw)-i)
		d.fill(&raw[i], now, a.run.from)
		a.messages[i] = &d.held
	}
}

// places are where the messages of an answer go. Small ones share an allocation. A
// larger one has its own: one that takes long, or that its handler keeps, would keep
// all that share it in memory, although they are counted no more.
type places []delivery

// next returns the place of raw, which is the first of n that are left.
func (ps *places) next(raw *sqsapi.Message, n int) *delivery {
	const small = 1 << 10
	if len(raw.Body) > small {
		return new(delivery)
	}
	if len(*ps) == 0 {
		*ps = make([]delivery, n)
	}
	d := &(*ps)[0]
	*ps = (*ps)[1:]
	return d
}

// Delete deletes messages for the engine. Called by a goroutine of the callers.
func (r *run) Delete(ctx context.Context, handles []string, late engine.LateBatch) (errs []error, inTime bool) {
	errs, inTime = r.queue.DeleteInTime(ctx, handles, late)
	return sqsapi.Settling(errs), inTime
}

// Release changes the visibility of messages for the engine. Called by a goroutine of the
// callers.
func (r *run) Release(ctx context.Context, c engine.Change) (errs []error, inTime bool) {
	errs, inTime = r.queue.ChangeInTime(ctx, sqsapi.Change{Handles: c.Handles, Timeouts: c.Timeouts, Limit: c.Limit, Late: c.Late})
	return sqsapi.Settling(errs), inTime
}
