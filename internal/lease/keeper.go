package lease

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/sluice-go/sluice/internal/elapsed"
)

const (
	maxEntries = 10             // per call; SQS rejects more (TooManyEntriesInBatchRequest)
	maxHeld    = 12 * time.Hour // from the receive; SQS rejects a renewal beyond it (InvalidParameterValue, "Total VisibilityTimeout … beyond the limit")

	// maxCall is the longest a renewal call may take. It is also kept clear of maxHeld: SQS counts a timeout from when
	// the call reaches it, which is at most that much later than when it was sent.
	maxCall = 10 * time.Second

	// chunk is how many events are handled under the lock at once; more wait for the next time round, so that many
	// leases due together hold up the callers of Add and Remove only briefly.
	chunk = 256
)

// Config tells a [Keeper] what to keep and how. Timeout, Renew and Lost are required.
type Config[T any] struct {
	// Timeout is the visibility timeout each receive and renewal asks for: whole seconds, at least one.
	Timeout time.Duration

	// Renew asks the queue to renew the entries, of which there are one to ten, each of another lease. It returns an
	// error per entry: nil when the renewal is confirmed, an [ErrGone] when the receipt is lost for good, anything else
	// when it is worth another try. What is missing from the slice counts as failed, as does everything after a panic.
	// It is called from several goroutines at once and must return when its context is done.
	Renew func(ctx context.Context, entries []Renewal[T]) []error

	// Lost is told of leases that ended while they were kept, with the cause they share: [ErrGone], [ErrExpired],
	// [ErrLimit] or [ErrHalted]. It is called from Run's goroutine, one call at a time, without the lock, and must not block
	// for long. A lease may be adopted, removed or retired just before its report comes; [Keeper.Left] tells.
	Lost func(leases []*Lease[T], err error)

	// Starved is told each second that goroutines wait so long for a processor that renewals may come too late. It is called
	// from a goroutine of its own and must not block for long. nil: nobody is.
	Starved func(wait time.Duration)

	// Calls is how many renewal calls may be in flight at once; 0 means 16.
	Calls int

	// CallTimeout is the time a renewal call may take; 0 means 10 s. It is never more than that, nor more than a
	// quarter of Timeout: a call that hangs must leave time for another.
	CallTimeout time.Duration

	// Clock measures the leases; nil: one of the keeper's own.
	Clock *elapsed.Clock

	// Rand returns the jitter of retries, in [0, 1); nil means math/rand/v2. It is called from Run's goroutine only.
	Rand func() float64
}

// A Keeper renews the leases it was given until they are removed. All methods may be called at any time from any
// goroutine, before, during and after Run; leases are renewed and losses reported only while Run runs.
type Keeper[T any] struct {
	cfg  Config[T]
	wake chan struct{}

	mu      sync.Mutex    // guards the fields below and those of the leases; never held while calling out
	heap    heap[T]       // all kept leases
	due     queue[T]      // those waiting for a call
	running int           // calls in flight
	alarm   instant       // when Run looks again by itself
	probing bool          // a probe is under way
	probed  time.Time     // when the latest one began
	wait    time.Duration // how long a goroutine that is ready waits for a processor; see probe
}

// NewKeeper returns a keeper without leases. It panics if cfg is incomplete or its Timeout is not whole seconds.
func NewKeeper[T any](cfg Config[T]) *Keeper[T] {
	if cfg.Timeout < time.Second || cfg.Timeout%time.Second != 0 {
		panic(fmt.Sprintf("lease: Timeout is %v, want whole seconds, at least one", cfg.Timeout))
	}
	if cfg.Renew == nil || cfg.Lost == nil {
		panic("lease: Renew and Lost are required")
	}
	if cfg.Calls <= 0 {
		cfg.Calls = 16
	}
	if cfg.CallTimeout <= 0 {
		cfg.CallTimeout = maxCall
	}
	cfg.CallTimeout = min(cfg.CallTimeout, maxCall, cfg.Timeout/4)
	if cfg.Rand == nil {
		cfg.Rand = rand.Float64
	}
	if cfg.Clock == nil {
		cfg.Clock = elapsed.New(nil)
	}
	return &Keeper[T]{cfg: cfg, wake: make(chan struct{}, 1), alarm: asap}
}

// Add begins to keep the leases of one receive: sent is when its request was sent, arrived when its answer came. A lease
// counts from sent, the earliest moment SQS can have begun it. The first renewal, though, is due half a timeout after
// arrived, or after 80 % of the time from sent if that is sooner: a long poll that waited has mostly waited before the
// lease began, and renewing early for its sake would be a wasted call.
func (k *Keeper[T]) Add(sent, arrived time.Time, receipts ...Receipt[T]) {
	s, a := k.instant(sent), k.instant(arrived)
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, r := range receipts {
		r.Lease.halted, r.Lease.retired = false, false
		k.begin(r.Lease, r.Handle, s, a)
	}
	k.nudge()
}

// Adopt gives l the receipt handle of a newer delivery of the same message and begins it anew, also when it was lost;
// 12 hours count from the new sent. A renewal in flight with the old handle no longer counts, nor does its failure. A
// halted lease stays halted; one that was retired is not kept, since what it was retired for may be about to happen.
func (k *Keeper[T]) Adopt(l *Lease[T], handle string, sent, arrived time.Time) {
	s, a := k.instant(sent), k.instant(arrived)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.begin(l, handle, s, a)
	k.nudge()
}

