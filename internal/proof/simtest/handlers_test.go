package simtest

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/sluice-go/sluice"
)

// A form is how the user's function takes its messages.
type form string

const (
	wholeBatch   form = "batch"
	oneByOne     form = "each"
	decoded      form = "json"
	decodedBatch form = "json batch"
)

// A mood is how handlers are in a world.
type mood struct {
	longest     time.Duration // of one message, when all is well
	bad         float64       // share of handlings that go wrong
	letters     float64       // of those that end in a dead letter besides
	slow        float64       // of those that take longer than that, up to two and a half leases
	hours       bool          // some take up to 13 h
	poison      float64       // share of messages that never succeed; only with a dead-letter queue
	undecodable float64       // as well
	large       float64       // share of messages of nearly 1 MiB
}

func moodFor(r *rand.Rand, p *plan) mood {
	m := mood{longest: oneOf(r, time.Millisecond, 50*time.Millisecond, 500*time.Millisecond, 3*time.Second)}
	if p.calm {
		m.longest = min(m.longest, 5*time.Second/time.Duration(p.options.BatchSize))
	}
	if p.calm && p.fifo { // the last receive may bring ten of one group, which are handled one after another
		o := &p.options
		o.ShutdownTimeout = max(o.ShutdownTimeout, o.PollTime+10*m.longest+5*time.Second)
	}
	return m
}

// temper makes the mood of a world with bad handlers and bodies.
func (p *plan) temper(r *rand.Rand) {
	if p.odds[badHandlers] > 0 {
		p.mood.bad, p.mood.slow = p.odds[badHandlers], oneOf(r, 0, 0.02, 0.1)
	}
	if letters := die(p.seed).named("letters"); p.deadDrop && letters.under(0.5) {
		p.mood.letters = oneOf(letters.rand(), 0.02, 0.1)
	}
	if p.options.HandlerTimeout > 0 { // what goes well is allowed to take its time
		p.options.HandlerTimeout += 2 * p.mood.longest * time.Duration(p.options.BatchSize)
	}
	if p.redrive > 0 && p.fifo { // what never succeeds keeps its group waiting for each of its receives
		p.options.RetryDelay = func(*sluice.Message, error) time.Duration { return 5 * time.Second }
	}
	if p.redrive > 0 && p.odds[badHandlers] > 0 {
		p.mood.poison = oneOf(r, 0, 0.05)
	}
	if p.odds[bodies] > 0 && p.redrive > 0 && (p.form == decoded || p.form == decodedBatch) {
		p.mood.undecodable = 0.05
	}
	if p.odds[bodies] > 0 && r.Float64() < 0.05 {
		p.mood.large = 0.05
	}
	if p.odds[badHandlers] > 0 && r.Float64() < 0.12 {
		p.mood.hours, p.mood.slow, p.active = true, 0.1, 14*time.Hour
		p.options.PollTime, p.options.VisibilityTimeout, p.processes = 20*time.Second, 2*time.Minute, 1
		for f := range p.odds {
			p.odds[f] /= 20 // as many as in a world of minutes
		}
	}
}

// An act is what a handler does about one message.
type act struct {
	took time.Duration
	late time.Duration // between what cuts it short and its return: two never return at the same instant
	deaf bool          // it does not heed its context
	what deed
}

// A deed is how a handling ends.
type deed int

const (
	succeeds deed = iota
	fails
	failsWithDelay
	discards
	buries
	panics
	goesAway // by runtime.Goexit
	hangs    // until its context ends, or for ever if it is deaf
	stopsOwnConsumer
	pausesOwnConsumer
)

// act draws what a handler does about the n-th handling of a message.
func (l *life) act(message string, n int) act {
	d := l.dice.named("handler").named(message).of(uint64(n))
	a := act{took: d.of(1).between(time.Microsecond, l.mood.longest), late: d.of(10).between(time.Microsecond, time.Millisecond)}
	if l.mood.poison > 0 && l.dice.named("poison").named(message).under(l.mood.poison) {
		a.what = fails
		return a
	}
	if l.calm || l.healed() {
		return a
	}
	if d.of(2).under(l.mood.slow) {
		l.hist.count(badHandlers)
		a.took = d.of(3).between(0, l.options.VisibilityTimeout*5/2)
		if l.mood.hours && d.of(4).under(0.7) {
			a.took = d.of(5).between(11*time.Hour+30*time.Minute, 13*time.Hour)
		}
		a.deaf = d.of(6).under(0.5)
	}
	if d.of(7).under(l.mood.bad) {
		l.hist.count(badHandlers)
		a.what = 1 + deed(d.of(8).float()*float64(pausesOwnConsumer))
		a.deaf = a.deaf || d.of(9).under(0.3)
	}
	if d.of(11).under(l.mood.letters) {
		l.hist.count(badHandlers)
		a.what = buries
	}
	return a
}

