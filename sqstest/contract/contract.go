// Package contract is the behaviour of Amazon SQS as a table: each row is one documented or recorded
// fact, its source, and the few calls that show it. [Run] tries every row on a target: the embedded
// queue, its HTTP face, or any other server that speaks SQS.
package contract

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// API are the calls of SQS that the rows make. [*sqs.Client] and *sqstest.Server have them.
type API interface {
	AddPermission(context.Context, *sqs.AddPermissionInput, ...func(*sqs.Options)) (*sqs.AddPermissionOutput, error)
	CancelMessageMoveTask(context.Context, *sqs.CancelMessageMoveTaskInput, ...func(*sqs.Options)) (*sqs.CancelMessageMoveTaskOutput, error)
	ChangeMessageVisibility(context.Context, *sqs.ChangeMessageVisibilityInput, ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityOutput, error)
	ChangeMessageVisibilityBatch(context.Context, *sqs.ChangeMessageVisibilityBatchInput, ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error)
	CreateQueue(context.Context, *sqs.CreateQueueInput, ...func(*sqs.Options)) (*sqs.CreateQueueOutput, error)
	DeleteMessage(context.Context, *sqs.DeleteMessageInput, ...func(*sqs.Options)) (*sqs.DeleteMessageOutput, error)
	DeleteMessageBatch(context.Context, *sqs.DeleteMessageBatchInput, ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error)
	DeleteQueue(context.Context, *sqs.DeleteQueueInput, ...func(*sqs.Options)) (*sqs.DeleteQueueOutput, error)
	GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput, ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error)
	GetQueueUrl(context.Context, *sqs.GetQueueUrlInput, ...func(*sqs.Options)) (*sqs.GetQueueUrlOutput, error)
	ListDeadLetterSourceQueues(context.Context, *sqs.ListDeadLetterSourceQueuesInput, ...func(*sqs.Options)) (*sqs.ListDeadLetterSourceQueuesOutput, error)
	ListMessageMoveTasks(context.Context, *sqs.ListMessageMoveTasksInput, ...func(*sqs.Options)) (*sqs.ListMessageMoveTasksOutput, error)
	ListQueueTags(context.Context, *sqs.ListQueueTagsInput, ...func(*sqs.Options)) (*sqs.ListQueueTagsOutput, error)
	ListQueues(context.Context, *sqs.ListQueuesInput, ...func(*sqs.Options)) (*sqs.ListQueuesOutput, error)
	PurgeQueue(context.Context, *sqs.PurgeQueueInput, ...func(*sqs.Options)) (*sqs.PurgeQueueOutput, error)
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	RemovePermission(context.Context, *sqs.RemovePermissionInput, ...func(*sqs.Options)) (*sqs.RemovePermissionOutput, error)
	SendMessage(context.Context, *sqs.SendMessageInput, ...func(*sqs.Options)) (*sqs.SendMessageOutput, error)
	SendMessageBatch(context.Context, *sqs.SendMessageBatchInput, ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error)
	SetQueueAttributes(context.Context, *sqs.SetQueueAttributesInput, ...func(*sqs.Options)) (*sqs.SetQueueAttributesOutput, error)
	StartMessageMoveTask(context.Context, *sqs.StartMessageMoveTaskInput, ...func(*sqs.Options)) (*sqs.StartMessageMoveTaskOutput, error)
	TagQueue(context.Context, *sqs.TagQueueInput, ...func(*sqs.Options)) (*sqs.TagQueueOutput, error)
	UntagQueue(context.Context, *sqs.UntagQueueInput, ...func(*sqs.Options)) (*sqs.UntagQueueOutput, error)
}

// Target is a service that should behave like SQS.
type Target struct {
	// New returns a client of the service. It is called once for each row, inside the row's bubble
	// if there is one. If it also has the method Inject of [sqstest.Server], the rows about errors
	// that cannot be provoked by a call are tried too.
	New func(t *testing.T) API
	// Bubble runs each row in a [testing/synctest] bubble, where waiting for hours costs nothing.
	// Everything New returns must then live in the bubble.
	Bubble bool
	// Patience is the longest that a row may wait in real time; rows that need more are skipped.
	// 0 means one second. It does not matter in bubbles.
	Patience time.Duration
	// InFlight is how many messages of one queue may be in flight on a service that can be told to
	// allow but a few, 400 or more. With 0 it is SQS's 120,000, and the rows that need to reach it are skipped.
	InFlight int
	// Sampling says that a short poll may miss messages, and that counters, the order of standard
	// queues and changed attributes are approximate for a while, as on AWS. Rows then poll for a
	// second, wait for counters, and are skipped where that is not enough; each says why.
	Sampling bool
	// Prefix is what the names of the queues begin with, at most 40 characters; "" means "contract-".
	Prefix string
	// Deviations are the rows that are known to fail on this target, each with its reason. One that
	// passes, or names no row, is an error: the list tells the truth or is shortened.
	Deviations map[string]string
}

