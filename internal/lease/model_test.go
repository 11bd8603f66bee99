package lease_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/lease"
)

// TestAgainstAModel lets a keeper and a naive model of it live through the same random operations and answers. The model
// knows each lease's deadline from what the queue confirmed and complains of any renewal or report it did not expect.
// All times are random to the nanosecond, so that no two things happen at once.
func TestAgainstAModel(t *testing.T) {
	seeds := int64(40)
	if testing.Short() {
		seeds = 8
	}
	beats, reports := 0, 0
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := live(t, seed)
				beats += w.beats
				reports += w.reports
			})
		})
	}
	require.Greater(t, beats, 2_000, "the test would say nothing")
	require.Greater(t, reports, 200, "the test would say nothing")
}

// A world is the model, the queue, and the keeper under test.
type world struct {
	keeper  *lease.Keeper[*known]
	timeout time.Duration

	mu       sync.Mutex // guards the fields below
	rnd      *rand.Rand
	illness  float64 // the share of answers that are failures
	all      []*known
	mistakes []string
	beats    int // renewals confirmed
	reports  int
}

// known is what the model knows of a lease.
type known struct {
	lease.Lease[*known]

	kept, halted, retired, gone bool

	turn     int
	handle   string
	flying   int
	received time.Time // when the receive request was sent
	deadline time.Time
	earliest time.Time // of the next renewal
}

func live(t *testing.T, seed int64) *world {
	rnd := rand.New(rand.NewPCG(uint64(seed), 0))
	w := &world{rnd: rnd, timeout: time.Duration(1+rnd.IntN(60)) * time.Second}
	if seed%4 == 0 {
		w.timeout *= 360 // long enough to meet the 12-hour limit
	}
	jitter := rand.New(rand.NewPCG(uint64(seed), 1))
	w.keeper = lease.NewKeeper(lease.Config[*known]{
		Timeout: w.timeout,
		Renew:   w.renew,
		Lost:    w.lost,
		Calls:   1 + rnd.IntN(8),
		Rand:    jitter.Float64,
	})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { w.keeper.Run(ctx) })
	for range 400 {
		w.act()
		w.compare()
	}
	w.mu.Lock()
	w.illness = 1
	w.mu.Unlock()
	time.Sleep(3 * w.timeout)
	w.compare()
	cancel()
	wg.Wait()
	require.Empty(t, w.mistakes)
	require.Zero(t, w.keeper.Len(), "all that was not removed is lost by now")
	return w
}

// act does one random thing, a random time after the last.
func (w *world) act() {
	w.mu.Lock()
	if w.rnd.IntN(40) == 0 {
		w.illness = w.rnd.Float64() * w.rnd.Float64()
	}
	pause, what := w.random(w.timeout/8), w.rnd.IntN(12)
	w.mu.Unlock()
	time.Sleep(pause)
	synctest.Wait()
	switch {
	case what < 4:
		w.receive()
	case what < 5:
		w.adopt()
	case what < 6:
		w.halt()
	case what < 7:
		w.retire()
	case what < 9:
		w.resume()
	default:
		w.remove()
	}
	synctest.Wait()
}

func (w *world) receive() {
	w.mu.Lock()
	sent := time.Now().Add(-w.random(w.timeout * 2 / 3))
	rs := make([]lease.Receipt[*known], 1+w.rnd.IntN(10))
	for i := range rs {
		m := &known{handle: "first"}
		m.Of = m
		w.begin(m, sent)
		w.all = append(w.all, m)
		rs[i] = lease.Receipt[*known]{Lease: &m.Lease, Handle: m.handle}
	}
	w.mu.Unlock()
	w.keeper.Add(sent, time.Now(), rs...)
}

func (w *world) begin(m *known, sent time.Time) {
	now := time.Now()
	m.kept, m.gone = true, false
	m.turn++
	m.received, m.deadline = sent, sent.Add(w.timeout)
	m.earliest = now.Add(w.timeout / 2)
	if soon := sent.Add(w.timeout * 4 / 5); soon.Before(m.earliest) {
		m.earliest = soon
	}
}

func (w *world) adopt() {
	if m := w.pick(); m != nil {
		w.mu.Lock()
		sent := time.Now().Add(-w.random(w.timeout / 2))
		m.handle += "'"
		w.begin(m, sent)
		m.kept = !m.retired
		w.mu.Unlock()
		w.keeper.Adopt(&m.Lease, m.handle, sent, time.Now())
	}
}

func (w *world) halt() {
	if m := w.pick(); m != nil {
		w.mu.Lock()
		m.halted = true
		w.mu.Unlock()
		w.keeper.Halt(&m.Lease)
	}
}

func (w *world) retire() {
	m := w.pick()
	if m == nil {
		return
	}
	w.mu.Lock()
	m.kept, m.retired = false, true
	w.mu.Unlock()
	w.keeper.Retire(&m.Lease, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.expect(m.flying == 0, m, "retired with a beat in flight")
	})
}

func (w *world) remove() {
	if m := w.pick(); m != nil {
		w.mu.Lock()
		m.kept = false
		w.mu.Unlock()
		w.keeper.Remove(&m.Lease)
	}
}

