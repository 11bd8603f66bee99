package sqstest

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
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

// parseRedrive reads a RedrivePolicy; "" means none. The reason, if any, is why it is none, in the service's words.
func parseRedrive(policy string) (r *redrive, reason string) {
	if policy == "" {
		return nil, ""
	}
	var fields map[string]json.RawMessage // and not a struct: names are in their own case
	if json.Unmarshal([]byte(policy), &fields) != nil || fields == nil {
		return nil, "Redrive policy is not a valid JSON map."
	}
	for _, name := range []string{redriveCount, redriveTarget} {
		if fields[name] == nil {
			return nil, "Redrive policy does not contain mandatory attribute: " + name + "."
		}
	}
	count := strings.Trim(string(fields[redriveCount]), `"`) // a number, or one in quotes
	n, err := strconv.ParseFloat(count, 64)                  // 3.0 is a number of receives, too
	if err != nil || n < 1 || n > maxReceiveCount || n != math.Trunc(n) {
		return nil, "Invalid value for maxReceiveCount: " + count + ", valid values are from 1 to 1000 both inclusive."
	}
	var target string
	if json.Unmarshal(fields[redriveTarget], &target) != nil || target == "" {
		return nil, "Invalid value for deadLetterTargetArn."
	}
	return &redrive{target, int(n)}, ""
}

// The fields of a RedrivePolicy.
const (
	redriveTarget = "deadLetterTargetArn"
	redriveCount  = "maxReceiveCount"
)

// String returns the policy as GetQueueAttributes tells it, its count as a number; "" for none.
func (r *redrive) String() string {
	if r == nil {
		return ""
	}
	policy := appendString([]byte(`{"`+redriveTarget+`":`), r.target)
	policy = strconv.AppendInt(append(policy, `,"`+redriveCount+`":`...), int64(r.max), 10)
	return string(append(policy, '}'))
}

// maxReceiveCount is the largest value of maxReceiveCount in a RedrivePolicy.
const maxReceiveCount = 1_000

func itoa(n int) string { return strconv.Itoa(n) }
