package otelsluice

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/sluice-go/sluice"
)

// A reading is what a gauge or a counter shows of a consumer.
type reading struct {
	name, unit, description string
	total                   bool // a counter
	value                   func(snapshot) float64
	by                      attribute.Key // with rows instead of value: what tells the rows apart
	rows                    func(snapshot) map[string]float64
}

// A snapshot is a consumer as it is when metrics are collected.
type snapshot struct {
	sluice.Stats

	health sluice.Health
	now    time.Time
}

// since returns the seconds since a time, or 0 if that is none.
func (s snapshot) since(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return max(0, s.now.Sub(t)).Seconds()
}

var states = []sluice.State{
	sluice.StateStopped, sluice.StateReceiving, sluice.StateWaiting, sluice.StateBehind,
	sluice.StatePaused, sluice.StateBackingOff, sluice.StateRefused, sluice.StateStopping,
}

// readings are all that [Observe] shows.
var readings = []reading{
	{
		name: "sluice.messages.handled", unit: "{message}", total: true, by: keyResult, description: "Number of messages whose handler call has ended.",
		rows: func(s snapshot) map[string]float64 {
			return map[string]float64{"succeeded": float64(s.Succeeded), "failed": float64(s.Failed)}
		},
	},
	{
		name: "sluice.messages.settled", unit: "{message}", total: true, by: keyResult, description: "Number of messages of which SQS has confirmed, or not confirmed, what became of them.",
		rows: func(s snapshot) map[string]float64 {
			return map[string]float64{
				"deleted": float64(s.Deleted), "given back": float64(s.GivenBack), "unsettled": float64(s.Unsettled),
			}
		},
	},
	{
		name: "sluice.messages.dead_lettered", unit: "{message}", total: true, description: "Number of messages sent to the dead-letter queue by DeadLetter. They count as deleted too.",
		value: func(s snapshot) float64 { return float64(s.DeadLettered) },
	},
	{
		name: "sluice.in_flight.messages", unit: "{message}", description: "Number of messages that are held.",
		value: func(s snapshot) float64 { return float64(s.InFlight) },
	},
	{
		name: "sluice.in_flight.size", unit: "By", description: "Size of the bodies and attributes of the messages that are held.",
		value: func(s snapshot) float64 { return float64(s.BytesInFlight) },
	},
	{
		name: "sluice.handlers.running", unit: "{call}", description: "Number of handler calls that are under way.",
		value: func(s snapshot) float64 { return float64(s.Handlers) },
	},
	{
		name: "sluice.handlers.oldest", unit: "s", description: "Time for which the longest handler call has run. 0: there is none.",
		value: func(s snapshot) float64 { return s.since(s.OldestHandler) },
	},
	{
		name: "sluice.receives.running", unit: "{call}", description: "Number of receives that are out.",
		value: func(s snapshot) float64 { return float64(s.Receives) },
	},
	{
		name: "sluice.receives.limit", unit: "{call}", description: "Number of receives that may be out.",
		value: func(s snapshot) float64 { return float64(s.ReceivesMost) },
	},
	{
		name: "sluice.receives.last", unit: "s", description: "Time since a receive succeeded. 0: none has.",
		value: func(s snapshot) float64 { return s.since(s.LastReceive) },
	},
	{
		name: "sluice.queue.lag", unit: "s", description: "Longest wait in the queue of messages that were received for the first time lately.",
		value: func(s snapshot) float64 { return s.Lag.Seconds() },
	},
	{
		name: "sluice.lease.margin", unit: "s", description: "What was left of the leases that were renewed last when that was confirmed. 0: none was renewed, or too late.",
		value: func(s snapshot) float64 { return s.LeaseMargin.Seconds() },
	},
	{
		name: "sluice.processor.wait", unit: "s", description: "Time for which a goroutine that is ready waits for a processor. More than 8 % of the visibility timeout endangers leases.",
		value: func(s snapshot) float64 { return s.health.ProcessorWait.Seconds() },
	},
	{
		name: "sluice.hooks.dropped", unit: "{event}", total: true, description: "Number of hook calls and log lines that were dropped. Metrics that hooks feed lack them.",
		value: func(s snapshot) float64 { return float64(s.HooksDropped) },
	},
	{
		name: "sluice.state", unit: "1", by: keyState, description: "1 for the state of the consumer, 0 for the others.",
		rows: func(s snapshot) map[string]float64 {
			rows := make(map[string]float64, len(states))
			for _, state := range states {
				rows[string(state)] = 0
			}
			rows[string(s.health.State)] = 1
			return rows
		},
	},
}

// Observe shows what a consumer holds and does whenever metrics are collected, from
// [sluice.Consumer.Stats] and [sluice.Consumer.Health]. It shows a consumer until the registration
// that it returns is unregistered. Its error says which instruments could not be made. Of the
// Config it uses MeterProvider and Attributes.
//
// Two consumers of one queue in one process need different Attributes.
func Observe(c *sluice.Consumer, cfg Config) (metric.Registration, error) {
	meter := cfg.meter()
	identity := slices.Concat(cfg.Attributes, queueOf(c.QueueURL()).identity())
	instruments := make([]metric.Float64Observable, len(readings))
	observables := make([]metric.Observable, len(readings))
	errs := make([]error, 0, 1)
	for i, r := range readings {
		instrument, err := r.instrument(meter)
		errs = append(errs, err)
		instruments[i], observables[i] = instrument, instrument
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		now := snapshot{Stats: c.Stats(), health: c.Health(), now: time.Now()}
		for i, r := range readings {
			r.observe(o, instruments[i], identity, now)
		}
		return nil
	}, observables...)
}

func (r reading) instrument(m metric.Meter) (metric.Float64Observable, error) {
	if r.total {
		return m.Float64ObservableCounter(r.name, metric.WithUnit(r.unit), metric.WithDescription(r.description))
	}
	return m.Float64ObservableGauge(r.name, metric.WithUnit(r.unit), metric.WithDescription(r.description))
}

func (r reading) observe(o metric.Observer, instrument metric.Float64Observable, identity []attribute.KeyValue, s snapshot) {
	if r.rows == nil {
		o.ObserveFloat64(instrument, r.value(s), metric.WithAttributes(identity...))
		return
	}
	for row, value := range r.rows(s) {
		o.ObserveFloat64(instrument, value, metric.WithAttributes(append(slices.Clip(identity), r.by.String(row))...))
	}
}
