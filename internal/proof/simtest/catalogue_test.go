package simtest

import "slices"

const callsHandler = "c.err = guard(func() error { return r.handler(ctx, messages) })"

// mutants are the bugs that consumers of SQS and of other queues have shipped.
var mutants = slices.Concat([]mutant{
	{bug: "delete before the handler ends (data-prepper#6999)", edits: []edit{{
		fn:  "(*run).handle",
		old: callsHandler,
		new: `
			for _, h := range c.batch {
				r.settler.Delete(0, &h.lease)
			}
			` + callsHandler,
	}}},
	{bug: "delete on panic (SqsPoller#48)", edits: []edit{{
		fn:  "(*run).handle",
		old: callsHandler,
		new: callsHandler + `
			if _, panicked := errors.AsType[*PanicError](c.err); panicked {
				c.err = nil
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
				c.err = nil
			}`,
	}}},
	{bug: "failed entries ignored (bbc#193)", edits: []edit{{
		fn:  "refuse",
		old: `errs[i] = &entryError{code: aws.ToString(f.Code), message: message}`,
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
		fn:  "(*run).adopt",
		old: `known.handle, known.sent, known.newer = newer.handle, a.sent, newer`,
		new: `known.sent, known.newer = a.sent, newer`,
	}, {
		fn:  "(*run).adopt",
		old: `r.keeper.Adopt(&known.lease, newer.handle, a.sent, a.arrived)`,
		new: `r.keeper.Adopt(&known.lease, known.handle, a.sent, a.arrived)`,
	}}},
	{bug: "lease counted from the arrival (Wattpad#15)", edits: []edit{{
		fn:  "(*Keeper).begin",
		old: `l.deadline, l.limit = sent+v, sent+maxHeld-maxCall`,
		new: `l.deadline, l.limit = arrived+v, sent+maxHeld-maxCall`,
	}}},
	{bug: "only the first of a batch renewed (data-prepper#4812)", edits: []edit{{
		fn:  "(*Keeper).Add",
		old: `for _, r := range receipts {`,
		new: `
			for i, r := range receipts {
				if i > 0 {
					k.begin(r.Lease, r.Handle, s, a)
					k.drop(r.Lease)
					continue
				}`,
	}}},
	{bug: "fixed 30 s renewal (bento#878)", edits: []edit{{
		fn:  "(*Keeper).begin",
		old: `l.due = min(arrived+v/2, max(arrived, sent+v*4/5))`,
		new: `l.due = arrived + 30*time.Second`,
	}}},
	{bug: "deadline advanced before the renewal is confirmed (redpanda, .NET)", edits: []edit{{
		fn:  "(*Keeper).apply",
		old: `l.tries++`,
		new: `
			l.tries++
			l.deadline = c.sent + c.entries[i].Timeout`,
	}}},
	{bug: "no 12 h clamp (shoryuken#73)", edits: []edit{{
		fn:  "(*Lease).ask",
		old: `d := min(timeout, (l.limit - now).Truncate(time.Second))`,
		new: `d := timeout`,
	}}},
	{bug: "ticker not stopped (Wattpad#22)", edits: []edit{{
		fn:  "(*Settler).done",
		old: `s.Keeper.Remove(ended...)`,
		new: ``,
	}}},
	{bug: "renewal stopped before the delete is confirmed (novu#12437)", edits: []edit{{
		fn:  "(*Settler).Delete",
		old: `if linger == 0 && s.flying.Load() > 0 {`,
		new: `
			s.Keeper.Remove(leases...)
			if linger == 0 && s.flying.Load() > 0 {`,
	}}},
	{bug: "no cap on a hung handler (opensre#2803)", edits: []edit{{
		fn:  "(*run).start",
		old: `c.limit = time.AfterFunc(r.opts.HandlerTimeout, func() { r.exceed(c) })`,
		new: `c.limit = time.AfterFunc(1000*r.opts.HandlerTimeout, func() { r.exceed(c) })`,
	}}},
	{bug: "loop ends on an unknown error (bbc#151)", edits: []edit{{
		fn: "classify",
		old: `
			// and the SDK corrects it for the next call
			return Passing`,
		new: `return Lasting`,
	}}},
	{bug: "a callback's panic kills the process (bbc#771)", edits: []edit{{
		fn:  "(*Queue).attempt",
		old: `defer func() { _ = recover() }()`,
		new: ``,
	}}},
	{bug: "permit not returned on a panic (spring#1455)", edits: []edit{{
		fn:  "(*run).handled",
		old: `r.running.remove(c)`,
		new: `
			if c.panicked == nil {
				r.running.remove(c)
			}`,
	}}},
	{bug: "completion counted twice (shoryuken 7.0.3)", edits: []edit{{
		fn:  "(*run).told",
		old: `t.Succeeded.Add(int64(succeeded))`,
		new: `t.Succeeded.Add(int64(2 * succeeded))`,
	}}},
	{bug: "no deadline on receive (bbc#137)", edits: []edit{{
		fn:  "(*Queue).Fetch",
		old: `d := newDeadline(ctx, f.Wait+margin, &q.deaf)`,
		new: `d := newDeadline(ctx, 1000*time.Hour, &q.deaf)`,
	}}},
	{bug: "zero delay on error (java-temporary-queues#26)", edits: []edit{{
		fn:  "(*Pace).failed",
		old: `p.benched = append(p.benched, now.Add(inSeconds(bound*p.Rand())))`,
		new: `p.benched = append(p.benched, now.Add(inSeconds(0*bound*p.Rand())))`,
	}}},
	{bug: "waits for the whole batch (spring#23)", edits: []edit{{
		fn:  "(*run).dispatch",
		old: `for r.running.n < r.opts.Concurrency {`,
		new: `for r.running.n == 0 {`,
	}}},
	{bug: "unbounded goroutines (dapr#3478)", edits: []edit{{
		fn:  "(*run).dispatch",
		old: `for r.running.n < r.opts.Concurrency {`,
		new: `for {`,
	}}},
	{bug: "pending deletes dropped at stop (spring#1663, Wattpad)", edits: []edit{{
		fn:  "(*run).finished",
		old: `if r.closing && r.out == 0 && len(r.hand) == 0 && r.running.n == 0 {`,
		new: `if r.closing && r.out == 0 && r.running.n == 0 {`,
	}, {
		fn:  "(*run).leave",
		old: `r.settler.Close(ctx)`,
		new: `
			cancel()
			r.settler.Close(ctx)`,
	}}},
	{bug: "long poll cut at stop (sdk-go-v2#2068)", edits: []edit{{
		fn:  "(*run).stop",
		old: `r.stopped = time.Now()`,
		new: `
			r.stopped = time.Now()
			r.cut()`,
	}}},
	{bug: "stop from a handler dead-locks (nats#2059)", edits: []edit{{
		fn:  "(*Consumer).Stop",
		old: `r.loop.Leave(doing(r.stop))`,
		new: `
			r.loop.Leave(doing(r.stop))
			for c.running.Load() {
				time.Sleep(time.Second)
			}`,
	}}},
	{bug: "stop that is not heeded (shoryuken 7.0.3)", edits: []edit{{
		fn:  "(*run).receive",
		old: `for !r.closing && !r.c.paused.Load() {`,
		new: `for !r.over && !r.c.paused.Load() {`,
	}}},
	{bug: "pause that is not heeded", edits: []edit{{
		fn:  "(*run).receive",
		old: `for !r.closing && !r.c.paused.Load() {`,
		new: `for !r.closing {`,
	}}},
	{bug: "a FIFO group in parallel (MassTransit#4355)", edits: []edit{{
		fn:  "(*Lines).register",
		old: `case l.out > 0:`,
		new: `case l.out > 1000:`,
	}}},
	{bug: "followers go on after a failure (broadway_sqs#78)", edits: []edit{{
		fn: "(*run).judgeGroup",
		old: `
			r.stopGroup(c, group[i:], o)
			return`,
		new: `
			r.settler.GiveBack(0, o.delay, &h.lease)
			continue`,
	}, {
		fn: "(*call).halt",
		old: `
			if halted {
				*o = outcome{err: errUnhandled}`,
		new: `
			if halted && false {
				*o = outcome{err: errUnhandled}`,
	}}},
	{bug: "undecodable head skipped (spring, .NET)", edits: []edit{{
		fn: "(*call).halt",
		old: `
			if halted {
				*o = outcome{err: errUnhandled}`,
		new: `
			if halted && false {
				*o = outcome{err: errUnhandled}`,
	}, {
		fn: "(*run).judgeGroup",
		old: `
			r.stopGroup(c, group[i:], o)
			return`,
		new: `
			r.stopGroup(c, group[i:i+1], o)
			continue`,
	}}},
	{bug: "followers dead-lettered innocent (java-dynamic#369)", edits: []edit{{
		fn:  "(*run).patient",
		old: `case r.opts.OnGroupFailure != GroupRetryInPlace, r.closing, r.drain:`,
		new: `case r.opts.OnGroupFailure >= 0:`,
	}}},
	{bug: "group id on a standard queue serialises", edits: []edit{{
		fn:  "(*Message).fifo",
		old: `return m.from.queue == fifoQueue || m.from.queue == unknownQueue && m.SequenceNumber != ""`,
		new: `return m.GroupID != ""`,
	}}},
	{bug: "visibility 0 on failure (go-cloud#3193)", edits: []edit{{
		fn:  "(*run).refuse",
		old: `r.settler.GiveBack(linger, o.delay, &h.lease)`,
		new: `r.settler.GiveBack(linger, 0, &h.lease)`,
	}}},
	{bug: "dedup swallows a redelivery (tomodachi#2074)", edits: []edit{{
		fn:  "(*run).conclude",
		old: `delete(r.hand, h.key())`,
		new: ``,
	}}},
	{bug: "one failed delete entry kills the consumer (go-cloud)", edits: []edit{{
		fn:  "(*run).ended",
		old: `if res.End == settle.Refused {`,
		new: `if res.End == settle.Refused || res.End == settle.Lost {`,
	}}},
	{bug: "deletes that are not tried again (sdk-go-v2#3550)", edits: []edit{{
		fn:  "(*Settler).judge",
		old: `return s.Keeper.Left(r.Lease, time.Now()) <= 0`,
		new: `return true`,
	}}},
	{bug: "FIFO delete with an expired receipt", edits: []edit{{
		fn:  "(*Settler).alive",
		old: `dead := s.Keeper.Left(l, time.Now()) <= 0`,
		new: `dead := false`,
	}}},
	{bug: "late release of somebody else's receipt", edits: []edit{{
		fn:  "(*Settler).sendChanges",
		old: `case s.Keeper.Left(c.lease, now) <= 0:`,
		new: `case false:`,
	}}},
	{bug: "lost lease that does not cancel the handler", edits: []edit{{
		fn:  "(*run).lose",
		old: `h.call.cancel(fmt.Errorf("%w: message %s: %w", ErrLeaseLost, h.origin.id, cause))`,
		new: `_ = ErrLeaseLost`,
	}}},
	{bug: "batch handed over too late (redpanda#694)", edits: []edit{{
		fn:  "(*pile).due",
		old: `return c.waiting[0].arrived.Add(c.wait)`,
		new: `return c.waiting[0].arrived.Add(c.wait + time.Second)`,
	}}},
	{bug: "a duplicate handled twice at once", edits: []edit{{
		fn:  "(*run).take",
		old: `if r.hand[h.key()] != nil {`,
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
		fn:  "(*Keeper).apply",
		old: `l.due = c.sent + k.cfg.Timeout/2`,
		new: `l.due = c.sent + k.cfg.Timeout/4`,
	}}},
	{bug: "back-off without an upper bound", edits: []edit{{
		fn:  "(*Pace).failed",
		old: `bound := min(maxDelay.Seconds(),`,
		new: `bound := min(3600,`,
	}}},
	{bug: "Drain that ends at the first empty answer", edits: []edit{{
		fn: "(*run).drained",
		old: `
			if r.empty && a.alone && r.out == 0 && !r.busy() {
				r.empties++`,
		new: `
			if r.empty {
				r.empties += 2`,
	}}},
	{bug: "more messages asked for than MaxMessages", edits: []edit{{
		fn:  "(*run).view",
		old: `most-r.received-r.asked`,
		new: `most-r.received`,
	}}},
	{bug: "delete although the dead letter was not taken", edits: []edit{{
		fn: "(*Settler).sendBurials",
		old: `
			case err == nil:
				s.Buried(b.lease.Of)`,
		new: `
			case true:
				s.Buried(b.lease.Of)`,
	}}},
	{bug: "bytes in flight that are not counted", edits: []edit{{
		fn:  "(*run).view",
		old: `v.Budget = (r.opts.BytesInFlight-r.bytes)/r.largest - r.asked`,
		new: `v.Budget = maxInFlight`,
	}}},
	{bug: "batch begun with hardly any lease left", edits: []edit{{
		fn:  "(*run).safe",
		old: `r.keeper.Left(&h.lease, now) < r.margin()`,
		new: `r.keeper.Left(&h.lease, now) <= 0`,
	}}},
	{bug: "Drain that believes answers that come at once", edits: []edit{{
		fn:  "(*run).answered",
		old: `(!r.drain || r.waited(a))`,
		new: `true`,
	}}},
	{bug: "Drain that does not ask once more", edits: []edit{{
		fn:  "(*run).drained",
		old: `return r.empties >= 2`,
		new: `return r.empties >= 1`,
	}}},
	{bug: "a hung handler keeps a run that has its messages", edits: []edit{{
		fn:  "(*run).keepTime",
		old: `passed < r.opts.ShutdownTimeout {`,
		new: `passed < 1000*r.opts.ShutdownTimeout {`,
	}, {
		fn:  "(*run).finished",
		old: `return r.closing && r.clock.Between`,
		new: `return !r.stopped.IsZero() && r.clock.Between`,
	}}},
	{bug: "one refusal ends the run", edits: []edit{{
		fn:  "(*run).refused",
		old: `case !r.worked:`,
		new: `case true:`,
	}}},
	{bug: "deletes that are refused are not tried again", edits: []edit{{
		fn:  "(*Settler).judge",
		old: `case queue.Passing, queue.Throttled, queue.Refused:`,
		new: `
			case queue.Refused:
				r.End = Lost
			case queue.Passing, queue.Throttled:`,
	}}},
	{bug: "refused receives are tried again at once", edits: []edit{{
		fn:  "(*run).mayReceive",
		old: `return !now.Before(f.again), f.again`,
		new: `return true, f.again`,
	}, {
		fn:  "(*run).unanswered",
		old: `Failed: true, Throttled: fault == queue.Throttled}`,
		new: `Failed: fault != queue.Refused, Void: fault == queue.Refused, Throttled: fault == queue.Throttled}`,
	}}},
	{bug: "refusals of hours apart count as one", edits: []edit{{
		fn:  "(*run).refused",
		old: `if f == nil || now.Sub(f.latest) > apart {`,
		new: `if f == nil {`,
	}, {
		fn: "(*run).granted",
		old: `
			if f := r.refusals[op]; f != nil && !sent.Before(f.since) {
				r.allowed(op)`,
		new: `
			if f := r.refusals[op]; f != nil && false {
				r.allowed(op)`,
	}, {
		fn:  "(*run).remind",
		old: `case now.Sub(f.latest) > apart:`,
		new: `case now.Sub(f.latest) > apart && false:`,
	}}},
	{bug: "body in the cause of a lost lease", edits: []edit{{
		fn:  "(*run).lose",
		old: `h.call.cancel(fmt.Errorf("%w: message %s: %w", ErrLeaseLost, h.origin.id, cause))`,
		new: `h.call.cancel(fmt.Errorf("%w: message %s: %w", ErrLeaseLost, h.Body, cause))`,
	}}},
}, paceMutants)
