package lambdasluice

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/sync/errgroup"

	"github.com/sluice-go/sluice"
)

const (
	maxEntries    = 10             // of a batch request; SQS rejects more (TooManyEntriesInBatchRequest)
	callsAtOnce   = 10             // visibility changes of one event
	maxVisibility = 11 * time.Hour // SQS allows 12 h from the receive, and Lambda made that a while ago
	maxAttributes = 10             // of a message; SQS rejects more
	maxBody       = 1 << 20        // bytes of a message with its attributes
	maxReason     = 1024           // bytes of the reason of a dead letter
)

// deadLetter sends a message to the dead-letter queue. Where there is none, or it does not take the
// message, the message has failed.
func (in *invocation) deadLetter(ctx context.Context, e *entry) {
	if in.o.DeadLetterQueueURL == "" {
		e.outcome.Kind = sluice.OutcomeRetry
		return
	}
	if err := in.send(ctx, e); err != nil {
		e.fail(sluice.OutcomeRetry, fmt.Errorf("sending to the dead-letter queue %s: %w; the handler said: %w", in.o.DeadLetterQueueURL, err, e.err))
	}
}

// send sends a dead letter as a sluice.Consumer does.
func (in *invocation) send(ctx context.Context, e *entry) error {
	queueURL, err := in.queue.url(ctx)
	if err != nil {
		return err
	}
	to := in.o.DeadLetterQueueURL
	request := &sqs.SendMessageInput{QueueUrl: &to, MessageBody: &e.Body, MessageAttributes: deadLetterAttributes(&e.Message, queueURL, e.err)}
	if e.GroupID != "" {
		request.MessageGroupId = &e.GroupID
	}
	if strings.HasSuffix(to, ".fifo") {
		request.MessageDeduplicationId = &e.ID // as SQS's own redrive does
	}
	if trace := e.SystemAttributes[string(types.MessageSystemAttributeNameAWSTraceHeader)]; trace != "" {
		request.MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{
			string(types.MessageSystemAttributeNameForSendsAWSTraceHeader): {DataType: new("String"), StringValue: &trace},
		}
	}
	_, err = in.o.Client.SendMessage(ctx, request)
	return err
}

// Attributes of a dead letter, besides its own.
const (
	attrReason = "Sluice.Reason"
	attrSource = "Sluice.Source"
	attrCount  = "Sluice.ReceiveCount"
)

// deadLetterAttributes returns the attributes of a dead letter: those of m, and as many of the three
// that sluice.DeadLetter describes as SQS has room for, the reason first.
func deadLetterAttributes(m *sluice.Message, queueURL string, reason error) map[string]types.MessageAttributeValue {
	attributes := make(map[string]types.MessageAttributeValue, len(m.Attributes)+3)
	room := maxBody - len(m.Body)
	for name, a := range m.Attributes {
		room -= len(name) + len(deref(a.DataType)) + len(deref(a.StringValue)) + len(a.BinaryValue)
		if name != attrReason && name != attrSource && name != attrCount { // those are of an earlier time in a dead-letter queue
			attributes[name] = a
		}
	}
	add := func(name, kind, value string) {
		left := room - len(name) - len(kind)
		if name == attrReason {
			value = cut(value, left)
		}
		if value == "" || len(value) > left || len(attributes) == maxAttributes {
			return
		}
		room = left - len(value)
		attributes[name] = types.MessageAttributeValue{DataType: &kind, StringValue: &value}
	}
	add(attrReason, "String", printable(reason))
	add(attrSource, "String", queueURL)
	add(attrCount, "Number", strconv.Itoa(m.ReceiveCount))
	return attributes
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// printable returns the text of err, cut and without the characters that SQS rejects in an
// attribute.
func printable(err error) string {
	text := fmt.Sprint(err) // which survives a panic of err's own method
	text = strings.Map(func(c rune) rune {
		if c == '\t' || c == '\n' || c == '\r' || (c >= ' ' && c != 0xFFFE && c != 0xFFFF) {
			return c
		}
		return -1
	}, strings.ToValidUTF8(text, ""))
	return cut(text, maxReason)
}

// cut returns the beginning of text, at most so many bytes of it.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:max(0, most)], "")
}

