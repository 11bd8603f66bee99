// Package s3sluice consumes and sends messages whose payloads lie in Amazon S3, in the format of
// Amazon's extended clients for SQS.
//
// SQS takes messages of up to 1 MiB. Amazon's extended clients for Java and Python put a larger
// payload into an S3 bucket, and send a message that points to it. [Fetch] reads such messages,
// from any of these clients. [Store] writes them.
//
//	fetch, err := s3sluice.Fetch(s3Client, s3sluice.Options{Buckets: []string{"orders-payloads"}})
//	…
//	consumer, err := sluice.New(client, queueURL, sluice.Options{
//		Middleware: []func(sluice.Handler) sluice.Handler{fetch},
//	})
//
// # What is believed
//
// A message is a pointer if it has the attribute ExtendedPayloadSize or SQSLargePayloadSize. All
// that is taken from it is a bucket and a key. The bucket must be one of [Options.Buckets], and the
// key must begin with [Options.Prefix]; else there is no request. The size that the message names
// only decides how much memory is reserved first.
//
// Whoever may send to the queue can make the consumer read any object under Prefix in Buckets. Choose
// both so that nothing else lies there.
//
// # Failures
//
// A payload that cannot be fetched fails its message, and no other. A payload that is not in its
// bucket makes its message a dead letter, see [sluice.DeadLetter]: it will not come back. No such
// message is deleted otherwise. Errors have the bucket, the code and the request id that S3 gave, and no
// key.
//
// # Memory
//
// Payloads are fetched in parallel, when the handler would be called. [sluice.Options.BytesInFlight]
// counts the pointers; [Options.BytesInFlight] bounds the payloads, over all calls of the handler.
// A batch whose payloads are larger is handled in several calls.
//
// # What becomes of objects
//
// They are kept. Give the bucket a lifecycle rule that deletes them when they are older than the
// retention of the queue and of its dead-letter queue together. A [Deleter] deletes them sooner,
// after SQS has confirmed the delete of the message.
package s3sluice
