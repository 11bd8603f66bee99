package http1

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// lineEnd ends each line of a header. An empty one ends the header.
const lineEnd = "\r\n"

// A plainAnswer is an answer that net/http need not read: it has a body of a known length, and
// nothing of what HTTP has besides. Those of SQS are plain. It has its memory in itself.
type plainAnswer struct {
	http.Response

	body   counted
	values [usual]string
	n      int // of values
}

// usual is how many fields the header of a plain answer has at most.
const usual = 8

// names are those of the fields that answers of SQS have, as they are written there and in
// stand-ins, and as net/http gives them.
var names = func() map[string]string {
	all := map[string]string{}
	for _, name := range []string{"Date", "Content-Type", "Content-Length", "Connection", "X-Amzn-Requestid"} {
		all[name], all[strings.ToLower(name)] = name, name
	}
	all["x-amzn-RequestId"] = "X-Amzn-Requestid"
	return all
}()

// readPlain reads the header of an answer that is plain. nil: it is not, or is not there as a
// whole yet. Then nothing was read, and net/http reads it.
func readPlain(from *bufio.Reader) *http.Response {
	text, _ := from.Peek(from.Buffered())
	end := bytes.Index(text, []byte(lineEnd+lineEnd))
	if end < 0 {
		return nil
	}
	a := new(plainAnswer)
	if !a.parse(string(text[:end])) {
		return nil
	}
	_, _ = from.Discard(end + len(lineEnd+lineEnd)) // it is there
	a.body = counted{from, a.ContentLength}
	a.Body = &a.body
	return &a.Response
}

// parse parses a header, and reports whether it is that of a plain answer.
func (a *plainAnswer) parse(text string) bool {
	line, rest, more := strings.Cut(text, lineEnd)
	if !a.parseStatus(line) {
		return false
	}
	a.Header = make(http.Header, usual)
	for more {
		line, rest, more = strings.Cut(rest, lineEnd)
		if !a.addField(line) {
			return false
		}
	}
	return a.ContentLength > 0
}

func (a *plainAnswer) parseStatus(line string) bool {
	proto, status, _ := strings.Cut(line, " ")
	digits, reason, _ := strings.Cut(status, " ")
	code, err := strconv.Atoi(digits)
	if proto != "HTTP/1.1" || err != nil || len(digits) != 3 || reason == "" || !plain(reason) {
		return false
	}
	a.Proto, a.ProtoMajor, a.ProtoMinor, a.Status, a.StatusCode = proto, 1, 1, status, code
	return code >= http.StatusOK && code != http.StatusNoContent && code != http.StatusNotModified // these have no body
}

func (a *plainAnswer) addField(line string) bool {
	written, value, _ := strings.Cut(line, ": ")
	name, known := names[written]
	if !known || value == "" || !plain(value) || a.Header[name] != nil {
		return false
	}
	switch name {
	case "Content-Length":
		length, err := strconv.ParseUint(value, 10, 62)
		if err != nil {
			return false
		}
		a.ContentLength = int64(length)
	case "Connection":
		if value != "keep-alive" {
			return false
		}
	}
	a.values[a.n] = value // there is room for all names, of which none is there twice
	a.Header[name] = a.values[a.n : a.n+1 : a.n+1]
	a.n++
	return true
}

// A counted is a body of a known length.
type counted struct {
	from *bufio.Reader
	left int64
}

func (c *counted) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	n, err := c.from.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	switch {
	case c.left == 0:
		c.from = nil
		return n, io.EOF // with the last bytes, as net/http has it
	case err == io.EOF:
		return n, io.ErrUnexpectedEOF
	default:
		return n, err
	}
}

func (*counted) Close() error { return nil }
