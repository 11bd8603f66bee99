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

	queue   []T       // in the order in which they came
	head    int       // the first of queue that waits
	due     int       // how many at the front go as soon as a call is free
	end     time.Time // when the first linger of the others is over; zero: none lingers
	retries []retry[T]
	flying  int // calls that are not back
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

// Add adds entries that wait for others up to linger. 0 or less: they go as soon as a call
// is free, and all that waits goes with them.
func (b *Batcher[T]) Add(now time.Time, linger time.Duration, entries ...T) {
	if len(entries) == 0 {
		return
	}
	b.queue = append(b.queue, entries...)
	if linger <= 0 {
		b.Flush()
		return
	}
	if end := now.Add(linger); b.end.IsZero() || end.Before(b.end) {
		b.end = end
	}
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
	b.due, b.end = len(b.waiting()), time.Time{}
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
	b.due = max(0, b.due-n)
	if len(b.waiting()) == b.due {
		b.end = time.Time{}
	}
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
	if !b.end.IsZero() && !b.end.After(now) {
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
	at := b.end
	if len(b.retries) > 0 && (at.IsZero() || b.retries[0].at.Before(at)) {
		at = b.retries[0].at
	}
	return at
}

// Remove takes out the entries that are as asked for, wherever they wait.
func (b *Batcher[T]) Remove(gone func(T) bool) {
	due := 0
	for i, e := range b.waiting() {
		if i < b.due && !gone(e) {
			due++
		}
	}
	left := slices.DeleteFunc(b.waiting(), gone)
	b.queue, b.due = b.queue[:b.head+len(left)], due
	for i := range b.retries {
		b.retries[i].entries = slices.DeleteFunc(b.retries[i].entries, gone)
	}
}
