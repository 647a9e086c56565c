package main

import (
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

var (
	pumaReady    = regexp.MustCompile(`Worker \d+ \(PID: \d+\) booted`)
	unicornReady = regexp.MustCompile(`worker=\d+ (gen=\d+ pid=\d+ )?ready`)
	iodineReady  = regexp.MustCompile(`\d+ is running\.|Server is running 1 worker`)
)

// peers are the servers that can be measured. All log no requests and run in the production environment.
var peers = []peer{
	{name: "serval", ours: true, ready: pumaReady, version: []string{"--version"},
		command: func(program []string, s setup) []string {
			if s.program != "" {
				program = []string{s.program}
			}
			args := append(program, "-b", "tcp://"+s.address, "-e", "production")
			args = append(args, sizes(s)...)
			if s.patient {
				args = append(args, "--keepalive-timeout", "600")
			}
			return append(args, s.where()...)
		}},
	{name: "puma", ours: true, ready: pumaReady, version: []string{"--version"}, command: puma},
	{name: "unicorn", ours: true, ready: unicornReady, version: []string{"--version"}, command: forking("unicorn"), single: true,
		about: "has no keep-alive: every request is a connection. It is made to stand behind nginx"},
	{name: "puma8", ready: pumaReady, version: []string{"--version"}, command: puma},
	{name: "iodine", ready: iodineReady, version: []string{"--version"}, about: "is C in the app's process",
		command: func(program []string, s setup) []string {
			return append(production(program), "-b", "127.0.0.1", "-p", port(s.address), "-w", strconv.Itoa(s.workers), "-t", strconv.Itoa(s.threads), s.app)
		}},
	{name: "agoo", about: "is C in the app's process",
		command: func(program []string, s setup) []string {
			return append(production(program), "-s", "-b", "http://"+s.address, "-w", strconv.Itoa(s.workers), "-t", strconv.Itoa(s.threads), s.app)
		}},
	{name: "falcon", version: []string{"--version"}, about: "has a fiber for each request, and no threads",
		command: func(program []string, s setup) []string {
			return append(production(program), "serve", "--bind", "http://"+s.address, "--count", strconv.Itoa(s.workers), "--config", s.app)
		}},
	{name: "pitchfork", ready: unicornReady, version: []string{"--version"}, command: forking("pitchfork"), single: true,
		about: "has no keep-alive: every request is a connection. It is made to stand behind nginx"},
	{name: "passenger", version: []string{"--version"}, command: passenger, apart: passengerFile, single: true,
		about: "is the open-source one, by its builtin engine, without turbocaching"},
	{name: "thruster", about: "stands in front of puma",
		command: func(program []string, s setup) []string {
			args := append([]string{"env", "HTTP_PORT=" + port(s.address), "TARGET_PORT=" + port(s.behind), "LOG_REQUESTS=false"}, program...)
			s.address = s.behind
			return append(args, puma([]string{"puma"}, s)...)
		}},
}

func puma(program []string, s setup) []string {
	config := "-" // none, whatever config/puma.rb there may be
	if s.patient {
		config = "bench/puma.rb"
	}
	args := append(program, "-C", config, "-b", "tcp://"+s.address, "-e", "production")
	args = append(args, sizes(s)...)
	return append(args, s.where()...)
}

// sizes are the flags that Serval and Puma share.
func sizes(s setup) []string {
	threads := strconv.Itoa(s.threads)
	return []string{"-w", strconv.Itoa(s.workers), "-t", threads + ":" + threads}
}

// forking starts Unicorn or Pitchfork, which take the number of workers from a file, and that from the environment.
func forking(name string) func([]string, setup) []string {
	return func(program []string, s setup) []string {
		args := append([]string{"env", strings.ToUpper(name) + "_WORKERS=" + strconv.Itoa(s.workers)}, program...)
		return append(args, "-c", "bench/"+name+".rb", "-l", s.address, "-E", "production", s.app)
	}
}

// production is for servers that have no flag for the environment.
func production(program []string) []string {
	return append([]string{"env", "RACK_ENV=production"}, program...)
}

// passenger has its log at the null device: it would read what goes to a pipe itself, to show it. Of the requests that wait it answers all
// but a hundred with 503 at once, unless it is told to keep more, as the others do; those of the warm-up count, after their clients left.
func passenger(program []string, s setup) []string {
	size := strconv.Itoa(s.workers)
	return append(program, "start", "--engine", "builtin", "--address", "127.0.0.1", "--port", port(s.address), "--environment", "production",
		"--max-pool-size", size, "--min-instances", size, "--max-request-queue-size", "1024", "--disable-turbocaching", "--disable-security-update-check", "--disable-anonymous-telemetry",
		"--log-file", "/dev/null", "--pid-file", passengerFile(s.address), "--rackup", s.app, cmp.Or(s.dir, filepath.Dir(s.app)))
}

// passengerFile is where Passenger writes the id of its watchdog, which leaves the process that was started.
func passengerFile(address string) string {
	return filepath.Join(os.TempDir(), "passenger-"+port(address)+".pid")
}
