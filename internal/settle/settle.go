// Package settle brings messages to their end: deleted, made visible again, or
// sent to the dead-letter queue and then deleted. Calls are made ten entries at a
// time, and tried again for as long as the message's lease lasts.
//
// A message stays under its lease until its delete is confirmed, so a delete that
// fails for minutes costs calls but no second delivery. Before its visibility is
// changed on purpose its renewals end, since one in flight would hide it again.
package settle

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sluice-go/sluice/internal/lease"
	"github.com/sluice-go/sluice/internal/queue"
	"github.com/sluice-go/sluice/internal/tens"
)

// An End is what became of a message.
type End int

const (
	Deleted   End = iota // SQS confirmed it
	GivenBack            // its visibility timeout was changed; it will be received again
	Lost                 // its lease ended first, or may have: it will be received again, or somebody else has deleted it
	Refused              // SQS refused, and will again; Err says why
)

// A Result is the end of one message.
type Result[T any] struct {
	Lease  *lease.Lease[T]
	End    End
	Handle string        // the receipt handle that was used; a newer one may have come since
	Change bool          // it was a change of visibility, to Delay
	Delay  time.Duration // 0 unless Change
	Sent   time.Time     // when that change was sent, by Handle; zero: it was not
	Err    error         // why it was Lost or Refused, if SQS said so
}

// Config says what a [Settler] works on. All fields but Send, Buried, Unburied, Heard and Patience are required.
type Config[T any] struct {
	Queue  *queue.Queue
	Keeper *lease.Keeper[T]
	FIFO   bool // an expired receipt of a FIFO queue is never used
	Calls  int  // at once, of each kind
	Rand   func() float64
	Go     func(func()) // runs a call on another goroutine

	// Done is told of messages as they end, ten at most, on a goroutine of the
	// Settler. Their leases are kept no longer. It must not block.
	Done func(results []Result[T])

	// Send sends a message to the dead-letter queue.
	Send func(ctx context.Context, of T, reason error) error

	// Buried is told when Send has sent a message, before anything of its delete is
	// known. It must not block.
	Buried func(of T)

	// Heard is told what SQS said of each entry of a call, and when that was sent. It must
	// not block. nil: nobody.
	Heard func(op string, sent time.Time, errs []error)

	// Patience returns how long a dead letter that is refused is tried again, if its lease lasts so
	// long; negative: as long as it lasts. nil: not at all.
	Patience func() time.Duration

	// Unburied is told when Send was refused for good. The message is left to it, to
	// give it back after the delay that [Settler.Bury] was told.
	Unburied func(of T, delay time.Duration, err error)
}

// A Settler settles messages. Its methods may be called concurrently, and never block.
type Settler[T any] struct {
	Config[T]

	flying atomic.Int32 // delete calls that have begun and are not back
	took   atomic.Int64 // by a delete call, in nanoseconds; a moving average

	deletes *tens.Batcher[*lease.Lease[T]]
	changes *tens.Batcher[*change[T]]
	burials *tens.Batcher[*burial[T]]
}

type change[T any] struct {
	lease *lease.Lease[T]
	delay time.Duration

	unsure time.Time // when the first call for it was sent that may have had its effect although it failed; zero: there was none
	handle string    // the receipt handle that it was sent with
}

type burial[T any] struct {
	lease  *lease.Lease[T]
	reason error
	delay  time.Duration // until it is received again if it cannot be buried
	over   bool          // it has an end, in a call that had none for others: the client ended its goroutine

	refused time.Time // for the first time; zero: it was not
}

// New returns a Settler. It has no goroutine while it has nothing to do.
func New[T any](c Config[T]) *Settler[T] {
	s := &Settler[T]{Config: c}
	s.deletes = tens.New(tens.Config[*lease.Lease[T]]{Send: s.sendDeletes, Calls: c.Calls, Go: s.fly, Backoff: s.backoff})
	s.changes = tens.New(tens.Config[*change[T]]{Send: s.sendChanges, Calls: c.Calls, Go: c.Go, Backoff: s.backoff})
	s.burials = tens.New(tens.Config[*burial[T]]{Send: s.sendBurials, Calls: c.Calls, Go: c.Go, Backoff: s.backoff})
	return s
}

