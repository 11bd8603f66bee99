package inboxproof

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/inbox"
)

var errFn = errors.New("the function fails")

// message returns a message with a key in its attribute.
func message(key string) *sluice.Message {
	return &sluice.Message{ID: "id of " + key, Attempt: 1, Attributes: map[string]types.MessageAttributeValue{"key": {StringValue: &key}}}
}

func messages(keys ...string) (batch []*sluice.Message) {
	for _, key := range keys {
		batch = append(batch, message(key))
	}
	return batch
}

// keyOf returns the key of a message.
func keyOf(m *sluice.Message) string { return *m.Attributes["key"].StringValue }

var byKey = inbox.Options{Key: inbox.ByAttribute("key")}

// A desk is an inbox on a database, and what a test needs to look at it.
type desk struct {
	*testing.T
	database

	db      *sql.DB
	box     *inbox.Inbox
	effects string
}

func newDesk(t *testing.T, d database, opts inbox.Options) *desk {
	t.Helper()
	k := &desk{T: t, database: d, db: d.open(t)}
	k.box, k.effects = d.newBox(t, k.db, opts)
	return k
}

// add adds the effect of a message.
func (k *desk) add(ctx context.Context, tx *sql.Tx, m *sluice.Message) error {
	return k.addEffect(ctx, tx, k.effects, "billing", keyOf(m))
}

// addAll adds the effects of a batch.
func (k *desk) addAll(ctx context.Context, tx *sql.Tx, fresh []*sluice.Message) error {
	for _, m := range fresh {
		if err := k.add(ctx, tx, m); err != nil {
			return err
		}
	}
	return nil
}

// happened checks which effects there are, in which order.
func (k *desk) happened(keys ...string) {
	k.Helper()
	var got []string
	for _, e := range effectsOf(k.T, k.db, k.effects) {
		got = append(got, e.key)
	}
	require.Equal(k, keys, got)
}

func TestASecondDeliverySucceedsWithoutACall(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		k := newDesk(t, d, byKey)
		h := k.box.Each(k.add)
		require.NoError(t, h(t.Context(), messages("a")))
		require.NoError(t, h(t.Context(), messages("a")))
		require.NoError(t, h(t.Context(), messages("a", "b", "b")))
		k.happened("a", "b")
		require.Equal(t, inbox.Stats{Handled: 2, Repeated: 3}, k.box.Stats())
	})
}

func TestAFailureTakesTheKeyAlong(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		k := newDesk(t, d, byKey)
		for name, fail := range map[string]func(){
			"an error": func() {},
			"a panic":  func() { panic(errFn) },
			"Goexit":   runtime.Goexit,
		} {
			h := k.box.Each(func(ctx context.Context, tx *sql.Tx, m *sluice.Message) error {
				require.NoError(t, k.add(ctx, tx, m))
				fail()
				return errFn
			})
			err := error(&sluice.PanicError{})
			var wg sync.WaitGroup
			wg.Go(func() { err = h(t.Context(), messages("a")) })
			wg.Wait()
			require.Error(t, err, name)
			k.happened()
		}
		require.NoError(t, k.box.Each(k.add)(t.Context(), messages("a")))
		k.happened("a")
	})
}

func TestAPanicOfABatchGoesOn(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		k := newDesk(t, d, byKey)
		h := k.box.Batch(func(ctx context.Context, tx *sql.Tx, fresh []*sluice.Message) error {
			require.NoError(t, k.addAll(ctx, tx, fresh))
			panic("the function panics")
		})
		require.PanicsWithValue(t, "the function panics", func() { _ = h(t.Context(), messages("a", "b")) })
		k.happened()
		require.NoError(t, k.box.Batch(k.addAll)(t.Context(), messages("a", "b")))
		k.happened("a", "b")
	})
}

func TestABatchGetsOnlyWhatIsFreshInItsOrder(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		k := newDesk(t, d, byKey)
		h := k.box.Batch(k.addAll)
		require.NoError(t, h(t.Context(), messages("d", "b")))
		require.NoError(t, h(t.Context(), messages("z", "d", "a", "z", "b", "c")))
		k.happened("d", "b", "z", "a", "c")
		require.Equal(t, inbox.Stats{Handled: 5, Repeated: 3}, k.box.Stats())
		require.NoError(t, k.box.Batch(func(context.Context, *sql.Tx, []*sluice.Message) error {
			panic("called without a fresh message")
		})(t.Context(), messages("a", "b")))
	})
}

