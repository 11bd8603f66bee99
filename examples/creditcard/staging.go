package main

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/sluice-go/sluice"
)

// A stager is the event-at-a-time half: each transaction goes into the staging
// database as it arrives, and then into the queue of the settlement.
type stager struct {
	db         *store
	client     sender
	settlement string // URL of the queue

	fresh    atomic.Int64 // events whose transaction was not staged before
	repeated atomic.Int64 // events whose transaction was staged already
}

// handler returns what runs for each event. JSON makes a body that is no
// transaction fail: it is received again, and ends in the dead-letter queue.
func (s *stager) handler() sluice.Handler { return sluice.JSON(s.stage) }

// stage is called for one event at a time, by ten goroutines. Any of its lines may
// be the last one before a crash; then the event is received again, and:
//
//   - before the insert: nothing had happened;
//   - after the insert: the row is there, the insert does nothing, and the
//     transaction is forwarded;
//   - after forward: it is forwarded twice, and settled once, since the settlement
//     asks the database for the outcome.
//
// So a transaction that was there already is forwarded all the same: the one that
// staged it may not have lived to do it.
func (s *stager) stage(ctx context.Context, t Transaction) error {
	if err := t.check(); err != nil {
		return fmt.Errorf("transaction %q: %w", t.ID, err)
	}
	fresh, err := s.db.stage(ctx, &t)
	if err != nil {
		return fmt.Errorf("staging %s: %w", t.ID, err)
	}
	if err := forward(ctx, s.client, s.settlement, &t); err != nil {
		return fmt.Errorf("forwarding %s: %w", t.ID, err)
	}
	if fresh {
		s.fresh.Add(1)
		return nil
	}
	s.repeated.Add(1)
	return nil
}
