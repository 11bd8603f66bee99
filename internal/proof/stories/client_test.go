package stories_test

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

// An odd client answers calls of one operation in its own way for the first
// minute, a second after the call.
type odd struct {
	sluice.Client

	op     string
	answer func()
	until  time.Time
}

// answers reports whether it has answered a call.
func (c *odd) answers(op string) bool {
	if c.op != op || time.Now().After(c.until) {
		return false
	}
	time.Sleep(time.Second)
	c.answer()
	return true
}

func (c *odd) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, opts ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	if c.answers(opReceive) {
		return nil, nil
	}
	return c.Client.ReceiveMessage(ctx, in, opts...)
}

func (c *odd) DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput, opts ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	if c.answers(opDelete) {
		return nil, nil
	}
	return c.Client.DeleteMessageBatch(ctx, in, opts...)
}

func (c *odd) ChangeMessageVisibilityBatch(ctx context.Context, in *sqs.ChangeMessageVisibilityBatchInput, opts ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	if c.answers(opChange) {
		return nil, nil
	}
	return c.Client.ChangeMessageVisibilityBatch(ctx, in, opts...)
}

func TestAClientThatDoesNotAnswerAsItShouldIsSeenAndSurvived(t *testing.T) {
	for name, answer := range map[string]func(){
		"nothing": func() {},
		"a panic": func() { panic("client") },
		"an exit": runtime.Goexit,
	} {
		for _, op := range []string{opReceive, opDelete, opChange} {
			t.Run(name+" of "+op, func(t *testing.T) {
				tell(t, func(w *world) {
					w.send(0, 1)
					w.client = &odd{Client: w.server, op: op, answer: answer, until: time.Now().Add(time.Minute)}
					c := w.consumer(sluice.Options{PollTime: time.Second})
					stop := w.run(c, w.handler(takes(20*time.Second)))
					time.Sleep(5 * time.Minute)
					require.NoError(w, stop())
					require.Empty(w, w.left())
					if name != "an exit" {
						require.Positive(w, c.Stats().Errors[op])
					}
				})
			})
		}
	}
}

// An anonymous client leaves something out of each message.
type anonymous struct {
	sluice.Client

	without string // the id, or an attribute
}

func (c anonymous) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, opts ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	out, err := c.Client.ReceiveMessage(ctx, in, opts...)
	if err != nil {
		return nil, err
	}
	for i := range out.Messages {
		if c.without == "MessageId" {
			out.Messages[i].MessageId = nil
		}
		delete(out.Messages[i].Attributes, c.without)
	}
	return out, nil
}

func TestMessagesWithoutAnIDAreNotTakenForOne(t *testing.T) {
	tell(t, func(w *world) {
		w.send(0, 10)
		w.client = anonymous{w.server, "MessageId"}
		var seen []string
		stop := w.run(w.consumer(sluice.Options{BatchSize: 10}), func(_ context.Context, batch []*sluice.Message) error {
			for _, m := range batch {
				seen = append(seen, m.Body)
			}
			return nil
		})
		time.Sleep(10 * time.Second)
		require.NoError(w, stop())
		require.ElementsMatch(w, []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}, seen)
		require.Empty(w, w.left())
	})
}

func TestGroupsWithoutSequenceNumbersStayInOrder(t *testing.T) {
	tell(t, func(w *world) {
		w.groups()
		w.client = anonymous{w.server, "SequenceNumber"}
		for i := range 3 {
			w.sendGroup("a", fmt.Sprintf("a %d", i))
		}
		var seen []string
		stop := w.run(w.consumer(sluice.Options{OnGroupFailure: sluice.GroupRelease}), func(_ context.Context, batch []*sluice.Message) error {
			seen = append(seen, batch[0].Body)
			if len(seen) == 1 {
				return errBad
			}
			return nil
		})
		time.Sleep(10 * time.Minute)
		require.NoError(w, stop())
		require.Equal(w, []string{"a 0", "a 0", "a 1", "a 2"}, seen)
	})
}

