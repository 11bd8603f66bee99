package simtest

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sluice-go/sluice/sqstest"
)

// A fault is a kind of what goes wrong.
type fault int

const (
	lostAnswer       fault = iota + 1 // F1: the effect is real, the answer lost
	lostRequest                       // F2
	brokenConnection                  // F3: reset, EOF, half a body, a body that stalls
	slowAnswers                       // F4: 0.1 s to 60 s, longer than the lease too
	serverErrors                      // F5: 500, 503
	throttling                        // F6: also in bursts, and OverLimit
	partialResults                    // F7: some entries of a batch fail, of either fault
	duplicates                        // F8: in one answer, in two, while in hand, after the delete
	staleSuccess                      // F9: a delete answered with success, without effect
	shortLeases                       // F10: shorter than asked for
	uselessReceipts                   // F11: MessageNotInflight, ReceiptHandleIsInvalid
	silentLimit                       // F12: empty answers of a FIFO queue although there are messages
	shortAnswers                      // F13: short and empty answers
	outages                           // F14: nothing works for minutes
	credentials                       // F15: expired, or access denied for a while
	deletedQueue                      // F16: deleted, and made again
	crashes                           // F17: all state of a process is dropped; restarts, rolling deploys
	badHandlers                       // F18: errors, panics, Goexit, deaf, hanging, late, re-entrant
	badHooks                          // F19: hooks that panic or block
	bodies                            // F20: huge, undecodable, with a wrong digest
	pauses                            // F21
	redrives                          // F22: messages go to the dead-letter queue
	settings                          // F23: attributes of the queue change
	refusals                          // F28: access, the key or the queue is refused for a while
	numFaults
)

var faultNames = [numFaults]string{
	"", "F1 lost answer", "F2 lost request", "F3 broken connection", "F4 slow answer", "F5 server error", "F6 throttling",
	"F7 partial result", "F8 duplicate", "F9 success without effect", "F10 short lease", "F11 useless receipt",
	"F12 silent limit", "F13 short answer", "F14 outage", "F15 credentials", "F16 deleted queue", "F17 crash",
	"F18 handler", "F19 hook", "F20 body", "F21 pause", "F22 redrive", "F23 settings", "F28 refusal",
}

func (f fault) String() string { return faultNames[f] }

// A turn is something that happens to a process, or to the queue, at a time.
type turn struct {
	at   time.Duration
	what kind
	then time.Duration // until it is undone
}

// faults draws what goes wrong: each kind in some worlds only, so that each is also
// seen alone, and with every other one.
func (p *plan) faults(r *rand.Rand) {
	crowd := oneOf(r, 0.1, 0.3, 0.6)          // how many kinds come together
	for f := lostAnswer; f <= settings; f++ { // those that came later have dice of their own
		if r.Float64() < crowd {
			p.odds[f] = oneOf(r, 0.01, 0.05, 0.2)
		}
	}
	if p.odds[throttling] > 0 {
		p.during(r, throttling, time.Second, 5*time.Minute)
	}
	if p.odds[outages] > 0 {
		p.during(r, outages, time.Minute, oneOf(r, 2*time.Minute, time.Hour))
	}
	if p.odds[credentials] > 0 {
		p.during(r, credentials, time.Second, 2*time.Minute)
	}
	if p.odds[deletedQueue] > 0 {
		p.storm = append(p.storm, turn{at: span(r, 0, p.active), what: gone, then: 61*time.Second + span(r, 0, 30*time.Second)})
	}
	if p.odds[settings] > 0 {
		for range 1 + r.IntN(3) {
			p.storm = append(p.storm, turn{at: span(r, 0, p.active), what: "settings"})
		}
	}
}

// during adds a window in which a fault meets every call, and makes the active time
// long enough for it.
func (p *plan) during(r *rand.Rand, f fault, least, most time.Duration) {
	from := span(r, 0, p.active)
	win := window{fault: f, from: from, to: from + span(r, least, most)}
	p.windows = append(p.windows, win)
	p.active = max(p.active, win.to+time.Second)
}

