package otelsluice_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/contrib/otelsluice"
	"github.com/sluice-go/sluice/sqstest"
)

func TestTheSpanOfASingleMessageContinuesItsProducersTrace(t *testing.T) {
	tell(t, func(w *world) {
		w.send("a", map[string]string{"traceparent": traceparent(1), "tracestate": "x=1", "baggage": "tenant=7"})
		w.drain(sluice.Options{}, func(ctx context.Context, _ []*sluice.Message) error {
			time.Sleep(time.Minute)
			require.Equal(w, producer(1).TraceID(), trace.SpanContextFromContext(ctx).TraceID())
			require.Equal(w, "7", baggage.FromContext(ctx).Member("tenant").Value())
			require.NoError(w, ctx.Err())
			return nil
		})
		s := w.span("process orders")
		require.Equal(w, trace.SpanKindConsumer, s.SpanKind())
		require.Equal(w, codes.Unset, s.Status().Code)
		require.Equal(w, time.Minute, s.EndTime().Sub(s.StartTime()))
		requireProducer(w, 1, s.Parent())
		require.Equal(w, "x=1", s.SpanContext().TraceState().String())
		require.Len(w, s.Links(), 1)
		requireProducer(w, 1, s.Links()[0].SpanContext)
	})
}

func TestAProducerCanBeALinkOnly(t *testing.T) {
	tell(t, func(w *world) {
		w.cfg.NewRoot = true
		require.NoError(w, w.call(sluice.Options{}, succeed, from(1)))
		s := w.span("process orders")
		require.False(w, s.Parent().IsValid())
		require.NotEqual(w, producer(1).TraceID(), s.SpanContext().TraceID())
		requireProducer(w, 1, s.Links()[0].SpanContext)
	})
}

func TestABatchIsANewTraceWithLinksToItsProducers(t *testing.T) {
	tell(t, func(w *world) {
		for i := range 3 {
			w.send("a", map[string]string{"traceparent": traceparent(i), "baggage": "tenant=7"})
		}
		w.send("b", nil)
		w.drain(sluice.Options{BatchSize: 4, WaitTime: time.Second}, func(ctx context.Context, batch []*sluice.Message) error {
			require.Len(w, batch, 4)
			require.Zero(w, baggage.FromContext(ctx).Len(), "whose it would be, nobody knows")
			return nil
		})
		s := w.span("process orders")
		require.False(w, s.Parent().IsValid())
		require.Len(w, s.Links(), 3)
		for i, link := range s.Links() {
			requireProducer(w, i, link.SpanContext)
			require.Len(w, link.Attributes, 1)
			require.Equal(w, attribute.Key("messaging.message.id"), link.Attributes[0].Key)
		}
	})
}

func TestABatchOfOneMessageIsABatch(t *testing.T) {
	tell(t, func(w *world) {
		require.NoError(w, w.call(sluice.Options{BatchSize: 10}, succeed, from(1)))
		s := w.span("process orders")
		require.False(w, s.Parent().IsValid())
		require.Contains(w, attributesOf(s.Attributes()), "messaging.batch.message_count = 1\n")
		require.NotContains(w, attributesOf(s.Attributes()), "messaging.message.id")
	})
}

func TestTheSpanOfRunIsNoParent(t *testing.T) {
	for _, size := range []int{1, 10} {
		tell(t, func(w *world) {
			w.server.Send(w.url, "a")
			c := w.consumer(sluice.Options{BatchSize: size, WaitTime: time.Second})
			require.NoError(w, c.Drain(ambient(w.T), succeed))
			require.False(w, w.span("process orders").Parent().IsValid())
			require.NotEqual(w, producer(99).TraceID(), w.span("process orders").SpanContext().TraceID())
		})
	}
}

