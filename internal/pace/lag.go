package pace

import "time"

const (
	window = 30 * time.Second // of which a lag is the most
	late   = 30 * time.Second // a lag below it is no sign of anything
)

// A lag is how long messages have lain in the queue when they are received for the first
// time: the longest of a window, and whether that grows from window to window.
type lag struct {
	since       time.Time // of the window under way
	now, before time.Duration
	rising      bool
}

func (g *lag) note(age time.Duration, now time.Time) {
	g.turn(now)
	g.now = max(g.now, age)
	g.rising = g.rising || g.before > late && g.now > g.before+time.Second
}

// turn begins a new window if the one under way is over.
func (g *lag) turn(now time.Time) {
	passed := now.Sub(g.since)
	if passed < window {
		return
	}
	g.before, g.now, g.since = g.now, 0, now
	if passed >= 2*window {
		g.before = 0 // nothing came for a whole window
	}
	g.rising = false
}

// at returns the longest of this window and the one before it, and whether it grows.
func (g *lag) at(now time.Time) (longest time.Duration, rising bool) {
	g.turn(now)
	return max(g.now, g.before), g.rising
}
