package envelope

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A field is a member of a JSON object that a parser reads. encoding/json is no help there: it
// takes "topicarn" for "TopicArn", and the last of two members with the same name. What is
// compared with an allow-list must be what everybody else reads.
type field struct {
	name string
	read func(value []byte) error
}

// text is a field with a string.
func text(name string, to *string) field {
	return field{name, func(value []byte) error {
		if err := want(value, "string"); err != nil {
			return err
		}
		s, err := unquote(value)
		*to = s
		return err
	}}
}

// moment is a field with a time as RFC 3339 writes it, with or without fractions of a second.
func moment(name string, to *time.Time) field {
	return field{name, func(value []byte) error {
		var written string
		if err := text(name, &written).read(value); err != nil {
			return err
		}
		at, err := parseMoment(written)
		*to = at
		return err
	}}
}

// parseMoment reads a time. One without a zone, as stand-ins for AWS write it, is in UTC.
func parseMoment(written string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339, written)
	if err != nil {
		at, err = time.Parse("2006-01-02T15:04:05", written)
	}
	at = at.UTC()
	if err != nil || at.Year() < 0 || at.Year() > 9999 { // where a zone may lead; RFC 3339 cannot write it
		return time.Time{}, &Error{problem: "is not a time such as 2026-01-02T15:04:05.678Z"} // err repeats the value
	}
	return at, nil
}

// integer is a field with a whole number that is not negative.
func integer(name string, to *int64) field {
	return field{name, func(value []byte) error {
		if err := want(value, "number"); err != nil {
			return err
		}
		n, err := strconv.ParseInt(string(value), 10, 64)
		if err != nil || n < 0 {
			return &Error{problem: "is not a whole number of at least 0 in 64 bits"} // err repeats the value
		}
		*to = n
		return nil
	}}
}

// texts is a field with an array of strings.
func texts(name string, to *[]string) field {
	return field{name, func(value []byte) error {
		if err := want(value, "array"); err != nil {
			return err
		}
		return elements(value, func(element []byte) error {
			var one string
			if err := text("", &one).read(element); err != nil {
				return err
			}
			*to = append(*to, one)
			return nil
		})
	}}
}

// raw is a field of any kind. It is a part of what is parsed, not a copy.
func raw(name string, to *[]byte) field {
	return field{name, func(value []byte) error {
		*to = value
		return nil
	}}
}

// object is a field with an object.
func object(name string, fields ...field) field {
	return field{name, func(value []byte) error { return parse(value, fields...) }}
}

// parse reads the given fields of an object, which must be valid JSON. A member that is null counts
// as missing, and members with other names are skipped. A field that comes twice is an error.
func parse(data []byte, fields ...field) error {
	return parseRest(data, nil, fields...)
}

// parseRest is parse with a function for the members with other names. nil skips them.
func parseRest(data []byte, rest func(name string, value []byte) error, fields ...field) error {
	if err := want(data, "object"); err != nil {
		return err
	}
	seen := make([]bool, len(fields))
	return members(data, func(name string, value []byte) error {
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == name })
		switch {
		case i < 0 && rest == nil:
			return nil
		case i < 0:
			return rest(name, value)
		case seen[i]:
			return in(name, &Error{problem: "comes twice"})
		}
		seen[i] = true
		if kind(value) == "null" {
			return nil
		}
		return in(name, fields[i].read(value))
	})
}

// want returns an error if a value is of another kind.
func want(value []byte, kindWanted string) error {
	if is := kind(value); is != kindWanted {
		return &Error{problem: "is " + article(is) + ", want " + article(kindWanted)}
	}
	return nil
}

// article returns the name of a kind as a sentence has it.
func article(kind string) string {
	switch kind {
	case "null", "nothing":
		return kind
	case "array", "object":
		return "an " + kind
	default:
		return "a " + kind
	}
}

// kind returns what a valid JSON value is, as encoding/json names it in its errors.
func kind(value []byte) string {
	i := skipSpace(value, 0)
	if i == len(value) {
		return "nothing"
	}
	switch value[i] {
	case '{':
		return "object"
	case '[':
		return "array"
	case '"':
		return "string"
	case 't', 'f':
		return "bool"
	case 'n':
		return "null"
	default:
		return "number"
	}
}

// members calls fn for the members of an object, which must be valid JSON, in their order, until fn
// returns an error. A value is a part of data, not a copy. No depth of nesting costs stack.
func members(data []byte, fn func(name string, value []byte) error) error {
	i := skipSpace(data, skipSpace(data, 0)+1) // behind the brace
	for data[i] != '}' {
		end := endOfString(data, i)
		name, err := unquote(data[i:end])
		if err != nil {
			return err
		}
		i = skipSpace(data, skipSpace(data, end)+1) // behind the colon
		end = endOfValue(data, i)
		if err := fn(name, data[i:end]); err != nil {
			return err
		}
		i = skipComma(data, end)
	}
	return nil
}

// elements is members for an array.
func elements(data []byte, fn func(value []byte) error) error {
	i := skipSpace(data, skipSpace(data, 0)+1)
	for n := 0; data[i] != ']'; n++ {
		end := endOfValue(data, i)
		if err := fn(data[i:end]); err != nil {
			return in("["+strconv.Itoa(n)+"]", err)
		}
		i = skipComma(data, end)
	}
	return nil
}

// unquote returns what a JSON string says. Most strings say it as it is, and need no decoder.
func unquote(quoted []byte) (s string, err error) {
	if bytes.IndexByte(quoted, '\\') < 0 && utf8.Valid(quoted) {
		return string(quoted[1 : len(quoted)-1]), nil
	}
	err = json.Unmarshal(quoted, &s)
	return s, err
}

// space is what JSON takes for white space.
const space = " \t\r\n"

// skipSpace returns the position of the first byte from i on that is no white space.
func skipSpace(data []byte, i int) int {
	for i < len(data) && strings.IndexByte(space, data[i]) >= 0 {
		i++
	}
	return i
}

// skipComma returns the position of what follows a value: the next one or a closing bracket.
func skipComma(data []byte, i int) int {
	i = skipSpace(data, i)
	if data[i] == ',' {
		i = skipSpace(data, i+1)
	}
	return i
}

// endOfString returns the position behind the string that begins at i.
func endOfString(data []byte, i int) int {
	for i++; data[i] != '"'; i++ {
		if data[i] == '\\' {
			i++ // what is escaped may be a quote
		}
	}
	return i + 1
}

// endOfValue returns the position behind the value that begins at i.
func endOfValue(data []byte, i int) int {
	switch data[i] {
	case '"':
		return endOfString(data, i)
	case '{', '[':
		return endOfNested(data, i)
	}
	for i < len(data) && strings.IndexByte(space+",]}", data[i]) < 0 {
		i++
	}
	return i
}

// endOfNested returns the position behind the object or array that begins at i.
func endOfNested(data []byte, i int) int {
	for depth := 0; ; {
		switch data[i] {
		case '"':
			i = endOfString(data, i)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		i++
		if depth == 0 {
			return i
		}
	}
}
