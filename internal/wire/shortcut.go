package wire

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// A Shortcut makes calls without most of the SDK's middleware, which takes more of
// the processor than anything else in a busy consumer.
//
// It goes by example. The first call of an operation is the SDK's. Its request is
// then made once more, by the shortcut, and the two are compared: method, address,
// headers, signature and body. Only when they are the same does the shortcut make
// such requests, for as long as the client is set up as it was. Only a client that
// is as the SDK makes it is considered: one with middleware or interceptors of the
// user's, with tracing, metrics or logging, with a protocol, signer or resolver
// that is not the SDK's makes all its calls by itself.
//
// And it is only for calls that succeed. Any other end, be it an error of SQS, of
// the network, or an answer that cannot be read, is given to the SDK's middleware as
// the end of its own request, to make of it what it makes of such an end.
//
// The zero value is ready for use by many goroutines.
type Shortcut struct {
	examples [unknown]atomic.Pointer[example]
	unlike   [unknown]atomic.Int32 // requests that were not the same
}

// patience is how many requests may differ from the SDK's until there is no more
// trying: credentials may change just between the two.
const patience = 3

// Fit lets the call that o is for go the shortcut, if there is one for it. client
// makes the shortcut's requests.
func (s *Shortcut) Fit(o *sqs.Options, client sqs.HTTPClient) {
	if o.HTTPClient == nil || !usual(o) {
		return
	}
	c := &call{shortcut: s, options: o, direct: client, theirs: o.HTTPClient}
	o.HTTPClient = c
	o.APIOptions = append(o.APIOptions, c.join)
}

// stock is what a client is like that nobody has set up.
var stock = sync.OnceValue(func() sqs.Options { return sqs.New(sqs.Options{}).Options() })

// usual tells whether a client is the SDK's own in all its parts.
func usual(o *sqs.Options) bool {
	own := stock()
	same := func(part, theirs any) bool { return reflect.TypeOf(part) == reflect.TypeOf(theirs) }
	_, once := o.Retryer.(aws.NopRetryer)
	_, fitted := o.Protocol.(protocol)
	return once && fitted && len(o.APIOptions) == 0 && o.ClientLogMode == 0 && o.Credentials != nil &&
		o.EndpointResolver == nil && //nolint:staticcheck // deprecated, and still obeyed
		same(o.EndpointResolverV2, own.EndpointResolverV2) && same(o.AuthSchemeResolver, own.AuthSchemeResolver) &&
		same(o.HTTPSignerV4, own.HTTPSignerV4) && same(o.TracerProvider, own.TracerProvider) && same(o.MeterProvider, own.MeterProvider) &&
		len(o.AuthSchemePreference) == 0 && uninterrupted(&o.Interceptors)
}

// uninterrupted tells whether there are no interceptors, of any kind.
func uninterrupted(i *smithyhttp.InterceptorRegistry) bool {
	kinds := reflect.ValueOf(i).Elem()
	for _, kind := range kinds.Fields() {
		if kind.Len() > 0 {
			return false
		}
	}
	return true
}

// steps are the SDK's middleware, by its names. Where there is anything else, be it the
// user's or a later version's, the shortcut is not taken.
var steps = [][]string{
	{"OperationInputValidation", "SQSValidateMessageChecksum"}, // the second one where it is not switched off, and for receives
	{"setOperationInput", "ResolveEndpoint", "OperationSerializer"},
	{"ClientRequestID", "UserAgent", "RecursionDetection"},
	{
		"InterceptBeforeRetryLoop", "Retry", "InterceptAttempt", "ResolveAuthScheme", "GetIdentity", "ResolveEndpointV2", "disableHTTPS",
		"ComputePayloadHash", "setLegacyContextSigningOptions", "Signing",
	},
	{
		"AddRawResponseToMetadata", "ResponseErrorWrapper", "RequestIDRetriever", "OperationDeserializer", "RecordResponseTiming",
		"RequestResponseLogger",
	},
}

// unchanged tells whether stack is the SDK's, with the shortcut.
func unchanged(stack *middleware.Stack) bool {
	for _, id := range stack.Initialize.List() {
		if id != shortcutID && !slices.Contains(steps[0], id) {
			return false
		}
	}
	return slices.Equal(stack.Serialize.List(), steps[1]) && slices.Equal(stack.Build.List(), steps[2]) &&
		slices.Equal(stack.Finalize.List(), steps[3]) && slices.Equal(stack.Deserialize.List(), steps[4])
}

// A call is one call of the SDK's client. It is the first of its middleware, and the
// HTTP client that the last of it uses.
type call struct {
	shortcut *Shortcut
	options  *sqs.Options
	direct   sqs.HTTPClient // for the shortcut
	theirs   sqs.HTTPClient // for the SDK
	stack    *middleware.Stack
	op       operation
	in       any

	lessons bool // the SDK's request is to be an example
	ended   bool // the shortcut's request has ended like this:
	answer  *http.Response
	err     error
}

const shortcutID = "Shortcut"

func (c *call) join(stack *middleware.Stack) error {
	c.stack = stack
	return stack.Initialize.Add(c, middleware.Before)
}

// ID names the shortcut in the stack.
func (*call) ID() string { return shortcutID }

