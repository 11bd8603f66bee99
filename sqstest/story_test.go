package sqstest_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/sqstest"
)

const instant = time.Nanosecond // the least that virtual time can pass

// scene is one queue in a bubble.
type scene struct {
	*testing.T

	s   *sqstest.Server
	url string
}

func story(t *testing.T, queue string, attributes map[string]string, tell func(scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := sqstest.New()
		tell(scene{t, s, s.MustCreateQueue(queue, attributes)})
	})
}

// receive takes up to n messages and waits up to wait seconds for the first.
func (c scene) receive(n, wait int32) []types.Message {
	c.Helper()
	out, err := c.s.ReceiveMessage(c.Context(), &sqs.ReceiveMessageInput{
		QueueUrl: &c.url, MaxNumberOfMessages: n, WaitTimeSeconds: wait,
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	})
	require.NoError(c, err)
	return out.Messages
}

func (c scene) bodies(n int32) string {
	c.Helper()
	return joined(c.receive(n, 0))
}

func joined(ms []types.Message) string {
	list := make([]string, 0, len(ms))
	for _, m := range ms {
		list = append(list, *m.Body)
	}
	return strings.Join(list, " ")
}

func (c scene) change(m types.Message, timeout int32) error {
	_, err := c.s.ChangeMessageVisibility(c.Context(), &sqs.ChangeMessageVisibilityInput{QueueUrl: &c.url, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: timeout})
	return err
}

func (c scene) delete(m types.Message) error {
	_, err := c.s.DeleteMessage(c.Context(), &sqs.DeleteMessageInput{QueueUrl: &c.url, ReceiptHandle: m.ReceiptHandle})
	return err
}

// send puts messages named group+something into their groups: "a1" into "a".
func (c scene) send(names ...string) {
	c.Helper()
	for _, name := range names {
		in := &sqs.SendMessageInput{QueueUrl: &c.url, MessageBody: &name, MessageGroupId: new(name[:1])}
		if strings.HasSuffix(c.url, ".fifo") {
			in.MessageDeduplicationId = &name
		}
		_, err := c.s.SendMessage(c.Context(), in)
		require.NoError(c, err)
	}
}

func code(err error) string {
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return ""
	}
	return api.ErrorCode()
}

func TestLongPollWakesToTheInstant(t *testing.T) {
	for name, wake := range map[string]func(scene){
		"send": func(c scene) { c.s.Send(c.url, "m") },
		"delay over": func(c scene) {
			_, err := c.s.SendMessage(c.Context(), &sqs.SendMessageInput{QueueUrl: &c.url, MessageBody: new("m"), DelaySeconds: 4})
			require.NoError(c, err)
			time.Sleep(4 * time.Second)
		},
		"released": func(c scene) {
			c.s.Send(c.url, "m")
			synctest.Wait()
		},
	} {
		t.Run(name, func(t *testing.T) {
			story(t, "q", nil, func(c scene) {
				start := time.Now()
				var wg sync.WaitGroup
				wg.Go(func() {
					require.Equal(c, "m", joined(c.receive(10, 20)))
				})
				time.Sleep(3 * time.Second)
				wake(c)
				sent := time.Since(start)
				wg.Wait()
				require.Equal(c, sent, time.Since(start))
			})
		})
	}
}

func TestLongPollWakesWhenAVisibilityTimeoutEnds(t *testing.T) {
	story(t, "q", map[string]string{"VisibilityTimeout": "7"}, func(c scene) {
		c.s.Send(c.url, "m")
		held := c.receive(1, 0)
		start := time.Now()
		require.Equal(c, "m", joined(c.receive(1, 20)))
		require.Equal(c, 7*time.Second, time.Since(start))

		var wg sync.WaitGroup
		wg.Go(func() {
			require.Equal(c, "m", joined(c.receive(1, 20)))
			require.Equal(c, 9*time.Second, time.Since(start))
		})
		time.Sleep(2 * time.Second)
		require.NoError(c, c.change(held[0], 0), "an older handle still releases on a standard queue")
		wg.Wait()
	})
}

