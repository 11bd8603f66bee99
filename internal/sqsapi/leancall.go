package sqsapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/sluice-go/sluice/internal/http1"
)

const contentType = "application/x-amz-json-1.0"

// Names of headers.
const (
	headerID        = "Amz-Sdk-Invocation-Id"
	headerAttempt   = "Amz-Sdk-Request"
	headerSignature = "Authorization"
	headerDate      = "X-Amz-Date"
	headerToken     = "X-Amz-Security-Token" //nolint:gosec // a header's name
	headerTarget    = "X-Amz-Target"
	headerTrace     = "X-Amzn-Trace-Id"
	headerType      = "Content-Type"
	headerMode      = "X-Amzn-Query-Mode"
	headerAgent     = "User-Agent"
)

// headers are all that a request may have.
var headers = []string{
	headerID, headerAttempt, headerSignature, headerType, headerAgent, headerDate, headerToken, headerTarget, headerMode, headerTrace,
}

// A reader reads the answer to a call.
type reader interface {
	// read reads a text, and reports whether it is one that SQS writes.
	read(w *workshop, text []byte) bool
	// output returns what the SDK reads an answer into.
	output() smithy.Deserializable
	// convert takes what the SDK has read.
	convert(out smithy.Deserializable)
}

// call makes a call. Its error is the one that the SDK's client gives for the same end. The
// memory of body is used again.
func (l *Lean) call(d *deadline, op *operation, body []byte, r reader) error {
	if d.values == nil { // else it is that of an earlier call of the kind
		d.values = op.values
	}
	err := l.exchange(d, op, body, r)
	bodies.Put(&body)
	if err != nil {
		return failedCall(op, err)
	}
	return nil
}

// bodies are those of requests that are over, for their memory.
var bodies = sync.Pool{New: func() any { return new([]byte) }}

// newBody returns an empty body with room for so many bytes.
func newBody(size int) []byte {
	b, _ := bodies.Get().(*[]byte) // nothing else is put there
	return slices.Grow((*b)[:0], size)
}

// failedCall is the error of a call that has failed with err.
func failedCall(op *operation, err error) error {
	return &smithy.OperationError{ServiceID: sqs.ServiceID, OperationName: op.name, Err: err}
}

// serialize returns the body of a request as the client's protocol writes it. It is for one
// with other characters than SQS's handles and URLs have.
func (l *Lean) serialize(ctx context.Context, op *operation, in smithy.Serializable) ([]byte, error) {
	r, _ := smithyhttp.NewStackRequest().(*smithyhttp.Request) // it is one
	if err := l.options.Protocol.SerializeRequest(ctx, op.schema, in, r); err != nil {
		return nil, failedCall(op, err)
	}
	return io.ReadAll(r.GetStream())
}

// exchange makes a request and reads its answer. If the clocks of SQS and of this machine
// differ, and SQS does not take the signature, the request is made once more with SQS's time:
// nothing has come of the first.
func (l *Lean) exchange(d *deadline, op *operation, body []byte, r reader) error {
	first, _ := attempts.Get().(*attempt) // nothing else is put there
	*first = attempt{lean: l, op: op, body: body, count: "attempt=1; max=1", skew: time.Duration(l.skew.Load())}
	err := first.make(d, r)
	if !first.skewed(err) {
		*first = attempt{}
		attempts.Put(first)
		return err
	}
	again := &attempt{lean: l, op: op, body: body, count: "attempt=2; max=2", skew: first.measured}
	again.signed.id = first.signed.id
	if err = again.make(d, r); again.skewed(err) {
		return &skewError{err}
	}
	return err
}

// attempts are those that are over, for their memory.
var attempts = sync.Pool{New: func() any { return new(attempt) }}

// An attempt is one request of a call, and has its memory in itself.
type attempt struct {
	lean  *Lean
	op    *operation
	body  []byte
	count string // which one it is, as the SDK says it

	skew     time.Duration // that it is signed with
	measured time.Duration // by its answer
	known    bool          // that it was

	signed signed
	direct http1.Request
	fields [mostFields]http1.Field // the memory of those of direct
}

// mostFields are as many as a request has in its header, if it has all.
const mostFields = 9

