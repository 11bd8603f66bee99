package main

import (
	"bytes"
	"fmt"
	"slices"
)

// Sizes of the chart in pixels.
const (
	panelWidth  = 300
	panelHead   = 34
	barHeight   = 18
	labelWidth  = 104
	barsWidth   = 128
	chartMargin = 12
	headHeight  = 76
	lineHeight  = 18
)

// style gives the chart the colours of the page around it, light or dark.
const style = `<style>
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.head { font-weight: 600; font-size: 14px }
.small { fill: #59636e }
.back { fill: #ffffff; stroke: #d1d9e0 }
.bar { fill: #9aa4af }
.ours { fill: #0969da }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc }
  .small { fill: #9198a1 }
  .back { fill: #0d1117; stroke: #3d444d }
  .bar { fill: #656c76 }
  .ours { fill: #4493f8 }
}
</style>
`

var legend = []string{
	"L: latency of a call, H: time of a handler, both in ms; C: handlers at once.",
	"Each panel has its own scale. expert-sdk is the expert's loop on the SDK's default client.",
}

// chart draws messages a second of each peer, a panel for each cell.
func chart(all Results) []byte {
	peers := all.peers(sectionCells)
	slices.Reverse(peers) // ours first
	height := panelHead + barHeight*len(peers) + chartMargin
	var b bytes.Buffer
	w, h := 3*panelWidth+2*chartMargin, headHeight+3*height+chartMargin
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="Messages a second of each consumer">`+"\n", w, h, w, h)
	b.WriteString(style)
	fmt.Fprintf(&b, `<rect class="back" x="0.5" y="0.5" width="%d" height="%d" rx="6"/>`+"\n", w-1, h-1)
	fmt.Fprintf(&b, `<text class="head" x="%d" y="24">Messages a second</text>`+"\n", chartMargin)
	for i, line := range legend { // each on a line of its own, so that no font makes them run into each other
		fmt.Fprintf(&b, `<text class="small" x="%d" y="%d">%s</text>`+"\n", chartMargin, 24+(i+1)*lineHeight, line)
	}
	for i, c := range cells() {
		panel(&b, all, c, peers, chartMargin+i%3*panelWidth, headHeight+i/3*height)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// panel draws one cell with its upper left corner at x, y.
func panel(b *bytes.Buffer, all Results, c Cell, peers []string, x, y int) {
	most := 1.0
	rates := make([]float64, len(peers))
	for i, peer := range peers {
		rates[i] = all.of(sectionCells, c.String(), peer, (*Record).rate).median()
		most = max(most, rates[i])
	}
	fmt.Fprintf(b, `<text class="head" x="%d" y="%d">%s</text>`+"\n", x, y+20, c.title())
	for i, peer := range peers {
		top := y + panelHead + i*barHeight
		class := "bar"
		if peer == "sluice" {
			class = "ours"
		}
		fmt.Fprintf(b, `<text class="small" x="%d" y="%d">%s</text>`, x, top+12, peer)
		fmt.Fprintf(b, `<rect class="%s" x="%d" y="%d" width="%.1f" height="%d" rx="2"/>`, class, x+labelWidth, top+1, max(1, rates[i]/most*barsWidth), barHeight-4)
		fmt.Fprintf(b, `<text x="%.1f" y="%d">%s</text>`+"\n", float64(x+labelWidth+6)+max(1, rates[i]/most*barsWidth), top+12, thousands(rates[i]))
	}
}
