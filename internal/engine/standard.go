package engine

import (
	"slices"
	"time"
)

// A limit is what closes a batch.
type limit struct {
	size  int
	bytes int
	wait  time.Duration
}

// unfilled returns why a batch that has room should be handed over all the same. noReason: it
// should not.
func unfilled(now, due time.Time, flush Reason) Reason {
	switch {
	case flush != noReason:
		return flush
	case !now.Before(due):
		return WaitTime
	default:
		return noReason
	}
}

// A standard is the ordering of a standard queue: first come, first served, and no message
// waits for another.
type standard struct {
	limit

	e       *Engine
	batch   []*Message // the memory of the one that was handed out last
	waiting []*Message // oldest first
	open    int        // how many of them are in the open batch
	sum     int        // their bytes
	closed  Reason     // why the open batch takes no more; noReason: it does

	late  []*Message // postponed
	until time.Time
}

func newStandard(e *Engine) *standard {
	return &standard{e: e, limit: limit{e.BatchSize, e.BatchBytes, e.WaitTime}, closed: noReason}
}

func (o *standard) add(_ time.Time, ms ...*Message) {
	o.waiting = append(o.waiting, ms...)
	o.fill()
}

// fill moves what waits into the open batch, as far as it has room.
func (o *standard) fill() {
	for o.closed == noReason && o.open < len(o.waiting) {
		m := o.waiting[o.open]
		if o.open > 0 && o.sum+m.Size() > o.bytes {
			o.closed = Bytes
			return
		}
		o.open++
		o.sum += m.Size()
		if o.open == o.size {
			o.closed = Full
		}
	}
}

func (o *standard) due() time.Time {
	if len(o.waiting) == 0 {
		return time.Time{}
	}
	return o.waiting[0].arrived.Add(o.wait)
}

func (o *standard) wakes() time.Time {
	if len(o.late) > 0 {
		return earlier(o.due(), o.until)
	}
	return o.due()
}

func (o *standard) ready() int { return len(o.waiting) }

func (o *standard) next(now time.Time, flush Reason) ([]*Message, Reason) {
	if len(o.late) > 0 && !now.Before(o.until) {
		late := o.late
		o.late = nil
		o.reset(slices.Concat(late, o.waiting))
	}
	why := o.closed
	if why == noReason && o.open > 0 {
		why = unfilled(now, o.due(), flush)
	}
	if why == noReason {
		return nil, noReason
	}
	o.batch = append(o.batch[:0], o.waiting[:o.open]...)
	clear(o.waiting[:o.open])
	o.reset(o.waiting[o.open:])
	return o.batch, why
}

func (o *standard) postpone(ms []*Message, until time.Time) {
	o.late, o.until = append(o.late, ms...), until
}

// reset makes waiting all that waits, with the open batch filled from it.
func (o *standard) reset(waiting []*Message) {
	o.waiting, o.open, o.sum, o.closed = waiting, 0, 0, noReason
	o.fill()
}

func (o *standard) leave() []*Message {
	left := slices.Concat(o.late, o.waiting)
	o.late = nil
	o.reset(nil)
	return left
}

// settle settles each message as its handler has said.
func (o *standard) settle(c *Call, now time.Time) {
	s := &o.e.settle
	linger := s.linger()
	for i, m := range c.Batch {
		switch out := &c.Outcomes[i]; {
		case out.Err == nil || out.Kind == Discard:
			s.delete(m)
		case m.marks.lost:
			o.e.conclude(m, Lost, now)
		case out.Kind == DeadLetter:
			s.deadLetter(m, out.Err, out.Delay, now)
		case out.Kind == Retry && c.interrupted():
			m.marks.returned = true // it failed because it was interrupted
			s.release(m, 0, 0, now)
		default:
			s.release(m, linger, out.Delay, now)
		}
	}
}

func (o *standard) lost(ms []*Message, now time.Time) {
	is := func(m *Message) bool { return m.marks.lost }
	o.late = slices.DeleteFunc(o.late, is)
	o.reset(slices.DeleteFunc(o.waiting, is))
	for _, m := range ms {
		o.e.conclude(m, Lost, now)
	}
}

func (o *standard) deadLettered(m *Message, end deadLetterEnd, now time.Time) {
	if end == rejected {
		o.e.settle.release(m, 0, m.ending().delay, now)
	}
}

// No message of a standard queue waits for another.
func (*standard) follows(_, _ *Message) bool     { return false }
func (*standard) awaited(*Message) bool          { return false }
func (*standard) ended(*Message, End, time.Time) {}
func (*standard) forget(*Message)                {}
func (*standard) orphaned(*Message, time.Time)   {}
func (*standard) makeRoom(time.Time)             {}
func (*standard) closing(time.Time)              {}

// earlier returns the earlier of two times. A zero one is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}
