package sequence

import (
	"fmt"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ParseSignal reads a signal's name: "usr2", "USR2", "SIGUSR2" or ":usr2", as Ruby writes symbols. Numbers are refused,
// because in a sequence they are seconds.
func ParseSignal(word string) (syscall.Signal, error) {
	name := strings.ToUpper(strings.TrimPrefix(strings.TrimSpace(word), ":"))
	name = strings.TrimPrefix(name, "SIG")
	switch {
	case name == "":
		return 0, fmt.Errorf("a signal's name is missing: write one, such as term")
	case isNumber(name):
		return 0, fmt.Errorf("%q is a number where a signal's name belongs: write %s", word, numbered(name))
	}
	if signal := unix.SignalNum("SIG" + name); signal != 0 {
		return signal, nil
	}
	return 0, fmt.Errorf("%q is no signal: write one such as term, quit, int, hup, usr1, usr2, ttin, tstp or kill", word)
}

// Name is a signal's name as the manifest has it: "usr2".
func Name(signal syscall.Signal) string {
	return strings.ToLower(strings.TrimPrefix(unix.SignalName(signal), "SIG"))
}

func isNumber(word string) bool { return strings.Trim(word, "0123456789") == "" }

// numbered names the signal that has a number, for the sentence about it.
func numbered(number string) string {
	n := 0
	if _, err := fmt.Sscan(number, &n); err == nil && n > 0 {
		if name := Name(syscall.Signal(n)); name != "" {
			return name
		}
	}
	return "one such as term"
}
