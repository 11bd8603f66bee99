// Package tens groups entries into calls of up to ten, the most that SQS takes
// in one batch request. It knows nothing else of SQS: what an entry is, and how
// a call is made, is the caller's.
//
// A [Batcher] owns no goroutine while it has nothing to do. Entries wait in a
// queue until a call is due, each call in flight is one goroutine, and a single
// timer stands for everything that waits for a moment: the linger of the queue
// and the back-off of what has to be tried again.
package tens

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

const (
	maxEntries   = 10 // per batch request; SQS rejects more (TooManyEntriesInBatchRequest)
	defaultCalls = 16

	firstBackoff = 20 * time.Millisecond
	maxBackoff   = 2 * time.Second

	// grace is how long Close waits for calls it has cancelled. A client that
	// heeds its context is back in microseconds, and one that does not must not
	// hold a shutdown.
	grace = 100 * time.Millisecond

	never = time.Duration(1<<63 - 1) // a moment that does not come
)

// Config says what a [Batcher] does with its entries. Send is required.
type Config[T any] struct {
	// Send makes one call with 1 to 10 entries and returns those to be tried
	// again, nil if there are none. The slice is its own until it returns. It
	// is called by several goroutines at once, never under a lock, and bounds
	// its own time: only the end of Close's context cancels ctx. If it panics
	// or ends its goroutine, all its entries are tried again; the value of the
	// panic is dropped, so a Send that wants it known recovers by itself.
	Send func(ctx context.Context, entries []T) (again []T)

	// Calls is how many calls may be in flight at once; 0 means 16.
	Calls int

	// Go runs a call on another goroutine, without waiting for it. It is not called after
	// Close has returned, which waits for it. nil means with a go statement.
	Go func(call func())

	// Backoff says how long entries wait that have been tried in vain tries
	// times, from 1. It is asked once for those of a call that have been tried
	// equally often: what failed together goes together, in one call. nil
	// means a random part of 20 ms, doubled with each try up to 2 s.
	Backoff func(tries int) time.Duration
}

// Batcher gathers entries and sends them in calls of up to ten. Its methods may
// be called concurrently, from within Send too. [New] makes one.
type Batcher[T any] struct {
	cfg   Config[T]
	base  time.Time     // moments below are counted from here
	quiet chan struct{} // closed when Close has nothing more to wait for

	starts sync.WaitGroup // calls that have begun and that unlock has not started yet

	door door[T] // for what comes while somebody is inside

	mu      sync.Mutex // guards the fields below; never held while calling out
	state   state
	queue   queue[T]   // entries that wait to be sent, in the order they came
	due     int        // how many at the front of queue go as soon as a call is free
	retries []retry[T] // entries that wait out their back-off, the soonest first
	calls   []*call[T] // in flight, in the order they began
	begun   *call[T]   // the first of those that unlock starts; nil: there are none
	latest  *call[T]   // the last of them
	spare   []*call[T] // returned, for use by the next
	timer   *time.Timer
	armed   time.Duration // when timer fires; never if it is stopped
}

// state is how far the closing of a batcher has come. It only grows.
type state int

const (
	open     state = iota
	closing        // nothing lingers any more
	stopping       // Close's context is done: no call begins any more
	closed         // no entry is taken any more
)

// New returns a batcher that sends with cfg.Send. It starts nothing: a batcher
// that is never used need not be closed.
func New[T any](cfg Config[T]) *Batcher[T] {
	if cfg.Calls <= 0 {
		cfg.Calls = defaultCalls
	}
	if cfg.Go == nil {
		cfg.Go = func(call func()) { go call() }
	}
	if cfg.Backoff == nil {
		cfg.Backoff = jitter
	}
	return &Batcher[T]{
		cfg:   cfg,
		base:  time.Now(),
		quiet: make(chan struct{}),
		armed: never,
	}
}

// jitter returns a random part of a delay that doubles with each try.
func jitter(tries int) time.Duration {
	limit := maxBackoff
	if shift := tries - 1; shift < 10 { // 20 ms << 10 is far beyond the limit already
		limit = min(firstBackoff<<shift, maxBackoff)
	}
	return rand.N(limit) + 1
}

