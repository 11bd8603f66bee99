package envelope_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/envelope"
)

// The files in testdata/golden have the shapes that AWS sends, with made-up values.

type order struct {
	Order int    `json:"order"`
	Item  string `json:"item"`
}

const ordersTopic = "arn:aws:sns:eu-central-1:123456789012:orders"

func golden(t testing.TB, name string) string {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", "golden", name))
	require.NoError(t, err)
	return string(body)
}

// decode decodes a body as sluice.JSON does for a handler.
func decode[T any](t testing.TB, body string) (v T, err error) {
	t.Helper()
	err = sluice.JSON(func(_ context.Context, got T) error {
		v = got
		return nil
	})(t.Context(), []*sluice.Message{{ID: "m", Body: body}})
	return v, err
}

func mustDecode[T any](t testing.TB, body string) T {
	t.Helper()
	v, err := decode[T](t, body)
	require.NoError(t, err)
	return v
}

// requireRoundTrip requires that what v is written as is read as v.
func requireRoundTrip[T any](t testing.TB, v T) {
	t.Helper()
	written, err := json.Marshal(v)
	require.NoError(t, err)
	var again T
	require.NoError(t, json.Unmarshal(written, &again), "%s", written)
	require.Equal(t, v, again, "%s", written)
}

func at(t testing.TB, written string) time.Time {
	t.Helper()
	moment, err := time.Parse(time.RFC3339Nano, written)
	require.NoError(t, err)
	return moment
}

func TestANotificationOfAStandardTopicIsRead(t *testing.T) {
	n := mustDecode[envelope.SNS[order]](t, golden(t, "sns.json"))
	require.Equal(t, envelope.SNS[order]{
		SNSHeader: envelope.SNSHeader{
			TopicARN: ordersTopic, MessageID: "6f0c1a52-93bf-5c0f-8a4a-41e2b1d5c001", Subject: "A new order",
			Time: at(t, "2026-11-29T05:15:30.123Z"),
			Attributes: map[string]types.MessageAttributeValue{
				"tenant":    {DataType: new("String"), StringValue: new("acme")},
				"priority":  {DataType: new("Number"), StringValue: new("19.12")},
				"thumbnail": {DataType: new("Binary"), BinaryValue: []byte{2, 3, 4}},
				"tags":      {DataType: new("String.Array"), StringValue: new(`["a",1,true,null]`)},
			},
		},
		Message: order{1000, `two "cups" & a kettle`},
	}, n)
	requireRoundTrip(t, n)
}

func TestANotificationOfAFIFOTopicIsNotSigned(t *testing.T) {
	n := mustDecode[envelope.SNS[order]](t, golden(t, "sns_fifo.json"))
	require.Equal(t, "10000000000000003000", n.SequenceNumber)
	require.Equal(t, ordersTopic+".fifo", n.TopicARN)
	require.Nil(t, n.Attributes)
	require.Equal(t, 1001, n.Message.Order)
	requireRoundTrip(t, n)
}

func TestAMessageThatIsTextNeedsNoJSON(t *testing.T) {
	n := mustDecode[envelope.SNS[string]](t, golden(t, "sns_text.json"))
	require.Equal(t, "öffnen ☃ – no JSON", n.Message)
	require.Empty(t, n.Subject)
	requireRoundTrip(t, n)
	_, err := decode[envelope.SNS[order]](t, golden(t, "sns_text.json"))
	require.ErrorContains(t, err, "envelope: SNS notification: Message: invalid character")
}

func TestASubscriptionIsNeverConfirmed(t *testing.T) {
	_, err := decode[envelope.SNS[string]](t, golden(t, "sns_confirmation.json"))
	require.ErrorContains(t, err, "SNS notification: Type asks to confirm a subscription")
}

func TestABodyOfRawDeliveryIsNoNotification(t *testing.T) {
	_, err := decode[envelope.SNS[order]](t, `{"order":1}`)
	require.ErrorContains(t, err, "SNS notification: Type is missing; with raw message delivery a body has no such envelope")
	_, err = decode[envelope.SNS[order]](t, `null`)
	require.ErrorContains(t, err, "SNS notification: is null, want an object")
}

func TestAnEventOfEventBridgeIsRead(t *testing.T) {
	e := mustDecode[envelope.EventBridge[order]](t, golden(t, "eventbridge.json"))
	require.Equal(t, envelope.EventBridge[order]{
		EventBridgeHeader: envelope.EventBridgeHeader{
			ID: "9a3d6f3e-0b2a-4e55-8f8f-0a1b2c3d4e5f", DetailType: "Order Placed", Source: "com.acme.orders",
			Account: "123456789012", Region: "eu-central-1", Time: at(t, "2026-11-29T05:15:30Z"),
			Resources: []string{"arn:aws:dynamodb:eu-central-1:123456789012:table/orders"},
		},
		Detail: order{1002, "tea"},
	}, e)
	requireRoundTrip(t, e)
}

