package inbox_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"sync"
)

// A fake is a database in memory that knows the statements of an inbox with SQLite's dialect, and no
// others. It has one transaction at a time.
type fake struct {
	beginErr, statementErr, commitErr error // answered instead of doing something

	mu         sync.Mutex // guards the fields below
	keys       map[string]bool
	statements []string
	rollbacks  int
}

func (f *fake) open() *sql.DB { return sql.OpenDB(f) }

func (f *fake) Connect(context.Context) (driver.Conn, error) { return &fakeConn{f: f}, nil }
func (*fake) Driver() driver.Driver                          { return nil }

type fakeConn struct {
	f       *fake
	pending []string // keys of the transaction
}

func (*fakeConn) Prepare(string) (driver.Stmt, error) { return nil, errors.ErrUnsupported }
func (*fakeConn) Close() error                        { return nil }
func (c *fakeConn) Begin() (driver.Tx, error)         { return c, c.f.beginErr }

func (c *fakeConn) BeginTx(context.Context, driver.TxOptions) (driver.Tx, error) { return c.Begin() }

func (c *fakeConn) Commit() error {
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	if c.f.commitErr != nil {
		return c.f.commitErr
	}
	for _, key := range c.pending {
		c.f.keys[key] = true
	}
	c.pending = nil
	return nil
}

func (c *fakeConn) Rollback() error {
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	c.f.rollbacks++
	c.pending = nil
	return nil
}

func (c *fakeConn) ExecContext(_ context.Context, query string, _ []driver.NamedValue) (driver.Result, error) {
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	c.f.statements = append(c.f.statements, query)
	return driver.RowsAffected(0), c.f.statementErr
}

// QueryContext inserts keys, which are every second argument.
func (c *fakeConn) QueryContext(_ context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	c.f.statements = append(c.f.statements, query)
	if c.f.statementErr != nil {
		return nil, c.f.statementErr
	}
	if c.f.keys == nil {
		c.f.keys = map[string]bool{}
	}
	var rows fakeRows
	for i := 1; i < len(args); i += 2 {
		if key, _ := args[i].Value.(string); !c.f.keys[key] {
			rows = append(rows, key)
		}
	}
	c.pending = append(c.pending, rows...)
	return &rows, nil
}

type fakeRows []string

func (*fakeRows) Columns() []string { return []string{"message_key"} }
func (*fakeRows) Close() error      { return nil }
func (r *fakeRows) Next(dest []driver.Value) error {
	if len(*r) == 0 {
		return io.EOF
	}
	dest[0], *r = (*r)[0], (*r)[1:]
	return nil
}
