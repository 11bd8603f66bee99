package engine

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/sluice-go/sluice/internal/fault"
	"github.com/sluice-go/sluice/internal/pace"
	"github.com/sluice-go/sluice/internal/serial"
)

// receives are the receives of a run. The loop owns them.
type receives struct {
	e        *Engine
	line     *Line              // on which answers come
	attempts Attempts           // of a FIFO queue
	ctx      context.Context    //nolint:containedctx // of all receives; cut ends it
	cut      context.CancelFunc // ends the patience with those that are out

	out    int  // that wait for their answers
	asked  int  // messages that they asked for
	taken  int  // messages that have come in this run
	worked bool // one has succeeded

	unread   int       // answers in a row that nobody could read
	unreadAt time.Time // when the latest of them came
	empties  int       // answers in a row that have found the queue empty, while the run drains
	empty    bool      // the newest answer brought nothing
	outage   outage
}

// errNoAnswer is the error of a receive whose client has called runtime.Goexit.
var errNoAnswer = errors.New("sluice: the client did not return")

// worthSaying is how many receives in a row have failed when a log line says so. A single
// one is what networks are like.
const worthSaying = 3

// A received is a receive, and as an event the end of it.
type received struct {
	Answer

	receives      *receives
	asked         int
	beside        int  // receives that were out when it was sent, itself included
	alone         bool // nothing was in progress when it was sent, by a run that drains
	probe         bool // it finds out whether receives are still refused
	try           Attempt
	since         time.Time     // what the pace wants to know again
	wait          time.Duration // for the first message
	margin        time.Duration // beyond that, for the answer to begin
	sent, arrived time.Time

	// Owned by the loop.
	seen bool // it has come, or its time was over
	late bool // its time was over before it came
}

// An overdue is a receive whose client has not returned although its time is over.
type overdue struct {
	receive *received
	err     error
}

// send sends the receives that are useful now.
func (r *receives) send(now time.Time) {
	for !r.e.stop.begun() && !r.e.Paused() {
		if ok, at := r.e.refusals.mayReceive(now); !ok {
			r.e.loop.WakeAt(at)
			return
		}
		if !r.useful(now) {
			return
		}
		n, again := r.e.pace.Next(r.view(now))
		if n == 0 {
			r.e.loop.WakeAt(again)
			return
		}
		r.sendOne(n, now)
	}
}

// sendOne sends a receive for n messages.
func (r *receives) sendOne(n int, now time.Time) {
	if !r.e.FIFO { // a receive of a FIFO queue that is repeated asks for as much as before
		n = r.line.Size(n, now)
	}
	a := &received{receives: r, asked: n, since: r.e.pace.Sent(n), wait: r.line.Wait(r.pollTime())}
	r.out++
	r.asked += n
	a.beside = r.out
	a.alone = r.e.Drain && r.out == 1 && !r.busy()
	a.try = Attempt{N: n}
	if r.e.FIFO {
		a.try = r.attempts.Next(n, now)
	}
	if a.probe = r.e.refusals.probes(); a.probe {
		a.wait = time.Second // what is granted is to be known soon
	}
	a.margin = r.line.Margin(a.wait)
	r.e.loop.Begin(r.e.callers, a)
}

// Do makes a receive, called by a goroutine of the callers, which the client may end.
func (a *received) Do() (next serial.Work) {
	e, ending := a.receives.e, true
	a.sent, a.Err = time.Now(), errNoAnswer
	defer func() {
		a.arrived = time.Now()
		next = e.bring(a, e.callers, ending)
	}()
	a.Answer = e.Transport.Receive(a.receives.ctx, Ask{
		N: a.try.N, Wait: a.wait, Margin: a.margin, Attempt: a.try.ID, Late: a,
	})
	ending = false
	return nil
}

// Overdue tells the loop that the client has not returned, called on a goroutine of the transport.
func (a *received) Overdue(err error) { a.receives.e.loop.Leave(&overdue{a, err}) }

// useful reports whether one more receive can do any good now: the line takes it, and
// answers can be read. Each answer that nobody can read hides its messages and costs them a
// receive.
func (r *receives) useful(now time.Time) bool {
	const several, rarely = 5, 30 * time.Second
	if !r.line.Takes(r.out) {
		return false
	}
	if r.unread < several {
		return true
	}
	again := r.unreadAt.Add(rarely)
	if r.out == 0 && now.Before(again) {
		r.e.loop.WakeAt(again)
	}
	return r.out == 0 && !now.Before(again)
}

