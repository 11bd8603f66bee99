package lambdasluice_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/contrib/lambdasluice"
)

const (
	standardARN = "arn:aws:sqs:us-east-1:000000000000:orders"
	fifoARN     = "arn:aws:sqs:us-east-1:000000000000:orders.fifo"
)

var errBad = errors.New("bad")

// quiet are options without log lines.
func quiet(o lambdasluice.Options) lambdasluice.Options {
	o.Logger = slog.New(slog.DiscardHandler)
	return o
}

// standard returns an event of a standard queue with messages of the given ids.
func standard(ids ...string) (event events.SQSEvent) {
	for _, id := range ids {
		event.Records = append(event.Records, events.SQSMessage{
			MessageId: id, ReceiptHandle: "handle-" + id, Body: id, EventSource: "aws:sqs", EventSourceARN: standardARN, AWSRegion: "us-east-1",
			Attributes: map[string]string{"ApproximateReceiveCount": "1", "SentTimestamp": "1764000000000"},
		})
	}
	return event
}

// fifo returns an event of a FIFO queue. The first letter of an id is its message group.
func fifo(ids ...string) events.SQSEvent {
	event := standard(ids...)
	for i := range event.Records {
		r := &event.Records[i]
		r.EventSourceARN = fifoARN
		r.Attributes["MessageGroupId"], r.Attributes["SequenceNumber"] = r.MessageId[:1], fmt.Sprintf("%020d", i+1)
	}
	return event
}

// failing returns a handler that fails the messages of the given ids, one after another, and
// notes those that it got.
func failing(got *[]string, ids ...string) sluice.Handler {
	var mu sync.Mutex // guards got
	return sluice.Each(func(_ context.Context, m *sluice.Message) error {
		mu.Lock()
		defer mu.Unlock()
		*got = append(*got, m.ID)
		if slices.Contains(ids, m.ID) {
			return errBad
		}
		return nil
	})
}

// reported returns the ids of a report, with spaces between them.
func reported(r events.SQSEventResponse) string {
	ids := make([]string, len(r.BatchItemFailures))
	for i, f := range r.BatchItemFailures {
		ids[i] = f.ItemIdentifier
	}
	return strings.Join(ids, " ")
}

func TestFailedMessagesAreReported(t *testing.T) {
	var got []string
	out, err := lambdasluice.Handler(failing(&got, "b", "d"), quiet(lambdasluice.Options{Concurrency: 1}))(t.Context(), standard("a", "b", "c", "d"))
	require.NoError(t, err)
	require.Equal(t, "b d", reported(out))
	require.Equal(t, []string{"a", "b", "c", "d"}, got)
}

func TestASuccessReportsAnEmptyList(t *testing.T) {
	var got []string
	for _, event := range []events.SQSEvent{standard("a"), {}} {
		out, err := lambdasluice.Handler(failing(&got), quiet(lambdasluice.Options{}))(t.Context(), event)
		require.NoError(t, err)
		text, err := json.Marshal(out)
		require.NoError(t, err)
		require.JSONEq(t, `{"batchItemFailures":[]}`, string(text))
	}
}

func TestTheHandlerGetsWhatTheEventSays(t *testing.T) {
	var event events.SQSEvent
	require.NoError(t, json.Unmarshal([]byte(recordedFIFO), &event))
	var got *sluice.Message
	_, err := lambdasluice.Handler(func(_ context.Context, batch []*sluice.Message) error {
		got = batch[0]
		return nil
	}, quiet(lambdasluice.Options{}))(t.Context(), event)
	require.NoError(t, err)
	require.Equal(t, "11111111-2222-4333-8444-555555555555", got.ID)
	require.Equal(t, `{"order":1}`, got.Body)
	require.Equal(t, "AQEBexample", got.ReceiptHandle)
	require.Equal(t, "customer-7", got.GroupID)
	require.Equal(t, "order-1", got.DeduplicationID)
	require.Equal(t, "18870844929105612032", got.SequenceNumber)
	require.Equal(t, 2, got.ReceiveCount)
	require.Equal(t, 2, got.Attempt)
	require.Equal(t, time.UnixMilli(1764000000123), got.SentAt)
	require.False(t, got.ReceivedAt.IsZero())
	require.Equal(t, "AIDAEXAMPLE", got.SystemAttributes["SenderId"])
	require.Equal(t, "text", *got.Attributes["kind"].StringValue)
	require.Equal(t, "String", *got.Attributes["kind"].DataType)
	require.Equal(t, []byte{1, 2, 3}, got.Attributes["bytes"].BinaryValue)
}

