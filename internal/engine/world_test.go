package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/sluice-go/sluice/internal/counters"
	"github.com/sluice-go/sluice/internal/elapsed"
	"github.com/sluice-go/sluice/internal/fault"
	"github.com/sluice-go/sluice/internal/lease"
	"github.com/sluice-go/sluice/internal/serial"
)

// A scope is a small run of which every course is tried.
type scope struct {
	name     string
	settings func(s *Settings)
	groups   []int   // messages of each group; on a standard queue there is one "group"
	faults   int     // that may happen in one course
	replies  []reply // what handlers may say
}

// A reply is what a handler says of a batch.
type reply struct {
	name string
	all  bool // of each message; else of the first only, and the others succeed
	out  Outcome
	then []Outcome // of those behind the first
}

var errHandler = errors.New("handler failed")

var (
	succeeds        = reply{name: "succeeds"}
	fails           = reply{name: "fails", out: Outcome{Err: errHandler, Delay: 300 * time.Millisecond}}
	failsAll        = reply{name: "fails for all", all: true, out: Outcome{Err: errHandler, Delay: 300 * time.Millisecond}}
	retriesSoon     = reply{name: "asks for a retry", out: Outcome{Err: errHandler, Kind: RetryAfter, Delay: time.Millisecond}}
	deadLetters     = reply{name: "dead-letters", out: Outcome{Err: errHandler, Kind: DeadLetter, Delay: 300 * time.Millisecond}}
	deadLettersAll  = reply{name: "dead-letters all", all: true, out: deadLetters.out}
	deadLettersBoth = reply{name: "dead-letters two and fails", out: deadLetters.out, then: []Outcome{deadLetters.out, fails.out}}
	mixed           = reply{name: "dead-letters one and fails", out: deadLetters.out, then: []Outcome{fails.out}}
	discards        = reply{name: "discards", out: Outcome{Err: errHandler, Kind: Discard}}
)

const (
	worldLease = 2 * time.Second // short, so that few wakes lead to its end
	worldPoll  = 20 * time.Second
)

// A kind is what an item is about.
type kind int

const (
	kindHandler kind = iota
	kindReceive
	kindRenew
	kindDelete
	kindRelease
	kindDeadLetter
	kinds
)

var kindNames = [kinds]string{"handler", "receive", "renewal", "delete", "release", "dead letter"}

// An item is something that the engine has begun and that has not come back.
type item struct {
	kind    kind
	work    serial.Work
	call    *Call    // of a handler
	ran     bool     // the call was sent
	counted bool     // the engine counts it as out
	handles []string // of a call that was sent
	answers []event  // that are on their way to the loop
}

// stored is a message of the queue of a world.
type stored struct {
	id, group string
	number    int
	hidden    time.Time // until then
	receives  int
	handle    string // the newest
	released  bool   // that is because of a release
	deleted   bool
	buried    bool     // in the dead-letter queue
	verdict   Outcome  // the newest
	handled   bool     // there is one
	gone      bool     // a call about it was told that its receipt is worth nothing
	unhandled bool     // one before it in its group has failed in the same call
	held      *Message // what the engine has held of it after the latest turn; nil: nothing
}

func (s *stored) over() bool { return s.deleted }

// A world is an engine with a queue, in which nothing happens by itself. It is a Transport, a
// Listener and a looper.
type world struct {
	scope

	e      *Engine
	alarm  time.Time // when the loop wants a turn; zero: never
	items  []*item
	active *item // that runs now
	plan   int   // how it is to end: a variant of a call, or the index of a reply

	queue   []*stored
	ends    map[string]time.Time // of leases, by receipt handle: releases do not count
	left    int                  // faults that may still happen
	stopped bool
	asked   time.Time // when the stop was asked for
	tardy   bool      // the stop was asked for long ago: it may be too late to do all in time
	over    bool      // the run has ended
	bad     string    // what is wrong; "": nothing
	trace   []string  // the steps, if they are told
	tells   bool
}

