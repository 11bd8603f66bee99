// Package pace decides when the next receive goes out and how much it asks for.
//
// Three forces pull at it. Handlers should never wait for messages that are in
// the queue; messages should never wait for handlers, because a held message is
// hidden from other consumers and has spent one of its receives; and each call
// costs money, so each should bring as much as it can.
//
// How many receives may be out is decided by how long messages lay in the queue, never
// by how many an answer brings: SQS gives three messages where thousands wait. See law.go.
//
// A Pace is a model of the queue and of the handlers, fed with what happened and
// asked for the next step. It starts no goroutine, makes no call and reads no
// clock; one goroutine owns it.
package pace

import (
	"math"
	"time"
)

const (
	full = 10 // messages in one receive; SQS gives no more

	worthLeaving = 100 // messages left in the queue for a receive to bring several; more of them would save no more calls

	prefetch  = time.Second            // messages wait no longer for a handler, at the observed rate
	maxGather = 100 * time.Millisecond // a receive waits at most this long for more slots to come free
	minHold   = 50 * time.Millisecond  // the first time that a receive is held back after an idle spell
	maxHold   = 5 * time.Second        // a batch that could be full is noticed no later
	calm      = time.Second            // a receive that waited longer than this met an idle queue

	firstDelay = 5 * time.Millisecond  // upper bound of the first back-off
	minGather  = 20 * time.Millisecond // and this long if nothing is known of handlers
	maxDelay   = 30 * time.Second      // upper bound of every back-off
	outage     = 3                     // failures in a row after which a single receiver goes on
	pressure   = 0.1                   // share of answers that are throttled from which receivers become fewer: below, those that were sit it out
	lately     = 32                    // answers that the share is about

	plenty   = 16 // receivers; more only if they help
	sluggish = 2  // times as long as answers take while receivers are no more than plenty: it is not they that are short

	weight = 0.3 // of the newest observation in a moving average
)

// Config describes a consumer. All fields are required.
type Config struct {
	Batch       int            // messages of a full batch
	Slots       int            // handler calls at once
	WaitTime    time.Duration  // of a batch, from its first message
	Receivers   int            // receives at once, at most
	MaxInFlight int            // messages held at once, at most
	Hold        bool           // whether receives are held back so that they come back fuller
	Linger      time.Duration  // event at a time: how long messages may lie in the queue for that; not required
	Rand        func() float64 // jitter, in [0, 1)
}

// A View is the consumer at one moment.
type View struct {
	Now      time.Time
	Free     int           // slots with no handler call
	Waiting  int           // messages in hand that a handler could have
	Settling int           // messages in hand that are being settled
	Held     int           // messages in hand, waiting, handled or being settled
	Due      time.Time     // end of the open batch's wait; zero: no batch is open
	Latency  time.Duration // of calls that SQS answers at once
	Budget   int           // messages that may still be asked for, by bytes in flight and by the bounds of the run
	Enough   int           // the budget will not grow beyond this; a receive for Enough is as large as one can be
}

// An Answer is the end of a receive.
type Answer struct {
	Asked, Got int
	New        int  // of those it got: messages that were not in hand already
	Hungry     bool // handlers had nothing to do when it came
	Sent       time.Time
	Began      time.Time     // when it began to arrive; a large one goes on for seconds, which says nothing about the queue
	Since      time.Time     // what [Pace.Sent] said when it went out; zero: nothing is known
	Aged       int           // new messages that nobody has received before; the ages are theirs, by two clocks that may differ
	Oldest     time.Duration // since it was sent, when the answer began to arrive
	Youngest   time.Duration
	Epoch      int // of our clock: another one if it has leapt meanwhile, so that ages may be other figures than before
	Failed     bool
	Throttled  bool
	Void       bool // it says nothing about the queue; another call will
}

// Pace is the model. The zero value is not usable; see [New].
type Pace struct {
	Config

	out   int     // receives that wait for their answers
	asked int     // messages that they asked for
	n     float64 // receives that may be out by the law

	dry       bool      // the newest answer brought nothing new: the next one will tell whether anything is there
	there     float64   // batches: messages that the newest answer has left in the queue, by their age and the rate
	short     time.Time // when the newest receive went out that came back not full
	row       row
	size      float64 // of answers, a moving average
	brings    float64 // messages that an answer brings if there is room for ten
	ages      ages
	span      span
	trips     trips
	throttled float64 // share of the latest answers

	arrival arrival
	service service

	lag lag

	hold      time.Duration // how long receives were held back last
	heldUntil time.Time
	gather    time.Time // since when a smaller receive than useful could go out; zero: none could

	failures int         // in a row, receives that were out together counting once
	failedAt time.Time   // when the last of them was noticed
	benched  []time.Time // receivers that sit out a back-off, until then

	hasty int // answers in a row that brought nothing although their receives had hardly waited
}

