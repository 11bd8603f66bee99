// Package order keeps the messages of a FIFO queue in order: each message group is
// a line, and only the front of a line is ever handed out. While messages of a
// group are out, or its first one waits for its next try, the group is closed and
// the others go on.
//
// The order of a group is the order of the answers that brought it. Sequence numbers
// count only for a message that was received again: that one belongs before those
// that came behind it. See [Lines.before].
package order

import (
	"container/heap"
	"slices"
	"strings"
	"time"
)

// A Message is what stands in a line.
type Message interface {
	comparable
	Group() string      // message group
	Sequence() string   // sequence number: within a group, the smaller comes first; "": unknown
	Again() bool        // it was received before, or may have been
	Arrived() time.Time // when it was received
	Failed() time.Time  // when it failed first; zero: it has not; it does not change while the message waits
	Size() int          // bytes
}

// Lines are the lines of a queue. The zero value is not usable; see [New]. They
// belong to one goroutine. A group whose messages are all settled leaves nothing
// behind.
type Lines[M Message] struct {
	lines  map[string]*line[M]
	open   byArrival[M] // lines whose front may be taken
	resume byTime[M]    // lines whose front waits for its next try
	parked byFailure[M] // those of resume whose front has failed
	kept   int          // messages in parked lines
	weight int          // bytes of those
	ready  int          // messages in open lines
	bytes  int          // of those

	disproved bool // sequence numbers have been seen that do not increase: none is believed any more
}

type line[M Message] struct {
	group   string
	waiting []M       // in order
	bytes   int       // of those
	out     int       // taken and not settled
	at      time.Time // when the front may be tried again; zero: now
	index   int       // in open or resume
	slot    int       // one more than its index in parked; 0: it is not there
	where   place
}

// A place is where a line is registered.
type place int

const (
	closed  place = iota // nowhere: messages are out, or none wait
	opened               // in Lines.open
	delayed              // in Lines.resume
)

// New returns lines without messages.
func New[M Message]() *Lines[M] {
	return &Lines[M]{lines: map[string]*line[M]{}}
}

// Add puts the messages of one answer into their lines: at the end, or where one that
// was received again belongs.
func (ls *Lines[M]) Add(ms ...M) {
	ls.check(ms)
	for _, m := range ms {
		l := ls.lines[m.Group()]
		if l == nil {
			l = &line[M]{group: m.Group()}
			ls.lines[l.group] = l
		}
		ls.unregister(l)
		l.waiting = ls.insert(l.waiting, m)
		l.bytes += m.Size()
		ls.register(l)
	}
}

// insert puts m behind the last of waiting that does not belong behind it.
func (ls *Lines[M]) insert(waiting []M, m M) []M {
	at := len(waiting)
	for at > 0 && ls.before(m, waiting[at-1]) {
		at-- // delivered again, behind its followers: rare
	}
	return slices.Insert(waiting, at, m)
}

// before reports whether a belongs before b although it was received later. The queue
// never delivers a later message of a group first, so one of the two was received
// again, and both have numbers.
func (ls *Lines[M]) before(a, b M) bool {
	return (a.Again() || b.Again()) && !ls.disproved && less(a.Sequence(), b.Sequence())
}

// check looks whether the numbers of messages that one answer brought for the first
// time increase within each group.
func (ls *Lines[M]) check(ms []M) {
	for i := 1; i < len(ms) && !ls.disproved; i++ {
		a, b := ms[i-1], ms[i]
		ls.disproved = a.Group() == b.Group() && !a.Again() && !b.Again() && less(b.Sequence(), a.Sequence())
	}
}

// Merge puts messages of one group together, those of front first, but for what was
// received again in behind.
func (ls *Lines[M]) Merge(front, behind []M) []M {
	if len(front) == 0 {
		return behind
	}
	merged := slices.Concat(front, behind)
	last := front[len(front)-1]
	if !slices.ContainsFunc(behind, func(m M) bool { return ls.before(m, last) }) {
		return merged
	}
	merged = merged[:len(front)]
	for _, m := range behind {
		merged = ls.insert(merged, m)
	}
	return merged
}

// Ready returns how many messages may be taken, their bytes, and when the one at
// the front of the oldest line arrived; zero if there is none.
func (ls *Lines[M]) Ready() (n, bytes int, oldest time.Time) {
	if len(ls.open) > 0 {
		oldest = ls.open[0].waiting[0].Arrived()
	}
	return ls.ready, ls.bytes, oldest
}

