package dedup

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/sluice-go/sluice"
)

var (
	// errBehind is the error of a message behind one that was not handled, in its message group.
	errBehind = errors.New("dedup: not handled, since a message before it in its message group was not")
	errBusy   = errors.New("dedup: another process handles the message, or has died while it did")
)

// A call is one call of the handler for a batch.
type call struct {
	*Dedup

	owner string // of all claims of the call
	begun time.Time

	entries []*entry        // in the order of the batch
	mine    []*entry        // those that the handler gets
	halted  map[string]bool // FIFO message groups of which a message is not handled
	errs    []error         // of messages that failed
}

// An entry is a key of a batch with its messages. The handler gets the first one.
type entry struct {
	key      string
	messages []*sluice.Message

	asked bool // the store has been asked for a claim
	claim Claim
	err   error // of the claim
	blind bool  // handled without one
}

// read sorts the messages of a batch by their keys. Messages without a key fail.
func (c *call) read(batch []*sluice.Message) {
	byKey := make(map[string]*entry, len(batch))
	for _, m := range batch {
		if c.isBehind(m) {
			c.fail(m, errBehind)
			continue
		}
		key, err := c.storedKey(m)
		if err != nil {
			c.fail(m, err)
			continue
		}
		e := byKey[key]
		if e == nil {
			e = &entry{key: key}
			byKey[key] = e
			c.entries = append(c.entries, e)
		}
		e.messages = append(e.messages, m)
	}
}

// claim claims the keys. It settles those that the handler does not get.
func (c *call) claim(ctx context.Context) {
	eachOf(c.entries, func(e *entry) {
		if ctx.Err() != nil {
			e.err = context.Cause(ctx)
			return
		}
		ctx, cancel := context.WithTimeout(ctx, c.opts.TTL/2)
		defer cancel()
		e.asked = true
		e.claim, e.err = c.store.Claim(ctx, e.key, c.owner, c.opts.TTL)
		e.blind = e.err != nil && c.opts.FailOpen
	})
	var idle []*entry // claimed in vain
	for _, e := range c.entries {
		err := c.obstacle(ctx, e)
		switch {
		case err != nil:
			c.failAll(e, err)
			if e.asked && e.claim.State != StateBusy {
				idle = append(idle, e) // a claim whose answer was lost is released too
			}
		case e.claim.State == StateHandled:
			c.stats.repeated.Add(int64(len(e.messages)))
		default:
			c.mine = append(c.mine, e)
		}
	}
	c.release(ctx, idle, 1) // a store that is down would be waited for by each call
}

// obstacle returns why the handler does not get an entry that is not handled yet; nil: it does.
func (c *call) obstacle(ctx context.Context, e *entry) error {
	first := e.messages[0]
	switch {
	case e.err != nil && (!e.blind || ctx.Err() != nil):
		return fmt.Errorf("dedup: claiming a message: %w", e.err)
	case e.claim.State == StateHandled:
		return nil
	case c.isBehind(first):
		return errBehind
	case e.claim.State == StateBusy:
		c.stats.busy.Add(int64(len(e.messages)))
		return sluice.RetryAfter(busyDelay(e.claim.Left, first.Attempt), errBusy)
	default:
		return nil
	}
}

// busyDelay returns when a message is tried again that another process has claimed: when the claim
// expires, and later with each attempt. Each receive counts towards the dead-letter queue, and the
// other handler may take hours.
func busyDelay(left time.Duration, attempt int) time.Duration {
	const doublings = 9 // about 8 min
	return max(left, time.Second<<min(max(0, attempt), doublings))
}

// handle calls the handler for the entries that are claimed, and keeps the claims meanwhile.
func (c *call) handle(ctx context.Context, next sluice.Handler) {
	returned := false
	defer func() {
		if !returned { // it panics, or has ended its goroutine
			c.release(ctx, c.mine, maxTries)
		}
	}()
	messages := make([]*sluice.Message, len(c.mine))
	for i, e := range c.mine {
		messages[i] = e.messages[0]
	}
	err := c.keeping(ctx, func(ctx context.Context) error {
		return next(ctx, append([]*sluice.Message(nil), messages...)) // the handler may do with its slice what it likes
	})
	returned = true
	failed := maps.Collect(sluice.Outcomes(messages, err))
	var done, undone []*entry
	for i, e := range c.mine {
		if err := failed[messages[i]]; err != nil {
			c.failAll(e, err)
			undone = append(undone, e)
		} else {
			done = append(done, e)
		}
	}
	c.release(ctx, undone, maxTries)
	c.mark(ctx, done)
}

