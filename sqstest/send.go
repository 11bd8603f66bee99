package sqstest

import (
	"cmp"
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// sending is one message to be sent: a SendMessage, or an entry of a SendMessageBatch.
type sending struct {
	body           string
	delay          time.Duration // negative: the queue's
	attributes     map[string]types.MessageAttributeValue
	system         map[string]types.MessageSystemAttributeValue
	callTrace      string // the trace header of the call, for a message that has none of its own
	group, dedupID *string
}

// sent is what a sender is told.
type sent struct{ id, md5, attributesMD5, systemMD5, sequence string }

// SendMessage puts a message into a queue. A DelaySeconds of 0 means the queue's own delay, as with the SDK's client.
func (s *Server) SendMessage(ctx context.Context, in *sqs.SendMessageInput, _ ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	return perform(ctx, s, opSendMessage, queueURL(in), in, func(in *sqs.SendMessageInput, hit struck) (*sqs.SendMessageOutput, error) {
		m := &sending{
			body: text(in.MessageBody), delay: secondsOr(in.DelaySeconds, zerosOf(ctx).Delay),
			attributes: in.MessageAttributes, system: in.MessageSystemAttributes, callTrace: traceHeaderOf(ctx),
			group: in.MessageGroupId, dedupID: in.MessageDeduplicationId,
		}
		done, err := s.send(ctx, in.QueueUrl, m, hit)
		if err != nil {
			return nil, err
		}
		return &sqs.SendMessageOutput{
			MessageId: &done.id, MD5OfMessageBody: &done.md5,
			MD5OfMessageAttributes: optional(done.attributesMD5), MD5OfMessageSystemAttributes: optional(done.systemMD5),
			SequenceNumber: optional(done.sequence),
		}, nil
	})
}

func (s *Server) send(ctx context.Context, url *string, m *sending, hit struck) (*sent, error) {
	q, now, err := s.open(ctx, url)
	if err != nil {
		return nil, err
	}
	defer q.unlock(now)
	if err := q.checkGrouping(m, false); err != nil {
		return nil, err
	}
	if err := q.check(m); err != nil {
		return nil, err
	}
	return q.send(m, now, hit), nil
}

// SendMessageBatch puts up to ten messages into a queue; those it accepts become receivable together.
func (s *Server) SendMessageBatch(ctx context.Context, in *sqs.SendMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	return perform(ctx, s, opSendMessageBatch, queueURL(in), in, func(in *sqs.SendMessageBatchInput, hit struck) (*sqs.SendMessageBatchOutput, error) {
		q, now, err := s.open(ctx, in.QueueUrl)
		if err != nil {
			return nil, err
		}
		defer q.unlock(now)
		if err := checkBatch(in.Entries, "SendMessageBatchRequestEntry", func(e types.SendMessageBatchRequestEntry) *string { return e.Id }); err != nil {
			return nil, err
		}
		if err := checkBatchSize(in.Entries); err != nil {
			return nil, err
		}
		zero := zerosOf(ctx)
		list := make([]*sending, len(in.Entries))
		for i, e := range in.Entries {
			list[i] = &sending{
				body: text(e.MessageBody), delay: secondsOr(e.DelaySeconds, zero.delay(i)),
				attributes: e.MessageAttributes, system: e.MessageSystemAttributes, callTrace: traceHeaderOf(ctx),
				group: e.MessageGroupId, dedupID: e.MessageDeduplicationId,
			}
			if err := q.checkGrouping(list[i], true); err != nil {
				return nil, err
			}
		}
		return q.sendAll(in.Entries, list, now, hit), nil
	})
}

func (q *queue) sendAll(entries []types.SendMessageBatchRequestEntry, list []*sending, now int64, hit struck) *sqs.SendMessageBatchOutput {
	out := &sqs.SendMessageBatchOutput{}
	for i, m := range list {
		id := entries[i].Id
		err := hit.entry(i, false)
		if err == nil {
			err = q.check(m)
		}
		if err != nil {
			out.Failed = append(out.Failed, entryFailure(id, err))
			continue
		}
		done := q.send(m, now, hit)
		if err := hit.entry(i, true); err != nil {
			out.Failed = append(out.Failed, entryFailure(id, err))
			continue
		}
		out.Successful = append(out.Successful, types.SendMessageBatchResultEntry{
			Id: id, MessageId: &done.id, MD5OfMessageBody: &done.md5,
			MD5OfMessageAttributes: optional(done.attributesMD5), MD5OfMessageSystemAttributes: optional(done.systemMD5),
			SequenceNumber: optional(done.sequence),
		})
	}
	return out
}

// send accepts a message that was found right.
func (q *queue) send(in *sending, now int64, hit struck) *sent {
	sum := md5Hex(in.body)
	done := &sent{md5: hit.digest(sum), attributesMD5: attributesMD5(in.attributes), systemMD5: systemMD5(in.system)}
	m := &message{
		body: strings.Clone(in.body), md5: sum, attributes: cloneAttributes(in.attributes), attributesMD5: done.attributesMD5,
		group: text(in.group), dedupID: text(in.dedupID), sent: now,
		trace: cmp.Or(text(in.system[string(types.MessageSystemAttributeNameForSendsAWSTraceHeader)].StringValue), in.callTrace),
	}
	key := ""
	if q.fifo {
		if m.dedupID == "" {
			m.dedupID = contentID(m.body)
		}
		key = m.dedupID
		if q.dedupPerGroup {
			key = m.group + "\x00" + m.dedupID // no id contains a NUL
		}
		if first, again := q.dedup.seen(key, now); again {
			q.stats.Duplicates++
			done.id, done.sequence = first.id, first.sequence
			return done
		}
	}
	m.id = q.newID()
	done.id = m.id
	if hit.noEffect() {
		return done
	}
	delay := in.delay
	if delay < 0 || q.fifo {
		delay = q.delay // on FIFO queues a message's own can only be 0, which means the queue's
	}
	q.join(m, now, delay)
	done.sequence = m.sequence
	if q.fifo {
		q.dedup.remember(key, original{m.id, m.sequence}, now)
	}
	q.stats.Sent++
	q.note(Sent, m, now)
	return done
}

// checkGrouping looks at a message's group and deduplication ids. In a batch they fail the whole call.
func (q *queue) checkGrouping(m *sending, batch bool) error {
	group, dedupID := text(m.group), text(m.dedupID)
	switch {
	case m.group != nil && !validID(group):
		return invalidID(group, "MessageGroupId")
	case m.dedupID != nil && !validID(dedupID):
		return invalidID(dedupID, "MessageDeduplicationId")
	case !q.fifo && m.dedupID != nil:
		return invalidValue(dedupID, "MessageDeduplicationId", "The request includes a parameter that is not valid for this queue type.")
	case q.fifo && m.group == nil && batch:
		return invalidParameter("The request must contain the parameter MessageGroupId.")
	case q.fifo && m.group == nil:
		return missingParameter("MessageGroupId")
	case q.fifo && m.dedupID == nil && !q.contentDedup:
		return invalidParameter("The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly")
	}
	return nil
}

// check looks at the rest of a message, which fails alone in a batch.
func (q *queue) check(m *sending) error {
	switch {
	case m.body == "":
		return missingParameter("MessageBody")
	case m.delay > seconds(maxDelay) || m.delay < -1:
		return invalidValue(int(m.delay/time.Second), "DelaySeconds", "DelaySeconds must be >= 0 and <= 900.")
	case q.fifo && m.delay > 0:
		return invalidValue(int(m.delay/time.Second), "DelaySeconds", "The request include parameter that is not valid for this queue type.")
	}
	if err := checkMessageAttributes(m.attributes); err != nil {
		return err
	}
	if err := checkSystemAttributes(m.system); err != nil {
		return err
	}
	if len(m.body)+attributesSize(m.attributes) > q.maxBytes {
		return invalidParameter("One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", q.maxBytes)
	}
	if !validText(m.body) {
		return invalidContents()
	}
	return nil
}

func checkBatchSize(entries []types.SendMessageBatchRequestEntry) error {
	total := 0
	for _, e := range entries {
		total += len(text(e.MessageBody)) + attributesSize(e.MessageAttributes)
	}
	if total > maxMessageBytes {
		return batchTooLong(total)
	}
	return nil
}

// validText reports whether SQS takes s as a body: valid UTF-8 of the characters XML allows.
func validText(s string) bool {
	for i, r := range s {
		switch {
		case r == '\t' || r == '\n' || r == '\r':
		case r < ' ' || r == '\uFFFE' || r == '\uFFFF':
			return false
		case r == utf8.RuneError:
			if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
				return false
			}
		}
	}
	return true
}

