package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice/envelope"
	"github.com/sluice-go/sluice/sqstest"
)

const ordersTopic = "arn:aws:sns:eu-central-1:123456789012:orders"

// aws plays the services that feed the queues. There is nothing in it to copy.
type aws struct {
	server               *sqstest.Server
	client               *sqs.Client // the real SDK client
	orders, photos, dead string      // URLs of the queues
}

func newAWS() *aws {
	server := sqstest.New()
	return &aws{
		server: server, client: server.Client(),
		orders: server.MustCreateQueue("orders", nil), photos: server.MustCreateQueue("photos", nil), dead: server.MustCreateQueue("dead", nil),
	}
}

// send sends the messages, and returns when the consumers have deleted all of them.
func (a *aws) send(ctx context.Context) error {
	events := []struct {
		queue string
		event any
	}{
		{a.photos, envelope.S3Event{Test: true}},
		{a.orders, bySNS(ordersTopic, "New in the shop", `{"order":1000,"item":"coffee"}`)},
		{a.orders, byEventBridge("com.acme.shop", `{"order":1001,"item":"tea"}`)},
		{a.photos, envelope.S3Event{Records: []envelope.S3Record{
			{Name: "ObjectCreated:Put", Bucket: "photos", Key: "in/my kettle + cups.jpg", Size: 40_960}, // as in/my+kettle+%2B+cups.jpg
			{Name: "ObjectRemoved:Delete", Bucket: "photos", Key: "in/old.jpg"},
		}}},
		{a.orders, bySNS(ordersTopic, "", byEventBridge("com.acme.shop", `{"order":1002,"item":"a kettle"}`))},
		{a.orders, compressed(bySNS(ordersTopic, "Compressed", `{"order":1003,"item":"two cups"}`))},
		{a.orders, bySNS("arn:aws:sns:eu-central-1:999999999999:orders", "Forged", `{"order":1,"item":"everything"}`)},
		{a.orders, json.RawMessage(`{"Type":"Notification","TopicArn":"` + ordersTopic + `","Message":{"order":1004}}`)},
	}
	for _, e := range events {
		body, err := json.Marshal(e.event)
		if err != nil {
			return err
		}
		if _, err := a.client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &e.queue, MessageBody: new(string(body))}); err != nil {
			return fmt.Errorf("sending a message: %w", err)
		}
		if !sleep(ctx, 300*time.Millisecond) {
			return nil
		}
	}
	for a.server.Stats().Total.Deleted < len(events) && sleep(ctx, 10*time.Millisecond) {
	}
	return nil
}

// sleep reports whether it slept to the end.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// bySNS returns a notification. A message that is no text is sent as JSON.
func bySNS(topic, subject string, message any) envelope.SNS[any] {
	if text, ok := message.(string); ok {
		message = json.RawMessage(text)
	}
	return envelope.SNS[any]{
		SNSHeader: envelope.SNSHeader{TopicARN: topic, MessageID: "0", Subject: subject, Time: time.Now()}, Message: message,
	}
}

func byEventBridge(source, detail string) envelope.EventBridge[json.RawMessage] {
	return envelope.EventBridge[json.RawMessage]{
		EventBridgeHeader: envelope.EventBridgeHeader{ID: "0", Source: source, DetailType: "Order Placed", Time: time.Now()}, Detail: json.RawMessage(detail),
	}
}

// compressed returns n with its message compressed.
func compressed(n envelope.SNS[any]) envelope.SNS[string] {
	message, _ := n.Message.(json.RawMessage)
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(message) // to memory
	_ = w.Close()
	encoding := types.MessageAttributeValue{DataType: new("String"), StringValue: new("gzip,base64")}
	n.Attributes = map[string]types.MessageAttributeValue{"Content-Encoding": encoding}
	return envelope.SNS[string]{SNSHeader: n.SNSHeader, Message: base64.StdEncoding.EncodeToString(out.Bytes())}
}
