// Package sqstest is Amazon SQS inside a test: an account in memory with the behaviour of the service, its errors
// included, and with faults on demand.
//
// # A tour
//
//	server := sqstest.New()
//	url := server.MustCreateQueue("orders", nil) // a name that ends in .fifo makes a FIFO queue
//	ids := server.Send(url, "first", "second")
//	… run what is to be tested against server …
//	require.Empty(t, server.Messages(url))
//
// A [Server] has the operations of [*sqs.Client] as methods of the same signatures, so it can stand wherever code takes
// an interface of them. Code that wants the client itself gets a real one, with the wire format and retries in between,
// from [Server.Client]; other processes and languages reach the server as an [http.Handler].
//
// # Time
//
// Visibility timeouts, delays, retention and long polls follow the plain time package and no goroutine runs in the
// background, so in a [testing/synctest] bubble twelve hours pass at once, and a long poll wakes at the very instant
// something becomes available.
//
// # Regions and accounts
//
// Queues of different regions and accounts know nothing of each other, as with the service.
//
//   - A signed request is for the region in the credential scope of its signature. It is for the account of
//     [Account], or for the one whose number of 12 digits is its access key id. Nothing else of it is checked.
//   - Method calls and requests without a signature are for [Region] and [Account]: us-east-1 and 000000000000.
//   - URLs of queues tell the account, and not the region: their host is the one that the request reached. A request
//     with a URL of a queue in another region fails with QueueDoesNotExist. Hosts of URLs do not count, nor do
//     accounts that have no queue here.
//   - A dead-letter queue, and a message move task, is in the region and account of its source.
//   - Methods that are no operations of the service, such as [Server.Messages], find a queue anywhere by its ARN.
//     [Stats] and [Event] tell queues of other regions and accounts by their ARNs. A [Fault] strikes all queues of its
//     name.
//
// # What differs from the service
//
// Everything here is a behaviour that the service may show, chosen so that tests repeat themselves:
//
//   - A receive answers as many messages as there are, up to the number asked for, in the order of sending; a message
//     that became visible again comes ahead of later ones. The service answers from one of many servers, with less.
//     [Servers], [AnswerSize] and [Disorder] do so too.
//   - A call takes no time. With [Latency] it takes what a network and a service take.
//   - Counts are exact, and changed attributes hold at once.
//   - A delete on a standard queue with a receipt handle that is not of the latest receive succeeds and does nothing;
//     see [StaleDeletes].
//   - Message ids come from a [Seed], and so does all else that chance decides. What belongs to a queue or to an operation
//     is drawn in the order of the calls: where calls begin at one instant, whichever is first gets the first number.
//   - Policies, encryption and the throughput quotas of FIFO queues are accepted but not enforced.
//   - A tenant of a fair queue is noisy by what it holds in flight, not by the time its messages take.
//   - Message move tasks without a rate move 500 messages per second.
//   - Over HTTP an answer of more than 4 kB to aws-sdk-go-v2 waits for 2 ms; see [LargeAnswerDelay].
//
// # What goes wrong
//
// [Server.Inject] makes calls slow, fail before or after their effect, answer too little, twice, or the wrong thing, as
// a whole or by entry of a batch; [Fault] lists it all. [Server.ExpireLease] and [Server.Redeliver] act on one message.
// [Server.Stats], [Server.Messages], [Server.Deliveries] and [Server.Observe] tell what came of it.
package sqstest