func newWorld(s scope) *world {
	w := &world{scope: s, ends: map[string]time.Time{}, left: s.faults}
	set := Settings{
		BatchSize: 1, BatchBytes: 1 << 20, Concurrency: 2, BytesInFlight: 64 << 20, Receivers: 2,
		Visibility: worldLease, PollTime: worldPoll, ShutdownTimeout: time.Second, GiveUpAfter: -1,
		InPlaceTries: 3, InPlaceTime: time.Minute, Queue: "q", DeadLetterQueue: "dead",
	}
	s.settings(&set)
	now := time.Now()
	for g, n := range s.groups {
		for i := range n {
			m := &stored{id: fmt.Sprintf("%c%d", 'a'+g, i), number: 10*g + i, hidden: now}
			if set.FIFO {
				m.group = string(rune('a' + g))
			}
			w.queue = append(w.queue, m)
		}
	}
	w.e = New(Config{
		Settings: set, Transport: w, Counters: &counters.Counters{}, Clock: elapsed.New(nil),
		Rand: func() float64 { return 0.5 }, Paused: func() bool { return false }, NewCall: func() *Call { return new(Call) }, Handle: w.handle, Told: w,
	})
	e := w.e
	e.loop = w
	e.calls.base = context.Background()
	e.receives.ctx, e.receives.cut = context.WithCancel(e.calls.base) //nolint:fatcontext // as Run does it
	e.calling, e.cutCalls = context.WithCancel(e.calls.base)
	e.leases.next = now.Add(1000 * time.Hour) // no probes, which need processors
	w.turn(wake)
	return w
}

// The looper.

func (w *world) Run(<-chan struct{}, event, event) {}
func (w *world) Close()                            {}
func (w *world) Leave(e event)                     { w.active.answers = append(w.active.answers, e) }

func (w *world) Tell(e event, _ *serial.Pool) serial.Work {
	w.Leave(e)
	return nil
}

func (w *world) WakeAt(t time.Time) {
	if !t.IsZero() && (w.alarm.IsZero() || t.Before(w.alarm)) {
		w.alarm = t
	}
}

func (w *world) Begin(by *serial.Pool, work serial.Work) {
	if w.over {
		w.faultf("something begins after the end of the run")
	}
	it := &item{work: work, counted: true, kind: w.kindOf(by)}
	if it.kind == kindReceive && w.e.stop.begun() {
		w.faultf("a receive begins although the run is to end")
	}
	if it.kind == kindHandler {
		it.call = w.e.calls.last
		w.checkStart(it.call)
	}
	w.items = append(w.items, it)
}

// kindOf finds out what begins: that of which the engine has counted one more.
func (w *world) kindOf(by *serial.Pool) kind {
	if by == w.e.handlers {
		return kindHandler
	}
	for _, k := range []kind{kindReceive, kindDelete, kindRelease, kindDeadLetter} {
		if w.engineOut(k) > w.out(k) {
			return k
		}
	}
	return kindRenew
}

func (w *world) engineOut(k kind) int {
	switch k {
	case kindReceive:
		return w.e.receives.out
	case kindDelete:
		return w.e.settle.deletes.Out()
	case kindRelease:
		return w.e.settle.releases.Out()
	case kindDeadLetter:
		return w.e.settle.deadLetters.Out()
	case kindHandler:
		return w.e.calls.n
	default:
		return w.out(k)
	}
}

// out is how many items of a kind are out.
func (w *world) out(k kind) (n int) {
	for _, it := range w.items {
		if it.kind == k && it.counted {
			n++
		}
	}
	return n
}

// The listener.

func (*world) Log(slog.Level, string, ...any) {}
func (*world) LeaseLost(*Message, error)      {}
func (*world) StateChanged()                  {}
func (*world) Settled([]*Message, Settlement) {}
func (*world) Stuck(*Call)                    {}

