package sluice_test

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
)

// FuzzReceivedMessage passes whatever SQS might answer through a Consumer: the handler sees what
// came, numbers that are none do no harm, and the delete carries the handle.
func FuzzReceivedMessage(f *testing.F) {
	f.Add("id", "body", "handle", "3", "1700000000000", "group", "name", "value", []byte(nil))
	f.Add("", "", "", "-1", "", "", "", "", []byte{0})
	f.Add("\x00", "\xff", "h", "99999999999999999999", "-9223372036854775808", "g", "AWS.x", "\xff", []byte(nil))
	f.Fuzz(func(t *testing.T, id, body, handle, count, sent, group, name, value string, binary []byte) {
		raw := types.Message{
			MessageId: &id, Body: &body, ReceiptHandle: &handle,
			Attributes: map[string]string{"ApproximateReceiveCount": count, "SentTimestamp": sent, "MessageGroupId": group},
			MessageAttributes: map[string]types.MessageAttributeValue{
				name: {DataType: new("String"), StringValue: &value, BinaryValue: binary},
			},
		}
		synctest.Test(t, func(t *testing.T) {
			queue := &once{message: raw}
			c, err := sluice.New(queue, "https://sqs.us-east-1.amazonaws.com/000000000000/q", sluice.Options{})
			require.NoError(t, err)
			handled := 0
			require.NoError(t, c.Drain(t.Context(), sluice.Each(func(_ context.Context, m *sluice.Message) error {
				handled++
				require.Equal(t, []string{id, body, handle, group}, []string{m.ID, m.Body, m.ReceiptHandle, m.GroupID})
				require.Equal(t, raw.MessageAttributes, m.Attributes)
				require.Equal(t, receives(count), m.ReceiveCount)
				if ms, err := strconv.ParseInt(sent, 10, 64); err == nil {
					require.True(t, time.UnixMilli(ms).Equal(m.SentAt))
				} else {
					require.True(t, m.SentAt.IsZero())
				}
				return nil
			})))
			require.Equal(t, 1, handled)
			require.Equal(t, []string{handle}, queue.deleted)
		})
	})
}

// FuzzJSONBody decodes bodies: what encoding/json takes reaches the handler, what it does not fails,
// and no error repeats what stands in the body.
func FuzzJSONBody(f *testing.F) {
	type order struct {
		N     int            `json:"N"`
		Names []string       `json:"Names"`
		Map   map[string]int `json:"Map"`
		Keys  map[int]bool   `json:"Keys"`
		Raw   []byte         `json:"Raw"`
		Time  time.Time      `json:"Time"`
		Text  int            `json:"Text,string"`
		Next  *order         `json:"Next"`
	}
	const secret = "c4n4ry"
	f.Add(`{"N":1,"Names":["`, `"],"Map":{"a":1}}`)
	f.Add(`{"N":"`, `"}`)
	f.Add(`{"Map":{"`, `":"x"}}`)
	f.Add(`{"Keys":{"`, `":true}}`)
	f.Add(`{"Raw":"`, `"}`)
	f.Add(`{"Time":"`, `"}`)
	f.Add(`{"Text":"`, `"}`)
	f.Add(`{"Next":{"Next":{"`, `":[]}}}`)
	f.Fuzz(func(t *testing.T, before, after string) {
		m := &sluice.Message{Body: before + secret + after}
		var want, got order
		invalid := json.Unmarshal([]byte(m.Body), &want)
		called := false
		err := sluice.JSON(func(_ context.Context, o order) error {
			got, called = o, true
			return nil
		})(t.Context(), []*sluice.Message{m})
		require.Equal(t, invalid == nil, called)
		if invalid == nil {
			require.NoError(t, err)
			require.Equal(t, want, got)
			return
		}
		require.Error(t, err)
		require.NotContains(t, err.Error(), secret)
	})
}

// receives is how often a message with this attribute was received at least.
func receives(attribute string) int {
	n, err := strconv.Atoi(attribute)
	if err != nil && !strings.Contains(err.Error(), "out of range") {
		return 1
	}
	return max(1, n)
}

// once is a queue that holds one message.
type once struct {
	message types.Message
	given   bool
	deleted []string // receipt handles
}

func (q *once) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, _ ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	if !q.given {
		q.given = true
		return &sqs.ReceiveMessageOutput{Messages: []types.Message{q.message}}, nil
	}
	select {
	case <-time.After(time.Duration(in.WaitTimeSeconds) * time.Second):
		return &sqs.ReceiveMessageOutput{}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (q *once) DeleteMessageBatch(_ context.Context, in *sqs.DeleteMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	out := &sqs.DeleteMessageBatchOutput{}
	for _, e := range in.Entries {
		q.deleted = append(q.deleted, *e.ReceiptHandle)
		out.Successful = append(out.Successful, types.DeleteMessageBatchResultEntry{Id: e.Id})
	}
	return out, nil
}

func (q *once) ChangeMessageVisibilityBatch(_ context.Context, in *sqs.ChangeMessageVisibilityBatchInput, _ ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	out := &sqs.ChangeMessageVisibilityBatchOutput{}
	for _, e := range in.Entries {
		out.Successful = append(out.Successful, types.ChangeMessageVisibilityBatchResultEntry{Id: e.Id})
	}
	return out, nil
}
