package sqstest

import (
	"context"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
)

// queue is one queue of the account.
//
// Nothing happens in it by itself: what the clock has brought about since (timeouts, delays, retention) is done first
// thing by whoever takes the lock next, and a blocked receive takes it at the instant the next such thing is due.
type queue struct {
	queueKey

	s      *Server
	arn    string
	label  string // in Stats and Events
	number uint32
	fifo   bool
	born   int64

	mu sync.Mutex // guards the fields below; taken by lock, given back by unlock; Server.mu may be taken inside it
	settings
	changed  int64 // when the settings were
	tags     map[string]string
	gone     bool // deleted
	purged   int64
	messages map[uint64]*message
	arrivals uint64 // numbers the messages
	flights  int    // messages in flight
	line     line
	hidden   timeline[*message] // in flight and delayed, by the end of it
	ages     timeline[*message] // all, by time of sending
	dedup    dedup
	attempts attempts
	ids      *rand.Rand
	sizes    *rand.Rand // of answers; nil: nothing was drawn yet
	stats    QueueStats
	history  []Delivery // a ring once it is full
	waiters  waiters    // receives that block, the longest first
	outbox   []parcel   // for unlock to post
	events   []Event    // for unlock to tell
}

// parcel is a message on its way to another queue. Two queues are never locked at once, so it is on neither meanwhile.
type parcel struct {
	m  *message
	to *queue
}

func newQueue(s *Server, key queueKey, number uint32, set settings, now int64) *queue {
	q := &queue{
		queueKey: key, s: s, arn: key.arn(), label: s.labelOf(key), number: number, fifo: isFIFO(key.name), born: now, changed: now,
		settings: set, messages: map[uint64]*message{}, tags: map[string]string{},
		ids: rand.New(rand.NewPCG(s.seed, uint64(number))), // ids that replay, not secrets
	}
	q.purged = math.MinInt64 / 2
	q.reset()
	return q
}

// reset empties the queue.
func (q *queue) reset() {
	q.messages = map[uint64]*message{}
	q.hidden, q.ages = timeline[*message]{}, timeline[*message]{}
	q.flights = 0
	q.dedup, q.attempts = dedup{}, attempts{}
	q.line = q.newLine()
}

// lock takes the queue up to the present and returns that time, in nanoseconds since 1970.
func (q *queue) lock() int64 {
	q.mu.Lock()
	now := time.Now().UnixNano()
	q.expire(now)
	q.surface(now)
	return now
}

// unlock serves those who wait, gives the lock back, and then does what must be done without it.
func (q *queue) unlock(now int64) {
	q.s.tell(q.release(now))
}

// release is unlock, but leaves it to the caller to tell the observers.
func (q *queue) release(now int64) []Event {
	q.serve(now)
	outbox, events := q.outbox, q.events
	q.outbox, q.events = nil, nil
	q.mu.Unlock()
	for _, p := range outbox {
		events = append(events, p.to.accept(p.m)...)
	}
	return events
}

// accept takes in a message another queue let go.
func (q *queue) accept(m *message) []Event {
	now := q.lock()
	if !q.gone { // else it goes the way of the queue it was sent to
		q.join(m, now, 0)
		q.note(Arrived, m, now)
	}
	return q.release(now)
}

// join puts m into the queue as its newest, hidden for delay.
func (q *queue) join(m *message, now int64, delay time.Duration) {
	q.arrivals++
	m.number, m.here, m.state = q.arrivals, 0, visible
	m.receipt, m.since, m.twin = 0, 1, false
	m.place.of, m.age.of = m, m
	if q.fifo {
		m.sequence = sequenceNumber(m.number)
	}
	q.messages[m.number] = m
	q.ages.add(&m.age, m.sent)
	if delay > 0 {
		m.state, m.until = delayed, now+int64(delay)
		q.hidden.add(&m.place, m.until)
	}
	q.line.join(m)
}

// leave takes m out of the queue for good.
func (q *queue) leave(m *message) {
	if m.state == inFlight {
		q.flights--
		q.line.flying(m, -1)
	}
	if m.state != visible {
		q.hidden.remove(&m.place)
	}
	q.line.leave(m)
	q.ages.remove(&m.age)
	delete(q.messages, m.number)
	m.state = gone
}

// show makes m visible.
func (q *queue) show(m *message) {
	if m.state == visible {
		return
	}
	q.hidden.remove(&m.place)
	if m.state == inFlight {
		q.flights--
		q.line.flying(m, -1)
	}
	m.state = visible
	q.line.show(m)
}

// hide puts m into flight until then.
func (q *queue) hide(m *message, until int64) {
	switch m.state {
	case visible:
		q.line.hide(m)
	default:
		q.hidden.remove(&m.place)
	}
	if m.state != inFlight {
		q.flights++
		q.line.flying(m, 1)
	}
	m.state, m.until = inFlight, until
	q.hidden.add(&m.place, until)
}

