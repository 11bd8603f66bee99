// Package envelope reads what SNS, EventBridge, S3 and CloudEvents put around a message.
//
// Most queues are fed by one of them. What was published is then inside of an envelope, or the
// message is an event of AWS's own. There are two ways to get at it. Both are strict in the same
// way, since they share their parsers.
//
// # Types
//
// If you know what your queue holds, decode it as that. The types are for [sluice.JSON] and
// [sluice.BatchJSON], and may be inside of each other:
//
//	sluice.JSON(func(ctx context.Context, n envelope.SNS[Order]) error { … })
//	sluice.JSON(func(ctx context.Context, e envelope.EventBridge[Order]) error { … })
//	sluice.JSON(func(ctx context.Context, e envelope.S3Event) error { … })
//	sluice.JSON(func(ctx context.Context, e envelope.CloudEvent[Order]) error { … })
//	sluice.JSON(func(ctx context.Context, n envelope.SNS[envelope.S3Event]) error { … })
//
// A message that is something else fails. It is received again, and ends in the queue's
// dead-letter queue.
//
// # Middleware
//
// If the handler should not know about envelopes, or if messages come with and without them, let
// [Unwrap] open them. It needs a list of the topics and sources that are believed. The handler
// gets what is inside, and [From] says where it came from:
//
//	unwrap, err := envelope.Unwrap(envelope.Options{
//		Topics:             []string{"arn:aws:sns:eu-central-1:123456789012:orders"},
//		EventBridgeSources: []string{"com.acme.orders"},
//		Strict:             true, // nothing else is meant to come
//	})
//	…
//	options.Middleware = append(options.Middleware, unwrap)
//
// [Decompress] is a middleware for bodies that were compressed.
//
// # Who is believed
//
// An envelope is text. Whoever may send to the queue can write one that names any topic. So the
// policy of the queue has to say who may send. Signatures of SNS are not checked: FIFO topics do
// not sign, and a check would fetch what a message names. Nothing here opens an address, and no
// subscription is confirmed.
//
// # Errors
//
// What is broken fails its message with an [*Error]: a field that comes twice, a value of another
// kind, a text that is no time. Names of fields are compared exactly, unlike in
// [encoding/json]. Fields that are not known are skipped. An error repeats nothing of a message.
package envelope
