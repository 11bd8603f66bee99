package ops

import (
	"fmt"
	"time"

	"github.com/sluice-go/sluice"
)

// kinds are how a consumer may look on the page. Their positions are in the samples, so that
// the page shows what was when.
var kinds = []string{"receiving", "idle", "waiting", "behind", "paused", "backing-off", "refused", "stopping", "stopped"}

// A status is what a consumer is doing, in words.
type status struct {
	Kind  string `json:"kind"`  // one of kinds
	Label string `json:"label"` // a word or two
	Since int64  `json:"since"` // in milliseconds since 1970; 0: it is not known
	Why   string `json:"why"`   // a sentence or two
	Error string `json:"error"` // of the newest receive, or what SQS refuses; "": none
}

// A look is all that is known of a consumer at a moment.
type look struct {
	at      time.Time
	health  sluice.Health
	stats   sluice.Stats
	options *options
	idle    bool // nothing is held, and none came for a while

	status status
}

// waitingAfter is how long a consumer waits for room until that is worth saying. Under load
// many do so several times a second.
const waitingAfter = 5 * time.Second

// describe says in words what l shows.
func (l *look) describe() {
	l.status.Kind, l.status.Label, l.status.Why = l.words()
	l.status.Error = textOf(l.health.Err)
}

// words returns the kind, the label and the sentence of a status.
func (l *look) words() (kind, label, why string) {
	switch l.health.State {
	case sluice.StateReceiving, sluice.StateWaiting:
		if l.idle {
			return "idle", "Idle", "The queue is empty. " + count(l.stats.Receives, "long poll waits", "long polls wait") + " for the next message."
		}
		if l.health.State == sluice.StateWaiting && l.at.Sub(l.health.Since) > waitingAfter {
			return "waiting", "Waiting for room", l.waiting()
		}
		return "receiving", "Receiving", l.receiving()
	case sluice.StateBehind:
		return "behind", "Falling behind", l.behind()
	case sluice.StatePaused:
		return "paused", "Paused", "Nothing is received until Resume is called. " + l.held("is", "are") + "."
	case sluice.StateBackingOff:
		return "backing-off", "Backing off", "Receives fail. They are tried again, more and more slowly. " + l.lastReceive()
	case sluice.StateRefused:
		return "refused", "Refused", l.refused()
	case sluice.StateStopping:
		return "stopping", "Stopping", "The run is ending and receives no more. " + l.held("is still", "are still") + "."
	case sluice.StateStopped:
		return "stopped", "Stopped", l.stopped()
	default:
		return "receiving", string(l.health.State), ""
	}
}

func (l *look) receiving() string {
	if l.stats.Lag > 0 {
		return fmt.Sprintf("Messages have waited up to %s in the queue until they were received.", short(l.stats.Lag))
	}
	return "Messages are received as they come."
}

func (l *look) waiting() string {
	switch {
	case l.stats.Handlers >= l.options.Concurrency:
		return fmt.Sprintf("All %d handler slots are busy.", l.options.Concurrency)
	case l.stats.BytesInFlight > l.options.BytesInFlight*3/4:
		return fmt.Sprintf("%s of %s are held, which leaves no room for another receive.", size(l.stats.BytesInFlight), size(l.options.BytesInFlight))
	default:
		return "The next receive waits until it brings several messages, or until there is room for them."
	}
}

func (l *look) behind() string {
	const lag = "Messages wait longer and longer in the queue. "
	switch {
	case l.stats.Handlers >= l.options.Concurrency:
		return lag + fmt.Sprintf("All %d handler slots are busy: raise Concurrency, make handlers faster, or start more processes.", l.options.Concurrency)
	case l.stats.Receives >= l.options.Receivers:
		return lag + fmt.Sprintf("All %d receives are out: raise Receivers, or start more processes.", l.options.Receivers)
	default:
		return lag + "They come faster than they are handled."
	}
}

func (l *look) refused() string {
	const refuses = "SQS refuses calls. They are tried again, slowly. "
	if l.options.GiveUpAfter < 0 {
		return refuses
	}
	return refuses + fmt.Sprintf("The run ends when that has lasted for %s.", short(time.Duration(l.options.GiveUpAfter)))
}

func (l *look) stopped() string {
	if l.health.Since.IsZero() {
		return "No run has begun: nothing is received."
	}
	return "The run has ended: nothing is received. " + l.lastReceive()
}

// held says how many messages are held.
func (l *look) held(one, many string) string {
	return count(l.stats.InFlight, "message "+one, "messages "+many) + " held"
}

func (l *look) lastReceive() string {
	if l.stats.LastReceive.IsZero() {
		return "No receive has succeeded yet."
	}
	return fmt.Sprintf("The last receive that succeeded was %s ago.", short(l.at.Sub(l.stats.LastReceive)))
}

// count returns n and the word for as many.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// short returns a time as people say it.
func short(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	default:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
}

// size returns a number of bytes as people say it.
func size(n int) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	default:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
}

// millis returns t in milliseconds since 1970, 0 for the zero time.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
