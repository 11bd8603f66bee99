package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestEachTransitionOfAMessageIsInTheTableAndSeen(t *testing.T) {
	original := transitions
	defer func() { transitions = original }()
	transitions = [len(original)][]stage{} // what is missing makes a panic, and is learned
	learn := func(w *world) bool {
		from, to, ok := missing(w.bad)
		require.True(t, ok, w.bad)
		require.Contains(t, original[from], to, w.bad)
		if !slices.Contains(transitions[from], to) {
			transitions[from] = append(transitions[from], to)
		}
		return true
	}
	for _, s := range append(slices.Clone(scopes), rareScopes...) {
		synctest.Test(t, func(t *testing.T) {
			x := &explorer{scope: s, t: t, before: learn}
			for seed := range 300 {
				x.walk(uint64(seed), 60)
			}
		})
	}
	for from := range original {
		require.ElementsMatch(t, original[from], transitions[from], "from %v", stage(from))
	}
}

// rareScopes have courses that the others have not.
var rareScopes = []scope{
	{
		name: "FIFO, all dead-lettered", groups: []int{4, 2}, faults: 4,
		settings: func(s *Settings) { s.FIFO, s.BatchSize, s.OnGroupFailure = true, 4, SkipFailed },
		replies:  []reply{deadLettersAll, deadLetters, mixed, deadLettersBoth},
	},
	{
		name: "FIFO, dead-lettered and tried in place", groups: []int{4}, faults: 4,
		settings: func(s *Settings) { s.FIFO, s.BatchSize = true, 4 },
		replies:  []reply{deadLettersAll, deadLetters, mixed, deadLettersBoth},
	},
}

// missing returns the stages of a panic about a transition that is not in the table.
func missing(text string) (from, to stage, ok bool) {
	_, text, ok = strings.Cut(text, "a message that is ")
	if !ok {
		return 0, 0, false
	}
	a, b, ok := strings.Cut(text, " cannot be ")
	i, j := slices.Index(stageNames[:], a), slices.Index(stageNames[:], b)
	return stage(max(0, i)), stage(max(0, j)), ok && i >= 0 && j >= 0
}

// promised is how long after its shutdown timeout a run ends at the latest, by the comment of
// Consumer.Run.
const promised = 3 * time.Second

func TestTheTimesOfAStopAddUpToThreeSeconds(t *testing.T) {
	const scheduling = 300 * time.Millisecond
	phases := []phase{interrupted, leaving, cutting, left}
	require.Len(t, budget, len(phases))
	for i, b := range budget {
		require.Equal(t, phases[i], b.phase)
		if i > 0 {
			require.Greater(t, b.after, budget[i-1].after)
		}
	}
	require.Zero(t, budget[0].after, "handlers have the whole shutdown timeout")
	last := budget[len(budget)-1].after
	require.Equal(t, 2500*time.Millisecond, last)
	require.Equal(t, 2700*time.Millisecond, leftover)
	require.Greater(t, leftover, last, "goroutines are waited for when the loop has ended")
	require.LessOrEqual(t, leftover+scheduling, promised)
}

func TestAPhaseOfAStopBeginsAtItsTime(t *testing.T) {
	for _, timeout := range []time.Duration{0, 500 * time.Millisecond, 30 * time.Second} {
		t.Run(fmt.Sprint(timeout), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(scope{groups: []int{1}, replies: []reply{succeeds}, settings: func(s *Settings) { s.ShutdownTimeout = timeout }})
				w.do(step{sends, 0, granted})
				w.do(step{returns, 0, 0}) // a handler has the message, and never returns
				began := time.Now()
				w.do(step{does: stops})
				seen := map[phase]time.Duration{}
				for !w.over {
					require.Less(t, time.Since(began), timeout+promised)
					if _, known := seen[w.e.stop.phase]; !known {
						seen[w.e.stop.phase] = time.Since(began)
					}
					time.Sleep(time.Until(w.alarm))
					w.alarm = time.Time{}
					w.turn(wake)
				}
				seen[left] = time.Since(began)
				for _, b := range budget {
					require.Equal(t, timeout+b.after, seen[b.phase], "phase %d", b.phase)
				}
				require.Empty(t, w.bad)
			})
		})
	}
}
