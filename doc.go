// Package sluice consumes Amazon SQS queues, event at a time or in batches.
//
// A [Consumer] takes a batch size and a wait time, and a [Handler], which is a
// plain function. A batch goes to the handler when it is full or when its wait time
// is over, whichever comes first. A batch size of 1 handles each event as soon as
// it arrives.
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
// messages. So a batch is gathered from many receives, and the visibility timeouts
// of its messages are renewed meanwhile: while the batch fills, while it waits for
// a free slot, while the handler runs, and until the delete is confirmed. There is
// no visibility timeout to choose by the time a handler takes.
//
// # Outcomes
//
// The error that a handler returns says what becomes of its messages:
//
//	nil                        all are deleted
//	an error, a panic          all are received again, later
//	Failed(m, err)             only m is; combine several with errors.Join
//	RetryAfter(d, err)         received again after d
//	Discard(err)               deleted, although it failed
//	DeadLetter(err)            sent to the dead-letter queue with the reason, then deleted
//
// The last three may be inside a Failed, or around one. A success cannot be
// forgotten, and a failure that names no message keeps them all: redelivery is
// safe, deletion is not. [Each] makes a handler of a function for one message,
// [JSON] and [BatchJSON] of one that takes decoded bodies. Middleware is a
// func(Handler) Handler; it learns with [Outcomes] what a handler did.
//
// # Guarantees
//
//   - A message is deleted only after a handler reported success for it, or said
//     Discard or DeadLetter.
//   - Delivery is at least once. A run never handles a message twice at the same
//     time. A message that SQS delivers once is handled once if its calls succeed
//     while its lease lasts, its handler does, and nothing is killed; over graceful
//     stops too.
//   - On a FIFO queue the messages of a group are handled one at a time and in
//     order, also when one fails; see [GroupFailure]. Groups run in parallel.
//   - The consumer stops receiving only by an error that Run returns or a state that
//     [Consumer.Health] shows. That it does not keep up with the senders is a state
//     too, and [Stats].Lag. Run returns at the latest 3 s after ShutdownTimeout.
//   - What SQS refuses for a while, such as access during a change of its policy, ends no
//     run that has received, and has nothing handled twice; see [Options.GiveUpAfter].
//   - What is held is bounded in messages and in bytes, and reserved before each
//     receive.
//
// Not guaranteed: that a message is handled exactly once, the order of a standard
// queue, and that the messages of a process that was killed are not handled again.
// Handlers have to be idempotent, as with SQS itself.
//
// # Stopping
//
// When Run's context is done, nothing more is received; a receive that is out is
// waited for, because the messages of one that is cut would stay hidden, and what
// it brings is handled. A part-filled batch goes out at once. Handlers run on,
// under their leases; pending deletes are sent. After [Options.ShutdownTimeout]
// the handlers' contexts end with [ErrShutdown] as the cause, what has not begun
// is made visible again, and Run reports with a [*ShutdownError] what was left.
//
// # Running it
//
// [Consumer.Health] and [Stats] say how a consumer does. docs/operations.md in the
// repository has the permissions it needs, how large a process is, what to alarm on, and
// what to do at each log line.
//
// # Testing
//
// Package [github.com/sluice-go/sluice/sqstest] is SQS in memory, on the plain time
// package: inside a testing/synctest bubble, handlers that take hours are tested in
// milliseconds. A handler is a plain function and can be tested without any queue.
package sluice
