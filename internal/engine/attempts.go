package engine

import (
	"crypto/rand"
	"slices"
	"time"

	"github.com/sluice-go/sluice/internal/elapsed"
)

// An Attempt is a receive, on a FIFO queue known to SQS by an id. Repeated with the
// same id it brings the same messages, which otherwise would stay hidden, and their
// groups with them, when the answer to the first one was lost.
type Attempt struct {
	ID    string // empty: it cannot be repeated
	N     int    // messages that it asks for
	Again bool   // it was made before

	first time.Time // when it was made first
}

// repeatable is how long SQS knows the id of a receive (API reference, ReceiveMessage).
const repeatable = 5 * time.Minute

// Attempts are the receives of a FIFO queue that may be repeated. The zero value has
// none. They are not for concurrent use.
type Attempts struct {
	Clock *elapsed.Clock // nil: one of their own

	lost []Attempt
}

// Next returns what to do instead of a new receive for n messages: to repeat one
// whose answer was lost, if there is one that asks for no more than that.
func (as *Attempts) Next(n int, now time.Time) Attempt {
	as.lost = slices.DeleteFunc(as.lost, func(a Attempt) bool { return as.since(a.first, now) > repeatable })
	if i := slices.IndexFunc(as.lost, func(a Attempt) bool { return a.N <= n }); i >= 0 {
		a := as.lost[i]
		as.lost = slices.Delete(as.lost, i, i+1)
		a.Again = true
		return a
	}
	return Attempt{ID: rand.Text(), N: n, first: now}
}

func (as *Attempts) since(first, now time.Time) time.Duration {
	if as.Clock == nil {
		as.Clock = elapsed.New(nil)
	}
	return as.Clock.Between(first, now)
}

// Found notes that the answer to a has come after all, and reports whether it was lost
// until now. If not, a has been made again: what that brings is the same messages.
func (as *Attempts) Found(a Attempt) bool {
	before := len(as.lost)
	as.lost = slices.DeleteFunc(as.lost, func(lost Attempt) bool { return lost.ID == a.ID })
	return len(as.lost) < before
}

// Lost notes that the answer to a was lost, and that it may have had its effect.
func (as *Attempts) Lost(a Attempt) { as.lost = append(as.lost, a) }