// resume keeps again what was removed and is not over.
func (w *world) resume() {
	m := w.pick()
	if m == nil {
		return
	}
	w.mu.Lock()
	now := time.Now()
	left := m.deadline.Sub(now)
	if left <= 0 {
		w.mu.Unlock()
		return
	}
	if !m.kept {
		m.kept, m.retired, m.earliest = true, false, now.Add(left/2)
	}
	w.mu.Unlock()
	w.keeper.Resume(&m.Lease)
}

// pick returns any of the last leases, kept or not.
func (w *world) pick() *known {
	w.mu.Lock()
	defer w.mu.Unlock()
	recent := w.all[max(0, len(w.all)-60):]
	if len(recent) == 0 {
		return nil
	}
	return recent[w.rnd.IntN(len(recent))]
}

// renew is the queue: slow, at times deaf to the context, and ill in parts.
func (w *world) renew(ctx context.Context, entries []lease.Renewal[*known]) []error {
	now := time.Now()
	w.mu.Lock()
	turns := make([]int, len(entries))
	errs := make([]error, len(entries))
	for i, e := range entries {
		turns[i] = w.leaves(e, now)
		switch chance := w.rnd.Float64(); {
		case chance < w.illness:
			errs[i] = errQueue
		case chance > 0.98:
			errs[i] = lease.ErrGone
		}
	}
	took := 1 + w.random(w.timeout/20)
	deaf := false
	if w.rnd.IntN(20) == 0 {
		took, deaf = w.random(w.timeout), w.rnd.IntN(2) == 0
	}
	w.mu.Unlock()
	w.expectCall(len(entries))
	if !sleep(ctx, took, deaf) {
		errs = nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, e := range entries {
		w.answered(e, turns[i], now, i < len(errs) && errs[i] == nil, i < len(errs) && errs[i] == lease.ErrGone) //nolint:errorlint // as made above
	}
	return errs
}

func (w *world) expectCall(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expect(n >= 1 && n <= 10, nil, fmt.Sprintf("a call of %d", n))
}

// leaves checks a renewal that is sent and returns the turn it belongs to.
func (w *world) leaves(e lease.Renewal[*known], now time.Time) int {
	m := e.Lease.Of
	w.expect(m.kept, m, "renewed though not kept")
	w.expect(!m.halted, m, "renewed though halted")
	w.expect(!now.Before(m.earliest), m, "renewed before half its time")
	w.expect(now.Before(m.deadline), m, "renewed after its end")
	w.expect(e.Handle == m.handle, m, "renewed by an old handle")
	limit := m.received.Add(12*time.Hour - 10*time.Second)
	w.expect(e.Timeout == min(w.timeout, limit.Sub(now).Truncate(time.Second)), m, "renewed by a wrong timeout")
	w.expect(now.Add(e.Timeout).Sub(m.deadline) >= time.Second, m, "renewed for less than a second")
	m.flying++
	return m.turn
}

func (w *world) answered(e lease.Renewal[*known], turn int, sent time.Time, confirmed, gone bool) {
	m := e.Lease.Of
	m.flying--
	if turn != m.turn || !time.Now().Before(m.deadline) {
		return
	}
	switch {
	case confirmed:
		m.deadline = sent.Add(e.Timeout)
		m.earliest = sent.Add(w.timeout / 2)
		w.beats++
	case gone:
		m.deadline, m.gone = time.Now(), true
	default:
		m.earliest = time.Now() // it may be tried again at once, also if it was taken up again meanwhile
	}
}

// sleep reports whether it slept as long as asked.
func sleep(ctx context.Context, d time.Duration, deaf bool) bool {
	if deaf {
		time.Sleep(d)
		return true
	}
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

func (w *world) lost(ls []*lease.Lease[*known], _ error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range ls {
		m := l.Of
		w.expect(m.kept, m, "lost though not kept")
		w.expect(time.Now().Equal(m.deadline), m, "lost, but not at its deadline")
		m.kept = false
		w.reports++
	}
}

// compare checks that keeper and model agree on every lease that is kept.
func (w *world) compare() {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	now, kept := time.Now(), 0
	for _, m := range w.all {
		if !m.kept {
			continue
		}
		kept++
		w.expect(m.deadline.After(now), m, "over but not reported")
		w.expect(w.keeper.Left(&m.Lease, now) == m.deadline.Sub(now), m, "of another length")
		w.expect(w.keeper.Handle(&m.Lease) == m.handle, m, "of another handle")
	}
	w.expect(w.keeper.Len() == kept, nil, "a different number of leases")
}

func (w *world) expect(ok bool, m *known, mistake string) {
	if ok {
		return
	}
	if m != nil {
		mistake = fmt.Sprintf("%s: turn %d, deadline in %v", mistake, m.turn, time.Until(m.deadline))
	}
	w.mistakes = append(w.mistakes, mistake)
}

func (w *world) random(d time.Duration) time.Duration { return time.Duration(w.rnd.Int64N(int64(d))) }
