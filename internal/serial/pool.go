package serial

import "sync"

// A Work is something to do. What is to be done is most often a call that exists anyway, and
// so needs no memory of its own, as a function would that remembers it.
type Work interface {
	// Do does it. It is called by a goroutine of a pool, and returns what the same goroutine
	// is to do next; nil: nothing.
	Do() (next Work)
}

// A Pool runs functions on goroutines that it keeps. A new goroutine has a small stack,
// and a call through the SDK makes it grow several times; a kept one has grown already.
// There are as many as works were done at once. All methods may be called
// concurrently. The zero value is not usable; see [NewPool].
type Pool struct {
	work    chan Work
	members sync.WaitGroup

	mu   sync.Mutex // guards the fields below; never held while calling out
	idle int        // members that wait for a work and have been promised none
}

// NewPool returns a Pool without members.
func NewPool() *Pool {
	const handover = 64 // works on their way to members that are about to wait
	return &Pool{work: make(chan Work, handover)}
}

// Go does w on a goroutine of the pool, and never waits for one to be free. A work
// that panics takes the process with it; one that calls runtime.Goexit, its
// goroutine. Go must not be called after [Pool.Close].
func (p *Pool) Go(w Work) {
	if p.claim() {
		p.work <- w
		return
	}
	p.members.Go(func() { p.serve(w) })
}

// claim takes a member that waits, if there is one.
func (p *Pool) claim() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.idle == 0 {
		return false
	}
	p.idle--
	return true
}

func (p *Pool) serve(w Work) {
	for ok := true; ok; w, ok = p.next() {
		for w != nil {
			w = w.Do()
		}
	}
}

// next waits for a work. ok is false after [Pool.Close].
func (p *Pool) next() (w Work, ok bool) {
	p.mu.Lock()
	p.idle++
	p.mu.Unlock()
	w, ok = <-p.work
	return w, ok
}

// Close lets the members go as soon as they have nothing to do.
func (p *Pool) Close() { close(p.work) }

// Wait waits until all members have gone, after [Pool.Close].
func (p *Pool) Wait() { p.members.Wait() }
