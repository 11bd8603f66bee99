package sqstest

import (
	"crypto/sha256"
	"encoding/hex"
)

// dedup remembers the deduplication ids of a FIFO queue for five minutes from their first acceptance, whatever
// becomes of the message.
type dedup struct {
	known map[string]original
	order []accepted // by time
}

// original is the send that a duplicate repeats.
type original struct{ id, sequence string }

type accepted struct {
	key string
	at  int64
}

// seen returns the send that was accepted under key.
func (d *dedup) seen(key string, now int64) (original, bool) {
	for len(d.order) > 0 && d.order[0].at+int64(dedupInterval) <= now {
		delete(d.known, d.order[0].key)
		d.order = d.order[1:]
	}
	o, ok := d.known[key]
	return o, ok
}

func (d *dedup) remember(key string, o original, now int64) {
	if d.known == nil {
		d.known = map[string]original{}
	}
	d.known[key] = o
	d.order = append(d.order, accepted{key, now})
}

// contentID is the deduplication id of a queue with ContentBasedDeduplication: of the body alone.
func contentID(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

// sequenceNumber writes a message's number as FIFO queues do: 20 digits that ascend.
func sequenceNumber(n uint64) string {
	b := [20]byte{'1', '8', '8'}
	for i, rest := len(b)-1, n*256; i > 2; i-- {
		b[i] = byte('0' + rest%10)
		rest /= 10
	}
	return string(b[:])
}

// attempts are the receives of a FIFO queue that can be repeated under their ReceiveRequestAttemptId.
type attempts struct {
	known map[string]*attempt
	order []*attempt // by time
}

type attempt struct {
	id       string
	at       int64
	receipts []receipt
}

// receipt is one message of an attempt, as it was then.
type receipt struct {
	m       *message
	number  uint32
	changes uint32
}

func (a *attempts) find(id string, now int64) *attempt {
	for len(a.order) > 0 && a.order[0].at+int64(attemptInterval) <= now {
		if a.known[a.order[0].id] == a.order[0] {
			delete(a.known, a.order[0].id)
		}
		a.order = a.order[1:]
	}
	return a.known[id]
}

func (a *attempts) remember(id string, ms []*message, now int64) {
	if a.known == nil {
		a.known = map[string]*attempt{}
	}
	t := &attempt{id: id, at: now}
	for _, m := range ms {
		t.receipts = append(t.receipts, receipt{m, m.receipt, m.changes})
	}
	a.known[id] = t
	a.order = append(a.order, t)
}

// state reports whether the messages of the attempt are all still in flight under it, and whether one was deleted
// or had its visibility changed.
func (t *attempt) state() (held, modified bool) {
	held = true
	for _, r := range t.receipts {
		if r.m.state == gone || r.m.changes != r.changes {
			modified = true
		}
		if r.m.state != inFlight || r.m.receipt != r.number {
			held = false
		}
	}
	return held, modified
}
