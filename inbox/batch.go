package inbox

import (
	"context"
	"database/sql"
	"errors"
	"maps"

	"github.com/sluice-go/sluice"
)

// errBehind is the error of a message behind one that failed in its message group.
var errBehind = errors.New("inbox: not handled, since a message before it in its message group failed")

// Batch makes a [sluice.Handler] of a function that handles a batch in one transaction. fn gets the
// messages whose keys were not there, in the order of the batch. If there is none, it is not
// called. Of messages with the same key in one batch fn gets the first. The others share its fate.
//
// If fn returns an error or panics, the transaction is rolled back: the effects of all messages are
// undone. An error that names no message fails them all. If it names some of them by
// [sluice.Failed], these fail. Then fn is called again for the others, in a new transaction. On a
// FIFO queue the messages behind a failed one in its message group are not among them. So fn may
// be called up to once for each message of the batch.
//
// If fn is nil, so is the Handler.
func (b *Inbox) Batch(fn func(ctx context.Context, tx *sql.Tx, fresh []*sluice.Message) error) sluice.Handler {
	if fn == nil {
		return nil
	}
	return func(ctx context.Context, batch []*sluice.Message) error {
		c := call{box: b, fn: fn}
		c.read(batch)
		for len(c.open) > 0 {
			c.attempt(ctx)
		}
		return errors.Join(c.errs...)
	}
}

// A call is one call of a handler for a batch.
type call struct {
	box *Inbox
	fn  func(context.Context, *sql.Tx, []*sluice.Message) error

	open   []*entry        // those about which nothing is known yet, in the order of the batch
	halted map[string]bool // FIFO message groups of which a message has failed
	errs   []error         // of messages that failed
}

// An entry is a key of a batch with its messages. The function gets the first one.
type entry struct {
	key      string
	messages []*sluice.Message
}

// read sorts the messages of a batch by their keys. Messages without a key fail.
func (c *call) read(batch []*sluice.Message) {
	byKey := make(map[string]*entry, len(batch))
	for _, m := range batch {
		if c.isBehind(m) {
			c.fail(m, errBehind)
			continue
		}
		key, err := c.box.key(m)
		if err != nil {
			c.fail(m, err)
			continue
		}
		if e := byKey[key]; e != nil {
			e.messages = append(e.messages, m)
			continue
		}
		e := &entry{key: key, messages: []*sluice.Message{m}}
		byKey[key] = e
		c.open = append(c.open, e)
	}
}

// attempt handles the open entries in one transaction. Those that it leaves open are to be
// handled in another one.
func (c *call) attempt(ctx context.Context) {
	fresh, known, err := c.transact(ctx)
	if !known {
		c.failAll(err)
		return
	}
	for _, e := range c.open {
		n := int64(len(e.messages))
		if !fresh[e.key] {
			c.box.repeated.Add(n) // committed by another transaction, whatever became of this one
		} else if err == nil {
			c.box.handled.Add(1)
			c.box.repeated.Add(n - 1)
		}
	}
	if err == nil {
		c.open = nil
		return
	}
	c.keep(func(e *entry) bool { return fresh[e.key] })
	c.divide(err)
}

// transact inserts the keys of the open entries and calls the function, in a transaction. It
// returns which keys are fresh, if that is known.
func (c *call) transact(ctx context.Context) (fresh map[string]bool, known bool, err error) {
	keys := make([]string, len(c.open))
	for i, e := range c.open {
		keys[i] = e.key
	}
	err = c.box.within(ctx, func(tx *sql.Tx) error {
		var err error
		if fresh, err = c.box.insert(ctx, tx, keys); err != nil {
			return err
		}
		known = true
		var messages []*sluice.Message
		for _, e := range c.open {
			if fresh[e.key] {
				messages = append(messages, e.messages[0])
			}
		}
		if len(messages) == 0 {
			return nil
		}
		return c.fn(ctx, tx, messages)
	})
	return fresh, known, err
}

// divide fails the open entries that the error of a transaction concerns, and those behind them. The
// others stay open.
func (c *call) divide(err error) {
	messages := make([]*sluice.Message, len(c.open))
	for i, e := range c.open {
		messages[i] = e.messages[0]
	}
	failed := maps.Collect(sluice.Outcomes(messages, err))
	if len(failed) == 0 { // never so; it would be asked for ever
		c.failAll(err)
		return
	}
	c.keep(func(e *entry) bool {
		err := failed[e.messages[0]]
		if err == nil && c.isBehind(e.messages[0]) {
			err = errBehind
		}
		c.failEntry(e, err)
		return err == nil
	})
}

// keep keeps those open entries for which f returns true.
func (c *call) keep(f func(*entry) bool) {
	var kept []*entry
	for _, e := range c.open {
		if f(e) {
			kept = append(kept, e)
		}
	}
	c.open = kept
}

// failAll fails all open entries.
func (c *call) failAll(err error) {
	c.keep(func(e *entry) bool {
		c.failEntry(e, err)
		return false
	})
}

// failEntry fails the messages of an entry, if there is an error.
func (c *call) failEntry(e *entry, err error) {
	if err == nil {
		return
	}
	for _, m := range e.messages {
		c.fail(m, c.box.sooner(m, err))
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

// isBehind reports whether a message stands behind one that failed in its message group.
func (c *call) isBehind(m *sluice.Message) bool { return isOrdered(m) && c.halted[m.GroupID] }

// isOrdered reports whether a message is of a FIFO queue.
func isOrdered(m *sluice.Message) bool { return m.SequenceNumber != "" || m.DeduplicationID != "" }
