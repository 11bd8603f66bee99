package inboxproof

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/contrib/dedup/sqlstore"
	"github.com/sluice-go/sluice/contrib/dedup/storetest"
	"github.com/sluice-go/sluice/inbox"
)

// The servers are here, and so is this test of contrib/dedup.
func TestEachDatabaseIsAStoreOfClaims(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		db := d.open(t)
		if !d.locks {
			db.SetMaxOpenConns(1)
		}
		table := newTable()
		store, err := sqlstore.New(db, d.dialect, table)
		require.NoError(t, err)
		require.NoError(t, store.Create(t.Context()))
		require.NoError(t, store.Create(t.Context()), "a second time")
		parameter := `?`
		if d.dialect == inbox.Postgres {
			parameter = `$1`
		}
		age := func(by time.Duration) { // a server's clock cannot be set
			_, err := db.ExecContext(t.Context(), `UPDATE `+table+` SET expires_at = expires_at - `+parameter, by.Milliseconds())
			require.NoError(t, err)
		}
		for _, c := range storetest.Cases {
			t.Run(c.Name, func(t *testing.T) { require.NoError(t, c.Run(t.Context(), store, age)) })
		}
		age(2 * time.Hour)
		n, err := store.Prune(t.Context())
		require.NoError(t, err)
		require.Positive(t, n)
		again, err := store.Prune(t.Context())
		require.NoError(t, err)
		require.Zero(t, again)
	})
}
