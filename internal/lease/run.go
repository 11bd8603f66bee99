package lease

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// grace is how long Run waits for calls in flight when its context is done, before it cuts them. Whoever stops the keeper
// has settled what matters, but a call that is cut looks like trouble where there is none.
const grace = 150 * time.Millisecond

// watch is how often Run looks at the clock at least while leases are kept: a timer does not go on while the machine sleeps,
// and leases do.
const watch = time.Second

// Run renews leases and reports lost ones until ctx is done; then it returns as soon as all renewal calls are back, of
// which those that take long are cut. Leases still kept then are neither renewed nor reported any more. Run is to be
// called once.
func (k *Keeper[T]) Run(ctx context.Context) {
	var calls sync.WaitGroup
	calling, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	defer func() {
		late := time.AfterFunc(grace, cut)
		defer late.Stop()
		calls.Wait()
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		r := k.round()
		if r.probe {
			calls.Go(k.probe)
		}
		for _, c := range r.calls {
			c.jitter = k.cfg.Rand()
			calls.Go(func() { k.call(calling, c) })
		}
		k.report(r.lost)
		if r.sleep <= 0 {
			continue
		}
		if r.sleep == never {
			timer.Stop()
		} else {
			timer.Reset(r.sleep)
		}
		select {
		case <-ctx.Done():
		case <-k.wake:
		case <-timer.C:
		}
	}
}

// A round is what Run has to do outside the lock.
type round[T any] struct {
	calls []*call[T]
	lost  []loss[T]
	sleep time.Duration
	probe bool
}

// A loss is why a lease ended, noted under the lock: the lease itself may be adopted before the report.
type loss[T any] struct {
	lease          *Lease[T]
	cause, failure error
}

// A call is up to ten renewals on their way.
type call[T any] struct {
	sent    instant
	jitter  float64 // for all that fail in it: they are tried again together, not one by one
	entries []Renewal[T]
	turns   [maxEntries]uint32 // of the leases, when the call was sent
	results [maxEntries]result
}

type result struct {
	err  error
	gone bool
}

var errUnanswered = errors.New("lease: a renewal was not answered")

// round handles what is due, at most a chunk of it.
func (k *Keeper[T]) round() round[T] {
	k.mu.Lock()
	defer k.mu.Unlock()
	var r round[T]
	now := k.now()
	r.probe = k.wantsProbe()
	for n := 0; n < chunk && k.first() <= now; n++ {
		if l := k.heap[0].lease; l.deadline <= now {
			r.lost = append(r.lost, k.lose(l))
		} else {
			k.enqueue(l, now)
		}
	}
	for k.departure() <= now {
		if c := k.load(now); len(c.entries) > 0 {
			r.calls = append(r.calls, c)
		}
	}
	k.alarm = min(k.first(), k.departure())
	r.sleep = never
	if k.alarm != never {
		r.sleep = k.alarm - now
	}
	if len(k.heap) > 0 {
		r.sleep = min(r.sleep, watch)
	}
	return r
}

// lose ends l at its deadline.
func (k *Keeper[T]) lose(l *Lease[T]) loss[T] {
	k.drop(l)
	switch {
	case l.cause != nil:
		return loss[T]{l, l.cause, l.failure}
	case l.halted:
		return loss[T]{l, ErrHalted, l.failure}
	}
	return loss[T]{l, ErrExpired, l.failure}
}

// enqueue puts l, which is due, into the queue. A first try can wait for a tenth of the timeout for its call to fill, or
// less if the time to its deadline is short; a retry cannot.
func (k *Keeper[T]) enqueue(l *Lease[T], now instant) {
	if l.ask(now, k.cfg.Timeout) == 0 {
		l.cause = ErrLimit
		k.runOut(l)
		return
	}
	l.patience = min(l.due, now)
	if l.tries == 0 {
		l.patience += min(k.cfg.Timeout/10, (l.deadline-l.due)/5)
	}
	l.due = never
	k.heap.fix(l)
	k.due.push(l)
}

