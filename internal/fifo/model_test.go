package fifo_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/fifo"
)

// A model does what Groups do, in the simplest way: it looks at everything, each
// time.
type model struct{ groups map[string]*modelGroup }

type modelGroup struct {
	waiting []*msg
	taken   []*msg // may come back
	left    []*msg // will not
	at      time.Time
}

func (g *modelGroup) busy() bool    { return len(g.taken)+len(g.left) > 0 }
func (g *modelGroup) idle() bool    { return !g.busy() && len(g.waiting) > 0 }
func (g *modelGroup) open() bool    { return g.idle() && g.at.IsZero() }
func (g *modelGroup) delayed() bool { return g.idle() && !g.at.IsZero() }

func (m *model) group(name string) *modelGroup {
	if m.groups[name] == nil {
		m.groups[name] = &modelGroup{}
	}
	return m.groups[name]
}

func (m *model) tidy() {
	for name, g := range m.groups {
		if len(g.waiting) == 0 && !g.busy() {
			delete(m.groups, name)
		}
	}
}

func (m *model) add(ms ...*msg) {
	for _, v := range ms {
		g := m.group(v.group)
		g.waiting = append(g.waiting, v)
		slices.SortStableFunc(g.waiting, func(a, b *msg) int { return cmp.Compare(a.number, b.number) })
	}
}

// line returns the open groups, the one whose front has waited longest first.
func (m *model) line() (gs []*modelGroup) {
	for _, g := range m.groups {
		if g.open() {
			gs = append(gs, g)
		}
	}
	slices.SortFunc(gs, func(a, b *modelGroup) int {
		return cmp.Or(a.waiting[0].arrived.Compare(b.waiting[0].arrived), cmp.Compare(a.waiting[0].number, b.waiting[0].number))
	})
	return gs
}

func (m *model) take(n, bytes int) (taken []*msg) {
	for _, g := range m.line() {
		for len(g.waiting) > 0 {
			front := g.waiting[0]
			if len(taken) == n || (len(taken) > 0 && front.size > bytes) {
				break
			}
			bytes -= front.size
			taken = append(taken, front)
			g.taken = append(g.taken, front)
			g.waiting = g.waiting[1:]
		}
		if len(g.taken) == 0 {
			break
		}
	}
	return taken
}

func (m *model) resume(now time.Time) {
	for _, g := range m.groups {
		if g.delayed() && !g.at.After(now) {
			g.at = time.Time{}
		}
	}
}

