package main

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/bench/child"
	"github.com/sluice-go/sluice/bench/server"
)

// whole is what -set all measures.
var whole = World{Rounds: 3, Scale: 1}

func TestEveryRunOfTheWorldHasItsOwnName(t *testing.T) {
	seen := map[string]bool{}
	for _, job := range slices.Concat(whole.plan(sets())...) {
		require.False(t, seen[job.Key()], "%s", job.Key())
		seen[job.Key()] = true
		require.NotContains(t, job.Key(), ",", "a comma separates the words of -only")
		require.Contains(t, peers, job.Spec.Peer)
		require.Positive(t, job.Spec.Handlers, "%s", job.Key())
		require.Positive(t, job.Spec.Window, "%s", job.Key())
	}
}

func TestSetsAreChosenByName(t *testing.T) {
	all, err := chosen("all")
	require.NoError(t, err)
	require.Len(t, all, len(sets()))
	some, err := chosen("loads,trickle")
	require.NoError(t, err)
	require.Len(t, some, 3, "trickles are two tables")
	_, err = chosen("loads,traffic")
	require.EqualError(t, err, `-set has "traffic", want all or some of answers, servers, loads, latency, trickle`)
}

func TestConsumersTakeTurnsAtBeingFirst(t *testing.T) {
	for _, s := range sets() {
		if s.section == "trickles" || s.section == "idle" {
			continue // all at the same time
		}
		first, second := s.jobs(whole, 0)[0][0], s.jobs(whole, 1)[0][0]
		require.Equal(t, first.Cell, second.Cell)
		require.NotEqual(t, first.Peer, second.Peer)
		require.NotEqual(t, first.Setup.Seed, second.Setup.Seed, "a round has a seed of its own")
	}
}

func TestConsumersOfOneRoundMeetTheSameWorld(t *testing.T) {
	for _, s := range sets() {
		setups := map[string]server.Setup{}
		for _, job := range slices.Concat(s.jobs(whole, 2)...) {
			if first, ok := setups[job.Cell]; ok {
				require.Equal(t, first, job.Setup, "%s", job.Key())
			}
			setups[job.Cell] = job.Setup
		}
	}
}

func TestScaleShortensRuns(t *testing.T) {
	long := duration(whole.plan([]set{loadsSet()}))
	short := duration(World{Rounds: 3, Scale: 0.1}.plan([]set{loadsSet()}))
	require.Less(t, short, long/5)
	idle := World{Rounds: 1, Scale: 0.1}.plan([]set{idleSet()})
	require.Equal(t, 20*time.Second, idle[0][0].Spec.Window, "a poll takes as long")
}

func TestALoadIsMeasuredUntilItsLastPhaseEnds(t *testing.T) {
	for _, job := range slices.Concat(loadsSet().jobs(World{Rounds: 1, Scale: 0.3}, 0)...) {
		phases, end := time.Duration(0), time.Duration(0)
		for _, p := range job.Setup.Load {
			phases += p.For
			if end == 0 {
				end = p.For
			}
		}
		require.Greater(t, job.Spec.Window, phases)
		require.Zero(t, job.Spec.Warm)
		if job.Spec.Consumers == 2 {
			require.Equal(t, end, job.Spec.Leaves, "with the first phase")
		}
	}
}

func TestBatchesHandleAsManyMessagesAtOnce(t *testing.T) {
	for size, calls := range map[int]int{10: 7, 100: 1, 1000: 1} {
		require.Equal(t, calls, ourBatches(size).job("answers", "", 0, 64).Spec.Handlers)
	}
	require.Equal(t, 64, thePool.job("answers", "", 0, 64).Spec.Handlers)
}

// ran is a run of 10 s of a set's first cell in which so many messages were received and deleted in so many calls.
func ran(s set, peer string, round, messages, receives, deletes int) Record {
	job := s.jobs(whole, 0)[0][0]
	job.Peer, job.Round = peer, round
	now := time.Unix(0, 0)
	return Record{Job: job, Result: child.Result{
		Before: server.Snapshot{At: now},
		After: server.Snapshot{
			At: now.Add(10 * time.Second), Received: messages, Deleted: messages,
			Calls: map[string]int{"ReceiveMessage": receives, "DeleteMessageBatch": deletes},
		},
	}}
}

func TestCallsAreCountedForWhatTheyBring(t *testing.T) {
	r := ran(tricklesSet(), "sluice", 0, 1000, 100, 50)
	r.Result.After.Deleted = 500 // the batch at the end is still being handled
	require.InDelta(t, 0.1+0.1, r.callsEach(), 1e-9)
	require.True(t, math.IsInf((&Record{}).callsEach(), 1), "a run without messages meets no target")
}

func TestAnswersSayHowManyCallsAMessageCosts(t *testing.T) {
	r := Record{Job: Job{Setup: server.Setup{Answers: []server.Answers{{Least: 1, Most: 10}}}}}
	require.InDelta(t, 1/5.5+0.1, r.callsForAnswers(), 1e-9)
	r.Setup.Answers[0] = server.Answers{Least: 1, Most: 1}
	require.InDelta(t, 1.1, r.callsForAnswers(), 1e-9)
}

