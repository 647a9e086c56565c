package finding

import "strings"

// Nearly reports whether two words are the same but for two letters at most, dashes or case.
func Nearly(typed, name string) bool {
	typed = strings.ReplaceAll(strings.ToLower(typed), "-", "_")
	if len(typed) < 4 || len(name)-len(typed) > 2 || len(typed)-len(name) > 2 {
		return false
	}
	return distance(typed, name) <= min(2, len(name)/4)
}

// distance counts the letters to insert, delete or replace to get from a to b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
