package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-go/sluice"
)

// A Dialect is the SQL of a database. The zero value is none.
type Dialect int

// The dialects.
const (
	Postgres Dialect = iota + 1 // PostgreSQL 9.5 and later
	MySQL                       // MySQL 5.7 and later, MariaDB 10.2 and later, with InnoDB
	SQLite                      // SQLite 3.35 and later
)

// String returns the name of d, such as "Postgres".
func (d Dialect) String() string {
	switch d {
	case Postgres:
		return "Postgres"
	case MySQL:
		return "MySQL"
	case SQLite:
		return "SQLite"
	default:
		return fmt.Sprintf("Dialect(%d)", int(d))
	}
}

// grammar returns how d says things; nil: there is no such dialect.
func (d Dialect) grammar() *grammar {
	switch d {
	case Postgres:
		return &postgres
	case MySQL:
		return &mysql
	case SQLite:
		return &sqlite
	default:
		return nil
	}
}

// A grammar is how a database says what an inbox needs.
type grammar struct {
	schema func(table string) []string
	prune  string // statement; %s: table
	now    string // the database's clock as Unix time in seconds

	numbered   bool   // parameters are $1, $2, …; else ?
	onConflict string // what an INSERT does with a row that is there
	returning  bool   // the INSERT returns the keys that it has inserted; else fresh says which they are
	fresh      string // condition for rows that this transaction has inserted
}

const (
	insertChunk = 400  // rows of a statement: with two parameters each below the 999 of old SQLites
	pruneChunk  = 1000 // rows of a statement: locks are held for milliseconds
)

var postgres = grammar{
	// COLLATE "C" compares byte by byte, whatever the database's collation.
	schema: func(table string) []string {
		return []string{
			`CREATE TABLE IF NOT EXISTS ` + table + ` (
	handler     text COLLATE "C" NOT NULL,
	message_key text COLLATE "C" NOT NULL,
	handled_at  bigint NOT NULL, -- Unix time in seconds
	PRIMARY KEY (handler, message_key)
)`,
			`CREATE INDEX IF NOT EXISTS ` + afterDot(table) + `_age ON ` + table + ` (handler, handled_at)`,
		}
	},
	prune: `DELETE FROM %[1]s WHERE handler = $1 AND message_key IN (
	SELECT message_key FROM %[1]s WHERE handler = $2 AND handled_at < extract(epoch FROM now())::bigint - $3::bigint
	ORDER BY handled_at LIMIT 1000 FOR UPDATE SKIP LOCKED)`,
	now:        `extract(epoch FROM now())::bigint`,
	numbered:   true,
	onConflict: `ON CONFLICT (handler, message_key) DO NOTHING`,
	returning:  true,
}

// MySQL has no INSERT that returns rows, and INSERT IGNORE ignores more than duplicates. So a row
// that is there counts its repetitions. Those with 0 of them are fresh.
var mysql = grammar{
	// VARBINARY compares byte by byte. The text types ignore case or blanks at the end.
	schema: func(table string) []string {
		return []string{`CREATE TABLE IF NOT EXISTS ` + table + ` (
	handler     VARBINARY(100) NOT NULL,
	message_key VARBINARY(255) NOT NULL,
	handled_at  BIGINT NOT NULL, -- Unix time in seconds
	repeats     BIGINT NOT NULL DEFAULT 0,
	PRIMARY KEY (handler, message_key),
	KEY ` + afterDot(table) + `_age (handler, handled_at)
) ENGINE = InnoDB`}
	},
	prune:      `DELETE FROM %s WHERE handler = ? AND handled_at < UNIX_TIMESTAMP() - ? ORDER BY handled_at LIMIT 1000`,
	now:        `UNIX_TIMESTAMP()`,
	onConflict: `ON DUPLICATE KEY UPDATE repeats = repeats + 1`,
	fresh:      `repeats = 0`,
}

var sqlite = grammar{
	schema: func(table string) []string {
		return []string{
			`CREATE TABLE IF NOT EXISTS ` + table + ` (
	handler     TEXT NOT NULL,
	message_key TEXT NOT NULL,
	handled_at  INTEGER NOT NULL, -- Unix time in seconds
	PRIMARY KEY (handler, message_key)
) WITHOUT ROWID`,
			`CREATE INDEX IF NOT EXISTS ` + table + `_age ON ` + afterDot(table) + ` (handler, handled_at)`,
		}
	},
	prune: `DELETE FROM %[1]s WHERE handler = ? AND message_key IN (
	SELECT message_key FROM %[1]s WHERE handler = ? AND handled_at < CAST(strftime('%%s', 'now') AS INTEGER) - ?
	ORDER BY handled_at LIMIT 1000)`,
	now:        `CAST(strftime('%s', 'now') AS INTEGER)`,
	onConflict: `ON CONFLICT (handler, message_key) DO NOTHING`,
	returning:  true,
}

// afterDot returns the name of a table without its schema.
func afterDot(table string) string { return table[strings.IndexByte(table, '.')+1:] }

func (g *grammar) pruneStatement(table string) string { return fmt.Sprintf(g.prune, table) }

func (g *grammar) pruneArgs(handler string, keep time.Duration) []any {
	seconds := int64(keep / time.Second)
	if g.returning {
		return []any{handler, handler, seconds}
	}
	return []any{handler, seconds}
}

