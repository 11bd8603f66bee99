package sluice

import "time"

// WithWallClock returns o for a machine whose wall clock shows more than the time by what
// ahead says of a moment, while its monotonic clock does not: it has slept.
func WithWallClock(o Options, ahead func(time.Time) time.Duration) Options {
	o.ahead = ahead
	return o
}
