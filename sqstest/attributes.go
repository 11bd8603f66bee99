package sqstest

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// settings are a queue's attributes that can be set.
type settings struct {
	visibility    time.Duration
	delay         time.Duration
	retention     time.Duration
	wait          time.Duration
	maxBytes      int
	contentDedup  bool
	dedupPerGroup bool
	redrive       *redrive
	allow         *redriveAllow

	raw map[string]string // all of them as GetQueueAttributes tells them
}

// redriveAllow is a dead-letter queue's RedriveAllowPolicy.
type redriveAllow struct {
	Permission string   `json:"redrivePermission"`
	Sources    []string `json:"sourceQueueArns"`
}

// allows reports whether the queue of that ARN may use the policy's owner as its dead-letter queue.
func (a *redriveAllow) allows(arn string) bool {
	switch {
	case a == nil || a.Permission == "allowAll":
		return true
	case a.Permission == "byQueue":
		return slices.Contains(a.Sources, arn)
	}
	return false
}

// defaults are a new queue's attributes.
func defaults(fifo bool) settings {
	set := settings{
		visibility: seconds(defaultVisibility), retention: seconds(defaultRetention), maxBytes: maxMessageBytes,
		raw: map[string]string{
			"VisibilityTimeout": itoa(defaultVisibility), "MessageRetentionPeriod": itoa(defaultRetention),
			"MaximumMessageSize": itoa(maxMessageBytes), "DelaySeconds": "0", "ReceiveMessageWaitTimeSeconds": "0",
			"SqsManagedSseEnabled": "true",
		},
	}
	if fifo {
		maps.Copy(set.raw, map[string]string{
			"FifoQueue": "true", "ContentBasedDeduplication": "false",
			"DeduplicationScope": "queue", "FifoThroughputLimit": "perQueue",
		})
	}
	return set
}

// fifoOnly are the attributes a standard queue does not know.
var fifoOnly = []string{"FifoQueue", "ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit"}

// readOnly are the attributes GetQueueAttributes computes.
var readOnly = []string{
	"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed",
	"CreatedTimestamp", "LastModifiedTimestamp", "QueueArn",
}

// with returns the settings changed by attributes; set itself stays.
func (set settings) with(attributes map[string]string, fifo bool) (settings, error) {
	set.raw = maps.Clone(set.raw)
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		if !fifo && slices.Contains(fifoOnly, name) {
			return set, unknownAttribute(name)
		}
		if err := set.put(name, attributes[name], fifo); err != nil {
			return set, err
		}
	}
	return set, nil
}

// put sets one attribute. Values of "" take back those that can be without.
func (set *settings) put(name, value string, fifo bool) error {
	known, ok := set.putNumber(name, value)
	if !known {
		known, ok = set.putText(name, value, fifo)
	}
	if !known {
		return unknownAttribute(name)
	}
	if !ok {
		return notAllowed(name, value)
	}
	set.raw[name] = set.told(name, value)
	if value == "" {
		delete(set.raw, name)
	}
	return nil
}

// notAllowed is the error for a value that an attribute cannot have.
func notAllowed(name, value string) error {
	switch name {
	case "RedrivePolicy": // the one attribute whose mistakes have another code
		_, reason := parseRedrive(value)
		return invalidValue(value, name, reason)
	case "FifoQueue":
		return invalidAttribute(name, " Reason: Modifying queue type is not supported.")
	}
	return invalidAttribute(name, "")
}

// told returns how a valid value is told, which may not be as it was given.
func (set *settings) told(name, value string) string {
	switch name {
	case "FifoQueue", "ContentBasedDeduplication", "SqsManagedSseEnabled":
		return strings.ToLower(value) // str(True) in Python is "True"
	case "RedrivePolicy":
		return set.redrive.String()
	case "VisibilityTimeout", "DelaySeconds", "MessageRetentionPeriod", "ReceiveMessageWaitTimeSeconds", "KmsDataKeyReusePeriodSeconds", "MaximumMessageSize":
		n, _ := strconv.Atoi(value) // valid
		return itoa(n)
	}
	return value
}

// putNumber sets an attribute that is a number.
func (set *settings) putNumber(name, value string) (known, ok bool) {
	switch name {
	case "VisibilityTimeout":
		return true, readSeconds(&set.visibility, value, 0, maxVisibility)
	case "DelaySeconds":
		return true, readSeconds(&set.delay, value, 0, maxDelay)
	case "MessageRetentionPeriod":
		return true, readSeconds(&set.retention, value, minRetention, maxRetention)
	case "ReceiveMessageWaitTimeSeconds":
		return true, readSeconds(&set.wait, value, 0, maxWait)
	case "KmsDataKeyReusePeriodSeconds":
		return true, readSeconds(new(time.Duration), value, 60, 86_400)
	case "MaximumMessageSize":
		return true, readInt(&set.maxBytes, value, minMessageBytes, maxMessageBytes)
	}
	return false, false
}

