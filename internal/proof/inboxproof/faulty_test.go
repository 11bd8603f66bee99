package inboxproof

import (
	"context"
	"database/sql/driver"
	"errors"
	"sync"
)

// errLost is the error of a connection that is lost.
var errLost = errors.New("the connection to the database is lost")

// A trouble is what goes wrong with a call to the database.
type trouble int

const (
	none   trouble = iota
	before         // the connection is lost before the call has an effect
	after          // the connection is lost after the effect, before the answer
)

// A faulty connector makes connections that are lost as trouble says. op is "begin", "statement" or
// "commit". "after" is for commits only.
type faulty struct {
	driver.Connector

	trouble func(op string) trouble
}

func (f faulty) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := f.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, trouble: f.trouble}, nil
}

// A conn is a connection that may be lost. database/sql closes one that is not valid. That rolls back
// what is not committed.
type conn struct {
	driver.Conn

	trouble func(op string) trouble

	mu   sync.Mutex // guards the field below
	lost bool
}

// loses reports whether the connection is lost before a call.
func (c *conn) loses(op string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.trouble(op) == before {
		c.lost = true
	}
	return c.lost
}

func (c *conn) IsValid() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.Conn.(driver.Validator)
	return !c.lost && (!ok || v.IsValid())
}

func (c *conn) ResetSession(ctx context.Context) error {
	if !c.IsValid() {
		return driver.ErrBadConn
	}
	if r, ok := c.Conn.(driver.SessionResetter); ok {
		return r.ResetSession(ctx)
	}
	return nil
}

func (c *conn) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := c.Conn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if c.loses("begin") {
		return nil, errLost
	}
	tx, err := c.Conn.(driver.ConnBeginTx).BeginTx(ctx, opts)
	if err != nil {
		return nil, err
	}
	return &transaction{tx, c}, nil
}

func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if c.loses("statement") {
		return nil, errLost
	}
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
}

func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if c.loses("statement") {
		return nil, errLost
	}
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
}

// A transaction is one of such a connection.
type transaction struct {
	driver.Tx

	conn *conn
}

func (t *transaction) Commit() error {
	t.conn.mu.Lock()
	lost := t.conn.lost
	t.conn.mu.Unlock()
	what := t.conn.trouble("commit")
	if lost {
		what = before
	}
	if what == none {
		return t.Tx.Commit()
	}
	t.conn.mu.Lock()
	t.conn.lost = true
	t.conn.mu.Unlock()
	if what == before {
		return errors.Join(errLost, t.Tx.Rollback()) // as the server does
	}
	return errors.Join(errLost, t.Tx.Commit())
}
