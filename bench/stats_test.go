package main

import (
	"encoding/xml"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/bench/child"
	"github.com/sluice-go/sluice/bench/server"
)

func TestMedianIsTheMiddleFigure(t *testing.T) {
	for _, c := range []struct {
		figures sample
		want    float64
	}{{nil, 0}, {sample{3}, 3}, {sample{9, 1, 5}, 5}, {sample{4, 1, 2, 9}, 3}} {
		require.InDelta(t, c.want, c.figures.median(), 1e-9, "%v", c.figures)
	}
}

func TestSpreadIsHalfTheRangeAsAShareOfTheMedian(t *testing.T) {
	require.InDelta(t, 0.1, sample{90, 100, 110}.spread(), 1e-9)
	require.Zero(t, sample{100}.spread())
}

func TestQuantileTakesTheNearestFigure(t *testing.T) {
	figures := []int64{50, 10, 40, 20, 30}
	require.Equal(t, time.Duration(30), quantile(figures, 0.5))
	require.Equal(t, time.Duration(50), quantile(figures, 0.99))
	require.Zero(t, quantile(nil, 0.5))
}

func TestThousandsAreSeparated(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 999.4: "999", 1000: "1,000", 1234567: "1,234,567", -4321: "-4,321"} {
		require.Equal(t, want, thousands(v))
	}
}

// record is a run that handled n messages in a second.
func record(peer string, round, n int) Record {
	c := cells()[0]
	job := fullPace.steady(sectionCells, c, peer, 0, round)
	began := time.Unix(0, 0)
	return Record{Job: job, Result: child.Result{
		Before:  server.Snapshot{At: began},
		After:   server.Snapshot{At: began.Add(time.Second), Deleted: n, Calls: map[string]int{"ReceiveMessage": n / 10, "DeleteMessageBatch": n / 10}, PeakReceives: 16},
		CPU:     time.Duration(n) * 40 * time.Microsecond,
		Latency: time.Millisecond, Allocs: uint64(80 * n),
	}}
}

func TestMainTableHasAFieldForEachPeerAndCell(t *testing.T) {
	all := gather([]Record{record("sluice", 0, 20_000), record("sluice", 1, 22_000), record("expert", 0, 10_000)})
	var p page
	p.throughput(all)
	require.Contains(t, p.String(), "| **sluice** | 21,000 ±5 % · 0.200 · 40 | – | – |")
	require.Contains(t, p.String(), "| the expert's loop | 10,000 · 0.200 · 40 | – | – |")
}

func TestRatiosAreTakenWithinARound(t *testing.T) {
	all := gather([]Record{
		record("sluice", 0, 20_000), record("expert", 0, 10_000), // a fast moment of the machine
		record("sluice", 1, 4_000), record("expert", 1, 2_000), // and a slow one
		record("sluice", 2, 9_000), // without its counterpart
	})
	ratio := all.against(sectionCells, cells()[0].String(), "sluice", "expert", (*Record).rate)
	require.Equal(t, sample{2, 2}, ratio)
}

func TestVerdictsNameWhatIsMissed(t *testing.T) {
	c := check{target: "fast"}
	require.True(t, c.verdict().None)
	c.atLeast("here:", sample{2}, 1, "%.1f")
	require.True(t, c.verdict().Met)
	c.atLeast("there:", sample{0.5}, 1, "%.1f")
	require.False(t, c.verdict().Met)
	require.Equal(t, "not met  fast: there: 0.5 of at least 1.0", c.verdict().String())
}

func TestWaitingForMutexesIsJudgedWhereItIsKnown(t *testing.T) {
	r := record("sluice", 0, 1000)
	r.Cell = cells()[2].String()
	require.True(t, gather([]Record{r}).lockTargets()[0].None)
	r.Result.Blocked = new(0.005) // seconds of one
	require.Equal(t, "met      waiting for mutexes at C 256: ≤ 1 % of a core: the nearest: L 1, H 50, C 256: 0.50 % of at most 1.00 %", gather([]Record{r}).lockTargets()[0].String())
}

func TestBatchesAreHeldToTheSameCosts(t *testing.T) {
	one, batch, expert := record("sluice", 0, 1000), record("batches of 10", 0, 1000), record("expert", 0, 1000)
	batch.Section, batch.Result.PeakRSS = sectionBatches, 30_200_000
	all := gather([]Record{one, batch, expert})
	require.True(t, all.memoryTargets(sectionCells)[0].Met)
	require.Equal(t, "not met  RSS ≤ 25 MB (batches): L 1, H 0, C 16, batches of 10: 30.2 of at most 25.0", all.memoryTargets(sectionBatches)[0].String())
}

func TestChartIsWellFormed(t *testing.T) {
	d := xml.NewDecoder(strings.NewReader(string(chart(gather([]Record{record("sluice", 0, 20_000), record("expert", 0, 10_000)})))))
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
	}
}

func TestAStackIsCountedForTheInnermostOwner(t *testing.T) {
	require.Equal(t, "kernel", kindOf([]string{"internal/runtime/syscall/linux.Syscall6", "syscall.write", "net/http.(*persistConn).writeLoop"}))
	require.Equal(t, "sluice", kindOf([]string{"runtime.mallocgc", "github.com/sluice-go/sluice.(*run).take"}))
	require.Equal(t, collecting, kindOf([]string{"runtime.scanObject", "runtime.gcDrain", "runtime.gcBgMarkWorker"}))
	require.Equal(t, growing, kindOf([]string{"runtime.copystack", "runtime.newstack", "runtime.morestack", "net/http.(*Client).do"}))
	require.Equal(t, scheduling, kindOf([]string{"runtime.findRunnable", "runtime.schedule"}))
}

func TestOnlyKeepsTheRunsThatAreNamed(t *testing.T) {
	plan := fullPace.plan([]string{"sluice"}, []string{"sluice", "expert"})
	for _, group := range only(plan, "cells/L8,idle") {
		for _, job := range group {
			require.Regexp(t, "cells/L8|idle", job.Key())
		}
	}
	require.Empty(t, only(plan, "nothing of that name"))
}

func TestEveryRunHasItsOwnName(t *testing.T) {
	seen := map[string]bool{}
	for _, group := range fullPace.plan([]string{"sluice", "expert"}, []string{"sluice", "expert"}) {
		for _, job := range group {
			require.False(t, seen[job.Key()], "%s", job.Key())
			seen[job.Key()] = true
		}
	}
}

func TestAJournalForgetsOnlyWhatIsMadeAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "runs.jsonl")
	j, err := openJournal(path, true)
	require.NoError(t, err)
	sluice, expert := record("sluice", 0, 1000), record("expert", 0, 1000)
	require.NoError(t, j.add(&sluice, nil, &expert)) // a run that failed has no record

	j, err = openJournal(path, true)
	require.NoError(t, err)
	require.True(t, j.has(sluice.Key()))
	j.forget([][]Job{{expert.Job}})
	require.True(t, j.has(sluice.Key()))
	require.False(t, j.has(expert.Key()))

	j, err = openJournal(path, false)
	require.NoError(t, err)
	require.False(t, j.has(sluice.Key()))
}
