package simtest

import (
	"time"

	"github.com/sluice-go/sluice"
)

// countsAgree is I12: what a Consumer says of itself, and tells its hooks, equals
// what its client and its handlers have seen; and received = deleted + given back +
// unsettled + duplicates, where no lease was lost and nothing was left behind.
func countsAgree(s *studied) {
	for _, st := range s.stats {
		a := &accounts{studied: s, lifeStats: st, life: s.lives[st.inc], calls: map[string]int64{}, errors: map[string]int64{}}
		a.count()
		a.compare()
		a.balance()
		a.reasons()
		a.hooks()
	}
}

// accounts are the counts of a life as the checker has them.
type accounts struct {
	*studied
	lifeStats

	life          *lived
	calls, errors map[string]int64 // by operation

	begun, full, stuck        int64 // handler calls; those of a full batch; those that have not returned
	succeeded, failed, panics int64
	buried, confirmed         int64 // messages sent to the dead-letter queue; entries of deletes that SQS confirmed
}

func (a *accounts) count() {
	for _, e := range a.life.events {
		if e.at > a.life.to {
			break
		}
		switch e.kind {
		case answered:
			a.answer(e)
		case batchBegan:
			a.begun++
			a.stuck++
			if e.n == a.options.BatchSize {
				a.full++
			}
		case batchEnded:
			a.stuck--
			a.outcomes(e.call)
		}
	}
}

func (a *accounts) answer(e event) {
	a.calls[e.op]++
	switch {
	case e.err != nil:
		a.errors[e.op]++
	case e.op == opSend:
		a.buried++
	case e.op == opDelete:
		for _, ok := range e.ok {
			if ok {
				a.confirmed++
			}
		}
	}
}

// outcomes counts what a handler call said of its messages. On a FIFO queue those
// behind one that failed in their group count as not handled.
func (a *accounts) outcomes(call int) {
	events, verdicts, away, wild := a.life.batches[call], map[string]verdict{}, false, false
	for _, e := range events {
		switch e.kind {
		case ended:
			verdicts[e.message] = e.verdict
		case wentAway:
			away = true
		case panicked:
			wild = true
		}
	}
	if away || wild {
		a.panics++
	}
	halted := map[string]bool{}
	for _, h := range events[0].handles {
		m := a.of[h]
		group := a.groupOf(m)
		v, seen := verdicts[m]
		lost := away || !seen || v == failure
		switch {
		case a.fifo && halted[group]:
		case !lost && v == success:
			a.succeeded++
		default:
			a.failed++
			halted[group] = lost || a.form == oneByOne || a.form == decoded // Each passes nothing behind any error
		}
	}
}

func (a *accounts) compare() {
	says := a.stats
	for _, op := range []string{opReceive, opDelete, opChange, opSend} {
		a.agree("calls of "+op, says.Calls[op], a.calls[op])
		a.agree("failed calls of "+op, says.Errors[op], a.errors[op])
	}
	a.agree("messages succeeded", says.Succeeded, a.succeeded)
	a.agree("messages failed", says.Failed, a.failed)
	a.agree("panics", says.Panics, a.panics)
	a.agree("messages sent to the dead-letter queue", says.DeadLettered, a.buried)
	if says.Deleted > a.confirmed {
		a.agree("messages deleted", says.Deleted, a.confirmed)
	}
	a.agree("messages in flight", int64(says.InFlight), 0)
	a.agree("bytes in flight", int64(says.BytesInFlight), 0)
	a.agree("handlers", int64(says.Handlers), 0)
	if at := a.life.lastReceive(); at > 0 && !says.LastReceive.Equal(a.hist.began.Add(at)) {
		a.agree("ns at the last receive", int64(says.LastReceive.Sub(a.hist.began)), int64(at))
	}
}

// balance compares what became of the messages that were received.
func (a *accounts) balance() {
	k, says := a.audit(a.life), a.stats
	a.agree("messages received", says.Received, k.received)
	ends := says.Duplicates + says.Deleted + says.GivenBack + says.Unsettled
	if ends > says.Received {
		a.agree("ends of messages received", ends, says.Received)
	}
	if k.unsure {
		return
	}
	a.agree("duplicates", says.Duplicates, k.duplicates)
	a.agree("messages deleted", says.Deleted, k.deleted)
	a.agree("messages given back", says.GivenBack, k.givenBack)
	a.agree("leases lost", says.LeasesLost, 0)
	a.agree("messages unsettled", says.Unsettled, 0)
	if a.life.err == nil {
		a.agree("ends of messages received", ends, says.Received)
	}
}

// reasons checks why batches were handed over.
func (a *accounts) reasons() {
	sum := int64(0)
	for _, n := range a.stats.Batches {
		sum += n
	}
	says := a.stats.Batches
	a.agree("batches", sum, a.begun)
	if says[sluice.ReasonFull] < a.full || a.calm && !a.fifo && says[sluice.ReasonFull] != a.full {
		a.agree("full batches", says[sluice.ReasonFull], a.full)
	}
	if a.mode != drains {
		a.agree("batches handed over by Drain", says[sluice.ReasonDrained], 0)
	}
	if !a.life.stopped() && a.life.err == nil && a.mode != counted {
		a.agree("batches handed over by a stop", says[sluice.ReasonStopping], 0)
	}
}

// hooks compares what the hooks were told.
func (a *accounts) hooks() {
	if a.told == nil {
		return
	}
	says := a.stats
	a.agree("dropped hook calls", says.HooksDropped, 0)
	for op := range says.Calls {
		a.agree("calls of "+op+" told to hooks", says.Calls[op], a.told.calls[op])
		a.agree("failed calls of "+op+" told to hooks", says.Errors[op], a.told.errors[op])
	}
	a.agree("lost leases told to hooks", says.LeasesLost, a.told.lostLease)
	if a.stuck > 0 {
		return
	}
	for why := range says.Batches {
		a.agree("batches told to hooks: "+why.String(), says.Batches[why], a.told.batches[why])
	}
	a.agree("failures told to hooks", says.Failed, a.told.failed)
}

func (a *accounts) agree(what string, says, want int64) {
	if says != want {
		a.breachf(a.life.to, "", "life %d says %d %s, there were %d", a.inc, says, what, want)
	}
}

// lastReceive is when the newest receive of a life was answered; 0: none was.
func (l *lived) lastReceive() (at time.Duration) {
	for _, e := range l.events {
		if e.kind == answered && e.op == opReceive && e.err == nil && e.at <= l.to {
			at = e.at
		}
	}
	return at
}
