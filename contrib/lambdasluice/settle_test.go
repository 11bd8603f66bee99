package lambdasluice_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/contrib/lambdasluice"
	"github.com/sluice-go/sluice/sqstest"
)

// receive receives up to n messages, ten at a time, and returns them as the event that Lambda makes of
// them.
func receive(t *testing.T, server *sqstest.Server, queue string, n int) (event events.SQSEvent) {
	t.Helper()
	u, err := url.Parse(queue)
	require.NoError(t, err)
	arn := "arn:aws:sqs:us-east-1:" + strings.ReplaceAll(strings.Trim(u.Path, "/"), "/", ":")
	for len(event.Records) < n {
		out, err := server.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
			QueueUrl: &queue, MaxNumberOfMessages: int32(min(10, n-len(event.Records))), MessageAttributeNames: []string{"All"},
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
		})
		require.NoError(t, err)
		if len(out.Messages) == 0 {
			break
		}
		for _, m := range out.Messages {
			r := events.SQSMessage{
				MessageId: *m.MessageId, ReceiptHandle: *m.ReceiptHandle, Body: *m.Body, Attributes: m.Attributes,
				EventSource: "aws:sqs", EventSourceARN: arn, AWSRegion: "us-east-1", MessageAttributes: map[string]events.SQSMessageAttribute{},
			}
			for name, a := range m.MessageAttributes {
				r.MessageAttributes[name] = events.SQSMessageAttribute{DataType: *a.DataType, StringValue: a.StringValue, BinaryValue: a.BinaryValue}
			}
			event.Records = append(event.Records, r)
		}
	}
	return event
}

// poll does what Lambda's poller does: it receives, calls the function and deletes what is not
// reported. After an error of the function, or an id that is not in the batch, it deletes nothing.
func poll(t *testing.T, server *sqstest.Server, queue string, n int, fn func(context.Context, events.SQSEvent) (events.SQSEventResponse, error)) {
	t.Helper()
	event := receive(t, server, queue, n)
	if len(event.Records) == 0 {
		return
	}
	out, err := fn(t.Context(), event)
	if err != nil {
		return
	}
	failed := map[string]bool{}
	for _, f := range out.BatchItemFailures {
		require.False(t, failed[f.ItemIdentifier], "reported twice")
		require.True(t, slices.ContainsFunc(event.Records, func(m events.SQSMessage) bool { return m.MessageId == f.ItemIdentifier }))
		failed[f.ItemIdentifier] = true
	}
	for _, m := range event.Records {
		if failed[m.MessageId] {
			continue
		}
		_, err := server.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &queue, ReceiptHandle: &m.ReceiptHandle})
		require.NoError(t, err)
	}
}

// byBody returns a handler that says of each message what its body asks for.
func byBody(_ context.Context, m *sluice.Message) error {
	verb, rest, _ := strings.Cut(m.Body, " ")
	switch verb {
	case "retry":
		return errBad
	case "later":
		d, err := time.ParseDuration(rest)
		return sluice.RetryAfter(d, errors.Join(errBad, err))
	case "discard":
		return sluice.Discard(errBad)
	case "dead":
		return sluice.DeadLetter(errors.New(rest))
	default:
		return nil
	}
}

// A world is a queue and its dead-letter queue.
type world struct {
	server      *sqstest.Server
	queue, dead string
}

func newWorld(suffix string) world {
	server := sqstest.New()
	return world{
		server: server, dead: server.MustCreateQueue("orders-dead"+suffix, nil),
		queue: server.MustCreateQueue("orders"+suffix, map[string]string{"VisibilityTimeout": "600"}),
	}
}

func (w *world) options() lambdasluice.Options {
	return quiet(lambdasluice.Options{Client: w.server, DeadLetterQueueURL: w.dead})
}

func TestRetryAfterHidesTheMessageForThatLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("")
		w.server.Send(w.queue, "later 90s", "ok", "later 0s", "later 1500ms", "later 99h", "retry")
		poll(t, w.server, w.queue, 10, lambdasluice.Handler(sluice.Each(byBody), w.options()))
		for _, step := range []struct {
			after time.Duration
			want  string
		}{
			{0, "later 0s"},
			{2 * time.Second, "later 1500ms"},
			{88 * time.Second, "later 90s"},
			{510 * time.Second, "retry"},
			{11*time.Hour - 600*time.Second - time.Second, ""},
			{time.Second, "later 99h"},
		} {
			time.Sleep(step.after)
			got := ""
			for _, r := range receive(t, w.server, w.queue, 10).Records {
				got += r.Body
				_, err := w.server.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &w.queue, ReceiptHandle: &r.ReceiptHandle})
				require.NoError(t, err)
			}
			require.Equal(t, step.want, got)
		}
	})
}

func TestVisibilityIsChangedTenAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("")
		for range 25 {
			w.server.Send(w.queue, "later 5s")
		}
		poll(t, w.server, w.queue, 25, lambdasluice.Handler(sluice.Each(byBody), w.options()))
		require.Equal(t, 3, w.server.Stats().Calls["ChangeMessageVisibilityBatch"].Started)
		require.Empty(t, receive(t, w.server, w.queue, 25).Records)
		time.Sleep(5 * time.Second)
		require.Len(t, receive(t, w.server, w.queue, 25).Records, 25)
	})
}

func TestAGroupComesBackTogetherAfterRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, size := range []int{1, 10} {
			w := newWorld(".fifo")
			w.server.Send(w.queue, "ok", "later 5s", "ok", "ok")
			o := w.options()
			o.BatchSize = size
			poll(t, w.server, w.queue, 10, lambdasluice.Handler(sluice.Each(byBody), o))
			require.Empty(t, receive(t, w.server, w.queue, 10).Records)
			time.Sleep(5 * time.Second)
			require.Len(t, receive(t, w.server, w.queue, 10).Records, 3, "not after the 600 s of the queue")
		}
	})
}

func TestAVisibilityChangeThatFailsChangesNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, fault := range []sqstest.Fault{
			{Op: "ChangeMessageVisibilityBatch", Err: errBad},
			{Op: "ChangeMessageVisibilityBatch", Entries: func(int) bool { return true }},
		} {
			w := newWorld("")
			w.server.Inject(fault)
			w.server.Send(w.queue, "later 5s", "ok")
			var text strings.Builder
			o := w.options()
			o.Logger = slog.New(slog.NewTextHandler(&text, nil))
			out, err := lambdasluice.Handler(sluice.Each(byBody), o)(t.Context(), receive(t, w.server, w.queue, 10))
			require.NoError(t, err)
			require.Len(t, out.BatchItemFailures, 1)
			require.Contains(t, text.String(), `msg="visibility timeouts could not be changed" queue=arn:aws:sqs:us-east-1:000000000000:orders messages=1`)
			require.Empty(t, receive(t, w.server, w.queue, 10).Records)
		}
	})
}

func TestADeadLetterIsSentAndNotReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("")
		w.server.Send(w.queue, "dead no such customer", "ok")
		poll(t, w.server, w.queue, 10, lambdasluice.Handler(sluice.Each(byBody), w.options()))
		require.Empty(t, w.server.Messages(w.queue))
		require.Len(t, w.server.Messages(w.dead), 1)
	})
}

// The code that makes a dead letter is there twice, since a run's is not exported.
func TestADeadLetterIsThatOfAConsumer(t *testing.T) {
	long := strings.Repeat("é", 2000)
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct {
			suffix, reason   string
			attributes, size int
		}{
			{"", "no such customer", 0, 10},
			{".fifo", "no such customer", 1, 10},
			{"", "", 2, 10},
			{"", "bad \x00\xff text", 3, 10},
			{"", long, 8, 10},
			{"", long, 9, 10},
			{"", long, 10, 10},
			{"", long, 3, 1<<20 - 300},
			{"", long, 0, 1<<20 - 300},
			{"", "x", 0, 1<<20 - 60},
			{"", "x", 0, 1 << 20},
		} {
			require.Equal(t, deadLetterOf(t, tt.suffix, tt.reason, tt.attributes, tt.size, false), deadLetterOf(t, tt.suffix, tt.reason, tt.attributes, tt.size, true), "%+v", tt)
		}
	})
}