// make makes the request and reads its answer.
func (c *attempt) make(d *deadline, r reader) error {
	if err := d.Err(); err != nil {
		return err
	}
	credentials, err := c.lean.options.Credentials.Retrieve(d)
	if err != nil {
		return fmt.Errorf("get identity: get credentials: %w", err)
	}
	c.prepare(d, credentials)
	sent := time.Now()
	answer, err := c.send(d)
	c.measure(answer, sent)
	if answer == nil {
		answer = &http.Response{Header: http.Header{}, Body: http.NoBody}
	}
	if answer.Body == nil {
		answer.Body = http.NoBody
	}
	defer func() { _ = answer.Body.Close() }() // it is read, or of no use
	if err != nil {
		err = sendError(d, err)
	} else {
		err = c.lean.read(d, c.op, answer, r)
	}
	if err == nil {
		return nil
	}
	if answer.Request == nil && answer.StatusCode != 0 {
		answer.Request = c.request(d)
	}
	return &awshttp.ResponseError{
		ResponseError: &smithyhttp.ResponseError{Response: &smithyhttp.Response{Response: answer}, Err: err},
		RequestID:     requestID(answer),
	}
}

// send sends the request, and returns the answer with its body to be read.
func (c *attempt) send(d *deadline) (*http.Response, error) {
	if direct := c.lean.direct; direct != nil {
		answer, err := direct.Do(d, &c.direct)
		switch {
		case err == nil:
			watch(d, answer)
			return answer, nil
		case !errors.Is(err, http1.ErrNotMade):
			return nil, unsentError(c.lean.url, err)
		}
	}
	return c.lean.client.Do(c.request(d))
}

// sendError returns the error of a request without an answer.
func sendError(ctx context.Context, err error) error {
	if ended := ctx.Err(); ended != nil {
		return &smithy.CanceledError{Err: ended}
	}
	return &smithyhttp.RequestSendError{Err: err}
}

// requestID returns the id that SQS has given a request; "": none.
func requestID(answer *http.Response) string {
	if id := answer.Header.Get("X-Amzn-Requestid"); id != "" {
		return id
	}
	return answer.Header.Get("X-Amz-Requestid")
}

// prepare signs the request, and fills its header but for what all have in common.
func (c *attempt) prepare(d *deadline, by aws.Credentials) {
	l := c.lean
	c.signed.attempt, c.signed.target, c.signed.token = c.ordinal(d), c.op.target, by.SessionToken
	s, _ := l.signers.Get().(*signer) // nothing else is put there
	s.sign(&c.signed, c.body, by, time.Now().Add(c.skew), &l.scope)
	l.signers.Put(s)

	f := append(c.fields[:0], // in the order of net/http
		http1.Field{Name: headerID, Value: c.signed.id},
		http1.Field{Name: headerAttempt, Value: c.signed.attempt},
		http1.Field{Name: headerSignature, Value: c.signed.authorization},
		http1.Field{Name: headerType, Value: contentType},
		http1.Field{Name: headerDate, Value: c.signed.date},
	)
	if by.SessionToken != "" {
		f = append(f, http1.Field{Name: headerToken, Value: by.SessionToken})
	}
	f = append(f, http1.Field{Name: headerTarget, Value: c.op.target}, http1.Field{Name: headerMode, Value: "true"})
	if trace, ok := invocation(); ok {
		f = append(f, http1.Field{Name: headerTrace, Value: trace})
	}
	c.direct = http1.Request{Fields: f, Body: c.body}
}

// request returns the request as net/http makes it. It has a body of its own, since it may
// outlive the call.
func (c *attempt) request(d *deadline) *http.Request {
	r, address := c.lean.request.WithContext(d), *c.lean.url
	r.URL, r.ContentLength = &address, int64(len(c.body))
	r.Header = make(http.Header, mostFields+1)
	if c.lean.agent != "" {
		r.Header[headerAgent] = []string{c.lean.agent}
	}
	for _, f := range c.direct.Fields {
		r.Header[f.Name] = []string{f.Value}
	}
	body := bytes.Clone(c.body)
	setBody(r, bytes.NewReader(body), body)
	return r
}

// ordinal returns which attempt it is. It adds the time of the call's deadline, by SQS's
// clock, if that is known to be ahead.
func (c *attempt) ordinal(d *deadline) string {
	if until, ok := d.Deadline(); ok && c.skew > 0 {
		// By the clock as it is now: the machine may have slept since the deadline was made.
		return c.count + "; ttl=" + time.Now().Add(time.Until(until)+c.skew).Format(dateForm)
	}
	return c.count
}

