package sqstest

import (
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

// Latency lets each call take the time that d returns for it: half of it before the effect, for the way of the request,
// and half after it, for the way of the answer. A long poll waits for messages in between. A call whose context ends on
// the way there has no effect; one whose context ends on the way back has lost its answer. Without it, or with nil, calls
// take no time.
//
// [Server.Send] is such a call as well. Over HTTP this comes on top of what the network takes.
func Latency(d Delay) Option { return func(s *Server) { s.latency = d } }

// A Delay returns how long a call of an operation ("ReceiveMessage") takes, there and back. Less than 0 is 0.
//
// Each operation has a generator of its own, which comes from the [Seed]: its n-th call takes the n-th time that is drawn
// from it. A Delay is called by one call of an operation at a time. It may read the clock, for a latency that changes. It
// must not call the server.
type Delay func(op string, r *rand.Rand) time.Duration

// FixedDelay returns a Delay that is always d.
func FixedDelay(d time.Duration) Delay {
	return func(string, *rand.Rand) time.Duration { return d }
}

// LognormalDelay returns a Delay whose logarithm is normally distributed with the standard deviation sigma, as those of
// real networks nearly are. Half of the calls take less than median. With a sigma of 0.4 one in 40 takes more than 2.2
// times the median, with 0.8 more than 4.8 times.
func LognormalDelay(median time.Duration, sigma float64) Delay {
	return func(_ string, r *rand.Rand) time.Duration {
		return time.Duration(float64(median) * math.Exp(sigma*r.NormFloat64()))
	}
}

// WithTails returns a Delay that is longer than d by more for a share of the calls, from 0 to 1, at random.
func (d Delay) WithTails(share float64, more time.Duration) Delay {
	return func(op string, r *rand.Rand) time.Duration {
		tail := time.Duration(0)
		if r.Float64() < share {
			tail = more
		}
		return d(op, r) + tail
	}
}

// travels are the draws of the latencies of one operation.
type travels struct {
	mu    sync.Mutex // guards rand, and is held while the Delay is called
	draws *rand.Rand
}

// travelTime draws how long a call takes.
func (s *Server) travelTime(op opcode) time.Duration {
	if s.latency == nil {
		return 0
	}
	t := &s.travels[op]
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.draws == nil {
		t.draws = s.generator(forLatency, uint64(op))
	}
	return max(0, s.latency(op.String(), t.draws))
}
