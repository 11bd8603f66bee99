package lambdasluice

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice"
)

// A source is the queue that an event came from.
type source struct {
	arn  string
	fifo bool
}

// read returns the queue of an event and its messages, each id once.
func read(event events.SQSEvent) (from source, messages []*sluice.Message, err error) {
	now, seen := time.Now(), map[string]bool{}
	for i := range event.Records {
		r := &event.Records[i]
		if r.EventSource != "" && r.EventSource != "aws:sqs" {
			return source{}, nil, fmt.Errorf("Records[%d].eventSource is %q, want aws:sqs", i, r.EventSource)
		}
		if i == 0 {
			from = source{arn: r.EventSourceARN, fifo: strings.HasSuffix(r.EventSourceARN, ".fifo")}
		}
		if r.EventSourceARN != from.arn {
			return source{}, nil, fmt.Errorf("Records[%d].eventSourceARN is %q, want that of Records[0], %q", i, r.EventSourceARN, from.arn)
		}
		if r.MessageId != "" && seen[r.MessageId] {
			continue // SQS delivers a message twice at times
		}
		seen[r.MessageId] = true
		m := messageOf(r, now)
		from.fifo = from.fifo || m.SequenceNumber != "" // group ids exist on standard queues too
		messages = append(messages, m)
	}
	return from, messages, nil
}

// messageOf returns the message of a record.
func messageOf(r *events.SQSMessage, now time.Time) *sluice.Message {
	m := &sluice.Message{
		ID: r.MessageId, Body: r.Body, ReceiptHandle: r.ReceiptHandle,
		GroupID:          r.Attributes[string(types.MessageSystemAttributeNameMessageGroupId)],
		DeduplicationID:  r.Attributes[string(types.MessageSystemAttributeNameMessageDeduplicationId)],
		SequenceNumber:   r.Attributes[string(types.MessageSystemAttributeNameSequenceNumber)],
		ReceivedAt:       now,
		Attributes:       attributesOf(r.MessageAttributes),
		SystemAttributes: maps.Clone(r.Attributes),
	}
	count, _ := strconv.Atoi(r.Attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)])
	m.ReceiveCount, m.Attempt = max(1, count), max(1, count) // it was received, or it would not be here
	if ms, err := strconv.ParseInt(r.Attributes[string(types.MessageSystemAttributeNameSentTimestamp)], 10, 64); err == nil {
		m.SentAt = time.UnixMilli(ms)
	}
	return m
}

func attributesOf(given map[string]events.SQSMessageAttribute) map[string]types.MessageAttributeValue {
	if len(given) == 0 {
		return nil
	}
	attributes := make(map[string]types.MessageAttributeValue, len(given))
	for name, a := range given {
		attributes[name] = types.MessageAttributeValue{DataType: &a.DataType, StringValue: a.StringValue, BinaryValue: a.BinaryValue}
	}
	return attributes
}

// url returns the URL of the queue. An event has the ARN only.
func (s source) url(ctx context.Context) (string, error) {
	queue, err := arn.Parse(s.arn)
	if err != nil {
		return "", fmt.Errorf("eventSourceARN is %q, want the ARN of a queue: %w", s.arn, err)
	}
	endpoint, err := sqs.NewDefaultEndpointResolverV2().ResolveEndpoint(ctx, sqs.EndpointParameters{Region: &queue.Region})
	if err != nil {
		return "", fmt.Errorf("finding the endpoint of SQS in region %s: %w", queue.Region, err)
	}
	return endpoint.URI.JoinPath(queue.AccountID, queue.Resource).String(), nil
}
