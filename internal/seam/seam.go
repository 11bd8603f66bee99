// Package seam lets the tests of this module set what Options keeps from its users: a fleet
// whose consumers share their jitter would try everything again at the same moment.
package seam

import "time"

// Seams are what a test may put in the place of chance and of the machine's wall clock.
type Seams struct {
	// Rand returns the next jitter, in [0, 1). nil means math/rand/v2. It must be safe for
	// concurrent use.
	Rand func() float64

	// WallClock returns by how much the wall clock is ahead of a moment that time.Now has
	// returned: a machine has slept for that long, and its monotonic clock stood still
	// meanwhile. nil means that it is never ahead. It must be safe for concurrent use.
	WallClock func(time.Time) time.Duration
}

// Set puts s into the Options that options points to. It panics if options is no
// *sluice.Options.
func Set(options any, s Seams) { set(options, s) }

var set func(options any, s Seams)

// Register is called once, by package sluice, which this package cannot import.
func Register(f func(options any, s Seams)) { set = f }