func TestEmptyAnswersThatComeAtOnceMakeNoSpin(t *testing.T) {
	tell(t, func(w *world) {
		w.slow(8 * time.Millisecond)
		w.server.Inject(sqstest.Fault{Op: opReceive, Empty: true})
		stop := w.run(w.consumer(sluice.Options{}), w.handler(nil))
		time.Sleep(time.Hour)
		require.Less(w, w.calls(opReceive), 10_000, "less than three a second")
		require.NoError(w, stop())
	})
}

// A layer is an HTTP client around another one. Its type has an ==, its values need not.
type layer struct{ inner sqs.HTTPClient }

func (l layer) Do(r *http.Request) (*http.Response, error) { return l.inner.Do(r) }

type doing func(*http.Request) (*http.Response, error)

func (do doing) Do(r *http.Request) (*http.Response, error) { return do(r) }

func TestAnHTTPClientThatCannotBeComparedIsUsedAllTheSame(t *testing.T) {
	tell(t, func(w *world) {
		sdk := w.server.Client()
		inner := sdk.Options().HTTPClient
		w.client = sqs.New(sdk.Options(), func(o *sqs.Options) { o.HTTPClient = layer{doing(inner.Do)} })
		w.send(0, 30)
		c := w.consumer(sluice.Options{PollTime: time.Second})
		stop := w.run(c, w.handler(nil))
		time.Sleep(time.Minute)
		require.NoError(w, stop())
		w.eachOnce(30)
	})
}

// A thorny error panics when it is asked what it is.
type thorny struct{}

func (thorny) Error() string { return "thorny" }
func (thorny) As(any) bool   { panic("no") }

func TestAnErrorOfTheClientThatPanicsIsAnErrorLikeAnyOther(t *testing.T) {
	for _, op := range []string{opReceive, opDelete, opChange} {
		t.Run(op, func(t *testing.T) {
			tell(t, func(w *world) {
				w.server.Inject(sqstest.Fault{Op: op, Err: thorny{}, Times: 2})
				w.send(0, 1)
				c := w.consumer(sluice.Options{PollTime: time.Second})
				stop := w.run(c, w.handler(takes(20*time.Second)))
				time.Sleep(time.Minute)
				require.NoError(w, stop())
				w.eachOnce(1)
				require.EqualValues(w, 2, c.Stats().Errors[op])
			})
		})
	}
}

// A verifying client checks the digests of bodies itself.
type verifying struct{ sluice.Client }

func (v verifying) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, opts ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	out, err := v.Client.ReceiveMessage(ctx, in, opts...)
	if err != nil {
		return nil, err
	}
	for _, m := range out.Messages {
		sum := md5.Sum([]byte(*m.Body))
		if hex.EncodeToString(sum[:]) != *m.MD5OfBody {
			return nil, errors.New("wrong digest")
		}
	}
	return out, nil
}

func TestAClientAroundTheSDKSeesAnswersAsTheyAre(t *testing.T) {
	tell(t, func(w *world) {
		w.client = verifying{w.server.Client()}
		w.send(0, 30)
		stop := w.run(w.consumer(sluice.Options{PollTime: time.Second}), w.handler(nil))
		time.Sleep(time.Minute)
		require.NoError(w, stop())
		w.eachOnce(30)
	})
}

// A careless client loses some receipt handles of what it receives.
type careless struct{ *sqstest.Server }

func (c *careless) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, opts ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	out, err := c.Server.ReceiveMessage(ctx, in, opts...)
	if err == nil && len(out.Messages) > 1 {
		out.Messages[0].ReceiptHandle = nil
	}
	return out, err
}

func TestAMessageWithoutAReceiptHandleDoesNotEndTheRun(t *testing.T) {
	tell(t, func(w *world) {
		w.client = &careless{w.server}
		w.send(0, 100)
		c := w.consumer(sluice.Options{})
		stop := w.run(c, w.handler(nil))
		time.Sleep(10 * time.Minute)
		require.NoError(w, stop())
		require.Empty(w, w.left())
	})
}
