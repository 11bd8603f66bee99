package contract

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/sluice-go/sluice/sqstest"
)

// trial is one try of a row: the API under test and the verbs that rows are told with. A verb whose
// call fails, or whose expectation does not hold, ends the row.
type trial struct {
	API

	ctx      context.Context //nolint:containedctx // a trial is one run of one row, and all its calls are in this context
	sampling bool
	limit    int // of messages in flight; 0: the service's
	prefix   string
	made     []string // URLs of the queues to delete

	madeAbroad []string // those in another region

	real   bool          // time is real, and a server may take more of it than it needs
	waited time.Duration // in pauses and polls: what the row had to take
	late   time.Duration // what it has taken beyond that, known at its end
}

const (
	second = time.Second
	minute = time.Minute
	hour   = time.Hour
)

// name returns a name that no other row uses, for servers that all rows share.
func (c *trial) name(suffix string) string { return c.prefix + rand.Text()[:12] + suffix }

// exact ends the row on a service that samples; why says what is only approximate there.
func (c *trial) exact(why string) {
	if c.sampling {
		panic(untried("not tried on a service of many servers: " + why))
	}
}

const (
	orderIsRough     = "a standard queue keeps the order of sending only roughly"
	changesTakeTime  = "a changed attribute holds after up to a minute"
	listsTakeTime    = "a new queue is listed after a while"
	noiseIsEstimated = "who is noisy is estimated, and after a while"
)

// reachable returns how many messages may be in flight, if the target lets few enough.
func (c *trial) reachable() int {
	if c.limit == 0 {
		panic(untried("needs 120,000 messages in flight, which takes more than 24,000 calls"))
	}
	return c.limit
}

// injector is a target whose calls can be made to fail.
type injector interface {
	Inject(f sqstest.Fault) (remove func())
}

// inject lets calls on q, of the operation f names, fail.
func (c *trial) inject(q string, f sqstest.Fault) {
	target, ok := c.API.(injector)
	if !ok {
		panic(untried("no call provokes this error: it can only be injected"))
	}
	f.Queue = q
	target.Inject(f)
}

// queue makes a standard queue; attributes are names and values in turn.
func (c *trial) queue(attributes ...string) string { return c.create(c.name(""), attributes...) }

// fifo makes a FIFO queue.
func (c *trial) fifo(attributes ...string) string {
	return c.create(c.name(".fifo"), append(attributes, "FifoQueue", "true")...)
}

func (c *trial) create(name string, attributes ...string) string {
	out, err := c.CreateQueue(c.ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: pairs(attributes)})
	c.ok(err)
	c.made = append(c.made, *out.QueueUrl)
	return *out.QueueUrl
}

func pairs(kv []string) map[string]string {
	if len(kv) == 0 {
		return nil
	}
	m := make(map[string]string, len(kv)/2)
	for p := range slices.Chunk(kv, 2) {
		m[p[0]] = p[1]
	}
	return m
}

// cleanUp deletes what the row made. Its failures do not matter: some rows delete queues themselves.
func (c *trial) cleanUp() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), minute) // also after a row that took too long
	defer cancel()
	for _, url := range c.made {
		_, _ = c.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: &url})
	}
	for _, url := range c.madeAbroad {
		_, _ = c.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: &url}, abroad)
	}
}

// drop deletes a queue.
func (c *trial) drop(q string) {
	_, err := c.DeleteQueue(c.ctx, &sqs.DeleteQueueInput{QueueUrl: &q})
	c.ok(err)
}

// set changes attributes of a queue.
func (c *trial) set(q string, attributes ...string) error {
	_, err := c.SetQueueAttributes(c.ctx, &sqs.SetQueueAttributesInput{QueueUrl: &q, Attributes: pairs(attributes)})
	return err
}

// get reads one attribute of a queue.
func (c *trial) get(q, name string) string {
	out, err := c.GetQueueAttributes(c.ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &q, AttributeNames: []types.QueueAttributeName{types.QueueAttributeName(name)},
	})
	c.ok(err)
	return out.Attributes[name]
}

