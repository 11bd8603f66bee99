package pace

import (
	"math"
	"time"
)

// The law. It decides how many receives may be out, n, from 1 to Receivers. The number of
// messages in an answer has no part in it, since SQS gives three where thousands wait.
// What counts is how long the oldest message of an answer lay in the queue:
//
//	lay = (came − SentTimestamp) − fresh
//
// An answer came when its first bytes did. Large ones go on arriving, for seconds on a slow
// line, which says nothing about the queue. Here fresh is the age of a message that came while
// a receive waited for it: the way of an answer, and what the two clocks differ by. An answer
// missed something if lay > grace + 3·spread + 1 ms, where spread is how far the ages of fresh
// messages lie apart, and if it was prompt: it came within four round trips, or brought what
// lay there for longer than it took. A round trip is that of the calls which SQS answers at
// once. Where even the quickest of the latest receives took longer, receives may all be slow;
// then it is as long as that one, but no more than five times as long as other calls are.
//
//	              event at a time                       batches
//	grace         0; when n ≥ 16 it is 3/2 L            since the last receive that came back not full
//	missed        n += 1                                n += 1
//	not missed    n −= w/200                            n −= 1/2; when n < 2 the next receive is held back
//	besides                                             n ≥ (rate · age of the youngest − 5) / 10
//
// L is a round trip. The weight w, ¼ to 1, is the mean size of answers less ¾: where each
// receive brings one message, a receiver less saves nothing.
//
// Event at a time, receivers double in a round trip while messages lie in the queue, and
// come to rest where one answer in 200 to 800, by w, finds one that did. Up to 16 of them
// the aim is that a receive always waits; beyond, that no message waits for more than about
// two round trips.
// With a Linger the grace is Linger + 3/2 L, n shrinks by 1/16, and each receiver rests for
// Linger after an answer that was not full.
//
// In batches a sweep goes on until the answers bring nothing that an earlier one has left.
// A rate that is too low lets the age of the messages grow until the receivers are enough,
// so that what was learned once is no ceiling.
//
// The lack of misses says something only if fresh is known; see [ages]. Until then n grows
// by ¼ with each answer that was prompt, or brought what is so old that no two clocks differ
// by that much, and nothing is held back. Where answers have no ages, or ages that lie
// further apart than a round trip, they say only whether their receives have waited: n grows
// by ¼ with one that has not, and shrinks by 1/32 with one that has. One that took twice as
// long as most has waited, or longer than ten round trips. That is so for messages that were
// received before, whose time of sending says nothing.
const (
	prompt  = 4                // times a round trip: an answer that took longer may not have found its messages there
	patient = 2                // times a round trip, or what receives mostly take: one that took longer has waited, or is slow
	slower  = 5                // times a round trip: receives do not take longer, if they find their messages there
	tick    = time.Millisecond // of the clock that ages are by
	several = 8                // full answers in a row that need no other sign

	unsure  = full / 2  // messages that an estimate may be too high by
	probing = 0.25      // of a receiver more, for an answer that may be due to too few of them
	fewer   = 1.0 / 200 // of one less, for an answer that missed nothing
	sparing = 1.0 / 16  // of one less, where messages may linger in the queue
	parting = 1.0 / 2   // of one less, where receives are held back
	strayed = 1.0 / 4   // of one less, for an answer from servers that had nothing
)

// A reading is what an answer says about the queue.
type reading struct {
	took   time.Duration // until it began to arrive
	whole  time.Duration // until it was here
	prompt bool          // its messages were there when the receive came, or nearly
	full   bool          // there may be more of them
	aged   bool          // it says how old its messages are
	missed bool          // one of them has been there for longer than it should
	unsure bool          // it might be that one has
	behind time.Duration // for so long younger ones than these have been sent
}

// read reads an answer.
func (p *Pace) read(a Answer, v View) reading {
	took := a.Began.Sub(a.Sent)
	if a.Got > 0 {
		p.trips.note(took)
	}
	r := reading{took: took, whole: v.Now.Sub(a.Sent), prompt: took <= prompt*p.trip(v), full: a.Got == a.Asked, aged: a.Aged > 0}
	if !r.aged {
		return r
	}
	known := p.ages.known
	p.ages.note(a, took, v, p.allowed(), p.Receivers)
	if p.ages.known && !known {
		p.n = max(1, p.n/2) // the others were to find that out
	}
	p.lag.note(p.ages.of(a.Oldest), v.Now)
	r.prompt = r.prompt || p.ages.known && p.ages.of(a.Oldest) > took+p.ages.tolerance() // it was there before the receive went out
	r.missed = r.prompt && p.missed(a, v)
	r.unsure = !p.ages.known && (r.prompt || a.Oldest.Abs() >= plausible)
	r.behind = a.Youngest - p.ages.fresh
	return r
}

// trip returns how long a receive takes that finds its messages there, as far as is known.
// The quickest of them may all have waited.
func (p *Pace) trip(v View) time.Duration {
	return v.receive(p.trips.least())
}

// usual returns how long receives mostly take, but no longer than those may that find their
// messages there. Where ages say nothing, one that took much longer has waited.
func (p *Pace) usual(v View) time.Duration {
	return v.receive(p.trips.median())
}

// receive cuts how long a receive took to what one may take that finds its messages there:
// as long as other calls at least, and no more than so many times as long.
func (v View) receive(took time.Duration) time.Duration {
	return max(v.Latency, min(took, slower*v.Latency))
}

