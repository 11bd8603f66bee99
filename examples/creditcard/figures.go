package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sluice-go/sluice"
)

// figures tell how a day went.
type figures struct {
	traded  time.Duration // that the terminals sent, or the business day was open
	settled time.Duration // that the batch job took
	resent  int           // transactions that had to be sent once more to close the books
}

// write prints how the queues were used.
func (f *figures) write(w io.Writer, s *shift) {
	staging, settlement := s.staging.Stats(), s.settlement.Stats()
	printf(w, "\nstaging: %d events, %d of them repetitions; the terminals sent for %.1f s; %s\n",
		staging.Succeeded, s.stager.repeated.Load(), f.traded.Seconds(), calls(&staging))
	batches := s.settler.counted()
	printf(w, "settlement: %d messages, in the handler for %s, %d of them repetitions; %s\n",
		settlement.Succeeded, rate(settlement.Succeeded, batches.busy), batches.repeated, calls(&settlement))
	if sizes := batches.sizes(); len(sizes) > 0 {
		printf(w, "batches: %d of %d to %d messages (%s); %.1f s from begin to end, with the receives that find the queue empty\n",
			len(sizes), slices.Min(sizes), slices.Max(sizes), reasons(&settlement), f.settled.Seconds())
	}
	if f.resent > 0 {
		printf(w, "sent once more to close the books: %d\n", f.resent)
	}
}

// rate says how fast n things were done.
func rate(n int64, in time.Duration) string {
	text := fmt.Sprintf("%.1f s", in.Seconds())
	if in > 0 {
		text += fmt.Sprintf(" (%.0f a second)", float64(n)/in.Seconds())
	}
	return text
}

// calls says what the messages cost: receives, deletes and visibility changes.
func calls(s *sluice.Stats) string {
	n := int64(0)
	for _, count := range s.Calls {
		n += count
	}
	return fmt.Sprintf("%d API calls, %.2f per message", n, float64(n)/float64(max(1, s.Succeeded)))
}

// reasons says why batches were handed over.
func reasons(s *sluice.Stats) string {
	var parts []string
	for _, why := range slices.Sorted(maps.Keys(s.Batches)) {
		if n := s.Batches[why]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, why))
		}
	}
	return strings.Join(parts, ", ")
}

// printf prints. That a report cannot be printed is no reason to leave a settlement
// half done, so the error is dropped.
func printf(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
