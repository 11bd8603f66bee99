package server

import (
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice/sqstest"
)

// tail is what a slow call takes more than others.
const tail = 500 * time.Millisecond

const maxReceive = 10 // messages

// world are the options of the embedded queue that the setup asks for. Latencies are not among
// them: the pacer keeps them, more exactly.
func (r *run) world() []sqstest.Option {
	options := []sqstest.Option{
		sqstest.BaseURL(r.endpoint), sqstest.Seed(r.chance.number()), sqstest.Servers(r.setup.Servers),
		sqstest.LargeAnswerDelay(0), // the latency is the setup's
	}
	if len(r.setup.Answers) > 0 || r.setup.Empty > 0 {
		began := time.Now()
		options = append(options, sqstest.AnswerSize(func(random *rand.Rand) int {
			return r.setup.size(time.Since(began), random)
		}))
	}
	return options
}

// size is how many messages an answer has at most, that long after the start; 0: it is empty.
func (s *Setup) size(since time.Duration, random *rand.Rand) int {
	if random.Float64() < s.Empty {
		return 0
	}
	if len(s.Answers) == 0 {
		return maxReceive
	}
	a := s.Answers[0]
	if s.Turn > 0 {
		a = s.Answers[int(since/s.Turn)%len(s.Answers)]
	}
	return a.Least + random.IntN(a.Most-a.Least+1)
}

// delay is what calls take.
func (s *Setup) delay() sqstest.Delay {
	d := sqstest.FixedDelay(s.Latency)
	if s.Sigma > 0 {
		d = sqstest.LognormalDelay(s.Latency, s.Sigma)
	}
	if s.Tails {
		d = d.WithTails(share, tail)
	}
	return d
}

// load sends what the phases say, and notes what each leaves.
func (r *run) load() {
	for _, p := range r.setup.Load {
		r.phase(p)
		if r.ctx.Err() != nil {
			return
		}
		r.meter.leaves(r.visible())
	}
}

func (r *run) phase(p Phase) {
	end := time.Now().Add(p.For)
	if p.Down {
		defer r.down()()
	}
	if p.Burst > 0 {
		r.fill(p.Burst, r.stamped())
	}
	if p.Rate > 0 {
		r.trickle(p.Rate, end)
	}
	select {
	case <-time.After(time.Until(end)):
	case <-r.ctx.Done():
	}
}

// visible is how many messages could be received now.
func (r *run) visible() int {
	out, err := r.queues.GetQueueAttributes(r.ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &r.url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameApproximateNumberOfMessages},
	})
	if err != nil {
		return 0 // the run is over
	}
	n, _ := strconv.Atoi(out.Attributes[string(types.QueueAttributeNameApproximateNumberOfMessages)]) // a number, always
	return n
}

// chance is what a run draws its random numbers from.
type chance struct {
	mu     sync.Mutex // guards random
	random *rand.Rand
}

// What numbers are for: each purpose has its own, so that the load is the same whatever calls are made.
const (
	forCalls uint64 = iota
	forLoad
)

// newChance returns the numbers of a seed for a purpose; a seed of 0 has others each time.
func newChance(seed, purpose uint64) *chance {
	if seed == 0 {
		seed = rand.Uint64()
	}
	return &chance{random: rand.New(rand.NewPCG(seed, purpose))}
}

func (c *chance) number() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.random.Uint64()
}

// below reports whether something happens that happens with probability p.
func (c *chance) below(p float64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.random.Float64() < p
}

// latency is what d says for a call.
func (c *chance) latency(d sqstest.Delay, op string) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return d(op, c.random)
}

// exponential is a number of the exponential distribution, with mean 1.
func (c *chance) exponential() float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.random.ExpFloat64()
}