// New returns a Pace for a consumer that has just begun.
func New(c Config) *Pace {
	return &Pace{Config: c, n: 1, brings: full}
}

// Next says how many messages a receive should ask for that goes out now; 0 means
// none, and look again at the given time, or at the next event if it is zero.
func (p *Pace) Next(v View) (n int, at time.Time) {
	if p.heldUntil.After(v.Now) {
		return 0, p.heldUntil
	}
	if p.out >= p.receivers(v.Now) || p.out > 0 && p.dry {
		return 0, p.benchEnd()
	}
	if p.crowd(v)+full > (p.Slots+1)*p.Batch+2*full*p.Receivers {
		p.gather = time.Time{}
		return 0, time.Time{} // until some of them are settled
	}
	limit := p.limit(v)
	room := limit - v.Waiting - p.asked
	portion := p.portion(room)
	n = min(full, portion, v.Budget, p.MaxInFlight-v.Held-p.asked)
	if n <= 0 {
		p.gather = time.Time{}
		return 0, time.Time{}
	}
	if n == portion && portion < room || p.useful(n, room, v) {
		return n, time.Time{}
	}
	return p.gathered(n, limit, v)
}

// portion returns how much of the room a receive may ask for. Where answers bring fewer
// than they are asked for, one that asked for all would keep the room from the others.
func (p *Pace) portion(room int) int {
	if p.holds() || room >= full*(p.allowed()-p.out) {
		return room
	}
	return min(room, int(math.Ceil(1.5*p.brings)))
}

// useful reports whether a receive for n messages is as large as is worth waiting for.
func (p *Pace) useful(n, room int, v View) bool {
	switch {
	case n >= min(full, v.Enough):
		return true // it cannot become larger
	case v.Held == 0:
		return true // nothing is under way that could make it larger
	default:
		return p.Batch > 1 && v.Free > 0 && n == room // it completes the batch
	}
}

// gathered decides on a receive for fewer messages than a fuller one soon could
// ask for. Slots that come free together are worth one receive, so it waits for a
// fiftieth of what a handler takes, and for a round trip at most: a message may lie there.
func (p *Pace) gathered(n, limit int, v View) (int, time.Time) {
	if v.Free == 0 && n < min(full, limit) {
		p.gather = time.Time{}
		return 0, time.Time{} // the handlers have enough to do until the next one ends
	}
	if p.gather.IsZero() {
		p.gather = v.Now
	}
	at := p.gather.Add(min(maxGather, max(minGather, p.service.perCall()/50), p.Linger+v.Latency))
	if v.Now.Before(at) {
		return 0, at
	}
	return n, time.Time{}
}

// Sent notes that a receive for n messages went out. Its [Answer] is to bring back
// what it returns.
func (p *Pace) Sent(n int) (since time.Time) {
	p.out++
	p.asked += n
	p.gather = time.Time{}
	return p.short
}

// Answered notes the end of a receive. v is the consumer with what the answer
// brought: already dispatched, as far as there were slots.
func (p *Pace) Answered(a Answer, v View) {
	v.Latency = max(v.Latency, tick)
	p.out--
	p.asked -= a.Asked
	if a.Void {
		return
	}
	p.throttled -= p.throttled / lately
	if a.Failed {
		p.failed(a, v.Now)
		return
	}
	p.failures, p.failedAt = 0, time.Time{}
	p.slowDown(a, v.Now)
	p.adapt(a, v)
}

// Handled notes that a handler call ended that took d.
func (p *Pace) Handled(d time.Duration, now time.Time) { p.service.note(d, now) }

// Lag returns how long the oldest message had been in the queue that was received for the
// first time of late, and whether that grows: messages come faster than they are received.
func (p *Pace) Lag(now time.Time) (longest time.Duration, rising bool) { return p.lag.at(now) }

// Allowed returns how many receives may be out.
func (p *Pace) Allowed() int { return p.allowed() }

// Rate returns how many messages come into the queue each second, as far as is known.
func (p *Pace) Rate() float64 { return p.arrival.rate }

// Outage returns until when receives are held off because of failures, and how
// many there were in a row.
func (p *Pace) Outage() (failures int, until time.Time) {
	for _, t := range p.benched {
		if t.After(until) {
			until = t
		}
	}
	return p.failures, until
}

// receivers returns how many receives may be out now.
func (p *Pace) receivers(now time.Time) int {
	n := 0
	for _, t := range p.benched {
		if t.After(now) {
			p.benched[n] = t
			n++
		}
	}
	p.benched = p.benched[:n]
	return p.allowed() - n
}