func TestADetailThatATargetTookOutIsNoEvent(t *testing.T) {
	_, err := decode[envelope.EventBridge[order]](t, `{"order":1}`)
	require.ErrorContains(t, err, "EventBridge event: source is missing; a target with InputPath or InputTransformer sends no such envelope")
}

func TestAnEventOfS3ByEventBridgeIsRead(t *testing.T) {
	e := mustDecode[envelope.EventBridge[envelope.S3Detail]](t, golden(t, "eventbridge_s3.json"))
	require.Equal(t, "Object Created", e.DetailType)
	d := e.Detail
	require.Equal(t, []string{"photos", "in/my photo+1@home.jpg", "8d777f385d3dfec8815d20f7496026dc", "v1", "00617F08299329D189"},
		[]string{d.Bucket.Name, d.Object.Key, d.Object.ETag, d.Object.VersionID, d.Object.Sequencer}, "the key is not decoded: S3 does not encode it")
	require.Equal(t, []string{"C3D13FE58DE4C810", "123456789012", "192.0.2.1", "PutObject"}, []string{d.RequestID, d.Requester, d.SourceIP, d.Reason})
	require.EqualValues(t, 4, d.Object.Size)
	requireRoundTrip(t, e)
}

func TestAnEventOfS3HasDecodedKeys(t *testing.T) {
	e := mustDecode[envelope.S3Event](t, golden(t, "s3.json"))
	require.False(t, e.Test)
	require.Len(t, e.Records, 3)
	require.Equal(t, envelope.S3Record{
		Version: "2.1", Region: "eu-central-1", Time: at(t, "2026-11-29T05:15:34.567Z"), Name: "ObjectCreated:Put",
		PrincipalID: "AWS:AROAEXAMPLE:uploader", SourceIP: "192.0.2.1", RequestID: "C3D13FE58DE4C810",
		ConfigurationID: "uploads", Bucket: "photos", BucketARN: "arn:aws:s3:::photos", Key: "in/my photo+1@home.jpg",
		Size: 1024, ETag: "d41d8cd98f00b204e9800998ecf8427e", VersionID: "v1", Sequencer: "0055AED6DCD90281E5",
	}, e.Records[0])
	require.Equal(t, []string{"2.5", "ObjectRemoved:Delete", "ä/b", "0"}, []string{e.Records[1].Version, e.Records[1].Name, e.Records[1].Key, "0"})
	require.Zero(t, e.Records[1].Size)
	require.Equal(t, "ObjectRestore:Completed", e.Records[2].Name)
	requireRoundTrip(t, e)
}

func TestTheTestEventOfS3Succeeds(t *testing.T) {
	handled := 0
	err := sluice.JSON(func(_ context.Context, e envelope.S3Event) error {
		handled++
		require.True(t, e.Test)
		require.Empty(t, e.Records)
		return nil
	})(t.Context(), []*sluice.Message{{Body: golden(t, "s3_test_event.json")}})
	require.NoError(t, err)
	require.Equal(t, 1, handled)
	requireRoundTrip(t, envelope.S3Event{Test: true})
}

func TestWhatIsNoEventOfS3DoesNotSucceed(t *testing.T) {
	for body, want := range map[string]string{
		`{}`:             "S3 event: Records is missing, and it is no s3:TestEvent",
		`{"Records":[]}`: "S3 event: Records is empty",
		`{"Service":"Amazon S3","Event":"s3:ObjectCreated:Put"}`: "S3 event: Records is missing",
		`{"Records":{}}`:  "S3 event: Records is an object, want an array",
		`{"Records":[1]}`: "S3 event: Records[0] is a number, want an object",
		`{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","eventName":"x","s3":{"bucket":{"name":"b"},"object":{"key":"%zz"}}}]}`:          "S3 event: Records[0].s3.object.key is not encoded as a form",
		`{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","eventName":"x","s3":{"bucket":{"name":"b"},"object":{"key":"k","size":1e9}}}]}`: "S3 event: Records[0].s3.object.size is not a whole number of at least 0 in 64 bits",
		`{"Records":[{"eventVersion":"3.0","eventSource":"aws:s3","eventName":"x","s3":{"bucket":{"name":"b"},"object":{"key":"k"}}}]}`:            "S3 event: Records[0].eventVersion is not 2.x",
		`{"Records":[{"eventVersion":"1.0","eventSource":"aws:ses"}]}`:                                                                             "S3 event: Records[0].eventSource is not aws:s3",
		`{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","eventName":"x","s3":{"bucket":{},"object":{"key":"k"}}}]}`:                      "S3 event: Records[0].s3.bucket.name is missing",
	} {
		_, err := decode[envelope.S3Event](t, body)
		require.ErrorContains(t, err, want)
	}
}

