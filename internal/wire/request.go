package wire

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	smithyrand "github.com/aws/smithy-go/rand"
)

// An example is what the requests of an operation have in common.
type example struct {
	made            setup
	url             url.URL
	host            string
	header          map[string]string // but for those that differ from call to call
	service, region string            // that signatures are for
}

// A setup is what the address and the constant headers of requests depend on.
type setup struct {
	region, resolved, base, app string
	dualStack, fips             int
	plainHTTP                   bool
}

func setupOf(o *sqs.Options) setup {
	return setup{
		region: o.Region, resolved: o.EndpointOptions.ResolvedRegion, base: aws.ToString(o.BaseEndpoint), app: o.AppID,
		dualStack: int(o.EndpointOptions.UseDualStackEndpoint), fips: int(o.EndpointOptions.UseFIPSEndpoint), plainHTTP: o.EndpointOptions.DisableHTTPS,
	}
}

// Headers that differ from call to call.
const (
	headerID        = "Amz-Sdk-Invocation-Id"
	headerAttempt   = "Amz-Sdk-Request"
	headerSignature = "Authorization"
	headerDate      = "X-Amz-Date"
	headerToken     = "X-Amz-Security-Token" //nolint:gosec // a header's name
)

// varying are headers that each request has anew.
var varying = []string{headerID, headerAttempt, headerSignature, headerDate, headerToken}

// constant are headers that all requests of an operation share. One with any other is
// no example.
var constant = []string{"Content-Type", "User-Agent", "X-Amz-Target", "X-Amzn-Query-Mode"}

// onlyAttempt is how the SDK counts attempts where there is one. It adds the time of the
// call's deadline, if it knows that SQS's clock is ahead of ours, after untilWhen.
const (
	onlyAttempt = "attempt=1; max=1"
	untilWhen   = "; ttl="
)

const dateForm = "20060102T150405Z"

// exampleOf takes from a request of the SDK what others have in common with it.
func exampleOf(r *http.Request, made setup) (e *example, ok bool) {
	e = &example{made: made, url: *r.URL, host: r.Host, header: map[string]string{}}
	for name, values := range r.Header {
		switch {
		case slices.Contains(varying, name):
		case slices.Contains(constant, name) && len(values) == 1:
			e.header[name] = values[0]
		default:
			return nil, false
		}
	}
	// AWS4-HMAC-SHA256 Credential=<key>/<day>/<region>/<service>/aws4_request, ...
	scope, _, _ := strings.Cut(r.Header.Get(headerSignature), ",")
	parts := strings.Split(scope, "/")
	attempt, _, _ := strings.Cut(r.Header.Get(headerAttempt), untilWhen)
	if len(parts) != 5 || attempt != onlyAttempt || r.URL.User != nil || r.URL.RawQuery != "" {
		return nil, false
	}
	e.region, e.service = parts[2], parts[3]
	return e, true
}

// A signature is what a request is signed with.
type signature struct {
	signer      sqs.HTTPSignerV4
	credentials aws.Credentials
	at          time.Time
	id, attempt string // of the call
}

// plainly is how the SDK lets its signer sign, whatever that was made to do.
var plainly = []func(*v4.SignerOptions){func(o *v4.SignerOptions) { o.DisableURIPathEscaping, o.LogSigning = false, false }}

// request makes a request with a body.
func (e *example) request(ctx context.Context, body []byte, by signature) (*http.Request, error) {
	address := e.url // the signer writes into it
	header := make(http.Header, len(e.header)+len(varying))
	values := make([]string, 0, len(e.header)+2) // the place of all, and the request's own: clients write into requests
	set := func(name, value string) {
		values = append(values, value)
		header[name] = values[len(values)-1 : len(values) : len(values)]
	}
	for name, value := range e.header {
		set(name, value)
	}
	set(headerID, by.id)
	set(headerAttempt, by.attempt)
	r := (&http.Request{
		Method: http.MethodPost, URL: &address, Host: e.host, Header: header, ContentLength: int64(len(body)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(ctx)
	SetBody(r, body)
	sum := sha256.Sum256(body)
	return r, by.signer.SignHTTP(ctx, by.credentials, r, hex.EncodeToString(sum[:]), e.service, e.region, by.at, plainly...)
}

// like reports whether a request after the example is the same as theirs.
func (e *example) like(theirs *http.Request, body []byte, signer sqs.HTTPSignerV4, credentials aws.Credentials) bool {
	at, err := time.Parse(dateForm, theirs.Header.Get(headerDate))
	if err != nil {
		return false
	}
	ours, err := e.request(theirs.Context(), body, signature{signer, credentials, at, theirs.Header.Get(headerID), theirs.Header.Get(headerAttempt)})
	return err == nil && ours.Method == theirs.Method && ours.URL.String() == theirs.URL.String() && ours.Host == theirs.Host &&
		ours.ContentLength == theirs.ContentLength && maps.EqualFunc(ours.Header, theirs.Header, slices.Equal)
}

// newID makes the id of a call, as the SDK does.
func newID() string {
	id, _ := smithyrand.NewUUID(rand.Reader).GetUUID() // that reader never fails
	return id
}
