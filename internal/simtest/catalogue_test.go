package simtest

import "slices"

const (
	async    = "async.go"
	batchGo  = "batch.go"
	consumer = "consumer.go"
	refusal  = "refusal.go"
	keeper   = "internal/lease/keeper.go"
	leaseGo  = "internal/lease/lease.go"
	leaseRun = "internal/lease/run.go"
	queueGo  = "internal/queue/queue.go"
	faultGo  = "internal/queue/fault.go"
	settleGo = "internal/settle/settle.go"
	orderGo  = "internal/order/order.go"
	paceGo   = "internal/pace/pace.go"
	asideGo  = "internal/aside/aside.go"
)

const callsHandler = "c.err = guard(func() error { return r.handler(ctx, messages) })"

// mutants are the bugs that consumers of SQS and of other queues have shipped.
var mutants = slices.Concat([]mutant{
	{"delete before the handler ends (data-prepper#6999)", []edit{{async, callsHandler, "for _, h := range c.batch {\n\t\tr.settler.Delete(0, &h.lease)\n\t}\n\t" + callsHandler}}},
	{"delete on panic (SqsPoller#48)", []edit{{async, callsHandler, callsHandler + "\n\tif _, panicked := errors.AsType[*PanicError](c.err); panicked {\n\t\tc.err = nil\n\t}"}}},
	{"delete on decode error (conductor#1092)", []edit{{async, "\t\tif err != nil {\n\t\t\treturn err\n\t\t}\n\t\treturn fn(ctx, v)", "\t\tif err != nil {\n\t\t\treturn nil\n\t\t}\n\t\treturn fn(ctx, v)"}}},
	{"delete on a cancelled context (sqs-client#248)", []edit{{async, callsHandler, callsHandler + "\n\tif ctx.Err() != nil {\n\t\tc.err = nil\n\t}"}}},
	{"failed entries ignored (bbc#193)", []edit{{queueGo, "errs[i] = &entryError{code: aws.ToString(f.Code), message: message}", "_ = message\n\t\t\terrs[i] = nil"}}},
	{"entry ids that repeat (spring#1634)", []edit{{queueGo, "func entryID(i int) *string { return &entryIDs[i] }", "func entryID(i int) *string { return &entryIDs[i/2] }"}}},
	{"retry of a delete with a stale handle (SlimMessageBus#473)", []edit{{consumer, "known.handle, known.sent, known.newer = newer.handle, a.sent, newer", "known.sent, known.newer = a.sent, newer"}, {consumer, "r.keeper.Adopt(&known.lease, newer.handle, a.sent, a.arrived)", "r.keeper.Adopt(&known.lease, known.handle, a.sent, a.arrived)"}}},
	{"lease counted from the arrival (Wattpad#15)", []edit{{keeper, "l.deadline, l.limit = sent+v, sent+maxHeld-maxCall", "l.deadline, l.limit = arrived+v, sent+maxHeld-maxCall"}}},
	{"only the first of a batch renewed (data-prepper#4812)", []edit{{keeper, "\tfor _, r := range receipts {\n", "\tfor i, r := range receipts {\n\t\tif i > 0 {\n\t\t\tk.begin(r.Lease, r.Handle, s, a)\n\t\t\tk.drop(r.Lease)\n\t\t\tcontinue\n\t\t}\n"}}},
	{"fixed 30 s renewal (bento#878)", []edit{{keeper, "l.due = min(arrived+v/2, max(arrived, sent+v*4/5))", "l.due = arrived + 30*time.Second"}}},
	{"deadline advanced before the renewal is confirmed (redpanda, .NET)", []edit{{leaseRun, "\t\tl.tries++\n", "\t\tl.tries++\n\t\tl.deadline = c.sent + c.entries[i].Timeout\n"}}},
	{"no 12 h clamp (shoryuken#73)", []edit{{leaseGo, "d := min(timeout, (l.limit - now).Truncate(time.Second))", "d := timeout"}}},
	{"ticker not stopped (Wattpad#22)", []edit{{settleGo, "\ts.Keeper.Remove(ended...)\n", ""}}},
	{"renewal stopped before the delete is confirmed (novu#12437)", []edit{{settleGo, "\tif linger == 0 && s.flying.Load() > 0 {", "\ts.Keeper.Remove(leases...)\n\tif linger == 0 && s.flying.Load() > 0 {"}}},
	{"no cap on a hung handler (opensre#2803)", []edit{{async, "c.limit = time.AfterFunc(r.opts.HandlerTimeout, func() { r.exceed(c) })", "c.limit = time.AfterFunc(1000*r.opts.HandlerTimeout, func() { r.exceed(c) })"}}},
	{"loop ends on an unknown error (bbc#151)", []edit{{faultGo, "for the next call\n\t\treturn Passing", "for the next call\n\t\treturn Lasting"}}},
	{"a callback's panic kills the process (bbc#771)", []edit{{asideGo, "defer func() { _ = recover() }() // what it panicked with is the user's business", ""}}},
	{"permit not returned on a panic (spring#1455)", []edit{{async, "\tr.running.remove(c)\n", "\tif c.panicked == nil {\n\t\tr.running.remove(c)\n\t}\n"}}},
	{"completion counted twice (shoryuken 7.0.3)", []edit{{async, "t.Succeeded.Add(int64(succeeded))", "t.Succeeded.Add(int64(2 * succeeded))"}}},
	{"no deadline on receive (bbc#137)", []edit{{queueGo, "d := newDeadline(ctx, f.Wait+margin, &q.deaf)", "d := newDeadline(ctx, 1000*time.Hour, &q.deaf)"}}},
	{"zero delay on error (java-temporary-queues#26)", []edit{{paceGo, "p.benched = append(p.benched, now.Add(inSeconds(bound*p.Rand())))", "p.benched = append(p.benched, now.Add(inSeconds(0*bound*p.Rand())))"}}},
	{"waits for the whole batch (spring#23)", []edit{{consumer, "for r.running.n < r.opts.Concurrency {", "for r.running.n == 0 {"}}},
	{"unbounded goroutines (dapr#3478)", []edit{{consumer, "for r.running.n < r.opts.Concurrency {", "for {"}}},
	{"pending deletes dropped at stop (spring#1663, Wattpad)", []edit{{consumer, "if r.closing && r.out == 0 && len(r.hand) == 0 && r.running.n == 0 {", "if r.closing && r.out == 0 && r.running.n == 0 {"}, {consumer, "\tr.settler.Close(ctx)\n", "\tcancel()\n\tr.settler.Close(ctx)\n"}}},
	{"long poll cut at stop (sdk-go-v2#2068)", []edit{{consumer, "\tr.stopped = time.Now()\n", "\tr.stopped = time.Now()\n\tr.cut()\n"}}},
	{"stop from a handler dead-locks (nats#2059)", []edit{{consumer, "\t\tr.loop.Leave(doing(r.stop))\n", "\t\tr.loop.Leave(doing(r.stop))\n\t\tfor c.running.Load() {\n\t\t\ttime.Sleep(time.Second)\n\t\t}\n"}}},
	{"stop that is not heeded (shoryuken 7.0.3)", []edit{{consumer, "for !r.closing && !r.c.paused.Load() {", "for !r.over && !r.c.paused.Load() {"}}},
	{"pause that is not heeded", []edit{{consumer, "for !r.closing && !r.c.paused.Load() {", "for !r.closing {"}}},
	{"a FIFO group in parallel (MassTransit#4355)", []edit{{orderGo, "\tcase l.out > 0:\n", "\tcase l.out > 1000:\n"}}},
	{"followers go on after a failure (broadway_sqs#78)", []edit{{async, "\t\t\tr.stopGroup(c, group[i:], o)\n\t\t\treturn\n", "\t\t\t\tr.settler.GiveBack(0, o.delay, &h.lease)\n\t\t\t\tcontinue\n"}, {async, "\t\t\tif halted {\n\t\t\t\t*o = outcome{err: errUnhandled}\n", "\t\t\tif halted && false {\n\t\t\t\t*o = outcome{err: errUnhandled}\n"}}},
	{"undecodable head skipped (spring, .NET)", []edit{{async, "\t\t\tif halted {\n\t\t\t\t*o = outcome{err: errUnhandled}\n", "\t\t\tif halted && false {\n\t\t\t\t*o = outcome{err: errUnhandled}\n"}, {async, "\t\t\tr.stopGroup(c, group[i:], o)\n\t\t\treturn\n", "\t\t\t\tr.stopGroup(c, group[i:i+1], o)\n\t\t\t\tcontinue\n"}}},
	{"followers dead-lettered innocent (java-dynamic#369)", []edit{{async, "case r.opts.OnGroupFailure != GroupRetryInPlace, r.closing, r.drain:", "case r.opts.OnGroupFailure >= 0:"}}},
	{"group id on a standard queue serialises", []edit{{consumer, `return m.from.queue == fifoQueue || m.from.queue == unknownQueue && m.SequenceNumber != ""`, `return m.GroupID != ""`}}},
	{"visibility 0 on failure (go-cloud#3193)", []edit{{async, "\t\tr.settler.GiveBack(linger, o.delay, &h.lease)\n", "\t\tr.settler.GiveBack(linger, 0, &h.lease)\n"}}},
	{"dedup swallows a redelivery (tomodachi#2074)", []edit{{consumer, "\tdelete(r.hand, h.key())\n", ""}}},
	{"one failed delete entry kills the consumer (go-cloud)", []edit{{consumer, "if res.End == settle.Refused {", "if res.End == settle.Refused || res.End == settle.Lost {"}}},
	{"deletes that are not tried again (sdk-go-v2#3550)", []edit{{settleGo, "return s.Keeper.Left(r.Lease, time.Now()) <= 0", "return true"}}},
	{"FIFO delete with an expired receipt", []edit{{settleGo, "dead := s.Keeper.Left(l, time.Now()) <= 0", "dead := false"}}},
	{"late release of somebody else's receipt", []edit{{settleGo, "case s.Keeper.Left(c.lease, now) <= 0: // a late change", "case false: // a late change"}}},
	{"lost lease that does not cancel the handler", []edit{{consumer, "h.call.cancel(fmt.Errorf(\"%w: message %s: %w\", ErrLeaseLost, h.origin.id, cause))", "_ = ErrLeaseLost"}}},
	{"batch handed over too late (redpanda#694)", []edit{{batchGo, "return c.waiting[0].arrived.Add(c.wait)", "return c.waiting[0].arrived.Add(c.wait + time.Second)"}}},
	{"a duplicate handled twice at once", []edit{{consumer, "if r.hand[h.key()] != nil {", "if false {"}}},
	{"receivers that do not rest when the queue is empty", []edit{{lawGo, "\t\tp.n = 1 // nobody sends anything\n", ""}, {paceGo, "if p.out >= p.receivers(v.Now) || p.out > 0 && p.dry {", "if p.out >= p.receivers(v.Now) {"}}},
	{"renewals at a quarter of the lease", []edit{{leaseRun, "l.due = c.sent + k.cfg.Timeout/2", "l.due = c.sent + k.cfg.Timeout/4"}}},
	{"back-off without an upper bound", []edit{{paceGo, "bound := min(maxDelay.Seconds(), ", "bound := min(3600, "}}},
	{"Drain that ends at the first empty answer", []edit{{consumer, "\tif r.empty && a.alone && r.out == 0 && !r.busy() {\n\t\tr.empties++\n", "\tif r.empty {\n\t\tr.empties += 2\n"}}},
	{"more messages asked for than MaxMessages", []edit{{consumer, "most-r.received-r.asked", "most-r.received"}}},
	{"delete although the dead letter was not taken", []edit{{settleGo, "\t\tcase err == nil:\n\t\t\ts.Buried(b.lease.Of)", "\t\tcase true:\n\t\t\ts.Buried(b.lease.Of)"}}},
	{"bytes in flight that are not counted", []edit{{consumer, "v.Budget = (r.opts.BytesInFlight-r.bytes)/r.largest - r.asked", "v.Budget = maxInFlight"}}},
	{"batch begun with hardly any lease left", []edit{{consumer, "r.keeper.Left(&h.lease, now) < r.margin()", "r.keeper.Left(&h.lease, now) <= 0"}}},
	{"Drain that believes answers that come at once", []edit{{consumer, "(!r.drain || r.waited(a))", "true"}}},
	{"Drain that does not ask once more", []edit{{consumer, "return r.empties >= 2", "return r.empties >= 1"}}},
	{"a hung handler keeps a run that has its messages", []edit{{consumer, "passed < r.opts.ShutdownTimeout {", "passed < 1000*r.opts.ShutdownTimeout {"}, {consumer, "return r.closing && r.clock.Between", "return !r.stopped.IsZero() && r.clock.Between"}}},
	{"one refusal ends the run", []edit{{refusal, "\tcase !r.worked:\n", "\tcase true:\n"}}},
	{"deletes that are refused are not tried again", []edit{{settleGo, "case queue.Passing, queue.Throttled, queue.Refused:", "case queue.Refused:\n\t\tr.End = Lost\n\tcase queue.Passing, queue.Throttled:"}}},
	{"refused receives are tried again at once", []edit{{refusal, "return !now.Before(f.again), f.again", "return true, f.again"}, {consumer, "Failed: true, Throttled: fault == queue.Throttled}", "Failed: fault != queue.Refused, Void: fault == queue.Refused, Throttled: fault == queue.Throttled}"}}},
	{"refusals of hours apart count as one", []edit{{refusal, "if f == nil || now.Sub(f.latest) > apart {", "if f == nil {"}, {refusal, "\tif f := r.refusals[op]; f != nil && !sent.Before(f.since) {\n\t\tr.allowed(op)\n", "\tif f := r.refusals[op]; f != nil && false {\n\t\tr.allowed(op)\n"}, {refusal, "case now.Sub(f.latest) > apart:", "case now.Sub(f.latest) > apart && false:"}}},
	{"body in the cause of a lost lease", []edit{{consumer, "h.call.cancel(fmt.Errorf(\"%w: message %s: %w\", ErrLeaseLost, h.origin.id, cause))", "h.call.cancel(fmt.Errorf(\"%w: message %s: %w\", ErrLeaseLost, h.Body, cause))"}}},
}, paceMutants)