func TestSequencersArePaddedBeforeTheyAreCompared(t *testing.T) {
	require.Zero(t, envelope.CompareSequencers("0055AE", "0055ae00"))
	require.Equal(t, -1, envelope.CompareSequencers("0055AE", "0055AE01"))
	require.Equal(t, 1, envelope.CompareSequencers("0055AF", "0055AE01FF"))
	require.Equal(t, -1, envelope.CompareSequencers("", "1"))
}

func TestEnvelopesMayBeInsideOfANotification(t *testing.T) {
	wrap := func(name string) string {
		body, err := json.Marshal(envelope.SNS[string]{SNSHeader: envelope.SNSHeader{TopicARN: ordersTopic}, Message: golden(t, name)})
		require.NoError(t, err)
		return string(body)
	}
	require.Equal(t, "in/my photo+1@home.jpg", mustDecode[envelope.SNS[envelope.S3Event]](t, wrap("s3.json")).Message.Records[0].Key)
	require.True(t, mustDecode[envelope.SNS[envelope.S3Event]](t, wrap("s3_test_event.json")).Message.Test)
	require.Equal(t, 1002, mustDecode[envelope.SNS[envelope.EventBridge[order]]](t, wrap("eventbridge.json")).Message.Detail.Order)
	require.Equal(t, 1003, mustDecode[envelope.SNS[envelope.CloudEvent[order]]](t, wrap("cloudevent.json")).Message.Data.Order)

	_, err := decode[envelope.SNS[envelope.S3Event]](t, wrap("eventbridge.json"))
	require.ErrorContains(t, err, "envelope: SNS notification: Message: S3 event: Records is missing")
}

func TestAStructuredCloudEventIsRead(t *testing.T) {
	e := mustDecode[envelope.CloudEvent[order]](t, golden(t, "cloudevent.json"))
	require.Equal(t, envelope.CloudEvent[order]{
		CloudEventHeader: envelope.CloudEventHeader{
			ID: "A234-1234-1234", Source: "/orders", Type: "com.acme.order.placed", Subject: "1003",
			Time: at(t, "2026-11-29T05:15:30.5Z"), DataContentType: "application/json; charset=utf-8",
			DataSchema: "https://acme.example/order.json",
			Extensions: map[string]string{"tenant": "acme", "retries": "3", "urgent": "true"},
		},
		Data: order{Order: 1003},
	}, e)
	requireRoundTrip(t, e)
	require.Equal(t, 1004, mustDecode[envelope.CloudEvent[order]](t, golden(t, "cloudevent_bare.json")).Data.Order)
}

func TestDataOfACloudEventThatIsNotJSON(t *testing.T) {
	picture := mustDecode[envelope.CloudEvent[[]byte]](t, golden(t, "cloudevent_binary_data.json"))
	require.Equal(t, []byte{0x89, 'P', 'N', 'G'}, picture.Data)
	requireRoundTrip(t, picture)
	note := mustDecode[envelope.CloudEvent[string]](t, golden(t, "cloudevent_text.json"))
	require.Equal(t, `a "note"`, note.Data)
	requireRoundTrip(t, note)
	_, err := decode[envelope.CloudEvent[order]](t, golden(t, "cloudevent_text.json"))
	require.ErrorContains(t, err, "CloudEvent: datacontenttype is not JSON; data of other types needs a Go type that is string or []byte")
	none := mustDecode[envelope.CloudEvent[*order]](t, `{"specversion":"1.0","id":"1","source":"/s","type":"t"}`)
	require.Nil(t, none.Data)
	whole := mustDecode[envelope.CloudEvent[[]byte]](t, golden(t, "cloudevent.json"))
	require.JSONEq(t, `{"order":1003}`, string(whole.Data), "[]byte takes all data, as it is")
}

