package sockets

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/internal/proof/sockets/chaos"
	"github.com/sluice-go/sluice/sqstest"
)

const (
	standard, fifo = "orders", "payments.fifo"

	atOnce = 2   // children that consume
	groups = 500 // message groups of the FIFO queue
	batch  = 25  // BatchSize of every other child; the others handle each event by itself

	// limit is the end of a test that hangs. No test needs a tenth of it, unless the
	// machine does something else.
	limit = 8 * time.Minute
)

// A plan is what a test does.
type plan struct {
	messages   int
	kills      int
	signal     syscall.Signal
	visibility time.Duration
	network    *chaos.Faults // nil: a good one
}

// A world is a plan that is carried out.
type world struct {
	*testing.T
	plan

	ctx     context.Context // ends at the limit
	rand    *rand.Rand
	account *sqstest.Server
	ledger  *ledger
	proxy   *chaos.Proxy // nil: the network is good
	fleet   *fleet
	urls    map[string]string // of the queues
	sent    map[string]int    // messages, by queue
	last    map[string]int    // messages, by group
	running []*child          // those that consume
}

func newWorld(t *testing.T, p plan) *world {
	t.Helper()
	seed := chosenSeed()
	t.Logf("seed %d", seed)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	w := &world{
		T: t, plan: p, ctx: ctx, rand: rand.New(rand.NewPCG(seed, 0)), account: sqstest.New(), ledger: newLedger(),
		urls: map[string]string{}, sent: map[string]int{}, last: map[string]int{},
	}
	for _, queue := range []string{standard, fifo} {
		w.urls[queue] = w.account.MustCreateQueue(queue, nil)
	}
	w.account.Observe(w.ledger.observe)
	server := w.serve()
	endpoint := server.URL
	if p.network != nil {
		endpoint = "http://" + w.spoil(server.Listener.Addr().String(), seed)
	}
	w.fleet = &fleet{ctx: ctx, endpoint: endpoint, authorities: w.authorities(server), spec: spec{
		Queues: []string{w.urls[standard], w.urls[fifo]}, Batch: batch,
		Visibility: p.visibility, Log: filepath.Join(t.TempDir(), "handled"),
	}}
	t.Cleanup(w.fleet.clear)
	return w
}

// serve starts SQS: over TLS with HTTP/2 offered, as users reach it. A bad network reads
// what passes, and so it is plain HTTP there.
func (w *world) serve() *httptest.Server {
	server := httptest.NewUnstartedServer(w.ledger.attribute(w.account))
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of connections that end with their processes
	if *tlsFlag && w.network == nil {
		server.StartTLS()
	} else {
		server.Start()
	}
	w.Cleanup(server.Close)
	return server
}

// authorities returns the name of a file with the certificates that children are to trust;
// "" if there is no TLS.
func (w *world) authorities(server *httptest.Server) string {
	w.Helper()
	if server.TLS == nil {
		return ""
	}
	file := filepath.Join(w.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	require.NoError(w, os.WriteFile(file, text, 0o600))
	return file
}

// spoil puts a bad network before a server and returns where it is reached now.
func (w *world) spoil(address string, seed uint64) string {
	w.Helper()
	proxy, err := chaos.Listen(w.ctx, address, seed, *w.network, w.ledger.harmed)
	require.NoError(w, err)
	w.proxy = proxy
	ctx, stop := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := proxy.Serve(ctx); err != nil {
			w.Error(err)
		}
	})
	w.Cleanup(func() {
		stop()
		serving.Wait()
	})
	return proxy.Address()
}

