package sqstest

import "context"

// traceHeader is the header of a send that says which X-Ray trace its messages belong to ("Amazon SQS
// and AWS X-Ray", X-Ray developer guide).
const traceHeader = "X-Amzn-Trace-Id"

type traceHeaderKey struct{}

// withTraceHeader gives a send called with the returned context the trace header of its request. A
// value that could not be an attribute is none.
func withTraceHeader(ctx context.Context, value string) context.Context {
	if value == "" || !validText(value) {
		return ctx
	}
	return context.WithValue(ctx, traceHeaderKey{}, value)
}

func traceHeaderOf(ctx context.Context) string {
	value, _ := ctx.Value(traceHeaderKey{}).(string)
	return value
}