// expire drops what is older than the retention period, in flight or not.
func (q *queue) expire(now int64) {
	for e := q.ages.first(); e != nil && e.key+int64(q.retention) <= now; e = q.ages.first() {
		q.leave(e.of)
		q.stats.Expired++
		q.note(Expired, e.of, now)
	}
}

// surface makes visible what has been hidden long enough.
func (q *queue) surface(now int64) {
	for e := q.hidden.first(); e != nil && e.key <= now; e = q.hidden.first() {
		q.show(e.of)
	}
}

// next returns when the clock will next bring something about; MaxInt64 for never.
func (q *queue) next() int64 {
	at := int64(math.MaxInt64)
	if e := q.hidden.first(); e != nil {
		at = e.key
	}
	if e := q.ages.first(); e != nil {
		at = min(at, e.key+int64(q.retention)) // the end of a message in flight frees its FIFO group
	}
	return at
}

// newID returns a message id that looks like the service's: a random UUID.
func (q *queue) newID() string {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], q.ids.Uint64())
	binary.LittleEndian.PutUint64(b[8:], q.ids.Uint64())
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	const digits = "0123456789abcdef"
	var s [36]byte
	for i, j := 0, 0; i < len(b); i++ {
		if j == 8 || j == 13 || j == 18 || j == 23 {
			s[j] = '-'
			j++
		}
		s[j], s[j+1] = digits[b[i]>>4], digits[b[i]&15]
		j += 2
	}
	return string(s[:])
}

// find returns the message with this id, or nil. It looks at all: for tests' levers, not for the service's calls.
func (q *queue) find(id string) *message {
	for _, m := range q.messages {
		if m.id == id {
			return m
		}
	}
	return nil
}

// waiter is a receive that blocks.
type waiter struct {
	r          *receiving
	answered   bool
	messages   []types.Message
	err        error
	done       chan struct{} // closed when answered
	alarm      chan struct{} // something is due before armed
	armed      int64         // what its timer is set to
	prev, next *waiter
}

// waiters is the queue of blocked receives.
type waiters struct{ head, tail *waiter }

func (l *waiters) add(w *waiter) {
	w.prev = l.tail
	if l.tail == nil {
		l.head = w
	} else {
		l.tail.next = w
	}
	l.tail = w
}

func (l *waiters) remove(w *waiter) {
	if w.prev == nil {
		l.head = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		l.tail = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.prev, w.next = nil, nil
}

func (w *waiter) answer(messages []types.Message, err error) {
	w.messages, w.err, w.answered = messages, err, true
	close(w.done)
}

// serve gives what is there to the blocked receives, the longest waiting first, and sets the first of those left an
// alarm. Whoever changes the queue serves them: they need no luck in a race, and tests see one order.
func (q *queue) serve(now int64) {
	q.surface(now) // what was received with a visibility timeout of 0
	for w := q.waiters.head; w != nil; w = q.waiters.head {
		messages := q.take(w.r, now)
		if len(messages) == 0 {
			break
		}
		q.waiters.remove(w)
		w.answer(messages, nil)
		q.surface(now)
	}
	w := q.waiters.head
	if w == nil {
		return
	}
	if at := min(q.next(), q.s.nextMove()); at < w.armed {
		w.armed = at
		select {
		case w.alarm <- struct{}{}:
		default: // it has one that it has not seen yet
		}
	}
}

// dismiss answers all blocked receives with err.
func (q *queue) dismiss(err error) {
	for w := q.waiters.head; w != nil; w = q.waiters.head {
		q.waiters.remove(w)
		w.answer(nil, err)
	}
}

// await blocks until w is answered, its time is up or ctx is done; wait is how long its timer runs first. Only the first in the queue wakes for what the
// clock brings; it serves the others too.
func (q *queue) await(ctx context.Context, w *waiter, wait time.Duration, deadline int64) ([]types.Message, error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-w.done:
			return w.messages, w.err
		case <-w.alarm:
		case <-timer.C:
		case <-ctx.Done():
		}
		q.s.advance()
		now := q.lock()
		q.serve(now)
		over := now >= deadline || ctx.Err() != nil
		if over && !w.answered {
			q.waiters.remove(w)
			w.answer(nil, canceled(ctx))
		}
		if !w.answered {
			w.armed = q.wakeup(w, deadline)
			timer.Reset(time.Duration(w.armed - now))
		}
		q.unlock(now)
	}
}

// wakeup returns when w has to look again.
func (q *queue) wakeup(w *waiter, deadline int64) int64 {
	if q.waiters.head != w {
		return deadline
	}
	return min(deadline, q.next(), q.s.nextMove())
}

// canceled is the SDK's error for a call whose context is done; nil while it is not.
func canceled(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return &smithy.CanceledError{Err: ctx.Err()}
}
