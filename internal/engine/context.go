package engine

import (
	"context"
	"sync"
	"time"
)

// A callContext is the context of a handler call. It ends when the call does, or when the run
// ends its patience with it. Behind it is a context of the standard library, which is made when
// somebody asks for more than whether it has ended: many handlers never do. All methods may be
// called concurrently.
type callContext struct {
	base context.Context //nolint:containedctx // it is one; the values are those of base

	mu     sync.Mutex              // guards the fields below; never held while calling out
	inner  context.Context         //nolint:containedctx // the one behind it; nil: nobody has asked
	cancel context.CancelCauseFunc // of inner
	cause  error                   // why it has ended; nil: it has not
}

// Deadline returns none: a handler timeout is not known to the context.
func (*callContext) Deadline() (deadline time.Time, ok bool) { return time.Time{}, false }

// Done returns the channel of the context behind it.
func (c *callContext) Done() <-chan struct{} { return c.standard().Done() }

// Value asks the context behind it, which is how context.Cause finds the cause.
func (c *callContext) Value(key any) any { return c.standard().Value(key) }

// Err returns context.Canceled if the context has ended, else nil.
func (c *callContext) Err() error {
	c.mu.Lock()
	inner, cause := c.inner, c.cause
	c.mu.Unlock()
	switch {
	case inner != nil:
		return inner.Err()
	case cause != nil:
		return context.Canceled
	default:
		return nil
	}
}

// String names it in the text of contexts that come from it.
func (*callContext) String() string { return "sluice.Handler" }

// standard returns the context behind it.
func (c *callContext) standard() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inner == nil {
		c.inner, c.cancel = context.WithCancelCause(c.base)
		if c.cause != nil {
			c.cancel(c.cause)
		}
	}
	return c.inner
}

// end ends the context, unless it has ended. It returns why it had ended before; nil: it had not.
func (c *callContext) end(cause error) (before error) {
	c.mu.Lock()
	before = c.cause
	if before == nil {
		c.cause = cause
	}
	cancel := c.cancel
	c.mu.Unlock()
	if before == nil && cancel != nil {
		cancel(cause)
	}
	return before
}
