package sqstest_test

import (
	"context"
	"encoding/json"
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

// in makes a client's calls come from a region.
func in(region string) func(*sqs.Options) {
	return func(o *sqs.Options) { o.Region = region }
}

// as makes a client's calls be signed with an access key.
func as(accessKey string) func(*sqs.Options) {
	return func(o *sqs.Options) {
		o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: "any"}, nil
		})
	}
}

func arnOf(t *testing.T, c *sqs.Client, url string) string {
	t.Helper()
	out, err := c.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{"QueueArn"}})
	require.NoError(t, err)
	return out.Attributes["QueueArn"]
}

func create(t *testing.T, c *sqs.Client, name string, attributes map[string]string) string {
	t.Helper()
	out, err := c.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	require.NoError(t, err)
	return *out.QueueUrl
}

func sendTo(t *testing.T, c *sqs.Client, url, body string) {
	t.Helper()
	_, err := c.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &body})
	require.NoError(t, err)
}

// receivedFrom are the bodies in the answer to a receive of a client.
func receivedFrom(t *testing.T, c *sqs.Client, url string) []string {
	t.Helper()
	out, err := c.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10})
	require.NoError(t, err)
	bodies := []string{}
	for _, m := range out.Messages {
		bodies = append(bodies, *m.Body)
	}
	return bodies
}

func requireNoQueue(t *testing.T, err error) {
	t.Helper()
	var missing *types.QueueDoesNotExist
	require.ErrorAs(t, err, &missing)
	require.Equal(t, "AWS.SimpleQueueService.NonExistentQueue", missing.ErrorCode())
	require.Contains(t, missing.ErrorMessage(), "The specified queue does not exist.")
}

// A program that builds the ARN of its dead-letter queue from its own region works, to the last call.
func TestAProgramOfAnotherRegionNamesItsOwnDeadLetterQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := sqstest.New().Client(in("eu-west-1"))
		const deadARN = "arn:aws:sqs:eu-west-1:000000000000:dead"
		dead := create(t, c, "dead", nil)
		require.Equal(t, deadARN, arnOf(t, c, dead))
		url := create(t, c, "orders", map[string]string{"RedrivePolicy": `{"deadLetterTargetArn":"` + deadARN + `","maxReceiveCount":1}`, "VisibilityTimeout": "0"})
		sources, err := c.ListDeadLetterSourceQueues(t.Context(), &sqs.ListDeadLetterSourceQueuesInput{QueueUrl: &dead})
		require.NoError(t, err)
		require.Equal(t, []string{url}, sources.QueueUrls)

		sendTo(t, c, url, "a")
		require.Equal(t, []string{"a"}, receivedFrom(t, c, url))
		require.Empty(t, receivedFrom(t, c, url))
		_, err = c.StartMessageMoveTask(t.Context(), &sqs.StartMessageMoveTaskInput{SourceArn: new(deadARN)})
		require.NoError(t, err)
		time.Sleep(time.Second)
		require.Equal(t, []string{"a"}, receivedFrom(t, c, url), "it came back from the dead-letter queue")
	})
}

func TestRegionsKnowNothingOfEachOther(t *testing.T) {
	s := sqstest.New()
	here, there := s.Client(), s.Client(in("eu-west-1"))
	url := create(t, here, "orders", nil)

	_, err := there.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: new("orders")})
	requireNoQueue(t, err)
	_, err = there.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: new("a")})
	requireNoQueue(t, err)
	require.ErrorContains(t, err, "eu-west-1", "the error tells what was asked")
	require.ErrorContains(t, err, "us-east-1", "and where the queue is")
	_, err = there.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: new("arn:aws:sqs:us-east-1:000000000000:orders")})
	requireNoQueue(t, err)
	listed, err := there.ListQueues(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, listed.QueueUrls)

	require.Equal(t, url, create(t, there, "orders", map[string]string{"DelaySeconds": "0"}), "the name is free there, and a URL does not tell a region")
	sendTo(t, there, url, "there")
	require.Empty(t, receivedFrom(t, here, url))
	require.Equal(t, []string{"there"}, receivedFrom(t, there, url))
	_, err = there.DeleteQueue(t.Context(), &sqs.DeleteQueueInput{QueueUrl: &url})
	require.NoError(t, err)
	sendTo(t, here, url, "still here")
	require.Equal(t, []string{"still here"}, receivedFrom(t, here, url))
}

