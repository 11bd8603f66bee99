package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-go/sluice"
)

// An office is what a business day needs.
type office struct {
	*settings
	*queues

	db       *store
	pos      pointsOfSale
	progress *progress
}

// A shift is one business day with its two consumers.
type shift struct {
	*office

	stager     *stager
	settler    *settler
	staging    *sluice.Consumer
	settlement *sluice.Consumer
	days       map[string]bool // to be reported
	figures    figures
	began      time.Time
}

// begin makes the consumers of a day.
func (o *office) begin() (*shift, error) {
	s := &shift{office: o, days: map[string]bool{}, began: time.Now()}
	s.stager = &stager{db: o.db, client: o.client, settlement: o.queues.settlement}
	s.settler = &settler{db: o.db}
	options := sluice.Options{
		VisibilityTimeout: o.visibility,
		PollTime:          o.poll,
		Hooks:             sluice.Hooks{Batch: complain},
	}
	var err error
	if s.staging, err = sluice.New(o.client, o.queues.events, options); err != nil { // BatchSize 0: event at a time
		return nil, err
	}
	options.BatchSize, options.WaitTime = o.batch, o.wait
	options.Concurrency = 1 // the database has one writer; a second batch would wait inside its handler
	s.settlement, err = sluice.New(o.client, o.queues.settlement, options)
	return s, err
}

// complain logs what failed. It will be tried again, so nobody need get up.
func complain(e sluice.BatchEvent) {
	if e.Failed > 0 {
		slog.Warn("messages failed and will be received again", "failed", e.Failed, "of", len(e.Messages), "err", e.Err)
	}
}

// day is a business day: trade until it closes, then the books, then the report and
// the plot. It fails if the report does not reconcile.
func (o *office) day(ctx context.Context, made []Transaction, closing time.Time, out io.Writer) error {
	s, err := o.begin()
	if err != nil {
		return err
	}
	if err := o.db.remember(ctx, made); err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	s.touch(made)
	if err := s.open(ctx, made, closing); err != nil {
		return err
	}
	return s.report(ctx, out)
}

// open is the part of a business day whose progress is shown: it trades, and closes
// the books.
func (s *shift) open(ctx context.Context, made []Transaction, closing time.Time) error {
	watched, over := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer over()
	wg.Go(func() { s.progress.watch(watched, s.progressLine) })
	if err := s.trade(ctx, made, closing); err != nil {
		return err
	}
	return s.closeBooks(ctx)
}

// progressLine returns how far the day is.
func (s *shift) progressLine() string {
	const shown = 3 // sizes of batches
	done := s.settler.counted()
	line := fmt.Sprintf("staged %s  settled %s  review %s",
		format(s.stager.fresh.Load(), 0), format(done.settled, 0), format(done.review, 0))
	sizes := done.sizes()
	if len(sizes) == 0 {
		return line
	}
	last := fmt.Sprint(sizes[max(0, len(sizes)-shown):]) // [250 250 103]
	return line + "  batches " + strings.Trim(last, "[]")
}

// touch notes the business days of transactions: those are reported. They can be
// days before this one, if an earlier run was stopped.
func (s *shift) touch(list []Transaction) {
	for i := range list {
		s.days[list[i].Day()] = true
	}
}

// report prints the days that were touched, and how the queues were used.
func (s *shift) report(ctx context.Context, out io.Writer) error {
	var reports []*report
	var problems []error
	for _, day := range slices.Sorted(maps.Keys(s.days)) {
		r, err := s.db.report(ctx, day)
		if err != nil {
			return fmt.Errorf("reading the report of %s: %w", day, err)
		}
		r.write(out)
		reports = append(reports, r)
		problems = append(problems, r.check())
	}
	s.figures.write(out, s)
	problems = append(problems, s.plot(out, reports))
	return errors.Join(problems...)
}

// plot prints the plot of the day, and writes it into the file of -svg.
func (s *shift) plot(out io.Writer, reports []*report) error {
	p := newPlot(reports, s.settler.counted().batches, s.began)
	p.writeText(out)
	if s.svg == "" {
		return nil
	}
	if err := p.writeFile(s.svg); err != nil {
		return fmt.Errorf("-svg is %s: %w", s.svg, err)
	}
	printf(out, "\npicture: %s\n", s.svg)
	return nil
}

// trade stages events as they arrive, until closing or, if that is zero, until the
// terminals have sent all of theirs.
func (s *shift) trade(ctx context.Context, made []Transaction, closing time.Time) error {
	s.progress.enterf("trading", "the points of sale have %s transactions to send", format(int64(len(made)), 0))
	began := time.Now()
	open, shut := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		shut(s.staging.Run(open, s.stager.handler())) // an error of Run ends the trade
	})
	err := s.pos.send(open, stutter(s.seed, made))
	if err == nil && !closing.IsZero() {
		select {
		case <-time.After(time.Until(closing)):
		case <-open.Done():
			err = context.Cause(open)
		}
	}
	s.figures.traded = time.Since(began)
	shut(nil)
	wg.Wait()
	return err
}

// rounds is how often each half of closing the books is tried: a network that is bad
// enough to lose messages for their visibility timeout may lose those that are sent
// again.
const rounds = 10

// closeBooks stages what is left of the day, and only then settles: a transaction is
// judged by all that its card did, so none may come late. What cannot be staged in all
// those rounds does not keep the others from being paid; the report tells what is missing.
func (s *shift) closeBooks(ctx context.Context) error {
	s.progress.enterf("closing", "staging what the queue of events still has")
	if err := s.untilNoneIsLeft(ctx, s.stage); err != nil {
		return err
	}
	if err := s.untilNoneIsLeft(ctx, s.settle); err != nil {
		return err
	}
	s.progress.enterf("closed", "%s", s.progressLine())
	return nil
}

// untilNoneIsLeft repeats work on a queue that returns how many transactions it had to
// send once more: their messages have failed and wait, or were lost with a queue in
// memory, or are in the hands of a process that died. That they may come twice is no
// matter.
func (s *shift) untilNoneIsLeft(ctx context.Context, work func(context.Context) (again int, err error)) error {
	for range rounds {
		again, err := work(ctx)
		if again == 0 || err != nil {
			return err
		}
		s.figures.resent += again
	}
	return nil
}

// stage empties the queue of events.
func (s *shift) stage(ctx context.Context) (again int, err error) {
	if err := s.staging.Drain(ctx, s.stager.handler()); err != nil {
		return 0, err
	}
	if ctx.Err() != nil { // Drain has heard it too, and stopped
		return 0, context.Cause(ctx)
	}
	unstaged, err := s.db.unstaged(ctx)
	if err != nil {
		return 0, err
	}
	return len(unstaged), s.pos.send(ctx, unstaged)
}

// settle is the batch job: it empties the queue of the settlement.
func (s *shift) settle(ctx context.Context) (again int, err error) {
	unsettled, err := s.db.unsettled(ctx)
	if err != nil {
		return 0, err
	}
	s.touch(unsettled)
	s.progress.enterf("settling", "%s transactions in batches of up to %d", format(int64(len(unsettled)), 0), s.batch)
	began := time.Now()
	err = s.settlement.Drain(ctx, s.settler.handler())
	s.figures.settled += time.Since(began)
	if err != nil {
		return 0, err
	}
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	unsettled, err = s.db.unsettled(ctx)
	if err != nil {
		return 0, err
	}
	for i := range unsettled {
		if err := forward(ctx, s.client, s.queues.settlement, &unsettled[i]); err != nil {
			return 0, err
		}
	}
	return len(unsettled), nil
}
