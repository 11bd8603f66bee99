// Package sqlstore is a store of package dedup in a SQL database.
//
// It is for effects outside of that database. If the effects are in it, package
// [github.com/sluice-go/sluice/inbox] is exact, and this one is not.
package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-go/sluice/contrib/dedup"
	"github.com/sluice-go/sluice/inbox"
)

// A Store is a [dedup.Store].
type Store struct {
	db    *sql.DB
	table string
	texts
}

var tableName = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]{0,49}\.)?[A-Za-z_][A-Za-z0-9_]{0,49}$`)

// New returns a Store in a table, with or without a schema in front; "": sluice_dedup. It makes no
// call; [Store.Create] makes the table. Its error has all that is wrong with the arguments.
func New(db *sql.DB, dialect inbox.Dialect, table string) (*Store, error) {
	if table == "" {
		table = "sluice_dedup"
	}
	var errs []error
	if db == nil {
		errs = append(errs, errors.New("db is nil, want a *sql.DB"))
	}
	texts, known := dialects[dialect]
	if !known {
		errs = append(errs, fmt.Errorf("dialect is %v, want inbox.Postgres, inbox.MySQL or inbox.SQLite", dialect))
	}
	if !tableName.MatchString(table) {
		errs = append(errs, fmt.Errorf("table is %q, want a name of at most 50 letters, digits and underscores", table))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("sqlstore: %w", err)
	}
	return &Store{db: db, table: table, texts: texts}, nil
}

// texts are what databases say differently.
type texts struct {
	key, index       string // type of the key, which compares byte by byte; the index within CREATE TABLE
	now              string // Unix time in milliseconds
	ignore, conflict string // around an INSERT that does nothing if the key is there
	numbered         bool   // parameters are $1, $2, …; else ?
}

var dialects = map[inbox.Dialect]texts{
	inbox.Postgres: {
		key: `text COLLATE "C"`, now: `(extract(epoch FROM clock_timestamp()) * 1000)::bigint`,
		conflict: ` ON CONFLICT (claim_key) DO NOTHING`, numbered: true,
	},
	inbox.MySQL: {
		key: `VARBINARY(200)`, index: `, KEY sluice_dedup_age (expires_at)`, now: `CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)`,
		ignore: ` IGNORE`,
	},
	inbox.SQLite: {
		key: `TEXT`, now: `CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)`,
		conflict: ` ON CONFLICT (claim_key) DO NOTHING`,
	},
}

// Schema returns the statements that make the table and its index, unless they are there. They are
// for a migration.
func (s *Store) Schema() string { return strings.Join(s.schema(), ";\n\n") + ";\n" }

func (s *Store) schema() []string {
	statements := []string{`CREATE TABLE IF NOT EXISTS ` + s.table + ` (
	claim_key  ` + s.key + ` NOT NULL PRIMARY KEY,
	owner      ` + s.key + ` NOT NULL,
	handled    INTEGER NOT NULL, -- 0: claimed, 1: handled
	expires_at BIGINT NOT NULL -- Unix time in milliseconds
	` + s.index + `
)`}
	if s.index == "" {
		schema, name, found := strings.Cut(s.table, ".")
		on, index := s.table, name+"_age"
		switch {
		case !found:
			index = schema + "_age"
		case !s.numbered: // SQLite has the schema in front of the index
			on, index = name, s.table+"_age"
		}
		statements = append(statements, `CREATE INDEX IF NOT EXISTS `+index+` ON `+on+` (expires_at)`)
	}
	return statements
}

// Create makes the table and its index, unless they are there.
func (s *Store) Create(ctx context.Context) error {
	for _, statement := range s.schema() {
		_, err := s.db.ExecContext(ctx, statement)
		if err != nil && s.numbered {
			_, err = s.db.ExecContext(ctx, statement) // in PostgreSQL it fails if another process makes it at this moment
		}
		if err != nil {
			return fmt.Errorf("sqlstore: creating %s: %w", s.table, err)
		}
	}
	return nil
}

// Claim implements [dedup.Store].
func (s *Store) Claim(ctx context.Context, key, owner string, ttl time.Duration) (dedup.Claim, error) {
	n, err := s.insert(ctx, key, owner, 0, ttl)
	if err == nil && n == 0 {
		n, err = s.exec(ctx, `UPDATE `+s.table+` SET owner = ?, handled = 0, expires_at = `+s.now+` + ?
			WHERE claim_key = ? AND (expires_at < `+s.now+` OR (handled = 0 AND owner = ?))`, owner, ttl.Milliseconds(), key, owner)
	}
	if err != nil {
		return dedup.Claim{}, fmt.Errorf("sqlstore: claiming in %s: %w", s.table, err)
	}
	if n > 0 {
		return dedup.Claim{State: dedup.StateClaimed}, nil
	}
	r, err := s.read(ctx, key)
	switch {
	case err != nil:
		return dedup.Claim{}, fmt.Errorf("sqlstore: claiming in %s: %w", s.table, err)
	case r.owner == owner && !r.handled: // a second claim in the same millisecond changes nothing
		return dedup.Claim{State: dedup.StateClaimed}, nil
	case r.handled:
		return dedup.Claim{State: dedup.StateHandled}, nil
	default: // or it was released at this moment
		return dedup.Claim{State: dedup.StateBusy, Left: max(r.left, time.Second)}, nil
	}
}

// Extend implements [dedup.Store].
func (s *Store) Extend(ctx context.Context, key, owner string, ttl time.Duration) error {
	n, err := s.exec(ctx, `UPDATE `+s.table+` SET expires_at = `+s.now+` + ? WHERE claim_key = ? AND owner = ? AND handled = 0`, ttl.Milliseconds(), key, owner)
	return s.fenced(ctx, n, err, "extending a claim", key, owner, false)
}

// Done implements [dedup.Store].
func (s *Store) Done(ctx context.Context, key, owner string, keep time.Duration) error {
	n, err := s.exec(ctx, `UPDATE `+s.table+` SET handled = 1, expires_at = `+s.now+` + ? WHERE claim_key = ? AND owner = ?`, keep.Milliseconds(), key, owner)
	if err == nil && n == 0 {
		n, err = s.insert(ctx, key, owner, 1, keep) // pruned
	}
	return s.fenced(ctx, n, err, "marking a key", key, owner, true)
}

// Release implements [dedup.Store].
func (s *Store) Release(ctx context.Context, key, owner string) error {
	if _, err := s.exec(ctx, `DELETE FROM `+s.table+` WHERE claim_key = ? AND owner = ? AND handled = 0`, key, owner); err != nil {
		return fmt.Errorf("sqlstore: releasing a claim in %s: %w", s.table, err)
	}
	return nil
}

// fenced returns ErrLost if a statement has changed nothing and the key is not the owner's. MySQL says
// that nothing has changed also if the values were the same.
func (s *Store) fenced(ctx context.Context, n int64, err error, what, key, owner string, handled bool) error {
	if err == nil && n == 0 {
		var r row
		if r, err = s.read(ctx, key); err == nil && (r.owner != owner || r.handled != handled) {
			return dedup.ErrLost
		}
	}
	if err != nil {
		return fmt.Errorf("sqlstore: %s in %s: %w", what, s.table, err)
	}
	return nil
}

// insert inserts a key, unless it is there. It returns how many rows it has inserted.
func (s *Store) insert(ctx context.Context, key, owner string, handled int, d time.Duration) (int64, error) {
	return s.exec(ctx, `INSERT`+s.ignore+` INTO `+s.table+` (claim_key, owner, handled, expires_at) VALUES (?, ?, ?, `+s.now+` + ?)`+s.conflict,
		key, owner, handled, d.Milliseconds())
}

// A row is what the table says of a key. The zero value: nothing.
type row struct {
	owner   string
	handled bool
	left    time.Duration
}

func (s *Store) read(ctx context.Context, key string) (row, error) {
	var r row
	var handled, left int64
	err := s.db.QueryRowContext(ctx, s.query(`SELECT owner, handled, expires_at - `+s.now+` FROM `+s.table+` WHERE claim_key = ?`), key).Scan(&r.owner, &handled, &left)
	if errors.Is(err, sql.ErrNoRows) {
		return row{}, nil
	}
	r.handled, r.left = handled == 1, time.Duration(left)*time.Millisecond
	return r, err
}

func (s *Store) exec(ctx context.Context, query string, args ...any) (int64, error) {
	result, err := s.db.ExecContext(ctx, s.query(query), args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// query returns a statement with the parameters of the dialect.
func (s *Store) query(text string) string {
	if !s.numbered {
		return text
	}
	parts := strings.Split(text, "?")
	var b strings.Builder
	for i, part := range parts {
		if i > 0 {
			b.WriteString("$" + strconv.Itoa(i))
		}
		b.WriteString(part)
	}
	return b.String()
}

// Prune deletes claims and marks that have expired, in chunks of 1,000. It returns how many it has
// deleted, also with an error. Any process may call it at any time, such as once an hour. Nothing
// else deletes marks.
func (s *Store) Prune(ctx context.Context) (deleted int64, err error) {
	const chunk = 1000
	for {
		n, err := s.exec(ctx, s.pruneStatement())
		if err != nil {
			return deleted, fmt.Errorf("sqlstore: pruning %s: %w", s.table, err)
		}
		if deleted += n; n < chunk {
			return deleted, nil
		}
	}
}

func (s *Store) pruneStatement() string {
	if s.index != "" {
		return `DELETE FROM ` + s.table + ` WHERE expires_at < ` + s.now + ` ORDER BY expires_at LIMIT 1000`
	}
	lock := ``
	if s.numbered {
		lock = ` FOR UPDATE SKIP LOCKED`
	}
	return `DELETE FROM ` + s.table + ` WHERE claim_key IN (SELECT claim_key FROM ` + s.table + ` WHERE expires_at < ` + s.now + ` ORDER BY expires_at LIMIT 1000` + lock + `)`
}