// Add queues entries and reports whether they were taken: all of them, or none
// once [Batcher.Close] has returned. With a linger of 0 or less they go at once,
// together with whatever else waits, if a call is free; otherwise they wait at
// most so long for others to fill their call. The earliest end of those waiting
// counts for all. Add does not block on calls.
func (b *Batcher[T]) Add(linger time.Duration, entries ...T) bool {
	if len(entries) == 0 {
		return !b.door.isShut()
	}
	now := time.Since(b.base)
	end := now + min(linger, never-now) // not beyond what a Duration can hold
	yours, ok := b.door.arrive(end, linger <= 0, entries)
	if yours {
		b.attend()
	}
	return ok
}

// attend sees to the news at the door until there are none. It starts what calls they
// have made due as soon as there are any.
func (b *Batcher[T]) attend() {
	for b.hear() {
	}
}

// hear sees to news until calls have begun or there is none; more tells which.
func (b *Batcher[T]) hear() (more bool) {
	b.mu.Lock()
	defer b.unlock()
	for b.begun == nil {
		n := b.door.take()
		if n.none() {
			return false
		}
		matters := b.learn(n)
		n.clear()
		if matters {
			b.dispatch(time.Since(b.base))
		}
	}
	return true
}

// learn takes in news and tells whether there may be something to do because of them.
// mu is held.
func (b *Batcher[T]) learn(n news[T]) (matters bool) {
	for _, e := range n.ends {
		b.settle(e.call, e.again)
	}
	urgent, earliest := n.flush, never
	for i := range n.arrivals {
		a := &n.arrivals[i]
		b.queue.push(a.first)
		for _, it := range a.rest {
			b.queue.push(it)
		}
		urgent, earliest = urgent || a.urgent, min(earliest, a.first.end)
	}
	if urgent || b.state >= closing {
		b.due = b.queue.len()
		return true
	}
	// Else the timer sees in time to a call that is not full.
	return len(n.ends) > 0 || b.queue.len() >= maxEntries || earliest < b.armed
}

// Flush ends the linger of everything that waits: it goes now, or as soon as
// calls are free, in calls as full as possible. A back-off is not cut short.
func (b *Batcher[T]) Flush() {
	if b.door.flush() {
		b.attend()
	}
}

// Widen lets up to so many calls be in flight at once from now on, if that is more than
// before.
func (b *Batcher[T]) Widen(calls int) {
	b.mu.Lock()
	defer b.unlock()
	b.cfg.Calls = max(b.cfg.Calls, calls)
	b.dispatch(time.Since(b.base))
}

// GiveUp ends the call of Send that was given ctx, although it has not returned. What it
// returns later counts for nothing; its place goes to another. Its entries again are tried
// again. It is for calls that take longer than they may.
func (b *Batcher[T]) GiveUp(ctx context.Context, again []T) {
	late := retry[T]{}
	if len(again) > 0 {
		late.at = time.Since(b.base) + b.cfg.Backoff(1)
		for _, e := range again {
			late.items = append(late.items, item[T]{entry: e, tries: 1})
		}
	}
	b.mu.Lock()
	defer b.unlock()
	if b.state == closed {
		return // Close has given it up, and its entries back
	}
	b.calls = slices.DeleteFunc(b.calls, func(c *call[T]) bool { return c.ctx == ctx })
	b.await(late)
	b.dispatch(time.Since(b.base))
}

// Close sends what the batcher holds, retries with their back-off included, and
// returns nil when all is settled. When ctx is done first, calls in flight are
// cancelled with its cause and given a tenth of a second to return; whatever was
// not settled by then is returned, entries of calls that still run among it.
//
// Entries are taken, and no longer linger, until Close returns. Closing again is
// harmless: entries that were left are returned once, by one of the Closes.
func (b *Batcher[T]) Close(ctx context.Context) (left []T) {
	if ctx.Err() == nil {
		b.hurry()
	}
	select {
	case <-b.quiet:
	case <-ctx.Done():
		b.stop(context.Cause(ctx))
	}

	timeout := time.NewTimer(grace)
	defer timeout.Stop()
	select {
	case <-b.quiet: // already so when all is settled
	case <-timeout.C:
	}
	return b.abandon()
}

