package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// A sample is what this process takes at one moment.
type sample struct {
	at         time.Duration // since the beginning
	goroutines int
	files      int // open descriptors
	rss        int // bytes of memory
	heap       int // of these, in objects, dead ones included
	inFlight   int // messages held
	handled    int64
	calls      int64
}

// room returns memory for n samples that is there already, so that it does not count
// as a leak.
func room(n int) []sample {
	samples := make([]sample, n)
	for i := range samples {
		samples[i].at = 1
	}
	return samples[:0]
}

// measure reads what the operating system and the runtime know.
func measure() (s sample, err error) {
	s.goroutines = runtime.NumGoroutine()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return s, fmt.Errorf("counting open files: %w", err)
	}
	s.files = len(open) - 1 // not the one that was opened to count
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return s, fmt.Errorf("measuring memory: %w", err)
	}
	var size, resident int
	if _, err := fmt.Fscan(strings.NewReader(string(text)), &size, &resident); err != nil {
		return s, fmt.Errorf("reading /proc/self/statm: %w", err)
	}
	s.rss = resident * os.Getpagesize()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s.heap = int(m.HeapAlloc)
	return s, nil
}

// look is measure with what the consumers say.
func (w *works) look() (sample, error) {
	s, err := measure()
	s.at = time.Since(w.began)
	for _, c := range w.consumers {
		stats := c.Stats()
		s.inFlight += stats.InFlight
		s.handled += stats.Succeeded
		for _, n := range stats.Calls {
			s.calls += n
		}
	}
	return s, err
}

// release gives all memory that is not in use back to the operating system. What
// pools keep is dropped by the second collection.
func release() {
	runtime.GC()
	debug.FreeOSMemory()
}
