// Command creditcard settles a day of card payments: events are staged as they
// arrive, one at a time, and settled in batches when the business day is over.
//
//	go run ./examples/creditcard
//
// Without flags it plays a whole day in ten to twenty seconds, with queues in memory:
//
//	points of sale ──HTTP──► gateway ──► card-events ──► staging ──► card-settlement ──► settlement ──► report
//	(pos.go)                (gateway.go)    (queue)     (staging.go)       (queue)        (settle.go)   (report.go)
//	                                                         │                                │
//	                                                         └──────► SQLite (schema.sql) ◄───┘
//
// Look at staging.go and settle.go first: the two handlers, size 1 and size 250,
// are all that the library asks for. day.go wires them to their queues. progress.go
// shows how far the day is, and plot.go what it was like.
//
// SQS delivers at least once, and any process can die at any line. What repeats,
// and why it is harmless:
//
//   - A terminal hears no answer and sends again: the event is in the queue twice.
//     The transaction's id is the primary key of the staging table: staged once.
//   - Staging dies after its insert: the event comes again, the insert does
//     nothing, the transaction is forwarded. It dies after that: it is forwarded
//     twice. Hence two queues in a row, and no gateway that sends to both: what is
//     in the second one is in the database.
//   - The settlement dies before its commit: nothing happened, the batch comes
//     again. It dies after it, before the deletes: the batch comes again, each
//     transaction has its outcome (a primary key, too), and is left alone.
//   - The queue in memory dies with the process: terminals send the day once more,
//     and what is staged without an outcome is put back into the queue (day.go).
//
// A suspicious transaction gets an outcome as well, and a row in the review table:
// it is not paid and not lost. At the end the report holds every transaction
// against what the terminals have on their receipts, to the cent.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "creditcard:", err)
		os.Exit(1)
	}
}

// run is the whole program. It writes reports to out, and all else to progress.
func run(ctx context.Context, args []string, out io.Writer, progress *os.File) (err error) {
	s, err := parse(args, progress)
	if err != nil {
		return err
	}
	show := newProgress(progress, isTerminal(progress))
	slog.SetDefault(slog.New(slog.NewTextHandler(show, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if s.db == "" {
		dir, err := os.MkdirTemp("", "creditcard-")
		if err != nil {
			return err
		}
		s.db = filepath.Join(dir, "creditcard.db")
	}
	printf(out, "database: %s\n", s.db)
	db, err := open(ctx, s.db)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.close()) }()
	q, err := connect(ctx, s)
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.listen)
	if err != nil {
		return fmt.Errorf("-listen is %s: %w", s.listen, err)
	}
	address := "http://" + listener.Addr().String()
	printf(out, "gateway:  %s\n", address)
	server := &http.Server{Handler: gateway(q.client, q.events), ReadHeaderTimeout: 10 * time.Second}
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(listener) }) // it ends by Close, and that is its error
	defer wg.Wait()
	defer func() { err = errors.Join(err, server.Close()) }()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: terminals}}
	defer client.CloseIdleConnections()
	o := &office{settings: s, queues: q, db: db, pos: pointsOfSale{client: client, gateway: address}, progress: show}
	return o.work(ctx, out)
}

// work plays one business day after the other, or one.
func (o *office) work(ctx context.Context, out io.Writer) error {
	for round := uint64(0); ; round++ {
		now := time.Now()
		closing := o.closing(now)
		if !closing.IsZero() {
			printf(out, "the business day ends at %s\n", closing.Format(time.DateTime))
		}
		err := o.day(ctx, generate(o.seed+round, o.businessDay(now, closing), o.n), closing, out)
		if ctx.Err() != nil {
			return fmt.Errorf("stopped before the books were closed; nothing is lost: run it again with -db %s", o.settings.db)
		}
		if err != nil || closing.IsZero() {
			return err
		}
	}
}
