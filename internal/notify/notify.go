// Package notify runs callbacks that nobody waits for: hooks and log lines, which
// are the user's code and may be slow, block or panic.
package notify

import (
	"context"
	"sync/atomic"
)

// A Queue runs functions one after another, in the order in which they were
// given, on a goroutine of [Queue.Run]. What it cannot keep it drops and counts:
// a hook that blocks costs events, never messages.
type Queue struct {
	todo    chan task
	most    int64        // bytes that waiting functions may keep in memory
	kept    atomic.Int64 // bytes that they do
	dropped atomic.Int64
}

// A task is a function and the bytes that it keeps in memory.
type task struct {
	f     func()
	bytes int64
}

// New returns a Queue that keeps up to size functions waiting, and with them no more
// than the given bytes, or what a single one keeps.
func New(size, bytes int) *Queue {
	return &Queue{todo: make(chan task, size), most: int64(bytes)}
}

// Do lets f run soon. It never blocks; f is dropped when too many wait.
func (q *Queue) Do(f func()) { q.Keep(0, f) }

// Keep is [Queue.Do] for an f that keeps so many bytes in memory while it waits.
func (q *Queue) Keep(bytes int, f func()) {
	t := task{f, int64(bytes)}
	if kept := q.kept.Add(t.bytes); t.bytes > 0 && kept > q.most && kept > t.bytes {
		q.drop(t)
		return
	}
	select {
	case q.todo <- t:
	default:
		q.drop(t)
	}
}

func (q *Queue) drop(t task) {
	q.kept.Add(-t.bytes)
	q.dropped.Add(1)
}

// do runs what waits no longer.
func (q *Queue) do(t task) {
	q.kept.Add(-t.bytes)
	t.f()
}

// Dropped returns how many functions were not run because too many waited.
func (q *Queue) Dropped() int64 { return q.dropped.Load() }

// Run runs what [Queue.Do] gave until ctx is done, then what still waits, and
// returns. A function that never returns keeps Run from returning.
func (q *Queue) Run(ctx context.Context) {
	for !q.attempt(ctx) {
	}
}

// attempt works on a goroutine of its own and reports whether the work came to its
// end. A function that panics or calls runtime.Goexit takes that goroutine with
// it and nothing else.
func (q *Queue) attempt(ctx context.Context) (ended bool) {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		defer func() { _ = recover() }() // what it panicked with is the user's business
		q.work(ctx)
		ended = true
	}()
	<-gone
	return ended
}

func (q *Queue) work(ctx context.Context) {
	for {
		select {
		case t := <-q.todo:
			q.do(t)
		case <-ctx.Done():
			q.rest()
			return
		}
	}
}

func (q *Queue) rest() {
	for {
		select {
		case t := <-q.todo:
			q.do(t)
		default:
			return
		}
	}
}
