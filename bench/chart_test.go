package main

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
)

func aChart() chart {
	return chart{title: "Requests <per> second & more", note: "as multiples of puma's", servers: []string{"serval", "puma", "iodine"}, groups: []barGroup{
		{"hello, 64", []bar{{2.6, "2,600/s"}, {1, "1,000/s"}, {3.1, "3,100/s"}}},
		{"rails, 64", []bar{{1.2, "12/s"}, {1, "10/s"}, {}}},
	}}
}

// parsed reads the whole of an SVG and returns the widths of its bars and its texts.
func parsed(t *testing.T, svg string) (bars []string, texts string) {
	t.Helper()
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return bars, texts
		}
		if err != nil {
			t.Fatalf("it is not well-formed: %v\n%s", err, svg)
		}
		switch token := token.(type) {
		case xml.CharData:
			texts += string(token) + "|"
		case xml.StartElement:
			if attribute(token, "class") == "bar" {
				bars = append(bars, attribute(token, "width"))
			}
		}
	}
}

func attribute(e xml.StartElement, name string) string {
	i := slices.IndexFunc(e.Attr, func(a xml.Attr) bool { return a.Name.Local == name })
	if i < 0 {
		return ""
	}
	return e.Attr[i].Value
}

func TestAChartIsWellFormedAndHasABarForEachFigure(t *testing.T) {
	bars, texts := parsed(t, aChart().SVG())
	if len(bars) != 5 {
		t.Errorf("it has %d bars, want five", len(bars))
	}
	for _, text := range []string{"Requests <per> second & more", "as multiples of puma's", "iodine", "hello, 64", "2.60 × serval, 2,600/s", "3.10 × iodine, 3,100/s", "1.20 × serval, 12/s", "3.5 ×"} {
		if !strings.Contains(texts, text+"|") {
			t.Errorf("there is no %q in %s", text, texts)
		}
	}
}

func TestABarIsAsLongAsItsRatio(t *testing.T) {
	c := aChart() // its scale ends at 3.5
	one, _ := c.width(1)
	if two, cut := c.width(2); math.Abs(two-2*one) > 0.01 || cut {
		t.Errorf("1 is %.1f and 2 is %.1f pixels long", one, two)
	}
	if all, cut := c.width(3.5); all != chartWidth-barLeft-barRight || cut {
		t.Errorf("the whole scale is %.1f pixels long", all)
	}
}

func TestABarThatIsTooLongIsCutOffAndSaysSo(t *testing.T) {
	c := aChart()
	c.groups[0].bars[2].ratio = 44.9
	all, cut := c.width(44.9)
	if _, texts := parsed(t, c.SVG()); !cut || all != chartWidth-barLeft-barRight || !strings.Contains(texts, "▸ 44.90 × iodine, 3,100/s|") {
		t.Errorf("it is %.1f pixels long, and the texts are %s", all, texts)
	}
	if c.scale() != chartMost {
		t.Errorf("the scale ends at %g", c.scale())
	}
}

func TestEveryPeerHasAColourOfItsOwn(t *testing.T) {
	seen := map[string]string{}
	for _, name := range peerNames() {
		if other := seen[colourOf(name)]; other != "" {
			t.Errorf("%s and %s have the same", name, other)
		}
		seen[colourOf(name)] = name
	}
}
