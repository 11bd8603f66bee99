// Package engine is one run of a consumer: it receives messages, gathers them into
// batches, hands these to handlers, and settles what they have handled.
//
// All state of a run belongs to its loop, see [Engine.turn]. What blocks runs on other
// goroutines: calls to SQS, handlers, hooks. They are handed values and come back as one
// event each. So nothing here has a lock, and a method runs on another goroutine only if
// its first sentence says so.
package engine

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/sluice-go/sluice/internal/counters"
	"github.com/sluice-go/sluice/internal/elapsed"
	"github.com/sluice-go/sluice/internal/pace"
	"github.com/sluice-go/sluice/internal/serial"
)

// A Transport makes the calls to SQS. Its methods block, may be called concurrently, and
// return when ctx is done. Errors are [fault.Error]s; others count as passing.
type Transport interface {
	// Receive makes one receive. If the client has not returned when the time of the
	// receive is over, a.Late is told on another goroutine. What the client returns later
	// is returned all the same.
	Receive(ctx context.Context, a Ask) Answer

	// Delete deletes the messages with the given receipt handles, ten at most, and returns
	// an error for each. If the client has not returned when the time of the call is over,
	// late is told of them, on another goroutine, and inTime is false later.
	Delete(ctx context.Context, handles []string, late LateBatch) (errs []error, inTime bool)

	// Release gives messages new visibility timeouts and returns an error for each: it
	// renews leases, and makes messages visible again. It waits for the client as Delete does.
	Release(ctx context.Context, c Change) (errs []error, inTime bool)

	// DeadLetter sends m to the dead-letter queue.
	DeadLetter(ctx context.Context, m *Message, reason error) error
}

// An Ask is what a receive asks for.
type Ask struct {
	N       int           // messages, at most
	Wait    time.Duration // for the first message; whole seconds
	Margin  time.Duration // after the wait, until the answer begins to arrive
	Attempt string        // repeats an earlier receive of a FIFO queue; "": none
	Late    LateReceive
}

// A LateReceive is told that the time of a receive is over and its client has not returned.
type LateReceive interface{ Overdue(err error) }

// A LateBatch is told that the time of a delete or a release is over and its client has not
// returned, with an error for each handle.
type LateBatch interface{ Overdue(errs []error) }

// An Answer is what a receive has brought.
type Answer struct {
	Messages []*Message
	Began    time.Time // when its body began to arrive; zero: that was not seen
	Err      error
}

// A Change gives messages new visibility timeouts, counted from the call.
type Change struct {
	Handles  []string        // ten at most
	Timeouts []time.Duration // one for each; whole seconds; 0 makes the message visible at once
	Limit    time.Duration   // of the call; 0: that of all calls
	Late     LateBatch
}

// The errors that end the context of a handler call.
var (
	ErrShutdown       = errors.New("sluice: shutdown timeout is over")
	ErrLeaseLost      = errors.New("sluice: lease lost")
	ErrHandlerTimeout = errors.New("sluice: handler timeout is over")
)

// Settings are the options of a run. They have no zero values that stand for others. There
// are as many as a user may set.
type Settings struct {
	FIFO  bool
	Drain bool // the run ends when the queue is empty

	BatchSize, BatchBytes      int
	WaitTime                   time.Duration
	Concurrency, BytesInFlight int
	Receivers, MaxMessages     int // MaxMessages 0: no bound
	Visibility, PollTime       time.Duration
	HandlerTimeout             time.Duration // 0: none
	ReceiveLinger              time.Duration
	DeleteLinger               time.Duration // 0: as it is useful; negative: never
	ShutdownTimeout            time.Duration
	MaxDuration                time.Duration // 0: no bound
	GiveUpAfter                time.Duration // negative: never

	OnGroupFailure GroupFailure
	InPlaceTries   int
	InPlaceTime    time.Duration

	Queue, DeadLetterQueue string // URLs; no DeadLetterQueue: ""
	Region                 string // "": unknown
}

