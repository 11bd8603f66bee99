package sqstest

import (
	"context"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	region  = "us-east-1"
	account = "000000000000"

	defaultBase = "http://sqs.us-east-1.localhost"
	defaultSeed = 1
)

// Server is an SQS account in memory, with every operation of [*sqs.Client] as a method of the same signature. It is
// made by [New], is safe for concurrent use, holds no goroutine and needs no closing.
//
// Operations return the service's errors: the modelled ones as *types.X, the others as [*smithy.GenericAPIError]; a
// call whose context is done returns a [*smithy.CanceledError]. The functional options of the SDK are ignored.
type Server struct {
	base        string
	seed        uint64
	inFlightMax int
	staleDelete bool
	servers     int                  // of each queue
	answerSize  func(*rand.Rand) int // nil: as many as there are
	disorder    int
	latency     Delay // nil: none

	mu       sync.RWMutex // guards the fields below; no queue is locked inside it
	queues   map[string]*queue
	deleted  map[string]int64 // when a queue of that name was deleted
	numbered uint32
	past     map[string]QueueStats // of deleted queues

	moves   moves
	faults  faults
	calls   [numOps]callCount
	travels [numOps]travels

	observers atomic.Pointer[[]*observer]
	events    atomic.Uint64 // numbers them
	sends     atomic.Int64  // by Send, numbers its deduplication ids
}

// Option changes what [New] makes.
type Option func(*Server)

// BaseURL sets what the URLs of queues begin with, for a server that listens somewhere. A request's QueueUrl is
// resolved by its last path segment alone, so any base, and even a bare name, finds the queue.
func BaseURL(base string) Option {
	return func(s *Server) { s.base = strings.TrimSuffix(base, "/") }
}

// Seed sets where message ids come from: the same seed and the same calls give the same ids. Without it, all servers
// share one seed.
func Seed(seed uint64) Option { return func(s *Server) { s.seed = seed } }

// InFlightLimit sets how many messages of one queue may be in flight; 0 means the service's 120,000. At the limit a
// short poll on a standard queue fails with OverLimit; long polls, and all polls on a FIFO queue, just get nothing.
func InFlightLimit(n int) Option {
	return func(s *Server) {
		if n > 0 {
			s.inFlightMax = n
		}
	}
}

// StaleDeletes makes a standard queue delete a message even when the receipt handle is not of its latest receive.
// Both happen with the service, which answers success either way; without this option the message stays, so that a
// test shows who deletes too late.
func StaleDeletes() Option { return func(s *Server) { s.staleDelete = true } }

// New returns an account without queues.
func New(opts ...Option) *Server {
	s := &Server{
		base: defaultBase, seed: defaultSeed, inFlightMax: maxInFlight,
		queues: map[string]*queue{}, deleted: map[string]int64{}, past: map[string]QueueStats{},
	}
	s.moves.at.Store(math.MaxInt64)
	for _, opt := range opts {
		opt(s)
	}
	return s
}

func (s *Server) urlOf(name string) string { return s.base + "/" + account + "/" + name }

func arnOf(name string) string { return "arn:aws:sqs:" + region + ":" + account + ":" + name }

// nameOf takes a queue's URL, ARN or name.
func nameOf(queue string) string {
	queue = queue[strings.LastIndexByte(queue, '/')+1:]
	return queue[strings.LastIndexByte(queue, ':')+1:]
}

func isFIFO(name string) bool { return strings.HasSuffix(name, ".fifo") }

// lookup returns the queue of that URL, ARN or name, or nil.
func (s *Server) lookup(queue string) *queue {
	name := nameOf(queue)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.queues[name]
}

// queueAt returns the queue a request is for, after the message move tasks have done their part.
func (s *Server) queueAt(url *string) (*queue, error) {
	if text(url) == "" {
		return nil, missingParameter("QueueUrl")
	}
	s.advance()
	q := s.lookup(*url)
	if q == nil {
		return nil, NoSuchQueue()
	}
	return q, nil
}

// open locks the queue a request is for; the caller unlocks it with the time it got.
func (s *Server) open(url *string) (*queue, int64, error) {
	q, err := s.queueAt(url)
	if err != nil {
		return nil, 0, err
	}
	now := q.lock()
	if q.gone {
		q.unlock(now)
		return nil, 0, NoSuchQueue()
	}
	return q, now, nil
}

// all returns the queues by name.
func (s *Server) all() []*queue {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := make([]*queue, 0, len(s.queues))
	for _, name := range slices.Sorted(maps.Keys(s.queues)) {
		list = append(list, s.queues[name])
	}
	return list
}

// perform is what all operations have in common: it counts the call, tells the observers, lets the faults strike and
// takes its time.
func perform[I, O any](ctx context.Context, s *Server, op opcode, url *string, in *I, do func(*I, struck) (*O, error)) (*O, error) {
	if in == nil {
		in = new(I) // as the SDK's client does
	}
	s.calls[op].started.Add(1)
	var c Call
	if s.curious() {
		c = Call{Op: op.String(), Queue: nameOf(text(url)), Input: in}
		s.tell([]Event{s.event(Event{Kind: CallStarted, Call: c, Queue: c.Queue})})
	}
	hit := s.faults.strike(op, url, in)
	out, err := around(ctx, hit, s.travelTime(op), func() (*O, error) { return do(in, hit) })
	if err != nil {
		s.calls[op].failed.Add(1)
	}
	if s.curious() {
		s.tell([]Event{s.event(Event{Kind: CallEnded, Call: c, Queue: c.Queue, Err: err})})
	}
	return out, err
}

// sleep waits for d, or until ctx is done.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return canceled(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return canceled(ctx)
	}
}
