package simtest

import (
	"time"
)

// holding is what a life's client knows of a message that it was given.
type holding struct {
	until   time.Duration // end of the lease: from the request of the receive, or of a renewal that was confirmed for this entry
	from    time.Duration // when the receive was sent that brought the newest receipt; 12 h count from then
	known   time.Duration // when the newest receipt came
	handle  string        // the newest receipt
	count   int           // the receive count that it came with
	tried   time.Duration // when a call last tried to change or delete it
	call    int           // that handles it; 0: none
	dead    bool          // SQS refused its receipt
	settled bool          // deleted or given back, and confirmed
	lost    bool          // its lease has ended
	failed  bool          // its handler said so; what follows may be a renewal or its being given back
	wanted  time.Duration // when a delete failed that should be tried again; 0: none
}

// handlersHaveLeases is I6: while a handler runs uncancelled, its lease is alive, or
// a renewal was refused or undeliverable a moment ago; after a loss its context is
// cancelled within 1 s; never a FIFO delete with a receipt that is known to be dead.
//
// The checker goes by what a client can know. That SQS ended a lease sooner than it
// said (F10) is not among it.
func handlersHaveLeases(s *studied) {
	for inc, l := range s.lives {
		k := &leaseKeeper{studied: s, inc: inc, life: l, of: map[string]*holding{}, open: map[string]*holding{}, asked: map[int]event{}}
		for _, e := range l.events {
			if l.to > 0 && e.at > l.to {
				break
			}
			k.overdue(e.at)
			k.see(e)
		}
	}
}

// A leaseKeeper follows the leases of one life.
type leaseKeeper struct {
	*studied
	inc   int
	life  *lived
	of    map[string]*holding
	open  map[string]*holding // those that are not settled, and some that are
	asked map[int]event       // requests, by call
}

func (k *leaseKeeper) holding(message string) *holding {
	h := k.of[message]
	if h == nil {
		h = &holding{settled: true}
		k.of[message] = h
	}
	return h
}

func (k *leaseKeeper) see(e event) {
	switch e.kind {
	case called:
		k.asked[e.call] = e
		k.request(e)
	case answered:
		k.answer(k.asked[e.call], e)
	case began:
		h := k.holding(e.message)
		h.call, h.failed = e.call, false
		if h.until < e.at && k.form != oneByOne && k.form != decoded {
			k.breachf(e.at, e.message, "life %d begins with a message whose lease ended at %v", k.inc, h.until)
		}
	case ended:
		h := k.holding(e.message)
		h.call, h.failed = 0, e.verdict == failure || k.void[handling{e.call, e.message}]
	case batchEnded:
		k.unseen(e.call)
	}
}

// unseen notes that the messages of a call that its handler never saw have failed.
func (k *leaseKeeper) unseen(call int) {
	events := k.life.batches[call]
	seen := map[string]bool{}
	for _, e := range events {
		seen[e.message] = true
	}
	for _, handle := range events[0].handles {
		if m := k.studied.of[handle]; !seen[m] {
			k.holding(m).failed = true
		}
	}
}

// request judges a request by what its sender knows.
func (k *leaseKeeper) request(e event) {
	for i, handle := range e.handles {
		m := k.studied.of[handle]
		h := k.holding(m)
		h.tried, h.wanted = e.at, 0
		if e.op == opChange && h.handle == handle && e.at+e.timeouts[i] > h.from+12*time.Hour {
			k.breachf(e.at, m, "life %d asks for more than the 12 h since the receive", k.inc)
		}
		if e.op == opChange && e.timeouts[i] == 0 {
			h.failed = true // it is given back
		}
		switch {
		case h.settled && h.handle == handle:
			k.breachf(e.at, m, "life %d sends a %s for a message that it has settled", k.inc, e.op)
		case h.until < e.at && e.op == opChange:
			k.breachf(e.at, m, "life %d changes the visibility of a message whose lease ended at %v", k.inc, h.until)
		case h.until < e.at && k.fifo:
			k.breachf(e.at, m, "life %d deletes with a receipt that ended at %v", k.inc, h.until)
		}
	}
}

