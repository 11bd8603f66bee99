package otelsluice

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Limits of SQS for what is sent ("Message quotas", developer guide).
const (
	maxAttributes = 10      // of a message
	maxBytes      = 1 << 20 // of a message, and of a batch: bodies and attributes
)

// Inject puts the span of ctx into a message that is to be sent, so that its consumer can continue
// the trace. It adds attributes of the global propagator, or of W3C if there is none, and the system
// attribute AWSTraceHeader. The latter has room in each message.
//
// It adds attributes only as far as SQS takes them, ten and 1 MiB a message, traceparent first. It
// leaves out what is longer than 8,192 bytes. A message that has a context already keeps it: nothing
// is added then, nor if ctx has no span. Maps of the caller are not written to.
func Inject(ctx context.Context, in *sqs.SendMessageInput) {
	room := maxBytes - len(text(in.MessageBody)) - sizeOf(in.MessageAttributes)
	in.MessageAttributes, in.MessageSystemAttributes, _ = inject(ctx, in.MessageAttributes, in.MessageSystemAttributes, room)
}

// InjectBatch is [Inject] for each entry of a batch. The slice of entries is replaced by a copy.
func InjectBatch(ctx context.Context, in *sqs.SendMessageBatchInput) {
	room := maxBytes
	for _, e := range in.Entries {
		room -= len(text(e.MessageBody)) + sizeOf(e.MessageAttributes)
	}
	in.Entries = slices.Clone(in.Entries)
	for i := range in.Entries {
		e := &in.Entries[i]
		e.MessageAttributes, e.MessageSystemAttributes, room = inject(ctx, e.MessageAttributes, e.MessageSystemAttributes, room)
	}
}

type (
	attributes       = map[string]types.MessageAttributeValue
	systemAttributes = map[string]types.MessageSystemAttributeValue
)

// inject returns attributes with the context of ctx, and how many bytes of the room are left.
func inject(ctx context.Context, own attributes, system systemAttributes, room int) (attributes, systemAttributes, int) {
	span := trace.SpanContextFromContext(ctx)
	if !span.IsValid() {
		return own, system, room
	}
	from := propagator(nil)
	for _, field := range from.Fields() {
		if _, has := own[field]; has {
			return own, system, room
		}
	}
	if _, has := system[traceHeader]; has {
		return own, system, room
	}

	sent := propagation.MapCarrier{}
	from.Inject(ctx, sent)
	added := make(attributes, len(own)+len(sent))
	maps.Copy(added, own)
	for _, field := range inOrder(sent) {
		value := sent[field]
		if !isSendable(value) {
			continue
		}
		size := len(field) + len(stringType) + len(value)
		if len(added) >= maxAttributes || size > room {
			break // the others say nothing without this one
		}
		room -= size
		added[field] = types.MessageAttributeValue{DataType: new(stringType), StringValue: &value}
	}

	withTrace := make(systemAttributes, len(system)+1)
	maps.Copy(withTrace, system)
	withTrace[traceHeader] = types.MessageSystemAttributeValue{DataType: new(stringType), StringValue: new(printTraceHeader(span))}
	return added, withTrace, room
}

const stringType = "String"

// inOrder returns the fields of a context, those first without which the others say nothing.
func inOrder(sent propagation.MapCarrier) []string {
	rank := func(field string) int {
		switch field {
		case "traceparent":
			return 0
		case "baggage":
			return 2
		default:
			return 1
		}
	}
	return slices.SortedFunc(maps.Keys(sent), func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
	})
}

// isSendable reports whether SQS takes value as a String: telemetry must not make a send fail.
func isSendable(value string) bool {
	return value != "" && len(value) <= maxField && utf8.ValidString(value) && !strings.ContainsFunc(value, func(r rune) bool {
		return r < ' ' && r != '\t' || r == 0xFFFE || r == 0xFFFF
	})
}

// sizeOf returns the bytes of attributes that count towards SQS's limits.
func sizeOf(own attributes) (n int) {
	for name, a := range own {
		n += len(name) + len(text(a.DataType)) + len(text(a.StringValue)) + len(a.BinaryValue)
	}
	return n
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
