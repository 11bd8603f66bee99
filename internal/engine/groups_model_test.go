package engine

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/counters"
	"github.com/sluice-go/sluice/internal/elapsed"
	"github.com/sluice-go/sluice/internal/lease"
	"github.com/sluice-go/sluice/internal/serial"
)

// A deaf loop and listener begins nothing and hears nothing.
type deaf struct{}

func (deaf) Run(<-chan struct{}, event, event)               {}
func (deaf) Close()                                          {}
func (deaf) Tell(event, *serial.Pool) serial.Work            { return nil }
func (deaf) Leave(event)                                     {}
func (deaf) WakeAt(time.Time)                                {}
func (deaf) Begin(*serial.Pool, serial.Work)                 {}
func (deaf) Log(slog.Level, string, ...any)                  {}
func (deaf) LeaseLost(*Message, error)                       {}
func (deaf) StateChanged()                                   {}
func (deaf) Settled([]*Message, Settlement)                  {}
func (deaf) Stuck(*Call)                                     {}
func (deaf) Handle(context.Context, *Call)                   {}
func (deaf) Receive(context.Context, Ask) Answer             { return Answer{} }
func (deaf) Release(context.Context, Change) ([]error, bool) { return nil, true }

func (deaf) Delete(context.Context, []string, LateBatch) ([]error, bool) { return nil, true }
func (deaf) DeadLetter(context.Context, *Message, error) error           { return nil }

// A groupModel is what a FIFO queue and its consumer may do, in the simplest way: it looks at
// all messages, each time. It drives the stages of an engine by hand, at times of its own.
type groupModel struct {
	t    *testing.T
	r    *rand.Rand
	seed int
	e    *Engine
	now  time.Time

	all      []*groupMessage // each group in its order
	calls    []*settleCall   // that are out
	renewals []*lease.Call[*Message]
	calm     bool // nothing fails any more
}

type groupMessage struct {
	id, group string
	n         int
	hidden    time.Time
	receives  int
	handle    string
	done      bool // deleted
	failed    bool // by the newest verdict
}

func newGroupModel(t *testing.T, seed int) *groupModel {
	g := &groupModel{t: t, seed: seed, r: rand.New(rand.NewPCG(uint64(seed), 1)), now: time.Now()}
	g.e = New(Config{
		Settings: Settings{
			FIFO: true, BatchSize: 1 + g.r.IntN(4), BatchBytes: 1 << 20, Concurrency: 1 + g.r.IntN(3), BytesInFlight: 1 << 26,
			Receivers: 2, Visibility: worldLease, PollTime: worldPoll, ShutdownTimeout: time.Second, GiveUpAfter: -1,
			OnGroupFailure: GroupFailure(g.r.IntN(3)), InPlaceTries: 3, InPlaceTime: time.Minute, DeadLetterQueue: "dead",
		},
		Transport: deaf{}, Counters: &counters.Counters{}, Clock: elapsed.New(nil), Rand: g.r.Float64,
		Paused: func() bool { return true }, NewCall: func() *Call { return new(Call) }, Handle: deaf{}.Handle, Told: deaf{},
	})
	g.e.loop = deaf{}
	g.e.calls.base = context.Background()
	g.e.receives.cut, g.e.cutCalls = func() {}, func() {}
	for _, group := range []string{"a", "b", "c"} {
		for n := range 1 + g.r.IntN(4) {
			g.all = append(g.all, &groupMessage{id: group + strconv.Itoa(n), group: group, n: n, hidden: g.now})
		}
	}
	return g
}

func (g *groupModel) of(id string) *groupMessage {
	return g.all[slices.IndexFunc(g.all, func(m *groupMessage) bool { return m.id == id })]
}

func (g *groupModel) requiref(ok bool, format string, args ...any) {
	if !ok {
		require.Fail(g.t, fmt.Sprintf(format, args...), "seed %d", g.seed)
	}
}

