package envelope_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/envelope"
)

// An Order is what the examples publish.
type Order struct {
	ID   int    `json:"id"`
	Item string `json:"item"`
}

// handleOne calls a handler with one message, as a Consumer would.
func handleOne(h sluice.Handler, body string) {
	if err := h(context.Background(), []*sluice.Message{{ID: "1", Body: body}}); err != nil {
		log.Fatal(err)
	}
}

// written returns an envelope as its sender writes it.
func written(v any) string {
	body, err := json.Marshal(v)
	if err != nil {
		log.Fatal(err)
	}
	return string(body)
}

func Example() {
	body := written(envelope.SNS[Order]{
		SNSHeader: envelope.SNSHeader{TopicARN: "arn:aws:sns:eu-central-1:123456789012:orders"},
		Message:   Order{1, "tea"},
	})
	h := sluice.JSON(func(_ context.Context, n envelope.SNS[Order]) error {
		fmt.Println(n.Message.Item, "from", n.TopicARN)
		return nil
	})
	handleOne(h, body) // as the Run of a Consumer does
	// Output: tea from arn:aws:sns:eu-central-1:123456789012:orders
}

func ExampleSNS() {
	const body = `{"Type":"Notification","TopicArn":"arn:aws:sns:eu-central-1:123456789012:orders","Subject":"New","Message":"{\"id\":1,\"item\":\"tea\"}"}`
	var n envelope.SNS[Order]
	err := json.Unmarshal([]byte(body), &n)
	fmt.Println(n.Subject, n.Message, err)
	// Output: New {1 tea} <nil>
}

func ExampleEventBridge() {
	const body = `{"version":"0","id":"1","detail-type":"Order Placed","source":"com.acme","detail":{"id":1,"item":"tea"}}`
	var e envelope.EventBridge[Order]
	err := json.Unmarshal([]byte(body), &e)
	fmt.Println(e.DetailType, e.Detail, err)
	// Output: Order Placed {1 tea} <nil>
}

// One message may have several records: if one of them fails, all come again.
func ExampleS3Event() {
	h := sluice.JSON(func(_ context.Context, e envelope.S3Event) error {
		for _, r := range e.Records { // none in the test event, which succeeds
			fmt.Println(r.Name, r.Bucket, r.Key)
		}
		return nil
	})
	body := written(envelope.S3Event{Records: []envelope.S3Record{
		{Name: "ObjectCreated:Put", Bucket: "photos", Key: "in/my photo.jpg"}, // sent as in/my+photo.jpg
		{Name: "ObjectRemoved:Delete", Bucket: "photos", Key: "old"},
	}})
	handleOne(h, body)
	handleOne(h, written(envelope.S3Event{Test: true}))
	// Output:
	// ObjectCreated:Put photos in/my photo.jpg
	// ObjectRemoved:Delete photos old
}

func ExampleCompareSequencers() {
	fmt.Println(envelope.CompareSequencers("0055AED6DCD90281E5", "0055AED6DCD90281E6"))
	// Output: -1
}

func ExampleReadCloudEvent() {
	body := written(envelope.CloudEvent[Order]{
		CloudEventHeader: envelope.CloudEventHeader{ID: "1", Source: "/orders", Type: "com.acme.order.placed"}, Data: Order{1, "tea"},
	})
	h := sluice.Each(func(_ context.Context, m *sluice.Message) error {
		e, err := envelope.ReadCloudEvent[Order](m)
		if err != nil {
			return err
		}
		fmt.Println(e.Type, e.Data.Item)
		return nil
	})
	handleOne(h, body)
	// Output: com.acme.order.placed tea
}

func ExampleUnwrap() {
	unwrap, err := envelope.Unwrap(envelope.Options{Topics: []string{"arn:aws:sns:eu-central-1:123456789012:orders"}})
	if err != nil {
		log.Fatal(err)
	}
	body := written(envelope.SNS[string]{
		SNSHeader: envelope.SNSHeader{TopicARN: "arn:aws:sns:eu-central-1:123456789012:orders", Subject: "Hello"}, Message: "a text",
	})
	h := sluice.Each(func(ctx context.Context, m *sluice.Message) error {
		fmt.Println(m.Body)
		if origin, ok := envelope.From(ctx, m); ok {
			fmt.Println(origin.SNS.Subject)
		}
		return nil
	})
	handleOne(unwrap(h), body) // or Options.Middleware
	// Output:
	// a text
	// Hello
}

func ExampleFrom() {
	unwrap, err := envelope.Unwrap(envelope.Options{EventBridgeSources: []string{"com.acme.orders"}})
	if err != nil {
		log.Fatal(err)
	}
	h := sluice.Each(func(ctx context.Context, m *sluice.Message) error {
		if origin, ok := envelope.From(ctx, m); ok && origin.EventBridge != nil {
			fmt.Println(origin.EventBridge.DetailType)
		}
		return nil
	})
	handleOne(unwrap(h), `{"source":"com.acme.orders","detail-type":"Order Placed","detail":{}}`)
	// Output: Order Placed
}

func ExampleDecompress() {
	decompress, err := envelope.Decompress(envelope.Limits{Bytes: 4 << 20})
	if err != nil {
		log.Fatal(err)
	}
	h := sluice.JSON(func(_ context.Context, o Order) error {
		fmt.Println(o.Item)
		return nil
	})
	encoding := types.MessageAttributeValue{DataType: new("String"), StringValue: new("gzip,base64")}
	err = decompress(h)(context.Background(), []*sluice.Message{{
		Body:       "H4sIAAAAAAACA6tWykxRsjLUUcosSc1VslIqSU1UqgUAxnQfXBUAAAA=",
		Attributes: map[string]types.MessageAttributeValue{"Content-Encoding": encoding},
	}})
	if err != nil {
		log.Fatal(err)
	}
	// Output: tea
}

// A middleware in front of the others sends what no try will cure to the dead-letter queue.
func ExampleError() {
	deadLetter := func(next sluice.Handler) sluice.Handler {
		return func(ctx context.Context, batch []*sluice.Message) error {
			var errs []error
			for m, err := range sluice.Outcomes(batch, next(ctx, batch)) {
				if _, broken := errors.AsType[*envelope.Error](err); broken {
					err = sluice.DeadLetter(err)
				}
				errs = append(errs, sluice.Failed(m, err))
			}
			return errors.Join(errs...)
		}
	}
	h := deadLetter(sluice.JSON(func(context.Context, envelope.SNS[Order]) error { return nil }))
	err := h(context.Background(), []*sluice.Message{{Body: `{"Type":"Notification","TopicArn":7}`}})
	broken, _ := errors.AsType[*envelope.Error](err)
	fmt.Println(broken)
	fmt.Println(sluice.OutcomeOf(err).Kind == sluice.OutcomeDeadLetter)
	// Output:
	// envelope: SNS notification: TopicArn is a number, want a string
	// true
}
