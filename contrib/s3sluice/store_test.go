package s3sluice_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/contrib/s3sluice"
	"github.com/sluice-go/sluice/sqstest"
)

// failingPuts is a client whose puts fail, or must not be made.
type failingPuts struct{ err error }

func (f failingPuts) PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	if f.err == nil {
		panic("there is a request")
	}
	return nil, f.err
}

func TestWhatPutWritesFetchReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, legacy := range []bool{false, true} {
			client, server := fakeS3(t), sqstest.New()
			queue := server.MustCreateQueue("orders", nil)
			body := strings.Repeat("é", 1<<20)
			given := map[string]types.MessageAttributeValue{"kind": number("7")}
			store := s3sluice.Store{Client: client, Bucket: bucket, Prefix: "orders/", Legacy: legacy}
			text, attributes, err := store.Put(t.Context(), body, given)
			require.NoError(t, err)
			require.Len(t, given, 1, "the map is not changed")
			_, err = server.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &queue, MessageBody: &text, MessageAttributes: attributes})
			require.NoError(t, err)

			c, err := sluice.New(server, queue, sluice.Options{Middleware: []func(sluice.Handler) sluice.Handler{fetch(t, client, s3sluice.Options{Prefix: "orders/"})}})
			require.NoError(t, err)
			n := 0
			require.NoError(t, c.Drain(t.Context(), sluice.Each(func(_ context.Context, m *sluice.Message) error {
				n++
				require.Equal(t, body, m.Body)
				require.Equal(t, "7", *m.Attributes["kind"].StringValue)
				require.Len(t, m.Attributes, 1)
				return nil
			})))
			require.Equal(t, 1, n)
		}
	})
}

