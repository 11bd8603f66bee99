package sluice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice/internal/crew"
	"github.com/sluice-go/sluice/internal/lease"
	"github.com/sluice-go/sluice/internal/queue"
	"github.com/sluice-go/sluice/internal/settle"
)

// Each makes a [Handler] of a function that handles one message: it is called for
// one message of the batch after the other, and those for which it returns an
// error, or panics, fail; the others are deleted.
//
// It stops when ctx is done, and the rest of the batch fails with the context's
// cause. On a FIFO queue the first failure of a message group is the last message
// of that group that fn sees of this batch; other groups go on.
func Each(fn func(ctx context.Context, m *Message) error) Handler {
	if fn == nil {
		return nil // New's and Run's error is clearer than a panic at the first message
	}
	return func(ctx context.Context, batch []*Message) error {
		if len(batch) == 1 {
			return guard(func() error { return fn(ctx, batch[0]) }) // the commonest batch needs no list of errors
		}
		var errs []error
		var halted groups
		for _, m := range batch {
			group, ordered := m.group(), m.fifo() // fn may change m
			err := errUnhandled
			switch {
			case ordered && halted[group]:
			case ctx.Err() != nil:
				err = context.Cause(ctx)
			default:
				err = guard(func() error { return fn(ctx, m) })
			}
			if err != nil {
				errs = append(errs, Failed(m, err))
				if ordered {
					halted.add(group)
				}
			}
		}
		return errors.Join(errs...)
	}
}

// errUnhandled is the error of a message of a FIFO queue that was not handled
// because one before it in its group was not settled first.
var errUnhandled = errors.New("not handled: a message before it in its group failed")

// groups is a set of FIFO message groups. The zero value is empty.
type groups map[string]bool

func (g *groups) add(group string) {
	if *g == nil {
		*g = groups{}
	}
	(*g)[group] = true
}

// JSON makes a [Handler] of a function that takes the body of one message, decoded
// from JSON. A body that cannot be decoded fails its message: it is received again
// and ends in the queue's dead-letter queue, if it has one. It is not deleted.
func JSON[T any](fn func(ctx context.Context, v T) error) Handler {
	if fn == nil {
		return nil
	}
	return Each(func(ctx context.Context, m *Message) error {
		v, err := decode[T](m)
		if err != nil {
			return err
		}
		return fn(ctx, v)
	})
}

func decode[T any](m *Message) (v T, err error) {
	if err = guard(func() error { return json.Unmarshal([]byte(m.Body), &v) }); err != nil {
		return v, fmt.Errorf("decoding the body as %T: %w", v, discreet(err))
	}
	return v, nil
}

// discreet returns err with a text that repeats nothing of the body: errors are
// logged, bodies are not.
func discreet(err error) error {
	if wrongType, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		wrongType.Value, _, _ = strings.Cut(wrongType.Value, " ") // "number", not which
		return err
	}
	if _, ok := errors.AsType[*json.SyntaxError](err); ok {
		return err
	}
	return &unsaid{err} // by the type's own decoder, such as that of time.Time
}

// unsaid is an error whose text is kept back.
type unsaid struct{ err error }

func (e *unsaid) Error() string {
	return fmt.Sprintf("a value is not as its type wants it (%T)", e.err)
}
func (e *unsaid) Unwrap() error { return e.err }

// A PanicError is the error of a handler that panicked or called runtime.Goexit.
type PanicError struct {
	Value any    // what it panicked with; nil after runtime.Goexit
	Stack []byte // of the handler's goroutine
}

func (e *PanicError) Error() string {
	if e.Value == nil {
		return "the handler called runtime.Goexit"
	}
	return fmt.Sprintf("the handler panicked: %v", e.Value)
}

// Unwrap returns the value that the handler panicked with if that is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// guard returns fn's error, a panic as a *PanicError.
func guard(fn func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return fn()
}

// foreign runs code of the user's that is not a handler, and returns a *PanicError
// if it panicked or called runtime.Goexit, which it cannot do to the caller's
// goroutine.
func foreign(fn func()) error {
	ended := make(chan error, 1)
	go func() {
		err := error(&PanicError{}) // stands if fn ends the goroutine
		defer func() { ended <- err }()
		err = guard(func() error {
			fn()
			return nil
		})
	}()
	return <-ended
}

