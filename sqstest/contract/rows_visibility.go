package contract

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

var visibility = []Row{
	{Name: "AReceivedMessageIsHidden", Source: guideVisibility, run: func(c *trial) {
		q := c.queue()
		c.send(q, "a")
		c.one(q)
		c.none(q)
	}},
	{Name: "AMessageIsVisibleAgainAfterItsTimeout", Source: guideVisibility, Waits: 1500 * time.Millisecond, run: func(c *trial) {
		q := c.queue("VisibilityTimeout", "1")
		c.send(q, "a")
		c.one(q)
		c.pause(second / 2)
		c.none(q)
		c.pause(second)
		c.one(q)
	}},
	{Name: "ThirtySecondsIsTheDefault", Source: guideVisibility, Waits: 31 * second, run: func(c *trial) {
		q := c.queue()
		c.send(q, "a")
		c.one(q)
		c.pause(29 * second)
		c.none(q)
		c.pause(2 * second)
		c.one(q)
	}},
	{Name: "TheReceivesTimeoutOverridesTheQueues", Source: apiReceive, Waits: 2 * second, run: func(c *trial) {
		q := c.queue("VisibilityTimeout", "300")
		c.send(q, "a")
		c.one(q, hiddenFor(1))
		c.pause(2 * second)
		c.one(q)
	}},
	{Name: "TheTimeoutBeginsWhenTheMessageIsReturned", Source: guideVisibility, Waits: 4 * second, run: func(c *trial) {
		q := c.queue("VisibilityTimeout", "2")
		poll := c.poll(q, 5)
		c.pause(3 * second / 2)
		c.send(q, "a")
		c.wakes(poll, "a")
		c.pause(3 * second / 2) // the timeout from the poll's beginning would be over
		c.none(q)
		c.pause(second)
		c.one(q)
	}},
	{Name: "AQueueTimeoutOfZeroHidesNothing", Source: guideVisibility, run: func(c *trial) {
		q := c.queue("VisibilityTimeout", "0")
		c.send(q, "a")
		c.one(q)
		c.one(q)
	}},
	{Name: "AChangeCountsFromItsCall", Source: apiVisibility, Waits: 3500 * second / 1000, run: func(c *trial) {
		q := c.queue()
		c.send(q, "a")
		m := c.one(q, hiddenFor(2))
		c.pause(second)
		c.change(q, m, 2)
		c.pause(3 * second / 2) // past the first timeout, and not the second
		c.none(q)
		c.pause(second)
		c.one(q)
	}},
	{Name: "AChangeMayShorten", Source: apiVisibility, Waits: 2 * second, run: func(c *trial) {
		q := c.queue()
		c.send(q, "a")
		c.change(q, c.one(q), 1)
		c.pause(2 * second)
		c.one(q)
	}},
	{Name: "AChangeIsForgottenAtTheNextReceive", Source: recorded("change_message_visibility_not_permanent"), Waits: 2 * second, run: func(c *trial) {
		q := c.queue("VisibilityTimeout", "1")
		c.send(q, "a")
		m := c.one(q)
		c.change(q, m, 300)
		c.release(q, m)
		c.one(q)
		c.pause(2 * second)
		c.one(q)
	}},
	{Name: "ZeroReleases", Source: recorded("terminate_visibility_timeout"), run: func(c *trial) {
		q := c.queue()
		c.send(q, "a")
		c.release(q, c.one(q))
		c.one(q)
	}},
	{
		Name: "AnExpiredHandleMayChangeAStandardQueuesMessage", Source: recorded("change_message_visibility_after_visibility_timeout_expiration"),
		Waits: 2 * second, run: func(c *trial) {
			q := c.queue()
			c.send(q, "a")
			m := c.one(q, hiddenFor(1))
			c.pause(2 * second)
			c.change(q, m, 2)
		},
	},
	{
		Name: "AnOlderHandleReleasesALaterReceipt", Source: recorded("terminate_visibility_timeout_after_receive"), run: func(c *trial) {
			q := c.queue()
			c.send(q, "a")
			old := c.one(q)
			c.release(q, old)
			c.one(q, hiddenFor(30))
			c.release(q, old)
			c.one(q)
		},
	},
	{Name: "ADeletedMessageCannotChange", Source: recorded("change_visibility_on_deleted_message_raises_invalid_parameter_value"), run: func(c *trial) {
		q := c.queue()
		c.send(q, "a")
		m := c.one(q)
		c.remove(q, m)
		c.refused(c.tryChange(q, m.ReceiptHandle, 10), "InvalidParameterValue",
			"Value "+*m.ReceiptHandle+" for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for visibility timeout change.")
	}},
	{Name: "GarbageCannotChange", Source: recorded("invalid_receipt_handle_should_return_error_message"), run: func(c *trial) {
		c.refused(c.tryChange(c.queue(), new("garbage"), 10), "ReceiptHandleIsInvalid", `The input receipt handle "garbage" is not a valid receipt handle.`)
	}},
	{Name: "AChangeBeyondTwelveHoursIsRefused", Source: apiVisibility, run: func(c *trial) {
		q := c.queue()
		c.send(q, "a")
		c.refused(c.tryChange(q, c.one(q).ReceiptHandle, 43_201), "InvalidParameterValue", "VisibilityTimeout")
	}},
	{Name: "ANegativeChangeIsRefused", Source: apiVisibility, run: func(c *trial) {
		q := c.queue()
		c.send(q, "a")
		c.refused(c.tryChange(q, c.one(q).ReceiptHandle, -1), "InvalidParameterValue", "VisibilityTimeout")
	}},
	{Name: "TheTwelveHoursCountFromTheReceive", Source: guideVisibility + "; reported for the SDK for .NET, issue 794", run: func(c *trial) {
		q := c.queue()
		c.send(q, "a")
		m := c.one(q)
		c.pause(second / 2)
		c.refused(c.tryChange(q, m.ReceiptHandle, 43_200), "InvalidParameterValue",
			"Value 43200 for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the message is beyond the limit [43200 seconds]")
		c.change(q, m, 43_195)
	}},
	{Name: "ExtendingNeverResetsTheTwelveHours", Source: guideVisibility, Waits: 13 * hour, run: func(c *trial) {
		q := c.queue()
		c.send(q, "a")
		m := c.one(q, hiddenFor(7*3600))
		c.pause(6 * hour)
		c.change(q, m, 5*3600+1800)
		c.pause(5 * hour)
		c.refused(c.tryChange(q, m.ReceiptHandle, 2*3600), "InvalidParameterValue", "Total VisibilityTimeout")
		c.change(q, m, 3600-5)
		c.pause(hour)
		c.one(q)
	}},
	{Name: "ARefusedExtensionChangesNothing", Source: guideVisibility, Waits: 3 * second, run: func(c *trial) {
		q := c.queue()
		c.send(q, "a")
		m := c.one(q, hiddenFor(2))
		c.pause(second)
		c.refused(c.tryChange(q, m.ReceiptHandle, 43_200), "InvalidParameterValue", "")
		c.none(q)
		c.pause(2 * second)
		c.one(q)
	}},
	{Name: "ABatchChangesEach", Source: apiBatch, run: func(c *trial) {
		q := c.queue()
		c.send(q, "a")
		c.send(q, "b")
		ms := c.bring(q, 2)
		out := c.changeBatch(q, change("0", ms[0], 0), change("1", ms[1], 600))
		c.thatf(len(out.Successful) == 2 && len(out.Failed) == 0, "%d succeeded and %d failed", len(out.Successful), len(out.Failed))
		c.is(c.one(q).MessageId, *ms[0].MessageId)
		c.none(q)
	}},
	{Name: "ABatchChangeFailsAlone", Source: apiBatch, run: func(c *trial) {
		q := c.queue()
		c.send(q, "a")
		m := c.one(q)
		out := c.changeBatch(q, change("good", m, 0), change("bad", types.Message{ReceiptHandle: new("garbage")}, 0))
		c.failed(out.Failed, "bad", "ReceiptHandleIsInvalid")
		c.thatf(len(out.Successful) == 1, "%d entries succeeded", len(out.Successful))
		c.one(q)
	}},
	{Name: "ABatchChangeBeyondTheTwelveHoursFailsAlone", Source: guideVisibility, run: func(c *trial) {
		q := c.queue()
		c.send(q, "a")
		m := c.one(q)
		c.pause(second / 2)
		out := c.changeBatch(q, change("0", m, 43_200))
		c.failed(out.Failed, "0", "InvalidParameterValue")
	}},
	{Name: "AnExpiredFIFOHandleCannotChange", Source: "after the recorded deletes of fifo_delete_after_visibility_timeout", Waits: 2 * second, run: func(c *trial) {
		q := c.fifo()
		c.put(q, "g", "a")
		m := c.one(q, hiddenFor(1))
		c.pause(2 * second)
		c.refused(c.tryChange(q, m.ReceiptHandle, 10), "InvalidParameterValue", "")
	}},
}

