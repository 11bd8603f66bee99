// Package inbox makes the effects of a message happen once, if all of them are in one
// transaction of a database.
//
// SQS delivers a message at least once. A process can die after it has handled a message and
// before the delete is confirmed. Then the message comes again. An [Inbox] inserts the key of a
// message in the transaction of the handler's effects. Either both are committed, or neither is.
// When the message comes again, its key is there. It succeeds, and the function is not called.
//
//	box, err := inbox.New(db, inbox.Options{
//		Dialect: inbox.Postgres,
//		Handler: "billing",
//		Key:     inbox.ByAttribute("payment-id"),
//	})
//	…
//	err = consumer.Run(ctx, box.Each(func(ctx context.Context, tx *sql.Tx, m *sluice.Message) error {
//		_, err := tx.ExecContext(ctx, `UPDATE accounts SET …`)
//		return err
//	}))
//
// This is not exactly-once delivery, which does not exist. The function may be called more than
// once for a message. All but one of these calls are rolled back. What the function does outside of its
// transaction, such as an email or a call of another service, is not rolled back and may happen
// again.
//
// # Three rules for the function
//
//   - It makes its effects through tx, and not through the *sql.DB.
//   - It returns the error of each statement that failed. After some errors MySQL and SQLite have
//     rolled back the whole transaction, the key too. What follows would have no key.
//   - It neither commits nor rolls back.
//
// # Which key
//
// The key must be the same whenever the same thing is meant. [ByID], the default, is the message
// id. SQS makes a new one for each send. So it is a weak key: a producer that hears no answer and
// sends again makes two messages with two ids, and both are handled. A message that an operator or
// [sluice.DeadLetter] sends from one queue to another has a new id too. A key that the producer
// chooses, such as the number of an order, is better. [ByAttribute] takes it from an attribute.
//
// Keys are compared byte by byte. A key that is longer than 255 bytes, is not valid UTF-8 or
// contains a zero byte is stored as its SHA-256.
//
// # What goes wrong
//
// If the end of a commit is not known, since the connection is lost before the answer, the message
// fails. Its next delivery finds out: the key is there, or it is not.
//
// A duplicate that is handled at the same time waits for the first transaction, in PostgreSQL and
// MySQL, or gets an error, in SQLite. If the database reports a lock, a deadlock or a
// serialization failure, the message is received again after 1 s to 64 s, longer with each attempt.
//
// When the context of a handler ends, such as with a lost lease, the transaction is rolled back.
//
// A transaction occupies a connection for as long as the function runs. [sql.DB.SetMaxOpenConns]
// should allow [sluice.Options.Concurrency] of them.
package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/sluice-go/sluice"
)

// Options say how an [Inbox] works. Dialect and Handler have no default.
type Options struct {
	// Dialect is the database's.
	Dialect Dialect

	// Handler is the name under which keys are stored, such as "billing". Two consumers of one
	// table that do different things need different names. Otherwise the one that comes first
	// hides the other's messages. A name that changes makes all messages new. At most 100 bytes.
	Handler string

	// Table is the name of the table, with or without a schema: "sluice_inbox" or
	// "app.sluice_inbox". "": sluice_inbox.
	Table string

	// Key returns the key of a message. nil: ByID.
	Key Key

	// Keep is how long [Inbox.Prune] leaves a key. A message that comes again after that is
	// handled again. 0: 30 days. A message can be in a queue for 14 days, in its dead-letter
	// queue for 14 more, and then be sent back. At least 1 h.
	Keep time.Duration

	// Isolation is that of the transactions. 0: the database's default.
	Isolation sql.IsolationLevel
}

const (
	defaultTable = "sluice_inbox"
	defaultKeep  = 30 * 24 * time.Hour
	leastKeep    = time.Hour
	maxHandler   = 100 // bytes, as the column
)