// postpone makes SQS hide the messages that a RetryAfter concerns for as long as it says. One for
// which that fails comes back after the visibility timeout of the queue, as all others do.
func (in *invocation) postpone(ctx context.Context) {
	if in.o.Client == nil {
		return
	}
	late := slices.DeleteFunc(slices.Clone(in.entries), func(e *entry) bool { return e.outcome.Kind != sluice.OutcomeRetryAfter })
	var (
		calls  errgroup.Group
		mu     sync.Mutex // guards the fields below
		failed int
		cause  error
	)
	calls.SetLimit(callsAtOnce)
	for batch := range slices.Chunk(late, maxEntries) {
		calls.Go(func() error {
			n, err := in.hide(ctx, batch)
			mu.Lock()
			defer mu.Unlock()
			if failed += n; cause == nil {
				cause = err
			}
			return nil
		})
	}
	_ = calls.Wait() // they return none
	if failed > 0 {
		in.o.Logger.WarnContext(ctx, "visibility timeouts could not be changed", "queue", in.queue.arn, "messages", failed, "error", cause)
	}
}

// hide changes the visibility timeouts of up to ten messages. It returns for how many it failed, and
// why for one of them.
func (in *invocation) hide(ctx context.Context, batch []*entry) (failed int, cause error) {
	queueURL, err := in.queue.url(ctx)
	if err != nil {
		return len(batch), err
	}
	request := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &queueURL}
	for i, e := range batch {
		seconds := (min(e.outcome.Delay, maxVisibility) + time.Second - 1) / time.Second // rounded up
		request.Entries = append(request.Entries, types.ChangeMessageVisibilityBatchRequestEntry{
			Id: new(strconv.Itoa(i)), ReceiptHandle: &e.ReceiptHandle, VisibilityTimeout: int32(seconds),
		})
	}
	out, err := in.o.Client.ChangeMessageVisibilityBatch(ctx, request)
	switch {
	case err != nil:
		return len(batch), err
	case len(out.Failed) > 0:
		return len(out.Failed), fmt.Errorf("SQS said %s: %s", deref(out.Failed[0].Code), deref(out.Failed[0].Message))
	default:
		return 0, nil
	}
}

// log writes a line for each kind of end that is not success.
func (in *invocation) log(ctx context.Context) {
	ends := map[string]*end{}
	for _, e := range in.entries {
		text := textOf(e)
		if ends[text] == nil {
			ends[text] = &end{first: e}
		}
		ends[text].messages++
	}
	delete(ends, "")
	for _, text := range slices.Sorted(maps.Keys(ends)) {
		first := ends[text].first
		args := []any{"queue", in.queue.arn, "messages", ends[text].messages, "message_id", first.ID, "receive_count", first.ReceiveCount}
		if first.GroupID != "" {
			args = append(args, "group_id", first.GroupID)
		}
		args = append(args, "error", first.err)
		if p, ok := first.err.(*sluice.PanicError); ok && p.Stack != nil { //nolint:errorlint // one of ours, never wrapped
			args = append(args, "stack", string(p.Stack))
		}
		in.o.Logger.WarnContext(ctx, text, args...) //nolint:sloglint // one of textOf's
	}
}

// An end is how messages of an event ended.
type end struct {
	first    *entry
	messages int
}

// textOf returns the log line about the end of a message. "" means that there is none.
func textOf(e *entry) string {
	switch {
	case e.err == nil, e.err == errBehind: //nolint:errorlint // ours, never wrapped
		return ""
	case e.err == errNotBegun: //nolint:errorlint // as above
		return "messages were not begun"
	case e.outcome.Kind == sluice.OutcomeDiscard:
		return "messages are discarded"
	case e.outcome.Kind == sluice.OutcomeDeadLetter:
		return "messages went to the dead-letter queue"
	default:
		return "messages failed"
	}
}
