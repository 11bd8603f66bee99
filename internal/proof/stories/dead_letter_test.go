package stories_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

func TestADeadLetterIsSentAndThenDeleted(t *testing.T) {
	tellBoth(t, func(w *world) {
		dead := w.server.MustCreateQueue("dead", nil)
		in := &sqs.SendMessageInput{QueueUrl: &w.url, MessageBody: new("body \u00e9"), MessageGroupId: new("tenant"), MessageAttributes: map[string]types.MessageAttributeValue{
			"kind": {DataType: new("String"), StringValue: new("order")},
			"raw":  {DataType: new("Binary"), BinaryValue: []byte{0, 1, 2}},
		}}
		_, err := w.server.SendMessage(w.Context(), in)
		require.NoError(w, err)
		e := w.watch()
		c := w.consumer(sluice.Options{DeadLetterQueueURL: dead})
		stop := w.run(c, w.handler(fails(sluice.DeadLetter(errors.New("no such customer\x00")))))
		time.Sleep(time.Second)
		require.NoError(w, stop())
		require.Empty(w, w.left())
		require.EqualValues(w, 1, c.Stats().DeadLettered)
		require.EqualValues(w, 1, c.Stats().Deleted)
		require.Less(w, e.of(sqstest.Sent)[0].Seq, e.of(sqstest.Deleted)[0].Seq)

		out, err := w.server.ReceiveMessage(w.Context(), &sqs.ReceiveMessageInput{
			QueueUrl: &dead, MessageAttributeNames: []string{"All"}, MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
		})
		require.NoError(w, err)
		require.Len(w, out.Messages, 1)
		m := out.Messages[0]
		require.Equal(w, "body \u00e9", *m.Body)
		require.Equal(w, "tenant", m.Attributes["MessageGroupId"])
		require.Equal(w, "order", *m.MessageAttributes["kind"].StringValue)
		require.Equal(w, []byte{0, 1, 2}, m.MessageAttributes["raw"].BinaryValue)
		require.Equal(w, "no such customer", *m.MessageAttributes["Sluice.Reason"].StringValue)
		require.Equal(w, w.url, *m.MessageAttributes["Sluice.Source"].StringValue)
		require.Equal(w, "1", *m.MessageAttributes["Sluice.ReceiveCount"].StringValue)
	})
}

func TestADeadLetterThatCannotBeSentStaysInItsQueue(t *testing.T) {
	tell(t, func(w *world) {
		dead := "http://sqs.us-east-1.localhost/000000000000/nowhere"
		w.send(0, 3)
		c := w.consumer(sluice.Options{DeadLetterQueueURL: dead})
		stop := w.run(c, w.handler(fails(sluice.DeadLetter(errBad))))
		time.Sleep(10 * time.Second)
		require.NoError(w, stop(), "a dead-letter queue that is missing does not end the run")
		require.Len(w, w.left(), 3)
		require.Zero(w, w.calls(opDelete))
		require.EqualValues(w, 3, c.Stats().GivenBack)
		require.Zero(w, c.Stats().DeadLettered)
	})
}

func TestADeadLetterWithoutAQueueIsGivenBackAtOnceByAStop(t *testing.T) {
	for name, fifo := range map[string]bool{"standard": false, "FIFO": true} {
		t.Run(name, func(t *testing.T) {
			tellBoth(t, func(w *world) {
				if fifo {
					w.groups()
					w.sendGroups(3, 1)
				} else {
					w.send(0, 3)
				}
				c := w.consumer(sluice.Options{PollTime: time.Second, ShutdownTimeout: 2 * time.Second})
				stop := w.run(c, func(ctx context.Context, _ []*sluice.Message) error {
					<-ctx.Done()
					return sluice.DeadLetter(context.Cause(ctx))
				})
				time.Sleep(time.Second)
				require.ErrorIs(w, stop(), sluice.ErrShutdown)
				require.Equal(w, 3, w.visible(), "as with any other error of a handler that is interrupted")
			})
		})
	}
}

// A gravedigger cannot send dead letters, and hears so in the moment in which the
// next receive brings messages.
type gravedigger struct {
	*sqstest.Server

	brought atomic.Int64  // answers with messages
	again   chan struct{} // closed by the second of them
}

func (g *gravedigger) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, opts ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	out, err := g.Server.ReceiveMessage(ctx, in, opts...)
	if err == nil && len(out.Messages) > 0 && g.brought.Add(1) == 2 {
		close(g.again)
	}
	return out, err
}

