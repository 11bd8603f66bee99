// Package crew runs functions on goroutines that wait for the next one. A goroutine
// that begins anew begins with a small stack, and a call through the SDK makes it
// grow several times; one that is kept has done that already.
package crew

import "sync"

// A Crew is a set of goroutines. They are as many as functions ran at once. The
// zero value is not usable; see [New].
type Crew struct {
	work    chan func()
	members sync.WaitGroup

	mu   sync.Mutex // guards the fields below; never held while calling out
	idle int        // members that wait for a function and have been promised none
}

// New returns a Crew without members.
func New() *Crew {
	const handover = 64 // functions on their way to members that are about to wait
	return &Crew{work: make(chan func(), handover)}
}

// Go runs f on a goroutine of the crew, and never waits for one to be free. A
// function that panics takes the process with it; one that calls runtime.Goexit,
// its goroutine. Go must not be called after [Crew.Close].
func (c *Crew) Go(f func()) {
	if c.claim() {
		c.work <- f
		return
	}
	c.members.Go(func() { c.serve(f) })
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

func (c *Crew) serve(f func()) {
	for ok := true; ok; f, ok = c.next() {
		f()
	}
}

// next waits for a function; ok tells whether there is one.
func (c *Crew) next() (f func(), ok bool) {
	c.mu.Lock()
	c.idle++
	c.mu.Unlock()
	f, ok = <-c.work
	return f, ok
}

// Close lets the members go as soon as they have nothing to do.
func (c *Crew) Close() { close(c.work) }

// Wait waits until all members have gone, after [Crew.Close].
func (c *Crew) Wait() { c.members.Wait() }
