package sqsapi

import (
	"bytes"
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"
)

// A scanner reads JSON from left to right. When it meets what it does not expect
// it is lost, and stays so: what it gives from then on is worth nothing.
type scanner struct {
	text []byte
	at   int
	lost bool
}

// begin enters an object or a list, of which opening is the first character, and
// reports whether there is anything in it.
func (s *scanner) begin(opening byte) bool {
	s.expect(opening)
	if s.peek() == opening+2 { // '}' and ']' stand two behind '{' and '['
		s.at++
		return false
	}
	return !s.lost
}

// more goes on to the next part of an object or a list, and reports whether there is
// one; if not it leaves.
func (s *scanner) more(closing byte) bool {
	switch s.peek() {
	case ',':
		s.at++
		return !s.lost
	case closing:
		s.at++
	default:
		s.lost = true
	}
	return false
}

// end reports whether all was read and understood.
func (s *scanner) end() bool {
	s.peek()
	return !s.lost && s.at == len(s.text)
}

// peek returns the next character that is not white space; 0 at the end.
func (s *scanner) peek() byte {
	for ; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

func (s *scanner) expect(c byte) {
	if s.peek() != c {
		s.lost = true
		return
	}
	s.at++
}

// key reads the name of an object's member. One with an escape is not known anyway.
func (s *scanner) key() []byte {
	name := s.simple()
	s.expect(':')
	return name
}

// simple reads a string that has no escapes.
func (s *scanner) simple() []byte {
	raw, escaped := s.str()
	s.lost = s.lost || escaped
	return raw
}

// str reads a string, and returns what is between its quotes.
func (s *scanner) str() (raw []byte, escaped bool) {
	s.expect('"')
	if s.lost {
		return nil, false
	}
	rest := s.text[s.at:]
	end := closing(rest)
	if end < 0 || controlled(rest[:end]) {
		s.lost = true
		return nil, false
	}
	s.at += end + 1
	return rest[:end], bytes.IndexByte(rest[:end], '\\') >= 0
}

// own reads a string, and returns it with its own memory.
func (s *scanner) own() string {
	raw, escaped := s.str()
	if !escaped || s.lost {
		return string(raw)
	}
	value, ok := unescape(nil, raw)
	s.lost = !ok
	return string(value)
}

// closing returns where the quote is that ends the string at the beginning of text; -1:
// nowhere.
func closing(text []byte) int {
	quote, from := -1, 0 // the next quote, and what is looked at from here on
	for {
		if quote < from {
			i := bytes.IndexByte(text[from:], '"')
			if i < 0 {
				return -1
			}
			quote = from + i
		}
		i := bytes.IndexByte(text[from:quote], '\\')
		if i < 0 {
			return quote
		}
		from += i + 2 // whatever it stands for; unescape looks
		if from > len(text) {
			return -1
		}
	}
}

// controlled reports whether a text has characters below the space, which JSON does not have
// in strings. It looks at 32 at once.
func controlled(text []byte) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	below := func(v uint64) uint64 { return (v - ones*' ') &^ v & tops } // not 0 if a byte of v is below the space
	for len(text) >= 32 {
		found := below(binary.LittleEndian.Uint64(text)) | below(binary.LittleEndian.Uint64(text[8:])) |
			below(binary.LittleEndian.Uint64(text[16:])) | below(binary.LittleEndian.Uint64(text[24:]))
		if found != 0 {
			return true
		}
		text = text[32:]
	}
	for _, c := range text {
		if c < ' ' {
			return true
		}
	}
	return false
}

// null passes a null, and reports whether there is one.
func (s *scanner) null() bool {
	return s.peek() == 'n' && s.literal("null")
}

// literal passes a word, and reports whether it stands there.
func (s *scanner) literal(word string) bool {
	s.peek()
	if !bytes.HasPrefix(s.text[s.at:], []byte(word)) {
		s.lost = true
		return false
	}
	s.at += len(word)
	return true
}