// keeping calls f, and extends the claims at half of their time until f returns.
func (c *call) keeping(ctx context.Context, f func(context.Context) error) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	running, stop := context.WithCancel(context.WithoutCancel(ctx)) // a handler that goes on after its context has ended needs its claim
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := c.keep(running); err != nil {
			c.stats.lost.Add(int64(len(c.mine)))
			c.opts.Logger.Warn("claims are lost while a handler runs", "handler", c.opts.Handler, "messages", len(c.mine), "error", err)
			end(err)
		}
	})
	defer wg.Wait()
	defer stop()
	return f(ctx)
}

// keep extends the claims until ctx ends. It returns an error if they are lost: another owner has one,
// or the store has not extended them in time. An extension that is under way at the end has no
// effect after the mark or the release that follows.
func (c *call) keep(ctx context.Context) error {
	wait, last := c.opts.TTL/2, c.begun
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(max(0, time.Until(last.Add(wait)))):
		}
		began, deadline := time.Now(), last.Add(c.opts.TTL)
		err := c.extend(ctx, deadline)
		switch {
		case err == nil:
			wait, last = c.opts.TTL/2, began
		case ctx.Err() != nil:
			return nil //nolint:nilerr // the handler has returned
		case errors.Is(err, ErrLost):
			return err
		case !time.Now().Before(deadline):
			return fmt.Errorf("%w: it could not be extended: %s", ErrLost, err.Error()) // one error: a message has one
		default:
			const tries = 10 // in the half that is left
			wait = min(time.Since(last)+c.opts.TTL/(2*tries), c.opts.TTL)
		}
	}
}

// extend extends all claims. It returns one error, ErrLost rather than another.
func (c *call) extend(ctx context.Context, deadline time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	var mu sync.Mutex // guards first
	var first error
	eachOf(c.mine, func(e *entry) {
		if e.blind {
			return
		}
		err := c.store.Extend(ctx, e.key, c.owner, c.opts.TTL)
		if err == nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if first == nil || errors.Is(err, ErrLost) {
			first = err
		}
	})
	return first
}

// mark marks entries as handled. The messages are deleted even if that fails: their effects have
// happened, and a message that comes again would be handled again for certain.
func (c *call) mark(ctx context.Context, done []*entry) {
	ctx, cancel := c.afterwards(ctx)
	defer cancel()
	eachOf(done, func(e *entry) {
		c.stats.handled.Add(1)
		c.stats.repeated.Add(int64(len(e.messages) - 1))
		if e.blind {
			c.stats.blind.Add(int64(len(e.messages)))
		}
		tries := maxTries
		if e.blind {
			tries = 1 // the store is down
		}
		err := insist(ctx, tries, func() error { return c.store.Done(ctx, e.key, c.owner, c.opts.Keep) })
		if err != nil {
			c.stats.unmarked.Add(1)
			c.opts.Logger.Warn("a message was handled and cannot be marked", "handler", c.opts.Handler, "message_id", e.messages[0].ID, "error", err)
		}
	})
}

// release ends claims, with so many tries. One that cannot be released expires.
func (c *call) release(ctx context.Context, entries []*entry, tries int) {
	if len(entries) == 0 {
		return
	}
	ctx, cancel := c.afterwards(ctx)
	defer cancel()
	eachOf(entries, func(e *entry) {
		_ = insist(ctx, tries, func() error { return c.store.Release(ctx, e.key, c.owner) })
	})
}

// afterwards returns a context for what must be said after a handler, also if its context has ended.
func (c *call) afterwards(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), min(c.opts.TTL/2, 5*time.Second))
}

// maxTries is how often a call after a handler is made, with pauses of 0.1 s, 0.2 s, … in between.
const maxTries = 5

// insist repeats a call until it succeeds, the claim is lost, ctx ends, or there were so many tries.
func insist(ctx context.Context, tries int, f func() error) (err error) {
	pause := 100 * time.Millisecond
	for try := 1; ; try++ {
		if err = f(); err == nil || errors.Is(err, ErrLost) || try == tries {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
		pause *= 2
	}
}

// failAll fails the messages of an entry.
func (c *call) failAll(e *entry, err error) {
	for _, m := range e.messages {
		c.fail(m, err)
	}
}

// fail fails a message and halts its message group.
func (c *call) fail(m *sluice.Message, err error) {
	c.errs = append(c.errs, sluice.Failed(m, err))
	if isOrdered(m) {
		if c.halted == nil {
			c.halted = map[string]bool{}
		}
		c.halted[m.GroupID] = true
	}
}

// isBehind reports whether a message stands behind one that was not handled, in its message group.
func (c *call) isBehind(m *sluice.Message) bool { return isOrdered(m) && c.halted[m.GroupID] }

// isOrdered reports whether a message is of a FIFO queue.
func isOrdered(m *sluice.Message) bool { return m.SequenceNumber != "" || m.DeduplicationID != "" }
