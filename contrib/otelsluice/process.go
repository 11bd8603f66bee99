package otelsluice

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/sluice-go/sluice"
)

// Attributes for which there is no convention.
const (
	keyFailed       = attribute.Key("sluice.failed")            // messages of the call that failed
	keyOutcome      = attribute.Key("sluice.outcome")           // of a single message that failed: what becomes of it
	keyReceiveCount = attribute.Key("sluice.receive_count.max") // of the messages of the call
	keyOmitted      = attribute.Key("sluice.links.omitted")     // messages that have no link, since there is no room for it
)

// maxLinks is how many links a span has. The SDK keeps as many by default, and drops the oldest of
// more (OTEL_SPAN_LINK_COUNT_LIMIT).
const maxLinks = 128

// A process makes the spans and metrics of a consumer's handler calls.
type process struct {
	queue      queue
	cfg        Config
	single     bool // each call has one message, by BatchSize
	off        bool // spans come to nothing
	tracer     trace.Tracer
	metrics    *metrics
	attributes []attribute.KeyValue // of each span, known at its start, for samplers
}

// wrap is the middleware. It is called when a run begins: by then the program has set its
// propagator.
func (p *process) wrap(next sluice.Handler) sluice.Handler {
	from := extractor{propagator(p.cfg.Propagator)}
	return func(ctx context.Context, batch []*sluice.Message) error {
		return p.handle(ctx, batch, next, from)
	}
}

// handle calls next within a span. A panic goes on, with its stack, when the span has ended.
func (p *process) handle(ctx context.Context, batch []*sluice.Message, next sluice.Handler, from extractor) (err error) {
	if len(batch) == 0 { // by middleware that has sorted out all
		return next(ctx, batch)
	}
	ctx, span := p.start(ctx, batch, from)
	began := time.Now()
	p.metrics.delivered(ctx, batch, began)
	c := call{ctx: ctx, span: span, began: began, first: batch[0]}
	if len(batch) > 1 {
		c.batch = slices.Clone(batch) // next may do with its slice what it likes
	}
	returned := false
	defer func() { p.end(&c, err, returned) }()
	err = next(ctx, batch)
	returned = true
	return err
}

// start starts the span of a handler call. The context that it returns is the handler's.
func (p *process) start(ctx context.Context, batch []*sluice.Message, from extractor) (context.Context, trace.Span) {
	if p.off {
		return ctx, noop.Span{}
	}
	if hasSpan(ctx) {
		ctx = trace.ContextWithSpanContext(ctx, trace.SpanContext{}) // the span of Run's context is no parent
	}
	attributes := append(slices.Clip(p.attributes), keyReceiveCount.Int(mostReceived(batch)))
	opts := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindConsumer)}
	if p.single && len(batch) == 1 {
		attributes = append(attributes, semconv.MessagingMessageID(batch[0].ID))
		ctx = from.extract(ctx, batch[0])
		if producer := trace.SpanContextFromContext(ctx); producer.IsValid() {
			opts = append(opts, trace.WithLinks(trace.Link{SpanContext: producer}))
		}
		if p.cfg.NewRoot {
			opts = append(opts, trace.WithNewRoot())
		}
	} else {
		links, omitted := from.links(batch)
		opts = append(opts, trace.WithNewRoot(), trace.WithLinks(links...))
		attributes = append(attributes, semconv.MessagingBatchMessageCount(len(batch)))
		if omitted > 0 {
			attributes = append(attributes, keyOmitted.Int(omitted))
		}
	}
	opts = append(opts, trace.WithAttributes(attributes...))
	return p.tracer.Start(ctx, operationProcess+" "+p.queue.name, opts...)
}

func mostReceived(batch []*sluice.Message) (most int) {
	for _, m := range batch {
		most = max(most, m.ReceiveCount)
	}
	return most
}

