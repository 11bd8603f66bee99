package sqstest_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/sqstest"
)

// post sends a request as any SDK would and returns the answer.
func post(ctx context.Context, h http.Handler, op, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "http://queues.test:9324/", strings.NewReader(body))
	r.Header.Set("X-Amz-Target", "AmazonSQS."+op)
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// received are the bodies in the answer to a receive.
func received(t *testing.T, w *httptest.ResponseRecorder) []string {
	t.Helper()
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	var out sqs.ReceiveMessageOutput
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &out))
	bodies := make([]string, 0, len(out.Messages))
	for _, m := range out.Messages {
		bodies = append(bodies, *m.Body)
	}
	return bodies
}

func TestAnExplicitZeroWaitIsAShortPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sqstest.New()
		s.MustCreateQueue("q", map[string]string{"ReceiveMessageWaitTimeSeconds": "20"})
		begin := time.Now()
		require.Empty(t, received(t, post(t.Context(), s, "ReceiveMessage", `{"QueueUrl":"q","WaitTimeSeconds":0}`)))
		require.Zero(t, time.Since(begin))
		require.Empty(t, received(t, post(t.Context(), s, "ReceiveMessage", `{"QueueUrl":"q"}`)))
		require.Equal(t, 20*time.Second, time.Since(begin), "absent means the queue's")
	})
}

func TestAnExplicitZeroVisibilityHidesNothing(t *testing.T) {
	s := sqstest.New()
	s.MustCreateQueue("q", nil)
	s.Send("q", "a")
	for range 3 {
		require.Equal(t, []string{"a"}, received(t, post(t.Context(), s, "ReceiveMessage", `{"QueueUrl":"q","VisibilityTimeout":0}`)))
	}
	require.Equal(t, []string{"a"}, received(t, post(t.Context(), s, "ReceiveMessage", `{"QueueUrl":"q"}`)))
	require.Empty(t, received(t, post(t.Context(), s, "ReceiveMessage", `{"QueueUrl":"q"}`)), "absent means the queue's")
}

func TestAnExplicitZeroDelayOverridesTheQueues(t *testing.T) {
	s := sqstest.New()
	s.MustCreateQueue("q", map[string]string{"DelaySeconds": "900"})
	for _, body := range []string{`{"QueueUrl":"q","MessageBody":"now","DelaySeconds":0}`, `{"QueueUrl":"q","MessageBody":"late"}`} {
		require.Equal(t, http.StatusOK, post(t.Context(), s, "SendMessage", body).Code)
	}
	w := post(t.Context(), s, "SendMessageBatch", `{"QueueUrl":"q","Entries":[
		{"Id":"0","MessageBody":"later"},{"Id":"1","MessageBody":"now too","DelaySeconds":0}]}`)
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, []string{"now", "now too"}, received(t, post(t.Context(), s, "ReceiveMessage", `{"QueueUrl":"q","MaxNumberOfMessages":10}`)))
}

func TestAForgottenVisibilityIsNotZero(t *testing.T) {
	s := sqstest.New()
	s.MustCreateQueue("q", nil)
	w := post(t.Context(), s, "ChangeMessageVisibility", `{"QueueUrl":"q","ReceiptHandle":"h"}`)
	require.Equal(t, http.StatusBadRequest, w.Code)
	require.Equal(t, "MissingParameter;Sender", w.Header().Get("X-Amzn-Query-Error"))
}

