package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// A report is what a business day came to.
type report struct {
	day        string
	merchants  []merchantLine // by id
	currencies []currencyLine // by name
	reviews    map[string]int // suspicious transactions by reason
}

// A merchantLine is one merchant's, in euro cents.
type merchantLine struct {
	id   string
	owed payout // what the batches have added up
	sum  payout // the same from the outcomes, one by one
}

// A currencyLine holds the settlement against the points of sale. Amounts are
// sales less refunds.
type currencyLine struct {
	currency string
	produced tally // by the points of sale
	settled  tally
	review   tally
}

// A tally is a sum of transactions.
type tally struct {
	count  int64
	amount int64 // minor units of their currency
	cents  int64 // euro cents, each transaction rounded
	exact  int64 // millionths of a euro cent, not rounded
}

func (t tally) minus(o tally) tally {
	return tally{t.count - o.count, t.amount - o.amount, t.cents - o.cents, t.exact - o.exact}
}

func (p payout) net() int64 { return p.gross - p.refunds - p.fees }

func (p payout) plus(o payout) payout {
	return payout{p.sales + o.sales, p.gross + o.gross, p.refunds + o.refunds, p.fees + o.fees}
}

// report reads the report of a day.
func (s *store) report(ctx context.Context, day string) (*report, error) {
	r := &report{day: day, reviews: map[string]int{}}
	return r, errors.Join(s.byMerchant(ctx, r), s.byCurrency(ctx, r), s.byReason(ctx, r))
}

func (s *store) byMerchant(ctx context.Context, r *report) error {
	lines := map[string]*merchantLine{}
	line := func(id string) *merchantLine {
		if lines[id] == nil {
			lines[id] = &merchantLine{id: id}
		}
		return lines[id]
	}
	read := func(into func(*merchantLine) *payout) func(*sql.Rows) error {
		return func(rows *sql.Rows) error {
			var id string
			var p payout
			err := rows.Scan(&id, &p.sales, &p.gross, &p.refunds, &p.fees)
			*into(line(id)) = p
			return err
		}
	}
	err := each(ctx, s.db, read(func(l *merchantLine) *payout { return &l.owed }),
		`SELECT merchant, sales, gross, refunds, fees FROM payouts WHERE day = ?`, r.day)
	if err != nil {
		return err
	}
	err = each(ctx, s.db, read(func(l *merchantLine) *payout { return &l.sum }),
		`SELECT merchant, SUM(kind = 'sale'), SUM(iif(kind = 'sale', cents, 0)), SUM(iif(kind = 'refund', cents, 0)), SUM(fee)
		FROM outcomes JOIN staged USING (id) WHERE day = ? AND verdict = 'settled' GROUP BY merchant`, r.day)
	for _, id := range slices.Sorted(maps.Keys(lines)) {
		r.merchants = append(r.merchants, *lines[id])
	}
	return err
}

// The points of sale produced what is in the journal and, where terminals other
// than those of this program send, what was staged besides.
const (
	produced = `SELECT currency, COUNT(*), SUM(iif(kind = 'sale', amount, -amount)), 0, 0 FROM
		(SELECT * FROM journal UNION ALL SELECT * FROM staged WHERE id NOT IN (SELECT id FROM journal))
		WHERE day = ? GROUP BY currency`
	concluded = `SELECT currency, COUNT(*), SUM(iif(kind = 'sale', amount, -amount)), SUM(iif(kind = 'sale', cents, -cents)),
		SUM(iif(kind = 'sale', amount, -amount) * rate)
		FROM outcomes JOIN staged USING (id) WHERE day = ? AND verdict = ? GROUP BY currency`
)

func (s *store) byCurrency(ctx context.Context, r *report) error {
	lines := map[string]*currencyLine{}
	read := func(into func(*currencyLine) *tally) func(*sql.Rows) error {
		return func(rows *sql.Rows) error {
			var currency string
			var t tally
			err := rows.Scan(&currency, &t.count, &t.amount, &t.cents, &t.exact)
			if lines[currency] == nil {
				lines[currency] = &currencyLine{currency: currency}
			}
			*into(lines[currency]) = t
			return err
		}
	}
	err := errors.Join(
		each(ctx, s.db, read(func(l *currencyLine) *tally { return &l.produced }), produced, r.day),
		each(ctx, s.db, read(func(l *currencyLine) *tally { return &l.settled }), concluded, r.day, "settled"),
		each(ctx, s.db, read(func(l *currencyLine) *tally { return &l.review }), concluded, r.day, "review"),
	)
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		r.currencies = append(r.currencies, *lines[name])
	}
	return err
}

