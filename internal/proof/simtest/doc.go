// Package simtest proves the consumer by simulation. A seed makes a whole world:
// queues, senders, processes that start, stop, pause and crash, handlers of every
// kind, and a plan of what goes wrong with the calls to SQS. The world runs in
// virtual time, in one testing/synctest bubble, and all that happens in it is
// written down. Afterwards a checker holds the history against the invariants of
// docs/proof.md, one function for each.
//
// Read world_test.go first (what a seed decides), then actors_test.go and
// faults_test.go (who acts, and what goes wrong), then checker_test.go (what must
// hold all the same). Everything is in test files: nothing of it is shipped.
package simtest
