package lease_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	lease "github.com/sluice-go/sluice/internal/lease"
)

// TestAgainstAModel lets leases and a naive model of them live through the same random operations and answers. The model
// keeps what it knows in plain fields and looks at every lease each time. It knows each lease's deadline from what the
// queue confirmed, and when each call must leave. It complains of everything that it did not expect.
func TestAgainstAModel(t *testing.T) {
	seeds := uint64(2_000)
	if testing.Short() {
		seeds = 400
	}
	var all counts
	for seed := range seeds {
		w := newWorld(t, seed)
		w.live()
		all.add(w.counts)
	}
	t.Logf("%+v", all)
	require.Greater(t, all.confirmed, int(10*seeds), "the test would say nothing")
	require.Greater(t, all.failed, int(5*seeds), "the test would say nothing")
	require.Greater(t, all.ignored, int(seeds), "the test would say nothing")
	for _, cause := range []error{lease.ErrGone, lease.ErrExpired, lease.ErrHalted, lease.ErrLimit} {
		require.Greater(t, all.lost[cause], int(seeds/20), "the test would say nothing of %v", cause)
	}
}

// counts say how much a world has shown.
type counts struct {
	confirmed, failed, ignored int
	lost                       map[error]int
}

func (c *counts) add(other counts) {
	c.confirmed += other.confirmed
	c.failed += other.failed
	c.ignored += other.ignored
	if c.lost == nil {
		c.lost = map[error]int{}
	}
	for cause, n := range other.lost {
		c.lost[cause] += n
	}
}

// A world is the model, the queue, and the leases under test.
type world struct {
	counts

	t       *testing.T
	seed    uint64
	rnd     *rand.Rand
	ls      *lease.Leases[*known]
	timeout time.Duration
	cap     int  // calls in flight
	exact   bool // the owner asks for losses before it asks for calls, and no lease comes near its limit
	now     time.Duration
	illness float64 // the share of answers that are failures
	jitter  float64
	wait    time.Duration
	all     []*known
	flights []*sentCall
}

// known is what the model knows of a lease.
type known struct {
	lease.Lease[*known]

	added, kept, halted, retired, gone, limited bool

	generation int
	inFlight   int
	asked      bool // a renewal of this generation is in flight
	received   time.Duration
	deadline   time.Duration
	due        time.Duration
	tries      int
	failure    error

	ready   bool // it waits for a call
	readyAt time.Duration
	sendBy  time.Duration
}

// A sentCall is a call on its way.
type sentCall struct {
	call        *lease.Call[*known]
	sent, lands time.Duration
	jitter      float64
	generations []int
}

func newWorld(t *testing.T, seed uint64) *world {
	rnd := rand.New(rand.NewPCG(seed, 0))
	w := &world{t: t, seed: seed, rnd: rnd, timeout: time.Duration(1+rnd.IntN(60)) * time.Second, cap: 1 + rnd.IntN(4), exact: seed%3 != 0}
	w.lost = map[error]int{}
	if seed%12 == 0 {
		w.timeout *= 360 // long enough to meet the 12-hour limit
	}
	w.ls = lease.New[*known](lease.Config{Timeout: w.timeout, Calls: w.cap, Rand: func() float64 {
		w.jitter = rnd.Float64()
		return w.jitter
	}})
	return w
}

func (w *world) live() {
	for range 80 {
		w.advance(w.now + w.random(w.timeout/6))
		w.act()
		w.compare()
	}
	w.illness = 1
	w.advance(w.now + 3*w.timeout)
	w.compare()
	w.expect(w.ls.Len() == 0, nil, "all that was not removed is lost by now")
}

// act does one random thing.
func (w *world) act() {
	if w.rnd.IntN(10) == 0 {
		w.illness = w.rnd.Float64() * w.rnd.Float64()
	}
	switch w.rnd.IntN(16) {
	case 0, 1, 2, 3:
		w.receive()
	case 4:
		w.adopt(w.pick())
	case 5:
		w.halt(w.pick())
	case 6, 7:
		w.retire(w.pick())
	case 8, 9, 10:
		w.resume(w.pick())
	case 11:
		w.starve()
	case 12:
		w.add(w.pick())
	default:
		w.remove(w.pick(), w.pick())
	}
}