const recordedFIFO = `{"Records":[{
	"messageId":"11111111-2222-4333-8444-555555555555","receiptHandle":"AQEBexample","body":"{\"order\":1}",
	"attributes":{"ApproximateReceiveCount":"2","AWSTraceHeader":"Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1","SentTimestamp":"1764000000123",
		"SequenceNumber":"18870844929105612032","MessageGroupId":"customer-7","SenderId":"AIDAEXAMPLE","MessageDeduplicationId":"order-1","ApproximateFirstReceiveTimestamp":"1764000000456"},
	"messageAttributes":{"kind":{"stringValue":"text","stringListValues":[],"binaryListValues":[],"dataType":"String"},
		"bytes":{"binaryValue":"AQID","stringListValues":[],"binaryListValues":[],"dataType":"Binary"}},
	"md5OfBody":"","md5OfMessageAttributes":"","eventSource":"aws:sqs","eventSourceARN":"arn:aws:sqs:us-east-1:000000000000:orders.fifo","awsRegion":"us-east-1"}]}`

func TestTheSameOptionsMakeTheSameBatches(t *testing.T) {
	for _, tt := range []struct {
		size  int
		event events.SQSEvent
		want  []string
	}{
		{0, standard("a", "b", "c"), []string{"a", "b", "c"}},
		{2, standard("a", "b", "c"), []string{"a b", "c"}},
		{100, standard("a", "b", "c"), []string{"a b c"}},
		{0, fifo("a1", "b1", "a2"), []string{"a1", "a2", "b1"}},
		{2, fifo("a1", "b1", "a2", "a3", "b2"), []string{"a1 a2", "a3", "b1 b2"}},
		{5, fifo("a1", "b1", "a2", "a3", "b2"), []string{"a1 b1 a2 a3 b2"}},
	} {
		var calls []string
		out, err := lambdasluice.Handler(func(_ context.Context, batch []*sluice.Message) error {
			var ids []string
			for _, m := range batch {
				ids = append(ids, m.ID)
			}
			calls = append(calls, strings.Join(ids, " "))
			return nil
		}, quiet(lambdasluice.Options{BatchSize: tt.size, Concurrency: 1}))(t.Context(), tt.event)
		require.NoError(t, err)
		require.Empty(t, out.BatchItemFailures)
		require.Equal(t, tt.want, calls)
	}
}

func TestCallsRunAtOnceUpToConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := func(context.Context, []*sluice.Message) error {
			time.Sleep(time.Second)
			return nil
		}
		began := time.Now()
		_, err := lambdasluice.Handler(h, quiet(lambdasluice.Options{Concurrency: 3}))(t.Context(), standard("a", "b", "c", "d", "e", "f"))
		require.NoError(t, err)
		require.Equal(t, 2*time.Second, time.Since(began))

		began = time.Now()
		_, err = lambdasluice.Handler(h, quiet(lambdasluice.Options{}))(t.Context(), fifo("a1", "b1", "a2", "b2"))
		require.NoError(t, err)
		require.Equal(t, 2*time.Second, time.Since(began), "groups at the same time, messages of a group one after another")
	})
}

func TestAllBehindAFailedMessageOfItsGroupIsReported(t *testing.T) {
	event := fifo("a1", "b1", "a2", "b2", "a3")
	for _, size := range []int{1, 2, 10} {
		var got []string
		out, err := lambdasluice.Handler(failing(&got, "a2"), quiet(lambdasluice.Options{BatchSize: size, Concurrency: 1}))(t.Context(), event)
		require.NoError(t, err)
		require.Equal(t, "a2 a3", reported(out))
		require.NotContains(t, got, "a3")
	}
	// A handler that says success of a message behind a failed one is not believed.
	out, err := lambdasluice.Handler(func(_ context.Context, batch []*sluice.Message) error {
		return errors.Join(sluice.Failed(batch[0], errBad), sluice.Failed(batch[1], sluice.Discard(errBad)))
	}, quiet(lambdasluice.Options{BatchSize: 10}))(t.Context(), event)
	require.NoError(t, err)
	require.Equal(t, "a1 a2 a3", reported(out))
}

