package engine

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A step is what may happen next in a world.
type step struct {
	does    deed
	on      int // the index of an item or of a message
	variant int // how a call ends, or what a handler says
}

type deed int

const (
	sends   deed = iota // a call that has begun goes out, and has its effect
	returns             // its answer comes, or a handler returns
	wakes               // time passes until the engine wants a turn
	sleeps              // time passes without turns: the process has no processor
	shows               // a message becomes visible although its lease lasts
	stops               // the user stops the run
)

// steps are all that may happen now, in an order that is the same each time.
func (w *world) steps() (all []step) {
	if w.over {
		return nil
	}
	for i, it := range w.items {
		switch {
		case it.kind == kindHandler:
			for r := range w.replies {
				all = append(all, step{returns, i, r})
			}
		case len(it.answers) > 0:
			all = append(all, step{returns, i, 0})
		case it.ran:
		case it.kind == kindReceive:
			all = append(all, w.receives(i)...)
		default:
			all = append(all, w.calls(it.kind, i)...)
		}
	}
	if !w.alarm.IsZero() {
		all = append(all, step{does: wakes})
	}
	if !w.stopped {
		all = append(all, step{does: stops})
	}
	if w.left > 0 {
		all = append(all, w.mishaps()...)
	}
	return all
}

// receives are the ends of a receive. One that finds nothing goes on until the run ends.
func (w *world) receives(i int) (all []step) {
	if len(w.visible(1)) == 0 && !w.e.stop.begun() {
		return nil
	}
	all = append(all, step{sends, i, granted})
	if len(w.visible(2)) > 1 {
		all = append(all, step{sends, i, partly})
	}
	if w.left > 0 && len(w.visible(1)) > 0 {
		all = append(all, step{sends, i, ambiguous}, step{sends, i, late})
	}
	return all
}

func (w *world) calls(k kind, i int) (all []step) {
	all = append(all, step{sends, i, granted})
	if w.left == 0 {
		return all
	}
	ways := []int{failed, ambiguous, partly, gone}
	switch k {
	case kindDelete, kindRelease, kindRenew:
		ways = append(ways, late)
	case kindDeadLetter:
		ways = []int{failed, ambiguous, lasting}
	default:
	}
	for _, v := range ways {
		all = append(all, step{sends, i, v})
	}
	return all
}

func (w *world) mishaps() (all []step) {
	for i, m := range w.queue {
		if !m.over() && m.hidden.After(time.Now()) {
			all = append(all, step{shows, i, 0})
		}
	}
	if len(w.e.hand.messages) > 0 {
		all = append(all, step{does: sleeps})
	}
	return all
}

// do does a step.
func (w *world) do(s step) {
	if w.tells {
		w.trace = append(w.trace, w.tell(s))
	}
	switch s.does {
	case sends:
		if s.variant != granted && (s.variant != partly || w.items[s.on].kind != kindReceive) {
			w.left--
		}
		w.send(w.items[s.on], s.variant)
	case returns:
		w.back(w.items[s.on], s.variant)
	case wakes:
		w.wake()
	case sleeps:
		w.left--
		time.Sleep(jumpLength)
	case shows:
		w.left--
		w.queue[s.on].hidden, w.queue[s.on].released = time.Now(), false
	case stops:
		w.stopped, w.asked = true, time.Now()
		w.turn(endRun)
	}
}

func (w *world) send(it *item, variant int) {
	w.active, w.plan = it, variant
	it.ran = true
	it.work.Do()
}

// back lets an answer come, or a handler return.
func (w *world) back(it *item, reply int) {
	if it.kind == kindHandler {
		w.send(it, reply)
	}
	ev := it.answers[0]
	it.answers = it.answers[1:]
	switch ev := ev.(type) {
	case *overdue:
		it.counted = false
	case *received:
		ev.arrived = time.Now() // it was sent when it had its effect, and arrives now
	}
	if len(it.answers) == 0 {
		w.items = slices.DeleteFunc(w.items, func(other *item) bool { return other == it })
	}
	w.turn(ev)
}

// wake lets time pass until something is different, for some turns.
func (w *world) wake() {
	const most = 8
	before := w.state()
	for range most {
		time.Sleep(time.Until(w.alarm))
		w.alarm = time.Time{}
		w.turn(wake)
		if w.alarm.IsZero() || w.over || w.state() != before {
			return
		}
	}
}

// state is a short form of what is in progress.
func (w *world) state() string {
	return fmt.Sprint(len(w.items), w.e.hand.in, w.e.stop.phase)
}

