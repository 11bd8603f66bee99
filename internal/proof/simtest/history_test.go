package simtest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// A kind says what an event is.
type kind string

const (
	sent       kind = "sent"
	delivered  kind = "delivered"     // by SQS, whether or not the answer arrives
	deleted    kind = "deleted"       // in SQS
	changed    kind = "lease changed" // in SQS
	buried     kind = "dead-lettered" // moved by SQS to the dead-letter queue
	arrived    kind = "arrived in the dead-letter queue"
	laid       kind = "sent to the dead-letter queue"
	called     kind = "call"   // a consumer sends a request
	answered   kind = "answer" // and has its answer
	struck     kind = "fault"  // a fault meets a call, or a lever is pulled
	batchBegan kind = "batch begins"
	batchEnded kind = "batch ends"
	began      kind = "handler begins" // for one message
	ended      kind = "handler ends"
	wentAway   kind = "handler ends its goroutine"
	panicked   kind = "handler panics"
	cancelled  kind = "handler's context ends"
	waited     kind = "a method waited"
	runBegan   kind = "run begins"
	runEnded   kind = "run ends"
	stopAsked  kind = "stop"
	crashed    kind = "crash"
	paused     kind = "pause"
	resumed    kind = "resume"
	gone       kind = "queue deleted"
	hollow     kind = "empty answer, by chance"
	dragged    kind = "slow way, by chance" // of a receive or of its answer
	calmed     kind = "faults end"
)

// A verdict is what a handler said of one message.
type verdict string

const (
	success    verdict = "success"
	failure    verdict = "failure"
	discard    verdict = "discard"
	deadLetter verdict = "dead letter"
)

// An event is one thing that happened.
type event struct {
	at   time.Duration // virtual, since the world began
	kind kind
	inc  int // incarnation: one life of one process; 0: none
	call int // of the client, or of the handler; numbered from 1 in the world

	message string // id
	handle  string
	count   int           // ApproximateReceiveCount
	until   time.Duration // end of the visibility timeout
	group   string
	number  int // of the message: the order in which they were sent

	op       string
	handles  []string        // of a request, or of the fault's call
	asked    time.Duration   // visibility timeout that a receive asks for
	timeouts []time.Duration // of a change, by entry
	n        int             // messages asked for
	past     bool            // a call that went past the SDK's client
	got      []receipt       // of a receive's answer
	ok       []bool          // by entry: confirmed
	refused  []string        // by entry: code
	fault    fault
	verdict  verdict
	err      error
	note     string
}

// A receipt is a message in an answer.
type receipt struct {
	message, handle string
	count           int
}

// A history is all that happened in a world, in the order in which it happened.
type history struct {
	began time.Time

	mu     sync.Mutex // guards the fields below
	events []event
	calls  int
	fired  [numFaults]int
	said   map[string]bool // lines that consumers logged, and texts of errors that came from them
}

// mostEvents is far beyond what any world needs: a loop that does not wait runs
// into it instead of running for ever.
const mostEvents = 400_000

func (h *history) add(e event) {
	e.at = time.Since(h.began)
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.events) > mostEvents {
		panic(fmt.Sprintf("simtest: more than %d events by %v: somebody does not wait", mostEvents, e.at))
	}
	h.events = append(h.events, e)
}

// number returns the number of the next call.
func (h *history) number() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls++
	return h.calls
}

func (h *history) fire(f fault, e event) {
	e.kind, e.fault = struck, f
	h.add(e)
	h.count(f)
}

func (h *history) count(f fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fired[f]++
}

// log keeps a line for the checker.
func (h *history) log(line string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.said[line] = true
}

// logError keeps the text of an error that the library has made or passed on.
func (h *history) logError(err error) {
	if err != nil {
		h.log(err.Error())
	}
}

// trace returns the history as text that two runs of a seed have in common. What
// happens at one instant happens in no order, and is written in that of the text.
// Calls have numbers by the scheduler's order; the trace has none.
func (h *history) trace() []string {
	type line struct {
		at   time.Duration
		text string
	}
	lines := make([]line, len(h.events))
	for i, e := range h.events {
		lines[i] = line{e.at, e.String()}
	}
	slices.SortStableFunc(lines, func(a, b line) int {
		return cmp.Or(cmp.Compare(a.at, b.at), strings.Compare(a.text, b.text))
	})
	texts := make([]string, len(lines))
	for i, l := range lines {
		texts[i] = l.text
	}
	return texts
}

// String tells an event in one line.
func (e event) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%14v  ", e.at)
	if e.inc > 0 {
		fmt.Fprintf(&b, "life %d: ", e.inc)
	}
	b.WriteString(string(e.kind))
	add := func(format string, args ...any) { fmt.Fprintf(&b, " "+format, args...) }
	if e.op != "" {
		add("%s", e.op)
	}
	if e.kind == struck {
		add("%v", e.fault)
	}
	if e.message != "" {
		add("message %.8s", e.message)
	}
	if e.group != "" {
		add("of group %s", e.group)
	}
	if e.count > 0 {
		add("receive %d", e.count)
	}
	if e.until > 0 {
		add("until %v", e.until)
	}
	if e.n > 0 {
		add("up to %d", e.n)
	}
	if len(e.handles) > 0 {
		add("%d entries", len(e.handles))
	}
	if len(e.timeouts) > 0 {
		add("%v", e.timeouts)
	}
	if len(e.got) > 0 {
		add("%d messages", len(e.got))
	}
	if len(e.refused) > 0 {
		add("refused %q", e.refused)
	}
	if e.verdict != "" {
		add("%s", e.verdict)
	}
	if e.note != "" {
		add("(%s)", e.note)
	}
	if e.err != nil {
		add("error: %v", e.err)
	}
	return b.String()
}
