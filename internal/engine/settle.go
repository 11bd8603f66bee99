package engine

import (
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sluice-go/sluice/internal/batcher"
	"github.com/sluice-go/sluice/internal/fault"
	"github.com/sluice-go/sluice/internal/lease"
	"github.com/sluice-go/sluice/internal/serial"
)

// An End is what became of a message.
type End int

const (
	Deleted  End = iota // SQS has confirmed it
	Released            // its visibility timeout was changed: it will be received again
	Lost                // its lease ended first, or may have: it will be received again, or somebody else has deleted it
	Denied              // SQS refuses for good
)

// settling brings messages to their end. Calls are made ten messages at a time, and tried
// again for as long as the lease of the message lasts. The loop owns it.
//
// A message keeps its lease until SQS has confirmed its delete. So a delete that fails for
// minutes costs calls, and no second delivery. The renewals of a message end before its
// visibility is changed on purpose: one in flight would hide it again.
type settling struct {
	e           *Engine
	deletes     *batcher.Batcher[*Message]
	releases    *batcher.Batcher[*Message]
	deadLetters *batcher.Batcher[*Message]

	collected []*Message    // to be deleted because of the events of this turn
	handled   bool          // a handler has returned in this turn
	brisk     bool          // messages come so often that another delete follows within a moment
	took      time.Duration // by a delete; a moving average
	spare     []*settleCall // that are back, for their memory
}

// defaultLinger is how long deletes wait for others that are on their way.
const defaultLinger = 50 * time.Millisecond

func newSettling(e *Engine) settling {
	n := max(4, e.Receivers)
	return settling{
		e:       e,
		deletes: batcher.New[*Message](maxEntries, n), releases: batcher.New[*Message](maxEntries, n),
		deadLetters: batcher.New[*Message](1, n), // together they could be longer than a batch request may be
	}
}

// A settleCall is a call about up to ten messages, of one kind, and as an event one that is
// back.
type settleCall struct {
	settlement

	told atomic.Bool // the loop, although the client has not returned
}

// A settlement is what there is to know of a call that settles messages.
type settlement struct {
	settling *settling

	kind     stage // deleting, releasing or deadLettering
	n        int
	messages [maxEntries]*Message
	handles  [maxEntries]string
	timeouts [maxEntries]time.Duration // of a release
	reason   error                     // of a dead letter
	before   lease.Instant             // by the clock of leases: it is not sent later

	sent   time.Time
	took   time.Duration
	errs   []error
	unsent bool
}

// linger returns how long deletes wait for others to share their call.
func (s *settling) linger() time.Duration {
	others := s.e.calls.n + s.e.order.ready()
	switch asked := s.e.DeleteLinger; {
	case asked > 0 && !s.e.stop.begun():
		return asked
	case asked < 0 || others <= 0 && (s.e.stop.begun() || !s.brisk):
		return 0
	default:
		return defaultLinger + 1 // a delete that comes at that very moment shares the call
	}
}

// delete deletes messages, together with what else this turn deletes.
func (s *settling) delete(ms ...*Message) {
	s.e.hand.move(deleting, ms...)
	for _, m := range ms {
		m.fate = nil
	}
	s.collected = append(s.collected, ms...)
}

// collect lets the deletes of this turn wait for their call.
func (s *settling) collect(now time.Time) {
	linger := s.linger()
	if len(s.collected) > 0 {
		wait := linger
		if slices.ContainsFunc(s.collected, s.e.order.awaited) {
			wait = 0
		}
		s.deletes.Add(now, s.share(wait, now), s.collected...)
		clear(s.collected)
		s.collected = s.collected[:0]
	}
	if s.handled && linger == 0 { // the last one sends what the others have left
		s.flush()
	}
	s.handled = false
}

// share returns how long the collected deletes wait, less when a lease is near its end. A
// delete that does not linger may wait for half the time that a call takes, while one is out.
func (s *settling) share(linger time.Duration, now time.Time) time.Duration {
	const most = 50 * time.Millisecond
	if linger == 0 && s.deletes.Out() > 0 {
		linger = min(most, s.took/2)
	}
	for _, m := range s.collected {
		linger = max(0, min(linger, s.e.leases.left(m, now)/4))
	}
	return linger
}

// together is how long a release waits at least, unless all is flushed: the messages of a
// batch that failed, or of a stop, are released one after another.
const together = time.Millisecond