func (w *world) tell(s step) string {
	at := fmt.Sprintf("%v: ", w.e.Clock.At(time.Now()).Round(time.Millisecond))
	switch s.does {
	case sends:
		return at + kindNames[w.items[s.on].kind] + " " + strconv.Itoa(s.on) + " goes out and " + variantNames[s.variant]
	case returns:
		it := w.items[s.on]
		if it.kind != kindHandler {
			return at + kindNames[it.kind] + " " + strconv.Itoa(s.on) + " comes back"
		}
		ids := ""
		for _, m := range it.call.Batch {
			ids += " " + m.Delivery.ID
		}
		return at + "handler of" + ids + " " + w.replies[s.variant].name
	case shows:
		return at + w.queue[s.on].id + " becomes visible"
	default:
		return at + [...]string{wakes: "the engine wakes", sleeps: "the process sleeps", stops: "the run is stopped"}[s.does]
	}
}

// hash is the state of a world, as far as it decides what comes: two with the same hash are
// taken for the same. What the pace has learned is not in it.
func (w *world) hash() uint64 {
	b := make([]byte, 0, 512)
	num := func(vs ...int) {
		for _, v := range vs {
			b = binary.AppendVarint(b, int64(v))
		}
	}
	flag := func(vs ...bool) {
		for _, v := range vs {
			if v {
				b = append(b, 1)
			} else {
				b = append(b, 0)
			}
		}
	}
	now := time.Now()
	until := func(t time.Time) {
		d := -1
		if !t.IsZero() {
			d = max(0, int(t.Sub(now)/(10*time.Millisecond)))
		}
		num(d)
	}
	e := w.e
	for _, s := range w.queue {
		flag(s.deleted, s.buried, s.handled)
		num(min(s.receives, 3), int(s.verdict.Kind))
		flag(s.verdict.Err == nil)
		until(s.hidden)
		m := e.hand.messages[s.id]
		if m == nil {
			continue
		}
		k := m.marks
		flag(k.lost, k.gone, k.stays, k.more, k.surplus, k.returned, k.renewing, m.handle() == s.handle, m.newer != nil, m.lease.Renewing(), m.ending().unsure.IsZero(), m.ending().suspended != nil)
		num(int(m.stage), m.attempts.n, min(m.ending().tries, 3), int(m.ending().delay/time.Millisecond), int(e.leases.left(m, now)/(10*time.Millisecond)))
	}
	b = append(b, hashItems(w.items)...)
	until(w.alarm)
	num(int(e.stop.phase), w.left, len(e.refusals.of))
	if e.stop.begun() {
		until(e.stop.since.Add(time.Minute))
	}
	flag(w.stopped, w.over)
	until(e.settle.deletes.Wakes())
	until(e.settle.releases.Wakes())
	until(e.settle.deadLetters.Wakes())
	until(e.order.wakes())
	num(e.order.ready())
	if o, ok := e.order.(*standard); ok {
		for _, m := range slices.Concat(o.waiting, o.late) {
			b = append(b, m.Delivery.ID...)
		}
	}
	h := fnv.New64a()
	_, _ = h.Write(b)
	return h.Sum64()
}

// hashItems is what is out, in whatever order it began.
func hashItems(items []*item) string {
	all := make([]string, len(items))
	for i, it := range items {
		all[i] = string(hashItem(it))
	}
	slices.Sort(all)
	return strings.Join(all, "|")
}

func hashItem(it *item) []byte {
	b := fmt.Appendf(nil, "%d %d %t %t ", it.kind, len(it.answers), it.ran, it.counted)
	for _, h := range it.handles {
		b = append(b, h[:2]...)
	}
	if it.call != nil {
		for _, m := range it.call.Batch {
			b = append(b, m.Delivery.ID...)
		}
		if it.call.expired {
			b = append(b, 'x')
		}
	}
	for _, ev := range it.answers {
		switch ev := ev.(type) {
		case *settleCall:
			for i := range ev.n {
				b = append(b, ev.handles[i][:2]...)
			}
			for _, err := range ev.errs {
				b = append(b, kindOfError(err))
			}
		case *renewed:
			for _, err := range ev.errs {
				b = append(b, kindOfError(err))
			}
		case *received:
			b = append(b, kindOfError(ev.Err))
			for _, m := range ev.Messages {
				b = append(b, m.Delivery.ID...)
			}
		}
	}
	return b
}

func kindOfError(err error) byte {
	return byte(slices.Index(planned[:], err))
}