func change(id string, m types.Message, seconds int32) types.ChangeMessageVisibilityBatchRequestEntry {
	return types.ChangeMessageVisibilityBatchRequestEntry{Id: &id, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: seconds}
}

func (c *trial) changeBatch(q string, entries ...types.ChangeMessageVisibilityBatchRequestEntry) *sqs.ChangeMessageVisibilityBatchOutput {
	out, err := c.ChangeMessageVisibilityBatch(c.ctx, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &q, Entries: entries})
	c.ok(err)
	return out
}

func remove(id string, m types.Message) types.DeleteMessageBatchRequestEntry {
	return types.DeleteMessageBatchRequestEntry{Id: &id, ReceiptHandle: m.ReceiptHandle}
}

func (c *trial) removeBatch(q string, entries ...types.DeleteMessageBatchRequestEntry) *sqs.DeleteMessageBatchOutput {
	out, err := c.DeleteMessageBatch(c.ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &q, Entries: entries})
	c.ok(err)
	return out
}

var deleting = []Row{
	{Name: "ADeletedMessageIsGone", Source: apiDelete, Waits: 1500 * time.Millisecond, run: func(c *trial) {
		q := c.queue("VisibilityTimeout", "1")
		c.send(q, "a")
		c.remove(q, c.one(q))
		c.pause(1500 * time.Millisecond)
		c.none(q)
	}},
	{Name: "DeletingTwiceSucceeds", Source: recorded("delete_message_with_deleted_receipt_handle"), run: func(c *trial) {
		q := c.queue()
		c.send(q, "a")
		m := c.one(q)
		c.remove(q, m)
		c.remove(q, m)
	}},
	{Name: "GarbageCannotDelete", Source: recorded("delete_message_with_illegal_receipt_handle"), run: func(c *trial) {
		c.refused(c.tryDelete(c.queue(), new("garbage")), "ReceiptHandleIsInvalid", `The input receipt handle "garbage" is not a valid receipt handle.`)
	}},
	{Name: "AnExpiredHandleDeletesFromAStandardQueue", Source: recorded("delete_after_visibility_timeout"), Waits: 2 * second, run: func(c *trial) {
		q := c.queue()
		c.send(q, "a")
		m := c.one(q, hiddenFor(1))
		c.pause(2 * second)
		c.remove(q, m)
		c.none(q)
	}},
	{Name: "AnOldHandlesDeleteSucceeds", Source: apiDelete + ": the request succeeds, but the message might not be deleted", run: func(c *trial) {
		q := c.queue()
		c.send(q, "a")
		old := c.one(q)
		c.release(q, old)
		c.one(q)
		c.remove(q, old)
	}},
	{Name: "AReleasedMessageCanBeDeleted", Source: recorded("remove_message_with_old_receipt_handle"), run: func(c *trial) {
		q := c.queue()
		c.send(q, "a")
		m := c.one(q)
		c.release(q, m)
		c.remove(q, m)
		c.none(q)
	}},
	{Name: "AnExpiredFIFOHandleCannotDelete", Source: recorded("fifo_delete_after_visibility_timeout"), Waits: 2 * second, run: func(c *trial) {
		q := c.fifo()
		c.put(q, "g", "a")
		m := c.one(q, hiddenFor(1))
		c.pause(2 * second)
		c.refused(c.tryDelete(q, m.ReceiptHandle), "InvalidParameterValue",
			"Value "+*m.ReceiptHandle+" for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.")
		c.one(q)
	}},
	{Name: "AnExtendedFIFOHandleDeletes", Source: recorded("fifo_delete_after_visibility_timeout_extended"), Waits: 2 * second, run: func(c *trial) {
		q := c.fifo()
		c.put(q, "g", "a")
		m := c.one(q, hiddenFor(1))
		c.change(q, m, 30)
		c.pause(2 * second)
		c.remove(q, m)
	}},
	{Name: "DeletingTwiceFromFIFOSucceeds", Source: apiDelete, run: func(c *trial) {
		q := c.fifo()
		c.put(q, "g", "a")
		m := c.one(q)
		c.remove(q, m)
		c.remove(q, m)
	}},
	{Name: "ABatchDeletesEach", Source: apiBatch, run: func(c *trial) {
		q := c.queue()
		c.send(q, "a")
		c.send(q, "b")
		ms := c.bring(q, 2)
		out := c.removeBatch(q, remove("0", ms[0]), remove("1", ms[1]))
		c.thatf(len(out.Successful) == 2 && len(out.Failed) == 0, "%d succeeded and %d failed", len(out.Successful), len(out.Failed))
		c.counts(q, 0, 0, 0)
	}},
	{Name: "ABatchDeleteFailsAlone", Source: apiBatch + ": an answer of 200 may have failures", run: func(c *trial) {
		q := c.queue()
		c.send(q, "a")
		out := c.removeBatch(q, remove("good", c.one(q)), remove("bad", types.Message{ReceiptHandle: new("garbage")}))
		c.failed(out.Failed, "bad", "ReceiptHandleIsInvalid")
		c.thatf(len(out.Successful) == 1, "%d entries succeeded", len(out.Successful))
		c.counts(q, 0, 0, 0)
	}},
	{Name: "AnExpiredFIFOHandleFailsAloneInABatch", Source: recorded("fifo_delete_after_visibility_timeout"), Waits: 2 * second, run: func(c *trial) {
		q := c.fifo()
		c.put(q, "g", "a")
		m := c.one(q, hiddenFor(1))
		c.pause(2 * second)
		out := c.removeBatch(q, remove("0", m))
		c.failed(out.Failed, "0", "InvalidParameterValue")
	}},
}
