package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"
)

// A plot shows a business day as two charts: what was settled for each merchant, and
// when the batches were settled. It can be written as text and, by svg.go, as a picture.
type plot struct {
	days    string
	payouts []payoutBar // the largest first
	batches []batchBar  // in the order of time
}

// A payoutBar is what was settled for a merchant, in euro cents: below zero if there were more
// refunds than sales.
type payoutBar struct {
	name  string
	cents int64
}

// A batchBar is a batch.
type batchBar struct {
	at   time.Duration // since the day began
	size int           // messages
}

// newPlot makes the plot of the days that were settled together, in batches, by a run
// that began then.
func newPlot(reports []*report, batches []batchRecord, began time.Time) *plot {
	p := &plot{days: reportedDays(reports)}
	net := map[string]int64{}
	for _, r := range reports {
		for _, l := range r.merchants {
			net[merchants[l.id].name] += l.owed.net()
		}
	}
	for name, cents := range net {
		p.payouts = append(p.payouts, payoutBar{name, cents})
	}
	slices.SortFunc(p.payouts, func(a, b payoutBar) int {
		return cmpOr(cmp.Compare(b.cents, a.cents), strings.Compare(a.name, b.name))
	})
	for _, b := range batches {
		p.batches = append(p.batches, batchBar{b.began.Sub(began), b.size})
	}
	return p
}

// reportedDays says which days those are: several if an earlier run was stopped, and
// this one has settled its days too.
func reportedDays(reports []*report) string {
	switch n := len(reports); n {
	case 0:
		return "no day"
	case 1:
		return reports[0].day
	default:
		return fmt.Sprintf("%d business days, %s to %s", n, reports[0].day, reports[n-1].day)
	}
}

// A slice is a part of the time of the batches. All slices of a plot are equally long.
type slice struct {
	sizes    []int // of its batches
	messages int
}

// slices cuts the time from the first batch to the last one into as many slices as
// there are batches for, two to a slice, and not more than most.
func (p *plot) slices(most int) []slice {
	if len(p.batches) == 0 {
		return nil
	}
	first, last := p.span()
	parts := make([]slice, min(most, (len(p.batches)+1)/2))
	for _, b := range p.batches {
		part := 0
		if last > first {
			part = int(float64(b.at-first) / float64(last-first) * float64(len(parts)))
		}
		s := &parts[min(part, len(parts)-1)]
		s.sizes = append(s.sizes, b.size)
		s.messages += b.size
	}
	return parts
}

// span returns when the first and the last batch began.
func (p *plot) span() (first, last time.Duration) {
	if len(p.batches) == 0 {
		return 0, 0
	}
	return p.batches[0].at, p.batches[len(p.batches)-1].at
}

// highest returns the most messages of a slice, at least 1.
func highest(parts []slice) int {
	most := 1
	for _, s := range parts {
		most = max(most, s.messages)
	}
	return most
}

// about says how many batches there are.
func (p *plot) about() string {
	if len(p.batches) == 0 {
		return "no batch"
	}
	return fmt.Sprintf("%s with %s", counted(len(p.batches), "batch", "batches"), counted(p.messages(), "message", "messages"))
}

// axis says what the axis of the time is.
func (p *plot) axis(parts []slice) string {
	first, last := p.span()
	text := "after the day began"
	if last > first {
		text += "; a column is " + elapsed((last-first)/time.Duration(len(parts)))
	}
	return text
}

func (p *plot) messages() (sum int) {
	for _, b := range p.batches {
		sum += b.size
	}
	return sum
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return format(int64(n), 0) + " " + many
}

// elapsed writes a time of the plot as a person says it.
func elapsed(d time.Duration) string {
	switch {
	case d > 0 && d < time.Second:
		return fmt.Sprintf("%.3g ms", float64(d)/float64(time.Millisecond))
	case d < 100*time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	default:
		return d.Round(time.Second).String()
	}
}

// screen is the width, in columns, of a terminal that everybody has.
const screen = 80

// writeText prints the plot with the blocks of Unicode, at most 80 columns wide.
func (p *plot) writeText(w io.Writer) {
	printf(w, "\nSettled for each merchant, in %s, net of refunds and fees\n\n", settlementCurrency)
	p.writePayouts(w)
	parts := p.slices(maxSlices)
	printf(w, "\nSettled over time: %s\n", p.about())
	p.writeBatches(w, parts)
}