// finish lets all go well from now on, to the end, by the order in which things began. The run
// is stopped or, if not, goes on until the queue is empty.
func (w *world) finish(stop bool) {
	const most = 2000
	w.tardy = w.stopped
	w.left = 0
	if stop && !w.stopped {
		w.do(step{does: stops})
	}
	for range most {
		if w.bad != "" || w.over || !w.stopped && w.finished() {
			return
		}
		w.advance()
	}
	if w.bad == "" {
		w.faultf("it does not end: %d in hand %v, %d items, phase %d", len(w.e.hand.messages), w.e.hand.in, len(w.items), w.e.stop.phase)
	}
}

func (w *world) finished() bool {
	left := slices.ContainsFunc(w.queue, func(m *stored) bool { return !m.deleted })
	return !left && len(w.e.hand.messages) == 0
}

// advance does the first thing that can be done, or waits.
func (w *world) advance() {
	for i, it := range w.items {
		if it.kind != kindHandler && it.ran && len(it.answers) == 0 {
			continue
		}
		if it.kind == kindHandler || len(it.answers) > 0 {
			w.do(step{returns, i, 0})
			return
		}
		if it.kind != kindReceive || len(w.receives(i)) > 0 {
			w.do(step{sends, i, granted})
			return
		}
	}
	const rest = 100 * time.Millisecond // until messages become visible, of which no engine knows
	if w.alarm.IsZero() || time.Until(w.alarm) > rest {
		time.Sleep(rest)
		return
	}
	w.do(step{does: wakes})
}

// checkFinish looks whether nothing is left of a run that ended well. A renewal may be in
// flight: its message is deleted.
func (w *world) checkFinish() {
	if w.bad != "" || w.tardy {
		return
	}
	if n := len(w.e.hand.messages); n > 0 {
		w.faultf("%d messages are left in hand, %v", n, w.e.hand.in)
	}
	for _, it := range w.items {
		if w.over && it.kind != kindReceive && it.kind != kindRenew {
			w.faultf("a %s is left", kindNames[it.kind])
		}
	}
}

// An explorer tries all courses of a scope.
type explorer struct {
	scope

	t      *testing.T
	seen   map[uint64]struct{}
	steps  int
	ends   int
	before func(w *world) bool // is told of what is wrong; it reports whether to try again
}

// replay is a world after the given choices. It is nil when the last one is none.
func (x *explorer) replay(path []byte, tells bool) *world {
	for {
		w := newWorld(x.scope)
		w.tells = tells
		for _, choice := range path {
			all := w.steps()
			if int(choice) >= len(all) {
				return nil
			}
			w.do(all[choice])
			if w.bad != "" {
				break
			}
		}
		if w.bad == "" || x.before == nil || !x.before(w) {
			return w
		}
	}
}

// explore tries all courses, the shorter ones first, until there are so many states. It
// returns how deep it has come.
func (x *explorer) explore(states int) (depth int) {
	x.seen = map[uint64]struct{}{}
	frontier := [][]byte{nil}
	for ; len(frontier) > 0; depth++ {
		var next [][]byte
		for _, path := range frontier {
			if len(x.seen) >= states {
				return depth
			}
			for choice := 0; ; choice++ {
				longer := append(slices.Clone(path), byte(choice))
				w := x.replay(longer, false)
				if w == nil {
					break
				}
				if x.visit(w, longer) {
					next = append(next, longer)
				}
			}
		}
		frontier = next
	}
	return depth
}

// visit looks at a world, and reports whether to go on from there.
func (x *explorer) visit(w *world, path []byte) bool {
	x.steps++
	x.require(w, path, false, false)
	if w.over {
		x.ends++
		return false
	}
	h := w.hash()
	if _, known := x.seen[h]; known {
		return false
	}
	x.seen[h] = struct{}{}
	const some = 4 // states of which one is brought to its end
	if h%some == 0 {
		stop := h/some%2 == 0
		w.finish(stop)
		w.checkFinish()
		x.require(w, path, true, stop)
	}
	return true
}

// require fails the test, with the course, if something is wrong.
func (x *explorer) require(w *world, path []byte, finished, stopped bool) {
	if w.bad == "" {
		return
	}
	if x.before != nil && x.before(w) {
		return
	}
	told := x.replay(path, true)
	if finished {
		told.trace = append(told.trace, "-- and from here on all goes well")
		told.finish(stopped)
		told.checkFinish()
	}
	require.Fail(x.t, w.bad, "scope %s, path %v\n%s\n", x.name, path, strings.Join(told.trace, "\n"))
}

