package pace

import (
	"math"
	"time"
)

// The law. Each answer tells how long the oldest of its messages lay in the queue before
// the receive went out that brought it:
//
//	lay = (arrived − sent by its sender) − fresh − (arrived − receive sent)
//
// where fresh is the age of a message that nobody has kept waiting: the way of an answer,
// and what the two clocks differ by. It was missed if it lay for longer than it should.
//
//   - Event at a time that is half a round trip: n += 1 for an answer that missed
//     something while handlers had nothing to do, n −= 1/200 for any other, or less where
//     a receiver less would save nothing. So receivers double in a round trip while
//     messages lie there, and settle where one answer in 200 finds one that did, whatever
//     the size of answers.
//   - Where receives are held back, a message was missed if it was there already when the
//     last receive went out that came back not full: n += 1 then, n −= 1/2 otherwise, and
//     with n below 2 the next receive is held back. Besides, n is at least what the queue
//     holds by its age, n ≥ rate · (now − when the youngest received message was sent)/10.
//     A rate that is too low lets that age grow until they are enough.
//   - Until fresh is known, absence of evidence is none: n grows, and nothing is held
//     back. It is known when receives wait for their messages, or when twice the receivers
//     bring no younger ones.
const (
	prompt  = 4                // times the latency: an answer that took longer did not find its messages there
	patient = 2                // times the latency: one that took longer has waited, or is slow
	surely  = 0.25             // share of answers that have, so that it is not just slow ones
	several = 8                // answers that such a share is of, at least; and full ones in a row that need no other sign
	good    = 5 * time.Minute  // so long the age of a fresh message is believed
	tick    = time.Millisecond // of the clock that ages are by

	unsure  = full / 2  // messages that an estimate may be too high by
	probing = 0.25      // of a receiver more, for an answer that may be due to too few of them
	fewer   = 1.0 / 200 // of one less, for an answer that missed nothing
	sparing = 1.0 / 32  // of one less, where it has waited
	parting = 1.0 / 2   // of one less, where receives are held back
	strayed = 1.0 / 4   // of one less, for an answer from servers that had nothing
)

// A reading is what an answer says about the queue.
type reading struct {
	took   time.Duration
	found  bool          // its messages were there when the receive came, or nearly
	full   bool          // there may be more of them
	missed bool          // one of them has been there for longer than it should
	unsure bool          // it might be that one has
	behind time.Duration // for so long younger ones than these have been sent
}

// reading reads an answer.
func (p *Pace) reading(a Answer, v View) reading {
	took := v.Now.Sub(a.Sent)
	r := reading{took: took, found: took <= prompt*v.Latency, full: a.Got == a.Asked}
	if a.Aged == 0 {
		return r
	}
	known := p.ages.known
	p.ages.note(a, took, v, p.allowed(), p.Receivers)
	if p.ages.known && !known {
		p.want = max(1, p.want/2) // the others were to find that out
	}
	r.missed = r.found && p.missed(a, took, v)
	r.unsure = r.found && !p.ages.known
	r.behind = a.Youngest - p.ages.fresh
	return r
}

// missed tells whether the oldest message was in the queue when it should have been
// received.
func (p *Pace) missed(a Answer, took time.Duration, v View) bool {
	old := a.Oldest - p.ages.fresh
	if p.holds() {
		return !a.Since.IsZero() && old > v.Now.Sub(a.Since)+tick
	}
	return old > took+v.Latency/2+tick
}

