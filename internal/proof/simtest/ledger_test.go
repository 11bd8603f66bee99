package simtest

import (
	"errors"
	"time"

	"github.com/aws/smithy-go"
)

// A ledger is what a life holds, as far as one can tell from outside: from each
// message's receive to the confirmed call that settled it. Where a lease may have
// ended first, or SQS refused a call, the library may know more than its client
// shows; then the ledger is not sure of the message, and those who ask look away.
type ledger struct {
	*studied
	life  *lived
	hand  map[string]*entered
	asked map[int]event  // requests, by call
	gives map[int][]bool // for calls that change visibilities: which entries give back

	received, duplicates int64
	deleted, givenBack   int64
	unsure               bool // of some message, now or before
}

// entered is a message in a ledger.
type entered struct {
	handle string        // the newest
	count  int           // the receive count that it came with
	sent   time.Duration // when the receive was sent that brought it
	since  time.Duration // when it arrived
	twice  int64         // receives since the first
	until  time.Duration // end of the lease
	call   int           // that handles it; 0: none
	done   bool          // a handler call has ended with it
	failed bool          // and it failed there
}

func (s *studied) ledgerOf(l *lived) *ledger {
	return &ledger{studied: s, life: l, hand: map[string]*entered{}, asked: map[int]event{}, gives: map[int][]bool{}, unsure: s.mood.hours}
}

// see enters an event of the life.
func (k *ledger) see(e event) {
	switch e.kind {
	case called:
		k.expire(e.at) // also what has just come, too late
		k.asked[e.call] = e
		k.request(e)
	case answered:
		k.expire(e.at)
		k.receive(k.asked[e.call], e)
		k.answer(k.asked[e.call], e)
	case cancelled:
		k.unsure = true // a lease is lost, or let go, or the run is over
	case batchBegan:
		for _, h := range e.handles {
			if m := k.hand[k.of[h]]; m != nil {
				m.call, m.done, m.failed = e.call, false, false
			}
		}
	case batchEnded:
		k.ended(e.call)
	}
}

// ended notes how the messages of a handler call have fared.
func (k *ledger) ended(call int) {
	good := map[string]bool{}
	for _, e := range k.life.batches[call] {
		if e.kind == ended {
			good[e.message] = e.verdict != failure && !k.void[handling{call, e.message}]
		}
	}
	for id, m := range k.hand {
		if m.call == call {
			m.call, m.done, m.failed = 0, true, !good[id]
		}
	}
}

// expire notes that leases may have ended.
func (k *ledger) expire(now time.Duration) {
	for _, m := range k.hand {
		k.unsure = k.unsure || m.until <= now
	}
}

func (k *ledger) receive(req, e event) {
	k.received += int64(len(e.got))
	for _, r := range e.got {
		if m := k.hand[r.message]; m != nil {
			m.twice++
			if r.count >= m.count { // else the answer was overtaken by that of a later receive
				m.handle, m.count, m.sent, m.since, m.until = r.handle, r.count, req.at, e.at, req.at+req.asked
			}
			continue
		}
		k.hand[r.message] = &entered{handle: r.handle, count: r.count, sent: req.at, since: e.at, until: req.at + req.asked}
	}
}

// request decides which entries of a change give their messages back, by what is
// known when it is sent: renewals ask for the visibility timeout, and of a message
// that has failed on a standard queue nothing is renewed.
func (k *ledger) request(e event) {
	if e.op != opChange {
		return
	}
	gives := make([]bool, len(e.handles))
	for i, h := range e.handles {
		m := k.hand[k.of[h]]
		switch {
		case e.timeouts[i] != k.options.VisibilityTimeout:
			gives[i] = true
		case m == nil || !m.done || !m.failed:
		case !k.fifo && !k.deadDrop:
			gives[i] = true
		default:
			k.unsure = true // it may be either
		}
	}
	k.gives[e.call] = gives
}

func (k *ledger) answer(req, e event) {
	for i, h := range e.handles {
		m := k.hand[k.of[h]]
		switch {
		case m == nil:
		case !e.ok[i]:
			k.unsure = k.unsure || e.err == nil || k.mayBeBack(e, i)
		case m.handle != h && e.op == opChange && k.gives[e.call][i] && m.since >= req.at+e.timeouts[i]:
			k.givenBack++ // and was received because of that
			k.duplicates += m.twice - 1
			*m = entered{handle: m.handle, count: m.count, sent: m.sent, since: m.since, until: m.until}
		case m.handle != h: // it was received once more: settled anew, with its newer receipt
		case e.op == opDelete:
			k.deleted++
			k.conclude(k.of[h])
		case k.gives[e.call][i]:
			k.givenBack++
			k.conclude(k.of[h])
		default:
			m.until = req.at + e.timeouts[i]
		}
	}
}

// mayBeBack reports whether a message may be visible because a call without an answer has
// given it back. The library waits a while, and then takes it for settled.
func (k *ledger) mayBeBack(e event, i int) bool {
	_, refused := errors.AsType[smithy.APIError](e.err)
	return !refused && !k.fifo && e.op == opChange && k.gives[e.call][i]
}

// conclude lets go of a message.
func (k *ledger) conclude(message string) {
	k.duplicates += k.hand[message].twice
	delete(k.hand, message)
}

// alive counts those of the messages that are in hand and whose leases last at a time.
func (k *ledger) alive(messages map[string]bool, now time.Duration) (n int) {
	for id := range messages {
		if m := k.hand[id]; m != nil && m.until > now {
			n++
		}
	}
	return n
}

// bytes are those of the messages in hand.
func (k *ledger) bytes() (n int) {
	for m := range k.hand {
		n += k.sizeOf(m)
	}
	return n
}

// stuffed reports whether what is held may leave no room for more.
func (k *ledger) stuffed() bool { return k.options.BytesInFlight > 0 && len(k.hand) > 0 }

// audit sees a whole life and returns its ledger.
func (s *studied) audit(l *lived) *ledger {
	k := s.ledgerOf(l)
	for _, e := range l.events {
		if e.at > l.until(s) {
			break
		}
		k.see(e)
	}
	k.expire(l.until(s))
	for _, m := range k.hand {
		k.duplicates += m.twice
	}
	return k
}
