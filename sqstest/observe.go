package sqstest

import (
	"slices"
	"time"
)

// EventKind says what an [Event] is about.
type EventKind string

// The kinds of events.
const (
	CallStarted  EventKind = "call started"
	CallEnded    EventKind = "call ended"
	Sent         EventKind = "sent"
	Delivered    EventKind = "delivered"
	Deleted      EventKind = "deleted"       // by a delete that had this effect
	LeaseChanged EventKind = "lease changed" // by ChangeMessageVisibility
	DeadLettered EventKind = "dead-lettered" // left its queue for the dead-letter queue
	Moved        EventKind = "moved"         // left a dead-letter queue by a message move task
	Arrived      EventKind = "arrived"       // came from another queue
	Expired      EventKind = "expired"       // its retention is over
	Purged       EventKind = "purged"
)

// Event is one thing that happened in the account, for [Server.Observe].
type Event struct {
	Seq  uint64 // ascending: the order of events of one queue, and of one caller
	Time time.Time
	Kind EventKind

	Queue         string // name; its ARN if it is not in the region and account of method calls
	MessageID     string
	GroupID       string
	ReceiveCount  int       // across all queues
	ReceiptHandle string    // Delivered: the new one; Deleted, LeaseChanged: the one used
	Until         time.Time // Delivered, LeaseChanged: the end of the visibility timeout

	Call Call  // CallStarted, CallEnded
	Err  error // CallEnded
}

// Observe calls f with everything that happens from now on; the returned function ends that. f is called outside of
// the server's locks, by the goroutine that caused the event: concurrently, if several do, and then not always in the
// order of Seq. It must not block for long.
func (s *Server) Observe(f func(Event)) (stop func()) {
	o := &observer{f}
	s.editObservers(func(list []*observer) []*observer { return append(list, o) })
	return func() {
		s.editObservers(func(list []*observer) []*observer {
			return slices.DeleteFunc(list, func(p *observer) bool { return p == o })
		})
	}
}

type observer struct{ f func(Event) }

func (s *Server) editObservers(edit func([]*observer) []*observer) {
	for {
		before := s.observers.Load()
		var list []*observer
		if before != nil {
			list = slices.Clone(*before)
		}
		list = edit(list)
		if s.observers.CompareAndSwap(before, &list) {
			return
		}
	}
}

// curious reports whether anybody observes.
func (s *Server) curious() bool {
	list := s.observers.Load()
	return list != nil && len(*list) > 0
}

// event stamps e.
func (s *Server) event(e Event) Event {
	e.Seq = s.events.Add(1)
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	return e
}

func (s *Server) tell(events []Event) {
	if len(events) == 0 {
		return
	}
	list := s.observers.Load()
	if list == nil {
		return
	}
	for _, e := range events {
		for _, o := range *list {
			o.f(e)
		}
	}
}

// note keeps an event about m to be told once the queue is unlocked.
func (q *queue) note(kind EventKind, m *message, now int64) {
	q.noteReceipt(kind, m, now, "")
}

func (q *queue) noteReceipt(kind EventKind, m *message, now int64, receiptHandle string) {
	if !q.s.curious() {
		return
	}
	e := Event{
		Time: time.Unix(0, now), Kind: kind, Queue: q.label, MessageID: m.id, GroupID: m.group,
		ReceiveCount: m.count, ReceiptHandle: receiptHandle,
	}
	if kind == Delivered || kind == LeaseChanged {
		e.Until = time.Unix(0, m.until)
	}
	q.events = append(q.events, q.s.event(e))
}