// A call is one call of the handler.
type call struct {
	batch    []*held
	messages []*Message
	why      Reason
	began    time.Time
	took     time.Duration
	cancel   context.CancelCauseFunc
	limit    *time.Timer // ends it by HandlerTimeout; nil: nothing does
	err      error
	outcomes []outcome   // of each message
	panicked *PanicError // nil: it did not
	cause    error       // why its context ended; nil: it had not
	limited  bool        // it took longer than HandlerTimeout, whatever ended its context; its leases are renewed no more
	lost     bool        // the lease of one of its messages has ended, and with it its context; owned by the loop
	bereft   bool        // a message of a FIFO queue has lost its lease meanwhile; owned by the loop
	dropped  []*held     // failed, with leases that had been lost: nothing to tell SQS

	deletes []*lease.Lease[*held] // of those that succeeded
	single  struct {
		message [1]*Message
		copied  [1]*Message // the handler's
		outcome [1]outcome
		lease   [1]*lease.Lease[*held]
	}

	before, after *call // in calls
}

// calls are the calls under way, the oldest first.
type calls struct {
	first, last *call
	n           int
}

func (cs *calls) add(c *call) {
	c.before = cs.last
	if cs.last == nil {
		cs.first = c
	} else {
		cs.last.after = c
	}
	cs.last = c
	cs.n++
}

func (cs *calls) remove(c *call) {
	if c.before == nil {
		cs.first = c.after
	} else {
		c.before.after = c.after
	}
	if c.after == nil {
		cs.last = c.before
	} else {
		c.after.before = c.before
	}
	c.before, c.after = nil, nil
	cs.n--
}

// start hands a batch over to the handler.
func (r *run) start(batch []*held, why Reason, now time.Time) {
	ctx, cancel := r.newCall()
	c := &call{batch: batch, why: why, began: now, cancel: cancel}
	c.makeRoom()
	for i, h := range batch {
		c.messages[i] = h.shown()
		h.stage, h.call = handling, c
	}
	r.running.add(c)
	if r.opts.HandlerTimeout > 0 {
		c.limit = time.AfterFunc(r.opts.HandlerTimeout, func() { r.exceed(c) })
	}
	r.c.batches.Add(string(why))
	r.loop.Begin(r.handlers, func() crew.Work { return r.handle(ctx, c) })
}

// shown returns the message for a handler. Each try in place has its own, since somebody
// may still look at that of an earlier one, such as a hook.
func (h *held) shown() *Message {
	if h.tries == 0 {
		return &h.Message
	}
	m, was := h.Message, &h.origin
	m.from = mark{queue: fifoQueue, group: was.group}
	m.ID, m.Body, m.GroupID, m.SequenceNumber, m.Attributes = was.id, was.body, was.group, was.sequence, was.attributes
	m.ReceiveCount, m.Attempt = was.receives, was.receives+h.tries
	return &m
}

// makeRoom makes the slices of a call. The commonest one is for a single message
// and has them in itself.
func (c *call) makeRoom() {
	if n := len(c.batch); n > 1 {
		c.messages, c.outcomes, c.deletes = make([]*Message, n), make([]outcome, n), make([]*lease.Lease[*held], 0, n)
		return
	}
	c.messages, c.outcomes, c.deletes = c.single.message[:], c.single.outcome[:], c.single.lease[:0]
}

// exceed ends the patience with a call: its context ends, and its messages become
// visible to other consumers when their leases end.
func (r *run) exceed(c *call) {
	c.cancel(ErrHandlerTimeout)
	for _, h := range c.batch {
		r.keeper.Halt(&h.lease)
	}
}

// handle calls the handler. It goes on to settle also when the handler panics or
// ends the goroutine, which then cannot take the loop's place.
func (r *run) handle(ctx context.Context, c *call) (next crew.Work) {
	ending := true
	defer func() {
		r.settle(ctx, c)
		if ending || r.lines != nil { // on a FIFO queue the loop deletes: with calls that end together it sees to them together
			r.loop.Leave(c)
			return
		}
		next = r.loop.Tell(c, r.handlers)
	}()
	c.err = &exit // stands if the handler calls runtime.Goexit

	messages := append(c.single.copied[:0], c.messages...) // the handler may do with its slice what it likes
	c.err = guard(func() error { return r.handler(ctx, messages) })
	ending = false
	return nil
}

