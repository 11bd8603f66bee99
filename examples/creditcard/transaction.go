package main

import (
	"errors"
	"fmt"
	"time"
)

// A Transaction is what a terminal sends, what both queues carry and what the
// staging database keeps.
type Transaction struct {
	// ID is the idempotency key: the terminal makes it, once, and repeats it with
	// every repetition. Everything behind the terminal relies on it.
	ID       string    `json:"id"`
	Kind     Kind      `json:"kind"`
	Card     string    `json:"card"` // a token; a card number has no place in a queue
	Merchant string    `json:"merchant"`
	Amount   int64     `json:"amount"` // in the currency's minor unit, above zero also for refunds
	Currency string    `json:"currency"`
	At       time.Time `json:"at"`
}

// A Kind is the direction in which the money goes.
type Kind string

// The kinds of transactions.
const (
	Sale   Kind = "sale"
	Refund Kind = "refund"
)

// maxAmount, in minor units, keeps each product of an amount and a rate, and the
// sum of a day of them, far inside 64 bits.
const maxAmount = 100_000_000

const maxID = 64 // bytes of an id; those of our terminals have about 30

// Day returns the business day that t belongs to. Days are those of UTC: terminals
// stand in many time zones, and a settlement needs one midnight.
func (t *Transaction) Day() string { return t.At.UTC().Format(time.DateOnly) }

// same reports whether t and o are one transaction, field by field.
func (t *Transaction) same(o *Transaction) bool {
	a, b := *t, *o
	a.At, b.At = time.Time{}, time.Time{} // equal instants need not be equal values
	return a == b && t.At.Equal(o.At)
}

// check tells what is wrong with t, all at once.
func (t *Transaction) check() error {
	var wrong []error
	note := func(bad bool, format string, args ...any) {
		if bad {
			wrong = append(wrong, fmt.Errorf(format, args...))
		}
	}
	_, knownMerchant := merchants[t.Merchant]
	_, knownCurrency := currencies[t.Currency]
	note(t.ID == "" || len(t.ID) > maxID, "id has %d bytes, want 1 to %d", len(t.ID), maxID)
	note(t.Kind != Sale && t.Kind != Refund, "kind is %q, want %q or %q", t.Kind, Sale, Refund)
	note(t.Card == "", "card is empty, want a token")
	note(!knownMerchant, "merchant is %q, want one with a contract", t.Merchant)
	note(!knownCurrency, "currency is %q, want one with a rate", t.Currency)
	note(t.Amount < 1 || t.Amount > maxAmount, "amount is %d, want 1 to %d", t.Amount, maxAmount)
	note(t.At.IsZero(), "at is missing, want the time of the transaction")
	return errors.Join(wrong...)
}
