package wire

import (
	"crypto/md5" // the digest that SQS sends
	"encoding/base64"
	"encoding/hex"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
)

const ten = 10 // messages or entries of an answer; SQS gives no more

// A decoder decodes one answer. What it holds is for reuse; nothing that it gives
// refers to it, or to the text.
type decoder struct {
	scanner
	check bool // that bodies have the digests that come with them

	plain []byte // a body without its escapes
	texts []byte // the strings of a message but its body
	spans [ten]attribute
}

// An attribute is a system attribute and where its value is in decoder.texts.
type attribute struct {
	name string
	span
}

// A span is a part of decoder.texts. The zero value is an empty string.
type span struct{ begin, end int }

// decode decodes text into out, and reports whether it could. If not, out is as before.
func (d *decoder) decode(text []byte, out smithy.Deserializable) bool {
	d.scanner = scanner{text: text}
	switch out := out.(type) {
	case *sqs.ReceiveMessageOutput:
		messages := d.received()
		if d.end() {
			out.Messages = messages
		}
	case *sqs.DeleteMessageBatchOutput:
		successful, failed := settled(d, func(id *string) types.DeleteMessageBatchResultEntry {
			return types.DeleteMessageBatchResultEntry{Id: id}
		})
		if d.end() {
			out.Successful, out.Failed = successful, failed
		}
	case *sqs.ChangeMessageVisibilityBatchOutput:
		successful, failed := settled(d, func(id *string) types.ChangeMessageVisibilityBatchResultEntry {
			return types.ChangeMessageVisibilityBatchResultEntry{Id: id}
		})
		if d.end() {
			out.Successful, out.Failed = successful, failed
		}
	}
	ok := d.end()
	d.text = nil
	return ok
}

// received is the answer to ReceiveMessage.
func (d *decoder) received() (messages []types.Message) {
	for more := d.begin('{'); more; more = d.more('}') {
		if string(d.key()) != "Messages" || messages != nil {
			d.lost = true
			return nil
		}
		messages = d.messages()
	}
	return messages
}

// strs are the strings that a message points to. Those of an answer have one place
// in memory, which goes when the messages have been copied from it.
type strs struct{ id, handle, digest, attributes, body string }

func (d *decoder) messages() []types.Message {
	if !d.begin('[') {
		return []types.Message{}
	}
	messages := make([]types.Message, 0, ten)
	slab := new([ten]strs)
	for more := true; more; more = d.more(']') {
		if len(messages) == ten {
			d.lost = true
			return nil
		}
		messages = append(messages, types.Message{})
		n := len(messages) - 1
		d.message(&messages[n], &slab[n])
	}
	return messages
}

// message is one message. Its body is a string of its own, since it may be large;
// all others share one, so that an id that is kept does not keep the body.
func (d *decoder) message(m *types.Message, s *strs) {
	d.texts = d.texts[:0]
	var id, handle, digest, attributes span
	var body []byte
	names := -1 // of system attributes; -1: the message has none
	for more := d.begin('{'); more; more = d.more('}') {
		switch string(d.key()) {
		case "MessageId":
			id, m.MessageId = d.span(), &s.id
		case "ReceiptHandle":
			handle, m.ReceiptHandle = d.span(), &s.handle
		case "MD5OfBody":
			digest, m.MD5OfBody = d.span(), &s.digest
		case "MD5OfMessageAttributes":
			attributes, m.MD5OfMessageAttributes = d.span(), &s.attributes
		case "Body":
			d.lost = d.lost || m.Body != nil // there is one place for what it stands for
			body, m.Body = d.body(), &s.body
		case "Attributes":
			names = d.attributes()
		case "MessageAttributes":
			m.MessageAttributes = d.messageAttributes()
		default:
			d.lost = true
		}
	}
	if d.lost {
		return
	}
	if d.check && !has(body, d.texts[digest.begin:digest.end]) {
		d.lost = true
		return
	}
	texts := string(d.texts)
	s.body = string(body)
	s.id, s.handle = texts[id.begin:id.end], texts[handle.begin:handle.end]
	s.digest, s.attributes = texts[digest.begin:digest.end], texts[attributes.begin:attributes.end]
	if names >= 0 {
		m.Attributes = make(map[string]string, names)
		for _, a := range d.spans[:names] {
			m.Attributes[a.name] = texts[a.begin:a.end]
		}
	}
}

