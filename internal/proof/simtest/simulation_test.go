package simtest

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	seedsFlag = flag.Int("seeds", 0, "how many seeds to simulate; 0: SEEDS (with the SDK L2_SEEDS), or a few")
	seedFlag  = flag.Uint64("seed", 0, "replay this seed and print its history; 0: none")
	aboutFlag = flag.String("about", "", "with -seed: only what concerns the message whose id begins so")
	levelFlag = flag.String("level", string(atSeam), "the level of -seed: L1, L2 or L2-direct")
	bareFlag  = flag.Bool("bare", false, "with -seed or -hunt: worlds without natures and demands of their own, as old seeds are")
	huntFlag  = flag.Bool("hunt", false, "let TestHunt play until a seed breaks")
)

// seeds is how many seeds a test simulates: what the variable says, or a few.
func seeds(variable string, few int) int {
	if *seedsFlag > 0 {
		return *seedsFlag
	}
	if n, err := strconv.Atoi(os.Getenv(variable)); err == nil && n > 0 {
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
	return examinePlan(t, planFor(seed), at)
}

// planOf is the plan of a seed that was given by a flag.
func planOf(seed uint64) *plan {
	if *bareFlag {
		return barePlan(seed)
	}
	return planFor(seed)
}

func examinePlan(t *testing.T, p *plan, at level) *world {
	t.Helper()
	w := playPlan(t, p, at)
	if broken := check(w); len(broken) > 0 {
		t.Error(w.report(broken))
	}
	return w
}

// examineAll examines seeds, as many at once as there are cores, and says how much
// happened in their worlds.
func examineAll(t *testing.T, n int, at level) *coverage {
	t.Helper()
	from, c := base(), &coverage{}
	fmt.Printf("%s: %d seeds from %d\n", at, n, from) // not the test's log, which go test keeps to itself when all is well
	t.Run("worlds", func(t *testing.T) {
		for i := range n {
			seed := from + uint64(i)
			t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
				t.Parallel()
				c.add(examine(t, seed, at))
			})
		}
	})
	fmt.Println(c)
	return c
}

func TestNoInvariantIsBrokenAtTheSeam(t *testing.T) {
	c := examineAll(t, seeds("SEEDS", 300), atSeam)
	c.enough(t)
	c.cheap(t)
	c.timely(t)
}

func TestNoInvariantIsBrokenWithTheSDK(t *testing.T) {
	for _, at := range []level{withSDK, pastSDK} {
		t.Run(string(at), func(t *testing.T) {
			c := examineAll(t, seeds("L2_SEEDS", max(1, seeds("SEEDS", 500)/10)), at)
			c.enough(t)
			c.cheap(t)
			c.timely(t)
			if at == pastSDK {
				c.direct(t)
			}
		})
	}
}

// Levels of stored seeds only.
const (
	twice     level = "twice"      // L1, played twice
	bareOnce  level = "bare"       // L1, with a bare plan
	bareTwice level = "bare-twice" // that, played twice
)

func TestSeedsThatBrokeOnceDoNotBreakAgain(t *testing.T) {
	text, err := os.ReadFile("testdata/seeds")
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		entry, _, _ := strings.Cut(line, "#")
		fields := strings.Fields(entry)
		if len(fields) == 0 {
			continue
		}
		seed, err := strconv.ParseUint(fields[1], 10, 64)
		require.NoError(t, err)
		t.Run(strings.TrimSpace(entry), func(t *testing.T) {
			t.Parallel()
			switch at := level(fields[0]); at {
			case twice:
				playTwice(t, planFor, seed)
			case bareTwice:
				playTwice(t, barePlan, seed)
			case bareOnce:
				examinePlan(t, barePlan(seed), atSeam)
			case withSDK:
				examine(t, seed, withSDK)
				examine(t, seed, pastSDK)
			default:
				examine(t, seed, at)
			}
		})
	}
}

func TestTheSameSeedIsTheSameWorld(t *testing.T) {
	for i := range min(100, seeds("SEEDS", 100)) {
		seed := base() + uint64(i)
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			t.Parallel()
			playTwice(t, planFor, seed)
		})
	}
}

// playTwice plays a seed twice and compares all that happened.
func playTwice(t *testing.T, draw func(uint64) *plan, seed uint64) {
	t.Helper()
	one, two := playPlan(t, draw(seed), atSeam).hist.trace(), playPlan(t, draw(seed), atSeam).hist.trace()
	for k := range min(len(one), len(two)) {
		require.Equal(t, one[k], two[k], "line %d of the trace", k)
	}
	require.Len(t, two, len(one))
}

// TestReplay plays the seed of -seed and prints all that happens.
func TestReplay(t *testing.T) {
	if *seedFlag == 0 {
		t.Skip("no -seed")
	}
	w := examinePlan(t, planOf(*seedFlag), level(*levelFlag))
	t.Log(w.plan)
	if *aboutFlag == "" {
		t.Log("\n" + strings.Join(w.hist.trace(), "\n"))
		return
	}
	for id, events := range study(w).byMessage {
		if strings.HasPrefix(id, *aboutFlag) {
			t.Log("\n" + timeline(events))
		}
	}
}