// A Config is what an [Engine] works with. All fields are required.
type Config struct {
	Settings

	Transport Transport
	Counters  *counters.Counters
	Clock     *elapsed.Clock
	Rand      func() float64 // jitter, in [0, 1)
	Paused    func() bool    // whether nothing is to be received now

	// NewCall returns an empty call. It is called by the loop, and so does no more than that.
	NewCall func() *Call

	// Handle handles the batch of a call and fills its Outcomes, whatever the handler does.
	// It is called by a goroutine of the call's own, which the handler may end.
	Handle func(ctx context.Context, c *Call)

	// Told is told what users want to know. Its methods are called by the loop and must
	// not block.
	Told Listener

	// TellSettled is whether Listener.Settled is to be called.
	TellSettled bool
}

// A Listener is told what happens in a run.
type Listener interface {
	// Log writes a line about the queue.
	Log(level slog.Level, msg string, args ...any)
	// LeaseLost is told of a message whose lease has ended while it waited or was handled.
	LeaseLost(m *Message, cause error)
	// Settled is told what SQS has confirmed of messages in a turn, see Config.TellSettled.
	Settled(ms []*Message, as Settlement)
	// Stuck is told of a handler call that goes on although its context ended long ago.
	Stuck(c *Call)
	// StateChanged is told that the state in the counters is another one.
	StateChanged()
}

// An Engine is one run. The stages are its fields, each in a file of its own. The zero value
// is not usable; see [New].
type Engine struct {
	Config

	loop     looper
	handlers *serial.Pool       // for handler calls
	callers  *serial.Pool       // for calls to SQS
	calling  context.Context    //nolint:containedctx // of calls to SQS but receives; it ends with the run
	cutCalls context.CancelFunc // ends calling
	probes   sync.WaitGroup

	hand     hand // the messages in hand
	pace     *pace.Pace
	order    ordering // what may be handled next, and what becomes of what was
	receives receives
	refusals refusals
	calls    calls
	settle   settling
	leases   leases
	stop     stopper
	report   reporting
}

// A looper is a [serial.Loop]. Tests have one of their own, which begins nothing by itself.
type looper interface {
	Run(done <-chan struct{}, nothing, stop event)
	Close()
	Tell(e event, member *serial.Pool) (next serial.Work)
	Leave(e event)
	WakeAt(t time.Time)
	Begin(by *serial.Pool, w serial.Work)
}

// An ordering decides which messages may be handled, and what becomes of those that were.
type ordering interface {
	// add lets messages wait for a handler.
	add(now time.Time, ms ...*Message)
	// next takes the next batch if one is to be handed over now. The slice is the caller's
	// until next is called again. flush is the reason not to wait for a batch to fill;
	// noReason: there is none.
	next(now time.Time, flush Reason) ([]*Message, Reason)
	// postpone takes back what next has given, until the given time.
	postpone(ms []*Message, until time.Time)
	// follows reports whether b must not be handled when a is not.
	follows(a, b *Message) bool
	// ready returns how many messages wait for nothing but their batch or a slot.
	ready() int
	// due returns when the wait of the open batch is over; zero: no batch is open.
	due() time.Time
	// wakes returns when next gives something only because time has passed; zero: never.
	wakes() time.Time
	// awaited reports whether the delete of m lets others be handled.
	awaited(m *Message) bool
	// settle decides what becomes of the messages of a call that has ended.
	settle(c *Call, now time.Time)
	// deadLettered learns what became of a message that was to go to the dead-letter queue.
	deadLettered(m *Message, end deadLetterEnd, now time.Time)
	// ended learns that a message is settled, and how. It is still in hand.
	ended(m *Message, end End, now time.Time)
	// forget drops a message that is in hand no longer.
	forget(m *Message)
	// lost drops messages whose leases have ended while they waited.
	lost(ms []*Message, now time.Time)
	// orphaned learns that the lease of a message has ended while it is handled.
	orphaned(m *Message, now time.Time)
	// makeRoom releases what holds too much of the room.
	makeRoom(now time.Time)
	// closing releases what will not be handled in this run, since receiving has ended.
	closing(now time.Time)
	// leave takes out all that waits, in the order in which it is to be released.
	leave() []*Message
}

// An event is an input of the loop: a *received, an *overdue, a *Call, a *settleCall, a
// *renewed, a probed or a command.
type event any

// A command is what the user wants.
type command int

const (
	wake   command = iota // look again, something may have changed
	endRun                // receive nothing more, and finish what is in hand
)

