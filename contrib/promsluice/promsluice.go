// Package promsluice shows consumers to Prometheus: all of [sluice.Stats] and the state, read when
// Prometheus asks, and three histograms.
//
//	metrics := promsluice.New()
//	metrics.Install(&opts, queueURL) // histograms
//	consumer, err := sluice.New(client, queueURL, opts)
//	…
//	metrics.Watch(consumer)
//	prometheus.MustRegister(metrics)
//
// One [Metrics] is for all consumers of a process. Each metric has the label queue, which is the
// queue's name. Where several consumers are watched whose queues have the same name, as in two
// regions, the later ones are orders/2, orders/3 and so on. No label has anything of a message.
//
// The page docs/telemetry.md of the repository has all metrics in a table. A program that uses
// OpenTelemetry takes package otelsluice instead, which has traces too.
package promsluice

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-go/sluice"
)

// A Metrics is a [prometheus.Collector] for consumers. Its methods may be called concurrently.
// Make it with [New].
type Metrics struct {
	handler, dwell, size *prometheus.HistogramVec

	mu      sync.Mutex // guards the fields below; never held while calling out
	watched []watched
}

// A watched is a consumer and the value of its label queue.
type watched struct {
	consumer *sluice.Consumer
	queue    string
}

// New returns a Metrics that watches consumers. [Metrics.Watch] adds more.
func New(consumers ...*sluice.Consumer) *Metrics {
	histogram := func(name, help string, buckets ...float64) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, []string{"queue"})
	}
	m := &Metrics{
		handler: histogram("sluice_handler_duration_seconds", "How long handler calls took.",
			0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600),
		dwell: histogram("sluice_dwell_seconds", "Time from the sending of a message to its first handler call.",
			0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 4*3600, 24*3600, 4*24*3600),
		size: histogram("sluice_batch_size_messages", "How many messages a handler call was given.",
			1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000),
	}
	m.Watch(consumers...)
	return m
}

// Install adds hooks for the histograms to the options of a consumer of the queue with the given
// URL. Hooks that a consumer drops because they are too slow are missing in them, see
// sluice_hooks_dropped_total.
func (m *Metrics) Install(opts *sluice.Options, queueURL string) {
	queue := nameOf(queueURL)
	handler, dwell, size := m.handler.WithLabelValues(queue), m.dwell.WithLabelValues(queue), m.size.WithLabelValues(queue)
	opts.Hooks = opts.Hooks.And(sluice.Hooks{Batch: func(e sluice.BatchEvent) {
		handler.Observe(e.Duration.Seconds())
		size.Observe(float64(len(e.Messages)))
		for _, msg := range e.Messages {
			if msg.Attempt <= 1 && !msg.SentAt.IsZero() {
				dwell.Observe(max(0, e.Began.Sub(msg.SentAt)).Seconds())
			}
		}
	}})
}

// Watch adds consumers. One that is watched already is left out.
func (m *Metrics) Watch(consumers ...*sluice.Consumer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range consumers {
		if slices.ContainsFunc(m.watched, func(w watched) bool { return w.consumer == c }) {
			continue
		}
		name := nameOf(c.QueueURL())
		queue := name
		for n := 2; slices.ContainsFunc(m.watched, func(w watched) bool { return w.queue == queue }); n++ {
			queue = fmt.Sprintf("%s/%d", name, n) // no queue's name has a slash
		}
		m.watched = append(m.watched, watched{c, queue})
	}
}

// nameOf returns the name of the queue with the given URL.
func nameOf(queueURL string) string {
	path := queueURL
	if u, err := url.Parse(queueURL); err == nil {
		path = u.Path
	}
	path = strings.TrimRight(path, "/")
	return path[strings.LastIndexByte(path, '/')+1:]
}

// Describe is for Prometheus.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, r := range readings {
		ch <- r.desc
	}
	for _, h := range []*prometheus.HistogramVec{m.handler, m.dwell, m.size} {
		h.Describe(ch)
	}
}

// Collect is for Prometheus. It asks each consumer for its Stats and its Health.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	m.mu.Lock()
	all := slices.Clone(m.watched)
	m.mu.Unlock()
	for _, w := range all {
		s := snapshot{Stats: w.consumer.Stats(), health: w.consumer.Health(), options: w.consumer.Options(), now: time.Now()}
		for _, r := range readings {
			for label, value := range r.values(s) {
				labels := []string{w.queue}
				if r.label != "" {
					labels = append(labels, label)
				}
				ch <- prometheus.MustNewConstMetric(r.desc, r.kind, value, labels...)
			}
		}
	}
	for _, h := range []*prometheus.HistogramVec{m.handler, m.dwell, m.size} {
		h.Collect(ch)
	}
}
