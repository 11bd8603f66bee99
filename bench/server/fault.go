package server

import (
	"fmt"
	"slices"
	"time"

	"github.com/sluice-go/sluice/sqstest"
)

// Faults that a [Setup] can ask for.
const (
	Errors   = "errors"    // 2 % of the consumer's calls are answered with HTTP 500
	Throttle = "throttles" // 2 % are throttled
	Outage   = "outage"    // from 1 s to 2 s after the first mark every call is answered with HTTP 503
)

const share = 0.02

// consumed are the calls of consumers; faults strike no others.
var consumed = []string{opReceive, opDelete, opDeleteBatch, "ChangeMessageVisibility", "ChangeMessageVisibilityBatch"}

// inject makes calls fail as the setup says.
func (r *run) inject() error {
	sometimes := func(c sqstest.Call) bool { return slices.Contains(consumed, c.Op) && r.chance.below(share) }
	switch r.setup.Fault {
	case "", Outage:
	case Errors:
		r.queues.Inject(sqstest.Fault{Err: sqstest.InternalError(), Match: sometimes})
	case Throttle:
		r.queues.Inject(sqstest.Fault{Err: sqstest.Throttled(), Match: sometimes})
	default:
		return fmt.Errorf("the fault is %q, want %q, %q or %q", r.setup.Fault, Errors, Throttle, Outage)
	}
	return nil
}

// outage is a second without service, a second after the first mark.
func (r *run) outage() {
	r.pacer.sleep(time.Second)
	end := r.down()
	r.pacer.sleep(time.Second)
	end()
}

// down makes every call of consumers fail until end is called.
func (r *run) down() (end func()) {
	return r.queues.Inject(sqstest.Fault{
		Err:   sqstest.Unavailable(),
		Match: func(c sqstest.Call) bool { return slices.Contains(consumed, c.Op) },
	})
}
