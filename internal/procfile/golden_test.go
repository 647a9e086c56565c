package procfile

import (
	"fmt"
	"strings"
	"testing"

	"serval/internal/testkit"
)

func TestProcfilesAreReadAsTheirGoldenFilesSay(t *testing.T) {
	testkit.Golden(t, "test/procfiles", 30, func(t *testing.T, input string) string {
		var b strings.Builder
		file, found := Parse("Procfile", []byte(input))
		for _, e := range file.Entries {
			fmt.Fprintf(&b, "%s %s: %s\n", file.Place(e), e.Name, describe(e.Command))
		}
		for _, f := range found {
			fmt.Fprintf(&b, "%s: %v\n", f.Level, f)
		}
		return b.String()
	})
}

// describe tells what would be executed in production, with a value for $RACK_ENV only.
func describe(command string) string {
	argv, missing, err := Argv(Unique(command, 1001), func(name string) (string, bool) { return "production", name == "RACK_ENV" })
	if err != nil {
		return err.Error()
	}
	text := fmt.Sprintf("%q", argv)
	if missing != nil {
		text += fmt.Sprintf(", no value for %s", strings.Join(missing, " and "))
	}
	return text
}