// begin starts a turn of l, kept or not.
func (k *Keeper[T]) begin(l *Lease[T], handle string, sent, arrived instant) {
	v := k.cfg.Timeout
	l.turn++
	l.handle, l.tries, l.failure, l.cause = handle, 0, nil, nil
	l.deadline, l.limit = sent+v, sent+maxHeld-maxCall
	l.due = never
	if !l.halted {
		l.due = min(arrived+v/2, max(arrived, sent+v*4/5))
	}
	k.due.remove(l)
	switch {
	case l.retired:
	case l.slot == 0:
		k.heap.push(l)
	default:
		k.heap.fix(l)
	}
}

// Resume keeps l again, which was removed or retired, as it stands: with its handle, for as long as it has been confirmed.
// It is for a message whose settlement had no effect. A lease that is kept stays as it is.
func (k *Keeper[T]) Resume(l *Lease[T]) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if l.slot > 0 || l.turn == 0 {
		return
	}
	now := k.now()
	l.retired = false
	l.due = never
	if l.cause == nil && !l.halted {
		l.due = now + max(0, l.deadline-now)/2
	}
	k.heap.push(l)
	k.nudge()
}

// Handle returns the newest receipt handle of l.
func (k *Keeper[T]) Handle(l *Lease[T]) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return l.handle
}

// Handles returns the newest receipt handle of each lease.
func (k *Keeper[T]) Handles(leases ...*Lease[T]) []string {
	handles := make([]string, len(leases))
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, l := range leases {
		handles[i] = l.handle
	}
	return handles
}

// Shortest returns the least that one of leases lasts from now on, as [Keeper.Left] tells it; a very long time if there
// are none.
func (k *Keeper[T]) Shortest(now time.Time, leases ...*Lease[T]) time.Duration {
	shortest, instant := never, k.instant(now)
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, l := range leases {
		shortest = min(shortest, l.left(instant))
	}
	return shortest
}

// Left returns how long l lasts from now on, kept or not; 0 or less when it is over, lost or was never added.
func (k *Keeper[T]) Left(l *Lease[T], now time.Time) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	return l.left(k.instant(now))
}

func (l *Lease[T]) left(now instant) time.Duration {
	if l.turn == 0 {
		return 0
	}
	return l.deadline - now
}

// Longest returns the longest visibility timeout that can be asked for the message of l at now, in whole seconds: what is
// left of the 12 hours since its receive.
func (k *Keeper[T]) Longest(l *Lease[T], now time.Time) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	return max(0, (l.limit - k.instant(now)).Truncate(time.Second))
}

// Len returns the number of leases being kept.
func (k *Keeper[T]) Len() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.heap)
}

// Remove ends the keeping of leases whose messages are settled: they are not renewed again and their loss is not
// reported, whatever the answer to a renewal in flight. Leases that are not kept are passed over.
func (k *Keeper[T]) Remove(leases ...*Lease[T]) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, l := range leases {
		k.drop(l)
	}
}

// Retire removes l and calls then once no renewal of l is in flight: at once and in the caller's goroutine if there is
// none, else when the last has come back. It is for changing a visibility timeout on purpose: a renewal that overtakes
// such a change would hide the message again.
func (k *Keeper[T]) Retire(l *Lease[T], then func()) {
	if k.retire(l, then) {
		then()
	}
}

// retire reports whether then can be called now; if not, it is left with l.
func (k *Keeper[T]) retire(l *Lease[T], then func()) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.drop(l)
	l.retired = true
	if l.flying == 0 {
		return true
	}
	if before := l.then; before != nil {
		l.then = func() { before(); then() }
		return false
	}
	l.then = then
	return false
}

// Halt stops the renewals of l, of which one may still be in flight and count. At its deadline it is reported lost, with
// [ErrHalted]. It holds for later deliveries that l may [Keeper.Adopt], even if l is lost at the time.
func (k *Keeper[T]) Halt(l *Lease[T]) {
	k.mu.Lock()
	defer k.mu.Unlock()
	l.halted = true
	if l.slot > 0 {
		k.runOut(l)
	}
}

// runOut lets l, which is kept, live to its deadline without further renewals.
func (k *Keeper[T]) runOut(l *Lease[T]) {
	l.due = never
	k.due.remove(l)
	k.heap.fix(l)
}

// drop stops keeping l.
func (k *Keeper[T]) drop(l *Lease[T]) {
	k.due.remove(l)
	if l.slot > 0 {
		k.heap.remove(l)
	}
}

// nudge wakes Run if there is something to do before it would look by itself.
func (k *Keeper[T]) nudge() {
	next := min(k.first(), k.departure())
	if next >= k.alarm {
		return
	}
	k.alarm = next
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// departure is when the next call should leave: at once if ten leases are due or no other lease can become due as long as
// these can wait, else when they can wait no longer. It is never as long as no call may start.
func (k *Keeper[T]) departure() instant {
	switch {
	case k.due.len == 0 || k.running >= k.cfg.Calls:
		return never
	case k.due.len >= maxEntries:
		return asap
	}
	p := k.due.patience()
	if k.first() > p {
		return asap
	}
	return p
}

func (k *Keeper[T]) instant(t time.Time) instant { return k.cfg.Clock.At(t) }

// Between returns how much time passed from one moment to a later one, by the clock that the leases go by.
func (k *Keeper[T]) Between(from, to time.Time) time.Duration { return k.cfg.Clock.Between(from, to) }
