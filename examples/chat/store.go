package main

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"net/url"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite", in pure Go
)

//go:embed schema.sql
var schema string

// A message is one line of a chat.
type message struct {
	ID     string    `json:"id"`
	From   string    `json:"from"`
	To     string    `json:"to"`
	Text   string    `json:"text"`
	SentAt time.Time `json:"sentAt"` // when the server took it

	seq int64
}

// conversation names the two who talk, whoever of them does. Messages of one
// conversation arrive in order; conversations do not wait for each other.
func (m *message) conversation() string { return min(m.From, m.To) + ":" + max(m.From, m.To) }

// A notification is an entry of a user's notification queue.
type notification struct {
	message

	number int64 // its place
}

var (
	errTaken   = errors.New("another message has this id")
	errUnknown = errors.New("there is no such message")
)

// A store keeps the messages and the users' notification queues.
type store struct{ db *sql.DB }

// openStore opens the database file, and makes it if there is none.
func openStore(ctx context.Context, file string) (*store, error) {
	options := url.Values{"_pragma": {
		"journal_mode(wal)",
		"synchronous(normal)", // what is committed survives the end of the process, if not the end of the power
		"foreign_keys(on)",
		"busy_timeout(5000)",
	}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: file}).EscapedPath(), RawQuery: options.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", file, err)
	}
	db.SetMaxOpenConns(1) // SQLite has one writer; this way nobody ever finds it busy
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return nil, errors.Join(fmt.Errorf("opening %s: %w", file, err), db.Close())
	}
	return &store{db}, nil
}

func (s *store) close() error { return s.db.Close() }

// add writes a message, and returns it as it stands in the database. A device that
// got no answer posts again: that changes nothing.
func (s *store) add(ctx context.Context, m message) (message, error) {
	_, err := s.db.ExecContext(ctx, `
		insert into message (id, sender, recipient, body, sent_at) values (?, ?, ?, ?, ?)
		on conflict (id) do nothing`,
		m.ID, m.From, m.To, m.Text, time.Now().UnixMicro())
	if err != nil {
		return message{}, fmt.Errorf("writing message %s: %w", m.ID, err)
	}
	kept, err := scan(s.db.QueryRowContext(ctx, `
		select seq, id, sender, recipient, body, sent_at from message where id = ?`, m.ID))
	if err != nil {
		return message{}, fmt.Errorf("reading message %s: %w", m.ID, err)
	}
	if kept.From != m.From || kept.To != m.To || kept.Text != m.Text {
		return message{}, fmt.Errorf("message %s: %w", m.ID, errTaken)
	}
	return kept, nil
}

// unannounced returns, in order, messages after the one with that seq that are in
// nobody's notification queue yet.
func (s *store) unannounced(ctx context.Context, seq int64) ([]message, error) {
	return list(ctx, s.db, scan, `
		select seq, id, sender, recipient, body, sent_at from message m
		where seq > ? and not exists (select 1 from notification n where n.recipient = m.recipient and n.message = m.id)
		order by seq limit 100`, seq)
}

// notify puts a message at the end of its recipient's notification queue, unless
// it is there already, and returns the recipient.
func (s *store) notify(ctx context.Context, id string) (recipient string, err error) {
	err = s.db.QueryRowContext(ctx, `select recipient from message where id = ?`, id).Scan(&recipient)
	if errors.Is(err, sql.ErrNoRows) {
		err = errUnknown
	}
	if err != nil {
		return "", fmt.Errorf("notifying of message %s: %w", id, err)
	}
	_, err = s.db.ExecContext(ctx, `
		insert into notification (recipient, number, message)
		select ?1, coalesce(max(number), 0) + 1, ?2 from notification where recipient = ?1
		on conflict (recipient, message) do nothing`, recipient, id)
	if err != nil {
		return "", fmt.Errorf("notifying %s of message %s: %w", recipient, id, err)
	}
	return recipient, nil
}

// after returns, in order, the entries of a user's notification queue behind a
// place, a hundred at most.
func (s *store) after(ctx context.Context, user string, place int64) ([]notification, error) {
	read := func(row scanner) (n notification, err error) {
		var sent int64
		err = row.Scan(&n.number, &n.seq, &n.ID, &n.From, &n.To, &n.Text, &sent)
		n.SentAt = time.UnixMicro(sent)
		return n, err
	}
	return list(ctx, s.db, read, `
		select number, seq, id, sender, m.recipient, body, sent_at from notification n join message m on m.id = n.message
		where n.recipient = ? and number > ?
		order by number limit 100`, user, place)
}

// acknowledge notes that a device of the user shows the message with that id, and
// so all before it, and returns the message's place in the user's queue. Of a
// message that is not there it knows nothing: errUnknown.
func (s *store) acknowledge(ctx context.Context, user, id string) (place int64, err error) {
	err = s.db.QueryRowContext(ctx, `
		select number from notification where recipient = ? and message = ?`, user, id).Scan(&place)
	if errors.Is(err, sql.ErrNoRows) {
		err = errUnknown
	}
	if err != nil {
		return 0, fmt.Errorf("acknowledging message %s: %w", id, err)
	}
	_, err = s.db.ExecContext(ctx, `
		update notification set delivered_at = ? where recipient = ? and number <= ? and delivered_at is null`,
		time.Now().UnixMicro(), user, place)
	if err != nil {
		return 0, fmt.Errorf("acknowledging message %s: %w", id, err)
	}
	return place, nil
}

// acknowledged returns the place in a user's queue up to which it was delivered.
func (s *store) acknowledged(ctx context.Context, user string) (place int64, err error) {
	err = s.db.QueryRowContext(ctx, `
		select coalesce(max(number), 0) from notification where recipient = ? and delivered_at is not null`, user).Scan(&place)
	if err != nil {
		return 0, fmt.Errorf("reading how far %s is: %w", user, err)
	}
	return place, nil
}

// waiting returns how many entries of a user's queue no device has acknowledged.
func (s *store) waiting(ctx context.Context, user string) (n int, err error) {
	err = s.db.QueryRowContext(ctx, `
		select count(*) from notification where recipient = ? and delivered_at is null`, user).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("counting what waits for %s: %w", user, err)
	}
	return n, nil
}

// history returns, in order, the latest messages that a device of the user has
// sent or shown: what a device begins with. The stream brings the rest.
func (s *store) history(ctx context.Context, user string) ([]message, error) {
	return list(ctx, s.db, scan, `
		select seq, id, sender, recipient, body, sent_at from (
			select seq, id, sender, recipient, body, sent_at from message where sender = ?1
			union
			select seq, id, sender, m.recipient, body, sent_at from notification n join message m on m.id = n.message
			where n.recipient = ?1 and delivered_at is not null
			order by seq desc limit 200
		) order by seq`, user)
}

type scanner interface{ Scan(into ...any) error }

func scan(row scanner) (m message, err error) {
	var sent int64
	err = row.Scan(&m.seq, &m.ID, &m.From, &m.To, &m.Text, &sent)
	m.SentAt = time.UnixMicro(sent)
	return m, err
}

// list returns the rows of a query.
func list[T any](ctx context.Context, db *sql.DB, read func(scanner) (T, error), query string, args ...any) (all []T, err error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("reading: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		one, err := read(rows)
		if err != nil {
			return nil, fmt.Errorf("reading: %w", err)
		}
		all = append(all, one)
	}
	return all, rows.Err()
}
