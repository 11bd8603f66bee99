package pace_test

import (
	"cmp"
	"container/heap"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sluice-go/sluice/internal/pace"
)

// A loop is a queue and a consumer, with handlers that take no time, moved by a list of
// events: the law at work, without clock or goroutine.
type loop struct {
	pace.Config

	servers int                            // that messages lie on; a receive is answered by one of them
	size    func(*rand.Rand) int           // most messages of an answer; nil: ten
	trip    func(*rand.Rand) time.Duration // of a receive, there and back
	clock   func(*rand.Rand) time.Duration // what SQS's clock is ahead of ours when it stamps a message; nil: nothing
	rate    func(at time.Duration) float64 // messages a second
	ageless bool                           // messages have no time of sending
	old     int                            // messages that were sent before
	within  time.Duration                  // of so long; 0: an hour
	slower  int                            // times as long as other calls take receives; 0: as long
	calls   time.Duration                  // how long other calls take; 0: as long as receives do that find their messages there
	heavy   time.Duration                  // that each message takes to arrive, once its answer has begun to
	shared  bool                           // so much longer as receives are out
	seed    uint64
	p       *pace.Pace
	r       *rand.Rand
	now     time.Duration
	events  todo
	queue   [][]letter
	queued  int
	polls   []*poll // that wait at the queue
	out     int
	batch   []time.Duration // arrivals of what waits for its batch
	wake    time.Duration
	latency time.Duration // the mean of calls that are answered at once
	result
}

// A result is what a loop has done.
type result struct {
	receives, got int
	waits         []time.Duration // from the sending of a message until its handler
	most          int             // receives out at once
	left          []int           // messages in the queue at each second
}

// A letter is a message: when it was sent, by our clock and by SQS's.
type letter struct{ sent, stamp time.Duration }

type poll struct {
	asked int
	sent  time.Duration
	since time.Time
	back  time.Duration // time that the answer takes until it begins to arrive
	began time.Duration // when it did
	got   []letter
}

func (l *loop) run(d time.Duration) result {
	l.p, l.r = pace.New(l.Config), rand.New(rand.NewPCG(1, l.seed))
	l.latency = mean(l.trip, l.r) / time.Duration(max(1, l.slower))
	if l.calls > 0 {
		l.latency = l.calls
	}
	l.queue = make([][]letter, max(1, l.servers))
	for i := range l.old {
		within := cmp.Or(l.within, time.Hour)
		at := -within + time.Duration(i)*within/time.Duration(l.old)
		l.send(at)
	}
	l.after(0, l.arrive)
	for s := range int(d / time.Second) {
		l.after(time.Duration(s+1)*time.Second, func() { l.left = append(l.left, l.queued) })
	}
	l.next()
	for len(l.events) > 0 && l.now < d {
		e, _ := heap.Pop(&l.events).(event)
		l.now = e.at
		e.do()
	}
	slices.Sort(l.waits)
	return l.result
}

// mean returns how long trips take on the average.
func mean(trip func(*rand.Rand) time.Duration, r *rand.Rand) (d time.Duration) {
	const samples = 1000
	for range samples {
		d += trip(r) / samples
	}
	return d
}

func (l *loop) after(d time.Duration, do func()) {
	heap.Push(&l.events, event{l.now + d, len(l.events), do})
}

// arrive sends a message and, after a time that is random, the next one.
func (l *loop) arrive() {
	rate := l.rate(l.now)
	if rate == 0 {
		l.after(time.Second, l.arrive)
		return
	}
	l.after(time.Duration(l.r.ExpFloat64()/rate*1e9), l.arrive)
	l.send(l.now)
	if len(l.polls) > 0 {
		q := l.polls[0]
		l.polls = l.polls[1:]
		l.take(q)
	}
}

func (l *loop) send(at time.Duration) {
	m := letter{at, at}
	if l.clock != nil {
		m.stamp += l.clock(l.r)
	}
	i := l.r.IntN(len(l.queue))
	l.queue[i] = append(l.queue[i], m)
	l.queued++
}

// next lets all receives go out that may.
func (l *loop) next() {
	for {
		n, at := l.p.Next(l.view())
		if n == 0 {
			l.wakeAt(at)
			return
		}
		trip := l.trip(l.r)
		q := &poll{asked: n, sent: l.now, since: l.p.Sent(n), back: trip - trip/2}
		l.out++
		l.most = max(l.most, l.out)
		l.receives++
		l.after(trip/2, func() { l.reach(q) })
	}
}

func (l *loop) wakeAt(at time.Time) {
	d := at.Sub(began)
	if at.IsZero() || d <= l.now || l.wake > l.now && l.wake <= d {
		return
	}
	l.wake = d
	l.after(d-l.now, l.next)
}

