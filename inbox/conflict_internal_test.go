package inbox

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A coded error has a code, as those of the drivers of PostgreSQL have.
type coded string

func (c coded) Error() string    { return "an error with the code " + string(c) }
func (c coded) SQLState() string { return string(c) }

func TestConflictsAreKnownByTheirCodeOrText(t *testing.T) {
	for _, tt := range []struct {
		dialect Dialect
		err     error
		want    bool
	}{
		{Postgres, coded("40001"), true},
		{Postgres, fmt.Errorf("inserting: %w", coded("40P01")), true},
		{Postgres, coded("55P03"), true},
		{Postgres, coded("23505"), false},
		{Postgres, errors.New("database is locked"), false},
		{MySQL, errors.New("Error 1213 (40001): Deadlock found when trying to get lock"), true},
		{MySQL, errors.New("Error 1205: Lock wait timeout exceeded"), true},
		{MySQL, errors.New("Error 1020 (HY000): Record has changed since last read in table 'inbox'"), true},
		{MySQL, errors.New("Error 1062 (23000): Duplicate entry"), false},
		{SQLite, errors.New("database is locked (5) (SQLITE_BUSY)"), true},
		{SQLite, errors.New("database table is locked"), true},
		{SQLite, errors.New("no such table: sluice_inbox"), false},
		{Dialect(0), errors.New("database is locked"), false},
	} {
		require.Equal(t, tt.want, tt.dialect.isConflict(tt.err), "%s: %v", tt.dialect, tt.err)
	}
}

func TestStatementsOfEachDialect(t *testing.T) {
	require.Equal(t, `INSERT INTO t (handler, message_key, handled_at) VALUES ($1, $2, extract(epoch FROM now())::bigint), ($3, $4, extract(epoch FROM now())::bigint) ON CONFLICT (handler, message_key) DO NOTHING`,
		postgres.insertStatement("t", 2))
	require.Equal(t, `INSERT INTO t (handler, message_key, handled_at) VALUES (?, ?, UNIX_TIMESTAMP()) ON DUPLICATE KEY UPDATE repeats = repeats + 1`,
		mysql.insertStatement("t", 1))
	require.Equal(t, `SELECT message_key FROM t WHERE handler = ? AND message_key IN (?, ?, ?) AND repeats = 0`, mysql.freshStatement("t", 3))
	for _, g := range []*grammar{&postgres, &mysql, &sqlite} {
		require.NotContains(t, g.pruneStatement("t"), "%!", "all of the format is used")
		require.Equal(t, len(g.pruneArgs("h", 1)), strings.Count(g.pruneStatement("t"), "?")+strings.Count(g.pruneStatement("t"), "$"))
	}
}

func FuzzStoredKeysAreDifferentAndFit(f *testing.F) {
	f.Add("a", "A")
	f.Add("sha256:", "\x00")
	f.Add(strings.Repeat("x", 255), strings.Repeat("x", 256))
	f.Fuzz(func(t *testing.T, a, b string) {
		require.LessOrEqual(t, len(stored(a)), maxKey)
		require.Equal(t, a == b, stored(a) == stored(b))
		require.NotEqual(t, stored(a), stored(stored(a))+"x")
		if hash := stored(a); hash != a {
			require.NotEqual(t, hash, stored(hash), "a key that looks like a hash is not taken for the key that has it")
		}
	})
}