// in reports whether the world is in a window of f now.
func (w *world) in(f fault) bool {
	at := time.Since(w.hist.began)
	for _, win := range w.windows {
		if win.fault == f && at >= win.from && at < win.to {
			return true
		}
	}
	return false
}

// consumerOps are the calls that faults meet: senders are not what is tested.
var consumerOps = []string{opReceive, opDelete, opChange, opSend}

// inject lets the plan's faults meet calls where they arrive at SQS. What the
// network does to them is the wire's.
func (w *world) inject() {
	if w.calm {
		return
	}
	for _, op := range consumerOps {
		w.injectAnywhere(op)
	}
	w.injectReceives()
	w.injectEntries()
	w.windowed(outages, sqstest.Reset())
	w.windowed(throttling, sqstest.Throttled())
	w.windowed(credentials, w.credentialError())
	w.refuse()
}

func (w *world) injectAnywhere(op string) {
	w.meet(lostAnswer, op, 1, sqstest.Fault{Err: sqstest.Reset(), After: true})
	w.meet(lostRequest, op, 1, sqstest.Fault{Err: sqstest.Reset()})
	w.meet(serverErrors, op, 1, sqstest.Fault{Err: sqstest.Unavailable()})
	w.meet(serverErrors, op, 2, sqstest.Fault{Err: sqstest.InternalError(), After: true})
	w.meet(throttling, op, 1, sqstest.Fault{Err: sqstest.Throttled()})
}

func (w *world) injectReceives() {
	w.meet(throttling, opReceive, 2, sqstest.Fault{Err: sqstest.OverLimit()})
	w.meet(shortAnswers, opReceive, 1, sqstest.Fault{Max: 1})
	w.meet(shortAnswers, opReceive, 2, sqstest.Fault{Max: 3})
	w.meet(shortAnswers, opReceive, 3, sqstest.Fault{Empty: true})
	w.meet(shortLeases, opReceive, 1, sqstest.Fault{Lease: w.shorter})
	w.meet(bodies, opReceive, 1, sqstest.Fault{WrongMD5: true})
	if w.fifo {
		w.meet(silentLimit, opReceive, 1, sqstest.Fault{Empty: true})
		return
	}
	w.meet(duplicates, opReceive, 1, sqstest.Fault{Twice: true})
	w.meet(duplicates, opReceive, 2, sqstest.Fault{Again: true})
}

func (w *world) injectEntries() {
	for _, op := range []string{opDelete, opChange} {
		w.meet(partialResults, op, 1, sqstest.Fault{Entries: w.some(op, 1)})
		w.meet(partialResults, op, 2, sqstest.Fault{Entries: w.some(op, 2), After: true})
		w.meet(uselessReceipts, op, 1, sqstest.Fault{Entries: w.some(op, 3), Err: sqstest.InvalidReceiptHandle("")})
	}
	w.meet(shortLeases, opChange, 1, sqstest.Fault{Lease: w.shorter})
	w.meet(uselessReceipts, opChange, 2, sqstest.Fault{Entries: w.some(opChange, 4), Err: sqstest.NotInflight()})
	if !w.fifo {
		w.meet(staleSuccess, opDelete, 1, sqstest.Fault{NoEffect: true})
		w.meet(duplicates, opDelete, 1, sqstest.Fault{Again: true})
	}
}

// meet lets a fault meet calls of an operation with the plan's odds.
func (w *world) meet(f fault, op string, variant uint64, how sqstest.Fault) {
	odds := w.odds[f]
	if odds == 0 {
		return
	}
	d := w.dice.named("fault").of(uint64(f), variant).named(op)
	how.Op = op
	how.Match = func(c sqstest.Call) bool {
		if c.Queue != w.aim(op) || !d.of(uint64(time.Since(w.hist.began))).under(odds) {
			return false
		}
		w.strike(f, c)
		return true
	}
	w.removes = append(w.removes, w.server.Inject(how))
}

// aim is the queue that a consumer's calls of an operation concern: it sends dead
// letters only.
func (w *world) aim(op string) string {
	if op == opSend {
		return w.graves()
	}
	return w.queue()
}

