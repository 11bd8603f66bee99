package tens

import (
	"context"
	"reflect"
	"slices"
	"sort"
	"time"
)

// call is one call of Send.
type call[T any] struct {
	items   [maxEntries]item[T] // what it carries: the truth, since Send may write to entries
	entries [maxEntries]T       // what Send gets
	n       int                 // how many, in both
	ctx     context.Context     //nolint:containedctx // of the one call of Send
	cancel  context.CancelCauseFunc
	next    *call[T] // to be started after this one
}

// begin takes the front of the queue into a new call, which unlock starts. mu is
// held. Nobody waits for the goroutine by a WaitGroup, because Close must be able to
// leave it behind: calls lists it until settle, its last act, and Close watches that.
func (b *Batcher[T]) begin() {
	c := b.blank()
	c.n = b.queue.take(c.items[:])
	b.due = max(0, b.due-c.n)
	for i := range c.n {
		c.entries[i] = c.items[i].entry
	}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	b.calls = append(b.calls, c)
	if b.begun == nil {
		b.begun = c
	} else {
		b.latest.next = c
	}
	b.latest = c
	b.starts.Add(1)
}

// unlock unlocks mu, and then starts the calls that have begun under it: that takes
// long, and others want to leave their entries.
func (b *Batcher[T]) unlock() {
	c := b.begun
	b.begun, b.latest = nil, nil
	b.mu.Unlock()
	for c != nil {
		next, one := c.next, c
		b.cfg.Go(func() { b.send(one) }) // from now on it may end, and be another call
		b.starts.Done()
		c = next
	}
}

// blank returns an empty call, used before if possible.
func (b *Batcher[T]) blank() *call[T] {
	n := len(b.spare)
	if n == 0 {
		return new(call[T])
	}
	c := b.spare[n-1]
	b.spare = b.spare[:n-1]
	return c
}

// send makes the call. Send is foreign code that may panic or end the goroutine
// (runtime.Goexit); neither says what became of the entries, so all of them are
// tried again.
func (b *Batcher[T]) send(c *call[T]) {
	var again []T
	returned := false
	defer func() {
		if !returned {
			_ = recover()
			again = appendEntries(nil, c.items[:c.n])
		}
		c.cancel(nil)
		if b.door.end(c, b.backoff(c, again)) {
			b.attend()
		}
	}()
	again = b.cfg.Send(c.ctx, c.entries[:c.n:c.n])
	returned = true
}

// backoff groups the entries to be tried again by how often they have been, and
// gives each group its time to wait. No lock is held: it asks cfg.Backoff.
func (b *Batcher[T]) backoff(c *call[T], again []T) []retry[T] {
	if len(again) == 0 {
		return nil // the usual case need not read the clock
	}
	var groups []retry[T]
	var used [maxEntries]bool
	for _, e := range again {
		it := item[T]{entry: e, tries: c.tries(e, &used) + 1}
		i := slices.IndexFunc(groups, func(r retry[T]) bool { return r.items[0].tries == it.tries })
		if i < 0 {
			i = len(groups)
			groups = append(groups, retry[T]{at: b.cfg.Backoff(it.tries)})
		}
		groups[i].items = append(groups[i].items, it)
	}
	now := time.Since(b.base)
	for i := range groups {
		groups[i].at = now + min(groups[i].at, never-now)
	}
	return groups
}

// tries returns how often an entry that Send returned had been tried before. An
// entry that cannot be found again, because it was changed or has no ==, counts
// as tried as often as any of its call: too long a wait is the safer mistake.
func (c *call[T]) tries(e T, used *[maxEntries]bool) int {
	most := 0
	equatable := reflect.ValueOf(e).Comparable()
	for i := range c.n {
		if equatable && !used[i] && any(c.items[i].entry) == any(e) {
			used[i] = true
			return c.items[i].tries
		}
		most = max(most, c.items[i].tries)
	}
	return most
}

// settle ends a call and lets what must be tried again wait. mu is held.
func (b *Batcher[T]) settle(c *call[T], again []retry[T]) {
	i := slices.Index(b.calls, c)
	if i < 0 {
		return // Close has given the call up, and its entries back
	}
	b.calls = slices.Delete(b.calls, i, i+1)
	for _, r := range again {
		b.await(r)
	}
	*c = call[T]{}
	b.spare = append(b.spare, c)
}

// await lets entries wait out their back-off. mu is held.
func (b *Batcher[T]) await(r retry[T]) {
	if len(r.items) == 0 {
		return
	}
	at := sort.Search(len(b.retries), func(i int) bool { return b.retries[i].at > r.at })
	b.retries = slices.Insert(b.retries, at, r)
}