// pollTime is how long a receive waits for its first message.
func (r *receives) pollTime() time.Duration {
	const whenDraining = time.Second // any long poll asks every server, and so knows that the queue is empty
	if r.e.Drain {
		return min(whenDraining, r.e.PollTime)
	}
	return r.e.PollTime
}

// view is the run as its pace sees it.
func (r *receives) view(now time.Time) pace.View {
	e := r.e
	v := pace.View{
		Now: now, Free: e.Concurrency - e.calls.n, Waiting: e.order.ready(),
		Held: len(e.hand.messages), Due: e.order.due(), Latency: e.report.latency,
	}
	v.Settling = v.Held - e.hand.onWay()
	v.Budget = (e.BytesInFlight-e.hand.bytes)/e.hand.largest - r.asked
	v.Enough = max(1, e.BytesInFlight/e.hand.largest)
	if v.Held == 0 && r.out == 0 {
		v.Budget = max(1, v.Budget) // whatever its size: nobody else will make room
	}
	if most := e.MaxMessages; most > 0 {
		v.Budget = min(v.Budget, most-r.taken-r.asked)
		v.Enough = min(v.Enough, v.Budget)
	}
	return v
}

// returned takes in the end of a receive.
func (r *receives) returned(a *received, now time.Time) {
	r.e.report.took(a.came().Sub(a.sent), a.Err == nil && r.atOnce(a))
	if a.late {
		r.returnedLate(a, now)
		return
	}
	a.seen = true
	r.out--
	r.asked -= a.asked
	r.e.refusals.probed(a)
	if a.Err != nil {
		r.failed(a, now)
		return
	}
	r.worked = true
	r.e.refusals.granted(opReceive, a.sent, now)
	r.unread = 0
	if len(a.Messages) > 0 {
		r.line.Arrived(Arrival{
			Asked: a.asked, Got: len(a.Messages), Bytes: a.bytes(), Took: a.arrived.Sub(a.sent), Arriving: a.arrived.Sub(a.came()), Out: max(a.beside, r.out+1),
		})
	}
	hungry := r.e.calls.n < r.e.Concurrency && r.e.order.ready() < r.e.BatchSize
	r.recovered()
	r.e.Counters.LastReceive.Store(now.UnixNano())
	got := len(a.Messages)
	fresh := r.take(a, now)
	r.empty = got == 0 && (!r.e.Drain || r.waited(a))
	if r.e.Drain && r.drained(a, got) {
		r.e.stop.close(now)
	}
	end := pace.Answer{Asked: a.asked, Got: min(got, a.asked), New: len(fresh), Hungry: hungry, Sent: a.sent, Began: a.came(), Since: a.since}
	if len(fresh) > 0 { // an idle run does not look at the clock
		var wall time.Time
		wall, end.Epoch = r.e.Clock.Wall(a.arrived)
		end.Aged, end.Oldest, end.Youngest = ages(fresh, wall.Add(a.came().Sub(a.arrived)))
	}
	r.e.dispatch(now)
	r.e.pace.Answered(end, r.view(now))
	r.e.settle.brisk = r.e.pace.Rate()*defaultLinger.Seconds() >= 1
}

// atOnce reports whether a took no longer than any call does, as far as is known.
func (r *receives) atOnce(a *received) bool {
	first := r.e.report.latency == unseen && len(a.Messages) > 0 && a.came().Sub(a.sent) < time.Second
	return len(a.Messages) == maxEntries || first
}

// bytes returns how large the messages are that a has brought.
func (a *received) bytes() (n int) {
	for _, m := range a.Messages {
		n += m.Delivery.Bytes
	}
	return n
}

// came returns when the answer began to arrive. If that was not seen, or it brought nothing that
// could take long, it is when it was there.
func (a *received) came() time.Time {
	if a.Began.IsZero() || len(a.Messages) == 0 {
		return a.arrived
	}
	return a.Began
}

// overdue notes that a client has not returned in time. Another receive takes its place.
func (r *receives) overdue(o *overdue, now time.Time) {
	a := o.receive
	if a.seen {
		return // it came just then
	}
	a.late = true
	r.e.refusals.probed(a)
	r.out--
	r.asked -= a.asked
	r.failed(&received{Answer: Answer{Err: o.err}, asked: a.asked, try: a.try, sent: a.sent}, now)
}