// Row is one behaviour of SQS.
type Row struct {
	// Name is the claim, written as one word.
	Name string
	// Source is where the behaviour is documented or was recorded.
	Source string
	// Waits is the time the row needs at least, from its polls and pauses; 0 means at most a second.
	Waits time.Duration

	run func(c *trial)
}

// Rows returns the table.
func Rows() []Row {
	return slices.Concat(receiving, filtering, inFlight, fairness, visibility, deleting, batches(), sending, sizes, messageAttributes, delays,
		fifoOrder, fifoSends, fifoAttempts, redrive, moveTasks, queues, regions, attributeLimits(), missingQueue(), failures())
}

// Run tries every row on target, each in a subtest of its name.
func Run(t *testing.T, target Target) {
	t.Helper()
	rows := Rows()
	for name := range target.Deviations {
		if !slices.ContainsFunc(rows, func(r Row) bool { return r.Name == name }) {
			t.Errorf("the deviation %q names no row", name)
		}
	}
	for _, r := range rows {
		t.Run(r.Name, func(t *testing.T) {
			t.Parallel()
			r.test(t, target)
		})
	}
}

// rowTimeout ends a row on a server that does not answer. There is none in bubbles, where a hang is
// found by the bubble itself.
const rowTimeout = time.Minute

func (r Row) test(t *testing.T, target Target) {
	t.Helper()
	var err error
	switch {
	case target.Bubble:
		synctest.Test(t, func(t *testing.T) { err = r.inBubble(t, target) })
	case r.Waits > cmp.Or(target.Patience, time.Second):
		t.Skipf("needs to wait %v, in real time", r.Waits)
	default:
		err = r.inRealTime(t, target)
	}
	if why, ok := errors.AsType[untried](err); ok {
		t.Skip(why)
	}
	reason, known := target.Deviations[r.Name]
	switch {
	case known && err == nil:
		t.Errorf("does not deviate any more, though it is listed: %s", reason)
	case known:
		t.Skipf("known to deviate: %s\n%v", reason, err)
	case err != nil:
		t.Errorf("%v\nsource: %s", err, r.Source)
	}
}

// inBubble also checks that the row does not need more time than it says, which would be a nuisance
// where time is real. Where a short poll may miss messages, it polls for a second instead.
func (r Row) inBubble(t *testing.T, target Target) error {
	begin := time.Now()
	if err := r.attempt(r.trial(t.Context(), t, target)); err != nil {
		return err
	}
	if took := time.Since(begin); took > max(r.Waits, time.Second) && !target.Sampling {
		return fmt.Errorf("took %v, and says that it waits %v", took, r.Waits)
	}
	return nil
}

// What is hidden for a second in real time is visible where the machine or the server stands still for
// longer. A row that was late has shown nothing, and is tried again.
const (
	lateness = second / 4 // half of the least time that a row leaves between an event and its look
	tries    = 5          // of a row that is late each time
)

// inRealTime tries the row until it ends as expected, or was on time.
func (r Row) inRealTime(t *testing.T, target Target) (err error) {
	t.Helper()
	_, deviates := target.Deviations[r.Name]
	for range tries {
		c := r.trial(t.Context(), t, target)
		c.real = true
		err = r.tryOnce(c, cmp.Or(target.Patience, time.Second)+rowTimeout)
		if _, skipped := errors.AsType[untried](err); skipped || (err != nil) == deviates || c.late <= lateness {
			return err
		}
		t.Logf("it was late by %v, and so shows nothing: %v", c.late.Round(time.Millisecond), err)
	}
	return err
}

func (r Row) tryOnce(c *trial, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(c.ctx, limit)
	defer cancel()
	c.ctx = ctx
	return r.attempt(c)
}

func (r Row) trial(ctx context.Context, t *testing.T, target Target) *trial {
	t.Helper()
	return &trial{API: target.New(t), ctx: ctx, sampling: target.Sampling, limit: target.InFlight, prefix: cmp.Or(target.Prefix, "contract-")}
}

// attempt runs the row; its error says which expectation did not hold.
func (r Row) attempt(c *trial) (err error) {
	defer c.cleanUp()
	begin := time.Now()
	defer func() {
		c.late = time.Since(begin) - c.waited
		switch p := recover().(type) {
		case nil:
		case mismatch:
			err = p
		case untried:
			err = p
		default:
			panic(p)
		}
	}()
	r.run(c)
	return nil
}

// mismatch ends a row that does not hold.
type mismatch struct {
	where string
	what  string
}

func (m mismatch) Error() string { return m.where + ": " + m.what }

// untried ends a row that cannot be tried on this target, and says why.
type untried string

func (u untried) Error() string { return string(u) }

// failf ends the row. It does not use the test's own Fatal, because a failure may be expected.
func (c *trial) failf(format string, args ...any) {
	panic(mismatch{where: caller(), what: fmt.Sprintf(format, args...)})
}

// caller finds the line of the row that is being tried.
func caller() string {
	pcs := make([]uintptr, 16)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for {
		frame, more := frames.Next()
		if file := filepath.Base(frame.File); strings.HasPrefix(file, "rows_") {
			return fmt.Sprintf("%s:%d", file, frame.Line)
		}
		if !more {
			return "?"
		}
	}
}