// play lets the messages pass while children are killed, one after each part of
// them, and returns when all are deleted and all children have ended. How much is
// sent at once, and how much of it has been received when the signal comes, is
// random: signals come in full swing, at the last messages, and where nothing else
// goes on, in a queue that is empty. What counts is what has happened, not time, so
// that it is the same on any machine.
func (w *world) play() {
	w.Helper()
	for range atOnce {
		w.start()
	}
	for i, n := range w.parts() {
		before := w.sent[standard]
		w.send(n)
		if i%4 == 0 && w.calm() {
			require.NoError(w, w.ledger.waitDeleted(w.ctx, w.sent[standard]+w.sent[fifo]))
		} else {
			require.NoError(w, w.ledger.waitReceived(w.ctx, before+w.rand.IntN(w.sent[standard]-before+1)))
		}
		w.kill()
	}
	require.NoError(w, w.ledger.waitDeleted(w.ctx, w.messages))
	for _, c := range w.running {
		require.NoError(w, c.signal(w.ctx, syscall.SIGTERM))
	}
	require.NoError(w, w.fleet.end(w.ctx))
}

// calm reports whether each message is deleted as soon as it is handled, and never
// has to wait for the end of a visibility timeout.
func (p plan) calm() bool { return p.network == nil && p.signal == syscall.SIGTERM }

// parts divides the messages into as many parts as there are kills.
func (w *world) parts() []int {
	weights, sum := make([]float64, w.kills), 0.0
	for i := range weights {
		weights[i] = 0.1 + w.rand.ExpFloat64()
		sum += weights[i]
	}
	parts, left := make([]int, w.kills), w.messages
	for i := range parts {
		parts[i] = int(weights[i] / sum * float64(w.messages))
		left -= parts[i]
	}
	parts[0] += left
	return parts
}

func (w *world) start() {
	w.Helper()
	c, err := w.fleet.start()
	require.NoError(w, err)
	w.running = append(w.running, c)
}

// kill sends one of the children the plan's signal, and starts another at once.
func (w *world) kill() {
	w.Helper()
	i := w.rand.IntN(len(w.running))
	c := w.running[i]
	w.running = append(w.running[:i:i], w.running[i+1:]...)
	if w.signal == syscall.SIGKILL {
		c.held = map[string]bool{}
		w.hold(c)
	}
	require.NoError(w, c.signal(w.ctx, w.signal))
	if w.signal == syscall.SIGKILL {
		<-c.gone
		w.hold(c) // what it has received between the first look and its death
	}
	w.start()
}

// hold notes which messages a child holds: by the queues' own account they are in
// flight, and it has received them.
func (w *world) hold(c *child) {
	for queue := range w.urls {
		for _, m := range w.account.Messages(queue) {
			if m.State == sqstest.InFlight && w.ledger.heldBy(c.number, m.ID) {
				c.held[m.ID] = true
			}
		}
	}
}

// send sends n messages, three of four to the standard queue.
func (w *world) send(n int) {
	w.Helper()
	for n > 0 {
		ten := min(n, 10)
		queue := standard
		if w.rand.IntN(4) == 0 {
			queue = fifo
		}
		w.sendBatch(queue, ten)
		n -= ten
	}
}

func (w *world) sendBatch(queue string, n int) {
	w.Helper()
	in := &sqs.SendMessageBatchInput{QueueUrl: new(w.urls[queue])}
	places := make([]place, n)
	for i := range places {
		entry := types.SendMessageBatchRequestEntry{Id: new(fmt.Sprint(i)), MessageBody: new("a message of some length: " + strings.Repeat("x", 200))}
		if queue == fifo {
			group := fmt.Sprintf("group-%d", w.rand.IntN(groups))
			places[i] = place{group, w.last[group]}
			w.last[group]++
			entry.MessageGroupId = &group
			entry.MessageDeduplicationId = new(fmt.Sprintf("%s-%d", group, places[i].n))
		}
		in.Entries = append(in.Entries, entry)
	}
	out, err := w.account.SendMessageBatch(w.ctx, in)
	require.NoError(w, err)
	require.Len(w, out.Successful, n)
	w.sent[queue] += n
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	for i, sent := range out.Successful {
		w.ledger.sent[*sent.MessageId] = places[i]
	}
}