// redrives returns the attribute, name and value, of a queue whose dead-letter queue is dead.
func (c *trial) redrives(dead string, maxReceiveCount int) []string {
	return []string{"RedrivePolicy", redrivePolicy(c.get(dead, "QueueArn"), maxReceiveCount)}
}

func redrivePolicy(arn string, maxReceiveCount int) string {
	return fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":"%d"}`, arn, maxReceiveCount)
}

// sendingOption is a change to a SendMessage request.
type sendingOption func(*sqs.SendMessageInput)

// trySend sends one message.
func (c *trial) trySend(q, body string, change ...sendingOption) (*sqs.SendMessageOutput, error) {
	in := &sqs.SendMessageInput{QueueUrl: &q, MessageBody: &body}
	for _, f := range change {
		f(in)
	}
	return c.SendMessage(c.ctx, in)
}

func (c *trial) send(q, body string, change ...sendingOption) *sqs.SendMessageOutput {
	out, err := c.trySend(q, body, change...)
	c.ok(err)
	return out
}

// put sends bodies to a group of a FIFO queue, none of them a duplicate.
func (c *trial) put(q, group string, bodies ...string) {
	for _, body := range bodies {
		c.send(q, body, inGroup(group), dedup(rand.Text()))
	}
}

// crowd sends n messages to a FIFO queue, each to a group of its own.
func (c *trial) crowd(q string, n int) {
	for i := range n {
		c.put(q, strconv.Itoa(i), strconv.Itoa(i))
	}
}

func inGroup(id string) sendingOption {
	return func(in *sqs.SendMessageInput) { in.MessageGroupId = &id }
}

func dedup(id string) sendingOption {
	return func(in *sqs.SendMessageInput) { in.MessageDeduplicationId = &id }
}

func delay(seconds int32) sendingOption {
	return func(in *sqs.SendMessageInput) { in.DelaySeconds = seconds }
}

func attributes(m map[string]types.MessageAttributeValue) sendingOption {
	return func(in *sqs.SendMessageInput) { in.MessageAttributes = m }
}

func trace(header string) sendingOption {
	return func(in *sqs.SendMessageInput) {
		in.MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{
			"AWSTraceHeader": {DataType: new("String"), StringValue: &header},
		}
	}
}

// hasHeaders ends the row on a target whose calls are no requests.
func (c *trial) hasHeaders() {
	if _, inProcess := c.API.(*sqstest.Server); inProcess {
		panic(untried("a method call has no headers"))
	}
}

// tracedBy gives one call the header of a trace.
func tracedBy(header string) func(*sqs.Options) {
	return func(o *sqs.Options) {
		o.APIOptions = append(o.APIOptions, smithyhttp.SetHeaderValue("X-Amzn-Trace-Id", header))
	}
}

// text is a String attribute.
func text(value string) types.MessageAttributeValue {
	return types.MessageAttributeValue{DataType: new("String"), StringValue: &value}
}

// texts are String attributes; names and values in turn.
func texts(kv ...string) map[string]types.MessageAttributeValue {
	m := map[string]types.MessageAttributeValue{}
	for name, value := range pairs(kv) {
		m[name] = text(value)
	}
	return m
}

// receivingOption is a change to a ReceiveMessage request.
type receivingOption func(*sqs.ReceiveMessageInput)

func hiddenFor(seconds int32) receivingOption {
	return func(in *sqs.ReceiveMessageInput) { in.VisibilityTimeout = seconds }
}

func wait(seconds int32) receivingOption {
	return func(in *sqs.ReceiveMessageInput) { in.WaitTimeSeconds = seconds }
}

func attempt(id string) receivingOption {
	return func(in *sqs.ReceiveMessageInput) { in.ReceiveRequestAttemptId = &id }
}

// withSystem asks for system attributes.
func withSystem(names ...types.MessageSystemAttributeName) receivingOption {
	return func(in *sqs.ReceiveMessageInput) { in.MessageSystemAttributeNames = names }
}

func withAttributes(names ...string) receivingOption {
	return func(in *sqs.ReceiveMessageInput) { in.MessageAttributeNames = names }
}

