package main

import "slices"

// rivals are the servers that Serval is compared with.
func (o Options) rivals() []string {
	if !slices.Contains(o.Servers, "serval") {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(o.Servers), func(name string) bool { return name == "serval" })
}

// references are the rivals with a column of their own: both versions of Puma, as far as they are there, or the only rival.
func (o Options) references() []string {
	if rivals := o.rivals(); len(rivals) == 1 {
		return rivals
	}
	return slices.DeleteFunc(o.rivals(), func(name string) bool { return name != "puma" && name != "puma8" })
}

// comparisonHead are the titles of the columns that comparison fills.
func (o Options) comparisonHead(best string) []string {
	head := each(o.references(), func(name string) string { return "serval ÷ " + name })
	if len(o.rivals()) > 1 {
		head = append(head, "serval ÷ "+best)
	}
	return head
}

// comparison is Serval's figure divided by those of the references, and by that of the best rival, which it names. A figure of 0 is
// none.
func (o Options) comparison(best func([]float64) float64, of func(server string) float64) []string {
	own := of("serval")
	cells := each(o.references(), func(name string) string { return twoDecimals(ratio(own, of(name))) })
	if len(o.rivals()) < 2 {
		return cells
	}
	measured := slices.DeleteFunc(o.rivals(), func(name string) bool { return of(name) == 0 })
	if len(measured) == 0 {
		return append(cells, twoDecimals(0))
	}
	figures := each(measured, of)
	leader := slices.Index(figures, best(figures))
	return append(cells, twoDecimals(ratio(own, figures[leader]))+" ("+measured[leader]+")")
}

// barGroup is what all servers reach, divided by what Puma does; nothing without Puma.
func (o Options) barGroup(name string, of func(server string) float64, show func(float64) string) barGroup {
	puma := 0.0
	if slices.Contains(o.Servers, "puma") {
		puma = of("puma")
	}
	return barGroup{name, each(o.Servers, func(server string) bar { return bar{ratio(of(server), puma), show(of(server))} })}
}