func (g *gravedigger) SendMessage(ctx context.Context, _ *sqs.SendMessageInput, _ ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	select {
	case <-g.again:
	case <-ctx.Done():
	}
	return nil, sqstest.Unavailable()
}

func TestAMessageThatCouldNotBeBuriedIsNotDeleted(t *testing.T) {
	for range 100 { // of two events at one instant, either may be the first
		tell(t, func(w *world) {
			dead := w.server.MustCreateQueue("dead", nil)
			w.client = &gravedigger{Server: w.server, again: make(chan struct{})}
			w.send(0, 1)
			w.outage(sqstest.Unavailable(), opChange) // the lease ends, and the message is received once more
			c := w.consumer(sluice.Options{VisibilityTimeout: 2 * time.Second, PollTime: time.Second, DeadLetterQueueURL: dead})
			stop := w.run(c, w.handler(fails(sluice.DeadLetter(errBad))))
			time.Sleep(2500 * time.Millisecond)
			require.Len(w, w.left(), 1)
			require.Error(w, stop())
		})
	}
}

func TestADeadLetterIsSentOnceMoreAfterAFailure(t *testing.T) {
	tell(t, func(w *world) {
		dead := w.server.MustCreateQueue("dead", nil)
		w.send(0, 3)
		end := w.outage(sqstest.Unavailable(), opSend)
		c := w.consumer(sluice.Options{DeadLetterQueueURL: dead})
		stop := w.run(c, w.handler(fails(sluice.DeadLetter(errBad))))
		time.Sleep(3 * time.Minute)
		require.Len(w, w.left(), 3)
		end()
		time.Sleep(10 * time.Second)
		require.NoError(w, stop())
		require.Empty(w, w.left())
		require.Len(w, w.server.Messages(dead), 3)
		require.Equal(w, 3, w.handled())
	})
}

func TestTheLongestMessageCanBeBuried(t *testing.T) {
	tell(t, func(w *world) {
		dead := w.server.MustCreateQueue("dead", nil)
		w.server.Send(w.url, strings.Repeat("x", 1<<20))
		stop := w.run(w.consumer(sluice.Options{DeadLetterQueueURL: dead}), w.handler(fails(sluice.DeadLetter(errors.New(strings.Repeat("because ", 1000))))))
		time.Sleep(10 * time.Second)
		require.NoError(w, stop())
		require.Empty(w, w.left())
		require.Len(w, w.server.Messages(dead), 1)
	})
}

func TestADeadLetterTellsItsOwnReasonAlsoWhenItWasOneBefore(t *testing.T) {
	tell(t, func(w *world) {
		dead := w.server.MustCreateQueue("dead", nil)
		_, err := w.server.SendMessage(w.Context(), &sqs.SendMessageInput{
			QueueUrl: &w.url, MessageBody: new("0"), // as a redrive brings it back
			MessageAttributes: map[string]types.MessageAttributeValue{"Sluice.Reason": {DataType: new("String"), StringValue: new("old")}},
		})
		require.NoError(w, err)
		c := w.consumer(sluice.Options{DeadLetterQueueURL: dead})
		require.NoError(w, c.Drain(w.Context(), fails(sluice.DeadLetter(errors.New("new")))))
		out, err := w.server.ReceiveMessage(w.Context(), &sqs.ReceiveMessageInput{QueueUrl: &dead, MessageAttributeNames: []string{"All"}})
		require.NoError(w, err)
		require.Equal(w, "new", *out.Messages[0].MessageAttributes["Sluice.Reason"].StringValue)
	})
}

const traceHeader = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"

// traced sends a message with a trace header.
func (w *world) traced(attributes int) {
	w.Helper()
	in := &sqs.SendMessageInput{
		QueueUrl: &w.url, MessageBody: new("x"), MessageAttributes: map[string]types.MessageAttributeValue{},
		MessageSystemAttributes: map[string]types.MessageSystemAttributeValue{"AWSTraceHeader": {DataType: new("String"), StringValue: new(traceHeader)}},
	}
	for i := range attributes {
		in.MessageAttributes[fmt.Sprint("a", i)] = types.MessageAttributeValue{DataType: new("String"), StringValue: new("v")}
	}
	if strings.HasSuffix(w.url, ".fifo") {
		in.MessageGroupId, in.MessageDeduplicationId = new("g"), new("d")
	}
	_, err := w.server.SendMessage(w.Context(), in)
	require.NoError(w, err)
}

