package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/sluice-go/sluice/internal/fault"
	"github.com/sluice-go/sluice/internal/lease"
	"github.com/sluice-go/sluice/internal/serial"
)

// leases are the leases of the messages in hand. The loop owns them.
type leases struct {
	e       *Engine
	all     *lease.Leases[*Message]
	probing time.Time  // when the probe began that is under way; zero: there is none
	next    time.Time  // when the next one may begin
	warned  time.Time  // when a log line said last that processors are short
	spare   []*renewed // calls that are back, for their memory

	now    time.Time     // of the turn
	nowAt  lease.Instant // the same by the clock of leases
	looked bool          // nowAt is known
}

// watch is how often the leases are looked at, at least, while there are any: a timer does
// not go on while the machine sleeps, and leases do.
const watch = time.Second

func newLeases(e *Engine) leases {
	return leases{e: e, all: lease.New[*Message](lease.Config{Timeout: e.Visibility, Calls: max(16, e.Receivers), Rand: e.Rand})}
}

// begin notes the time of a turn.
func (l *leases) begin(now time.Time) { l.now, l.looked = now, false }

// at returns a time by the clock of leases. At that of the turn it is asked for each message,
// and so looked up once.
func (l *leases) at(t time.Time) lease.Instant {
	if t != l.now {
		return l.e.Clock.At(t)
	}
	if !l.looked {
		l.nowAt, l.looked = l.e.Clock.At(t), true
	}
	return l.nowAt
}

// add begins the leases of messages that one receive has brought.
func (l *leases) add(sent, arrived time.Time, ms ...*Message) {
	if len(ms) == 0 {
		return // an idle run does not look at the clock
	}
	s, a := l.at(sent), l.at(arrived)
	for _, m := range ms {
		l.all.Add(s, a, &m.lease)
	}
}

// adopt begins the lease of a message anew that was received once more.
func (l *leases) adopt(m *Message, sent, arrived time.Time) {
	l.all.Adopt(&m.lease, l.at(sent), l.at(arrived))
}

// left is how long the lease of m lasts. 0 or less: it is over.
func (l *leases) left(m *Message, now time.Time) time.Duration { return m.lease.Left(l.at(now)) }

// longest is the longest visibility timeout that SQS takes for m.
func (l *leases) longest(m *Message, now time.Time) time.Duration {
	return m.lease.Longest(l.at(now))
}

// halt ends the renewals of a message, which keeps its lease to its end.
func (l *leases) halt(m *Message) { l.all.Halt(&m.lease) }

// resume keeps the lease of a message whose settlement had no effect.
func (l *leases) resume(m *Message, now time.Time) { l.all.Resume(&m.lease, l.at(now)) }

// remove ends the lease of a message that is in hand no longer.
func (l *leases) remove(m *Message) { l.all.Remove(&m.lease) }

// retire ends the renewals of a message whose visibility is to be changed. It reports whether
// one is in flight.
func (l *leases) retire(m *Message) (renewing bool) {
	l.all.Retire(&m.lease)
	return m.lease.Renewing()
}

// A renewed is a renewal call, and as an event one that is back.
type renewed struct {
	renewal

	told atomic.Bool // the loop, although the client has not returned
}

// A renewal is what there is to know of a renewal call.
type renewal struct {
	leases   *leases
	call     *lease.Call[*Message]
	handles  [maxEntries]string
	timeouts [maxEntries]time.Duration
	limit    time.Duration // of the call

	sent time.Time
	took time.Duration
	errs []error
}

// renew ends the leases that are over, and sends the renewals that are due.
func (l *leases) renew(now time.Time) {
	if l.all.Len() == 0 {
		return
	}
	at := l.at(now)
	l.lose(l.all.Lost(at), now)
	if l.e.stop.phase >= cutting {
		return // a call would be cut at once
	}
	for c := l.all.Due(at); c != nil; c = l.all.Due(at) {
		l.e.loop.Begin(l.e.callers, l.prepare(c))
	}
	wait := watch
	if next := l.all.Next(); next != lease.Never {
		wait = min(wait, max(0, next-at))
	}
	l.e.loop.WakeAt(now.Add(wait))
	l.probe(now)
}

// prepare returns what makes a call, in the memory of an earlier one.
func (l *leases) prepare(c *lease.Call[*Message]) *renewed {
	var r *renewed
	if n := len(l.spare); n > 0 {
		r, l.spare = l.spare[n-1], l.spare[:n-1]
	} else {
		r = new(renewed)
	}
	r.leases, r.call, r.limit = l, c, l.all.CallTimeout()
	for i, entry := range c.Entries {
		r.handles[i], r.timeouts[i] = entry.Lease.Of.handle(), entry.Timeout
	}
	return r
}

