// Package stories tells what a Consumer does, one claim a test, in virtual time. A story has a
// queue, consumers with handlers, and what goes wrong; it says what must come of it to the
// second and to the call. Most are told twice: with the embedded queue as the client, and with
// the SDK's client in between.
//
// Read harness_test.go first: the world of a story, and tell, which tells it. The files
// harness_tools_test.go and harness_fifo_test.go have what many stories share. Every other
// file is named after its area:
//
//   - receive, room, bounds, memory, scale, economy: what is received, how much, at what cost;
//   - batch, run_modes, finish, stop: how batches fill, and how runs end;
//   - settle, delete, giveback, dead_letter, outcome: what becomes of a message that was handled;
//   - lease, duplicate, sleep, wallclock: who has a message, for how long, and what a machine that
//     slept has lost;
//   - fifo, fifo_groups, fifo_failure, fifo_ends, order: message groups;
//   - calls, client, network, refusal: calls that fail, hang or are refused;
//   - hooks, report, json, options, slips, stress: what users see, set, and do wrong.
package stories