func TestLongPollEndsEmptyWhenItsTimeIsUp(t *testing.T) {
	story(t, "q", map[string]string{"ReceiveMessageWaitTimeSeconds": "5"}, func(c scene) {
		start := time.Now()
		require.Empty(c, c.receive(10, 0), "no wait in the request: the queue's")
		require.Equal(c, 5*time.Second, time.Since(start))
		require.Equal(c, 1, c.s.Stats().Total.EmptyReceives)
	})
}

func TestLongPollEndsWithItsContextAndTakesNothing(t *testing.T) {
	story(t, "q", nil, func(c scene) {
		ctx, cancel := context.WithTimeout(c.Context(), 3*time.Second)
		defer cancel()
		_, err := c.s.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &c.url, WaitTimeSeconds: 20})
		require.ErrorIs(c, err, context.DeadlineExceeded)
		c.s.Send(c.url, "m")
		require.Equal(c, "m", c.bodies(1))
	})
}

func TestLongPollsAreServedInTheirOrder(t *testing.T) {
	story(t, "q", nil, func(c scene) {
		var wg sync.WaitGroup
		got := make([]string, 3)
		for i := range got {
			wg.Go(func() { got[i] = joined(c.receive(1, 20)) })
			synctest.Wait()
		}
		c.s.Send(c.url, "1", "2", "3")
		wg.Wait()
		require.Equal(c, []string{"1", "2", "3"}, got)
	})
}

func TestLongPollOnADeletedQueueFails(t *testing.T) {
	story(t, "q", nil, func(c scene) {
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := c.s.ReceiveMessage(c.Context(), &sqs.ReceiveMessageInput{QueueUrl: &c.url, WaitTimeSeconds: 20})
			_, ok := errors.AsType[*types.QueueDoesNotExist](err)
			require.True(c, ok)
		})
		synctest.Wait()
		_, err := c.s.DeleteQueue(c.Context(), &sqs.DeleteQueueInput{QueueUrl: &c.url})
		require.NoError(c, err)
		wg.Wait()
		_, err = c.s.CreateQueue(c.Context(), &sqs.CreateQueueInput{QueueName: new("q")})
		require.Equal(c, "AWS.SimpleQueueService.QueueDeletedRecently", code(err))
		time.Sleep(60 * time.Second)
		c.s.MustCreateQueue("q", nil)
	})
}

func TestVisibilityIsCappedTwelveHoursAfterTheRequest(t *testing.T) {
	story(t, "q", nil, func(c scene) {
		c.s.Send(c.url, "m")
		m := c.receive(1, 0)[0]
		err := c.change(m, 43_200)
		require.Equal(c, "InvalidParameterValue", code(err))
		require.ErrorContains(c, err, "Reason: Total VisibilityTimeout for the message is beyond the limit [43200 seconds]")
		require.NoError(c, c.change(m, 43_195))
		time.Sleep(6 * time.Hour)
		require.Error(c, c.change(m, 21_600))
		require.NoError(c, c.change(m, 21_599), "extending never resets the cap")
		require.Empty(c, c.receive(1, 0))
	})
}

func TestRetentionCountsWhileInFlight(t *testing.T) {
	story(t, "q", map[string]string{"MessageRetentionPeriod": "60", "VisibilityTimeout": "3600"}, func(c scene) {
		c.s.Send(c.url, "m")
		m := c.receive(1, 0)[0]
		time.Sleep(60 * time.Second)
		require.Empty(c, c.s.Messages(c.url))
		require.NoError(c, c.delete(m))
		require.ErrorContains(c, c.change(m, 5), "Message does not exist or is not available for visibility timeout change.")
		require.Equal(c, 1, c.s.Stats().Queues["q"].Expired)
	})
}

func TestAStaleHandleDeletesNothing(t *testing.T) {
	story(t, "q", map[string]string{"VisibilityTimeout": "5"}, func(c scene) {
		c.s.Send(c.url, "m")
		first := c.receive(1, 0)[0]
		time.Sleep(5 * time.Second)
		second := c.receive(1, 0)[0]
		require.NoError(c, c.delete(first))
		require.Len(c, c.s.Messages(c.url), 1)
		time.Sleep(5 * time.Second)
		require.NoError(c, c.delete(second), "expired, but nobody received it since")
		require.Empty(c, c.s.Messages(c.url))
		require.NoError(c, c.delete(second))
		require.Equal(c, "ReceiptHandleIsInvalid", code(c.delete(types.Message{ReceiptHandle: new("garbage")})))
	})
}

