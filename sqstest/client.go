package sqstest

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// Client returns a real SDK client whose requests reach s without a socket: signed, encoded, retried
// and decoded as in production. It has made-up credentials and needs no configuration; optFns are
// applied last. It works in a [testing/synctest] bubble.
func (s *Server) Client(optFns ...func(*sqs.Options)) *sqs.Client {
	return sqs.New(sqs.Options{
		Region:       s.home.region,
		BaseEndpoint: &s.base,
		HTTPClient:   s.HTTPClient(),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "sqstest", SecretAccessKey: "sqstest", Source: "sqstest"}, nil
		}),
	}, optFns...)
}

// HTTPClient returns a client that gives every request to s, whatever its host, for the HTTPClient
// of [sqs.Options]. Nothing leaves the calling goroutine: a long poll blocks its caller on the
// plain time package, and ends as soon as the request's context does.
//
// Errors are those of [http.Client]: a [*url.Error] around the cause of the context's end or, for a
// fault that resets the connection, around a [*net.OpError] with ECONNRESET.
func (s *Server) HTTPClient() sqs.HTTPClient { return direct{s} }

// direct is the way to a Server that has no network on it.
type direct struct{ s *Server }

func (d direct) Do(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		defer func() { _ = req.Body.Close() }() // the sender's duty in any case, as in http.RoundTripper
	}
	ctx := req.Context()
	if ctx.Err() != nil {
		return nil, sendError(req, context.Cause(ctx))
	}
	a, err := respond(d.s, req)
	if ctx.Err() != nil {
		if a != nil {
			a.free()
		}
		// The answer came too late for its reader, and with it the messages it carried.
		return nil, sendError(req, context.Cause(ctx))
	}
	if err != nil {
		return nil, sendError(req, Reset())
	}
	return a.response(req), nil
}

func sendError(req *http.Request, err error) error {
	return &url.Error{Op: "Post", URL: req.URL.String(), Err: err}
}

// response hands a copy of the body over for good, of the size it needs: its reader may keep it as
// long as it likes.
func (a *answer) response(req *http.Request) *http.Response {
	defer a.free()
	body := bytes.Clone(a.body)
	h := make(http.Header, 3)
	a.setHeader(h)
	return &http.Response{
		Status:        http.StatusText(a.status),
		StatusCode:    a.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        h,
		Body:          io.NopCloser(bytes.NewReader(body)),
		ContentLength: int64(len(body)),
		Request:       req,
	}
}
