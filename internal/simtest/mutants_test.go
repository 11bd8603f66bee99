package simtest

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A mutant is a bug that somebody shipped, brought into a copy of this library.
type mutant struct {
	bug   string // and who shipped it
	edits []edit
}

// An edit replaces a text that a file has exactly once.
type edit struct{ file, old, new string }

// build makes the simulation of a copy of the module with the edits.
func build(t *testing.T, edits ...edit) string {
	t.Helper()
	dir := t.TempDir()
	copyModule(t, dir)
	for _, e := range edits {
		path := filepath.Join(dir, e.file)
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, 1, bytes.Count(text, []byte(e.old)), "%s must have this once, or the mutant has to be written anew: %s", e.file, e.old)
		require.NoError(t, os.WriteFile(path, bytes.Replace(text, []byte(e.old), []byte(e.new), 1), 0o600))
	}
	binary := filepath.Join(dir, "simtest.bin")
	cmd := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", binary, "./internal/simtest")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOWORK=off")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return binary
}

// copyModule copies what the simulation is made of.
func copyModule(t *testing.T, dir string) {
	t.Helper()
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		if d.IsDir() {
			top, _, _ := strings.Cut(filepath.ToSlash(rel), "/")
			if !slices.Contains([]string{".", "internal", "sqstest"}, top) {
				return filepath.SkipDir
			}
			return os.MkdirAll(filepath.Join(dir, rel), 0o700)
		}
		ext := filepath.Ext(path)
		if ext != ".go" && ext != ".mod" && ext != ".sum" || strings.HasSuffix(path, "_test.go") && !strings.Contains(path, "simtest") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, rel), text, 0o600)
	})
	require.NoError(t, err)
}

// A kill is how a hunt for a mutant ended.
type kill struct {
	seeds int    // until then; 0: it lives
	by    string // the invariant that broke first, or how the program ended
}

// hunt plays seeds with a mutant's binary until one of them breaks. Seeds that
// break without the mutant do not count.
func hunt(t *testing.T, binary string, from uint64, most int, known string) kill {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, "-test.run=^TestHunt$", "-test.v", "-test.timeout=60s",
		"-hunt", "-hunt.known="+known, "-seeds="+strconv.Itoa(most))
	cmd.Env = append(os.Environ(), "SEED_BASE="+strconv.FormatUint(from, 10))
	out, err := cmd.CombinedOutput()
	if err == nil {
		return kill{}
	}
	last := 0
	for line := range strings.Lines(string(out)) {
		if after, found := strings.CutPrefix(strings.TrimSpace(line), "hunt: seed "); found {
			n, _ := strconv.ParseUint(strings.Fields(after)[0], 10, 64)
			last = int(n-from) + 1
			if _, by, broke := strings.Cut(after, " breaks "); broke {
				return kill{last, strings.TrimSpace(by)}
			}
		}
	}
	switch {
	case bytes.Contains(out, []byte("test timed out")):
		return kill{last, "hang"}
	case bytes.Contains(out, []byte("does not wait")):
		return kill{last, "I7"}
	case bytes.Contains(out, []byte("deadlock")):
		return kill{last, "I9"}
	default:
		return kill{last, "crash"}
	}
}

// TestHunt plays seeds until one breaks: what a mutant's binary is run for.
func TestHunt(t *testing.T) {
	if !*huntFlag {
		t.Skip("not a hunt")
	}
	known := strings.Split(*knownFlag, ",")
	for i := range seeds(1000) {
		seed := base() + uint64(i)
		if slices.Contains(known, strconv.FormatUint(seed, 10)) {
			continue
		}
		fmt.Fprintln(os.Stderr, "hunt: seed", seed)
		if broken := check(play(t, seed, atSeam)); len(broken) > 0 {
			fmt.Fprintln(os.Stderr, "hunt: seed", seed, "breaks", broken[0].invariant)
			t.FailNow()
		}
	}
}

const (
	huntSeeds = 1000 // within which each mutant must die
	hunts     = 3    // per mutant, each from another seed
)

// TestMutantsAreKilled brings each historic bug into a copy of the library and
// shows that the simulation finds it. It takes minutes, so it is asked for by
// MUTANTS=1; MUTANTS=text,text takes those whose name has one of the texts.
func TestMutantsAreKilled(t *testing.T) {
	which := os.Getenv("MUTANTS")
	if which == "" {
		t.Skip("MUTANTS is not set")
	}
	known := broken(t, build(t))
	t.Logf("seeds that break without a mutant: %q", known)
	var table strings.Builder
	for _, m := range mutants {
		wanted := func(text string) bool { return strings.Contains(m.bug, text) }
		if which != "1" && !slices.ContainsFunc(strings.Split(which, ","), wanted) {
			continue
		}
		t.Run(m.bug, func(t *testing.T) {
			began := time.Now()
			row := m.row(t, known)
			t.Logf("%s%v", row, time.Since(began).Round(time.Second))
			table.WriteString(row)
		})
	}
	t.Logf("\n| bug | median seeds until found | by |\n| --- | ---: | --- |\n%s", table.String())
	if path := os.Getenv("MUTANTS_TABLE"); path != "" {
		require.NoError(t, os.WriteFile(path, []byte(table.String()), 0o600))
	}
}

// broken returns the seeds that break in a clean copy.
func broken(t *testing.T, clean string) string {
	t.Helper()
	var known []string
	for h := range hunts {
		from := huntBase(h)
		for {
			k := hunt(t, clean, from, huntSeeds-int(from-huntBase(h)), strings.Join(known, ","))
			if k.seeds == 0 {
				break
			}
			from += uint64(k.seeds)
			known = append(known, strconv.FormatUint(from-1, 10))
		}
	}
	return strings.Join(known, ",")
}

func huntBase(h int) uint64 { return 1_000_000 * uint64(h+1) }

func (m mutant) row(t *testing.T, known string) string {
	t.Helper()
	binary := build(t, m.edits...)
	kills := make([]kill, hunts)
	for h := range kills {
		kills[h] = hunt(t, binary, huntBase(h), huntSeeds, known)
		if kills[h].seeds == 0 {
			t.Errorf("%s lives after %d seeds from %d", m.bug, huntSeeds, huntBase(h))
			kills[h] = kill{huntSeeds + 1, "nobody"}
		}
	}
	slices.SortFunc(kills, func(a, b kill) int { return a.seeds - b.seeds })
	var by []string
	for _, k := range kills {
		if !slices.Contains(by, k.by) {
			by = append(by, k.by)
		}
	}
	return fmt.Sprintf("| %s | %d | %s |\n", m.bug, kills[hunts/2].seeds, strings.Join(by, ", "))
}