func TestOverLimitOnlyOnShortPollsOfStandardQueues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sqstest.New(sqstest.InFlightLimit(1))
		for _, name := range []string{"q", "q.fifo"} {
			c := scene{t, s, s.MustCreateQueue(name, nil)}
			c.send("a1", "b1")
			held := c.receive(10, 0)
			require.Len(t, held, 1)
			_, err := s.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &c.url})
			if name == "q" {
				_, ok := errors.AsType[*types.OverLimit](err)
				require.True(t, ok)
			} else {
				require.NoError(t, err)
			}
			var wg sync.WaitGroup
			wg.Go(func() { require.Equal(t, "b1", joined(c.receive(1, 20))) })
			time.Sleep(time.Second)
			require.NoError(t, c.delete(held[0]))
			wg.Wait()
		}
	})
}

func TestFIFOGivesTheLongestVisiblePrefixOfAGroup(t *testing.T) {
	for _, tc := range []struct {
		extended int
		want     string
	}{{0, ""}, {1, "a1"}, {2, "a1 a2"}} {
		t.Run(strconv.Itoa(tc.extended), func(t *testing.T) {
			story(t, "q.fifo", nil, func(c scene) {
				c.send("a1", "a2", "a3")
				ms := c.receive(10, 0)
				require.NoError(c, c.change(ms[tc.extended], 60))
				time.Sleep(30 * time.Second)
				require.Equal(c, tc.want, c.bodies(10))
			})
		})
	}
	story(t, "q.fifo", nil, func(c scene) {
		c.send("a1", "a2", "a3")
		ms := c.receive(2, 0)
		require.NoError(c, c.change(ms[0], 0))
		require.Equal(c, "a1", c.bodies(10), "released while the second is still in flight")
		require.NoError(c, c.delete(ms[1]))
		require.Empty(c, c.bodies(10))
	})
}

func TestFIFOGroupsComeContiguousAndRotate(t *testing.T) {
	story(t, "q.fifo", nil, func(c scene) {
		c.send("a1", "b1", "a2", "a3")
		require.Equal(c, "a1 a2 a3 b1", c.bodies(10))
		time.Sleep(30 * time.Second)
		ms := c.receive(3, 0)
		require.Equal(c, "a1 a2 a3", joined(ms))
		for _, m := range ms {
			require.NoError(c, c.change(m, 0))
		}
		require.Equal(c, "b1 a1 a2 a3", c.bodies(10))
	})
}

func TestDeletingTheLastInFlightWakesTheGroup(t *testing.T) {
	story(t, "q.fifo", nil, func(c scene) {
		c.send("a1")
		held := c.receive(10, 0)
		c.send("a2")
		require.Empty(c, c.bodies(10))
		start := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() { require.Equal(c, "a2", joined(c.receive(10, 20))) })
		time.Sleep(time.Second)
		require.NoError(c, c.delete(held[0]))
		wg.Wait()
		require.Equal(c, time.Second, time.Since(start))
	})
}

func TestFIFORefusesExpiredHandles(t *testing.T) {
	story(t, "q.fifo", nil, func(c scene) {
		c.send("a1")
		m := c.receive(1, 0)[0]
		time.Sleep(30 * time.Second)
		for _, err := range []error{c.delete(m), c.change(m, 5)} {
			require.Equal(c, "InvalidParameterValue", code(err))
			require.ErrorContains(c, err, "Reason: The receipt handle has expired.")
		}
	})
}

func TestDeduplicationOutlivesTheMessage(t *testing.T) {
	story(t, "q.fifo", nil, func(c scene) {
		c.send("a1")
		require.NoError(c, c.delete(c.receive(1, 0)[0]))
		time.Sleep(5*time.Minute - instant)
		c.send("a1")
		require.Empty(c, c.bodies(1))
		time.Sleep(instant)
		c.send("a1")
		require.Equal(c, "a1", c.bodies(1))
		require.Equal(c, 1, c.s.Stats().Total.Duplicates)
	})
}

