// Package fifo keeps the messages of a FIFO queue in order. Each message group is a
// queue, and only the front of a group is ever handed out. While messages of a
// group are out, or its first one waits for its next try, the group is closed and
// the others go on.
//
// The order of a group is the order of the answers that brought it. Sequence numbers
// count only for a message that was received again: that one belongs before those
// that came behind it. See [Groups.before].
package fifo

import (
	"container/heap"
	"slices"
	"strings"
	"time"
)

// A Message is what waits in a group.
type Message interface {
	comparable
	Group() string      // message group
	Sequence() string   // sequence number: within a group, the smaller comes first; "": unknown
	Again() bool        // it was received before, or may have been
	Arrived() time.Time // when it was received
	Failed() time.Time  // when it failed first; zero: it has not; it does not change while the message waits
	Size() int          // bytes
}

// Groups are the message groups of a queue. The zero value is not usable; see [New].
// They belong to one goroutine. A group whose messages are all settled leaves nothing
// behind.
type Groups[M Message] struct {
	groups map[string]*group[M]
	open   byArrival[M] // those whose front may be taken
	resume byTime[M]    // those whose front waits for its next try
	parked byFailure[M] // those of resume whose front has failed
	kept   int          // messages in parked groups
	weight int          // bytes of those
	ready  int          // messages in open groups
	bytes  int          // of those

	disproved bool // sequence numbers have been seen that do not increase: none is believed any more
}

type group[M Message] struct {
	name    string
	waiting []M       // in order
	bytes   int       // of those
	out     int       // taken and not settled
	at      time.Time // when the front may be tried again; zero: now
	index   int       // in open or resume
	slot    int       // one more than its index in parked; 0: it is not there
	where   place
}

// A place is where a group is registered.
type place int

const (
	closed  place = iota // nowhere: messages are out, or none wait
	opened               // in Groups.open
	delayed              // in Groups.resume
)

// New returns Groups without messages.
func New[M Message]() *Groups[M] {
	return &Groups[M]{groups: map[string]*group[M]{}}
}

// Add puts the messages of one answer into their groups: at the end, or where one that
// was received again belongs.
func (gs *Groups[M]) Add(ms ...M) {
	gs.check(ms)
	for _, m := range ms {
		g := gs.groups[m.Group()]
		if g == nil {
			g = &group[M]{name: m.Group()}
			gs.groups[g.name] = g
		}
		gs.unregister(g)
		g.waiting = gs.insert(g.waiting, m)
		g.bytes += m.Size()
		gs.register(g)
	}
}

// insert puts m behind the last of waiting that does not belong behind it.
func (gs *Groups[M]) insert(waiting []M, m M) []M {
	at := len(waiting)
	for at > 0 && gs.before(m, waiting[at-1]) {
		at-- // delivered again, behind its followers: rare
	}
	return slices.Insert(waiting, at, m)
}

// before reports whether a belongs before b although it was received later. The queue
// never delivers a later message of a group first, so one of the two was received
// again, and both have numbers.
func (gs *Groups[M]) before(a, b M) bool {
	return (a.Again() || b.Again()) && !gs.disproved && less(a.Sequence(), b.Sequence())
}

// check looks whether the numbers of messages that one answer brought for the first
// time increase within each group.
func (gs *Groups[M]) check(ms []M) {
	for i := 1; i < len(ms) && !gs.disproved; i++ {
		a, b := ms[i-1], ms[i]
		gs.disproved = a.Group() == b.Group() && !a.Again() && !b.Again() && less(b.Sequence(), a.Sequence())
	}
}

// Merge puts messages of one group together, those of front first, but for what was
// received again in behind.
func (gs *Groups[M]) Merge(front, behind []M) []M {
	if len(front) == 0 {
		return behind
	}
	merged := slices.Concat(front, behind)
	last := front[len(front)-1]
	if !slices.ContainsFunc(behind, func(m M) bool { return gs.before(m, last) }) {
		return merged
	}
	merged = merged[:len(front)]
	for _, m := range behind {
		merged = gs.insert(merged, m)
	}
	return merged
}

// Ready returns how many messages may be taken, their bytes, and when the one at
// the front of the oldest open group arrived; zero if there is none.
func (gs *Groups[M]) Ready() (n, bytes int, oldest time.Time) {
	if len(gs.open) > 0 {
		oldest = gs.open[0].waiting[0].Arrived()
	}
	return gs.ready, gs.bytes, oldest
}

// Resumes returns when the next group that waits is open again; zero: none waits.
func (gs *Groups[M]) Resumes() time.Time {
	if len(gs.resume) == 0 {
		return time.Time{}
	}
	return gs.resume[0].at
}