// receive adds leases, at times one that was halted or retired before it was ever added.
func (w *world) receive() {
	if len(w.all) > 50 {
		return
	}
	ms := make([]*known, 1+w.rnd.IntN(10))
	for i := range ms {
		ms[i] = &known{}
		ms[i].Of = ms[i]
		w.all = append(w.all, ms[i])
	}
	if w.rnd.IntN(8) == 0 {
		w.halt(ms[0])
		w.resume(ms[0])
		w.retire(ms[0])
	}
	w.add(ms...)
}

func (w *world) add(ms ...*known) {
	sent, arrived := w.poll()
	ls := make([]*lease.Lease[*known], len(ms))
	for i, m := range ms {
		ls[i] = &m.Lease
		m.halted, m.retired = false, false
		w.begin(m, sent, arrived)
	}
	w.ls.Add(sent, arrived, ls...)
}

// poll returns when a receive was sent and answered.
func (w *world) poll() (sent, arrived time.Duration) {
	arrived = w.now - w.random(w.timeout/100)
	return arrived - w.random(w.timeout*9/10), arrived
}

func (w *world) begin(m *known, sent, arrived time.Duration) {
	m.added, m.kept, m.gone, m.limited = true, !m.retired, false, false
	w.restart(m)
	m.received, m.deadline, m.tries, m.failure = sent, sent+w.timeout, 0, nil
	m.due = arrived + w.timeout/2
	if soon := max(arrived, sent+w.timeout*4/5); soon < m.due {
		m.due = soon
	}
}

// restart begins a generation of m, to which nothing in flight belongs.
func (w *world) restart(m *known) {
	m.generation++
	m.asked, m.ready = false, false
}

func (w *world) adopt(m *known) {
	sent, arrived := w.poll()
	w.begin(m, sent, arrived)
	w.ls.Adopt(&m.Lease, sent, arrived)
}

func (w *world) halt(m *known) {
	m.halted, m.ready = true, false
	w.ls.Halt(&m.Lease)
}

func (w *world) retire(m *known) {
	m.kept, m.retired, m.ready = false, true, false
	w.ls.Retire(&m.Lease)
}

func (w *world) remove(ms ...*known) {
	for _, m := range ms {
		m.kept, m.ready = false, false
		w.ls.Remove(&m.Lease)
	}
}

func (w *world) resume(m *known) {
	if m.added && !m.kept {
		w.restart(m)
		m.kept, m.retired = true, false
		m.due = w.now + max(0, m.deadline-w.now)/2
	}
	w.ls.Resume(&m.Lease, w.now)
}

func (w *world) starve() {
	wait := w.random(w.timeout / 8)
	if w.rnd.IntN(2) == 0 {
		wait = 0
	}
	if w.rnd.IntN(3) == 0 {
		w.wait = max(w.wait, wait)
		w.ls.Starving(wait)
		return
	}
	w.wait = max(wait, w.wait*3/4)
	w.ls.Starved(wait)
}

// early is how much sooner leases are renewed because goroutines wait for processors.
func (w *world) early() time.Duration {
	half := w.timeout / 2
	return max(0, min(10*w.wait-half, w.timeout*4/5-half, half-time.Second))
}

// pick returns any lease, kept or not.
func (w *world) pick() *known {
	if len(w.all) == 0 || w.rnd.IntN(50) == 0 {
		m := &known{}
		m.Of = m
		w.all = append(w.all, m)
		return m
	}
	return w.all[w.rnd.IntN(len(w.all))]
}