func TestReceiversCouldBringWhatLatenciesAllow(t *testing.T) {
	r := ran(latencySet(), "sluice", 0, 50_000, 10_000, 0)
	r.Spec.Peer, r.Result.After.ReceiveTime = "sluice", 500*time.Second // 50 ms each
	require.InDelta(t, 9200, r.couldBring(), 1e-6)
	require.InDelta(t, 5000.0/9200, r.brought(), 1e-6)
	r.Setup.Empty = 0.1
	require.InDelta(t, 9200*0.9, r.couldBring(), 1e-6)
	r.Spec.Peer = "pool"
	require.InDelta(t, 3200*0.9, r.couldBring(), 1e-6)
	require.Zero(t, (&Record{}).brought())
}

func TestAnOutageMayLeaveWhatItLikes(t *testing.T) {
	r := ran(loadsSet(), "sluice", 0, 1, 1, 1)
	r.Setup.Load = []server.Phase{{}, {Down: true}, {}}
	r.Result.After.Left = []int{7, 9000, 12}
	require.InDelta(t, 12, r.mostLeft(), 0)
	other := ran(loadsSet(), "sluice", 1, 1, 1, 1)
	other.Result.After.Left = []int{8, 9001, 0}
	require.Equal(t, "8 · 9,001 · 12", leftText(nil, []*Record{&r, &other}))
}

func TestWhatIsLeftIsJudgedInTheWorstRound(t *testing.T) {
	var records []Record
	for round, left := range []int{0, 0, 201} {
		r := ran(loadsSet(), "sluice", round, 1, 1, 1)
		r.Result.After.Left = []int{left}
		records = append(records, r)
	}
	require.Equal(t, "not met  loads: ≤ 200 messages left at the end of each phase: steady 600/s, sluice: 201 of at most 200",
		loadsSet().verdicts(gather(records))[0].String())
}

func TestATargetIsJudgedBesideThePool(t *testing.T) {
	s := answersSet()
	all := gather([]Record{
		ran(s, "pool", 0, 1000, 182, 100), ran(s, "expert", 0, 500, 91, 500), ran(s, "sluice", 0, 900, 164, 90),
		ran(s, "pool", 1, 100, 18, 10), ran(s, "expert", 1, 50, 9, 50), ran(s, "sluice", 1, 90, 16, 9), // a slow round
	})
	verdicts := s.verdicts(all)
	require.Len(t, verdicts, 3)
	require.Equal(t, "not met  answers: messages/s ≥ the pool's: 1 to 10, sluice: 0.90 × of at least 1.00 ×", verdicts[0].String())
	require.True(t, verdicts[1].Met)
	require.True(t, verdicts[2].Met)
}

func TestTimesAreComparedWithThePoolsOfTheSameRound(t *testing.T) {
	s := serversSet()
	pool, own := ran(s, "pool", 0, 100, 100, 50), ran(s, "sluice", 0, 100, 100, 49)
	pool.Result.ToStart, own.Result.ToStart = []int64{9e6, 10e6, 20e6}, []int64{9e6, 10.9e6, 24.5e6}
	verdicts := s.verdicts(gather([]Record{pool, own}))
	require.Len(t, verdicts, 3)
	require.Equal(t, "met      servers: p50 from send to handler ≤ the pool's + 1 ms: the nearest: S 5 at 50/s, sluice: +0.9 ms of at most +1.0 ms", verdicts[0].String())
	require.Equal(t, "not met  servers: p99 from send to handler ≤ 1.2 × the pool's: S 5 at 50/s, sluice: 1.23 × of at most 1.20 ×", verdicts[1].String())
	require.True(t, verdicts[2].Met)
}

func TestARowSaysWhichTargetItMisses(t *testing.T) {
	require.Equal(t, "met", result([]aim{atMost("few", sample{1}, 2, "%.0f"), atLeast("fast", sample{3}, 2, "%.0f")}))
	require.Equal(t, "**not met**: fast: 1 of at least 2", result([]aim{atMost("few", sample{1}, 2, "%.0f"), atLeast("fast", sample{1}, 2, "%.0f")}))
	require.Equal(t, "no data", result([]aim{atMost("few", nil, 2, "%.0f")}))
}

func TestTheWorldsReportHasARowForWhatWasMeasured(t *testing.T) {
	folder := t.TempDir()
	s := answersSet()
	require.ErrorContains(t, reportWorld(folder, nil), "no results")
	require.NoError(t, reportWorld(folder, []Record{ran(s, "pool", 0, 1000, 182, 100), ran(s, "sluice", 0, 1100, 200, 110)}))
	text, err := os.ReadFile(filepath.Join(folder, "world.md"))
	require.NoError(t, err)
	var rows []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "| 1 to 10 |") {
			rows = append(rows, strings.TrimSpace(line))
		}
	}
	require.Equal(t, []string{
		"| 1 to 10 | the fixed pool | 100 | 0.182 | 0.282 | 0.282 | 1.00 | – | 0 | – |",
		"| 1 to 10 | **sluice** | 110 | 0.182 | 0.282 | 0.282 | 1.10 | – | 0 | met |",
	}, rows)
	require.Contains(t, string(text), "Measured 1 times for 3s.")
	require.NotContains(t, string(text), "Loads that rise", "it was not measured")
}

func TestASetThatIsMeasuredAnewForgetsAllOfItsRounds(t *testing.T) {
	j := &journal{records: []Record{ran(answersSet(), "pool", 7, 1, 1, 1), ran(loadsSet(), "pool", 0, 1, 1, 1)}}
	j.forgetSets([]set{answersSet()})
	require.Len(t, j.records, 1)
	require.Equal(t, "loads", j.records[0].Section)
}