// Delete deletes messages. Each waits up to linger for others to share a call, less
// when its lease is near its end; 0: hardly at all, and only while a call is out.
func (s *Settler[T]) Delete(linger time.Duration, leases ...*lease.Lease[T]) {
	if len(leases) == 0 {
		return // those that linger go on
	}
	if linger == 0 && s.flying.Load() > 0 {
		linger = s.share()
	}
	if linger > 0 {
		linger = max(0, min(linger, s.Keeper.Shortest(time.Now(), leases...)/4))
	}
	s.deletes.Add(linger, leases...)
}

// share is how long a delete that somebody waits for may wait for others to share
// its call while another one is out: half the time that a call takes.
func (s *Settler[T]) share() time.Duration {
	const most = 50 * time.Millisecond
	return min(most, time.Duration(s.took.Load())/2)
}

// fly begins a delete call. It counts from now, and not only from when its goroutine
// gets to run: what is deleted in between shares the next call.
func (s *Settler[T]) fly(call func()) {
	s.flying.Add(1)
	s.Go(call)
}

// together is how long a change waits at least, unless [Settler.Flush] comes: the
// messages of a batch that failed, or of a stop, are given back one after another.
const together = time.Millisecond

// GiveBack makes a message visible again after delay, cut to what SQS allows; 0: at
// once. It waits up to linger for others to share a call, less when its lease, which
// is renewed no more, is near its end.
func (s *Settler[T]) GiveBack(linger, delay time.Duration, leases ...*lease.Lease[T]) {
	for _, l := range leases {
		s.Keeper.Retire(l, func() {
			left := s.Keeper.Left(l, time.Now())
			s.changes.Add(max(together, min(linger, left/4)), &change[T]{lease: l, delay: delay})
		})
	}
}

// Bury sends a message to the dead-letter queue and then deletes it. delay is how long
// it stays hidden if it cannot be sent.
func (s *Settler[T]) Bury(l *lease.Lease[T], reason error, delay time.Duration) {
	s.burials.Add(0, &burial[T]{lease: l, reason: reason, delay: delay})
}

// Flush ends the linger of all that waits.
func (s *Settler[T]) Flush() {
	s.deletes.Flush()
	s.changes.Flush()
}

// Widen lets so many calls change visibility at once from now on: at a stop there is no
// time to make them one after another.
func (s *Settler[T]) Widen(calls int) { s.changes.Widen(calls) }

// Close settles all that was given and returns what could not be settled before
// ctx was done.
func (s *Settler[T]) Close(ctx context.Context) (left []*lease.Lease[T]) {
	for _, b := range s.burials.Close(ctx) {
		left = append(left, b.lease)
	}
	for _, c := range s.changes.Close(ctx) {
		left = append(left, c.lease)
	}
	return append(left, s.deletes.Close(ctx)...)
}

func (s *Settler[T]) sendDeletes(ctx context.Context, leases []*lease.Lease[T]) (again []*lease.Lease[T]) {
	if s.FIFO {
		leases = s.alive(leases)
	}
	leases = slices.Clone(leases) // those are the batcher's, and a call that is given up may outlive this
	handles := s.Keeper.Handles(leases...)
	errs, inTime := s.deleteNow(ctx, handles, func(errs []error) { s.deletes.GiveUp(ctx, s.deleted(leases, handles, errs)) })
	if !inTime {
		return nil // it has been given up
	}
	return s.deleted(leases, handles, errs)
}

