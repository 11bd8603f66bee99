package envelope_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/envelope"
)

// Messages that programs of others send. None of them is needed to build or test this library.

// arrived returns the first message of each case that a script prints. It skips the test, loudly, if
// the script or what it runs on is not there.
func arrived(t *testing.T, missing string, command ...string) map[string]*sluice.Message {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Minute)
	defer stop()
	var out, wrong bytes.Buffer
	script := exec.CommandContext(ctx, command[0], command[1:]...)
	script.Stdout, script.Stderr = &out, &wrong
	err := script.Run()
	if errors.Is(err, exec.ErrNotFound) || slices.Contains([]int{77, 127}, script.ProcessState.ExitCode()) {
		t.Skip("SKIPPED: " + missing) // 77: said the script; 127: a launcher that has nothing to launch
	}
	require.NoError(t, err, wrong.String())
	messages := map[string]*sluice.Message{}
	for d := json.NewDecoder(&out); d.More(); {
		var m struct {
			Case       string                                 `json:"case"`
			Body       string                                 `json:"body"`
			Attributes map[string]types.MessageAttributeValue `json:"attributes"`
		}
		require.NoError(t, d.Decode(&m))
		if messages[m.Case] == nil { // moto sends some events twice
			messages[m.Case] = &sluice.Message{ID: m.Case, Body: m.Body, Attributes: m.Attributes}
		}
	}
	return messages
}

func TestWhatMotoSendsIsRead(t *testing.T) {
	messages := arrived(t, "nobody else's SNS, S3 and EventBridge were tried: there is no python3 with moto (pip install 'moto[sns,sqs,s3,events]' boto3)",
		"python3", "testdata/peers/send.py")
	const key = "in/my photo+1@home ä.jpg"
	want := order{1, `two "cups" & ä ☃`}

	n := mustDecode[envelope.SNS[order]](t, messages["sns"].Body)
	require.Equal(t, want, n.Message)
	require.Equal(t, "A new order", n.Subject)
	require.Equal(t, "arn:aws:sns:eu-central-1:123456789012:sns", n.TopicARN)
	require.False(t, n.Time.IsZero())
	require.Equal(t, map[string]types.MessageAttributeValue{
		"tenant":    {DataType: new("String"), StringValue: new("acme")},
		"priority":  {DataType: new("Number"), StringValue: new("7")},
		"thumbnail": {DataType: new("Binary"), BinaryValue: []byte{2, 3, 4}},
	}, n.Attributes)
	require.Equal(t, want, mustDecode[envelope.SNS[order]](t, messages["sns fifo"].Body).Message)

	for what, test := range map[string]bool{"s3": false, "s3 test": true} {
		direct := mustDecode[envelope.S3Event](t, messages[what].Body)
		byTopic := mustDecode[envelope.SNS[envelope.S3Event]](t, messages[strings.Replace(what, "s3", "s3 by sns", 1)].Body).Message
		for _, e := range []envelope.S3Event{direct, byTopic} {
			require.Equal(t, test, e.Test)
			if test {
				require.Empty(t, e.Records)
				continue
			}
			require.Len(t, e.Records, 1)
			require.Equal(t, key, e.Records[0].Key)
			require.Equal(t, "ObjectCreated:Put", e.Records[0].Name)
			require.EqualValues(t, 4, e.Records[0].Size)
		}
	}

	require.Equal(t, want, mustDecode[envelope.EventBridge[order]](t, messages["eventbridge"].Body).Detail)
	object := mustDecode[envelope.EventBridge[envelope.S3Detail]](t, messages["s3 by eventbridge"].Body)
	require.Equal(t, "Object Created", object.DetailType)
	require.Equal(t, key, object.Detail.Object.Key)

	// Unwrap gives the same body and attributes, with raw message delivery and without it.
	wrapped, err := unwrapOne(t, all, messages["sns"])
	require.NoError(t, err)
	raw, err := unwrapOne(t, all, messages["sns raw"])
	require.NoError(t, err)
	require.False(t, raw.opened)
	require.Equal(t, raw.message.Body, wrapped.message.Body)
	for name, v := range raw.message.Attributes {
		require.Equal(t, v, wrapped.message.Attributes[name])
	}
}

func TestWhatTheJavaScriptSDKOfCloudEventsSendsIsRead(t *testing.T) {
	messages := arrived(t, "nobody else's CloudEvents were tried: there is no node that finds cloudevents (npm install -g cloudevents@10.0.0, NODE_PATH=$(npm root -g))",
		"node", "testdata/peers/cloudevents.cjs")
	for mode := range strings.FieldsSeq("structured binary") {
		e, err := envelope.ReadCloudEvent[order](messages["json "+mode])
		require.NoError(t, err)
		require.Equal(t, envelope.CloudEvent[order]{
			CloudEventHeader: envelope.CloudEventHeader{
				ID: "A234", Source: "/orders", Type: "com.acme.order.placed", Subject: "1003", Time: at(t, "2026-11-29T05:15:30.123Z"),
				DataContentType: e.DataContentType, DataSchema: "https://acme.example/order.json", Extensions: map[string]string{"tenant": "acme"},
			},
			Data: order{1003, "ä ☃"},
		}, e)
		text, err := envelope.ReadCloudEvent[string](messages["text "+mode])
		require.NoError(t, err)
		require.Equal(t, `a "note"`, text.Data)
		s, err := unwrapOne(t, all, messages["json "+mode])
		require.NoError(t, err)
		require.JSONEq(t, `{"order":1003,"item":"ä ☃"}`, s.message.Body)
	}
	picture, err := envelope.ReadCloudEvent[[]byte](messages["bytes structured"])
	require.NoError(t, err)
	require.Equal(t, []byte{0x89, 'P', 'N', 'G'}, picture.Data)
}
