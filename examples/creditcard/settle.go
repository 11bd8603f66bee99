package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sluice-go/sluice"
)

// A settler is the batch half: at the end of the business day it turns what the
// settlement queue brings into outcomes and payouts, hundreds at a time.
type settler struct {
	db *store

	mu    sync.Mutex // guards the field below; never held while calling out
	count batchCount
}

// A batchCount is what the settler has done.
type batchCount struct {
	settled  int64         // transactions
	review   int64         // transactions that a person must look at
	repeated int64         // messages whose transaction had its outcome before
	batches  []batchRecord // in the order in which they were committed
	busy     time.Duration // time in the handler
}

// A batchRecord is a batch that was committed.
type batchRecord struct {
	began time.Time // when it was handed over
	size  int       // messages
}

// sizes returns how many messages each batch had.
func (c *batchCount) sizes() []int {
	sizes := make([]int, len(c.batches))
	for i, b := range c.batches {
		sizes[i] = b.size
	}
	return sizes
}

// note counts a batch that was committed.
func (s *settler) note(of batchRecord, books *books, repeated int) {
	took := time.Since(of.began)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count.settled += books.settled
	s.count.review += books.review
	s.count.repeated += int64(repeated)
	s.count.batches = append(s.count.batches, of)
	s.count.busy += took
}

// counted returns what the settler has done.
func (s *settler) counted() batchCount {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// handler returns what runs for each batch.
func (s *settler) handler() sluice.Handler { return sluice.BatchJSON(s.settle) }

// settle handles one batch in one database transaction. If it does not commit, the
// whole batch failed and comes again. If it commits and the process dies before
// the messages are deleted, they come again too, and each is found to have its
// outcome. Messages without a staged transaction fail alone, the others go on.
func (s *settler) settle(ctx context.Context, batch []sluice.Item[Transaction]) error {
	var failed []error
	var done *books
	began, repeated := time.Now(), 0
	err := s.db.within(ctx, func(tx *sql.Tx) error {
		books, err := read(ctx, tx, batch)
		if err != nil {
			return err
		}
		for i := range batch {
			known, found := books.staged[batch[i].Value.ID]
			if !found {
				failed = append(failed, sluice.Failed(batch[i].Message, fmt.Errorf("transaction %q is not staged", batch[i].Value.ID)))
				continue
			}
			if books.done[known.ID] {
				repeated++
				continue
			}
			books.done[known.ID] = true // the batch may hold it twice
			if err := books.conclude(ctx, tx, &known, &batch[i]); err != nil {
				return err
			}
		}
		done = books
		return books.pay(ctx, tx)
	})
	if err != nil {
		return fmt.Errorf("settling a batch of %d: %w", len(batch), err)
	}
	s.note(batchRecord{began, len(batch)}, done, repeated)
	return errors.Join(failed...)
}

// books are what a batch needs to know, and what it adds to the payouts.
type books struct {
	staged  map[string]Transaction
	done    map[string]bool          // transactions that have an outcome
	history map[string][]Transaction // of each card on each day, in the order of time
	payouts map[account]*payout

	settled, review int64 // transactions that have got this outcome
}

// An account collects what a merchant is owed for a day.
type account struct{ day, merchant string }

type payout struct{ sales, gross, refunds, fees int64 }

// read looks everything up, in three queries however large the batch is.
func read(ctx context.Context, tx *sql.Tx, batch []sluice.Item[Transaction]) (*books, error) {
	b := &books{staged: map[string]Transaction{}, done: map[string]bool{}, history: map[string][]Transaction{}, payouts: map[account]*payout{}}
	ids := make([]string, len(batch))
	for i := range batch {
		ids[i] = batch[i].Value.ID
	}
	staged, err := transactions(ctx, tx, `SELECT`+columns+`FROM staged WHERE id IN (SELECT value FROM json_each(?))`, list(ids))
	if err != nil {
		return nil, err
	}
	var cards []string
	for i := range staged {
		b.staged[staged[i].ID] = staged[i]
		cards = append(cards, staged[i].Card)
	}
	err = each(ctx, tx, func(rows *sql.Rows) error {
		var id string
		err := rows.Scan(&id)
		b.done[id] = true
		return err
	}, `SELECT id FROM outcomes WHERE id IN (SELECT value FROM json_each(?))`, list(ids))
	if err != nil {
		return nil, err
	}
	past, err := transactions(ctx, tx, `SELECT`+columns+`FROM staged WHERE card IN (SELECT value FROM json_each(?)) ORDER BY at, id`, list(cards))
	for i := range past {
		key := past[i].Card + past[i].Day()
		b.history[key] = append(b.history[key], past[i])
	}
	return b, err
}

// conclude gives a staged transaction its outcome.
func (b *books) conclude(ctx context.Context, tx *sql.Tx, t *Transaction, item *sluice.Item[Transaction]) error {
	why := suspicions(t, b.history[t.Card+t.Day()])
	if !t.same(&item.Value) {
		why = "differs from what was staged"
	}
	rate := currencies[t.Currency].rate
	amount, costs := cents(t.Amount, rate), int64(0)
	if t.Kind == Sale {
		costs = fee(amount, merchants[t.Merchant].fee)
	}
	verdict := "settled"
	if why != "" {
		verdict, costs = "review", 0
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO outcomes (id, verdict, rate, cents, fee) VALUES (?, ?, ?, ?, ?)`, t.ID, verdict, rate, amount, costs)
	if err != nil {
		return err
	}
	if why != "" {
		b.review++
		_, err = tx.ExecContext(ctx, `INSERT INTO review (id, reasons, message) VALUES (?, ?, ?)`, t.ID, why, item.Body)
		return err
	}
	b.credit(t, amount, costs)
	return nil
}

// credit adds a settled transaction to its merchant's account.
func (b *books) credit(t *Transaction, amount, costs int64) {
	b.settled++
	key := account{t.Day(), t.Merchant}
	p := b.payouts[key]
	if p == nil {
		p = &payout{}
		b.payouts[key] = p
	}
	if t.Kind == Refund {
		p.refunds += amount
		return
	}
	p.sales++
	p.gross += amount
	p.fees += costs
}

// pay adds what the batch has settled to the payouts.
func (b *books) pay(ctx context.Context, tx *sql.Tx) error {
	for key, p := range b.payouts {
		_, err := tx.ExecContext(ctx, `INSERT INTO payouts (day, merchant, sales, gross, refunds, fees) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (day, merchant) DO UPDATE SET sales = sales + excluded.sales, gross = gross + excluded.gross,
				refunds = refunds + excluded.refunds, fees = fees + excluded.fees`,
			key.day, key.merchant, p.sales, p.gross, p.refunds, p.fees)
		if err != nil {
			return err
		}
	}
	return nil
}
