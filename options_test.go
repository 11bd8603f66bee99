package sluice_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqstest"
)

const anyQueue = "https://sqs.eu-central-1.amazonaws.com/123456789012/orders"

func TestEachMistakeIsToldWithFieldValueAndRule(t *testing.T) {
	for want, opts := range map[string]sluice.Options{
		"BatchSize is -1, want at least 1":                {BatchSize: -1},
		"BatchSize is 10001, want at most 10000":          {BatchSize: 10_001},
		"Concurrency is -2, want at least 1":              {Concurrency: -2},
		"Concurrency is 120001, want at most 120000":      {Concurrency: 120_001},
		"Receivers is -1, want at least 1":                {Receivers: -1},
		"Receivers is 1001, want at most 1000":            {Receivers: 1001},
		"MaxMessages is -1, want at least 0":              {MaxMessages: -1},
		"BatchBytes is -1, want at least 1":               {BatchBytes: -1},
		"BytesInFlight is 1000, want at least 1048576":    {BytesInFlight: 1000},
		"WaitTime is -1s, want at least 1ms":              {WaitTime: -time.Second},
		"WaitTime is 12h0m0s, want at most 11h0m0s":       {WaitTime: 12 * time.Hour},
		"VisibilityTimeout is -1s, want at least":         {VisibilityTimeout: -time.Second},
		"VisibilityTimeout is 1s, want at least 2s":       {VisibilityTimeout: time.Second},
		"VisibilityTimeout is 12h0m1s, want at most":      {VisibilityTimeout: 12*time.Hour + time.Second},
		"VisibilityTimeout is 2.5s, want whole seconds":   {VisibilityTimeout: 2500 * time.Millisecond},
		"PollTime is -1s, want at least 1s":               {PollTime: -time.Second},
		"PollTime is 21s, want at most 20s":               {PollTime: 21 * time.Second},
		"PollTime is 1h0m0s, want at most 20s":            {PollTime: time.Hour},
		"PollTime is 1.5s, want whole seconds":            {PollTime: 1500 * time.Millisecond, VisibilityTimeout: 2 * time.Second},
		"HandlerTimeout is -1s, want at least 0s":         {HandlerTimeout: -time.Second},
		"HandlerTimeout is 13h0m0s, want at most":         {HandlerTimeout: 13 * time.Hour},
		"ShutdownTimeout is -1s, want at least 1ms":       {ShutdownTimeout: -time.Second},
		"ShutdownTimeout is 13h0m0s, want at most":        {ShutdownTimeout: 13 * time.Hour},
		"DeleteLinger is 11s, want at most 10s":           {DeleteLinger: 11 * time.Second},
		"MaxDuration is -1ns, want at least 0s":           {MaxDuration: -1},
		`DeadLetterQueueURL is "dead", want the URL of a`: {DeadLetterQueueURL: "dead"},
	} {
		t.Run(want, func(t *testing.T) {
			_, err := sluice.New(sqstest.New(), anyQueue, opts)
			require.ErrorContains(t, err, want)
			require.Equal(t, 1, strings.Count(err.Error(), "want"), "one mistake is told once: %v", err)
			require.True(t, strings.HasPrefix(err.Error(), "sluice: "))
		})
	}
}

func TestAllMistakesAreToldAtOnce(t *testing.T) {
	_, err := sluice.New(nil, "", sluice.Options{
		BatchSize: -1, WaitTime: -1, BatchBytes: -1, Concurrency: -1, BytesInFlight: -1, Receivers: -1, VisibilityTimeout: -time.Second, PollTime: -time.Second,
		HandlerTimeout: -1, ShutdownTimeout: -1, MaxMessages: -1, MaxDuration: -1, DeleteLinger: time.Hour, DeadLetterQueueURL: "?",
	})
	for _, field := range []string{
		"client is nil", "queueURL is empty", "BatchSize", "WaitTime", "BatchBytes", "Concurrency", "BytesInFlight", "Receivers", "VisibilityTimeout", "PollTime",
		"HandlerTimeout", "ShutdownTimeout", "MaxMessages", "MaxDuration", "DeleteLinger", "DeadLetterQueueURL",
	} {
		require.ErrorContains(t, err, field)
	}
}

// three is a client with no more than a consumer needs.
type three struct{ sluice.Client }

func (three) DeleteMessage(context.Context, *sqs.DeleteMessageInput) {}

func TestADeadLetterQueueNeedsAClientThatSends(t *testing.T) {
	_, err := sluice.New(three{sqstest.New()}, anyQueue, sluice.Options{DeadLetterQueueURL: anyQueue + "-dead"})
	require.ErrorContains(t, err, "SendMessage")
	_, err = sluice.New(three{sqstest.New()}, anyQueue, sluice.Options{})
	require.NoError(t, err)
}

func TestTheURLOfAQueueIsChecked(t *testing.T) {
	for _, bad := range []string{"", "orders", "sqs.eu-central-1.amazonaws.com/1/orders", "https://", "https://host", "https://host/", "arn:aws:sqs:eu-central-1:1:orders", "ftp://host/1/q", "http://[::1/q"} {
		_, err := sluice.New(sqstest.New(), bad, sluice.Options{})
		require.ErrorContains(t, err, "queueURL", bad)
	}
	for _, good := range []string{anyQueue, "http://localhost:4566/000000000000/q", "http://127.0.0.1/1/q.fifo"} {
		_, err := sluice.New(sqstest.New(), good, sluice.Options{})
		require.NoError(t, err, good)
	}
}

func TestNewMakesNoCall(t *testing.T) {
	s := sqstest.New()
	c, err := sluice.New(s, anyQueue, sluice.Options{})
	require.NoError(t, err)
	require.Empty(t, s.Stats().Calls)
	require.Equal(t, sluice.StateStopped, c.Health().State)
	require.Zero(t, c.Stats().Received)
	c.Stop()
	c.Pause()
	c.Resume()
}
