package main

import "strings"

// meanings are what the targets are to somebody who runs a consumer.
var meanings = map[string]string{
	"≥ 0.95 × the model's bound, where handlers or receivers are the bound": "Handlers are not idle while messages wait: twice as many handlers take twice as many messages.",
	"not below any peer":                                                       "No consumer measured here takes more messages with as many handlers.",
	"≤ 0.205 calls/msg, ≤ 0.21 at C 256":                                       "The bill of SQS is the least possible: ten messages a call, both ways.",
	"in flight ≤ C + 10 × receivers + 10 × senders":                            "Messages that this consumer has no handler for stay there for other consumers.",
	"≤ receivers + senders + 2 connections":                                    "Connections are kept. A new one costs more than a call, over TLS most of all.",
	"CPU/msg ≤ 0.45 / 0.38 × the expert's loop on the SDK's default client":    "A message costs less than half of what it costs in the loop that one writes by hand.",
	"H 0: CPU/msg ≤ 0.45 / 0.40 × the expert's loop on the same client":        "This also holds if the loop has a client with enough connections. The handler takes no time.",
	"H 5 and 50: CPU/msg ≤ 0.70 / 0.50 × the expert's loop on the same client": "This also holds if handlers wait. Each consumer has to wake them, and pays for that.",
	"≤ 14 / 12 allocations/msg":                                                "The garbage collector has little to do, so the rest of the process has more of the processor.",
	"RSS ≤ 25 MB":                                                              "A container of 64 MB is enough for small messages.",
	"tls: CPU/msg ≤ 0.50 / 0.42 × the loop's on the SDK's default client":      "SQS speaks TLS, and the advantage over a loop is as large there.",
	"tls: messages/s not below the loops'":                                     "The rate is not lower over TLS either.",
	"bodies: 64 KiB: CPU/msg ≤ 0.40 × the loop's, on both clients":             "Large bodies are copied, and not read byte by byte.",
	"attributes: ≤ 26 allocations/msg with five":                               "Message attributes cost few allocations.",
	"short: messages/s ≥ the best peer's":                                      "SQS often answers with fewer than ten messages although more are there. The rate does not fall behind.",
	"tails: ≥ 0.90 × the rate without tails":                                   "A slow call does not hold up the others.",
	"fifo: 1,000 groups: ≥ 0.9 × the standard queue's rate":                    "Order within groups costs little of the rate.",
	"fifo: 1,000 groups: ≤ 0.25 calls/msg":                                     "Order within groups costs few calls.",
	"consumers: messages/s not below any peer":                                 "Consumers that share a queue do not slow each other down.",
	"apart: ≥ 0.95 × the model's bound":                                        "Only the processor, of the consumer or of the server, limits the rate.",
	"waiting for mutexes at C 256: ≤ 1 % of a core":                            "Many handlers do not wait for each other.",
	"2 % HTTP 500: ≥ 95 % of the faultless rate":                               "Calls that fail are repeated without a long pause.",
	"2 % throttled: ≥ 90 %":                                                    "Calls that are throttled are repeated too.",
	"idle: 1 receive in 20 s":                                                  "An idle queue costs 130,000 calls a month, about five cents.",
	"trickle, send to handler: p50 ≤ L + 2 ms":                                 "Half of all events are handled as soon as they can arrive.",
	"trickle, send to handler: p99 ≤ L + 3.5 ms":                               "Nearly all of them are.",
	"40 to 90 messages/s, 200 ms of delete linger: ≤ 0.12 deletes/msg":         "If deletes may wait for each other, nine of ten are saved.",
	"100,000 leases: ≤ 5 % of a core":                                          "Messages that are held for long, with a visibility timeout of 30 s, cost little.",

	"answers: messages/s ≥ the pool's":                      "With short answers the rate is not below that of a pool of receivers that is built by hand.",
	"answers: messages/s ≥ the expert's loop's":             "It is not below that of the loop either.",
	"answers: calls/msg ≤ 1.05 × (1/(10 × fill) + 0.1)":     "Short answers cost the calls that they must cost, and no more.",
	"servers: p50 from send to handler ≤ the pool's + 1 ms": "On a queue that lies on many servers, half of all events are found as soon as by a pool that always polls.",
	"servers: p99 from send to handler ≤ 1.2 × the pool's":  "Nearly all of them are.",
	"servers: calls/msg ≤ the pool's":                       "That takes no more calls than the pool makes.",
	"loads: ≤ 200 messages left at the end of each phase":   "The consumer keeps up when a load rises or bursts, and after an outage.",
	"latency: ≥ 0.9 × what the receivers could bring":       "All receivers are used although latencies vary and some answers are empty.",
	"trickles: ≤ 0.25 calls/msg":                            "Messages that trickle in share their receives.",
	"trickles: p99 from send to handler ≤ 1.5 × WaitTime":   "They are handled about as soon as WaitTime says.",
}

// meaning is what a target is to a user; empty: nobody has said so.
func meaning(target string) string { return meanings[strings.TrimSuffix(target, " (batches)")] }