// missed reports whether the oldest message should have been received earlier.
func (p *Pace) missed(a Answer, v View) bool {
	lay := a.Oldest - p.ages.fresh - p.ages.tolerance()
	switch {
	case p.holds():
		return !a.Since.IsZero() && lay > a.Began.Sub(a.Since)
	case p.n < plenty && p.Linger == 0:
		return lay > 0
	default:
		return lay > p.Linger+v.Latency*3/2
	}
}

// adapt changes the number of receivers by what an answer says.
func (p *Pace) adapt(a Answer, v View) {
	r := p.read(a, v)
	more := r.full || r.missed || p.out > 0 && p.holds() // what is out may have taken what was there, where it does not only wait
	p.arrival.note(a.Got, more, v.Now)
	p.heldUntil, p.there, p.dry = time.Time{}, 0, a.New == 0
	p.row.note(r, a, v.Now)
	switch {
	case a.New == 0 && r.took >= calm/2:
		p.n = 1 // nobody sends anything
	case a.New == 0:
		p.less(strayed)
	case p.holds():
		p.sweep(r, a, v)
	default:
		p.follow(r, a, v)
	}
	if !r.full && a.Sent.After(p.short) {
		p.short = a.Sent
	}
}

// follow adapts where a message is to be handled as soon as it is there.
func (p *Pace) follow(r reading, a Answer, v View) {
	p.size += (float64(a.Got) - p.size) / lately
	if r.full {
		p.brings = min(full, max(p.brings, 2*float64(a.Got)))
	} else {
		p.brings += (float64(a.Got) - p.brings) / 2
	}
	blind := !r.aged || p.ages.spread > v.Latency
	backlog := r.full && (r.unsure || blind || p.row.n >= several)
	switch {
	case !a.Hungry:
		p.less(p.worth())
	case r.missed, backlog:
		p.more(1, r, v.Now)
	case r.unsure, blind && r.took <= patient*p.usual(v):
		p.more(probing, r, v.Now)
	case blind:
		p.less(probing / several)
	case r.full: // it says nothing
	default:
		p.less(p.worth())
	}
	if p.Linger > 0 && p.Hold && !r.full && !r.missed {
		p.benched = append(p.benched, v.Now.Add(p.Linger))
	}
}

// worth is how much of a receiver less an answer speaks for: little where each receive
// brings a single message, however many there are.
func (p *Pace) worth() float64 {
	const least = 0.25
	if p.Linger > 0 {
		return sparing
	}
	return fewer * min(1, max(least, p.size-1+least))
}

// sweep adapts where receives are held back: as many go out as bring what has come into
// the queue, then none for a while.
func (p *Pace) sweep(r reading, a Answer, v View) {
	if r.full || r.missed {
		p.there = p.arrival.rate * p.row.behind(a.Began.Add(-r.behind), v.Now).Seconds()
	}
	backlog := r.full && p.row.n > 1 && v.Now.Sub(p.row.since) > calm
	step := 0.0
	switch {
	case r.missed, backlog:
		step = 1
	case r.unsure && r.full:
		step = 2 * probing
	case r.unsure, !r.aged && !r.full && r.took <= patient*p.usual(v):
		step = probing // and the next one is not held back: it will tell
	case r.full: // it says nothing
	default:
		p.less(parting)
		if p.n < 2 {
			p.holdBack(a, v)
		}
	}
	if step > 0 && a.Hungry {
		p.more(step, r, v.Now)
	}
}

// more adds to the receivers, if all there may be are out. Beyond plenty it goes more
// slowly, so that a short burst does not leave many of them waiting at an empty queue, and
// back, where answers only take longer: then it is the processor that is short, or SQS.
func (p *Pace) more(step float64, r reading, now time.Time) {
	const each = 4
	slow := p.span.sluggish(r.whole, p.out < plenty, now)
	switch {
	case p.out+1+len(p.benched) < p.allowed(): // it was not they that were too few
	case p.n+step <= plenty:
		p.n += step
	case slow:
		p.n = max(plenty, p.n-step/each)
	default:
		p.n = max(plenty, p.n+step/each)
	}
	p.n = min(p.n, float64(p.Receivers))
}

// less takes from the receivers.
func (p *Pace) less(step float64) { p.n = max(1, p.n-step) }

// row is of full answers that have followed each other.
type row struct {
	n        int
	since    time.Time
	youngest time.Time // when the youngest message that they brought was sent
}

func (w *row) note(r reading, a Answer, now time.Time) {
	switch {
	case r.full && w.n == 0:
		w.n, w.since, w.youngest = 1, now, time.Time{}
	case r.full:
		w.n++
	case a.Got > 0:
		w.n = 0
	}
}

// behind returns for how long messages have been sent that are younger than all that
// came. youngest is when the youngest one of the newest answer was sent.
func (w *row) behind(youngest, now time.Time) time.Duration {
	if youngest.After(w.youngest) {
		w.youngest = youngest
	}
	return now.Sub(w.youngest)
}

// span compares how long answers take with how long they took while receivers were few. It
// is their logarithms that are averaged, since a few answers take very long.
type span struct {
	few, all average
	at       time.Time
}

// sluggish notes how long an answer took, and reports whether they take much longer than
// with few receivers.
func (s *span) sluggish(took time.Duration, few bool, now time.Time) bool {
	const slowly, faded = 1.0 / 32, 20 * time.Second // after so long, how it was with few is a thing of the past
	log := math.Log(max(took, time.Microsecond).Seconds())
	s.all.note(log)
	if !s.few.known {
		s.few.note(log)
	}
	if few {
		s.few.value += slowly * (log - s.few.value)
	}
	passed := min(1, now.Sub(s.at).Seconds()/faded.Seconds())
	s.at = now
	s.few.value += (s.all.value - s.few.value) * passed
	return s.all.value-s.few.value > math.Log(sluggish)
}