// deadLetterOf returns what becomes of a message that has n attributes in a Consumer or in Lambda.
func deadLetterOf(t *testing.T, suffix, reason string, n, size int, inLambda bool) string {
	t.Helper()
	w := newWorld(suffix)
	in := &sqs.SendMessageInput{QueueUrl: &w.queue, MessageAttributes: map[string]types.MessageAttributeValue{}, MessageSystemAttributes: map[string]types.MessageSystemAttributeValue{
		"AWSTraceHeader": {DataType: new("String"), StringValue: new("Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1")},
	}}
	if suffix != "" {
		in.MessageGroupId, in.MessageDeduplicationId = new("g"), new("d")
	}
	for i := range n {
		in.MessageAttributes[fmt.Sprint("a", i)] = types.MessageAttributeValue{DataType: new("String"), StringValue: new("x")}
		size -= len("a0Stringx")
	}
	if n == 3 {
		in.MessageAttributes["Sluice.Reason"] = types.MessageAttributeValue{DataType: new("String"), StringValue: new("of an earlier time")}
		size -= len("Sluice.ReasonStringof an earlier time")
	}
	in.MessageBody = new(strings.Repeat("x", max(1, size)))
	_, err := w.server.SendMessage(t.Context(), in)
	require.NoError(t, err)

	h := sluice.Each(func(context.Context, *sluice.Message) error { return sluice.DeadLetter(errors.New(reason)) })
	if inLambda {
		poll(t, w.server, w.queue, 10, lambdasluice.Handler(h, w.options()))
	} else {
		c, err := sluice.New(w.server, w.queue, sluice.Options{DeadLetterQueueURL: w.dead, MaxMessages: 1, Logger: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		require.NoError(t, c.Run(t.Context(), h))
	}
	require.Empty(t, w.server.Messages(w.queue))
	records := receive(t, w.server, w.dead, 10).Records
	require.Len(t, records, 1)
	r := records[0]
	if source, ok := r.MessageAttributes["Sluice.Source"]; ok { // of the same length; only the endpoint differs
		require.Equal(t, pathOf(t, w.queue), pathOf(t, *source.StringValue))
	}
	text := fmt.Sprintf("%d %q %q %q", len(r.Body), r.Attributes["MessageGroupId"], r.Attributes["AWSTraceHeader"], r.Attributes["SequenceNumber"])
	for name, a := range r.MessageAttributes {
		if name == "Sluice.Source" {
			continue
		}
		text += fmt.Sprintf("\n%s %s %q", name, a.DataType, *a.StringValue)
	}
	lines := strings.Split(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func pathOf(t *testing.T, queue string) string {
	t.Helper()
	u, err := url.Parse(queue)
	require.NoError(t, err)
	return u.Path
}

func TestADeadLetterThatIsNotTakenIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("")
		w.server.Inject(sqstest.Fault{Op: "SendMessage", Queue: "orders-dead", Err: errBad})
		w.server.Send(w.queue, "dead no such customer", "ok")
		_, err := lambdasluice.Handler(sluice.Each(byBody), w.options())(t.Context(), receive(t, w.server, w.queue, 1))
		require.ErrorContains(t, err, "sending to the dead-letter queue "+w.dead)
		require.ErrorContains(t, err, "the handler said: no such customer")

		_, err = lambdasluice.Handler(sluice.Each(byBody), quiet(lambdasluice.Options{}))(t.Context(), events.SQSEvent{Records: []events.SQSMessage{{MessageId: "a", Body: "dead x"}}})
		require.ErrorContains(t, err, "first message a: x", "there is no queue to send it to")
		_, err = lambdasluice.Handler(sluice.Each(byBody), w.options())(t.Context(), events.SQSEvent{Records: []events.SQSMessage{{MessageId: "a", Body: "dead x", EventSourceARN: "orders"}}})
		require.ErrorContains(t, err, `eventSourceARN is "orders", want the ARN of a queue`)
	})
}

func TestNothingBehindAFailedMessageIsSentToTheDeadLetterQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(".fifo")
		w.server.Send(w.queue, "dead first", "retry", "dead third")
		o := w.options()
		o.BatchSize = 10
		out, err := lambdasluice.Handler(func(ctx context.Context, batch []*sluice.Message) error {
			var errs []error
			for _, m := range batch {
				errs = append(errs, sluice.Failed(m, byBody(ctx, m)))
			}
			return errors.Join(errs...)
		}, o)(t.Context(), receive(t, w.server, w.queue, 10))
		require.NoError(t, err)
		require.Len(t, out.BatchItemFailures, 2)
		require.Len(t, w.server.Messages(w.dead), 1, "the first one")
	})
}

func TestCallsToSQSEndBeforeTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("")
		w.server.Send(w.queue, "dead a", "later 5s", "ok")
		o := w.options()
		o.Client, o.Margin = hanging{}, 4*time.Second
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		began := time.Now()
		out, err := lambdasluice.Handler(sluice.Each(byBody), o)(ctx, receive(t, w.server, w.queue, 10))
		require.NoError(t, err)
		require.Len(t, out.BatchItemFailures, 2)
		require.Equal(t, 19*time.Second, time.Since(began), "a quarter of the margin is left")
	})
}

// hanging is a client whose calls take until their contexts end.
type hanging struct{}

func (hanging) SendMessage(ctx context.Context, _ *sqs.SendMessageInput, _ ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (hanging) ChangeMessageVisibilityBatch(ctx context.Context, _ *sqs.ChangeMessageVisibilityBatchInput, _ ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}
