package inbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/inbox"
)

var errFn = errors.New("the function fails")

// newBox returns an inbox on a fake database.
func newBox(t *testing.T, f *fake, opts inbox.Options) *inbox.Inbox {
	t.Helper()
	db := f.open()
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	opts.Dialect, opts.Handler = inbox.SQLite, "billing"
	box, err := inbox.New(db, opts)
	require.NoError(t, err)
	return box
}

func messages(ids ...string) (batch []*sluice.Message) {
	for _, id := range ids {
		batch = append(batch, &sluice.Message{ID: id, Attempt: 1})
	}
	return batch
}

func succeed(context.Context, *sql.Tx, *sluice.Message) error      { return nil }
func succeedAll(context.Context, *sql.Tx, []*sluice.Message) error { return nil }

func TestAllThatIsWrongWithTheOptionsIsSaidAtOnce(t *testing.T) {
	_, err := inbox.New(nil, inbox.Options{Table: "in box", Keep: time.Minute})
	require.EqualError(t, err, `inbox: db is nil, want a *sql.DB
Dialect is Dialect(0), want Postgres, MySQL or SQLite
Handler is "", want a name such as "billing"
Table is "in box", want a name of at most 50 letters, digits and underscores, such as app.sluice_inbox
Keep is 1m0s, want at least 1h0m0s`)
}

func TestNamesThatDoNotFitAreRefused(t *testing.T) {
	for want, opts := range map[string]inbox.Options{
		"Handler has 101 bytes, want at most 100":                 {Handler: strings.Repeat("x", 101)},
		`Handler is "a\x00", want UTF-8 without a zero byte`:      {Handler: "a\x00"},
		`Handler is "\xff", want UTF-8 without a zero byte`:       {Handler: "\xff"},
		`Table is "a.b.c", want a name`:                           {Handler: "a", Table: "a.b.c"},
		`Table is "a; DROP TABLE b", want a name`:                 {Handler: "a", Table: "a; DROP TABLE b"},
		`Table is "1st", want a name`:                             {Handler: "a", Table: "1st"},
		`Table is "` + strings.Repeat("x", 51) + `", want a name`: {Handler: "a", Table: strings.Repeat("x", 51)},
	} {
		opts.Dialect = inbox.Postgres
		_, err := inbox.New(new(fake).open(), opts)
		require.ErrorContains(t, err, want)
	}
}

func TestAFunctionThatIsNilMakesNoHandler(t *testing.T) {
	box := newBox(t, new(fake), inbox.Options{})
	require.Nil(t, box.Each(nil))
	require.Nil(t, box.Batch(nil))
}

func TestAMessageWithoutAKeyFailsAlone(t *testing.T) {
	key := func(m *sluice.Message) (string, error) {
		switch m.ID {
		case "error":
			return "", errFn
		case "panic":
			panic(errFn)
		case "empty":
			return "", nil
		}
		return m.ID, nil
	}
	box := newBox(t, new(fake), inbox.Options{Key: key})
	for name, h := range map[string]sluice.Handler{"Each": box.Each(succeed), "Batch": box.Batch(succeedAll)} {
		batch := messages("a"+name, "error", "panic", "b"+name, "empty")
		var failed []string
		for m, err := range sluice.Outcomes(batch, h(t.Context(), batch)) {
			require.ErrorContains(t, err, "inbox: the key of a message")
			failed = append(failed, m.ID)
		}
		require.Equal(t, []string{"error", "panic", "empty"}, failed, name)
	}
	require.EqualValues(t, 4, box.Stats().Handled)
}

func TestTheMessagesBehindOneWithoutAKeyWait(t *testing.T) {
	box := newBox(t, new(fake), inbox.Options{Key: func(m *sluice.Message) (string, error) { return m.Body, nil }})
	batch := messages("a", "b", "c")
	batch[0].Body, batch[1].Body, batch[2].Body = "", "b", "c"
	batch[0].GroupID, batch[1].GroupID, batch[2].GroupID = "g", "g", "h"
	for _, m := range batch {
		m.SequenceNumber = "1"
	}
	err := box.Batch(func(_ context.Context, _ *sql.Tx, fresh []*sluice.Message) error {
		require.Equal(t, batch[2:], fresh)
		return nil
	})(t.Context(), batch)
	require.ErrorContains(t, err, "the key of a message is empty")
	require.ErrorContains(t, err, "a message before it in its message group failed")
}

func TestByAttributeReadsTextAndBytes(t *testing.T) {
	key := inbox.ByAttribute("order")
	m := &sluice.Message{Attributes: map[string]types.MessageAttributeValue{"order": {StringValue: new("7")}}}
	got, err := key(m)
	require.NoError(t, err)
	require.Equal(t, "7", got)
	m.Attributes["order"] = types.MessageAttributeValue{BinaryValue: []byte{1, 2}}
	got, err = key(m)
	require.NoError(t, err)
	require.Equal(t, "\x01\x02", got)
	_, err = key(&sluice.Message{})
	require.EqualError(t, err, `the message has no attribute "order"`)
}

func TestACommitWhoseEndIsUnknownFailsTheMessage(t *testing.T) {
	f := &fake{commitErr: errors.New("the connection is lost")}
	box := newBox(t, f, inbox.Options{})
	for _, h := range []sluice.Handler{box.Each(succeed), box.Batch(succeedAll)} {
		err := h(t.Context(), messages("a"))
		require.ErrorIs(t, err, f.commitErr)
		require.ErrorContains(t, err, "which may have happened all the same")
	}
	require.Zero(t, box.Stats())
}