// receive brings what is visible: of each group what comes before a hidden one.
func (g *groupModel) receive() {
	if g.e.stop.begun() {
		return
	}
	a := &received{asked: 10, sent: g.now, arrived: g.now}
	blocks := map[string]bool{}
	for _, m := range g.all {
		if m.done || blocks[m.group] {
			continue
		}
		if m.hidden.After(g.now) || g.r.IntN(4) == 0 {
			blocks[m.group] = true
			continue
		}
		m.receives++
		m.handle, m.hidden = m.id+"#"+strconv.Itoa(m.receives), g.now.Add(worldLease)
		a.Messages = append(a.Messages, &Message{Delivery: Delivery{
			ID: m.id, Handle: m.handle, Group: m.group, Sequence: strconv.Itoa(m.n), Bytes: 100, Receives: m.receives, Redelivered: m.receives > 1, SentAt: g.now,
		}})
	}
	g.e.receives.take(a, g.now)
}

// handled ends a call of the handler.
func (g *groupModel) handled() {
	c := g.e.calls.first
	for range g.r.IntN(max(1, g.e.calls.n)) {
		c = c.after
	}
	if c == nil {
		return
	}
	for i := range c.Outcomes {
		c.Outcomes[i] = g.verdict()
	}
	g.e.MarkUnhandled(c)
	for i, m := range c.Batch {
		g.of(m.Delivery.ID).failed = c.Outcomes[i].Err != nil
	}
	g.e.calls.returned(c, g.now)
}

func (g *groupModel) verdict() Outcome {
	delay := time.Duration(g.r.IntN(500)) * time.Millisecond
	switch {
	case g.calm || g.r.IntN(3) > 0:
		return Outcome{}
	default:
		return Outcome{Err: errHandler, Kind: Kind(g.r.IntN(int(Discard) + 1)), Delay: delay}
	}
}

// rest is what a turn does after its events.
func (g *groupModel) rest() {
	e := g.e
	e.settle.collect(g.now)
	e.stop.advance(g.now)
	at := e.leases.at(g.now)
	e.leases.lose(e.leases.all.Lost(at), g.now)
	for c := e.leases.all.Due(at); c != nil; c = e.leases.all.Due(at) {
		g.renewals = append(g.renewals, c)
	}
	e.order.makeRoom(g.now)
	last := e.calls.last
	e.dispatch(g.now)
	for c := e.calls.last; c != nil && c != last; c = c.before {
		g.checkStart(c)
	}
	for _, kind := range []stage{deadLettering, releasing, deleting} {
		g.send(kind)
	}
	g.checkBooks()
}

func (g *groupModel) send(kind stage) {
	s := &g.e.settle
	for {
		c := s.blank(kind)
		n := s.of(kind).Next(g.now, c.messages[:])
		if n == 0 {
			return
		}
		if s.prepare(c, n, g.now); c.n == 0 {
			s.of(kind).Returned()
			continue
		}
		c.sent = g.now
		g.calls = append(g.calls, c)
	}
}

// settled ends a call, with or without its effect, whatever its answer.
func (g *groupModel) settled() {
	if len(g.calls) == 0 {
		return
	}
	i := g.r.IntN(len(g.calls))
	c := g.calls[i]
	g.calls = slices.Delete(g.calls, i, i+1)
	for i := range c.n {
		ok, effect := g.calm || g.r.IntN(4) > 0, g.r.IntN(2) == 0
		m := g.of(c.messages[i].Delivery.ID)
		valid := m.handle == c.handles[i] && m.hidden.After(g.now) && !m.done
		switch {
		case c.kind == deadLettering && !ok:
			c.errs = append(c.errs, planned[[]int{failed, lasting}[g.r.IntN(2)]])
			continue
		case c.kind == deadLettering:
		case (ok || effect) && valid && c.kind == deleting:
			m.done = true
		case (ok || effect) && valid:
			m.hidden = g.now.Add(c.timeouts[i])
		case !valid && ok && !m.done:
			c.errs = append(c.errs, planned[gone])
			continue
		}
		c.errs = append(c.errs, map[bool]error{true: nil, false: planned[ambiguous]}[ok])
	}
	g.e.settle.returned(c, g.now)
}