func TestALargeBatchIsInsertedInChunks(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		k := newDesk(t, d, byKey)
		var first, second []string
		for i := range 1000 {
			first = append(first, fmt.Sprint("first ", i))
			second = append(second, fmt.Sprint("second ", i), fmt.Sprint("first ", i))
		}
		count := 0
		h := k.box.Batch(func(_ context.Context, _ *sql.Tx, fresh []*sluice.Message) error {
			count += len(fresh)
			return nil
		})
		require.NoError(t, h(t.Context(), messages(first...)))
		require.NoError(t, h(t.Context(), messages(second...)))
		require.Equal(t, 2000, count)
	})
}

func TestMessagesThatABatchNamesFailAndTheOthersAreHandledWithoutThem(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		k := newDesk(t, d, byKey)
		batch := messages("a", "bad", "b", "worse", "bad", "c")
		calls := 0
		h := k.box.Batch(func(ctx context.Context, tx *sql.Tx, fresh []*sluice.Message) error {
			calls++
			require.NoError(t, k.addAll(ctx, tx, fresh))
			for _, m := range fresh {
				switch keyOf(m) {
				case "bad":
					return sluice.Failed(m, errFn)
				case "worse":
					return sluice.Failed(m, sluice.Discard(errFn))
				}
			}
			return nil
		})
		failed := map[*sluice.Message]sluice.OutcomeKind{}
		for m, err := range sluice.Outcomes(batch, h(t.Context(), batch)) {
			require.ErrorIs(t, err, errFn)
			failed[m] = sluice.OutcomeOf(err).Kind
		}
		require.Equal(t, map[*sluice.Message]sluice.OutcomeKind{
			batch[1]: sluice.OutcomeRetry, batch[4]: sluice.OutcomeRetry, batch[3]: sluice.OutcomeDiscard,
		}, failed)
		k.happened("a", "b", "c")
		require.Equal(t, 3, calls)
	})
}

func TestAnErrorThatNamesNoMessageFailsWhatIsFresh(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		k := newDesk(t, d, byKey)
		require.NoError(t, k.box.Batch(k.addAll)(t.Context(), messages("done")))
		batch := messages("a", "done", "b", "a")
		err := k.box.Batch(func(ctx context.Context, tx *sql.Tx, fresh []*sluice.Message) error {
			require.NoError(t, k.addAll(ctx, tx, fresh))
			return sluice.RetryAfter(time.Minute, errFn)
		})(t.Context(), batch)
		var failed []*sluice.Message
		for m, err := range sluice.Outcomes(batch, err) {
			require.Equal(t, sluice.OutcomeRetryAfter, sluice.OutcomeOf(err).Kind)
			failed = append(failed, m)
		}
		require.Equal(t, []*sluice.Message{batch[0], batch[2], batch[3]}, failed, "one is done, whatever becomes of the others")
		k.happened("done")
	})
}

func TestMessagesBehindAFailedOneOfTheirGroupAreNotHandled(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		k := newDesk(t, d, byKey)
		batch := messages("a1", "b1", "a2", "b2", "a1")
		for i, m := range batch {
			m.GroupID, m.SequenceNumber = keyOf(m)[:1], fmt.Sprint(i+1)
		}
		err := k.box.Batch(func(ctx context.Context, tx *sql.Tx, fresh []*sluice.Message) error {
			require.NoError(t, k.addAll(ctx, tx, fresh))
			if keyOf(fresh[0]) == "a1" {
				return sluice.Failed(fresh[0], errFn)
			}
			return nil
		})(t.Context(), batch)
		var failed []*sluice.Message
		for m := range sluice.Outcomes(batch, err) {
			failed = append(failed, m)
		}
		require.Equal(t, []*sluice.Message{batch[0], batch[2], batch[4]}, failed)
		k.happened("b1", "b2")
	})
}

func TestKeysThatLookAlikeAreDifferent(t *testing.T) {
	long := strings.Repeat("k", 300)
	keys := []string{
		"a", "A", "a ", " a", "a\t", "ä", "a\u0308", "ß", "ss", "a\x00", "a\x00b", "\xff", "\xfe", long, long + "1", long[:255], long[:256],
		"sha256:", "a%", "a_", `a\`, "a'", "?", "$1", "日本語", "🙂",
	}
	onEach(t, func(t *testing.T, d database) {
		k := newDesk(t, d, byKey)
		for _, h := range []sluice.Handler{k.box.Each(noEffect), k.box.Batch(noEffects)} {
			require.NoError(t, h(t.Context(), messages(keys...)))
			require.EqualValues(t, len(keys), k.box.Stats().Handled)
		}
		var stored int
		require.NoError(t, k.db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM `+strings.TrimSuffix(k.effects, "_effects")).Scan(&stored))
		require.Equal(t, len(keys), stored)
	})
}

