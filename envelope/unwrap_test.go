package envelope_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/envelope"
)

// seen is what a handler got of a message.
type seen struct {
	message sluice.Message
	origin  envelope.Origin
	opened  bool
}

// handle passes messages through middleware to a handler, and returns what that got by id, and what
// failed.
func handle(t testing.TB, messages []*sluice.Message, middleware ...func(sluice.Handler) sluice.Handler) (got map[string]seen, failed map[string]error) {
	t.Helper()
	got, failed = map[string]seen{}, map[string]error{}
	h := sluice.Each(func(ctx context.Context, m *sluice.Message) error {
		origin, ok := envelope.From(ctx, m)
		got[m.ID] = seen{*m, origin, ok}
		return nil
	})
	for _, m := range slices.Backward(middleware) {
		h = m(h)
	}
	for m, err := range sluice.Outcomes(messages, h(t.Context(), messages)) {
		failed[m.ID] = err
	}
	return got, failed
}

func unwrap(t testing.TB, o envelope.Options) func(sluice.Handler) sluice.Handler {
	t.Helper()
	middleware, err := envelope.Unwrap(o)
	require.NoError(t, err)
	return middleware
}

// unwrapOne passes one message through Unwrap.
func unwrapOne(t testing.TB, o envelope.Options, m *sluice.Message) (seen, error) {
	t.Helper()
	m.ID = "m"
	got, failed := handle(t, []*sluice.Message{m}, unwrap(t, o))
	require.Equal(t, 1, len(got)+len(failed))
	return got["m"], failed["m"]
}

// inSNS returns a notification of a topic.
func inSNS(t testing.TB, topic, message string) string {
	t.Helper()
	body, err := json.Marshal(envelope.SNS[string]{SNSHeader: envelope.SNSHeader{TopicARN: topic, MessageID: "s"}, Message: message})
	require.NoError(t, err)
	return string(body)
}

var all = envelope.Options{Topics: []string{envelope.Any}, EventBridgeSources: []string{envelope.Any}, CloudEventSources: []string{envelope.Any}}

func TestUnwrapGivesTheHandlerWhatIsInANotification(t *testing.T) {
	m := &sluice.Message{
		Body: golden(t, "sns.json"), ReceiptHandle: "h", ReceiveCount: 3,
		Attributes: map[string]types.MessageAttributeValue{"outer": {DataType: new("String"), StringValue: new("x")}},
	}
	was := *m
	was.ID = "m"
	s, err := unwrapOne(t, envelope.Options{Topics: []string{"arn:aws:sns:eu-central-1:123456789012:other", ordersTopic}}, m)
	require.NoError(t, err)
	require.Equal(t, was, *m, "the message itself is not changed")
	require.JSONEq(t, `{"order":1000,"item":"two \"cups\" & a kettle","cents":1250}`, s.message.Body)
	require.Len(t, s.message.Attributes, 4)
	require.Equal(t, []byte{2, 3, 4}, s.message.Attributes["thumbnail"].BinaryValue)
	require.Equal(t, "h", s.message.ReceiptHandle)
	require.Equal(t, 3, s.message.ReceiveCount)
	require.True(t, s.opened)
	require.Equal(t, "A new order", s.origin.SNS.Subject)
	require.Equal(t, "6f0c1a52-93bf-5c0f-8a4a-41e2b1d5c001", s.origin.SNS.MessageID)
	require.Nil(t, s.origin.EventBridge)
}

func TestANotificationOfAFIFOTopicIsUnwrapped(t *testing.T) {
	s, err := unwrapOne(t, envelope.Options{Topics: []string{ordersTopic + ".fifo"}}, &sluice.Message{Body: golden(t, "sns_fifo.json")})
	require.NoError(t, err)
	require.Equal(t, `{"order":1001}`, s.message.Body)
	require.Equal(t, "10000000000000003000", s.origin.SNS.SequenceNumber)
}

func TestAnUnlistedSenderFailsItsMessage(t *testing.T) {
	o := envelope.Options{
		Topics: []string{"arn:aws:sns:eu-central-1:123456789012:other"}, EventBridgeSources: []string{"com.acme"}, CloudEventSources: []string{"/other"},
	}
	for m, want := range map[*sluice.Message]string{
		{Body: golden(t, "sns.json")}:         "SNS notification: TopicArn is not in Topics",
		{Body: golden(t, "eventbridge.json")}: "EventBridge event: source is not in EventBridgeSources",
		{Body: golden(t, "cloudevent.json")}:  "CloudEvent: source is not in CloudEventSources",
		binaryEvent():                         "CloudEvent: ce-source is not in CloudEventSources",
	} {
		_, err := unwrapOne(t, o, m)
		require.EqualError(t, err, "envelope: "+want)
	}
}