// advance lives until then. At times the owner wakes late.
func (w *world) advance(end time.Duration) {
	late := w.rnd.IntN(6) == 0
	for !late {
		next := w.ls.Next()
		for _, f := range w.flights {
			next = min(next, f.lands)
		}
		if next > end {
			break
		}
		w.now = max(w.now, next)
		w.look()
	}
	w.now = end
	w.look()
}

// look is one turn of the owner.
func (w *world) look() {
	w.land()
	if !w.exact && w.rnd.IntN(4) == 0 {
		w.call() // too early: it should ask for losses first
	}
	for lost := w.ls.Lost(w.now); len(lost) > 0; lost = w.ls.Lost(w.now) {
		for _, l := range lost {
			w.lose(l)
		}
	}
	w.markReady()
	w.call()
	w.sleep()
}

// lose checks a loss.
func (w *world) lose(l lease.Loss[*known]) {
	m := l.Lease.Of
	cause := lease.ErrExpired
	switch {
	case m.gone:
		cause = lease.ErrGone
	case m.limited || m.atLimit(w.timeout) && l.Cause == lease.ErrLimit: //nolint:errorlint // never wrapped
		cause = lease.ErrLimit
	case m.halted:
		cause = lease.ErrHalted
	}
	w.expect(m.kept, m, "lost though not kept")
	w.expect(m.deadline <= w.now, m, "lost before its deadline")
	w.expect(l.Cause == cause, m, fmt.Sprint("lost for another cause: ", l.Cause)) //nolint:errorlint // never wrapped
	w.expect(l.Failure == m.failure, m, "lost with another failure")               //nolint:errorlint // never wrapped
	m.kept = false
	w.restart(m)
	w.lost[cause]++
}

// atLimit reports whether m lasts until its limit, but for a second.
func (m *known) atLimit(timeout time.Duration) bool {
	return m.received+12*time.Hour-10*time.Second-m.deadline < 2*time.Second || timeout == 12*time.Hour
}

// markReady notes which leases wait for a call.
func (w *world) markReady() {
	for _, m := range w.all {
		if !w.renewable(m) || m.ready || w.dueAt(m) > w.now {
			continue
		}
		if w.ask(m) == 0 {
			m.limited = true
			continue
		}
		m.ready, m.readyAt, m.sendBy = true, w.now, min(m.due, w.now)
		if m.tries == 0 {
			m.sendBy += min(w.timeout/10, (m.deadline-m.due)/5)
		}
	}
}

// renewable reports whether m is to be renewed sooner or later.
func (w *world) renewable(m *known) bool {
	return m.kept && !m.halted && !m.gone && !m.limited && !m.asked && m.deadline > w.now
}

// dueAt is when m is due, given how long goroutines wait.
func (w *world) dueAt(m *known) time.Duration {
	if m.tries > 0 {
		return m.due
	}
	due, step := m.due-w.early(), min(10*time.Millisecond, w.timeout/3000)
	end := (due + step - 1).Truncate(step)
	if m.deadline-end <= w.timeout/4 {
		return due
	}
	return end
}

// ask is the timeout that a renewal must ask for now; 0: it would win less than a second.
func (w *world) ask(m *known) time.Duration {
	limit := m.received + 12*time.Hour - 10*time.Second
	d := min(w.timeout, (limit - w.now).Truncate(time.Second))
	if w.now+d-m.deadline < time.Second {
		return 0
	}
	return d
}

// call asks for calls until there is none.
func (w *world) call() {
	for {
		must, may := w.departs()
		c := w.ls.Due(w.now)
		if w.exact {
			w.expect(must == (c != nil) || may && c != nil, nil, fmt.Sprintf("a call leaves: %v, want %v", c != nil, must))
		}
		if c == nil {
			return
		}
		w.send(c)
	}
}

// waiting returns the leases that wait for a call.
func (w *world) waiting() (ms []*known) {
	for _, m := range w.all {
		if m.ready {
			ms = append(ms, m)
		}
	}
	return ms
}

