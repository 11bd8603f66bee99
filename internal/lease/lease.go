// Package lease decides when messages that a consumer holds are renewed, and knows which of them it has lost.
//
// A lease is the time a received message is hidden from other consumers. It counts from the earliest moment the queue
// can have begun it. It is renewed at about half of its length. It becomes longer only when the queue confirms so, entry
// by entry.
//
// [Leases] is a plain value: it has no goroutine, no lock and no timer, and reads no clock. Its owner is one goroutine.
// The owner makes the calls that [Leases.Due] returns, and passes their answers to [Leases.Returned]. The package knows
// nothing of receipt handles or of SQS's API.
package lease

import (
	"errors"
	"time"
)

// The causes of a [Loss]; match them with errors.Is.
var (
	// ErrGone says that the queue no longer accepts the receipt handle.
	ErrGone = errors.New("lease: the receipt is gone")
	// ErrExpired says that no renewal was confirmed in time.
	ErrExpired = errors.New("lease: not renewed in time")
	// ErrLimit says that the message was held as long as SQS allows, which is 12 hours.
	ErrLimit = errors.New("lease: held for as long as a message can be")
	// ErrHalted says that the lease ran out after [Leases.Halt].
	ErrHalted = errors.New("lease: ran out after renewals were halted")
)

// An Instant is a moment on the owner's axis of time, which goes on while the machine sleeps. Its zero is the owner's.
type Instant = time.Duration

// Never is later than every instant. Both are far enough from the ends of an int64 to be subtracted from any instant.
const (
	Never  Instant = 1 << 62
	atOnce         = -Never
)

// A Lease is a message's time of being hidden from other consumers. It is made to be a field of that message. The zero
// value is not kept; see [Leases.Add]. It must not be copied once it was added. The owner of the [Leases] owns it too.
type Lease[T any] struct {
	Of T // what it is a lease on; the package never reads it

	deadline Instant // when it ends unless renewed
	limit    Instant // no renewal may ask for longer
	due      Instant // when to renew; Never while queued, in flight, or not to be renewed
	sendBy   Instant // when queued: its call leaves by then, full or not
	cause    error   // ErrGone or ErrLimit when it cannot be renewed any more, else nil
	failure  error   // of the last renewal; nil once one is confirmed

	slot       int    // one more than its index in the heap; 0 when not kept
	generation uint32 // counts its beginnings; an answer to a renewal of an earlier one does not count
	tries      uint32 // failed renewals in a row
	inFlight   int32  // renewals that have not returned, of earlier generations too

	retired    bool // its visibility is being changed on purpose
	halted     bool // its owner wants no more renewals
	queued     bool
	prev, next *Lease[T] // in the queue
}

// Left returns how long l lasts from now on, kept or not. It is 0 or less when l is over, lost or was never added.
func (l *Lease[T]) Left(now Instant) time.Duration {
	if l.generation == 0 {
		return 0
	}
	return l.deadline - now
}

// Longest returns the longest visibility timeout that SQS accepts for the message at now, in whole seconds. It is what
// is left of the 12 hours since the receive, and 0 when l was never added.
func (l *Lease[T]) Longest(now Instant) time.Duration {
	if l.generation == 0 {
		return 0
	}
	return max(0, (l.limit - now).Truncate(time.Second))
}

// Renewing reports whether a renewal of l is in flight, also one for an earlier delivery. A change of its visibility
// timeout must wait until none is: a renewal that overtakes the change would hide the message again.
func (l *Lease[T]) Renewing() bool { return l.inFlight > 0 }

// ask returns the timeout to ask for at now, in whole seconds: timeout, or what the limit leaves of it. It returns 0 when
// that would win less than a second.
func (l *Lease[T]) ask(now Instant, timeout time.Duration) time.Duration {
	d := min(timeout, (l.limit - now).Truncate(time.Second))
	if now+d-l.deadline < time.Second {
		return 0
	}
	return d
}