func TestWhatIsInNoEnvelopeGoesToTheHandlerAsItIs(t *testing.T) {
	for _, body := range []string{
		golden(t, "s3.json"), golden(t, "s3_test_event.json"), `{"order":1}`, "no JSON", "", `{"Type":1,"Type":2}`,
		`{"TopicArn":1,"Type":1}`, `["Type","TopicArn","Message"]`, `{"source":1,"detail":2}`, ` {"source":1,"type":2}`, `{"Type":1,"TopicArn":2,"Message":3`,
	} {
		s, err := unwrapOne(t, all, &sluice.Message{Body: body})
		require.NoError(t, err)
		require.Equal(t, body, s.message.Body)
		require.False(t, s.opened)
		strict := all
		strict.Strict = true
		_, err = unwrapOne(t, strict, &sluice.Message{Body: body})
		require.EqualError(t, err, "envelope: the message is in no envelope that is opened, and Strict wants one")
	}
}

func TestOnlyListedKindsOfEnvelopesAreOpened(t *testing.T) {
	s, err := unwrapOne(t, envelope.Options{EventBridgeSources: []string{envelope.Any}}, &sluice.Message{Body: golden(t, "sns.json")})
	require.NoError(t, err)
	require.Equal(t, golden(t, "sns.json"), s.message.Body)
}

func TestABrokenNotificationOfAListedTopicFails(t *testing.T) {
	const start = `{"TopicArn":"` + ordersTopic + `","Type":"Notification","Message":`
	for body, want := range map[string]string{
		start + `1}`:                               "Message is a number, want a string",
		start + `{}}`:                              "Message is an object, want a string",
		start + `null}`:                            "Message is missing",
		start + `"a","Message":"b"}`:               "Message comes twice",
		start + `"a","TopicArn":"x"}`:              "TopicArn comes twice",
		start + `"a","Typ\u0065":"Notification"}`:  "Type comes twice",
		start + `"a","Timestamp":"yesterday"}`:     "Timestamp is not a time such as 2026-01-02T15:04:05.678Z",
		start + `"a","MessageAttributes":[]}`:      "MessageAttributes is an array, want an object",
		start + `"a","MessageAttributes":{"x":1}}`: "MessageAttributes is a number, want an object",
		start + `"a","MessageAttributes":{"x":{"Type":"Map","Value":""}}}`:                                     "MessageAttributes.Type is not String, Number or Binary",
		start + `"a","MessageAttributes":{"x":{"Type":"Binary","Value":"*"}}}`:                                 "MessageAttributes.Value is not base64",
		start + `"a","MessageAttributes":{"x":{"Type":"String","Value":""},"\u0078":{"Type":"String"}}}`:       "MessageAttributes has one twice",
		`{"TopicArn":"` + ordersTopic + `","Type":"SubscriptionConfirmation","Message":"","SubscribeURL":"x"}`: "Type asks to confirm a subscription; only the owner of the queue may do that, by hand",
		`{"TopicArn":"` + ordersTopic + `","Type":"Order","Message":""}`:                                       "Type is not Notification",
		`{"TopicArn":1,"Type":"Notification","Message":""}`:                                                    "TopicArn is a number, want a string",
	} {
		_, err := unwrapOne(t, envelope.Options{Topics: []string{ordersTopic}}, &sluice.Message{Body: body})
		require.EqualError(t, err, "envelope: SNS notification: "+want, body)
	}
}

func TestNamesOfMembersAreExact(t *testing.T) {
	s, err := unwrapOne(t, all, &sluice.Message{Body: `{"topicarn":"` + ordersTopic + `","type":"Notification","message":"x"}`})
	require.NoError(t, err)
	require.False(t, s.opened)
	s, err = unwrapOne(t, all, &sluice.Message{Body: `{"TopicArn":"` + ordersTopic + `","Type":"Notification","Message":"x","topicarn":"other","message":"y"}`})
	require.NoError(t, err)
	require.Equal(t, "x", s.message.Body)
	require.Equal(t, ordersTopic, s.origin.SNS.TopicARN)
}

