package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	_ "modernc.org/sqlite" // the driver of the example; take that of your database

	"github.com/sluice-go/sluice"
)

// An order is the body of a message.
type order struct {
	ID    string `json:"id"`
	Item  string `json:"item"`
	Cents int    `json:"cents"`
}

// wrong returns what is wrong with an order for good; nil: nothing.
func (o order) wrong() error {
	switch {
	case o.ID == "":
		return errors.New("the order has no id")
	case o.Cents <= 0:
		return fmt.Errorf("cents is %d, want at least 1", o.Cents)
	default:
		return nil
	}
}

const schema = `CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, item TEXT NOT NULL, cents INTEGER NOT NULL)`

// open opens the database.
func open(ctx context.Context, file string) (*sql.DB, error) {
	if file == "" {
		folder, err := os.MkdirTemp("", "worker-")
		if err != nil {
			return nil, fmt.Errorf("making a folder for the database: %w", err)
		}
		file = filepath.Join(folder, "orders.db")
	}
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_txlock=immediate")
	if err != nil {
		return nil, fmt.Errorf("opening the database %s: %w", file, err)
	}
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return nil, errors.Join(fmt.Errorf("making the table in %s: %w", file, err), db.Close())
	}
	return db, nil
}

// insert inserts the orders of a batch in one statement. An order that comes twice is inserted once, by
// its key. One that can never succeed is a dead letter, and the others of its batch are inserted.
func insert(db *sql.DB) sluice.Handler {
	return sluice.BatchJSON(func(ctx context.Context, batch []sluice.Item[order]) error {
		var hopeless []error
		var rows []string
		var args []any
		for _, m := range batch {
			if err := m.Value.wrong(); err != nil {
				hopeless = append(hopeless, sluice.Failed(m.Message, sluice.DeadLetter(err)))
				continue
			}
			rows = append(rows, "(?, ?, ?)")
			args = append(args, m.Value.ID, m.Value.Item, m.Value.Cents)
		}
		if len(rows) > 0 {
			_, err := db.ExecContext(ctx, "INSERT INTO orders (id, item, cents) VALUES "+strings.Join(rows, ", ")+" ON CONFLICT (id) DO NOTHING", args...)
			if err != nil {
				return fmt.Errorf("inserting %d orders: %w", len(rows), err) // all come back, the hopeless ones too
			}
		}
		return errors.Join(hopeless...)
	})
}
