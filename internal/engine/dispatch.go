package engine

import (
	"context"
	"slices"
	"time"

	"github.com/sluice-go/sluice/internal/serial"
)

// A Call is one call of the handler. The loop owns it before and after; while the handler
// runs, what has a capital letter belongs to the goroutine of the handler.
type Call struct {
	Payload  any // what Config.NewCall has put there
	Batch    []*Message
	Outcomes []Outcome // of each message; filled by Config.Handle
	Reason   Reason    // why the batch was handed over
	Began    time.Time
	Took     time.Duration // filled by Config.Handle

	calls   *calls
	context *callContext
	cause   error // why its context has ended; nil: it had not when the handler returned
	expired bool  // it has taken longer than the handler timeout: its leases are renewed no more
	lost    bool  // the lease of one of its messages has ended, and with it its context
	orphan  bool  // a group of a FIFO queue goes on without it

	end struct { // of its context
		at    time.Time // zero: it has not ended
		why   error
		quiet bool // the handler has returned, or it was told that it has not
	}

	before, after *Call // in calls
	single        struct {
		message [1]*Message // the memory of Batch, for the commonest call, that for one message
		outcome [1]Outcome  // and of Outcomes
	}
}

// cancel ends the context of the handler. The first cause counts.
func (c *Call) cancel(cause error) { _ = c.context.end(cause) }

// An Outcome is what a handler says of a message. The zero value is a success.
type Outcome struct {
	Err       error
	Kind      Kind
	Delay     time.Duration // until it is received again, if it failed
	Unhandled bool          // it was not handled, because one before it in its group failed
}

// A Kind is what becomes of a message that failed. They are in the order of caution: of two
// for one message the first counts.
type Kind int

const (
	Retry      Kind = iota // after the delay of the options
	RetryAfter             // after a delay that the handler asks for
	DeadLetter             // send it to the dead-letter queue, which there must be
	Discard                // delete it
)

// failed reports whether the message must be handled again.
func (o *Outcome) failed() bool {
	return o.Err != nil && o.Kind != Discard && o.Kind != DeadLetter
}

// interrupted reports whether the run has ended the context of the handler.
func (c *Call) interrupted() bool { return c.cause == ErrShutdown } //nolint:errorlint // it is ours, as it is

// calls are the handler calls under way, the oldest first.
type calls struct {
	e           *Engine
	base        context.Context //nolint:containedctx // of all handler calls
	first, last *Call
	n           int
	unexpired   *Call   // the oldest that has not taken longer than the handler timeout; nil: none
	orphans     int     // calls that are orphans
	ended       []*Call // those whose contexts have ended, the first first, until it is clear whether they are stuck
}

func (cs *calls) add(c *Call) {
	c.before = cs.last
	if cs.last == nil {
		cs.first = c
	} else {
		cs.last.after = c
	}
	if cs.unexpired == nil {
		cs.unexpired = c
	}
	cs.last = c
	cs.n++
}

