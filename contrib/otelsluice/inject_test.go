package otelsluice_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/contrib/otelsluice"
)

// sending is the context of the n-th producer, with a state and a baggage.
func sending(n int) context.Context {
	state, _ := trace.ParseTraceState("x=1")
	member, _ := baggage.NewMember("tenant", "7")
	bag, _ := baggage.New(member)
	return baggage.ContextWithBaggage(trace.ContextWithSpanContext(context.Background(), producer(n).WithTraceState(state)), bag)
}

// some returns n attributes.
func some(n int) map[string]types.MessageAttributeValue {
	m := map[string]types.MessageAttributeValue{}
	for i := range n {
		maps.Copy(m, texts(map[string]string{strings.Repeat("a", i+1): "v"}))
	}
	return m
}

func names(m map[string]types.MessageAttributeValue) string {
	return strings.Join(slices.DeleteFunc(slices.Sorted(maps.Keys(m)), func(name string) bool { return name[0] == 'a' }), " ")
}

func TestASentMessageContinuesTheTraceOfItsSender(t *testing.T) {
	tell(t, func(w *world) {
		in := &sqs.SendMessageInput{QueueUrl: &w.url, MessageBody: new("x")}
		otelsluice.Inject(sending(1), in)
		_, err := w.server.SendMessage(w.Context(), in)
		require.NoError(w, err)
		in = &sqs.SendMessageInput{QueueUrl: &w.url, MessageBody: new("y"), MessageAttributes: some(10)}
		otelsluice.Inject(sending(2), in)
		require.Len(w, in.MessageAttributes, 10, "there is no room")
		_, err = w.server.SendMessage(w.Context(), in)
		require.NoError(w, err)
		w.drain(sluice.Options{Concurrency: 1}, succeed)
		spans := w.named("process orders")
		require.Len(w, spans, 2)
		requireProducer(w, 1, spans[0].Parent())
		require.Equal(w, "x=1", spans[0].SpanContext().TraceState().String())
		requireProducer(w, 2, spans[1].Parent()) // by X-Ray's header
	})
}

func TestInjectAddsWhatThereIsRoomFor(t *testing.T) {
	for own, want := range map[int]string{
		0: "baggage traceparent tracestate", 7: "baggage traceparent tracestate", 8: "traceparent tracestate", 9: "traceparent", 10: "", 11: "",
	} {
		in := &sqs.SendMessageInput{MessageBody: new("x"), MessageAttributes: some(own)}
		before := maps.Clone(in.MessageAttributes)
		given := in.MessageAttributes
		otelsluice.Inject(sending(1), in)
		require.Equal(t, want, names(in.MessageAttributes))
		require.Equal(t, before, given, "the caller's map is the caller's")
		require.Equal(t, traceHeader(1), *in.MessageSystemAttributes["AWSTraceHeader"].StringValue)
	}
}

func TestInjectLeavesRoomForTheBody(t *testing.T) {
	const traceparentBytes = 11 + 6 + 55
	for room, want := range map[int]string{traceparentBytes - 1: "", traceparentBytes: "traceparent", 1: "", -5: ""} {
		in := &sqs.SendMessageInput{MessageBody: new(strings.Repeat("x", 1<<20-room))}
		otelsluice.Inject(sending(1), in)
		require.Equal(t, want, names(in.MessageAttributes), room)
	}
}

func TestAMessageKeepsTheContextThatItHas(t *testing.T) {
	w3c := &sqs.SendMessageInput{MessageAttributes: texts(map[string]string{"traceparent": traceparent(2)})}
	otelsluice.Inject(sending(1), w3c)
	require.Equal(t, &sqs.SendMessageInput{MessageAttributes: texts(map[string]string{"traceparent": traceparent(2)})}, w3c)

	header := map[string]types.MessageSystemAttributeValue{"AWSTraceHeader": {DataType: new("String"), StringValue: new(traceHeader(2))}}
	xray := &sqs.SendMessageInput{MessageSystemAttributes: header}
	otelsluice.Inject(sending(1), xray)
	require.Equal(t, &sqs.SendMessageInput{MessageSystemAttributes: header}, xray)

	none := &sqs.SendMessageInput{}
	otelsluice.Inject(context.Background(), none)
	require.Equal(t, &sqs.SendMessageInput{}, none)
}

// A talkative propagator has fields that SQS refuses.
type talkative struct{ propagation.TraceContext }

func (p talkative) Fields() []string {
	return append(p.TraceContext.Fields(), "long", "empty", "control", "broken")
}

func (p talkative) Inject(ctx context.Context, carrier propagation.TextMapCarrier) {
	p.TraceContext.Inject(ctx, carrier)
	carrier.Set("long", strings.Repeat("x", 8193))
	carrier.Set("empty", "")
	carrier.Set("control", "\x01")
	carrier.Set("broken", "\xff")
}

func TestInjectLeavesOutWhatSQSWouldRefuse(t *testing.T) {
	otel.SetTextMapPropagator(talkative{})
	defer otel.SetTextMapPropagator(propagation.NewCompositeTextMapPropagator()) // no fields, as before
	in := &sqs.SendMessageInput{}
	otelsluice.Inject(sending(1), in)
	require.Equal(t, "traceparent tracestate", names(in.MessageAttributes))
}

func TestTheMessagesOfABatchContinueTheTraceOfTheirSender(t *testing.T) {
	tell(t, func(w *world) {
		entries := []types.SendMessageBatchRequestEntry{{Id: new("a"), MessageBody: new("a")}, {Id: new("b"), MessageBody: new("b")}}
		in := &sqs.SendMessageBatchInput{QueueUrl: &w.url, Entries: entries}
		otelsluice.InjectBatch(sending(1), in)
		require.Nil(w, entries[0].MessageAttributes, "the caller's entries are the caller's")
		out, err := w.server.SendMessageBatch(w.Context(), in)
		require.NoError(w, err)
		require.Len(w, out.Successful, 2)
		w.drain(sluice.Options{BatchSize: 2}, succeed)
		require.Len(w, w.span("process orders").Links(), 2)
	})
}

func TestABatchThatIsFullStaysWithinItsLimit(t *testing.T) {
	tell(t, func(w *world) {
		in := &sqs.SendMessageBatchInput{QueueUrl: &w.url}
		for i := range 10 {
			in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{
				Id: new(string(rune('a' + i))), MessageBody: new(strings.Repeat("x", 1<<20/10-20)),
			})
		}
		otelsluice.InjectBatch(sending(1), in)
		_, err := w.server.SendMessageBatch(w.Context(), in)
		require.NoError(w, err)
		w.drain(sluice.Options{BatchSize: 10}, succeed)
		require.Len(w, w.span("process orders").Links(), 10, "X-Ray's header has room in each")
	})
}
