package cli

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// suggest finds the flag somebody may have meant: one that begins with what was typed, or the one that is nearest by
// letters. One-letter flags are too close to each other to guess.
func suggest(flags *pflag.FlagSet, typed string) string {
	if len(typed) < len("--xx") {
		return ""
	}
	best, least := "", 1+len(typed)/4 // one slip in every four letters, dashes included
	flags.VisitAll(func(f *pflag.Flag) {
		name := "--" + f.Name
		d := distance(typed, name)
		if strings.HasPrefix(name, typed) {
			d = 0
		}
		if !f.Hidden && (d < least || best == "" && d == least) {
			best, least = name, d
		}
	})
	return best
}

// suggestCommand finds the command somebody may have meant by a word that would be the rackup file's name: these end in
// .ru or .rb, or have a path.
func suggestCommand(cmd *cobra.Command, typed string) string {
	if strings.ContainsAny(typed, "./") {
		return ""
	}
	for _, other := range cmd.Commands() {
		if d := distance(typed, other.Name()); d > 0 && d <= 1+len(typed)/4 && d < len(typed)-1 && !other.Hidden {
			return other.Name()
		}
	}
	return ""
}

// distance counts the letters to insert, delete, replace or swap with their neighbour to get from a to b (optimal
// string alignment).
func distance(a, b string) int {
	var before []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next := make([]int, len(b)+1)
		next[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