func TestPanicsAndGoexitAreFailures(t *testing.T) {
	for name, h := range map[string]sluice.Handler{
		"panic":                   func(context.Context, []*sluice.Message) error { panic("bad") },
		"Goexit":                  func(context.Context, []*sluice.Message) error { runtime.Goexit(); return nil },
		"an error that panics":    func(context.Context, []*sluice.Message) error { return panicking{} },
		"a message that it makes": func(context.Context, []*sluice.Message) error { return sluice.Failed(&sluice.Message{ID: "x"}, errBad) },
	} {
		t.Run(name, func(t *testing.T) {
			h := func(ctx context.Context, batch []*sluice.Message) error {
				if batch[0].ID == "b" {
					return h(ctx, batch)
				}
				return nil
			}
			for _, event := range []events.SQSEvent{standard("a", "b", "c"), fifo("a", "b", "c")} {
				out, err := lambdasluice.Handler(h, quiet(lambdasluice.Options{}))(t.Context(), event)
				require.NoError(t, err)
				require.Equal(t, "b", reported(out))
			}
		})
	}
}

// panicking is an error whose methods panic.
type panicking struct{}

func (panicking) Error() string { panic("Error") }
func (panicking) Unwrap() error { panic("Unwrap") }

func TestAHandlerThatChangesItsMessagesDoesNotChangeTheReport(t *testing.T) {
	out, err := lambdasluice.Handler(func(_ context.Context, batch []*sluice.Message) error {
		for _, m := range batch {
			m.ID, m.GroupID = "changed", "changed"
		}
		err := sluice.Failed(batch[1], errBad)
		clear(batch)
		return err
	}, quiet(lambdasluice.Options{BatchSize: 10}))(t.Context(), fifo("a1", "b1", "a2", "b2"))
	require.NoError(t, err)
	require.Equal(t, "b1 b2", reported(out))
}

func TestIfAllFailedTheFunctionReturnsAnError(t *testing.T) {
	var got []string
	h := failing(&got, "a", "b")
	out, err := lambdasluice.Handler(h, quiet(lambdasluice.Options{}))(t.Context(), standard("a", "b"))
	require.EqualError(t, err, "lambdasluice: all 2 messages failed, first message a: bad")
	require.ErrorIs(t, err, errBad)
	require.Empty(t, out)

	out, err = lambdasluice.Handler(h, quiet(lambdasluice.Options{ReportAllFailed: true}))(t.Context(), standard("a", "b"))
	require.NoError(t, err)
	require.Equal(t, "a b", reported(out))
}

func TestAnIDIsReportedOnceAndHandledOnce(t *testing.T) {
	var got []string
	out, err := lambdasluice.Handler(failing(&got, "a"), quiet(lambdasluice.Options{Concurrency: 1}))(t.Context(), standard("a", "b", "a", "b"))
	require.NoError(t, err)
	require.Equal(t, "a", reported(out))
	require.Equal(t, []string{"a", "b"}, got)
}

func TestAMessageWithoutAnIDFailsTheWholeEvent(t *testing.T) {
	var got []string
	event := standard("a", "", "c", "")
	out, err := lambdasluice.Handler(failing(&got), quiet(lambdasluice.Options{}))(t.Context(), event)
	require.NoError(t, err)
	require.Empty(t, reported(out))

	_, err = lambdasluice.Handler(failing(&got, ""), quiet(lambdasluice.Options{}))(t.Context(), event)
	require.ErrorContains(t, err, "a message without an id failed")
}

func TestEventsOfOtherServicesAreErrors(t *testing.T) {
	never := func(context.Context, []*sluice.Message) error { panic("called") }
	event := standard("a", "b")
	event.Records[1].EventSource = "aws:kinesis"
	_, err := lambdasluice.Handler(never, quiet(lambdasluice.Options{}))(t.Context(), event)
	require.EqualError(t, err, `lambdasluice: Records[1].eventSource is "aws:kinesis", want aws:sqs`)
	event = standard("a", "b")
	event.Records[1].EventSourceARN = fifoARN
	_, err = lambdasluice.Handler(never, quiet(lambdasluice.Options{}))(t.Context(), event)
	require.ErrorContains(t, err, "Records[1].eventSourceARN is")
}