func TestLinksAreBoundedAndDifferentOnesComeFirst(t *testing.T) {
	links := func(w *world, producers ...int) (first []string, omitted string) {
		batch := make([]*sluice.Message, len(producers))
		for i, n := range producers {
			batch[i] = from(n)
			if n < 0 {
				batch[i] = &sluice.Message{}
			}
		}
		before := len(w.spans.Ended())
		require.NoError(w, w.call(sluice.Options{BatchSize: 10_000}, succeed, batch...))
		s := w.spans.Ended()[before]
		for _, link := range s.Links() {
			first = append(first, link.Attributes[0].Value.AsString())
		}
		for _, kv := range s.Attributes() {
			if kv.Key == "sluice.links.omitted" {
				omitted = kv.Value.String()
			}
		}
		return first, omitted
	}
	var different, same, mixed []int
	for i := range 300 {
		different, same, mixed = append(different, i), append(same, 7), append(mixed, min(i/100, 2)*10)
	}
	tell(t, func(w *world) {
		ids, omitted := links(w, different...)
		require.Len(w, ids, 128)
		require.Equal(w, "m127", ids[127])
		require.Equal(w, "172", omitted)

		ids, omitted = links(w, same...)
		require.Len(w, ids, 128)
		require.Equal(w, "172", omitted)

		ids, omitted = links(w, mixed...)
		require.Len(w, ids, 128)
		require.Equal(w, []string{"m0", "m10", "m20", "m0"}, ids[:4])
		require.Equal(w, "172", omitted)

		ids, omitted = links(w, -1, 3, -1, 3, 4)
		require.Equal(w, []string{"m3", "m4", "m3"}, ids)
		require.Empty(w, omitted)

		ids, omitted = links(w, append(different[:127:127], 1, 1, 200, -1, 201)...)
		require.Len(w, ids, 128)
		require.Equal(w, "m200", ids[127], "another one comes before more of the same")
		require.Equal(w, "4", omitted, "two of the same, and two that nobody has looked at")
	})
}

func TestContextsAreFoundInTheirOrder(t *testing.T) {
	sns := func(fields string) string {
		return `{ "Type" : "Notification", "MessageId":"x", "TopicArn":"arn:aws:sns:eu-central-1:123456789012:orders",
			"Message":"{\"MessageAttributes\":{\"traceparent\":{\"Type\":\"String\",\"Value\":\"` + traceparent(50) + `\"}}} \\\"\\",
			"Timestamp":"2026-01-01T00:00:00.000Z", "Unknown":[1,{"MessageAttributes":null},-1e5,true], "MessageAttributes" : {` + fields + `}}`
	}
	field := func(n int) string { return `"traceparent":{"Type":"String","Value":"` + traceparent(n) + `"}` }
	w3c := texts(map[string]string{"traceparent": traceparent(1)})
	xray := map[string]string{"AWSTraceHeader": traceHeader(3)}
	binary := texts(map[string]string{"traceparent": traceparent(1)})
	binary["traceparent"] = types.MessageAttributeValue{DataType: new("Binary"), BinaryValue: []byte(traceparent(1)), StringValue: new(traceparent(1))}
	for name, c := range map[string]struct {
		m    sluice.Message
		want int // -1: none
	}{
		"attributes, body and header":      {sluice.Message{Attributes: w3c, Body: sns(field(2)), SystemAttributes: xray}, 1},
		"body and header":                  {sluice.Message{Body: sns(field(2)), SystemAttributes: xray}, 2},
		"header":                           {sluice.Message{Body: "{}", SystemAttributes: xray}, 3},
		"other attributes, body":           {sluice.Message{Attributes: texts(map[string]string{"a": "b"}), Body: sns(field(2))}, 2},
		"attributes that are wrong":        {sluice.Message{Attributes: texts(map[string]string{"traceparent": "00-1"}), SystemAttributes: xray}, 3},
		"after other attributes in a body": {sluice.Message{Body: sns(`"a":{"Type":"String.Array","Value":"[\"}\"]"}, "b":{"Value":{"c":[]},"Type":"x"},` + field(2))}, 2},
		"a body whose field is no text":    {sluice.Message{Body: sns(`"traceparent":{"Type":"Number","Value":5}`), SystemAttributes: xray}, 3},
		"a body that is no notification":   {sluice.Message{Body: strings.Replace(sns(field(2)), `"Notification"`, `"SubscriptionConfirmation","x":"Notification"`, 1)}, -1},
		"a body of no topic":               {sluice.Message{Body: strings.Replace(sns(field(2)), `"TopicArn"`, `"Topic"`, 1)}, -1},
		"a body that is cut":               {sluice.Message{Body: sns(field(2))[:300]}, -1},
		"a body in a body":                 {sluice.Message{Body: `{"Type":"Notification","TopicArn":"t","Message":` + strconv.Quote(sns(field(2))) + `}`}, -1},
		"an attribute that is no String":   {sluice.Message{Attributes: binary, SystemAttributes: xray}, 3},
		"nothing":                          {sluice.Message{}, -1},
		"too long":                         {sluice.Message{Attributes: texts(map[string]string{"traceparent": traceparent(1) + strings.Repeat("-", 9000)})}, -1},
	} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{1, 10} {
				tell(t, func(w *world) {
					require.NoError(w, w.call(sluice.Options{BatchSize: size}, succeed, &c.m))
					s := w.span("process orders")
					if c.want < 0 {
						require.Empty(w, s.Links())
						require.False(w, s.Parent().IsValid())
						return
					}
					requireProducer(w, c.want, s.Links()[0].SpanContext)
					if size == 1 {
						requireProducer(w, c.want, s.Parent())
					}
				})
			}
		})
	}
}