// HandleInitialize makes the call, or lets the SDK do it.
func (c *call) HandleInitialize(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (out middleware.InitializeOutput, metadata middleware.Metadata, err error) {
	c.in, c.op = in.Parameters, operationOf(in.Parameters)
	if c.op == unknown || c.options.HTTPClient != c || !unchanged(c.stack) {
		return next.HandleInitialize(ctx, in)
	}
	if out.Result = c.pass(ctx); out.Result != nil {
		awsmiddleware.SetRequestIDMetadata(&metadata, c.answer.Header.Get("X-Amzn-Requestid"))
		return out, metadata, nil
	}
	defer c.drop()
	return next.HandleInitialize(ctx, in)
}

// pass makes the call and returns its result; nil: it is for the SDK to end it, or to
// make it.
func (c *call) pass(ctx context.Context) any {
	e := c.shortcut.examples[c.op].Load()
	if e == nil || e.made != setupOf(c.options) {
		c.lessons = c.shortcut.unlike[c.op].Load() < patience
		return nil
	}
	request, ok := c.request(ctx, e)
	if !ok {
		return nil
	}
	c.answer, c.err = c.direct.Do(request) //nolint:bodyclose // read, the SDK or drop closes it
	c.ended = true
	return c.read()
}

// request makes the request of the call after an example.
func (c *call) request(ctx context.Context, e *example) (r *http.Request, ok bool) {
	credentials, err := c.options.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, false
	}
	body, ok := encode(c.in)
	if !ok {
		return nil, false
	}
	r, err = e.request(ctx, body, signature{signer: c.options.HTTPSignerV4, credentials: credentials, at: time.Now(), id: newID()})
	return r, err == nil
}

// read reads the answer to the shortcut's request if it is a good one; nil: it is not.
func (c *call) read() any {
	if c.err != nil || c.answer.StatusCode != http.StatusOK || c.answer.Header.Get("Content-Type") != contentType {
		return nil
	}
	w, _ := workshops.Get().(*workshop) // nothing else is put there
	defer w.tidy()
	out := c.op.output()
	body := c.answer.Body
	_, err := w.answer.ReadFrom(body)
	w.check = !c.options.DisableMessageChecksumValidation
	if err == nil && w.decode(w.answer.Bytes(), out) {
		_ = body.Close() // it is read
		return out
	}
	c.answer.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(bytes.Clone(w.answer.Bytes())), failing{err}), body}
	return nil
}

// drop closes an answer that the SDK has not asked for.
func (c *call) drop() {
	if c.ended && c.answer != nil {
		_ = c.answer.Body.Close()
	}
}

// Do makes the SDK's request, or ends it as the shortcut's has ended.
func (c *call) Do(r *http.Request) (*http.Response, error) {
	if c.ended {
		c.ended = false
		c.look(c.answer)
		if c.answer != nil {
			c.answer.Request = r
		}
		return c.answer, c.err
	}
	if !c.lessons {
		return c.theirs.Do(r)
	}
	e := c.learn(r)
	answer, err := c.theirs.Do(r)
	if err == nil && answer.StatusCode == http.StatusOK && c.look(answer) && e != nil {
		c.shortcut.examples[c.op].Store(e)
	}
	return answer, err
}

// most that SQS's clock may differ from ours. It takes signatures that are up to a
// quarter of an hour off; the SDK signs with SQS's time as soon as it knows that, the
// shortcut always with ours.
const mostSkew = time.Minute

// look looks at the clock of an answer, and tells whether ours is right.
func (c *call) look(answer *http.Response) bool {
	if answer == nil {
		return true
	}
	theirs, err := http.ParseTime(answer.Header.Get("Date"))
	if err != nil || time.Since(theirs).Abs() < mostSkew {
		return true
	}
	c.shortcut.examples[c.op].Store(nil)
	return false
}

// learn makes an example of the SDK's request; nil: it is not one that the shortcut
// can make.
func (c *call) learn(r *http.Request) *example {
	var body []byte
	if r.Body != nil {
		var err error
		body, err = io.ReadAll(r.Body)
		_ = r.Body.Close() // it is read
		r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), failing{err}))
		if err != nil {
			return nil
		}
	}
	credentials, err := c.options.Credentials.Retrieve(r.Context())
	if err != nil {
		return nil
	}
	e, ok := exampleOf(r, setupOf(c.options))
	ours, encoded := encode(c.in)
	if !ok || !encoded || !bytes.Equal(ours, body) || !e.like(r, body, c.options.HTTPSignerV4, credentials) {
		c.shortcut.unlike[c.op].Add(1)
		return nil
	}
	return e
}

// An operation is one that there is a shortcut for.
type operation int

const (
	receives operation = iota
	deletes
	changes
	unknown // and how many are known
)

func operationOf(in any) operation {
	switch in.(type) {
	case *sqs.ReceiveMessageInput:
		return receives
	case *sqs.DeleteMessageBatchInput:
		return deletes
	case *sqs.ChangeMessageVisibilityBatchInput:
		return changes
	}
	return unknown
}

// output makes a place for an answer.
func (op operation) output() smithy.Deserializable {
	switch op {
	case receives:
		return new(sqs.ReceiveMessageOutput)
	case deletes:
		return new(sqs.DeleteMessageBatchOutput)
	default:
		return new(sqs.ChangeMessageVisibilityBatchOutput)
	}
}
