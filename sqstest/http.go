package sqstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/smithy-go"
)

// maxRequest bounds a request's body in bytes. SQS accepts 1 MiB of messages; JSON may spend six
// bytes on one (\u0009), and a batch that is too long should be told so by the queue, not by a cut.
const maxRequest = 16 << 20

// maxPooled is the largest buffer kept for the next request: one giant body must not stay in memory.
const maxPooled = 1 << 20

// clientBuffer is how much of an answer net/http has read by the time its head is known. What lies
// in the buffer is not lost with its connection.
const clientBuffer = 4 << 10

// defaultLargeDelay is long for two processes on one machine, and short for a network.
const defaultLargeDelay = 2 * time.Millisecond

// LargeAnswerDelay sets for how long an answer of more than 4 kB to a client of aws-sdk-go-v2 waits
// over HTTP, counted from the end of its request; 0 means not at all. Without this option it is 2 ms.
//
// The SDK loses some of the answers that come faster than any network brings them: it closes the
// body of its request when the answer begins, and net/http, if it has not quite ended the request by
// then, takes that for a failure and closes the connection. The messages in the rest of the answer
// stay hidden for their visibility timeout. Method calls and [Server.Client] have no network and no delay.
func LargeAnswerDelay(d time.Duration) Option { return func(s *Server) { s.largeDelay = d } }

const (
	contentType  = "application/x-amz-json-1.0"
	targetPrefix = "AmazonSQS."
)

// ServeHTTP makes the Server an [http.Handler] that speaks AWS JSON 1.0, the protocol every current
// AWS SDK uses for SQS. Signatures are not checked, the path is ignored, and the URLs of queues in
// its answers carry the host of the request, so that the caller can reach them.
//
// A large answer to aws-sdk-go-v2 waits for a moment; see [LargeAnswerDelay].
// A long poll ends when its request's context does: with net/http, when the client goes away.
// A fault that resets the connection aborts the handler with [http.ErrAbortHandler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a, err := respond(s, r)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer a.free()
	s.awaitWriter(r, a)

	h := w.Header()
	a.setHeader(h)
	h["Content-Length"] = []string{strconv.Itoa(len(a.body))}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // a client that went away is none of the queue's business
}

// awaitWriter holds a large answer back until its client has most likely done with the request.
func (s *Server) awaitWriter(r *http.Request, a *answer) {
	if len(a.body) <= clientBuffer || r.ProtoMajor != 1 || !strings.Contains(r.UserAgent(), "aws-sdk-go-v2/") {
		return
	}
	_ = sleep(r.Context(), s.largeDelay-time.Since(a.asked)) // also a client that is gone gets its answer
}

// answer is the response to one request, complete in memory.
type answer struct {
	status     int
	kind       string // Content-Type
	queryError string // X-Amzn-Query-Error, empty for a success
	id         string
	body       []byte
	asked      time.Time // when the request had been read
}

// requestCount numbers the requests of a process, for their ids.
var requestCount atomic.Uint64

func newAnswer() *answer {
	return &answer{
		status: http.StatusOK,
		kind:   contentType,
		id:     fmt.Sprintf("00000000-0000-4000-8000-%012x", requestCount.Add(1)),
		body:   takeBuffer(),
	}
}

// free gives the body's memory to a later answer; the body must not be used any more.
func (a *answer) free() { giveBuffer(a.body) }

// setHeader writes the keys in their canonical form, which saves http.Header's own search for it.
func (a *answer) setHeader(h http.Header) {
	h["Content-Type"] = []string{a.kind}
	h["X-Amzn-Requestid"] = []string{a.id}
	if a.queryError != "" {
		h["X-Amzn-Query-Error"] = []string{a.queryError}
	}
}

// respond answers one request. Its error, if any, means that the caller gets no answer at all:
// the connection is reset.
func respond(s *Server, r *http.Request) (*answer, error) {
	a := newAnswer()
	err := call(s, r, a)
	if err == nil {
		return a, nil
	}
	if IsReset(err) {
		a.free()
		return nil, err
	}
	a.refuse(err)
	return a, nil
}

// call runs the operation that r asks for and writes its result to a.
func call(s *Server, r *http.Request, a *answer) error {
	op, err := route(r)
	if err != nil {
		return err
	}
	body, err := readBody(r)
	defer giveBuffer(body) // the decoder copies what it keeps
	if err != nil {
		return err
	}
	a.asked = time.Now()
	e := encoder{b: a.body, base: baseURL(r)}
	err = op(withTraceHeader(s.sender(r), r.Header.Get(traceHeader)), s, body, &e)
	a.body = e.b
	return err
}