func TestATraceHeaderIsReadAsXRayWritesIt(t *testing.T) {
	for header, want := range map[string]string{
		"Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1":                  "sampled",
		"Sampled=1; Parent=53995c3f42cd8ad8; Root=1-5759e988-bd862e3fe1be46a994272793":                "sampled",
		"Self=1-a-b;Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Lineage=a:1|b:2": "not sampled",
		"Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0":                  "not sampled",
		"Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=?":                  "not sampled",
		"Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1":                                          "",
		"Root=2-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8":                            "",
		"Root=1-5759e988bbd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8":                            "",
		"Root=1-5759e988-bd862e3fe1be46a99427279x;Parent=53995c3f42cd8ad8":                            "",
		"Root=1-00000000-000000000000000000000000;Parent=53995c3f42cd8ad8":                            "",
		"Root=1-5759e988-bd862e3fe1be46a994272793;Parent=0000000000000000":                            "",
		"Root;Parent;Sampled": "",
		";;;=":                "",
		"Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;" + strings.Repeat("x", 1024): "",
	} {
		tell(t, func(w *world) {
			require.NoError(w, w.call(sluice.Options{}, succeed, &sluice.Message{SystemAttributes: map[string]string{"AWSTraceHeader": header}}))
			s := w.spans.Ended()
			if want != "sampled" {
				require.Len(w, s, map[string]int{"not sampled": 0, "": 1}[want], header)
				return
			}
			require.Equal(w, "5759e988bd862e3fe1be46a994272793", s[0].SpanContext().TraceID().String())
			require.Equal(w, "53995c3f42cd8ad8", s[0].Parent().SpanID().String())
		})
	}
}

// A broken error panics when it is looked at.
type broken struct{}

func (broken) Error() string   { panic("broken") }
func (broken) Unwrap() []error { panic("broken") }

// A classified error says its own type.
type classified struct{ error }

func (classified) ErrorType() string { return "out_of_stock" }

// ending is the key of what ends the context of a call.
type ending struct{}

// endedBy is a handler whose context ends for a cause.
func endedBy(cause error) sluice.Handler {
	return func(ctx context.Context, _ []*sluice.Message) error {
		ctx.Value(ending{}).(context.CancelCauseFunc)(fmt.Errorf("cause: %w", cause))
		return fmt.Errorf("writing: %w", ctx.Err())
	}
}

