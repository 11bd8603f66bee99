package wire

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
	i := 0
	for {
		i += plain(rest[i:])
		if i == len(rest) || rest[i] < ' ' {
			s.lost = true
			return nil, false
		}
		if rest[i] == '"' {
			s.at += i + 1
			return rest[:i], escaped
		}
		escaped = true
		if i += 2; i > len(rest) { // whatever it stands for; unescape looks
			s.lost = true
			return nil, false
		}
	}
}

// plain returns how many characters at the beginning of text neither end a string
// nor have a meaning in it. It looks at eight at once.
func plain(text []byte) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	zero := func(v uint64) uint64 { return (v - ones) & ^v & tops } // its lowest set bit is in the first byte of v that is 0
	i := 0
	for ; i+8 <= len(text); i += 8 {
		v := binary.LittleEndian.Uint64(text[i:])
		if zero(v^ones*'"')|zero(v^ones*'\\')|((v-ones*' ')&^v&tops) != 0 {
			break
		}
	}
	for i < len(text) && text[i] != '"' && text[i] != '\\' && text[i] >= ' ' {
		i++
	}
	return i
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
