package contract

import (
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

const (
	guideRedrive   = "SQS developer guide, dead-letter queues"
	guideRetention = "SQS developer guide, message retention of dead-letter queues"
	guideMoves     = "SQS developer guide, dead-letter queue redrive"
)

// pair makes a queue and its dead-letter queue.
func (c *trial) pair(maxReceiveCount int) (source, dead string) {
	dead = c.queue()
	return c.queue(c.redrives(dead, maxReceiveCount)...), dead
}

// fifoPair makes FIFO queues; one receive is allowed.
func (c *trial) fifoPair() (source, dead string) {
	dead = c.fifo()
	return c.fifo(c.redrives(dead, 1)...), dead
}

// sentence moves the one message of source to its dead-letter queue, after one receive.
func (c *trial) sentence(source string) {
	c.release(source, c.one(source))
	c.bury(source)
}

var redrive = []Row{
	{Name: "TheReceiveAfterTheLastMovesTheMessage", Source: recorded("dead_letter_queue_message_attributes"), run: func(c *trial) {
		q, dead := c.pair(1)
		c.send(q, "a")
		m := c.one(q, withSystem("All"))
		c.thatf(m.Attributes["ApproximateReceiveCount"] == "1", "attributes are %v", m.Attributes)
		c.release(q, m)
		c.bury(q)
		m = c.one(dead, withSystem("All"))
		c.thatf(m.Attributes["ApproximateReceiveCount"] == "2", "attributes are %v", m.Attributes)
		c.same([]string{m.Attributes["DeadLetterQueueSourceArn"]}, []string{c.get(q, "QueueArn")})
	}},
	{Name: "AMessageIsDeliveredAsOftenAsAllowed", Source: recorded("dead_letter_queue_max_receive_count"), run: func(c *trial) {
		q, dead := c.pair(3)
		c.send(q, "a")
		for range 3 {
			c.release(q, c.one(q))
		}
		c.bury(q)
		c.gets(dead, "a")
	}},
	{Name: "TheMoveIsNotMadeAtTheEndOfTheTimeout", Source: guideRedrive, Waits: 2 * second, run: func(c *trial) {
		q, dead := c.pair(1)
		c.send(q, "a")
		c.one(q, hiddenFor(1))
		c.pause(1500 * time.Millisecond)
		c.counts(q, 1, 0, 0)
		c.none(dead)
		c.bury(q)
		c.one(dead)
	}},
	{Name: "AMovedMessageStaysWhatItWas", Source: recorded("dead_letter_queue_message_attributes"), run: func(c *trial) {
		const header = "Root=1-5759e988-bd862e3fe1be46a994272793"
		q, dead := c.pair(1)
		sent := c.send(q, "a", attributes(texts("Hello", "There")), trace(header))
		m := c.one(q, withSystem("SentTimestamp"))
		c.pause(second / 2)
		c.release(q, m)
		c.bury(q)
		moved := c.one(dead, withSystem("All"), withAttributes("All"))
		c.is(moved.MessageId, *sent.MessageId)
		c.is(moved.Body, "a")
		c.is(moved.MD5OfMessageAttributes, "a311262e065454b75da111d535b8dacd")
		c.same([]string{moved.Attributes["AWSTraceHeader"], moved.Attributes["SentTimestamp"]}, []string{header, m.Attributes["SentTimestamp"]})
	}},
	{Name: "TheReceiveThatMovesBringsTheNext", Source: guideRedrive, run: func(c *trial) {
		c.exact(orderIsRough)
		q, dead := c.pair(1)
		c.send(q, "a")
		c.release(q, c.one(q))
		c.send(q, "b")
		c.gets(q, "b")
		c.gets(dead, "a")
	}},
	{Name: "AFIFOGroupGoesOnAfterAMove", Source: recorded("dead_letter_queue_with_fifo_and_content_based_deduplication"), run: func(c *trial) {
		q, dead := c.fifoPair()
		c.put(q, "g", "1", "2")
		c.release(q, c.one(q))
		c.gets(q, "2")
		c.gets(dead, "1")
	}},
	{Name: "AMovedFIFOMessagesDeduplicationIDIsItsMessageID", Source: guideRedrive, run: func(c *trial) {
		q, dead := c.fifoPair()
		c.send(q, "1", inGroup("g"), dedup("d"))
		m := c.one(q)
		c.release(q, m)
		c.bury(q)
		moved := c.one(dead, withSystem("All"))
		c.is(moved.MessageId, *m.MessageId)
		c.same([]string{moved.Attributes["MessageDeduplicationId"]}, []string{*m.MessageId})
	}},
	{Name: "AStandardQueuesDeadLettersAgeFromTheirSend", Source: guideRetention, Waits: 62 * second, run: func(c *trial) {
		dead := c.queue("MessageRetentionPeriod", "60")
		q := c.queue(c.redrives(dead, 1)...)
		c.send(q, "a")
		c.release(q, c.one(q))
		c.pause(40 * second)
		c.bury(q)
		c.counts(dead, 1, 0, 0)
		c.pause(21 * second)
		c.counts(dead, 0, 0, 0)
	}},
	{Name: "AFIFOQueuesDeadLettersAgeFromTheirMove", Source: guideRetention, Waits: 102 * second, run: func(c *trial) {
		dead := c.fifo("MessageRetentionPeriod", "60")
		q := c.fifo(c.redrives(dead, 1)...)
		c.put(q, "g", "a")
		c.release(q, c.one(q))
		c.pause(40 * second)
		c.bury(q)
		c.pause(21 * second)
		c.counts(dead, 1, 0, 0)
		c.pause(40 * second)
		c.counts(dead, 0, 0, 0)
	}},
	{Name: "AFIFOQueuesDeadLettersAreFIFO", Source: guideRedrive, run: func(c *trial) {
		err := c.set(c.fifo(), "RedrivePolicy", redrivePolicy(c.get(c.queue(), "QueueArn"), 1))
		c.refused(err, "InvalidParameterValue", "")
	}},
	{Name: "TheDeadLetterQueueMustExist", Source: guideRedrive, run: func(c *trial) {
		q := c.queue()
		err := c.set(q, "RedrivePolicy", redrivePolicy(c.get(q, "QueueArn")+"-missing", 1))
		c.refused(err, "InvalidParameterValue", "")
	}},
	{Name: "ACountInTextIsToldAsANumber", Source: recorded("redrive_policy_attribute_validity") + "; that it is told so is inferred", run: func(c *trial) {
		dead := c.queue()
		arn := c.get(dead, "QueueArn")
		want := `{"deadLetterTargetArn":"` + arn + `","maxReceiveCount":42}`
		for _, policy := range []string{
			want, redrivePolicy(arn, 42), `{ "maxReceiveCount" : "42", "deadLetterTargetArn" : "` + arn + `" }`,
		} {
			q := c.queue("RedrivePolicy", policy)
			c.same([]string{c.get(q, "RedrivePolicy")}, []string{want})
		}
	}},
	{Name: "TheSamePolicyIsTheSameHoweverItIsWritten", Source: apiCreate + ", same attributes", run: func(c *trial) {
		arn := c.get(c.queue(), "QueueArn")
		name := c.name("")
		q := c.create(name, "RedrivePolicy", `{"deadLetterTargetArn":"`+arn+`","maxReceiveCount":5}`)
		again, err := c.tryCreate(name, "RedrivePolicy", redrivePolicy(arn, 5))
		c.ok(err)
		c.is(&again, q)
		_, err = c.tryCreate(name, "RedrivePolicy", redrivePolicy(arn, 6))
		c.refused(err, "QueueAlreadyExists", "RedrivePolicy")
	}},
	{Name: "ACountIsOneToAThousand", Source: guideRedrive, run: func(c *trial) {
		arn := c.get(c.queue(), "QueueArn")
		q := c.queue()
		for _, count := range []string{`"invalid"`, `0`, `1001`, `"-1"`, `""`} {
			err := c.set(q, "RedrivePolicy", `{"deadLetterTargetArn":"`+arn+`","maxReceiveCount":`+count+`}`)
			c.refused(err, "InvalidParameterValue", "parameter RedrivePolicy is invalid. Reason: Invalid value for maxReceiveCount: ")
			c.refused(err, "InvalidParameterValue", ", valid values are from 1 to 1000 both inclusive.")
		}
		c.ok(c.set(q, "RedrivePolicy", redrivePolicy(arn, 1000)))
	}},
	{Name: "ARedrivePolicyNeedsATarget", Source: recorded("redrive_policy_attribute_validity"), run: func(c *trial) {
		c.refused(c.set(c.queue(), "RedrivePolicy", `{"maxReceiveCount":"5"}`), "InvalidParameterValue", "Redrive policy does not contain mandatory attribute: deadLetterTargetArn.")
	}},
	{Name: "ARedrivePolicyIsJSON", Source: recorded("redrive_policy_attribute_validity"), run: func(c *trial) {
		c.refused(c.set(c.queue(), "RedrivePolicy", "garbage"), "InvalidParameterValue", "RedrivePolicy")
	}},
	{Name: "ARedrivePolicyNeedsACount", Source: recorded("redrive_policy_attribute_validity"), run: func(c *trial) {
		arn := c.get(c.queue(), "QueueArn")
		c.refused(c.set(c.queue(), "RedrivePolicy", `{"deadLetterTargetArn":"`+arn+`"}`), "InvalidParameterValue", "RedrivePolicy")
	}},
	{Name: "ADeadLetterQueueKnowsItsSources", Source: "API reference, ListDeadLetterSourceQueues", run: func(c *trial) {
		c.exact(listsTakeTime)
		q, dead := c.pair(1)
		out, err := c.ListDeadLetterSourceQueues(c.ctx, &sqs.ListDeadLetterSourceQueuesInput{QueueUrl: &dead})
		c.ok(err)
		c.same(out.QueueUrls, []string{q})
	}},
	{Name: "AnEmptyRedrivePolicyTurnsItOff", Source: recorded("set_empty_redrive_policy"), run: func(c *trial) {
		c.exact(changesTakeTime)
		q, _ := c.pair(1)
		c.ok(c.set(q, "RedrivePolicy", ""))
		c.send(q, "a")
		c.release(q, c.one(q))
		c.one(q)
		c.same([]string{c.get(q, "RedrivePolicy")}, []string{""})
	}},
}

func (c *trial) startMove(source string, change ...func(*sqs.StartMessageMoveTaskInput)) (string, error) {
	in := &sqs.StartMessageMoveTaskInput{SourceArn: new(c.get(source, "QueueArn"))}
	for _, f := range change {
		f(in)
	}
	out, err := c.StartMessageMoveTask(c.ctx, in)
	if err != nil {
		return "", err
	}
	return *out.TaskHandle, nil
}

func to(arn string) func(*sqs.StartMessageMoveTaskInput) {
	return func(in *sqs.StartMessageMoveTaskInput) { in.DestinationArn = &arn }
}

func rate(perSecond int32) func(*sqs.StartMessageMoveTaskInput) {
	return func(in *sqs.StartMessageMoveTaskInput) { in.MaxNumberOfMessagesPerSecond = &perSecond }
}

// lastTask returns the newest move task of source.
func (c *trial) lastTask(source string) types.ListMessageMoveTasksResultEntry {
	out, err := c.ListMessageMoveTasks(c.ctx, &sqs.ListMessageMoveTasksInput{SourceArn: new(c.get(source, "QueueArn"))})
	c.ok(err)
	c.thatf(len(out.Results) > 0, "no task is listed")
	return out.Results[0]
}

// status waits until the newest task of source has this status.
func (c *trial) status(source, want string) types.ListMessageMoveTasksResultEntry {
	var task types.ListMessageMoveTasksResultEntry
	looks := 8
	if c.real {
		looks = 100
	}
	for range looks {
		if task = c.lastTask(source); *task.Status == want {
			return task
		}
		c.pause(second / 10)
	}
	c.failf("the task is %s, want %s", *task.Status, want)
	return task
}

var moveTasks = []Row{
	{Name: "AMoveBringsMessagesBack", Source: recorded("move_task_workflow_default_destination"), run: func(c *trial) {
		q, dead := c.pair(1)
		c.send(q, "a")
		c.sentence(q)
		_, err := c.startMove(dead)
		c.ok(err)
		task := c.status(dead, "COMPLETED")
		c.thatf(task.ApproximateNumberOfMessagesMoved == 1, "%d were moved", task.ApproximateNumberOfMessagesMoved)
		c.thatf(task.TaskHandle == nil, "a finished task has a handle")
		c.gets(q, "a")
	}},
	{Name: "AMoveHasADestination", Source: recorded("move_task_with_throughput_limit and destination"), run: func(c *trial) {
		q, dead := c.pair(1)
		other := c.queue()
		c.send(q, "a")
		c.sentence(q)
		_, err := c.startMove(dead, to(c.get(other, "QueueArn")))
		c.ok(err)
		c.status(dead, "COMPLETED")
		c.gets(other, "a")
	}},
	{Name: "AMovedBackMessageIsANewOne", Source: guideMoves, Waits: 2 * second, run: func(c *trial) {
		q, dead := c.pair(1)
		c.send(q, "a")
		m := c.one(q, withSystem("All"))
		c.release(q, m)
		c.bury(q)
		_, err := c.startMove(dead)
		c.ok(err)
		c.status(dead, "COMPLETED")
		moved := c.one(q, withSystem("All"))
		c.thatf(*moved.MessageId != *m.MessageId, "its id is the old one")
		c.thatf(moved.Attributes["SentTimestamp"] > m.Attributes["SentTimestamp"], "it was sent at %s, first at %s", moved.Attributes["SentTimestamp"], m.Attributes["SentTimestamp"])
	}},
	{Name: "AMovedBackMessagesRetentionBeginsAnew", Source: guideMoves, Waits: 103 * second, run: func(c *trial) {
		dead := c.queue()
		q := c.queue(append(c.redrives(dead, 1), "MessageRetentionPeriod", "60")...)
		c.send(q, "a")
		c.sentence(q)
		c.pause(40 * second)
		_, err := c.startMove(dead)
		c.ok(err)
		c.status(dead, "COMPLETED")
		c.pause(40 * second)
		c.counts(q, 1, 0, 0)
		c.pause(21 * second)
		c.counts(q, 0, 0, 0)
	}},
	{Name: "AMovesSourceMustExist", Source: recorded("source_needs_to_exist"), run: func(c *trial) {
		_, err := c.StartMessageMoveTask(c.ctx, &sqs.StartMessageMoveTaskInput{SourceArn: new(c.get(c.queue(), "QueueArn") + "-missing")})
		c.refused(err, "ResourceNotFoundException", "")
		c.answered(err, 404)
	}},
	{Name: "AMoveNeedsADeadLetterQueue", Source: recorded("start_message_move_task source_needs_redrive"), run: func(c *trial) {
		_, err := c.startMove(c.queue())
		c.refused(err, "InvalidParameterValue", "Source queue must be configured as a Dead Letter Queue.")
	}},
	{Name: "AMovesDestinationMustExist", Source: recorded("destination_needs_to_exist"), run: func(c *trial) {
		_, dead := c.pair(1)
		_, err := c.startMove(dead, to(c.get(dead, "QueueArn")+"-missing"))
		c.refused(err, "ResourceNotFoundException", "")
		c.answered(err, 404)
		c.typed(err, new(*types.ResourceNotFoundException))
	}},
	{Name: "ASourceHasOneMoveAtATime", Source: recorded("move_message_to_same_source / one task at a time"), run: func(c *trial) {
		_, dead := c.slowMove()
		_, err := c.startMove(dead)
		c.refused(err, "InvalidParameterValue", "There is already a task running")
	}},
	{Name: "ARunningMoveIsListedWithItsHandle", Source: "API reference, ListMessageMoveTasks", run: func(c *trial) {
		handle, dead := c.slowMove()
		task := c.lastTask(dead)
		c.is(task.Status, "RUNNING")
		c.is(task.TaskHandle, handle)
		c.thatf(task.MaxNumberOfMessagesPerSecond != nil && *task.MaxNumberOfMessagesPerSecond == 1, "the rate is not told")
	}},
	{Name: "AMoveCanBeCancelled", Source: recorded("move_task_cancel"), Waits: 10 * second, run: func(c *trial) {
		handle, dead := c.slowMove()
		_, err := c.CancelMessageMoveTask(c.ctx, &sqs.CancelMessageMoveTaskInput{TaskHandle: &handle})
		c.ok(err)
		c.pause(5 * second)
		c.status(dead, "CANCELLED")
	}},
	{Name: "AnUnknownMoveCannotBeCancelled", Source: "API reference, CancelMessageMoveTask", run: func(c *trial) {
		handle, _ := c.slowMove()
		_, err := c.CancelMessageMoveTask(c.ctx, &sqs.CancelMessageMoveTaskInput{TaskHandle: new(handle[:len(handle)-4] + "AAAA")})
		c.thatf(err != nil, "an unknown task was cancelled")
	}},
	{Name: "ASlowMoveKeepsItsRate", Source: "API reference, StartMessageMoveTask, MaxNumberOfMessagesPerSecond", Waits: 10 * second, run: func(c *trial) {
		_, dead := c.slowMove()
		c.pause(1500 * time.Millisecond)
		out := c.lastTask(dead)
		c.thatf(out.ApproximateNumberOfMessagesMoved < 5, "%d were moved in 1.5 s at 1 a second", out.ApproximateNumberOfMessagesMoved)
		c.pause(8 * second)
		c.status(dead, "COMPLETED")
	}},
	refusedRate("AMoveRateOfZeroIsRefused", 0),
	refusedRate("AMoveRateAboveFiveHundredIsRefused", 501),
	{Name: "ADestinationDeletedFailsTheMove", Source: recorded("move_task_workflow_deleted_destination"), Waits: 10 * second, run: func(c *trial) {
		_, dead := c.pair(1)
		other := c.queue()
		for range 5 {
			c.send(dead, "a")
		}
		_, err := c.startMove(dead, to(c.get(other, "QueueArn")), rate(1))
		c.ok(err)
		c.drop(other)
		c.pause(8 * second)
		task := c.status(dead, "FAILED")
		c.is(task.FailureReason, "AWS.SimpleQueueService.NonExistentQueue")
	}},
}

// slowMove starts a task that moves five messages, one a second. They were never elsewhere, so the
// task has a destination.
func (c *trial) slowMove() (handle, dead string) {
	q, dead := c.pair(1)
	for i := range 5 {
		c.send(dead, strconv.Itoa(i))
	}
	handle, err := c.startMove(dead, to(c.get(q, "QueueArn")), rate(1))
	c.ok(err)
	return handle, dead
}

func refusedRate(name string, perSecond int32) Row {
	return Row{Name: name, Source: "API reference, StartMessageMoveTask, MaxNumberOfMessagesPerSecond: 1 to 500", run: func(c *trial) {
		_, dead := c.pair(1)
		_, err := c.startMove(dead, rate(perSecond))
		c.refused(err, "InvalidParameterValue", "")
	}}
}
