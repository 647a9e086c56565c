package main

import "strings"

// table is a table in Markdown.
type table struct {
	title string
	notes []string // paragraphs between the title and the table
	head  []string
	rows  [][]string
}

func (t table) String() string {
	var b strings.Builder
	b.WriteString("## " + t.title + "\n\n")
	for _, note := range t.notes {
		b.WriteString(note + "\n\n")
	}
	writeRow(&b, t.head)
	b.WriteString("|---" + strings.Repeat("|---:", len(t.head)-1) + "|\n")
	for _, row := range t.rows {
		writeRow(&b, row)
	}
	return b.String()
}

func writeRow(b *strings.Builder, cells []string) {
	b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}
