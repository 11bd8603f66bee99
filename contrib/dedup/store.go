package dedup

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A Store keeps claims and marks of keys. All processes that handle the same messages use the same
// one. Its methods are called concurrently, and return soon when their context ends. Package storetest
// has the tests that a Store must pass.
//
// An owner is a text that nobody else has. It fences: nobody can extend, finish or release the
// claim of another owner. A call whose answer was lost is made again, by the same owner. That must
// have the effect of one call.
type Store interface {
	// Claim claims key for owner for the time ttl. A claim of another owner that has expired is
	// replaced. A key that owner has claimed already is claimed again, for ttl from now.
	Claim(ctx context.Context, key, owner string, ttl time.Duration) (Claim, error)

	// Extend makes a claim last for ttl from now. It returns ErrLost if key is not claimed by owner.
	Extend(ctx context.Context, key, owner string, ttl time.Duration) error

	// Done marks key as handled for the time keep. It returns ErrLost if key is claimed or marked by
	// another owner. If nobody has it, since the claim has expired, Done marks it all the same.
	Done(ctx context.Context, key, owner string, keep time.Duration) error

	// Release ends the claim of owner, if there is one. Otherwise it does nothing.
	Release(ctx context.Context, key, owner string) error
}

// ErrLost says that a claim is not, or no longer, that of its owner.
var ErrLost = errors.New("dedup: the claim is lost: another process may handle the message")

// A Claim is the answer of [Store.Claim].
type Claim struct {
	State State
	Left  time.Duration // of StateBusy: until the other claim expires, unless it is extended
}

// A State is what [Store.Claim] has found.
type State int

// The states.
const (
	StateClaimed State = iota + 1 // the caller has the claim now
	StateBusy                     // another owner has it
	StateHandled                  // the key is marked as handled
)

// String returns the name of s, such as "busy".
func (s State) String() string {
	switch s {
	case StateClaimed:
		return "claimed"
	case StateBusy:
		return "busy"
	case StateHandled:
		return "handled"
	default:
		return "unknown"
	}
}

// Memory is a [Store] in the memory of the process, for tests and for one process. The zero value is
// ready to use. What has expired is removed as new keys come.
type Memory struct {
	mu    sync.Mutex // guards the fields below
	keys  map[string]record
	sweep int // number of keys at which expired ones are removed
}

// A record is what a store knows of a key.
type record struct {
	owner   string
	handled bool
	until   time.Time
}

// Claim implements [Store].
func (m *Memory) Claim(ctx context.Context, key, owner string, ttl time.Duration) (Claim, error) {
	if err := ctx.Err(); err != nil {
		return Claim{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	r, found := m.keys[key]
	live := found && now.Before(r.until)
	switch {
	case live && r.handled:
		return Claim{State: StateHandled}, nil
	case live && r.owner != owner:
		return Claim{State: StateBusy, Left: r.until.Sub(now)}, nil
	default:
		m.set(key, record{owner: owner, until: now.Add(ttl)}, now)
		return Claim{State: StateClaimed}, nil
	}
}

// set stores a record. Called with the lock.
func (m *Memory) set(key string, r record, now time.Time) {
	if m.keys == nil {
		m.keys = map[string]record{}
	}
	const fewest = 1000
	if len(m.keys) >= max(fewest, m.sweep) {
		for k, old := range m.keys {
			if !now.Before(old.until) {
				delete(m.keys, k)
			}
		}
		m.sweep = 2 * len(m.keys)
	}
	m.keys[key] = r
}

// Extend implements [Store].
func (m *Memory) Extend(ctx context.Context, key, owner string, ttl time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.keys[key]
	if r.owner != owner || r.handled {
		return ErrLost
	}
	r.until = time.Now().Add(ttl)
	m.keys[key] = r
	return nil
}

// Done implements [Store].
func (m *Memory) Done(ctx context.Context, key, owner string, keep time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if r, found := m.keys[key]; found && r.owner != owner {
		return ErrLost
	}
	m.set(key, record{owner: owner, handled: true, until: now.Add(keep)}, now)
	return nil
}

// Release implements [Store].
func (m *Memory) Release(ctx context.Context, key, owner string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.keys[key]; r.owner == owner && !r.handled {
		delete(m.keys, key)
	}
	return nil
}
