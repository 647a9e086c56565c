package main

import (
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// fact is a line of the description of the machine.
type fact struct{ name, value string }

// inspect asks the machine and the programs for their versions. What is not there is left out.
func inspect(o Options) []fact {
	facts := each(o.Servers, func(name string) fact { return fact{name, versionOf(peerNamed(name), o)} })
	facts = append(facts,
		fact{"left out", strings.Join(o.leftOut(), ", ")},
		fact{"commit", commit()},
		fact{"ruby", version("ruby", "--version")},
		fact{"rack", firstLine("ruby", "-e", `require "rack"; print Rack.release`)},
		fact{"wrk", version("wrk", "--version")},
		fact{"go", strings.TrimPrefix(runtime.Version(), "go")},
		fact{"kernel", firstLine("uname", "-sr")},
		fact{"CPU", cpuModel(read("/proc/cpuinfo"))},
		fact{"cores", strconv.Itoa(runtime.NumCPU())},
		fact{"memory", memoryTotal(read("/proc/meminfo"))},
	)
	return slices.DeleteFunc(facts, func(f fact) bool { return f.value == "" })
}

// loadAverage is how many processes wanted a CPU in the last 1, 5 and 15 minutes.
func loadAverage() string {
	words := strings.Fields(read("/proc/loadavg"))
	return strings.Join(words[:min(3, len(words))], " ")
}

var versionNumber = regexp.MustCompile(`v?\d+\.\S*.*`)

// version is the first line a program prints about itself, from its number on.
func version(name string, args ...string) string {
	return parseVersion(firstLine(name, args...))
}

func parseVersion(line string) string {
	line, _, _ = strings.Cut(line, " Copyright")
	return strings.TrimPrefix(versionNumber.FindString(line), "v")
}

// firstLine is the first line that a program prints. Its status does not matter: wrk fails when asked for its version.
func firstLine(name string, args ...string) string {
	text, _ := exec.Command(name, args...).CombinedOutput()
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSpace(line)
}

// commit names the state of the source, if this is a checkout.
func commit() string {
	hash, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return ""
	}
	name := strings.TrimSpace(string(hash))
	if changes, _ := exec.Command("git", "status", "--porcelain", "--", "cmd", "internal", "ruby").Output(); len(changes) > 0 {
		name += ", with changes"
	}
	return name
}

// cpuModel finds the name of the processor in /proc/cpuinfo.
func cpuModel(cpuinfo string) string { return field(cpuinfo, "model name") }

// memoryTotal finds the size of the memory in /proc/meminfo.
func memoryTotal(meminfo string) string {
	kb, err := strconv.ParseFloat(strings.TrimSuffix(field(meminfo, "MemTotal"), " kB"), 64)
	if err != nil {
		return ""
	}
	return strconv.FormatFloat(kb/(1<<20), 'f', 1, 64) + " GiB"
}

// field finds the value of the first line "name : value".
func field(text, name string) string {
	for line := range strings.Lines(text) {
		if key, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func read(path string) string {
	data, _ := os.ReadFile(path)
	return string(data)
}