func TestOneBrokenMessageFailsAlone(t *testing.T) {
	batch := []*sluice.Message{
		{ID: "1", Body: inSNS(t, ordersTopic, "one")},
		{ID: "2", Body: `{"TopicArn":"` + ordersTopic + `","Type":"Notification","Message":2}`},
		{ID: "3", Body: inSNS(t, ordersTopic, "three")},
		{ID: "4", Body: "raw"},
	}
	got, failed := handle(t, batch, unwrap(t, all))
	require.Len(t, failed, 1)
	require.ErrorContains(t, failed["2"], "Message is a number")
	isOurs, _ := errors.AsType[*envelope.Error](failed["2"])
	require.NotNil(t, isOurs)
	require.Equal(t, []string{"one", "three", "raw"}, []string{got["1"].message.Body, got["3"].message.Body, got["4"].message.Body})
	require.Equal(t, []bool{true, true, false}, []bool{got["1"].opened, got["3"].opened, got["4"].opened})
}

func TestAFIFOMessageIsNotHandledBeforeABrokenOneOfItsGroup(t *testing.T) {
	batch := []*sluice.Message{
		{ID: "1", Body: `{"TopicArn":"x","Type":"Notification","Message":2}`, GroupID: "g", SequenceNumber: "1"},
		{ID: "2", Body: inSNS(t, ordersTopic, "behind it"), GroupID: "g", SequenceNumber: "2"},
		{ID: "3", Body: inSNS(t, ordersTopic, "of another group"), GroupID: "h", SequenceNumber: "3"},
	}
	got, failed := handle(t, batch, unwrap(t, all))
	require.Len(t, failed, 2)
	require.Len(t, got, 1)
	require.Equal(t, "of another group", got["3"].message.Body)
	require.True(t, got["3"].opened)
}

func TestAnEventOfEventBridgeIsUnwrapped(t *testing.T) {
	o := envelope.Options{Topics: []string{ordersTopic}, EventBridgeSources: []string{"com.acme.orders"}}
	attributes := map[string]types.MessageAttributeValue{"a": {DataType: new("String"), StringValue: new("x")}}
	s, err := unwrapOne(t, o, &sluice.Message{Body: golden(t, "eventbridge.json"), Attributes: attributes})
	require.NoError(t, err)
	require.JSONEq(t, `{"order":1002,"item":"tea"}`, s.message.Body)
	require.Equal(t, attributes, s.message.Attributes)
	require.Equal(t, "Order Placed", s.origin.EventBridge.DetailType)
	require.Nil(t, s.origin.SNS)

	s, err = unwrapOne(t, o, &sluice.Message{Body: inSNS(t, ordersTopic, golden(t, "eventbridge.json"))})
	require.NoError(t, err)
	require.JSONEq(t, `{"order":1002,"item":"tea"}`, s.message.Body)
	require.Equal(t, "com.acme.orders", s.origin.EventBridge.Source)
	require.Equal(t, "s", s.origin.SNS.MessageID)

	_, err = unwrapOne(t, o, &sluice.Message{Body: `{"source":"com.acme.orders","detail-type":"x","detail":"text"}`})
	require.EqualError(t, err, "envelope: EventBridge event: detail is a string, want an object")
	_, err = unwrapOne(t, o, &sluice.Message{Body: `{"source":"com.acme.orders","source":"aws.s3","detail-type":"x","detail":{}}`})
	require.EqualError(t, err, "envelope: EventBridge event: source comes twice")
	_, err = unwrapOne(t, o, &sluice.Message{Body: `{"source":"com.acme.orders","detail-type":"x","detail":{},"resources":["a",1]}`})
	require.EqualError(t, err, "envelope: EventBridge event: resources[1] is a number, want a string")
}

func TestAnUnlistedSourceInAListedTopicFails(t *testing.T) {
	o := envelope.Options{Topics: []string{ordersTopic}, EventBridgeSources: []string{"com.acme.payments"}}
	_, err := unwrapOne(t, o, &sluice.Message{Body: inSNS(t, ordersTopic, golden(t, "eventbridge.json"))})
	require.EqualError(t, err, "envelope: EventBridge event: source is not in EventBridgeSources")
}

