package sqlstore_test

import (
	"database/sql"
	"fmt"
	"log"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/sluice-go/sluice/contrib/dedup"
	"github.com/sluice-go/sluice/contrib/dedup/sqlstore"
	"github.com/sluice-go/sluice/contrib/dedup/storetest"
	"github.com/sluice-go/sluice/inbox"
)

func open(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "dedup.db")+"?_pragma=synchronous(OFF)")
	require.NoError(t, err)
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// PostgreSQL and MariaDB pass the same cases in the module internal/proof/inboxproof.
func TestSQLiteIsAStore(t *testing.T) {
	for _, table := range []string{"", "main.keys"} {
		t.Run("table "+table, func(t *testing.T) {
			db := open(t)
			store, err := sqlstore.New(db, inbox.SQLite, table)
			require.NoError(t, err)
			require.NoError(t, store.Create(t.Context()))
			require.NoError(t, store.Create(t.Context()), "a second time")
			name := table
			if name == "" {
				name = "sluice_dedup"
			}
			for _, c := range storetest.Cases {
				t.Run(c.Name, func(t *testing.T) {
					require.NoError(t, c.Run(t.Context(), store, func(d time.Duration) {
						_, err := db.ExecContext(t.Context(), `UPDATE `+name+` SET expires_at = expires_at - ?`, d.Milliseconds())
						require.NoError(t, err)
					}))
				})
			}
		})
	}
}

func TestPruneDeletesWhatHasExpired(t *testing.T) {
	db := open(t)
	store, err := sqlstore.New(db, inbox.SQLite, "")
	require.NoError(t, err)
	require.NoError(t, store.Create(t.Context()))
	for i := range 1500 {
		_, err := store.Claim(t.Context(), fmt.Sprint(i), "a", time.Minute)
		require.NoError(t, err)
	}
	require.NoError(t, store.Done(t.Context(), "0", "a", time.Hour))
	_, err = db.ExecContext(t.Context(), `UPDATE sluice_dedup SET expires_at = expires_at - 120000`)
	require.NoError(t, err)
	n, err := store.Prune(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1499, n)
	c, err := store.Claim(t.Context(), "0", "b", time.Minute)
	require.NoError(t, err)
	require.Equal(t, dedup.StateHandled, c.State)
}

func TestAllThatIsWrongIsSaidAtOnce(t *testing.T) {
	_, err := sqlstore.New(nil, inbox.Dialect(7), "a b")
	require.EqualError(t, err, `sqlstore: db is nil, want a *sql.DB
dialect is Dialect(7), want inbox.Postgres, inbox.MySQL or inbox.SQLite
table is "a b", want a name of at most 50 letters, digits and underscores`)
}

func TestTheSchemaOfEachDialect(t *testing.T) {
	for d, want := range map[inbox.Dialect][]string{
		inbox.Postgres: {`COLLATE "C"`, "CREATE INDEX IF NOT EXISTS keys_age ON app.keys"},
		inbox.MySQL:    {"VARBINARY(200)", "KEY sluice_dedup_age (expires_at)"},
		inbox.SQLite:   {"CREATE INDEX IF NOT EXISTS app.keys_age ON keys"},
	} {
		store, err := sqlstore.New(open(t), d, "app.keys")
		require.NoError(t, err)
		for _, text := range want {
			require.Contains(t, store.Schema(), text)
		}
		require.Equal(t, strings.Count(store.Schema(), "CREATE"), strings.Count(store.Schema(), ";"))
	}
}

func TestATableThatIsMissingIsAnError(t *testing.T) {
	store, err := sqlstore.New(open(t), inbox.SQLite, "")
	require.NoError(t, err)
	_, err = store.Claim(t.Context(), "k", "a", time.Second)
	require.ErrorContains(t, err, "sqlstore: claiming in sluice_dedup: ")
	require.ErrorContains(t, store.Extend(t.Context(), "k", "a", time.Second), "sqlstore: extending a claim in sluice_dedup: ")
	require.ErrorContains(t, store.Done(t.Context(), "k", "a", time.Second), "sqlstore: marking a key in sluice_dedup: ")
	require.ErrorContains(t, store.Release(t.Context(), "k", "a"), "sqlstore: releasing a claim in sluice_dedup: ")
	_, err = store.Prune(t.Context())
	require.ErrorContains(t, err, "sqlstore: pruning sluice_dedup: ")
}

// The table is made once. Prune is called now and then.
func ExampleNew() {
	db, err := sql.Open("sqlite", "dedup.db")
	if err != nil {
		log.Fatal(err)
	}
	store, err := sqlstore.New(db, inbox.SQLite, "")
	if err != nil {
		log.Fatal(err)
	}
	d, err := dedup.New(store, dedup.Options{Handler: "emails"})
	if err != nil {
		log.Fatal(err)
	}
	_ = d // and now sluice.Options{Middleware: []func(sluice.Handler) sluice.Handler{d.Middleware}}
}