// links returns links to the producers of a batch: different ones first, then more of the same. It
// counts the messages that have none because there are 128. It looks no further then.
func (x extractor) links(batch []*sluice.Message) (links []trace.Link, omitted int) {
	type id struct {
		trace trace.TraceID
		span  trace.SpanID
	}
	seen := map[id]bool{}
	var more []trace.Link
	for i, m := range batch {
		if len(links) == maxLinks {
			omitted += len(batch) - i
			break
		}
		producer := trace.SpanContextFromContext(x.extract(context.Background(), m))
		if !producer.IsValid() {
			continue
		}
		link := trace.Link{SpanContext: producer, Attributes: []attribute.KeyValue{semconv.MessagingMessageID(m.ID)}}
		switch who := (id{producer.TraceID(), producer.SpanID()}); {
		case !seen[who]:
			seen[who] = true
			links = append(links, link)
		case len(more) < maxLinks:
			more = append(more, link)
		default:
			omitted++
		}
	}
	room := min(maxLinks-len(links), len(more))
	return append(links, more[:room]...), omitted + len(more) - room
}

// A call is a handler call that is under way.
type call struct {
	ctx   context.Context //nolint:containedctx // of this call
	span  trace.Span
	began time.Time
	first *sluice.Message
	batch []*sluice.Message // nil: first is all
}

// end ends the span of a call. If the handler has not returned, it panicked or ended its goroutine.
func (p *process) end(c *call, err error, returned bool) {
	took := time.Since(c.began)
	if returned && err == nil {
		p.metrics.processed(c.ctx, took, "")
		c.span.End()
		return
	}
	what := failureOf(c, err, returned)
	p.metrics.processed(c.ctx, took, what.kind)
	c.span.SetAttributes(what.attributes()...)
	text := what.text
	if p.cfg.ErrorText && err != nil {
		text += ": " + textOf(err)
	}
	c.span.SetStatus(codes.Error, text)
	c.span.End()
}

// A failure is what a span says of a handler call that failed.
type failure struct {
	kind    string // error.type
	failed  int
	outcome string // of a single message
	text    string
}

func (f failure) attributes() []attribute.KeyValue {
	attributes := []attribute.KeyValue{semconv.ErrorTypeKey.String(f.kind), keyFailed.Int(f.failed)}
	if f.outcome != "" {
		attributes = append(attributes, keyOutcome.String(f.outcome))
	}
	return attributes
}

// failureOf finds out what a handler's error says. The error is the user's, and its methods may
// panic: then nobody knows what it says, and all messages have failed.
func failureOf(c *call, err error, returned bool) (f failure) {
	batch := c.batch
	if batch == nil {
		batch = []*sluice.Message{c.first}
	}
	f = failure{kind: kindPanic, failed: len(batch), text: "the handler panicked"}
	if !returned {
		return f
	}
	unknown := failure{kind: semconv.ErrorTypeOther.Value.AsString(), failed: len(batch), text: "the handler failed"}
	defer func() {
		if recover() != nil {
			f = unknown
		}
	}()
	f = failure{}
	for _, e := range sluice.Outcomes(batch, err) {
		kind := sluice.OutcomeOf(e).Kind
		if kind == sluice.OutcomeUnhandled {
			continue
		}
		if f.failed++; f.failed == 1 {
			f.kind, f.outcome = kindOf(c.ctx, e), kind.String()
		}
	}
	if f.failed == 0 {
		return unknown // an error that fails nobody, as one that says only "unhandled"
	}
	if len(batch) > 1 {
		f.outcome = ""
	}
	f.text = fmt.Sprintf("%d of %d messages failed", f.failed, len(batch))
	return f
}

// settled makes a span of a delete call, after the fact.
func (p *process) settled(e sluice.CallEvent) {
	if e.Operation != operationDelete.api {
		return
	}
	attributes := slices.Concat(p.cfg.Attributes, p.queue.identity(), []attribute.KeyValue{
		semconv.MessagingOperationName(operationDelete.name), semconv.MessagingOperationTypeSettle,
		semconv.MessagingBatchMessageCount(e.Entries),
	})
	_, span := p.tracer.Start(context.Background(), operationDelete.name+" "+p.queue.name, trace.WithNewRoot(),
		trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(e.Began), trace.WithAttributes(attributes...))
	switch {
	case e.Err != nil:
		span.SetAttributes(semconv.ErrorTypeKey.String(kindOfCall(e.Err)))
		span.SetStatus(codes.Error, "the call failed")
	case e.Failed > 0:
		span.SetAttributes(semconv.ErrorTypeOther, keyFailed.Int(e.Failed))
		span.SetStatus(codes.Error, fmt.Sprintf("%d of %d messages were not deleted", e.Failed, e.Entries))
	}
	span.End(trace.WithTimestamp(e.Began.Add(e.Duration)))
}