func TestACloudEventIsComplete(t *testing.T) {
	for body, want := range map[string]string{
		`{"id":"1","source":"/s","type":"t"}`:                                                                      "CloudEvent: specversion is missing",
		`{"specversion":"0.3","id":"1","source":"/s","type":"t"}`:                                                  "CloudEvent: specversion is not 1.0",
		`{"specversion":"1.0","source":"/s","type":"t"}`:                                                           "CloudEvent: id is missing",
		`{"specversion":"1.0","id":"1","type":"t"}`:                                                                "CloudEvent: source is missing",
		`{"specversion":"1.0","id":"1","source":"/s"}`:                                                             "CloudEvent: type is missing",
		`{"specversion":"1.0","id":"1","source":"/s","type":"t","data":1,"data_base64":"AA=="}`:                    "CloudEvent: data_base64 comes with data, want one of them",
		`{"specversion":"1.0","id":"1","source":"/s","type":"t","data_base64":"*"}`:                                "CloudEvent: data_base64 is not base64",
		`{"specversion":"1.0","id":"1","source":"/s","type":"t","time":"yesterday"}`:                               "CloudEvent: time is not a time such as",
		`{"specversion":"1.0","id":"1","source":"/s","type":"t","time":"0000-01-01T00:00:00+23:59"}`:               "CloudEvent: time is not a time such as",
		`{"specversion":"1.0","id":"1","source":"/s","type":"t","e":1,"e":2}`:                                      "CloudEvent: an extension comes twice",
		`[{"specversion":"1.0","id":"1","source":"/s","type":"t"}]`:                                                "CloudEvent: is an array, want an object",
		`{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"order":"x"}}`:                             "CloudEvent: data: json: cannot unmarshal string into Go struct field order.order of type int",
		`{"specversion":"1.0","id":"1","source":"/s","type":"t","datacontenttype":"application/json","data":"{}"}`: "CloudEvent: data: json: cannot unmarshal string into Go value of type envelope_test.order",
	} {
		_, err := decode[envelope.CloudEvent[order]](t, body)
		require.ErrorContains(t, err, want, body)
	}
}

func binaryEvent() *sluice.Message {
	attributes := map[string]types.MessageAttributeValue{}
	for name, value := range map[string]string{
		"ce-specversion": "1.0", "ce-id": "7", "ce-source": "/orders", "ce-type": "com.acme.order.placed", "ce-subject": "1005",
		"ce-time": "2026-11-29T05:15:30Z", "ce-dataschema": "https://acme.example/order.json", "ce-tenant": "acme",
		"Content-Type": "application/json", "other": "x",
	} {
		attributes[name] = types.MessageAttributeValue{DataType: new("String"), StringValue: &value}
	}
	return &sluice.Message{ID: "m", Body: `{"order":1005}`, Attributes: attributes}
}

func TestABinaryCloudEventIsReadFromTheAttributes(t *testing.T) {
	want := envelope.CloudEvent[order]{
		CloudEventHeader: envelope.CloudEventHeader{
			ID: "7", Source: "/orders", Type: "com.acme.order.placed", Subject: "1005", Time: at(t, "2026-11-29T05:15:30Z"),
			DataContentType: "application/json", DataSchema: "https://acme.example/order.json", Extensions: map[string]string{"tenant": "acme"},
		},
		Data: order{Order: 1005},
	}
	m := binaryEvent()
	e, err := envelope.ReadCloudEvent[order](m)
	require.NoError(t, err)
	require.Equal(t, want, e)

	m.Attributes["CE-ID"] = m.Attributes["ce-id"]
	_, err = envelope.ReadCloudEvent[order](m)
	require.EqualError(t, err, "envelope: CloudEvent: an attribute comes twice, in letters of another case")
	delete(m.Attributes, "CE-ID")
	m.Attributes["ce-id"] = types.MessageAttributeValue{DataType: new("Binary"), BinaryValue: []byte("7")}
	_, err = envelope.ReadCloudEvent[order](m)
	require.EqualError(t, err, "envelope: CloudEvent: id is missing")
}

func TestReadCloudEventReadsTheStructuredModeToo(t *testing.T) {
	m := &sluice.Message{Body: golden(t, "cloudevent.json")}
	e, err := envelope.ReadCloudEvent[order](m)
	require.NoError(t, err)
	require.Equal(t, 1003, e.Data.Order)
	m.Attributes = binaryEvent().Attributes
	m.Attributes["Content-Type"] = types.MessageAttributeValue{DataType: new("String"), StringValue: new("application/cloudevents+json; charset=utf-8")}
	e, err = envelope.ReadCloudEvent[order](m)
	require.NoError(t, err)
	require.Equal(t, "A234-1234-1234", e.ID, "the content type says that the body has the event")
}

func TestBatchJSONTakesEnvelopes(t *testing.T) {
	bad := &sluice.Message{ID: "bad", Body: `{"Type":"Notification"}`}
	good := &sluice.Message{ID: "good", Body: golden(t, "sns.json")}
	batch := []*sluice.Message{bad, good}
	err := sluice.BatchJSON(func(_ context.Context, items []sluice.Item[envelope.SNS[order]]) error {
		require.Len(t, items, 1)
		require.Equal(t, "good", items[0].ID, "the id is that of SQS")
		require.Equal(t, 1000, items[0].Value.Message.Order)
		return nil
	})(t.Context(), batch)
	failed := map[string]string{}
	for m, err := range sluice.Outcomes(batch, err) {
		failed[m.ID] = err.Error()
	}
	require.Equal(t, map[string]string{
		"bad": "decoding the body as envelope.SNS[github.com/sluice-go/sluice/envelope_test.order]: envelope: SNS notification: TopicArn is missing",
	}, failed)
}