// departs reports whether a call must leave now, and whether it may: among those that wait, the model does not know
// which is the first.
func (w *world) departs() (must, may bool) {
	ms := w.waiting()
	if len(ms) == 0 || len(w.flights) >= lease.Rush*w.cap {
		return false, false
	}
	if len(w.flights) >= w.cap {
		earliest, latest := w.rushes(ms)
		return latest <= w.now, earliest <= w.now
	}
	by := w.sendBy(ms)
	must = len(ms) >= 10 || by <= w.now || w.first() > by
	return must, must
}

// rushes returns when a call may leave although as many as usual are in flight, by which of ms is the first.
func (w *world) rushes(ms []*known) (earliest, latest time.Duration) {
	earliest, latest = lease.Never, -lease.Never
	for _, m := range ms {
		at := m.deadline - w.timeout*3/8
		earliest, latest = min(earliest, at), max(latest, at)
	}
	return earliest, latest
}

func (w *world) sendBy(ms []*known) time.Duration {
	by := lease.Never
	for _, m := range ms {
		by = min(by, m.sendBy)
	}
	return by
}

// first is when something happens to a lease next, if no call leaves.
func (w *world) first() time.Duration {
	next := lease.Never
	for _, m := range w.all {
		if !m.kept {
			continue
		}
		next = min(next, m.deadline)
		if w.renewable(m) && !m.ready {
			next = min(next, w.dueAt(m))
		}
	}
	return next
}

// send checks a call and puts it on its way.
func (w *world) send(c *lease.Call[*known]) {
	w.expect(len(c.Entries) >= 1 && len(c.Entries) <= 10, nil, fmt.Sprintf("a call of %d", len(c.Entries)))
	w.expect(len(w.flights) < lease.Rush*w.cap, nil, "too many calls")
	if w.exact {
		w.expect(len(c.Entries) == min(10, len(w.waiting())), nil, "a call that is not full")
	}
	v := &sentCall{call: c, sent: w.now, lands: w.now + w.flightTime(), jitter: w.jitter}
	last := time.Duration(0)
	for _, e := range c.Entries {
		m := e.Lease.Of
		w.expect(w.renewable(m), m, "renewed though it is not to be")
		w.expect(m.ready || !w.exact && w.dueAt(m) <= w.now, m, "renewed before it is due")
		w.expect(e.Timeout == w.ask(m), m, "renewed by a wrong timeout")
		w.expect(e.Timeout > 0, m, "renewed for less than a second")
		last = max(last, m.readyAt)
		m.ready, m.asked = false, true
		m.inFlight++
		v.generations = append(v.generations, m.generation)
	}
	if w.exact {
		for _, m := range w.waiting() {
			w.expect(m.readyAt >= last, m, "overtaken")
		}
	}
	w.flights = append(w.flights, v)
}

func (w *world) flightTime() time.Duration {
	if w.rnd.IntN(12) == 0 {
		return w.random(w.timeout * 3 / 2)
	}
	return w.random(w.timeout / 20)
}

// land passes on the answers that are there. At times one is forgotten until the next time.
func (w *world) land() {
	var landed []*sentCall
	w.flights = slices.DeleteFunc(w.flights, func(v *sentCall) bool {
		if v.lands > w.now || w.now-v.lands < time.Minute && w.rnd.IntN(10) == 0 && v.lands != w.now {
			return false
		}
		landed = append(landed, v)
		return true
	})
	w.rnd.Shuffle(len(landed), func(i, j int) { landed[i], landed[j] = landed[j], landed[i] })
	for _, v := range landed {
		w.answer(v)
	}
}