// tryTake makes one receive of at most n messages.
func (c *trial) tryTake(q string, n int32, change ...receivingOption) ([]types.Message, error) {
	begin := time.Now()
	ms, most, err := c.ask(q, n, change...)
	c.waited += min(most, time.Since(begin))
	return ms, err
}

// ask makes one receive, and tells how long it may have waited at most.
func (c *trial) ask(q string, n int32, change ...receivingOption) ([]types.Message, time.Duration, error) {
	in := &sqs.ReceiveMessageInput{QueueUrl: &q, MaxNumberOfMessages: n}
	if c.sampling {
		in.WaitTimeSeconds = 1
	}
	for _, f := range change {
		f(in)
	}
	most := time.Duration(in.WaitTimeSeconds) * second
	out, err := c.ReceiveMessage(c.ctx, in)
	if err != nil {
		return nil, most, err
	}
	return out.Messages, most, nil
}

func (c *trial) take(q string, n int32, change ...receivingOption) []types.Message {
	ms, err := c.tryTake(q, n, change...)
	c.ok(err)
	return ms
}

// one receives a message that must be there.
func (c *trial) one(q string, change ...receivingOption) types.Message {
	ms := c.take(q, 1, change...)
	if len(ms) != 1 {
		c.failf("received %d messages, want 1", len(ms))
	}
	return ms[0]
}

// none expects nothing to receive now. A service that samples is not given time for a second look,
// in which something may become visible; there it may also overlook what should not be there.
func (c *trial) none(q string) {
	var now []receivingOption
	if c.sampling {
		now = append(now, wait(0))
	}
	if ms := c.take(q, 10, now...); len(ms) != 0 {
		c.failf("received %v, want nothing", bodies(ms))
	}
}

// bury makes the receive that moves all of q's messages to its dead-letter queue.
func (c *trial) bury(q string) {
	if ms := c.take(q, 10); len(ms) != 0 {
		c.failf("received %v, want it in the dead-letter queue", bodies(ms))
	}
}

// gets expects one receive of ten to bring these bodies, in this order.
func (c *trial) gets(q string, want ...string) {
	c.same(bodies(c.take(q, 10)), want)
}

// bring receives until it has n messages, since a receive may bring fewer than are there.
func (c *trial) bring(q string, n int) []types.Message {
	var all []types.Message
	for empty := 0; len(all) < n; {
		ms := c.take(q, int32(min(n-len(all), 10)))
		all = append(all, ms...)
		if len(ms) > 0 {
			continue
		}
		if empty++; empty == 3 || !c.sampling {
			c.failf("received %d messages, want %d", len(all), n)
		}
	}
	return all
}

func bodies(ms []types.Message) []string {
	bs := make([]string, len(ms))
	for i, m := range ms {
		bs[i] = *m.Body
	}
	return bs
}

// poll starts a long poll and returns its result's channel. Every poll is to be read to its end.
func (c *trial) poll(q string, seconds int32) <-chan polled {
	result := make(chan polled, 1)
	begin := time.Now()
	go func() {
		ms, _, err := c.ask(q, 10, wait(seconds))
		result <- polled{ms, err, time.Since(begin)}
	}()
	return result
}

// polled is what a long poll brought.
type polled struct {
	messages []types.Message
	err      error
	took     time.Duration
}

// wakes expects a poll of five seconds to bring this body well before the time is up.
func (c *trial) wakes(poll <-chan polled, body string) {
	const before = 4 * second
	p := <-poll
	c.ok(p.err)
	c.same(bodies(p.messages), []string{body})
	if p.took >= before {
		c.failf("the poll took %v, want less than %v", p.took, before)
	}
}

// tryChange sets the visibility timeout of a receipt, in seconds.
func (c *trial) tryChange(q string, handle *string, seconds int32) error {
	_, err := c.ChangeMessageVisibility(c.ctx, &sqs.ChangeMessageVisibilityInput{
		QueueUrl: &q, ReceiptHandle: handle, VisibilityTimeout: seconds,
	})
	return err
}

