package sqstest

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// Fault is something that goes wrong with calls, for [Server.Inject]. The zero value strikes every call and does
// nothing. Fields that say what happens can be combined; each names the operations it means something to.
type Fault struct {
	Op    string          // the operation struck: "ReceiveMessage"; "": every one
	Queue string          // the queue's name, URL or ARN; "": every one
	Skip  int             // matching calls that pass first
	Times int             // how many are struck after those; 0: all, until removed
	Match func(Call) bool // a further condition, called one at a time; nil: none

	Wait time.Duration // before the effect; ends early with the call's context
	Lag  time.Duration // after the effect, before the answer; ends early, without answer, with the call's context

	Err     error            // answered instead of the effect, or, with After, after it: the effect is real, the answer lost
	After   bool             // see Err
	Entries func(i int) bool // batch operations: the entries that fail, each with Err (nil: InternalError); nil: the whole call

	// NoEffect answers success without doing anything: deletes, visibility changes, sends, purges. A delete with a
	// stale receipt handle does so on the real service.
	NoEffect bool
	// Empty answers a receive at once with nothing, whatever there is.
	Empty bool
	// Max is the most messages a receive answers; 0: no such bound.
	Max int
	// Twice puts each message of a receive twice into the answer, with two receipt handles, as far as the number of
	// messages asked for allows.
	Twice bool
	// Again delivers once more: what a receive answers is receivable at once for others, and what a delete removes is
	// back at once.
	Again bool
	// Lease replaces the visibility timeout of a receive or of a visibility change: it gets the one asked for and
	// returns the one that takes effect.
	Lease func(asked time.Duration) time.Duration
	// WrongMD5 spoils the digests of bodies in the answers to receives and sends.
	WrongMD5 bool
}

// Call is one call of an operation, as [Fault.Match] and observers see it.
type Call struct {
	Op    string // "ReceiveMessage"
	Queue string // name; "" for operations without a queue
	Input any    // *sqs.ReceiveMessageInput or the like; not to be changed
	N     int    // in Match: how many calls with the fault's Op and Queue there have been, this one included
}

// Inject lets f strike matching calls from now on; the returned function takes it back. When several faults strike one
// call, their waits add up, the first error is answered, and the other effects come together.
func (s *Server) Inject(f Fault) (remove func()) {
	a := &active{Fault: f, queue: nameOf(f.Queue)}
	s.faults.add(a)
	return func() { s.faults.remove(a) }
}

// faults are the injected ones, in the order of injection.
type faults struct {
	some atomic.Bool // spares the lock while there are none

	mu   sync.Mutex // guards list, and the counts of each
	list []*active
}

type active struct {
	Fault

	queue string // name
	seen  int    // calls with that operation and queue
	met   int    // those that matched, too
}

func (l *faults) add(a *active) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(slices.Clip(l.list), a)
	l.some.Store(true)
}

func (l *faults) remove(a *active) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = slices.DeleteFunc(slices.Clone(l.list), func(b *active) bool { return a == b })
	l.some.Store(len(l.list) > 0)
}

// strike returns the faults that hit this call.
func (l *faults) strike(op opcode, url *string, in any) struck {
	if !l.some.Load() {
		return nil
	}
	c := Call{Op: op.String(), Queue: nameOf(text(url)), Input: in}
	l.mu.Lock()
	list := l.list
	l.mu.Unlock()
	var hit struck
	for _, a := range list {
		if l.hits(a, c) {
			hit = append(hit, &a.Fault)
		}
	}
	return hit
}

