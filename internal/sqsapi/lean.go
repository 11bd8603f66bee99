package sqsapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/schemas"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/encoding/httpbinding"
	"github.com/aws/smithy-go/metrics"
	"github.com/aws/smithy-go/middleware"
	"github.com/aws/smithy-go/tracing"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/aws/smithy-go/transport/http/protocol/awsjson"

	"github.com/sluice-go/sluice/internal/http1"
)

// A Lean makes the calls that a busy consumer makes all the time: receives, deletes and
// changes of visibility. It makes the requests that the SDK makes, to the byte, without the
// SDK's middleware: that is built anew for each call, and costs more than all else in a
// consumer. A test compares the two.
//
// What the client is set up with is used: its credentials, region, endpoint and HTTP
// client. In place of the SDK's HTTP client stands an [http1.Client], which does as that does,
// where it can. Answers that are no messages, such as errors, are read by the client's protocol.
// See [NewLean] for clients that a Lean stands in for. All methods may be called
// concurrently.
type Lean struct {
	options sqs.Options
	client  sqs.HTTPClient       // the client's, behind a wrapper
	check   bool                 // bodies must have the digests that came with them
	stock   bool                 // nothing of the user's sees the contexts of calls that succeed, as far as options tell
	direct  *http1.Client        // makes requests in the client's stead, as far as it can; nil: the client makes all
	date    atomic.Pointer[date] // of the newest answer that had another one than those before; nil: none
	skew    atomic.Int64         // of SQS's clock against ours, in nanoseconds; as the SDK measures it

	request *http.Request // what all requests have in common
	url     *url.URL
	agent   string // the User-Agent
	scope   scope
	signers sync.Pool

	indirect string // why there is no direct

	receives, deletes, changes operation
}

// An operation is one of the calls.
type operation struct {
	name, target string
	schema       *smithy.OperationSchema
	values       context.Context //nolint:containedctx // what the SDK tells in contexts to HTTP clients and credentials providers
}

// NewLean returns a Lean that stands in for client. It returns an error that says why there
// is none if client is not the SDK's, or if it has anything of the user's between a call and
// its request or answer: middleware, interceptors, logging, tracing, metrics, a protocol, a
// signer, auth schemes or an endpoint resolver. Public options alone tell. A signer of the
// SDK's type counts as the SDK's.
func NewLean(client Client) (*Lean, error) {
	sdk, ok := client.(*sqs.Client)
	if !ok || sdk == nil {
		return nil, fmt.Errorf("the client is a %T", client)
	}
	l := &Lean{options: sdk.Options()}
	if why := notPlain(&l.options); why != "" {
		return nil, fmt.Errorf("the client has %s", why)
	}
	new(options).single(&l.options)
	l.client, l.check = l.options.HTTPClient, !l.options.DisableMessageChecksumValidation
	l.stock = stockClient(l.client) && stockCredentials(l.options.Credentials)
	l.signers.New = func() any { return new(signer) }
	l.receives = l.operation(OpReceive, schemas.ReceiveMessage, schemas.ReceiveMessageRequest, schemas.ReceiveMessageResult)
	l.deletes = l.operation(OpDelete, schemas.DeleteMessageBatch, schemas.DeleteMessageBatchRequest, schemas.DeleteMessageBatchResult)
	l.changes = l.operation(OpChange, schemas.ChangeMessageVisibilityBatch, schemas.ChangeMessageVisibilityBatchRequest, schemas.ChangeMessageVisibilityBatchResult)
	if err := l.learn(sdk); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *Lean) operation(name string, op, in, out *smithy.Schema) operation {
	ctx := middleware.WithServiceID(context.Background(), sqs.ServiceID)
	ctx = middleware.WithOperationName(ctx, name)
	ctx = middleware.SetLogger(ctx, l.options.Logger)
	ctx = awsmiddleware.SetServiceID(ctx, sqs.ServiceID)
	ctx = awsmiddleware.SetRegion(ctx, l.options.Region)
	ctx = awsmiddleware.SetOperationName(ctx, name)
	return operation{name: name, target: "AmazonSQS." + name, schema: smithy.NewOperationSchema(op, in, out), values: ctx}
}