// boolean passes true or false.
func (s *scanner) boolean() {
	if s.peek() == 't' {
		s.literal("true")
	} else {
		s.literal("false")
	}
}

// deepest is how deep a value may be that is skipped.
const deepest = 100

// skip passes a value of any kind, which is depth levels deep.
func (s *scanner) skip(depth int) {
	if depth > deepest {
		s.lost = true
	}
	if s.lost {
		return
	}
	switch s.peek() {
	case '{':
		for more := s.begin('{'); more; more = s.more('}') {
			s.key()
			s.skip(depth + 1)
		}
	case '[':
		for more := s.begin('['); more; more = s.more(']') {
			s.skip(depth + 1)
		}
	case '"':
		s.skipString()
	case 'n':
		s.literal("null")
	case 't', 'f':
		s.boolean()
	default:
		s.number()
	}
}

// skipString passes a string.
func (s *scanner) skipString() {
	raw, escaped := s.str()
	for escaped && !s.lost {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return
		}
		_, size := escape(raw[i:])
		s.lost = size == 0
		raw = raw[i+size:]
	}
}

// number passes a number.
func (s *scanner) number() {
	if s.peek() == '-' {
		s.at++
	}
	if first := s.at; s.digits() > 1 && s.text[first] == '0' {
		s.lost = true
	}
	if s.here('.') {
		s.at++
		s.digits()
	}
	if s.here('e') || s.here('E') {
		s.at++
		if s.here('+') || s.here('-') {
			s.at++
		}
		s.digits()
	}
}

// here reports whether the next character is c.
func (s *scanner) here(c byte) bool { return s.at < len(s.text) && s.text[s.at] == c }

// digits passes digits, of which there is one at least, and returns how many.
func (s *scanner) digits() (n int) {
	for ; s.at < len(s.text) && '0' <= s.text[s.at] && s.text[s.at] <= '9'; s.at++ {
		n++
	}
	s.lost = s.lost || n == 0
	return n
}

// unescape appends what raw, the inside of a string, stands for, and reports whether
// that is beyond doubt: lone surrogates and invalid UTF-8 are not.
func unescape(to, raw []byte) ([]byte, bool) {
	if !utf8.Valid(raw) {
		return to, false
	}
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return append(to, raw...), true
		}
		to = append(to, raw[:i]...)
		c, size := escape(raw[i:])
		if size == 0 {
			return to, false
		}
		to = utf8.AppendRune(to, c)
		raw = raw[i+size:]
	}
}

// escape returns the character that the escape at the beginning of raw stands for,
// and its length; 0 if it is none.
func escape(raw []byte) (c rune, size int) {
	if len(raw) < 2 {
		return 0, 0
	}
	switch raw[1] {
	case '"', '\\', '/':
		return rune(raw[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		return unicode(raw)
	}
	return 0, 0
}

// unicode is escape for \uXXXX, and for two of them that are one character.
func unicode(raw []byte) (c rune, size int) {
	c, ok := hex4(raw)
	switch {
	case !ok:
		return 0, 0
	case !utf16.IsSurrogate(c):
		return c, 6
	}
	low, ok := hex4(raw[6:])
	c = utf16.DecodeRune(c, low)
	if !ok || c == utf8.RuneError {
		return 0, 0
	}
	return c, 12
}

// hex4 reads a \uXXXX.
func hex4(raw []byte) (c rune, ok bool) {
	if len(raw) < 6 || raw[0] != '\\' || raw[1] != 'u' {
		return 0, false
	}
	for _, digit := range raw[2:6] {
		switch {
		case '0' <= digit && digit <= '9':
			digit -= '0'
		case 'a' <= digit && digit <= 'f':
			digit -= 'a' - 10
		case 'A' <= digit && digit <= 'F':
			digit -= 'A' - 10
		default:
			return 0, false
		}
		c = c<<4 | rune(digit)
	}
	return c, true
}
