// Package dedup keeps a message from being handled twice where the effects are outside of a
// database, such as an email or a call of another service.
//
//	d, err := dedup.New(store, dedup.Options{Handler: "emails", Key: inbox.ByAttribute("order-id")})
//	…
//	consumer, err := sluice.New(client, queueURL, sluice.Options{
//		Middleware: []func(sluice.Handler) sluice.Handler{d.Middleware},
//	})
//
// If the effects are in a SQL database, use [github.com/sluice-go/sluice/inbox]: it is exact, and
// this package is not. Nobody can commit an email and a mark together. A process that dies after
// the email and before the mark leaves no mark, and the email is sent again. What holds is:
//
//   - At most one handler has a message at a time, also if producers or SQS send it twice.
//   - After a handler has succeeded, the message is not handled again for [Options.Keep].
//   - A message whose handler failed is handled again. Nothing is marked before that.
//   - If the process dies, the store fails while a handler succeeds, or a claim is lost, a
//     message may be handled again. It is never lost.
//
// # How it works
//
// A key is claimed before the handler is called, for [Options.TTL]. The claim is extended at half
// of that, as leases are, so a handler may take as long as it likes. After a success the key is
// marked as handled. After a failure the claim is released. A process that dies leaves its claim,
// which expires.
//
// If another process has the claim, the message is received again when that has expired. Each of
// these receives counts towards the dead-letter queue. If the store cannot be asked, the message
// fails; see [Options.FailOpen].
//
// # Stores
//
// Packages redisstore, dynamostore and sqlstore have one for each kind of server, and [Memory] is
// for tests. What a store forgets is handled again. So a Redis that evicts keys, or that loses writes when it
// fails over, is a weaker one.
package dedup

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/inbox"
)

// Options say how messages are told apart. Handler has no default.
type Options struct {
	// Handler is a part of each key, such as "emails". Two consumers that do different things with
	// a message need different names. At most 100 letters, digits, dots, dashes and underscores.
	Handler string

	// Key returns the key of a message. nil: inbox.ByID, which is a weak key, as package inbox
	// explains. The store gets its SHA-256.
	Key inbox.Key

	// TTL is how long a claim lasts that nobody extends: how long the message of a process that
	// died waits. 0: 30 s, as the visibility timeout. At least 2 s.
	TTL time.Duration

	// Keep is how long a key stays marked as handled. 0: 30 days. A message can be in a queue for
	// 14 days, and in its dead-letter queue for 14 more. At least 1 min.
	Keep time.Duration

	// FailOpen makes messages be handled without a claim while the store cannot be asked. They may be
	// handled twice. false: they fail, and are received again.
	FailOpen bool

	// Logger gets a line if a claim is lost or a success cannot be marked. nil: slog.Default().
	Logger *slog.Logger
}

var handlerName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)

func (o Options) withDefaults() Options {
	if o.Key == nil {
		o.Key = inbox.ByID
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	o.TTL = cmp.Or(o.TTL, 30*time.Second)
	o.Keep = cmp.Or(o.Keep, 30*24*time.Hour)
	return o
}

// validate returns all that is wrong with o.
func (o *Options) validate(store Store) error {
	var errs []error
	if store == nil {
		errs = append(errs, errors.New("store is nil, want one such as redisstore's"))
	}
	if !handlerName.MatchString(o.Handler) {
		errs = append(errs, fmt.Errorf(`%s is %q, want 1 to 100 letters, digits, dots, dashes and underscores, such as "emails"`, "Handler", o.Handler))
	}
	if o.TTL < 2*time.Second {
		errs = append(errs, fmt.Errorf("TTL is %v, want at least 2s", o.TTL))
	}
	if o.Keep < time.Minute {
		errs = append(errs, fmt.Errorf("%s is %v, want at least 1m0s", "Keep", o.Keep))
	}
	return errors.Join(errs...)
}

// A Dedup is middleware that handles each key once. Its methods may be called concurrently. The zero
// value is not usable; see [New].
type Dedup struct {
	store Store
	opts  Options
	stats stats
}

// New returns a Dedup. It makes no call. Its error has all that is wrong with the arguments.
func New(store Store, opts Options) (*Dedup, error) {
	opts = opts.withDefaults()
	if err := opts.validate(store); err != nil {
		return nil, fmt.Errorf("dedup: %w", err)
	}
	return &Dedup{store: store, opts: opts}, nil
}

// Stats are counts of a [Dedup] since [New]. Each is of messages.
type Stats struct {
	Handled  int64 // their handler succeeded
	Repeated int64 // they were marked already, or came twice in a batch that succeeded; the handler was not called for them
	Busy     int64 // another process had the claim
	Lost     int64 // the claim was lost while the handler ran
	Unmarked int64 // the handler succeeded, and the store did not mark it
	Blind    int64 // handled without a claim; see Options.FailOpen
}

type stats struct{ handled, repeated, busy, lost, unmarked, blind atomic.Int64 }

// Stats returns what the Dedup has done.
func (d *Dedup) Stats() Stats {
	s := &d.stats
	return Stats{
		Handled: s.handled.Load(), Repeated: s.repeated.Load(), Busy: s.busy.Load(),
		Lost: s.lost.Load(), Unmarked: s.unmarked.Load(), Blind: s.blind.Load(),
	}
}

// Middleware returns a [sluice.Handler] that calls next for the messages that nobody has handled
// and nobody else has claimed, in the order of the batch. The others succeed, or are received again.
// If next is nil, so is the Handler.
//
// On a FIFO queue, messages behind one that cannot be handled now, in its message group, wait too. Of
// messages with the same key in a batch next gets the first one, and the others share its fate.
//
// If a claim is lost, the context of next ends with [ErrLost] as the cause. If next panics, the claims
// are released, and the panic goes on.
func (d *Dedup) Middleware(next sluice.Handler) sluice.Handler {
	if next == nil {
		return nil
	}
	return func(ctx context.Context, batch []*sluice.Message) error {
		c := &call{Dedup: d, owner: rand.Text(), begun: time.Now()}
		c.read(batch)
		c.claim(ctx)
		if len(c.mine) > 0 {
			c.handle(ctx, next)
		}
		return errors.Join(c.errs...)
	}
}

// storedKey returns the key of a message for the store: it fits each of them, whatever is in it.
func (d *Dedup) storedKey(m *sluice.Message) (string, error) {
	key, err := guarded(d.opts.Key, m)
	if err != nil {
		return "", fmt.Errorf("dedup: the key of a message: %w", err)
	}
	if key == "" {
		return "", errors.New("dedup: the key of a message is empty")
	}
	sum := sha256.Sum256([]byte(key))
	return d.opts.Handler + "#" + hex.EncodeToString(sum[:]), nil
}

// guarded calls key. A panic concerns this message, and not the batch.
func guarded(key inbox.Key, m *sluice.Message) (k string, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &sluice.PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return key(m)
}

// eachOf calls f for entries, some at a time, and waits for all.
func eachOf(entries []*entry, f func(*entry)) {
	const atOnce = 16
	if len(entries) == 1 { // the commonest batch
		f(entries[0])
		return
	}
	next := make(chan *entry)
	var wg sync.WaitGroup
	for range min(atOnce, len(entries)) {
		wg.Go(func() {
			for e := range next {
				f(e)
			}
		})
	}
	for _, e := range entries {
		next <- e
	}
	close(next)
	wg.Wait()
}
