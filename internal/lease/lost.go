package lease

import (
	"errors"
	"fmt"
)

// A Loss is a lease that ended while it was kept.
type Loss[T any] struct {
	Lease   *Lease[T]
	Cause   error // [ErrGone], [ErrExpired], [ErrLimit] or [ErrHalted]
	Failure error // of the last renewal; nil if there was none or it was confirmed
}

// Lost returns leases that are over by now, and no longer keeps them. It looks at 256 leases at most. When more are
// waiting, [Leases.Next] says at once. A lost lease stays lost, whatever the answer to a renewal in flight.
func (ls *Leases[T]) Lost(now Instant) []Loss[T] {
	var lost []Loss[T]
	for n := 0; n < chunk && ls.first() <= now; n++ {
		if l := ls.heap[0].lease; l.deadline <= now {
			lost = append(lost, ls.lose(l))
		} else {
			ls.enqueue(l, now) // the next one in the heap may be over
		}
	}
	return lost
}

// lose ends l at its deadline.
func (ls *Leases[T]) lose(l *Lease[T]) Loss[T] {
	ls.drop(l)
	l.generation++ // an answer to a renewal that is in flight no longer counts
	switch {
	case l.cause != nil:
		return Loss[T]{l, l.cause, l.failure}
	case l.halted:
		return Loss[T]{l, ErrHalted, l.failure}
	}
	return Loss[T]{l, ErrExpired, l.failure}
}

// A LostGroup are leases that were lost for the same cause. Err wraps the cause and the first failure among theirs.
type LostGroup[T any] struct {
	Leases []*Lease[T]
	Err    error
}

// ByCause returns a group for each cause of the losses.
func ByCause[T any](losses []Loss[T]) []LostGroup[T] {
	if len(losses) == 0 {
		return nil
	}
	var groups []LostGroup[T]
	for _, cause := range []error{ErrGone, ErrExpired, ErrLimit, ErrHalted} {
		if g := lostBy(cause, losses); len(g.Leases) > 0 {
			groups = append(groups, g)
		}
	}
	return groups
}

// lostBy returns the group of the leases that were lost for the cause.
func lostBy[T any](cause error, losses []Loss[T]) LostGroup[T] {
	var g LostGroup[T]
	var failure error
	for _, l := range losses {
		if l.Cause != cause { //nolint:errorlint // our own field, never wrapped
			continue
		}
		g.Leases = append(g.Leases, l.Lease)
		if failure == nil {
			failure = l.Failure
		}
	}
	g.Err = join(cause, failure)
	return g
}

// join returns an error that wraps the cause and the failure, which may wrap the cause already or be nil.
func join(cause, failure error) error {
	switch {
	case failure == nil:
		return cause
	case errors.Is(failure, cause):
		return failure
	}
	return fmt.Errorf("%w: %w", cause, failure)
}
