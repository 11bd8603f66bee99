package main

import (
	"bytes"
	_ "embed"
	"encoding/xml"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

//go:embed plot.svg.tmpl
var pictureText string

var pictureTemplate = template.Must(template.New("plot.svg.tmpl").Funcs(template.FuncMap{"xml": escape}).Parse(pictureText))

// A picture is a plot in the units of the SVG, in which the picture is 480 wide. On a
// phone a unit is a bit less than a pixel of CSS. Names and amounts stand above their
// bars, and a name is cut off where its amount may begin: whatever the font, no text
// meets another one.
type picture struct {
	Days, Text string // Text says in words what the picture shows
	Height     int
	Payouts    []pictureBar
	Zero       float64 // x of the lines at zero; 0: no amount is below zero
	Batches    int     // y of their chart
	About      string
	Most       string // messages of the highest column
	From, To   string // times
	Axis       string
	Blocks     []block
}

// A pictureBar is a merchant's.
type pictureBar struct {
	Y                  int
	Full, Name, Amount string
	NameWidth          float64 // that is free beside the amount
	X, Width           float64
	Below              bool // the amount is below zero
}

// A block is one batch, or all batches of a slice where one would be too thin.
type block struct {
	X, Y, Width, Height float64
	Title               string
}

const (
	pictureLeft  = 16.0
	pictureWidth = 448.0 // between the margins
	pictureTop   = 136   // where the first merchant is
	pictureRow   = 40    // of a merchant
	chartHeight  = 140.0
	chartSlices  = 40
)

// picture computes where everything is.
func (p *plot) picture() *picture {
	v := &picture{Days: p.days}
	v.Batches = v.addPayouts(p.payouts) + 32
	v.addBatches(p)
	v.Height = v.Batches + 290
	v.Text = fmt.Sprintf("Settled for each merchant: %s. Settled over time: %s.", p.words(), v.About)
	return v
}

// words says what was settled for each merchant.
func (p *plot) words() string {
	if len(p.payouts) == 0 {
		return "nothing"
	}
	var all []string
	for _, b := range p.payouts {
		all = append(all, b.name+" "+euros(b.cents)+" "+settlementCurrency)
	}
	return strings.Join(all, ", ")
}

// addPayouts adds the bars of the merchants and returns the y below them.
func (v *picture) addPayouts(payouts []payoutBar) int {
	const digit = 10.0 // at most, of a font
	const letter = 8.5 // of most names
	least, most := 0.0, 0.0
	for _, b := range payouts {
		least, most = min(least, float64(b.cents)), max(most, float64(b.cents))
	}
	unit := pictureWidth / max(1, most-least)
	zero := pictureLeft - least*unit
	if least < 0 {
		v.Zero = zero
	}
	for i, b := range payouts {
		width := math.Abs(float64(b.cents)) * unit
		if b.cents != 0 {
			width = max(1, width)
		}
		bar := pictureBar{Y: pictureTop + i*pictureRow, Full: b.name, Amount: euros(b.cents), X: zero, Width: width, Below: b.cents < 0}
		if bar.Below {
			bar.X -= width
		}
		bar.NameWidth = pictureWidth - digit*float64(len(bar.Amount)+1)
		bar.Name = shorten(b.name, int(bar.NameWidth/letter))
		v.Payouts = append(v.Payouts, bar)
	}
	return pictureTop + max(1, len(payouts))*pictureRow
}

// addBatches adds a column for each slice of the time, of a block for each batch.
func (v *picture) addBatches(p *plot) {
	parts := p.slices(chartSlices)
	v.About = p.about()
	if len(parts) == 0 {
		return
	}
	most := highest(parts)
	first, last := p.span()
	v.Most, v.From, v.Axis = counted(most, "message", "messages"), elapsed(first), p.axis(parts)
	if first != last {
		v.To = elapsed(last)
	}
	step := pictureWidth / float64(max(len(parts), 2)) // one batch alone does not last for all the time
	for i, s := range parts {
		v.addColumn(pictureLeft+float64(i)*step, step-2, s, float64(most))
	}
}

// addColumn piles up the batches of a slice.
func (v *picture) addColumn(x, width float64, s slice, most float64) {
	const thin, gap = 4.0, 1.0
	sizes := s.sizes
	if chartHeight*float64(s.messages)/most < thin*float64(len(sizes)) {
		sizes = []int{s.messages}
	}
	foot := chartHeight
	for _, size := range sizes {
		height := chartHeight * float64(size) / most
		v.Blocks = append(v.Blocks, block{
			X: x, Y: foot - height, Width: width, Height: max(gap, height-gap),
			Title: counted(len(s.sizes), "batch", "batches") + ", " + counted(s.messages, "message", "messages"),
		})
		foot -= height
	}
}

// svg returns the plot as a picture that needs nothing beside it.
func (p *plot) svg() ([]byte, error) {
	var out bytes.Buffer
	err := pictureTemplate.Execute(&out, p.picture())
	return out.Bytes(), err
}

// escape writes text for XML, within an element or an attribute.
func escape(text string) string {
	var out strings.Builder
	_ = xml.EscapeText(&out, []byte(text)) // a builder takes everything
	return out.String()
}

// writeFile writes the picture into a file, whole or not at all: a picture of
// yesterday is not lost to a disk that is full.
func (p *plot) writeFile(name string) (err error) {
	text, err := p.svg()
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name()) // what matters is in err
		}
	}()
	_, err = file.Write(text)
	if err == nil {
		err = file.Chmod(0o644) // of a temporary file only its owner would read it
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return os.Rename(file.Name(), name)
}