// exit is the error of a handler that called runtime.Goexit.
var exit PanicError

// settle carries out what the handler said of its messages. On a FIFO queue the
// loop does that, since it knows what stands behind them in their groups.
func (r *run) settle(ctx context.Context, c *call) {
	c.limited = c.limit != nil && !c.limit.Stop()
	c.took = time.Since(c.began)
	c.read()
	if r.opts.DeadLetterQueueURL == "" {
		c.failDeadLetters()
	}
	if r.lines != nil {
		c.halt(r.opts.DeadLetterQueueURL != "")
	}
	r.askDelays(c)
	if r.lines == nil {
		r.carryOut(ctx, c)
	} else {
		r.onWay.Add(-int64(len(c.batch)))
	}
	c.cause = context.Cause(ctx)
	c.cancel(nil)
	r.told(c)
}

// happen notes the end of the call, in the loop.
func (c *call) happen(r *run) { r.handled(c) }

// carryOut settles the messages of a call, each as was said of it.
func (r *run) carryOut(ctx context.Context, c *call) {
	n := int64(len(c.batch))
	linger := r.linger(r.onWay.Load() - n)
	for i, o := range c.outcomes {
		c.batch[i].done.Store(true)
		if o.err == nil || o.kind == discard {
			c.deletes = append(c.deletes, &c.batch[i].lease)
			continue
		}
		r.refuse(ctx, c, c.batch[i], o, linger)
	}
	r.settler.Delete(linger, c.deletes...)
	// The last one sends what the others have left, which may have been a moment ago.
	if others := r.onWay.Add(-n); r.linger(others) == 0 {
		r.settler.Flush()
	}
}

// read finds out what the handler's error says. The error is the user's, and so is
// the code that is asked about it; if that fails, so have all messages.
func (c *call) read() {
	if c.err == nil {
		return
	}
	err := foreign(func() {
		c.outcomes = outcomes(c.messages, c.err)
		c.panicked, _ = errors.AsType[*PanicError](c.err)
	})
	if err == nil {
		return
	}
	c.outcomes = make([]outcome, len(c.batch)) // not those that the failure has left
	for i := range c.outcomes {
		c.outcomes[i].add(err, decision{kind: retry})
	}
}

// failDeadLetters makes dead letters messages that failed as with any other error: there is
// no queue to send them to.
func (c *call) failDeadLetters() {
	for i := range c.outcomes {
		if o := &c.outcomes[i]; o.kind == deadLetter {
			o.kind = retry
		}
	}
}

// halt makes what came behind a failed message in its group unhandled, whatever the
// handler said of it: it is handled again when the failed one is settled.
func (c *call) halt(buries bool) {
	for group, begin := range byGroup(c.batch) {
		halted := false
		for i := range group {
			o := &c.outcomes[begin+i]
			if halted {
				*o = outcome{err: errUnhandled}
				continue
			}
			halted = o.failed(buries)
		}
	}
}

// failed tells whether the message must be handled again. buries tells whether
// there is a dead-letter queue.
func (o *outcome) failed(buries bool) bool {
	return o.err != nil && o.kind != discard && (o.kind != deadLetter || !buries)
}

// unhandled tells whether the message was not handled because one before it in its
// group failed. errors.Is would ask the error, which is the user's code and may panic.
func (o *outcome) unhandled() bool {
	err := o.err
	if d, ok := err.(*decided); ok { //nolint:errorlint // ours, and outermost
		err = d.err
	}
	return err == errUnhandled //nolint:errorlint // ours, never wrapped otherwise
}

// refuse deals with a message that failed.
func (r *run) refuse(ctx context.Context, c *call, h *held, o outcome, linger time.Duration) {
	switch {
	case h.lost.Load():
		c.dropped = append(c.dropped, h)
	case o.kind == deadLetter && r.opts.DeadLetterQueueURL != "":
		r.settler.Bury(&h.lease, o.err, o.delay)
	case o.kind == retry && errors.Is(context.Cause(ctx), ErrShutdown):
		h.given = true
		r.settler.GiveBack(0, 0, &h.lease) // it failed because it was interrupted
	default:
		r.settler.GiveBack(linger, o.delay, &h.lease)
	}
}

