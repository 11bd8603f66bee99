// Package batcher groups entries into calls. It decides when which entries go together.
// It makes no call, starts no goroutine, holds no lock and reads no clock.
//
// Each entry waits up to its linger for others to share its call. The end of the first
// linger ends all of them: what waits goes together. An entry whose call has failed comes
// back with a time before which it is not tried again. Then it does not linger.
package batcher

import (
	"slices"
	"sort"
	"time"
)

// A Batcher holds the entries of one kind of call. The zero value is not usable; see
// [New]. It is not for concurrent use.
type Batcher[T any] struct {
	size  int
	calls int

	queue   []T      // in the order in which they came
	head    int      // the first of queue that waits
	due     int      // how many at the front go as soon as a call is free
	lingers []linger // of those behind them; each ends later than the one before
	retries []retry[T]
	flying  int // calls that are not back
}

// A linger is of entries that follow each other. Those that came before others whose linger
// ends sooner share that one: they go with them.
type linger struct {
	n   int
	end time.Time
}

// A retry is entries that wait for their next try, all until the same time.
type retry[T any] struct {
	at      time.Time
	entries []T
}

// New returns a Batcher for calls of up to size entries, of which up to calls may be out
// at once.
func New[T any](size, calls int) *Batcher[T] {
	return &Batcher[T]{size: size, calls: calls}
}

// Add adds entries that wait for others up to the given time. 0 or less: they go as soon as
// a call is free, and all that waits goes with them.
func (b *Batcher[T]) Add(now time.Time, wait time.Duration, entries ...T) {
	if len(entries) == 0 {
		return
	}
	b.queue = append(b.queue, entries...)
	if wait <= 0 {
		b.Flush()
		return
	}
	added := linger{len(entries), now.Add(wait)}
	last := len(b.lingers) - 1
	for ; last >= 0 && !b.lingers[last].end.Before(added.end); last-- {
		added.n += b.lingers[last].n
	}
	b.lingers = append(b.lingers[:last+1], added)
}

// Retry adds entries that are not sent before at, and then do not linger.
func (b *Batcher[T]) Retry(at time.Time, entries ...T) {
	if len(entries) == 0 {
		return
	}
	i := sort.Search(len(b.retries), func(i int) bool { return b.retries[i].at.After(at) })
	if i > 0 && b.retries[i-1].at.Equal(at) {
		b.retries[i-1].entries = append(b.retries[i-1].entries, entries...)
		return
	}
	b.retries = slices.Insert(b.retries, i, retry[T]{at, slices.Clone(entries)})
}

// Flush ends the linger of all that waits. The time of a retry stays.
func (b *Batcher[T]) Flush() {
	b.due, b.lingers = len(b.waiting()), b.lingers[:0]
}

// Widen lets up to so many calls be out at once from now on, if that is more than before.
func (b *Batcher[T]) Widen(calls int) { b.calls = max(b.calls, calls) }

// Ready reports whether a call is to be made now: then [Batcher.Next] returns its entries.
func (b *Batcher[T]) Ready(now time.Time) bool {
	b.requeue(now)
	return b.flying < b.calls && b.ready(now)
}

// Next moves the entries of the next call into the given slice, as many as it has room for,
// and returns how many. 0: no call is to be made now. The call is out until
// [Batcher.Returned].
func (b *Batcher[T]) Next(now time.Time, into []T) (n int) {
	if !b.Ready(now) {
		return 0
	}
	n = copy(into[:min(b.size, len(into))], b.waiting())
	b.drop(n)
	b.outlast(n - min(n, b.due))
	b.due = max(0, b.due-n)
	b.flying++
	return n
}

// waiting returns the entries that wait, in the order in which they came.
func (b *Batcher[T]) waiting() []T { return b.queue[b.head:] }

// drop forgets the first n entries. What is left moves to the front of its memory only
// when that is half empty, so that each entry moves a few times at most.
func (b *Batcher[T]) drop(n int) {
	clear(b.queue[b.head : b.head+n])
	b.head += n
	if b.head <= len(b.queue)/2 {
		return
	}
	left := copy(b.queue, b.waiting())
	clear(b.queue[max(left, b.head):])
	b.queue, b.head = b.queue[:left], 0
}

// outlast forgets the lingers of the first n entries that linger.
func (b *Batcher[T]) outlast(n int) {
	i := 0
	for ; n > 0 && b.lingers[i].n <= n; i++ {
		n -= b.lingers[i].n
	}
	b.lingers = slices.Delete(b.lingers, 0, i)
	if n > 0 {
		b.lingers[0].n -= n
	}
}

// end returns when the first linger is over; zero: none lingers.
func (b *Batcher[T]) end() time.Time {
	if len(b.lingers) == 0 {
		return time.Time{}
	}
	return b.lingers[0].end
}

// requeue puts entries whose time has come behind those that wait.
func (b *Batcher[T]) requeue(now time.Time) {
	for len(b.retries) > 0 && !b.retries[0].at.After(now) {
		b.queue = append(b.queue, b.retries[0].entries...)
		b.retries = slices.Delete(b.retries, 0, 1)
		b.Flush()
	}
}

// ready reports whether what waits fills a call or may wait no longer.
func (b *Batcher[T]) ready(now time.Time) bool {
	if end := b.end(); !end.IsZero() && !end.After(now) {
		b.Flush()
	}
	return b.due > 0 || len(b.waiting()) >= b.size
}

// Returned notes that a call is back.
func (b *Batcher[T]) Returned() { b.flying-- }

// Out returns how many calls are out.
func (b *Batcher[T]) Out() int { return b.flying }

// Wakes returns when [Batcher.Next] gives a call only because time has passed. Zero: it
// does not.
func (b *Batcher[T]) Wakes() time.Time {
	if b.flying >= b.calls {
		return time.Time{} // the return of a call comes first
	}
	at := b.end()
	if len(b.retries) > 0 && (at.IsZero() || b.retries[0].at.Before(at)) {
		at = b.retries[0].at
	}
	return at
}