func TestADatabaseThatIsDownFailsTheMessage(t *testing.T) {
	down := errors.New("connection refused")
	for _, f := range []*fake{{beginErr: down}, {statementErr: down}} {
		box := newBox(t, f, inbox.Options{})
		for _, h := range []sluice.Handler{box.Each(nobody(t)), box.Batch(nobodyInBatch(t))} {
			batch := messages("a", "b")
			n := 0
			for _, err := range sluice.Outcomes(batch, h(t.Context(), batch)) {
				require.ErrorIs(t, err, down)
				require.Equal(t, sluice.OutcomeRetry, sluice.OutcomeOf(err).Kind)
				n++
			}
			require.Equal(t, 2, n)
		}
		_, err := box.Prune(t.Context())
		if f.statementErr != nil {
			require.ErrorIs(t, err, down)
			require.ErrorIs(t, box.Create(t.Context()), down)
		}
	}
}

func nobody(t *testing.T) func(context.Context, *sql.Tx, *sluice.Message) error {
	t.Helper()
	return func(context.Context, *sql.Tx, *sluice.Message) error {
		t.Error("the function is called without its key")
		return nil
	}
}

func nobodyInBatch(t *testing.T) func(context.Context, *sql.Tx, []*sluice.Message) error {
	t.Helper()
	return func(context.Context, *sql.Tx, []*sluice.Message) error {
		t.Error("the function is called without its keys")
		return nil
	}
}

func TestADatabaseThatIsBusyIsAskedAgainSoonAndLaterWithEachAttempt(t *testing.T) {
	box := newBox(t, &fake{statementErr: errors.New("database is locked (5) (SQLITE_BUSY)")}, inbox.Options{})
	for attempt, most := range map[int]time.Duration{0: 2 * time.Second, 1: 2 * time.Second, 2: 4 * time.Second, 5: 32 * time.Second, 100: 64 * time.Second} {
		for _, h := range []sluice.Handler{box.Each(succeed), box.Batch(succeedAll)} {
			batch := messages("a")
			batch[0].Attempt = attempt
			o := sluice.OutcomeOf(h(t.Context(), batch))
			require.Equal(t, sluice.OutcomeRetryAfter, o.Kind)
			require.GreaterOrEqual(t, o.Delay, most/2)
			require.LessOrEqual(t, o.Delay, most)
		}
	}
}

func TestWhatTheFunctionDecidesHoldsAlsoInAConflict(t *testing.T) {
	box := newBox(t, new(fake), inbox.Options{})
	locked := errors.New("database is locked")
	for _, said := range []error{sluice.Discard(locked), sluice.DeadLetter(locked), sluice.RetryAfter(time.Hour, locked)} {
		each := box.Each(func(context.Context, *sql.Tx, *sluice.Message) error { return said })
		batch := box.Batch(func(context.Context, *sql.Tx, []*sluice.Message) error { return said })
		require.Equal(t, sluice.OutcomeOf(said), sluice.OutcomeOf(each(t.Context(), messages("a"))))
		require.Equal(t, sluice.OutcomeOf(said), sluice.OutcomeOf(batch(t.Context(), messages("a"))))
	}
}

// Each message that a batch names costs one more call, and no message is asked about for ever.
func TestABatchEndsAlsoIfItNamesOneMessageAfterAnother(t *testing.T) {
	box := newBox(t, new(fake), inbox.Options{})
	var ids []string
	for i := range 50 {
		ids = append(ids, fmt.Sprint(i))
	}
	batch, calls := messages(ids...), 0
	err := box.Batch(func(_ context.Context, _ *sql.Tx, fresh []*sluice.Message) error {
		calls++
		return sluice.Failed(fresh[0], errFn)
	})(t.Context(), batch)
	n := 0
	for range sluice.Outcomes(batch, err) {
		n++
	}
	require.Equal(t, 50, n)
	require.Equal(t, 50, calls)
}

func TestANameOfAnotherBatchFailsThemAll(t *testing.T) {
	box := newBox(t, new(fake), inbox.Options{})
	batch, n := messages("a", "b"), 0
	err := box.Batch(func(context.Context, *sql.Tx, []*sluice.Message) error {
		return sluice.Failed(&sluice.Message{ID: "a"}, errFn)
	})(t.Context(), batch)
	for range sluice.Outcomes(batch, err) {
		n++
	}
	require.Equal(t, 2, n)
}

func TestEachDialectHasItsNameAndItsSchema(t *testing.T) {
	for d, want := range map[inbox.Dialect][]string{
		inbox.Postgres: {`COLLATE "C"`, "CREATE INDEX IF NOT EXISTS keys_age ON app.keys"},
		inbox.MySQL:    {"VARBINARY(255)", "KEY keys_age (handler, handled_at)", "repeats"},
		inbox.SQLite:   {"WITHOUT ROWID", "CREATE INDEX IF NOT EXISTS app.keys_age ON keys"},
	} {
		box, err := inbox.New(new(fake).open(), inbox.Options{Dialect: d, Handler: "billing", Table: "app.keys"})
		require.NoError(t, err)
		for _, text := range want {
			require.Contains(t, box.Schema(), text, "%v", d)
		}
	}
	require.Equal(t, "Postgres MySQL SQLite Dialect(9)", fmt.Sprint(inbox.Postgres, inbox.MySQL, inbox.SQLite, inbox.Dialect(9)))
}