func (w *world) faultf(format string, args ...any) {
	if w.bad == "" {
		w.bad = fmt.Sprintf(format, args...)
	}
}

// turn takes a turn, and looks whether all is right after it.
func (w *world) turn(ev event) {
	defer func() {
		if v := recover(); v != nil {
			w.faultf("panic: %v", v)
		}
	}()
	if w.over {
		return
	}
	if w.e.turn(time.Now(), []event{ev}) {
		w.over = true
		w.checkEnd()
	}
	w.checkState()
}

// How calls end. What a fault is costs one.
const (
	granted   = iota
	failed    // without an effect
	ambiguous // it has its effect, and an error
	partly    // only the first entry is granted; only the first message is given
	gone      // the receipts are worth nothing
	late      // the client does not return in time, and the call has its effect
	lasting   // for good
	variants
)

// jumpLength is how long a process sleeps.
const jumpLength = worldLease

var variantNames = [variants]string{"granted", "fails", "fails, with its effect", "is granted in part", "is gone", "is late", "fails for good"}

var passing = &fault.Error{Kind: fault.Passing, Err: errors.New("no connection")}

var planned = [variants]error{
	failed:    passing,
	ambiguous: &fault.Error{Kind: fault.Passing, Unsure: true, Err: errors.New("no answer")},
	partly:    passing,
	gone:      &fault.Error{Kind: fault.Lost, Err: errors.New("gone")},
	late:      &fault.Error{Kind: fault.Passing, Unsure: true, Cut: true, Err: errors.New("too late")},
	lasting:   &fault.Error{Kind: fault.Lasting, Err: errors.New("invalid")},
}

// answer gives each of n entries its result. effect does what it is to do.
func (w *world) answer(handles []string, effect func(i int) error) []error {
	w.active.handles = slices.Clone(handles)
	errs := make([]error, len(handles))
	if w.plan == partly && len(handles) < 2 {
		w.left++ // that was none
	}
	for i := range errs {
		switch {
		case w.plan == granted, w.plan == partly && i == 0:
			errs[i] = effect(i)
		case w.plan == ambiguous, w.plan == late:
			_ = effect(i)
			errs[i] = planned[w.plan]
		default:
			errs[i] = planned[w.plan]
			w.of(handles[i]).gone = w.of(handles[i]).gone || w.plan == gone
		}
	}
	return errs
}

// visible returns what a receive brings now.
func (w *world) visible(n int) (ms []*stored) {
	now := time.Now()
	blocks := map[string]bool{}
	for _, m := range w.queue {
		switch {
		case m.over(), m.group != "" && blocks[m.group]:
		case m.hidden.After(now):
			blocks[m.group] = true
		case len(ms) < n:
			ms = append(ms, m)
		}
	}
	return ms
}

func (w *world) Receive(ctx context.Context, a Ask) Answer {
	now := time.Now()
	if ctx.Err() != nil && !w.e.stop.interrupting() {
		w.faultf("a receive is cut although handlers are waited for")
	}
	found := w.visible(a.N)
	if w.plan == partly {
		found = found[:1]
	}
	var ms []*Message
	for _, m := range found {
		m.receives++
		m.handle = m.id + "#" + strconv.Itoa(m.receives)
		m.hidden, m.released, m.gone = now.Add(w.e.Visibility), false, false
		w.ends[m.handle] = m.hidden
		ms = append(ms, &Message{Delivery: Delivery{
			ID: m.id, Handle: m.handle, Group: m.group, Sequence: strconv.Itoa(m.number), Bytes: 100,
			Receives: m.receives, Redelivered: m.receives > 1, SentAt: now,
		}})
	}
	switch w.plan {
	case ambiguous:
		return Answer{Err: planned[ambiguous]}
	case late:
		a.Late.Overdue(planned[late])
	}
	return Answer{Messages: ms}
}

