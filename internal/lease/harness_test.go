package lease_test

import (
	"errors"
	"math"
	"slices"
	"time"

	lease "github.com/sluice-go/sluice/internal/lease"
)

const v = 30 * time.Second // the visibility timeout of most stories

type (
	held   = lease.Lease[int]
	call   = lease.Call[int]
	result = lease.Result
)

// A renewal is one entry of a call as the queue saw it, at a time since the story began.
type renewal struct {
	at      time.Duration
	of      int
	timeout time.Duration
}

// A loss is what the owner learned at one moment: which leases ended for one cause.
type loss struct {
	at  time.Duration
	of  []int
	err error
}

// A story is an owner of leases, in a time of its own. Its queue confirms every renewal at once unless reply says
// otherwise.
type story struct {
	*lease.Leases[int]

	now     time.Duration
	reply   reply
	flights []flight
	calls   [][]renewal
	losses  []loss
}

// A reply says how the queue answers a call, and after which time.
type reply = func(c *call) ([]result, time.Duration)

// A flight is a call that will come back.
type flight struct {
	call    *call
	results []result
	lands   time.Duration
}

func tell(change ...func(*lease.Config)) *story {
	cfg := lease.Config{Timeout: v, Rand: func() float64 { return 0.5 }}
	for _, c := range change {
		c(&cfg)
	}
	return &story{Leases: lease.New[int](cfg), reply: always(nil)}
}

// until lives to a time since the story began. The owner looks whenever it must, and at the end.
func (s *story) until(end time.Duration) {
	for next := s.next(); next <= end; next = s.next() {
		s.now = max(s.now, next)
		s.look()
	}
	s.now = end
}

// next is when the owner must look.
func (s *story) next() time.Duration {
	next := s.Next()
	for _, f := range s.flights {
		next = min(next, f.lands)
	}
	return next
}

// look is one turn of the owner.
func (s *story) look() {
	s.land()
	for _, g := range lease.ByCause(s.Lost(s.now)) {
		l := loss{at: s.now, err: g.Err}
		for _, h := range g.Leases {
			l.of = append(l.of, h.Of)
		}
		slices.Sort(l.of) // leases that end together do so in any order
		s.losses = append(s.losses, l)
	}
	for c := s.Due(s.now); c != nil; c = s.Due(s.now) {
		s.send(c)
		s.land()
	}
}

func (s *story) send(c *call) {
	renewals := make([]renewal, len(c.Entries))
	for i, e := range c.Entries {
		renewals[i] = renewal{s.now, e.Lease.Of, e.Timeout}
	}
	s.calls = append(s.calls, renewals)
	results, took := s.reply(c)
	s.flights = append(s.flights, flight{c, results, s.now + took})
}

// land passes on the answers that are there.
func (s *story) land() {
	s.flights = slices.DeleteFunc(s.flights, func(f flight) bool {
		if f.lands > s.now {
			return false
		}
		s.Returned(f.call, f.results, s.now)
		return true
	})
}

// receive adds n leases, of the numbers from first on, received just now.
func (s *story) receive(first, n int) []*held {
	ls := make([]*held, n)
	for i := range ls {
		ls[i] = &held{Of: first + i}
	}
	s.Add(s.now, s.now, ls...)
	return ls
}

// left is how long a lease lasts from now on.
func (s *story) left(l *held) time.Duration { return l.Left(s.now) }

// times returns when the lease of this number was renewed.
func (s *story) times(of int) (at []time.Duration) {
	for _, c := range s.calls {
		for _, b := range c {
			if b.of == of {
				at = append(at, b.at)
			}
		}
	}
	return at
}

func seconds(n ...float64) (ds []time.Duration) {
	for _, s := range n {
		ds = append(ds, time.Duration(math.Round(s*1e3))*time.Millisecond)
	}
	return ds
}

// always answers each entry with err, at once.
func always(err error) reply { return after(0, err) }

// after answers each entry with err, after a while.
func after(took time.Duration, err error) reply {
	return func(c *call) ([]result, time.Duration) { return answers(c, err), took }
}

// answers returns an answer with err for each entry of c.
func answers(c *call, err error) []result {
	return slices.Repeat([]result{{Err: err, Gone: errors.Is(err, lease.ErrGone)}}, len(c.Entries))
}

var errQueue = errors.New("the queue is ill")