// Resumes returns when the next line that waits is open again; zero: none waits.
func (ls *Lines[M]) Resumes() time.Time {
	if len(ls.resume) == 0 {
		return time.Time{}
	}
	return ls.resume[0].at
}

// Resume opens the lines whose wait is over at now.
func (ls *Lines[M]) Resume(now time.Time) {
	for len(ls.resume) > 0 && !ls.resume[0].at.After(now) {
		l := ls.resume[0]
		ls.unregister(l)
		l.at = time.Time{}
		ls.register(l)
	}
}

// Take returns up to n messages of together at most the given bytes, at least one
// if there is one: those of a group together and in order, the group whose front
// has waited longest first. The groups are closed until [Lines.Settled] was called
// for each message or [Lines.Return] brought it back.
func (ls *Lines[M]) Take(n, bytes int) (taken []M) {
	for len(ls.open) > 0 && len(taken) < n {
		l := ls.open[0]
		k := l.fits(n-len(taken), bytes, len(taken) == 0)
		if k == 0 {
			break
		}
		ls.unregister(l)
		for _, m := range l.waiting[:k] {
			bytes -= m.Size()
			l.bytes -= m.Size()
		}
		taken = append(taken, l.waiting[:k]...)
		l.waiting = slices.Delete(l.waiting, 0, k)
		l.out += k
	}
	return taken
}

// fits returns how many messages at the front are n at most and have no more bytes.
func (l *line[M]) fits(n, bytes int, first bool) (k int) {
	for k < min(n, len(l.waiting)) {
		bytes -= l.waiting[k].Size()
		if bytes < 0 && (k > 0 || !first) {
			break
		}
		k++
	}
	return k
}

// Settled notes that a message that was taken will not come back.
func (ls *Lines[M]) Settled(group string) {
	l := ls.lines[group]
	if l == nil {
		return
	}
	l.out--
	ls.register(l)
}

// Return brings messages of one group back that were taken, to be taken again from
// the given time on; zero: at once.
func (ls *Lines[M]) Return(group string, ms []M, at time.Time) {
	l := ls.lines[group]
	if l == nil || len(ms) == 0 {
		return
	}
	ls.unregister(l)
	l.out -= len(ms)
	l.waiting = ls.Merge(ms, l.waiting)
	for _, m := range ms {
		l.bytes += m.Size()
	}
	l.at = at
	ls.register(l)
}

// Leave takes the waiting messages of a group, in order, although they may not be
// handled. As with [Lines.Take] the group is closed until they are settled.
func (ls *Lines[M]) Leave(group string) (left []M) {
	return ls.leave(group, func(M) bool { return true })
}

// LeaveBehind is [Lines.Leave] for those that stand behind m, which may wait or not.
func (ls *Lines[M]) LeaveBehind(m M) (left []M) {
	l := ls.lines[m.Group()]
	if l == nil {
		return nil
	}
	at := slices.Index(l.waiting, m)
	i := -1
	return ls.leave(l.group, func(other M) bool {
		i++
		return i > at && (at >= 0 || !ls.before(other, m))
	})
}

func (ls *Lines[M]) leave(group string, is func(M) bool) (left []M) {
	l := ls.lines[group]
	if l == nil {
		return nil
	}
	ls.unregister(l)
	l.waiting = slices.DeleteFunc(l.waiting, func(m M) bool {
		if !is(m) {
			return false
		}
		l.bytes -= m.Size()
		left = append(left, m)
		return true
	})
	l.out += len(left)
	if len(l.waiting) == 0 {
		l.at = time.Time{}
	}
	ls.register(l)
	return left
}

// Remove takes waiting messages that are gone out of their line. It is as if they
// had never come.
func (ls *Lines[M]) Remove(group string, gone func(M) bool) {
	l := ls.lines[group]
	if l == nil {
		return
	}
	ls.unregister(l)
	l.waiting = slices.DeleteFunc(l.waiting, func(m M) bool {
		if !gone(m) {
			return false
		}
		l.bytes -= m.Size()
		return true
	})
	ls.register(l)
}

// Parked returns how many messages, and bytes, are in lines whose front has failed and
// waits for its next try.
func (ls *Lines[M]) Parked() (n, bytes int) { return ls.kept, ls.weight }

// LongestParked returns the group of those lines whose front failed first, and when that
// is to be tried again. There must be one.
func (ls *Lines[M]) LongestParked() (group string, until time.Time) {
	return ls.parked[0].group, ls.parked[0].at
}

