package otelsluice

import (
	"strings"

	"go.opentelemetry.io/otel/trace"
)

// maxTraceHeader is the longest trace header that is looked at, in bytes. X-Ray's own are shorter
// than 300, with all the fields that it knows.
const maxTraceHeader = 1024

// parseTraceHeader returns the span that a trace header of X-Ray names, such as
//
//	Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1
//
// The fields may stand in any order, and others are passed over. If it names none, what it returns
// is not valid. A header without Sampled, or with "?", leaves the decision to the consumer, as
// W3C's has no such value: it counts as not sampled.
func parseTraceHeader(header string) trace.SpanContext {
	if header == "" || len(header) > maxTraceHeader {
		return trace.SpanContext{}
	}
	var c trace.SpanContextConfig
	for field := range strings.SplitSeq(header, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		switch name {
		case "Root":
			c.TraceID = parseRoot(value)
		case "Parent":
			c.SpanID, _ = trace.SpanIDFromHex(value) // not valid: there is none
		case "Sampled":
			if value == "1" {
				c.TraceFlags = trace.FlagsSampled
			}
		}
	}
	c.Remote = true
	return trace.NewSpanContext(c)
}

// parseRoot returns the trace id in a root: a version, the time in 8 digits, and 24 digits.
func parseRoot(root string) trace.TraceID {
	if len(root) != 35 || root[:2] != "1-" || root[10] != '-' {
		return trace.TraceID{}
	}
	id, _ := trace.TraceIDFromHex(root[2:10] + root[11:]) // not valid: there is none
	return id
}

// printTraceHeader writes a span as a trace header of X-Ray.
func printTraceHeader(span trace.SpanContext) string {
	sampled := "0"
	if span.IsSampled() {
		sampled = "1"
	}
	id := span.TraceID().String()
	return "Root=1-" + id[:8] + "-" + id[8:] + ";Parent=" + span.SpanID().String() + ";Sampled=" + sampled
}