// release makes a message visible again after a delay, cut to what SQS allows. 0: at once. It
// waits up to linger for others to share its call, less when its lease is near its end,
// which is renewed no more.
func (s *settling) release(m *Message, linger, delay time.Duration, now time.Time) {
	s.e.hand.move(releasing, m)
	m.fate = &fate{delay: delay, linger: linger}
	if m.marks.renewing = s.e.leases.retire(m); m.marks.renewing {
		return // until the renewal is back
	}
	s.renewed(m, now)
}

// releaseAll releases messages that no handler has seen.
func (s *settling) releaseAll(ms []*Message, now time.Time) {
	for _, m := range ms {
		m.marks.returned = true
		s.release(m, 0, 0, now)
	}
}

// renewed goes on with a release when no renewal of the message is in flight.
func (s *settling) renewed(m *Message, now time.Time) {
	m.marks.renewing = false
	left := s.e.leases.left(m, now)
	s.releases.Add(now, max(together, min(m.ending().linger, left/4)), m)
}

// deadLetter sends a message to the dead-letter queue and then deletes it. delay is how long
// it stays hidden if it cannot be sent.
func (s *settling) deadLetter(m *Message, reason error, delay time.Duration, now time.Time) {
	s.e.hand.move(deadLettering, m)
	*m.end() = fate{reason: reason, delay: delay, suspended: m.ending().suspended}
	s.deadLetters.Add(now, 0, m)
}

// flush ends the linger of all that waits.
func (s *settling) flush() {
	s.deletes.Flush()
	s.releases.Flush()
}

// send makes the calls that are due.
func (s *settling) send(now time.Time) {
	if s.e.stop.phase >= cutting {
		return // a call would be cut at once
	}
	for _, kind := range []stage{deadLettering, releasing, deleting} {
		b := s.of(kind)
		for b.Ready(now) {
			c := s.blank(kind)
			n := b.Next(now, c.messages[:])
			s.prepare(c, n, now)
			if c.n < n {
				s.e.loop.WakeAt(now) // what has ended may let others be handled, and the run end
			}
			if c.n == 0 {
				b.Returned()
				s.recycle(c)
				continue
			}
			s.e.loop.Begin(s.e.callers, c)
		}
		s.e.loop.WakeAt(b.Wakes())
	}
}

// of returns the batcher of a kind of calls.
func (s *settling) of(kind stage) *batcher.Batcher[*Message] {
	switch kind {
	case deleting:
		return s.deletes
	case releasing:
		return s.releases
	default:
		return s.deadLetters
	}
}

// blank returns an empty call.
func (s *settling) blank(kind stage) *settleCall {
	n := len(s.spare)
	if n == 0 {
		return &settleCall{settlement: settlement{settling: s, kind: kind}}
	}
	c := s.spare[n-1]
	s.spare = s.spare[:n-1]
	c.kind = kind
	return c
}

// recycle keeps the memory of a call that is back.
func (s *settling) recycle(c *settleCall) {
	c.settlement = settlement{settling: s}
	s.spare = append(s.spare, c)
}

// prepare fills c for the n messages that are in it, but for those that must not be sent:
// their leases are over, and another consumer may have them.
func (s *settling) prepare(c *settleCall, n int, now time.Time) {
	at, leased := s.e.leases.at(now), needsLease(c.kind, s.e.FIFO)
	c.before = lease.Never
	for _, m := range c.messages[:n] {
		left := m.lease.Left(at)
		switch {
		case at >= s.backAt(m):
			s.end(m, outcome{end: Lost, handle: m.fate.unsureBy, sent: m.fate.unsure}, now)
			continue
		case leased && left <= 0:
			s.end(m, outcome{end: Lost, handle: m.handle()}, now)
			continue
		case leased:
			c.before = min(c.before, at+left, s.backAt(m))
		}
		c.messages[c.n], c.handles[c.n] = m, m.handle()
		ending := m.ending()
		c.timeouts[c.n] = min(ending.delay, m.lease.Longest(at))
		c.reason = ending.reason
		c.n++
	}
	clear(c.messages[c.n:])
}

// needsLease reports whether calls of a kind do harm without a lease. A late release would
// release what somebody else has received, a late dead letter would be sent twice. An expired
// receipt of a FIFO queue is never used.
func needsLease(kind stage, isFIFO bool) bool { return kind != deleting || isFIFO }

// backAt is when a release that failed may have made a message visible, or will have by the
// time when another call arrives: half the delay is left for that. If it were made visible
// once more, another consumer that has received it would lose it. A FIFO queue refuses the
// receipt of a message that is back, so that nobody is harmed there, and whole groups would
// wait for a message that stays hidden.
func (s *settling) backAt(m *Message) lease.Instant {
	if s.e.FIFO || m.fate == nil || m.fate.unsure.IsZero() {
		return lease.Never
	}
	return s.e.leases.at(m.fate.unsure) + m.fate.delay/2
}

