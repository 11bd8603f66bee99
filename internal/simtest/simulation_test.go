package simtest

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

var (
	seedsFlag = flag.Int("seeds", 0, "how many seeds to simulate; 0: SEEDS, or a few")
	seedFlag  = flag.Uint64("seed", 0, "replay this seed and print its history; 0: none")
	aboutFlag = flag.String("about", "", "with -seed: only what concerns the message whose id begins so")
	huntFlag  = flag.Bool("hunt", false, "let TestHunt play until a seed breaks")
	knownFlag = flag.String("hunt.known", "", "seeds that a hunt passes over")
	levelFlag = flag.String("level", string(atSeam), "the level of -seed: L1 or L2")
)

// seeds is how many seeds a test simulates.
func seeds(few int) int {
	if *seedsFlag > 0 {
		return *seedsFlag
	}
	if n, err := strconv.Atoi(os.Getenv("SEEDS")); err == nil && n > 0 {
		return n
	}
	return few
}

// base is the first seed: SEED_BASE, or always the same.
func base() uint64 {
	n, err := strconv.ParseUint(os.Getenv("SEED_BASE"), 10, 64)
	if err != nil {
		return 1
	}
	return n
}

// examine plays a seed and holds it against the invariants.
func examine(t *testing.T, seed uint64, at level) *world {
	t.Helper()
	w := play(t, seed, at)
	if broken := check(w); len(broken) > 0 {
		t.Error(w.report(broken))
	}
	return w
}

func TestNoInvariantIsBrokenAtTheSeam(t *testing.T) {
	first := base()
	t.Logf("seeds from %d", first)
	for i := range seeds(300) {
		seed := first + uint64(i)
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			t.Parallel()
			examine(t, seed, atSeam)
		})
	}
}

// TestReplay plays the seed of -seed and prints all that happens.
func TestReplay(t *testing.T) {
	if *seedFlag == 0 {
		t.Skip("no -seed")
	}
	w := examine(t, *seedFlag, level(*levelFlag))
	t.Log(w.plan)
	for id, events := range study(w).byMessage {
		if *aboutFlag == "" || !strings.HasPrefix(id, *aboutFlag) {
			continue
		}
		for _, e := range events {
			t.Log(e)
		}
		return
	}
	for _, line := range w.hist.trace() {
		t.Log(line)
	}
}

func TestTheSameSeedIsTheSameWorld(t *testing.T) {
	for i := range 100 {
		seed := base() + uint64(i)
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			one, two := play(t, seed, atSeam).hist.trace(), play(t, seed, atSeam).hist.trace()
			for k := range min(len(one), len(two)) {
				if one[k] != two[k] {
					t.Fatalf("line %d\n%s\n%s", k, one[k], two[k])
				}
			}
			if len(one) != len(two) {
				t.Fatalf("%d lines and %d", len(one), len(two))
			}
		})
	}
}
