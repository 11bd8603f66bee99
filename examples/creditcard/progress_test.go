package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// shown returns what a progress writes while count goes up by one each second, for so
// many seconds.
func shown(t *testing.T, terminal bool, seconds int, count func(second int) string) (out string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var buffer bytes.Buffer
		p := newProgress(&buffer, terminal)
		p.enterf("trading", "it begins")
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(seconds)*time.Second+time.Millisecond)
		defer cancel()
		p.watch(ctx, func() string { return count(int(time.Since(p.began) / time.Second)) })
		out = buffer.String()
	})
	return out
}

func TestWithoutATerminalThereIsALineEveryFewSeconds(t *testing.T) {
	out := shown(t, false, 5, func(second int) string { return fmt.Sprint("staged ", second) })
	require.Equal(t, "  0.00 s  trading: it begins\n  2.00 s  trading: staged 2\n  4.00 s  trading: staged 4\n", out)
}

func TestWithoutATerminalNothingNewIsNoLine(t *testing.T) {
	out := shown(t, false, 50, func(second int) string { return fmt.Sprint("staged ", second/30) })
	require.Equal(t, "  0.00 s  trading: it begins\n  2.00 s  trading: staged 0\n 32.21 s  trading: staged 1\n", out)
}

func TestALongDayDoesNotFillALogFile(t *testing.T) {
	out := shown(t, false, 12*60*60, func(second int) string { return fmt.Sprint("staged ", second) })
	require.InDelta(t, 12*60, strings.Count(out, "\n"), 40)
}

func TestATerminalHasOneLineThatIsWrittenOver(t *testing.T) {
	out := shown(t, true, 2, func(second int) string { return fmt.Sprint("staged ", second) })
	require.Equal(t, 1, strings.Count(out, "\n"), "only that of the phase")
	require.Contains(t, out, "\r\x1b[K  1.50 s  trading: staged 1\r\x1b[K  1.60 s  trading: staged 1\r")
	require.True(t, strings.HasSuffix(out, "\r\x1b[K"), "it is gone in the end")
}

func TestLinesOfTheLogDoNotStandInTheLineOfTheTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := newProgress(&out, true)
		p.show("staged 1")
		slog.New(slog.NewTextHandler(p, nil)).Warn("a message failed")
		p.show("staged 2")
		lines := strings.Split(out.String(), "\n")
		require.Len(t, lines, 2)
		require.Contains(t, lines[0], "staged 1\r\x1b[Ktime=")
		require.True(t, strings.HasPrefix(lines[1], "\r\x1b[K"))
	})
}

func TestALineFitsIntoATerminal(t *testing.T) {
	out := shown(t, true, 1, func(int) string { return strings.Repeat("é", 200) + "\x1b[31m" })
	for line := range strings.SplitSeq(strings.ReplaceAll(out, "\n", ""), "\r\x1b[K") {
		require.Less(t, len([]rune(line)), screen)
		require.NotContains(t, line, "\x1b")
	}
}

func TestTheLineSaysHowFarTheDayIs(t *testing.T) {
	tell(t, func(w *world) {
		w.seed, w.batch = 2, 25
		s, err := w.begin()
		require.NoError(w, err)
		require.Equal(w, "staged 0  settled 0  review 0", s.progressLine())
		made := w.made()[:90]
		require.NoError(w, w.db.remember(w.Context(), made))
		require.NoError(w, s.open(w.Context(), made, time.Time{}))
		require.Equal(w, "staged 90  settled 90  review 0  batches 25 25 15", s.progressLine())
	})
}
