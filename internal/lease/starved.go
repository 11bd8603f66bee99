package lease

import (
	"runtime"
	"time"
)

// Where more goroutines want to run than there are processors, each waits for its turn, and a call waits several times:
// for its connection, for the security of that, for its answer. Handlers that compute make renewals slow. So the keeper
// measures how long the wait is, and begins the sooner.

const (
	turns = 5 // that a call waits for, at most; a new connection with TLS has as many
	tries = 2 // of a renewal that must fit into what is left of a lease
)

// wantsProbe reports whether it is time for a probe, and notes that it begins. mu is held.
func (k *Keeper[T]) wantsProbe() bool {
	if k.probing || len(k.heap) == 0 || time.Since(k.probed) < watch {
		return false
	}
	k.probing, k.probed = true, time.Now()
	return true
}

// probe measures how long a goroutine that is ready waits for a processor. One that yields goes to the end of the line in
// which those are that have used up their time, and those whose connections have news.
func (k *Keeper[T]) probe() {
	runtime.Gosched()
	wait := k.note()
	if k.cfg.Starved != nil && tries*turns*wait > soonest(k.cfg.Timeout) {
		k.cfg.Starved(wait)
	}
}

// note takes in a probe that is over and returns the wait.
func (k *Keeper[T]) note() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.probing = false
	k.wait = max(time.Since(k.probed), k.wait*3/4) // one quiet second does not make a quiet minute
	k.nudge()
	return k.wait
}

// soonest is the longest before the end of a lease that it is renewed.
func soonest(timeout time.Duration) time.Duration { return timeout * 4 / 5 }

// Wait returns how long a goroutine that is ready waits for a processor, as far as that is known: about 0 where there are
// processors to spare.
func (k *Keeper[T]) Wait() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.waits()
}

func (k *Keeper[T]) waits() time.Duration {
	if k.probing {
		return max(k.wait, time.Since(k.probed)) // it takes that long already
	}
	return k.wait
}

// early is how much sooner than at half of the timeout a lease is renewed: so that the tries have time, at a fifth of it at
// the soonest, and so that the renewal wins a second.
func (k *Keeper[T]) early() time.Duration {
	v := k.cfg.Timeout
	return max(0, min(tries*turns*k.waits()-v/2, soonest(v)-v/2, v/2-time.Second))
}

// callTimeout is how long a renewal call may take.
func (k *Keeper[T]) callTimeout() time.Duration {
	return max(k.cfg.CallTimeout, min(maxCall, k.cfg.Timeout/3, turns*k.Wait()))
}

// first returns when the first lease needs attention. It is never past its deadline.
func (k *Keeper[T]) first() instant {
	if len(k.heap) == 0 {
		return never
	}
	l := k.heap[0].lease
	if l.due == never || l.tries > 0 { // a try that failed has its own pause
		return l.event()
	}
	return min(l.due-k.early(), l.deadline)
}
