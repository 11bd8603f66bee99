package contract

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

func (c *trial) tryCreate(name string, attributes ...string) (string, error) {
	out, err := c.CreateQueue(c.ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: pairs(attributes)})
	if err != nil {
		return "", err
	}
	return *out.QueueUrl, nil
}

var queues = []Row{
	{Name: "CreatingAgainGivesTheSameQueue", Source: recorded("create_queue_with_same_attributes"), run: func(c *trial) {
		name := c.name("")
		q := c.create(name, "DelaySeconds", "1", "VisibilityTimeout", "5")
		for _, attributes := range [][]string{nil, {"DelaySeconds", "1"}, {"VisibilityTimeout", "5", "DelaySeconds", "1"}} {
			again, err := c.tryCreate(name, attributes...)
			c.ok(err)
			c.is(&again, q)
		}
	}},
	{Name: "CreatingOtherwiseIsRefused", Source: recorded("create_queue_with_different_attributes_raises_exception"), run: func(c *trial) {
		name := c.name("")
		c.create(name, "DelaySeconds", "1")
		_, err := c.tryCreate(name, "DelaySeconds", "2")
		c.refused(err, "QueueAlreadyExists", "")
		c.typed(err, new(*types.QueueNameExists))
	}},
	{Name: "ANameOfEightyCharactersIsAccepted", Source: apiCreate + ", QueueName", run: func(c *trial) {
		name := c.name(strings.Repeat("n", 80))[:80]
		q := c.create(name)
		c.thatf(strings.HasSuffix(q, "/"+name), "the URL is %s", q)
	}},
	refusedName("ALongNameIsRefused", func(c *trial) string { return c.name(strings.Repeat("n", 80)) }),
	refusedName("AnIllegalNameIsRefused", func(c *trial) string { return c.name("!") }),
	refusedName("ADotOutsideTheSuffixIsRefused", func(c *trial) string { return c.name(".x") }),
	{Name: "AFIFOQueueNeedsTheSuffix", Source: recorded("fifo_queue_requires_suffix"), run: func(c *trial) {
		_, err := c.tryCreate(c.name(""), "FifoQueue", "true")
		c.refused(err, "InvalidParameterValue", "")
	}},
	{Name: "TheSuffixNeedsAFIFOQueue", Source: recorded("standard_queue_cannot_have_fifo_suffix"), run: func(c *trial) {
		_, err := c.tryCreate(c.name(".fifo"))
		c.refused(err, "InvalidParameterValue", "")
	}},
	{Name: "ANewQueuesAttributes", Source: apiCreate + ", defaults", run: func(c *trial) {
		q := c.queue()
		for name, want := range map[string]string{
			"VisibilityTimeout": "30", "MessageRetentionPeriod": "345600", "ReceiveMessageWaitTimeSeconds": "0",
			"DelaySeconds": "0", "MaximumMessageSize": "1048576", "SqsManagedSseEnabled": "true", "FifoQueue": "",
		} {
			got := c.get(q, name)
			c.thatf(got == want, "%s is %q, want %q", name, got, want)
		}
	}},
	{Name: "ANewFIFOQueuesAttributes", Source: apiCreate + ", defaults", run: func(c *trial) {
		q := c.fifo()
		for name, want := range map[string]string{
			"FifoQueue": "true", "ContentBasedDeduplication": "false", "DeduplicationScope": "queue", "FifoThroughputLimit": "perQueue",
		} {
			got := c.get(q, name)
			c.thatf(got == want, "%s is %q, want %q", name, got, want)
		}
	}},
	{Name: "AnARNEndsWithTheName", Source: "API reference, GetQueueAttributes, QueueArn", run: func(c *trial) {
		name := c.name("")
		arn := c.get(c.create(name), "QueueArn")
		c.thatf(strings.HasPrefix(arn, "arn:aws:sqs:") && strings.HasSuffix(arn, ":"+name), "the ARN is %q", arn)
	}},
	{Name: "FlagsMayBeCapitalised", Source: "programs in Python send str(True), and work; " + apiCreate + ", FifoQueue", run: func(c *trial) {
		name := c.name(".fifo")
		q := c.create(name, "FifoQueue", "True", "ContentBasedDeduplication", "True")
		c.same([]string{c.get(q, "FifoQueue"), c.get(q, "ContentBasedDeduplication")}, []string{"true", "true"})
		c.send(q, "a", inGroup("g"))
		again, err := c.tryCreate(name, "FifoQueue", "true", "ContentBasedDeduplication", "True")
		c.ok(err)
		c.is(&again, q)
	}},
	{Name: "AFlagIsTrueOrFalse", Source: apiCreate + ", ContentBasedDeduplication", run: func(c *trial) {
		c.refused(c.set(c.fifo(), "ContentBasedDeduplication", "yes"), "InvalidAttributeValue", "Invalid value for the parameter ContentBasedDeduplication.")
	}},
	{Name: "NumbersAreToldAsNumbers", Source: apiCreate + ": the values are integers; inferred", run: func(c *trial) {
		q := c.queue("DelaySeconds", "+05", "VisibilityTimeout", "007")
		c.same([]string{c.get(q, "DelaySeconds"), c.get(q, "VisibilityTimeout")}, []string{"5", "7"})
	}},
	{Name: "AStandardQueueCannotBecomeFIFO", Source: recorded("set_unsupported_attribute_standard"), run: func(c *trial) {
		c.refused(c.set(c.queue(), "FifoQueue", "true"), "InvalidAttributeName", "Unknown Attribute FifoQueue.")
		_, err := c.tryCreate(c.name(""), "FifoQueue", "false")
		c.refused(err, "InvalidAttributeName", "Unknown Attribute FifoQueue.")
	}},
	{Name: "AFIFOQueueCannotBecomeStandard", Source: recorded("set_unsupported_attribute_fifo"), run: func(c *trial) {
		c.refused(c.set(c.fifo(), "FifoQueue", "false"), "InvalidAttributeValue", "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported.")
	}},
	{Name: "AnUnknownAttributeCannotBeRead", Source: recorded("get_queue_attributes with unknown name"), run: func(c *trial) {
		_, err := c.GetQueueAttributes(c.ctx, &sqs.GetQueueAttributesInput{QueueUrl: new(c.queue()), AttributeNames: []types.QueueAttributeName{"Nothing"}})
		c.refused(err, "InvalidAttributeName", "Unknown Attribute Nothing.")
	}},
	{Name: "AnUnknownAttributeCannotBeSet", Source: recorded("set_unsupported_attribute"), run: func(c *trial) {
		c.refused(c.set(c.queue(), "Nothing", "1"), "InvalidAttributeName", "Unknown Attribute Nothing.")
	}},
	{Name: "AnUnknownAttributeCannotBeCreated", Source: recorded("create_queue with unknown attribute"), run: func(c *trial) {
		_, err := c.tryCreate(c.name(""), "Nothing", "1")
		c.refused(err, "InvalidAttributeName", "Unknown Attribute Nothing.")
	}},
	{Name: "AStandardQueueHasNoFIFOAttributes", Source: recorded("set_unsupported_attribute_standard"), run: func(c *trial) {
		err := c.set(c.queue(), "ContentBasedDeduplication", "true")
		c.thatf(err != nil, "a standard queue took a FIFO attribute")
	}},
	{Name: "ChangedAttributesAreTold", Source: "API reference, SetQueueAttributes", run: func(c *trial) {
		c.exact(changesTakeTime)
		q := c.queue()
		c.ok(c.set(q, "VisibilityTimeout", "7", "DelaySeconds", "3"))
		c.same([]string{c.get(q, "VisibilityTimeout"), c.get(q, "DelaySeconds")}, []string{"7", "3"})
	}},
	{Name: "ADeletedQueueIsGone", Source: "API reference, DeleteQueue", run: func(c *trial) {
		c.exact("a queue is deleted within a minute")
		q := c.queue()
		c.drop(q)
		_, err := c.trySend(q, "a")
		c.refused(err, "AWS.SimpleQueueService.NonExistentQueue", "")
	}},
	{Name: "ADeletedQueueCannotBeMadeAnewAtOnce", Source: recorded("create_queue_recently_deleted"), run: func(c *trial) {
		name := c.name("")
		c.drop(c.create(name))
		_, err := c.tryCreate(name)
		c.refused(err, "AWS.SimpleQueueService.QueueDeletedRecently", "60 seconds")
	}},
	{Name: "ADeletedQueueCanBeMadeAnewAfterAMinute", Source: recorded("create_queue_after_delete"), Waits: 61 * second, run: func(c *trial) {
		name := c.name("")
		q := c.create(name)
		c.send(q, "a")
		c.drop(q)
		c.pause(61 * second)
		c.none(c.create(name))
	}},
	{Name: "ADeletedQueueEndsItsPolls", Source: "API reference, DeleteQueue", run: func(c *trial) {
		c.exact("a queue is deleted within a minute")
		q := c.queue()
		poll := c.poll(q, 1)
		c.pause(second / 2)
		c.drop(q)
		p := <-poll
		c.thatf(len(p.messages) == 0, "received %v", bodies(p.messages))
	}},
	{Name: "AQueueIsFoundByItsName", Source: "API reference, GetQueueUrl", run: func(c *trial) {
		name := c.name("")
		q := c.create(name)
		out, err := c.GetQueueUrl(c.ctx, &sqs.GetQueueUrlInput{QueueName: &name})
		c.ok(err)
		c.is(out.QueueUrl, q)
	}},
	{Name: "QueuesAreListedByPrefix", Source: "API reference, ListQueues", run: func(c *trial) {
		c.exact(listsTakeTime)
		prefix := c.name("")
		a, b := c.create(prefix+"-a"), c.create(prefix+"-b")
		c.queue()
		out, err := c.ListQueues(c.ctx, &sqs.ListQueuesInput{QueueNamePrefix: &prefix})
		c.ok(err)
		slices.Sort(out.QueueUrls)
		c.same(out.QueueUrls, []string{a, b})
	}},
	{Name: "QueuesAreListedInPages", Source: "API reference, ListQueues, MaxResults", run: func(c *trial) {
		c.exact(listsTakeTime)
		prefix := c.name("")
		want := []string{c.create(prefix + "-a"), c.create(prefix + "-b"), c.create(prefix + "-c")}
		in := &sqs.ListQueuesInput{QueueNamePrefix: &prefix, MaxResults: new(int32(2))}
		first, err := c.ListQueues(c.ctx, in)
		c.ok(err)
		c.thatf(len(first.QueueUrls) == 2 && first.NextToken != nil, "the first page has %d queues", len(first.QueueUrls))
		in.NextToken = first.NextToken
		second, err := c.ListQueues(c.ctx, in)
		c.ok(err)
		c.thatf(second.NextToken == nil, "there is a third page")
		got := slices.Concat(first.QueueUrls, second.QueueUrls)
		slices.Sort(got)
		c.same(got, want)
	}},
	{Name: "APurgeTakesAllMessages", Source: "API reference, PurgeQueue: in flight and delayed too", run: func(c *trial) {
		q := c.queue()
		c.send(q, "hidden")
		m := c.one(q)
		c.send(q, "delayed", delay(900))
		c.send(q, "visible")
		c.counts(q, 1, 1, 1)
		c.ok(c.purge(q))
		c.counts(q, 0, 0, 0)
		c.remove(q, m)
		c.none(q)
	}},
	{Name: "PurgesAreAMinuteApart", Source: "API reference, PurgeQueue", Waits: 61 * second, run: func(c *trial) {
		q := c.queue()
		c.ok(c.purge(q))
		c.pause(59 * second)
		c.refused(c.purge(q), "AWS.SimpleQueueService.PurgeQueueInProgress", "")
		c.pause(2 * second)
		c.ok(c.purge(q))
	}},
	{Name: "ASecondPurgeAtOnceIsRefused", Source: "API reference, PurgeQueue", run: func(c *trial) {
		q := c.queue()
		c.ok(c.purge(q))
		err := c.purge(q)
		c.refused(err, "AWS.SimpleQueueService.PurgeQueueInProgress", "")
		c.answered(err, 403)
		c.typed(err, new(*types.PurgeQueueInProgress))
	}},
	{Name: "ThreeCountersTellWhereMessagesAre", Source: "API reference, GetQueueAttributes", run: func(c *trial) {
		q := c.queue()
		for range 3 {
			c.send(q, "a")
		}
		c.send(q, "b", delay(900))
		c.counts(q, 3, 0, 1)
		m := c.one(q)
		c.counts(q, 2, 1, 1)
		c.remove(q, m)
		c.counts(q, 2, 0, 1)
	}},
	{Name: "TagsAreKept", Source: recorded("tag_untag_queue"), run: func(c *trial) {
		q := c.queue()
		_, err := c.TagQueue(c.ctx, &sqs.TagQueueInput{QueueUrl: &q, Tags: map[string]string{"a": "1", "b": "2"}})
		c.ok(err)
		_, err = c.UntagQueue(c.ctx, &sqs.UntagQueueInput{QueueUrl: &q, TagKeys: []string{"a"}})
		c.ok(err)
		out, err := c.ListQueueTags(c.ctx, &sqs.ListQueueTagsInput{QueueUrl: &q})
		c.ok(err)
		c.thatf(len(out.Tags) == 1 && out.Tags["b"] == "2", "tags are %v", out.Tags)
	}},
	{Name: "AQueueIsCreatedWithTags", Source: recorded("create_queue_with_tags"), run: func(c *trial) {
		made, err := c.CreateQueue(c.ctx, &sqs.CreateQueueInput{QueueName: new(c.name("")), Tags: map[string]string{"a": "1"}})
		c.ok(err)
		c.made = append(c.made, *made.QueueUrl)
		out, err := c.ListQueueTags(c.ctx, &sqs.ListQueueTagsInput{QueueUrl: made.QueueUrl})
		c.ok(err)
		c.thatf(len(out.Tags) == 1 && out.Tags["a"] == "1", "tags are %v", out.Tags)
	}},
	{Name: "APermissionBecomesAPolicy", Source: recorded("sqs_permission_lifecycle"), run: func(c *trial) {
		c.exact(changesTakeTime)
		q := c.queue()
		arn := c.get(q, "QueueArn")
		account := strings.Split(arn, ":")[4] // one that AWS knows
		_, err := c.AddPermission(c.ctx, &sqs.AddPermissionInput{QueueUrl: &q, Label: new("l"), AWSAccountIds: []string{account}, Actions: []string{"ReceiveMessage"}})
		c.ok(err)
		c.same([]string{c.get(q, "Policy")}, []string{`{"Version":"2008-10-17","Id":"` + arn + `/SQSDefaultPolicy","Statement":[{"Sid":"l","Effect":"Allow",` +
			`"Principal":{"AWS":"arn:aws:iam::` + account + `:root"},"Action":"SQS:ReceiveMessage","Resource":"` + arn + `"}]}`})
		_, err = c.AddPermission(c.ctx, &sqs.AddPermissionInput{QueueUrl: &q, Label: new("l"), AWSAccountIds: []string{account}, Actions: []string{"SendMessage"}})
		c.refused(err, "InvalidParameterValue", "Value l for parameter Label is invalid. Reason: Already exists.")
		_, err = c.RemovePermission(c.ctx, &sqs.RemovePermissionInput{QueueUrl: &q, Label: new("l")})
		c.ok(err)
		c.same([]string{c.get(q, "Policy")}, []string{""})
		_, err = c.RemovePermission(c.ctx, &sqs.RemovePermissionInput{QueueUrl: &q, Label: new("l")})
		c.refused(err, "InvalidParameterValue", "Value l for parameter Label is invalid. Reason: can't find label.")
	}},
	{Name: "CreatedTimestampIsInSeconds", Source: "API reference, GetQueueAttributes, CreatedTimestamp", run: func(c *trial) {
		created, err := strconv.ParseInt(c.get(c.queue(), "CreatedTimestamp"), 10, 64)
		c.ok(err)
		c.thatf(time.Since(time.Unix(created, 0)).Abs() < minute, "CreatedTimestamp is %d", created)
	}},
}

