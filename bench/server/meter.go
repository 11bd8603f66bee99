package server

import (
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/sluice-go/sluice/sqstest"
)

// A Snapshot is what the server has counted for one run since it was set up; the fields that say
// so are about the time since the mark before.
type Snapshot struct {
	At          time.Time      `json:"at"`
	Calls       map[string]int `json:"calls"`         // by operation, when they arrived
	Failed      map[string]int `json:"failed"`        // of those, answered with an error
	Received    int            `json:"received"`      // messages, each delivery counting
	Again       int            `json:"again"`         // of those, deliveries beyond a message's first
	Deleted     int            `json:"deleted"`       // messages
	Empty       int            `json:"empty"`         // receives answered with nothing
	Connections int            `json:"connections"`   // opened
	Left        []int          `json:"left,omitzero"` // messages that could be received at the end of each phase of the load

	ReceiveTime time.Duration `json:"receiveTime,omitzero"` // latencies of all receives together, without their waiting

	PeakInFlight int           `json:"peakInFlight"` // messages received and not deleted; since the mark before
	PeakReceives int           `json:"peakReceives"` // receives out at once; since the mark before
	PeakDeletes  int           `json:"peakDeletes"`  // delete calls out at once; since the mark before
	HeldP50      time.Duration `json:"heldP50"`      // from receive to delete; since the mark before
	HeldP99      time.Duration `json:"heldP99"`

	CPU   time.Duration `json:"cpu"`   // of the whole server process
	Cores int           `json:"cores"` // that it could use at once
}

// A meter counts what one consumer does. It is told of calls by the HTTP handler, and of messages
// by the embedded queue.
type meter struct {
	mu       sync.Mutex // guards the fields below
	now      Snapshot
	out      map[string]int // calls that wait for their answers
	inFlight map[string]int64
	held     []int64 // nanoseconds
}

func newMeter() *meter {
	return &meter{
		now: Snapshot{Calls: map[string]int{}, Failed: map[string]int{}},
		out: map[string]int{}, inFlight: map[string]int64{},
	}
}

const (
	opReceive     = "ReceiveMessage"
	opDelete      = "DeleteMessage"
	opDeleteBatch = "DeleteMessageBatch"
)

// begin notes that a call has arrived.
func (m *meter) begin(op string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now.Calls[op]++
	m.out[op]++
	m.peaks()
}

// end notes that a call was answered.
func (m *meter) end(op string, failed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.out[op]--
	if failed {
		m.now.Failed[op]++
	}
}

// peaks keeps the highest counts; m.mu is held.
func (m *meter) peaks() {
	m.now.PeakInFlight = max(m.now.PeakInFlight, len(m.inFlight))
	m.now.PeakReceives = max(m.now.PeakReceives, m.out[opReceive])
	m.now.PeakDeletes = max(m.now.PeakDeletes, m.out[opDelete]+m.out[opDeleteBatch])
}

// travels notes the latency of a call.
func (m *meter) travels(op string, latency time.Duration) {
	if op != opReceive {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now.ReceiveTime += latency
}

// leaves notes how many messages a phase has left.
func (m *meter) leaves(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now.Left = append(m.now.Left, n)
}

func (m *meter) connected() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now.Connections++
}

// happened is told by the embedded queue.
func (m *meter) happened(e sqstest.Event) {
	switch e.Kind {
	case sqstest.Delivered:
		m.delivered(e)
	case sqstest.Deleted:
		m.deleted(e)
	default:
	}
}

func (m *meter) delivered(e sqstest.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now.Received++
	if e.ReceiveCount > 1 {
		m.now.Again++
	}
	m.inFlight[e.MessageID] = e.Time.UnixNano()
	m.peaks()
}

func (m *meter) deleted(e sqstest.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now.Deleted++
	if since, ok := m.inFlight[e.MessageID]; ok {
		m.held = append(m.held, e.Time.UnixNano()-since)
		delete(m.inFlight, e.MessageID)
	}
}

// mark returns what was counted and begins the peaks and percentiles anew.
func (m *meter) mark() Snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.now
	s.At, s.CPU, s.Cores = time.Now(), CPU(), runtime.GOMAXPROCS(0)
	s.Calls, s.Failed = maps.Clone(s.Calls), maps.Clone(s.Failed)
	s.Left = slices.Clone(s.Left)
	slices.Sort(m.held)
	s.HeldP50, s.HeldP99 = rank(m.held, 0.50), rank(m.held, 0.99)
	m.held = m.held[:0]
	m.now.PeakInFlight, m.now.PeakReceives, m.now.PeakDeletes = 0, 0, 0
	m.peaks()
	return s
}

// rank is the p-quantile of sorted durations in nanoseconds; 0 without any.
func rank(sorted []int64, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return time.Duration(sorted[int(p*float64(len(sorted)-1)+0.5)])
}