func (c *trial) change(q string, m types.Message, seconds int32) {
	c.ok(c.tryChange(q, m.ReceiptHandle, seconds))
}

func (c *trial) release(q string, m types.Message) { c.change(q, m, 0) }

func (c *trial) tryDelete(q string, handle *string) error {
	_, err := c.DeleteMessage(c.ctx, &sqs.DeleteMessageInput{QueueUrl: &q, ReceiptHandle: handle})
	return err
}

func (c *trial) remove(q string, m types.Message) { c.ok(c.tryDelete(q, m.ReceiptHandle)) }

func (c *trial) purge(q string) error {
	_, err := c.PurgeQueue(c.ctx, &sqs.PurgeQueueInput{QueueUrl: &q})
	return err
}

// pause waits.
func (c *trial) pause(d time.Duration) {
	c.waited += d
	select {
	case <-time.After(d):
	case <-c.ctx.Done():
		c.failf("gave up waiting: %v", c.ctx.Err())
	}
}

// counts expects the queue's three approximate counters; where they are late it waits for them.
func (c *trial) counts(q string, visible, hidden, delayed int) {
	want := []string{strconv.Itoa(visible), strconv.Itoa(hidden), strconv.Itoa(delayed)}
	got := c.counters(q)
	for end := time.Now().Add(minute / 2); c.sampling && !slices.Equal(got, want) && time.Now().Before(end); {
		c.pause(second)
		got = c.counters(q)
	}
	c.same(got, want)
}

func (c *trial) counters(q string) []string {
	out, err := c.GetQueueAttributes(c.ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &q, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	c.ok(err)
	return []string{
		out.Attributes["ApproximateNumberOfMessages"],
		out.Attributes["ApproximateNumberOfMessagesNotVisible"],
		out.Attributes["ApproximateNumberOfMessagesDelayed"],
	}
}

func (c *trial) ok(err error) {
	if err != nil {
		c.failf("unexpected error: %v", err)
	}
}

// refused expects an error with this code, as the SDK tells it, and a message that contains part.
func (c *trial) refused(err error, code, part string) {
	if err == nil {
		c.failf("succeeded, want %s", code)
	}
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		c.failf("error is %v, want %s", err, code)
	}
	if api.ErrorCode() != code {
		c.failf("code is %s (%s), want %s", api.ErrorCode(), api.ErrorMessage(), code)
	}
	if !strings.Contains(api.ErrorMessage(), part) {
		c.failf("%s: message is %q, want %q", code, api.ErrorMessage(), part)
	}
}

// answered expects an error to have come with this HTTP status, if it came by HTTP at all.
func (c *trial) answered(err error, status int) {
	response, ok := errors.AsType[*http.ResponseError](err)
	if ok && response.HTTPStatusCode() != status {
		c.failf("HTTP status is %d, want %d", response.HTTPStatusCode(), status)
	}
}

// failed expects one entry of a batch to have failed alone, by the sender's fault.
func (c *trial) failed(entries []types.BatchResultErrorEntry, id, code string) {
	if len(entries) != 1 {
		c.failf("%d entries failed, want 1", len(entries))
	}
	entry := entries[0]
	if *entry.Id != id || *entry.Code != code || !entry.SenderFault {
		c.failf("entry %s failed with %s, sender's fault %t; want %s, %s, true", *entry.Id, *entry.Code, entry.SenderFault, id, code)
	}
}

// same expects two lists to be equal.
func (c *trial) same(got, want []string) {
	if !slices.Equal(got, want) {
		c.failf("got %q, want %q", got, want)
	}
}

// is expects a text.
func (c *trial) is(got *string, want string) {
	switch {
	case got == nil:
		c.failf("got nothing, want %q", want)
	case *got != want:
		c.failf("got %q, want %q", *got, want)
	}
}

// thatf expects something to hold.
func (c *trial) thatf(holds bool, format string, args ...any) {
	if !holds {
		c.failf(format, args...)
	}
}

// typed expects the error to be of the SDK's type that target points to.
func (c *trial) typed(err error, target any) {
	if !errors.As(err, target) {
		c.failf("error %T is not a %T", err, target)
	}
}
