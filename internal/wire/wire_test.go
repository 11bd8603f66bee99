package wire_test

import (
	"bytes"
	"context"
	"crypto/md5" // the digest that SQS sends
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/wire"
)

// answer is an HTTP client that answers every call alike.
type answer struct {
	status int
	kind   string // of content
	body   io.Reader
}

func (a answer) Do(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: a.status, ProtoMajor: 1, ProtoMinor: 1, Request: r, ContentLength: -1, Body: io.NopCloser(a.body),
		Header: http.Header{"Content-Type": {a.kind}, "X-Amzn-Requestid": {"request-1"}},
	}, nil
}

// say is an answer of SQS with the given text.
func say(text string) answer {
	return answer{http.StatusOK, "application/x-amz-json-1.0", strings.NewReader(text)}
}

func client(a sqs.HTTPClient, optFns ...func(*sqs.Options)) *sqs.Client {
	return sqs.New(sqs.Options{
		Region: "us-east-1", HTTPClient: a, Retryer: aws.NopRetryer{}, BaseEndpoint: new("http://sqs.example.com"),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "key", SecretAccessKey: "secret"}, nil
		}),
	}, optFns...)
}

func receive(a answer, optFns ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	return client(a, optFns...).ReceiveMessage(context.Background(), &sqs.ReceiveMessageInput{QueueUrl: new("http://sqs.example.com/1/orders")})
}

func remove(a answer, optFns ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	return client(a, optFns...).DeleteMessageBatch(context.Background(), &sqs.DeleteMessageBatchInput{
		QueueUrl: new("http://sqs.example.com/1/orders"),
		Entries:  []types.DeleteMessageBatchRequestEntry{{Id: new("0"), ReceiptHandle: new("handle")}},
	})
}

// same requires that a call's answer is the same with this package and without.
func same(t *testing.T, text string) {
	t.Helper()
	theirs, theirErr := receive(say(text))
	ours, ourErr := receive(say(text), wire.Fit)
	require.Equal(t, failure(theirErr), failure(ourErr), "%q", text)
	if theirErr == nil {
		require.Equal(t, theirs.Messages, ours.Messages, "%q", text)
	}
	ours, ourErr = past(t, text)
	require.Equal(t, failure(theirErr), failure(ourErr), "%q", text)
	if theirErr == nil {
		require.Equal(t, theirs.Messages, ours.Messages, "%q", text)
	}
	without := func(o *sqs.Options) { o.DisableMessageChecksumValidation = true }
	theirs, theirErr = receive(say(text), without)
	ours, ourErr = receive(say(text), without, wire.Fit)
	require.Equal(t, failure(theirErr), failure(ourErr), "%q", text)
	if theirErr == nil {
		require.Equal(t, theirs.Messages, ours.Messages, "%q", text)
	}

	deleted, theirErr := remove(say(text))
	ourDeleted, ourErr := remove(say(text), wire.Fit)
	require.Equal(t, failure(theirErr), failure(ourErr), "%q", text)
	if theirErr == nil {
		require.Equal(t, deleted.Successful, ourDeleted.Successful, "%q", text)
		require.Equal(t, deleted.Failed, ourDeleted.Failed, "%q", text)
	}

	changed, theirErr := client(say(text)).ChangeMessageVisibilityBatch(context.Background(), aChange)
	ourChanged, ourErr := client(say(text), wire.Fit).ChangeMessageVisibilityBatch(context.Background(), aChange)
	require.Equal(t, failure(theirErr), failure(ourErr), "%q", text)
	if theirErr == nil {
		require.Equal(t, changed.Successful, ourChanged.Successful, "%q", text)
		require.Equal(t, changed.Failed, ourChanged.Failed, "%q", text)
	}
}