// walk goes one long course at random, to its end.
func (x *explorer) walk(seed uint64, length int) {
	r := rand.New(rand.NewPCG(seed, 0))
	var path []byte
	w := newWorld(x.scope)
	for range length {
		all := w.steps()
		if len(all) == 0 {
			break
		}
		choice := r.IntN(len(all))
		if s := all[choice]; (s.does == stops || s.does == sleeps) && r.IntN(10) > 0 {
			continue
		}
		path = append(path, byte(choice))
		w.do(all[choice])
		x.steps++
		x.require(w, path, false, false)
		if w.bad != "" {
			return
		}
	}
	stop := r.IntN(2) == 0
	w.finish(stop)
	w.checkFinish()
	x.require(w, path, true, stop)
}

// The scopes are small, and their leases short.
//
// These bugs, put into the code by hand, are found in a second: a delete before the handler
// ends; deletes that are not tried again; a delete, a release or a dead letter after the end
// of its lease; no second look before a call is sent; a delete although the dead letter was
// not taken; a delete with an older receipt handle; renewals that end before the delete is
// confirmed; a release that does not wait for a renewal, or that waits for ever; a second
// release of a message that may be visible already; a lease counted from the arrival, or taken
// for longer before that is confirmed; only the first of a batch renewed; a lost lease that
// does not end its handler's context; a batch that is begun without a lease; a duplicate
// handled twice; a message that stays in hand; a group of a FIFO queue in parallel; followers
// that go on after a failure, or after a message that stays in the queue; a release of a group
// from its front; a rest of a call that is forgotten behind its dead letter; too many handlers,
// too few, or one that keeps its slot; no end of a handler's time; a retry without its delay; a
// stop that is not heeded, that cuts receives or deletes, or that a handler holds up; a missed
// wake of leases or calls; a batch that waits too long.
//
// Not found is what only counts, logs, paces receives or saves calls: see the simulator.
var scopes = []scope{
	{
		name: "standard, event at a time", groups: []int{3}, faults: 2,
		settings: func(*Settings) {},
		replies:  []reply{succeeds, fails, deadLetters},
	},
	{
		name: "standard, in batches", groups: []int{3}, faults: 2,
		settings: func(s *Settings) { s.BatchSize, s.WaitTime, s.Concurrency = 2, 100*time.Millisecond, 1 },
		replies:  []reply{succeeds, fails, failsAll},
	},
	{
		name: "FIFO, tried again in place", groups: []int{3, 3}, faults: 2,
		settings: func(s *Settings) { s.FIFO = true },
		replies:  []reply{succeeds, fails, deadLetters},
	},
	{
		name: "FIFO, groups released", groups: []int{3, 3}, faults: 2,
		settings: func(s *Settings) { s.FIFO, s.BatchSize, s.OnGroupFailure = true, 4, ReleaseGroup },
		replies:  []reply{succeeds, fails, deadLetters},
	},
	{
		name: "FIFO, failed ones skipped", groups: []int{3, 3}, faults: 2,
		settings: func(s *Settings) { s.FIFO, s.BatchSize, s.OnGroupFailure = true, 2, SkipFailed },
		replies:  []reply{succeeds, fails, discards},
	},
	{
		name: "FIFO, in batches, with a handler timeout", groups: []int{3}, faults: 2,
		settings: func(s *Settings) { s.FIFO, s.BatchSize, s.HandlerTimeout = true, 3, time.Second },
		replies:  []reply{succeeds, fails, retriesSoon, deadLetters},
	},
}

// states is how many states are tried of each scope, and walks how many long courses. The
// environment variable STATES asks for more.
func states(t *testing.T) (states, walks int) {
	t.Helper()
	states = 1500
	if asked := os.Getenv("STATES"); asked != "" {
		n, err := strconv.Atoi(asked)
		require.NoError(t, err)
		states = n
	}
	return states, states / 10
}

func TestEveryCourseOfASmallRunKeepsTheGuarantees(t *testing.T) {
	for _, s := range scopes {
		t.Run(s.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, _ := states(t)
				for faults := range s.faults + 1 {
					small := s
					small.faults = faults
					x := &explorer{scope: small, t: t}
					depth := x.explore(n)
					t.Logf("%d faults: %d states, %d steps, %d ends, all courses of %d steps", faults, len(x.seen), x.steps, x.ends, depth)
				}
			})
		})
	}
}

func TestLongCoursesOfASmallRunKeepTheGuarantees(t *testing.T) {
	for _, s := range scopes {
		t.Run(s.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, n := states(t)
				x := &explorer{scope: s, t: t}
				for seed := range n {
					x.walk(uint64(seed), 60)
				}
				t.Logf("%d courses, %d steps", n, x.steps)
			})
		})
	}
}