func TestAReceiptHandleIsOfItsRegion(t *testing.T) {
	s := sqstest.New()
	here, there := s.Client(), s.Client(in("eu-west-1"))
	url := create(t, here, "orders", nil)
	create(t, there, "orders", nil)
	sendTo(t, here, url, "a")
	out, err := here.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url})
	require.NoError(t, err)
	_, err = there.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: out.Messages[0].ReceiptHandle})
	require.Error(t, err)
	require.Len(t, s.Messages("orders"), 1)
}

func TestADeadLetterQueueIsInTheRegionAndAccountOfItsSource(t *testing.T) {
	s := sqstest.New()
	s.MustCreateQueue("dead", nil)
	create(t, s.Client(as("111111111111")), "dead", nil)
	create(t, s.Client(in("eu-west-1")), "dead", nil)
	for arn, reason := range map[string]string{
		"arn:aws:sqs:us-east-1:000000000000:dead":    "Dead letter target does not exist.",
		"arn:aws:sqs:eu-west-1:111111111111:dead":    "Dead-letter target owner should be same as the source.",
		"arn:aws-cn:sqs:eu-west-1:000000000000:dead": "Dead letter target does not exist.",
		"arn:aws:sqs:eu-west-1:000000000000:dead2":   "Dead letter target does not exist.",
		"dead": "Dead letter target does not exist.",
		"http://sqs.us-east-1.localhost/000000000000/dead": "Dead letter target does not exist.",
	} {
		policy := `{"deadLetterTargetArn":"` + arn + `","maxReceiveCount":1}`
		_, err := s.Client(in("eu-west-1")).CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: new("orders"), Attributes: map[string]string{"RedrivePolicy": policy}})
		require.ErrorContains(t, err, "InvalidParameterValue", arn)
		require.ErrorContains(t, err, "parameter RedrivePolicy is invalid. Reason: "+reason, arn)
	}
}