func TestAnEventOfS3ByATopicIsDecodedBehindUnwrap(t *testing.T) {
	for _, name := range []string{"s3.json", "s3_test_event.json"} {
		records := -1
		h := unwrap(t, envelope.Options{Topics: []string{ordersTopic}})(sluice.JSON(func(_ context.Context, e envelope.S3Event) error {
			records = len(e.Records)
			require.Equal(t, records == 0, e.Test)
			return nil
		}))
		require.NoError(t, h(t.Context(), []*sluice.Message{{Body: inSNS(t, ordersTopic, golden(t, name))}}))
		require.Contains(t, []int{3, 0}, records)
	}
}

func TestACloudEventIsUnwrapped(t *testing.T) {
	o := envelope.Options{CloudEventSources: []string{"/orders", "/pictures", "/notes"}}
	m := &sluice.Message{Body: golden(t, "cloudevent.json"), Attributes: map[string]types.MessageAttributeValue{
		"Content-Type": {DataType: new("String"), StringValue: new("application/cloudevents+json")},
		"other":        {DataType: new("String"), StringValue: new("x")},
	}}
	s, err := unwrapOne(t, o, m)
	require.NoError(t, err)
	require.Equal(t, `{"order":1003}`, s.message.Body)
	require.Equal(t, "com.acme.order.placed", s.origin.CloudEvent.Type)
	require.Contains(t, s.message.Attributes, "other")
	require.NotContains(t, s.message.Attributes, "Content-Type", "that is the event's")
	require.Contains(t, m.Attributes, "Content-Type")

	binary := binaryEvent()
	s, err = unwrapOne(t, o, binary)
	require.NoError(t, err)
	require.Equal(t, *binary, s.message)
	require.Equal(t, "7", s.origin.CloudEvent.ID)

	s, err = unwrapOne(t, o, &sluice.Message{Body: golden(t, "cloudevent_binary_data.json")})
	require.NoError(t, err)
	require.Equal(t, "\x89PNG", s.message.Body)
	s, err = unwrapOne(t, o, &sluice.Message{Body: golden(t, "cloudevent_text.json")})
	require.NoError(t, err)
	require.Equal(t, `a "note"`, s.message.Body)

	binary.Attributes["ce-time"] = types.MessageAttributeValue{DataType: new("String"), StringValue: new("yesterday")}
	_, err = unwrapOne(t, o, binary)
	require.ErrorContains(t, err, "CloudEvent: time is not a time such as")
	_, err = unwrapOne(t, o, &sluice.Message{Body: `{"specversion":"1.0","source":"/orders","type":"t"}`})
	require.EqualError(t, err, "envelope: CloudEvent: id is missing")
}

func TestACloudEventMayBeInOtherEnvelopes(t *testing.T) {
	event, err := json.Marshal(envelope.EventBridge[json.RawMessage]{
		EventBridgeHeader: envelope.EventBridgeHeader{Source: "com.acme", DetailType: "order"}, Detail: json.RawMessage(golden(t, "cloudevent.json")),
	})
	require.NoError(t, err)
	s, err := unwrapOne(t, all, &sluice.Message{Body: inSNS(t, ordersTopic, string(event))})
	require.NoError(t, err)
	require.Equal(t, `{"order":1003}`, s.message.Body)
	require.NotNil(t, s.origin.SNS)
	require.NotNil(t, s.origin.EventBridge)
	require.NotNil(t, s.origin.CloudEvent)
}

func TestUnwrapNeedsSomebodyToBelieve(t *testing.T) {
	for want, o := range map[string]envelope.Options{
		"envelope: Topics, EventBridgeSources and CloudEventSources are empty, want a topic or a source that is believed, or envelope.Any":           {Strict: true},
		`envelope: Topics[1] is "orders", want the ARN of a topic, such as arn:aws:sns:eu-central-1:123456789012:orders, or envelope.Any`:            {Topics: []string{ordersTopic, "orders"}},
		`envelope: Topics[0] is "", want the ARN of a topic, such as arn:aws:sns:eu-central-1:123456789012:orders, or envelope.Any`:                  {Topics: []string{""}},
		`envelope: Topics[0] is "arn:aws:sns:*:*:*", want the ARN of a topic, such as arn:aws:sns:eu-central-1:123456789012:orders, or envelope.Any`: {Topics: []string{"arn:aws:sns:*:*:*"}},
		"envelope: EventBridgeSources[0] is \"com.acme.*\", want a source as it is, without patterns, or envelope.Any\n" +
			"envelope: CloudEventSources[0] is \"\", want a source as it is, without patterns, or envelope.Any": {EventBridgeSources: []string{"com.acme.*"}, CloudEventSources: []string{""}},
	} {
		middleware, err := envelope.Unwrap(o)
		require.EqualError(t, err, want)
		require.Nil(t, middleware)
	}
	require.Nil(t, unwrap(t, all)(nil), "New and Run say what is wrong with that")
}

