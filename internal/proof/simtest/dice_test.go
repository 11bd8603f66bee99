package simtest

import (
	"math/rand/v2"
	"time"
)

// A die gives chance that does not depend on who asks first. Each throw belongs to
// something: an actor, a call at its virtual time, the n-th handling of a message.
// Two goroutines that run at the same virtual instant get the same numbers
// whichever the scheduler lets go first, so a seed replays.
type die uint64

// of returns the die of a part of what d belongs to.
func (d die) of(parts ...uint64) die {
	h := uint64(d)
	for _, p := range parts {
		h = mix(h ^ mix(p+0x9e3779b97f4a7c15))
	}
	return die(h)
}

// named is of for a text.
func (d die) named(text string) die {
	h := uint64(14695981039346656037) // FNV-1a
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 1099511628211
	}
	return d.of(h)
}

// amid is of for several texts in whatever order.
func (d die) amid(texts ...string) die {
	sum := uint64(0)
	for _, t := range texts {
		sum += uint64(die(0).named(t))
	}
	return d.of(sum)
}

// mix is the finalizer of splitmix64: each bit of x changes half of the result's.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// float returns a number in [0, 1).
func (d die) float() float64 { return float64(mix(uint64(d))>>11) / (1 << 53) }

// under reports whether something of the given probability happens.
func (d die) under(p float64) bool { return d.float() < p }

// between returns a time in [least, most), to the nanosecond: two are never equal.
func (d die) between(least, most time.Duration) time.Duration {
	return least + time.Duration(d.float()*float64(most-least))
}

// rand returns a generator for an actor that draws many numbers, one after another.
func (d die) rand() *rand.Rand { return rand.New(rand.NewPCG(uint64(d), mix(uint64(d)))) }

// span draws a time in [least, most).
func span(r *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(r.Float64()*float64(most-least))
}

// oneOf draws one of the values.
func oneOf[T any](r *rand.Rand, values ...T) T { return values[r.IntN(len(values))] }
