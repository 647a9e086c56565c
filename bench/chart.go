package main

import (
	"encoding/xml"
	"fmt"
	"math"
	"slices"
	"strings"
)

// chart is a picture of ratios: for each group a bar for each server.
type chart struct {
	name    string // added to that of the report's files; empty: none
	title   string
	note    string
	servers []string
	groups  []barGroup
}

// barGroup is what is compared with each other.
type barGroup struct {
	name string
	bars []bar // in the order of the servers
}

// bar is one server's figure.
type bar struct {
	ratio float64 // 0: it has none
	text  string  // the figure with its unit
}

// Sizes in pixels.
const (
	chartWidth  = 900
	chartTop    = 106
	chartBottom = 16
	barLeft     = 130 // room for the groups' names
	barRight    = 220 // room for what is written behind a bar
	barHeight   = 15
	groupGap    = 14
	keyWidth    = 76  // of a name in the legend
	chartMost   = 5.0 // a longer bar is cut off, and shows it
)

// chartStyle draws light where the reader's screen is light, and dark where it is dark.
const chartStyle = `<style>
.paper { fill: #fff } text { fill: #1f2328 } .quiet { fill: #59636e } .line { stroke: #d1d9e0 } .one { stroke: #1f2328 }
.figure { paint-order: stroke; stroke: #fff; stroke-width: 3px }
@media (prefers-color-scheme: dark) {
.paper { fill: #0d1117 } text { fill: #f0f6fc } .quiet { fill: #9198a1 } .line { stroke: #3d444d } .one { stroke: #f0f6fc } .figure { stroke: #0d1117 }
}
</style>
`

// colours are those of the peers, in their order: all can be told from white and from black.
var colours = []string{"#e8590c", "#3b82f6", "#8b98a9", "#22b8cf", "#2f9e44", "#94b816", "#b08418", "#d6457c", "#9955e8", "#0e9384"}

func colourOf(server string) string { return colours[slices.Index(peerNames(), server)%len(colours)] }

// scale is the greatest ratio that is drawn in full.
func (c chart) scale() float64 {
	most := 1.0
	for _, g := range c.groups {
		for _, b := range g.bars {
			most = max(most, b.ratio)
		}
	}
	return min(math.Ceil(most*2)/2, chartMost)
}

// width is how long a bar is, and whether it is cut off.
func (c chart) width(ratio float64) (pixels float64, cut bool) {
	scale := c.scale()
	return min(ratio, scale) / scale * (chartWidth - barLeft - barRight), ratio > scale
}

// SVG draws the chart.
func (c chart) SVG() string {
	var bars strings.Builder
	y := chartTop
	for _, g := range c.groups {
		y = c.drawGroup(&bars, y, g) + groupGap
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="sans-serif" font-size="11">`+"\n", chartWidth, y+chartBottom)
	fmt.Fprintf(&b, "%s"+`<rect class="paper" width="%d" height="%d"/>`+"\n", chartStyle, chartWidth, y+chartBottom)
	fmt.Fprintf(&b, `<text x="%d" y="24" font-size="17" font-weight="bold">%s</text>`+"\n", barLeft, escaped(c.title))
	fmt.Fprintf(&b, `<text class="quiet" x="%d" y="44">%s</text>`+"\n", barLeft, escaped(c.note))
	c.drawLegend(&b)
	c.drawScale(&b, y)
	b.WriteString(bars.String() + "</svg>\n")
	return b.String()
}

// drawLegend names the colours.
func (c chart) drawLegend(b *strings.Builder) {
	perLine := (chartWidth - barLeft) / keyWidth
	for i, server := range c.servers {
		x, y := barLeft+i%perLine*keyWidth, 54+i/perLine*16
		fmt.Fprintf(b, `<rect class="key" x="%d" y="%d" width="10" height="10" fill="%s"/><text x="%d" y="%d">%s</text>`+"\n", x, y, colourOf(server), x+14, y+9, escaped(server))
	}
}

// drawScale draws a line at each half, and one that stands out at Puma's 1.
func (c chart) drawScale(b *strings.Builder, bottom int) {
	for value := 0.0; value <= c.scale(); value += 0.5 {
		pixels, _ := c.width(value)
		class := "line"
		if value == 1 {
			class = "one"
		}
		fmt.Fprintf(b, `<line class="%s" x1="%.1f" y1="%d" x2="%.1[2]f" y2="%[4]d"/>`+"\n", class, barLeft+pixels, chartTop-6, bottom)
		fmt.Fprintf(b, `<text class="quiet" x="%.1f" y="%d" text-anchor="middle">%g ×</text>`+"\n", barLeft+pixels, chartTop-12, value)
	}
}

// drawGroup draws the bars of one group from top on, with its name before them, and returns where they end.
func (c chart) drawGroup(b *strings.Builder, top int, g barGroup) int {
	y := top
	for i, figure := range g.bars {
		if figure.ratio > 0 {
			c.drawBar(b, y, c.servers[i], figure)
			y += barHeight
		}
	}
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end" font-weight="bold">%s</text>`+"\n", barLeft-8, (top+y)/2+4, escaped(g.name))
	return max(y, top+barHeight)
}

// drawBar draws the bar of one server and writes its figures behind it.
func (c chart) drawBar(b *strings.Builder, y int, server string, figure bar) {
	pixels, cut := c.width(figure.ratio)
	more, weight := "", "normal"
	if cut {
		more = "▸ "
	}
	if server == "serval" {
		weight = "bold"
	}
	fmt.Fprintf(b, `<rect class="bar" x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n", barLeft, y+1, pixels, barHeight-2, colourOf(server))
	fmt.Fprintf(b, `<text class="figure" x="%.1f" y="%d" font-weight="%s">%s%s × %s, %s</text>`+"\n", barLeft+pixels+5, y+barHeight-4, weight, more, twoDecimals(figure.ratio), escaped(server), escaped(figure.text))
}

func escaped(text string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(text)) //nolint:errcheck // a Builder takes everything
	return b.String()
}
