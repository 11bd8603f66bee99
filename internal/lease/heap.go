package lease

import "slices"

// A heap holds the kept leases, the one with the earliest event first. A node has four children, and the instants stand
// beside the pointers. A comparison then rarely leaves the cache, which counts with 100,000 leases.
type heap[T any] []node[T]

type node[T any] struct {
	at    Instant
	lease *Lease[T]
}

const arity = 4

func (h *heap[T]) push(l *Lease[T], at Instant) {
	*h = append(*h, node[T]{})
	h.up(len(*h)-1, node[T]{at, l})
}

// fix moves l to where its event belongs, which is at now.
func (h heap[T]) fix(l *Lease[T], at Instant) { h.place(l.slot-1, node[T]{at, l}) }

func (h *heap[T]) remove(l *Lease[T]) {
	i, end := l.slot-1, len(*h)-1
	moved := (*h)[end]
	(*h)[end] = node[T]{} // lets the lease be collected
	*h = (*h)[:end]
	if i < end {
		h.place(i, moved)
	}
	l.slot = 0
}

// rebuild takes the event of every lease anew.
func (h heap[T]) rebuild(event func(*Lease[T]) Instant) {
	for i := range h {
		h[i].at = event(h[i].lease)
	}
	for i := range slices.Backward(h) {
		h.down(i, h[i])
	}
}

// place puts n into the hole at i or where it belongs above or below it.
func (h heap[T]) place(i int, n node[T]) {
	if i > 0 && n.at < h[(i-1)/arity].at {
		h.up(i, n)
		return
	}
	h.down(i, n)
}

func (h heap[T]) up(i int, n node[T]) {
	for i > 0 {
		parent := (i - 1) / arity
		if h[parent].at <= n.at {
			break
		}
		h.set(i, h[parent])
		i = parent
	}
	h.set(i, n)
}

func (h heap[T]) down(i int, n node[T]) {
	for {
		child := h.firstChild(i)
		if child < 0 || h[child].at >= n.at {
			break
		}
		h.set(i, h[child])
		i = child
	}
	h.set(i, n)
}

// firstChild returns the index of the child of i with the earliest event, or -1 if i has none.
func (h heap[T]) firstChild(i int) int {
	from := i*arity + 1
	if from >= len(h) {
		return -1
	}
	best := from
	for c := from + 1; c < min(from+arity, len(h)); c++ {
		if h[c].at < h[best].at {
			best = c
		}
	}
	return best
}

func (h heap[T]) set(i int, n node[T]) {
	h[i] = n
	n.lease.slot = i + 1
}
