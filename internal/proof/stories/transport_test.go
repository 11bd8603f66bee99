package stories_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

// embedding is somebody's own client around the SDK's.
type embedding struct{ *sqs.Client }

// Three clients, one of them told to make its calls itself: Stats and the log say who makes
// the calls, and it is true.
func TestStatsAndTheLogSayWhatMakesTheCalls(t *testing.T) {
	for want, c := range map[string]struct {
		wrap     func(*sqs.Client) sluice.Client
		sdkCalls bool
	}{
		"lean: through net/http, since the HTTP client is a stories_test.counting": {wrap: func(c *sqs.Client) sluice.Client { return c }},
		"sdk: Options.SDKCalls is set":                                             {wrap: func(c *sqs.Client) sluice.Client { return c }, sdkCalls: true},
		"sdk: the client is a stories_test.embedding":                              {wrap: func(c *sqs.Client) sluice.Client { return embedding{c} }},
	} {
		t.Run(want, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := sqstest.New()
				url := server.MustCreateQueue("orders", nil)
				server.Send(url, "coffee")
				var through, past atomic.Int64
				client := server.Client(func(o *sqs.Options) {
					o.HTTPClient = counting{o.HTTPClient, &through, &past}
				})
				var out strings.Builder
				consumer, err := sluice.New(c.wrap(client), url, sluice.Options{
					SDKCalls: c.sdkCalls, Logger: slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})),
				})
				require.NoError(t, err)
				require.Equal(t, want, consumer.Stats().Transport, "also before a run")
				require.NoError(t, consumer.Drain(t.Context(), func(context.Context, []*sluice.Message) error {
					time.Sleep(time.Minute) // long enough for a renewal
					return nil
				}))
				require.EqualValues(t, 1, consumer.Stats().Deleted)
				require.Positive(t, consumer.Stats().Calls["ChangeMessageVisibilityBatch"])
				if strings.HasPrefix(want, "lean") {
					require.Zero(t, through.Load())
				} else {
					require.Zero(t, past.Load())
				}
				first, _, _ := strings.Cut(out.String(), "\n")
				var line map[string]any
				require.NoError(t, json.Unmarshal([]byte(first), &line))
				require.Equal(t, "the run begins", line["msg"])
				require.Equal(t, want, line["transport"])
			})
		})
	}
}

// counting counts requests that the SDK's client has made, and others.
type counting struct {
	sqs.HTTPClient
	through, past *atomic.Int64
}

func (c counting) Do(r *http.Request) (*http.Response, error) {
	if strings.Contains(string(debug.Stack()), "invokeOperation") {
		c.through.Add(1)
	} else {
		c.past.Add(1)
	}
	return c.HTTPClient.Do(r)
}

// A message has the system attributes that were asked for, whoever makes the calls.
func TestSystemAttributesAreThoseThatWereAskedFor(t *testing.T) {
	for _, sdkCalls := range []bool{false, true} {
		for _, names := range [][]types.MessageSystemAttributeName{nil, {types.MessageSystemAttributeNameSenderId}, {types.MessageSystemAttributeNameAll}} {
			synctest.Test(t, func(t *testing.T) {
				server := sqstest.New()
				url, dead := server.MustCreateQueue("orders", nil), server.MustCreateQueue("dead", nil)
				server.Send(url, "coffee")
				consumer, err := sluice.New(server.Client(), url, sluice.Options{
					SDKCalls: sdkCalls, SystemAttributes: names, Logger: quiet, DeadLetterQueueURL: dead,
				})
				require.NoError(t, err)
				var got *sluice.Message
				require.NoError(t, consumer.Drain(t.Context(), func(_ context.Context, batch []*sluice.Message) error {
					got = batch[0]
					return nil
				}))
				require.Equal(t, 1, got.ReceiveCount)
				require.False(t, got.SentAt.IsZero())
				switch {
				case names == nil:
					require.Nil(t, got.SystemAttributes)
				case names[0] == types.MessageSystemAttributeNameAll:
					require.Contains(t, got.SystemAttributes, "SentTimestamp")
				default:
					require.Len(t, got.SystemAttributes, 1)
					require.Contains(t, got.SystemAttributes, "SenderId")
				}
			})
		}
	}
}
