package promsluice

import (
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-go/sluice"
)

// A snapshot is a consumer as it is when Prometheus asks.
type snapshot struct {
	sluice.Stats

	health  sluice.Health
	options sluice.Options
	now     time.Time
}

// A reading is a metric that is read from a snapshot.
type reading struct {
	desc   *prometheus.Desc
	kind   prometheus.ValueType
	label  string // besides queue; "": none
	values func(snapshot) map[string]float64
}

// readings are all metrics but the histograms.
var readings = []reading{
	counter("sluice_messages_received_total", "Messages received. Each receive of a message counts.", func(s snapshot) int64 { return s.Received }),
	counter("sluice_messages_duplicate_total", "Messages received that were in hand already.", func(s snapshot) int64 { return s.Duplicates }),
	table("sluice_messages_total", "Messages whose handler call has ended, by its result.", prometheus.CounterValue, "result", func(s snapshot) map[string]float64 {
		return map[string]float64{"succeeded": float64(s.Succeeded), "failed": float64(s.Failed)}
	}),
	table("sluice_messages_settled_total", "Messages by what became of them at SQS. For unsettled ones SQS has not confirmed it.", prometheus.CounterValue, "result", func(s snapshot) map[string]float64 {
		return map[string]float64{
			"deleted": float64(s.Deleted), "given_back": float64(s.GivenBack), "unsettled": float64(s.Unsettled),
		}
	}),
	counter("sluice_dead_letters_total", "Messages sent to the dead-letter queue by DeadLetter. They count as deleted too.", func(s snapshot) int64 { return s.DeadLettered }),
	counter("sluice_leases_lost_total", "Messages that became visible to others while they were held.", func(s snapshot) int64 { return s.LeasesLost }),
	counter("sluice_panics_total", "Handler calls that panicked.", func(s snapshot) int64 { return s.Panics }),
	table("sluice_batches_total", "Handler calls by the reason for which their batch was handed over.", prometheus.CounterValue, "reason", func(s snapshot) map[string]float64 {
		rows := map[string]float64{}
		for reason, n := range s.Batches {
			rows[label(reason.String())] = float64(n)
		}
		return rows
	}),
	counter("sluice_batch_messages_total", "Messages of all handler calls.", func(s snapshot) int64 { return s.BatchMessages }),
	table("sluice_message_receive_counts_total", "Messages received, by how often they had been received. Those of 10 and more are at 10.", prometheus.CounterValue, "receive_count", func(s snapshot) map[string]float64 {
		rows := map[string]float64{}
		for n, messages := range s.ReceiveCounts {
			rows[strconv.Itoa(n)] = float64(messages)
		}
		return rows
	}),
	table("sluice_calls_total", "Calls to SQS, successful or not.", prometheus.CounterValue, "operation", func(s snapshot) map[string]float64 { return floats(s.Calls) }),
	table("sluice_call_errors_total", "Calls to SQS that failed as a whole.", prometheus.CounterValue, "operation", func(s snapshot) map[string]float64 { return floats(s.Errors) }),
	counter("sluice_hooks_dropped_total", "Hook calls and log lines that were dropped.", func(s snapshot) int64 { return s.HooksDropped }),

	gauge("sluice_in_flight_messages", "Messages that are held.", func(s snapshot) float64 { return float64(s.InFlight) }),
	gauge("sluice_in_flight_bytes", "Bodies and attributes of the messages that are held.", func(s snapshot) float64 { return float64(s.BytesInFlight) }),
	gauge("sluice_in_flight_limit_bytes", "How much may be held: Options.BytesInFlight.", func(s snapshot) float64 { return float64(s.options.BytesInFlight) }),
	gauge("sluice_handlers", "Handler calls under way.", func(s snapshot) float64 { return float64(s.Handlers) }),
	gauge("sluice_handlers_limit", "How many handler calls may be under way: Options.Concurrency.", func(s snapshot) float64 { return float64(s.options.Concurrency) }),
	gauge("sluice_oldest_handler_seconds", "For how long the longest handler call has run. 0: there is none.", func(s snapshot) float64 {
		if s.OldestHandler.IsZero() {
			return 0
		}
		return max(0, s.now.Sub(s.OldestHandler)).Seconds()
	}),
	gauge("sluice_receives", "Receives that are out.", func(s snapshot) float64 { return float64(s.Receives) }),
	gauge("sluice_receives_limit", "How many receives may be out.", func(s snapshot) float64 { return float64(s.ReceivesMost) }),
	table("sluice_last_receive_timestamp_seconds", "When a receive succeeded last. Missing: never.", prometheus.GaugeValue, "", func(s snapshot) map[string]float64 {
		if s.LastReceive.IsZero() {
			return nil
		}
		return map[string]float64{"": float64(s.LastReceive.UnixNano()) / 1e9}
	}),
	gauge("sluice_lag_seconds", "Longest wait in the queue of messages received for the first time lately.", func(s snapshot) float64 { return s.Lag.Seconds() }),
	gauge("sluice_lease_margin_seconds", "What was left of the leases that were renewed last when that was confirmed. 0: none was renewed, or too late.", func(s snapshot) float64 { return s.LeaseMargin.Seconds() }),
	gauge("sluice_processor_wait_seconds", "How long a goroutine that is ready waits for a processor. More than 8 % of the visibility timeout endangers leases.", func(s snapshot) float64 { return s.health.ProcessorWait.Seconds() }),
	table("sluice_transport", "1 for what makes the calls to SQS: lean or sdk.", prometheus.GaugeValue, "transport", func(s snapshot) map[string]float64 {
		kind, _, _ := strings.Cut(s.Transport, ":")
		return map[string]float64{kind: 1}
	}),
	table("sluice_state", "1 for the state of the consumer, 0 for the others.", prometheus.GaugeValue, "state", func(s snapshot) map[string]float64 {
		rows := map[string]float64{}
		for _, state := range states {
			rows[label(string(state))] = 0
		}
		rows[label(string(s.health.State))] = 1
		return rows
	}),
}

var states = []sluice.State{
	sluice.StateStopped, sluice.StateReceiving, sluice.StateWaiting, sluice.StateBehind,
	sluice.StatePaused, sluice.StateBackingOff, sluice.StateRefused, sluice.StateStopping,
}

// table is a metric with a row for each value of a label.
func table(name, help string, kind prometheus.ValueType, label string, values func(snapshot) map[string]float64) reading {
	labels := []string{"queue"}
	if label != "" {
		labels = append(labels, label)
	}
	return reading{prometheus.NewDesc(name, help, labels, nil), kind, label, values}
}

func counter(name, help string, value func(snapshot) int64) reading {
	return table(name, help, prometheus.CounterValue, "", func(s snapshot) map[string]float64 { return map[string]float64{"": float64(value(s))} })
}

func gauge(name, help string, value func(snapshot) float64) reading {
	return table(name, help, prometheus.GaugeValue, "", func(s snapshot) map[string]float64 { return map[string]float64{"": value(s)} })
}

// label returns a name as Prometheus writes them: wait_time.
func label(name string) string { return strings.ReplaceAll(name, " ", "_") }

func floats(counts map[string]int64) map[string]float64 {
	rows := make(map[string]float64, len(counts))
	for name, n := range maps.All(counts) {
		rows[name] = float64(n)
	}
	return rows
}