// has reports whether a body has a digest.
func has(body, digest []byte) bool {
	var text [2 * md5.Size]byte
	sum := md5.Sum(body)
	hex.Encode(text[:], sum[:])
	return string(text[:]) == string(digest)
}

// body reads a body. It is good until the next one is read.
func (d *decoder) body() []byte {
	raw, escaped := d.str()
	if !escaped || d.lost {
		return raw
	}
	var ok bool
	d.plain, ok = unescape(d.plain[:0], raw)
	d.lost = !ok
	return d.plain
}

// own reads a string that gets its own place in memory.
func (d *decoder) own() string {
	raw, escaped := d.str()
	if !escaped || d.lost {
		return string(raw)
	}
	value, ok := unescape(nil, raw)
	d.lost = !ok
	return string(value)
}

// span reads a string that has no escapes, as ids and numbers have none, into texts.
func (d *decoder) span() span {
	begin := len(d.texts)
	d.texts = append(d.texts, d.simple()...)
	return span{begin, len(d.texts)}
}

// attributes reads the system attributes of a message into spans, and returns how
// many there are.
func (d *decoder) attributes() (n int) {
	for more := d.begin('{'); more; more = d.more('}') {
		name := systemName(d.key())
		if name == "" || n == len(d.spans) {
			d.lost = true
			return 0
		}
		d.spans[n] = attribute{name, d.span()}
		n++
	}
	return n
}

// messageAttributes are those that the sender gave. They belong to the user, who
// may keep one: each has its own place in memory.
func (d *decoder) messageAttributes() map[string]types.MessageAttributeValue {
	attributes := map[string]types.MessageAttributeValue{}
	for more := d.begin('{'); more; more = d.more('}') {
		name := string(d.key())
		attributes[name] = d.messageAttribute()
	}
	return attributes
}

func (d *decoder) messageAttribute() (a types.MessageAttributeValue) {
	for more := d.begin('{'); more; more = d.more('}') {
		switch string(d.key()) {
		case "DataType":
			a.DataType = new(string(d.simple()))
		case "StringValue":
			a.StringValue = new(d.own())
		case "BinaryValue":
			value, err := base64.StdEncoding.DecodeString(string(d.simple()))
			d.lost = d.lost || err != nil
			a.BinaryValue = value
		default:
			d.lost = true
		}
	}
	return a
}

// systemNames are those that SQS has.
var systemNames = types.MessageSystemAttributeName("").Values()

// systemName returns the name of a system attribute as a string that is there
// already; "" if it is not known.
func systemName(name []byte) string {
	for _, known := range systemNames {
		if string(name) == string(known) {
			return string(known)
		}
	}
	return ""
}

// ids are those of entries: their positions in the call.
var ids = [ten]string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}

// settled is the answer to DeleteMessageBatch or ChangeMessageVisibilityBatch, if
// nothing failed: otherwise the SDK may have it.
func settled[E any](d *decoder, entry func(id *string) E) (successful []E, failed []types.BatchResultErrorEntry) {
	for more := d.begin('{'); more; more = d.more('}') {
		switch string(d.key()) {
		case "Successful":
			successful = entries(d, entry)
		case "Failed":
			d.lost = d.begin('[') || d.lost
			failed = []types.BatchResultErrorEntry{}
		default:
			d.lost = true
		}
	}
	return successful, failed
}

func entries[E any](d *decoder, entry func(id *string) E) []E {
	if !d.begin('[') {
		return []E{}
	}
	entries := make([]E, 0, ten)
	for more := true; more; more = d.more(']') {
		entries = append(entries, entry(d.entry()))
	}
	return entries
}

// entry is an object that has an id of ours and nothing else.
func (d *decoder) entry() *string {
	if !d.begin('{') || string(d.key()) != "Id" {
		d.lost = true
		return nil
	}
	id := d.simple()
	if d.more('}') || d.lost || len(id) != 1 || id[0] < '0' || id[0] > '9' {
		d.lost = true
		return nil
	}
	return &ids[id[0]-'0']
}
