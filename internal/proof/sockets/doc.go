// Package sockets lets consumers run as processes of their own, reach SQS over
// sockets, and be killed.
//
// The consumers are programs as users write them (child_test.go): one consumer of
// a standard queue, one of a FIFO queue, stopped by SIGTERM. Two of them run at any
// time. The queues are in memory behind TLS on loopback, in some of the tests behind plain
// HTTP and a bad network (package chaos). Again and again one of the processes is
// killed, at a random moment, and another takes its place at once. Afterwards what
// the handlers have written to a file, the queues' own counts, and what the network
// has spoilt must agree.
//
// Everything but the network is in test files: nothing of it is shipped.
package sockets