// tableName is a name that needs no quotes. Together with the index's suffix each part fits
// PostgreSQL's 63 bytes.
var tableName = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]{0,49}\.)?[A-Za-z_][A-Za-z0-9_]{0,49}$`)

func (o Options) withDefaults() Options {
	if o.Table == "" {
		o.Table = defaultTable
	}
	if o.Key == nil {
		o.Key = ByID
	}
	if o.Keep == 0 {
		o.Keep = defaultKeep
	}
	return o
}

// validate returns all that is wrong with o.
func (o *Options) validate() error {
	var errs []error
	if o.Dialect.grammar() == nil {
		errs = append(errs, fmt.Errorf("%s is %s, want Postgres, MySQL or SQLite", "Dialect", o.Dialect))
	}
	switch {
	case o.Handler == "":
		errs = append(errs, fmt.Errorf(`%s is "", want a name such as "billing"`, "Handler"))
	case len(o.Handler) > maxHandler:
		errs = append(errs, fmt.Errorf("%s has %d bytes, want at most %d", "Handler", len(o.Handler), maxHandler))
	case !utf8.ValidString(o.Handler) || strings.ContainsRune(o.Handler, 0):
		errs = append(errs, fmt.Errorf("%s is %q, want UTF-8 without a zero byte", "Handler", o.Handler))
	}
	if !tableName.MatchString(o.Table) {
		errs = append(errs, fmt.Errorf("%s is %q, want a name of at most 50 letters, digits and underscores, such as app.%s", "Table", o.Table, defaultTable))
	}
	if o.Keep < leastKeep {
		errs = append(errs, fmt.Errorf("%s is %v, want at least %v", "Keep", o.Keep, leastKeep))
	}
	return errors.Join(errs...)
}

// An Inbox makes handlers whose effects happen once. Its methods may be called concurrently. The
// zero value is not usable; see [New].
type Inbox struct {
	db      *sql.DB
	opts    Options
	grammar *grammar

	handled, repeated atomic.Int64
}

// New returns an Inbox. It makes no call; [Inbox.Create] makes the table. Its error has all that is
// wrong with the arguments.
func New(db *sql.DB, opts Options) (*Inbox, error) {
	opts = opts.withDefaults()
	err := opts.validate()
	if db == nil {
		err = errors.Join(errors.New("db is nil, want a *sql.DB"), err)
	}
	if err != nil {
		return nil, fmt.Errorf("inbox: %w", err)
	}
	return &Inbox{db: db, opts: opts, grammar: opts.Dialect.grammar()}, nil
}

// Stats are counts of an [Inbox] since [New].
type Stats struct {
	Handled  int64 // messages whose effects were committed
	Repeated int64 // messages whose key was there already, or came twice in a batch: they succeeded without a call
}

// Stats returns what the Inbox has done.
func (b *Inbox) Stats() Stats {
	return Stats{Handled: b.handled.Load(), Repeated: b.repeated.Load()}
}

// Each makes a [sluice.Handler] of a function that handles one message in a transaction. If fn
// returns an error or panics, the transaction is rolled back, and the error is the message's. The
// key goes with the rest, so the message is handled again. What [sluice.RetryAfter],
// [sluice.Discard] and [sluice.DeadLetter] say holds.
//
// The messages of a batch are handled one after another, each in a transaction of its own, as
// [sluice.Each] does. If fn is nil, so is the Handler.
func (b *Inbox) Each(fn func(ctx context.Context, tx *sql.Tx, m *sluice.Message) error) sluice.Handler {
	if fn == nil {
		return nil // Run's error is clearer than a panic at the first message
	}
	return sluice.Each(func(ctx context.Context, m *sluice.Message) error {
		return b.one(ctx, m, fn)
	})
}

// one handles one message.
func (b *Inbox) one(ctx context.Context, m *sluice.Message, fn func(context.Context, *sql.Tx, *sluice.Message) error) error {
	key, err := b.key(m)
	if err != nil {
		return err
	}
	fresh := false
	err = b.within(ctx, func(tx *sql.Tx) error {
		inserted, err := b.insert(ctx, tx, []string{key})
		if fresh = inserted[key]; err != nil || !fresh {
			return err
		}
		return fn(ctx, tx, m)
	})
	switch {
	case err != nil:
		return b.sooner(m, err)
	case fresh:
		b.handled.Add(1)
	default:
		b.repeated.Add(1)
	}
	return nil
}

// within runs f in a transaction. It commits if f returns nil and ctx has not ended. Otherwise it
// rolls back, also if f panics or ends its goroutine.
func (b *Inbox) within(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := b.db.BeginTx(ctx, &sql.TxOptions{Isolation: b.opts.Isolation})
	if err != nil {
		return fmt.Errorf("inbox: beginning a transaction: %w", cause(ctx, err))
	}
	// After a commit it has no effect. An error of it has no consequence: a transaction that
	// cannot be rolled back ends with its connection.
	defer func() { _ = tx.Rollback() }()
	if err := f(tx); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("inbox: rolled back, since the call was over: %w", context.Cause(ctx))
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("inbox: committing, which may have happened all the same: %w", cause(ctx, err))
	}
	return nil
}

// cause returns why ctx has ended if that is what err says, else err.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return context.Cause(ctx)
	}
	return err
}

// insert inserts keys. It returns those that were not there.
func (b *Inbox) insert(ctx context.Context, tx *sql.Tx, keys []string) (fresh map[string]bool, err error) {
	fresh, err = b.grammar.insert(ctx, tx, b.opts.Table, b.opts.Handler, keys)
	if err != nil {
		return nil, fmt.Errorf("inbox: inserting keys into %s: %w", b.opts.Table, cause(ctx, err))
	}
	return fresh, nil
}

// Prune deletes the keys of this handler that are older than [Options.Keep], by the database's
// clock. It deletes them in chunks of 1,000, each in a transaction of its own. It returns how many
// it has deleted, also with an error. Any process may call it at any time, such as once an hour.
// Nothing else deletes keys.
func (b *Inbox) Prune(ctx context.Context) (deleted int64, err error) {
	statement := b.grammar.pruneStatement(b.opts.Table)
	args := b.grammar.pruneArgs(b.opts.Handler, b.opts.Keep)
	for {
		result, err := b.db.ExecContext(ctx, statement, args...)
		if err != nil {
			return deleted, fmt.Errorf("inbox: pruning %s: %w", b.opts.Table, cause(ctx, err))
		}
		n, err := result.RowsAffected()
		if err != nil {
			return deleted, fmt.Errorf("inbox: pruning %s: %w", b.opts.Table, err)
		}
		if deleted += n; n < pruneChunk {
			return deleted, nil
		}
	}
}

// Schema returns the statements that make the table and its index, unless they are there. They are
// for a migration.
func (b *Inbox) Schema() string {
	return strings.Join(b.grammar.schema(b.opts.Table), ";\n\n") + ";\n"
}

// Create makes the table and its index, unless they are there. Several processes may call it at
// once.
func (b *Inbox) Create(ctx context.Context) error {
	for _, statement := range b.grammar.schema(b.opts.Table) {
		_, err := b.db.ExecContext(ctx, statement)
		if err != nil && b.opts.Dialect == Postgres && slices.Contains(madeMeanwhile, sqlState(err)) {
			_, err = b.db.ExecContext(ctx, statement) // another process makes it at this moment
		}
		if err != nil {
			return fmt.Errorf("inbox: creating %s: %w", b.opts.Table, cause(ctx, err))
		}
	}
	return nil
}
