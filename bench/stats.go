package main

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"time"
)

// A sample is a figure that was measured once a round.
type sample []float64

// median is the middle one, or the mean of the two in the middle; 0 without any.
func (s sample) median() float64 {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// spread is the range of the figures: half the distance of the extremes, as a share of the median.
func (s sample) spread() float64 {
	m := s.median()
	if len(s) < 2 || m == 0 {
		return 0
	}
	return (slices.Max(s) - slices.Min(s)) / 2 / m
}

// worst is only the largest of the figures, for what has to hold in every round.
func (s sample) worst() sample {
	if len(s) == 0 {
		return nil
	}
	return sample{slices.Max(s)}
}

// quantile is the p-quantile of nanoseconds, 0 ≤ p ≤ 1; 0 without any.
func quantile(ns []int64, p float64) time.Duration {
	if len(ns) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(ns))
	return time.Duration(sorted[int(p*float64(len(sorted)-1)+0.5)])
}

// milliseconds of d.
func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// window is how long the run was measured.
func (r *Record) window() time.Duration { return r.Result.After.At.Sub(r.Result.Before.At) }

// messages are those deleted in the window.
func (r *Record) messages() float64 { return float64(r.Result.After.Deleted - r.Result.Before.Deleted) }

// per is n for each message. Without messages it is infinite: a run that brought nothing meets no target.
func (r *Record) per(n float64) float64 {
	if r.messages() == 0 {
		return math.Inf(1)
	}
	return n / r.messages()
}

// rate is messages a second.
func (r *Record) rate() float64 { return r.messages() / r.window().Seconds() }

// calls of an operation in the window; "": of all.
func (r *Record) calls(op string) float64 {
	n := 0
	for name, count := range r.Result.After.Calls {
		if op == "" || op == name {
			n += count - r.Result.Before.Calls[name]
		}
	}
	return float64(n)
}

func (r *Record) deletes() float64 { return r.calls("DeleteMessage") + r.calls("DeleteMessageBatch") }

// cpu is microseconds of the consumer's processor time for each message.
func (r *Record) cpu() float64 { return r.per(float64(r.Result.CPU.Microseconds())) }

// serverCPU is microseconds of the server's processor time for each message.
func (r *Record) serverCPU() float64 {
	return r.per(float64((r.Result.After.CPU - r.Result.Before.CPU).Microseconds()))
}

// busy is the share of its cores that the consumer used.
func (r *Record) busy() float64 {
	return r.Result.CPU.Seconds() / r.window().Seconds() / float64(r.cores())
}

// serverBusy is that of the server.
func (r *Record) serverBusy() float64 {
	return (r.Result.After.CPU - r.Result.Before.CPU).Seconds() / r.window().Seconds() / float64(max(1, r.Result.After.Cores))
}

// cores are those that the consumer could use.
func (r *Record) cores() int {
	if r.Result.Cores == 0 {
		return runtime.NumCPU() // a consumer that cannot tell
	}
	return r.Result.Cores
}

func (r *Record) connections() float64 { return float64(r.Result.After.Connections) }

func (r *Record) allocs() float64 { return r.per(float64(r.Result.Allocs)) }

func (r *Record) bytes() float64 { return r.per(float64(r.Result.Bytes)) }

func (r *Record) again() float64 { return float64(r.Result.After.Again - r.Result.Before.Again) }

// blocked is the time that goroutines waited for mutexes, of all together, in percent of the window: 100 is one
// goroutine that always waits.
func (r *Record) blocked() float64 { return 100 * *r.Result.Blocked / r.window().Seconds() }

// waiting is that time in microseconds for each message; 0 where it cannot be told.
func (r *Record) waiting() float64 {
	if r.Result.Blocked == nil {
		return 0
	}
	return r.per(1e6 * *r.Result.Blocked)
}

// rss is the peak in MB.
func (r *Record) rss() float64 { return float64(r.Result.PeakRSS) / 1e6 }

// line is the run in one line.
func (r *Record) line() string {
	if r.messages() == 0 {
		return fmt.Sprintf("%-44s no messages  in flight %d", r.Key(), r.Result.After.PeakInFlight)
	}
	s := fmt.Sprintf("%-44s %7.0f msg/s  %.3f calls/msg  %6.1f µs/msg  %5.1f allocs/msg  in flight %d", r.Key(), r.rate(), r.per(r.calls("")), r.cpu(), r.allocs(), r.Result.After.PeakInFlight)
	if len(r.Result.After.Left) > 0 {
		s += fmt.Sprintf("  left %v", r.Result.After.Left)
	}
	if len(r.Result.ToStart) > 0 {
		s += fmt.Sprintf("  to start p50 %.1f p99 %.1f ms", milliseconds(quantile(r.Result.ToStart, 0.5)), milliseconds(quantile(r.Result.ToStart, 0.99)))
	}
	return s
}
