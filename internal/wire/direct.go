package wire

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// A Direct makes calls of an SDK's client without that client: the shortcut at its
// shortest, which saves also the building of the middleware that is not used. nil
// makes none.
type Direct struct{ like *call }

// Direct returns one for the client whose calls are made with o, which has been
// fitted; nil if there is no shortcut for it.
func (*Shortcut) Direct(o *sqs.Options) *Direct {
	if c, ok := o.HTTPClient.(*call); ok {
		return &Direct{c}
	}
	return nil
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
	c := &call{shortcut: d.like.shortcut, options: d.like.options, direct: d.like.direct, op: op, in: in}
	return Trip{c.pass(ctx), c}
}

// End lets the client's own request end as that of the trip has ended, if it was made.
func (t Trip) End(o *sqs.Options) {
	if t.call != nil && t.call.ended {
		o.HTTPClient = t.call
	}
}

// Drop lets go of what the client has not made use of.
func (t Trip) Drop() {
	if t.call != nil {
		t.call.drop()
	}
}
