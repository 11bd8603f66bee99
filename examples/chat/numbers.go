package main

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-go/sluice"
)

// numbers are what this process has done with the queue since it began.
type numbers struct {
	At int64 `json:"at"` // when they were read, in microseconds: the larger is the newer, also after a restart

	Sent     int64 `json:"sent"`     // events that SQS has taken
	Waiting  int64 `json:"waiting"`  // of those, neither in flight nor deleted
	InFlight int64 `json:"inFlight"` // received and not deleted: while they are pushed, and while one before them is
	Deleted  int64 `json:"deleted"`  // deletes that SQS has confirmed

	Failed int64 `json:"failed"` // handler calls that failed; each is made again, unless its event is dropped
	Again  int64 `json:"again"`  // receives of events that had been received before

	Calls calls `json:"calls"`
	Empty int64 `json:"empty"` // receives that ended without an event

	Pushed int64 `json:"pushed"` // microseconds from the post of the last message to its way to the phone; 0: there is none yet
}

// calls counts the calls to SQS by their actions, those that failed too. Each try is a
// call.
type calls struct {
	SendMessage                  int64 `json:"SendMessage"`
	ReceiveMessage               int64 `json:"ReceiveMessage"`
	DeleteMessageBatch           int64 `json:"DeleteMessageBatch"`
	ChangeMessageVisibilityBatch int64 `json:"ChangeMessageVisibilityBatch"`
}

// A tally counts the events that SQS has taken. The answer to a send may be lost, or come
// late. So an event counts when its send is confirmed or when it arrives, whichever is
// first. The zero value counts from 0.
type tally struct {
	mu   sync.Mutex // guards the fields below
	n    int64
	open map[string]bool // events whose sends have begun and are not confirmed; true: it counts already
}

// begin notes that an event is about to be sent, perhaps not for the first time.
func (t *tally) begin(event string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, again := t.open[event]; again {
		return
	}
	if t.open == nil {
		t.open = map[string]bool{}
	}
	// There is one sender, so the others that have arrived are not sent again.
	maps.DeleteFunc(t.open, func(_ string, counts bool) bool { return counts })
	t.open[event] = false
}

// confirm notes that SQS has taken an event that has begun.
func (t *tally) confirm(event string) {
	t.arrive(event)
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, event)
}

// arrive notes that an event has come out of the queue, wherever it comes from and
// however often.
func (t *tally) arrive(event string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if counts, begun := t.open[event]; begun && !counts {
		t.n++
		t.open[event] = true
	}
}

func (t *tally) count() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n
}

// A meter reads the numbers where they arise.
type meter struct {
	began    time.Time
	relay    *relay
	consumer *sluice.Consumer
	took     *latency
	empty    atomic.Int64
}

// hooks returns what the consumer is to call.
func (m *meter) hooks() sluice.Hooks {
	return sluice.Hooks{Call: func(e sluice.CallEvent) {
		if e.Operation == "ReceiveMessage" && e.Err == nil && e.Entries == 0 {
			m.empty.Add(1)
		}
	}}
}

// read returns the numbers of now. It is cheap, and may be called by any goroutine.
//
// Waiting is the rest of a sum. It is right if the queue was empty at the start, and if
// nobody else uses it. With events of others it is too small, and more may be deleted
// than was sent here.
func (m *meter) read() numbers {
	s := m.consumer.Stats() // first: what it has deleted is sent
	n := numbers{
		At:   m.began.Add(time.Since(m.began)).UnixMicro(), // a clock that is set back does not matter
		Sent: m.relay.sent.count(), InFlight: int64(s.InFlight), Deleted: s.Deleted, Failed: s.Failed,
		Calls: calls{
			SendMessage: m.relay.calls.Load(), ReceiveMessage: s.Calls["ReceiveMessage"],
			DeleteMessageBatch: s.Calls["DeleteMessageBatch"], ChangeMessageVisibilityBatch: s.Calls["ChangeMessageVisibilityBatch"],
		},
		Empty:  m.empty.Load(),
		Pushed: m.took.last().Microseconds(),
	}
	n.Waiting = max(0, n.Sent-n.InFlight-n.Deleted)
	for times, count := range s.ReceiveCounts {
		if times > 1 {
			n.Again += count
		}
	}
	return n
}

// differ reports whether n says something else than old, but for when.
func (n numbers) differ(old numbers) bool {
	n.At = old.At
	return n != old
}
