package ops

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/sluice-go/sluice"
)

// stalledAfter is how long a run may give no sign of life until /livez fails. It is long: a
// process that gets little of a processor must not be killed for it, since that takes even
// more of one.
const stalledAfter = 30 * time.Second

// Health returns a handler of three paths. It serves a path wherever you mount it, such as
// under a prefix with http.StripPrefix. It panics without consumers, and if one is nil.
//
//   - /livez is 200 while the process works. It is 503 if a run has given no sign of life for
//     30 s although it was asked; see [sluice.Consumer.Stalled]. Each request asks, so it takes
//     two of them to see that. Errors of SQS, access that is denied, an empty queue, a pause,
//     handlers that take long or hang, and runs that have ended do not make it 503.
//     A new process would not cure them.
//   - /readyz is 200 if each consumer has received successfully once, with messages or
//     without, and has a run that is not ending. It is 503 before and after. An outage does
//     not make it 503. So a rollout stops at a version that cannot reach its queue.
//   - /statusz is JSON: for each consumer [sluice.Health], [sluice.Stats] and the options in
//     use. Queues have their names only. Durations among the options are texts such as "30s".
//     All others are nanoseconds. A program without access to its users reads that best.
//
// The first two answer with a line of text for each consumer that is the reason, or "ok".
func Health(consumers ...*sluice.Consumer) http.Handler {
	check(consumers)
	h := &health{consumers: consumers, names: namesOf(consumers)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", h.answer(live))
	mux.HandleFunc("GET /readyz", h.answer(ready))
	mux.HandleFunc("GET /statusz", h.status)
	return mux
}

type health struct {
	consumers []*sluice.Consumer
	names     []string
}

// live returns why a consumer is not alive. "": it is.
func live(c *sluice.Consumer) string {
	if stalled := c.Stalled(); stalled > stalledAfter {
		return fmt.Sprintf("the run has given no sign of life for %s", stalled.Round(time.Second))
	}
	return ""
}

// ready returns why a consumer is not ready. "": it is.
func ready(c *sluice.Consumer) string {
	switch h := c.Health(); {
	case h.State == sluice.StateStopped && h.Since.IsZero():
		return "no run has begun"
	case h.State == sluice.StateStopped:
		return "the run has ended"
	case h.State == sluice.StateStopping:
		return "the run is ending"
	case c.Stats().LastReceive.IsZero():
		return "no receive has succeeded yet"
	default:
		return ""
	}
}

// answer answers 200 if no consumer has a reason not to, else 503 with the reasons.
func (h *health) answer(why func(*sluice.Consumer) string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		var reasons bytes.Buffer
		for i, c := range h.consumers {
			if reason := why(c); reason != "" {
				fmt.Fprintf(&reasons, "%s: %s\n", h.names[i], reason)
			}
		}
		header(w, "text/plain; charset=utf-8")
		if reasons.Len() > 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = reasons.WriteTo(w)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	}
}

// A report is what /statusz says of a consumer.
type report struct {
	Queue   string
	Health  sluice.Health
	Stats   sluice.Stats
	Options options
}

func (h *health) status(w http.ResponseWriter, _ *http.Request) {
	reports := make([]report, len(h.consumers))
	for i, c := range h.consumers {
		reports[i] = report{h.names[i], c.Health(), c.Stats(), shown(c.Options())}
	}
	text, err := json.MarshalIndent(map[string]any{"Time": time.Now(), "Queues": reports}, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	header(w, "application/json")
	_, _ = w.Write(append(text, '\n'))
}

// header sets the header of an answer that nobody may keep.
func header(w http.ResponseWriter, contentType string) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
}

// options are those of [sluice.Options] that JSON can say, in their order. Queues have their
// names only.
type options struct {
	BatchSize          int
	WaitTime           duration
	BatchBytes         int
	Concurrency        int
	BytesInFlight      int
	Receivers          int
	VisibilityTimeout  duration
	PollTime           duration
	HandlerTimeout     duration
	OnGroupFailure     sluice.GroupFailure
	InPlaceTries       int
	InPlaceTime        duration
	DeadLetterQueueURL string
	ReceiveLinger      duration
	DeleteLinger       duration
	ShutdownTimeout    duration
	GiveUpAfter        duration
	MaxMessages        int
	MaxDuration        duration
	SDKCalls           bool
	SystemAttributes   []string
}

// A duration is shown as people write it.
type duration time.Duration

// MarshalText returns d as text, such as "30s".
func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// shown returns the options that are shown.
func shown(o sluice.Options) options {
	attributes := make([]string, len(o.SystemAttributes))
	for i, name := range o.SystemAttributes {
		attributes[i] = string(name)
	}
	return options{
		BatchSize: o.BatchSize, WaitTime: duration(o.WaitTime), BatchBytes: o.BatchBytes,
		Concurrency: o.Concurrency, BytesInFlight: o.BytesInFlight, Receivers: o.Receivers,
		VisibilityTimeout: duration(o.VisibilityTimeout), PollTime: duration(o.PollTime), HandlerTimeout: duration(o.HandlerTimeout),
		OnGroupFailure: o.OnGroupFailure, InPlaceTries: o.InPlaceTries, InPlaceTime: duration(o.InPlaceTime),
		DeadLetterQueueURL: nameOf(o.DeadLetterQueueURL), ReceiveLinger: duration(o.ReceiveLinger), DeleteLinger: duration(o.DeleteLinger),
		ShutdownTimeout: duration(o.ShutdownTimeout), GiveUpAfter: duration(o.GiveUpAfter),
		MaxMessages: o.MaxMessages, MaxDuration: duration(o.MaxDuration), SDKCalls: o.SDKCalls, SystemAttributes: attributes,
	}
}
