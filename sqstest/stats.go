package sqstest

import (
	"maps"
	"slices"
	"sync/atomic"
	"time"
)

// opcode numbers the operations.
type opcode int

const (
	opAddPermission opcode = iota
	opCancelMessageMoveTask
	opChangeMessageVisibility
	opChangeMessageVisibilityBatch
	opCreateQueue
	opDeleteMessage
	opDeleteMessageBatch
	opDeleteQueue
	opGetQueueAttributes
	opGetQueueURL
	opListDeadLetterSourceQueues
	opListMessageMoveTasks
	opListQueueTags
	opListQueues
	opPurgeQueue
	opReceiveMessage
	opRemovePermission
	opSendMessage
	opSendMessageBatch
	opSetQueueAttributes
	opStartMessageMoveTask
	opTagQueue
	opUntagQueue
	numOps
)

var opNames = [numOps]string{
	"AddPermission", "CancelMessageMoveTask", "ChangeMessageVisibility", "ChangeMessageVisibilityBatch", "CreateQueue",
	"DeleteMessage", "DeleteMessageBatch", "DeleteQueue", "GetQueueAttributes", "GetQueueUrl",
	"ListDeadLetterSourceQueues", "ListMessageMoveTasks", "ListQueueTags", "ListQueues", "PurgeQueue",
	"ReceiveMessage", "RemovePermission", "SendMessage", "SendMessageBatch", "SetQueueAttributes",
	"StartMessageMoveTask", "TagQueue", "UntagQueue",
}

func (op opcode) String() string { return opNames[op] }

type callCount struct{ started, failed atomic.Int64 }

// Stats is what an account has counted since it was made.
type Stats struct {
	Calls  map[string]CallStats  // by operation, those called at least once
	Total  QueueStats            // over all queues, deleted ones included
	Queues map[string]QueueStats // by name, or by ARN if they are not in the region and account of method calls; queues that had the same name one after the other are counted together
}

// CallStats counts the calls of one operation. A call in progress has started only.
type CallStats struct {
	Started int
	Failed  int // with an error for the whole call, injected ones included
}

// QueueStats counts what happened to the messages of one queue.
type QueueStats struct {
	Sent          int // accepted and not a duplicate of a FIFO queue
	Duplicates    int // sends a FIFO queue recognised as such
	Deliveries    int // messages in answers to receives
	Distinct      int // of those, the first delivery of a message from this queue
	Deleted       int // messages deletes have removed; a delete that found nothing is not counted
	Expired       int // dropped at the end of their retention
	Purged        int
	DeadLettered  int // moved to the dead-letter queue
	EmptyReceives int // receives answered with nothing
}

// Redeliveries is the number of deliveries beyond each message's first.
func (s QueueStats) Redeliveries() int { return s.Deliveries - s.Distinct }

func (s QueueStats) plus(o QueueStats) QueueStats {
	s.Sent += o.Sent
	s.Duplicates += o.Duplicates
	s.Deliveries += o.Deliveries
	s.Distinct += o.Distinct
	s.Deleted += o.Deleted
	s.Expired += o.Expired
	s.Purged += o.Purged
	s.DeadLettered += o.DeadLettered
	s.EmptyReceives += o.EmptyReceives
	return s
}

// Stats returns the counts so far.
func (s *Server) Stats() Stats {
	st := Stats{Calls: map[string]CallStats{}, Queues: map[string]QueueStats{}}
	for op := range numOps {
		if n := s.calls[op].started.Load(); n > 0 {
			st.Calls[op.String()] = CallStats{Started: int(n), Failed: int(s.calls[op].failed.Load())}
		}
	}
	queues := s.all()
	s.mu.RLock()
	maps.Copy(st.Queues, s.past)
	s.mu.RUnlock()
	for _, q := range queues {
		now := q.lock()
		if !q.gone {
			st.Queues[q.label] = st.Queues[q.label].plus(q.stats)
		}
		q.unlock(now)
	}
	for _, one := range st.Queues {
		st.Total = st.Total.plus(one)
	}
	return st
}

// Delivery is one message in one answer to a receive.
type Delivery struct {
	MessageID     string
	At            time.Time
	ReceiveCount  int // the message's ApproximateReceiveCount then
	ReceiptHandle string
	Until         time.Time // the end of the visibility timeout it was delivered with
}

// historySize is how many deliveries of a queue are remembered.
const historySize = 1 << 14

// Deliveries returns the deliveries of a message from a queue (name, URL or ARN), the oldest first, also after its delete.
// Only the last 16,384 deliveries of a queue are remembered; [Server.Observe] sees all. An empty id means every message.
func (s *Server) Deliveries(queue, messageID string) []Delivery {
	q, now, err := s.open(near(queue), &queue)
	if err != nil {
		return nil
	}
	defer q.unlock(now)
	var list []Delivery
	for _, d := range q.history {
		if messageID == "" || d.MessageID == messageID {
			list = append(list, d)
		}
	}
	slices.SortStableFunc(list, func(a, b Delivery) int { return a.At.Compare(b.At) })
	return list
}

// remember writes a delivery down, in the place of the oldest when there are many.
func (q *queue) remember(d Delivery) {
	if len(q.history) < historySize {
		q.history = append(q.history, d)
		return
	}
	q.history[q.stats.Deliveries%historySize] = d
}

// MessageState is where a message is.
type MessageState string

// The states of a message.
const (
	Visible  MessageState = "visible" // receivable, unless an earlier message of its FIFO group is not
	InFlight MessageState = "in flight"
	Delayed  MessageState = "delayed"
)

// Snapshot is one message as it is in a queue, for a test to look at.
type Snapshot struct {
	ID           string
	Body         string
	GroupID      string // MessageGroupId, if any
	State        MessageState
	Until        time.Time // end of the visibility timeout or of the delay; zero when visible
	SentAt       time.Time
	ReceiveCount int
}

// Messages returns what is in a queue (name, URL or ARN), in the order of sending. A queue that does not exist has nothing.
func (s *Server) Messages(queue string) []Snapshot {
	q, now, err := s.open(near(queue), &queue)
	if err != nil {
		return nil
	}
	defer q.unlock(now)
	list := make([]Snapshot, 0, len(q.messages))
	for _, n := range slices.Sorted(maps.Keys(q.messages)) {
		list = append(list, q.messages[n].snapshot())
	}
	return list
}

func (m *message) snapshot() Snapshot {
	s := Snapshot{
		ID: m.id, Body: m.body, GroupID: m.group, State: Visible,
		SentAt: time.Unix(0, m.sent), ReceiveCount: m.count,
	}
	if m.state == visible {
		return s
	}
	s.State, s.Until = InFlight, time.Unix(0, m.until)
	if m.state == delayed {
		s.State = Delayed
	}
	return s
}
