// Package inbox passes events to a single owner without ever blocking the sender.
//
// A channel would do, were it not for the sender that runs on the owner's own
// goroutine, or holds what the owner waits for: an Inbox cannot dead-lock. It
// grows with what its senders have under way, which for a run is bounded by the
// messages in flight.
package inbox

import "sync"

// An Inbox collects values for one reader. The zero value is not usable; see [New].
type Inbox[T any] struct {
	ready chan struct{} // holds one token while there may be something to take

	mu     sync.Mutex // guards the fields below; never held while calling out
	values []T
	spare  []T // the slice that the reader has finished with
}

// New returns an empty Inbox.
func New[T any]() *Inbox[T] {
	return &Inbox[T]{ready: make(chan struct{}, 1)}
}

// Put adds v. It never blocks and may be called by any goroutine.
func (in *Inbox[T]) Put(v T) {
	in.mu.Lock()
	in.values = append(in.values, v)
	in.mu.Unlock()
	select {
	case in.ready <- struct{}{}:
	default: // a token is there already: the reader will see v with the others
	}
}

// Ready is readable when there may be something to [Inbox.Take].
func (in *Inbox[T]) Ready() <-chan struct{} { return in.ready }

// Take returns all that was put since the last Take, oldest first. The slice is
// the reader's until its next Take.
func (in *Inbox[T]) Take() []T {
	in.mu.Lock()
	defer in.mu.Unlock()
	taken := in.values
	clear(in.spare)
	in.values, in.spare = in.spare[:0], taken
	return taken
}