// deleted takes in the results of a call, and returns what is to be deleted again.
func (s *Settler[T]) deleted(leases []*lease.Lease[T], handles []string, errs []error) (again []*lease.Lease[T]) {
	results := make([]Result[T], 0, len(leases))
	for i, err := range errs {
		r := Result[T]{Lease: leases[i], Handle: handles[i], Err: err}
		if s.judge(&r, Deleted) {
			results = append(results, r)
		} else {
			again = append(again, leases[i])
		}
	}
	s.done(results)
	return again
}

// alive returns the leases that last, and tells of the others at once: the call may take
// long, and they may be received once more meanwhile.
func (s *Settler[T]) alive(leases []*lease.Lease[T]) []*lease.Lease[T] {
	var lost []Result[T]
	leases = slices.DeleteFunc(leases, func(l *lease.Lease[T]) bool {
		handle := s.Keeper.Handle(l) // first: a newer one that comes now is good
		dead := s.Keeper.Left(l, time.Now()) <= 0
		if dead {
			lost = append(lost, Result[T]{Lease: l, End: Lost, Handle: handle})
		}
		return dead
	})
	s.done(lost)
	return leases
}

// deleteNow makes the call, if there is something to delete. It is back before
// anybody is told of its results, which may bring the next deletes.
func (s *Settler[T]) deleteNow(ctx context.Context, handles []string, overdue func([]error)) (errs []error, inTime bool) {
	var landed atomic.Bool
	land := func() {
		if !landed.Swap(true) {
			s.flying.Add(-1)
		}
	}
	defer land() // also when the client ends the goroutine
	if len(handles) == 0 {
		return nil, true
	}
	const weight = 8 // of the past against the newest
	begin := time.Now()
	errs, inTime = s.Queue.DeleteInTime(ctx, handles, func(errs []error) {
		land()
		overdue(errs)
	})
	if !inTime {
		return nil, false
	}
	s.hear(queue.OpDelete, begin, errs)
	before := s.took.Load()
	s.took.Store(before + (int64(time.Since(begin))-before)/weight) // a lost update changes little
	return errs, inTime
}

func (s *Settler[T]) sendChanges(ctx context.Context, changes []*change[T]) (again []*change[T]) {
	now := time.Now()
	var lost []Result[T]
	entries := make([]queue.Change, 0, len(changes))
	sent := make([]*change[T], 0, len(changes))
	for _, c := range changes {
		handle := s.Keeper.Handle(c.lease)
		switch {
		case s.mayBeBack(c, now):
			lost = append(lost, Result[T]{Lease: c.lease, End: Lost, Handle: c.handle, Change: true, Delay: c.delay, Sent: c.unsure})
		case s.Keeper.Left(c.lease, now) <= 0: // a late change could release what somebody else has received
			lost = append(lost, Result[T]{Lease: c.lease, End: Lost, Handle: handle, Change: true, Delay: c.delay})
		default:
			sent = append(sent, c)
			entries = append(entries, queue.Change{Handle: handle, Timeout: min(c.delay, s.Keeper.Longest(c.lease, now))})
		}
	}
	s.done(lost) // before the call, as in alive
	if len(sent) == 0 {
		return nil
	}
	results := make([]Result[T], 0, len(sent))
	errs := s.Queue.Change(ctx, entries)
	s.hear(queue.OpChange, now, errs)
	for i, err := range errs {
		c := sent[i]
		if queue.Unsure(err) && c.unsure.IsZero() {
			c.unsure, c.handle = now, entries[i].Handle
		}
		r := Result[T]{Lease: c.lease, Handle: entries[i].Handle, Err: err, Change: true, Delay: c.delay, Sent: now}
		if s.judge(&r, GivenBack) {
			results = append(results, r)
		} else {
			again = append(again, c)
		}
	}
	s.done(results)
	return again
}