// askDelays finds out how long the messages that failed stay hidden. That is the
// user's code, which may block: the loop must not ask it.
func (r *run) askDelays(c *call) {
	for i := range c.outcomes {
		o := &c.outcomes[i]
		if o.err == nil || o.kind == retryAfter || o.kind == discard || o.unhandled() {
			continue
		}
		o.delay = r.opts.VisibilityTimeout // stands if the user's function fails
		_ = foreign(func() { o.delay = max(0, r.opts.RetryDelay(c.messages[i], o.err)) })
	}
}

// linger returns how long deletes wait for others while so many messages are on their
// way to being deleted.
func (r *run) linger(others int64) time.Duration {
	switch asked := r.opts.DeleteLinger; {
	case asked > 0 && !r.ending.Load():
		return asked
	case asked < 0 || others <= 0 && (r.ending.Load() || !r.brisk.Load()):
		return 0
	default:
		return defaultLinger
	}
}

// told counts a call of the handler and tells the hooks of it.
func (r *run) told(c *call) {
	t := &r.c.tally
	failed, succeeded := 0, 0
	for _, o := range c.outcomes {
		switch {
		case o.err == nil:
			succeeded++
		case !o.unhandled():
			failed++
		}
	}
	t.Succeeded.Add(int64(succeeded))
	t.Failed.Add(int64(failed))
	if p := c.panicked; p != nil {
		t.Panics.Add(1)
		r.log(slog.LevelError, "the handler panicked", "queue", r.c.url, "panic", p.Error(), "stack", string(p.Stack))
	}
	if r.opts.Hooks.Batch == nil {
		return
	}
	e := BatchEvent{
		Messages: c.messages, Reason: c.why, FillTime: c.began.Sub(c.batch[0].arrived), Duration: c.took, Failed: failed, Err: c.err,
	}
	bytes := 0
	for _, h := range c.batch {
		bytes += h.bytes
	}
	r.aside.Keep(bytes, func() { r.opts.Hooks.Batch(e) })
}

// bereave frees the group of a message whose lease has ended while it is handled: it may
// be handled elsewhere now, and its handler here may never return.
func (r *run) bereave(h *held) {
	if r.lines == nil {
		return
	}
	if !h.call.bereft {
		h.call.bereft = true
		r.bereft++
	}
	r.yield(h.Group(), nil, 0)
}

// forsaken tells whether a message of the group is still being handled although its
// lease has ended: nothing of the group can be handled here.
func (r *run) forsaken(group string) bool {
	if r.bereft == 0 {
		return false
	}
	for c := r.running.first; c != nil; c = c.after {
		if c.bereft && slices.ContainsFunc(c.batch, func(h *held) bool { return h.Group() == group && h.lost.Load() }) {
			return true
		}
	}
	return false
}

// handled notes the end of a handler call.
func (r *run) handled(c *call) {
	r.running.remove(c)
	if c.bereft {
		r.bereft--
	}
	r.pace.Handled(c.took, time.Now())
	for _, h := range c.batch {
		h.stage, h.call = settling, nil
	}
	if r.lines != nil {
		r.judge(c)
		return
	}
	for _, h := range c.dropped {
		if h.lost.Load() {
			r.mourn(h, ErrLeaseLost) // the loop may not have heard of it yet
			r.conclude(h, settle.Lost)
			continue
		}
		r.settler.GiveBack(0, r.opts.VisibilityTimeout, &h.lease) // it was received once more since
	}
}

// judge settles a call of a FIFO queue: in each message group up to the first
// message that failed or whose lease was lost.
func (r *run) judge(c *call) {
	for group, begin := range byGroup(c.batch) {
		r.judgeGroup(c, group, begin)
	}
}

