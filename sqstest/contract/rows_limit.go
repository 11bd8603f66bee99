package contract

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

const apiInFlight = apiReceive + ", in-flight quota; developer guide, standard and FIFO queue quotas"

var inFlight = []Row{
	{Name: "AShortPollBeyondTheLimitIsRefused", Source: apiInFlight, run: func(c *trial) {
		limit := c.reachable()
		q := c.queue()
		c.tenant(q, noGroup, limit+1)
		c.holds(q, limit)
		_, err := c.tryTake(q, 1, wait(0))
		c.refused(err, "OverLimit", "")
		c.typed(err, new(*types.OverLimit))
	}},
	{Name: "ALongPollBeyondTheLimitGetsNothing", Source: apiInFlight, Waits: 2 * second, run: func(c *trial) {
		limit := c.reachable()
		q := c.queue()
		c.tenant(q, noGroup, limit+1)
		c.holds(q, limit)
		begin := time.Now()
		ms := c.take(q, 1, wait(1))
		c.thatf(len(ms) == 0, "received %v", bodies(ms))
		c.thatf(time.Since(begin) >= second, "ended after %v", time.Since(begin))
		c.counts(q, 1, limit, 0)
	}},
	{Name: "ADeleteBelowTheLimitWakesPolls", Source: apiInFlight, run: func(c *trial) {
		limit := c.reachable()
		q := c.queue()
		c.tenant(q, noGroup, limit+1)
		held := c.holds(q, limit)
		poll := c.poll(q, 5)
		c.pause(second / 2)
		c.remove(q, held[0])
		c.wakes(poll, noGroup)
	}},
	{Name: "AFIFOQueueBeyondTheLimitGivesNothing", Source: apiInFlight, Waits: 2 * second, run: func(c *trial) {
		limit := c.reachable()
		q := c.fifo()
		c.crowd(q, limit+1)
		c.holds(q, limit)
		ms := c.take(q, 1)
		c.thatf(len(ms) == 0, "received %v", bodies(ms))
		ms = c.take(q, 1, wait(1))
		c.thatf(len(ms) == 0, "received %v", bodies(ms))
		c.counts(q, 1, limit, 0)
	}},
}