// Notes of failures: one that asks for no delay of its own, and one that does, whatever
// became of its context.
const (
	plain   = "plain"
	delayed = "delayed"
)

func (a act) note(v verdict) string {
	switch {
	case v != failure:
		return ""
	case a.what == fails || a.what == panics:
		return plain
	case a.what == failsWithDelay && a.deaf:
		return delayed
	default:
		return ""
	}
}

type callKey struct{}

// handler is the handler of a life: the plan's form around what the dice say, and
// around both what writes it down.
func (l *life) handler() sluice.Handler {
	inner := l.formed()
	return func(ctx context.Context, batch []*sluice.Message) error {
		if l.wire.dead.Load() {
			return errCrashed
		}
		e := event{kind: batchBegan, inc: l.inc, call: l.hist.number(), n: len(batch)}
		for _, m := range batch {
			e.handles = append(e.handles, m.ReceiptHandle)
		}
		l.write(e)
		stop := context.AfterFunc(ctx, func() {
			l.write(event{kind: cancelled, inc: l.inc, call: e.call, err: context.Cause(ctx)})
			l.hist.logError(context.Cause(ctx))
		})
		defer func() {
			stop()
			l.write(event{kind: batchEnded, inc: l.inc, call: e.call})
		}()
		l.settleDown(batch)
		return inner(context.WithValue(ctx, callKey{}, e.call), batch)
	}
}

// settleDown takes the time that a call needs to get going. Calls that begin at one
// instant would end at one instant otherwise where no function of the user's is
// called, since no body can be decoded, and in an order that is the scheduler's.
func (l *life) settleDown(batch []*sluice.Message) {
	l.mu.Lock()
	n := l.calls[batch[0].ID]
	l.calls[batch[0].ID]++
	l.mu.Unlock()
	time.Sleep(l.dice.named("begin").named(batch[0].ID).of(uint64(n)).between(time.Microsecond, time.Millisecond))
}

// write writes an event down unless the process has crashed.
func (l *life) write(e event) {
	if !l.wire.dead.Load() {
		l.hist.add(e)
	}
}

func (l *life) formed() sluice.Handler {
	switch l.form {
	case oneByOne:
		return sluice.Each(func(ctx context.Context, m *sluice.Message) error { return l.handle(ctx, m.ID) })
	case decoded:
		return sluice.JSON(func(ctx context.Context, o order) error { return l.handle(ctx, l.idOf(o.Number)) })
	case decodedBatch:
		return sluice.BatchJSON(func(ctx context.Context, items []sluice.Item[order]) error {
			batch := make([]*sluice.Message, len(items))
			for i := range items {
				batch[i] = items[i].Message
			}
			return l.handleBatch(ctx, batch)
		})
	default:
		return l.handleBatch
	}
}

// begin writes down that a message is being handled and draws what happens.
func (l *life) begin(ctx context.Context, message string) act {
	l.mu.Lock()
	n := l.runs[message]
	l.runs[message]++
	l.mu.Unlock()
	call, _ := ctx.Value(callKey{}).(int)
	l.write(event{kind: began, inc: l.inc, call: call, message: message})
	return l.act(message, n)
}

func (l *life) finish(ctx context.Context, message string, v verdict, note string) {
	call, _ := ctx.Value(callKey{}).(int)
	l.write(event{kind: ended, inc: l.inc, call: call, message: message, verdict: v, note: note})
}

// handle handles one message.
func (l *life) handle(ctx context.Context, message string) error {
	a := l.begin(ctx, message)
	v := failure
	defer func() { l.finish(ctx, message, v, a.note(v)) }()
	err := l.perform(ctx, a)
	v = l.verdict(a, err)
	return l.said(a, message, err)
}

