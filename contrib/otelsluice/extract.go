package otelsluice

import (
	"context"
	"encoding/json"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-go/sluice"
)

// maxField is the longest value that is looked at, in bytes: as much as W3C allows a baggage. What
// is longer is not there.
const maxField = 8192

// traceHeader is the system attribute of X-Ray.
const traceHeader = string(types.MessageSystemAttributeNameAWSTraceHeader)

// An extractor finds the contexts that producers have sent.
type extractor struct {
	propagator propagation.TextMapPropagator
}

// extract returns ctx, which has no span, with what the producer of m has sent: its span, and more
// that the propagator knows.
func (x extractor) extract(ctx context.Context, m *sluice.Message) context.Context {
	if len(m.Attributes) > 0 {
		if ctx = x.propagator.Extract(ctx, carrier(m.Attributes)); hasSpan(ctx) {
			return ctx
		}
	}
	if fields := notified(m.Body, x.propagator.Fields); fields != nil {
		if ctx = x.propagator.Extract(ctx, fields); hasSpan(ctx) {
			return ctx
		}
	}
	if producer := parseTraceHeader(m.SystemAttributes[traceHeader]); producer.IsValid() {
		return trace.ContextWithRemoteSpanContext(ctx, producer)
	}
	return ctx
}

func hasSpan(ctx context.Context) bool { return trace.SpanContextFromContext(ctx).IsValid() }

// A carrier is the attributes of a message as a propagator reads them: those of the type String.
type carrier map[string]types.MessageAttributeValue

// Get returns the value of an attribute, or "".
func (c carrier) Get(name string) string {
	a, ok := c[name]
	if !ok || a.StringValue == nil || a.DataType == nil || len(*a.StringValue) > maxField || !strings.HasPrefix(*a.DataType, "String") {
		return ""
	}
	return *a.StringValue
}

// Set does nothing: a message that was received does not change.
func (carrier) Set(string, string) {}

// Keys returns the names of the attributes.
func (c carrier) Keys() []string { return slices.Collect(maps.Keys(c)) }

// notified returns the given fields in the MessageAttributes of a body that is an SNS notification.
// nil: there are none. SNS puts the attributes of a message there if raw delivery is off.
// The body is read once, and nothing but the fields is decoded.
func notified(body string, fields func() []string) propagation.MapCarrier {
	if !strings.Contains(body, `"MessageAttributes"`) || !strings.Contains(body, `"Notification"`) {
		return nil // most messages
	}
	var kind, topic, attributes string
	for name, value := range members(body) {
		switch name {
		case "Type":
			kind = unquote(value)
		case "TopicArn":
			topic = unquote(value)
		case "MessageAttributes":
			attributes = value
		}
	}
	if kind != "Notification" || topic == "" {
		return nil
	}
	var found propagation.MapCarrier
	wanted := fields()
	for name, attribute := range members(attributes) {
		if !slices.Contains(wanted, name) {
			continue
		}
		for member, value := range members(attribute) {
			if member != "Value" {
				continue
			}
			if found == nil {
				found = propagation.MapCarrier{}
			}
			found[name] = unquote(value)
		}
	}
	return found
}

// members returns the names and the values of a JSON object, both as they are written. Names that
// are not written plainly are left out. It ends where the text is not JSON.
func members(object string) iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		rest, ok := strings.CutPrefix(trim(object), "{")
		for ok {
			var name, value string
			if name, rest, ok = cutValue(trim(rest)); !ok || len(name) < 2 || name[0] != '"' {
				return
			}
			if rest, ok = strings.CutPrefix(trim(rest), ":"); !ok {
				return
			}
			if value, rest, ok = cutValue(trim(rest)); !ok {
				return
			}
			if plain := name[1 : len(name)-1]; !strings.Contains(plain, `\`) && !yield(plain, value) {
				return
			}
			rest, ok = strings.CutPrefix(trim(rest), ",")
		}
	}
}

func trim(text string) string { return strings.TrimLeft(text, " \t\r\n") }

// cutValue cuts text after the JSON value that it begins with. It finds where that ends, and does
// not look whether it is right.
func cutValue(text string) (value, rest string, ok bool) {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			end := endOfString(text[i+1:])
			if end < 0 {
				return "", "", false
			}
			i += 1 + end
		case '{', '[':
			depth++
			continue
		case '}', ']':
			if depth--; depth < 0 {
				return text[:i], text[i:], i > 0
			}
		case ',', ':', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return text[:i], text[i:], i > 0
			}
			continue
		default:
			continue // a number, true, false or null goes on
		}
		if depth == 0 {
			return text[:i+1], text[i+1:], true
		}
	}
	return "", "", false
}

// endOfString returns where the quotation mark is that ends a string of JSON, which has begun. -1:
// there is none.
func endOfString(text string) int {
	for i := 0; ; {
		n := strings.IndexAny(text[i:], `"\`)
		switch {
		case n < 0:
			return -1
		case text[i+n] == '"':
			return i + n
		}
		if i += n + 2; i > len(text) { // what is escaped may be a quotation mark
			return -1
		}
	}
}

// unquote returns what a string of JSON means. "" if it is none, or too long.
func unquote(value string) (text string) {
	if len(value) > 2*maxField || json.Unmarshal([]byte(value), &text) != nil || len(text) > maxField {
		return ""
	}
	return text
}
