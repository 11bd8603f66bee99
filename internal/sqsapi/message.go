package sqsapi

import (
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// A Message is a message as a receive has brought it. What SQS has left out is "". The texts
// of an answer share their memory, except for those longer than [ownMemory].
type Message struct {
	ID, Handle, Body               string
	Group, Deduplication, Sequence string
	ReceiveCount, SentAt, Trace    string // ApproximateReceiveCount, SentTimestamp, AWSTraceHeader

	Attributes map[string]types.MessageAttributeValue // what the sender gave it; nil: none
	System     map[string]string                      // the system attributes that [Queue.Shown] names; nil: none
}

// ownMemory is how long a text is, in bytes, that has its own memory. A shorter one that is
// kept keeps the others of its answer, up to 10 messages: some 100 kB at the very most, 30 kB
// where there are no attributes.
const ownMemory = 1 << 10

// place returns where the value of a system attribute goes; nil: no field has it.
func (m *Message) place(name types.MessageSystemAttributeName) *string {
	switch name {
	case types.MessageSystemAttributeNameMessageGroupId:
		return &m.Group
	case types.MessageSystemAttributeNameMessageDeduplicationId:
		return &m.Deduplication
	case types.MessageSystemAttributeNameSequenceNumber:
		return &m.Sequence
	case types.MessageSystemAttributeNameApproximateReceiveCount:
		return &m.ReceiveCount
	case types.MessageSystemAttributeNameSentTimestamp:
		return &m.SentAt
	case types.MessageSystemAttributeNameAWSTraceHeader:
		return &m.Trace
	default:
		return nil
	}
}

// shows reports whether a system attribute is among those named.
func shows(shown []types.MessageSystemAttributeName, name string) bool {
	return slices.ContainsFunc(shown, func(s types.MessageSystemAttributeName) bool {
		return string(s) == name || s == types.MessageSystemAttributeNameAll
	})
}

// fill fills m from a message as the SDK gives it.
func (m *Message) fill(raw *types.Message, shown []types.MessageSystemAttributeName) {
	*m = Message{ID: aws.ToString(raw.MessageId), Handle: aws.ToString(raw.ReceiptHandle), Body: aws.ToString(raw.Body)}
	if len(raw.MessageAttributes) > 0 {
		m.Attributes = raw.MessageAttributes
	}
	for name, value := range raw.Attributes {
		if place := m.place(types.MessageSystemAttributeName(name)); place != nil {
			*place = value
		}
		if shows(shown, name) {
			m.show(name, value)
		}
	}
}

// show adds a system attribute to those that are shown.
func (m *Message) show(name, value string) {
	if m.System == nil {
		m.System = make(map[string]string)
	}
	m.System[name] = value
}

// fromSDK returns messages as the SDK gives them.
func fromSDK(raw []types.Message, shown []types.MessageSystemAttributeName) []Message {
	messages := make([]Message, len(raw))
	for i := range raw {
		messages[i].fill(&raw[i], shown)
	}
	return messages
}