// invocation returns the X-Ray trace of the invocation of a Lambda function, if this is one
// that has a trace. Each invocation has another one.
func invocation() (trace string, ok bool) {
	if _, function := os.LookupEnv("AWS_LAMBDA_FUNCTION_NAME"); !function {
		return "", false
	}
	plain, ok := os.LookupEnv("_X_AMZN_TRACE_ID")
	var b strings.Builder
	for _, c := range []byte(plain) {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(`-=;:+&[]{}"',`, c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String(), ok
}

// measure notes how far SQS's clock is ahead, for this call and those that follow, as the
// SDK does: not by an answer out of a cache, nor by one that has taken longer than a
// signature lasts.
func (c *attempt) measure(answer *http.Response, sent time.Time) {
	const longest = 15 * time.Minute
	if c.lean.options.DisableClockSkewCorrection || answer == nil || answer.Header.Get("Age") != "" {
		return
	}
	now := time.Now()
	theirs := c.lean.moment(answer.Header.Get("Date"))
	if theirs.IsZero() || now.Sub(sent) > longest {
		return
	}
	c.measured, c.known = theirs.Sub(now), true
	c.lean.skew.Store(int64(c.measured))
}

// A date is a date as answers have it, and what it says.
type date struct {
	text string
	time time.Time
}

// moment returns what the date of an answer says; zero: nothing. All answers of a second have
// the same one.
func (l *Lean) moment(text string) time.Time {
	if last := l.date.Load(); last != nil && last.text == text {
		return last.time
	}
	t, err := smithyhttp.ParseTime(text)
	if err != nil {
		return time.Time{}
	}
	l.date.Store(&date{text, t})
	return t
}

// skewed reports whether an attempt has failed for a wrong clock, as the SDK sees it.
func (c *attempt) skewed(err error) bool {
	const tolerated = 4 * time.Minute
	codes := []string{"InvalidSignatureException", "SignatureDoesNotMatch", "AuthFailure", "RequestTimeTooSkewed", "AccessDeniedException"}
	return err != nil && c.known && (c.skew-c.measured).Abs() > tolerated && slices.Contains(codes, code(err))
}

// A skewError is the error of a call that SQS has refused by its clock, twice.
type skewError struct{ err error }

func (e *skewError) Error() string { return fmt.Sprintf("Probable clock skew error: %v", e.err) }
func (e *skewError) Unwrap() error { return e.err }

// RetryableError says to the SDK that the call is worth another try.
func (*skewError) RetryableError() bool { return true }

// A workshop is what reading an answer needs and does not keep.
type workshop struct {
	answer bytes.Buffer
	decoder
}

var workshops = sync.Pool{New: func() any { return new(workshop) }}

// read reads an answer. What is not in the form that SQS gives is for the SDK to read, or to
// make an error of.
func (l *Lean) read(ctx context.Context, op *operation, answer *http.Response, r reader) error {
	if answer.StatusCode < http.StatusOK || answer.StatusCode >= http.StatusMultipleChoices {
		return l.readBySDK(ctx, op, answer, r)
	}
	w, _ := workshops.Get().(*workshop) // nothing else is put there
	defer w.tidy()
	if n := answer.ContentLength; n > 0 && n <= maxAnswer {
		w.answer.Grow(int(n) + bytes.MinRead)
	}
	if _, err := w.answer.ReadFrom(answer.Body); err != nil {
		return &smithy.DeserializationError{Err: err}
	}
	if r.read(w, w.answer.Bytes()) {
		return nil
	}
	read := *answer
	read.Body = io.NopCloser(bytes.NewReader(w.answer.Bytes()))
	return l.readBySDK(ctx, op, &read, r)
}

func (l *Lean) readBySDK(ctx context.Context, op *operation, answer *http.Response, r reader) error {
	out := r.output()
	err := l.options.Protocol.DeserializeResponse(ctx, op.schema, sqs.TypeRegistry, &smithyhttp.Response{Response: answer}, out)
	if err == nil {
		r.convert(out)
	}
	return err
}

// tidy gives w back for another answer, unless it has become large.
func (w *workshop) tidy() {
	const most = 1 << 20 // bytes
	w.decoder.reset()
	if w.answer.Cap()+cap(w.plain)+cap(w.texts) > most {
		return
	}
	w.answer.Reset()
	workshops.Put(w)
}

// errDigest is the error of an answer with a body that does not have its digest. It begins
// as that of the SDK does, which has no type.
var errDigest = errors.New("message checksum validation failed")
