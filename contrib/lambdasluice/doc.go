// Package lambdasluice runs a [sluice.Handler] in AWS Lambda, on the events of an SQS queue.
//
//	lambda.Start(lambdasluice.Handler(h, lambdasluice.Options{Client: sqsClient}))
//
// The same handler runs in a [sluice.Consumer] and in Lambda. Options of the same name mean the
// same, and so do the errors that the handler returns:
//
//	nil                        Lambda deletes the message
//	an error, a panic          reported; received again after the queue's visibility timeout
//	Failed(m, err)             only m is
//	RetryAfter(d, err)         reported; received again after d, if there is a Client
//	Discard(err)               not reported: Lambda deletes it
//	DeadLetter(err)            sent to DeadLetterQueueURL, then not reported
//
// # What the event source mapping needs
//
// FunctionResponseTypes must have ReportBatchItemFailures. Without it Lambda does not read what
// the function reports, and deletes all messages unless the function fails as a whole.
//
// The visibility timeout of the queue should be six times the timeout of the function. Lambda
// renews nothing.
//
// # What is reported
//
// A message is reported if it failed, if it was not begun before the deadline, or, on a FIFO
// queue, if it stands behind such a one of its message group. Lambda deletes all others. An id is
// reported once, and only if it is in the event: after any other id Lambda counts the whole batch
// as failed.
//
// # The deadline
//
// If a function is not done at its deadline, Lambda counts the whole batch as failed, also the
// messages that succeeded. So the contexts of handlers end a little earlier, after which nothing
// more begins; see [Options.Margin]. A handler that goes on after that makes the function time out.
//
// # What Lambda does not give
//
// There are no leases that are renewed, no bound on what is received but the mapping's, and no
// hooks. A delay for messages that fail without RetryAfter is the queue's visibility timeout.
// docs/lambda.md has what to choose when.
package lambdasluice