// mayBeBack tells whether a call that failed may have made a message visible by now, or
// will have when another call arrives: half the delay is left for that. If it were made
// visible once more, somebody who has received it would lose it. A FIFO queue refuses
// the receipt of a message that is back, so that nobody is harmed there, and whole
// groups would wait for one that stays hidden.
func (s *Settler[T]) mayBeBack(c *change[T], now time.Time) bool {
	return !s.FIFO && !c.unsure.IsZero() && s.Keeper.Between(c.unsure, now) >= c.delay/2
}

// judge sets the end of r by its error and tells whether it has one: an error
// that may pass has none while the lease lasts.
func (s *Settler[T]) judge(r *Result[T], confirmed End) (ended bool) {
	if r.Err == nil {
		r.End = confirmed
		return true
	}
	switch queue.ClassifyEntry(r.Err) {
	case queue.Lost:
		r.End = Lost
	case queue.Lasting:
		r.End = Refused
	case queue.Passing, queue.Throttled, queue.Refused:
		r.End = Lost
		return s.Keeper.Left(r.Lease, time.Now()) <= 0
	}
	return true
}

func (s *Settler[T]) done(results []Result[T]) {
	if len(results) == 0 {
		return
	}
	ended := make([]*lease.Lease[T], len(results))
	for i := range results {
		ended[i] = results[i].Lease
	}
	s.Keeper.Remove(ended...)
	s.Done(results)
}

// sendBurials sends one message after the other: together they could be longer
// than a batch request may be.
func (s *Settler[T]) sendBurials(ctx context.Context, burials []*burial[T]) (again []*burial[T]) {
	for _, b := range burials {
		if b.over {
			continue
		}
		handle := s.Keeper.Handle(b.lease) // first: a newer one that comes now is good
		sent := time.Now()
		err := errTooLate // stands if whoever receives it next sends it too
		if s.Keeper.Left(b.lease, sent) > 0 {
			err = s.Send(ctx, b.lease.Of, b.reason)
			s.hear(queue.OpSend, sent, []error{err})
		}
		b.over = true
		switch {
		case err == nil:
			s.Buried(b.lease.Of)
			s.Delete(0, b.lease)
		case s.Keeper.Left(b.lease, time.Now()) <= 0:
			// As a change: if it was received once more, nobody has said that it may be deleted.
			s.done([]Result[T]{{Lease: b.lease, End: Lost, Handle: handle, Change: true, Delay: b.delay, Err: err}})
		case s.neverTaken(b, err):
			s.Unburied(b.lease.Of, b.delay, err)
		default:
			b.over = false
			again = append(again, b)
		}
	}
	return again
}

// errTooLate is why a message was not sent to the dead-letter queue.
var errTooLate = errors.New("its lease was over before it was sent")

// neverTaken reports whether the dead-letter queue will not take b: because of an error that
// lasts, or after it has refused b for long.
func (s *Settler[T]) neverTaken(b *burial[T], err error) bool {
	fault, now := queue.ClassifyRequest(err), time.Now()
	if fault != queue.Refused {
		b.refused = time.Time{}
		return fault == queue.Lasting
	}
	if b.refused.IsZero() {
		b.refused = now
	}
	if s.Patience == nil {
		return true
	}
	patience := s.Patience()
	return patience >= 0 && now.Sub(b.refused) >= patience
}

// hear tells what SQS said of the entries of a call.
func (s *Settler[T]) hear(op string, sent time.Time, errs []error) {
	if s.Heard != nil {
		s.Heard(op, sent, errs)
	}
}

// backoff waits a random part of 10 ms, twice as much each time up to 5 s: several
// tries fit into what is left of a lease that is renewed meanwhile, and a call that
// failed by chance does not keep its messages much longer than one that did not.
func (s *Settler[T]) backoff(tries int) time.Duration {
	const first, most = 10 * time.Millisecond, 5 * time.Second
	bound := most
	if tries < 10 {
		bound = min(most, first<<(tries-1))
	}
	return time.Duration(s.Rand() * float64(bound))
}
