package sqstest_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/sqstest"
)

// FuzzAMessageSurvivesTheWire sends and receives with the SDK's client: what the queue accepts comes
// out as it went in, and what it refuses is refused as a mistake of the sender's.
func FuzzAMessageSurvivesTheWire(f *testing.F) {
	f.Add("hello", "name", "String", "value", []byte(nil), "group")
	f.Add("\"\\\u2028\U0001f600\t\r\n<&>", "a.b-c_d", "Number.x", "-1e3", []byte(nil), "")
	f.Add("x", "b", "Binary.png", "", []byte{0, 0xff, 0x80}, "g!~")
	f.Add("\x00", "", "Date", "", []byte{}, " ")
	f.Fuzz(func(t *testing.T, body, name, dataType, value string, raw []byte, group string) {
		// JSON carries nothing else; the SDK sends marks in its place, and then complains of the digest.
		for _, text := range []*string{&body, &name, &dataType, &value, &group} {
			*text = strings.ToValidUTF8(*text, "\ufffd")
		}
		s := sqstest.New()
		client := s.Client(func(o *sqs.Options) { o.RetryMaxAttempts = 1 })
		url := s.MustCreateQueue("q", nil)
		a := types.MessageAttributeValue{DataType: &dataType}
		if raw == nil {
			a.StringValue = &value
		} else {
			a.BinaryValue = raw
		}
		in := &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &body, MessageAttributes: map[string]types.MessageAttributeValue{name: a}}
		if group != "" {
			in.MessageGroupId = &group
		}
		sent, err := client.SendMessage(t.Context(), in)
		if err != nil {
			api, ok := errors.AsType[smithy.APIError](err)
			require.True(t, ok, "%v", err)
			require.Contains(t, []string{"InvalidParameterValue", "MissingParameter", "InvalidMessageContents"}, api.ErrorCode(), "%v", err)
			return
		}
		out, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
			QueueUrl: &url, MessageAttributeNames: []string{"All"},
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
		})
		require.NoError(t, err)
		require.Len(t, out.Messages, 1)
		m := out.Messages[0]
		require.Equal(t, body, *m.Body)
		require.Equal(t, in.MessageAttributes, m.MessageAttributes)
		require.Equal(t, sent.MD5OfMessageAttributes, m.MD5OfMessageAttributes)
		require.Equal(t, group, m.Attributes["MessageGroupId"])
		_, err = client.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: m.ReceiptHandle})
		require.NoError(t, err)
		require.Empty(t, s.Messages(url))
	})
}