// notPlain returns what a client has that a Lean would pass by; "": nothing.
func notPlain(o *sqs.Options) string {
	own := stock()
	protocol, _ := o.Protocol.(*awsjson.Protocol)
	_, signs := o.HTTPSignerV4.(*v4.Signer)
	switch {
	case len(o.APIOptions) > 0:
		return "middleware (APIOptions)"
	case intercepted(&o.Interceptors):
		return "interceptors"
	case o.ClientLogMode != 0:
		return "a ClientLogMode"
	case !same(o.TracerProvider, &tracing.NopTracerProvider{}):
		return "a TracerProvider"
	case !same(o.MeterProvider, metrics.NopMeterProvider{}):
		return "a MeterProvider"
	case protocol == nil || protocol.ID() != own.Protocol.ID():
		return "a Protocol of its own"
	case !signs:
		return "an HTTPSignerV4 of its own"
	case len(o.AuthSchemes) != 1 || !same(o.AuthSchemes[0], own.AuthSchemes[0]) || o.AuthSchemes[0].SchemeID() != own.AuthSchemes[0].SchemeID():
		return "AuthSchemes of its own"
	case !same(o.AuthSchemeResolver, own.AuthSchemeResolver), len(o.AuthSchemePreference) > 0:
		return "an AuthSchemeResolver or AuthSchemePreference of its own"
	case o.EndpointResolver != nil, !same(o.EndpointResolverV2, own.EndpointResolverV2): //nolint:staticcheck // deprecated, and still obeyed
		return "an EndpointResolver of its own"
	case o.Credentials == nil:
		return "no credentials"
	case o.HTTPClient == nil:
		return "no HTTPClient"
	}
	return ""
}

// stock is what a client is like that nobody has set up.
var stock = sync.OnceValue(func() sqs.Options { return sqs.New(sqs.Options{}).Options() })

func same(part, theirs any) bool { return reflect.TypeOf(part) == reflect.TypeOf(theirs) }

// stockClient reports whether a client behind a wrapper is the SDK's or net/http's, and shows no
// context of a request to code of the user's. What dials sees others. A RoundTripper that was
// registered with a transport cannot be seen from outside, and is not looked for.
func stockClient(client sqs.HTTPClient) bool {
	w, _ := client.(*wrapper)
	if w == nil {
		return false
	}
	switch c := w.inner.(type) {
	case *awshttp.BuildableClient:
		return http1.FindsProxiesAsUsual(c.GetTransport())
	case *http.Client:
		if c == nil || c.CheckRedirect != nil {
			return false
		}
		transport, ok := c.Transport.(*http.Transport)
		return ok && transport != nil && http1.FindsProxiesAsUsual(transport)
	default:
		return false
	}
}

// stockCredentials reports whether a provider is the SDK's cache, as that of a loaded configuration
// is. It shows the provider behind it a context that never ends.
func stockCredentials(provider aws.CredentialsProvider) bool {
	_, ok := provider.(*aws.CredentialsCache)
	return ok
}

// intercepted reports whether there are interceptors, of any kind.
func intercepted(i *smithyhttp.InterceptorRegistry) bool {
	return len(i.BeforeExecution)+len(i.BeforeSerialization)+len(i.AfterSerialization)+len(i.BeforeRetryLoop)+len(i.BeforeAttempt)+
		len(i.BeforeSigning)+len(i.AfterSigning)+len(i.BeforeTransmit)+len(i.AfterTransmit)+
		len(i.BeforeDeserialization)+len(i.AfterDeserialization)+len(i.AfterAttempt)+len(i.AfterExecution) > 0
}