// reach is the arrival of a receive at the queue, where it is answered or waits.
func (l *loop) reach(q *poll) {
	if l.queued > 0 {
		l.take(q)
		return
	}
	l.polls = append(l.polls, q)
	l.after(20*time.Second, func() {
		if i := slices.Index(l.polls, q); i >= 0 {
			l.polls = slices.Delete(l.polls, i, i+1)
			l.answer(q)
		}
	})
}

func (l *loop) take(q *poll) {
	n := q.asked
	if l.size != nil {
		n = min(n, l.size(l.r))
	}
	i := l.r.IntN(len(l.queue))
	for n > 0 && len(l.queue[i]) == 0 {
		i = l.r.IntN(len(l.queue))
	}
	n = min(n, len(l.queue[i]))
	q.got = slices.Clone(l.queue[i][:n])
	l.queue[i] = l.queue[i][n:]
	l.queued -= n
	l.answer(q)
}

func (l *loop) answer(q *poll) {
	q.began = l.now + q.back
	arriving := time.Duration(len(q.got)) * l.heavy
	if l.shared {
		arriving *= time.Duration(l.out)
	}
	l.after(q.back+arriving, func() { l.arrived(q) })
}

// arrived is the arrival of an answer at the consumer.
func (l *loop) arrived(q *poll) {
	l.out--
	a := pace.Answer{Asked: q.asked, Got: len(q.got), New: len(q.got), Hungry: true, Sent: began.Add(q.sent), Began: began.Add(q.began), Since: q.since}
	l.got += len(q.got)
	for i, m := range q.got {
		l.batch = append(l.batch, l.now)
		l.waits = append(l.waits, l.now-m.sent)
		age := (q.began - m.stamp).Truncate(time.Millisecond)
		if i == 0 {
			a.Oldest, a.Youngest = age, age
		}
		a.Oldest, a.Youngest = max(a.Oldest, age), min(a.Youngest, age)
	}
	if !l.ageless {
		a.Aged = a.Got
	}
	l.handOver()
	for range a.Got {
		l.p.Handled(time.Microsecond, began.Add(l.now))
	}
	l.p.Answered(a, l.view())
	l.next()
}

// handOver hands over what is a batch.
func (l *loop) handOver() {
	for len(l.batch) >= l.Batch {
		l.batch = l.batch[l.Batch:]
	}
	if len(l.batch) > 0 && l.now-l.batch[0] >= l.WaitTime {
		l.batch = nil
	}
	if len(l.batch) > 0 {
		due := l.batch[0] + l.WaitTime - l.now
		l.after(due, func() { l.handOver(); l.next() })
	}
}

func (l *loop) view() pace.View {
	v := pace.View{
		Now: began.Add(l.now), Free: l.Slots, Waiting: len(l.batch), Held: len(l.batch),
		Budget: 100_000, Enough: 100_000, Latency: l.latency,
	}
	if len(l.batch) > 0 {
		v.Due = began.Add(l.batch[0] + l.WaitTime)
	}
	return v
}

func (r result) p(q float64) time.Duration { return r.waits[int(float64(len(r.waits)-1)*q)] }

func (r result) perMessage() float64 { return float64(r.receives) / float64(r.got) }

// behind returns the most messages in the queue at any second from the given one on.
func (r result) behind(from int) int { return slices.Max(r.left[from:]) }

// An event is something that happens at a time.
type event struct {
	at time.Duration
	n  int
	do func()
}

type todo []event

func (t todo) Len() int           { return len(t) }
func (t todo) Less(i, j int) bool { return t[i].at < t[j].at }
func (t todo) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }
func (t *todo) Push(e any)        { *t = append(*t, e.(event)) }
func (t *todo) Pop() any {
	last := (*t)[len(*t)-1]
	*t = (*t)[:len(*t)-1]
	return last
}

func steady(rate float64) func(time.Duration) float64 {
	return func(time.Duration) float64 { return rate }
}

func always(d time.Duration) func(*rand.Rand) time.Duration {
	return func(*rand.Rand) time.Duration { return d }
}

// lognormal is a distribution around a median.
func lognormal(median time.Duration, sigma float64) func(*rand.Rand) time.Duration {
	return func(r *rand.Rand) time.Duration {
		return time.Duration(float64(median) * math.Exp(sigma*r.NormFloat64()))
	}
}

// tailed is the same but for two in a hundred, which take half a second more.
func tailed(d time.Duration) func(*rand.Rand) time.Duration {
	return func(r *rand.Rand) time.Duration {
		if r.IntN(50) == 0 {
			return d + 500*time.Millisecond
		}
		return d
	}
}

// longer is the same but for a share of them, which take so many times as long.
func longer(d time.Duration, times int, share float64) func(*rand.Rand) time.Duration {
	return func(r *rand.Rand) time.Duration {
		if r.Float64() < share {
			return d * time.Duration(times)
		}
		return d
	}
}

func upTo(least, most int) func(*rand.Rand) int {
	return func(r *rand.Rand) int { return least + r.IntN(most-least+1) }
}