// judgeGroup settles group, messages of one group that are in the batch of c at begin.
func (r *run) judgeGroup(c *call, group []*held, begin int) {
	for i, h := range group {
		o := c.outcomes[begin+i]
		switch {
		case h.lost.Load():
			r.conclude(h, settle.Lost)
			r.yield(h.Group(), group[i+1:], 0)
			return
		case o.failed(r.opts.DeadLetterQueueURL != ""):
			r.stopGroup(c, group[i:], o)
			return
		case o.err != nil && o.kind == deadLetter:
			// Where it is not taken it has failed, and those behind it are not to be settled before it.
			h.behind = func(end burial) {
				switch end {
				case taken:
					r.judgeGroup(c, group[i+1:], begin+i+1)
				case refused:
					r.stopGroup(c, group[i:], o)
				case unknown:
					r.yield(h.Group(), group[i+1:], 0)
				}
			}
			r.settler.Bury(&h.lease, o.err, o.delay)
			return
		default:
			h.done.Store(true)
			r.deletes = append(r.deletes, &h.lease)
		}
	}
}

// stopGroup deals with the failure of the first of hs, messages of one group; the
// others came behind it and count as not handled.
func (r *run) stopGroup(c *call, hs []*held, o outcome) {
	head, now := hs[0], time.Now()
	if o.kind == retry && (r.over || errors.Is(c.cause, ErrShutdown)) {
		head.given = true // it failed because it was interrupted
		r.yield(head.Group(), hs, 0)
		return
	}
	stays := c.stays(head.Group())
	if o.unhandled() {
		// After the limit the leases are renewed no more, and nothing can go on under them.
		if c.limited || stays {
			r.yield(head.Group(), hs, 0)
		} else { // what stands before it is being settled
			r.retake(head.Group(), hs, time.Time{})
		}
		return
	}
	head.tries++
	orElse(&head.failed, now)
	switch {
	case r.opts.OnGroupFailure == GroupSkip && !c.limited && !r.over:
		r.settler.GiveBack(0, o.delay, &head.lease)
		r.retake(head.Group(), hs[1:], time.Time{})
	case !stays && r.patient(c, head, now.Add(o.delay)):
		r.retake(head.Group(), hs, now.Add(o.delay))
	default:
		r.yield(head.Group(), hs, o.delay)
	}
}

// stays tells whether a message of the group stays in the queue although the call has
// settled it: what came behind it must not be handled before it.
func (c *call) stays(group string) bool {
	return slices.ContainsFunc(c.batch, func(h *held) bool { return h.stays && h.Group() == group })
}

// patient tells whether a message that failed is to be tried again at next without
// being given back.
func (r *run) patient(c *call, head *held, next time.Time) bool {
	switch {
	case r.opts.OnGroupFailure != GroupRetryInPlace, r.closing, r.drain:
		return false
	case c.limited: // its lease is renewed no more
		return false
	case head.tries >= r.opts.InPlaceTries, next.Sub(head.failed) > r.opts.InPlaceTime:
		return false
	default:
		return time.Until(next) < r.keeper.Longest(&head.lease, time.Now())
	}
}

// retake puts messages of a group that were part of a call back to the front of
// their line, to be handled from the given time on; zero: at once.
func (r *run) retake(group string, hs []*held, at time.Time) {
	if i := slices.IndexFunc(hs, func(h *held) bool { return h.lost.Load() }); i >= 0 { // here the group ends
		r.yield(group, hs[i+1:], 0)
		r.conclude(hs[i], settle.Lost)
		hs = hs[:i]
	}
	for _, h := range hs {
		h.stage = waiting
	}
	r.onWay.Add(int64(len(hs)))
	r.lines.Return(group, hs, at)
}

// yield gives messages of a group that were part of a call back, and all that wait
// behind them: the last one first, so that none becomes visible before those that
// come before it. The first one stays hidden for delay, and so do, behind it, the
// others.
func (r *run) yield(group string, taken []*held, delay time.Duration) {
	behind := r.lines.Leave(group)
	r.onWay.Add(-int64(len(behind)))
	hs := r.lines.Merge(taken, behind)
	for i, h := range slices.Backward(hs) {
		h.stage = settling
		h.given = h.given || i > 0 || h.tries == 0 // nothing has been done about it
		if i == 0 {
			r.settler.GiveBack(0, delay, &h.lease)
			return
		}
		r.settler.GiveBack(0, 0, &h.lease)
	}
}

// Attributes of a message in the dead-letter queue, besides its own.
const (
	attrReason = "Sluice.Reason"       // why it was sent there
	attrSource = "Sluice.Source"       // URL of the queue that it came from
	attrCount  = "Sluice.ReceiveCount" // how often it was received there

	maxAttributes = 10   // of a message; SQS rejects more
	maxReason     = 1024 // bytes of it that are kept
)

