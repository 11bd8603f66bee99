package wire

import (
	"bytes"
	"context"
	"io"
	"net/http"
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
	if o.HTTPClient == nil || len(o.APIOptions) > 0 || !usual(o) {
		return
	}
	c := &call{shortcut: s, options: o, direct: client, theirs: o.HTTPClient, provider: o.Credentials}
	o.HTTPClient, o.Credentials = c, c
	o.APIOptions = append(o.APIOptions, c.join)
	o.EndpointOptions.LogDeprecated = true // until there is a call: see join
}

// A call is one call of the SDK's client. It is the first of its middleware, the HTTP
// client that the last of it uses, and gives the credentials.
type call struct {
	shortcut *Shortcut
	options  *sqs.Options
	direct   sqs.HTTPClient // for the shortcut
	theirs   sqs.HTTPClient // for the SDK
	provider aws.CredentialsProvider
	stack    *middleware.Stack
	op       operation
	in       any

	lessons     bool            // the SDK's request is to be an example
	credentials aws.Credentials // of the shortcut's request
	denied      error           // why there are none
	ended       bool            // the shortcut's request has ended like this:
	answer      *http.Response
	err         error
}

const shortcutID = "Shortcut"

// join joins a call's middleware, if the options that it was fitted to are the call's.
// They could be those of a new client, all of whose calls have their own: then the SDK
// has not made, of a copy's LogDeprecated and not of this one, what the log mode tells.
func (c *call) join(stack *middleware.Stack) error {
	if c.options.EndpointOptions.LogDeprecated {
		return nil
	}
	c.stack = stack
	return stack.Initialize.Add(c, middleware.Before)
}

// ID names the shortcut in the stack.
func (*call) ID() string { return shortcutID }

// HandleInitialize makes the call, or lets the SDK do it.
func (c *call) HandleInitialize(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (out middleware.InitializeOutput, metadata middleware.Metadata, err error) {
	c.in, c.op = in.Parameters, operationOf(in.Parameters)
	if c.op != unknown && c.alone() {
		if out.Result = c.pass(ctx); out.Result != nil {
			return out, c.metadata(ctx), nil
		}
		defer c.drop()
	}
	if client, ok := c.options.HTTPClient.(*call); ok && client.over() { // this call, or that of a Trip
		ctx = uncut{ctx, client}
	}
	return next.HandleInitialize(ctx, in)
}

// alone reports whether nothing was added to the call after it was fitted: options that
// come later may be another's.
func (c *call) alone() bool {
	return c.options.HTTPClient == c && c.options.Credentials == c && len(c.options.APIOptions) == 1 &&
		usual(c.options) && unchanged(c.stack)
}

// over reports whether all that is left to do is to let the SDK know the call's end.
func (c *call) over() bool { return c.ended || c.denied != nil }

// An uncut is the context of a call that is over. Until the SDK knows how, it is not done:
// otherwise the SDK would report that the context is, and not what became of the call.
// Nothing waits for it meanwhile, since it is the call that gives the credentials.
type uncut struct {
	context.Context //nolint:containedctx // it is one
	call            *call
}

func (u uncut) Done() <-chan struct{} {
	if u.call.over() {
		return nil
	}
	return u.Context.Done()
}

func (u uncut) Err() error {
	if u.call.over() {
		return nil
	}
	return u.Context.Err()
}

// metadata is what the SDK's middleware tells of the answer.
func (c *call) metadata(ctx context.Context) middleware.Metadata {
	answered := middleware.DeserializeHandlerFunc(func(context.Context, middleware.DeserializeInput) (middleware.DeserializeOutput, middleware.Metadata, error) {
		return middleware.DeserializeOutput{RawResponse: &smithyhttp.Response{Response: c.answer}}, middleware.Metadata{}, nil
	})
	timed := middleware.DeserializeHandlerFunc(func(ctx context.Context, in middleware.DeserializeInput) (middleware.DeserializeOutput, middleware.Metadata, error) {
		return awsmiddleware.RecordResponseTiming{DisableClockSkewCorrection: c.options.DisableClockSkewCorrection}.HandleDeserialize(ctx, in, answered)
	})
	named := middleware.DeserializeHandlerFunc(func(ctx context.Context, in middleware.DeserializeInput) (middleware.DeserializeOutput, middleware.Metadata, error) {
		return new(awsmiddleware.RequestIDRetriever).HandleDeserialize(ctx, in, timed)
	})
	_, metadata, _ := awsmiddleware.AddRawResponse{}.HandleDeserialize(ctx, middleware.DeserializeInput{}, named) // they add no error
	return metadata
}

// pass makes the call and returns its result; nil: it is for the SDK to end it, or to
// make it.
func (c *call) pass(ctx context.Context) any {
	if ctx.Err() != nil || invoked() { // the SDK sends nothing, or something that is new each time
		return nil
	}
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
	body, ok := encode(c.in)
	if !ok {
		return nil, false
	}
	c.credentials, c.denied = c.options.Credentials.Retrieve(ctx)
	if c.denied != nil {
		return nil, false
	}
	r, err := e.request(ctx, body, signature{
		signer: c.options.HTTPSignerV4, credentials: c.credentials, at: time.Now(), id: newID(), attempt: onlyAttempt,
	})
	return r, err == nil
}

// Retrieve gives the SDK the call's credentials: those that it was made with, if it was.
func (c *call) Retrieve(ctx context.Context) (aws.Credentials, error) {
	if c.over() {
		return c.credentials, c.denied
	}
	return c.provider.Retrieve(ctx)
}

// ProviderSources tells where credentials come from, which is in the SDK's User-Agent.
func (c *call) ProviderSources() []aws.CredentialSource {
	if from, ok := c.provider.(aws.CredentialProviderSource); ok {
		return from.ProviderSources()
	}
	return nil
}

// read reads the answer to the shortcut's request if it is a good one; nil: it is not.
func (c *call) read() any {
	if c.err != nil || c.answer == nil || c.answer.Body == nil {
		return nil
	}
	out, body := c.op.output(), c.answer.Body
	if !read(c.answer, out, !c.options.DisableMessageChecksumValidation) {
		return nil
	}
	_ = body.Close() // it is read
	c.look(c.answer)
	return out
}

// drop closes an answer that the SDK has not asked for.
func (c *call) drop() {
	if c.ended && c.answer != nil && c.answer.Body != nil {
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
	if err == nil && answer != nil && answer.StatusCode == http.StatusOK && c.look(answer) && e != nil {
		c.shortcut.examples[c.op].Store(e)
	}
	return answer, err
}

// most that SQS's clock may differ from ours. It takes signatures that are up to a
// quarter of an hour off; the SDK signs with SQS's time as soon as it knows that, the
// shortcut always with ours.
const mostSkew = time.Minute

// look looks at the clock of an answer, and reports whether ours is right.
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

// name is SQS's.
func (op operation) name() string {
	return [...]string{receives: "ReceiveMessage", deletes: "DeleteMessageBatch", changes: "ChangeMessageVisibilityBatch"}[op]
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