// load takes up to ten leases from the queue into a call, which counts as running if it is not empty.
func (k *Keeper[T]) load(now instant) *call[T] {
	c := &call[T]{sent: now, entries: make([]Renewal[T], 0, min(k.due.len, maxEntries))}
	for k.due.len > 0 && len(c.entries) < maxEntries {
		l := k.due.head
		timeout := l.ask(now, k.cfg.Timeout)
		if timeout == 0 { // the limit came near while it waited
			l.cause = ErrLimit
			k.runOut(l)
			continue
		}
		k.due.remove(l)
		l.flying++
		c.turns[len(c.entries)] = l.turn
		c.entries = append(c.entries, Renewal[T]{l, l.handle, timeout})
	}
	if len(c.entries) > 0 {
		k.running++
	}
	return c
}

// call makes c and takes its results in, also when Renew panics or ends its goroutine.
func (k *Keeper[T]) call(ctx context.Context, c *call[T]) {
	failure := errUnanswered
	var errs []error
	defer func() {
		if p := recover(); p != nil {
			failure = fmt.Errorf("lease: renewing panicked: %v", p)
		}
		c.judge(errs, failure)
		for _, then := range k.land(c) {
			then()
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, k.callTimeout())
	defer cancel()
	errs = k.cfg.Renew(ctx, c.entries)
}

// judge sets the results, outside the lock since errors.Is may run foreign code.
func (c *call[T]) judge(errs []error, missing error) {
	for i := range c.entries {
		err := missing
		if i < len(errs) {
			err = errs[i]
		}
		c.results[i] = result{err, err != nil && errors.Is(err, ErrGone)}
	}
}

// land takes in the results of c and returns what waited for it.
func (k *Keeper[T]) land(c *call[T]) (thens []func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	k.running--
	for i, e := range c.entries {
		l := e.Lease
		l.flying--
		if l.flying == 0 && l.then != nil {
			thens = append(thens, l.then)
			l.then = nil
		}
		// An answer after the deadline is too late: the loss is reported, or about to be, and the message may have been
		// visible before SQS saw the call.
		if l.turn != c.turns[i] || l.deadline <= now {
			continue
		}
		k.apply(l, c, i, now)
		if l.slot > 0 {
			k.heap.fix(l)
		}
	}
	k.nudge()
	return thens
}

// apply takes in the result of entry i of c for its lease l. It also does so for a lease no longer kept, for Left's sake.
func (k *Keeper[T]) apply(l *Lease[T], c *call[T], i int, now instant) {
	switch r := c.results[i]; {
	case r.err == nil:
		// The time of sending is the earliest SQS can have counted from.
		l.deadline = c.sent + c.entries[i].Timeout
		l.due = c.sent + k.cfg.Timeout/2
		l.tries, l.failure = 0, nil
	case r.gone:
		l.deadline, l.cause, l.failure = now, ErrGone, r.err
	default:
		l.tries++
		l.failure = r.err
		l.due = now + k.backoff(l, now, c.jitter)
	}
	if l.cause != nil || l.halted {
		l.due = never
	}
}

// backoff is the time until the next try: soon at first, then longer, but never more than about half of what is left.
func (k *Keeper[T]) backoff(l *Lease[T], now instant, jitter float64) time.Duration {
	v := k.cfg.Timeout
	longest := min(v/40<<min(l.tries-1, 5), (l.deadline-now)/2)
	return v/200 + time.Duration(jitter*float64(longest))
}

// report tells the owner of lost leases, by cause.
func (k *Keeper[T]) report(lost []loss[T]) {
	if len(lost) == 0 {
		return
	}
	for _, cause := range []error{ErrGone, ErrExpired, ErrLimit, ErrHalted} {
		if ls, err := lostBy(cause, lost); len(ls) > 0 {
			k.cfg.Lost(ls, err)
		}
	}
}

// lostBy returns the leases lost for the cause, and an error that wraps it and the first of their last failures.
func lostBy[T any](cause error, lost []loss[T]) (ls []*Lease[T], err error) {
	var failure error
	for _, l := range lost {
		if l.cause != cause { //nolint:errorlint // our own field, never wrapped
			continue
		}
		ls = append(ls, l.lease)
		if failure == nil {
			failure = l.failure
		}
	}
	switch {
	case failure == nil:
		return ls, cause
	case errors.Is(failure, cause): // an ErrGone as Renew gave it
		return ls, failure
	}
	return ls, fmt.Errorf("%w: %w", cause, failure)
}

func (k *Keeper[T]) now() instant { return k.instant(time.Now()) }
