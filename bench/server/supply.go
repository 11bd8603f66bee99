package server

import (
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

const (
	maxPayload = 1 << 20 // bytes of a message, and of all messages of a SendMessageBatch
	shallow    = 5_000   // a queue that is not deeper is filled up more often
)

// A supply makes the messages that a run is filled with. A message's body and attributes are the
// same as all others'.
type supply struct {
	body       string
	entries    int // of a SendMessageBatch, so that it is not too large
	attributes map[string]types.MessageAttributeValue
	groups     []string // take turns; none: a standard queue

	sent atomic.Uint64 // messages, which numbers them
}

func newSupply(s *Setup) supply {
	body := strings.Repeat("x", s.Size)
	if s.JSON {
		body = document(s.Size)
	}
	groups := make([]string, s.Groups)
	for i := range groups {
		groups[i] = "group-" + strconv.Itoa(i)
	}
	const others = 256 // bytes of a message beside its body, at most
	return supply{body: body, entries: max(1, min(10, maxPayload/(s.Size+others))), attributes: someAttributes(s.Attributes), groups: groups}
}

// entry is the i-th entry of a SendMessageBatch.
func (s *supply) entry(i int, body string) types.SendMessageBatchRequestEntry {
	e := types.SendMessageBatchRequestEntry{Id: &digits[i], MessageBody: &body, MessageAttributes: s.attributes}
	if len(s.groups) > 0 {
		n := s.sent.Add(1)
		e.MessageGroupId, e.MessageDeduplicationId = &s.groups[n%uint64(len(s.groups))], new(strconv.FormatUint(n, 10))
	}
	return e
}

var digits = [...]string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}

// someAttributes are n attributes, all strings.
func someAttributes(n int) map[string]types.MessageAttributeValue {
	attributes := make(map[string]types.MessageAttributeValue, n)
	for i := range n {
		attributes["attribute-"+strconv.Itoa(i)] = types.MessageAttributeValue{DataType: new("String"), StringValue: new(strings.Repeat("v", 16))}
	}
	return attributes
}

// document is a JSON document of so many bytes, such as programs send each other.
func document(size int) string {
	const head, line, tail = `{"order":"4711","lines":[`, `{"sku":"A-1234","quantity":2,"note":"gift"},`, `{}]}`
	var b strings.Builder
	b.WriteString(head)
	for b.Len()+len(line)+len(tail) <= size {
		b.WriteString(line)
	}
	b.WriteString(strings.Repeat(" ", max(0, size-b.Len()-len(tail))))
	b.WriteString(tail)
	return b.String()
}

// queue is the name of the queue.
func (s *Setup) queue() string {
	if s.Groups > 0 {
		return fifoName
	}
	return queueName
}

// refillEvery is how often the queue is filled up, so that it never gets empty in between.
func (s *Setup) refillEvery() time.Duration {
	if s.Depth <= shallow {
		return 2 * time.Millisecond
	}
	return 20 * time.Millisecond
}