func TestErrorsAreWrittenAsTheServiceWritesThem(t *testing.T) {
	s := sqstest.New()
	for op, fault := range map[string]error{
		"PurgeQueue":    sqstest.AccessDenied(),
		"ListQueues":    sqstest.Unavailable(),
		"DeleteQueue":   sqstest.Throttled(),
		"GetQueueUrl":   sqstest.InternalError(),
		"ListQueueTags": &types.OverLimit{Message: new("x"), ErrorCodeOverride: new("Over;\r\nLimit")},
	} {
		s.Inject(sqstest.Fault{Op: op, Err: fault})
	}
	for _, c := range []struct {
		op, body string
		status   int
		typ      string
		query    string
	}{
		{"ReceiveMessage", `{"QueueUrl":"q"}`, 400, "com.amazonaws.sqs#QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue;Sender"},
		{"ReceiveMessage", `{}`, 400, "com.amazonaws.sqs#MissingRequiredParameterException", "MissingParameter;Sender"},
		{"CreateQueue", `{"QueueName":"!"}`, 400, "com.amazonaws.sqs#InvalidParameterValueException", "InvalidParameterValue;Sender"},
		{"PurgeQueue", `{}`, 403, "com.amazonaws.sqs#AccessDeniedException", "AccessDenied;Sender"},
		{"ListQueues", ``, 503, "com.amazonaws.sqs#ServiceUnavailableException", "ServiceUnavailable;Receiver"},
		{"DeleteQueue", `{}`, 400, "com.amazonaws.sqs#RequestThrottled", "RequestThrottled;Sender"},
		{"GetQueueUrl", `{}`, 500, "com.amazonaws.sqs#InternalFailure", "InternalError;Receiver"},
		{"ListQueueTags", `{}`, 403, "com.amazonaws.sqs#OverLimit", "OverLimit;Sender"},
		{"Nonsense", `{}`, 400, "com.amazon.coral.service#UnknownOperationException", "UnknownOperationException;Sender"},
		{"ReceiveMessage", `{"QueueUrl"`, 400, "com.amazon.coral.service#SerializationException", "SerializationException;Sender"},
		{"ReceiveMessage", `[]`, 400, "com.amazon.coral.service#SerializationException", "SerializationException;Sender"},
		{"ReceiveMessage", `{"MaxNumberOfMessages":"ten"}`, 400, "com.amazon.coral.service#SerializationException", "SerializationException;Sender"},
		{"ReceiveMessage", `{"MaxNumberOfMessages":99999999999}`, 400, "com.amazon.coral.service#SerializationException", "SerializationException;Sender"},
	} {
		w := post(t.Context(), s, c.op, c.body)
		require.Equal(t, c.status, w.Code, "%s %s", c.op, c.body)
		require.Equal(t, c.query, w.Header().Get("X-Amzn-Query-Error"))
		require.NotEmpty(t, w.Header().Get("X-Amzn-Requestid"))
		var body map[string]string
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body))
		require.Equal(t, c.typ, body["__type"])
		require.Contains(t, body, "message")
	}
}

func TestRequestsOfOtherProtocolsAreToldSo(t *testing.T) {
	s := sqstest.New()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader("Action=ListQueues"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	require.Equal(t, http.StatusBadRequest, w.Code)
	require.Equal(t, "text/xml", w.Header().Get("Content-Type"))
	require.Contains(t, w.Body.String(), "query protocol")

	w = httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	require.Equal(t, http.StatusMethodNotAllowed, w.Code)
}

func TestABodyIsNotReadWithoutBound(t *testing.T) {
	w := post(t.Context(), sqstest.New(), "SendMessage", strings.Repeat(" ", 16<<20+1))
	require.Equal(t, http.StatusRequestEntityTooLarge, w.Code)
}

func TestQueueURLsAreReachable(t *testing.T) {
	s := sqstest.New()
	const url = "http://queues.test:9324/000000000000/q"
	for _, c := range []struct{ op, in, key string }{
		{"CreateQueue", `{"QueueName":"q"}`, `"QueueUrl":"`},
		{"GetQueueUrl", `{"QueueName":"q"}`, `"QueueUrl":"`},
		{"ListQueues", `{}`, `"QueueUrls":["`},
	} {
		require.Contains(t, post(t.Context(), s, c.op, c.in).Body.String(), c.key+url+`"`)
	}
	s.Send("q", "a")
	require.Equal(t, []string{"a"}, received(t, post(t.Context(), s, "ReceiveMessage", `{"QueueUrl":"`+url+`"}`)))
}

func TestALongPollEndsWithItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sqstest.New()
		s.MustCreateQueue("q", nil)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begin := time.Now()
		w := post(ctx, s, "ReceiveMessage", `{"QueueUrl":"q","WaitTimeSeconds":20}`)
		require.Equal(t, 3*time.Second, time.Since(begin))
		require.Equal(t, http.StatusServiceUnavailable, w.Code, "an empty answer would be a lie")
	})
}

func TestAResetAbortsTheConnection(t *testing.T) {
	s := sqstest.New()
	s.Inject(sqstest.Fault{Err: sqstest.Reset()})
	require.PanicsWithValue(t, http.ErrAbortHandler, func() { post(t.Context(), s, "ListQueues", "{}") })
}