// handleBatch handles a batch as a whole: for as long as its slowest message takes,
// and each with its own result. What concerns the whole call, such as a panic, is
// what the first message's act says.
func (l *life) handleBatch(ctx context.Context, batch []*sluice.Message) error {
	acts := make([]act, len(batch))
	verdicts := make([]verdict, len(batch))
	for i, m := range batch {
		acts[i] = l.begin(ctx, m.ID)
		verdicts[i] = failure
	}
	defer func() {
		for i, m := range batch {
			l.finish(ctx, m.ID, verdicts[i], acts[i].note(verdicts[i]))
		}
	}()
	whole := acts[0]
	for _, a := range acts {
		whole.took = max(whole.took, a.took)
	}
	if err := l.perform(ctx, whole); err != nil {
		return err // it names no message: all fail
	}
	var errs []error
	for i, a := range acts {
		if a.what == panics || a.what == goesAway || a.what == hangs {
			a.what = fails
		}
		err := l.result(a)
		verdicts[i] = l.verdict(a, err)
		errs = append(errs, sluice.Failed(batch[i], l.said(a, batch[i].ID, err)))
	}
	return errors.Join(errs...)
}

// perform does what takes time, and returns an error if it was cut short.
func (l *life) perform(ctx context.Context, a act) error {
	if err := l.spend(ctx, a); err != nil {
		return err
	}
	call, _ := ctx.Value(callKey{}).(int)
	switch a.what {
	case panics:
		l.write(event{kind: panicked, inc: l.inc, call: call})
		panic("the handler panics on purpose")
	case goesAway:
		l.write(event{kind: wentAway, inc: l.inc, call: call})
		runtime.Goexit()
	case hangs:
		return l.hang(ctx, a)
	case stopsOwnConsumer:
		l.write(event{kind: stopAsked, inc: l.inc, note: "by its handler"})
		l.prompt("Stop", l.consumer.Stop)
		time.Sleep(a.late) // else whether it ends before its stop is heeded is the scheduler's choice
	case pausesOwnConsumer:
		l.write(event{kind: paused, inc: l.inc, note: "by its handler"})
		l.prompt("Pause", l.consumer.Pause)
		_ = l.spend(ctx, a)
		l.write(event{kind: resumed, inc: l.inc, note: "by its handler"})
		l.prompt("Resume", l.consumer.Resume)
		time.Sleep(a.late)
	}
	return l.result(a)
}

// prompt calls a method that handlers may call and that must not wait.
func (l *life) prompt(name string, method func()) {
	before := time.Now()
	method()
	if took := time.Since(before); took > 0 {
		l.write(event{kind: waited, inc: l.inc, note: name + " took " + took.String()})
	}
}

// result is the error of an act by itself.
func (*life) result(a act) error {
	switch a.what {
	case fails, failsWithDelay, discards, buries:
		return errInWorld
	default:
		return nil
	}
}

// spend lets the time of an act pass; a handler that is not deaf heeds its context.
func (l *life) spend(ctx context.Context, a act) error {
	done := ctx.Done()
	if a.deaf {
		done = nil
	}
	timer := time.NewTimer(a.took)
	defer timer.Stop()
	long := l.heal
	if a.took <= l.mood.longest {
		long = nil
	}
	select {
	case <-timer.C:
		return nil
	case <-done:
		time.Sleep(a.late)
		return context.Cause(ctx)
	case <-long:
		time.Sleep(a.late)
		return errInWorld
	case <-l.wire.life.Done():
		return errCrashed
	}
}

func (l *life) hang(ctx context.Context, a act) error {
	a.took = 1000 * time.Hour
	return l.spend(ctx, a)
}

// said is the error that a handler returns for an act.
func (*life) said(a act, message string, err error) error {
	switch {
	case err == nil:
		return nil
	case !errors.Is(err, errInWorld):
		return err
	}
	switch a.what {
	case failsWithDelay:
		return sluice.RetryAfter(die(0).named(message).between(0, 5*time.Second), err)
	case discards:
		return sluice.Discard(err)
	case buries:
		return sluice.DeadLetter(err)
	default:
		return err
	}
}

// verdict is what a returned error says of a message.
func (l *life) verdict(a act, err error) verdict {
	switch {
	case err == nil:
		return success
	case !errors.Is(err, errInWorld):
		return failure
	case a.what == discards:
		return discard
	case a.what == buries && l.deadDrop:
		return deadLetter
	default:
		return failure
	}
}
