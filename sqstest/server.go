package sqstest

import (
	"cmp"
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

const defaultSeed = 1

// Server is an SQS account in memory, with every operation of [*sqs.Client] as a method of the same signature. It is
// made by [New], is safe for concurrent use, holds no goroutine and needs no closing.
//
// Operations return the service's errors: the modelled ones as *types.X, the others as [*smithy.GenericAPIError]; a
// call whose context is done returns a [*smithy.CanceledError]. The functional options of the SDK are ignored.
type Server struct {
	home        place // where method calls come from
	base        string
	seed        uint64
	largeDelay  time.Duration
	inFlightMax int
	staleDelete bool
	servers     int                  // of each queue
	answerSize  func(*rand.Rand) int // nil: as many as there are
	disorder    int
	latency     Delay // nil: none

	mu       sync.RWMutex // guards the fields below; no queue is locked inside it
	queues   map[queueKey]*queue
	deleted  map[queueKey]int64 // when a queue of that name was deleted
	accounts map[string]bool    // those that URLs may name: its own, and those that have had a queue
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
// resolved by the end of its path alone, account and name, so any base finds the queue, and so does a bare name.
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
		home: place{defaultRegion, defaultAccount}, seed: defaultSeed, largeDelay: defaultLargeDelay, inFlightMax: maxInFlight,
		queues: map[queueKey]*queue{}, deleted: map[queueKey]int64{}, past: map[string]QueueStats{},
	}
	s.moves.at.Store(math.MaxInt64)
	for _, opt := range opts {
		opt(s)
	}
	s.base = cmp.Or(s.base, "http://sqs."+s.home.region+".localhost")
	s.accounts = map[string]bool{s.home.account: true}
	return s
}

func (s *Server) urlOf(k queueKey) string { return s.base + "/" + k.account + "/" + k.name }

func isFIFO(name string) bool { return strings.HasSuffix(name, ".fifo") }

// lookup returns the queue that a URL, an ARN or a name means in a call that comes from there, or nil.
func (s *Server) lookup(queue string, from place) *queue {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.queues[s.keyOf(queue, from)]
}

// at returns the queue that is there, or nil.
func (s *Server) at(key queueKey) *queue {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.queues[key]
}

// queueAt returns the queue a request is for, after the message move tasks have done their part. It is in the region
// of the request, and may be another account's: policies are not enforced.
func (s *Server) queueAt(ctx context.Context, url *string) (*queue, error) {
	if text(url) == "" {
		return nil, missingParameter("QueueUrl")
	}
	s.advance()
	from := s.placeOf(ctx)
	q := s.lookup(*url, from)
	if q == nil || q.region != from.region {
		return nil, s.noSuchQueue(nameOf(*url), from)
	}
	return q, nil
}

// open locks the queue a request is for; the caller unlocks it with the time it got.
func (s *Server) open(ctx context.Context, url *string) (*queue, int64, error) {
	q, err := s.queueAt(ctx, url)
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
	return slices.SortedFunc(maps.Values(s.queues), func(a, b *queue) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.arn, b.arn))
	})
}

// perform is what all operations have in common: it counts the call, tells the observers, lets the faults strike and
// takes its time.
func perform[I, O any](ctx context.Context, s *Server, op opcode, url *string, in *I, do func(*I, struck) (*O, error)) (*O, error) {
	if in == nil {
		in = new(I) // as the SDK's client does
	}
	s.calls[op].started.Add(1)
	var c Call
	var label string
	if s.curious() {
		c = Call{Op: op.String(), Queue: nameOf(text(url)), Input: in}
		label = s.labelOfCall(ctx, url)
		s.tell([]Event{s.event(Event{Kind: CallStarted, Call: c, Queue: label})})
	}
	hit := s.faults.strike(op, url, in)
	out, err := around(ctx, hit, s.travelTime(op), func() (*O, error) { return do(in, hit) })
	if err != nil {
		s.calls[op].failed.Add(1)
	}
	if s.curious() {
		s.tell([]Event{s.event(Event{Kind: CallEnded, Call: c, Queue: label, Err: err})})
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