func TestAMoveTaskStaysInItsRegion(t *testing.T) {
	s := sqstest.New()
	here, there := s.Client(), s.Client(in("eu-west-1"))
	create(t, here, "dead", nil)
	create(t, here, "orders", map[string]string{"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead","maxReceiveCount":1}`})
	create(t, there, "dead", nil)
	source := new("arn:aws:sqs:us-east-1:000000000000:dead")
	var missing *types.ResourceNotFoundException
	_, err := there.StartMessageMoveTask(t.Context(), &sqs.StartMessageMoveTaskInput{SourceArn: source})
	require.ErrorAs(t, err, &missing)
	_, err = there.ListMessageMoveTasks(t.Context(), &sqs.ListMessageMoveTasksInput{SourceArn: source})
	require.ErrorAs(t, err, &missing)
	_, err = here.StartMessageMoveTask(t.Context(), &sqs.StartMessageMoveTaskInput{SourceArn: source, DestinationArn: new("arn:aws:sqs:eu-west-1:000000000000:dead")})
	require.ErrorAs(t, err, &missing)

	s.Send("dead", "a", "b")
	started, err := here.StartMessageMoveTask(t.Context(), &sqs.StartMessageMoveTaskInput{
		SourceArn: source, DestinationArn: new("arn:aws:sqs:us-east-1:000000000000:orders"), MaxNumberOfMessagesPerSecond: new(int32(1)),
	})
	require.NoError(t, err)
	_, err = there.CancelMessageMoveTask(t.Context(), &sqs.CancelMessageMoveTaskInput{TaskHandle: started.TaskHandle})
	require.ErrorAs(t, err, &missing)
	_, err = here.CancelMessageMoveTask(t.Context(), &sqs.CancelMessageMoveTaskInput{TaskHandle: started.TaskHandle})
	require.NoError(t, err)
}

func TestCallsWithoutASignatureAreForTheServersRegionAndAccount(t *testing.T) {
	s := sqstest.New(sqstest.Region("eu-west-1"), sqstest.Account("123456789012"))
	url := s.MustCreateQueue("orders", nil)
	require.Equal(t, "http://sqs.eu-west-1.localhost/123456789012/orders", url)
	const arn = "arn:aws:sqs:eu-west-1:123456789012:orders"
	require.Equal(t, arn, arnOf(t, s.Client(), url), "the client is of that region")

	var out sqs.GetQueueAttributesOutput
	w := post(t.Context(), s, "GetQueueAttributes", `{"QueueUrl":"`+url+`","AttributeNames":["QueueArn"]}`)
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &out))
	require.Equal(t, arn, out.Attributes["QueueArn"])
	require.Contains(t, post(t.Context(), s, "ListQueues", `{}`).Body.String(), `"http://queues.test:9324/123456789012/orders"`)
}

func TestNothingSaidIsUSEast1AndAccountZero(t *testing.T) {
	s := sqstest.New(sqstest.Region(""), sqstest.Account(""))
	url := s.MustCreateQueue("orders", nil)
	require.Equal(t, "http://sqs.us-east-1.localhost/000000000000/orders", url)
	require.Equal(t, "arn:aws:sqs:us-east-1:000000000000:orders", arnOf(t, s.Client(), url))
}

func TestMistakesInRegionAndAccountAreTold(t *testing.T) {
	for _, region := range []string{"EU", "eu west", "eu/west", "eu:1", strings.Repeat("x", 64)} {
		require.PanicsWithValue(t, `sqstest: Region is "`+region+`", want lower-case letters, digits and hyphens, such as eu-west-1`, func() { sqstest.Region(region) })
	}
	for _, account := range []string{"1", "12345678901a", "1234567890123"} {
		require.PanicsWithValue(t, `sqstest: Account is "`+account+`", want 12 digits`, func() { sqstest.Account(account) })
	}
}

// Signatures are not checked, but read: whatever stands there, the call has a region and an account.
func TestAnySignatureHasARegion(t *testing.T) {
	for authorization, want := range map[string]string{
		"": "us-east-1:000000000000",
		"AWS4-HMAC-SHA256 Credential=any/20260101/eu-west-1/sqs/aws4_request, SignedHeaders=host, Signature=x":          "eu-west-1:000000000000",
		"AWS4-HMAC-SHA256 SignedHeaders=host,Signature=x,Credential=any/20260101/eu-west-2/sqs/aws4_request":            "eu-west-2:000000000000",
		"AWS4-HMAC-SHA256 Credential=111111111111/20260101/eu-west-3/sqs/aws4_request, SignedHeaders=host, Signature=x": "eu-west-3:111111111111",
		"AWS4-HMAC-SHA256 Credential=a/b/20260101/eu-west-4/sqs/aws4_request, SignedHeaders=host, Signature=x":          "eu-west-4:000000000000",
		"AWS4-HMAC-SHA256 Credential=any/20260101/EU WEST/sqs/aws4_request, SignedHeaders=host, Signature=x":            "us-east-1:000000000000",
		"AWS4-HMAC-SHA256 Credential=any/20260101//sqs/aws4_request, SignedHeaders=host, Signature=x":                   "us-east-1:000000000000",
		"AWS4-ECDSA-P256-SHA256 Credential=any/20260101/sqs/aws4_request, SignedHeaders=host, Signature=x":              "us-east-1:000000000000",
		"AWS4-HMAC-SHA256 Credential=aws4_request":                                                                      "us-east-1:000000000000",
		"AWS4-HMAC-SHA256 Credential=": "us-east-1:000000000000",
		"Bearer eu-west-1":             "us-east-1:000000000000",
	} {
		s := sqstest.New()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(`{"QueueName":"q"}`))
		r.Header.Set("X-Amz-Target", "AmazonSQS.CreateQueue")
		r.Header.Set("Authorization", authorization)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		require.Equal(t, http.StatusOK, w.Code, authorization)
		require.NotPanics(t, func() { s.Send("arn:aws:sqs:"+want+":q", "there") }, "%s is not for %s", authorization, want)
	}
}

func TestAnAccessKeyOfTwelveDigitsIsAnAccount(t *testing.T) {
	s := sqstest.New()
	ours, theirs := s.Client(as("111111111111")), s.Client(as("222222222222"))
	url := create(t, ours, "orders", nil)
	require.Equal(t, "http://sqs.us-east-1.localhost/111111111111/orders", url)
	require.Equal(t, "arn:aws:sqs:us-east-1:111111111111:orders", arnOf(t, ours, url))

	_, err := theirs.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: new("orders")})
	requireNoQueue(t, err)
	create(t, theirs, "orders", nil)
	got, err := theirs.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: new("orders"), QueueOwnerAWSAccountId: new("111111111111")})
	require.NoError(t, err)
	require.Equal(t, url, *got.QueueUrl)
	_, err = theirs.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: new("orders"), QueueOwnerAWSAccountId: new("333333333333")})
	requireNoQueue(t, err)
	sendTo(t, theirs, url, "across")
	require.Equal(t, []string{"across"}, receivedFrom(t, ours, url), "a URL names its account, and policies are not enforced")
	listed, err := theirs.ListQueues(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, []string{"http://sqs.us-east-1.localhost/222222222222/orders"}, listed.QueueUrls)
}

// A URL out of a production's configuration finds the queue of its name, as a bare name does.
func TestAURLOfAnUnknownAccountOrHostFindsTheQueue(t *testing.T) {
	s := sqstest.New()
	url := s.MustCreateQueue("orders", nil)
	for i, ref := range []string{
		url, "orders", "/orders", "000000000000/orders",
		"https://sqs.eu-central-1.amazonaws.com/123456789012/orders", "https://eu-central-1.queue.amazonaws.com/123456789012/orders",
		"http://localhost:4566/queue/us-east-1/000000000000/orders", "arn:aws:sqs:us-east-1:000000000000:orders",
	} {
		for _, c := range []interface {
			SendMessage(context.Context, *sqs.SendMessageInput, ...func(*sqs.Options)) (*sqs.SendMessageOutput, error)
		}{s, s.Client()} {
			_, err := c.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &ref, MessageBody: new("a")})
			require.NoError(t, err, ref)
		}
		require.Len(t, s.Messages(ref), 2*(i+1))
	}
	create(t, s.Client(as("123456789012")), "others", nil)
	_, err := s.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: new("https://sqs.us-east-1.amazonaws.com/123456789012/orders"), MessageBody: new("a")})
	requireNoQueue(t, err)
}

// What a test does without calls reaches a queue anywhere by its ARN, and tells it by that.
func TestLeversReachAQueueElsewhereByItsARN(t *testing.T) {
	s := sqstest.New()
	const arn = "arn:aws:sqs:eu-west-1:000000000000:orders.fifo"
	s.MustCreateQueue("orders.fifo", nil)
	url := s.MustCreateQueue(arn, map[string]string{"VisibilityTimeout": "900"})
	var events []sqstest.Event
	defer s.Observe(func(e sqstest.Event) { events = append(events, e) })()
	id := s.Send(arn, "a")[0]
	c := s.Client(in("eu-west-1"))
	require.Equal(t, arn, arnOf(t, c, url))
	require.Equal(t, []string{"a"}, receivedFrom(t, c, url))
	require.True(t, s.ExpireLease(arn, id))
	require.Equal(t, []string{"a"}, receivedFrom(t, c, url))
	require.Len(t, s.Deliveries(arn, id), 2)
	require.Len(t, s.Messages(arn), 1)
	require.Empty(t, s.Messages("orders.fifo"))
	require.Equal(t, 2, s.Stats().Queues[arn].Deliveries)
	require.Zero(t, s.Stats().Queues["orders.fifo"])
	for _, e := range events {
		require.Equal(t, arn, e.Queue)
	}
	_, err := c.DeleteQueue(t.Context(), &sqs.DeleteQueueInput{QueueUrl: &url})
	require.NoError(t, err)
	require.Equal(t, 2, s.Stats().Queues[arn].Deliveries, "also after its deletion")
	require.Equal(t, 2, s.Stats().Total.Deliveries)
}

func TestARNsHaveThePartitionOfTheirRegion(t *testing.T) {
	for region, partition := range map[string]string{
		"eu-west-1": "aws", "cn-north-1": "aws-cn", "us-gov-west-1": "aws-us-gov", "us-iso-east-1": "aws-iso", "us-isob-east-1": "aws-iso-b",
	} {
		c := sqstest.New(sqstest.Region(region)).Client()
		dead := "arn:" + partition + ":sqs:" + region + ":000000000000:dead"
		require.Equal(t, dead, arnOf(t, c, create(t, c, "dead", nil)))
		create(t, c, "orders", map[string]string{"RedrivePolicy": `{"deadLetterTargetArn":"` + dead + `","maxReceiveCount":1}`})
	}
}
