package contract

import (
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// batchCall makes a batch request with these entry ids.
type batchCall func(c *trial, q string, ids []string) error

// longestID has every kind of character that the id of a batch's entry may have, and eighty of them.
var longestID = "aZ09_-" + strings.Repeat("i", 74)

// batches are the rules that the three batch operations share.
func batches() []Row {
	rows := make([]Row, 0, 21)
	for _, op := range []struct {
		name string
		call batchCall
	}{
		{"SendMessageBatch", sendIDs},
		{"DeleteMessageBatch", deleteIDs},
		{"ChangeMessageVisibilityBatch", changeIDs},
	} {
		rows = append(rows,
			batchRule("Refuses/"+op.name+"/NoEntries", recorded("send_batch_empty_list"), op.call, nil,
				"AWS.SimpleQueueService.EmptyBatchRequest", ""),
			batchRule("Refuses/"+op.name+"/TwentyEntries", recorded("too_many_entries_in_batch_request"), op.call, numbers(20),
				"AWS.SimpleQueueService.TooManyEntriesInBatchRequest", "Maximum number of entries per request are 10. You have sent 20."),
			batchRule("Refuses/"+op.name+"/TooManyBeforeItLooksAtIDs", recorded("too_many_entries_in_batch_request"), op.call, make([]string, 11),
				"AWS.SimpleQueueService.TooManyEntriesInBatchRequest", "You have sent 11."),
			batchRule("Refuses/"+op.name+"/ARepeatedID", recorded("batch_ids_not_distinct"), op.call, []string{"a", "a"},
				"AWS.SimpleQueueService.BatchEntryIdsNotDistinct", "Id a repeated."),
			batchRule("Refuses/"+op.name+"/AnIllegalID", recorded("invalid_batch_id"), op.call, []string{"no space"},
				"AWS.SimpleQueueService.InvalidBatchEntryId", ""),
			batchRule("Refuses/"+op.name+"/ALongID", apiBatch+": ids of 1 to 80 characters", op.call, []string{strings.Repeat("i", 81)},
				"AWS.SimpleQueueService.InvalidBatchEntryId", ""),
			Row{Name: "AnIDOfEightyCharactersIsAccepted/" + op.name, Source: apiBatch + ": ids of 1 to 80 characters", run: func(c *trial) {
				c.ok(op.call(c, c.queue(), []string{longestID}))
			}},
		)
	}
	return rows
}

func batchRule(name, source string, call batchCall, ids []string, code, message string) Row {
	return Row{Name: name, Source: source, run: func(c *trial) {
		c.refused(call(c, c.queue(), ids), code, message)
	}}
}

func numbers(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = strconv.Itoa(i)
	}
	return ids
}

func sendIDs(c *trial, q string, ids []string) error {
	entries := make([]types.SendMessageBatchRequestEntry, 0, len(ids))
	for _, id := range ids {
		entries = append(entries, entry(id, "a"))
	}
	_, err := c.SendMessageBatch(c.ctx, &sqs.SendMessageBatchInput{QueueUrl: &q, Entries: entries})
	return err
}

func deleteIDs(c *trial, q string, ids []string) error {
	entries := make([]types.DeleteMessageBatchRequestEntry, 0, len(ids))
	for _, id := range ids {
		entries = append(entries, remove(id, types.Message{ReceiptHandle: new("garbage")}))
	}
	_, err := c.DeleteMessageBatch(c.ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &q, Entries: entries})
	return err
}

func changeIDs(c *trial, q string, ids []string) error {
	entries := make([]types.ChangeMessageVisibilityBatchRequestEntry, 0, len(ids))
	for _, id := range ids {
		entries = append(entries, change(id, types.Message{ReceiptHandle: new("garbage")}, 0))
	}
	_, err := c.ChangeMessageVisibilityBatch(c.ctx, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &q, Entries: entries})
	return err
}

func entry(id, body string) types.SendMessageBatchRequestEntry {
	return types.SendMessageBatchRequestEntry{Id: &id, MessageBody: &body}
}

func (c *trial) trySendBatch(q string, entries ...types.SendMessageBatchRequestEntry) (*sqs.SendMessageBatchOutput, error) {
	return c.SendMessageBatch(c.ctx, &sqs.SendMessageBatchInput{QueueUrl: &q, Entries: entries})
}

func (c *trial) sendBatch(q string, entries ...types.SendMessageBatchRequestEntry) *sqs.SendMessageBatchOutput {
	out, err := c.trySendBatch(q, entries...)
	c.ok(err)
	return out
}