// letter receives the only message of a dead-letter queue.
func (w *world) letter(dead string) types.Message {
	w.Helper()
	out, err := w.server.ReceiveMessage(w.Context(), &sqs.ReceiveMessageInput{
		QueueUrl: &dead, MessageAttributeNames: []string{"All"}, MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
	})
	require.NoError(w, err)
	require.Len(w, out.Messages, 1)
	return out.Messages[0]
}

func TestADeadLetterKeepsItsTraceHeader(t *testing.T) {
	for _, fifo := range []bool{false, true} {
		for _, asked := range []types.MessageSystemAttributeName{"", "AWSTraceHeader", "All", "SenderId"} {
			t.Run(fmt.Sprintf("fifo %v, asked for %q", fifo, asked), func(t *testing.T) {
				tellBoth(t, func(w *world) {
					dead := w.deadLetters(fifo)
					w.traced(0)
					opts := sluice.Options{DeadLetterQueueURL: dead}
					if asked != "" {
						opts.SystemAttributes = []types.MessageSystemAttributeName{asked}
					}
					seen := ""
					stop := w.run(w.consumer(opts), func(_ context.Context, batch []*sluice.Message) error {
						seen = batch[0].SystemAttributes["AWSTraceHeader"]
						return sluice.DeadLetter(errBad)
					})
					time.Sleep(time.Second)
					require.NoError(w, stop())
					require.Equal(w, traceHeader, w.letter(dead).Attributes["AWSTraceHeader"])
					require.Equal(w, asked == "AWSTraceHeader" || asked == "All", seen != "", "only who asks for it sees it")
				})
			})
		}
	}
}

func TestWithoutADeadLetterQueueNoTraceHeaderIsAskedFor(t *testing.T) {
	tell(t, func(w *world) {
		w.traced(0)
		seen := map[string]string{}
		stop := w.run(w.consumer(sluice.Options{}), func(_ context.Context, batch []*sluice.Message) error {
			seen = batch[0].SystemAttributes
			return nil
		})
		time.Sleep(time.Second)
		require.NoError(w, stop())
		require.NotContains(w, seen, "AWSTraceHeader")
	})
}

func TestADeadLetterWithoutRoomSaysSoInALogLine(t *testing.T) {
	for attributes, omitted := range map[int][]string{
		6: nil, 7: nil,
		8:  {"Sluice.ReceiveCount"},
		9:  {"Sluice.Source", "Sluice.ReceiveCount"},
		10: {"Sluice.Reason", "Sluice.Source", "Sluice.ReceiveCount"},
	} {
		t.Run(fmt.Sprint(attributes, " attributes of its own"), func(t *testing.T) {
			tell(t, func(w *world) {
				dead := w.server.MustCreateQueue("dead", nil)
				w.traced(attributes)
				var lines strings.Builder
				c := w.consumer(sluice.Options{DeadLetterQueueURL: dead, Logger: slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelWarn}))})
				stop := w.run(c, w.handler(fails(sluice.DeadLetter(errors.New("no such customer")))))
				time.Sleep(time.Second)
				require.NoError(w, stop())
				m := w.letter(dead)
				require.Len(w, m.MessageAttributes, min(10, attributes+3))
				for _, name := range omitted {
					require.NotContains(w, m.MessageAttributes, name)
					require.Contains(w, lines.String(), name)
				}
				require.Equal(w, 1, strings.Count(lines.String(), "a message went to the dead-letter queue"))
				if omitted == nil {
					require.Equal(w, 1, strings.Count(lines.String(), "\n"))
					return
				}
				require.Equal(w, 2, strings.Count(lines.String(), "\n"))
				require.Equal(w, 1, strings.Count(lines.String(), "has no room"))
				require.Contains(w, lines.String(), "no such customer")
			})
		})
	}
}

func TestTheReasonOfADeadLetterIsCutToTheBytesThatAreLeft(t *testing.T) {
	tell(t, func(w *world) {
		dead := w.server.MustCreateQueue("dead", nil)
		const left = 100
		_, err := w.server.SendMessage(w.Context(), &sqs.SendMessageInput{QueueUrl: &w.url, MessageBody: new(strings.Repeat("x", 1<<20-left))})
		require.NoError(w, err)
		c := w.consumer(sluice.Options{DeadLetterQueueURL: dead})
		stop := w.run(c, w.handler(fails(sluice.DeadLetter(errors.New(strings.Repeat("é", 200))))))
		time.Sleep(time.Second)
		require.NoError(w, stop())
		m := w.letter(dead)
		require.Len(w, m.MessageAttributes, 1)
		require.Equal(w, strings.Repeat("é", (left-len("Sluice.ReasonString"))/2), *m.MessageAttributes["Sluice.Reason"].StringValue)
	})
}
