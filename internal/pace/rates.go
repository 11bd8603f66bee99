package pace

import (
	"slices"
	"time"
)

// average is a moving average. The zero value knows nothing.
type average struct {
	value float64
	known bool
}

func (a *average) note(v float64) {
	if !a.known {
		a.value, a.known = v, true
		return
	}
	a.value += weight * (v - a.value)
}

// trips are how long the latest receives have taken.
type trips struct {
	took [2 * several]time.Duration
	n    int
}

func (t *trips) note(took time.Duration) {
	t.took[t.n%len(t.took)] = took
	t.n++
}

// least returns the shortest; 0: there is none.
func (t *trips) least() time.Duration {
	if t.n == 0 {
		return 0
	}
	return slices.Min(t.took[:min(t.n, len(t.took))])
}

// median returns the one in the middle; 0: there is none.
func (t *trips) median() time.Duration {
	if t.n == 0 {
		return 0
	}
	took := t.took
	latest := took[:min(t.n, len(took))]
	slices.Sort(latest)
	return latest[(len(latest)-1)/2]
}

// arrival observes how fast messages come into the queue. While answers come
// back full it is the receivers that are observed, not the senders, so a
// measurement ends only with an answer that emptied the queue; until then it is a
// lower bound.
type arrival struct {
	rate   float64 // messages a second
	jumped bool    // the last measurement was several times the rate before it

	known time.Duration // that the rate is of; no more than memory
	since time.Time     // of the measurement under way
	count int           // messages in it
}

const (
	burst    = 4                     // times the rate known so far
	shortest = 10 * time.Millisecond // a measurement over less would be noise
	memory   = time.Second           // a measurement over this long weighs as much as all before it
)

func (a *arrival) note(got int, more bool, now time.Time) {
	a.count += got
	if a.since.IsZero() {
		a.since, a.count = now, 0
		return
	}
	took := now.Sub(a.since)
	measured := float64(a.count) / took.Seconds()
	if more && took >= memory {
		a.rate = max(a.rate, measured) // so many have come at least
	}
	if more || took < shortest {
		return
	}
	a.jumped = a.rate > 0 && a.count >= full && measured > burst*a.rate
	if a.rate == 0 || a.jumped {
		a.known = 0
	}
	a.rate += (measured - a.rate) * float64(took) / float64(took+a.known) // the longer the surer
	a.known = min(memory, a.known+took)
	a.since, a.count = now, 0
}

// service observes how fast handlers are.
type service struct {
	took  average   // seconds of one call
	last  time.Time // when a call ended last
	calls int       // that have ended
}

func (s *service) note(d time.Duration, now time.Time) {
	s.took.note(d.Seconds())
	s.last = now
	s.calls++
}

func (s *service) perCall() time.Duration { return inSeconds(s.took.value) }

// within returns how many calls will begin within d if every slot is taken now, but no
// more than have ended so far: the first ones may have been quick by chance. When none
// has ended for longer than they used to take, they have become slower.
func (s *service) within(d time.Duration, slots int, now time.Time) float64 {
	if !s.took.known {
		return 0
	}
	took := max(s.took.value, now.Sub(s.last).Seconds(), 1e-6)
	return min(float64(s.calls), float64(slots)*d.Seconds()/took)
}
