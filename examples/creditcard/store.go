package main

import (
	"context"
	"database/sql"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite", in Go alone
)

//go:embed schema.sql
var schema string

// A store is the staging database and the settlement's books, one SQLite file.
type store struct{ db *sql.DB }

// pragmas of each connection. With synchronous FULL a commit is on the disk when
// it returns: a message is deleted after it, and must not be needed again even if
// the power fails.
var pragmas = url.Values{
	"_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(10000)", "foreign_keys(ON)"},
	"_txlock": {"immediate"}, // a transaction that will write says so at once, and need not be repeated
}

// open opens the database in a file, and makes it if there is none.
func open(ctx context.Context, file string) (*store, error) {
	dsn := (&url.URL{Scheme: "file", OmitHost: true, Path: file, RawQuery: pragmas.Encode()}).String()
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("opening the database %s: %w", file, err)
	}
	db.SetMaxOpenConns(1) // SQLite has one writer; waiting here is cheaper than being refused there
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the database %s: %w", file, err), db.Close())
	}
	return &store{db}, nil
}

func (s *store) close() error { return s.db.Close() }

// An executor runs statements: a database, or a transaction of it.
type executor interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// insert adds a transaction to a table, unless it is there.
func insert(ctx context.Context, db executor, table string, t *Transaction) (fresh bool, err error) {
	res, err := db.ExecContext(ctx, `INSERT INTO `+table+` (id, day, kind, card, merchant, amount, currency, at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
		t.ID, t.Day(), string(t.Kind), t.Card, t.Merchant, t.Amount, t.Currency, t.At.UTC().Format(time.RFC3339Nano))
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

// stage notes a transaction and reports whether it was not there before.
func (s *store) stage(ctx context.Context, t *Transaction) (fresh bool, err error) {
	return insert(ctx, s.db, "staged", t)
}

// remember notes what the terminals are about to send.
func (s *store) remember(ctx context.Context, list []Transaction) error {
	return s.within(ctx, func(tx *sql.Tx) error {
		for i := range list {
			if _, err := insert(ctx, tx, "journal", &list[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// within runs f in a database transaction: all of it happens, or nothing.
func (s *store) within(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	committed()
	return nil
}

// committed is called after each commit. What belongs together and is in two of
// them is torn apart by a process that dies here, so a test makes it die here.
var committed = func() {}

// A querier runs queries: a database, or a transaction of it.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// each calls scan for each row that a query gives.
func each(ctx context.Context, db querier, scan func(*sql.Rows) error, query string, args ...any) error {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // rows.Err tells what matters
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// transactions returns the rows of a query for these columns of journal or staged,
// and what is behind them:
const columns = ` id, kind, card, merchant, amount, currency, at `

func transactions(ctx context.Context, db querier, query string, args ...any) (list []Transaction, err error) {
	err = each(ctx, db, func(rows *sql.Rows) error {
		var t Transaction
		var at string
		if err := rows.Scan(&t.ID, &t.Kind, &t.Card, &t.Merchant, &t.Amount, &t.Currency, &at); err != nil {
			return err
		}
		t.At, err = time.Parse(time.RFC3339Nano, at)
		list = append(list, t)
		return err
	}, query, args...)
	return list, err
}

// unstaged returns what terminals have on their receipts and nobody has staged.
func (s *store) unstaged(ctx context.Context) ([]Transaction, error) {
	return transactions(ctx, s.db, `SELECT`+columns+`FROM journal WHERE id NOT IN (SELECT id FROM staged) ORDER BY at, id`)
}

// unsettled returns what is staged and has no outcome.
func (s *store) unsettled(ctx context.Context) ([]Transaction, error) {
	return transactions(ctx, s.db, `SELECT`+columns+`FROM staged WHERE id NOT IN (SELECT id FROM outcomes) ORDER BY at, id`)
}

// list makes a query's parameter of many strings: json_each turns it into rows.
func list(of []string) string {
	text, err := json.Marshal(of)
	if err != nil {
		panic(err) // strings can always be written
	}
	return string(text)
}
