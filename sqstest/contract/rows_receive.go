package contract

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

const (
	guidePolling    = "SQS developer guide, short and long polling"
	guideVisibility = "SQS developer guide, visibility timeout"
	guideQuotas     = "SQS developer guide, message quotas"
	guideNumbers    = "SQS developer guide, message attribute data types: up to 38 digits, 10^-128 to 10^126"
	guideDelay      = "SQS developer guide, delay queues"
	guideFair       = "SQS developer guide, fair queues"
	guideXRay       = "X-Ray developer guide, Amazon SQS and X-Ray: the HTTP header or the system attribute, which wins"
	guideFIFO       = "SQS developer guide, FIFO queues"
	apiReceive      = "API reference, ReceiveMessage"
	apiVisibility   = "API reference, ChangeMessageVisibility"
	apiDelete       = "API reference, DeleteMessage"
	apiSend         = "API reference, SendMessage"
	apiBatch        = "API reference, batch operations"
	apiCreate       = "API reference, CreateQueue"
)

// recorded names a LocalStack test that was recorded on AWS.
func recorded(test string) string { return "LocalStack test recorded on AWS: " + test }

var receiving = []Row{
	{Name: "AnEmptyQueueGivesNothing", Source: apiReceive, run: func(c *trial) {
		c.none(c.queue())
	}},
	{Name: "OneMessageIsTheDefault", Source: apiReceive + ", MaxNumberOfMessages: default 1", run: func(c *trial) {
		q := c.queue()
		c.send(q, "a")
		c.send(q, "b")
		ms := c.take(q, 0)
		c.thatf(len(ms) == 1, "received %d messages, want 1", len(ms))
	}},
	{Name: "TenIsTheMost", Source: apiReceive + ", MaxNumberOfMessages: 1 to 10", run: func(c *trial) {
		q := c.queue()
		for i := range 12 {
			c.send(q, strconv.Itoa(i))
		}
		c.bring(q, 10)
		c.bring(q, 2)
	}},
	{Name: "AskingForElevenIsRefused", Source: apiReceive + " and the recorded message", run: func(c *trial) {
		_, err := c.tryTake(c.queue(), 11)
		c.refused(err, "InvalidParameterValue", "Value 11 for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided.")
	}},
	{Name: "AskingForLessThanOneIsRefused", Source: apiReceive, run: func(c *trial) {
		_, err := c.tryTake(c.queue(), -1)
		c.refused(err, "InvalidParameterValue", "MaxNumberOfMessages")
	}},
	{Name: "WaitingLongerThanTwentySecondsIsRefused", Source: guidePolling, run: func(c *trial) {
		_, err := c.tryTake(c.queue(), 1, wait(21))
		c.refused(err, "InvalidParameterValue", "WaitTimeSeconds")
	}},
	{Name: "HidingForMoreThanTwelveHoursIsRefused", Source: guideVisibility, run: func(c *trial) {
		_, err := c.tryTake(c.queue(), 1, hiddenFor(43_201))
		c.refused(err, "InvalidParameterValue", "VisibilityTimeout")
	}},
	{
		Name: "ALongPollDoesNotWaitToFillItsRequest", Source: recorded("receive_message_wait_time_seconds_and_max_number_of_messages_does_not_block"),
		run: func(c *trial) {
			q := c.queue()
			c.send(q, "a")
			c.send(q, "b")
			begin := time.Now()
			ms := c.take(q, 3, wait(20))
			c.thatf(len(ms) > 0, "received nothing")
			c.thatf(time.Since(begin) < 10*second, "waited %v for a third message", time.Since(begin))
		},
	},
	{Name: "ALongPollIsWokenByASend", Source: guidePolling, run: func(c *trial) {
		q := c.queue()
		poll := c.poll(q, 5)
		c.pause(second / 2)
		c.send(q, "a")
		c.wakes(poll, "a")
	}},
	{Name: "ALongPollIsWokenByARelease", Source: apiVisibility, run: func(c *trial) {
		q := c.queue()
		c.send(q, "a")
		m := c.one(q)
		poll := c.poll(q, 5)
		c.pause(second / 2)
		c.release(q, m)
		c.wakes(poll, "a")
	}},
	{Name: "ALongPollIsWokenByTheEndOfAVisibilityTimeout", Source: guideVisibility, run: func(c *trial) {
		q := c.queue()
		c.send(q, "a")
		c.one(q, hiddenFor(1))
		c.wakes(c.poll(q, 5), "a")
	}},
	{Name: "ALongPollIsWokenByTheEndOfADelay", Source: guideDelay, run: func(c *trial) {
		q := c.queue()
		c.send(q, "a", delay(1))
		c.wakes(c.poll(q, 5), "a")
	}},
	{Name: "AnEmptyLongPollTakesItsWholeTime", Source: guidePolling, run: func(c *trial) {
		begin := time.Now()
		ms := c.take(c.queue(), 1, wait(1))
		c.thatf(len(ms) == 0, "received %v", bodies(ms))
		c.thatf(time.Since(begin) >= second, "ended after %v", time.Since(begin))
	}},
	{Name: "TheQueuesWaitTimeIsTheDefault", Source: guidePolling + ": ReceiveMessageWaitTimeSeconds", run: func(c *trial) {
		q := c.queue("ReceiveMessageWaitTimeSeconds", "1")
		begin := time.Now()
		c.none(q)
		c.thatf(time.Since(begin) >= second, "ended after %v", time.Since(begin))
	}},
	{Name: "TheReceivesWaitTimeOverridesTheQueues", Source: apiReceive, run: func(c *trial) {
		q := c.queue("ReceiveMessageWaitTimeSeconds", "20")
		begin := time.Now()
		c.take(q, 1, wait(1))
		c.thatf(time.Since(begin) < 10*second, "ended after %v", time.Since(begin))
	}},
	{Name: "ABodyComesWithItsMD5", Source: apiReceive, run: func(c *trial) {
		q := c.queue()
		c.send(q, "hello")
		c.is(c.one(q).MD5OfBody, "5d41402abc4b2a76b9719d911017c592")
	}},
	{Name: "EachReceiveGivesItsOwnHandle", Source: "SDK, ReceiptHandle: associated with a receive", run: func(c *trial) {
		q := c.queue()
		c.send(q, "a")
		first := c.one(q)
		c.release(q, first)
		second := c.one(q)
		c.thatf(*first.ReceiptHandle != *second.ReceiptHandle, "both receives gave the same handle")
		c.is(second.MessageId, *first.MessageId)
	}},
	{Name: "TheReceiveCountGrows", Source: apiReceive + ", ApproximateReceiveCount", run: func(c *trial) {
		q := c.queue()
		c.send(q, "a")
		for _, want := range []string{"1", "2", "3"} {
			m := c.one(q, withSystem("ApproximateReceiveCount"))
			c.thatf(m.Attributes["ApproximateReceiveCount"] == want, "count is %s, want %s", m.Attributes["ApproximateReceiveCount"], want)
			c.release(q, m)
		}
	}},
	{Name: "TheFirstReceivesTimeStays", Source: apiReceive + ", ApproximateFirstReceiveTimestamp", run: func(c *trial) {
		q := c.queue()
		c.send(q, "a")
		first := c.one(q, withSystem("ApproximateFirstReceiveTimestamp"))
		c.pause(second / 2)
		c.release(q, first)
		again := c.one(q, withSystem("ApproximateFirstReceiveTimestamp"))
		c.same([]string{again.Attributes["ApproximateFirstReceiveTimestamp"]}, []string{first.Attributes["ApproximateFirstReceiveTimestamp"]})
	}},
	{Name: "SentTimestampIsInMilliseconds", Source: apiReceive, run: func(c *trial) {
		q := c.queue()
		sent := time.Now()
		c.send(q, "a")
		m := c.one(q, withSystem("SentTimestamp"))
		ms, err := strconv.ParseInt(m.Attributes["SentTimestamp"], 10, 64)
		c.ok(err)
		c.thatf(time.UnixMilli(ms).Sub(sent).Abs() < minute, "sent at %v, and the attribute says %v", sent, time.UnixMilli(ms))
	}},
	{Name: "ARequeuedMessageCanBeAheadOfANewerOne", Source: recorded("inflight_message_requeue"), run: func(c *trial) {
		c.exact(orderIsRough)
		q := c.queue()
		c.send(q, "old")
		c.release(q, c.one(q))
		c.send(q, "new")
		c.is(c.one(q).Body, "old")
	}},
	{
		Name: "AMessagePastItsRetentionIsGone", Source: "SQS developer guide, MessageRetentionPeriod", Waits: 61 * second,
		run: func(c *trial) {
			q := c.queue("MessageRetentionPeriod", "60")
			c.send(q, "a")
			c.pause(61 * second)
			c.none(q)
		},
	},
	{
		Name: "RetentionEndsInFlightToo", Source: recorded("message_retention_with_inflight"), Waits: 301 * second,
		run: func(c *trial) {
			q := c.queue("MessageRetentionPeriod", "60")
			c.send(q, "a")
			m := c.one(q, hiddenFor(300))
			c.pause(61 * second)
			c.counts(q, 0, 0, 0)
			c.remove(q, m)
			c.pause(240 * second)
			c.none(q)
		},
	},
}

