package sqstest

import (
	"encoding/json"
	"strconv"
)

// redrive is a queue's RedrivePolicy.
type redrive struct {
	target string // ARN of the dead-letter queue
	max    int    // receives before a message goes there
}

// exhausted returns the dead-letter queue m has to go to instead of being delivered once more; nil to deliver it.
func (q *queue) exhausted(m *message) *queue {
	if q.redrive == nil || m.here < q.redrive.max {
		return nil
	}
	to := q.s.lookup(q.redrive.target, q.place)
	if to == q {
		return nil
	}
	return to // nil when it was deleted: the message stays in circulation
}

// bury sends m to the dead-letter queue. It happens on a receive, not when the timeout ends; the receive count, the id
// and the attributes go with it, and on a standard queue the time of sending.
func (q *queue) bury(m *message, to *queue, now int64) {
	q.stats.DeadLettered++
	q.note(DeadLettered, m, now)
	moved := *m // the queue's own may still be known to a receive's attempt
	q.leave(m)
	moved.origin = q.arn
	q.outbox = append(q.outbox, parcel{to.posted(&moved, now), to})
}

// posted makes m a message on its way to q.
func (q *queue) posted(m *message, now int64) *message {
	m.place, m.age = entry[*message]{}, entry[*message]{}
	m.before, m.behind = nil, nil
	if q.fifo {
		m.sent = now
		m.dedupID = m.id
	}
	return m
}

// parseRedrive reads a RedrivePolicy; "" means none.
func parseRedrive(policy string) (*redrive, bool) {
	if policy == "" {
		return nil, true
	}
	var p struct {
		Target string `json:"deadLetterTargetArn"`
		Max    any    `json:"maxReceiveCount"` // AWS takes a number and a string
	}
	if json.Unmarshal([]byte(policy), &p) != nil || p.Target == "" {
		return nil, false
	}
	n := 0
	switch v := p.Max.(type) {
	case float64:
		n = int(v)
	case string:
		n, _ = strconv.Atoi(v)
	}
	if n < 1 || n > maxReceiveCount {
		return nil, false
	}
	return &redrive{p.Target, n}, true
}

// maxReceiveCount is the largest value of maxReceiveCount in a RedrivePolicy.
const maxReceiveCount = 1_000

func itoa(n int) string { return strconv.Itoa(n) }
