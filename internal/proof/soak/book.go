package main

import (
	"fmt"
	"slices"
	"sync/atomic"
)

// A book notes which messages of a queue were handled, by their numbers. It has all
// its memory from the beginning, so that it does not count as a leak.
type book struct {
	bits  []atomic.Uint64
	again atomic.Int64 // messages that were handled once more
}

func newBook(most int) *book {
	b := &book{bits: make([]atomic.Uint64, most/64+1)}
	for i := range b.bits {
		b.bits[i].Store(1) // memory that was never written to is not there yet
		b.bits[i].Store(0)
	}
	return b
}

// write notes that a message was handled.
func (b *book) write(number int) {
	bit := uint64(1) << (number % 64)
	if b.bits[number/64].Or(bit)&bit != 0 {
		b.again.Add(1)
	}
}

func (b *book) has(number int) bool { return b.bits[number/64].Load()&(1<<(number%64)) != 0 }

// lost returns what is wrong with the messages of a queue: each must have been
// handled, or be in the dead-letter queue.
func (b *book) lost(name string, q queueReport) (wrong []string) {
	slices.Sort(q.Dead)
	missing := 0
	for number := range q.Sent {
		if _, dead := slices.BinarySearch(q.Dead, number); !dead && !b.has(number) {
			missing++
		}
	}
	if missing > 0 {
		wrong = append(wrong, fmt.Sprintf("%s: %d of %d messages are lost", name, missing, q.Sent))
	}
	if q.Left > 0 {
		wrong = append(wrong, fmt.Sprintf("%s: %d messages are still in the queue", name, q.Left))
	}
	return wrong
}
