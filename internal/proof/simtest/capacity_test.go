package simtest

import "time"

// A capacity is what a life could take, over time.
type capacity struct {
	hungry []spell // it had a slot free for which nothing was in hand or asked for, and a receiver to spare
	free   []step  // slots that are free while nothing holds it back
}

// A capacityReader reads the capacity of a life from its events. A pause, a stop, a
// receive that failed, and deletes that do not come through hold it back. So does the only
// receive that is out while it takes far longer on its way than calls do, by chance: all
// that comes meanwhile waits for it, and it looks like one that waits for messages.
type capacityReader struct {
	*studied
	capacity

	since     time.Duration // it is hungry since then; forever: it is not
	heldUntil time.Duration
	paused    bool
	dragged   bool        // the only receive that is out takes long on its way
	receives  map[int]int // those that are out: for how many messages
	asked     int         // messages, by all of them
	calls     int         // of handlers
	hand      int         // messages that no handler call has begun with
	undeleted map[string]bool
}

func (s *studied) capacityOf(l *lived) *capacity {
	r := &capacityReader{studied: s, since: forever, heldUntil: l.from, receives: map[int]int{}, undeleted: map[string]bool{}}
	end := l.until(s)
	if l.stopAt > 0 {
		end = min(end, l.stopAt)
	}
	for i, e := range l.events {
		if e.at >= end {
			end = min(end, e.at)
			break
		}
		r.see(e)
		if i+1 == len(l.events) || l.events[i+1].at > e.at { // all that happens at one instant is one thing
			r.note(e.at)
		}
	}
	r.paused = true
	r.note(end)
	return &r.capacity
}

func (r *capacityReader) see(e event) {
	switch {
	case e.kind == paused:
		r.paused = true
	case e.kind == resumed:
		r.paused = false
	case e.kind == batchBegan:
		r.calls++
		r.hand -= e.n
	case e.kind == batchEnded:
		r.calls--
	case e.kind == ended && e.verdict != failure:
		r.undeleted[e.message] = true
	case e.kind == dragged:
		r.dragged = len(r.receives) == 1
	case e.op == opReceive && e.kind == called:
		r.dragged = false
		r.receives[e.call] = e.n
		r.asked += e.n
		if e.n < 10 && r.since < forever {
			r.gathered(e.at)
		}
	case e.op == opReceive && e.kind == answered:
		r.received(e)
	case e.op == opDelete && e.kind == answered:
		for i, h := range e.handles {
			if e.ok[i] || e.err == nil {
				delete(r.undeleted, r.of[h])
			}
		}
	}
}

// gathered takes the time off that a receive for fewer than ten messages may have waited
// for more slots to come free: slots that come free together are worth one receive.
func (r *capacityReader) gathered(now time.Duration) {
	const least, most, part = 20 * time.Millisecond, 100 * time.Millisecond, 50 // of what a handler takes
	wait := min(most, max(least, r.mood.longest/part))
	if now-wait > r.since {
		r.hungry = append(r.hungry, spell{r.since, now - wait})
	}
	r.since = now
}

func (r *capacityReader) received(e event) {
	const backOff = 30 * time.Second // the longest
	r.dragged = false
	r.asked -= r.receives[e.call]
	delete(r.receives, e.call)
	r.hand += len(e.got)
	if e.err != nil {
		r.heldUntil = e.at + backOff
	}
}

// note notes what holds from a time on.
func (r *capacityReader) note(now time.Duration) {
	o := &r.options
	free := o.Concurrency - r.calls
	if r.paused || now < r.heldUntil || len(r.undeleted) > 10*o.Receivers {
		free = 0
	}
	r.free = append(r.free, step{now, free})
	hungry := free > 0 && r.hand < o.BatchSize && len(r.receives) < o.Receivers && !r.dragged
	if o.BatchSize == 1 {
		hungry = hungry && free > min(r.asked, 4*len(r.receives)) // a slot that is asked for is not free, but one receive may not keep many from others
	}
	switch {
	case hungry && r.since == forever:
		r.since = now
	case !hungry && r.since < forever:
		r.hungry = append(r.hungry, spell{r.since, now})
		r.since = forever
	}
}