func (k *leaseKeeper) answer(req, e event) {
	for _, r := range e.got {
		h := k.holding(r.message)
		if !h.settled && !h.lost && r.count < h.count {
			continue // the answer was overtaken by that of a later receive
		}
		k.open[r.message] = h
		*h = holding{count: r.count, known: e.at, from: req.at, until: req.at + req.asked, handle: r.handle, tried: req.at, call: h.call, lost: req.at+req.asked <= e.at, failed: h.failed && !h.settled}
	}
	for i, handle := range e.handles {
		h := k.holding(k.studied.of[handle])
		switch {
		case e.op == opDelete && e.ok[i] && h.handle != handle:
			h.dead = true // deleted by an older receipt: nobody has to keep its lease
		case h.handle != handle || h.settled:
		case e.op == opDelete:
			k.deleteAnswered(h, e, i)
		case e.ok[i] && e.timeouts[i] > 0 && e.at >= h.until:
			h.lost = true // the lease was over before it was known to be longer
		case e.ok[i]:
			h.until = req.at + e.timeouts[i]
			h.settled = h.call == 0 && e.timeouts[i] == 0 // given back; with a delay it may be a renewal as well
		case e.err == nil:
			h.dead = true // refused: or worth another try, which the checker cannot tell
		}
	}
}

func (k *leaseKeeper) deleteAnswered(h *holding, e event, i int) {
	switch {
	case e.ok[i]:
		h.settled = true
	case e.err == nil:
		h.dead = true
	default:
		h.wanted = e.at
	}
}

// overdue looks for what should have happened before a time.
func (k *leaseKeeper) overdue(now time.Duration) {
	const again = 16 * time.Second // the longest back-off, and a call before it that is given up after 10 s
	for m, h := range k.open {
		if h.settled {
			delete(k.open, m)
			continue
		}
		late := max(h.until, h.known) + time.Second
		if h.call > 0 && now > late {
			if cut := k.life.deathOfContext[h.call]; cut == 0 || cut > late {
				k.breachf(now, m, "life %d handles a message whose lease ended at %v, and its context lives", k.inc, h.until)
			}
		}
		if now > h.until && !h.dead && !h.lost {
			if !k.tried(h) && !h.failed && !k.undecodable(m) && !k.broken(m, now) && k.mayRenew(h) {
				k.breachf(now, m, "life %d let a lease end at %v and has not tried to renew it since %v", k.inc, h.until, h.tried)
			}
			h.lost = true
		}
		if h.wanted > 0 && !h.dead && now > h.wanted+again && h.until > now+time.Second {
			k.breachf(now, m, "life %d has not tried again to delete a message since %v", k.inc, h.wanted)
			h.wanted = 0
		}
	}
}

// tried reports whether a renewal was tried late enough in a lease.
func (k *leaseKeeper) tried(h *holding) bool {
	return h.tried >= h.until-k.options.VisibilityTimeout*7/10
}

// broken reports whether another message of a FIFO group has failed or is lost, or is lost
// at this instant, although it was tried or since its body fails. Those behind it are given
// back, and that may have to wait for calls that are slow: then their leases end instead,
// which has the same effect.
func (k *leaseKeeper) broken(message string, now time.Duration) bool {
	if !k.fifo {
		return false
	}
	group := k.groupOf(message)
	for other, h := range k.of {
		if other != message && (h.dead || h.lost || h.failed || now > h.until && (k.tried(h) || k.undecodable(other))) && k.groupOf(other) == group {
			return true
		}
	}
	return false
}

// mayRenew reports whether a message is to be renewed: not when its handler took too
// long, and not beyond 12 h.
func (k *leaseKeeper) mayRenew(h *holding) bool {
	return k.options.HandlerTimeout == 0 && !k.mood.hours && h.until < k.world.active+patience
}