func (l *faults) hits(a *active, c Call) bool {
	if a.Op != "" && a.Op != c.Op || a.queue != "" && a.queue != c.Queue {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	a.seen++
	c.N = a.seen
	if a.Match != nil && !a.Match(c) {
		return false
	}
	a.met++
	return a.met > a.Skip && (a.Times == 0 || a.met <= a.Skip+a.Times)
}

// struck are the faults that hit one call; usually none.
type struck []*Fault

// around runs do between what comes before its effect and what comes after, the way there and back included.
func around[O any](ctx context.Context, h struck, travel time.Duration, do func() (*O, error)) (*O, error) {
	if err := canceled(ctx); err != nil {
		return nil, err
	}
	if len(h) == 0 && travel == 0 {
		return do()
	}
	wait := travel / 2
	lag := travel - wait
	for _, f := range h {
		wait += f.Wait
		lag += f.Lag
	}
	if err := sleep(ctx, wait); err != nil {
		return nil, err
	}
	if err := h.failure(false); err != nil {
		if slept := sleep(ctx, travel-travel/2); slept != nil {
			return nil, slept
		}
		return nil, err
	}
	out, err := do()
	if slept := sleep(ctx, lag); slept != nil && lag > 0 {
		return nil, slept
	}
	if lost := h.failure(true); lost != nil {
		return nil, lost
	}
	return out, err
}

// failure is the error of the whole call, before or after its effect.
func (h struck) failure(after bool) error {
	for _, f := range h {
		if f.Err != nil && f.Entries == nil && f.After == after {
			return f.Err
		}
	}
	return nil
}

// entry is the error of a batch's i-th entry, before or after its effect.
func (h struck) entry(i int, after bool) error {
	for _, f := range h {
		if f.Entries == nil || f.After != after || !f.Entries(i) {
			continue
		}
		if f.Err == nil {
			return InternalError()
		}
		return f.Err
	}
	return nil
}

func (h struck) any(is func(*Fault) bool) bool { return slices.ContainsFunc(h, is) }

func (h struck) noEffect() bool { return h.any(func(f *Fault) bool { return f.NoEffect }) }
func (h struck) empty() bool    { return h.any(func(f *Fault) bool { return f.Empty }) }
func (h struck) twice() bool    { return h.any(func(f *Fault) bool { return f.Twice }) }
func (h struck) again() bool    { return h.any(func(f *Fault) bool { return f.Again }) }
func (h struck) wrongMD5() bool { return h.any(func(f *Fault) bool { return f.WrongMD5 }) }

// bound is the number of messages a receive may answer.
func (h struck) bound(n int) int {
	for _, f := range h {
		if f.Max > 0 {
			n = min(n, f.Max)
		}
	}
	return n
}

// lease is the visibility timeout that takes effect.
func (h struck) lease(asked time.Duration) time.Duration {
	for _, f := range h {
		if f.Lease != nil {
			asked = max(0, f.Lease(asked))
		}
	}
	return asked
}

// digest is sum, or another one that looks as good.
func (h struck) digest(sum string) string {
	if sum == "" || !h.wrongMD5() {
		return sum
	}
	return md5Hex(sum)
}

// ExpireLease ends the visibility timeout of a message in flight now, as if it had run out: whoever holds it has lost
// it. It reports whether there was such a message. The queue may be named by URL, ARN or name.
func (s *Server) ExpireLease(queueURL, messageID string) bool {
	return s.pull(queueURL, messageID, func(q *queue, m *message) { q.show(m) })
}

// Redeliver makes a message in flight receivable a second time, as a standard queue does once in a while: the receive
// that gets it and the one that has it hold good handles both. It reports whether there was such a message.
func (s *Server) Redeliver(queueURL, messageID string) bool {
	return s.pull(queueURL, messageID, func(q *queue, m *message) { q.redeliver(m) })
}

// pull applies a lever to a message in flight.
func (s *Server) pull(url, messageID string, lever func(*queue, *message)) bool {
	q, now, err := s.open(near(url), &url)
	if err != nil {
		return false
	}
	defer q.unlock(now)
	m := q.find(messageID)
	if m == nil || m.state != inFlight {
		return false
	}
	lever(q, m)
	return true
}

// redeliver makes m, in flight, visible without making its handles stale.
func (q *queue) redeliver(m *message) {
	q.show(m)
	m.twin = true
}

// entryFailure words err as a batch's answer does.
func entryFailure(id *string, err error) types.BatchResultErrorEntry {
	code, message, sender := failure(err)
	return types.BatchResultErrorEntry{Id: id, Code: &code, Message: &message, SenderFault: sender}
}
