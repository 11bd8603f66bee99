package main

import (
	"encoding/xml"
	"errors"
	"io"
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

func TestAShortRunOfEverythingTakesTenMinutes(t *testing.T) {
	require.Less(t, duration(quickPace.plan(profiled, busyPeers)), 10*time.Minute)
	require.Less(t, duration(fullPace.plan(profiled, busyPeers)), time.Hour)
}

func TestPeersOfAComparisonMeetTheSameWorld(t *testing.T) {
	for _, s := range fullPace.comparisons() {
		setups := map[string]server.Setup{}
		for _, job := range slices.Concat(s.jobs(World{}, 2)...) {
			require.Contains(t, append([]string{goCloudPeer}, mapKeys(peers)...), job.Spec.Peer)
			require.NotContains(t, job.Cell, ",", "a comma separates the words of -only")
			if first, ok := setups[job.Cell]; ok {
				require.Equal(t, first, job.Setup, "%s", job.Key())
			}
			setups[job.Cell] = job.Setup
		}
		require.NotEqual(t, s.jobs(World{}, 0)[0][0].Peer, s.jobs(World{}, 1)[0][0].Peer, "they take turns at being first")
	}
}

func mapKeys(m map[string]child.Peer) []string {
	var keys []string
	for key := range m {
		keys = append(keys, key)
	}
	return keys
}

// fast is a run of a job that took n messages in a second, for 40 µs of the processor each.
func fast(job Job, n int) Record {
	began := time.Unix(0, 0)
	return Record{Job: job, Result: child.Result{
		Before: server.Snapshot{At: began},
		After: server.Snapshot{
			At: began.Add(time.Second), Received: n, Deleted: n, Calls: map[string]int{"ReceiveMessage": n / 10, "DeleteMessageBatch": n / 10},
			PeakReceives: 16, PeakInFlight: 100, CPU: time.Second / 4, Cores: 1, ReceiveTime: time.Second, Left: []int{0},
		},
		CPU: time.Duration(n) * 40 * time.Microsecond, Cores: 1,
		Latency: time.Millisecond, Allocs: uint64(80 * n), Blocked: new(0.001), ToStart: []int64{1e6, 2e6},
	}}
}

// measured are the records of one round of all that there is.
func measured() []Record {
	jobs := slices.Concat(Pace{Rounds: 1, Warm: 1, Window: 1}.plan(profiled, busyPeers)...)
	jobs = append(jobs, slices.Concat(World{Rounds: 1, Scale: 1}.plan(sets())...)...)
	records := make([]Record, len(jobs))
	for i, job := range jobs {
		records[i] = fast(job, 1000)
	}
	return records
}

func TestEveryTargetHasAFigureAndSaysWhatItMeans(t *testing.T) {
	all := gather(measured())
	verdicts := targets(all)
	for _, s := range sets() {
		verdicts = append(verdicts, s.verdicts(all)...)
	}
	seen := map[string]bool{}
	for _, v := range verdicts {
		require.False(t, v.None, v.Target)
		require.NotEmpty(t, meaning(v.Target), v.Target)
		seen[strings.TrimSuffix(v.Target, " (batches)")] = true
	}
	for target := range meanings {
		require.True(t, seen[target], "there is no target %q", target)
	}
}

func TestARunWithoutMessagesMeetsNoTarget(t *testing.T) {
	records := measured()
	for i := range records {
		if ours(records[i].Peer) && records[i].Section != sectionIdle {
			records[i].Result.After.Deleted, records[i].Result.After.Received = 0, 0
		}
	}
	for _, v := range gather(records).costTargets() {
		require.False(t, v.Met, v.Target)
	}
	for _, s := range fullPace.comparisons() {
		for _, v := range s.verdicts(gather(records)) {
			require.True(t, v.None || !v.Met, v.Target)
		}
	}
}

func TestAMissInManyPlacesIsOneLine(t *testing.T) {
	c := check{target: "fast"}
	for i, v := range []float64{1, 0.5, 0.25, 0.75, 0.5, 0.5} {
		c.atLeast(string(rune('a'+i))+":", sample{v}, 1, "%.2f")
	}
	require.Equal(t, "not met  fast: missed in 5 of 6 places, most of all c: 0.25 of at least 1.00", c.verdict().String())
}

func TestProcessorTimeIsJudgedBesideBothLoops(t *testing.T) {
	cell := cells()[0]
	run := func(section, peer string, batch int, cpu time.Duration) Record {
		r := fast(fullPace.steady(section, cell, peer, batch, 0), 1000)
		r.Result.CPU = 1000 * cpu
		return r
	}
	all := gather([]Record{
		run(sectionCells, "sluice", 0, 40*time.Microsecond), run(sectionBatches, "sluice", 100, 30*time.Microsecond),
		run(sectionCells, "expert", 0, 80*time.Microsecond), run(sectionCells, expertDefault, 0, 100*time.Microsecond),
	})
	verdicts := all.costTargets()
	require.True(t, verdicts[0].Met, verdicts[0].String())
	require.Equal(t, "not met  H 0: CPU/msg ≤ 0.45 / 0.40 × the expert's loop on the same client: L 1, H 0, C 16: 0.50 of at most 0.45", verdicts[1].String())
	require.True(t, verdicts[2].None, "no cell with a handler that takes time was measured")
}

func TestTheDefaultClientIsTheSDKs(t *testing.T) {
	job := fullPace.steady(sectionCells, cells()[0], expertDefault, 0, 0)
	require.Equal(t, "expert", job.Spec.Peer)
	require.Equal(t, child.SDKClient, job.Spec.Client)
	require.Equal(t, expertDefault, job.Peer)
}

func TestALimitOfBothLoopsNamesTheLoopThatIsMissed(t *testing.T) {
	s := fullPace.comparisons()[1]
	var records []Record
	for _, job := range slices.Concat(s.jobs(World{}, 0)...) {
		r := fast(job, 100)
		if ours(job.Peer) {
			r.Result.CPU /= 2
		}
		if job.Peer == expertDefault {
			r.Result.CPU *= 2
		}
		records = append(records, r)
	}
	require.Equal(t, "not met  bodies: 64 KiB: CPU/msg ≤ 0.40 × the loop's, on both clients: "+
		"64 KiB, sluice: expert 0.50 × of at most 0.40 ×; 64 KiB, batches of 100: expert 0.50 × of at most 0.40 ×", s.verdicts(gather(records))[0].String())
}

func TestTheBestPeerOfARoundIsTheMeasure(t *testing.T) {
	s := fullPace.comparisons()[3]
	rates := map[string]int{"sluice": 900, "batches of 100": 1200, "expert": 500, expertDefault: 400, "pool": 1000, goCloudPeer: 100}
	var records []Record
	for _, job := range s.jobs(World{}, 0)[:len(rates)] {
		records = append(records, fast(job[0], rates[job[0].Peer]))
	}
	require.Equal(t, "not met  short: messages/s ≥ the best peer's: 1 to 10, sluice: 0.90 × of at least 1.00 ×", s.verdicts(gather(records))[0].String())
}

func TestCoresOfTheirOwnAreBoundOneByOne(t *testing.T) {
	r := fast(Job{Apart: true}, 20_000) // 40 µs each, and 12.5 of the server
	require.InDelta(t, 25_000, r.bound(), 1)
	require.InDelta(t, 0.8, r.busy(), 1e-9)
	require.InDelta(t, 0.25, r.serverBusy(), 1e-9)
	r.Apart = false
	require.InDelta(t, 1e6/52.5, r.bound(), 1, "they share a core")
}

func TestRunsWithCoresOfTheirOwnNeedAServerOfTheirOwn(t *testing.T) {
	_, err := (&lab{}).run(t.Context(), Job{Apart: true})
	require.EqualError(t, err, "server and consumer cannot have cores of their own here")
}

func TestResultsBeginWithTablesAndEndWithTargets(t *testing.T) {
	folder := t.TempDir()
	records := slices.DeleteFunc(measured(), func(r Record) bool { return r.Section == sectionProfile || r.Section == sectionLocks })
	require.NoError(t, report(folder, records))
	text, err := os.ReadFile(filepath.Join(folder, "results.md"))
	require.NoError(t, err)
	var heads []string
	for line := range strings.Lines(string(text)) {
		if head, ok := strings.CutPrefix(line, "## "); ok {
			heads = append(heads, strings.TrimSpace(head))
		}
	}
	require.Equal(t, "Throughput", heads[0])
	require.Equal(t, "Targets", heads[len(heads)-1])
	require.Contains(t, heads, "Over TLS")
	require.Contains(t, string(text), "| target | | figures | for a user |")
	require.NotContains(t, string(text), "NaN")
}

func TestNoTextOfTheChartsHeadSharesALine(t *testing.T) {
	lines := map[string]int{}
	d := xml.NewDecoder(strings.NewReader(string(chart(gather(measured())))))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		start, ok := token.(xml.StartElement)
		if !ok || start.Name.Local != "text" {
			continue
		}
		x, y := "", ""
		for _, a := range start.Attr {
			switch a.Name.Local {
			case "x":
				x = a.Value
			case "y":
				y = a.Value
			}
		}
		if x == "12" { // of the left margin: the head, and the labels of the left panels
			lines[y]++
		}
	}
	for y, n := range lines {
		require.Equal(t, 1, n, "texts at y=%s", y)
	}
	require.GreaterOrEqual(t, len(lines), 1+len(legend))
}

func TestAMedianOfInfiniteFiguresIsInfinite(t *testing.T) {
	require.True(t, math.IsInf(sample{math.Inf(1), 1, math.Inf(1)}.median(), 1))
}
