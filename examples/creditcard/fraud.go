package main

import (
	"math"
	"slices"
	"strings"
	"time"
)

// The rules look at all that a card did on the business day, as the staging
// database has it, not only at what shares a batch with the transaction: where one
// batch ends and the next begins is chance, and a run that was killed and begun
// again cuts them elsewhere. The day is settled when all of it is staged, if
// that can be had, so a transaction is judged alike each time.

const (
	velocityWindow = 10 * time.Minute
	velocityMost   = 5 // sales of one card within the window; those beyond are suspicious

	farOff       = 10 // times the mean of the card's other sales
	farOffSample = 4  // other sales that a mean needs to mean something

	fastest = 900.0 // km/h: an airliner, from counter to counter
	nearby  = 100.0 // km that clocks and city limits explain
)

// suspicions returns why t is suspicious, "" if it is not. history is all of the
// card's transactions of the day in the order of time; it may hold t.
//
// Only sales are judged: a refund gives money back to the card that paid.
func suspicions(t *Transaction, history []Transaction) string {
	if t.Kind != Sale {
		return ""
	}
	others := slices.DeleteFunc(slices.Clone(history), func(o Transaction) bool { return o.ID == t.ID || o.Kind != Sale })
	var found []string
	if tooMany(t, others) {
		found = append(found, "velocity")
	}
	if tooMuch(t, others) {
		found = append(found, "amount")
	}
	if tooFar(t, others) {
		found = append(found, "travel")
	}
	return strings.Join(found, ", ")
}

// tooMany reports whether the card was used too often just before t.
func tooMany(t *Transaction, others []Transaction) bool {
	recent := 0
	for i := range others {
		if ago := t.At.Sub(others[i].At); ago >= 0 && ago < velocityWindow {
			recent++
		}
	}
	return recent >= velocityMost
}

// tooMuch reports whether the amount is far off the mean of the card's others.
func tooMuch(t *Transaction, others []Transaction) bool {
	if len(others) < farOffSample {
		return false
	}
	sum := int64(0)
	for i := range others {
		sum += others[i].euroCents()
	}
	return t.euroCents()*int64(len(others)) > farOff*sum // without a division, so without rounding
}

// tooFar reports whether the card was elsewhere too short a time before t.
func tooFar(t *Transaction, others []Transaction) bool {
	here := merchants[t.Merchant].city
	for i := range others {
		o := &others[i]
		ago := t.At.Sub(o.At)
		there := merchants[o.Merchant].city
		if ago < 0 || here == nil || there == nil {
			continue
		}
		if km := distance(here, there); km > math.Max(nearby, fastest*ago.Hours()) {
			return true
		}
	}
	return false
}

// euroCents is t's amount at the rate of the day.
func (t *Transaction) euroCents() int64 { return cents(t.Amount, currencies[t.Currency].rate) }