func (w *world) Delete(_ context.Context, handles []string, overdue LateBatch) (errs []error, inTime bool) {
	for _, h := range handles {
		m := w.of(h)
		if m.unhandled {
			w.faultf("%s is deleted, and one before it has failed", m.id)
		}
		if good := m.handled && (m.verdict.Err == nil || m.verdict.Kind == Discard); !good && !m.buried {
			w.faultf("%s is deleted, and its handler has said %+v", m.id, m.verdict)
		}
		if w.e.FIFO && !time.Now().Before(w.ends[h]) {
			w.faultf("%s is deleted %v after the end of its lease", m.id, time.Since(w.ends[h]))
		}
	}
	errs = w.answer(handles, func(i int) error { return w.remove(handles[i]) })
	if w.plan == late {
		overdue.Overdue(errs)
		return errs, false
	}
	return errs, true
}

func (w *world) remove(handle string) error {
	m := w.of(handle)
	old := m.handle != handle
	switch {
	case m.deleted:
	case w.e.FIFO && (old || !m.hidden.After(time.Now())):
		return planned[gone]
	case !old:
		m.deleted = true
	}
	return nil
}

func (w *world) Release(_ context.Context, c Change) (errs []error, inTime bool) {
	handles := c.Handles
	if w.active.kind == kindRelease {
		for i, h := range handles {
			w.checkRelease(h, c.Timeouts[i])
		}
	}
	errs = w.answer(handles, func(i int) error {
		m, now := w.of(handles[i]), time.Now()
		if m.deleted || m.handle != handles[i] || !m.hidden.After(now) {
			return planned[gone]
		}
		m.hidden = now.Add(c.Timeouts[i])
		m.released = w.active.kind == kindRelease
		if !m.released {
			w.ends[handles[i]] = m.hidden
		}
		return nil
	})
	if w.plan == late {
		c.Late.Overdue(errs)
		return errs, false
	}
	return errs, true
}

func (w *world) checkRelease(handle string, timeout time.Duration) {
	m := w.of(handle)
	if !time.Now().Before(w.ends[handle]) {
		w.faultf("%s is released after the end of its lease", m.id)
	}
	if !w.e.FIFO && m.released && !m.hidden.After(time.Now()) {
		w.faultf("%s is released, and is visible already", m.id) // another consumer may have it, and would lose it
	}
	for _, it := range w.items {
		if it.kind == kindRenew && it.ran && slices.Contains(it.handles, handle) {
			w.faultf("%s is released while a renewal is in flight", m.id)
		}
	}
	if held := w.e.hand.messages[m.id]; held == nil || held.stage != releasing {
		w.faultf("%s is released, and is not being released", m.id)
	} else if held.lease.Renewing() {
		w.faultf("%s is released while a renewal is on its way", m.id)
	} else if !w.e.FIFO && !held.marks.returned && timeout != m.verdict.Delay {
		w.faultf("%s stays hidden for %v, its handler has said %v", m.id, timeout, m.verdict.Delay)
	}
}

func (w *world) DeadLetter(_ context.Context, held *Message, _ error) error {
	m := w.of(held.handle())
	if m.verdict.Kind != DeadLetter {
		w.faultf("%s is dead-lettered, and its handler has said %+v", m.id, m.verdict)
	}
	if !time.Now().Before(w.ends[held.handle()]) {
		w.faultf("%s is dead-lettered after the end of its lease", m.id)
	}
	return w.answer([]string{held.handle()}, func(int) error {
		m.buried = true
		return nil
	})[0]
}

func (w *world) of(handle string) *stored {
	for _, m := range w.queue {
		if len(handle) > len(m.id) && handle[:len(m.id)] == m.id {
			return m
		}
	}
	panic("a handle that nobody has given: " + handle)
}

func (w *world) named(id string) *stored { return w.of(id + "#") }

