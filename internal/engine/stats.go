package engine

import (
	"log/slog"
	"sync/atomic"
	"time"
)

// A Reason is why a batch was handed over.
type Reason int

const (
	Full     Reason = iota // it is as large as it may be
	Bytes                  // the next message would make it too large, or there is no room for more
	WaitTime               // its first message has waited long enough
	Drained                // the queue is empty and the run drains it
	Stopping               // the run is ending
)

// noReason is none.
const noReason Reason = -1

// A State is what a run does about receiving.
type State int

const (
	Stopped    State = iota // there is no run
	Receiving               // a receive is out
	Waiting                 // for room, or for more messages to be in the queue
	Behind                  // messages come faster than they are handled
	Paused                  // by the user
	BackingOff              // receives fail
	Refused                 // SQS refuses calls
	Ending                  // what is in hand is finished
)

// reporting is what others are told of a run.
type reporting struct {
	e       *Engine
	latency time.Duration // of calls that SQS answers at once; a moving average
	behind  bool          // messages come faster than they are handled
	entered State         // the latest one of this run; Stopped: none

	untold [settlements][]*Message // messages that this turn has settled, for Config.Told

	failures, discards, letters, stuck quota // of log lines
}

// unseen is how long calls are taken to last until one has been seen.
const unseen = 20 * time.Millisecond

// took notes how long a call has taken, if it succeeded and SQS answers such calls at once.
func (r *reporting) took(d time.Duration, atOnce bool) {
	const weight, most = 8, 3 // of the past against the newest, in a moving average; and times the average that one call counts
	if !atOnce {
		return
	}
	if r.latency == unseen {
		r.latency = d
	}
	r.latency += (min(d, most*r.latency) - r.latency) / weight
}

// publish shows how the run is doing.
func (r *reporting) publish(now time.Time) {
	r.tellSettled()
	e, c := r.e, r.e.Counters
	c.Turned()
	show(&c.InFlight, int64(len(e.hand.messages)))
	show(&c.Bytes, int64(e.hand.bytes))
	show(&c.Handlers, int64(e.calls.n))
	oldest := int64(0)
	if e.calls.first != nil {
		oldest = e.calls.first.Began.UnixNano()
	}
	show(&c.Oldest, oldest) // once: others look at any time
	show(&c.Receives, int64(e.receives.out))
	show(&c.Allowed, int64(e.pace.Allowed()))
	lag, rising := e.pace.Lag(now)
	show(&c.Lag, int64(lag))
	r.behind = rising
	r.enter(r.state(), now)
}

// show stores what a gauge shows, if that is another value: most change seldom, and an atomic
// store is dear.
func show(gauge *atomic.Int64, now int64) {
	if gauge.Load() != now {
		gauge.Store(now)
	}
}

// enter notes a state. Others are told of it if it is worth telling: waiting for room is a
// part of receiving.
func (r *reporting) enter(s State, now time.Time) {
	if s == r.entered {
		return
	}
	r.entered = s
	before, changed := r.e.Counters.Enter(int(s), now)
	working := func(s State) bool { return s == Receiving || s == Waiting }
	if changed && !(working(s) && working(State(before))) {
		r.e.Told.StateChanged()
	}
}

// state is what the run does about receiving.
func (r *reporting) state() State {
	e := r.e
	failures, _ := e.pace.Outage()
	switch {
	case e.stop.begun():
		return Ending
	case e.Paused():
		return Paused
	case len(e.refusals.of) > 0:
		return Refused
	case failures >= worthSaying:
		return BackingOff
	case r.behind:
		return Behind
	case e.receives.out > 0:
		return Receiving
	default:
		return Waiting
	}
}

// rest notes that nothing is going on any more.
func (r *reporting) rest() {
	r.e.Counters.Rest()
	r.enter(Stopped, time.Now())
}

// A Settlement is what SQS has confirmed of a message.
type Settlement int

