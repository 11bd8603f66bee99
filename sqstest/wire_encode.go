package sqstest

import (
	"encoding/base64"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// encoder appends JSON to b. It exists for speed: encoding/json takes several times as long for a
// full receive, and would write the SDK's own bookkeeping fields and nulls.
type encoder struct {
	b    []byte
	base string // scheme and host of the queues' URLs
}

func (e *encoder) open()      { e.separate(); e.b = append(e.b, '{') }
func (e *encoder) close()     { e.b = append(e.b, '}') }
func (e *encoder) closeList() { e.b = append(e.b, ']') }

func (e *encoder) openList(key string) {
	e.key(key)
	e.b = append(e.b, '[')
}

func (e *encoder) openObject(key string) {
	e.key(key)
	e.b = append(e.b, '{')
}

// separate writes the comma between two elements. It may look at the last byte alone, because a
// string ends with a quote, whatever it contains.
func (e *encoder) separate() {
	if len(e.b) == 0 {
		return
	}
	switch e.b[len(e.b)-1] {
	case '{', '[', ':':
	default:
		e.b = append(e.b, ',')
	}
}

// key writes a name that needs no escapes.
func (e *encoder) key(name string) {
	e.separate()
	e.b = append(e.b, '"')
	e.b = append(e.b, name...)
	e.b = append(e.b, '"', ':')
}

func (e *encoder) text(key, value string) {
	e.key(key)
	e.b = appendString(e.b, value)
}

// optional leaves an absent value out, as SQS does.
func (e *encoder) optional(key string, value *string) {
	if value != nil {
		e.text(key, *value)
	}
}

func (e *encoder) number(key string, n int64) {
	e.key(key)
	e.b = strconv.AppendInt(e.b, n, 10)
}

func (e *encoder) binary(key string, value []byte) {
	e.key(key)
	e.b = append(e.b, '"')
	e.b = base64.StdEncoding.AppendEncode(e.b, value)
	e.b = append(e.b, '"')
}

// texts writes a map, unless it is empty. Its keys may be a user's, so they are escaped too.
func (e *encoder) texts(key string, values map[string]string) {
	if len(values) == 0 {
		return
	}
	e.openObject(key)
	for name, value := range values {
		e.anyKey(name)
		e.b = appendString(e.b, value)
	}
	e.close()
}

func (e *encoder) anyKey(name string) {
	e.separate()
	e.b = appendString(e.b, name)
	e.b = append(e.b, ':')
}

func (e *encoder) messageAttributes(values map[string]types.MessageAttributeValue) {
	if len(values) == 0 {
		return
	}
	e.openObject("MessageAttributes")
	for name, value := range values {
		e.anyKey(name)
		e.b = append(e.b, '{')
		e.optional("DataType", value.DataType)
		e.optional("StringValue", value.StringValue)
		if value.BinaryValue != nil {
			e.binary("BinaryValue", value.BinaryValue)
		}
		e.close()
	}
	e.close()
}

// id writes the result of a batch entry that has nothing to tell but its success.
func (e *encoder) id(id *string) {
	e.open()
	e.optional("Id", id)
	e.close()
}

func (e *encoder) failed(entries []types.BatchResultErrorEntry) {
	if len(entries) == 0 {
		return
	}
	e.openList("Failed")
	for i := range entries {
		entry := &entries[i]
		e.open()
		e.optional("Id", entry.Id)
		e.optional("Code", entry.Code)
		e.optional("Message", entry.Message)
		e.key("SenderFault")
		e.b = strconv.AppendBool(e.b, entry.SenderFault)
		e.close()
	}
	e.closeList()
}

// queueURL writes the URL of a queue as the reader of this answer can reach it.
func (e *encoder) queueURL(key string, url *string) {
	if url != nil {
		e.text(key, e.reachable(*url))
	}
}

func (e *encoder) queueURLs(key string, urls []string) {
	if len(urls) == 0 {
		return
	}
	e.openList(key)
	for _, url := range urls {
		e.separate()
		e.b = appendString(e.b, e.reachable(url))
	}
	e.closeList()
}

// reachable puts the host of the request before the path of url.
func (e *encoder) reachable(url string) string {
	_, rest, ok := strings.Cut(url, "://")
	if !ok {
		return url
	}
	_, path, _ := strings.Cut(rest, "/")
	return e.base + "/" + path
}

// appendString appends s as a JSON string. Bytes that are not UTF-8 become U+FFFD, as in
// encoding/json: JSON cannot carry them.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			b = appendEscape(append(b, s[start:i]...), c)
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			b = append(append(b, s[start:i]...), `\ufffd`...)
			start = i + size
		}
		i += size
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

// appendEscape appends a quote, a backslash or a control character.
func appendEscape(b []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	default:
		return append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
	}
}