// bury sends a message to the dead-letter queue.
func (r *run) bury(ctx context.Context, h *held, reason error) error {
	was := &h.origin
	attributes, omitted := r.epitaph(h, reason)
	in := &sqs.SendMessageInput{QueueUrl: &r.opts.DeadLetterQueueURL, MessageBody: &was.body, MessageAttributes: attributes}
	if was.group != "" {
		in.MessageGroupId = &was.group
	}
	if isFIFO(r.opts.DeadLetterQueueURL) {
		in.MessageDeduplicationId = &was.id // as SQS's own redrive does
	}
	if was.trace != "" {
		in.MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{
			string(types.MessageSystemAttributeNameForSendsAWSTraceHeader): {DataType: new("String"), StringValue: &was.trace},
		}
	}
	sender, _ := r.c.client.(queue.Sender) // New has checked it
	err := r.queue.Send(ctx, sender, in)
	if err != nil {
		return err
	}
	r.c.tally.DeadLettered.Add(1)
	if len(omitted) > 0 {
		r.log(slog.LevelWarn, "a dead letter has no room for all of its attributes",
			"queue", r.opts.DeadLetterQueueURL, "message_id", was.id, "omitted", omitted, "reason", printable(reason))
	}
	return nil
}

// epitaph returns the attributes of a message in the dead-letter queue: its own, and as
// many of ours as SQS allows, the reason first, cut to the bytes that are left. It
// returns the names of those that have no room.
func (r *run) epitaph(h *held, reason error) (attributes map[string]types.MessageAttributeValue, omitted []string) {
	attributes = make(map[string]types.MessageAttributeValue, len(h.origin.attributes)+3)
	maps.Copy(attributes, h.origin.attributes)
	for _, name := range []string{attrReason, attrSource, attrCount} {
		delete(attributes, name) // of an earlier time in a dead-letter queue
	}
	room := maxBody - h.bytes
	add := func(name, kind, value string) {
		left := room - len(name) - len(kind)
		if name == attrReason {
			value = cut(value, left)
		}
		if len(attributes) == maxAttributes || len(value) > left || value == "" {
			omitted = append(omitted, name)
			return
		}
		room = left - len(value)
		attributes[name] = types.MessageAttributeValue{DataType: &kind, StringValue: &value}
	}
	if text := printable(reason); text != "" { // else the error has none
		add(attrReason, "String", text)
	}
	add(attrSource, "String", r.c.url)
	add(attrCount, "Number", strconv.Itoa(h.origin.receives))
	return attributes, omitted
}

// printable returns the text of err, cut and without the characters that SQS
// rejects in an attribute.
func printable(err error) string {
	text := ""
	_ = foreign(func() { text = err.Error() })
	text = strings.Map(func(c rune) rune {
		if c == '\t' || c == '\n' || c == '\r' || (c >= ' ' && c != 0xFFFE && c != 0xFFFF) {
			return c
		}
		return -1
	}, strings.ToValidUTF8(text, ""))
	return cut(text, maxReason)
}

// cut returns the beginning of text, at most so many bytes of it.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:max(0, most)], "")
}

// buried is told of a message that the dead-letter queue has taken.
func (r *run) buried(h *held) {
	if r.lines == nil {
		return
	}
	r.loop.Tell(doing(func() { h.settleBehind(taken) }), nil)
}

// unburied is told of a message that the dead-letter queue will not take.
func (r *run) unburied(h *held, delay time.Duration, err error) {
	r.log(slog.LevelError, "sending to the dead-letter queue", "queue", r.opts.DeadLetterQueueURL, "message", h.origin.id, "err", err)
	if r.lines == nil {
		r.settler.GiveBack(0, delay, &h.lease)
		return
	}
	r.loop.Tell(doing(func() { h.settleBehind(refused) }), nil)
}

// A burial is what became of a message that was to go to the dead-letter queue.
type burial int

const (
	taken   burial = iota // by the dead-letter queue
	refused               // by it, for good
	unknown               // its lease or the run ended first
)

// settleBehind settles, once, those behind h in its group.
func (h *held) settleBehind(end burial) {
	if behind := h.behind; behind != nil {
		h.behind = nil
		behind(end)
	}
}
