package contract

import (
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

const guideNoise = "SQS developer guide, how fair queues decide"

// anHour is the visibility timeout, in seconds, of what is to stay in flight.
const anHour = 3600

// tenant sends n messages of a group, or of none, all with the group's name as their body. It
// receives nothing.
func (c *trial) tenant(q, name string, n int) {
	for left := n; left > 0; left -= 10 {
		entries := make([]types.SendMessageBatchRequestEntry, min(left, 10))
		for i := range entries {
			entries[i] = entry(strconv.Itoa(i), name)
			if name != noGroup {
				entries[i].MessageGroupId = &name
			}
		}
		c.sendBatch(q, entries...)
	}
}

// noGroup is the tenant of the messages without a group.
const noGroup = "no group"

// holds takes n messages into flight.
func (c *trial) holds(q string, n int) (all []types.Message) {
	for len(all) < n {
		ms := c.take(q, int32(min(n-len(all), 10)), hiddenFor(anHour))
		c.thatf(len(ms) > 0, "received %d messages, want %d", len(all), n)
		all = append(all, ms...)
	}
	return all
}

// from expects the next messages to be of these tenants.
func (c *trial) from(q string, tenants ...string) {
	for _, tenant := range tenants {
		c.is(c.one(q, hiddenFor(anHour)).Body, tenant)
	}
}

var fairness = []Row{
	{Name: "AGroupIDComesBackFromAStandardQueue", Source: recorded("fair_queue_with_message_group_id"), run: func(c *trial) {
		q := c.queue()
		c.send(q, "a", inGroup("tenant"))
		m := c.one(q, withSystem("MessageGroupId"))
		c.thatf(m.Attributes["MessageGroupId"] == "tenant", "attributes are %v", m.Attributes)
	}},
	{Name: "AGroupDoesNotLockAStandardQueue", Source: guideFair, run: func(c *trial) {
		q := c.queue()
		c.send(q, "a", inGroup("tenant"))
		c.send(q, "b", inGroup("tenant"))
		c.one(q)
		c.one(q)
	}},
	{Name: "QuietTenantsGoBeforeANoisyOne", Source: guideNoise, run: func(c *trial) {
		c.exact(noiseIsEstimated)
		q := c.queue()
		c.tenant(q, "noisy", 40)
		c.holds(q, 30)
		c.tenant(q, "quiet", 2)
		c.from(q, "quiet", "quiet", "noisy")
	}},
	{Name: "TwentyNineInFlightAreNoNoise", Source: guideNoise, run: func(c *trial) {
		c.exact(noiseIsEstimated)
		q := c.queue()
		c.tenant(q, "many", 40)
		c.holds(q, 29)
		c.tenant(q, "few", 1)
		c.from(q, "many")
	}},
	{Name: "ATenthOfWhatIsInFlightIsNoNoise", Source: guideNoise, run: func(c *trial) {
		c.exact(noiseIsEstimated)
		q := c.queue()
		for i := range 10 {
			c.tenant(q, strconv.Itoa(i), 27)
		}
		c.tenant(q, "large", 40)
		c.holds(q, 300)
		c.tenant(q, "small", 1)
		c.from(q, "large") // which is 31 of 301
		c.from(q, "small")
	}},
	{Name: "ANoisyTenantIsNotLimited", Source: guideFair, run: func(c *trial) {
		c.exact(noiseIsEstimated)
		q := c.queue()
		c.tenant(q, "noisy", 100)
		c.holds(q, 100)
	}},
	{Name: "OfNoisyTenantsTheOneWithTheFewestInFlightGoesFirst", Source: guideNoise, run: func(c *trial) {
		c.exact(noiseIsEstimated)
		q := c.queue()
		c.tenant(q, "a", 40)
		c.holds(q, 40)
		c.tenant(q, "b", 30)
		c.holds(q, 30)
		c.tenant(q, "a", 2)
		c.tenant(q, "b", 2)
		c.from(q, "b", "b", "a")
	}},
	{Name: "ANoisyTenantIsNoisyUntilItsBacklogIsGone", Source: guideNoise, run: func(c *trial) {
		c.exact(noiseIsEstimated)
		q := c.queue()
		c.tenant(q, "noisy", 40)
		held := c.holds(q, 30)
		c.tenant(q, "quiet", 1)
		c.from(q, "quiet")
		for _, m := range held {
			c.remove(q, m)
		}
		c.tenant(q, "quiet", 1)
		c.from(q, "quiet", "noisy")
		c.holds(q, 9)
		c.tenant(q, "noisy", 1) // its backlog was gone, and it holds ten
		c.tenant(q, "quiet", 1)
		c.from(q, "noisy", "quiet")
	}},
	{Name: "FiveMinutesWithoutASendEndNoise", Source: guideNoise, Waits: 5*minute + second, run: func(c *trial) {
		c.exact(noiseIsEstimated)
		q := c.queue()
		c.tenant(q, "noisy", 40)
		c.holds(q, 30)
		c.tenant(q, "quiet", 1)
		c.from(q, "quiet")
		c.pause(5*minute + second)
		c.tenant(q, "quiet", 1)
		c.from(q, "noisy")
	}},
	{Name: "MessagesWithoutAGroupAreTenantsEach", Source: guideFair + ": the group is not required", run: func(c *trial) {
		c.exact(noiseIsEstimated)
		q := c.queue()
		c.tenant(q, noGroup, 40)
		c.holds(q, 35)
		c.tenant(q, "quiet", 1)
		c.from(q, noGroup)
	}},
}