// adapt changes the number of receivers by what an answer says.
func (p *Pace) adapt(r reading, a Answer, v View) {
	more := r.full || r.missed || p.out > 0 && p.holds() // what is out may have taken what was there, where it does not only wait
	p.arrival.note(a.Got, more, v.Now)
	p.heldUntil, p.there, p.dry = time.Time{}, 0, a.Got == 0
	p.row.note(r, a, v.Now)
	switch {
	case a.Got == 0 && r.took >= calm/2:
		p.want = 1 // nobody sends anything
	case a.Got == 0:
		p.fewer(strayed)
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
	p.got += (float64(a.Got) - p.got) / lately
	switch {
	case !a.Hungry:
		p.fewer(fewer * p.worth())
	case r.missed, r.full && (r.unsure || a.Aged == 0 || p.row.n >= several):
		p.more(1, r, v.Now)
	case r.unsure:
		p.more(probing, r, v.Now)
	case r.full: // it says nothing
	case r.found:
		p.fewer(fewer * p.worth())
	default:
		p.fewer(sparing * p.worth())
	}
	if p.Batch == 1 {
		p.want = max(p.want, min(float64(p.Receivers), p.spare(v.Latency)))
	}
}

// worth is what a receiver less saves: little where each receive brings a single message,
// however many there are.
func (p *Pace) worth() float64 {
	const least = 0.25
	return min(1, max(least, p.got-1+least))
}

// sweep adapts where receives are held back: as many go out as bring what has come into
// the queue, then none for a while.
func (p *Pace) sweep(r reading, a Answer, v View) {
	if r.full || r.missed {
		p.there = p.arrival.rate * p.row.behind(r, v.Now).Seconds()
	}
	switch {
	case r.missed, r.full && p.row.n > 1 && v.Now.Sub(p.row.since) > calm:
		if a.Hungry {
			p.more(1, r, v.Now)
		}
	case r.unsure && r.full:
		if a.Hungry {
			p.more(2*probing, r, v.Now)
		}
	case r.unsure:
		if a.Hungry {
			p.more(probing, r, v.Now) // and the next one is not held back: it will tell
		}
	case r.full:
	default:
		p.fewer(parting)
		if p.want < 2 {
			p.holdBack(a, v)
		}
	}
}

// more adds to the receivers, if all there may be are out. Beyond plenty it goes more
// slowly, so that a short burst does not leave many of them waiting at an empty queue, and
// back, where answers only take longer: then it is the processor that is short, or SQS.
func (p *Pace) more(n float64, r reading, now time.Time) {
	const each = 4
	slow := p.span.sluggish(r.took, p.out < plenty, now)
	switch {
	case p.out+1+len(p.benched) < p.allowed(): // it was not they that were too few
	case p.want+n <= plenty:
		p.want += n
	case slow:
		p.want = max(plenty, p.want-n/each)
	default:
		p.want = max(plenty, p.want+n/each)
	}
	p.want = min(p.want, float64(p.Receivers))
}

// fewer takes from the receivers.
func (p *Pace) fewer(n float64) { p.want = max(1, p.want-n) }

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
// came.
func (w *row) behind(r reading, now time.Time) time.Duration {
	if at := now.Add(-r.behind); at.After(w.youngest) {
		w.youngest = at
	}
	return now.Sub(w.youngest)
}

// ages knows how old a fresh message is when it comes.
type ages struct {
	fresh  time.Duration // the least that was seen: a fresh message is no older
	any    bool          // one was seen
	known  bool          // nor is it younger
	until  time.Time     // that is believed
	waited float64       // share of the latest answers
	seen   int           // answers that the share is of
	trial  trial
}

// note notes the ages of an answer, with so many receivers of those that there may be.
func (g *ages) note(a Answer, took time.Duration, v View, receivers, most int) {
	waited := 0.0
	if took > patient*v.Latency {
		waited = 1
	}
	g.seen = min(g.seen+1, 2*several)
	g.waited += (waited - g.waited) / float64(g.seen)
	if g.known && v.Now.After(g.until) {
		g.known, g.trial = false, trial{}
	}
	switch {
	case waited > 0 && (took >= calm || g.seen >= several && g.waited >= surely):
		g.confirm(a.Youngest, v)
	case !g.known && g.trial.ended(a.Youngest, receivers, receivers >= most, v.Latency):
		g.confirm(g.trial.low, v)
	}
	if !g.any || a.Youngest < g.fresh {
		g.any, g.fresh = true, a.Youngest
	}
}

// confirm notes the age of a message that came at once. It counts little if others were
// younger: clocks drift slowly.
func (g *ages) confirm(age time.Duration, v View) {
	const slowly, little = 16, 4
	if !g.known {
		g.any, g.known, g.fresh = true, true, age
	}
	g.fresh += min((age-g.fresh)/slowly, v.Latency/little)
	g.until = v.Now.Add(good)
}

// A trial finds out how old fresh messages are where no receive ever waits for any: if
// twice the receivers do not bring younger ones, no older ones are left.
type trial struct {
	before, low time.Duration // ages of the youngest, with fewer receivers and with those that there are now
	from        int           // receivers before
	count       int           // answers that low is of
}

// ended notes the age of the youngest message of an answer, and tells whether it is
// known now that low is that of a fresh one.
func (t *trial) ended(age time.Duration, receivers int, all bool, latency time.Duration) bool {
	const little = 4
	if t.from > 0 && receivers < 2*t.from && !all {
		t.count = 0
		return false
	}
	if t.count++; t.count == 1 || age < t.low {
		t.low = age
	}
	if t.count < max(several, 2*receivers) {
		return false
	}
	if t.from > 0 && t.low >= t.before-latency/little-tick {
		return true
	}
	t.before, t.from, t.count = t.low, receivers, 0
	return false
}

// span compares how long answers take with how long they took while receivers were few. It
// is their logarithms that are averaged, since a few answers take very long.
type span struct {
	few, all average
	at       time.Time
}

// sluggish notes how long an answer took, and tells whether they take much longer than
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