// returnedLate takes the messages of a receive whose time is over, if they are still
// hidden from others.
func (r *receives) returnedLate(a *received, now time.Time) {
	n := len(a.Messages)
	if a.Err != nil {
		return // it counts as failed already
	}
	r.worked = true
	r.recovered()
	if n == 0 {
		return
	}
	known := !r.e.FIFO || r.attempts.Found(a.try) // else it has been repeated, which brings the same
	room := r.e.MaxMessages == 0 || r.taken+r.asked+n <= r.e.MaxMessages
	if known && room && now.Sub(a.sent) < r.e.Visibility {
		r.take(a, now)
		return
	}
	r.e.Told.Log(slog.LevelWarn, "an answer came too late, its messages will be received again", "messages", n, "after", a.arrived.Sub(a.sent))
}

// drained reports whether the queue is empty: two answers in a row have found it so while
// nothing was in progress. An answer that came at once has not asked every server of SQS.
func (r *receives) drained(a *received, got int) bool {
	if got > 0 || r.busy() {
		r.empties = 0
	}
	if r.empty && a.alone && r.out == 0 && !r.busy() {
		r.empties++
	}
	return r.empties >= 2
}

// busy reports whether a message is in progress. A message whose handler goes on without its
// lease, although its context has ended, is not: nobody knows whether it ever returns.
func (r *receives) busy() bool {
	for _, m := range r.e.hand.messages {
		if m.stage != handling || !m.call.lost {
			return true
		}
	}
	return false
}

// waited reports whether an answer took about as long as its receive was to wait for
// messages, besides the time that any call takes.
func (r *receives) waited(a *received) bool {
	return a.arrived.Sub(a.sent) >= a.wait*3/4+min(r.e.report.latency, a.wait/8)
}

// ages returns how many of the messages are received for the first time, and the ages of
// the oldest and the youngest of these when they came, by the wall clock.
func ages(fresh []*Message, came time.Time) (n int, oldest, youngest time.Duration) {
	for _, m := range fresh {
		if m.Delivery.Receives > 1 || m.Delivery.SentAt.IsZero() {
			continue
		}
		age := came.Sub(m.Delivery.SentAt)
		if n++; n == 1 {
			oldest, youngest = age, age
		}
		oldest, youngest = max(oldest, age), min(youngest, age)
	}
	return n, oldest, youngest
}

// failed deals with a receive that failed.
func (r *receives) failed(a *received, now time.Time) {
	err := fault.Of(a.Err)
	if r.e.stop.interrupting() {
		return // the receive was cut
	}
	switch {
	case err.Cut:
		r.line.Cut(r.out+1, now)
	case err.Unreadable:
		r.unread++
		r.unreadAt = now
	}
	if err.Kind == fault.Lasting && a.try.Again { // what it would have repeated is not repeatable any more
		r.e.pace.Answered(pace.Answer{Asked: a.asked, Sent: a.sent, Void: true}, r.view(now))
		return
	}
	switch err.Kind {
	case fault.Lasting:
		r.e.fail(opReceive, err.Err, now)
	case fault.Refused:
		r.e.refusals.receiveRefused(a, err.Err, now)
	case fault.Passing, fault.Throttled, fault.Lost: // they end nothing
	}
	if r.e.FIFO && err.Kind == fault.Passing && !err.Expired {
		r.attempts.Lost(a.try) // it may have had its effect; one that was throttled had not, and its id is spent
	}
	r.e.pace.Answered(pace.Answer{Asked: a.asked, Sent: a.sent, Failed: true, Throttled: err.Kind == fault.Throttled}, r.view(now))
	r.e.Counters.Receiving(err.Err)
	if err.Kind == fault.Refused {
		return // the refusals say so
	}
	failures, until := r.e.pace.Outage()
	if failures < worthSaying {
		return
	}
	if r.outage.since.IsZero() {
		r.outage.since = now
	}
	if now.Sub(r.outage.said) >= sayAgain {
		r.outage.said = now
		r.e.Told.Log(slog.LevelWarn, "receiving fails", "failures", failures, "since", r.outage.since, "retry_at", until, "error", err.Err)
	}
}

// An outage is what the log says of receives that fail. The zero value is none.
type outage struct {
	since time.Time
	said  time.Time // when a log line told of it
}

// recovered notes that a receive has succeeded.
func (r *receives) recovered() {
	r.e.Counters.Receiving(nil)
	if since := r.outage.since; !since.IsZero() {
		r.outage = outage{}
		r.e.Told.Log(slog.LevelInfo, "receiving again", "since", since)
	}
}

