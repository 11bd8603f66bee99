package tens

import "time"

// item is an entry and what the batcher knows of it.
type item[T any] struct {
	entry T
	end   time.Duration // of its linger
	tries int           // in vain, so far
}

// retry is entries of one call that wait out the same back-off.
type retry[T any] struct {
	at    time.Duration // the end of the back-off
	items []item[T]
}

// queue is first in, first out. The zero value is empty.
type queue[T any] struct {
	items []item[T]
	head  int // items before it have been taken
}

func (q *queue[T]) len() int { return len(q.items) - q.head }

// waiting returns the items in the queue. They stay the queue's.
func (q *queue[T]) waiting() []item[T] { return q.items[q.head:] }

// end returns the earliest end of a linger, or never if the queue is empty or
// holds a full call: that one waits for no moment. So at most nine are looked at,
// however many have piled up.
func (q *queue[T]) end() time.Duration {
	earliest := never
	if q.len() >= maxEntries {
		return earliest
	}
	for i := range q.waiting() {
		earliest = min(earliest, q.items[q.head+i].end)
	}
	return earliest
}

// push puts an item at the end. Rather than grow, it reuses the front once at
// least half of the items have been taken, which keeps the cost of moving the
// rest below one move for each taken.
func (q *queue[T]) push(it item[T]) {
	if len(q.items) == cap(q.items) && q.head > 0 && q.head >= q.len() {
		n := copy(q.items, q.waiting())
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, it)
}

// take moves items from the front to dst and returns how many.
func (q *queue[T]) take(dst []item[T]) int {
	n := copy(dst, q.waiting())
	clear(q.items[q.head : q.head+n]) // the entries are the garbage collector's after their call
	q.head += n
	if q.len() == 0 {
		q.items, q.head = q.items[:0], 0
	}
	return n
}

// appendEntries appends the entries of items to dst.
func appendEntries[T any](dst []T, items []item[T]) []T {
	for i := range items {
		dst = append(dst, items[i].entry)
	}
	return dst
}