// allowed returns how many receives the queue is worth.
func (p *Pace) allowed() int {
	return min(p.Receivers, max(int(p.n), int((p.there-unsure)/full)))
}

// benchEnd returns when the next receiver's back-off ends; zero if none sits one out.
func (p *Pace) benchEnd() (first time.Time) {
	for _, t := range p.benched {
		if first.IsZero() || t.Before(first) {
			first = t
		}
	}
	return first
}

// crowd returns how many messages are on their way through the consumer, at most. What
// waits for another of its message group is not among them, since it may do so for
// hours. There is room for those that are handled, a batch that fills, as many as all
// receivers can bring, and as many being deleted.
func (p *Pace) crowd(v View) int {
	return v.Waiting + (p.Slots-v.Free)*p.Batch + v.Settling + p.asked
}

// limit returns how many messages may wait for a handler: enough for the slots
// that are free and for those that will be within a second.
func (p *Pace) limit(v View) int {
	return v.Free*p.Batch + p.ahead(v)
}

// ahead returns how many messages may wait while every slot is taken: those for
// which a slot comes free within a second, but no more than a batch needs and the
// receivers can bring at once.
func (p *Pace) ahead(v View) int {
	calls := math.Floor(p.service.within(prefetch, p.Slots, v.Now))
	most := full*p.allowed() + p.Batch
	return int(min(calls*float64(p.Batch), float64(most)))
}

// holds reports whether receives are held back: not where a message is handled as
// soon as it arrives.
func (p *Pace) holds() bool { return p.Hold && p.Batch > 1 }

// holdBack decides how long to leave messages in the queue after an answer that
// was not full, so that the next one comes back fuller. There nothing needs a
// lease, and n messages cost n/10 receives instead of up to n.
func (p *Pace) holdBack(a Answer, v View) {
	p.heldUntil = time.Time{}
	if v.Waiting == 0 || v.Due.IsZero() {
		return
	}
	if a.Began.Sub(a.Sent) > calm || p.arrival.jumped {
		p.hold = 0 // the queue was idle, or has woken up: nothing is known of what comes next
	}
	left := v.Due.Sub(v.Now)
	if left <= 0 {
		return
	}
	missing := float64(p.Batch - v.Waiting)
	fetch := p.fetchTime(missing, left, v.Latency)
	if left <= fetch {
		p.heldUntil = v.Due // what comes now belongs to the next batch
		return
	}
	grown := max(2*p.hold, minHold)
	p.hold = min(grown, p.WaitTime/2, maxHold, inSeconds(min(missing, worthLeaving)/p.arrival.rate))
	p.heldUntil = v.Now.Add(min(p.hold, left-fetch))
}

// fetchTime estimates how long it takes to receive what will be in the queue when
// the batch's wait ends: the first answer, and one more for each further ten.
func (p *Pace) fetchTime(missing float64, left, latency time.Duration) time.Duration {
	receives := 1 + min(missing, p.arrival.rate*left.Seconds())/full
	return min(left/2, inSeconds(1.5*latency.Seconds()*receives)) // half as much again, for answers slower than usual
}

func (p *Pace) failed(a Answer, now time.Time) {
	if p.failures == 0 || a.Sent.After(p.failedAt) {
		p.failures++
		p.failedAt = now
	}
	if a.Throttled {
		p.throttled += 1.0 / lately
		if p.throttled > pressure {
			p.n = max(1, p.n*3/4)
		}
	}
	if p.failures >= outage {
		p.n, p.there = 1, 0
	}
	bound := min(maxDelay.Seconds(), firstDelay.Seconds()*math.Pow(2, float64(p.failures-1)))
	p.benched = append(p.benched, now.Add(inSeconds(bound*p.Rand())))
}

// slowDown keeps receives that come back at once with nothing, not waiting for
// messages as they were asked to, from following each other as fast as they can: SQS
// does so now and then, a stand-in for it may do so always.
func (p *Pace) slowDown(a Answer, now time.Time) {
	const some, most = 3, 10 // up to there it is chance; and 5 ms doubled seven times is long enough
	if a.New > 0 || now.Sub(a.Sent) >= calm/2 {
		p.hasty = 0
		return
	}
	if p.hasty++; p.hasty > some {
		bound := firstDelay << (min(p.hasty, most) - some)
		p.benched = append(p.benched, now.Add(inSeconds(bound.Seconds()*(1+p.Rand())/2)))
	}
}

func inSeconds(s float64) time.Duration {
	if s >= float64(math.MaxInt64)/1e9 || math.IsNaN(s) {
		return math.MaxInt64
	}
	return time.Duration(s * 1e9)
}
