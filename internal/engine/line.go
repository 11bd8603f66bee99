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

// A Line is what is known of the network on which answers come. On a slow one, receives
// share what there is: with too many at once, none arrives before its messages are visible
// to others again. So it bounds how many are out, how much they ask for, and says how long
// to wait for them. It is not for concurrent use.
type Line struct {
	lease   time.Duration // how long messages are hidden
	margin  time.Duration
	most    float64   // receives at once; 0: no bound
	size    int       // messages of a receive
	fits    int       // those that arrive in half a lease; 0: not known
	lastCut time.Time // zero: none was cut
}

// NewLine returns a Line of which nothing is known, for messages that are hidden for lease.
func NewLine(lease time.Duration) *Line {
	return &Line{lease: lease, margin: leastMargin, size: allTen}
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

// Arrived notes an answer with got messages that took so long from its request to its end,
// arriving of that from its first byte on, with so many receives out, itself included.
func (l *Line) Arrived(got int, took, arriving time.Duration, out int) {
	if took < leastMargin/2 {
		l.size = min(allTen, 2*l.size)
		l.margin = max(leastMargin, l.margin-l.margin/8)
	}
	bears := float64(unbounded)
	l.fits = 0
	if arriving > 0 {
		l.fits = max(1, int(min(allTen, float64(got)*(l.lease/2).Seconds()/arriving.Seconds())))
		bears = max(1, float64(out)*(l.lease/4).Seconds()/arriving.Seconds())
	}
	if l.most > 0 {
		bears = min(bears, 2*l.most+1) // one quick answer among slow ones says little
	}
	l.most = bears
	if bears >= unbounded {
		l.most = 0
	}
}