// validID reports whether SQS takes s as a group, deduplication or attempt id.
func validID(s string) bool {
	return s != "" && len(s) <= maxIDLength && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

func invalidID(id, parameter string) error {
	return invalidValue(id, parameter, parameter+" can only include alphanumeric and punctuation characters. 1 to 128 in length.")
}

func batchTooLong(n int) error {
	return &types.BatchRequestTooLong{
		Message:           new("Batch requests cannot be longer than 1048576 bytes. You have sent " + itoa(n) + " bytes."),
		ErrorCodeOverride: new(legacyPrefix + "BatchRequestTooLong"),
	}
}

// checkBatch looks at what all batch requests have in common: the number of entries, then their ids.
func checkBatch[E any](entries []E, kind string, id func(E) *string) error {
	switch {
	case len(entries) == 0:
		return &types.EmptyBatchRequest{
			Message:           new("There should be at least one " + kind + " in the request."),
			ErrorCodeOverride: new(legacyPrefix + "EmptyBatchRequest"),
		}
	case len(entries) > maxEntries:
		return &types.TooManyEntriesInBatchRequest{
			Message:           new("Maximum number of entries per request are 10. You have sent " + itoa(len(entries)) + "."),
			ErrorCodeOverride: new(legacyPrefix + "TooManyEntriesInBatchRequest"),
		}
	}
	for _, e := range entries {
		if s := text(id(e)); s == "" || len(s) > maxEntryID || strings.ContainsFunc(s, func(r rune) bool { return !isWord(r) }) {
			return &types.InvalidBatchEntryId{
				Message:           new("A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long."),
				ErrorCodeOverride: new(legacyPrefix + "InvalidBatchEntryId"),
			}
		}
	}
	for i, e := range entries { // at most ten
		for _, earlier := range entries[:i] {
			if text(id(e)) == text(id(earlier)) {
				return &types.BatchEntryIdsNotDistinct{
					Message:           new("Id " + text(id(e)) + " repeated."),
					ErrorCodeOverride: new(legacyPrefix + "BatchEntryIdsNotDistinct"),
				}
			}
		}
	}
	return nil
}

// optional is a pointer to s, or nil for "".
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return new(s) // &s would be on the heap for "" too
}