// route finds the operation, or says why r is not a request for one.
func route(r *http.Request) (operation, error) {
	target := r.Header.Get("X-Amz-Target")
	if target == "" && isQuery(r) {
		return nil, errQueryProtocol
	}
	if r.Method != http.MethodPost {
		return nil, protocolError(http.StatusMethodNotAllowed, "UnknownOperationException",
			r.Method+" is not a request to SQS: POST with the header X-Amz-Target: "+targetPrefix+"…")
	}
	name, ok := strings.CutPrefix(target, targetPrefix)
	if !ok {
		return nil, protocolError(http.StatusBadRequest, "UnknownOperationException",
			fmt.Sprintf("X-Amz-Target is %q, want %s…", target, targetPrefix))
	}
	op, ok := table[name]
	if !ok {
		return nil, protocolError(http.StatusBadRequest, "UnknownOperationException",
			fmt.Sprintf("SQS has no operation %q", name))
	}
	return op, nil
}

// isQuery reports whether r speaks the protocol SQS had before AWS JSON: a form with an Action.
func isQuery(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") ||
		strings.Contains(r.URL.RawQuery, "Action=")
}

// readBody reads the whole body into a pooled buffer, which the caller gives back.
func readBody(r *http.Request) ([]byte, error) {
	b := takeBuffer()
	if r.Body == nil {
		return b, nil
	}
	buf := bytes.NewBuffer(b)
	n, err := buf.ReadFrom(io.LimitReader(r.Body, maxRequest+1))
	switch {
	case err != nil:
		return buf.Bytes(), protocolError(http.StatusBadRequest, "SerializationException", "reading the request: "+err.Error())
	case n > maxRequest:
		return buf.Bytes(), protocolError(http.StatusRequestEntityTooLarge, "RequestEntityTooLarge",
			fmt.Sprintf("the request is longer than %d bytes", maxRequest))
	}
	return buf.Bytes(), nil
}

// baseURL is where r's sender found this server: scheme and host.
func baseURL(r *http.Request) string {
	host, scheme := r.Host, "http"
	if host == "" {
		host = r.URL.Host // a client's request that never crossed a socket
	}
	if r.TLS != nil || r.URL.Scheme == "https" {
		scheme = "https"
	}
	return scheme + "://" + host
}

// refuse turns a into the answer for err.
func (a *answer) refuse(err error) {
	a.body = a.body[:0]
	if errors.Is(err, errQueryProtocol) {
		a.refuseQuery(err)
		return
	}
	status, typ, api := describe(err)
	fault := "Sender"
	if api.ErrorFault() == smithy.FaultServer || status >= http.StatusInternalServerError {
		fault = "Receiver"
	}
	a.status = status
	a.queryError = headerSafe(api.ErrorCode()) + ";" + fault
	e := encoder{b: a.body}
	e.open()
	e.text("__type", typ)
	e.text("message", api.ErrorMessage())
	e.close()
	a.body = e.b
}

// refuseQuery answers in the XML that a client of the query protocol can show to its user.
func (a *answer) refuseQuery(err error) {
	a.status, a.kind = http.StatusBadRequest, "text/xml"
	a.body = fmt.Appendf(a.body, `<?xml version="1.0"?><ErrorResponse xmlns="http://queue.amazonaws.com/doc/2012-11-05/">`+
		`<Error><Type>Sender</Type><Code>UnsupportedProtocol</Code><Message>%s</Message></Error><RequestId>%s</RequestId></ErrorResponse>`,
		err, a.id)
}

// describe gives the HTTP status, the __type and the error itself as the SDKs are to see it.
func describe(err error) (status int, typ string, api smithy.APIError) {
	if p, ok := errors.AsType[*wireError](err); ok {
		return p.status, "com.amazon.coral.service#" + p.Code, p
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return httpStatus(err), "com.amazonaws.sqs#" + shape(err), api
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		// Either nobody reads this, or the server is stopping and the caller should try elsewhere.
		gone := &smithy.GenericAPIError{Code: "ServiceUnavailable", Message: "the request was given up: " + err.Error(), Fault: smithy.FaultServer}
		return http.StatusServiceUnavailable, "com.amazonaws.sqs#ServiceUnavailable", gone
	}
	broken := &smithy.GenericAPIError{Code: "InternalFailure", Message: err.Error(), Fault: smithy.FaultServer}
	return http.StatusInternalServerError, "com.amazonaws.sqs#InternalFailure", broken
}

// headerSafe keeps a code chosen by a test from breaking out of its header.
func headerSafe(code string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r == ';' || r > '~' {
			return -1
		}
		return r
	}, code)
}

// wireError is a mistake in the request itself, found before SQS sees it.
type wireError struct {
	smithy.GenericAPIError

	status int
}

func protocolError(status int, code, message string) error {
	return &wireError{smithy.GenericAPIError{Code: code, Message: message, Fault: smithy.FaultClient}, status}
}

var errQueryProtocol = errors.New("this server speaks AWS JSON 1.0 only, and the request uses the older query protocol: update the SDK")

var buffers = sync.Pool{New: func() any { return new(make([]byte, 0, 16<<10)) }}

func takeBuffer() []byte {
	if b, ok := buffers.Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return nil
}

func giveBuffer(b []byte) {
	if cap(b) == 0 || cap(b) > maxPooled {
		return
	}
	buffers.Put(&b)
}
