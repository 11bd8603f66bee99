package sqsapi

import (
	"bytes"
	"crypto/fips140"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// options fits the caller's SDK client to the calls of a consumer, call by call.
type options struct {
	wrapped atomic.Pointer[wrapper]
}

// single makes one attempt of each call. The receive loop is the retry of
// receives: a hidden one can lose the answer of the first attempt and with it ten
// messages, for a whole visibility timeout. Deletes and visibility changes are
// tried again by those who know until when that makes sense.
func (o *options) single(so *sqs.Options) {
	so.Retryer = aws.NopRetryer{}
	so.RetryMaxAttempts = 0 // would wrap the retryer again
	if fips140.Enforced() { // there is no MD5: a check would end every receive, and its messages in the dead-letter queue
		so.DisableMessageChecksumValidation = true
	}
	so.HTTPClient = o.client(so.HTTPClient)
}

// client returns inner behind a wrapper, the same one for the same inner.
func (o *options) client(inner sqs.HTTPClient) sqs.HTTPClient {
	if inner == nil {
		return nil
	}
	if w, ok := inner.(*wrapper); ok {
		return w
	}
	if !reflect.ValueOf(inner).Comparable() { // a func, say, or a struct with one inside: it cannot be recognised
		return newWrapper(inner)
	}
	if w := o.wrapped.Load(); w != nil && w.inner == inner {
		return w
	}
	w := newWrapper(inner)
	o.wrapped.Store(w)
	return w
}

// A wrapper sends requests so that the connection lives until their answers are read, so
// that net/http can send them once more where a server has not looked at them, and so
// that the deadline of a call sees how its answer arrives.
//
// smithy-go closes the body of a request as soon as the answer's headers are
// there. The transport may then still be about to look once more for surplus
// bytes: the body's WriteTo, closed, reports io.EOF as an error, the transport
// takes that for a failed write, and closes the connection while the answer is
// being read. The ten messages of that answer are lost until their visibility
// timeout ends. A body that cannot be closed has no such end; and one that the
// transport knows to be in memory goes out in one write with its headers.
type wrapper struct {
	inner sqs.HTTPClient // the caller's
	sends sqs.HTTPClient // the same, but it follows no redirect, unless the caller has said which: it would take the session token along
}

const maxInMemory = 1 << 20 // requests of a consumer are a few kB; a dead letter may be larger

// Wrap returns client behind a wrapper, if it is not behind one already. A client of the
// SDK's type has other connections then.
func Wrap(client sqs.HTTPClient) sqs.HTTPClient {
	if w, ok := client.(*wrapper); ok {
		return w
	}
	if base, ok := client.(*awshttp.BuildableClient); ok {
		if frozen, ok := base.Freeze().(*http.Client); ok && direct(frozen) {
			return &wrapper{inner: client, sends: tripper{frozen.Transport}}
		}
	}
	return newWrapper(client)
}

func newWrapper(inner sqs.HTTPClient) *wrapper {
	w := &wrapper{inner: inner, sends: inner}
	client, ok := inner.(*http.Client)
	switch {
	case !ok || client == nil || client.CheckRedirect != nil:
	case direct(client):
		w.sends = tripper{client.Transport}
	default:
		stays := *client // with the same connections
		stays.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		w.sends = &stays
	}
	return w
}

// direct reports whether all that client does is what its transport does, and to follow
// redirects.
func direct(client *http.Client) bool {
	return client.Transport != nil && client.Jar == nil && client.Timeout == 0
}

// A tripper makes requests as a [http.Client] does that follows no redirects, without the
// copies that it makes for them.
type tripper struct{ transport http.RoundTripper }

func (t tripper) Do(r *http.Request) (*http.Response, error) {
	answer, err := t.transport.RoundTrip(r)
	if err == nil {
		if answer != nil && answer.Body == nil { // of a transport of the user's
			answer.Body = http.NoBody
		}
		return answer, nil
	}
	return nil, unsentError(r.URL, err)
}

// unsentError is the error of a request that has no answer, as [http.Client] gives it.
func unsentError(to *url.URL, err error) error {
	if scheme, ok := errors.AsType[tls.RecordHeaderError](err); ok && string(scheme.RecordHeader[:]) == "HTTP/" {
		err = http.ErrSchemeMismatch
	}
	return &url.Error{Op: "Post", URL: to.Redacted(), Err: err}
}

func (w *wrapper) Do(r *http.Request) (*http.Response, error) {
	switch {
	case r.Body == nil || r.Body == http.NoBody || r.GetBody != nil:
	case r.ContentLength > 0 && r.ContentLength <= maxInMemory:
		body := make([]byte, r.ContentLength)
		if _, err := io.ReadFull(r.Body, body); err != nil {
			return nil, err
		}
		_ = r.Body.Close() // it is read; net/http would close it too
		setBody(r, bytes.NewReader(body), body)
	default:
		r.Body = struct{ io.ReadCloser }{r.Body} // hides WriteTo
	}
	answer, err := w.sends.Do(r)
	if err == nil {
		watch(r.Context(), answer)
	}
	return answer, err
}
