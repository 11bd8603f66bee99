package main

import (
	"fmt"
	"strings"
)

// Money is a count of minor units, never a float: what two programs add up must
// agree to the last cent.

// settlementCurrency is what merchants are paid in.
const settlementCurrency = "EUR"

// million is the unit of rates: a rate is a count of millionths.
const million = 1_000_000

// A currency of a transaction.
type currency struct {
	digits int // of its minor unit: 2 for cents, 0 for yen

	// rate is the price of one minor unit in euro cents, in millionths: at 921,350
	// a US cent costs 0.921350 euro cents.
	rate int64
}

// currencies is the table of the day. A real one is loaded each morning; what a
// transaction was settled at is kept with its outcome, so tomorrow's table does
// not change yesterday's report.
var currencies = map[string]currency{
	"EUR": {2, million},
	"USD": {2, 921_350},
	"GBP": {2, 1_168_420},
	"CHF": {2, 1_047_735},
	"PLN": {2, 231_870},
	"JPY": {0, 613_425},
}

// cents converts an amount to euro cents, rounded half to even: half a cent goes
// up as often as down, so that a day of conversions does not lean to one side.
// What the rounding costs is in the report.
func cents(amount, rate int64) int64 { return halfEven(amount*rate, million) }

// fee returns what a merchant pays for a sale of that many cents, rounded half to
// even. Refunds cost nothing and give no fee back.
func fee(cents, basisPoints int64) int64 { return halfEven(cents*basisPoints, 10_000) }

// halfEven returns n/d rounded to the nearest, a tie to the even neighbour. n must
// not be negative, d must be above zero.
func halfEven(n, d int64) int64 {
	q, twice := n/d, 2*(n%d)
	if twice > d || (twice == d && q%2 == 1) {
		q++
	}
	return q
}

// format writes an amount of minor units with its decimal point and thousands
// separated: 1234567 with 2 digits is 12,345.67.
func format(amount int64, digits int) string {
	sign := ""
	if amount < 0 {
		sign, amount = "-", -amount
	}
	text := fmt.Sprintf("%0*d", digits+1, amount)
	whole, fraction := text[:len(text)-digits], text[len(text)-digits:]
	var grouped strings.Builder
	for i, d := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			grouped.WriteByte(',')
		}
		grouped.WriteRune(d)
	}
	if digits == 0 {
		return sign + grouped.String()
	}
	return sign + grouped.String() + "." + fraction
}

// euros writes euro cents.
func euros(cents int64) string { return format(cents, currencies[settlementCurrency].digits) }