func refusedName(name string, queueName func(c *trial) string) Row {
	return Row{Name: name, Source: apiCreate + ", QueueName", run: func(c *trial) {
		_, err := c.tryCreate(queueName(c))
		c.refused(err, "InvalidParameterValue", "")
	}}
}

// attributeLimits are the bounds of queue attributes, one row for each side of each.
func attributeLimits() []Row {
	rows := make([]Row, 0, 5)
	for _, limit := range []struct{ name, low, lowest, highest, high string }{
		{"VisibilityTimeout", "-1", "0", "43200", "43201"},
		{"MessageRetentionPeriod", "59", "60", "1209600", "1209601"},
		{"ReceiveMessageWaitTimeSeconds", "-1", "0", "20", "21"},
		{"DelaySeconds", "-1", "0", "900", "901"},
		{"MaximumMessageSize", "1023", "1024", "1048576", "1048577"},
	} {
		rows = append(rows, Row{Name: "Limits/" + limit.name, Source: apiCreate + ", " + limit.name, run: func(c *trial) {
			c.exact(changesTakeTime)
			q := c.queue()
			c.ok(c.set(q, limit.name, limit.lowest))
			c.ok(c.set(q, limit.name, limit.highest))
			for _, value := range []string{limit.low, limit.high, "garbage"} {
				c.refused(c.set(q, limit.name, value), "InvalidAttributeValue", "Invalid value for the parameter "+limit.name+".")
			}
			c.same([]string{c.get(q, limit.name)}, []string{limit.highest})
		}})
	}
	return rows
}