// handle is the handler. It returns what is planned.
func (w *world) handle(ctx context.Context, c *Call) {
	mustEnd := c.expired || w.e.stop.interrupting() || slices.ContainsFunc(c.Batch, func(m *Message) bool { return m.marks.lost })
	if mustEnd && ctx.Err() == nil {
		w.faultf("the context of %s has not ended", c.Batch[0].Delivery.ID)
	}
	r := w.replies[w.plan]
	for i := range c.Outcomes {
		switch {
		case r.all || i == 0:
			c.Outcomes[i] = r.out
		case i <= len(r.then):
			c.Outcomes[i] = r.then[i-1]
		}
	}
	c.Took = time.Since(c.Began)
	failedIn := map[string]bool{}
	for i, m := range c.Batch {
		s := w.named(m.Delivery.ID)
		s.verdict, s.handled = c.Outcomes[i], true
		s.unhandled = s.group != "" && failedIn[s.group]
		failedIn[s.group] = failedIn[s.group] || s.verdict.failed()
	}
	w.e.MarkUnhandled(c)
}

// checkStart looks whether a batch may be handled now.
func (w *world) checkStart(c *Call) {
	for i, m := range c.Batch {
		s := w.named(m.Delivery.ID)
		for _, it := range w.items {
			if it.kind != kindHandler {
				continue
			}
			for _, other := range it.call.Batch {
				if other.Delivery.ID == s.id {
					w.faultf("%s is handled twice at once", s.id)
				}
				if s.group != "" && other.Group() == s.group {
					w.faultf("%s and %s are handled at once", other.Delivery.ID, s.id)
				}
			}
		}
		if w.e.leases.left(m, time.Now()) <= 0 {
			w.faultf("%s is handled without a lease", s.id)
		}
		if s.group != "" && w.e.OnGroupFailure != SkipFailed {
			w.checkOrder(c, i, s)
		}
	}
}

// checkOrder looks whether what comes before a message in its group is over, or before it in
// its batch.
func (w *world) checkOrder(c *Call, i int, s *stored) {
	for _, before := range w.queue {
		if before.group != s.group || before.number >= s.number || before.over() {
			continue
		}
		if !slices.ContainsFunc(c.Batch[:i], func(m *Message) bool { return m.Delivery.ID == before.id }) {
			w.faultf("%s is handled before %s", s.id, before.id)
		}
	}
}

// checkState looks whether the books of the engine agree with each other and with the world.
func (w *world) checkState() {
	e := w.e
	var in [settled]int
	bytes, kept := 0, 0
	for key, m := range e.hand.messages {
		if m.key() != key || m.stage == settled {
			w.faultf("%s is in hand as %s, %v", m.key(), key, m.stage)
			return
		}
		in[m.stage]++
		bytes += m.Delivery.Bytes
		if m.stage != releasing && !m.marks.lost && !m.marks.gone && e.leases.left(m, time.Now()) > 0 {
			kept++
		}
		if (m.call != nil) != (m.stage == handling) {
			w.faultf("%s is %v, its call is %v", key, m.stage, m.call)
		}
		if m.stage == arriving {
			w.faultf("%s is arriving after the turn", key)
		}
	}
	if in != e.hand.in || bytes != e.hand.bytes {
		w.faultf("in the stages are %v, %d bytes, counted are %v, %d", in, bytes, e.hand.in, e.hand.bytes)
	}
	for k := range kinds {
		if w.out(k) != w.engineOut(k) {
			w.faultf("%d are out of kind %s, counted are %d", w.out(k), kindNames[k], w.engineOut(k))
		}
	}
	if n := e.leases.all.Len(); n < kept || n > len(e.hand.messages) {
		w.faultf("%d leases are kept, of %d messages, of which %d must have one", n, len(e.hand.messages), kept)
	}
	if e.calls.n > e.Concurrency {
		w.faultf("%d handlers run, %d may", e.calls.n, e.Concurrency)
	}
	w.checkOrdering(in[waiting])
	w.checkDropped()
	if !w.over {
		w.checkTimes()
	}
}

