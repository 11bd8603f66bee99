package sqstest

import (
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// state is where a message is in its life.
type state uint8

const (
	visible  state = iota // receivable, unless its FIFO group holds it back
	inFlight              // received, hidden until its visibility timeout ends
	delayed               // sent, hidden until its delay ends
	gone                  // deleted, expired, purged or moved away
)

// senderID is the SenderId of every message: the account knows one user.
const senderID = "AIDASLUICETESTUSER000"

// message is one message of a queue; the queue's lock guards it.
type message struct {
	id, body, md5  string
	attributes     map[string]types.MessageAttributeValue // never written after the send
	attributesMD5  string
	trace          string // AWSTraceHeader
	group, dedupID string
	sequence       string // SequenceNumber; FIFO only
	origin         string // ARN of the queue a redrive took it from

	number    uint64 // in its queue, ascending in the order of arrival
	sent      int64  // time of sending (or of arrival, where a move resets it); retention counts from it
	first     int64  // time of the first receive; 0: none yet
	requested int64  // when the request for the latest receive came in; the 12 hours count from it
	count     int    // receives across all queues
	here      int    // receives in this queue, which decide about the redrive

	state   state
	server  uint16 // where it lies; 0 if there is only one
	until   int64  // end of the hiding, when in flight or delayed
	receipt uint32 // the latest receive's number
	since   uint32 // handles from this receive on are current
	changes uint32 // of its visibility
	twin    bool   // receivable although in flight until `until`: the next receive leaves older handles current

	before, behind *message // in its FIFO group

	place entry[*message] // among the visible, in their order, or among the hidden, by until
	age   entry[*message] // by sent
}

// current reports whether receipt is of the latest delivery, or of one that is still as good.
func (m *message) current(receipt uint32) bool { return receipt >= m.since }

// held reports whether m is hidden by a receive at the time now, seen by those who hold a current handle.
func (m *message) held(now int64) bool {
	return m.state == inFlight || m.twin && now < m.until
}

// strings of one delivery in one piece of memory.
type texts struct{ id, body, md5, handle string }

// render writes m as a receive answers it.
func (m *message) render(handle string, want *selection) types.Message {
	t := &texts{m.id, m.body, m.md5, handle}
	out := types.Message{MessageId: &t.id, Body: &t.body, MD5OfBody: &t.md5, ReceiptHandle: &t.handle}
	if want.system != 0 {
		out.Attributes = m.systemAttributes(want.system)
	}
	switch {
	case len(m.attributes) == 0 || !want.any():
	case want.all:
		out.MessageAttributes = cloneAttributes(m.attributes)
		out.MD5OfMessageAttributes = new(m.attributesMD5)
	default:
		if some := want.pick(m.attributes); len(some) > 0 {
			out.MessageAttributes = cloneAttributes(some)
			out.MD5OfMessageAttributes = new(attributesMD5(some))
		}
	}
	return out
}

func (m *message) systemAttributes(want systemSet) map[string]string {
	a := make(map[string]string, 4)
	put := func(bit systemSet, name types.MessageSystemAttributeName, value string) {
		if want&bit != 0 && value != "" {
			a[string(name)] = value
		}
	}
	put(wantSender, types.MessageSystemAttributeNameSenderId, senderID)
	put(wantSent, types.MessageSystemAttributeNameSentTimestamp, millis(m.sent))
	put(wantCount, types.MessageSystemAttributeNameApproximateReceiveCount, strconv.Itoa(m.count))
	put(wantFirst, types.MessageSystemAttributeNameApproximateFirstReceiveTimestamp, millis(m.first))
	put(wantSequence, types.MessageSystemAttributeNameSequenceNumber, m.sequence)
	put(wantDedup, types.MessageSystemAttributeNameMessageDeduplicationId, m.dedupID)
	put(wantGroup, types.MessageSystemAttributeNameMessageGroupId, m.group)
	put(wantTrace, types.MessageSystemAttributeNameAWSTraceHeader, m.trace)
	put(wantOrigin, types.MessageSystemAttributeNameDeadLetterQueueSourceArn, m.origin)
	return a
}

// millis writes a time in nanoseconds as SQS does: milliseconds since 1970.
func millis(ns int64) string { return strconv.FormatInt(ns/int64(time.Millisecond), 10) }