func TestLaterChangesOfAListHaveNoEffect(t *testing.T) {
	topics := []string{ordersTopic}
	middleware := unwrap(t, envelope.Options{Topics: topics})
	topics[0] = envelope.Any
	_, failed := handle(t, []*sluice.Message{{ID: "m", Body: inSNS(t, "arn:aws:sns:eu-central-1:1:x", "y")}}, middleware)
	require.Len(t, failed, 1)
}

func TestFromKnowsCopiesThatOtherMiddlewareMakes(t *testing.T) {
	upper := func(next sluice.Handler) sluice.Handler {
		return sluice.Transform(next, func(_ context.Context, m *sluice.Message) (*sluice.Message, error) {
			c := *m
			c.Body += "!"
			return &c, nil
		})
	}
	batch := []*sluice.Message{{ID: "1", Body: inSNS(t, ordersTopic, "one")}, {ID: "2", Body: "two"}}
	got, failed := handle(t, batch, unwrap(t, all), upper)
	require.Empty(t, failed)
	require.Equal(t, "one!", got["1"].message.Body)
	require.Equal(t, ordersTopic, got["1"].origin.SNS.TopicARN)
	require.False(t, got["2"].opened)
}

func TestFromSaysNothingOfCopiesWhoseIDSeveralHave(t *testing.T) {
	batch := []*sluice.Message{{Body: inSNS(t, ordersTopic, "one")}, {Body: "two"}}
	h := unwrap(t, all)(func(ctx context.Context, batch []*sluice.Message) error {
		_, first := envelope.From(ctx, batch[0])
		_, second := envelope.From(ctx, batch[1])
		require.Equal(t, []bool{true, false}, []bool{first, second})
		c := *batch[0]
		_, known := envelope.From(ctx, &c)
		require.False(t, known)
		return nil
	})
	require.NoError(t, h(t.Context(), batch))
	_, known := envelope.From(t.Context(), batch[0])
	require.False(t, known)
	_, known = envelope.From(t.Context(), nil)
	require.False(t, known)
}

func TestOneUnwrapBehindAnotherAddsToTheOrigin(t *testing.T) {
	batch := []*sluice.Message{{ID: "1", Body: inSNS(t, ordersTopic, golden(t, "eventbridge.json"))}, {ID: "2", Body: inSNS(t, ordersTopic, "two")}}
	got, failed := handle(t, batch,
		unwrap(t, envelope.Options{Topics: []string{ordersTopic}}), unwrap(t, envelope.Options{EventBridgeSources: []string{envelope.Any}}))
	require.Empty(t, failed)
	require.NotNil(t, got["1"].origin.SNS)
	require.NotNil(t, got["1"].origin.EventBridge)
	require.NotNil(t, got["2"].origin.SNS)
}

func TestFromMayBeCalledBySeveralGoroutines(t *testing.T) {
	var batch []*sluice.Message
	for i := range 50 {
		batch = append(batch, &sluice.Message{ID: fmt.Sprint(i), Body: inSNS(t, ordersTopic, fmt.Sprint(i))})
	}
	h := unwrap(t, all)(func(ctx context.Context, batch []*sluice.Message) error {
		var wg sync.WaitGroup
		for _, m := range batch {
			wg.Go(func() {
				_, ok := envelope.From(ctx, m)
				require.True(t, ok)
			})
		}
		wg.Wait()
		return nil
	})
	require.NoError(t, h(t.Context(), batch))
}

func TestWhatTheHandlerSaysOfACopyCountsForItsMessage(t *testing.T) {
	batch := []*sluice.Message{{ID: "1", Body: inSNS(t, ordersTopic, "one")}, {ID: "2", Body: inSNS(t, ordersTopic, "two")}}
	sorry := errors.New("sorry")
	h := unwrap(t, all)(func(_ context.Context, batch []*sluice.Message) error {
		return sluice.Failed(batch[1], sluice.Discard(sorry))
	})
	failed := maps.Collect(sluice.Outcomes(batch, h(t.Context(), batch)))
	require.Len(t, failed, 1)
	require.ErrorIs(t, failed[batch[1]], sorry)
}