var filtering = []Row{
	{Name: "NothingAskedMeansNoAttributes", Source: recorded("message_system_attribute_names_with_attribute_names"), run: func(c *trial) {
		q := c.queue()
		c.send(q, "a", attributes(texts("k", "v")))
		m := c.one(q)
		c.thatf(len(m.Attributes) == 0, "attributes are %v", m.Attributes)
		c.thatf(len(m.MessageAttributes) == 0, "message attributes are %v", m.MessageAttributes)
		c.thatf(m.MD5OfMessageAttributes == nil, "there is an MD5 of no attributes")
	}},
	{Name: "AllSystemAttributesOfAStandardMessage", Source: apiReceive + ", MessageSystemAttributeNames", run: func(c *trial) {
		q := c.queue()
		c.send(q, "a")
		m := c.one(q, withSystem("All"))
		for _, name := range []string{"SenderId", "SentTimestamp", "ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp"} {
			c.thatf(m.Attributes[name] != "", "there is no %s in %v", name, m.Attributes)
		}
		c.thatf(m.Attributes["SequenceNumber"] == "", "a standard queue numbers its messages")
	}},
	{Name: "AllSystemAttributesOfAFIFOMessage", Source: apiReceive + ", MessageSystemAttributeNames", run: func(c *trial) {
		q := c.fifo()
		c.send(q, "a", inGroup("g"), dedup("d"))
		m := c.one(q, withSystem("All"))
		c.thatf(m.Attributes["MessageGroupId"] == "g", "attributes are %v", m.Attributes)
		c.thatf(m.Attributes["MessageDeduplicationId"] == "d", "attributes are %v", m.Attributes)
		c.thatf(m.Attributes["SequenceNumber"] != "", "attributes are %v", m.Attributes)
	}},
	{Name: "OnlyTheAskedSystemAttributesCome", Source: apiReceive, run: func(c *trial) {
		q := c.queue()
		c.send(q, "a")
		m := c.one(q, withSystem("SenderId"))
		c.thatf(len(m.Attributes) == 1 && m.Attributes["SenderId"] != "", "attributes are %v", m.Attributes)
	}},
	{Name: "TheDeprecatedNamesAreUnited", Source: recorded("message_system_attribute_names_with_attribute_names"), run: func(c *trial) {
		q := c.queue()
		c.send(q, "a")
		m := c.one(q, withSystem("SenderId"), func(in *sqs.ReceiveMessageInput) {
			in.AttributeNames = []types.QueueAttributeName{"SentTimestamp"} //nolint:staticcheck // old clients still send it
		})
		c.thatf(len(m.Attributes) == 2 && m.Attributes["SenderId"] != "" && m.Attributes["SentTimestamp"] != "", "attributes are %v", m.Attributes)
	}},
	{Name: "ATraceHeaderComesBack", Source: recorded("send_message_with_trace_header"), run: func(c *trial) {
		const header = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
		q := c.queue()
		c.send(q, "a", trace(header))
		m := c.one(q, withSystem("AWSTraceHeader"))
		c.thatf(m.Attributes["AWSTraceHeader"] == header, "attributes are %v", m.Attributes)
	}},
	{Name: "ACallsTraceHeaderIsThatOfItsMessages", Source: guideXRay, run: func(c *trial) {
		c.hasHeaders()
		q := c.queue()
		_, err := c.SendMessage(c.ctx, &sqs.SendMessageInput{QueueUrl: &q, MessageBody: new("a")}, tracedBy("Root=1-5759e988-bd862e3fe1be46a994272793"))
		c.ok(err)
		_, err = c.SendMessageBatch(c.ctx, &sqs.SendMessageBatchInput{QueueUrl: &q, Entries: []types.SendMessageBatchRequestEntry{
			{Id: new("b"), MessageBody: new("b")}, {Id: new("c"), MessageBody: new("c")},
		}}, tracedBy("Root=1-5759e988-bd862e3fe1be46a994272794"))
		c.ok(err)
		traces := map[string]string{}
		for range 3 {
			m := c.one(q, withSystem("AWSTraceHeader"))
			traces[*m.Body] = m.Attributes["AWSTraceHeader"]
		}
		c.same([]string{traces["a"], traces["b"], traces["c"]}, []string{
			"Root=1-5759e988-bd862e3fe1be46a994272793", "Root=1-5759e988-bd862e3fe1be46a994272794", "Root=1-5759e988-bd862e3fe1be46a994272794",
		})
	}},
	{Name: "AMessagesOwnTraceHeaderWins", Source: guideXRay, run: func(c *trial) {
		c.hasHeaders()
		const own, ofCall = "Root=1-5759e988-bd862e3fe1be46a994272793", "Root=1-5759e988-bd862e3fe1be46a994272794"
		q := c.queue()
		in := &sqs.SendMessageInput{QueueUrl: &q, MessageBody: new("a")}
		trace(own)(in)
		_, err := c.SendMessage(c.ctx, in, tracedBy(ofCall))
		c.ok(err)
		m := c.one(q, withSystem("AWSTraceHeader"))
		c.is(new(m.Attributes["AWSTraceHeader"]), own)
	}},
	filter("AllGivesEveryAttribute", "4c360f3fdafd970e05fae2f149d997f5", []string{"General", "Hello", "Help.Me"}, "All"),
	filter("DotStarGivesEveryAttribute", "4c360f3fdafd970e05fae2f149d997f5", []string{"General", "Hello", "Help.Me"}, ".*"),
	filter("StarGivesEveryAttribute", "4c360f3fdafd970e05fae2f149d997f5", []string{"General", "Hello", "Help.Me"}, "*"),
	filter("ANameGivesItsAttributeAndItsMD5", "a311262e065454b75da111d535b8dacd", []string{"Hello"}, "Hello"),
	filter("NamesGiveASubsetAndItsMD5", "fca026605781cb4126a1e9044df24232", []string{"General", "Hello"}, "Hello", "General"),
	filter("APrefixGivesWhatItBegins", "", []string{"Hello", "Help.Me"}, "Hel.*"),
	filter("APrefixMayHaveDots", "", []string{"Help.Me"}, "Help.*"),
	filter("AnUnknownNameGivesNothing", "", nil, "nothing"),
}

// filter is a row about the message attributes that a receive asks for.
func filter(name, md5 string, want []string, names ...string) Row {
	return Row{Name: name, Source: recorded("receive_message_message_attribute_names_filters"), run: func(c *trial) {
		q := c.queue()
		c.send(q, "a", attributes(texts("Help.Me", "Me", "Hello", "There", "General", "Kenobi")))
		m := c.one(q, withAttributes(names...))
		got := make([]string, 0, len(m.MessageAttributes))
		for name := range m.MessageAttributes {
			got = append(got, name)
		}
		slices.SortFunc(got, strings.Compare)
		c.same(got, want)
		switch {
		case len(want) == 0:
			c.thatf(m.MD5OfMessageAttributes == nil, "there is an MD5 of no attributes")
		case md5 != "":
			c.is(m.MD5OfMessageAttributes, md5)
		}
	}}
}