// Resume opens the groups whose wait is over at now.
func (gs *Groups[M]) Resume(now time.Time) {
	for len(gs.resume) > 0 && !gs.resume[0].at.After(now) {
		g := gs.resume[0]
		gs.unregister(g)
		g.at = time.Time{}
		gs.register(g)
	}
}

// Take returns up to n messages of together at most the given bytes, at least one
// if there is one: those of a group together and in order, the group whose front
// has waited longest first. The groups are closed until [Groups.Settled] was called
// for each message or [Groups.Return] brought it back.
func (gs *Groups[M]) Take(n, bytes int) (taken []M) {
	for len(gs.open) > 0 && len(taken) < n {
		g := gs.open[0]
		k := g.fits(n-len(taken), bytes, len(taken) == 0)
		if k == 0 {
			break
		}
		gs.unregister(g)
		for _, m := range g.waiting[:k] {
			bytes -= m.Size()
			g.bytes -= m.Size()
		}
		taken = append(taken, g.waiting[:k]...)
		g.waiting = slices.Delete(g.waiting, 0, k)
		g.out += k
	}
	return taken
}

// fits returns how many messages at the front are n at most and have no more bytes.
func (g *group[M]) fits(n, bytes int, first bool) (k int) {
	for k < min(n, len(g.waiting)) {
		bytes -= g.waiting[k].Size()
		if bytes < 0 && (k > 0 || !first) {
			break
		}
		k++
	}
	return k
}

// Settled notes that a message that was taken will not come back.
func (gs *Groups[M]) Settled(group string) {
	g := gs.groups[group]
	if g == nil {
		return
	}
	g.out--
	gs.register(g)
}

// Return brings messages of one group back that were taken, to be taken again from
// the given time on; zero: at once.
func (gs *Groups[M]) Return(group string, ms []M, at time.Time) {
	g := gs.groups[group]
	if g == nil || len(ms) == 0 {
		return
	}
	gs.unregister(g)
	g.out -= len(ms)
	g.waiting = gs.Merge(ms, g.waiting)
	for _, m := range ms {
		g.bytes += m.Size()
	}
	g.at = at
	gs.register(g)
}

// Leave takes the waiting messages of a group, in order, although they may not be
// handled. As with [Groups.Take] the group is closed until they are settled.
func (gs *Groups[M]) Leave(group string) (left []M) {
	return gs.leave(group, func(M) bool { return true })
}

// LeaveBehind is [Groups.Leave] for those that stand behind m, which may wait or not.
func (gs *Groups[M]) LeaveBehind(m M) (left []M) {
	g := gs.groups[m.Group()]
	if g == nil {
		return nil
	}
	at := slices.Index(g.waiting, m)
	i := -1
	return gs.leave(g.name, func(other M) bool {
		i++
		return i > at && (at >= 0 || !gs.before(other, m))
	})
}

func (gs *Groups[M]) leave(group string, is func(M) bool) (left []M) {
	g := gs.groups[group]
	if g == nil {
		return nil
	}
	gs.unregister(g)
	g.waiting = slices.DeleteFunc(g.waiting, func(m M) bool {
		if !is(m) {
			return false
		}
		g.bytes -= m.Size()
		left = append(left, m)
		return true
	})
	g.out += len(left)
	if len(g.waiting) == 0 {
		g.at = time.Time{}
	}
	gs.register(g)
	return left
}

// Remove takes waiting messages that are gone out of their group. It is as if they
// had never come.
func (gs *Groups[M]) Remove(group string, gone func(M) bool) {
	g := gs.groups[group]
	if g == nil {
		return
	}
	gs.unregister(g)
	g.waiting = slices.DeleteFunc(g.waiting, func(m M) bool {
		if !gone(m) {
			return false
		}
		g.bytes -= m.Size()
		return true
	})
	gs.register(g)
}

// Parked returns how many messages, and bytes, are in groups whose front has failed and
// waits for its next try.
func (gs *Groups[M]) Parked() (n, bytes int) { return gs.kept, gs.weight }

// LongestParked returns the one of those groups whose front failed first, and when that
// is to be tried again. There must be one.
func (gs *Groups[M]) LongestParked() (group string, until time.Time) {
	return gs.parked[0].name, gs.parked[0].at
}

// Names returns the groups that have waiting messages.
func (gs *Groups[M]) Names() (groups []string) {
	for group, g := range gs.groups {
		if len(g.waiting) > 0 {
			groups = append(groups, group)
		}
	}
	slices.Sort(groups) // maps have no order, runs should
	return groups
}

