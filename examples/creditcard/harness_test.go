package main

import (
	"bytes"
	"context"
	"database/sql"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/sqstest"
)

// TestMain is the program itself in the children of the test that kills them.
func TestMain(m *testing.M) {
	if os.Getenv("CREDITCARD_CHILD") != "" {
		dieAfter(os.Getenv("CREDITCARD_DIE_AFTER"))
		main()
		return
	}
	slog.SetDefault(slog.New(slog.DiscardHandler)) // failures are provoked here, and expected
	os.Exit(m.Run())
}

// seeds returns how many seeds a test plays, or how often it kills the program: few, or
// CREDITCARD_SEEDS.
func seeds(t *testing.T, few int) int {
	t.Helper()
	text := os.Getenv("CREDITCARD_SEEDS")
	if text == "" {
		return few
	}
	n, err := strconv.Atoi(text)
	require.True(t, err == nil && n >= 1, "CREDITCARD_SEEDS is %q, want a number from 1", text)
	return n
}

// A world is an office with its queues and its database, in virtual time.
type world struct {
	*testing.T
	*office

	account *sqstest.Server
}

// tell runs a story in a bubble.
func tell(t *testing.T, story func(w *world)) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "creditcard.db") // outside of the bubble: it is removed after its end
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t}
		w.newOffice(file, sqstest.New())
		t.Cleanup(func() { _ = w.db.close() }) // whichever is open then; the bubble waits for its goroutine
		story(w)
	})
}

// newOffice opens the database again, with new and empty queues.
func (w *world) newOffice(file string, account *sqstest.Server) {
	w.Helper()
	s, err := parse([]string{"-db", file, "-n", "600"}, nil)
	require.NoError(w, err)
	db, err := open(w.Context(), file)
	require.NoError(w, err)
	_, err = db.db.ExecContext(w.Context(), `PRAGMA synchronous = OFF`) // no power failure is tested
	require.NoError(w, err)
	w.account = account
	q := embedded(w.account)
	client := &http.Client{Transport: inProcess{gateway(q.client, q.events)}}
	w.office = &office{settings: s, queues: q, db: db, pos: pointsOfSale{client: client, gateway: "http://gateway"}, progress: newProgress(io.Discard, false)}
}

// restart is what a new process finds: the file, and no queue of the old one.
func (w *world) restart() {
	w.Helper()
	file := w.settings.db
	require.NoError(w, w.db.close())
	w.newOffice(file, sqstest.New())
}

// made is what the points of sale make up for the bubble's day.
func (w *world) made() []Transaction {
	return generate(w.seed, w.businessDay(time.Now(), time.Time{}), w.n)
}

// play plays a business day and returns its report.
func (w *world) play() string {
	w.Helper()
	var out bytes.Buffer
	require.NoError(w, w.day(w.Context(), w.made(), time.Time{}, &out))
	return reportIn(out.String())
}

// undisturbed returns the report of the bubble's day, and its rows of the tables, when
// nothing goes wrong. It is played once.
func undisturbed(t *testing.T) (report string, rows []string) {
	t.Helper()
	if calmReport == "" {
		tell(t, func(w *world) { calmReport, calmRows = w.play(), w.dump() })
	}
	require.Contains(t, calmReport, "\nreconciled: ")
	return calmReport, calmRows
}

// What undisturbed remembers.
var (
	calmReport string
	calmRows   []string
)

// reportIn cuts off how long things took and how the queues were used.
func reportIn(out string) string {
	_, report, _ := strings.Cut(out, "\nSettlement of")
	report, _, _ = strings.Cut(report, "\nstaging: ")
	return "Settlement of" + report
}

// number returns the number that a query gives.
func (w *world) number(query string, args ...any) (n int) {
	w.Helper()
	require.NoError(w, w.db.db.QueryRowContext(w.Context(), query, args...).Scan(&n))
	return n
}

// empty checks that nothing is left in any queue.
func (w *world) empty() {
	w.Helper()
	for _, queue := range []string{"card-events", "card-settlement", "card-events-dead", "card-settlement-dead"} {
		require.Empty(w, w.account.Messages(queue), queue)
	}
}

// dump returns all rows of the tables that money depends on.
func (w *world) dump() (rows []string) {
	w.Helper()
	for _, query := range []string{
		`SELECT concat_ws(' ', 'staged', id, kind, card, merchant, amount, currency, at) FROM staged ORDER BY id`,
		`SELECT concat_ws(' ', 'outcome', id, verdict, rate, cents, fee) FROM outcomes ORDER BY id`,
		`SELECT concat_ws(' ', 'review', id, reasons) FROM review ORDER BY id`,
		`SELECT concat_ws(' ', 'payout', day, merchant, sales, gross, refunds, fees) FROM payouts ORDER BY day, merchant`,
	} {
		require.NoError(w, each(w.Context(), w.db.db, func(r *sql.Rows) error {
			var row string
			err := r.Scan(&row)
			rows = append(rows, row)
			return err
		}, query))
	}
	return rows
}

// inProcess calls a handler without a socket, which a bubble could not wait for.
type inProcess struct{ http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	answer := httptest.NewRecorder()
	p.ServeHTTP(answer, r)
	return answer.Result(), nil
}

// after returns a context that ends after d.
func (w *world) after(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(w.Context(), d)
	w.Cleanup(cancel)
	return ctx
}
