package ops

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluice-go/sluice"
)

const (
	history   = 10 * time.Minute // that is kept
	apart     = time.Second      // of two samples
	idleAfter = 10 * time.Second // without a message
	longText  = 2048             // bytes of an error that are shown
)

// A recorder looks at consumers and keeps what it has seen for [history]. It has no
// goroutine: whoever wants to know asks it to look, and it looks once a second at most. It
// keeps JSON, which is made once for all who watch.
type recorder struct {
	consumers []*sluice.Consumer
	options   []options
	columns   []column

	mu       sync.Mutex // guards the fields below; held while looking, so that nobody gets half a look
	samples  []sample   // the oldest first
	seq      int64      // of the newest
	now      []byte     // the states, in words
	failures []byte     // the newest failures
	version  int64      // of failures
	pasts    []past     // of each consumer
}

// A sample is the numbers of a moment.
type sample struct {
	seq  int64 // 1, 2, 3, …
	at   time.Time
	data []byte // {"t": ms, "q": [[numbers of a queue, by column], …]}
}

// A past is what the recorder remembers of a consumer from one look to the next.
type past struct {
	looked   bool
	received int64     // messages
	moved    time.Time // when messages came last; zero: not since the recording began
	kind     string    // of the status
	since    time.Time // when the kind began; zero: before the recording did
}

// A column is one number of a queue in a sample.
type column struct {
	name  string
	value func(*look) int64
}

func newRecorder(consumers []*sluice.Consumer) *recorder {
	r := &recorder{consumers: consumers, columns: columns(consumers[0].Stats()), pasts: make([]past, len(consumers))}
	for _, c := range consumers {
		r.options = append(r.options, shown(c.Options()))
	}
	return r
}

// columns returns the columns of samples. Those of maps are named by their keys, such as
// "calls.ReceiveMessage".
func columns(s sluice.Stats) []column {
	cs := []column{
		{"state", func(l *look) int64 { return int64(slices.Index(kinds, l.status.Kind)) }},
		{"received", func(l *look) int64 { return l.stats.Received }},
		{"duplicates", func(l *look) int64 { return l.stats.Duplicates }},
		{"succeeded", func(l *look) int64 { return l.stats.Succeeded }},
		{"failed", func(l *look) int64 { return l.stats.Failed }},
		{"panics", func(l *look) int64 { return l.stats.Panics }},
		{"deleted", func(l *look) int64 { return l.stats.Deleted }},
		{"givenBack", func(l *look) int64 { return l.stats.GivenBack }},
		{"deadLettered", func(l *look) int64 { return l.stats.DeadLettered }},
		{"leasesLost", func(l *look) int64 { return l.stats.LeasesLost }},
		{"unsettled", func(l *look) int64 { return l.stats.Unsettled }},
		{"hooksDropped", func(l *look) int64 { return l.stats.HooksDropped }},
		{"batchMessages", func(l *look) int64 { return l.stats.BatchMessages }},
		{"inFlight", func(l *look) int64 { return int64(l.stats.InFlight) }},
		{"bytes", func(l *look) int64 { return int64(l.stats.BytesInFlight) }},
		{"handlers", func(l *look) int64 { return int64(l.stats.Handlers) }},
		{"oldest", func(l *look) int64 { return since(l.stats.OldestHandler, l.at) }}, // in ms; 0: there is none
		{"receives", func(l *look) int64 { return int64(l.stats.Receives) }},
		{"receivesMost", func(l *look) int64 { return int64(l.stats.ReceivesMost) }},
		{"lag", func(l *look) int64 { return l.stats.Lag.Milliseconds() }},
		{"processorWait", func(l *look) int64 { return l.health.ProcessorWait.Milliseconds() }},
	}
	for reason := range sluice.ReasonStopping + 1 {
		cs = append(cs, column{"batches." + reason.String(), func(l *look) int64 { return l.stats.Batches[reason] }})
	}
	for _, op := range sorted(s.Calls) {
		cs = append(
			cs,
			column{"calls." + op, func(l *look) int64 { return l.stats.Calls[op] }},
			column{"errors." + op, func(l *look) int64 { return l.stats.Errors[op] }},
		)
	}
	for _, n := range sorted(s.ReceiveCounts) {
		cs = append(cs, column{"receiveCount." + strconv.Itoa(n), func(l *look) int64 { return l.stats.ReceiveCounts[n] }})
	}
	return cs
}

