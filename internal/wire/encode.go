package wire

import (
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// encode returns the body of a request as the SDK writes it, and reports whether it
// knows how.
func encode(in any) (body []byte, ok bool) {
	var w writer
	switch in := in.(type) {
	case *sqs.ReceiveMessageInput:
		w.receive(in)
	case *sqs.DeleteMessageBatchInput:
		batch(&w, in.QueueUrl, in.Entries, func(e *types.DeleteMessageBatchRequestEntry) (id, handle *string, timeout *int32) {
			return e.Id, e.ReceiptHandle, nil
		})
	case *sqs.ChangeMessageVisibilityBatchInput:
		batch(&w, in.QueueUrl, in.Entries, func(e *types.ChangeMessageVisibilityBatchRequestEntry) (id, handle *string, timeout *int32) {
			return e.Id, e.ReceiptHandle, &e.VisibilityTimeout
		})
	}
	return w.text, !w.lost
}

// frame is about as long as a body without its entries: names, the queue's URL, a
// receive as a whole.
const frame = 384

// A writer writes JSON.
type writer struct {
	text []byte
	more bool // something stands before what comes next in its object or list
	lost bool // there was something that it does not know how to write
}

func (w *writer) receive(in *sqs.ReceiveMessageInput) {
	w.text = make([]byte, 0, frame)
	w.begin('{')
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
	w.end('}')
}

// batch writes a batch of entries, of which parts tells what they have.
func batch[E any](w *writer, url *string, entries []E, parts func(*E) (id, handle *string, timeout *int32)) {
	size := frame
	for i := range entries {
		_, handle, _ := parts(&entries[i])
		size += len(`{"Id":"0","ReceiptHandle":"","VisibilityTimeout":43200},`) + len(aws.ToString(handle))
	}
	w.text, w.lost = make([]byte, 0, size), entries == nil
	w.begin('{')
	w.key("Entries")
	w.begin('[')
	for i := range entries {
		id, handle, timeout := parts(&entries[i])
		w.next()
		w.begin('{')
		w.member("Id", id)
		w.member("ReceiptHandle", handle)
		if timeout != nil {
			w.number("VisibilityTimeout", *timeout)
		}
		w.end('}')
	}
	w.end(']')
	w.member("QueueUrl", url)
	w.end('}')
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