func noEffect(context.Context, *sql.Tx, *sluice.Message) error    { return nil }
func noEffects(context.Context, *sql.Tx, []*sluice.Message) error { return nil }

func TestTwoHandlersOfOneTableDoNotHideEachOthersMessages(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		k := newDesk(t, d, byKey)
		other, _ := d.newBox(t, k.db, inbox.Options{Key: byKey.Key, Handler: "shipping", Table: strings.TrimSuffix(k.effects, "_effects")})
		require.NoError(t, k.box.Each(k.add)(t.Context(), messages("a")))
		require.NoError(t, other.Each(k.add)(t.Context(), messages("a")))
		k.happened("a", "a")
	})
}

func TestAContextThatEndsRollsBack(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		k := newDesk(t, d, byKey)
		k.db.SetMaxOpenConns(1) // database/sql may roll back a little later, and SQLite does not wait for that
		ctx, cancel := context.WithCancelCause(t.Context())
		err := k.box.Each(func(_ context.Context, tx *sql.Tx, m *sluice.Message) error {
			require.NoError(t, k.add(t.Context(), tx, m))
			cancel(sluice.ErrLeaseLost)
			return nil // as if it had not noticed
		})(ctx, messages("a"))
		require.ErrorIs(t, err, sluice.ErrLeaseLost)
		require.ErrorIs(t, k.box.Each(k.add)(ctx, messages("a", "b")), sluice.ErrLeaseLost)
		require.ErrorIs(t, k.box.Batch(k.addAll)(ctx, messages("a", "b")), sluice.ErrLeaseLost)
		k.happened()
		require.NoError(t, k.box.Each(k.add)(t.Context(), messages("a")))
		k.happened("a")
	})
}

func TestAnErrorThatTheFunctionKeepsToItselfFailsItsMessage(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		if d.dialect != inbox.Postgres {
			t.Skip("other databases go on after the error of a statement")
		}
		k := newDesk(t, d, byKey)
		require.Error(t, k.box.Each(func(ctx context.Context, tx *sql.Tx, m *sluice.Message) error {
			require.NoError(t, k.add(ctx, tx, m))
			_, err := tx.ExecContext(ctx, `SELECT 1/0`)
			require.Error(t, err)
			return nil
		})(t.Context(), messages("a")), "the commit rolls back")
		k.happened()
	})
}

func TestAFunctionThatEndsTheTransactionFailsItsMessage(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		k := newDesk(t, d, byKey)
		require.ErrorIs(t, k.box.Each(func(_ context.Context, tx *sql.Tx, _ *sluice.Message) error {
			return tx.Rollback()
		})(t.Context(), messages("a")), sql.ErrTxDone)
		require.NoError(t, k.box.Each(k.add)(t.Context(), messages("a")))
		k.happened("a")
	})
}

// Two processes have the same message at the same time.
func TestADuplicateAtTheSameTimeIsHandledOnce(t *testing.T) {
	for _, fails := range []bool{false, true} {
		t.Run(fmt.Sprint("the first one fails: ", fails), func(t *testing.T) {
			onEach(t, func(t *testing.T, d database) { duplicateAtTheSameTime(t, d, fails) })
		})
	}
}

func duplicateAtTheSameTime(t *testing.T, d database, fails bool) {
	t.Helper()
	k := newDesk(t, d, byKey)
	inside, leave := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		err := k.box.Each(func(ctx context.Context, tx *sql.Tx, m *sluice.Message) error {
			err := k.add(ctx, tx, m)
			close(inside)
			<-leave
			if fails {
				return errFn
			}
			return err
		})(t.Context(), messages("a"))
		if (err != nil) != fails {
			t.Errorf("the first: %v", err)
		}
	})
	<-inside
	var second error
	wg.Go(func() {
		second = k.box.Each(k.add)(t.Context(), messages("a"))
		if !d.locks {
			close(leave)
		}
	})
	if d.locks {
		k.awaitWaiter()
		close(leave)
	}
	wg.Wait()
	if d.locks {
		require.NoError(t, second)
	} else {
		o := sluice.OutcomeOf(second)
		require.Equal(t, sluice.OutcomeRetryAfter, o.Kind, "%v", second)
		require.LessOrEqual(t, o.Delay, 2*time.Second)
		require.GreaterOrEqual(t, o.Delay, time.Second)
		require.NoError(t, k.box.Each(k.add)(t.Context(), messages("a")))
	}
	k.happened("a")
}