// Do makes the call, called by a goroutine of the callers, which the client may end. It looks
// once more whether the leases last: the goroutine may have waited for a processor.
func (c *settleCall) Do() (next serial.Work) {
	e, ending := c.settling.e, true
	c.sent = time.Now()
	if e.Clock.At(c.sent) >= c.before {
		c.unsent = true
		return e.bring(c, e.callers, false)
	}
	defer func() {
		if ending {
			c.Overdue(slices.Repeat([]error{errNoAnswer}, c.n))
		}
	}()
	errs, inTime := c.settling.transport(c)
	ending = false
	if !inTime {
		return nil
	}
	c.errs, c.took = errs, time.Since(c.sent)
	return e.bring(c, e.callers, false)
}

// transport makes the call to SQS, called by a goroutine of the callers. inTime is false if the
// call was given up before: then the loop has been told, by Overdue.
func (s *settling) transport(c *settleCall) (errs []error, inTime bool) {
	ctx, n := s.e.calling, c.n
	switch c.kind {
	case deleting:
		return s.e.Transport.Delete(ctx, c.handles[:n], c)
	case releasing:
		return s.e.Transport.Release(ctx, Change{Handles: c.handles[:n], Timeouts: c.timeouts[:n], Late: c})
	default:
		return []error{s.e.Transport.DeadLetter(ctx, c.messages[0], c.reason)}, true
	}
}

// Overdue tells the loop, once, that the client has not returned, called on a goroutine of the
// transport, or that it has ended the goroutine of the call.
func (c *settleCall) Overdue(errs []error) {
	if c.told.Swap(true) {
		return
	}
	late := &settleCall{settlement: c.settlement} // the client still has c, and may use it
	late.errs, late.took = errs, time.Since(c.sent)
	c.settling.e.loop.Leave(late)
}

// returned takes in the end of a call.
func (s *settling) returned(c *settleCall, now time.Time) {
	s.of(c.kind).Returned()
	if c.unsent {
		s.of(c.kind).Add(now, 0, c.messages[:c.n]...) // their leases are looked at anew
		s.recycle(c)
		return
	}
	ok := slices.Contains(c.errs, nil)
	s.e.report.took(c.took, ok)
	if c.kind == deleting {
		const weight = 8 // of the past against the newest
		s.took += (c.took - s.took) / weight
	}
	s.e.refusals.heard(operation(c.kind), c.sent, c.errs, now)
	var again retry
	for i := range c.n {
		s.result(c, i, &again, now)
	}
	s.recycle(c)
}

// operation is the call that a kind of settlement makes.
func operation(kind stage) string {
	switch kind {
	case deleting:
		return opDelete
	case releasing:
		return opChange
	default:
		return opSend
	}
}

// result takes in what a call has done to one of its messages.
func (s *settling) result(c *settleCall, i int, again *retry, now time.Time) {
	m, err := c.messages[i], errNoAnswer
	if i < len(c.errs) {
		err = c.errs[i]
	}
	o := outcome{handle: c.handles[i], sent: c.sent}
	if err != nil {
		why := fault.Of(err)
		o.err = why.Err
		if c.kind == releasing && why.Unsure && m.ending().unsure.IsZero() {
			m.end().unsure, m.end().unsureBy = c.sent, o.handle
		}
		if s.passes(c.kind, m, why, now) && s.e.leases.left(m, now) > 0 {
			m.end().tries++
			s.of(c.kind).Retry(again.at(m.fate.tries, s, now), m)
			return
		}
		o.end = Lost
		if why.Kind == fault.Lasting {
			o.end = Denied
		}
		if c.kind == releasing && why.Kind == fault.Lost && !m.ending().unsure.IsZero() {
			m.marks.gone = true // an earlier call has released it, although its answer was lost
		}
	}
	if c.kind == deadLettering {
		s.deadLetterEnded(m, o, now)
		return
	}
	if err == nil && c.kind == releasing {
		o.end = Released
	}
	s.end(m, o, now)
}

// passes reports whether a call about m is worth another try while its lease lasts. A dead
// letter that is refused is tried again for as long as the run is patient.
func (s *settling) passes(kind stage, m *Message, why *fault.Error, now time.Time) bool {
	if kind != deadLettering {
		return why.Kind != fault.Lost && why.Kind != fault.Lasting
	}
	if why.Kind != fault.Refused {
		m.end().refused = time.Time{}
		return why.Kind != fault.Lasting
	}
	if m.ending().refused.IsZero() {
		m.end().refused = now
	}
	patience := s.e.refusals.patience()
	return patience < 0 || now.Sub(m.fate.refused) < patience
}

