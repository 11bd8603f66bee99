package sqsapi

import (
	"strconv"
	"time"
)

// frame is about as long as a body without its entries: names, the queue's URL, a
// receive as a whole.
const frame = 384

// A writer writes the JSON of a request, as the SDK does.
type writer struct {
	text []byte
	more bool // something stands before what comes next in its object or list
	odd  bool // there was a string that JSON spells in another way
}

// encodeReceive returns the body of a receive, and reports whether it is the SDK's: see [writer.str].
func (q *Queue) encodeReceive(f *Fetch) (body []byte, ok bool) {
	w := writer{text: newBody(frame)}
	w.begin('{')
	w.number("MaxNumberOfMessages", int32(f.N))
	w.key("MessageAttributeNames")
	w.text = append(w.text, `["All"]`...)
	if len(q.Attributes) > 0 {
		w.key("MessageSystemAttributeNames")
		w.begin('[')
		for _, name := range q.Attributes {
			w.next()
			w.str(string(name))
		}
		w.end(']')
	}
	w.member("QueueUrl", q.URL)
	if f.Attempt != "" {
		w.member("ReceiveRequestAttemptId", f.Attempt)
	}
	w.number("VisibilityTimeout", seconds(q.Visibility))
	w.number("WaitTimeSeconds", seconds(f.Wait))
	w.end('}')
	return w.text, !w.odd
}

// encodeDelete returns the body of a delete, and reports whether it is the SDK's: see [writer.str].
func (q *Queue) encodeDelete(handles []string) (body []byte, ok bool) {
	return q.encodeChange(handles, nil)
}

// encodeChange is encodeDelete for changes of visibility. timeouts nil: the entries have none.
func (q *Queue) encodeChange(handles []string, timeouts []time.Duration) (body []byte, ok bool) {
	size := frame
	for _, h := range handles {
		size += len(`{"Id":"0","ReceiptHandle":"","VisibilityTimeout":43200},`) + len(h)
	}
	w := writer{text: newBody(size)}
	w.begin('{')
	w.key("Entries")
	w.begin('[')
	for i, h := range handles {
		w.next()
		w.begin('{')
		w.member("Id", entryIDs[i])
		w.member("ReceiptHandle", h)
		if timeouts != nil {
			w.key("VisibilityTimeout")
			w.text = strconv.AppendInt(w.text, int64(seconds(timeouts[i])), 10)
		}
		w.end('}')
	}
	w.end(']')
	w.member("QueueUrl", q.URL)
	w.end('}')
	return w.text, !w.odd
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

func (w *writer) member(name, value string) {
	w.key(name)
	w.str(value)
}

// number writes a number that is not zero: the SDK leaves zeros out of a receive.
func (w *writer) number(name string, value int32) {
	if value != 0 {
		w.key(name)
		w.text = strconv.AppendInt(w.text, int64(value), 10)
	}
}

// str writes a string of ASCII's printable characters, which all but the quote and
// the backslash stand for themselves.
func (w *writer) str(value string) {
	for i := range len(value) {
		if c := value[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			w.odd = true
		}
	}
	w.text = append(w.text, '"')
	w.text = append(w.text, value...)
	w.text = append(w.text, '"')
}