// insert inserts keys and returns those that were not there. All transactions insert keys in the
// same order: two that have keys in common wait for each other in one direction, and there is no
// deadlock.
func (g *grammar) insert(ctx context.Context, tx *sql.Tx, table, handler string, keys []string) (map[string]bool, error) {
	fresh := make(map[string]bool, len(keys))
	for chunk := range slices.Chunk(slices.Sorted(slices.Values(keys)), insertChunk) {
		var err error
		if g.returning {
			err = g.insertReturning(ctx, tx, table, handler, chunk, fresh)
		} else {
			err = g.insertCounting(ctx, tx, table, handler, chunk, fresh)
		}
		if err != nil {
			return nil, err
		}
	}
	return fresh, nil
}

func (g *grammar) insertReturning(ctx context.Context, tx *sql.Tx, table, handler string, keys []string, fresh map[string]bool) error {
	return collect(ctx, tx, fresh, g.insertStatement(table, len(keys))+` RETURNING message_key`, pairs(handler, keys)...)
}

func (g *grammar) insertCounting(ctx context.Context, tx *sql.Tx, table, handler string, keys []string, fresh map[string]bool) error {
	result, err := tx.ExecContext(ctx, g.insertStatement(table, len(keys)), pairs(handler, keys)...)
	if err != nil {
		return err
	}
	n, err := result.RowsAffected() // 1 for each row that is new, 2 for each that was there
	if err != nil {
		return err
	}
	if n == int64(len(keys)) {
		for _, key := range keys {
			fresh[key] = true
		}
		return nil
	}
	args := []any{handler}
	for _, key := range keys {
		args = append(args, key)
	}
	return collect(ctx, tx, fresh, g.freshStatement(table, len(keys)), args...)
}

// insertStatement returns an INSERT of n rows, without what it returns.
func (g *grammar) insertStatement(table string, n int) string {
	var s strings.Builder
	s.WriteString(`INSERT INTO ` + table + ` (handler, message_key, handled_at) VALUES `)
	for i := range n {
		if i > 0 {
			s.WriteString(`, `)
		}
		s.WriteString(`(` + g.parameter(2*i+1) + `, ` + g.parameter(2*i+2) + `, ` + g.now + `)`)
	}
	s.WriteString(` ` + g.onConflict)
	return s.String()
}

// freshStatement returns the query of the keys, of n, that this transaction has inserted.
func (g *grammar) freshStatement(table string, n int) string {
	return `SELECT message_key FROM ` + table + ` WHERE handler = ? AND message_key IN (?` + strings.Repeat(`, ?`, n-1) + `) AND ` + g.fresh
}

// parameter returns the i-th parameter of a statement, from 1 on.
func (g *grammar) parameter(i int) string {
	if g.numbered {
		return "$" + strconv.Itoa(i)
	}
	return "?"
}

// pairs returns the arguments of an INSERT.
func pairs(handler string, keys []string) []any {
	args := make([]any, 0, 2*len(keys))
	for _, key := range keys {
		args = append(args, handler, key)
	}
	return args
}

// collect adds the keys that a query returns to a set.
func collect(ctx context.Context, tx *sql.Tx, into map[string]bool, query string, args ...any) (err error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var key string
		if err := rows.Scan(&key); err != nil {
			return err
		}
		into[key] = true
	}
	return rows.Err()
}

// PostgreSQL's codes of errors.
const (
	uniqueViolation      = "23505"
	duplicateObject      = "42710"
	duplicateTable       = "42P07"
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	lockNotAvailable     = "55P03"
)

// madeMeanwhile are the codes of a table or an index that another process makes at this moment, although
// the statement says IF NOT EXISTS. Which it is depends on how far the other one is.
var madeMeanwhile = []string{uniqueViolation, duplicateObject, duplicateTable}

// sqlState returns the code of an error of PostgreSQL, of any driver that has it. "": there is none.
func sqlState(err error) string {
	type coded interface {
		error
		SQLState() string
	}
	if e, ok := errors.AsType[coded](err); ok {
		return e.SQLState()
	}
	return ""
}

// isConflict reports whether err says that another transaction was in the way. The drivers of MySQL and
// SQLite have no error in common but its text.
func (d Dialect) isConflict(err error) bool {
	switch d {
	case Postgres:
		return slices.Contains([]string{serializationFailure, deadlockDetected, lockNotAvailable}, sqlState(err))
	case MySQL:
		// Deadlock; lock wait timeout; MariaDB from 11.6: a record has changed since it was read.
		codes := []string{"Error 1213", "Error 1205", "Error 1020"}
		return slices.ContainsFunc(codes, func(code string) bool { return strings.Contains(err.Error(), code) })
	case SQLite:
		text := err.Error()
		return strings.Contains(text, "database is locked") || strings.Contains(text, "table is locked")
	default:
		return false
	}
}

// sooner returns err, for a message that another transaction was in the way of, as one that is tried
// again soon. What the function has decided holds.
func (b *Inbox) sooner(m *sluice.Message, err error) error {
	if !b.opts.Dialect.isConflict(err) || sluice.OutcomeOf(err).Kind != sluice.OutcomeRetry {
		return err
	}
	return sluice.RetryAfter(conflictDelay(m.Attempt), err)
}

// conflictDelay returns how long a message waits after a conflict: 1 s to 2 s at first, and twice as
// long with each attempt up to 64 s. A receive counts towards the dead-letter queue, and a lock may
// be held for long.
func conflictDelay(attempt int) time.Duration {
	const doublings = 6
	most := time.Second << min(max(1, attempt), doublings)
	return most/2 + rand.N(most/2)
}
