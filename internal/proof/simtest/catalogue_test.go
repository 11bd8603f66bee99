package simtest

import "slices"

const callsHandler = "w.err = guard(func() error { return r.handler(ctx, messages) })"

// mutants are the bugs that consumers of SQS and of other queues have shipped.
var mutants = slices.Concat([]mutant{
	{bug: "delete before the handler ends (data-prepper#6999)", edits: []edit{{
		fn:  "(*run).handle",
		old: callsHandler,
		new: `
			for _, m := range messages {
				r.queue.DeleteInTime(ctx, []string{m.ReceiptHandle}, nil)
			}
			` + callsHandler,
	}}},
	{bug: "delete on panic (SqsPoller#48)", edits: []edit{{
		fn:  "(*run).handle",
		old: callsHandler,
		new: callsHandler + `
			if _, panicked := errors.AsType[*PanicError](w.err); panicked {
				w.err = nil
			}`,
	}}},
	{bug: "delete on decode error (conductor#1092)", edits: []edit{{
		fn: "JSON",
		old: `
			if err != nil {
				return err
			}
			return fn(ctx, v)`,
		new: `
			if err != nil {
				return nil
			}
			return fn(ctx, v)`,
	}}},
	{bug: "delete on a cancelled context (sqs-client#248)", edits: []edit{{
		fn:  "(*run).handle",
		old: callsHandler,
		new: callsHandler + `
			if ctx.Err() != nil {
				w.err = nil
			}`,
	}}},
	{bug: "failed entries ignored (bbc#193)", edits: []edit{{
		fn:  "(*verdict).markFailed",
		old: `errs[i] = &entryError{code: f.code, message: message}`,
		new: `
			_ = message
			errs[i] = nil`,
	}}},
	{bug: "entry ids that repeat (spring#1634)", edits: []edit{{
		fn:  "entryID",
		old: `&entryIDs[i]`,
		new: `&entryIDs[i/2]`,
	}}},
	{bug: "retry of a delete with a stale handle (SlimMessageBus#473)", edits: []edit{{
		fn:  "(*Message).handle",
		old: `return m.latest().Delivery.Handle`,
		new: `return m.Delivery.Handle`,
	}}},
	{bug: "lease counted from the arrival (Wattpad#15)", edits: []edit{{
		fn:  "(*Leases).begin",
		old: `l.deadline, l.limit = sent+v, sent+maxHeld-maxCall`,
		new: `l.deadline, l.limit = arrived+v, sent+maxHeld-maxCall`,
	}}},
	{bug: "only the first of a batch renewed (data-prepper#4812)", edits: []edit{{
		fn: "(*leases).add",
		old: `for _, m := range ms {
			l.all.Add(s, a, &m.lease)`,
		new: `
			for i, m := range ms {
				l.all.Add(s, a, &m.lease)
				if i > 0 {
					l.all.Remove(&m.lease)
				}`,
	}}},
	{bug: "fixed 30 s renewal (bento#878)", edits: []edit{{
		fn:  "(*Leases).begin",
		old: `l.due = min(arrived+v/2, max(arrived, sent+v*4/5))`,
		new: `l.due = arrived + 30*time.Second`,
	}}},
	{bug: "deadline advanced before the renewal is confirmed (redpanda, .NET)", edits: []edit{{
		fn:  "(*Leases).apply",
		old: `l.tries++`,
		new: `
			l.tries++
			l.deadline = until`,
	}}},
	{bug: "no 12 h clamp (shoryuken#73)", edits: []edit{{
		fn:  "(*Lease).ask",
		old: `d := min(timeout, (l.limit - now).Truncate(time.Second))`,
		new: `d := timeout`,
	}}},
	{bug: "ticker not stopped (Wattpad#22)", edits: []edit{{
		fn:  "(*Engine).conclude",
		old: `e.leases.remove(m)`,
		new: ``,
	}}},
	{bug: "renewal stopped before the delete is confirmed (novu#12437)", edits: []edit{{
		fn:  "(*settling).delete",
		old: `m.fate = nil`,
		new: `
			m.fate = nil
			s.e.leases.remove(m)`,
	}}},
	{bug: "no cap on a hung handler (opensre#2803)", edits: []edit{{
		fn:  "(*calls).expire",
		old: `limit := cs.e.HandlerTimeout`,
		new: `limit := 1000 * cs.e.HandlerTimeout`,
	}}},
	{bug: "loop ends on an unknown error (bbc#151)", edits: []edit{{
		fn: "classify",
		old: `
			// and the SDK corrects it for the next call
			return fault.Passing`,
		new: `return fault.Lasting`,
	}}},
	{bug: "a callback's panic kills the process (bbc#771)", edits: []edit{{
		fn:  "(*Queue).attempt",
		old: `defer func() { _ = recover() }()`,
		new: ``,
	}}},
	{bug: "permit not returned on a panic (spring#1455)", edits: []edit{{
		old: `Took     time.Duration // filled by Config.Handle`,
		new: `
			Took     time.Duration // filled by Config.Handle
			Panicked bool`,
	}, {
		fn:  "(*run).told",
		old: `n.Panics.Add(1)`,
		new: `
			n.Panics.Add(1)
			w.Panicked = true`,
	}, {
		fn:  "(*calls).returned",
		old: `cs.remove(c)`,
		new: `
			if !c.Panicked {
				cs.remove(c)
			}`,
	}}},
	{bug: "completion counted twice (shoryuken 7.0.3)", edits: []edit{{
		fn:  "(*run).told",
		old: `n.Succeeded.Add(int64(succeeded))`,
		new: `n.Succeeded.Add(int64(2 * succeeded))`,
	}}},
	{bug: "no deadline on receive (bbc#137)", edits: []edit{{
		fn:  "(*Queue).Fetch",
		old: `d := q.receives.take(ctx, f.Wait+margin, &q.stuck)`,
		new: `d := q.receives.take(ctx, 1000*time.Hour, &q.stuck)`,
	}}},
	{bug: "zero delay on error (java-temporary-queues#26)", edits: []edit{{
		fn:  "(*Pace).failed",
		old: `p.benched = append(p.benched, now.Add(inSeconds(bound*p.Rand())))`,
		new: `p.benched = append(p.benched, now.Add(inSeconds(0*bound*p.Rand())))`,
	}}},
	{bug: "waits for the whole batch (spring#23)", edits: []edit{{
		fn:  "(*Engine).dispatch",
		old: `for e.calls.n < e.Concurrency {`,
		new: `for e.calls.n == 0 {`,
	}}},
	{bug: "unbounded goroutines (dapr#3478)", edits: []edit{{
		fn:  "(*Engine).dispatch",
		old: `for e.calls.n < e.Concurrency {`,
		new: `for {`,
	}}},
	{bug: "pending deletes dropped at stop (spring#1663, Wattpad)", edits: []edit{{
		fn:  "(*stopper).ended",
		old: `if s.begun() && s.e.receives.out == 0 && s.e.calls.n == 0 && len(s.e.hand.messages) == 0 {`,
		new: `if s.begun() && s.e.receives.out == 0 && s.e.calls.n == 0 {`,
	}}},
	{bug: "long poll cut at stop (sdk-go-v2#2068)", edits: []edit{{
		fn:  "(*stopper).ask",
		old: `s.asked = true`,
		new: `
			s.asked = true
			s.e.receives.cut()`,
	}}},
	{bug: "stop from a handler dead-locks (nats#2059)", edits: []edit{{
		fn:  "(*Consumer).Stop",
		old: `r.engine.Stop()`,
		new: `
			r.engine.Stop()
			for c.run() != nil {
				time.Sleep(time.Second)
			}`,
	}}},
	{bug: "stop that is not heeded (shoryuken 7.0.3)", edits: []edit{{
		fn:  "(*receives).send",
		old: `for !r.e.stop.begun() && !r.e.Paused() {`,
		new: `for !r.e.stop.interrupting() && !r.e.Paused() {`,
	}}},
	{bug: "pause that is not heeded", edits: []edit{{
		fn:  "(*receives).send",
		old: `for !r.e.stop.begun() && !r.e.Paused() {`,
		new: `for !r.e.stop.begun() {`,
	}}},
	{bug: "a FIFO group in parallel (MassTransit#4355)", edits: []edit{{
		fn:  "(*Groups).register",
		old: `case g.out > 0:`,
		new: `case g.out > 0 && len(g.waiting) == 0:`,
	}, {
		fn:  "(*Groups).Settled",
		old: `g.out--`,
		new: `
			gs.unregister(g)
			g.out--`,
	}}},
	{bug: "followers go on after a failure (broadway_sqs#78)", edits: []edit{{
		fn: "(*grouped).settleGroup",
		old: `
			o.stopGroup(c, group[i:], out, now)
			return`,
		new: `
			o.e.settle.release(m, 0, out.Delay, now)
			continue`,
	}, {
		fn: "(*Engine).MarkUnhandled",
		old: `
			if halted {
				*o = Outcome{Err: ErrUnhandled, Unhandled: true}`,
		new: `
			if halted && false {
				*o = Outcome{Err: ErrUnhandled, Unhandled: true}`,
	}}},
	{bug: "undecodable head skipped (spring, .NET)", edits: []edit{{
		fn: "(*Engine).MarkUnhandled",
		old: `
			if halted {
				*o = Outcome{Err: ErrUnhandled, Unhandled: true}`,
		new: `
			if halted && false {
				*o = Outcome{Err: ErrUnhandled, Unhandled: true}`,
	}, {
		fn: "(*grouped).settleGroup",
		old: `
			o.stopGroup(c, group[i:], out, now)
			return`,
		new: `
			o.stopGroup(c, group[i:i+1], out, now)
			continue`,
	}}},
	{bug: "followers dead-lettered innocent (java-dynamic#369)", edits: []edit{{
		fn:  "(*grouped).inPlace",
		old: `case o.e.OnGroupFailure != RetryInPlace, o.e.stop.begun(), o.e.Drain:`,
		new: `case o.e.OnGroupFailure >= 0:`,
	}}},
	{bug: "group id on a standard queue serialises", edits: []edit{{
		fn:  "(*Message).fifo",
		old: `return m.from.queue == fifoQueue || m.from.queue == unknownQueue && m.SequenceNumber != ""`,
		new: `return m.GroupID != ""`,
	}}},
	{bug: "visibility 0 on failure (go-cloud#3193)", edits: []edit{{
		fn:  "(*standard).settle",
		old: `s.release(m, linger, out.Delay, now)`,
		new: `s.release(m, linger, 0, now)`,
	}}},
	{bug: "dedup swallows a redelivery (tomodachi#2074)", edits: []edit{{
		fn:  "(*hand).drop",
		old: `delete(h.messages, m.key())`,
		new: ``,
	}}},
	{bug: "one failed delete entry kills the consumer (go-cloud)", edits: []edit{{
		fn:  "(*Engine).ended",
		old: `if o.end == Denied {`,
		new: `if o.end == Denied || o.end == Lost {`,
	}}},
	{bug: "deletes that are not tried again (sdk-go-v2#3550)", edits: []edit{{
		fn:  "(*settling).result",
		old: `if s.passes(c.kind, m, why, now) && s.e.leases.left(m, now) > 0 {`,
		new: `if c.kind != deleting && s.passes(c.kind, m, why, now) && s.e.leases.left(m, now) > 0 {`,
	}}},
	{bug: "FIFO delete with an expired receipt", edits: []edit{{
		fn:  "needsLease",
		old: `return kind != deleting || isFIFO`,
		new: `return kind != deleting`,
	}}},
	{bug: "late release of somebody else's receipt", edits: []edit{{
		fn:  "needsLease",
		old: `return kind != deleting || isFIFO`,
		new: `return kind == deadLettering || kind == deleting && isFIFO`,
	}}},
	{bug: "lost lease that does not cancel the handler", edits: []edit{{
		fn:  "(*leases).loseAll",
		old: `l.e.calls.endContext(m.call, fmt.Errorf("%w: message %s: %w", ErrLeaseLost, m.Delivery.ID, cause), now)`,
		new: `_ = fmt.Errorf("%w", ErrLeaseLost)`,
	}}},
	{bug: "batch handed over too late (redpanda#694)", edits: []edit{{
		fn:  "(*standard).due",
		old: `return o.waiting[0].arrived.Add(o.wait)`,
		new: `return o.waiting[0].arrived.Add(o.wait + time.Second)`,
	}}},
	{bug: "a duplicate handled twice at once", edits: []edit{{
		fn:  "(*receives).take",
		old: `if r.e.hand.messages[m.key()] != nil {`,
		new: `if false {`,
	}}},
	{bug: "receivers that do not rest when the queue is empty", edits: []edit{{
		fn:  "(*Pace).adapt",
		old: `p.n = 1 // nobody sends anything`,
		new: ``,
	}, {
		fn:  "(*Pace).Next",
		old: `if p.out >= p.receivers(v.Now) || p.out > 0 && p.dry {`,
		new: `if p.out >= p.receivers(v.Now) {`,
	}}},
	{bug: "renewals at a quarter of the lease", edits: []edit{{
		fn:  "(*Leases).apply",
		old: `l.deadline, l.due = until, c.sent+ls.cfg.Timeout/2`,
		new: `l.deadline, l.due = until, c.sent+ls.cfg.Timeout/4`,
	}}},
	{bug: "back-off without an upper bound", edits: []edit{{
		fn:  "(*Pace).failed",
		old: `bound := min(maxDelay.Seconds(),`,
		new: `bound := min(3600,`,
	}}},
	{bug: "Drain that ends at the first empty answer", edits: []edit{{
		fn: "(*receives).drained",
		old: `
			if r.empty && a.alone && r.out == 0 && !r.busy() {
				r.empties++`,
		new: `
			if r.empty {
				r.empties += 2`,
	}}},
	{bug: "more messages asked for than MaxMessages", edits: []edit{{
		fn:  "(*receives).view",
		old: `most-r.taken-r.asked`,
		new: `most-r.taken`,
	}}},
	{bug: "delete although the dead letter was not taken", edits: []edit{{
		fn:  "(*settling).transport",
		old: `return []error{s.e.Transport.DeadLetter(ctx, c.messages[0], c.reason)}, true`,
		new: `
			_ = s.e.Transport.DeadLetter(ctx, c.messages[0], c.reason)
			return []error{nil}, true`,
	}}},
	{bug: "bytes in flight that are not counted", edits: []edit{{
		fn:  "(*receives).view",
		old: `v.Budget = (e.BytesInFlight-e.hand.bytes)/e.hand.largest - r.asked`,
		new: `v.Budget = maxInFlight`,
	}}},
	{bug: "batch begun with hardly any lease left", edits: []edit{{
		fn:  "(*Engine).risky",
		old: `e.leases.left(m, now) < e.margin()`,
		new: `e.leases.left(m, now) <= 0`,
	}}},
	{bug: "Drain that believes answers that come at once", edits: []edit{{
		fn:  "(*receives).returned",
		old: `(!r.e.Drain || r.waited(a))`,
		new: `true`,
	}}},
	{bug: "Drain that does not ask once more", edits: []edit{{
		fn:  "(*receives).drained",
		old: `return r.empties >= 2`,
		new: `return r.empties >= 1`,
	}}},
	{bug: "a hung handler keeps a run that has its messages", edits: []edit{{
		fn:  "(*stopper).advance",
		old: `passed := s.e.Clock.Between(s.since, now)`,
		new: `
			passed := s.e.Clock.Between(s.since, now)
			if !s.asked {
				passed = 0
			}`,
	}}},
	{bug: "one refusal ends the run", edits: []edit{{
		fn:  "(*refusals).refused",
		old: `case !r.e.receives.worked:`,
		new: `case true:`,
	}}},
	{bug: "deletes that are refused are not tried again", edits: []edit{{
		fn:  "(*settling).passes",
		old: `return why.Kind != fault.Lost && why.Kind != fault.Lasting`,
		new: `return why.Kind != fault.Lost && why.Kind != fault.Lasting && why.Kind != fault.Refused`,
	}}},
	{bug: "refused receives are tried again at once", edits: []edit{{
		fn:  "(*refusals).mayReceive",
		old: `return !now.Before(f.again), f.again`,
		new: `return true, f.again`,
	}, {
		fn:  "(*receives).failed",
		old: `Failed: true, Throttled: err.Kind == fault.Throttled}`,
		new: `Failed: err.Kind != fault.Refused, Void: err.Kind == fault.Refused, Throttled: err.Kind == fault.Throttled}`,
	}}},
	{bug: "refusals of hours apart count as one", edits: []edit{{
		fn:  "(*refusals).refused",
		old: `if f == nil || now.Sub(f.latest) > sameFor {`,
		new: `if f == nil {`,
	}, {
		fn: "(*refusals).granted",
		old: `
			if f := r.of[op]; f != nil && !sent.Before(f.since) {
				r.forget(op, now)`,
		new: `
			if f := r.of[op]; f != nil && false {
				r.forget(op, now)`,
	}, {
		fn:  "(*refusals).remind",
		old: `case now.Sub(f.latest) > sameFor:`,
		new: `case now.Sub(f.latest) > sameFor && false:`,
	}}},
	{bug: "body in the cause of a lost lease", edits: []edit{{
		fn:  "(*leases).loseAll",
		old: `l.e.calls.endContext(m.call, fmt.Errorf("%w: message %s: %w", ErrLeaseLost, m.Delivery.ID, cause), now)`,
		new: `l.e.calls.endContext(m.call, fmt.Errorf("%w: message %s: %w", ErrLeaseLost, m.Delivery.Payload, cause), now)`,
	}}},
}, paceMutants)
