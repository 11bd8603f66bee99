package sqstest_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice/sqstest"
)

// A queue, two messages, one receive; the message that is not deleted stays hidden for its visibility timeout.
func Example() {
	ctx := context.Background()
	server := sqstest.New()
	url := server.MustCreateQueue("orders", map[string]string{"VisibilityTimeout": "60"})
	server.Send(url, "first", "second")

	out, err := server.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10, WaitTimeSeconds: 20})
	if err != nil {
		panic(err)
	}
	for _, m := range out.Messages {
		fmt.Println(*m.Body)
	}
	_, err = server.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: out.Messages[0].ReceiptHandle})
	if err != nil {
		panic(err)
	}
	for _, m := range server.Messages(url) {
		fmt.Printf("%q is %s after %d receive\n", m.Body, m.State, m.ReceiveCount)
	}
	// Output:
	// first
	// second
	// "second" is in flight after 1 receive
}

// The second delete of a batch of deletes fails, once, as it may on a bad day of the service.
func ExampleServer_Inject() {
	ctx := context.Background()
	server := sqstest.New()
	url := server.MustCreateQueue("orders", nil)
	server.Send(url, "a", "b", "c")
	server.Inject(sqstest.Fault{Op: "DeleteMessageBatch", Times: 1, Entries: func(i int) bool { return i == 1 }, Err: sqstest.InternalError()})

	out, _ := server.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10})
	in := &sqs.DeleteMessageBatchInput{QueueUrl: &url}
	for i, m := range out.Messages {
		in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: new(fmt.Sprint(i)), ReceiptHandle: m.ReceiptHandle})
	}
	deleted, err := server.DeleteMessageBatch(ctx, in)
	fmt.Println(len(deleted.Successful), "deleted, error:", err)
	for _, f := range deleted.Failed {
		fmt.Println(*f.Id, *f.Code, "the sender's fault:", f.SenderFault)
	}
	// Output:
	// 2 deleted, error: <nil>
	// 1 InternalError the sender's fault: false
}

// A queue on many servers, as the service has it: an answer brings what one of them has.
func ExampleServers() {
	server := sqstest.New(sqstest.Servers(20))
	url := server.MustCreateQueue("orders", nil)
	for i := range 100 {
		server.Send(url, fmt.Sprint(i))
	}
	answers := 0
	for received := 0; received < 100; answers++ {
		in := &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10, WaitTimeSeconds: 20}
		out, err := server.ReceiveMessage(context.Background(), in)
		if err != nil {
			panic(err)
		}
		received += len(out.Messages)
	}
	fmt.Println("answers are full:", answers == 10)
	// Output: answers are full: false
}

// A queue that is far away: half of the calls take more than 20 ms, and one in a hundred half a second more.
func ExampleLatency() {
	server := sqstest.New(
		sqstest.Seed(42), // another seed, other times
		sqstest.Latency(sqstest.LognormalDelay(20*time.Millisecond, 0.4).WithTails(0.01, 500*time.Millisecond)),
	)
	url := server.MustCreateQueue("orders", nil)
	start := time.Now()
	server.Send(url, "first")
	fmt.Println("the send took", time.Since(start))
}

// An answer brings one to ten messages, however many there are, and one in a hundred brings none.
func ExampleAnswerSize() {
	server := sqstest.New(sqstest.AnswerSize(func(r *rand.Rand) int {
		if r.Float64() < 0.01 {
			return 0
		}
		return 1 + r.IntN(10)
	}))
	url := server.MustCreateQueue("orders", nil)
	for i := range 20 {
		server.Send(url, fmt.Sprint(i))
	}
	in := &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10, WaitTimeSeconds: 20}
	out, err := server.ReceiveMessage(context.Background(), in)
	if err != nil {
		panic(err)
	}
	fmt.Println("the answer is full:", len(out.Messages) == 10)
	// Output: the answer is full: false
}

// Half of the visibility timeout is all a consumer gets: what it does not finish by then comes back.
func ExampleFault_lease() {
	server := sqstest.New()
	url := server.MustCreateQueue("orders", nil)
	server.Inject(sqstest.Fault{Op: "ReceiveMessage", Lease: func(asked time.Duration) time.Duration { return asked / 2 }})
	server.Send(url, "a")

	_, _ = server.ReceiveMessage(context.Background(), &sqs.ReceiveMessageInput{QueueUrl: &url, VisibilityTimeout: 30})
	for _, d := range server.Deliveries(url, "") {
		fmt.Println(d.Until.Sub(d.At))
	}
	// Output: 15s
}

// Everything a consumer did can be asked for afterwards.
func ExampleServer_Stats() {
	server := sqstest.New()
	url := server.MustCreateQueue("orders", nil)
	id := server.Send(url, "a")[0]
	in := &sqs.ReceiveMessageInput{QueueUrl: &url}
	_, _ = server.ReceiveMessage(context.Background(), in)
	server.ExpireLease(url, id)
	_, _ = server.ReceiveMessage(context.Background(), in)

	st := server.Stats()
	fmt.Println("receives:", st.Calls["ReceiveMessage"].Started)
	fmt.Println("deliveries:", st.Total.Deliveries, "of them again:", st.Total.Redeliveries())
	// Output:
	// receives: 2
	// deliveries: 2 of them again: 1
}

// Observers see each message's way, here without the calls.
func ExampleServer_Observe() {
	server := sqstest.New()
	url := server.MustCreateQueue("orders", nil)
	stop := server.Observe(func(e sqstest.Event) {
		if e.MessageID != "" {
			fmt.Println(e.Kind, e.ReceiveCount)
		}
	})
	defer stop()
	server.Send(url, "a")
	out, _ := server.ReceiveMessage(context.Background(), &sqs.ReceiveMessageInput{QueueUrl: &url})
	_, _ = server.DeleteMessage(context.Background(), &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: out.Messages[0].ReceiptHandle})
	// Output:
	// sent 0
	// delivered 1
	// deleted 1
}

// A program in another region finds the dead-letter queue that it names by an ARN of its own region.
func ExampleRegion() {
	server := sqstest.New(sqstest.Region("eu-west-1"), sqstest.Account("123456789012"))
	server.MustCreateQueue("dead", nil)
	url := server.MustCreateQueue("orders", map[string]string{
		"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:123456789012:dead","maxReceiveCount":3}`,
	})
	fmt.Println(url)

	_, err := server.Client(func(o *sqs.Options) { o.Region = "us-east-1" }).GetQueueUrl(context.Background(), &sqs.GetQueueUrlInput{QueueName: new("orders")})
	var missing *types.QueueDoesNotExist
	fmt.Println(errors.As(err, &missing))
	// Output:
	// http://sqs.eu-west-1.localhost/123456789012/orders
	// true
}
