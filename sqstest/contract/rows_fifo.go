package contract

import (
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

var fifoOrder = []Row{
	{Name: "AGroupComesInOrder", Source: guideFIFO, run: func(c *trial) {
		q := c.fifo()
		c.put(q, "g", "1", "2", "3", "4", "5")
		c.gets(q, "1", "2", "3", "4", "5")
	}},
	{Name: "GroupsComeInOnePiece", Source: recorded("fifo_receive_message_group_id_ordering"), run: func(c *trial) {
		q := c.fifo()
		c.put(q, "g1", "g1m1")
		c.put(q, "g2", "g2m1")
		c.put(q, "g1", "g1m2", "g1m3")
		c.gets(q, "g1m1", "g1m2", "g1m3", "g2m1")
	}},
	{Name: "TouchedGroupsGoToTheBack", Source: recorded("fifo_message_group_visibility_with_zero_visibility_timeout"), run: func(c *trial) {
		q := c.fifo()
		c.put(q, "g1", "1")
		c.put(q, "g2", "2")
		c.put(q, "g3", "3")
		for _, m := range c.bring(q, 2) {
			c.release(q, m)
		}
		c.gets(q, "3", "1", "2")
	}},
	{Name: "AMessageInFlightLocksItsGroup", Source: recorded("fifo_message_group_visibility"), run: func(c *trial) {
		q := c.fifo()
		c.put(q, "g", "1", "2")
		c.one(q)
		c.none(q)
		c.put(q, "g", "3")
		c.none(q)
	}},
	{Name: "OtherGroupsGoOn", Source: guideFIFO, run: func(c *trial) {
		q := c.fifo()
		c.put(q, "g1", "1", "2")
		c.put(q, "g2", "3")
		c.one(q)
		c.gets(q, "3")
	}},
	{Name: "TheLastDeleteFreesTheGroupAndWakesPolls", Source: recorded("fifo_message_group_visibility"), run: func(c *trial) {
		q := c.fifo()
		c.put(q, "g", "1")
		m := c.one(q)
		c.put(q, "g", "2")
		poll := c.poll(q, 5)
		c.pause(second / 2)
		c.remove(q, m)
		c.wakes(poll, "2")
	}},
	{Name: "AReleaseWakesPollsOfTheGroup", Source: guideFIFO, run: func(c *trial) {
		q := c.fifo()
		c.put(q, "g", "1")
		m := c.one(q)
		poll := c.poll(q, 5)
		c.pause(second / 2)
		c.release(q, m)
		c.wakes(poll, "1")
	}},
	extended("TheFirstOfThreeExtendedHidesAll", 0),
	extended("TheSecondOfThreeExtendedLeavesTheFirst", 1, "1"),
	extended("TheThirdOfThreeExtendedLeavesTwo", 2, "1", "2"),
	{
		Name: "AHeadDeletedDoesNotFreeTheGroup", Source: recorded("fifo_group_visibility_after_partial_delete"), run: func(c *trial) {
			q := c.fifo()
			c.put(q, "g", "1", "2", "3")
			ms := c.bring(q, 2)
			c.remove(q, ms[0])
			c.none(q)
		},
	},
	{
		Name: "AReleasedHeadComesWhileItsFollowerIsInFlight", Source: recorded("fifo_group_visibility_after_terminate_visibility_timeout"), run: func(c *trial) {
			q := c.fifo()
			c.put(q, "g", "1", "2", "3")
			ms := c.bring(q, 2)
			c.release(q, ms[0])
			c.gets(q, "1")
		},
	},
	{Name: "AReleasedFollowerWaitsForItsHead", Source: guideFIFO, run: func(c *trial) {
		q := c.fifo()
		c.put(q, "g", "1", "2")
		ms := c.bring(q, 2)
		c.release(q, ms[1])
		c.none(q)
		c.remove(q, ms[0])
		c.gets(q, "2")
	}},
	{Name: "AnExpiredGroupComesInItsOldOrder", Source: recorded("fifo_messages_in_order_after_timeout"), Waits: 1500 * time.Millisecond, run: func(c *trial) {
		q := c.fifo("VisibilityTimeout", "1")
		c.put(q, "g", "1", "2", "3")
		c.gets(q, "1", "2", "3")
		c.pause(1500 * time.Millisecond)
		c.gets(q, "1", "2", "3")
	}},
	{
		Name: "MessagesBehindALockedGroupCountAsVisible", Source: recorded("fifo_approximate_number_of_messages_not_visible"), run: func(c *trial) {
			q := c.fifo()
			c.put(q, "g", "1", "2", "3", "4", "5", "6")
			c.bring(q, 2)
			c.counts(q, 4, 2, 0)
		},
	},
	{Name: "SequenceNumbersHaveTwentyDigitsAndGrow", Source: apiSend + ", SequenceNumber", run: func(c *trial) {
		q := c.fifo()
		last := strings.Repeat("0", 20)
		for id := range strings.SplitSeq("abcdefgh", "") {
			n := *c.send(q, id, inGroup("g"), dedup(id)).SequenceNumber
			c.thatf(len(n) == 20, "%q has %d digits", n, len(n))
			c.thatf(n > last, "%s comes after %s", n, last)
			last = n
		}
	}},
}

// extended is a row about three messages in flight of which one is hidden for longer.
func extended(name string, which int, want ...string) Row {
	return Row{
		Name: name, Source: recorded("fifo_group_visibility_extends_with_change_message_visibility, November 2025"), Waits: 2 * second,
		run: func(c *trial) {
			q := c.fifo()
			c.put(q, "g", "1", "2", "3")
			ms := c.take(q, 10, hiddenFor(1))
			c.same(bodies(ms), []string{"1", "2", "3"})
			c.change(q, ms[which], 30)
			c.pause(1500 * time.Millisecond)
			c.same(bodies(c.take(q, 10)), want)
		},
	}
}

var fifoSends = []Row{
	{Name: "ADuplicateSucceedsAndIsNotDelivered", Source: recorded("deduplication_interval"), run: func(c *trial) {
		q := c.fifo()
		c.send(q, "1", inGroup("g"), dedup("d"))
		c.send(q, "2", inGroup("g"), dedup("d"))
		c.gets(q, "1")
		c.counts(q, 0, 1, 0)
	}},
	{Name: "ADuplicateIsAnsweredWithTheFirstsID", Source: "common knowledge, in no recording", run: func(c *trial) {
		q := c.fifo()
		first := c.send(q, "1", inGroup("g"), dedup("d"))
		second := c.send(q, "1", inGroup("g"), dedup("d"))
		c.is(second.MessageId, *first.MessageId)
		c.is(second.SequenceNumber, *first.SequenceNumber)
	}},
	{Name: "ADuplicateOfADeletedMessageIsNotDelivered", Source: recorded("fifo_deduplication_arrives_once_after_delete"), run: func(c *trial) {
		q := c.fifo()
		c.send(q, "1", inGroup("g"), dedup("d"))
		c.remove(q, c.one(q))
		c.send(q, "1", inGroup("g"), dedup("d"))
		c.none(q)
	}},
	{Name: "DuplicatesAreForgottenAfterFiveMinutes", Source: recorded("deduplication_interval"), Waits: 5*minute + second, run: func(c *trial) {
		q := c.fifo()
		c.send(q, "1", inGroup("g"), dedup("d"))
		c.remove(q, c.one(q))
		c.pause(4 * minute)
		c.send(q, "2", inGroup("g"), dedup("d"))
		c.pause(minute + second)
		c.send(q, "3", inGroup("g"), dedup("d"))
		c.gets(q, "3")
	}},
	{Name: "APurgeForgetsDuplicates", Source: recorded("purge_queue_clears_fifo_deduplication_cache"), run: func(c *trial) {
		q := c.fifo()
		c.send(q, "1", inGroup("g"), dedup("d"))
		c.ok(c.purge(q))
		c.send(q, "2", inGroup("g"), dedup("d"))
		c.gets(q, "2")
	}},
	{Name: "ADeduplicationIDHoldsAcrossGroups", Source: recorded("fifo_deduplication_not_on_message_group_id"), run: func(c *trial) {
		q := c.fifo()
		c.send(q, "1", inGroup("g1"), dedup("d"))
		c.send(q, "2", inGroup("g2"), dedup("d"))
		c.gets(q, "1")
	}},
	{Name: "ADeduplicationScopeOfOneGroup", Source: recorded("fifo_high_throughput_ordering"), run: func(c *trial) {
		q := c.fifo("DeduplicationScope", "messageGroup", "FifoThroughputLimit", "perMessageGroupId")
		c.send(q, "1", inGroup("g1"), dedup("d"))
		c.send(q, "2", inGroup("g2"), dedup("d"))
		c.send(q, "3", inGroup("g2"), dedup("d"))
		c.bring(q, 2)
		c.none(q)
	}},
	{Name: "ContentIsTheBodyOnly", Source: apiSend + ", content-based deduplication", run: func(c *trial) {
		q := c.fifo("ContentBasedDeduplication", "true")
		c.send(q, "1", inGroup("g"), attributes(texts("k", "v")))
		c.send(q, "1", inGroup("g"), attributes(texts("k", "w")))
		c.send(q, "2", inGroup("g"))
		c.gets(q, "1", "2")
	}},
	{Name: "AnExplicitIDOverridesTheContents", Source: apiSend + ", MessageDeduplicationId", run: func(c *trial) {
		q := c.fifo("ContentBasedDeduplication", "true")
		c.send(q, "1", inGroup("g"))
		c.send(q, "1", inGroup("g"), dedup("d"))
		c.gets(q, "1", "1")
	}},
	{Name: "ContentsAreToldAsSHA256", Source: apiSend + ", content-based deduplication", run: func(c *trial) {
		q := c.fifo("ContentBasedDeduplication", "true")
		c.send(q, "hello", inGroup("g"))
		m := c.one(q, withSystem("MessageDeduplicationId"))
		c.same([]string{m.Attributes["MessageDeduplicationId"]}, []string{"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"})
	}},
	{Name: "AFIFOSendNeedsAGroup", Source: recorded("fifo_queue_requires_suffix and send snapshots, 2024"), run: func(c *trial) {
		_, err := c.trySend(c.fifo(), "a", dedup("d"))
		c.refused(err, "MissingParameter", "MessageGroupId")
	}},
	{Name: "AFIFOSendNeedsADeduplicationID", Source: recorded("send snapshots, 2024"), run: func(c *trial) {
		_, err := c.trySend(c.fifo(), "a", inGroup("g"))
		c.refused(err, "InvalidParameterValue", "ContentBasedDeduplication")
	}},
	{Name: "ABatchWithoutAGroupFailsAsAWhole", Source: recorded("send snapshots, 2025"), run: func(c *trial) {
		q := c.fifo("ContentBasedDeduplication", "true")
		_, err := c.trySendBatch(q, fifoEntry("0", "a"), entry("1", "b"))
		c.refused(err, "InvalidParameterValue", "MessageGroupId")
		c.none(q)
	}},
	{Name: "ABatchWithoutADeduplicationIDFailsAsAWhole", Source: recorded("send snapshots, 2025"), run: func(c *trial) {
		q := c.fifo()
		_, err := c.trySendBatch(q, fifoEntry("0", "a"))
		c.refused(err, "InvalidParameterValue", "ContentBasedDeduplication")
		c.none(q)
	}},
	{Name: "ABatchKeepsItsOrder", Source: guideFIFO, run: func(c *trial) {
		q := c.fifo("ContentBasedDeduplication", "true")
		c.sendBatch(q, fifoEntry("0", "1"), fifoEntry("1", "2"), fifoEntry("2", "3"))
		c.gets(q, "1", "2", "3")
	}},
	refusedID("ALongGroupID", strings.Repeat("g", 129), "d"),
	refusedID("AGroupIDWithASpace", "g g", "d"),
	refusedID("ALongDeduplicationID", "g", strings.Repeat("d", 129)),
	refusedID("ADeduplicationIDWithASpace", "g", "d d"),
	{Name: "IDsMayHavePunctuation", Source: apiSend + ", MessageGroupId", run: func(c *trial) {
		const id = "aZ09!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
		q := c.fifo()
		c.send(q, "a", inGroup(id), dedup(id))
		m := c.one(q, withSystem("MessageGroupId"))
		c.same([]string{m.Attributes["MessageGroupId"]}, []string{id})
	}},
}

// fifoEntry is an entry of the group g.
func fifoEntry(id, body string) types.SendMessageBatchRequestEntry {
	e := entry(id, body)
	e.MessageGroupId = new("g")
	return e
}

func refusedID(name, group, deduplication string) Row {
	return Row{Name: name + "IsRefused", Source: apiSend + ", 1 to 128 alphanumeric characters and punctuation", run: func(c *trial) {
		_, err := c.trySend(c.fifo(), "a", inGroup(group), dedup(deduplication))
		c.refused(err, "InvalidParameterValue", "")
	}}
}

var fifoAttempts = []Row{
	{Name: "TheSameAttemptBringsTheSameReceipts", Source: apiReceive + ", ReceiveRequestAttemptId", run: func(c *trial) {
		q := c.fifo()
		c.put(q, "g", "1", "2")
		first := c.take(q, 1, attempt("a"))
		again := c.take(q, 1, attempt("a"))
		c.same(bodies(again), []string{"1"})
		c.is(again[0].ReceiptHandle, *first[0].ReceiptHandle)
	}},
	{Name: "AnotherAttemptBringsNothingOfALockedGroup", Source: apiReceive + ", ReceiveRequestAttemptId", run: func(c *trial) {
		q := c.fifo()
		c.put(q, "g", "1", "2")
		c.take(q, 1, attempt("a"))
		ms := c.take(q, 1, attempt("b"))
		c.thatf(len(ms) == 0, "received %v", bodies(ms))
	}},
	{Name: "TheSameAttemptHidesAnew", Source: apiReceive + ", ReceiveRequestAttemptId", Waits: 3 * second, run: func(c *trial) {
		q := c.fifo()
		c.put(q, "g", "1")
		c.take(q, 1, attempt("a"), hiddenFor(2))
		c.pause(second)
		c.take(q, 1, attempt("a"), hiddenFor(2))
		c.pause(1500 * time.Millisecond) // past the first timeout, and not the second
		c.none(q)
	}},
	{Name: "AnAttemptIsForgottenAfterFiveMinutes", Source: apiReceive + ", ReceiveRequestAttemptId", Waits: 5*minute + second, run: func(c *trial) {
		q := c.fifo()
		c.put(q, "g", "1")
		c.take(q, 1, attempt("a"), hiddenFor(anHour))
		c.pause(5*minute + second)
		ms := c.take(q, 1, attempt("a"))
		c.thatf(len(ms) == 0, "received %v", bodies(ms))
	}},
	{Name: "ADeletedMessageEndsItsAttempt", Source: apiReceive + ", ReceiveRequestAttemptId", run: func(c *trial) {
		q := c.fifo()
		c.put(q, "g", "1")
		c.remove(q, c.take(q, 1, attempt("a"))[0])
		c.put(q, "g", "2")
		ms, err := c.tryTake(q, 10, attempt("a")) // may be refused: the attempt is not the same any more
		if err != nil {
			c.refused(err, "InvalidParameterValue", "ReceiveRequestAttemptId")
			return
		}
		c.thatf(!slices.Contains(bodies(ms), "1"), "received %v", bodies(ms))
	}},
	{Name: "ALongAttemptIDIsRefused", Source: apiReceive + ", ReceiveRequestAttemptId: up to 128 characters", run: func(c *trial) {
		_, err := c.tryTake(c.fifo(), 1, attempt(strings.Repeat("a", 129)))
		c.refused(err, "InvalidParameterValue", "ReceiveRequestAttemptId")
	}},
}
