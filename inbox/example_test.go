package inbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/inbox"
	"github.com/sluice-go/sluice/sqstest"
)

// The database of the examples. A program of yours calls sql.Open with the driver of its database.
var db = new(fake).open()

// A producer hears no answer and sends a payment twice. It is made once.
func Example() {
	server := sqstest.New()
	url := server.MustCreateQueue("payments", nil)
	server.Send(url, "payment 7: 10 EUR to Ada", "payment 7: 10 EUR to Ada")

	box, err := inbox.New(db, inbox.Options{
		Dialect: inbox.SQLite,
		Handler: "example",
		Key: func(m *sluice.Message) (string, error) { // or inbox.ByAttribute("payment")
			number, _, found := strings.Cut(m.Body, ":")
			if !found {
				return "", errors.New("the body has no number")
			}
			return number, nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	consumer, err := sluice.New(server.Client(), url, sluice.Options{MaxMessages: 2, Concurrency: 1})
	if err != nil {
		log.Fatal(err)
	}
	err = consumer.Run(context.Background(), box.Each(func(_ context.Context, _ *sql.Tx, m *sluice.Message) error {
		fmt.Println(m.Body) // and tx.ExecContext(ctx, `UPDATE accounts …`)
		return nil
	}))
	fmt.Println("error:", err)
	fmt.Printf("%+v\n", box.Stats())
	// Output:
	// payment 7: 10 EUR to Ada
	// error: <nil>
	// {Handled:1 Repeated:1}
}

// One transaction for a batch. A message that is named fails alone, and the function is called again
// for the others.
func ExampleInbox_Batch() {
	box, err := inbox.New(db, inbox.Options{Dialect: inbox.SQLite, Handler: "batches", Key: func(m *sluice.Message) (string, error) { return m.Body, nil }})
	if err != nil {
		log.Fatal(err)
	}
	handler := box.Batch(func(_ context.Context, _ *sql.Tx, fresh []*sluice.Message) error {
		fmt.Println(len(fresh), "messages, the first is", fresh[0].Body)
		for _, m := range fresh {
			if m.Body == "b" {
				return sluice.Failed(m, errors.New("no such account"))
			}
		}
		return nil
	})
	fmt.Println(handler(context.Background(), []*sluice.Message{{ID: "1", Body: "a"}, {ID: "2", Body: "b"}, {ID: "3", Body: "c"}, {ID: "4", Body: "a"}}))
	// Output:
	// 3 messages, the first is a
	// 2 messages, the first is a
	// message 2: no such account
}

// Old keys are deleted once an hour, by any process.
func ExampleInbox_Prune() {
	box, err := inbox.New(db, inbox.Options{Dialect: inbox.SQLite, Handler: "billing", Keep: 30 * 24 * time.Hour})
	if err != nil {
		log.Fatal(err)
	}
	prune := func(ctx context.Context) {
		for range time.Tick(time.Hour) {
			if ctx.Err() != nil {
				return
			}
			if _, err := box.Prune(ctx); err != nil {
				log.Print(err) // the next hour tries again
			}
		}
	}
	_ = prune // go prune(ctx)
}

// The statements for a migration.
func ExampleInbox_Schema() {
	box, err := inbox.New(db, inbox.Options{Dialect: inbox.Postgres, Handler: "billing"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(box.Schema())
	// Output:
	// CREATE TABLE IF NOT EXISTS sluice_inbox (
	// 	handler     text COLLATE "C" NOT NULL,
	// 	message_key text COLLATE "C" NOT NULL,
	// 	handled_at  bigint NOT NULL, -- Unix time in seconds
	// 	PRIMARY KEY (handler, message_key)
	// );
	//
	// CREATE INDEX IF NOT EXISTS sluice_inbox_age ON sluice_inbox (handler, handled_at);
}
