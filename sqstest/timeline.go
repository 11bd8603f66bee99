package sqstest

// timeline keeps entries in the order of their keys. Keys mostly arrive in ascending order (a clock, a
// sequence), so those form a linked list, where adding and removing cost nothing that grows; only an entry
// that comes out of order goes to a heap. The first of both together is the first of all.
type timeline[T any] struct {
	head, tail *entry[T]
	heap       []*entry[T]
	n          int
}

// entry is one element's place on a timeline. It lives inside the element: no allocation per move.
type entry[T any] struct {
	of         T
	key        int64
	prev, next *entry[T] // in the list
	slot       int       // in the heap, from 1; 0: not there
	on         bool
}

// add puts e on the line at key. e must not be on any.
func (t *timeline[T]) add(e *entry[T], key int64) {
	e.key, e.on = key, true
	t.n++
	if t.tail != nil && key < t.tail.key {
		t.push(e)
		return
	}
	e.prev = t.tail
	if t.tail == nil {
		t.head = e
	} else {
		t.tail.next = e
	}
	t.tail = e
}

// remove takes e off the line; nothing happens when it is on none.
func (t *timeline[T]) remove(e *entry[T]) {
	if !e.on {
		return
	}
	e.on = false
	t.n--
	if e.slot > 0 {
		t.pull(e)
		return
	}
	if e.prev == nil {
		t.head = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next == nil {
		t.tail = e.prev
	} else {
		e.next.prev = e.prev
	}
	e.prev, e.next = nil, nil
}

// first returns the entry with the lowest key, or nil.
func (t *timeline[T]) first() *entry[T] {
	if len(t.heap) == 0 {
		return t.head
	}
	if t.head != nil && t.head.key <= t.heap[0].key {
		return t.head
	}
	return t.heap[0]
}

func (t *timeline[T]) push(e *entry[T]) {
	t.heap = append(t.heap, e)
	e.slot = len(t.heap)
	t.up(e)
}

func (t *timeline[T]) pull(e *entry[T]) {
	last := t.heap[len(t.heap)-1]
	t.heap[len(t.heap)-1] = nil
	t.heap = t.heap[:len(t.heap)-1]
	if last != e {
		last.slot = e.slot
		t.heap[e.slot-1] = last
		t.up(last)
		t.down(last)
	}
	e.slot = 0
}

func (t *timeline[T]) up(e *entry[T]) {
	for e.slot > 1 {
		parent := t.heap[e.slot/2-1]
		if parent.key <= e.key {
			return
		}
		t.swap(parent, e)
	}
}

func (t *timeline[T]) down(e *entry[T]) {
	for 2*e.slot <= len(t.heap) {
		child := t.heap[2*e.slot-1]
		if 2*e.slot < len(t.heap) && t.heap[2*e.slot].key < child.key {
			child = t.heap[2*e.slot]
		}
		if e.key <= child.key {
			return
		}
		t.swap(e, child)
	}
}

func (t *timeline[T]) swap(a, b *entry[T]) {
	a.slot, b.slot = b.slot, a.slot
	t.heap[a.slot-1], t.heap[b.slot-1] = a, b
}
