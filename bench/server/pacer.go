package server

import (
	"container/heap"
	"sync"
	"time"
)

// A pacer wakes goroutines at given moments, more exactly than the plain time package does: a
// process that is idle rounds its timers up to whole milliseconds, which is as much as the whole
// latency of a call here.
type pacer struct {
	alarm alarm

	mu  sync.Mutex // guards due
	due wakes
}

// An alarm is the platform's clock: set arms it, and wait returns when it has gone off.
type alarm interface {
	set(d time.Duration)
	wait() error
}

type wake struct {
	at   time.Time
	done chan struct{}
}

// newPacer returns a pacer; run makes it work.
func newPacer() (*pacer, error) {
	a, err := newAlarm()
	if err != nil {
		return nil, err
	}
	return &pacer{alarm: a}, nil
}

// run wakes sleepers, for the life of the process.
func (p *pacer) run() error {
	for {
		if err := p.alarm.wait(); err != nil {
			return err
		}
		p.fire(time.Now())
	}
}

// fire wakes those that are due and arms the alarm for the next.
func (p *pacer) fire(now time.Time) {
	const early = 10 * time.Microsecond // waking up takes longer than this
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.due) > 0 && p.due[0].at.Sub(now) <= early {
		w, _ := heap.Pop(&p.due).(wake)
		close(w.done)
	}
	if len(p.due) > 0 {
		p.alarm.set(time.Until(p.due[0].at))
	}
}

// sleep returns after d.
func (p *pacer) sleep(d time.Duration) {
	if d <= 0 {
		return
	}
	w := wake{at: time.Now().Add(d), done: make(chan struct{})}
	p.mu.Lock()
	heap.Push(&p.due, w)
	if p.due[0] == w {
		p.alarm.set(d)
	}
	p.mu.Unlock()
	<-w.done
}

// wakes is a heap, the earliest first.
type wakes []wake

func (w wakes) Len() int           { return len(w) }
func (w wakes) Less(i, j int) bool { return w[i].at.Before(w[j].at) }
func (w wakes) Swap(i, j int)      { w[i], w[j] = w[j], w[i] }
func (w *wakes) Push(x any) {
	one, _ := x.(wake) // nothing else is pushed
	*w = append(*w, one)
}

// Pop takes the last, as container/heap wants it.
func (w *wakes) Pop() any {
	last := len(*w) - 1
	x := (*w)[last]
	*w = (*w)[:last]
	return x
}
