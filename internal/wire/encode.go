package wire

import (
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// encode returns the body of a request as the SDK writes it, and tells whether it
// knows how.
func encode(in any) (body []byte, ok bool) {
	w := writer{text: make([]byte, 0, length(in))}
	w.begin('{')
	switch in := in.(type) {
	case *sqs.ReceiveMessageInput:
		w.receive(in)
	case *sqs.DeleteMessageBatchInput:
		w.lost = in.Entries == nil
		w.key("Entries")
		w.begin('[')
		for i := range in.Entries {
			w.entry(in.Entries[i].Id, in.Entries[i].ReceiptHandle)
			w.end('}')
		}
		w.end(']')
		w.member("QueueUrl", in.QueueUrl)
	case *sqs.ChangeMessageVisibilityBatchInput:
		w.lost = in.Entries == nil
		w.key("Entries")
		w.begin('[')
		for i := range in.Entries {
			w.entry(in.Entries[i].Id, in.Entries[i].ReceiptHandle)
			w.number("VisibilityTimeout", in.Entries[i].VisibilityTimeout)
			w.end('}')
		}
		w.end(']')
		w.member("QueueUrl", in.QueueUrl)
	}
	w.end('}')
	return w.text, !w.lost
}

// length is about as long as a request's body will be.
func length(in any) int {
	const frame = 384 // names, the queue's URL, a receive as a whole
	n := frame
	switch in := in.(type) {
	case *sqs.DeleteMessageBatchInput:
		for i := range in.Entries {
			n += len(`{"Id":"0","ReceiptHandle":""},`) + len(aws.ToString(in.Entries[i].ReceiptHandle))
		}
	case *sqs.ChangeMessageVisibilityBatchInput:
		for i := range in.Entries {
			n += len(`{"Id":"0","ReceiptHandle":"","VisibilityTimeout":43200},`) + len(aws.ToString(in.Entries[i].ReceiptHandle))
		}
	}
	return n
}

// A writer writes JSON.
type writer struct {
	text []byte
	more bool // something stands before what comes next in its object or list
	lost bool // there was something that it does not know how to write
}

func (w *writer) receive(in *sqs.ReceiveMessageInput) {
	w.lost = w.lost || in.AttributeNames != nil //nolint:staticcheck // deprecated, and still sent
	if in.MaxNumberOfMessages != 0 {
		w.number("MaxNumberOfMessages", in.MaxNumberOfMessages)
	}
	list(w, "MessageAttributeNames", in.MessageAttributeNames)
	list(w, "MessageSystemAttributeNames", in.MessageSystemAttributeNames)
	w.member("QueueUrl", in.QueueUrl)
	if in.ReceiveRequestAttemptId != nil {
		w.member("ReceiveRequestAttemptId", in.ReceiveRequestAttemptId)
	}
	if in.VisibilityTimeout != 0 {
		w.number("VisibilityTimeout", in.VisibilityTimeout)
	}
	if in.WaitTimeSeconds != 0 {
		w.number("WaitTimeSeconds", in.WaitTimeSeconds)
	}
}

// entry begins an entry of a batch.
func (w *writer) entry(id, handle *string) {
	w.next()
	w.begin('{')
	w.member("Id", id)
	w.member("ReceiptHandle", handle)
}

func list[S ~string](w *writer, name string, values []S) {
	if len(values) == 0 {
		w.lost = w.lost || values != nil
		return
	}
	w.key(name)
	w.begin('[')
	for _, v := range values {
		w.next()
		w.str(string(v))
	}
	w.end(']')
}

func (w *writer) begin(opening byte) {
	w.text = append(w.text, opening)
	w.more = false
}

func (w *writer) end(closing byte) {
	w.text = append(w.text, closing)
	w.more = true
}

// next separates what comes next in an object or a list from what stands before it.
func (w *writer) next() {
	if w.more {
		w.text = append(w.text, ',')
	}
	w.more = true
}

func (w *writer) key(name string) {
	w.next()
	w.text = append(w.text, '"')
	w.text = append(w.text, name...)
	w.text = append(w.text, '"', ':')
}

func (w *writer) member(name string, value *string) {
	if value == nil {
		w.lost = true
		return
	}
	w.key(name)
	w.str(*value)
}

func (w *writer) number(name string, value int32) {
	w.key(name)
	w.text = strconv.AppendInt(w.text, int64(value), 10)
}

// str writes a string of ASCII's printable characters, which all but the quote and
// the backslash stand for themselves.
func (w *writer) str(value string) {
	for i := range len(value) {
		if c := value[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			w.lost = true
			return
		}
	}
	w.text = append(w.text, '"')
	w.text = append(w.text, value...)
	w.text = append(w.text, '"')
}
