package sqstest_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/sqstest"
)

func TestAFaultStrikesAfterSkipAsOftenAsTimes(t *testing.T) {
	story(t, "q", nil, func(c scene) {
		remove := c.s.Inject(sqstest.Fault{Op: "ReceiveMessage", Queue: c.url, Skip: 1, Times: 2, Err: sqstest.Throttled()})
		failed := make([]bool, 0, 4)
		for range 4 {
			_, err := c.s.ReceiveMessage(c.Context(), &sqs.ReceiveMessageInput{QueueUrl: &c.url})
			failed = append(failed, err != nil)
		}
		require.Equal(c, []bool{false, true, true, false}, failed)
		remove()
		require.Equal(c, sqstest.CallStats{Started: 4, Failed: 2}, c.s.Stats().Calls["ReceiveMessage"])
	})
}

func TestALostAnswerHasItsEffect(t *testing.T) {
	story(t, "q", nil, func(c scene) {
		c.s.Send(c.url, "m")
		c.s.Inject(sqstest.Fault{Op: "ReceiveMessage", Times: 1, Err: sqstest.Reset(), After: true, Lag: 3 * time.Second})
		start := time.Now()
		_, err := c.s.ReceiveMessage(c.Context(), &sqs.ReceiveMessageInput{QueueUrl: &c.url})
		require.True(c, sqstest.IsReset(err))
		_, ok := errors.AsType[net.Error](err)
		require.True(c, ok)
		require.Equal(c, 3*time.Second, time.Since(start))
		require.Empty(c, c.bodies(1))
		require.Equal(c, sqstest.InFlight, c.s.Messages(c.url)[0].State)
	})
}

func TestASlowCallEndsWithItsContext(t *testing.T) {
	story(t, "q", nil, func(c scene) {
		c.s.Inject(sqstest.Fault{Wait: time.Hour})
		ctx, cancel := context.WithTimeout(c.Context(), time.Second)
		defer cancel()
		_, err := c.s.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &c.url})
		require.ErrorIs(c, err, context.DeadlineExceeded)
	})
}

func TestOneDeliveryCanComeTwice(t *testing.T) {
	story(t, "q", nil, func(c scene) {
		id := c.s.Send(c.url, "m")[0]
		remove := c.s.Inject(sqstest.Fault{Op: "ReceiveMessage", Twice: true})
		ms := c.receive(10, 0)
		require.Equal(c, "m m", joined(ms))
		require.NotEqual(c, *ms[0].ReceiptHandle, *ms[1].ReceiptHandle)
		require.NoError(c, c.delete(ms[0]), "both handles are good")
		require.Empty(c, c.s.Messages(c.url))
		require.Len(c, c.s.Deliveries(c.url, id), 2)
		remove()

		c.s.Inject(sqstest.Fault{Op: "ReceiveMessage", Again: true, Times: 1})
		c.s.Send(c.url, "n")
		first, second := c.receive(1, 0), c.receive(1, 0)
		require.Equal(c, "n n", joined(append(first, second...)))
		require.NoError(c, c.delete(first[0]))
		require.Empty(c, c.s.Messages(c.url))

		c.s.Inject(sqstest.Fault{Op: "DeleteMessage", Again: true, Times: 1})
		c.s.Send(c.url, "o")
		require.NoError(c, c.delete(c.receive(1, 0)[0]))
		require.Equal(c, "o", c.bodies(1), "after its delete")
	})
}

func TestLeversActOnOneMessage(t *testing.T) {
	for _, queue := range []string{"q", "q.fifo"} {
		story(t, queue, nil, func(c scene) {
			id := c.s.Send(c.url, "m")[0]
			require.False(c, c.s.ExpireLease(c.url, id), "not in flight")
			lost := c.receive(1, 0)[0]
			require.True(c, c.s.ExpireLease(c.url, id))
			held := c.receive(1, 0)[0]
			_ = c.delete(lost)
			require.Len(c, c.s.Messages(c.url), 1, "the lease was lost")
			require.True(c, c.s.Redeliver(c.url, id))
			copied := c.receive(1, 0)[0]
			require.NoError(c, c.delete(held), "the copy did not spoil it")
			require.NoError(c, c.delete(copied))
			require.Empty(c, c.s.Messages(c.url))
		})
	}
}

func TestLeasesCanBeShorterThanAsked(t *testing.T) {
	story(t, "q", nil, func(c scene) {
		c.s.Inject(sqstest.Fault{Lease: func(time.Duration) time.Duration { return 2 * time.Second }})
		c.s.Send(c.url, "m")
		m := c.receive(1, 0)[0]
		require.NoError(c, c.change(m, 600))
		time.Sleep(2 * time.Second)
		require.Equal(c, "m", c.bodies(1))
	})
}

func TestAnswersCanBeEmptyShortAndWrong(t *testing.T) {
	story(t, "q", nil, func(c scene) {
		c.s.Send(c.url, "1", "2", "3")
		c.s.Inject(sqstest.Fault{Op: "ReceiveMessage", Times: 1, Empty: true})
		require.Empty(c, c.receive(10, 20))
		c.s.Inject(sqstest.Fault{Op: "ReceiveMessage", Times: 1, Max: 1, WrongMD5: true})
		ms := c.receive(10, 0)
		require.Len(c, ms, 1)
		require.NotEqual(c, "c4ca4238a0b923820dcc509a6f75849b", *ms[0].MD5OfBody)
		c.s.Inject(sqstest.Fault{Op: "DeleteMessage", Times: 1, NoEffect: true})
		require.NoError(c, c.delete(ms[0]))
		require.Len(c, c.s.Messages(c.url), 3)
	})
}

func TestEntriesFailAlone(t *testing.T) {
	for _, after := range []bool{false, true} {
		story(t, "q", nil, func(c scene) {
			c.s.Inject(sqstest.Fault{Op: "SendMessageBatch", Entries: func(i int) bool { return i == 0 }, Err: sqstest.Throttled(), After: after})
			out, err := c.s.SendMessageBatch(c.Context(), &sqs.SendMessageBatchInput{QueueUrl: &c.url, Entries: []types.SendMessageBatchRequestEntry{
				{Id: new("0"), MessageBody: new("a")}, {Id: new("1"), MessageBody: new("b")},
			}})
			require.NoError(c, err)
			require.Equal(c, "RequestThrottled", *out.Failed[0].Code)
			require.Equal(c, "1", *out.Successful[0].Id)
			want := 1
			if after {
				want = 2
			}
			require.Len(c, c.s.Messages(c.url), want)
		})
	}
}

func TestIDsReplayFromTheSeed(t *testing.T) {
	ids := func(seed uint64) []string {
		s := sqstest.New(sqstest.Seed(seed))
		return s.Send(s.MustCreateQueue("q", nil), "a", "b")
	}
	seven, again, eight := ids(7), ids(7), ids(8)
	require.Equal(t, seven, again)
	require.NotEqual(t, seven, eight)
}
