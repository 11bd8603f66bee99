package sqstest

import (
	"context"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// States of a message move task.
const (
	taskRunning   = "RUNNING"
	taskCompleted = "COMPLETED"
	taskCancelled = "CANCELLED"
	taskFailed    = "FAILED"
)

// moves are the account's message move tasks. Nothing runs: whoever calls the server brings them up to what the time
// since their start has earned them.
type moves struct {
	at atomic.Int64 // when the next message is due; MaxInt64: no task is running

	mu   sync.Mutex // guards the rest; queues are locked inside it
	list []*moveTask
}

// moveTask moves messages out of a dead-letter queue, rate by the second.
type moveTask struct {
	handle      string
	source      *queue
	destination string // ARN; "": each message back to the queue it came from
	rate        int64
	rateGiven   *int32
	started     int64
	total       int64 // visible messages in the source at the start
	moved       int64
	status      string
	reason      string // why it failed
}

// due is when the task moves its next message.
func (t *moveTask) due() int64 {
	return t.started + (t.moved+1)*int64(time.Second)/t.rate
}

// nextMove returns when a message move task moves its next message; MaxInt64 for never.
func (s *Server) nextMove() int64 { return s.moves.at.Load() }

// advance lets the message move tasks do what they should have done by now. No queue is locked by the caller.
func (s *Server) advance() {
	if s.moves.at.Load() == math.MaxInt64 {
		return
	}
	s.moves.mu.Lock()
	events := s.catchUp()
	s.moves.mu.Unlock()
	s.tell(events)
}

// catchUp is advance under the lock of the tasks; the caller tells the events without it.
func (s *Server) catchUp() (events []Event) {
	now := time.Now().UnixNano()
	next := int64(math.MaxInt64)
	for _, t := range s.moves.list {
		for t.status == taskRunning && (t.due() <= now || t.moved >= t.total) {
			events = append(events, s.step(t)...)
		}
		if t.status == taskRunning {
			next = min(next, t.due())
		}
	}
	s.moves.at.Store(next)
	return events
}

// step moves one message, or ends the task.
func (s *Server) step(t *moveTask) []Event {
	if t.moved >= t.total {
		t.status = taskCompleted
		return nil
	}
	now := t.source.lock()
	t.status, t.reason = taskCompleted, "" // unless there is one: the rest was taken by others
	if t.source.gone {
		t.status, t.reason = taskFailed, legacyPrefix+"NonExistentQueue"
	}
	for m := range t.source.line.deliverable {
		to := s.lookup(t.target(m), t.source.place)
		if t.reason = t.obstacle(m, to); t.reason != "" {
			t.status = taskFailed
			break
		}
		t.status = taskRunning
		t.source.repost(m, to, now)
		t.moved++
		break
	}
	return t.source.release(now)
}

func (t *moveTask) target(m *message) string {
	if t.destination != "" {
		return t.destination
	}
	return m.origin
}

// obstacle says why m cannot be moved to the queue; "" when it can.
func (t *moveTask) obstacle(m *message, to *queue) string {
	switch {
	case t.target(m) == "":
		return "CouldNotDetermineMessageSource"
	case to == nil:
		return legacyPrefix + "NonExistentQueue"
	}
	return ""
}

// repost posts m to another queue as a new message: its retention and its receive count begin anew, and so does its id
// ("all redriven messages are considered new messages with a new messageID and enqueueTime", developer guide).
func (q *queue) repost(m *message, to *queue, now int64) {
	q.note(Moved, m, now)
	moved := *m
	q.leave(m)
	moved.id, moved.sent = q.newID(), now
	moved.origin, moved.count, moved.first = "", 0, 0
	q.outbox = append(q.outbox, parcel{to.posted(&moved, now), to})
}

// StartMessageMoveTask begins to move the visible messages of a dead-letter queue to DestinationArn, or back to where
// they came from. Without a rate it is 500 messages per second.
func (s *Server) StartMessageMoveTask(ctx context.Context, in *sqs.StartMessageMoveTaskInput, _ ...func(*sqs.Options)) (*sqs.StartMessageMoveTaskOutput, error) {
	return perform(ctx, s, opStartMessageMoveTask, nil, in, func(in *sqs.StartMessageMoveTaskInput, hit struck) (*sqs.StartMessageMoveTaskOutput, error) {
		s.advance()
		source, err := s.checkMove(ctx, in)
		if err != nil {
			return nil, err
		}
		t, err := s.startMove(in, source, hit)
		if err != nil {
			return nil, err
		}
		s.advance()
		for _, q := range s.all() {
			q.unlock(q.lock()) // who waits there learns when the next message comes
		}
		return &sqs.StartMessageMoveTaskOutput{TaskHandle: &t.handle}, nil
	})
}

func (s *Server) startMove(in *sqs.StartMessageMoveTaskInput, source *queue, hit struck) (*moveTask, error) {
	s.moves.mu.Lock()
	defer s.moves.mu.Unlock()
	for _, t := range s.moves.list {
		if t.source == source && t.status == taskRunning {
			return nil, invalidParameter("There is already a task running. Only one active task is allowed for a source queue arn at a given time.")
		}
	}
	now := source.lock()
	t := &moveTask{
		handle: moveHandle(source.newID(), source.arn), source: source, destination: text(in.DestinationArn),
		rate: maxMoveRate, rateGiven: in.MaxNumberOfMessagesPerSecond, started: now,
		total: int64(len(source.messages) - source.hidden.n), status: taskRunning,
	}
	source.unlock(now)
	if t.rateGiven != nil {
		t.rate = int64(*t.rateGiven)
	}
	if !hit.noEffect() {
		s.moves.list = append(s.moves.list, t)
		s.moves.at.Store(0) // the next to call advance finds out
	}
	return t, nil
}

func moveHandle(id, arn string) string { return "task-" + id + "@" + nameOf(arn) }

// checkMove holds a task to the rules and returns its source.
func (s *Server) checkMove(ctx context.Context, in *sqs.StartMessageMoveTaskInput) (*queue, error) {
	source, destination := text(in.SourceArn), text(in.DestinationArn)
	if source == "" {
		return nil, missingParameter("SourceArn")
	}
	q := s.byARN(ctx, source)
	if q == nil {
		return nil, resourceNotFound("The resource that you specified for the SourceArn parameter doesn't exist.")
	}
	if rate := in.MaxNumberOfMessagesPerSecond; rate != nil && (*rate < 1 || *rate > maxMoveRate) {
		return nil, invalidValue(*rate, "MaxNumberOfMessagesPerSecond", "Must be between 1 and 500, if provided.")
	}
	if destination != "" {
		to := s.byARN(ctx, destination)
		if to == nil {
			return nil, resourceNotFound("The resource that you specified for the DestinationArn parameter doesn't exist.")
		}
		if to.fifo != q.fifo {
			return nil, invalidParameter("The source and destination queues must be of the same type.")
		}
		if to == q {
			return nil, invalidParameter("Source queue arn and destination queue arn cannot be the same.")
		}
	}
	if len(s.sourcesOf(source)) == 0 {
		return nil, invalidParameter("Source queue must be configured as a Dead Letter Queue.")
	}
	return q, nil
}

// byARN returns the queue of exactly that ARN, in the caller's own region and account.
func (s *Server) byARN(ctx context.Context, arn string) *queue {
	from := s.placeOf(ctx)
	if q := s.lookup(arn, from); q != nil && q.arn == arn && q.place == from {
		return q
	}
	return nil
}

// CancelMessageMoveTask ends a running task; what it has moved stays moved.
func (s *Server) CancelMessageMoveTask(ctx context.Context, in *sqs.CancelMessageMoveTaskInput, _ ...func(*sqs.Options)) (*sqs.CancelMessageMoveTaskOutput, error) {
	return perform(ctx, s, opCancelMessageMoveTask, nil, in, func(in *sqs.CancelMessageMoveTaskInput, hit struck) (*sqs.CancelMessageMoveTaskOutput, error) {
		handle := text(in.TaskHandle)
		if handle == "" {
			return nil, missingParameter("TaskHandle")
		}
		if !strings.HasPrefix(handle, "task-") {
			return nil, invalidParameter("Value for parameter TaskHandle is invalid.")
		}
		s.advance()
		s.moves.mu.Lock()
		defer s.moves.mu.Unlock()
		for _, t := range s.moves.list {
			if t.handle != handle || t.source.place != s.placeOf(ctx) || t.status != taskRunning {
				continue
			}
			if !hit.noEffect() {
				t.status = taskCancelled
				s.moves.at.Store(0) // the next to call advance finds out
			}
			return &sqs.CancelMessageMoveTaskOutput{ApproximateNumberOfMessagesMoved: t.moved}, nil
		}
		return nil, resourceNotFound("Task does not exist.")
	})
}

// ListMessageMoveTasks answers the tasks of a source queue, the newest first: one, or MaxResults, which is at most 10.
func (s *Server) ListMessageMoveTasks(ctx context.Context, in *sqs.ListMessageMoveTasksInput, _ ...func(*sqs.Options)) (*sqs.ListMessageMoveTasksOutput, error) {
	return perform(ctx, s, opListMessageMoveTasks, nil, in, func(in *sqs.ListMessageMoveTasksInput, _ struck) (*sqs.ListMessageMoveTasksOutput, error) {
		limit := 1
		switch {
		case text(in.SourceArn) == "":
			return nil, missingParameter("SourceArn")
		case in.MaxResults != nil && (*in.MaxResults < 1 || *in.MaxResults > maxTasksListed):
			return nil, invalidValue(*in.MaxResults, "MaxResults", "Must be between 1 and 10, if provided.")
		case in.MaxResults != nil:
			limit = int(*in.MaxResults)
		}
		s.advance()
		source := s.byARN(ctx, *in.SourceArn)
		if source == nil {
			return nil, resourceNotFound("The resource that you specified for the SourceArn parameter doesn't exist.")
		}
		s.moves.mu.Lock()
		defer s.moves.mu.Unlock()
		out := &sqs.ListMessageMoveTasksOutput{}
		for i := len(s.moves.list) - 1; i >= 0 && len(out.Results) < limit; i-- {
			if t := s.moves.list[i]; t.source == source {
				out.Results = append(out.Results, t.entry())
			}
		}
		return out, nil
	})
}

func (t *moveTask) entry() types.ListMessageMoveTasksResultEntry {
	e := types.ListMessageMoveTasksResultEntry{
		ApproximateNumberOfMessagesMoved: t.moved, ApproximateNumberOfMessagesToMove: &t.total,
		DestinationArn: optional(t.destination), MaxNumberOfMessagesPerSecond: t.rateGiven,
		SourceArn: &t.source.arn, StartedTimestamp: t.started / int64(time.Millisecond),
		Status: &t.status, FailureReason: optional(t.reason),
	}
	e.ApproximateNumberOfMessagesToMove = new(t.total)
	e.Status = new(t.status)
	if t.status == taskRunning {
		e.TaskHandle = new(t.handle)
	}
	return e
}