func TestOptionsThatCannotWorkFailEachCall(t *testing.T) {
	_, err := lambdasluice.Handler(nil, lambdasluice.Options{BatchSize: -1, Concurrency: -2, Margin: -time.Second, DeadLetterQueueURL: "orders-dead"})(t.Context(), standard("a"))
	require.EqualError(t, err, `lambdasluice: the handler is nil, want a function
lambdasluice: BatchSize is -1, want 1 to 10000
lambdasluice: Concurrency is -2, want at least 1
lambdasluice: Margin is -1s, want at least 0
lambdasluice: DeadLetterQueueURL is "orders-dead", want the URL of a queue, such as https://sqs.eu-central-1.amazonaws.com/123456789012/orders-dead
lambdasluice: DeadLetterQueueURL is set but Client is nil, want a client to send with`)
}

func TestWhatHasNotBegunBeforeTheDeadlineIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var got []string
		h := sluice.Each(func(ctx context.Context, m *sluice.Message) error {
			got = append(got, m.ID)
			select {
			case <-time.After(4 * time.Second):
				return nil
			case <-ctx.Done():
				require.Equal(t, sluice.ErrShutdown, context.Cause(ctx))
				return context.Cause(ctx)
			}
		})
		began := time.Now()
		out, err := lambdasluice.Handler(h, quiet(lambdasluice.Options{Concurrency: 1}))(ctx, standard("a", "b", "c", "d"))
		require.NoError(t, err)
		require.Equal(t, 9*time.Second, time.Since(began))
		require.Equal(t, "c d", reported(out))
		require.Equal(t, []string{"a", "b", "c"}, got, "d has not begun")

		out, err = lambdasluice.Handler(h, quiet(lambdasluice.Options{BatchSize: 4}))(t.Context(), standard("a", "b", "c", "d"))
		require.NoError(t, err)
		require.Empty(t, reported(out), "without a deadline there is all the time")
	})
}

func TestTheMarginLeavesTimeToHandle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct{ margin, timeout, want time.Duration }{
			{0, 10 * time.Second, 9 * time.Second},
			{3 * time.Second, 10 * time.Second, 7 * time.Second},
			{time.Minute, 10 * time.Second, 5 * time.Second},
			{0, time.Second, 500 * time.Millisecond},
			{time.Nanosecond, time.Second, time.Second - 1},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), tt.timeout)
			began := time.Now()
			_, err := lambdasluice.Handler(func(ctx context.Context, _ []*sluice.Message) error {
				<-ctx.Done()
				require.Equal(t, sluice.ErrShutdown, context.Cause(ctx))
				return nil
			}, quiet(lambdasluice.Options{Margin: tt.margin}))(ctx, standard("a"))
			require.NoError(t, err)
			require.Equal(t, tt.want, time.Since(began), "%v", tt)
			cancel()
		}
		over, cancel := context.WithTimeout(t.Context(), -time.Second)
		defer cancel()
		_, err := lambdasluice.Handler(func(context.Context, []*sluice.Message) error { panic("called") }, quiet(lambdasluice.Options{}))(over, standard("a", "b"))
		require.ErrorContains(t, err, "all 2 messages failed, first message a: the message was not begun before the deadline")
	})
}

func TestAHandlerThatIgnoresItsContextIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		began := time.Now()
		_, err := lambdasluice.Handler(func(context.Context, []*sluice.Message) error {
			time.Sleep(time.Minute)
			return nil
		}, quiet(lambdasluice.Options{}))(ctx, standard("a"))
		require.NoError(t, err)
		require.Equal(t, time.Minute, time.Since(began), "Lambda ends it before that, and counts the batch as failed")
	})
}

func TestEachKindOfEndIsOneLogLine(t *testing.T) {
	var text strings.Builder
	o := lambdasluice.Options{Logger: slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "stack" {
			return slog.Attr{}
		}
		return a
	}}))}
	event := standard("a", "b", "c", "d", "e", "secret")
	out, err := lambdasluice.Handler(sluice.Each(func(_ context.Context, m *sluice.Message) error {
		switch m.ID {
		case "a", "b":
			return sluice.Discard(errBad)
		case "c":
			panic("oh")
		case "d":
			return errBad
		default:
			return nil
		}
	}), o)(t.Context(), event)
	require.NoError(t, err)
	require.Equal(t, "c d", reported(out))
	require.Equal(t, `level=WARN msg="messages are discarded" queue=arn:aws:sqs:us-east-1:000000000000:orders messages=2 message_id=a receive_count=1 error=bad
level=WARN msg="messages failed" queue=arn:aws:sqs:us-east-1:000000000000:orders messages=2 message_id=c receive_count=1 error="the handler panicked: oh"
`, text.String())
}
