package server

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"
)

func TestABatchOfTheSupplyIsNotTooLarge(t *testing.T) {
	for size, want := range map[int]int{128: 10, 64 << 10: 10, 200 << 10: 5, 1 << 20: 1} {
		s := newSupply(&Setup{Size: size})
		require.Equal(t, want, s.entries, "%d bytes", size)
		require.Len(t, s.body, size)
	}
}

func TestJSONBodiesAreDocumentsOfTheirSize(t *testing.T) {
	for _, size := range []int{128, 512, 4 << 10, 64<<10 - 1} {
		s := newSupply(&Setup{Size: size, JSON: true})
		require.Len(t, s.body, size)
		require.True(t, json.Valid([]byte(s.body)), "%d bytes", size)
	}
}

func TestMessagesTakeTurnsWithTheirGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := quiet(t, Setup{Size: 8, Groups: 3, Attributes: 5})
		r.fill(31, r.supply.body)
		count := map[string]int{}
		for _, m := range r.queues.Messages(r.url) {
			count[m.GroupID]++
		}
		out, err := r.queues.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &r.url, MessageAttributeNames: []string{"All"}})
		require.NoError(t, err)
		require.Len(t, out.Messages[0].MessageAttributes, 5)
		require.Equal(t, map[string]int{"group-0": 10, "group-1": 11, "group-2": 10}, count)
	})
}

func TestAShallowQueueIsFilledUpMoreOften(t *testing.T) {
	require.Less(t, (&Setup{Depth: 200}).refillEvery(), 5*time.Millisecond)
	require.Greater(t, (&Setup{Depth: 30_000}).refillEvery(), 5*time.Millisecond)
}
