package sqstest

import "time"

// Limits of the service. Those without a source of their own stand on the developer guide's
// quota pages ("Amazon SQS message quotas", "standard queue quotas", "FIFO queue quotas").
const (
	maxEntries      = 10        // per batch request; TooManyEntriesInBatchRequest beyond
	maxReceive      = 10        // messages per ReceiveMessage
	maxWait         = 20        // seconds a long poll may last
	maxVisibility   = 43_200    // seconds: 12 hours
	maxDelay        = 900       // seconds: 15 minutes
	maxMessageBytes = 1_048_576 // body and message attributes, since August 2025; also the sum over a batch
	minMessageBytes = 1_024     // lowest value of the attribute MaximumMessageSize
	maxAttributes   = 10        // message attributes per message
	maxAttrName     = 256       // characters of a message attribute's name
	maxIDLength     = 128       // message group id, deduplication id, receive request attempt id
	maxEntryID      = 80        // characters of a batch entry's id
	maxQueueName    = 80        // characters, ".fifo" included
	maxTags         = 50        // tags per queue
	maxListed       = 1_000     // queues in one answer of ListQueues
	maxTasksListed  = 10        // tasks in one answer of ListMessageMoveTasks
	maxMoveRate     = 500       // messages per second of a message move task
	maxInFlight     = 120_000   // messages, standard and FIFO (API reference of ReceiveMessage, corrected January 2025)

	minRetention     = 60        // seconds
	maxRetention     = 1_209_600 // seconds: 14 days
	defaultRetention = 345_600   // seconds: 4 days

	defaultVisibility = 30 // seconds
)

const (
	dedupInterval   = 5 * time.Minute  // a deduplication id is remembered so long, from the first acceptance
	attemptInterval = 5 * time.Minute  // a receive may be repeated under its ReceiveRequestAttemptId
	purgeInterval   = 60 * time.Second // between two PurgeQueue calls
	recreateAfter   = 60 * time.Second // between DeleteQueue and CreateQueue of the same name
)

// A standard queue's tenant (message group) becomes noisy when it holds more than a tenth of what is
// in flight, and at least noisyInFlight messages. It is noisy until nothing of it waits any more, or
// it has sent nothing for quietAfter ("Amazon SQS fair queues", detail page).
const (
	noisyInFlight = 30
	quietAfter    = 5 * time.Minute
)
