package turns

import "sync"

// An inbox collects values for the one who sees to them, without ever blocking those
// who bring them. The zero value is not usable; see [newInbox].
type inbox[T any] struct {
	bell chan struct{} // holds one token while there may be something that nobody sees to

	mu     sync.Mutex // guards the fields below; never held while calling out
	values []T
	spare  []T  // the slice that was taken last
	taken  bool // somebody sees to the values
	closed bool
}

func newInbox[T any]() *inbox[T] {
	return &inbox[T]{bell: make(chan struct{}, 1)}
}

// put adds v and tells whether the caller has to see to it now, with [inbox.take]:
// nobody else does.
func (in *inbox[T]) put(v T) (yours bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.add(v)
	return in.claimed()
}

// leave adds v for somebody else to see to, if need be for the one who waits for
// [inbox.ready].
func (in *inbox[T]) leave(v T) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.add(v)
	in.ring()
}

func (in *inbox[T]) add(v T) {
	if !in.closed {
		in.values = append(in.values, v)
	}
}

// ready is readable when there may be something to [inbox.claim].
func (in *inbox[T]) ready() <-chan struct{} { return in.bell }

// claim tells whether the caller has to see to what is there: there is something,
// and nobody else does.
func (in *inbox[T]) claim() (yours bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.claimed()
}

func (in *inbox[T]) claimed() bool {
	if in.taken || in.closed || len(in.values) == 0 {
		return false
	}
	in.taken = true
	return true
}

// take returns all that was put since the last take, oldest first. It is for the one
// who sees to the values. When it returns nothing he has ceased to. The slice is his
// until the next take.
func (in *inbox[T]) take() []T {
	in.mu.Lock()
	defer in.mu.Unlock()
	taken := in.values
	in.taken = len(taken) > 0
	clear(in.spare)
	in.values, in.spare = in.spare[:0], taken
	return taken
}

// pass leaves what has come since the last take, if anything has, to somebody else.
// It is for the one who sees to the values, and ceases to.
func (in *inbox[T]) pass() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.taken = false
	in.ring()
}

// ring wakes the one who waits for ready, if there is something to see to.
func (in *inbox[T]) ring() {
	if in.taken || in.closed || len(in.values) == 0 {
		return
	}
	select {
	case in.bell <- struct{}{}:
	default: // a token is there already
	}
}

// shut returns all that was put since the last take. Nobody sees to what is put
// from now on: it is dropped.
func (in *inbox[T]) shut() []T {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.closed = true
	return in.values
}