// past receives an answer past the client.
func past(t *testing.T, text string) (*sqs.ReceiveMessageOutput, error) {
	t.Helper()
	s := newSetup().goStraight()
	require.NoError(t, s.all(s.fit))
	s.direct.answers = append(s.direct.answers, func() (*http.Response, error) { return respond(http.StatusOK, time.Now(), text) })
	defer func() { require.Len(t, s.direct.requests, 1) }()
	return call(s, aReceive, s.client.ReceiveMessage, s.fit)
}

func failure(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func digest(body string) string {
	sum := md5.Sum([]byte(body))
	return hex.EncodeToString(sum[:])
}

// message is a message as SQS sends it.
func message(body string) string {
	quoted, err := json.Marshal(body)
	if err != nil {
		panic(err) // a string has its JSON
	}
	return fmt.Sprintf(`{"MessageId":"5fea7756-0ea4-451a-a703-a558b933e274","ReceiptHandle":"AQEB+/=","MD5OfBody":%q,"Body":%s,`+
		`"Attributes":{"ApproximateReceiveCount":"1","SentTimestamp":"1700000000000","MessageGroupId":"tenant"}}`, digest(body), quoted)
}

// texts are answers of all kinds.
func texts() []string {
	m := message("hello")
	return []string{
		``, ` `, `{}`, `null`, `[]`, `x`, `{"Messages":[]}`, `{"Messages":null}`, `{"Messages":{}}`, `{"Messages":[null]}`, `{"Messages":[{}]}`,
		`{"Messages":[` + m + `]}`,
		` { "Messages" : [ ` + strings.ReplaceAll(m, ",", " ,\n\t") + " ] } \r\n",
		`{"Messages":[` + m + `,]}`, `{"Messages":[` + m + `],}`, `{"Messages":[` + m + `]`, `{"Messages":[` + m + `]}x`, `{"Messages":[,` + m + `]}`,
		`{"Messages":[` + strings.Repeat(m+",", 9) + m + `]}`,
		`{"Messages":[` + strings.Repeat(m+",", 10) + m + `]}`,
		`{"Messages":[` + m + `],"Messages":[]}`, `{"Messages":[],"Messages":[` + m + `]}`,
		`{"Messages":[` + m + `],"NextToken":{"a":[1,2,true,null]}}`,
		`{"Messages":[` + message("a \"quoted\" \\ body / with\nlines\tand ünïcödé and 🦥, <html> & so on") + `]}`,
		`{"Messages":[` + message(strings.Repeat("x", 100_000)+`"`) + `]}`,
		`{"Messages":[{"Body":"\u0041\ud83e\udda5\/\b\f\n\r\t"}]}`,
		`{"Messages":[{"Body":"\ud83e"}]}`, `{"Messages":[{"Body":"\ud83e\u0041"}]}`, `{"Messages":[{"Body":"\udda5"}]}`, `{"Messages":[{"Body":"\ufffd"}]}`,
		`{"Messages":[{"Body":"\u00zz"}]}`, `{"Messages":[{"Body":"\u00"}]}`, `{"Messages":[{"Body":"\x"}]}`, `{"Messages":[{"Body":"\`, `{"Messages":[{"Body":"\"`,
		"{\"Messages\":[{\"Body\":\"\x01\"}]}", "{\"Messages\":[{\"Body\":\"12345678\x1f\"}]}", "{\"Messages\":[{\"Body\":\"\xff\"}]}", "{\"Messages\":[{\"Body\":\"\\n\xff\"}]}",
		"{\"Messages\":[{\"Body\":\"\x7f\u0080\u07ff\uffff\"}]}",
		`{"Messages":[{"Body":7}]}`, `{"Messages":[{"Body":null}]}`, `{"Messages":[{"Body":"a","Body":"b\n"}]}`, `{"Messages":[{"Body":"a\n","Body":"b\n"}]}`,
		`{"Messages":[{"Body":"hello","MD5OfBody":"` + digest("hello") + `"}]}`, `{"Messages":[{"Body":"hello","MD5OfBody":"` + digest("bye") + `"}]}`,
		`{"Messages":[{"MD5OfBody":"` + digest("") + `"}]}`, `{"Messages":[{"Body":"","MD5OfBody":"` + digest("") + `"}]}`, `{"Messages":[{"Body":"","MD5OfBody":""}]}`,
		`{"Messages":[{"MessageId":"a\nb"}]}`, `{"Messages":[{"M\u0065ssageId":"a"}]}`, `{"Messages":[{"messageid":"a"}]}`, `{"Messages":[{"New":"a"}]}`,
		`{"Messages":[{"Attributes":{}}]}`, `{"Messages":[{"Attributes":null}]}`, `{"Messages":[{"Attributes":{"SenderId":null}}]}`,
		`{"Messages":[{"Attributes":{"Later":"x"}}]}`, `{"Messages":[{"Attributes":{"SenderId":"a","SenderId":"b"},"Attributes":{"AWSTraceHeader":"Root=1"}}]}`,
		`{"Messages":[{"Attributes":{` + strings.Repeat(`"SenderId":"a",`, 12) + `"SenderId":"b"}}]}`,
		`{"Messages":[{"MD5OfMessageAttributes":"0123","MessageAttributes":{}}]}`,
		`{"Messages":[{"MessageAttributes":{"a":{"DataType":"String","StringValue":"x\ny"},"b":{"DataType":"Binary","BinaryValue":"AAEC"},"c":{}}}]}`,
		`{"Messages":[{"MessageAttributes":{"a":{"BinaryValue":"A"}}}]}`, `{"Messages":[{"MessageAttributes":{"a":{"BinaryValue":"AA\n=="}}}]}`, `{"Messages":[{"MessageAttributes":{"a":{"BinaryValue":null}}}]}`,
		`{"Messages":[{"MessageAttributes":{"a":{"StringListValues":["x"],"BinaryListValues":["AA=="]}}}]}`, `{"Messages":[{"MessageAttributes":{"a":null}}]}`,
		`{"Messages":[{"Body":"x\n","MessageAttributes":{"a":{"StringValue":"y\n"}}}]}`,
		`{"Successful":[{"Id":"0"},{"Id":"9"}],"Failed":[]}`, `{"Successful":[{"Id":"0"}]}`, `{"Failed":[]}`, `{"Successful":[]}`, `{"Successful":null,"Failed":null}`,
		`{"Successful":[{"Id":"10"}]}`, `{"Successful":[{"Id":""}]}`, `{"Successful":[{"Id":"a"}]}`, `{"Successful":[{}]}`, `{"Successful":[{"Id":"1","Id":"2"}]}`, `{"Successful":[{"Id":"1"},]}`, `{"Successful":[{"Id":1}]}`, `{"Successful":[{"Other":"1"}]}`,
		`{"Successful":[` + strings.Repeat(`{"Id":"1"},`, 11) + `{"Id":"1"}]}`,
		`{"Successful":[],"Failed":[{"Id":"3","Code":"InternalError","SenderFault":false,"Message":"again"}]}`,
	}
}

func TestAnswersAreWhatTheSDKMakesOfThem(t *testing.T) {
	for _, text := range texts() {
		same(t, text)
	}
}

func FuzzAnswersAreWhatTheSDKMakesOfThem(f *testing.F) {
	for _, text := range texts() {
		if len(text) < 10_000 {
			f.Add(text)
		}
	}
	f.Fuzz(same)
}

func TestWrongDigestFailsTheReceive(t *testing.T) {
	wrong := strings.Replace(message("hello"), digest("hello"), digest("bye"), 1)
	_, err := receive(say(`{"Messages":[`+message("good")+`,`+wrong+`]}`), wire.Fit)
	require.ErrorContains(t, err, "message checksum validation failed")
	require.ErrorContains(t, err, "5fea7756-0ea4-451a-a703-a558b933e274 has invalid checksum")
}

func TestWrongDigestPassesWhereNobodyChecks(t *testing.T) {
	out, err := receive(say(`{"Messages":[{"Body":"hello","MD5OfBody":"wrong"}]}`), func(o *sqs.Options) { o.DisableMessageChecksumValidation = true }, wire.Fit)
	require.NoError(t, err)
	require.Equal(t, "wrong", *out.Messages[0].MD5OfBody)
}

func TestRequestIDIsKnown(t *testing.T) {
	out, err := receive(say(`{"Messages":[`+message("hello")+`]}`), wire.Fit)
	require.NoError(t, err)
	id, _ := middleware.GetRequestIDMetadata(out.ResultMetadata)
	require.Equal(t, "request-1", id)
}

func TestErrorsAreTheSDKs(t *testing.T) {
	refused := answer{http.StatusBadRequest, "application/x-amz-json-1.0", strings.NewReader(`{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"gone"}`)}
	_, err := receive(refused, wire.Fit)
	_, ok := errors.AsType[*types.QueueDoesNotExist](err)
	require.True(t, ok, "%v", err)
}

func TestOtherContentIsTheSDKs(t *testing.T) {
	other := answer{http.StatusOK, "application/json", strings.NewReader(`{"Messages":[` + message("hello") + `]}`)}
	out, err := receive(other, wire.Fit)
	require.NoError(t, err)
	require.NotNil(t, out.Messages[0].MD5OfBody, "ours leaves it out")
}

func TestBrokenAnswerIsTheSDKsError(t *testing.T) {
	broken := errors.New("connection lost")
	half := func() answer {
		return answer{http.StatusOK, "application/x-amz-json-1.0", io.MultiReader(strings.NewReader(`{"Messages":[`), iotest.ErrReader(broken))}
	}
	_, theirs := receive(half())
	_, ours := receive(half(), wire.Fit)
	require.ErrorIs(t, ours, broken)
	require.EqualError(t, ours, theirs.Error())
	_, ok := errors.AsType[*smithy.DeserializationError](ours)
	require.True(t, ok)
}

func TestForeignProtocolIsLeftAlone(t *testing.T) {
	o := sqs.Options{}
	wire.Fit(&o)
	require.Nil(t, o.Protocol)
}

func TestAnswersDoNotShareMemory(t *testing.T) {
	ask := func(body string) types.Message {
		out, err := receive(say(`{"Messages":[`+message(body)+`]}`), wire.Fit)
		require.NoError(t, err)
		return out.Messages[0]
	}
	first := ask("the\nfirst")
	for range 10 {
		ask("another\none")
	}
	require.Equal(t, "the\nfirst", *first.Body)
	require.Equal(t, "AQEB+/=", *first.ReceiptHandle)
	require.Equal(t, "tenant", first.Attributes["MessageGroupId"])
}

func BenchmarkReceive(b *testing.B) {
	var shortcut wire.Shortcut
	benchmarkReceive(b, func(o *sqs.Options) {
		wire.Fit(o)
		shortcut.Fit(o, o.HTTPClient)
	})
}

func BenchmarkReceiveThroughMiddleware(b *testing.B) { benchmarkReceive(b, wire.Fit) }

func BenchmarkReceiveBySDK(b *testing.B) { benchmarkReceive(b, func(*sqs.Options) {}) }

func benchmarkReceive(b *testing.B, fit func(*sqs.Options)) {
	text := `{"Messages":[` + strings.Repeat(message(strings.Repeat("x", 512))+",", 9) + message("x") + `]}`
	body := bytes.NewReader(nil)
	c := client(answer{http.StatusOK, "application/x-amz-json-1.0", body})
	in := &sqs.ReceiveMessageInput{QueueUrl: new("http://sqs.example.com/1/orders")}
	b.ReportAllocs()
	for b.Loop() {
		body.Reset([]byte(text))
		_, err := c.ReceiveMessage(b.Context(), in, fit)
		require.NoError(b, err)
	}
}
