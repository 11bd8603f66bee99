package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// A generator makes up a day of the points of sale. The same seed, day and count
// make the same transactions with the same ids.
type generator struct {
	random *rand.Rand
	seed   uint64
	day    time.Time      // its midnight
	cards  []card         // all that are in use on that day
	made   []Transaction  // so far
	serial map[string]int // of each terminal
}

// A card has a home where it is used, and a taste for cheap or dear.
type card struct {
	token     string
	merchants []string // of its home city
	taste     float64  // factor on a merchant's typical sale
}

// generate returns n different transactions of a day, in the order of time: sales
// that follow the hours of shops, three refunds in a hundred, and three frauds in
// a thousand, one of each kind that the rules are about.
func generate(seed uint64, day time.Time, n int) []Transaction {
	g := &generator{random: rand.New(rand.NewPCG(seed, 0xca4d)), seed: seed, day: day, serial: map[string]int{}}
	g.issue(max(8, n/8))
	frauds := []func(c *card){g.burst, g.splurge, g.teleport}
	for len(g.made) < n {
		c := &g.cards[g.random.IntN(len(g.cards))]
		switch dice := g.random.Float64(); {
		case dice < 0.003:
			frauds[g.random.IntN(len(frauds))](c)
		case dice < 0.033 && len(g.made) > 0:
			g.refund()
		default:
			g.sale(c, g.anyOf(c.merchants), g.hour(), 1)
		}
	}
	g.made = g.made[:n] // a burst may have made a few too many
	slices.SortFunc(g.made, func(a, b Transaction) int {
		return cmpOr(a.At.Compare(b.At), strings.Compare(a.ID, b.ID))
	})
	return g.made
}

func cmpOr(first, second int) int {
	if first != 0 {
		return first
	}
	return second
}

// issue makes the cards.
func (g *generator) issue(n int) {
	homes := map[*city][]string{}
	ids := merchantIDs()
	for _, id := range ids {
		homes[merchants[id].city] = append(homes[merchants[id].city], id)
	}
	for i := range n {
		home := merchants[g.anyOf(ids)].city
		g.cards = append(g.cards, card{
			token:     fmt.Sprintf("card-%d-%05d", g.seed, i),
			merchants: homes[home],
			taste:     math.Exp(g.random.NormFloat64() * 0.3),
		})
	}
}

func (g *generator) anyOf(ids []string) string { return ids[g.random.IntN(len(ids))] }

// hour returns a time of the day: most people shop around noon or after work.
func (g *generator) hour() time.Time {
	peak := 12.5
	if g.random.IntN(2) == 0 {
		peak = 17.5
	}
	at := min(22, max(6, peak+g.random.NormFloat64()*2.2))
	return g.day.Add(time.Duration(at * float64(time.Hour))).Truncate(time.Second)
}

// sale makes a sale of about what is usual for the card and the merchant, times
// a factor.
func (g *generator) sale(c *card, where string, at time.Time, factor float64) {
	m := merchants[where]
	euroCents := float64(m.typical) * c.taste * math.Exp(g.random.NormFloat64()*0.4) * factor
	amount := euroCents * million / float64(currencies[m.city.currency].rate)
	g.add(Transaction{
		Kind: Sale, Card: c.token, Merchant: where, Currency: m.city.currency, At: at,
		Amount: min(maxAmount, max(1, int64(amount))),
	})
}

// refund gives back some sale of before, or half of it.
func (g *generator) refund() {
	t := g.made[g.random.IntN(len(g.made))]
	if t.Kind == Refund {
		return
	}
	t.Kind = Refund
	t.At = t.At.Add(time.Duration(10+g.random.IntN(50)) * time.Minute)
	if g.random.IntN(2) == 0 {
		t.Amount = max(1, t.Amount/2)
	}
	g.add(t)
}

// burst uses a stolen card eight times in four minutes.
func (g *generator) burst(c *card) {
	where, at := g.anyOf(c.merchants), g.hour()
	for i := range 8 {
		g.sale(c, where, at.Add(time.Duration(i)*30*time.Second), 0.5)
	}
}

// splurge spends forty times what is usual.
func (g *generator) splurge(c *card) {
	g.sale(c, g.anyOf(c.merchants), g.hour(), 40)
}

// teleport uses a copy of the card at the other end of the world, soon after.
func (g *generator) teleport(c *card) {
	where, at := g.anyOf(c.merchants), g.hour()
	far := where
	for distance(merchants[where].city, merchants[far].city) < 3000 {
		far = g.anyOf(merchantIDs())
	}
	g.sale(c, where, at, 1)
	g.sale(c, far, at.Add(20*time.Minute), 1)
}

// add numbers t by its terminal.
func (g *generator) add(t Transaction) {
	terminal := fmt.Sprintf("%s-t%d", t.Merchant, 1+g.random.IntN(merchants[t.Merchant].terminals))
	g.serial[terminal]++
	t.ID = fmt.Sprintf("%s-%d-%s-%05d", g.day.Format("20060102"), g.seed, terminal, g.serial[terminal])
	g.made = append(g.made, t)
}

// stutter returns the day as terminals send it: two in a hundred do not hear the
// answer, and send again, some at once and some at the end of the day.
func stutter(seed uint64, day []Transaction) []Transaction {
	random := rand.New(rand.NewPCG(seed, 0xd0b1e))
	var sent, late []Transaction
	for i := range day {
		sent = append(sent, day[i])
		switch random.IntN(100) {
		case 0:
			sent = append(sent, day[i])
		case 1:
			late = append(late, day[i])
		}
	}
	return append(sent, late...)
}

// Points of sale talk to a gateway.
type pointsOfSale struct {
	client  *http.Client
	gateway string // URL
}

const (
	terminals = 8 // that send at the same time
	tries     = 5 // of a terminal, for one transaction
)

// send posts transactions to the gateway, several at a time, each until it is
// accepted. It returns the first error, or the context's.
func (p *pointsOfSale) send(ctx context.Context, list []Transaction) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	next := make(chan *Transaction)
	var wg sync.WaitGroup
	for range terminals {
		wg.Go(func() {
			for t := range next {
				if err := p.insist(ctx, t); err != nil {
					fail(err)
				}
			}
		})
	}
	for i := range list {
		if ctx.Err() != nil {
			break
		}
		next <- &list[i]
	}
	close(next)
	wg.Wait()
	return context.Cause(ctx)
}

// insist repeats a transaction until the gateway has taken it. The repetition has
// the same id, so one that was taken before is not a second transaction.
func (p *pointsOfSale) insist(ctx context.Context, t *Transaction) (err error) {
	for try := range tries {
		if err = p.post(ctx, t); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(100 * time.Millisecond << try):
		}
	}
	return fmt.Errorf("transaction %s: %w", t.ID, err)
}

func (p *pointsOfSale) post(ctx context.Context, t *Transaction) error {
	body, err := json.Marshal(t)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.gateway+"/transactions", bytes.NewReader(body))
	if err != nil {
		return err
	}
	answer, err := p.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }() // it was read, or its answer is bad news anyway
	if answer.StatusCode != http.StatusAccepted {
		why, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
		return fmt.Errorf("the gateway answered %s: %s", answer.Status, bytes.TrimSpace(why))
	}
	_, err = io.Copy(io.Discard, answer.Body) // a connection is used again only when its answer was read
	return err
}