// putText sets an attribute that is none.
func (set *settings) putText(name, value string, fifo bool) (known, ok bool) {
	ok = true
	switch name {
	case "FifoQueue":
		ok = fifo && isTrue(value)
	case "ContentBasedDeduplication":
		ok = readBool(&set.contentDedup, value)
	case "DeduplicationScope":
		set.dedupPerGroup = value == "messageGroup"
		ok = value == "queue" || set.dedupPerGroup
	case "FifoThroughputLimit":
		ok = value == "perQueue" || value == "perMessageGroupId"
	case "SqsManagedSseEnabled":
		ok = readBool(new(bool), value)
	case "RedrivePolicy":
		var reason string
		set.redrive, reason = parseRedrive(value)
		ok = reason == ""
	case "RedriveAllowPolicy":
		set.allow, ok = parseAllow(value)
	case "Policy":
		ok = value == "" || json.Valid([]byte(value))
	case "KmsMasterKeyId":
	default:
		return false, false
	}
	return true, ok
}

func readInt(to *int, value string, lo, hi int) bool {
	n, err := strconv.Atoi(value)
	if err != nil || n < lo || n > hi {
		return false
	}
	*to = n
	return true
}

func readSeconds(to *time.Duration, value string, lo, hi int) bool {
	var n int
	if !readInt(&n, value, lo, hi) {
		return false
	}
	*to = seconds(n)
	return true
}

func readBool(to *bool, value string) bool {
	*to = isTrue(value)
	return *to || strings.EqualFold(value, "false")
}

// isTrue reports whether a flag is set. Flags are taken in any case.
func isTrue(value string) bool { return strings.EqualFold(value, "true") }

func parseAllow(policy string) (*redriveAllow, bool) {
	if policy == "" {
		return nil, true
	}
	var a redriveAllow
	if json.Unmarshal([]byte(policy), &a) != nil {
		return nil, false
	}
	switch a.Permission {
	case "allowAll", "denyAll":
		return &a, len(a.Sources) == 0
	case "byQueue":
		return &a, len(a.Sources) > 0 && len(a.Sources) <= 10
	}
	return nil, false
}

// checkRedrive holds a queue's RedrivePolicy to the rules that need other queues: the dead-letter queue exists in the
// same region and account, is of the same type, and lets itself be used.
func (s *Server) checkRedrive(key queueKey, set settings) error {
	if set.redrive == nil {
		return nil
	}
	if there, ok := parseARN(set.redrive.target); ok && there.account != key.account {
		return invalidValue(set.raw["RedrivePolicy"], "RedrivePolicy", "Dead-letter target owner should be same as the source.")
	}
	target := s.lookup(set.redrive.target, key.place)
	if target == nil || target.arn != set.redrive.target || target.place != key.place {
		return invalidValue(set.raw["RedrivePolicy"], "RedrivePolicy", "Dead letter target does not exist.")
	}
	if target.fifo != isFIFO(key.name) {
		return invalidValue(set.raw["RedrivePolicy"], "RedrivePolicy", "Dead-letter queue must be same type of queue as the source.")
	}
	now := target.lock()
	allow := target.allow
	target.unlock(now)
	if !allow.allows(key.arn()) {
		return invalidValue(set.raw["RedrivePolicy"], "RedrivePolicy", "Queue "+set.redrive.target+" does not allow this queue as a redrive source.")
	}
	return nil
}

// attribute returns one attribute as GetQueueAttributes answers it; "" when the queue has none of that name.
func (q *queue) attribute(name string) string {
	switch name {
	case "ApproximateNumberOfMessages":
		return itoa(len(q.messages) - q.hidden.n)
	case "ApproximateNumberOfMessagesNotVisible":
		return itoa(q.flights)
	case "ApproximateNumberOfMessagesDelayed":
		return itoa(q.hidden.n - q.flights)
	case "CreatedTimestamp":
		return strconv.FormatInt(q.born/int64(time.Second), 10)
	case "LastModifiedTimestamp":
		return strconv.FormatInt(q.changed/int64(time.Second), 10)
	case "QueueArn":
		return q.arn
	}
	return q.raw[name]
}

// attributes returns those asked for.
func (q *queue) attributes(names []types.QueueAttributeName) (map[string]string, error) {
	known := types.QueueAttributeNameAll.Values()
	asked := map[string]bool{}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, unknownAttribute(string(name))
		}
		if name != types.QueueAttributeNameAll {
			asked[string(name)] = true
			continue
		}
		for name := range q.raw {
			asked[name] = true
		}
		for _, name := range readOnly {
			asked[name] = true
		}
	}
	out := map[string]string{}
	for name := range asked {
		if value := q.attribute(name); value != "" {
			out[name] = value
		}
	}
	return out, nil
}

// set puts new settings in force. A FIFO queue's delay also holds for what it has and nobody received yet.
func (q *queue) set(to settings, now int64) {
	again := q.fifo && to.delay != q.delay
	q.settings, q.changed = to, now
	if !again {
		return
	}
	for _, n := range slices.Sorted(maps.Keys(q.messages)) {
		m := q.messages[n]
		if m.receipt > 0 {
			continue
		}
		q.delayUntil(m, m.sent+int64(q.delay), now)
	}
}

// delayUntil hides m, never received, until then.
func (q *queue) delayUntil(m *message, until, now int64) {
	q.show(m)
	if until <= now {
		return
	}
	q.line.hide(m)
	m.state, m.until = delayed, until
	q.hidden.add(&m.place, until)
}
