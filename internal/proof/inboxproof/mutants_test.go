package inboxproof

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A mutant is a bug, brought into package inbox by an edit at build time.
type mutant struct {
	bug       string
	file      string
	old, with string
}

// mutants are bugs that inboxes and deduplicators of others have, or could have.
var mutants = []mutant{
	{
		bug: "marked before handling (Watermill's Deduplicator)", file: "inbox.go",
		old: `err = b.within(ctx, func(tx *sql.Tx) error {
		inserted, err := b.insert(ctx, tx, []string{key})`,
		with: `var inserted map[string]bool
	if err := b.within(ctx, func(tx *sql.Tx) (err error) {
		inserted, err = b.insert(ctx, tx, []string{key})
		return err
	}); err != nil {
		return err
	}
	err = b.within(ctx, func(tx *sql.Tx) (err error) {`,
	},
	{
		bug: "looked up before handling and marked after it, in a transaction of its own", file: "inbox.go",
		old: `inserted, err := b.insert(ctx, tx, []string{key})
		if fresh = inserted[key]; err != nil || !fresh {
			return err
		}
		return fn(ctx, tx, m)
	})`,
		with: `found := 0
		query := "SELECT COUNT(*) FROM " + b.opts.Table + " WHERE handler = ? AND message_key = ?"
		if err := tx.QueryRowContext(ctx, query, b.opts.Handler, key).Scan(&found); err != nil || found > 0 {
			return err
		}
		return fn(ctx, tx, m)
	})
	if err == nil {
		err = b.within(ctx, func(tx *sql.Tx) error {
			_, err := b.insert(ctx, tx, []string{key})
			return err
		})
	}`,
	},
	{
		bug: "no rollback after an error", file: "inbox.go",
		old: `if err := f(tx); err != nil {
		return err
	}`,
		with: `if err := f(tx); err != nil {
		_ = tx.Commit()
		return err
	}`,
	},
	{
		bug: "no rollback after a panic", file: "inbox.go",
		old:  `defer func() { _ = tx.Rollback() }()`,
		with: `defer func() { _ = tx.Commit() }()`,
	},
	{
		bug: "a key without the handler's name", file: "inbox.go",
		old:  `b.grammar.insert(ctx, tx, b.opts.Table, b.opts.Handler, keys)`,
		with: `b.grammar.insert(ctx, tx, b.opts.Table, "one for all", keys)`,
	},
	{
		bug: "success although the commit failed", file: "inbox.go",
		old: `return fmt.Errorf("inbox: committing, which may have happened all the same: %w", cause(ctx, err))`,
		with: `_ = err
		return nil`,
	},
	{
		bug: "the message id for the key that was asked for", file: "inbox.go",
		old:  `if o.Key == nil {`,
		with: `if true {`,
	},
	{
		bug: "the rest of a batch that was rolled back counts as handled", file: "batch.go",
		old:  `return err == nil`,
		with: `return false`,
	},
	{
		bug: "duplicates within a batch are handled", file: "batch.go",
		old:  `if e := byKey[key]; e != nil {`,
		with: `if e := byKey[key]; e != nil && false {`,
	},
	{
		bug: "messages behind a failed one of their group are handled", file: "batch.go",
		old:  `return isOrdered(m) && c.halted[m.GroupID]`,
		with: `return false`,
	},
	{
		bug: "keys cut to the column", file: "key.go",
		old:  `fits := len(key) <= maxKey && utf8.ValidString(key)`,
		with: `key = key[:min(len(key), maxKey)]; fits := utf8.ValidString(key)`,
	},
	{
		bug: "keys without regard to case", file: "key.go",
		old:  `return stored(key), nil`,
		with: `return strings.ToLower(stored(key)), nil`,
	},
	{
		bug: "keys without blanks at the end", file: "key.go",
		old:  `return stored(key), nil`,
		with: `return strings.TrimRight(stored(key), " "), nil`,
	},
}

// worldsPerMutant is within how many worlds each mutant must be noticed.
const worldsPerMutant = 100

// TestMutantsAreKilled brings each bug into the inbox and shows that the worlds on SQLite notice it.
// It builds a program for each, so it is asked for by MUTANTS=1.
func TestMutantsAreKilled(t *testing.T) {
	if os.Getenv("MUTANTS") == "" {
		t.Skip("MUTANTS is not set; to run this test: MUTANTS=1 go test -run TestMutantsAreKilled .")
	}
	for _, m := range mutants {
		t.Run(m.bug, func(t *testing.T) {
			binary := m.build(t)
			cmd := exec.CommandContext(t.Context(), binary, "-test.run=^TestEffectsHappenOnce$/^SQLite$", "-test.timeout=10m")
			cmd.Env = append(os.Environ(), fmt.Sprint("SEEDS=", worldsPerMutant), "SEED_BASE=1")
			out, err := cmd.CombinedOutput()
			require.Error(t, err, "the mutant lives")
			require.Regexp(t, `happened \d+ times|the order of|messages are left`, string(out), "it must be noticed by its effects")
			t.Log(noticed(string(out)))
		})
	}
}

// noticed returns the line that says what a world has noticed.
func noticed(out string) string {
	for line := range strings.Lines(out) {
		if strings.Contains(line, "Should be empty") {
			return strings.TrimSpace(line)[:min(len(strings.TrimSpace(line)), 200)]
		}
	}
	return ""
}

// TestMutantsStillApply shows that the text that a mutant replaces is there, once.
func TestMutantsStillApply(t *testing.T) {
	for _, m := range mutants {
		text, err := os.ReadFile(filepath.Join("../../../inbox", m.file))
		require.NoError(t, err)
		require.Equal(t, 1, strings.Count(string(text), m.old), m.bug)
	}
}

// build makes the tests of this package with a mutant.
func (m mutant) build(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../../../inbox", m.file))
	require.NoError(t, err)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	changed := strings.Replace(string(text), m.old, m.with, 1)
	dir := t.TempDir()
	replaced := filepath.Join(dir, m.file)
	require.NoError(t, os.WriteFile(replaced, []byte(changed), 0o600))
	plan, err := json.Marshal(map[string]any{"Replace": map[string]string{path: replaced}}) // as go help build describes it
	require.NoError(t, err)
	overlay := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(overlay, plan, 0o600))
	binary := filepath.Join(dir, "inboxproof.bin")
	cmd := exec.CommandContext(t.Context(), "go", "test", "-c", "-ldflags=-s -w", "-overlay", overlay, "-o", binary, ".")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return binary
}
