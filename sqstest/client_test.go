package sqstest_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/sqstest"
)

func TestTheClientsLongPollTakesVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sqstest.New()
		url := s.MustCreateQueue("q", nil)
		client := s.Client()
		begin := time.Now()
		time.AfterFunc(7*time.Second, func() { s.Send("q", "a") })
		out, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: 20})
		require.NoError(t, err)
		require.Len(t, out.Messages, 1)
		require.Equal(t, "a", *out.Messages[0].Body)
		require.Equal(t, 7*time.Second, time.Since(begin))
	})
}

func TestTheClientReturnsAtOnceWhenItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sqstest.New()
		url := s.MustCreateQueue("q", nil)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begin := time.Now()
		_, err := s.Client().ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: 20})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 3*time.Second, time.Since(begin))
	})
}

func TestAnAnswerThatComesTooLateIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sqstest.New()
		url := s.MustCreateQueue("q", nil)
		s.Send("q", "a")
		s.Inject(sqstest.Fault{Op: "ReceiveMessage", Lag: 5 * time.Second, Times: 1})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := s.Client().ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &url})
		require.ErrorIs(t, err, context.DeadlineExceeded)

		out, err := s.Client().ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url})
		require.NoError(t, err)
		require.Empty(t, out.Messages, "the message went with the answer")
	})
}

func TestTheClientSeesAConnectionReset(t *testing.T) {
	s := sqstest.New()
	s.Inject(sqstest.Fault{Op: "ListQueues", Err: sqstest.Reset()})
	_, err := s.Client(func(o *sqs.Options) { o.RetryMaxAttempts = 1 }).ListQueues(t.Context(), nil)
	var broken *net.OpError
	require.ErrorAs(t, err, &broken)
	require.ErrorIs(t, err, syscall.ECONNRESET)
}

func TestTheClientRetriesAsInProduction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sqstest.New()
		s.Inject(sqstest.Fault{Op: "ListQueues", Times: 1, Err: sqstest.Reset()})
		s.Inject(sqstest.Fault{Op: "ListQueues", Skip: 1, Times: 1, Err: sqstest.Unavailable()})
		_, err := s.Client().ListQueues(t.Context(), nil)
		require.NoError(t, err)
	})
}

func TestTheClientFindsQueuesByTheServersURLs(t *testing.T) {
	for _, base := range []string{"", "https://sqs.example.com"} {
		var opts []sqstest.Option
		if base != "" {
			opts = append(opts, sqstest.BaseURL(base))
		}
		s := sqstest.New(opts...)
		url := s.MustCreateQueue("q", nil)
		out, err := s.Client().GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: new("q")})
		require.NoError(t, err)
		require.Equal(t, url, *out.QueueUrl)
	}
}

func TestTheClientCarriesAnyBody(t *testing.T) {
	s := sqstest.New()
	url := s.MustCreateQueue("q", nil)
	client := s.Client()
	body := "\t\r\n \"\\/<>& ü 漢 😀 \u2028 \ufffd " + strings.Repeat("x", 100_000)
	sent, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &body, MessageAttributes: map[string]types.MessageAttributeValue{
		"text": {DataType: new("String"), StringValue: &body}, "bytes": {DataType: new("Binary"), BinaryValue: []byte{0, 1, 255}},
	}})
	require.NoError(t, err)
	out, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, MessageAttributeNames: []string{"All"}})
	require.NoError(t, err)
	m := out.Messages[0]
	require.Equal(t, body, *m.Body)
	require.Equal(t, body, *m.MessageAttributes["text"].StringValue)
	require.Equal(t, []byte{0, 1, 255}, m.MessageAttributes["bytes"].BinaryValue)
	require.Equal(t, *sent.MD5OfMessageAttributes, *m.MD5OfMessageAttributes)
}

func TestTheHTTPClientAnswersWhateverTheHost(t *testing.T) {
	s := sqstest.New()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://anywhere.test/", strings.NewReader(`{"QueueName":"q"}`))
	require.NoError(t, err)
	req.Header.Set("X-Amz-Target", "AmazonSQS.CreateQueue")
	resp, err := s.HTTPClient().Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, "application/x-amz-json-1.0", resp.Header.Get("Content-Type"))
}
