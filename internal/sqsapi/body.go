package sqsapi

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"runtime"
)

// errRedirected is the error of a request that is answered with a redirect. SQS gives none.
var errRedirected = errors.New("the answer is a redirect, which a signed request does not follow")

// setBody gives a request its body, which first reads. A server of HTTP/2 may refuse a
// request unseen, when it is about to go or has too many: net/http sends it once more if it
// can have the body again. That is also what it follows redirects with, and then it takes
// all headers along, the session token too. So the body is not given again for a redirect.
func setBody(r *http.Request, first *bytes.Reader, body []byte) {
	r.Body = io.NopCloser(first)
	r.GetBody = func() (io.ReadCloser, error) {
		if redirecting() {
			return nil, errRedirected
		}
		return io.NopCloser(bytes.NewReader(body)), nil
	}
}

// redirecting reports whether it is net/http's client that asks for a body, and not its
// transport: the client does so only for redirects. Nothing else tells the two apart
// before the request is on its way.
func redirecting() bool {
	var callers [1]uintptr
	n := runtime.Callers(3, callers[:]) // past this function and the request's GetBody
	caller, _ := runtime.CallersFrames(callers[:n]).Next()
	return caller.Function == "net/http.(*Client).do"
}
