package wire

import (
	"context"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go/middleware"
)

// A Direct makes calls of an SDK's client without that client: the shortcut at its
// shortest, which saves also the building of the middleware that is not used. nil
// makes none.
type Direct struct {
	like   *call
	values [unknown]context.Context // only their values are used
}

// Direct returns one for the client whose calls are made with o, which has been
// fitted; nil if there is no shortcut for it.
func (*Shortcut) Direct(o *sqs.Options) *Direct {
	c, ok := o.HTTPClient.(*call)
	if !ok {
		return nil
	}
	return &Direct{c, [unknown]context.Context{
		receives: valuesOf(o, receives), deletes: valuesOf(o, deletes), changes: valuesOf(o, changes),
	}}
}

// valuesOf returns a context with what the SDK's client tells, by its contexts, whoever
// makes its requests or gives its credentials.
func valuesOf(o *sqs.Options, op operation) context.Context {
	ctx := middleware.WithServiceID(context.Background(), sqs.ServiceID)
	ctx = middleware.WithOperationName(ctx, op.name())
	ctx = middleware.SetLogger(ctx, o.Logger)
	ctx = awsmiddleware.SetServiceID(ctx, sqs.ServiceID)
	if o.Region != "" {
		ctx = awsmiddleware.SetRegion(ctx, o.Region)
	}
	return awsmiddleware.SetOperationName(ctx, op.name())
}

// A telling is a context with the values of another, and its own where that has none.
type telling struct {
	context.Context //nolint:containedctx // it is one
	values          context.Context
}

func (t telling) Value(key any) any {
	if v := t.values.Value(key); v != nil {
		return v
	}
	return t.Context.Value(key)
}

// A Trip is a call that a Direct has tried to make.
type Trip struct {
	Result any // nil: the client is to make the call, with the option End
	call   *call
}

// Go makes the call that in is the input of, if it can.
func (d *Direct) Go(ctx context.Context, in any) Trip {
	op := operationOf(in)
	if d == nil || op == unknown {
		return Trip{}
	}
	c := &call{shortcut: d.like.shortcut, options: d.like.options, direct: d.like.direct, provider: d.like.provider, op: op, in: in}
	return Trip{c.pass(telling{ctx, d.values[op]}), c}
}

// End lets the client's own request end as that of the trip has ended, if it was made or
// there were no credentials to make it with.
func (t Trip) End(o *sqs.Options) {
	if t.call != nil && t.call.over() {
		o.HTTPClient, o.Credentials = t.call, t.call
	}
}

// Drop lets go of what the client has not made use of.
func (t Trip) Drop() {
	if t.call != nil {
		t.call.drop()
	}
}