// A retry is when the messages of a call are tried again: those that have been tried equally
// often go together, in one call.
type retry struct {
	tries int
	time  time.Time
}

func (r *retry) at(tries int, s *settling, now time.Time) time.Time {
	if r.tries != tries {
		r.tries, r.time = tries, now.Add(s.backoff(tries))
	}
	return r.time
}

// backoff is a random part of 10 ms, twice as much each time up to 5 s: several tries fit
// into what is left of a lease that is renewed meanwhile, and a call that failed by chance
// does not keep its messages much longer than one that did not.
func (s *settling) backoff(tries int) time.Duration {
	const first, most = 10 * time.Millisecond, 5 * time.Second
	bound := most
	if tries < 10 {
		bound = min(most, first<<(tries-1))
	}
	return time.Duration(s.e.Rand() * float64(bound))
}

// An outcome is the end of one message.
type outcome struct {
	end    End
	handle string    // the receipt handle that was used; a newer one may have come since
	sent   time.Time // when the call was sent; zero: it was not
	err    error     // of the call; nil: none
}

// A deadLetterEnd is what became of a message that was to go to the dead-letter queue.
type deadLetterEnd int

const (
	taken    deadLetterEnd = iota // by the dead-letter queue
	rejected                      // by it, for good
	unknown                       // its lease or the run ended first
)

// deadLetterEnded goes on with a message that was sent to the dead-letter queue, or not.
func (s *settling) deadLetterEnded(m *Message, o outcome, now time.Time) {
	switch {
	case o.err == nil:
		s.e.Counters.DeadLettered.Add(1)
		s.e.report.line(&s.e.report.letters, "a message went to the dead-letter queue", m, now, "error", m.ending().reason)
		s.e.order.deadLettered(m, taken, now)
		s.e.hand.move(deleting, m)
		m.fate = nil
		m.marks.deadLettered = true
		s.deletes.Add(now, 0, m)
	case s.e.leases.left(m, now) <= 0:
		o.end, o.sent = Lost, time.Time{}
		s.end(m, o, now) // if it was received once more, nobody has said that it may be deleted
	default:
		s.e.Told.Log(slog.LevelError, "sending to the dead-letter queue", "dead_letter_queue", s.e.DeadLetterQueue, "message_id", m.Delivery.ID, "error", o.err)
		s.e.order.deadLettered(m, rejected, now)
	}
}

// end notes the end of a message. If it was received once more meanwhile, it is settled anew,
// since only its newest receipt handle is sure to have an effect; unless it was received
// because it had been released.
func (s *settling) end(m *Message, o outcome, now time.Time) {
	if m.handle() == o.handle {
		s.e.ended(m, o, now)
		return
	}
	if m.stage == releasing && !o.sent.IsZero() && s.e.Clock.Between(o.sent, m.newer.arrived) >= m.ending().delay {
		s.beginAnew(m, o.end, now)
		return
	}
	s.e.leases.resume(m, now)
	if m.stage == deleting {
		s.delete(m)
		return
	}
	s.e.order.deadLettered(m, unknown, now)
	s.release(m, 0, m.ending().delay, now)
}

// beginAnew begins again with a message that was released, as far as is known, and received
// once more before that was known. Nobody has handled it since: to release it again would be
// to spend its receives on nothing.
func (s *settling) beginAnew(m *Message, end End, now time.Time) {
	m.twice-- // it was none
	s.e.report.settled(m, end)
	s.e.conclude(m, end, now)
	newer := m.newer
	s.e.hand.hold(newer)
	s.e.leases.add(newer.sent, newer.arrived, newer)
	s.e.receives.admit(now, newer)
}

// ended notes the end of a message.
func (e *Engine) ended(m *Message, o outcome, now time.Time) {
	if o.end == Denied {
		e.fail(operation(m.stage), o.err, now)
	}
	e.report.settled(m, o.end)
	e.order.ended(m, o.end, now)
	e.conclude(m, o.end, now)
}

// conclude lets go of a message.
func (e *Engine) conclude(m *Message, end End, now time.Time) {
	e.leases.remove(m)
	if m.twice != 0 {
		e.Counters.Duplicates.Add(int64(m.twice))
		m.twice = 0
	}
	e.order.deadLettered(m, unknown, now) // unless it has learned that
	e.order.forget(m)
	e.hand.drop(m)
	if e.stop.begun() {
		e.stop.note(m, end)
	}
}