func TestDeduplicationScopeIsTheGroupWhenAsked(t *testing.T) {
	story(t, "q.fifo", map[string]string{"DeduplicationScope": "messageGroup", "ContentBasedDeduplication": "true"}, func(c scene) {
		for _, group := range []string{"a", "b", "a"} {
			_, err := c.s.SendMessage(c.Context(), &sqs.SendMessageInput{QueueUrl: &c.url, MessageBody: new("m"), MessageGroupId: &group})
			require.NoError(c, err)
		}
		require.Equal(c, "m m", c.bodies(10))
	})
}

func TestAReceiveCanBeRepeatedUnderItsAttemptID(t *testing.T) {
	story(t, "q.fifo", nil, func(c scene) {
		c.send("a1", "a2", "b1")
		in := &sqs.ReceiveMessageInput{QueueUrl: &c.url, MaxNumberOfMessages: 2, ReceiveRequestAttemptId: new("try")}
		first, err := c.s.ReceiveMessage(c.Context(), in)
		require.NoError(c, err)
		time.Sleep(20 * time.Second)
		second, err := c.s.ReceiveMessage(c.Context(), in)
		require.NoError(c, err)
		require.Equal(c, first.Messages, second.Messages)
		time.Sleep(20 * time.Second)
		require.Equal(c, "b1", c.bodies(10), "the visibility timeout began anew")
		require.NoError(c, c.delete(first.Messages[0]))
		_, err = c.s.ReceiveMessage(c.Context(), in)
		require.Equal(c, "InvalidParameterValue", code(err))
	})
}

func TestQueueDelayIsRetroactiveOnFIFOOnly(t *testing.T) {
	for queue, want := range map[string]string{"q": "a1", "q.fifo": ""} {
		story(t, queue, nil, func(c scene) {
			c.send("a1")
			_, err := c.s.SetQueueAttributes(c.Context(), &sqs.SetQueueAttributesInput{QueueUrl: &c.url, Attributes: map[string]string{"DelaySeconds": "10"}})
			require.NoError(c, err)
			require.Equal(c, want, c.bodies(1))
			time.Sleep(10 * time.Second)
			if want == "" {
				require.Equal(c, "a1", c.bodies(1))
			}
		})
	}
}

func TestRedriveHappensOnTheReceiveAfterTheLast(t *testing.T) {
	for _, suffix := range []string{"", ".fifo"} {
		synctest.Test(t, func(t *testing.T) {
			s := sqstest.New()
			dead := scene{t, s, s.MustCreateQueue("dead"+suffix, nil)}
			c := scene{t, s, s.MustCreateQueue("q"+suffix, map[string]string{
				"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead` + suffix + `","maxReceiveCount":1}`,
			})}
			c.send("a1", "a2")
			id := *c.receive(1, 0)[0].MessageId
			time.Sleep(30 * time.Second)
			require.Empty(t, s.Messages(dead.url), "the move is lazy")
			require.Equal(t, "a2", c.bodies(1), "and the group goes on")
			got := dead.receive(1, 0)[0]
			require.Equal(t, id, *got.MessageId)
			require.Equal(t, "2", got.Attributes["ApproximateReceiveCount"])
			require.Equal(t, "arn:aws:sqs:us-east-1:000000000000:q"+suffix, got.Attributes["DeadLetterQueueSourceArn"])
			if suffix != "" {
				require.Equal(t, id, got.Attributes["MessageDeduplicationId"])
			}
		})
	}
}

func TestAMoveTaskKeepsItsRateAndWakesLongPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sqstest.New()
		dead := scene{t, s, s.MustCreateQueue("dead", nil)}
		c := scene{t, s, s.MustCreateQueue("q", map[string]string{
			"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead","maxReceiveCount":1}`,
		})}
		s.Send(c.url, "1", "2", "3", "4")
		for range 2 {
			c.receive(10, 0)
			time.Sleep(30 * time.Second)
		}
		require.Len(t, s.Messages(dead.url), 4)
		start := time.Now()
		arn := "arn:aws:sqs:us-east-1:000000000000:dead"
		var wg sync.WaitGroup
		wg.Go(func() {
			require.Equal(t, "1", joined(c.receive(10, 20)))
			require.Equal(t, 1500*time.Millisecond, time.Since(start))
		})
		time.Sleep(time.Second)
		begun, err := s.StartMessageMoveTask(t.Context(), &sqs.StartMessageMoveTaskInput{SourceArn: &arn, MaxNumberOfMessagesPerSecond: new(int32(2))})
		require.NoError(t, err)
		_, err = s.StartMessageMoveTask(t.Context(), &sqs.StartMessageMoveTaskInput{SourceArn: &arn})
		require.ErrorContains(t, err, "There is already a task running.")
		wg.Wait()
		require.Len(t, s.Messages(dead.url), 3)
		task := theTask(t, s, arn)
		require.Equal(t, "RUNNING", *task.Status)
		require.Equal(t, *begun.TaskHandle, *task.TaskHandle)
		time.Sleep(2 * time.Second)
		task = theTask(t, s, arn)
		require.Equal(t, "COMPLETED", *task.Status)
		require.Nil(t, task.TaskHandle)
		require.EqualValues(t, 4, task.ApproximateNumberOfMessagesMoved)
		require.Equal(t, "2 3 4", c.bodies(10))
	})
}

