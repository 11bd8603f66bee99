package contract

import (
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice/sqstest"
)

const (
	guideARNs = "SQS developer guide, policies: the ARN of a queue has its region"
	apiRegion = "SQS developer guide, endpoints: queues of a name in different regions share nothing"
)

// remote is a region that is not the client's.
const remote = "ap-southeast-2"

// abroad makes one call in another region.
func abroad(o *sqs.Options) { o.Region = remote }

// queueAbroad makes a queue in another region, and needs a target that is told the region by a signature.
func (c *trial) queueAbroad(name string, attributes ...string) string {
	if _, inProcess := c.API.(*sqstest.Server); inProcess {
		panic(untried("a method call has no signature that tells a region"))
	}
	c.exact("needs a second region of the account")
	out, err := c.CreateQueue(c.ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: pairs(attributes)}, abroad)
	c.ok(err)
	c.madeAbroad = append(c.madeAbroad, *out.QueueUrl)
	return *out.QueueUrl
}

func (c *trial) getAbroad(q, name string) string {
	out, err := c.GetQueueAttributes(c.ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &q, AttributeNames: []types.QueueAttributeName{types.QueueAttributeName(name)},
	}, abroad)
	c.ok(err)
	return out.Attributes[name]
}

var regions = []Row{
	{Name: "AnARNTellsItsRegion", Source: guideARNs, run: func(c *trial) {
		name := c.name("")
		arn := c.getAbroad(c.queueAbroad(name), "QueueArn")
		c.thatf(strings.HasPrefix(arn, "arn:aws:sqs:"+remote+":") && strings.HasSuffix(arn, ":"+name), "the ARN is %q", arn)
	}},
	{Name: "RegionsShareNothing", Source: apiRegion, run: func(c *trial) {
		name := c.name("")
		there := c.queueAbroad(name)
		here := c.create(name)
		_, err := c.SendMessage(c.ctx, &sqs.SendMessageInput{QueueUrl: &there, MessageBody: new("there")}, abroad)
		c.ok(err)
		c.none(here)
		c.same([]string{c.getAbroad(there, "ApproximateNumberOfMessages")}, []string{"1"})
	}},
	{Name: "AQueueIsFoundInItsRegionOnly", Source: apiRegion, run: func(c *trial) {
		name := c.name("")
		c.queueAbroad(name)
		_, err := c.GetQueueUrl(c.ctx, &sqs.GetQueueUrlInput{QueueName: &name})
		c.refused(err, "AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.")
		out, err := c.ListQueues(c.ctx, &sqs.ListQueuesInput{QueueNamePrefix: &name})
		c.ok(err)
		c.same(out.QueueUrls, nil)
		out, err = c.ListQueues(c.ctx, &sqs.ListQueuesInput{QueueNamePrefix: &name}, abroad)
		c.ok(err)
		c.thatf(len(out.QueueUrls) == 1, "%d queues are listed in their region", len(out.QueueUrls))
	}},
	{Name: "ADeadLetterQueueOfTheOwnRegionIsFound", Source: guideRedrive, run: func(c *trial) {
		dead := c.getAbroad(c.queueAbroad(c.name("")), "QueueArn")
		q := c.queueAbroad(c.name(""), "RedrivePolicy", redrivePolicy(dead, 3))
		c.thatf(strings.Contains(c.getAbroad(q, "RedrivePolicy"), dead), "the policy has another target")
	}},
	{Name: "ADeadLetterQueueOfAnotherRegionIsRefused", Source: guideRedrive + ": both in the same account and region; the words are inferred", run: func(c *trial) {
		dead := c.getAbroad(c.queueAbroad(c.name("")), "QueueArn")
		err := c.set(c.queue(), "RedrivePolicy", redrivePolicy(dead, 3))
		c.refused(err, "InvalidParameterValue", "for parameter RedrivePolicy is invalid. Reason: ")
	}},
}
