package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// evenly returns batches at equal distances in time.
func evenly(n int, apart time.Duration, size int) (batches []batchBar) {
	for i := range n {
		batches = append(batches, batchBar{time.Second + time.Duration(i)*apart, size})
	}
	return batches
}

// plots are days of every kind.
func plots() []*plot {
	of := func(name string, payouts []payoutBar, batches []batchBar) *plot {
		return &plot{days: name, payouts: payouts, batches: batches}
	}
	return []*plot{
		of("no transactions", nil, nil),
		of("one merchant", []payoutBar{{"Kiez Grocery", 12_34}}, evenly(1, 0, 1)),
		of("nothing but one that is under review", nil, evenly(1, 0, 1)),
		of("an amount of zero", []payoutBar{{"Kiez Grocery", 0}}, evenly(2, 0, 250)),
		of("names", []payoutBar{
			{strings.Repeat("W", 200), 500_00}, {`Fish & "Chips" <Ltd>`, 400_00}, {"Zażółć gęślą jaźń spółka akcyjna", 300_00}, {"\x1b[31mred\x00\n", 200_00}, {"", 100_00},
		}, evenly(3, time.Second, 250)),
		of("huge amounts", []payoutBar{{"All", math.MaxInt64}, {"Some", math.MaxInt64 / 3}, {"A cent", 1}, {"Debt", -math.MaxInt64}}, evenly(4000, time.Minute, 10_000)),
		of("more refunds than sales", []payoutBar{{"Shop", 300_00}, {"Returns", -100_00}, {"A cent", -1}}, evenly(9, time.Millisecond, 250)),
		of("refunds only", []payoutBar{{"A cent", -1}, {"Returns", -100_00}}, append(evenly(20, 10*time.Millisecond, 250), batchBar{3 * time.Second, 1})),
	}
}

func TestPlotsAsText(t *testing.T) {
	var out bytes.Buffer
	for _, p := range plots() {
		printf(&out, "==== %s\n", p.days)
		p.writeText(&out)
	}
	golden(t, "plots.golden", out.String())
	for line := range strings.SplitSeq(out.String(), "\n") {
		require.LessOrEqual(t, len([]rune(line)), screen, line)
		require.NotContains(t, line, "\x1b")
		require.Equal(t, strings.TrimRight(line, " "), line)
	}
}

func TestPlotsAsPictures(t *testing.T) {
	for _, p := range plots() {
		t.Run(p.days, func(t *testing.T) {
			text, err := p.svg()
			require.NoError(t, err)
			checkPicture(t, string(text))
			require.Contains(t, string(text), "<title id=\"day-title\">Settlement of "+escape(p.days)+"</title>")
			require.Contains(t, string(text), "<desc id=\"day-text\">Settled for each merchant: ")
			for _, b := range p.payouts {
				require.Contains(t, string(text), euros(b.cents))
			}
		})
	}
	text, err := plots()[6].svg()
	require.NoError(t, err)
	golden(t, "plot.svg", string(text))
}

// checkPicture checks that a picture is XML without anything that is loaded from
// elsewhere, and that each bar is within it.
func checkPicture(t *testing.T, text string) {
	t.Helper()
	require.NotContains(t, text, "NaN")
	require.NotContains(t, text, "Inf")
	require.NotContains(t, strings.ReplaceAll(text, "http://www.w3.org/2000/svg", ""), "http")
	decoder := xml.NewDecoder(strings.NewReader(text))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "rect" {
			checkBar(t, start)
		}
	}
}

func checkBar(t *testing.T, rect xml.StartElement) {
	t.Helper()
	number := map[string]float64{}
	for _, a := range rect.Attr {
		if n, err := strconv.ParseFloat(a.Value, 64); err == nil {
			number[a.Name.Local] = n
		}
	}
	text := fmt.Sprint(rect.Attr)
	require.GreaterOrEqual(t, number["x"], 0.0, text)
	require.GreaterOrEqual(t, number["y"], 0.0, text)
	require.GreaterOrEqual(t, number["width"], 0.0, text)
	require.Positive(t, number["height"], text)
	require.LessOrEqual(t, number["x"]+number["width"], 480.0, text)
}

func TestEachBatchIsInOneSlice(t *testing.T) {
	for _, p := range plots() {
		batches, messages := 0, 0
		parts := p.slices(maxSlices)
		require.LessOrEqual(t, len(parts), maxSlices)
		for _, s := range parts {
			batches += len(s.sizes)
			messages += s.messages
		}
		require.Equal(t, len(p.batches), batches, p.days)
		require.Equal(t, p.messages(), messages, p.days)
	}
}

func TestBarsAreInProportion(t *testing.T) {
	s := newScale(0, 80, 10)
	require.Equal(t, "██████████", s.bar(80))
	require.Equal(t, "█████     ", s.bar(40))
	require.Equal(t, "▏         ", s.bar(1))
	require.Equal(t, "          ", s.bar(0))
	s = newScale(-40, 80, 13)
	require.Equal(t, "    │████████", s.bar(80))
	require.Equal(t, "▒▒▒▒│        ", s.bar(-40))
	require.Equal(t, "   ▒│        ", s.bar(-1))
}

// A run that was stopped is settled with the day of the next one: one plot for both.
func TestAPlotOfTwoDaysAddsThemUp(t *testing.T) {
	day := func(day string, net int64) *report {
		return &report{day: day, merchants: []merchantLine{{id: "m01", owed: payout{gross: net + 3, refunds: 2, fees: 1}}}}
	}
	p := newPlot([]*report{day("2026-03-13", 100), day("2026-03-14", 50)}, []batchRecord{{noon.Add(time.Second), 7}}, noon)
	require.Equal(t, &plot{
		days:    "2 business days, 2026-03-13 to 2026-03-14",
		payouts: []payoutBar{{"Kiez Grocery", 150}}, batches: []batchBar{{time.Second, 7}},
	}, p)
}