func theTask(t *testing.T, s *sqstest.Server, arn string) types.ListMessageMoveTasksResultEntry {
	t.Helper()
	out, err := s.ListMessageMoveTasks(t.Context(), &sqs.ListMessageMoveTasksInput{SourceArn: &arn})
	require.NoError(t, err)
	require.Len(t, out.Results, 1)
	return out.Results[0]
}

func TestANoisyTenantGivesWayToQuietOnes(t *testing.T) {
	story(t, "q", nil, func(c scene) {
		for i := range 60 {
			c.send("n" + strconv.Itoa(i))
		}
		c.send("q1")
		for range 3 {
			require.Len(c, c.receive(10, 0), 10)
		}
		require.Equal(c, "q1 n30", c.bodies(2))
	})
}

func TestMD5OfAttributesMatchesTheService(t *testing.T) {
	story(t, "q", nil, func(c scene) {
		attribute := func(v string) types.MessageAttributeValue {
			return types.MessageAttributeValue{DataType: new("String"), StringValue: &v}
		}
		sent, err := c.s.SendMessage(c.Context(), &sqs.SendMessageInput{
			QueueUrl: &c.url, MessageBody: new("m"),
			MessageAttributes: map[string]types.MessageAttributeValue{"Help.Me": attribute("Me"), "Hello": attribute("There"), "General": attribute("Kenobi")},
			MessageSystemAttributes: map[string]types.MessageSystemAttributeValue{"AWSTraceHeader": {
				DataType: new("String"), StringValue: new("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"),
			}},
		})
		require.NoError(c, err)
		require.Equal(c, "4c360f3fdafd970e05fae2f149d997f5", *sent.MD5OfMessageAttributes)
		require.Equal(c, "5ae4d5d7636402d80f4eb6d213245a88", *sent.MD5OfMessageSystemAttributes)
		for _, tc := range []struct {
			names []string
			want  string
		}{
			{[]string{"All"}, "4c360f3fdafd970e05fae2f149d997f5"},
			{[]string{"Hello", "General"}, "fca026605781cb4126a1e9044df24232"},
			{[]string{"Hello"}, "a311262e065454b75da111d535b8dacd"},
			{[]string{"None"}, ""},
			{nil, ""},
		} {
			out, err := c.s.ReceiveMessage(c.Context(), &sqs.ReceiveMessageInput{QueueUrl: &c.url, MessageAttributeNames: tc.names})
			require.NoError(c, err)
			m := out.Messages[0]
			require.Nil(c, m.Attributes, "none were asked for")
			if tc.want == "" {
				require.Nil(c, m.MD5OfMessageAttributes)
				require.Nil(c, m.MessageAttributes)
			} else {
				require.Equal(c, tc.want, *m.MD5OfMessageAttributes)
			}
			require.NoError(c, c.change(m, 0))
		}
	})
}