// answer passes on an answer: missing results, failures, receipts that are gone and confirmations.
func (w *world) answer(v *sentCall) {
	at := v.lands
	if w.rnd.IntN(2) == 0 {
		at = w.now
	}
	results := make([]result, len(v.call.Entries))
	for i := range results {
		switch chance := w.rnd.Float64(); {
		case chance < w.illness:
			results[i].Err = errQueue
		case chance > 0.98:
			results[i] = result{Err: lease.ErrGone, Gone: true}
		}
	}
	if w.rnd.IntN(20) == 0 {
		results = results[:w.rnd.IntN(len(results)+1)]
	}
	w.ls.Returned(v.call, results, at)
	if w.rnd.IntN(10) == 0 {
		w.ls.Returned(v.call, nil, at)
	}
	for i, e := range v.call.Entries {
		w.answered(v, i, e.Timeout, results, at)
	}
	if w.rnd.IntN(2) == 0 {
		w.ls.Recycle(v.call)
	}
}

func (w *world) answered(v *sentCall, i int, timeout time.Duration, results []result, at time.Duration) {
	m := v.call.Entries[i].Lease.Of
	m.inFlight--
	if v.generations[i] != m.generation || at >= m.deadline {
		w.ignored++
		return
	}
	m.asked = false
	switch {
	case i >= len(results) || results[i].Err == errQueue: //nolint:errorlint // as made above
		m.tries++
		longest := (m.deadline - at) / 2
		if soon := w.timeout / 40 * time.Duration(1<<min(m.tries-1, 5)); soon < longest {
			longest = soon
		}
		m.due = at + w.timeout/200 + time.Duration(v.jitter*float64(longest))
		m.failure = m.unanswered(results, i)
		w.failed++
	case results[i].Gone:
		m.deadline, m.gone, m.failure = at, true, results[i].Err
	default:
		m.deadline, m.due = v.sent+timeout, v.sent+w.timeout/2
		m.tries, m.failure = 0, nil
		w.confirmed++
	}
}

// unanswered returns the failure of a renewal: that of its result, or the package's own.
func (m *known) unanswered(results []result, i int) error {
	if i < len(results) {
		return results[i].Err
	}
	return lease.ErrUnanswered
}

// sleep checks that nothing happens until the owner is to look again, and that it is to look then.
func (w *world) sleep() {
	next := w.ls.Next()
	w.expect(next > w.now, nil, "to be looked at again at once")
	if w.exact {
		from, to := w.first(), w.first()
		switch ms := w.waiting(); {
		case len(ms) == 0 || len(w.flights) >= lease.Rush*w.cap:
		case len(w.flights) >= w.cap:
			earliest, latest := w.rushes(ms)
			from, to = min(from, earliest), min(to, latest)
		default:
			from = min(from, w.sendBy(ms))
			to = from
		}
		w.expect(from <= next && next <= to, nil, fmt.Sprintf("to be looked at in %v, want %v to %v", next-w.now, from-w.now, to-w.now))
	}
	if next == lease.Never {
		next = w.now + time.Hour
	}
	before := w.now + w.random(next-w.now)
	w.expect(len(w.ls.Lost(before)) == 0, nil, "lost before the owner was to look")
	w.expect(w.ls.Due(before) == nil, nil, "renewed before the owner was to look")
}

// compare checks that leases and model agree.
func (w *world) compare() {
	kept := 0
	for _, m := range w.all {
		w.expect(m.Renewing() == (m.inFlight > 0), m, "renewing")
		want := time.Duration(0)
		if m.added {
			want = m.deadline - w.now
		}
		w.expect(m.Left(w.now) == want, m, "of another length")
		if m.kept {
			kept++
		}
	}
	w.expect(w.ls.Len() == kept, nil, "a different number of leases")
	w.expect(w.ls.Wait() == w.wait, nil, "another wait")
}

func (w *world) expect(ok bool, m *known, mistake string) {
	if ok {
		return
	}
	w.t.Helper()
	if m != nil {
		mistake = fmt.Sprintf("%s: deadline in %v, due in %v, %+v", mistake, m.deadline-w.now, m.due-w.now, *m)
	}
	w.t.Fatalf("seed %d at %v: %s", w.seed, w.now, mistake)
}

func (w *world) random(d time.Duration) time.Duration {
	return time.Duration(w.rnd.Int64N(max(1, int64(d))))
}