// Delayed returns the groups that wait for a time and whose front is as asked for, also
// those that are closed meanwhile because messages before it are out.
func (gs *Groups[M]) Delayed(is func(front M) bool) (groups []string) {
	for group, g := range gs.groups {
		if len(g.waiting) > 0 && !g.at.IsZero() && is(g.waiting[0]) {
			groups = append(groups, group)
		}
	}
	slices.Sort(groups)
	return groups
}

// Waits reports whether messages of the group wait.
func (gs *Groups[M]) Waits(group string) bool {
	g := gs.groups[group]
	return g != nil && len(g.waiting) > 0
}

// Len returns the number of groups of which messages are known.
func (gs *Groups[M]) Len() int { return len(gs.groups) }

// register puts g where its state says, or forgets it when it has no messages.
func (gs *Groups[M]) register(g *group[M]) {
	switch {
	case g.out > 0:
	case len(g.waiting) == 0:
		delete(gs.groups, g.name)
	case !g.at.IsZero():
		g.where = delayed
		heap.Push(&gs.resume, g)
		if g.waiting[0].Failed().IsZero() {
			return
		}
		gs.kept += len(g.waiting)
		gs.weight += g.bytes
		heap.Push(&gs.parked, g)
	default:
		g.where = opened
		gs.ready += len(g.waiting)
		gs.bytes += g.bytes
		heap.Push(&gs.open, g)
	}
}

func (gs *Groups[M]) unregister(g *group[M]) {
	switch g.where {
	case closed:
	case opened:
		gs.ready -= len(g.waiting)
		gs.bytes -= g.bytes
		heap.Remove(&gs.open, g.index)
	case delayed:
		heap.Remove(&gs.resume, g.index)
		if g.slot == 0 {
			break
		}
		gs.kept -= len(g.waiting)
		gs.weight -= g.bytes
		heap.Remove(&gs.parked, g.slot-1)
	}
	g.where = closed
}

// byArrival is a heap of groups, the one whose front arrived first on top.
type byArrival[M Message] []*group[M]

func (h byArrival[M]) Len() int { return len(h) }

func (h byArrival[M]) Less(i, j int) bool {
	a, b := h[i].waiting[0].Arrived(), h[j].waiting[0].Arrived()
	if a.Equal(b) {
		return less(h[i].waiting[0].Sequence(), h[j].waiting[0].Sequence())
	}
	return a.Before(b)
}

func (h byArrival[M]) Swap(i, j int) { swap(h, i, j) }
func (h *byArrival[M]) Push(x any)   { push((*[]*group[M])(h), x) }
func (h *byArrival[M]) Pop() any     { return pop((*[]*group[M])(h)) }

// byTime is a heap of groups, the one that resumes first on top.
type byTime[M Message] []*group[M]

func (h byTime[M]) Len() int           { return len(h) }
func (h byTime[M]) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h byTime[M]) Swap(i, j int)      { swap(h, i, j) }
func (h *byTime[M]) Push(x any)        { push((*[]*group[M])(h), x) }
func (h *byTime[M]) Pop() any          { return pop((*[]*group[M])(h)) }

// byFailure is a heap of groups, the one whose front failed first on top.
type byFailure[M Message] []*group[M]

func (h byFailure[M]) Len() int { return len(h) }

func (h byFailure[M]) Less(i, j int) bool {
	return h[i].waiting[0].Failed().Before(h[j].waiting[0].Failed())
}

func (h byFailure[M]) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].slot, h[j].slot = i+1, j+1
}

func (h *byFailure[M]) Push(x any) {
	g := x.(*group[M]) //nolint:errcheck,forcetypeassert // nothing else is ever pushed
	*h = append(*h, g)
	g.slot = len(*h)
}

func (h *byFailure[M]) Pop() any {
	g := (*h)[len(*h)-1]
	g.slot = 0
	return pop((*[]*group[M])(h))
}

func swap[M Message](h []*group[M], i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func push[M Message](h *[]*group[M], x any) {
	g := x.(*group[M]) //nolint:errcheck,forcetypeassert // nothing else is ever pushed
	g.index = len(*h)
	*h = append(*h, g)
}

func pop[M Message](h *[]*group[M]) any {
	last := len(*h) - 1
	g := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return g
}

// less reports whether a is the smaller number, of whatever length. What is no number
// is not smaller, and nothing is smaller than it.
func less(a, b string) bool {
	if !isNumber(a) || !isNumber(b) {
		return false
	}
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	if len(a) != len(b) {
		return len(a) < len(b)
	}
	return a < b
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
