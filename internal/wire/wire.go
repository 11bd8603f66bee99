// Package wire makes the calls that a busy consumer makes all the time, receives,
// deletes and changes of visibility, as the SDK does, at less than half of its cost.
//
// It does that in three steps, of which each is taken only where the one before it
// can be. Answers are read into the same values as the SDK's, with a tenth of its
// allocations: see [Fit]. Calls go past the SDK's middleware, which a client that
// nobody has added anything to runs through for nothing: see [Shortcut]. And where
// such a client is not wrapped in another one, they go past the client: see [Direct].
//
// It knows the form that SQS gives its answers, and the requests that the SDK makes
// of such a client, and nothing else: whatever is in any way different is left to
// the SDK, which then sees the very same bytes. So nothing depends on what this
// package does not know: errors, other protocols, fields that SQS may add one day,
// middleware that a later SDK has.
package wire

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/aws/smithy-go/transport/http/protocol/awsjson"
)

const contentType = "application/x-amz-json-1.0"

// Fit lets the call that o is for read its answer with this package. A protocol
// that is not the SDK's own is left as it is.
func Fit(o *sqs.Options) {
	if own, ok := o.Protocol.(*awsjson.Protocol); ok && own != nil && own.ID().Name == "awsJson1_0" {
		o.Protocol = protocol{own}
	}
}

// A protocol is the SDK's with this package's decoder.
type protocol struct{ *awsjson.Protocol }

func (p protocol) DeserializeResponse(ctx context.Context, schema *smithy.OperationSchema, registry *smithy.TypeRegistry, resp *smithyhttp.Response, out smithy.Deserializable) error {
	if read(resp.Response, out, false) { // digests have middleware of their own
		return nil
	}
	return p.Protocol.DeserializeResponse(ctx, schema, registry, resp, out)
}

// A workshop is what decoding needs and does not keep.
type workshop struct {
	answer bytes.Buffer
	decoder
}

var workshops = sync.Pool{New: func() any { return new(workshop) }}

// most is the largest buffer, in bytes, that is kept for another answer.
const most = 1 << 20

// read decodes the body of an answer into out, and reports whether it could. If not, the
// answer has its body again, to the error that ended it. check reports whether bodies of
// messages must have the digests that come with them.
func read(answer *http.Response, out smithy.Deserializable, check bool) bool {
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != contentType || !known(out) {
		return false
	}
	w, _ := workshops.Get().(*workshop) // nothing else is put there
	defer w.tidy()
	w.check = check
	body := answer.Body
	_, err := w.answer.ReadFrom(body)
	if err == nil && w.decode(w.answer.Bytes(), out) {
		return true
	}
	answer.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(bytes.Clone(w.answer.Bytes())), failing{err}), body}
	return false
}

// tidy gives w back for another answer.
func (w *workshop) tidy() {
	if w.answer.Cap()+cap(w.plain)+cap(w.texts) > most {
		return
	}
	w.answer.Reset()
	workshops.Put(w)
}

// failing is the end of a body: the error that ended it, if there was one.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) {
	if f.err == nil {
		return 0, io.EOF
	}
	return 0, f.err
}

func known(out smithy.Deserializable) bool {
	switch out.(type) {
	case *sqs.ReceiveMessageOutput, *sqs.DeleteMessageBatchOutput, *sqs.ChangeMessageVisibilityBatchOutput:
		return true
	}
	return false
}
