package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"serval/internal/config"
)

// addFlags defines a flag for every setting. What is given on the command line is collected in its order, since later
// flags win over earlier ones.
func addFlags(flags *pflag.FlagSet, given *[]config.Arg) {
	flags.SortFlags = false
	for _, s := range config.Settings {
		f := flags.VarPF(&argValue{s, given}, s.Name, s.Short, s.Help)
		f.NoOptDefVal = s.Bare()
		f.Hidden = s.Help == ""
		if s.Arg == "" {
			f.NoOptDefVal = switchedOn
		}
	}
	flags.BoolP("help", "h", false, "show this help")
	flags.BoolP("version", "V", false, "show the version")
}

// joinValues makes one word of a flag and its value where the flag may do without one and the next word can only be it: Puma
// takes -f 500, and -f500 as well. Flags of the server alone are meant, others may share a letter. The result is never nil, which cobra would take
// as a wish for os.Args.
func joinValues(root *cobra.Command, args []string) []string {
	joined := []string{}
	if command, _, err := root.Find(args); err != nil || command != root && command.Name() != "config" {
		return append(joined, args...)
	}
	for i := 0; i < len(args); i++ {
		attached, _ := strings.CutPrefix(args[i], "-f")
		switch {
		case args[i] == "--":
			return append(joined, args[i:]...)
		case attached != args[i] && isValue("-f", attached):
			joined = append(joined, "-f="+attached)
		case i+1 < len(args) && isValue(args[i], args[i+1]):
			joined = append(joined, args[i]+"="+args[i+1])
			i++
		default:
			joined = append(joined, args[i])
		}
	}
	return joined
}

// isValue says whether a word after a flag is its value, and no rackup file.
func isValue(flag, word string) bool {
	switch flag {
	case "-f", "--fork-worker":
		_, err := strconv.Atoi(word)
		return err == nil
	case "--bind-to-activated-sockets":
		return word == "only" || word == "true" || word == "false"
	}
	return false
}

// switchedOn is what pflag hands over for a flag without a value.
const switchedOn = "true"

// argValue takes the values of one flag.
type argValue struct {
	setting config.Setting
	given   *[]config.Arg
}

func (v *argValue) Set(value string) error {
	if v.setting.Arg == "" && value != switchedOn {
		return usagef("--%s takes no value, and was given %q: leave it out", v.setting.Name, value)
	}
	*v.given = append(*v.given, config.Arg{Name: v.setting.Name, Value: value})
	return nil
}

func (v *argValue) String() string { return "" }

func (v *argValue) Type() string { return v.setting.Arg }

// flagError puts what pflag found into our words.
func flagError(flags *pflag.FlagSet, err error) error {
	var unknown *pflag.NotExistError
	var valueless *pflag.ValueRequiredError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown):
		name := dashed(unknown.GetSpecifiedName())
		if other := suggest(flags, name); other != "" {
			return usagef("unknown flag %s: did you mean %s? See serval --help", name, other)
		}
		return usagef("unknown flag %s. See serval --help", name)
	case errors.As(err, &valueless):
		f := valueless.GetFlag()
		return usagef("%s needs a value: write %[1]s %s. See serval --help", dashed(valueless.GetSpecifiedName()), f.Value.Type())
	case errors.As(err, &invalid):
		return usageError{invalid.Unwrap()}
	}
	return usagef("%v. See serval --help", err)
}

func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

func quoted(words []string) string {
	q := make([]string, len(words))
	for i, w := range words {
		q[i] = fmt.Sprintf("%q", w)
	}
	return strings.Join(q, ", ")
}
