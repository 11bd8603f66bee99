package engine

import "time"

const (
	leastMargin = 5 * time.Second  // for an answer to begin to arrive after the wait of a poll
	mostMargin  = 10 * time.Second // and no more than makes a receive take as long as the longest poll: dead connections are to be noticed
	longest     = 20*time.Second + leastMargin
	forgotten   = time.Minute // after the latest receive that was cut, larger ones are tried again
	unbounded   = 1000        // receives at once; there are never more
	allTen      = 10
)

// A Line is what is known of the network on which answers come. Receives mostly share what
// there is of a slow one: with too many at once, none arrives before its messages are visible
// to others again. So it bounds how many are out, how much they ask for and how long they wait
// at SQS, and says how long to wait for them. Where each has a line of its own, as on
// connections to a region that is far away, it does not bound how many there are: each comes
// as fast as one that is alone. It is not for concurrent use.
type Line struct {
	lease   time.Duration // how long messages are hidden
	margin  time.Duration
	most    float64   // receives at once; 0: no bound
	size    int       // messages of a receive
	fits    int       // those that arrive in two fifths of a lease; 0: not known
	largest float64   // messages of an answer to a receive for ten, at most, of late
	slowest float64   // seconds that a message took to arrive, at most, of late
	lastCut time.Time // zero: none was cut

	alone float64 // bytes a second of answers that had the line for themselves, a moving average
	share float64 // of that speed: what answers had that came beside others, one that too
}

// NewLine returns a Line of which nothing is known, for messages that are hidden for lease.
func NewLine(lease time.Duration) *Line {
	return &Line{lease: lease, margin: leastMargin, size: allTen, largest: allTen, share: 1}
}

// Wait is how long a receive may wait for its first message, of the whole seconds of a poll. What
// comes at the end of it has to arrive before its lease would be over, had it begun with the
// receive: nobody can know that it did not.
func (l *Line) Wait(poll time.Duration) time.Duration {
	arriving := time.Duration(min(l.largest, float64(l.fits)) * l.slowest * float64(time.Second))
	return min(poll, max(time.Second, (l.lease*4/5-arriving).Truncate(time.Second)))
}

// Margin is how long to wait for an answer after a poll's wait.
func (l *Line) Margin(wait time.Duration) time.Duration {
	return max(leastMargin, min(l.margin, longest-wait))
}

// Takes reports whether the line takes one more receive beside those that are out.
func (l *Line) Takes(out int) bool { return out == 0 || l.most == 0 || float64(out) < l.most }

// Size returns how many of n messages to ask for at once.
func (l *Line) Size(n int, now time.Time) int {
	if l.size < allTen && now.Sub(l.lastCut) > forgotten {
		l.size = allTen
	}
	if l.fits > 0 {
		n = min(n, l.fits)
	}
	return min(n, l.size)
}

// Cut notes that a receive was cut, with so many out, itself included.
func (l *Line) Cut(out int, now time.Time) {
	l.lastCut = now
	l.margin = min(2*l.margin, mostMargin)
	l.size = max(1, l.size/2)
	l.most = max(1, float64(out)/2)
}

// An Arrival is an answer with messages.
type Arrival struct {
	Asked, Got     int
	Bytes          int
	Took, Arriving time.Duration // from its request to its end, and of that from its first byte on
	Out            int           // receives that were out meanwhile, itself included
}

// Arrived notes an answer.
func (l *Line) Arrived(a Arrival) {
	if a.Took < leastMargin/2 {
		l.size = min(allTen, 2*l.size)
		l.margin = max(leastMargin, l.margin-l.margin/8)
	}
	l.noteSize(a)
	l.noteShare(a)
	bears := float64(unbounded)
	l.fits = 0
	if a.Arriving > 0 {
		l.fits = max(1, int(min(allTen, 2.0/5*l.lease.Seconds()/l.slowest)))
		bears = l.bears(a.Out)
	}
	if l.most > 0 {
		bears = min(bears, 2*l.most+1) // one quick answer among slow ones says little
	}
	l.most = bears
	if bears >= unbounded {
		l.most = 0
	}
}

// noteSize notes how large answers are and how slow. One with all that was asked for, if less
// than ten, could have been larger.
func (l *Line) noteSize(a Arrival) {
	const slowly = 16
	if a.Got < a.Asked || a.Asked == allTen {
		l.largest -= l.largest / slowly
	}
	l.largest = max(l.largest, min(allTen, float64(a.Got)))
	l.slowest = max(l.slowest-l.slowest/slowly, a.Arriving.Seconds()/float64(a.Got))
}

// bears returns how many receives may be out, now that there are so many: as many as let the
// largest answers arrive in a quarter of a lease, if they share the line. If they do not, there
// may be one more, and no fewer than before: what it brings would arrive in time all the same.
func (l *Line) bears(out int) float64 {
	const likely = 2.0 / 3 // of the speed of one that is alone have those that share nothing
	bears := max(1, float64(out)*(l.lease/4).Seconds()/(l.largest*l.slowest))
	if l.share >= likely {
		bears = max(bears, float64(out+1), l.most)
	}
	return bears
}

// noteShare notes whether answers share the line. That is forgotten while they come one by one,
// so that it is tried again now and then.
func (l *Line) noteShare(a Arrival) {
	const telling, quickly, slowly = 64, 4, 32 // an answer says something if it takes that part of a lease
	if a.Arriving < l.lease/telling {
		return
	}
	speed := float64(a.Bytes) / a.Arriving.Seconds()
	switch {
	case l.alone == 0:
		l.alone = speed
	case a.Out == 1:
		l.alone += (speed - l.alone) / quickly
		l.share += (1 - l.share) / slowly
	default:
		l.share += (min(1, speed/l.alone) - l.share) / quickly
	}
}
