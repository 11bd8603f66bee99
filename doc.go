// Package sluice consumes Amazon SQS queues, event at a time or in batches.
//
// A [Consumer] takes a batch size, a wait time and a [Handler], which is a plain
// function. A batch goes to the handler when it is full or when its wait time is
// over, whichever comes first. With a batch size of 1 each event is handled as soon
// as it arrives.
//
//	consumer, err := sluice.New(sluice.NewClient(cfg), queueURL, sluice.Options{
//		BatchSize: 100,
//		WaitTime:  10 * time.Second,
//	})
//	…
//	err = consumer.Run(ctx, func(ctx context.Context, batch []*sluice.Message) error {
//		return store.Insert(ctx, batch) // nil: delete them
//	})
//
// # The way of a message
//
//	SQS ──► receive ──► collect ──────► dispatch ──► handler ──► settle ──► SQS
//	        long polls  size, bytes or  slots        yours       deletes and visibility
//	        as needed   wait time                                changes, ten at a time
//	           └──────────── lease: renewed until the delete is confirmed ───┘
//
// SQS answers a receive as soon as it has anything, and never with more than ten
// messages. So a batch is gathered from many receives. The visibility timeouts of
// its messages are renewed until their deletes are confirmed: also while the batch
// fills, waits for a free slot, and is handled. You choose no visibility timeout by
// the time that a handler takes.
//
// # Outcomes
//
// The error that a handler returns says what becomes of its messages:
//
//	nil                        all are deleted
//	an error, a panic          all are received again, later
//	Failed(m, err)             only m is, the others are deleted; errors.Join combines several
//	RetryAfter(d, err)         received again after d
//	Discard(err)               deleted, although it failed
//	DeadLetter(err)            sent to the dead-letter queue with the reason, then deleted
//
// The last three may be inside a Failed, or around one. A failure that names no
// message concerns all of them: redelivery is safe, deletion is not. [Each] makes a
// handler of a function for one message. [JSON] and [BatchJSON] make one of a
// function that takes decoded bodies. [Mux] makes one of several, by the type of a
// message.
//
// # Middleware
//
// Middleware is a func(Handler) Handler in [Options.Middleware]. It learns with
// [Outcomes] and [OutcomeOf] what a handler said. [Transform] makes one that gives the
// handler changed copies: without an envelope, say. In the repository are packages
// for envelopes, effects once, health, traces, metrics, and payloads in S3.
//
// # Guarantees
//
//   - A message is deleted only after a handler reported success for it, or said
//     Discard or DeadLetter.
//   - Delivery is at least once. A run never handles a message twice at the same
//     time. A message that SQS delivers once is handled once if three things are true:
//     its calls succeed while its lease lasts, its handler succeeds, and nothing is
//     killed. Graceful stops do not change that.
//   - On a FIFO queue the messages of a group are handled in order, one at a time,
//     also when one fails; see [GroupFailure]. Groups run in parallel.
//   - If the consumer stops receiving, Run returns an error or [Consumer.Health] shows
//     it. If it does not keep up with the senders, Health and [Stats.Lag] show it.
//   - Run returns 3 s after ShutdownTimeout at the latest.
//   - A refusal that passes, such as one during a change of a policy, ends no run that
//     has received. No message is handled twice because of it if deletes are granted
//     again while leases last; see [Options.GiveUpAfter].
//   - What is held is bounded in messages and in bytes, and reserved before each
//     receive.
//
// Not guaranteed: that a message is handled exactly once, and the order of a
// standard queue. Messages of a process that was killed may be handled again.
// Handlers have to be idempotent, as with SQS itself.
//
// # Stopping
//
// When Run's context is done, no more receives go out. A receive that is out is waited
// for, since the messages of one that is cut would stay hidden. What it brings is
// handled. A part-filled batch is handed over at once. Handlers go on, under their
// leases, and pending deletes are sent. After [Options.ShutdownTimeout] the handlers'
// contexts end with [ErrShutdown] as the cause. What has not begun is made visible
// again, and Run returns a [*ShutdownError] that says what was left.
//
// # Running it
//
// [Consumer.Health] and [Consumer.Stats] say how a consumer does, and [Hooks] what
// happens. [Consumer.Preflight] looks at the queue's settings. In the repository,
// docs/operations.md has permissions, sizes of a process, alarms, and what to do at each
// log line. docs/design.md says how it works inside.
//
// # Testing
//
// Package [github.com/sluice-go/sluice/sqstest] is SQS in memory, on the plain time
// package: inside a testing/synctest bubble, handlers that take hours are tested in
// milliseconds. A handler is a plain function and can be tested without any queue.
package sluice
