package simtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// build makes the simulation of the library with the edits of a mutant.
func build(t *testing.T, m mutant) string {
	t.Helper()
	src, err := shipped()
	require.NoError(t, err)
	changed, err := src.edited(m)
	require.NoError(t, err)
	dir, replace := t.TempDir(), map[string]string{}
	for path, f := range changed {
		replace[path] = filepath.Join(dir, strconv.Itoa(len(replace))+".go")
		require.NoError(t, os.WriteFile(replace[path], []byte(f.text), 0o600))
	}
	plan, err := json.Marshal(map[string]any{"Replace": replace}) // as go help build describes it
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "overlay.json"), plan, 0o600))
	binary := filepath.Join(dir, "simtest.bin")
	cmd := exec.CommandContext(t.Context(), "go", "test", "-c", "-ldflags=-s -w", "-overlay", filepath.Join(dir, "overlay.json"), "-o", binary, ".")
	cmd.Env = append(os.Environ(), "GOWORK=off")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return binary
}

// A kill is how a hunt for a mutant ended.
type kill struct {
	seeds int    // until then; 0: it lives
	seed  uint64 // that broke
	by    string // the invariant that broke first, or how the program ended
}

// hunt plays seeds with a mutant's binary until one of them breaks.
func hunt(t *testing.T, binary string, from uint64, most int, more ...string) kill {
	t.Helper()
	args := append([]string{"-test.run=^TestHunt$", "-test.v", "-test.timeout=20m", "-hunt", "-seeds=" + strconv.Itoa(most)}, more...)
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env = append(os.Environ(), "SEED_BASE="+strconv.FormatUint(from, 10))
	out, err := cmd.CombinedOutput()
	if err == nil {
		return kill{}
	}
	k := kill{by: ending(out)}
	for line := range strings.Lines(string(out)) {
		if after, found := strings.CutPrefix(strings.TrimSpace(line), "hunt: seed "); found {
			k.seed, _ = strconv.ParseUint(strings.Fields(after)[0], 10, 64)
			k.seeds = int(k.seed-from) + 1
			if _, by, broke := strings.Cut(after, " breaks "); broke {
				k.by = strings.TrimSpace(by)
			}
		}
	}
	return k
}

// ending tells from a program's output how it ended.
func ending(out []byte) string {
	switch {
	case bytes.Contains(out, []byte("this world hangs")):
		return "hang"
	case bytes.Contains(out, []byte("does not wait")):
		return "I7"
	case bytes.Contains(out, []byte("deadlock")):
		return "I9"
	default:
		return "crash"
	}
}

// TestHunt plays seeds until one breaks: what a mutant's binary is run for.
func TestHunt(t *testing.T) {
	if !*huntFlag {
		t.Skip("not a hunt")
	}
	for i := range seeds("SEEDS", huntSeeds) {
		seed := base() + uint64(i)
		fmt.Fprintln(os.Stderr, "hunt: seed", seed)
		const hangs = 2 * time.Minute // of real time, where worlds take milliseconds
		watch := time.AfterFunc(hangs, func() { panic("this world hangs") })
		if broken := check(playPlan(t, planOf(seed), atSeam)); len(broken) > 0 {
			fmt.Fprintln(os.Stderr, "hunt: seed", seed, "breaks", broken[0].invariant)
			t.FailNow()
		}
		watch.Stop()
	}
}

const (
	huntSeeds = 1000 // within which each mutant must die
	hunts     = 3    // per mutant, each from another seed, for the table
)

// TestMutantsAreKilled brings each historic bug into the library and shows that the
// simulation finds it. It takes minutes, so it is asked for by MUTANTS=1;
// MUTANTS=text,text takes those whose name has one of the texts. A hunt begins with
// the seed that has killed the mutant before, see testdata/kills, and goes on with a
// thousand others. MUTANTS_TABLE=file hunts each mutant three times without that
// knowledge, and writes the table of docs/proof.md to the file and the seeds to
// testdata/kills.
func TestMutantsAreKilled(t *testing.T) {
	which, table := os.Getenv("MUTANTS"), os.Getenv("MUTANTS_TABLE")
	if which == "" {
		t.Skip("MUTANTS is not set")
	}
	before, all := readKills(t), kills{}
	t.Run("mutants", func(t *testing.T) {
		for _, m := range mutants {
			wanted := func(text string) bool { return strings.Contains(m.bug, text) }
			if which != "1" && !slices.ContainsFunc(strings.Split(which, ","), wanted) {
				continue
			}
			t.Run(m.bug, func(t *testing.T) {
				t.Parallel()
				binary := build(t, m)
				if table == "" {
					m.dies(t, binary, before)
					return
				}
				all.add(m.bug, m.diesThrice(t, binary))
			})
		}
	})
	if table != "" {
		require.NoError(t, os.WriteFile(table, []byte(all.table()), 0o600))
		require.NoError(t, os.WriteFile(killsFile, []byte(all.seeds(before)), 0o600))
	}
}

