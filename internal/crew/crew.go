// Package crew runs functions on goroutines that wait for the next one. A goroutine
// that begins anew begins with a small stack, and a call through the SDK makes it
// grow several times; one that is kept has done that already. One that knows itself
// what comes next need not even wait.
package crew

import "sync"

// A Work is something to do. It returns what the same goroutine is to do next; nil:
// nothing.
type Work func() (next Work)

// Once is a Work after which nothing comes next.
func Once(f func()) Work {
	return func() Work {
		f()
		return nil
	}
}

// A Crew is a set of goroutines. They are as many as works were done at once. The
// zero value is not usable; see [New].
type Crew struct {
	work    chan Work
	members sync.WaitGroup

	mu   sync.Mutex // guards the fields below; never held while calling out
	idle int        // members that wait for a work and have been promised none
}

// New returns a Crew without members.
func New() *Crew {
	const handover = 64 // works on their way to members that are about to wait
	return &Crew{work: make(chan Work, handover)}
}

// Go does w on a goroutine of the crew, and never waits for one to be free. A work
// that panics takes the process with it; one that calls runtime.Goexit, its
// goroutine. Go must not be called after [Crew.Close].
func (c *Crew) Go(w Work) {
	if c.claim() {
		c.work <- w
		return
	}
	c.members.Go(func() { c.serve(w) })
}

// claim takes a member that waits, if there is one.
func (c *Crew) claim() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.idle == 0 {
		return false
	}
	c.idle--
	return true
}

func (c *Crew) serve(w Work) {
	for ok := true; ok; w, ok = c.next() {
		for w != nil {
			w = w()
		}
	}
}

// next waits for a work; ok tells whether there is one.
func (c *Crew) next() (w Work, ok bool) {
	c.mu.Lock()
	c.idle++
	c.mu.Unlock()
	w, ok = <-c.work
	return w, ok
}

// Close lets the members go as soon as they have nothing to do.
func (c *Crew) Close() { close(c.work) }

// Wait waits until all members have gone, after [Crew.Close].
func (c *Crew) Wait() { c.members.Wait() }
