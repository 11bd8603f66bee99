package main

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"time"
)

// A latency collects how long messages took. The zero value is empty.
type latency struct {
	mu      sync.Mutex // guards the fields below
	samples []time.Duration
	next    int // the sample that the next one replaces, once there are keptSamples
	newest  time.Duration
}

const keptSamples = 10_000 // the latest; older ones are forgotten

func (l *latency) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.newest = d
	if len(l.samples) < keptSamples {
		l.samples = append(l.samples, d)
		return
	}
	l.samples[l.next] = d
	l.next = (l.next + 1) % keptSamples
}

// last returns how long the last message took; 0: there is none yet.
func (l *latency) last() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.newest
}

func (l *latency) String() string {
	l.mu.Lock()
	sorted := slices.Clone(l.samples)
	l.mu.Unlock()
	if len(sorted) == 0 {
		return "no messages yet"
	}
	slices.Sort(sorted)
	quantile := func(q float64) time.Duration {
		return sorted[int(math.Ceil(q*float64(len(sorted))))-1].Round(10 * time.Microsecond)
	}
	return fmt.Sprintf("%d messages, median %v, 99th percentile %v", len(sorted), quantile(0.5), quantile(0.99))
}