// checkTimes looks whether nothing is overdue, and whether the engine wants a turn in time for
// what is due later.
func (w *world) checkTimes() {
	e, now := w.e, time.Now()
	if e.stop.phase >= cutting {
		return // nothing begins any more
	}
	by := func(what string, at time.Time) {
		if !at.IsZero() && (w.alarm.IsZero() || w.alarm.After(at) && w.alarm.After(now)) {
			w.faultf("%s is due in %v, the next turn is in %v", what, at.Sub(now), w.alarm.Sub(now))
		}
	}
	by("a delete", e.settle.deletes.Wakes())
	by("a release", e.settle.releases.Wakes())
	by("a dead letter", e.settle.deadLetters.Wakes())
	if next := e.leases.all.Next(); e.leases.all.Len() > 0 && next < lease.Never {
		by("a lease", now.Add(next-e.leases.at(now)))
	}
	for c := e.calls.first; c != nil && e.HandlerTimeout > 0; c = c.after {
		over := c.Began.Add(e.HandlerTimeout)
		if !c.expired && !now.Before(over) {
			w.faultf("a handler goes on after its timeout")
		}
		if !c.expired {
			by("the timeout of a handler", over)
		}
	}
	if e.stop.interrupting() || e.calls.n == e.Concurrency {
		return
	}
	by("a batch", e.order.wakes())
	for _, m := range e.hand.messages {
		if m.stage == waiting && !e.FIFO && len(e.order.(*standard).late) == 0 && now.After(m.arrived.Add(e.WaitTime)) && w.alarm.After(now) {
			w.faultf("%s waits beside a free handler for longer than its batch may", m.Delivery.ID)
		}
	}
	if n := e.order.ready(); n >= e.BatchSize && w.alarm.After(now) {
		w.faultf("%d messages wait beside a free handler", n)
	}
}

// checkDropped looks whether a message that was handled well is in hand until it is deleted,
// or until its lease ends.
func (w *world) checkDropped() {
	for _, s := range w.queue {
		before := s.held
		s.held = w.e.hand.messages[s.id]
		if before == nil || before == s.held || s.deleted || s.gone || !s.handled || s.unhandled || s.verdict.Err != nil {
			continue
		}
		left := w.e.leases.left(before, time.Now())
		if !before.marks.lost && !before.marks.returned && before.handle() == s.handle && left > 0 && s.hidden.After(time.Now()) {
			w.faultf("%s is given up, with %v left of its lease", s.id, left)
		}
	}
}

func (w *world) checkOrdering(waits int) {
	switch o := w.e.order.(type) {
	case *standard:
		if n := len(o.waiting) + len(o.late); n != waits {
			w.faultf("%d wait, %d are waiting", n, waits)
		}
	case *grouped:
		if len(w.e.hand.messages) == 0 && o.groups.Len() > 0 {
			w.faultf("%d groups without messages", o.groups.Len())
		}
		if waits == 0 && len(o.groups.Names()) > 0 {
			w.faultf("groups wait, no message does")
		}
	}
}

// checkEnd looks whether the run says what it leaves.
func (w *world) checkEnd() {
	left, out := len(w.e.hand.messages), w.e.calls.n
	report := w.e.stop.result()
	if (left > 0 || out > 0) && (report == nil || report.Abandoned < left || report.Stuck != out) {
		w.faultf("%d messages and %d handlers are left, reported is %+v", left, out, report)
	}
	if most := w.e.ShutdownTimeout + budget[len(budget)-1].after; !w.asked.IsZero() && time.Since(w.asked) > most+jumpLength*time.Duration(1+w.faults) {
		w.faultf("the run has ended %v after it was to", time.Since(w.asked))
	}
}