func (g *groupModel) renewed() {
	if len(g.renewals) == 0 {
		return
	}
	c := g.renewals[0]
	g.renewals = g.renewals[1:]
	r := &renewed{renewal: renewal{call: c, sent: g.now}}
	for _, entry := range c.Entries {
		m := g.of(entry.Lease.Of.Delivery.ID)
		if !g.calm && g.r.IntN(4) == 0 {
			r.errs = append(r.errs, planned[failed])
			continue
		}
		if m.done || !m.hidden.After(g.now) {
			r.errs = append(r.errs, planned[gone])
			continue
		}
		m.hidden = g.now.Add(entry.Timeout)
		r.errs = append(r.errs, nil)
	}
	g.e.leases.returned(r, g.now)
}

// checkStart looks whether a batch may be handled: nobody has one of its groups, and what comes
// before a message is done, or before it in the batch, or has failed and is skipped.
func (g *groupModel) checkStart(c *Call) {
	for other := g.e.calls.first; other != nil; other = other.after {
		for _, m := range other.Batch {
			busy := other != c && slices.ContainsFunc(c.Batch, func(mine *Message) bool { return mine.Group() == m.Group() })
			g.requiref(!busy, "group %s is handled twice at once", m.Group())
		}
	}
	for i, m := range c.Batch {
		for _, before := range g.all {
			if before.group != m.Group() || before.id >= m.Delivery.ID || before.done {
				continue
			}
			first := slices.ContainsFunc(c.Batch[:i], func(m *Message) bool { return m.Delivery.ID == before.id })
			skipped := g.e.OnGroupFailure == SkipFailed && before.receives > 0
			g.requiref(first || skipped, "%s is handled before %s", m.Delivery.ID, before.id)
		}
	}
}

func (g *groupModel) checkBooks() {
	var in [settled]int
	for id, m := range g.e.hand.messages {
		g.requiref(m.stage != settled && m.stage != arriving, "%s is %v", id, m.stage)
		in[m.stage]++
	}
	g.requiref(in == g.e.hand.in, "in the stages are %v, counted are %v", in, g.e.hand.in)
}

// step does something at random.
func (g *groupModel) step() {
	switch g.r.IntN(8) {
	case 0, 1:
		g.receive()
	case 2, 3:
		g.handled()
	case 4, 5:
		g.settled()
	case 6:
		g.renewed()
	default:
		g.now = g.now.Add(time.Duration(g.r.IntN(700)) * time.Millisecond)
		if !g.calm && g.r.IntN(10) == 0 {
			g.now = g.now.Add(worldLease)
		}
		if g.r.IntN(60) == 0 { // a message becomes visible although its lease lasts
			g.all[g.r.IntN(len(g.all))].hidden = g.now
		}
	}
	g.rest()
}

func TestGroupsDoWhatTheirModelAllowsInTwoThousandWorlds(t *testing.T) {
	worlds := 2000
	if testing.Short() {
		worlds = 200
	}
	for seed := range worlds {
		g := newGroupModel(t, seed)
		for range 60 {
			g.step()
		}
		g.calm = true
		if seed%2 == 0 {
			g.e.stop.ask(g.now)
		}
		for i := 0; !g.over(); i++ {
			g.requiref(i < 3000, "it does not end: %v in hand, phase %d", g.e.hand.in, g.e.stop.phase)
			g.step()
		}
		g.requiref(len(g.e.hand.messages) == 0 || g.e.stop.phase == left, "messages are left: %v", g.e.hand.in)
	}
}

func (g *groupModel) over() bool {
	if g.e.stop.begun() {
		return g.e.stop.phase == left || len(g.e.hand.messages) == 0 && g.e.calls.n == 0
	}
	return len(g.e.hand.messages) == 0 && !slices.ContainsFunc(g.all, func(m *groupMessage) bool { return !m.done })
}