func TestASpanSaysWhyItsCallFailed(t *testing.T) {
	bad := errors.New("bad")
	syntax := json.Unmarshal([]byte("{"), &struct{}{})
	for _, c := range []struct {
		name    string
		h       func(ctx context.Context, batch []*sluice.Message) error
		kind    string
		failed  int
		outcome string
		text    string
	}{
		{"an error", func(context.Context, []*sluice.Message) error { return bad }, "*errors.errorString", 2, "retry", "2 of 2 messages failed"},
		{"one message", func(_ context.Context, b []*sluice.Message) error {
			return sluice.Failed(b[0], fmt.Errorf("x: %w", bad))
		}, "*errors.errorString", 1, "retry", "1 of 2 messages failed"},
		{"a slice that is cleared", func(_ context.Context, b []*sluice.Message) error { m := b[0]; clear(b); return sluice.Failed(m, bad) }, "*errors.errorString", 1, "retry", "1 of 2 messages failed"},
		{"discarded", func(_ context.Context, b []*sluice.Message) error { return sluice.Discard(sluice.Failed(b[0], bad)) }, "*errors.errorString", 1, "discard", "1 of 2 messages failed"},
		{"dead letter", func(context.Context, []*sluice.Message) error { return sluice.DeadLetter(syntax) }, "decode", 2, "dead letter", "2 of 2 messages failed"},
		{"later", func(context.Context, []*sluice.Message) error { return sluice.RetryAfter(time.Hour, classified{bad}) }, "out_of_stock", 2, "retry after", "2 of 2 messages failed"},
		{"JSON", sluice.JSON(func(context.Context, struct{ A int }) error { return nil }), "decode", 2, "retry", "2 of 2 messages failed"},
		{"a Mux", sluice.Mux{Key: sluice.ByField("a")}.Handle, "*errors.errorString", 2, "retry", "2 of 2 messages failed"},
		{"an unknown type", sluice.Mux{Key: func(*sluice.Message) (string, error) { return "", nil }}.Handle, "unknown_type", 2, "retry", "2 of 2 messages failed"},
		{"joined", func(_ context.Context, b []*sluice.Message) error {
			return errors.Join(sluice.Failed(b[0], errors.Join(&strconv.NumError{Err: bad}, bad)), sluice.Failed(b[0], bad))
		}, "*strconv.NumError", 1, "retry", "1 of 2 messages failed"},
		{"a broken error", func(context.Context, []*sluice.Message) error { return broken{} }, "_OTHER", 2, "", "the handler failed"},
		{"a panic in Each", sluice.Each(func(context.Context, *sluice.Message) error { panic("x") }), "panic", 2, "retry", "2 of 2 messages failed"},
		{"a lost lease", endedBy(sluice.ErrLeaseLost), "lease_lost", 2, "retry", "2 of 2 messages failed"},
		{"a timeout", endedBy(sluice.ErrHandlerTimeout), "handler_timeout", 2, "retry", "2 of 2 messages failed"},
		{"a stop", endedBy(sluice.ErrShutdown), "shutdown", 2, "retry", "2 of 2 messages failed"},
		{"a cause that is returned", func(context.Context, []*sluice.Message) error { return fmt.Errorf("x: %w", sluice.ErrShutdown) }, "shutdown", 2, "retry", "2 of 2 messages failed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for size := range 2 {
				tell(t, func(w *world) {
					batch := []*sluice.Message{{ID: "a", Body: "canary"}, {ID: "b", Body: "canary"}}[:size+1]
					ctx, end := context.WithCancelCause(w.Context())
					defer end(nil)
					w.ctx = context.WithValue(ctx, ending{}, end)
					require.NotNil(w, w.call(sluice.Options{BatchSize: size + 1}, c.h, batch...)) //nolint:testifylint // its text may not be had
					s := w.span("process orders")
					want := fmt.Sprintf("error.type = %s\n", c.kind)
					require.Equal(w, codes.Error, s.Status().Code)
					got := attributesOf(s.Attributes())
					if size == 0 {
						require.Contains(w, got, "sluice.failed = 1\n")
						if c.outcome != "" {
							want += "sluice.outcome = " + c.outcome
						}
					} else {
						require.Equal(w, c.text, s.Status().Description)
						require.Contains(w, got, fmt.Sprintf("sluice.failed = %d\n", c.failed))
						require.NotContains(w, got, "sluice.outcome")
					}
					for line := range strings.Lines(want) {
						require.Contains(w, got, line)
					}
				})
			}
		})
	}
}

func TestAHandlerThatDoesNotReturnEndsItsSpan(t *testing.T) {
	for name, h := range map[string]func(){"a panic": func() { panic("canary") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			tell(t, func(w *world) {
				w.server.Send(w.url, "a")
				calls := 0
				w.drain(sluice.Options{RetryDelay: func(*sluice.Message, error) time.Duration { return 0 }}, func(context.Context, []*sluice.Message) error {
					if calls++; calls == 1 {
						h()
					}
					return nil
				})
				spans := w.named("process orders")
				require.Len(w, spans, 2)
				require.Equal(w, "the handler panicked", spans[0].Status().Description)
				require.Contains(w, attributesOf(spans[0].Attributes()), "error.type = panic\n")
				require.Contains(w, attributesOf(spans[1].Attributes()), "sluice.receive_count.max = 2\n")
			})
		})
	}
}

func TestACallWithoutMessagesHasNoSpan(t *testing.T) {
	tell(t, func(w *world) {
		require.NoError(w, w.call(sluice.Options{}, succeed))
		require.Empty(w, w.spans.Ended())
	})
}

func TestUnhandledMessagesHaveNotFailed(t *testing.T) {
	tell(t, func(w *world) {
		batch := []*sluice.Message{{ID: "1", GroupID: "g", SequenceNumber: "1"}, {ID: "2", GroupID: "g", SequenceNumber: "2"}}
		require.Error(w, w.call(sluice.Options{BatchSize: 2}, sluice.Each(func(context.Context, *sluice.Message) error { return errors.New("bad") }), batch...))
		require.Equal(w, "1 of 2 messages failed", w.span("process orders").Status().Description)
	})
}