// Do renews leases, called by a goroutine of the callers, which the client may end.
func (r *renewed) Do() (next serial.Work) {
	e, n, ending := r.leases.e, len(r.call.Entries), true
	r.sent = time.Now()
	defer func() {
		if ending {
			r.Overdue(nil)
		}
	}()
	errs, inTime := e.Transport.Release(e.calling, Change{Handles: r.handles[:n], Timeouts: r.timeouts[:n], Limit: r.limit, Late: r})
	ending = false
	if !inTime {
		return nil
	}
	r.errs, r.took = errs, time.Since(r.sent)
	return e.bring(r, e.callers, false)
}

// Overdue tells the loop, once, that the client has not returned, called on a goroutine of the
// transport, or that it has ended the goroutine of the call.
func (r *renewed) Overdue(errs []error) {
	if r.told.Swap(true) {
		return
	}
	late := &renewed{renewal: r.renewal} // the client still has r, and may use it
	late.errs, late.took = errs, time.Since(r.sent)
	r.leases.e.loop.Leave(late)
}

// returned takes in the end of a renewal call.
func (l *leases) returned(r *renewed, now time.Time) {
	var room [maxEntries]lease.Result
	results := room[:len(r.errs)]
	ok, back := false, l.at(r.sent.Add(r.took))
	margin := l.e.Visibility
	for i, err := range r.errs {
		if err == nil {
			ok = true
			margin = min(margin, r.call.Entries[i].Lease.Left(back))
			continue
		}
		why := fault.Of(err)
		results[i] = lease.Result{Err: why.Err, Gone: why.Kind == fault.Lost}
		if why.Kind == fault.Lasting {
			l.e.fail(opChange, why.Err, now)
		}
	}
	l.e.report.took(r.took, ok)
	l.e.refusals.heard(opChange, r.sent, r.errs, now)
	if ok {
		show(&l.e.Counters.LeaseMargin, int64(max(0, margin)))
	}
	l.all.Returned(r.call, results, back)
	for _, entry := range r.call.Entries {
		if m := entry.Lease.Of; m.marks.renewing && !m.lease.Renewing() {
			l.e.settle.renewed(m, now)
		}
	}
	l.all.Recycle(r.call)
	r.renewal = renewal{}
	l.spare = append(l.spare, r)
}

// lose deals with messages whose leases are over.
func (l *leases) lose(losses []lease.Loss[*Message], now time.Time) {
	for _, group := range lease.ByCause(losses) {
		var lost []*Message
		for _, ended := range group.Leases {
			if m := ended.Of; m.settling() {
				m.marks.gone = errors.Is(group.Err, lease.ErrGone) // it may be our own delete that has overtaken the renewal
			} else {
				lost = append(lost, m)
			}
		}
		if len(lost) > 0 {
			l.loseAll(lost, group.Err, now)
		}
	}
}

func (l *leases) loseAll(lost []*Message, cause error, now time.Time) {
	first := lost[0].Delivery
	l.e.Told.Log(slog.LevelWarn, "leases lost", "messages", len(lost), "message_id", first.ID, "group_id", first.Group, "receive_count", first.Receives, "error", cause)
	var idle []*Message // those that no handler has
	for _, m := range lost {
		m.marks.lost = true
		l.e.report.countLeaseLoss(m, cause)
		switch m.stage {
		case handling:
			l.e.calls.endContext(m.call, fmt.Errorf("%w: message %s: %w", ErrLeaseLost, m.Delivery.ID, cause), now)
			m.call.lost = true
			l.e.order.orphaned(m, now)
		case waiting:
			idle = append(idle, m)
		default: // what it waits for will find out
		}
	}
	l.e.order.lost(idle, now)
}

// A probed is how long a goroutine that was ready has waited for a processor. Where more
// goroutines want to run than there are processors, each waits for its turn, and a call waits
// several times: handlers that compute make renewals slow. So renewals begin the sooner.
type probed time.Duration

// probe measures that, once a second.
func (l *leases) probe(now time.Time) {
	if !l.probing.IsZero() {
		l.all.Starving(now.Sub(l.probing))
		return
	}
	if now.Before(l.next) {
		return
	}
	l.probing, l.next = now, now.Add(watch)
	l.e.Counters.ProbedAt.Store(now.UnixNano())
	l.e.probes.Go(func() {
		began := time.Now()
		runtime.Gosched() // to the end of the line of those that have used up their time
		l.e.loop.Leave(probed(time.Since(began)))
	})
}

// probed takes in the end of a probe.
func (l *leases) probed(wait time.Duration, now time.Time) {
	l.probing = time.Time{}
	l.all.Starved(wait)
	l.e.Counters.ProbedAt.Store(0)
	l.e.Counters.ProcessorWait.Store(int64(l.all.Wait()))
	if !l.all.TooStarved() || now.Sub(l.warned) < time.Minute {
		return
	}
	l.warned = now
	l.e.Told.Log(slog.LevelWarn, "renewals may come too late: goroutines wait for a processor",
		"wait", l.all.Wait(), "visibility_timeout", l.e.Visibility)
}