// FuzzServeHTTP: whatever is sent, the answer is JSON with a sensible status.
func FuzzServeHTTP(f *testing.F) {
	f.Add("ReceiveMessage", `{"QueueUrl":"q","MaxNumberOfMessages":10}`)
	f.Add("SendMessage", `{"QueueUrl":"q.fifo","MessageBody":"a","MessageGroupId":"g","MessageAttributes":{"a":{"DataType":"Binary","BinaryValue":"AA=="}}}`)
	f.Add("SendMessageBatch", `{"QueueUrl":"q","Entries":[{"Id":"0"},{}]}`)
	f.Add("SendMessageBatch", `{"QueueUrl":"q","Entries":null}`)
	f.Add("DeleteMessageBatch", `{"QueueUrl":"q","Entries":[{"Id":"0","ReceiptHandle":"AQEBAAAAAgAAAAAAAAABAAAAAcaA5zg"}]}`)
	f.Add("ChangeMessageVisibilityBatch", `{"QueueUrl":"q","Entries":[{}]}`)
	f.Add("CreateQueue", `{"QueueName":"x","Attributes":{"RedrivePolicy":"{}"},"tags":{"a":"b"}}`)
	f.Add("StartMessageMoveTask", `{"SourceArn":"x"}`)
	f.Add("ListMessageMoveTasks", `{"SourceArn":"arn:aws:sqs:us-east-1:000000000000:q"}`)
	f.Add("CancelMessageMoveTask", `{"TaskHandle":""}`)
	f.Add("AddPermission", `{"QueueUrl":"q"}`)
	f.Add("ListQueues", `null`)
	s := sqstest.New()
	s.MustCreateQueue("q", nil)
	s.MustCreateQueue("q.fifo", nil)
	f.Fuzz(func(t *testing.T, op, body string) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond) // an input may ask for a long poll
		defer cancel()
		w := post(ctx, s, op, body)
		require.True(t, json.Valid(w.Body.Bytes()), "%s", w.Body)
		require.Contains(t, []int{200, 400, 403, 404, 413, 503}, w.Code)
	})
}

// plainBody hides all but the reader of a request's body. With its WriterTo in sight, net/http may
// take the end of the body for a failed write, and cut the connection while the answer is read.
type plainBody struct{ *http.Client }

func (c plainBody) Do(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		req.Body = struct{ io.ReadCloser }{req.Body}
	}
	return c.Client.Do(req)
}

// stock puts n messages of 100 bytes into the queue q.
func stock(s *sqstest.Server, n int) {
	body := strings.Repeat("x", 100)
	for range n {
		s.Send("q", body)
	}
}

func overLoopback(b *testing.B, h http.Handler) *sqs.Client {
	b.Helper()
	server := httptest.NewServer(h)
	b.Cleanup(server.Close)
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	b.Cleanup(transport.CloseIdleConnections)
	return sqs.New(sqs.Options{
		Region:       "us-east-1",
		BaseEndpoint: &server.URL,
		HTTPClient:   plainBody{&http.Client{Transport: transport}},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "x", SecretAccessKey: "x"}, nil
		}),
	})
}

// BenchmarkHTTP receives and deletes ten messages at a time over loopback, with the SDK's client in
// sixteen goroutines; the client's work is a part of the result.
func BenchmarkHTTP(b *testing.B) {
	s := sqstest.New()
	url := s.MustCreateQueue("q", map[string]string{"VisibilityTimeout": "3600"})
	client := overLoopback(b, s)
	stock(s, b.N*10)
	b.ReportAllocs()
	b.ResetTimer()
	b.SetParallelism(8) // times two processors
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := receiveAndDelete(b.Context(), client, url); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N*10)/b.Elapsed().Seconds(), "msg/s")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*10), "ns/msg")
}

func receiveAndDelete(ctx context.Context, client *sqs.Client, url string) error {
	got, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10})
	if err != nil || len(got.Messages) == 0 {
		return err
	}
	in := &sqs.DeleteMessageBatchInput{QueueUrl: &url}
	for i := range got.Messages {
		in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: &digits[i], ReceiptHandle: got.Messages[i].ReceiptHandle})
	}
	_, err = client.DeleteMessageBatch(ctx, in)
	return err
}

var digits = strings.Split("0123456789", "")

// BenchmarkServeHTTP is the server's part of that: no sockets and no client.
func BenchmarkServeHTTP(b *testing.B) {
	s := sqstest.New()
	url := s.MustCreateQueue("q", map[string]string{"VisibilityTimeout": "3600"})
	stock(s, b.N*10)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		w := post(b.Context(), s, "ReceiveMessage", `{"QueueUrl":"`+url+`","MaxNumberOfMessages":10}`)
		var out sqs.ReceiveMessageOutput
		b.StopTimer()
		require.NoError(b, json.Unmarshal(w.Body.Bytes(), &out))
		entries := make([]string, 0, len(out.Messages))
		for i, m := range out.Messages {
			entries = append(entries, `{"Id":"`+digits[i]+`","ReceiptHandle":"`+*m.ReceiptHandle+`"}`)
		}
		body := `{"QueueUrl":"` + url + `","Entries":[` + strings.Join(entries, ",") + `]}`
		b.StartTimer()
		post(b.Context(), s, "DeleteMessageBatch", body)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*10), "ns/msg")
}