// New returns an Engine. It starts nothing.
func New(c Config) *Engine {
	e := &Engine{Config: c, handlers: serial.NewPool(), callers: serial.NewPool()}
	e.loop = serial.NewLoop(e.turn)
	e.pace = pace.New(pace.Config{
		Batch: c.BatchSize, Slots: c.Concurrency, WaitTime: c.WaitTime, Receivers: c.Receivers,
		MaxInFlight: maxInFlight, Hold: !c.Drain, Linger: c.ReceiveLinger, Rand: c.Rand,
	})
	e.hand = hand{messages: map[string]*Message{}, largest: maxBody}
	e.receives = receives{e: e, line: NewLine(c.Visibility), attempts: Attempts{Clock: c.Clock}}
	e.refusals = refusals{e: e, of: map[string]*refusal{}}
	e.calls = calls{e: e}
	e.settle = newSettling(e)
	e.leases = newLeases(e)
	e.stop = stopper{e: e}
	e.report = reporting{e: e}
	e.report.latency = unseen
	if c.FIFO {
		e.order = newGrouped(e)
	} else {
		e.order = newStandard(e)
	}
	return e
}

// Run runs until the run has ended, by itself or because ctx is done, and all is settled or
// its time is over. It returns what was not settled, nil if all was, and the error that has
// ended the run, nil if none has.
func (e *Engine) Run(ctx context.Context) (*Unfinished, error) {
	base := context.WithoutCancel(ctx)
	receiving, cut := context.WithCancel(base)
	calling, cutCalls := context.WithCancel(base)
	e.calls.base, e.receives.ctx, e.receives.cut, e.calling, e.cutCalls = base, receiving, cut, calling, cutCalls //nolint:fatcontext // made once, for the whole run
	if e.MaxDuration > 0 {
		e.stop.limit = time.Now().Add(e.MaxDuration)
	}
	e.loop.Run(ctx.Done(), wake, endRun)
	e.loop.Close()
	e.calls.interrupt(time.Now())
	e.receives.cut()
	e.cutCalls()
	left := e.stop.result()
	e.report.rest()
	e.stop.wait()
	return left, e.stop.fatal
}

// Stop is called by any goroutine and ends the run as the end of its context does.
func (e *Engine) Stop() { e.loop.Leave(endRun) }

// Wake is called by any goroutine and lets the loop look at Config.Paused again.
func (e *Engine) Wake() { e.loop.Leave(wake) }

// bring is called by a goroutine of a pool and brings the loop what it has done. It returns what
// that goroutine has to do next: nothing if it is ending, which cannot take a turn.
func (e *Engine) bring(ev event, by *serial.Pool, ending bool) (next serial.Work) {
	if ending {
		e.loop.Leave(ev)
		return nil
	}
	return e.loop.Tell(ev, by)
}

// turn is all that a run does: it takes in what has happened, then does what is to be done
// now. It reports whether the run is over.
func (e *Engine) turn(now time.Time, events []event) (last bool) {
	e.leases.begin(now)
	for _, ev := range events {
		switch ev := ev.(type) {
		case *received: // a receive has come back
			e.receives.returned(ev, now)
		case *overdue: // or has not, in its time
			e.receives.overdue(ev, now)
		case *Call: // a handler has returned
			e.calls.returned(ev, now)
		case *settleCall: // a delete, a release or a dead letter has come back
			e.settle.returned(ev, now)
		case *renewed: // a renewal has come back
			e.leases.returned(ev, now)
		case probed: // a goroutine has waited for a processor
			e.leases.probed(time.Duration(ev), now)
		case command:
			e.stop.command(ev, now)
		}
	}
	e.settle.collect(now)  // what these events delete goes together
	e.stop.advance(now)    // the phase, by the clock
	e.leases.renew(now)    // leases that are over, and renewals that are due
	e.refusals.remind(now) // what is refused for long
	e.calls.expire(now)    // handlers that take too long
	e.calls.tellStuck(now) // and those that do not heed the end of their context
	e.order.makeRoom(now)  // for those that can be handled
	e.dispatch(now)        // batches to free slots
	e.receives.send(now)   // receives that are useful
	e.settle.send(now)     // calls that are due
	e.report.publish(now)
	return e.stop.ended()
}
