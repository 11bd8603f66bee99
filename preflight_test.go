package sluice_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

// redrive returns the attributes of a queue with that redrive policy.
func redrive(dead string, most int, more map[string]string) map[string]string {
	set := map[string]string{"RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:%s","maxReceiveCount":%d}`, dead, most)}
	maps.Copy(set, more)
	return set
}

func TestPreflightFindsWhatIsLikelyToBeAMistake(t *testing.T) {
	long := map[string]string{"MessageRetentionPeriod": "1209600"}
	for name, tt := range map[string]struct {
		queue   string
		set     map[string]string
		options sluice.Options
		want    []string // a part of each finding; "!" before a fatal one
	}{
		"all is well":          {"orders", redrive("dead", 5, nil), sluice.Options{}, nil},
		"all is well, of FIFO": {"orders.fifo", redrive("dead.fifo", 3, nil), sluice.Options{}, nil},
		"no redrive policy":    {"orders", nil, sluice.Options{}, []string{"has no redrive policy"}},
		"one receive":          {"orders", redrive("dead", 1, nil), sluice.Options{}, []string{"maxReceiveCount is 1"}},
		"forgets too soon":     {"orders", redrive("dead", 5, long), sluice.Options{}, []string{"dead-letter queue keeps messages for 336h"}},
		"a wait for too long":  {"orders", redrive("dead", 5, map[string]string{"MessageRetentionPeriod": "60"}), sluice.Options{BatchSize: 10, WaitTime: time.Minute}, []string{"!WaitTime"}},
		"a handler for too long": {
			"orders", redrive("dead", 5, map[string]string{"MessageRetentionPeriod": "60"}),
			sluice.Options{WaitTime: time.Hour, HandlerTimeout: time.Hour},
			[]string{"HandlerTimeout"},
		},
		"hidden for too long": {"orders", redrive("dead", 5, map[string]string{"MessageRetentionPeriod": "60"}), sluice.Options{VisibilityTimeout: time.Minute}, []string{"VisibilityTimeout"}},
		"several": {
			"orders",
			map[string]string{"MessageRetentionPeriod": "60"},
			sluice.Options{BatchSize: 2, WaitTime: time.Hour, VisibilityTimeout: time.Hour},
			[]string{"!WaitTime", "VisibilityTimeout", "no redrive policy"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := sqstest.New()
			server.MustCreateQueue("dead", long)
			server.MustCreateQueue("dead.fifo", long)
			queue := server.MustCreateQueue(tt.queue, tt.set)
			for _, client := range []sluice.Client{server, server.Client()} {
				requireFindings(t, client, queue, tt.options, tt.want)
			}
		})
	}
}

func requireFindings(t *testing.T, client sluice.Client, queue string, o sluice.Options, want []string) {
	t.Helper()
	c, err := sluice.New(client, queue, o)
	require.NoError(t, err)
	findings, err := c.Preflight(t.Context())
	require.NoError(t, err)
	require.Len(t, findings, len(want), "%v", findings)
	for i, f := range findings {
		text, fatal := strings.CutPrefix(want[i], "!")
		require.Contains(t, f.Text, text)
		require.Equal(t, fatal, f.Fatal, f.Text)
	}
}

func TestPreflightFindsQueuesThatAreMissing(t *testing.T) {
	server := sqstest.New()
	dead := server.MustCreateQueue("dead", nil)
	queue := server.MustCreateQueue("orders", redrive("dead", 5, nil))
	_, err := server.DeleteQueue(t.Context(), &sqs.DeleteQueueInput{QueueUrl: &dead})
	require.NoError(t, err)
	requireFindings(t, server.Client(), queue, sluice.Options{}, []string{"the dead-letter queue " + dead + " does not exist"})
	requireFindings(t, server.Client(), dead, sluice.Options{}, []string{"!the queue " + dead + " does not exist"})
}

// refusing is a client that SQS answers with an error.
type refusing struct {
	*sqstest.Server

	err error
}

func (r refusing) GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput, ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error) {
	return nil, r.err
}

func TestPreflightSaysWhyItCannotLook(t *testing.T) {
	denied := &smithy.OperationError{ServiceID: sqs.ServiceID, OperationName: "GetQueueAttributes", Err: &smithy.GenericAPIError{Code: "AccessDenied"}}
	requireFindings(t, refusing{sqstest.New(), denied}, anyQueue, sluice.Options{}, []string{"SQS refuses sqs:GetQueueAttributes"})

	down := errors.New("down")
	c, err := sluice.New(refusing{sqstest.New(), down}, anyQueue, sluice.Options{})
	require.NoError(t, err)
	findings, err := c.Preflight(t.Context())
	require.ErrorIs(t, err, down)
	require.Empty(t, findings)

	c, err = sluice.New(three{}, anyQueue, sluice.Options{})
	require.NoError(t, err)
	_, err = c.Preflight(t.Context())
	require.ErrorContains(t, err, "want one with GetQueueAttributes")
}