// largeAnswer makes a receive of a large message over HTTP and returns how long its
// answer took.
func largeAnswer(t *testing.T, s *sqstest.Server, userAgent string, size int) time.Duration {
	t.Helper()
	s.Send("q", strings.Repeat("x", size))
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(`{"QueueUrl":"q"}`))
	r.Header.Set("X-Amz-Target", "AmazonSQS.ReceiveMessage")
	r.Header.Set("User-Agent", userAgent)
	w := httptest.NewRecorder()
	begin := time.Now()
	s.ServeHTTP(w, r)
	require.Len(t, received(t, w), 1)
	return time.Since(begin)
}

const goSDK = "aws-sdk-go-v2/1.47.7 ua/2.1 os/linux lang/go#1.26 md/GOOS#linux api/sqs#1.52.10"

func TestALargeAnswerToTheSDKForGoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sqstest.New()
		s.MustCreateQueue("q", nil)
		require.Equal(t, 2*time.Millisecond, largeAnswer(t, s, goSDK, 5000))
		require.Zero(t, largeAnswer(t, s, goSDK, 1000), "it is in the client's buffer")
		require.Zero(t, largeAnswer(t, s, "Boto3/1.43.11 md/Botocore#1.43.11", 5000))
		require.Zero(t, largeAnswer(t, s, "aws-sdk-go/1.55.8", 5000), "the first version is another client")
		require.Zero(t, largeAnswer(t, s, "", 5000))
	})
}

func TestTheWaitOfLargeAnswersCanBeSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, want := range []time.Duration{0, time.Second} {
			s := sqstest.New(sqstest.LargeAnswerDelay(want))
			s.MustCreateQueue("q", nil)
			require.Equal(t, want, largeAnswer(t, s, goSDK, 5000))
		}
		s := sqstest.New(sqstest.LargeAnswerDelay(-time.Second))
		s.MustCreateQueue("q", nil)
		require.Zero(t, largeAnswer(t, s, goSDK, 5000))
	})
}

func TestALongPollHasWaitedEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sqstest.New(sqstest.LargeAnswerDelay(time.Second))
		s.MustCreateQueue("q", map[string]string{"ReceiveMessageWaitTimeSeconds": "20"})
		s.Inject(sqstest.Fault{Op: "ReceiveMessage", Wait: 700 * time.Millisecond})
		require.Equal(t, time.Second, largeAnswer(t, s, goSDK, 5000), "the wait counts from the end of the request")
	})
}

func TestInProcessNoAnswerWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sqstest.New(sqstest.LargeAnswerDelay(time.Second))
		url := s.MustCreateQueue("q", nil)
		s.Send("q", strings.Repeat("x", 5000))
		begin := time.Now()
		out, err := s.Client().ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url})
		require.NoError(t, err)
		require.Len(t, out.Messages, 1)
		require.Zero(t, time.Since(begin))
	})
}

// A client that is gone is not waited for, and the connection's end is its own affair.
func TestTheWaitOfALargeAnswerEndsWithItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sqstest.New(sqstest.LargeAnswerDelay(time.Hour))
		s.MustCreateQueue("q", nil)
		s.Send("q", strings.Repeat("x", 5000))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", strings.NewReader(`{"QueueUrl":"q"}`))
		r.Header.Set("X-Amz-Target", "AmazonSQS.ReceiveMessage")
		r.Header.Set("User-Agent", goSDK)
		begin := time.Now()
		s.ServeHTTP(httptest.NewRecorder(), r)
		require.Equal(t, time.Second, time.Since(begin))
	})
}

func TestATraceHeaderThatCouldBeNoAttributeIsNone(t *testing.T) {
	s := sqstest.New()
	s.MustCreateQueue("q", nil)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://queues.test:9324/", strings.NewReader(`{"QueueUrl":"q","MessageBody":"a"}`))
	r.Header.Set("X-Amz-Target", "AmazonSQS.SendMessage")
	r.Header.Set("X-Amzn-Trace-Id", "Root=\xff")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	answer := post(t.Context(), s, "ReceiveMessage", `{"QueueUrl":"q","MessageSystemAttributeNames":["All"]}`)
	require.Equal(t, []string{"a"}, received(t, answer))
	require.NotContains(t, answer.Body.String(), "AWSTraceHeader")
}