// take takes the messages of an answer in hand, and returns those that were not in hand
// already.
func (r *receives) take(a *received, now time.Time) (fresh []*Message) {
	surplus := a.cut()
	if r.taken == 0 {
		r.e.hand.largest = smallest // until now nothing was known
	}
	r.taken += len(a.Messages)
	fresh = a.Messages[:0]
	var twice []*Message
	for _, m := range a.Messages {
		r.e.Counters.Arrived(m.Delivery.Receives)
		a.mark(m)
		if r.e.hand.messages[m.key()] != nil {
			twice = append(twice, m) // in hand, or in this very answer
			continue
		}
		r.e.hand.hold(m)
		fresh = append(fresh, m)
	}
	r.e.leases.add(a.sent, a.arrived, fresh...)
	for _, newer := range twice {
		r.adopt(r.e.hand.messages[newer.key()], newer)
	}
	if r.e.FIFO {
		a.noteMore(fresh)
	}
	r.admit(now, fresh...)
	if len(surplus) > 0 {
		r.releaseSurplus(surplus, a, now)
	}
	if most := r.e.MaxMessages; most > 0 && r.taken >= most {
		r.e.stop.close(now)
	}
	return fresh
}

// mark notes on m which receive has brought it.
func (a *received) mark(m *Message) {
	m.sent, m.arrived = a.sent, a.arrived
	m.lease.Of = m
}

// noteMore notes of which messages the queue may have more in their groups. It gives as many
// as it can of a group before it goes on to the next one, so of the last group of a full
// answer there may be more. A message that has waited in the queue may have waited for
// others of its group, and others behind it.
func (a *received) noteMore(ms []*Message) {
	const atOnce = 250 * time.Millisecond // on its way, and between two clocks
	full := len(a.Messages) >= a.asked
	for _, m := range slices.Backward(ms) {
		full = full && m.Group() == ms[len(ms)-1].Group()
		m.marks.more = full || a.arrived.Sub(m.Delivery.SentAt) > atOnce
	}
}

// cut leaves in the answer what was asked for, and returns the rest.
func (a *received) cut() (surplus []*Message) {
	if len(a.Messages) <= a.asked {
		return nil
	}
	surplus = a.Messages[a.asked:]
	a.Messages = a.Messages[:a.asked:a.asked]
	return surplus
}

// releaseSurplus makes messages visible again that nobody has asked for: there may be no
// room for them. Of very many only some are, so that they need no room either; the others
// are when their visibility timeout is over.
func (r *receives) releaseSurplus(surplus []*Message, a *received, now time.Time) {
	const most = 1000
	r.e.Told.Log(slog.LevelWarn, "an answer has more messages than were asked for", "asked", a.asked, "surplus", len(surplus))
	for _, m := range surplus {
		r.e.Counters.Arrived(m.Delivery.Receives)
	}
	if len(surplus) > most {
		r.e.Counters.Unsettled.Add(int64(len(surplus) - most))
		surplus = surplus[:most]
	}
	var back []*Message
	for _, m := range surplus {
		a.mark(m)
		if known := r.e.hand.messages[m.key()]; known != nil {
			r.adopt(known, m)
			continue
		}
		r.e.hand.hold(m)
		r.e.leases.add(a.sent, a.arrived, m)
		back = append(back, m)
	}
	r.decline(back, now)
}

// decline releases messages that have just come, the last one first: a group of a FIFO queue
// is released from its end.
func (r *receives) decline(ms []*Message, now time.Time) {
	for _, m := range slices.Backward(ms) {
		m.marks.surplus, m.marks.returned = true, true
		r.e.settle.release(m, 0, 0, now)
	}
}

// admit lets messages wait for a handler.
func (r *receives) admit(now time.Time, ms ...*Message) {
	if r.e.stop.interrupting() {
		r.decline(ms, now) // nobody will handle them in time
		return
	}
	r.e.hand.move(waiting, ms...)
	r.e.order.add(now, ms...)
}

// adopt notes that a message in hand was received once more. Only its newest receipt
// handle is sure to delete it. It is not handled twice.
func (r *receives) adopt(known, newer *Message) {
	if known.handled() {
		known.twice++ // its end will say whether this was one
	} else {
		r.e.Counters.Duplicates.Add(1)
	}
	if newer.Delivery.Receives < known.latest().Delivery.Receives {
		return // it is older: its answer was overtaken by that of a later receive
	}
	known.newer = newer
	r.e.leases.adopt(known, newer.sent, newer.arrived)
	known.marks.counted, known.marks.lost = false, false
}