func TestTheTextOfAnErrorIsShownOnlyIfAsked(t *testing.T) {
	tell(t, func(w *world) {
		bad := func(context.Context, []*sluice.Message) error { return errors.New("bad") }
		require.Error(w, w.call(sluice.Options{}, bad, from(1)))
		w.cfg.ErrorText = true
		require.Error(w, w.call(sluice.Options{}, bad, from(1)))
		require.NotNil(w, w.call(sluice.Options{}, func(context.Context, []*sluice.Message) error { return broken{} }, from(1))) //nolint:testifylint // its text may not be had
		spans := w.spans.Ended()
		require.Equal(w, "1 of 1 messages failed", spans[0].Status().Description)
		require.Equal(w, "1 of 1 messages failed: bad", spans[1].Status().Description)
		require.Contains(w, spans[2].Status().Description, "its method panicked")
	})
}

func TestInstallKeepsWhatOptionsHave(t *testing.T) {
	tell(t, func(w *world) {
		w.server.Send(w.url, "a")
		var heard []string
		opts := sluice.Options{
			SystemAttributes: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameSenderId},
			Middleware: []func(sluice.Handler) sluice.Handler{func(next sluice.Handler) sluice.Handler {
				return func(ctx context.Context, batch []*sluice.Message) error {
					heard = append(heard, fmt.Sprint("outside of the span: ", !trace.SpanContextFromContext(ctx).IsValid()))
					return next(ctx, batch)
				}
			}},
			Hooks: sluice.Hooks{Batch: func(sluice.BatchEvent) { heard = append(heard, "hook") }},
		}
		w.drain(opts, func(_ context.Context, batch []*sluice.Message) error {
			heard = append(heard, fmt.Sprint("sender: ", batch[0].SystemAttributes["SenderId"] != ""))
			return nil
		})
		require.Equal(w, []string{"outside of the span: true", "sender: true", "hook"}, heard)
	})
}

func TestTheTraceHeaderIsAskedForOnce(t *testing.T) {
	all, header := types.MessageSystemAttributeNameAll, types.MessageSystemAttributeNameAWSTraceHeader
	for _, names := range [][]types.MessageSystemAttributeName{{}, {header}, {all}, {"SenderId", header}} {
		opts := sluice.Options{SystemAttributes: names}
		otelsluice.Install(&opts, "https://sqs.eu-central-1.amazonaws.com/1/orders", otelsluice.Config{})
		if len(names) == 0 {
			names = append(names, header)
		}
		require.Equal(t, names, opts.SystemAttributes)
	}
}

func TestADeleteCallHasASpanIfAsked(t *testing.T) {
	tell(t, func(w *world) {
		w.cfg.SettleSpans = true
		w.server.Send(w.url, "a", "b")
		remove := w.server.Inject(sqstest.Fault{Op: "DeleteMessageBatch", Times: 1, Err: sqstest.Throttled()})
		defer remove()
		w.drain(sluice.Options{BatchSize: 2}, succeed)
		spans := w.named("delete orders")
		require.Len(w, spans, 2)
		require.Equal(w, codes.Error, spans[0].Status().Code)
		require.Contains(w, attributesOf(spans[0].Attributes()), "error.type = RequestThrottled\n")
		require.Equal(w, trace.SpanKindClient, spans[1].SpanKind())
		require.Equal(w, codes.Unset, spans[1].Status().Code)
		require.False(w, spans[1].Parent().IsValid())
	})
}

func TestWithSpansSwitchedOffTheConsumersContextStaysAsItIs(t *testing.T) {
	tell(t, func(w *world) {
		w.cfg.TracerProvider = noop.NewTracerProvider()
		w.ctx = ambient(w.T)
		require.NoError(w, w.call(sluice.Options{}, func(ctx context.Context, _ []*sluice.Message) error {
			require.Equal(w, producer(99), trace.SpanContextFromContext(ctx))
			return nil
		}, from(1)))
		require.Error(w, w.call(sluice.Options{}, func(context.Context, []*sluice.Message) error { return errors.New("bad") }, from(1)))
	})
}

func TestASpanThatIsNotSampledCostsNoTrace(t *testing.T) {
	tell(t, func(w *world) {
		w.cfg.TracerProvider = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(w.spans), sdktrace.WithSampler(sdktrace.NeverSample()))
		require.NoError(w, w.call(sluice.Options{}, func(ctx context.Context, _ []*sluice.Message) error {
			require.Equal(w, producer(1).TraceID(), trace.SpanContextFromContext(ctx).TraceID(), "the trace goes on, unseen")
			return nil
		}, from(1)))
		require.Empty(w, w.spans.Ended())
	})
}