func (cs *calls) remove(c *Call) {
	if cs.unexpired == c {
		cs.unexpired = c.after
	}
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

// dispatch hands batches over to free slots.
func (e *Engine) dispatch(now time.Time) {
	if e.stop.interrupting() {
		return
	}
	for e.calls.n < e.Concurrency {
		batch, why := e.order.next(now, e.flush())
		if len(batch) == 0 {
			e.loop.WakeAt(e.order.wakes())
			return
		}
		if safe := e.safe(batch, now); len(safe) > 0 {
			e.calls.start(safe, why, now)
		}
		clear(batch) // else it would keep in memory what the call has let go of
	}
}

// flush returns why batches do not wait to be full. noReason: they do.
func (e *Engine) flush() Reason {
	switch {
	case e.Drain && e.receives.empty:
		return Drained
	case e.stop.begun():
		return Stopping
	case e.atCapacity():
		return Bytes
	default:
		return noReason
	}
}

// atCapacity reports whether there is no room for another message, and nothing but a batch
// that is handed over will make some.
func (e *Engine) atCapacity() bool {
	return e.receives.out == 0 && e.calls.n == 0 &&
		(e.hand.bytes+e.hand.largest > e.BytesInFlight || len(e.hand.messages) >= maxInFlight)
}

// margin is how much lease a message must have left to begin: enough for a renewal that was
// late to be tried again.
func (e *Engine) margin() time.Duration {
	const enough = 30 * time.Second
	return min(e.Visibility/10, enough)
}

// safe returns the messages of a batch that may begin, and postpones those that are too
// near the end of their leases: renewals fail, or the receive was slow. Those that must not
// be handled before one of them wait with it.
func (e *Engine) safe(batch []*Message, now time.Time) []*Message {
	if !slices.ContainsFunc(batch, func(m *Message) bool { return e.risky(m, now) }) {
		return batch
	}
	var safe, late []*Message
	for _, m := range batch {
		halted := len(late) > 0 && e.order.follows(late[len(late)-1], m)
		if halted || e.risky(m, now) {
			late = append(late, m)
			continue
		}
		safe = append(safe, m)
	}
	e.order.postpone(late, now.Add(e.margin()/2))
	return safe
}

// risky reports whether too little is left of the lease of m. Before half of the timeout has
// passed, not even the first renewal is due.
func (e *Engine) risky(m *Message, now time.Time) bool {
	return e.leases.left(m, now) < e.margin() && e.Clock.Between(m.latest().sent, now) >= e.Visibility/2
}

// start hands a batch over to the handler.
func (cs *calls) start(batch []*Message, why Reason, now time.Time) {
	c := cs.e.NewCall()
	c.calls, c.context, c.Reason, c.Began = cs, &callContext{base: cs.base}, why, now
	c.Batch, c.Outcomes = append(c.single.message[:0], batch...), c.single.outcome[:]
	if n := len(batch); n > 1 {
		c.Outcomes = make([]Outcome, n)
	}
	for _, m := range batch {
		m.call = c
	}
	cs.e.hand.move(handling, batch...)
	cs.add(c)
	cs.e.Counters.Batches[why].Add(1)
	cs.e.Counters.BatchMessages.Add(int64(len(batch)))
	cs.e.loop.Begin(cs.e.handlers, c)
}

// Do calls the handler, called by a goroutine of the handlers. The handler may end that
// goroutine: then it cannot take a turn.
func (c *Call) Do() (next serial.Work) {
	e, ending := c.calls.e, true
	defer func() {
		c.cause = c.context.end(context.Canceled)
		next = e.bring(c, e.handlers, ending)
	}()
	e.Handle(c.context, c)
	ending = false
	return nil
}

// returned takes in the end of a handler call.
func (cs *calls) returned(c *Call, now time.Time) {
	if cs.e.HandlerTimeout > 0 && c.Took >= cs.e.HandlerTimeout && !c.expired {
		cs.giveUp(c, now)
	}
	cs.remove(c)
	c.end.quiet = true
	if c.orphan {
		cs.orphans--
	}
	for _, m := range c.Batch {
		m.call = nil
	}
	cs.e.pace.Handled(c.Took, now)
	cs.e.report.handled(c, now)
	cs.e.order.settle(c, now)
	cs.e.settle.handled = true
}

// expire ends the contexts of calls that have taken longer than the handler timeout. All have
// the same one, so the oldest is the next.
func (cs *calls) expire(now time.Time) {
	limit := cs.e.HandlerTimeout
	if limit == 0 {
		return
	}
	for c := cs.unexpired; c != nil; c = cs.unexpired {
		if over := c.Began.Add(limit); now.Before(over) {
			cs.e.loop.WakeAt(over)
			return
		}
		cs.giveUp(c, now)
		cs.unexpired = c.after
	}
}

// giveUp ends the patience with a call: its context ends, and its messages become visible to
// other consumers when their leases end.
func (cs *calls) giveUp(c *Call, now time.Time) {
	c.expired = true
	cs.endContext(c, ErrHandlerTimeout, now)
	for _, m := range c.Batch {
		cs.e.leases.halt(m)
	}
}

// interrupt ends the contexts of all calls.
func (cs *calls) interrupt(now time.Time) {
	for c := cs.first; c != nil; c = c.after {
		cs.endContext(c, ErrShutdown, now)
	}
}

// endContext ends the context of a call, once.
func (cs *calls) endContext(c *Call, why error, now time.Time) {
	c.cancel(why)
	if c.end.at.IsZero() {
		c.end.at, c.end.why = now, why
		cs.ended = append(cs.ended, c)
	}
}

// tellStuck tells of calls that have not returned for long after their contexts have ended.
func (cs *calls) tellStuck(now time.Time) {
	const long = 30 * time.Second
	for len(cs.ended) > 0 {
		c := cs.ended[0]
		if over := c.end.at.Add(long); !c.end.quiet && now.Before(over) {
			cs.e.loop.WakeAt(over)
			return
		}
		cs.ended = cs.ended[1:]
		cs.tell(c, now)
	}
	cs.ended = nil
}

// tellLeft tells of calls that have not returned by the end of the run.
func (cs *calls) tellLeft(now time.Time) {
	for c := cs.first; c != nil; c = c.after {
		cs.tell(c, now)
	}
}

// tell tells of a call that is stuck, once.
func (cs *calls) tell(c *Call, now time.Time) {
	if c.end.quiet {
		return
	}
	c.end.quiet = true
	cs.e.Told.Stuck(c)
	cs.e.report.goesOn(c, now)
}

// Ended returns when the context of c has ended, and why.
func (c *Call) Ended() (at time.Time, why error) { return c.end.at, c.end.why }
