package contract

import (
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// mebibyte is the most a message, or a batch of them, may have.
const mebibyte = 1 << 20

var sending = []Row{
	{Name: "ASendTellsTheBodysMD5", Source: apiSend, run: func(c *trial) {
		c.is(c.send(c.queue(), "hello").MD5OfMessageBody, "5d41402abc4b2a76b9719d911017c592")
	}},
	{Name: "ASendTellsTheAttributesMD5", Source: recorded("receive_message_message_attribute_names_filters"), run: func(c *trial) {
		out := c.send(c.queue(), "a", attributes(texts("Help.Me", "Me", "Hello", "There", "General", "Kenobi")))
		c.is(out.MD5OfMessageAttributes, "4c360f3fdafd970e05fae2f149d997f5")
	}},
	{Name: "SystemAttributesHaveTheirOwnMD5", Source: recorded("send_message_with_trace_header"), run: func(c *trial) {
		out := c.send(c.queue(), "a", trace("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"), attributes(texts("Hello", "There")))
		c.is(out.MD5OfMessageSystemAttributes, "5ae4d5d7636402d80f4eb6d213245a88")
		c.is(out.MD5OfMessageAttributes, "a311262e065454b75da111d535b8dacd")
	}},
	{Name: "AStandardQueueDoesNotNumber", Source: apiSend + ", SequenceNumber: FIFO only", run: func(c *trial) {
		c.thatf(c.send(c.queue(), "a").SequenceNumber == nil, "there is a sequence number")
	}},
	{Name: "TheSendAndTheReceiveTellTheSameID", Source: apiSend, run: func(c *trial) {
		q := c.queue()
		out := c.send(q, "a")
		c.is(c.one(q).MessageId, *out.MessageId)
	}},
	{Name: "AnEmptyBodyIsRefused", Source: recorded("send_empty_message"), run: func(c *trial) {
		_, err := c.trySend(c.queue(), "")
		c.refused(err, "MissingParameter", "The request must contain the parameter MessageBody.")
	}},
	{Name: "AControlCharacterIsRefused", Source: recorded("send_message_with_invalid_string_content"), run: func(c *trial) {
		_, err := c.trySend(c.queue(), "a\x08b")
		c.refused(err, "InvalidMessageContents", "")
	}},
	{Name: "ANoncharacterIsRefused", Source: apiSend + ", valid characters", run: func(c *trial) {
		_, err := c.trySend(c.queue(), "a\ufffeb")
		c.refused(err, "InvalidMessageContents", "")
	}},
	{Name: "LineEndsAndTabsAreKept", Source: recorded("send_receive_message_with_carriage_return"), run: func(c *trial) {
		q := c.queue()
		c.send(q, "a\r\nb\rc\n\td")
		c.is(c.one(q).Body, "a\r\nb\rc\n\td")
	}},
	{Name: "AnyScriptIsKept", Source: apiSend + ", valid characters", run: func(c *trial) {
		const body = `ünïcödé 漢字 😀 � "quoted" \ <&> end`
		q := c.queue()
		c.send(q, body)
		c.is(c.one(q).Body, body)
	}},
	{Name: "TheEdgesOfWhatIsAllowedAreKept", Source: apiSend + ", valid characters", run: func(c *trial) {
		const body = "\t\n\r \ud7ff\ue000\ufffd\U00010000\U0010ffff"
		q := c.queue()
		c.send(q, body)
		c.is(c.one(q).Body, body)
	}},
	{Name: "ABatchTellsOfEach", Source: apiBatch, run: func(c *trial) {
		q := c.queue()
		out := c.sendBatch(q, entry("x", "hello"), entry("y", "b"))
		c.thatf(len(out.Successful) == 2 && len(out.Failed) == 0, "%d succeeded and %d failed", len(out.Successful), len(out.Failed))
		c.is(out.Successful[0].Id, "x")
		c.is(out.Successful[0].MD5OfMessageBody, "5d41402abc4b2a76b9719d911017c592")
		c.bring(q, 2)
	}},
	{Name: "ABatchEntryWithABadBodyFailsAlone", Source: recorded("send_message_batch_with_invalid_content"), run: func(c *trial) {
		q := c.queue()
		out := c.sendBatch(q, entry("good", "a"), entry("bad", "\x08"))
		c.failed(out.Failed, "bad", "InvalidMessageContents")
		c.is(c.one(q).Body, "a")
	}},
}

var sizes = []Row{
	{Name: "OneMebibyteIsAccepted", Source: guideQuotas + ", since August 2025", run: func(c *trial) {
		q := c.queue()
		c.send(q, strings.Repeat("a", mebibyte))
		c.thatf(len(*c.one(q).Body) == mebibyte, "the body has changed")
	}},
	{Name: "MoreThanOneMebibyteIsRefused", Source: recorded("send_message_oversized, August 2025"), run: func(c *trial) {
		_, err := c.trySend(c.queue(), strings.Repeat("a", mebibyte+1))
		c.refused(err, "InvalidParameterValue", "Message must be shorter than 1048576 bytes.")
	}},
	{Name: "AttributesCountAsSize", Source: guideQuotas, run: func(c *trial) {
		_, err := c.trySend(c.queue(), strings.Repeat("a", mebibyte-10), attributes(texts("Hello", "There")))
		c.refused(err, "InvalidParameterValue", "Message must be shorter than 1048576 bytes.")
	}},
	{Name: "SystemAttributesDoNotCountAsSize", Source: "API reference, SendMessage, MessageSystemAttributes", run: func(c *trial) {
		c.send(c.queue(), strings.Repeat("a", mebibyte), trace("Root=1-5759e988-bd862e3fe1be46a994272793"))
	}},
	{Name: "ABatchOfMoreThanOneMebibyteIsRefused", Source: recorded("send_message_batch_oversized, August 2025"), run: func(c *trial) {
		_, err := c.trySendBatch(c.queue(), entry("0", strings.Repeat("a", mebibyte/2)), entry("1", strings.Repeat("a", mebibyte/2+1)))
		c.refused(err, "AWS.SimpleQueueService.BatchRequestTooLong", "Batch requests cannot be longer than 1048576 bytes. You have sent 1048577 bytes.")
	}},
	{Name: "TheQueuesMaximumSizeHolds", Source: apiCreate + ", MaximumMessageSize", run: func(c *trial) {
		q := c.queue("MaximumMessageSize", "1024")
		c.send(q, strings.Repeat("a", 1024))
		_, err := c.trySend(q, strings.Repeat("a", 1025))
		c.refused(err, "InvalidParameterValue", "Message must be shorter than 1024 bytes.")
	}},
	{Name: "ABatchEntryBeyondTheQueuesMaximumFailsAlone", Source: recorded("send_message_batch_to_queue_with_limit"), run: func(c *trial) {
		q := c.queue("MaximumMessageSize", "1024")
		out := c.sendBatch(q, entry("good", "a"), entry("bad", strings.Repeat("a", 1025)))
		c.failed(out.Failed, "bad", "InvalidParameterValue")
		c.is(c.one(q).Body, "a")
	}},
	{Name: "TheQueuesMaximumDoesNotLimitTheWholeBatch", Source: recorded("send_message_batch_to_queue_with_limit"), run: func(c *trial) {
		q := c.queue("MaximumMessageSize", "1024")
		out := c.sendBatch(q, entry("0", strings.Repeat("a", 1000)), entry("1", strings.Repeat("b", 1000)))
		c.thatf(len(out.Successful) == 2, "%d entries succeeded", len(out.Successful))
	}},
}

// binary is a Binary attribute.
func binary(value ...byte) types.MessageAttributeValue {
	return types.MessageAttributeValue{DataType: new("Binary"), BinaryValue: value}
}

func typed(dataType, value string) types.MessageAttributeValue {
	return types.MessageAttributeValue{DataType: &dataType, StringValue: &value}
}

var messageAttributes = []Row{
	{Name: "EveryTypeOfAttributeComesBack", Source: guideQuotas + " and message attribute data types", run: func(c *trial) {
		q := c.queue()
		c.send(q, "a", attributes(map[string]types.MessageAttributeValue{
			"s": text("v"), "n": typed("Number", "1.5"), "b": binary(0, 255), "custom": typed("String.mine", "w"),
		}))
		got := c.one(q, withAttributes("All")).MessageAttributes
		c.thatf(len(got) == 4, "attributes are %v", got)
		c.is(got["s"].StringValue, "v")
		c.is(got["n"].DataType, "Number")
		c.is(got["custom"].DataType, "String.mine")
		c.thatf(string(got["b"].BinaryValue) == "\x00\xff", "binary value is %v", got["b"].BinaryValue)
	}},
	{Name: "TenAttributesAreAccepted", Source: guideQuotas, run: func(c *trial) {
		c.send(c.queue(), "a", attributes(many(10)))
	}},
	{Name: "AnAttributeNameOfTwoHundredAndFiftySixIsAccepted", Source: guideQuotas, run: func(c *trial) {
		c.send(c.queue(), "a", attributes(texts(strings.Repeat("n", 256), "v")))
	}},
	refusedAttributes("ElevenAttributes", guideQuotas, many(11)),
	refusedAttributes("AnAttributeNamedAWS", guideQuotas, texts("AWS.x", "v")),
	refusedAttributes("AnAttributeNamedAmazon", guideQuotas, texts("Amazon.x", "v")),
	refusedAttributes("AnAttributeNameThatBeginsWithADot", guideQuotas, texts(".x", "v")),
	refusedAttributes("AnAttributeNameThatEndsWithADot", guideQuotas, texts("x.", "v")),
	refusedAttributes("AnAttributeNameWithTwoDots", guideQuotas, texts("x..y", "v")),
	refusedAttributes("AnAttributeNameWithASpace", guideQuotas, texts("x y", "v")),
	refusedAttributes("ALongAttributeName", guideQuotas, texts(strings.Repeat("n", 257), "v")),
	refusedAttributes("AnEmptyAttribute", recorded("send_message_with_empty_string_attribute"), texts("x", "")),
	refusedAttributes("AnUnknownAttributeType", recorded("invalid_string_attributes"), map[string]types.MessageAttributeValue{"x": typed("Date", "today")}),
	{Name: "NumbersOfThirtyEightDigitsAreAccepted", Source: guideNumbers, run: func(c *trial) {
		q := c.queue()
		for _, value := range []string{
			"0", "-0", "0.0", "00012", "+5", "-1.5", ".5", "5.", "1e3", "1E-3", "-1.25e+10", "1e126", "-1e126", "1e-128", "0.1e127", "10e-129",
			strings.Repeat("9", 38), "0." + strings.Repeat("7", 38), strings.Repeat("0", 60) + "1" + strings.Repeat("0", 60), "1." + strings.Repeat("0", 60),
		} {
			c.send(q, "a", attributes(map[string]types.MessageAttributeValue{"n": typed("Number", value), "custom": typed("Number.mine", value)}))
			m := c.one(q, withAttributes("All"))
			c.is(m.MessageAttributes["n"].StringValue, value)
			c.remove(q, m)
		}
	}},
	{Name: "NumbersOutOfRangeAreRefused", Source: guideNumbers, run: func(c *trial) {
		q := c.queue()
		for _, value := range []string{
			"Inf", "+Inf", "-inf", "Infinity", "NaN", "nan", "1e127", "-1e127", "1.1e126", "1e400", "1e-129", "9e-129", "1e999999999999999999999", "1e-999999999999999999999",
			strings.Repeat("9", 39), "0." + strings.Repeat("7", 39), "1" + strings.Repeat("0", 37) + "1",
			"", "-", "+", ".", "e5", "1e", "1e+", "0x10", "0b1", "1_000", "1,5", "1.2.3", " 1", "1 ", "--1", "1p5", "one", "٣", "1\n", "true",
		} {
			_, err := c.trySend(q, "a", attributes(map[string]types.MessageAttributeValue{"n": typed("Number", value)}))
			c.refused(err, "InvalidParameterValue", "'n'")
			if value != "" {
				c.refused(err, "InvalidParameterValue", "Can't cast the value of message (user) attribute 'n' to a number.")
			}
		}
	}},
	{Name: "AnAttributeNameMayHaveAnyLetters", Source: recorded("send_message_with_invalid_string_attributes"), run: func(c *trial) {
		c.send(c.queue(), "a", attributes(texts("attr.1øßä", "v")))
	}},
	{Name: "ABatchEntryWithABadAttributeFailsAlone", Source: apiBatch, run: func(c *trial) {
		bad := entry("bad", "b")
		bad.MessageAttributes = texts("x", "")
		out := c.sendBatch(c.queue(), entry("good", "a"), bad)
		c.failed(out.Failed, "bad", "InvalidParameterValue")
	}},
}

func many(n int) map[string]types.MessageAttributeValue {
	m := map[string]types.MessageAttributeValue{}
	for i := range n {
		m["a"+strconv.Itoa(i)] = text("v")
	}
	return m
}

func refusedAttributes(name, source string, m map[string]types.MessageAttributeValue) Row {
	return Row{Name: name + "IsRefused", Source: source, run: func(c *trial) {
		_, err := c.trySend(c.queue(), "a", attributes(m))
		c.refused(err, "InvalidParameterValue", "")
	}}
}

var delays = []Row{
	{Name: "ADelayedMessageComesLater", Source: guideDelay, Waits: 1500 * time.Millisecond, run: func(c *trial) {
		q := c.queue()
		c.send(q, "a", delay(1))
		c.counts(q, 0, 0, 1)
		c.none(q)
		c.pause(1500 * time.Millisecond)
		c.one(q)
	}},
	{Name: "TheQueuesDelayIsTheDefault", Source: guideDelay, Waits: 1500 * time.Millisecond, run: func(c *trial) {
		q := c.queue("DelaySeconds", "1")
		c.send(q, "a")
		c.none(q)
		c.pause(1500 * time.Millisecond)
		c.one(q)
	}},
	{Name: "AMessagesDelayOverridesTheQueues", Source: guideDelay, Waits: 1500 * time.Millisecond, run: func(c *trial) {
		q := c.queue("DelaySeconds", "900")
		c.send(q, "a", delay(1))
		c.pause(1500 * time.Millisecond)
		c.one(q)
	}},
	{Name: "ABatchEntryHasItsOwnDelay", Source: apiBatch, run: func(c *trial) {
		q := c.queue()
		late := entry("late", "b")
		late.DelaySeconds = 900
		c.sendBatch(q, entry("now", "a"), late)
		c.counts(q, 1, 0, 1)
	}},
	{Name: "ADelayOfMoreThanFifteenMinutesIsRefused", Source: guideDelay, run: func(c *trial) {
		_, err := c.trySend(c.queue(), "a", delay(901))
		c.refused(err, "InvalidParameterValue", "DelaySeconds")
	}},
	{Name: "ANegativeDelayIsRefused", Source: guideDelay, run: func(c *trial) {
		_, err := c.trySend(c.queue(), "a", delay(-1))
		c.refused(err, "InvalidParameterValue", "DelaySeconds")
	}},
	{Name: "AStandardQueuesNewDelayIsForNewMessages", Source: guideDelay, run: func(c *trial) {
		c.exact(changesTakeTime)
		q := c.queue("DelaySeconds", "900")
		c.send(q, "a")
		c.ok(c.set(q, "DelaySeconds", "0"))
		c.send(q, "b")
		c.gets(q, "b")
	}},
	{Name: "AFIFOQueuesNewDelayIsForAllMessages", Source: guideDelay, Waits: 2 * second, run: func(c *trial) {
		c.exact(changesTakeTime)
		q := c.fifo("DelaySeconds", "900")
		c.put(q, "g", "a")
		c.none(q)
		c.ok(c.set(q, "DelaySeconds", "1"))
		c.pause(2 * second)
		c.gets(q, "a")
	}},
	{Name: "AFIFOMessageHasNoDelayOfItsOwn", Source: recorded("fifo_queue_send_message_with_delay_seconds_fails"), run: func(c *trial) {
		_, err := c.trySend(c.fifo(), "a", inGroup("g"), dedup("d"), delay(2))
		c.refused(err, "InvalidParameterValue", "DelaySeconds")
	}},
}

// missingQueue tries each operation on a queue that was never made.
func missingQueue() []Row {
	const handle = "garbage"
	calls := map[string]func(c *trial, q *string) error{
		"ReceiveMessage": func(c *trial, q *string) error { _, err := c.tryTake(*q, 1); return err },
		"SendMessage":    func(c *trial, q *string) error { _, err := c.trySend(*q, "a"); return err },
		"SendMessageBatch": func(c *trial, q *string) error {
			_, err := c.trySendBatch(*q, entry("0", "a"))
			return err
		},
		"DeleteMessage":                func(c *trial, q *string) error { return c.tryDelete(*q, new(handle)) },
		"DeleteMessageBatch":           func(c *trial, q *string) error { return deleteIDs(c, *q, numbers(1)) },
		"ChangeMessageVisibility":      func(c *trial, q *string) error { return c.tryChange(*q, new(handle), 1) },
		"ChangeMessageVisibilityBatch": func(c *trial, q *string) error { return changeIDs(c, *q, numbers(1)) },
		"PurgeQueue":                   func(c *trial, q *string) error { return c.purge(*q) },
		"SetQueueAttributes":           func(c *trial, q *string) error { return c.set(*q, "DelaySeconds", "0") },
		"GetQueueAttributes": func(c *trial, q *string) error {
			_, err := c.GetQueueAttributes(c.ctx, &sqs.GetQueueAttributesInput{QueueUrl: q})
			return err
		},
		"GetQueueUrl": func(c *trial, _ *string) error {
			_, err := c.GetQueueUrl(c.ctx, &sqs.GetQueueUrlInput{QueueName: new(c.name(""))})
			return err
		},
		"ListQueueTags": func(c *trial, q *string) error {
			_, err := c.ListQueueTags(c.ctx, &sqs.ListQueueTagsInput{QueueUrl: q})
			return err
		},
		"ListDeadLetterSourceQueues": func(c *trial, q *string) error {
			_, err := c.ListDeadLetterSourceQueues(c.ctx, &sqs.ListDeadLetterSourceQueuesInput{QueueUrl: q})
			return err
		},
	}
	rows := make([]Row, 0, len(calls))
	for name, call := range calls {
		rows = append(rows, Row{Name: "AMissingQueue/" + name, Source: "API reference, " + name + ", QueueDoesNotExist", run: func(c *trial) {
			missing := c.queue() + "-missing"
			err := call(c, &missing)
			c.refused(err, "AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.")
			c.typed(err, new(*types.QueueDoesNotExist))
		}})
	}
	return rows
}
