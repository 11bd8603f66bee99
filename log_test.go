package sluice_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
)

func TestALoggedMessageShowsNoSecrets(t *testing.T) {
	m := &sluice.Message{
		ID: "id-1", Body: "the body", ReceiptHandle: "the handle", GroupID: "the group", ReceiveCount: 3, SentAt: time.Now().Add(-time.Minute),
		Attributes: map[string]types.MessageAttributeValue{"key": {StringValue: new("the attribute")}},
	}
	for name, v := range map[string]any{"pointer": m, "value": *m, "item": sluice.Item[int]{Message: m, Value: 7}} {
		var out strings.Builder
		slog.New(slog.NewTextHandler(&out, nil)).Info("handled", slog.Any("message", v))
		require.Contains(t, out.String(), `message.id=id-1 message.group="the group" message.receive_count=3 message.age=1m`, name)
		require.NotContains(t, out.String(), "body", name)
		require.NotContains(t, out.String(), "handle\"", name)
		require.NotContains(t, out.String(), "attribute", name)
	}
}
