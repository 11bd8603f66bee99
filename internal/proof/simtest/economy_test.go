package simtest

import "time"

// callsAreFew is the part of I7 that costs money: calls in relation to what they
// are for. An idle queue costs one receive per poll. In a calm world no call is
// wasted: see receivesAreFew, deletesAreFew and renewalsAreFew.
func callsAreFew(s *studied) {
	for inc, l := range s.lives {
		s.idleIsCheap(inc, l)
		if s.calm {
			s.deletesAreFew(inc, l)
			s.renewalsAreFew(inc, l)
		}
	}
}

// idleIsCheap checks that from an answer that brought nothing until one that brings
// something no receive goes out while another one is out: each that finds nothing
// takes a whole poll, so an idle life makes one call per poll.
func (s *studied) idleIsCheap(inc int, l *lived) {
	out, idle := 0, false
	for _, e := range l.events {
		switch {
		case e.op != opReceive:
		case e.kind == called:
			if out++; idle && out > 1 {
				s.breachf(e.at, "", "life %d sends a receive while another one waits at a queue that is empty", inc)
				return
			}
		case e.kind == answered:
			out--
			idle = e.err == nil && len(e.got) == 0
		}
	}
}

// deletesAreFew checks that deletes travel together. Those of one handler call
// become ready together, and with them goes all that waits; so besides full calls
// there is one at most for each handler call.
func (s *studied) deletesAreFew(inc int, l *lived) {
	deletes, entries, batches := 0, 0, 0
	for _, e := range l.events {
		switch {
		case e.kind == called && e.op == opDelete:
			deletes++
			entries += len(e.handles)
		case e.kind == batchEnded:
			batches++
		}
	}
	if most := min(entries, batches+entries/10); deletes > most {
		s.breachf(l.until(s), "", "life %d makes %d calls to delete %d messages of %d handler calls, want at most %d", inc, deletes, entries, batches, most)
	}
}

// renewalsAreFew checks that what is held for less than about half a lease is not
// renewed, that what is held longer is renewed once per half of a lease, and that
// renewals travel together. A first renewal is due half a lease after the message
// arrived, or after 80 % of the time from the receive if that is sooner, and each
// further one half a lease after the one before it was sent. A call goes with ten of
// them, or when the first of them cannot wait longer. It waits for a tenth of a
// lease, or for a fifth of what it has left, which is a twenty-fifth of it at least;
// it does not wait if nothing else will be due by then. So no more than two calls
// that are not full begin in a twenty-fifth of a lease.
func (s *studied) renewalsAreFew(inc int, l *lived) {
	type kept struct {
		due time.Duration // of the next renewal
	}
	v := s.options.VisibilityTimeout
	held, asked := map[string]*kept{}, map[int]event{}
	partial := []time.Duration{} // calls that are not full
	for _, e := range l.events {
		switch {
		case e.kind == called:
			asked[e.call] = e
			if e.op != opChange {
				continue
			}
			for _, h := range e.handles {
				k := held[s.of[h]]
				if k == nil || e.at < k.due {
					s.breachf(e.at, s.of[h], "life %d renews a lease that needs it only later", inc)
					return
				}
				k.due = e.at + v/2
			}
			if len(e.handles) < 10 {
				partial = append(partial, e.at)
			}
			if n := len(partial) - 3; n >= 0 && e.at-partial[n] < v/25 {
				s.breachf(e.at, "", "life %d makes three renewal calls within %v, none of them full", inc, e.at-partial[n])
				return
			}
		case e.kind == answered && e.op == opReceive:
			sent := asked[e.call].at
			for _, r := range e.got {
				held[r.message] = &kept{due: min(e.at+v/2, max(e.at, sent+v*4/5))}
			}
		}
	}
}