// strike writes down that a fault meets a call.
func (w *world) strike(f fault, c sqstest.Call) {
	e := event{op: c.Op, handles: handlesOf(c.Input)}
	if in, letter := c.Input.(*sqs.SendMessageInput); letter {
		e.message = w.idIn(*in.MessageBody)
	}
	w.hist.fire(f, e)
}

// windowed lets a fault meet every call in its windows.
func (w *world) windowed(f fault, err error) {
	for _, op := range consumerOps {
		match := func(c sqstest.Call) bool {
			if c.Queue != w.aim(op) || !w.in(f) {
				return false
			}
			w.strike(f, c)
			return true
		}
		w.removes = append(w.removes, w.server.Inject(sqstest.Fault{Op: op, Match: match, Err: err}))
	}
}

// credentialError is the one of this world: credentials that have expired come
// back, and so does access that is denied.
func (w *world) credentialError() error {
	if w.dice.named("credentials").under(0.5) {
		return sqstest.ExpiredToken()
	}
	return sqstest.AccessDenied()
}

// shorter is a lease that does not last as long as was asked for.
func (w *world) shorter(asked time.Duration) time.Duration {
	return w.dice.named("lease").of(uint64(time.Since(w.hist.began))).between(0, asked)
}

// some chooses the entries of a call that fail.
func (w *world) some(op string, variant uint64) func(int) bool {
	d := w.dice.named("entries").named(op).of(variant)
	return func(i int) bool { return d.of(uint64(time.Since(w.hist.began)), uint64(i)).under(0.4) }
}

func handlesOf(in any) []string {
	switch in := in.(type) {
	case *sqs.DeleteMessageBatchInput:
		return deleteHandles(in)
	case *sqs.ChangeMessageVisibilityBatchInput:
		return changeHandles(in)
	default:
		return nil
	}
}

// stir is the actor that does things to the queue: deletes it and makes it again,
// changes its attributes, ends leases and delivers messages twice.
func (w *world) stir() {
	r := w.dice.named("stir").rand()
	for _, s := range w.storm {
		time.Sleep(max(0, s.at-time.Since(w.hist.began)))
		if s.what == gone {
			w.recreate(s.then)
			continue
		}
		w.hist.fire(settings, event{})
		_, _ = w.server.SetQueueAttributes(context.Background(), &sqs.SetQueueAttributesInput{QueueUrl: &w.url, Attributes: map[string]string{
			string(types.QueueAttributeNameVisibilityTimeout):             oneOf(r, "1", "30", "600"),
			string(types.QueueAttributeNameReceiveMessageWaitTimeSeconds): oneOf(r, "0", "5", "20"),
		}})
	}
	for !w.calm && !w.healed() {
		_ = sleepUnless(w.heal, span(r, time.Second, 20*time.Second))
		w.pull(r)
	}
}

// pull does something to a message in flight.
func (w *world) pull(r *rand.Rand) {
	for _, m := range w.server.Messages(w.url) {
		if m.State != sqstest.InFlight || w.healed() {
			continue
		}
		p := r.Float64()
		switch {
		case p < w.odds[shortLeases]:
			w.hist.fire(shortLeases, event{message: m.ID, note: "ended"})
			w.server.ExpireLease(w.url, m.ID)
		case !w.fifo && p > 1-w.odds[duplicates]:
			w.hist.fire(duplicates, event{message: m.ID, note: "once more"})
			w.server.Redeliver(w.url, m.ID)
		}
	}
}

// recreate deletes the queue, and with it all messages in it.
func (w *world) recreate(after time.Duration) {
	w.hist.fire(deletedQueue, event{})
	_, _ = w.server.DeleteQueue(context.Background(), &sqs.DeleteQueueInput{QueueUrl: &w.url})
	w.hist.add(event{kind: gone})
	time.Sleep(after)
	w.createQueue()
}

// sleepUnless sleeps for d, or until c is closed.
func sleepUnless(c <-chan struct{}, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c:
	}
	return nil
}