// dies hunts for a mutant, first with the seed that killed it before.
func (m mutant) dies(t *testing.T, binary string, before map[string]uint64) {
	t.Helper()
	if seed, known := before[m.bug]; known {
		if k := hunt(t, binary, seed, 1); k.seeds > 0 {
			m.countsOnlyIfCleanLives(t, planFor(seed))
			t.Logf("killed by the seed that killed it before, with %s", k.by)
			return
		}
		if k := hunt(t, binary, seed, 1, "-bare"); k.seeds > 0 {
			m.countsOnlyIfCleanLives(t, barePlan(seed))
			t.Logf("killed by the seed that killed it before, in its bare world, with %s", k.by)
			return
		}
	}
	k := hunt(t, binary, huntBase(0), huntSeeds)
	require.Positive(t, k.seeds, "%s lives after %d seeds from %d", m.bug, huntSeeds, huntBase(0))
	m.countsOnlyIfCleanLives(t, planFor(k.seed))
	t.Logf("killed by seed %d after %d seeds, with %s; testdata/kills does not know it", k.seed, k.seeds, k.by)
}

// diesThrice hunts for a mutant from three seeds and returns the kills, the quickest
// first.
func (m mutant) diesThrice(t *testing.T, binary string) []kill {
	t.Helper()
	ks := make([]kill, hunts)
	for h := range ks {
		ks[h] = hunt(t, binary, huntBase(h), huntSeeds)
		if ks[h].seeds == 0 {
			t.Errorf("%s lives after %d seeds from %d", m.bug, huntSeeds, huntBase(h))
			ks[h] = kill{seeds: huntSeeds + 1, by: "nobody"}
			continue
		}
		m.countsOnlyIfCleanLives(t, planFor(ks[h].seed))
	}
	slices.SortFunc(ks, func(a, b kill) int { return a.seeds - b.seeds })
	return ks
}

// countsOnlyIfCleanLives checks that a seed breaks because of the mutant.
func (m mutant) countsOnlyIfCleanLives(t *testing.T, p *plan) {
	t.Helper()
	require.Empty(t, check(playPlan(t, p, atSeam)), "seed %d breaks without the mutant too: %s", p.seed, m.bug)
}

func huntBase(h int) uint64 { return 1_000_000 * uint64(h+1) }

// killsFile has a seed that kills for each mutant: the seed, and the bug.
const killsFile = "testdata/kills"

func readKills(t *testing.T) map[string]uint64 {
	t.Helper()
	text, err := os.ReadFile(killsFile)
	require.NoError(t, err)
	seeds := map[string]uint64{}
	for line := range strings.Lines(string(text)) {
		number, bug, found := strings.Cut(strings.TrimSpace(line), " ")
		if !found || number == "#" {
			continue
		}
		seed, err := strconv.ParseUint(number, 10, 64)
		require.NoError(t, err)
		seeds[strings.TrimSpace(bug)] = seed
	}
	return seeds
}

// kills are the kills of mutants, by bug.
type kills struct {
	mu sync.Mutex // guards of
	of map[string][]kill
}

func (ks *kills) add(bug string, found []kill) {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	if ks.of == nil {
		ks.of = map[string][]kill{}
	}
	ks.of[bug] = found
}

// table is the table of docs/proof.md.
func (ks *kills) table() string {
	var b strings.Builder
	b.WriteString("| bug | median worlds until found | by |\n| --- | ---: | --- |\n")
	for _, m := range mutants {
		found := ks.of[m.bug]
		if found == nil {
			continue
		}
		var by []string
		for _, k := range found {
			if !slices.Contains(by, k.by) {
				by = append(by, k.by)
			}
		}
		fmt.Fprintf(&b, "| %s | %d | %s |\n", m.bug, found[hunts/2].seeds, strings.Join(by, ", "))
	}
	return b.String()
}

// seeds is the text of killsFile; for mutants that were not hunted what was known before.
func (ks *kills) seeds(before map[string]uint64) string {
	var b strings.Builder
	b.WriteString("# A seed that kills, for each mutant. MUTANTS_TABLE writes this file anew.\n")
	for _, m := range mutants {
		if found := ks.of[m.bug]; found != nil {
			before[m.bug] = found[0].seed
		}
		if seed := before[m.bug]; seed > 0 {
			fmt.Fprintf(&b, "%d %s\n", seed, m.bug)
		}
	}
	return b.String()
}
