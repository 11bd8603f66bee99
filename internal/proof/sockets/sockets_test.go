package sockets

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/proof/sockets/chaos"
)

var seedFlag = flag.Uint64("seed", 0, "where the tests' random choices come from; 0: another one each time, which is printed")

var tlsFlag = flag.Bool("tls", true, "whether the children reach SQS over TLS")

func chosenSeed() uint64 {
	if *seedFlag != 0 {
		return *seedFlag
	}
	return rand.Uint64()
}

// TestMain is the consumer's program in the children.
func TestMain(m *testing.M) {
	if text := os.Getenv(childVariable); text != "" {
		if err := consume(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// full makes a plan's numbers those of the proof, or leaves the few that show that
// the test works.
func (p plan) full(t *testing.T) plan {
	t.Helper()
	if os.Getenv("SLUICE_SOCKETS") == "" {
		t.Skip("SKIPPED: 50 kills while 100,000 messages pass, half a minute of them; SLUICE_SOCKETS=1 runs them")
	}
	p.messages, p.kills = 100_000, 50
	return p
}

// bad is the network of the tests that have one.
var bad = chaos.Faults{
	Waves: chaos.Span{Least: 500 * time.Millisecond, Most: 1500 * time.Millisecond}, Hit: 0.5,
	Stall: 0.005, StallFor: chaos.Span{Least: time.Second, Most: 4 * time.Second},
	Cut: 0.005,
}

var (
	terminated = plan{messages: 2000, kills: 5, signal: syscall.SIGTERM, visibility: 30 * time.Second}
	killed     = plan{messages: 2000, kills: 5, signal: syscall.SIGKILL, visibility: 10 * time.Second} // a busy machine may stand still for seconds
	troubled   = plan{signal: syscall.SIGTERM, visibility: 10 * time.Second, network: &bad}            // in full only: its waves are too slow for less
)

func TestRollingDeploysRepeatNothing(t *testing.T) {
	t.Parallel() // they mostly wait
	rollingDeploys(t, terminated)
}

func TestKillsLoseNothing(t *testing.T) {
	t.Parallel()
	kills(t, killed)
}

func TestFiftyRollingDeploysRepeatNothing(t *testing.T) { rollingDeploys(t, terminated.full(t)) }
func TestFiftyDeploysOverABadNetwork(t *testing.T)      { badNetwork(t, troubled.full(t)) }
func TestFiftyKillsLoseNothing(t *testing.T)            { kills(t, killed.full(t)) }

// While SQS answers, a SIGTERM loses nothing and repeats nothing.
func rollingDeploys(t *testing.T, p plan) {
	w := newWorld(t, p)
	w.play()
	w.endedWell()
	h := w.histories()
	w.complete(h)
	require.Empty(t, h.repeated, "handled again")
	require.Zero(t, w.ledger.again, "messages received again")
	w.report(h)
}

// A bad network loses nothing. What is handled again was concerned by something that
// the network has done: it was in an answer that came late, or its delete, or a
// renewal of its visibility timeout, was lost, late, or its answer was.
func badNetwork(t *testing.T, p plan) {
	w := newWorld(t, p)
	w.play()
	w.endedWell()
	h := w.histories()
	w.complete(h)
	touched, err := w.ledger.touched()
	require.NoError(t, err)
	for id, by := range h.repeated {
		if !touched[id] {
			t.Errorf("message %s was handled again, by children %v, and the network has let all that concerned it pass", id, by)
		}
	}
	w.report(h)
	c := w.proxy.Counts()
	t.Logf("network: %+v, messages concerned: %d", c, len(touched))
	for what, n := range map[string]int64{"resets": c.Resets, "lost answers": c.Lost, "stalls": c.Stalls, "cuts": c.Cuts} {
		require.Greater(t, n, int64(10), what)
	}
}

// A SIGKILL loses nothing. What is handled again was held by the process that was
// killed: it had received it, and not deleted it.
func kills(t *testing.T, p plan) {
	w := newWorld(t, p)
	w.play()
	h := w.histories()
	w.complete(h)
	for id, by := range h.repeated {
		for _, number := range by[:len(by)-1] {
			if !w.fleet.children[number].held[id] {
				t.Errorf("message %s was handled by children %v, and child %d did not hold it when it was killed", id, by, number)
			}
		}
	}
	if p.kills >= 50 { // with a few, all may come when nothing is handled and not deleted
		require.NotEmpty(t, h.repeated, "no child was killed at work")
	}
	w.report(h)
}

// histories are what became of the messages, by the log of the handlers.
type histories struct {
	by       map[string][]int // children that handled it, in their order
	repeated map[string][]int // of those, more than one
	order    []handling
}

func (w *world) histories() *histories {
	w.Helper()
	order, err := readLog(w.fleet.spec.Log)
	require.NoError(w, err)
	h := &histories{by: map[string][]int{}, order: order}
	for _, one := range order {
		h.by[one.id] = append(h.by[one.id], one.child)
	}
	h.repeated = maps.Clone(h.by)
	maps.DeleteFunc(h.repeated, func(_ string, by []int) bool { return len(by) == 1 })
	return h
}

// complete checks what must hold whatever has happened: each message was handled,
// nothing else was, nothing is left, and each message group in its order.
func (w *world) complete(h *histories) {
	w.Helper()
	for id, at := range w.ledger.sent {
		if h.by[id] == nil {
			w.Errorf("message %s, %v, is lost: it was sent and never handled", id, at)
		}
	}
	require.Len(w, h.by, w.messages)
	for queue := range w.urls {
		require.Empty(w, w.account.Messages(queue), queue)
	}
	next := map[string]int{}
	seen := map[string]bool{}
	for _, one := range h.order {
		at := w.ledger.sent[one.id]
		if at.group == "" || seen[one.id] {
			continue
		}
		seen[one.id] = true
		require.Equal(w, next[at.group], at.n, "%s is handled in its order", at.group)
		next[at.group]++
	}
}

// endedWell checks that each child has ended as it should, having finished all that
// it held.
func (w *world) endedWell() {
	w.Helper()
	for _, c := range w.fleet.children {
		require.NoError(w, c.err, "child %d, %v after its signal: %s", c.number, c.ended.Sub(c.signalled), c.trouble.Bytes())
	}
}

// report tells how much has happened.
func (w *world) report(h *histories) {
	w.Helper()
	again, held, slowest := 0, 0, time.Duration(0)
	for _, by := range h.repeated {
		again += len(by) - 1
	}
	for _, c := range w.fleet.children {
		held += len(c.held)
		slowest = max(slowest, c.ended.Sub(c.signalled))
	}
	w.Logf("%d messages, %d × %v: lost 0, handled again %d, received again %d, held by killed children %d, longest stop %v",
		w.messages, w.kills, w.signal, again, w.ledger.again, held, slowest.Round(time.Millisecond))
}