func (s *store) byReason(ctx context.Context, r *report) error {
	return each(ctx, s.db, func(rows *sql.Rows) error {
		var reasons string
		var n int
		err := rows.Scan(&reasons, &n)
		r.reviews[reasons] = n
		return err
	}, `SELECT reasons, COUNT(*) FROM review JOIN staged USING (id) WHERE day = ? GROUP BY reasons`, r.day)
}

// missing is what the points of sale produced and nobody has settled or put under
// review.
func (l *currencyLine) missing() tally { return l.produced.minus(l.settled).minus(l.review) }

// total returns what all merchants are owed.
func (r *report) total() (sum payout) {
	for _, l := range r.merchants {
		sum = sum.plus(l.owed)
	}
	return sum
}

// check tells what does not agree, to the last cent; nil: everything does.
func (r *report) check() error {
	var wrong []error
	converted := int64(0)
	for i := range r.currencies {
		l := &r.currencies[i]
		if m := l.missing(); m.count != 0 || m.amount != 0 {
			wrong = append(wrong, fmt.Errorf("%s of %s: %d transactions over %s were produced but neither settled nor put under review",
				l.currency, r.day, m.count, format(m.amount, currencies[l.currency].digits)))
		}
		converted += l.settled.cents
	}
	for _, l := range r.merchants {
		if l.owed != l.sum {
			wrong = append(wrong, fmt.Errorf("%s of %s: the payout says %+v, its transactions %+v", l.id, r.day, l.owed, l.sum))
		}
	}
	if t := r.total(); t.gross-t.refunds != converted {
		wrong = append(wrong, fmt.Errorf("%s: merchants have %s, currencies come to %s", r.day, euros(t.gross-t.refunds), euros(converted)))
	}
	return errors.Join(wrong...)
}

// write prints the report.
func (r *report) write(w io.Writer) {
	printf(w, "\nSettlement of %s, in %s\n\n", r.day, settlementCurrency)
	r.writeMerchants(w)
	printf(w, "\nHeld against the points of sale: sales less refunds, in the currencies' own units\n\n")
	r.writeCurrencies(w)
	printf(w, "\nConverted to %s\n\n", settlementCurrency)
	r.writeConversion(w)
	printf(w, "\n")
	for _, reasons := range slices.Sorted(maps.Keys(r.reviews)) {
		printf(w, "under review: %d for %s\n", r.reviews[reasons], reasons)
	}
	if err := r.check(); err != nil {
		printf(w, "NOT RECONCILED:\n%v\n", err)
		return
	}
	printf(w, "reconciled: every transaction is settled or under review, every sum agrees to the cent\n")
}

// table returns a writer that aligns columns to the right, and what writes a row.
func table(w io.Writer) (row func(cells ...string), flush func()) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	return func(cells ...string) { printf(t, "%s\t\n", strings.Join(cells, "\t")) }, func() { _ = t.Flush() }
}

func (r *report) writeMerchants(w io.Writer) {
	row, flush := table(w)
	defer flush()
	line := func(name, place string, p payout) {
		row(name, place, format(p.sales, 0), euros(p.gross), euros(p.refunds), euros(p.fees), euros(p.net()))
	}
	row("merchant", "city", "sales", "gross", "refunds", "fees", "net")
	for _, l := range r.merchants {
		m := merchants[l.id]
		line(m.name, m.city.name, l.owed)
	}
	line("total", "", r.total())
}

func (r *report) writeCurrencies(w io.Writer) {
	row, flush := table(w)
	defer flush()
	row("", "transactions", "produced", "settled", "under review", "difference")
	for i := range r.currencies {
		l := &r.currencies[i]
		amount := func(t tally) string { return format(t.amount, currencies[l.currency].digits) }
		row(l.currency, format(l.produced.count, 0), amount(l.produced), amount(l.settled), amount(l.review), amount(l.missing()))
	}
}

// millionths of a cent have so many digits behind the point of a euro.
const exactDigits = 8

func (r *report) writeConversion(w io.Writer) {
	row, flush := table(w)
	defer flush()
	row("", "rate", "settled", "exactly", "converted", "rounding")
	var sum tally
	for i := range r.currencies {
		l := &r.currencies[i]
		c := currencies[l.currency]
		t := l.settled
		row(l.currency, format(c.rate, 6), format(t.amount, c.digits), format(t.exact, exactDigits), euros(t.cents), format(t.cents*million-t.exact, exactDigits))
		sum.cents += t.cents
		sum.exact += t.exact
	}
	row("total", "", "", format(sum.exact, exactDigits), euros(sum.cents), format(sum.cents*million-sum.exact, exactDigits))
}