const (
	WasDeleted      Settlement = iota // because of its handler's result
	WasReleased                       // to be received again
	WasDeadLettered                   // and deleted
	settlements
)

// settled notes how a message ended.
func (r *reporting) settled(m *Message, end End) {
	as := WasDeleted
	switch end {
	case Deleted:
		r.e.Counters.Deleted.Add(1)
		if m.marks.deadLettered {
			as = WasDeadLettered
		}
	case Released:
		r.e.Counters.Released.Add(1)
		as = WasReleased
	case Lost, Denied:
		r.e.Counters.Unsettled.Add(1)
		return
	}
	if r.e.TellSettled {
		r.untold[as] = append(r.untold[as], m)
	}
}

// tellSettled tells which messages this turn has settled.
func (r *reporting) tellSettled() {
	for as, ms := range r.untold {
		if len(ms) > 0 {
			r.untold[as] = nil // the listener keeps it
			r.e.Told.Settled(ms, Settlement(as))
		}
	}
}

// countLeaseLoss counts the loss of a message's lease, once.
func (r *reporting) countLeaseLoss(m *Message, cause error) {
	if m.marks.counted {
		return
	}
	m.marks.counted = true
	r.e.Counters.Lost.Add(1)
	r.e.Told.LeaseLost(m, cause)
}

// A quota lets a log line be written now and then, and counts those that are not.
type quota struct {
	again time.Time
	kept  int
}

// seldom is the time between two log lines of a kind that any message may cause.
const seldom = 10 * time.Second

// take reports whether a line may be written now, and how many were kept back before it.
func (q *quota) take(now time.Time) (kept int, ok bool) {
	if now.Before(q.again) {
		q.kept++
		return 0, false
	}
	kept, q.kept, q.again = q.kept, 0, now.Add(seldom)
	return kept, true
}

// handled writes log lines about a handler call that has failed, or has given messages up.
func (r *reporting) handled(c *Call, now time.Time) {
	failures, failed := 0, -1
	for i := range c.Outcomes {
		switch o := &c.Outcomes[i]; {
		case o.Err == nil || o.Unhandled:
		case o.Kind == Discard:
			r.line(&r.discards, "a message is discarded", c.Batch[i], now, "error", o.Err)
		case o.Kind == DeadLetter: // its end says so
		default:
			if failures++; failed < 0 {
				failed = i
			}
		}
	}
	if failures > 0 {
		o := &c.Outcomes[failed]
		r.line(&r.failures, "a handler call failed", c.Batch[failed], now, "failures", failures, "retry_at", now.Add(o.Delay), "error", o.Err)
	}
}

// line writes a log line about a message, if the quota allows it.
func (r *reporting) line(q *quota, text string, m *Message, now time.Time, args ...any) {
	kept, ok := q.take(now)
	if !ok {
		return
	}
	about := []any{"message_id", m.Delivery.ID, "receive_count", m.Delivery.Receives}
	if m.Delivery.Group != "" {
		about = append(about, "group_id", m.Delivery.Group)
	}
	if kept > 0 {
		about = append(about, "kept_back", kept)
	}
	r.e.Told.Log(slog.LevelWarn, text, append(about, args...)...)
}

// goesOn writes a log line about a handler call that goes on although its context has ended.
func (r *reporting) goesOn(c *Call, now time.Time) {
	const most = 10 // ids in a line
	kept, ok := r.stuck.take(now)
	if !ok {
		return
	}
	ids := make([]string, 0, most)
	for _, m := range c.Batch[:min(most, len(c.Batch))] {
		ids = append(ids, m.Delivery.ID)
	}
	r.e.Told.Log(slog.LevelError, "a handler call goes on although its context has ended", "messages", len(c.Batch), "message_ids", ids,
		"running", now.Sub(c.Began), "ended", now.Sub(c.end.at), "error", c.end.why, "kept_back", kept)
}
