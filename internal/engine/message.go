package engine

import (
	"fmt"
	"slices"
	"time"

	"github.com/sluice-go/sluice/internal/lease"
)

// Limits of SQS.
const (
	maxEntries  = 10      // in one call; SQS rejects more (TooManyEntriesInBatchRequest)
	maxInFlight = 120_000 // messages of one queue; SQS gives no more (developer guide, "Message quotas")
	maxBody     = 1 << 20 // bytes of a message with its attributes
)

// smallest is how many bytes a message is taken to need at least, whatever its body.
const smallest = 1 << 10

// A Delivery is a message as one receive has brought it. Nobody changes it.
type Delivery struct {
	ID, Handle      string // "": SQS has left it out
	Group, Sequence string
	Bytes           int  // that count towards SQS's limits
	Receives        int  // how often it was received, by anybody
	Redelivered     bool // it was received before, or may have been
	SentAt          time.Time
	Payload         any // what the transport and the handlers know of it
}

// A Message is a message in hand, from its receive until it is settled. It may be received
// again meanwhile. The loop owns its fields, but for its Delivery, which is never written.
type Message struct {
	Delivery Delivery

	lease   lease.Lease[*Message]
	arrived time.Time
	sent    time.Time // when the receive was sent that brought it
	newer   *Message  // the latest receive of it since; nil: there was none
	call    *Call     // that handles it; nil: none

	attempts attempts
	fate     *fate // nil: a plain one, as that of nearly all messages
	stage    stage
	marks    marks
	twice    int32 // receives of it while it is being settled, not counted yet
}

// attempts are the failures of a message in hand.
type attempts struct {
	n     int       // in place
	first time.Time // when the first of them was
}

// A fate is how a message is being settled, other than by a delete that succeeds. It has its
// own memory, since few messages have one.
type fate struct {
	tries     int           // calls that have failed
	delay     time.Duration // for which it stays hidden, if it is released
	linger    time.Duration // of a release that waits for a renewal
	reason    error         // of a dead letter
	refused   time.Time     // when its dead letter was refused first; zero: it was not
	unsure    time.Time     // when the first release was sent that may have had its effect although it failed; zero: none was
	unsureBy  string        // the receipt handle of that
	suspended *suspended    // what waits for the end of its dead letter; nil: nothing
}

// marks are what is known of a message beside its stage.
type marks struct {
	lost         bool // its lease has ended while it waited or was handled
	counted      bool // and that is counted
	gone         bool // SQS has said that its receipt is worth nothing, while it was being settled
	stays        bool // in the queue, although it is settled
	more         bool // of its group may be in the queue
	surplus      bool // nobody has asked for it, or nobody will handle it: it never waited for a handler
	deadLettered bool // the dead-letter queue has it
	returned     bool // to the queue without a handler's result, by a stop or since another message failed
	renewing     bool // its release waits for the return of a renewal
}

// ending returns how m is being settled, for reading.
func (m *Message) ending() fate {
	if m.fate == nil {
		return fate{}
	}
	return *m.fate
}

// end returns how m is being settled, for writing.
func (m *Message) end() *fate {
	if m.fate == nil {
		m.fate = new(fate)
	}
	return m.fate
}

// Group returns the message group.
func (m *Message) Group() string { return m.Delivery.Group }

// Sequence returns the sequence number.
func (m *Message) Sequence() string { return m.Delivery.Sequence }

// Again reports whether m was received before, or may have been.
func (m *Message) Again() bool { return m.Delivery.Redelivered }

// Arrived returns when m arrived.
func (m *Message) Arrived() time.Time { return m.arrived }

// Failed returns when m failed first, in place. Zero: it has not.
func (m *Message) Failed() time.Time { return m.attempts.first }

// Size returns the bytes of m.
func (m *Message) Size() int { return m.Delivery.Bytes }

// Attempts returns how often m has failed in place. A handler of m may call it.
func (m *Message) Attempts() int { return m.attempts.n }

// key is what m is known by in hand. SQS itself never leaves the id out; without it two
// messages must not be taken for one.
func (m *Message) key() string {
	if m.Delivery.ID == "" {
		return m.Delivery.Handle
	}
	return m.Delivery.ID
}

// latest returns m as its latest receive has brought it.
func (m *Message) latest() *Message {
	if m.newer != nil {
		return m.newer
	}
	return m
}

// handle returns the newest receipt handle.
func (m *Message) handle() string { return m.latest().Delivery.Handle }

// A stage is how far a message has come.
type stage uint8

const (
	arriving      stage = iota // it was received just now
	waiting                    // for its batch, for a slot, or for its next try
	handling                   // a handler has it
	blocked                    // it was handled, and waits for the dead letter before it in its group
	deleting                   // until SQS has confirmed it
	releasing                  // until SQS has confirmed it
	deadLettering              // until the dead-letter queue has it
	settled                    // it is in hand no longer
)

var stageNames = [...]string{"arriving", "waiting", "handling", "blocked", "deleting", "releasing", "dead-lettering", "settled"}

func (s stage) String() string { return stageNames[s] }

// transitions are the stages that may follow each one.
var transitions = [...][]stage{
	arriving:      {waiting, releasing},                                            // releasing: nobody has asked for it
	waiting:       {handling, releasing, settled},                                  // settled: its lease is lost
	handling:      {waiting, blocked, deleting, releasing, deadLettering, settled}, // waiting: it is tried again in place
	blocked:       {waiting, blocked, deleting, releasing, deadLettering, settled},
	deleting:      {deleting, settled}, // deleting: with a newer receipt
	releasing:     {releasing, settled},
	deadLettering: {waiting, deleting, releasing, settled}, // waiting: the dead-letter queue does not take it
	settled:       {},
}

// follow reports whether a message may come from one stage to another.
func follow(from, to stage) bool { return slices.Contains(transitions[from], to) }

// handled reports whether m has been handled, or will not be.
func (m *Message) handled() bool { return m.stage > handling }

// settling reports whether calls are made to settle m.
func (m *Message) settling() bool { return m.stage > blocked }

// A hand is the messages that a run holds.
type hand struct {
	messages map[string]*Message // by key
	bytes    int
	largest  int          // bytes of the largest of the latest messages
	in       [settled]int // how many are in each stage
}

// hold takes a message in hand.
func (h *hand) hold(m *Message) {
	h.messages[m.key()] = m
	h.in[m.stage]++
	h.bytes += m.Delivery.Bytes
	h.largest = max(m.Delivery.Bytes, h.largest-h.largest/64, smallest)
}

// drop lets go of a message.
func (h *hand) drop(m *Message) {
	delete(h.messages, m.key())
	h.in[m.stage]--
	h.bytes -= m.Delivery.Bytes
	h.check(m, settled)
	m.stage = settled
}

// move brings messages to a stage.
func (h *hand) move(s stage, ms ...*Message) {
	for _, m := range ms {
		h.check(m, s)
		h.in[m.stage]--
		h.in[s]++
		m.stage = s
	}
}

// check ends the process if a message cannot come to a stage: what would be done to it then
// nobody knows.
func (*hand) check(m *Message, s stage) {
	if !follow(m.stage, s) {
		panic(fmt.Sprintf("a message that is %v cannot be %v", m.stage, s))
	}
}

// onWay is how many messages wait or are handled: calls about them will come.
func (h *hand) onWay() int { return h.in[waiting] + h.in[handling] }
