package main

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/bench/child"
)

// peers that are hand-written loops, and sluice. The others have programs of their own, in the
// folders gocloud and node: what they bring along must not count as memory of these.
var peers = map[string]child.Peer{
	"sluice":            consumeSluice,
	leaseKeeper:         keepLeases,
	"article":           consumeArticle,
	"expert":            consumeExpert,
	"expert-inner":      consumeExpertInner,
	"expert-attributes": consumeExpertAttributes,
	"pool":              consumePool,
}

func consumeSluice(ctx context.Context, client *sqs.Client, spec *child.Spec, w *child.Work) error {
	c, err := sluice.New(client, spec.QueueURL, sluice.Options{
		BatchSize: spec.Batch, WaitTime: spec.Wait, Concurrency: spec.Handlers, DeleteLinger: spec.Linger,
	})
	if err != nil {
		return err
	}
	return c.Run(ctx, func(_ context.Context, batch []*sluice.Message) error {
		if len(batch) == 1 {
			w.Do(batch[0].Body)
			return nil
		}
		bodies := make([]string, len(batch))
		for i, m := range batch {
			bodies[i] = m.Body
		}
		w.Do(bodies...)
		return nil
	})
}

// leaseKeeper is sluice with a handler that keeps as many messages as SQS lets a consumer hold.
const leaseKeeper = "sluice, holding all"

func keepLeases(ctx context.Context, client *sqs.Client, spec *child.Spec, _ *child.Work) error {
	const room = 1 << 30 // bytes
	c, err := sluice.New(client, spec.QueueURL, sluice.Options{
		BatchSize: spec.Batch, Concurrency: spec.Handlers, WaitTime: time.Hour, BatchBytes: room, BytesInFlight: room,
	})
	if err != nil {
		return err
	}
	return c.Run(ctx, func(ctx context.Context, _ []*sluice.Message) error {
		<-ctx.Done()
		return context.Cause(ctx)
	})
}

const longestPoll = 20 // seconds

// An asker tells what a loop asks for besides bodies; empty: nothing.
type asker struct {
	system []types.MessageSystemAttributeName
	own    []string // of the messages
}

// asking is what the loops of a run ask for.
func asking(spec *child.Spec) asker {
	if !spec.Attributes {
		return asker{}
	}
	return asker{own: []string{"All"}}
}

func (a asker) receive(ctx context.Context, client *sqs.Client, url string) ([]types.Message, error) {
	out, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &url, MaxNumberOfMessages: 10, WaitTimeSeconds: longestPoll,
		MessageSystemAttributeNames: a.system, MessageAttributeNames: a.own,
	})
	if err != nil {
		return nil, err
	}
	return out.Messages, nil
}

// consumeArticle is the loop of every article about SQS: receive, handle one by one, delete one by one.
func consumeArticle(ctx context.Context, client *sqs.Client, spec *child.Spec, w *child.Work) error {
	for ctx.Err() == nil {
		messages, err := asking(spec).receive(ctx, client, spec.QueueURL)
		if err != nil {
			continue // the SDK has waited and tried again
		}
		for _, m := range messages {
			w.Do(*m.Body)
			_, _ = client.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &spec.QueueURL, ReceiptHandle: m.ReceiptHandle})
		}
	}
	return ctx.Err()
}

// consumeExpert is what somebody writes who knows the bill: as many receivers as handlers, and
// each receives ten, handles them one after the other, and deletes them in one call.
func consumeExpert(ctx context.Context, client *sqs.Client, spec *child.Spec, w *child.Work) error {
	return expert(ctx, client, spec, spec.Handlers, oneByOne(w), asking(spec))
}

// consumeExpertAttributes also asks for the attributes that sluice gives its handlers: receive
// count, time of sending, and group.
func consumeExpertAttributes(ctx context.Context, client *sqs.Client, spec *child.Spec, w *child.Work) error {
	ask := asking(spec)
	ask.system = []types.MessageSystemAttributeName{
		types.MessageSystemAttributeNameApproximateReceiveCount,
		types.MessageSystemAttributeNameSentTimestamp, types.MessageSystemAttributeNameMessageGroupId,
	}
	return expert(ctx, client, spec, spec.Handlers, oneByOne(w), ask)
}

func oneByOne(w *child.Work) func([]types.Message) {
	return func(messages []types.Message) {
		for _, m := range messages {
			w.Do(*m.Body)
		}
	}
}

// consumeExpertInner handles the ten of a batch at once, and so has a tenth of the receivers.
func consumeExpertInner(ctx context.Context, client *sqs.Client, spec *child.Spec, w *child.Work) error {
	return expert(ctx, client, spec, (spec.Handlers+9)/10, func(messages []types.Message) {
		var wg sync.WaitGroup
		for _, m := range messages {
			wg.Go(func() { w.Do(*m.Body) })
		}
		wg.Wait()
	}, asking(spec))
}

func expert(ctx context.Context, client *sqs.Client, spec *child.Spec, receivers int, handle func([]types.Message), ask asker) error {
	var wg sync.WaitGroup
	for range receivers {
		wg.Go(func() {
			for ctx.Err() == nil {
				messages, err := ask.receive(ctx, client, spec.QueueURL)
				if err != nil || len(messages) == 0 {
					continue
				}
				handle(messages)
				deleteAll(ctx, client, spec.QueueURL, messages)
			}
		})
	}
	wg.Wait()
	return ctx.Err()
}

func deleteAll(ctx context.Context, client *sqs.Client, url string, messages []types.Message) {
	entries := make([]types.DeleteMessageBatchRequestEntry, len(messages))
	for i, m := range messages {
		id := strconv.Itoa(i)
		entries[i] = types.DeleteMessageBatchRequestEntry{Id: &id, ReceiptHandle: m.ReceiptHandle}
	}
	_, _ = client.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: entries})
}