// look looks at the consumers if nobody has done so for a moment.
func (r *recorder) look() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if n := len(r.samples); n > 0 && now.Sub(r.samples[n-1].at) < apart/2 {
		return
	}
	looks := make([]look, len(r.consumers))
	for i, c := range r.consumers {
		looks[i] = look{at: now, health: c.Health(), stats: c.Stats(), options: &r.options[i]}
		r.pasts[i].see(&looks[i])
	}
	r.keep(sample{seq: r.seq + 1, at: now, data: r.numbers(now, looks)})
	r.now = words(looks)
	if failures := r.newest(); string(failures) != string(r.failures) {
		r.failures = failures
		r.version++
	}
}

// see remembers l, and completes it with what is known of the time before it.
func (p *past) see(l *look) {
	if p.looked && l.stats.Received != p.received || !p.looked && l.stats.Lag > 0 {
		p.moved = l.at
	}
	p.received = l.stats.Received
	l.idle = l.stats.InFlight == 0 && (p.moved.IsZero() || l.at.Sub(p.moved) > idleAfter)
	l.describe()
	if p.looked && p.kind != l.status.Kind {
		p.since = l.at
	}
	p.looked, p.kind = true, l.status.Kind
	l.status.Since = millis(p.began(l))
}

// began returns when the kind of l's status began; zero: nobody knows.
func (p *past) began(l *look) time.Time {
	switch p.kind {
	case "idle":
		return p.moved
	case "receiving": // the consumer changes to and fro between receiving and waiting for room
		return p.since
	default:
		return l.health.Since
	}
}

// keep keeps a sample, and drops those that are too old.
func (r *recorder) keep(s sample) {
	fresh := func(old sample) bool { return s.at.Sub(old.at) <= history }
	if i := slices.IndexFunc(r.samples, fresh); i > 0 {
		r.samples = slices.Delete(r.samples, 0, i)
	} else if i < 0 {
		r.samples = nil
	}
	r.samples = append(r.samples, s)
	r.seq = s.seq
}

// numbers returns the JSON of a sample.
func (r *recorder) numbers(now time.Time, looks []look) []byte {
	text := append(make([]byte, 0, 32+256*len(looks)), `{"t":`...)
	text = strconv.AppendInt(text, now.UnixMilli(), 10)
	text = append(text, `,"q":[`...)
	for i := range looks {
		text = append(text, separator(i, '[')...)
		for j, c := range r.columns {
			text = strconv.AppendInt(append(text, separator(j, 0)...), c.value(&looks[i]), 10)
		}
		text = append(text, ']')
	}
	return append(text, "]}"...)
}

// separator returns what stands in front of the i-th item of an array that begins with open.
func separator(i int, open byte) []byte {
	var s []byte
	if i > 0 {
		s = append(s, ',')
	}
	if open != 0 {
		s = append(s, open)
	}
	return s
}

// words returns the JSON of what the consumers are doing.
func words(looks []look) []byte {
	states := make([]status, len(looks))
	for i := range looks {
		states[i] = looks[i].status
	}
	return encode(states)
}

// A failure is a [sluice.Failure] as it is shown.
type failure struct {
	Operation string `json:"operation"`
	Text      string `json:"text"`
	MessageID string `json:"messageId"`
	Count     int64  `json:"count"`
	First     int64  `json:"first"` // in milliseconds since 1970, as Last
	Last      int64  `json:"last"`
}

// newest returns the JSON of the newest failures.
func (r *recorder) newest() []byte {
	all := make([][]failure, len(r.consumers))
	for i, c := range r.consumers {
		all[i] = []failure{}
		for _, f := range c.Failures() {
			all[i] = append(all[i], failure{f.Operation, f.Text, f.MessageID, f.Count, millis(f.First), millis(f.Last)})
		}
	}
	return encode(all)
}

// A news is what there is to tell somebody who has seen all up to some sample.
type news struct {
	samples  []sample
	now      []byte
	failures []byte
	version  int64 // of failures
}

// after returns what there is beyond the sample with the given number. Nothing in it is
// changed later.
func (r *recorder) after(seq int64) news {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.samples, func(s sample) bool { return s.seq > seq })
	n := news{now: r.now, failures: r.failures, version: r.version}
	if i >= 0 {
		n.samples = slices.Clone(r.samples[i:])
	}
	return n
}

// encode returns the JSON of a value that has one. It has no line breaks.
func encode(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // the types of this file have one
	}
	return text
}

// since returns how many milliseconds have passed, at least 1; 0 if t is zero.
func since(t, now time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return max(1, now.Sub(t).Milliseconds())
}

// sorted returns the keys of m in their order.
func sorted[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// textOf returns the text of an error, cut. "": there is none, or the error cannot say it. The
// error may be the user's, and panic.
func textOf(err error) (text string) {
	defer func() { _ = recover() }()
	if err == nil {
		return ""
	}
	text = strings.ToValidUTF8(err.Error(), "")
	if len(text) > longText {
		text = strings.ToValidUTF8(text[:longText], "") + "…"
	}
	return text
}
