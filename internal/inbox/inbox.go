// Package inbox passes events to whoever sees to them, without ever blocking those
// who bring them.
//
// At any time one goroutine at most sees to the events, and owns all that they
// concern. It need not be always the same: who brings an event while nobody sees to
// any does so itself. That saves waking another goroutine, which costs more than
// most events do. A mutex would have the same effect, were it not for the one who
// waits for it: here nobody waits.
package inbox

import "sync"

// An Inbox collects values for the one who sees to them. The zero value is not
// usable; see [New].
type Inbox[T any] struct {
	ready chan struct{} // holds one token while there may be something that nobody sees to

	mu     sync.Mutex // guards the fields below; never held while calling out
	values []T
	spare  []T  // the slice that was taken last
	taken  bool // somebody sees to the values
	closed bool
}

// New returns an empty Inbox.
func New[T any]() *Inbox[T] {
	return &Inbox[T]{ready: make(chan struct{}, 1)}
}

// Put adds v and tells whether the caller has to see to it now, with [Inbox.Take]:
// nobody else does.
func (in *Inbox[T]) Put(v T) (yours bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.add(v)
	return in.claim()
}

// Leave adds v for somebody else to see to, if need be for the one who waits for
// [Inbox.Ready].
func (in *Inbox[T]) Leave(v T) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.add(v)
	in.ring()
}

func (in *Inbox[T]) add(v T) {
	if !in.closed {
		in.values = append(in.values, v)
	}
}

// Ready is readable when there may be something to [Inbox.Claim].
func (in *Inbox[T]) Ready() <-chan struct{} { return in.ready }

// Claim tells whether the caller has to see to what is there: there is something,
// and nobody else does.
func (in *Inbox[T]) Claim() (yours bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.claim()
}

func (in *Inbox[T]) claim() bool {
	if in.taken || in.closed || len(in.values) == 0 {
		return false
	}
	in.taken = true
	return true
}

// Take returns all that was put since the last Take, oldest first. It is for the one
// who sees to the values. When it returns nothing he has ceased to. The slice is his
// until the next Take.
func (in *Inbox[T]) Take() []T {
	in.mu.Lock()
	defer in.mu.Unlock()
	taken := in.values
	in.taken = len(taken) > 0
	clear(in.spare)
	in.values, in.spare = in.spare[:0], taken
	return taken
}

// Pass leaves what has come since the last Take, if anything has, to somebody else.
// It is for the one who sees to the values, and ceases to.
func (in *Inbox[T]) Pass() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.taken = false
	in.ring()
}

// ring wakes the one who waits for Ready, if there is something to see to.
func (in *Inbox[T]) ring() {
	if in.taken || in.closed || len(in.values) == 0 {
		return
	}
	select {
	case in.ready <- struct{}{}:
	default: // a token is there already
	}
}

// Close returns all that was put since the last Take. Nobody sees to what is put
// from now on: it is dropped.
func (in *Inbox[T]) Close() []T {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.closed = true
	return in.values
}
