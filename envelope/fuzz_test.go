package envelope_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/envelope"
)

// addGolden adds the golden files as seeds: with a canary inside, where one half ends and the other begins.
func addGolden(f *testing.F, names ...string) {
	f.Helper()
	for _, name := range names {
		body := golden(f, name)
		for _, part := range []string{`":"`, `" : "`, `",`, "{", "}"} {
			if before, after, found := strings.Cut(body, part); found {
				f.Add(before+part, after)
			}
		}
		f.Add(body, "")
		f.Add("", body)
	}
	f.Add("{", "}")
	f.Add(`{"Type":"Notification","Type":"`, `","TopicArn":1,"Message":{}}`)
	f.Add(`{"source":"a","source":"`, `","detail-type":null,"detail":[]}`)
}

// fuzzBodies decodes bodies as a T: no error repeats what stands in the body, and what is read is written and
// read again as the same.
func fuzzBodies[T any](f *testing.F, check func(t *testing.T, body string, v T)) {
	f.Helper()
	f.Fuzz(func(t *testing.T, before, after string) {
		for _, body := range []string{before + after, before + canary + after} {
			v, err := decode[T](t, body)
			if err != nil {
				requireQuietIfOnlyHere(t, before+after, err)
				continue
			}
			require.True(t, json.Valid([]byte(body)))
			requireRoundTrip(t, v)
			check(t, body, v)
		}
	})
}

// requireQuietIfOnlyHere is requireQuiet for fuzzed text, which may have texts of ours by chance.
func requireQuietIfOnlyHere(t *testing.T, fuzzed string, err error) {
	t.Helper()
	if !strings.Contains(fuzzed, "4n4r") && !strings.Contains(fuzzed, "123456789") {
		requireQuiet(t, err)
	}
}

// member returns what encoding/json says that a member is.
func member(t *testing.T, body, name string) any {
	t.Helper()
	var all map[string]any
	require.NoError(t, json.Unmarshal([]byte(body), &all))
	return all[name]
}

func FuzzSNS(f *testing.F) {
	addGolden(f, "sns.json", "sns_fifo.json", "sns_text.json", "sns_confirmation.json")
	fuzzBodies(f, func(t *testing.T, body string, n envelope.SNS[string]) {
		require.Equal(t, "Notification", member(t, body, "Type"))
		require.Equal(t, n.TopicARN, member(t, body, "TopicArn"))
		require.Equal(t, n.Message, member(t, body, "Message"))
	})
}

func FuzzEventBridge(f *testing.F) {
	addGolden(f, "eventbridge.json", "eventbridge_s3.json")
	fuzzBodies(f, func(t *testing.T, body string, e envelope.EventBridge[map[string]any]) {
		require.Equal(t, e.Source, member(t, body, "source"))
		require.Equal(t, e.Detail, member(t, body, "detail"))
	})
}

func FuzzS3Event(f *testing.F) {
	addGolden(f, "s3.json", "s3_test_event.json")
	fuzzBodies(f, func(t *testing.T, body string, e envelope.S3Event) {
		records, _ := member(t, body, "Records").([]any)
		require.Len(t, e.Records, len(records))
		require.Equal(t, e.Test, len(records) == 0)
	})
}

func FuzzCloudEvent(f *testing.F) {
	addGolden(f, "cloudevent.json", "cloudevent_bare.json", "cloudevent_binary_data.json", "cloudevent_text.json")
	fuzzBodies(f, func(t *testing.T, body string, e envelope.CloudEvent[any]) {
		require.Equal(t, e.Source, member(t, body, "source"))
		require.Equal(t, e.ID, member(t, body, "id"))
	})
}

func FuzzBinaryCloudEvent(f *testing.F) {
	f.Add("1.0", "1", "/s", "t", "2026-11-29T05:15:30Z", "application/json", "ce-tenant", "acme", `{"order":1}`)
	f.Add("1.0", "1", "/s", "t", "", "text/plain", "CE-ID", "2", "text")
	f.Add("2", "", "", "", "yesterday", ";;", "content-type", "", "")
	f.Fuzz(func(t *testing.T, version, id, source, kind, at, media, name, value, body string) {
		m := &sluice.Message{ID: "m", Body: body, Attributes: map[string]types.MessageAttributeValue{}}
		for name, value := range map[string]string{
			"ce-specversion": version, "ce-id": id, "ce-source": source, "ce-type": kind, "ce-time": at, "Content-Type": media, name: value,
		} {
			m.Attributes[name] = types.MessageAttributeValue{DataType: new("String"), StringValue: &value}
		}
		e, err := envelope.ReadCloudEvent[[]byte](m)
		if err != nil {
			return
		}
		require.Equal(t, body, string(e.Data))
		s, err := unwrapOne(t, envelope.Options{CloudEventSources: []string{envelope.Any}}, m)
		require.NoError(t, err)
		require.Equal(t, e.CloudEventHeader, *s.origin.CloudEvent)
	})
}

// FuzzUnwrap passes bodies through Unwrap: the handler gets them as they are, or what is inside, and an error
// repeats nothing of them.
func FuzzUnwrap(f *testing.F) {
	addGolden(f, "sns.json", "sns_fifo.json", "sns_confirmation.json", "eventbridge.json", "s3.json", "cloudevent.json", "cloudevent_binary_data.json")
	listed := envelope.Options{Topics: []string{ordersTopic}, EventBridgeSources: []string{"com.acme.orders"}, CloudEventSources: []string{"/orders"}}
	f.Fuzz(func(t *testing.T, before, after string) {
		body := before + canary + after
		for _, body := range []string{body, before + after, inSNS(t, ordersTopic, strings.ToValidUTF8(body, ""))} {
			s, err := unwrapOne(t, all, &sluice.Message{Body: body})
			if err != nil {
				requireQuietIfOnlyHere(t, before+after, err)
			} else {
				require.Equal(t, !s.opened, s.message.Body == body)
			}
			s, err = unwrapOne(t, listed, &sluice.Message{Body: body})
			if err != nil || !s.opened {
				continue
			}
			for _, from := range []struct {
				listed string
				is     bool
			}{
				{ordersTopic, s.origin.SNS == nil || s.origin.SNS.TopicARN == ordersTopic},
				{"com.acme.orders", s.origin.EventBridge == nil || s.origin.EventBridge.Source == "com.acme.orders"},
				{"/orders", s.origin.CloudEvent == nil || s.origin.CloudEvent.Source == "/orders"},
			} {
				require.True(t, from.is, from.listed)
			}
		}
	})
}

func FuzzDecompress(f *testing.F) {
	f.Add(compress(f, `{"order":1}`), "gzip,base64")
	f.Add(compress(f, "a", "b"), "gzip")
	f.Add("H4sIAAAAAAAA", "gzip")
	f.Add("", "identity")
	middleware, err := envelope.Decompress(envelope.Limits{Bytes: 100_000})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, body, encoding string) {
		m := encoded(body, encoding)
		called := false
		err := middleware(func(_ context.Context, batch []*sluice.Message) error {
			called = true
			require.True(t, len(batch[0].Body) <= 100_000 || batch[0].Body == body)
			return nil
		})(t.Context(), []*sluice.Message{m})
		require.Equal(t, err == nil, called)
		// What is compressed here is what comes out.
		s, err := decompress(t, envelope.Limits{Ratio: 10_000}, encoded(compress(t, body), "gzip,base64"))
		require.NoError(t, err)
		require.Equal(t, body, s.message.Body)
	})
}