// Groups returns the groups that have waiting messages.
func (ls *Lines[M]) Groups() (groups []string) {
	for group, l := range ls.lines {
		if len(l.waiting) > 0 {
			groups = append(groups, group)
		}
	}
	slices.Sort(groups) // maps have no order, runs should
	return groups
}

// Delayed returns the groups that wait for a time and whose front is as asked for, also
// those that are closed meanwhile because messages before it are out.
func (ls *Lines[M]) Delayed(is func(front M) bool) (groups []string) {
	for group, l := range ls.lines {
		if len(l.waiting) > 0 && !l.at.IsZero() && is(l.waiting[0]) {
			groups = append(groups, group)
		}
	}
	slices.Sort(groups)
	return groups
}

// Waits tells whether messages of the group wait.
func (ls *Lines[M]) Waits(group string) bool {
	l := ls.lines[group]
	return l != nil && len(l.waiting) > 0
}

// Len returns the number of groups of which messages are known.
func (ls *Lines[M]) Len() int { return len(ls.lines) }

// register puts l where its state says, or forgets it when it has no messages.
func (ls *Lines[M]) register(l *line[M]) {
	switch {
	case l.out > 0:
	case len(l.waiting) == 0:
		delete(ls.lines, l.group)
	case !l.at.IsZero():
		l.where = delayed
		heap.Push(&ls.resume, l)
		if l.waiting[0].Failed().IsZero() {
			return
		}
		ls.kept += len(l.waiting)
		ls.weight += l.bytes
		heap.Push(&ls.parked, l)
	default:
		l.where = opened
		ls.ready += len(l.waiting)
		ls.bytes += l.bytes
		heap.Push(&ls.open, l)
	}
}

func (ls *Lines[M]) unregister(l *line[M]) {
	switch l.where {
	case closed:
	case opened:
		ls.ready -= len(l.waiting)
		ls.bytes -= l.bytes
		heap.Remove(&ls.open, l.index)
	case delayed:
		heap.Remove(&ls.resume, l.index)
		if l.slot == 0 {
			break
		}
		ls.kept -= len(l.waiting)
		ls.weight -= l.bytes
		heap.Remove(&ls.parked, l.slot-1)
	}
	l.where = closed
}

// byArrival is a heap of lines, the one whose front arrived first on top.
type byArrival[M Message] []*line[M]

func (h byArrival[M]) Len() int { return len(h) }

func (h byArrival[M]) Less(i, j int) bool {
	a, b := h[i].waiting[0].Arrived(), h[j].waiting[0].Arrived()
	if a.Equal(b) {
		return less(h[i].waiting[0].Sequence(), h[j].waiting[0].Sequence())
	}
	return a.Before(b)
}

func (h byArrival[M]) Swap(i, j int) { swap(h, i, j) }
func (h *byArrival[M]) Push(x any)   { push((*[]*line[M])(h), x) }
func (h *byArrival[M]) Pop() any     { return pop((*[]*line[M])(h)) }

// byTime is a heap of lines, the one that resumes first on top.
type byTime[M Message] []*line[M]

func (h byTime[M]) Len() int           { return len(h) }
func (h byTime[M]) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h byTime[M]) Swap(i, j int)      { swap(h, i, j) }
func (h *byTime[M]) Push(x any)        { push((*[]*line[M])(h), x) }
func (h *byTime[M]) Pop() any          { return pop((*[]*line[M])(h)) }

// byFailure is a heap of lines, the one whose front failed first on top.
type byFailure[M Message] []*line[M]

func (h byFailure[M]) Len() int { return len(h) }

func (h byFailure[M]) Less(i, j int) bool {
	return h[i].waiting[0].Failed().Before(h[j].waiting[0].Failed())
}

func (h byFailure[M]) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].slot, h[j].slot = i+1, j+1
}

func (h *byFailure[M]) Push(x any) {
	l := x.(*line[M]) //nolint:errcheck,forcetypeassert // nothing else is ever pushed
	*h = append(*h, l)
	l.slot = len(*h)
}

func (h *byFailure[M]) Pop() any {
	l := (*h)[len(*h)-1]
	l.slot = 0
	return pop((*[]*line[M])(h))
}

func swap[M Message](h []*line[M], i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func push[M Message](h *[]*line[M], x any) {
	l := x.(*line[M]) //nolint:errcheck,forcetypeassert // nothing else is ever pushed
	l.index = len(*h)
	*h = append(*h, l)
}

func pop[M Message](h *[]*line[M]) any {
	last := len(*h) - 1
	l := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return l
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