// hurry lets nothing linger from now on.
func (b *Batcher[T]) hurry() {
	b.mu.Lock()
	defer b.unlock()
	b.state = max(b.state, closing)
	b.due = b.queue.len()
	b.dispatch(time.Since(b.base))
}

// stop lets no call begin from now on and cancels those in flight.
func (b *Batcher[T]) stop(cause error) {
	b.mu.Lock()
	defer b.unlock()
	b.state = max(b.state, stopping)
	for _, c := range b.calls {
		c.cancel(cause)
	}
	b.dispatch(time.Since(b.base))
}

// abandon closes the batcher and returns what it still holds. A call that
// returns later finds it closed, and what it brings back is in left already.
func (b *Batcher[T]) abandon() (left []T) {
	b.starts.Wait() // none is started after Close, and none has begun since it is stopping
	b.mu.Lock()
	defer b.unlock()
	b.learn(b.door.closeNow())
	for _, c := range b.calls {
		left = appendEntries(left, c.items[:c.n])
	}
	left = appendEntries(left, b.queue.waiting())
	for _, r := range b.retries {
		left = appendEntries(left, r.items)
	}

	b.state = closed
	b.queue, b.due, b.retries, b.calls, b.spare = queue[T]{}, 0, nil, nil, nil
	b.arm(0, never)
	b.hush()
	return left
}

// hush tells all Closes that there is nothing more to wait for.
func (b *Batcher[T]) hush() {
	select {
	case <-b.quiet:
	default:
		close(b.quiet)
	}
}

// dispatch does all that may be done now: it begins the calls that are due, sets
// the timer for the next moment, and tells Close when nothing is left. It
// follows every change; mu is held.
func (b *Batcher[T]) dispatch(now time.Duration) {
	if b.state < stopping {
		b.requeue(now)
		for len(b.calls) < b.cfg.Calls && b.ready(now) {
			b.begin()
		}
	}
	b.arm(now, b.next())
	if len(b.calls) > 0 || b.state == open {
		return
	}
	if b.state == stopping {
		b.hush()
		return
	}
	if b.queue.len() == 0 && len(b.retries) == 0 && b.door.close() {
		b.state = closed // with nothing left inside or outside: a later Add is refused, not lost
		b.hush()
	}
}

// requeue puts entries whose back-off is over behind those that wait. They have
// waited enough and do not linger.
func (b *Batcher[T]) requeue(now time.Duration) {
	for len(b.retries) > 0 && b.retries[0].at <= now {
		for _, it := range b.retries[0].items {
			b.queue.push(it)
		}
		b.retries = slices.Delete(b.retries, 0, 1)
		b.due = b.queue.len()
	}
}

// ready reports whether what waits fills a call or may wait no longer.
func (b *Batcher[T]) ready(now time.Duration) bool {
	if b.due == 0 && b.queue.len() < maxEntries && b.queue.end() <= now {
		b.due = b.queue.len() // one's end is the end for all
	}
	return b.due > 0 || b.queue.len() >= maxEntries
}

// next returns the moment at which something has to be done although no entry
// comes and no call returns.
func (b *Batcher[T]) next() time.Duration {
	if b.state >= stopping || len(b.calls) == b.cfg.Calls {
		return never // while no call is free, only the return of one changes anything
	}
	at := b.queue.end()
	if len(b.retries) > 0 {
		at = min(at, b.retries[0].at)
	}
	return at
}

// arm sets the timer to fire at the given moment, or stops it for never. A timer
// that fires too early does no harm, it finds nothing due and is set anew, so it
// is touched only if it would fire too late or for nothing.
func (b *Batcher[T]) arm(now, at time.Duration) {
	if at == never && b.armed != never {
		b.timer.Stop()
		b.armed = never
	}
	if at >= b.armed {
		return
	}
	b.armed = at
	wait := at - now
	if b.timer == nil {
		b.timer = time.AfterFunc(wait, b.wake)
		return
	}
	b.timer.Reset(wait)
}

// wake is the timer's work.
func (b *Batcher[T]) wake() {
	b.mu.Lock()
	defer b.unlock()
	b.armed = never
	b.dispatch(time.Since(b.base))
}
