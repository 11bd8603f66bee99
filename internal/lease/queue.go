package lease

// A queue holds the leases that are due, first come first served. They are linked through themselves, so that it
// allocates nothing, and any of them can leave at any time.
type queue[T any] struct {
	head, tail *Lease[T]
	len        int
}

func (q *queue[T]) push(l *Lease[T]) {
	l.queued, l.prev, l.next = true, q.tail, nil
	if q.tail == nil {
		q.head = l
	} else {
		q.tail.next = l
	}
	q.tail = l
	q.len++
}

// remove takes l out; it does nothing if l is not queued.
func (q *queue[T]) remove(l *Lease[T]) {
	if !l.queued {
		return
	}
	if l.prev == nil {
		q.head = l.next
	} else {
		l.prev.next = l.next
	}
	if l.next == nil {
		q.tail = l.prev
	} else {
		l.next.prev = l.prev
	}
	l.queued, l.prev, l.next = false, nil, nil
	q.len--
}

// sendBy returns the instant until which all of them can wait.
func (q *queue[T]) sendBy() Instant {
	by := Never
	for l := q.head; l != nil; l = l.next {
		by = min(by, l.sendBy)
	}
	return by
}
