package sockets

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/sluice-go/sluice/internal/proof/sockets/chaos"
	"github.com/sluice-go/sluice/sqstest"
)

// A place is where a message stands in its message group, from 0; on a standard
// queue the group is empty.
type place struct {
	group string
	n     int
}

// A ledger is what the queues and the network know: which messages were sent and
// where they stand, how far they have come, who holds them, and which of them were in
// an exchange that the network has spoilt.
type ledger struct {
	mu       sync.Mutex // guards the fields below
	sent     map[string]place
	receipts map[string]string // message ids by receipt handle
	holder   map[string]int    // the child that has received a message last
	fresh    int               // messages of the standard queue that were received
	deleted  int
	again    int           // deliveries beyond a message's first
	met      func() bool   // what is waited for; nil: nothing is
	reached  chan struct{} // closed when it is met
	spoilt   []chaos.Exchange
}

func newLedger() *ledger {
	return &ledger{sent: map[string]place{}, receipts: map[string]string{}, holder: map[string]int{}}
}

// observe is told by the queues.
func (l *ledger) observe(e sqstest.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch e.Kind {
	case sqstest.Delivered:
		l.receipts[e.ReceiptHandle] = e.MessageID
		switch {
		case e.ReceiveCount > 1:
			l.again++
		case e.Queue == standard:
			l.fresh++
		}
	case sqstest.Deleted:
		l.deleted++
	default:
		return
	}
	l.look()
}

// look tells who waits if that has happened; l.mu is held.
func (l *ledger) look() {
	if l.met != nil && l.met() {
		l.met = nil
		close(l.reached)
	}
}

// harmed is told by the network.
func (l *ledger) harmed(_ chaos.Harm, e chaos.Exchange) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spoilt = append(l.spoilt, e)
}

// waitReceived waits until n messages of the standard queue have been received, each
// counting once. Those of the FIFO queue may have to wait for the visibility timeout
// of what a dead process held.
func (l *ledger) waitReceived(ctx context.Context, n int) error {
	return l.wait(ctx, fmt.Sprintf("%d messages of the standard queue are received", n), func() bool { return l.fresh >= n })
}

// waitDeleted waits until n messages are deleted.
func (l *ledger) waitDeleted(ctx context.Context, n int) error {
	return l.wait(ctx, fmt.Sprintf("%d messages are deleted", n), func() bool { return l.deleted >= n })
}

// wait waits until met, which reads the ledger, says so. One goroutine at a time may.
func (l *ledger) wait(ctx context.Context, what string, met func() bool) error {
	reached := make(chan struct{})
	l.mu.Lock()
	l.met, l.reached = met, reached
	l.look()
	l.mu.Unlock()
	select {
	case <-reached:
		return nil
	case <-ctx.Done():
		l.mu.Lock()
		defer l.mu.Unlock()
		return fmt.Errorf("waiting until %s: of %d sent %d are deleted: %w", what, len(l.sent), l.deleted, ctx.Err())
	}
}

// attribute lets the ledger know which child receives which messages. A child's
// access key has its number.
func (l *ledger) attribute(queues http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".ReceiveMessage") {
			_, credential, _ := strings.Cut(r.Header.Get("Authorization"), "Credential="+accessKey)
			number, _, _ := strings.Cut(credential, "/")
			child, err := strconv.Atoi(number)
			if err != nil {
				panic(err) // nobody but children receives
			}
			w = &witness{w, child, l}
		}
		queues.ServeHTTP(w, r)
	})
}

// accessKey begins the access keys of children.
const accessKey = "child"

// A witness reads the answer to a child's receive, which the queue writes at once.
type witness struct {
	http.ResponseWriter

	child  int
	ledger *ledger
}

func (w *witness) Write(body []byte) (int, error) {
	var out answer
	if err := json.Unmarshal(body, &out); err != nil {
		panic(err) // the embedded queue writes nothing else
	}
	w.ledger.receivedBy(w.child, out)
	return w.ResponseWriter.Write(body)
}

func (l *ledger) receivedBy(child int, a answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range a.Messages {
		l.holder[m.MessageID] = child
	}
}

// heldBy reports whether a child is the one that has received a message last.
func (l *ledger) heldBy(child int, id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	holder, known := l.holder[id]
	return known && holder == child
}

// Requests and answers, as far as they name messages.
type (
	request struct {
		Entries []struct {
			ReceiptHandle string `json:"ReceiptHandle"`
		} `json:"Entries"`
	}
	answer struct {
		Messages []struct {
			MessageID string `json:"MessageId"`
		} `json:"Messages"`
	}
)

// touched returns the messages that were in an exchange which was spoilt: received
// by it, or to be deleted or renewed by it. An answer that was lost before it came
// brought nothing that anybody could handle because of it.
func (l *ledger) touched() (map[string]bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ids := map[string]bool{}
	for _, e := range l.spoilt {
		var in request
		if err := json.Unmarshal(e.Request, &in); err != nil {
			return nil, fmt.Errorf("reading a request of %s: %w", e.Operation, err)
		}
		for _, entry := range in.Entries {
			ids[l.receipts[entry.ReceiptHandle]] = true
		}
		var out answer
		if err := json.Unmarshal(e.Answer, &out); e.Answer != nil && err != nil {
			return nil, fmt.Errorf("reading an answer to %s: %w", e.Operation, err)
		}
		for _, m := range out.Messages {
			ids[m.MessageID] = true
		}
	}
	return ids, nil
}