// awaitWaiter waits until a transaction waits for a lock, as the server says. It gives up after a
// time that no server needs.
func (k *desk) awaitWaiter() {
	k.Helper()
	ctx, cancel := context.WithTimeout(k.Context(), time.Minute)
	defer cancel()
	for !k.hasWaiter(ctx) {
		runtime.Gosched()
	}
}

// hasWaiter reports whether a transaction waits for a lock. MariaDB is asked for its counter, since
// it refreshes the table of transactions only for who has not read it for 0.1 s.
func (k *desk) hasWaiter(ctx context.Context) bool {
	k.Helper()
	var name string
	var waiting int
	if k.dialect == inbox.MySQL {
		require.NoError(k, k.db.QueryRowContext(ctx, `SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'`).Scan(&name, &waiting))
		return waiting > 0
	}
	table := strings.TrimSuffix(k.effects, "_effects")
	query := `SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%' || $1 || '%'`
	require.NoError(k, k.db.QueryRowContext(ctx, query, table).Scan(&waiting))
	return waiting > 0
}

// Two batches with the same keys, in opposite orders, at the same time, many times.
func TestBatchesWithTheSameKeysDoNotDeadlock(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		if !d.locks {
			t.Skip("there is one writer at a time")
		}
		k := newDesk(t, d, byKey)
		for round := range 20 {
			var forth, back []string
			for i := range 20 {
				forth = append(forth, fmt.Sprint(round, "/", i))
				back = append(back, fmt.Sprint(round, "/", 19-i))
			}
			var wg sync.WaitGroup
			for _, keys := range [][]string{forth, back, forth, back} {
				wg.Go(func() {
					if err := k.box.Batch(k.addAll)(t.Context(), messages(keys...)); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
		}
		require.Len(t, effectsOf(t, k.db, k.effects), 20*20)
	})
}

func TestPruneDeletesTheOldKeysOfItsHandler(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		opts := inbox.Options{Key: byKey.Key, Keep: 24 * time.Hour}
		k := newDesk(t, d, opts)
		table := strings.TrimSuffix(k.effects, "_effects")
		opts.Handler, opts.Table = "shipping", table
		other, _ := d.newBox(t, k.db, opts)
		var old []string
		for i := range 2500 {
			old = append(old, fmt.Sprint("old ", i))
		}
		for _, box := range []*inbox.Inbox{k.box, other} {
			require.NoError(t, box.Batch(noEffects)(t.Context(), messages(old...)))
		}
		n, err := k.box.Prune(t.Context())
		require.NoError(t, err)
		require.Zero(t, n)
		_, err = k.db.ExecContext(t.Context(), `UPDATE `+table+` SET handled_at = handled_at - 24 * 3600 - 1`)
		require.NoError(t, err)
		require.NoError(t, k.box.Batch(noEffects)(t.Context(), messages("young")))
		n, err = k.box.Prune(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 2500, n)
		var left int
		require.NoError(t, k.db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM `+table).Scan(&left))
		require.Equal(t, 2501, left, "the young one, and all of the other handler")
	})
}

func TestSeveralProcessesMayCreateAndPruneAtOnce(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		db := d.open(t)
		if !d.locks {
			db.SetMaxOpenConns(1)
		}
		box, err := inbox.New(db, inbox.Options{Dialect: d.dialect, Handler: "billing", Table: newTable()})
		require.NoError(t, err)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if err := box.Create(t.Context()); err != nil {
					t.Error(err)
				}
				if _, err := box.Prune(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}

// What Schema returns is what Create does: a migration may use either.
func TestTheSchemaIsAMigration(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		db := d.open(t)
		box, err := inbox.New(db, inbox.Options{Dialect: d.dialect, Handler: "billing", Table: newTable()})
		require.NoError(t, err)
		for statement := range strings.SplitSeq(strings.TrimSpace(box.Schema()), ";\n") {
			_, err := db.ExecContext(t.Context(), strings.TrimSuffix(statement, ";"))
			require.NoError(t, err)
		}
		require.NoError(t, box.Create(t.Context()))
		require.NoError(t, box.Each(noEffect)(t.Context(), messages("a")))
	})
}

func TestATableMayHaveASchema(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		schema := map[inbox.Dialect]string{inbox.SQLite: "main", inbox.Postgres: "public", inbox.MySQL: "test"}[d.dialect]
		db := d.open(t)
		box, _ := d.newBox(t, db, inbox.Options{Table: schema + "." + newTable()})
		require.NoError(t, box.Each(noEffect)(t.Context(), messages("a")))
		_, err := box.Prune(t.Context())
		require.NoError(t, err)
	})
}
