package lease

import "time"

// Where more goroutines want to run than there are processors, each waits for its turn. A call waits several times: for
// its connection, for the security of that, for its answer. Handlers that compute make renewals slow, so renewals begin
// sooner the longer that wait is.

const (
	waitsPerCall = 5 // for a processor, at most; a new connection with TLS has as many
	triesLeft    = 2 // of a renewal that must fit into what is left of a lease
)

// Starved takes in a measurement: how long a goroutine that is ready waits for a processor. The owner measures about once
// a second. A longer wait counts at once and is forgotten slowly.
func (ls *Leases[T]) Starved(wait time.Duration) {
	ls.setWait(max(wait, ls.wait*3/4)) // one quiet second does not make a quiet minute
}

// Starving takes in a measurement that is not over: a goroutine that is ready has waited that long already. It may be
// called any number of times before the [Leases.Starved] that ends the measurement.
func (ls *Leases[T]) Starving(wait time.Duration) { ls.setWait(max(wait, ls.wait)) }

// setWait sets the wait, and when leases need attention because of it.
func (ls *Leases[T]) setWait(wait time.Duration) {
	ls.wait = wait
	early := ls.sooner()
	if early == ls.early {
		return
	}
	ls.early = early
	ls.heap.rebuild(ls.event)
}

// sooner returns how much sooner than at its due a lease is renewed. The tries must have time. The renewal comes after a
// fifth of the timeout at the soonest, and wins a second.
func (ls *Leases[T]) sooner() time.Duration {
	v := ls.cfg.Timeout
	return max(0, min(ls.needed()-v/2, ls.soonest()-v/2, v/2-time.Second))
}

// needed is how long before the end of a lease its renewal begins, so that its tries have time.
func (ls *Leases[T]) needed() time.Duration { return triesLeft * waitsPerCall * ls.wait }

// soonest is the longest before the end of a lease that it is renewed.
func (ls *Leases[T]) soonest() time.Duration { return ls.cfg.Timeout * 4 / 5 }

// Wait returns how long a goroutine that is ready waits for a processor, as far as [Leases.Starved] told. It is about 0
// where processors are idle.
func (ls *Leases[T]) Wait() time.Duration { return ls.wait }

// TooStarved reports whether goroutines wait so long for a processor that renewals may come too late.
func (ls *Leases[T]) TooStarved() bool { return ls.needed() > ls.soonest() }

// CallTimeout returns how long a renewal call that is sent now may take. It is 10 s at most, and a third of the timeout at
// most: a call that hangs must leave time for another.
func (ls *Leases[T]) CallTimeout() time.Duration {
	usual := min(maxCall, ls.cfg.Timeout/4)
	return max(usual, min(maxCall, ls.cfg.Timeout/3, waitsPerCall*ls.wait))
}
