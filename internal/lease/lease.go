// Package lease keeps messages hidden: a [Keeper] renews the visibility timeouts of the messages a consumer holds until
// they are settled, and reports those it lost.
//
// A lease is the time a received message is hidden from other consumers. It is counted from the earliest moment the
// queue can have begun it, renewed at about half of its length, and believed to be longer only once the queue has
// confirmed so, entry by entry. The package knows nothing of the queue's API: the owner gives it a function that renews
// at most ten leases in one call.
package lease

import (
	"errors"
	"math"
	"time"
)

// The causes [Config.Lost] is given; match them with errors.Is.
var (
	// ErrGone says that a receipt is no longer good. Config.Renew answers with it (or wraps it), and so does the report.
	ErrGone = errors.New("lease: the receipt is gone")
	// ErrExpired says that no renewal was confirmed in time. The report also wraps the last failure, if there was one.
	ErrExpired = errors.New("lease: not renewed in time")
	// ErrLimit says that the message was held as long as the queue allows, which is 12 hours.
	ErrLimit = errors.New("lease: held for as long as a message can be")
	// ErrHalted says that the lease ran out after [Keeper.Halt].
	ErrHalted = errors.New("lease: ran out after renewals were halted")
)

// instant is a time as the keeper compares them: since its clock was made. It goes on while the machine sleeps.
type instant = time.Duration

const (
	asap  instant = math.MinInt64
	never instant = math.MaxInt64
)

// A Lease is a message's time of being hidden from other consumers. It is made to be a field of what it is a lease on.
// The zero value is not kept; see [Keeper.Add]. It must not be copied once it was added.
type Lease[T any] struct {
	Of T // what it is a lease on; set by the owner before Add, never touched by the keeper

	// The rest is guarded by the keeper's lock.

	handle   string
	deadline instant // when it ends unless renewed
	limit    instant // no renewal may ask for longer
	due      instant // when to renew; never while queued, in flight, or not to be renewed
	patience instant // when queued: how long it may wait for others to fill its call
	cause    error   // ErrGone or ErrLimit when it cannot be renewed any more, else nil
	failure  error   // of the last renewal; nil once one is confirmed
	then     func()  // waits for flying to be 0; see Retire

	slot   int    // one more than its index in the heap; 0 when not kept
	turn   uint32 // counts its beginnings: an answer to an earlier turn does not count
	tries  uint32 // failed renewals in a row
	flying int32  // renewals in flight, of earlier turns too

	retired    bool // its visibility is being changed on purpose: it is not to be renewed, in later turns either
	halted     bool // its owner wants no more renewals, of this and later turns
	queued     bool
	prev, next *Lease[T] // in the keeper's queue
}

// A Receipt is a lease with the receipt handle of the delivery that began it.
type Receipt[T any] struct {
	Lease  *Lease[T]
	Handle string
}

// A Renewal asks for the message with this handle to stay hidden for Timeout, counted from the call.
type Renewal[T any] struct {
	Lease   *Lease[T]
	Handle  string
	Timeout time.Duration // whole seconds
}

// event is when the lease next needs attention: a renewal or its end.
func (l *Lease[T]) event() instant { return min(l.due, l.deadline) }

// ask returns the timeout to ask for at now, in whole seconds: timeout, or what the limit leaves of it. It returns 0 when
// that would win less than a second.
func (l *Lease[T]) ask(now instant, timeout time.Duration) time.Duration {
	d := min(timeout, (l.limit - now).Truncate(time.Second))
	if now+d-l.deadline < time.Second {
		return 0
	}
	return d
}
