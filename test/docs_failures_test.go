package test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"serval/internal/testkit"
)

var (
	sentAs   = regexp.MustCompile("(?m)^Sent: `(.*)`$")
	repeated = regexp.MustCompile(`(?s)\{(.*?)\*(\d+)\}`)
	escape   = regexp.MustCompile(`\\(x[0-9a-f]{2}|.)`)
)

// rawInput returns the bytes that a page means: \r, \n, \t, \x00 and {text*number} are spelled out.
func rawInput(text string) string {
	text = escape.ReplaceAllStringFunc(text, func(e string) string {
		var c byte
		if _, err := fmt.Sscanf(e, `\x%02x`, &c); err == nil {
			return string([]byte{c})
		}
		return map[string]string{`\r`: "\r", `\n`: "\n", `\t`: "\t", `\\`: `\`}[e]
	})
	return repeated.ReplaceAllStringFunc(text, func(r string) string {
		part := repeated.FindStringSubmatch(r)
		times := 0
		fmt.Sscan(part[2], &times)
		return strings.Repeat(part[1], times)
	})
}

func TestBadInputIsRefusedAsThePageSays(t *testing.T) {
	t.Parallel()
	p := readPage(t, "docs/reference/bad-input.md")
	flags := regexp.MustCompile("`serval (-v .*?)`").FindStringSubmatch(p.text)
	if flags == nil {
		t.Fatal("the page does not say for which flags it holds")
	}
	s := testkit.Start(t, "echo", strings.Fields(flags[1])...)
	refused := map[string]int{}
	for _, template := range sentAs.FindAllStringSubmatchIndex(p.text, -1) {
		around, after := p.text[template[2]:template[3]], p.text[template[1]:]
		after, _, _ = strings.Cut(after, "\n## ")
		for _, row := range (page{p.path, after}).rows() {
			input := code(t, row["INPUT"])
			t.Run(input, func(t *testing.T) {
				c := s.Dial()
				c.Send(rawInput(strings.Replace(around, "INPUT", input, 1)))
				r := c.Response("GET")
				if fmt.Sprint(r.Status) != row["status"] {
					t.Fatalf("got %+v, the page says %v", r, row)
				}
				if r.Status == 200 {
					return
				}
				refused[row["status"]]++
				if want := row["the client reads"] + "\n"; r.Body != want || !r.Close || r.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
					t.Errorf("got %+v, the page says %q", r, want)
				}
				c.End()
			})
		}
	}
	if len(refused) < 7 {
		t.Errorf("only these were refused: %v", refused)
	}
	for status, times := range refused {
		line := regexp.MustCompile(`(?m)^127\.0\.0\.1 - - \[.*\] ".* HTTP/1\.1" ` + status + ` - 0\.0000$`)
		testkit.WaitFor(t, fmt.Sprintf("the access log has %d lines with %s", times, status), func() bool {
			return len(line.FindAllString(s.Out.String(), -1)) == times
		})
	}
	if s.Logged("ERROR") || s.Logged("\n! ") {
		t.Errorf("bad input is in the event log:\n%s%s", s.Out, s.Err)
	}
}

func TestThePageOnBadInputLeavesNoReasonOut(t *testing.T) {
	p := readPage(t, "docs/reference/bad-input.md")
	reasons := regexp.MustCompile(`= (?:bad\(|&Error\{\d+, )"(.*?)"`).FindAllStringSubmatch(readPage(t, "internal/http1/error.go").text, -1)
	if len(reasons) < 40 {
		t.Fatalf("only %d reasons were found", len(reasons))
	}
	for _, reason := range reasons {
		if !strings.Contains(p.text, "| "+reason[1]+" |") {
			t.Errorf("no row of the page says %q", reason[1])
		}
	}
}

// failing is the app whose requests end in the ways that the page tells of.
const failing = `# frozen_string_literal: true

$stdout.sync = true
text = ->(body) { [200, { "content-type" => "text/plain" }, body] }
part_then = ->(&last) { text.call(Enumerator.new { |body| body << "part\n"; last.call }) }
die = -> { Process.kill(:KILL, Process.pid) && sleep }

run(lambda do |env|
  puts "running #{env['PATH_INFO']}"
  case env["PATH_INFO"]
  when "/slow" then sleep(1) && text.call(["slow\n"])
  when "/hang" then sleep
  when "/stream" then part_then.call { sleep }
  when "/die" then die.call
  when "/die-later" then part_then.call { die.call }
  when "/big" then text.call(["x" * (40 << 20)])
  else text.call(["fast\n"])
  end
end)
`

// startFailing starts it with one worker that runs one request at a time.
func startFailing(t *testing.T, flags ...string) *testkit.Server {
	t.Helper()
	return startApp(t, failing, append([]string{"-v", "-t", "1", "--shutdown-timeout", "1"}, flags...)...)
}

// startApp starts an app that is given as the text of its rackup file.
func startApp(t *testing.T, app string, flags ...string) *testkit.Server {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.ru"), []byte(app), 0o644); err != nil {
		t.Fatal(err)
	}
	return testkit.Command{Dir: dir, Flags: flags}.Start(t)
}

// witness is a client that remembers all it read.
type witness struct {
	*testkit.Client
	read *reading
}

type reading struct {
	net.Conn
	text bytes.Buffer
}

func (r *reading) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.text.Write(p[:n])
	return n, err
}

func dialWitness(t testing.TB, s *testkit.Server) witness {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	read := &reading{Conn: conn}
	return witness{testkit.NewClient(t, read), read}
}

// failures has, for what happens in a row of the page, what makes it happen. It returns the client that sees it.
var failures = map[string]func(t *testing.T) (*testkit.Server, witness){
	"it connects and says nothing": func(t *testing.T) (*testkit.Server, witness) {
		s := startFailing(t, "--header-timeout", "0.3")
		return s, dialWitness(t, s)
	},
	"a request head is not complete in time": func(t *testing.T) (*testkit.Server, witness) {
		s := startFailing(t, "--header-timeout", "0.3")
		return s, sent(t, s, "GET / HT")
	},
	"a body is not complete in time": func(t *testing.T) (*testkit.Server, witness) {
		s := startFailing(t, "--body-timeout", "0.3")
		return s, sent(t, s, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe")
	},
	"a body comes slower than so many bytes a second, over 20 s": func(t *testing.T) (*testkit.Server, witness) {
		s := startFailing(t)
		return s, sent(t, s, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\nhe")
	},
	"no next request comes": func(t *testing.T) (*testkit.Server, witness) {
		s := startFailing(t, "--keepalive-timeout", "0.3")
		c := sent(t, s, testkit.Request("GET", "/", ""))
		c.Response("GET")
		return s, c
	},
	"it takes nothing of its response": func(t *testing.T) (*testkit.Server, witness) {
		s := startFailing(t, "--write-timeout", "0.3")
		c := sent(t, s, testkit.Request("GET", "/big", ""))
		s.AwaitLog(`"GET /big HTTP/1.1" 200`)
		return s, c
	},
	"it resets its connection before its response began": func(t *testing.T) (*testkit.Server, witness) {
		s := startFailing(t)
		c := sent(t, s, testkit.Request("GET", "/slow", ""))
		s.AwaitLog("running /slow")
		c.read.Conn.(*net.TCPConn).SetLinger(0)
		c.Close()
		return s, c
	},
	"too many connections are open": func(t *testing.T) (*testkit.Server, witness) {
		s := startFailing(t, "--max-connections", "1")
		sent(t, s, testkit.Request("GET", "/", "")).Response("GET")
		return s, sent(t, s, testkit.Request("GET", "/", ""))
	},
	"the queue is full": func(t *testing.T) (*testkit.Server, witness) {
		s := startFailing(t, "--queue-limit", "0")
		sent(t, s, testkit.Request("GET", "/stream", "")).Head()
		return s, sent(t, s, testkit.Request("GET", "/", ""))
	},
	"no thread is free in time": func(t *testing.T) (*testkit.Server, witness) {
		s := startFailing(t, "--queue-timeout", "0.3")
		sent(t, s, testkit.Request("GET", "/stream", "")).Head()
		return s, sent(t, s, testkit.Request("GET", "/", ""))
	},
	"the app does not begin its response": func(t *testing.T) (*testkit.Server, witness) {
		s := startFailing(t, "--request-timeout", "0.5")
		return s, sent(t, s, testkit.Request("GET", "/hang", ""))
	},
	"a worker dies with a GET, HEAD, OPTIONS or TRACE that had no response yet": func(t *testing.T) (*testkit.Server, witness) {
		s := startFailing(t)
		c := sent(t, s, testkit.Request("GET", "/slow", ""))
		s.AwaitLog("running /slow")
		syscall.Kill(s.Worker().PID, syscall.SIGKILL)
		return s, c
	},
	"a worker dies with any other request, or again with the same": func(t *testing.T) (*testkit.Server, witness) {
		s := startFailing(t)
		c := sent(t, s, testkit.Request("POST", "/die", "a body"))
		s.AwaitLog("! POST /die got 502") // the next complaint of the kind may be left out
		if r := s.Get("/die"); r.Status != 502 {
			t.Errorf("a request that kills every worker got %+v", r)
		}
		return s, c
	},
	"a worker dies amid a response": func(t *testing.T) (*testkit.Server, witness) {
		s := startFailing(t)
		return s, sent(t, s, testkit.Request("GET", "/die-later", ""))
	},
	"a large request body cannot be written to disk": func(t *testing.T) (*testkit.Server, witness) {
		dir := filepath.Join(t.TempDir(), "spool")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		s := startFailing(t, "--spool-dir", dir)
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
		return s, sent(t, s, testkit.Request("POST", "/", strings.Repeat("x", 100_000)))
	},
}

func sent(t testing.TB, s *testkit.Server, raw string) witness {
	t.Helper()
	c := dialWitness(t, s)
	c.Send(raw)
	return c
}

func TestFailuresLookAsThePageSays(t *testing.T) {
	t.Parallel()
	p := readPage(t, "docs/reference/failures.md")
	rows := append(p.section(t, "## Slow clients").rows(), p.section(t, "## Overload and workers").rows()...)
	for what := range failures {
		if !strings.Contains(p.text, "| "+what+" |") {
			t.Errorf("the page does not say what happens when %s", what)
		}
	}
	for _, row := range rows {
		t.Run(row["what happens"], func(t *testing.T) {
			t.Parallel()
			happen := failures[row["what happens"]]
			if happen == nil {
				t.Fatal("the tests do not know how to make this happen")
			}
			s, c := happen(t)
			checkSeen(t, s, c, row)
		})
	}
}

func TestMistakesOfTheAppLookAsThePageSays(t *testing.T) {
	t.Parallel()
	rows := readPage(t, "docs/reference/failures.md").section(t, "## The app's mistakes").rows()
	s := startAnswers(t, rows)
	for i, row := range rows {
		t.Run(row["the app answers"], func(t *testing.T) {
			checkSeen(t, s, sent(t, s, testkit.Request("GET", fmt.Sprintf("/%d", i), "")), row)
		})
	}
}

// startAnswers starts an app that answers /0 with the code of the first row, /1 with that of the second, and so on.
func startAnswers(t *testing.T, rows []map[string]string, flags ...string) *testkit.Server {
	t.Helper()
	app := "answers = [\n"
	for _, row := range rows {
		app += "->(env) { " + code(t, row["the app answers"]) + " },\n"
	}
	app += "]\nrun ->(env) { answers[env[\"PATH_INFO\"].delete(\"/\").to_i].call(env) }\n"
	return startApp(t, app, flags...)
}

// checkSeen checks what a row says: what the client sees, what becomes of its connection, and what the operator reads.
func checkSeen(t *testing.T, s *testkit.Server, c witness, row map[string]string) {
	t.Helper()
	seen := row["the client sees"]
	switch {
	case seen == "–":
	case seen == "nothing":
		c.End()
	default:
		r, err := c.TryResponse("GET")
		for r != nil && r.Status == 103 {
			r, err = c.TryResponse("GET")
		}
		if cut := row["connection"] == "cut"; cut != (err != nil) {
			t.Errorf("the connection was cut: %v, %+v", err, r)
		}
		if status := regexp.MustCompile(`^\d+`).FindString(seen); r != nil && status != "" && status != fmt.Sprint(r.Status) {
			t.Errorf("got %+v", r)
		}
	}
	switch row["connection"] {
	case "kept":
		c.Send(testkit.Request("GET", "/", ""))
		c.Response("GET")
	case "closed":
		if rest, err := c.Rest(); err != nil || rest != "" && !strings.Contains(seen, "101") {
			t.Errorf("instead of the connection's end came %q, %v", rest, err)
		}
	}
	for _, text := range codes(seen) {
		if !strings.Contains(strings.ToLower(c.read.text.String()), strings.ToLower(text)) {
			t.Errorf("the client does not see %q, but\n%s", text, c.read.text.String())
		}
	}
	for _, line := range codes(row["you read"]) {
		pattern := regexp.MustCompile("(?m)^(\\[\\d+\\] )?(TIME )?" + strings.ReplaceAll(regexp.QuoteMeta(line), "…", ".*"))
		testkit.WaitFor(t, "the log says "+line+"\nbut only\n"+s.Out.String()+s.Err.String(), func() bool {
			return pattern.MatchString(vary(s.Out.String() + s.Err.String()))
		})
	}
	if _, status, ok := strings.Cut(row["you read"], "access log: "); ok {
		s.AwaitLog(`HTTP/1.1" ` + strings.Replace(status, "the status it began with", "200", 1))
	}
}
