package lease_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/lease"
)

const v = 30 * time.Second // the visibility timeout of most stories

type (
	held    = lease.Lease[int]
	receipt = lease.Receipt[int]
	renewal = lease.Renewal[int]
)

// A beat is one renewal as the queue saw it, at a time since the story began.
type beat struct {
	at      time.Duration
	of      int
	handle  string
	timeout time.Duration
}

type loss struct {
	at  time.Duration
	of  []int
	err error
}

// A story is a keeper that runs in a bubble, with a queue that confirms every renewal at once unless told otherwise.
type story struct {
	*lease.Keeper[int]

	t     *testing.T
	start time.Time
	stop  func() // ends Run and waits for it
	renew func(ctx context.Context, entries []renewal) []error

	mu     sync.Mutex // guards the fields below
	calls  [][]beat
	losses []loss
}

// tell runs a story in a bubble. The keeper ends with it, and the bubble fails if it leaves a goroutine behind.
func tell(t *testing.T, f func(s *story), change ...func(*lease.Config[int])) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &story{t: t, start: time.Now()}
		s.renew = func(_ context.Context, entries []renewal) []error { return make([]error, len(entries)) }
		cfg := lease.Config[int]{
			Timeout: v,
			Renew:   s.note,
			Lost:    s.lost,
			Rand:    func() float64 { return 0.5 },
		}
		for _, c := range change {
			c(&cfg)
		}
		s.Keeper = lease.NewKeeper(cfg)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { s.Run(ctx) })
		s.stop = func() { cancel(); wg.Wait() }
		defer s.stop()
		f(s)
	})
}

func (s *story) note(ctx context.Context, entries []renewal) []error {
	beats := make([]beat, len(entries))
	for i, e := range entries {
		beats[i] = beat{s.now(), e.Lease.Of, e.Handle, e.Timeout}
	}
	s.mu.Lock()
	s.calls = append(s.calls, beats)
	s.mu.Unlock()
	return s.renew(ctx, entries)
}

func (s *story) lost(ls []*held, err error) {
	l := loss{at: s.now(), err: err}
	for _, h := range ls {
		l.of = append(l.of, h.Of)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.losses = append(s.losses, l)
}

func (s *story) now() time.Duration { return time.Since(s.start) }

// until sleeps to a time since the story began and lets everybody finish what is to be done then.
func (s *story) until(d time.Duration) {
	s.t.Helper()
	time.Sleep(d - s.now())
	synctest.Wait()
}

// receive adds n leases, of the numbers from first on, received just now.
func (s *story) receive(first, n int) []*held {
	ls := make([]*held, n)
	rs := make([]receipt, n)
	for i := range ls {
		ls[i] = &held{Of: first + i}
		rs[i] = receipt{Lease: ls[i], Handle: "h"}
	}
	s.Add(time.Now(), time.Now(), rs...)
	return ls
}

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
		ds = append(ds, time.Duration(s*float64(time.Second)))
	}
	return ds
}

func always(err error) func(context.Context, []renewal) []error {
	return func(_ context.Context, entries []renewal) []error {
		errs := make([]error, len(entries))
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
}

var errQueue = errors.New("the queue is ill")

func TestRenewedAtHalfInEqualSteps(t *testing.T) {
	tell(t, func(s *story) {
		s.receive(1, 1)
		s.until(61 * time.Second)
		require.Equal(t, seconds(15, 30, 45, 60), s.times(1))
		require.Equal(t, beat{15 * time.Second, 1, "h", v}, s.calls[0][0])
		require.Empty(t, s.losses)
	})
}

func TestSettledEarlyCausesNoCall(t *testing.T) {
	tell(t, func(s *story) {
		ls := s.receive(1, 10)
		s.until(14 * time.Second)
		require.Equal(t, 10, s.Len())
		s.Remove(ls...)
		s.until(time.Hour)
		require.Empty(t, s.calls)
		require.Empty(t, s.losses)
		require.Zero(t, s.Len())
	})
}

func TestTwentyFiveLeasesTakeThreeCalls(t *testing.T) {
	tell(t, func(s *story) {
		s.receive(1, 25)
		s.until(16 * time.Second)
		require.Len(t, s.calls, 3)
		require.Len(t, s.calls[0], 10)
		require.Len(t, s.calls[1], 10)
		require.Len(t, s.calls[2], 5)
		s.until(31 * time.Second)
		require.Len(t, s.calls, 6)
	})
}