// writePayouts prints a bar for each merchant, to the right of zero or, below zero, to
// the left of it.
func (p *plot) writePayouts(w io.Writer) {
	const longest = 22 // of a name
	if len(p.payouts) == 0 {
		printf(w, "  nothing was settled\n")
		return
	}
	names, numbers := 0, 0
	least, most := int64(0), int64(0)
	for _, b := range p.payouts {
		names = max(names, len([]rune(shorten(b.name, longest))))
		numbers = max(numbers, len(euros(b.cents)))
		least, most = min(least, b.cents), max(most, b.cents)
	}
	scale := newScale(least, most, screen-names-numbers-len("      "))
	for _, b := range p.payouts {
		printf(w, "  %*s  %s  %*s\n", names, shorten(b.name, longest), scale.bar(b.cents), numbers, euros(b.cents))
	}
}

// A scale is how bars are drawn on both sides of zero.
type scale struct {
	left, right int     // columns on either side of zero
	column      float64 // what a column is worth
}

// newScale divides a width between amounts below and above zero.
func newScale(least, most int64, width int) scale {
	below, above := -float64(least), float64(most)
	if below+above == 0 {
		return scale{right: width, column: 1}
	}
	var s scale
	if below > 0 {
		width-- // for the line at zero
		s.left = min(width-1, max(1, int(math.Ceil(float64(width)*below/(below+above)))))
	}
	s.right = width - s.left
	s.column = above / float64(s.right)
	if below > 0 {
		s.column = max(s.column, below/float64(s.left))
	}
	return s
}

// bar draws an amount. What is not zero can be seen.
func (s scale) bar(amount int64) string {
	right := pad(bar(float64(amount)/s.column), s.right)
	if s.left == 0 {
		return right
	}
	left := ""
	if amount < 0 {
		n := max(1, int(math.Round(-float64(amount)/s.column)))
		left = strings.Repeat("▒", min(s.left, n))
	}
	return strings.Repeat(" ", s.left-len([]rune(left))) + left + "│" + right
}

// bar draws so many columns, to an eighth of a column; at least one eighth of what is
// above zero.
func bar(length float64) string {
	if length <= 0 {
		return ""
	}
	eighths := max(1, int(math.Round(length*8)))
	text := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		text += string([]rune("▏▎▍▌▋▊▉")[rest-1])
	}
	return text
}

// pad fills text up to a width, which padding by printf would do as well, and cuts what
// rounding has made too long.
func pad(text string, width int) string {
	runes := []rune(text)
	return string(runes[:min(len(runes), width)]) + strings.Repeat(" ", max(0, width-len(runes)))
}

const (
	maxSlices = 60 // of the time, in a terminal
	rows      = 6  // of the chart of the batches
)

// writeBatches prints a column for each slice of the time.
func (p *plot) writeBatches(w io.Writer, parts []slice) {
	if len(parts) == 0 {
		return
	}
	printf(w, "\n")
	most := highest(parts)
	label := format(int64(most), 0)
	wide := min(6, max(1, maxSlices/len(parts)))
	for row := rows; row > 0; row-- {
		axis := pad("", len(label)) + " │"
		if row == rows {
			axis = label + " ┤"
		}
		var line strings.Builder
		for _, s := range parts {
			line.WriteString(column(float64(s.messages)/float64(most)*rows-float64(row-1), wide))
		}
		printf(w, "  %s%s\n", axis, strings.TrimRight(line.String(), " "))
	}
	printf(w, "  %*s └%s\n", len(label), "0", strings.Repeat("─", wide*len(parts)))
	first, last := p.span()
	times := elapsed(last)
	if first != last {
		times = elapsed(first) + " to " + times
	}
	printf(w, "  %*s  %s %s\n", len(label), "", times, p.axis(parts))
}

// column draws one row of a column that is so high above the foot of the row, and wide
// columns of text wide. Wide ones have a gap between them.
func column(high float64, wide int) string {
	block := " "
	if eighths := min(8, int(math.Round(high*8))); eighths > 0 {
		block = string([]rune("▁▂▃▄▅▆▇█")[eighths-1])
	}
	gap := 0
	if wide > 2 {
		gap = 1
	}
	return strings.Repeat(block, wide-gap) + strings.Repeat(" ", gap)
}

// shorten cuts text to so many characters, the last of which then is an ellipsis.
// What is no character to print, such as the beginning of an escape sequence of a
// terminal, becomes a question mark.
func shorten(text string, most int) string {
	runes := []rune(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, text))
	if len(runes) <= most {
		return string(runes)
	}
	return string(runes[:most-1]) + "…"
}