// learn fills in what all requests of a client have in common and no option says: the
// address that the SDK's rules make of region and options, and the User-Agent with the SDK's
// versions. The SDK writes a request for that, which is not sent.
func (l *Lean) learn(sdk *sqs.Client) (err error) {
	defer guard(&err) // a credentials provider may panic when it is asked for its sources
	var written *http.Request
	_, err = sdk.ReceiveMessage(context.Background(), &sqs.ReceiveMessageInput{QueueUrl: new("unsent")}, new(options).single, func(o *sqs.Options) {
		o.Credentials = unsent{o.Credentials}
		o.HTTPClient = doFunc(func(r *http.Request) (*http.Response, error) {
			written = r
			return nil, errUnsent
		})
	})
	if written == nil {
		return fmt.Errorf("the client makes no request: %w", err)
	}
	for name := range written.Header {
		if !slices.Contains(headers, name) {
			return fmt.Errorf("the client's requests have a header that is not known here: %s", name)
		}
	}
	// AWS4-HMAC-SHA256 Credential=<key>/<day>/<region>/<service>/aws4_request, ...
	credential, _, _ := strings.Cut(written.Header.Get(headerSignature), ",")
	parts := strings.Split(credential, "/")
	if len(parts) != 5 {
		return errors.New("the client's signatures are of another kind")
	}
	address := *written.URL
	l.url, l.agent = &address, written.Header.Get("User-Agent")
	l.scope = scope{
		region: parts[2], service: parts[3], host: address.Host, path: httpbinding.EscapePath(address.EscapedPath(), false),
	}
	if written.Host != "" {
		l.scope.host = written.Host
	}
	l.request = &http.Request{Method: http.MethodPost, Host: written.Host}
	var why error
	if l.direct, why = newDirect(l.client, written); why != nil {
		l.indirect = why.Error()
	}
	return nil
}

// newDirect returns what makes requests like pattern in the stead of a client behind a wrapper, on
// connections of its own that are like the client's. The error says why there is nothing. A
// client of net/http's type is the user's, and so are its connections.
func newDirect(client sqs.HTTPClient, pattern *http.Request) (*http1.Client, error) {
	built, ok := Inner(client).(*awshttp.BuildableClient)
	if !ok || built == nil {
		return nil, fmt.Errorf("the HTTP client is a %T", Inner(client))
	}
	if built.GetTimeout() != 0 {
		return nil, errors.New("the HTTP client has a timeout")
	}
	if silence, _ := built.GetReadTimeout(); silence != 0 {
		return nil, errors.New("the HTTP client has a read timeout")
	}
	return http1.New(built.GetTransport(), pattern)
}

// Transport says how requests are made: "lean", or "lean: " and why they go through net/http.
func (l *Lean) Transport() string {
	why := l.indirect
	if l.direct != nil {
		why = l.direct.Left()
	}
	if why == "" {
		return "lean"
	}
	return "lean: through net/http, since " + why
}

// errUnsent is the error of requests that are not sent.
var errUnsent = errors.New("not sent")

type doFunc func(*http.Request) (*http.Response, error)

func (f doFunc) Do(r *http.Request) (*http.Response, error) { return f(r) }

// unsent are the credentials of a request that is not sent. The User-Agent names the sources
// of the client's own.
type unsent struct{ provider aws.CredentialsProvider }

func (unsent) Retrieve(context.Context) (aws.Credentials, error) {
	const made = "made-for-a-request-that-is-not-sent" // FIPS 140 wants 14 bytes of a key
	return aws.Credentials{AccessKeyID: made, SecretAccessKey: made}, nil
}

// ProviderSources returns where the client's credentials come from.
func (u unsent) ProviderSources() []aws.CredentialSource {
	if from, ok := u.provider.(aws.CredentialProviderSource); ok {
		return from.ProviderSources()
	}
	return nil
}
