package serial

import "sync"

// A mailbox collects values for the goroutine that has the turn. It never blocks those that
// bring them. All methods may be called concurrently. The zero value is not usable; see
// [newMailbox].
type mailbox[T any] struct {
	bell chan struct{} // holds one token while there may be values and nobody has the turn

	mu     sync.Mutex // guards the fields below; never held while calling out
	values []T
	spare  []T  // the memory of the slice that was taken last
	taken  bool // a goroutine has the turn
	closed bool
}

func newMailbox[T any]() *mailbox[T] {
	return &mailbox[T]{bell: make(chan struct{}, 1)}
}

// put adds v. If no other goroutine has the turn, the caller has it now, and put returns all
// values as [mailbox.take] does. Else it returns nothing.
func (in *mailbox[T]) put(v T) (taken []T) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.add(v)
	if in.taken || in.closed {
		return nil
	}
	return in.takeAll()
}

// leave adds v for another goroutine: the one that has the turn, or the one that waits for
// [mailbox.ready].
func (in *mailbox[T]) leave(v T) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.add(v)
	in.ring()
}

func (in *mailbox[T]) add(v T) {
	if !in.closed {
		in.values = append(in.values, v)
	}
}

// ready is readable when there may be something to [mailbox.claim].
func (in *mailbox[T]) ready() <-chan struct{} { return in.bell }

// claim gives the caller the turn if there are values and no goroutine has it. Then it returns
// them as [mailbox.take] does. Else it returns nothing.
func (in *mailbox[T]) claim() (taken []T) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.taken || in.closed {
		return nil
	}
	return in.takeAll()
}

// take returns all values since the last take, oldest first. The goroutine that has the
// turn calls it. If it returns nothing the turn is over. The slice belongs to the caller
// until the next take.
func (in *mailbox[T]) take() []T {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.takeAll()
}

func (in *mailbox[T]) takeAll() []T {
	taken := in.values
	in.taken = len(taken) > 0
	clear(in.spare)
	in.values, in.spare = in.spare[:0], taken
	return taken
}

// pass ends the turn of the calling goroutine. What has come since the last take is left to
// another one.
func (in *mailbox[T]) pass() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.taken = false
	in.ring()
}

// ring wakes the goroutine that waits for ready, if there are values and nobody has the turn.
func (in *mailbox[T]) ring() {
	if in.taken || in.closed || len(in.values) == 0 {
		return
	}
	select {
	case in.bell <- struct{}{}:
	default: // a token is there already
	}
}

// shut closes the mailbox. What was put since the last take is dropped, and so is what is
// put from now on.
func (in *mailbox[T]) shut() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.closed = true
	in.values = nil
}
