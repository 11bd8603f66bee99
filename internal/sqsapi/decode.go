package sqsapi

import (
	"crypto/md5" // the digest that SQS sends
	"encoding/base64"
	"encoding/hex"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

const ten = 10 // messages or entries of an answer; SQS gives no more

// A decoder decodes one answer. It reads all of it first, and notes where its strings are.
// Then the short ones of all messages become one string, in which each is a part. What it
// holds is for reuse; nothing that it gives refers to it, or to the answer.
//
// A member that it does not know is skipped. It is lost where SQS never writes so, such as a
// list of eleven messages or half of a surrogate pair. Then the SDK reads the answer.
type decoder struct {
	scanner
	check bool                               // bodies must have the digests that come with them
	shown []types.MessageSystemAttributeName // see Queue.Shown
	wrong bool                               // a body has another digest than it came with

	plain    []byte // a body without its escapes
	texts    []byte // the short strings of all messages
	raw      [ten]rawMessage
	systems  []rawSystem
	given    []rawAttribute
	messages [ten]Message
	n        int // messages
}

// reset lets go of what was decoded.
func (d *decoder) reset() {
	d.scanner = scanner{}
	clear(d.raw[:d.n])
	clear(d.messages[:d.n])
	clear(d.systems)
	clear(d.given)
	d.shown = nil
}

// A part is a string of an answer: a part of decoder.texts, or a string of its own. The zero
// value is empty.
type part struct {
	begin, end int
	own        string
}

// in returns the string of a part.
func (p *part) in(texts string) string {
	if p.own != "" {
		return p.own
	}
	return texts[p.begin:p.end]
}

// A rawMessage is a message whose strings are not made yet.
type rawMessage struct {
	id, handle, body part
	systems, given   list
}

// A rawSystem is a system attribute, under a name that SQS has or another one.
type rawSystem struct {
	name  string
	value part
}

// A rawAttribute is an attribute that the sender gave.
type rawAttribute struct {
	name, kind, value part
	hasKind, hasValue bool
	binary            []byte
}

// receive decodes the answer to a receive, and reports whether it could. The messages are
// good until the next use of d; what is in them is good for ever.
func (d *decoder) receive(text []byte) (messages []Message, ok bool) {
	d.scanner = scanner{text: text}
	d.texts, d.systems, d.given, d.n, d.wrong = d.texts[:0], d.systems[:0], d.given[:0], 0, false
	for more := d.begin('{'); more; more = d.more('}') {
		switch key := d.key(); {
		case d.null():
		case string(key) == "Messages":
			d.readMessages()
		default:
			d.skip(0)
		}
	}
	if !d.end() {
		return nil, false
	}
	return d.build(), true
}

func (d *decoder) readMessages() {
	d.n, d.wrong = 0, false // of a list that is there twice the later one counts
	for more := d.begin('['); more; more = d.more(']') {
		if d.n == ten {
			d.lost = true
			return
		}
		d.readMessage(&d.raw[d.n])
		d.n++
	}
}

func (d *decoder) readMessage(m *rawMessage) {
	*m = rawMessage{}
	var body, digest []byte // nil: there is none
	for more := d.begin('{'); more; more = d.more('}') {
		switch key := d.key(); {
		case d.null():
		case string(key) == "MessageId":
			m.id = d.part()
		case string(key) == "ReceiptHandle":
			m.handle = d.part()
		case string(key) == "MD5OfBody":
			digest = d.simple()
		case string(key) == "Body":
			body = d.body()
		case string(key) == "Attributes":
			m.systems = d.readSystems()
		case string(key) == "MessageAttributes":
			m.given = d.readGiven()
		case string(key) == "MD5OfMessageAttributes":
			d.part()
		default:
			d.skip(0)
		}
	}
	if d.check && body != nil && digest != nil && !has(body, digest) {
		d.wrong = true
	}
	m.body = d.keep(body)
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

// part reads a string.
func (d *decoder) part() part {
	raw, escaped := d.str()
	if !escaped || d.lost {
		return d.keep(raw)
	}
	begin := len(d.texts)
	var ok bool
	d.texts, ok = unescape(d.texts, raw)
	d.lost = !ok
	if len(d.texts)-begin > ownMemory {
		own := part{own: string(d.texts[begin:])}
		d.texts = d.texts[:begin]
		return own
	}
	return part{begin: begin, end: len(d.texts)}
}

// keep keeps a string without escapes.
func (d *decoder) keep(raw []byte) part {
	if len(raw) > ownMemory {
		return part{own: string(raw)}
	}
	begin := len(d.texts)
	d.texts = append(d.texts, raw...)
	return part{begin: begin, end: len(d.texts)}
}

// A list is a part of decoder.systems or decoder.given. The zero value is empty.
type list struct{ from, to int }

// readSystems reads the system attributes of a message.
func (d *decoder) readSystems() list {
	l := list{from: len(d.systems)}
	for more := d.begin('{'); more; more = d.more('}') {
		a := rawSystem{name: d.systemName()}
		if !d.null() {
			a.value = d.part()
		}
		d.systems = append(d.systems, a)
	}
	l.to = len(d.systems)
	return l
}

// systemNames are those that SQS has.
var systemNames = types.MessageSystemAttributeName("").Values()

// systemName reads the name of a system attribute. Most are strings that are there already.
func (d *decoder) systemName() string {
	name := d.key()
	for _, known := range systemNames {
		if string(name) == string(known) {
			return string(known)
		}
	}
	return string(name)
}

// readGiven reads the attributes that the sender gave a message.
func (d *decoder) readGiven() list {
	l := list{from: len(d.given)}
	for more := d.begin('{'); more; more = d.more('}') {
		d.given = append(d.given, rawAttribute{name: d.part()})
		d.expect(':')
		d.readAttribute(&d.given[len(d.given)-1])
	}
	l.to = len(d.given)
	return l
}

func (d *decoder) readAttribute(a *rawAttribute) {
	for more := d.begin('{'); more; more = d.more('}') {
		switch key := d.key(); {
		case d.null():
		case string(key) == "DataType":
			a.kind, a.hasKind = d.part(), true
		case string(key) == "StringValue":
			a.value, a.hasValue = d.part(), true
		case string(key) == "BinaryValue":
			a.binary = d.binary()
		case string(key) == "StringListValues", string(key) == "BinaryListValues":
			d.lost = true // SQS reserves them
		default:
			d.skip(0)
		}
	}
}

// binary reads bytes, which are in base64.
func (d *decoder) binary() []byte {
	raw, escaped := d.str()
	if escaped && !d.lost {
		begin := len(d.texts)
		var ok bool
		d.texts, ok = unescape(d.texts, raw)
		raw, d.texts, d.lost = d.texts[begin:], d.texts[:begin], !ok
	}
	value := make([]byte, base64.StdEncoding.DecodedLen(len(raw)))
	n, err := base64.StdEncoding.Decode(value, raw)
	d.lost = d.lost || err != nil
	return value[:n]
}

// build makes the messages that were read.
func (d *decoder) build() []Message {
	texts := string(d.texts)
	for i := range d.raw[:d.n] {
		raw, m := &d.raw[i], &d.messages[i]
		*m = Message{ID: raw.id.in(texts), Handle: raw.handle.in(texts), Body: raw.body.in(texts)}
		for _, a := range d.systems[raw.systems.from:raw.systems.to] {
			value := a.value.in(texts)
			if place := m.place(types.MessageSystemAttributeName(a.name)); place != nil {
				*place = value
			}
			if len(d.shown) > 0 && shows(d.shown, a.name) {
				m.show(a.name, value)
			}
		}
		if given := d.given[raw.given.from:raw.given.to]; len(given) > 0 {
			m.Attributes = attributes(given, texts)
		}
	}
	return d.messages[:d.n]
}

// attributes makes the attributes that the sender gave a message.
func attributes(given []rawAttribute, texts string) map[string]types.MessageAttributeValue {
	all := make(map[string]types.MessageAttributeValue, len(given))
	strings := make([]string, 2*len(given)) // that they point to
	for i := range given {
		raw, own := &given[i], strings[2*i:2*i+2:2*i+2]
		value := types.MessageAttributeValue{BinaryValue: raw.binary}
		if raw.hasKind {
			own[0], value.DataType = raw.kind.in(texts), &own[0]
		}
		if raw.hasValue {
			own[1], value.StringValue = raw.value.in(texts), &own[1]
		}
		all[raw.name.in(texts)] = value
	}
	return all
}

// A verdict is what the answer to a batch says of its entries.
type verdict struct {
	done   []string // ids of entries
	failed []failure
	place  [ten]string // of the ids, as a rule
}

// A failure is an entry that SQS has refused.
type failure struct{ id, code, message string }

// decode decodes the answer to a delete or a change of visibility, and reports whether it
// could.
func (v *verdict) decode(text []byte) bool {
	s := scanner{text: text}
	v.done, v.failed = v.place[:0], v.failed[:0]
	for more := s.begin('{'); more; more = s.more('}') {
		switch key := s.key(); {
		case s.null():
		case string(key) == "Successful":
			v.readDone(&s)
		case string(key) == "Failed":
			v.readFailed(&s)
		default:
			s.skip(0)
		}
	}
	return s.end()
}

func (v *verdict) readDone(s *scanner) {
	v.done = v.place[:0]
	for more := s.begin('['); more; more = s.more(']') {
		id := ""
		for more := s.begin('{'); more; more = s.more('}') {
			switch key := s.key(); {
			case s.null():
			case string(key) == "Id":
				id = readID(s)
			default:
				s.skip(0)
			}
		}
		v.done = append(v.done, id)
	}
}

func (v *verdict) readFailed(s *scanner) {
	v.failed = v.failed[:0]
	for more := s.begin('['); more; more = s.more(']') {
		var f failure
		for more := s.begin('{'); more; more = s.more('}') {
			switch key := s.key(); {
			case s.null():
			case string(key) == "Id":
				f.id = readID(s)
			case string(key) == "Code":
				f.code = s.own()
			case string(key) == "Message":
				f.message = s.own()
			case string(key) == "SenderFault":
				s.boolean()
			default:
				s.skip(0)
			}
		}
		v.failed = append(v.failed, f)
	}
}

// readID reads the id of an entry. Those that we give are strings that are there already.
func readID(s *scanner) string {
	id := s.simple()
	for _, known := range entryIDs {
		if string(id) == known {
			return known
		}
	}
	return string(id)
}