// names returns the names of the groups for which is holds, in fifo.
func (m *model) names(is func(*modelGroup) bool) (names []string) {
	for name, g := range m.groups {
		if is(g) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// agree checks that Groups show what the model does.
func (m *model) agree(t *testing.T, ls *fifo.Groups[*msg]) {
	t.Helper()
	var n, bytes int
	var oldest time.Time
	for i, g := range m.line() {
		if i == 0 {
			oldest = g.waiting[0].arrived
		}
		n += len(g.waiting)
		for _, v := range g.waiting {
			bytes += v.size
		}
	}
	var resumes time.Time
	for _, g := range m.groups {
		if g.delayed() && (resumes.IsZero() || g.at.Before(resumes)) {
			resumes = g.at
		}
	}
	gotN, gotBytes, gotOldest := ls.Ready()
	require.Equal(t, n, gotN, "ready")
	require.Equal(t, bytes, gotBytes, "their bytes")
	require.Equal(t, oldest, gotOldest, "the oldest")
	require.Equal(t, resumes, ls.Resumes(), "resumes")
	m.agreeOnParked(t, ls)
	require.Equal(t, m.names(func(g *modelGroup) bool { return len(g.waiting) > 0 }), ls.Names())
	for name, g := range m.groups {
		require.Equal(t, len(g.waiting) > 0, ls.Waits(name))
	}
	require.Equal(t, m.names(func(g *modelGroup) bool { return len(g.waiting) > 0 && !g.at.IsZero() }), ls.Delayed(func(*msg) bool { return true }))
	require.Len(t, m.groups, ls.Len(), "groups known")
}

func (m *model) agreeOnParked(t *testing.T, ls *fifo.Groups[*msg]) {
	t.Helper()
	var n, bytes int
	var longest time.Time
	for _, g := range m.groups {
		if !g.delayed() || g.waiting[0].failed.IsZero() {
			continue
		}
		n += len(g.waiting)
		for _, v := range g.waiting {
			bytes += v.size
		}
		if failed := g.waiting[0].failed; longest.IsZero() || failed.Before(longest) {
			longest = failed
		}
	}
	gotN, gotBytes := ls.Parked()
	require.Equal(t, n, gotN, "parked")
	require.Equal(t, bytes, gotBytes, "their bytes")
	if n > 0 {
		group, until := ls.LongestParked()
		require.Equal(t, longest, m.groups[group].waiting[0].failed)
		require.Equal(t, m.groups[group].at, until)
	}
}

// A walk makes random calls of Groups and of the model.
type walk struct {
	*testing.T

	rng   *rand.Rand
	lines *fifo.Groups[*msg]
	model model
	now   time.Time
	sent  int
	gone  []*msg // given back: they may be received again
}

func (w *walk) step() {
	w.now = w.now.Add(time.Duration(w.rng.IntN(1000)) * time.Millisecond)
	switch w.rng.IntN(10) {
	case 0, 1, 2:
		w.add()
	case 3, 4:
		w.take()
	case 5, 6:
		w.end()
	case 7:
		w.lines.Resume(w.now)
		w.model.resume(w.now)
	case 8:
		w.leave()
	case 9:
		w.remove()
	}
	w.model.tidy()
	w.model.agree(w.T, w.lines)
}

// add brings new messages, or one that was here before.
func (w *walk) add() {
	if len(w.gone) > 0 && w.rng.IntN(2) == 0 {
		last := w.gone[len(w.gone)-1]
		w.gone = w.gone[:len(w.gone)-1]
		if w.model.group(last.group).busy() {
			return // while later ones of its group are out SQS would not deliver it
		}
		last.arrived = w.now
		w.lines.Add(last)
		w.model.add(last)
		return
	}
	var ms []*msg
	for range 1 + w.rng.IntN(10) {
		w.sent++
		ms = append(ms, newMsg(fmt.Sprint(w.rng.IntN(8)), w.sent, w.now, w.rng.IntN(100)))
	}
	w.lines.Add(ms...)
	w.model.add(ms...)
}

func (w *walk) take() {
	n, bytes := 1+w.rng.IntN(12), w.rng.IntN(500)
	closed := w.model.names((*modelGroup).busy)
	want, got := w.model.take(n, bytes), w.lines.Take(n, bytes)
	require.Equal(w, names(want), names(got))
	last := map[string]int{}
	for _, m := range got {
		require.NotContains(w, closed, m.group, "a group whose messages are out")
		require.Greater(w, m.number, last[m.group], "out of order")
		last[m.group] = m.number
	}
}

// end settles the first messages of a group that are out, and may return the rest
// of those that were taken.
func (w *walk) end() {
	name, g := w.some((*modelGroup).busy)
	if g == nil {
		return
	}
	for range w.rng.IntN(len(g.left) + 1) {
		w.gone, g.left = append(w.gone, g.left[0]), g.left[1:]
		w.lines.Settled(name)
	}
	for range w.rng.IntN(len(g.taken) + 1) {
		w.gone, g.taken = append(w.gone, g.taken[0]), g.taken[1:]
		w.lines.Settled(name)
	}
	if len(g.taken) == 0 || w.rng.IntN(2) == 0 {
		return
	}
	var at time.Time
	if w.rng.IntN(2) == 0 {
		at = w.now.Add(time.Duration(1+w.rng.IntN(10_000)) * time.Millisecond)
	}
	back := g.taken
	if !at.IsZero() && w.rng.IntN(2) == 0 {
		back[0].failed = w.now
	}
	g.waiting = slices.Concat(back, g.waiting)
	g.taken, g.at = nil, at
	w.lines.Return(name, back, at)
}

// some returns a random group for which is holds.
func (w *walk) some(is func(*modelGroup) bool) (name string, g *modelGroup) {
	names := w.model.names(is)
	if len(names) == 0 {
		return "", nil
	}
	name = names[w.rng.IntN(len(names))]
	return name, w.model.groups[name]
}

func known(*modelGroup) bool { return true }

func (w *walk) leave() {
	name, g := w.some(known)
	if g == nil {
		return
	}
	behind := w.rng.IntN(w.sent + 1)
	if w.rng.IntN(2) == 0 {
		behind = 0
	}
	var want []*msg
	before := g.waiting
	g.waiting = slices.DeleteFunc(slices.Clone(g.waiting), func(m *msg) bool {
		if m.number > behind {
			want = append(want, m)
		}
		return m.number > behind
	})
	g.left = append(g.left, want...)
	if len(g.waiting) == 0 {
		g.at = time.Time{}
	}
	if behind == 0 {
		require.Equal(w, names(want), names(w.lines.Leave(name)))
		return
	}
	last := newMsg(name, behind, w.now, 0)
	if i := slices.IndexFunc(before, func(m *msg) bool { return m.number == behind }); i >= 0 {
		last = before[i]
	}
	require.Equal(w, names(want), names(w.lines.LeaveBehind(last)))
}

func (w *walk) remove() {
	name, g := w.some(known)
	if g == nil {
		return
	}
	unlucky := w.rng.IntN(3)
	gone := func(m *msg) bool { return m.number%3 == unlucky }
	g.waiting = slices.DeleteFunc(slices.Clone(g.waiting), gone)
	w.lines.Remove(name, gone)
}

// finish settles all that is left; then nothing may be.
func (w *walk) finish() {
	for w.lines.Len() > 0 {
		for name, g := range w.model.groups {
			for range len(g.taken) + len(g.left) {
				w.lines.Settled(name)
			}
			g.taken, g.left = nil, nil
		}
		w.lines.Resume(w.now.Add(time.Hour))
		w.model.resume(w.now.Add(time.Hour))
		w.model.tidy()
		require.Equal(w, names(w.model.take(plenty, plenty)), names(w.lines.Take(plenty, plenty)))
	}
	w.model.tidy()
	w.model.agree(w.T, w.lines)
	require.Empty(w, w.model.groups)
}

func TestLinesDoWhatTheSimplestModelDoes(t *testing.T) {
	for seed := range uint64(100) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			w := &walk{
				T: t, rng: rand.New(rand.NewPCG(seed, 0)), now: noon,
				lines: fifo.New[*msg](), model: model{groups: map[string]*modelGroup{}},
			}
			for range 150 {
				w.step()
			}
			w.finish()
		})
	}
}