func TestPutWritesWhatAmazonsClientsWrite(t *testing.T) {
	client := fakeS3(t)
	for legacy, want := range map[bool][2]string{false: {"ExtendedPayloadSize", newClass}, true: {"SQSLargePayloadSize", oldClass}} {
		text, attributes, err := s3sluice.Store{Client: client, Bucket: bucket, Prefix: "a/", Legacy: legacy, Over: 1}.Put(t.Context(), "éé", nil)
		require.NoError(t, err)
		require.Equal(t, map[string]types.MessageAttributeValue{want[0]: number("4")}, attributes, "bytes, not characters")
		var parts []any
		require.NoError(t, json.Unmarshal([]byte(text), &parts))
		require.Len(t, parts, 2)
		require.Equal(t, want[1], parts[0])
		fields, _ := parts[1].(map[string]any)
		require.Len(t, fields, 2)
		require.Equal(t, bucket, fields["s3BucketName"])
		require.Regexp(t, `^a/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, fields["s3Key"])
		require.True(t, strings.HasPrefix(text, `["`+want[1]+`",{"s3BucketName":"orders-payloads","s3Key":"a/`), "as Amazon's clients, to the byte: %s", text)
	}
}

func TestSmallMessagesStayAsTheyAre(t *testing.T) {
	store := s3sluice.Store{Client: failingPuts{}, Bucket: bucket}
	attributes := map[string]types.MessageAttributeValue{"kind": number("7"), "b": {DataType: new("Binary"), BinaryValue: []byte{1, 2, 3}}}
	size := len("kindNumber7") + len("bBinary") + 3
	for _, n := range []int{0, 1, 256<<10 - size} {
		body := strings.Repeat("x", n)
		text, got, err := store.Put(t.Context(), body, attributes)
		require.NoError(t, err)
		require.Equal(t, body, text)
		require.Equal(t, attributes, got)
	}
	require.Panics(t, func() { _, _, _ = store.Put(t.Context(), strings.Repeat("x", 256<<10-size+1), attributes) })
}

func TestNothingIsSentIfPutFails(t *testing.T) {
	for _, tt := range []struct {
		store      s3sluice.Store
		attributes int
		want       string
	}{
		{s3sluice.Store{Client: failingPuts{errBad}, Bucket: bucket}, 9, "s3sluice: putting a payload into bucket orders-payloads: bad"},
		{s3sluice.Store{Client: failingPuts{}, Bucket: bucket}, 10, "the message has 10 attributes, want at most 9, since a pointer to S3 takes one"},
		{s3sluice.Store{}, 0, "s3sluice: Client is nil, want one such as *s3.Client\ns3sluice: Bucket is empty, want the name of a bucket"},
		{s3sluice.Store{Client: failingPuts{}, Bucket: bucket, Over: -1}, 0, "Over is -1, want 1 to 1048576"},
		{s3sluice.Store{Client: failingPuts{}, Bucket: bucket, Over: 2 << 20}, 0, "Over is 2097152, want 1 to 1048576"},
		{s3sluice.Store{Client: failingPuts{}, Bucket: bucket, Prefix: "/a"}, 0, `Prefix is "/a", want`},
		{s3sluice.Store{Client: failingPuts{}, Bucket: bucket, Prefix: "a/../b"}, 0, `Prefix is "a/../b", want`},
		{s3sluice.Store{Client: failingPuts{}, Bucket: bucket, Prefix: "a/./b"}, 0, `Prefix is "a/./b", want`},
		{s3sluice.Store{Client: failingPuts{}, Bucket: bucket, Prefix: "a b"}, 0, `Prefix is "a b", want`},
		{s3sluice.Store{Client: failingPuts{}, Bucket: bucket, Prefix: strings.Repeat("a", 989)}, 0, "Prefix is"},
	} {
		attributes := map[string]types.MessageAttributeValue{}
		for i := range tt.attributes {
			attributes[fmt.Sprint("a", i)] = number(strconv.Itoa(i))
		}
		_, _, err := tt.store.Put(t.Context(), strings.Repeat("x", 1<<20), attributes)
		require.ErrorContains(t, err, tt.want)
	}
	for _, name := range []string{"ExtendedPayloadSize", "SQSLargePayloadSize"} {
		_, _, err := s3sluice.Store{Client: failingPuts{}, Bucket: bucket}.Put(t.Context(), "small", map[string]types.MessageAttributeValue{name: number("1")})
		require.ErrorContains(t, err, "the message has the attribute "+name+", which is for pointers to S3")
	}
	_, _, err := s3sluice.Store{Client: failingPuts{}, Bucket: bucket}.Put(t.Context(), "x", map[string]types.MessageAttributeValue{"a": {DataType: new("String"), StringValue: new(strings.Repeat("x", 1<<20-100))}})
	require.ErrorContains(t, err, "bytes without its body, want at most 1048576")
}

func FuzzPointersLeadNowhereElse(f *testing.F) {
	for _, body := range []string{
		pointerTo("", "orders/k", 1).Body, pointerTo("", "orders/../k", 1).Body, `["` + oldClass + `",{"s3BucketName":"orders-payloads","s3Key":"orders/k"}]`,
		`["` + newClass + `",{"s3BucketName":"orders-payloads","s3BucketName":"x","s3Key":"orders/k"}]`, `[[[[`, `{}`, ``, "[\"" + newClass + "\",{\"s3BucketName\":\"orders-payloads\",\"s3Key\":\"orders/\xff\"}]",
	} {
		f.Add(body, "10")
	}
	f.Fuzz(func(t *testing.T, body, size string) {
		client := &recorder{}
		m := &sluice.Message{ID: "a", Body: body, Attributes: map[string]types.MessageAttributeValue{"ExtendedPayloadSize": number(size)}}
		err := fetch(t, client, s3sluice.Options{Prefix: "orders/"})(func(context.Context, []*sluice.Message) error { panic("called") })(t.Context(), []*sluice.Message{m})
		require.Error(t, err)
		for _, in := range client.got {
			require.Equal(t, bucket, *in.Bucket)
			require.True(t, strings.HasPrefix(*in.Key, "orders/"))
			for segment := range strings.SplitSeq(*in.Key, "/") {
				require.NotContains(t, []string{".", ".."}, segment)
			}
			require.Equal(t, &s3.GetObjectInput{Bucket: in.Bucket, Key: in.Key}, in, "nothing else is asked for")
		}
	})
}

// recorder is a client that has nothing, and records what it was asked for.
type recorder struct{ got []*s3.GetObjectInput }

func (r *recorder) GetObject(_ context.Context, in *s3.GetObjectInput, _ ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	r.got = append(r.got, in)
	return nil, errBad
}
