package logs

import (
	"encoding/json"
	"maps"
	"testing"
	"time"
	"unicode/utf8"
)

// fullExample has everything that a line of JSON can say.
func fullExample() *Access {
	a := example()
	a.End = a.End.Add(123 * time.Millisecond)
	a.Details = Details{
		Queue: 1500 * time.Microsecond, Proxy: 2 * time.Second, Worker: 3, WorkerPID: 4712,
		RequestID: []byte("abc-1"), Referer: []byte("https://example.com/"), UserAgent: []byte("curl/8.0"), Aborted: true,
	}
	return a
}

func TestAnAccessLineOfJSONSaysAllThatIsKnown(t *testing.T) {
	want := `{"time":"2026-11-22T18:00:00.123Z","level":"info","event":"request","remote":"127.0.0.1","method":"GET","target":"/path?q=1",` +
		`"version":"HTTP/1.1","status":200,"bytes":12,"duration_ms":0.512,"queue_ms":1.500,"proxy_ms":2000.000,"worker":3,"worker_pid":4712,` +
		`"request_id":"abc-1","referer":"https://example.com/","user_agent":"curl/8.0","aborted":true}` + "\n"
	if have := string(AppendAccessJSON(nil, fullExample())); have != want {
		t.Errorf("have %s\nwant %s", have, want)
	}
}

func TestAnAccessLineOfJSONLeavesOutWhatIsNotKnown(t *testing.T) {
	a := &Access{Method: []byte("-"), Target: []byte("-"), Proto: "HTTP/1.1", Status: 400, Bytes: -1, End: time.Date(2026, 11, 22, 20, 0, 0, 0, time.FixedZone("EET", 7200))}
	a.Proxy = -1
	want := `{"time":"2026-11-22T20:00:00.000+02:00","level":"info","event":"request","method":"-","target":"-",` +
		`"version":"HTTP/1.1","status":400,"duration_ms":0.000,"queue_ms":0.000}` + "\n"
	if have := string(AppendAccessJSON(nil, a)); have != want {
		t.Errorf("have %s\nwant %s", have, want)
	}
}

func TestAppendingALineOfJSONAllocatesNothing(t *testing.T) {
	a, dst := fullExample(), make([]byte, 0, 1024)
	a.Target = []byte("/\"ünïcödé\"\n\xff")
	if n := testing.AllocsPerRun(100, func() { dst = AppendAccessJSON(dst[:0], a) }); n != 0 {
		t.Errorf("have %v allocations", n)
	}
}

// Whatever a client sends, the line is one object on one line, with the keys it ought to have, and safe for a terminal.
func FuzzAppendAccessJSON(f *testing.F) {
	f.Add([]byte("GET"), []byte("/"), []byte("curl"))
	f.Add([]byte("\x1b[2J"), []byte("/\"}\n{\"level\":\"error\"}"), []byte("a\\\xff\xc2\x9b\u2028é\x7f"))
	var keys map[string]bool
	f.Fuzz(func(t *testing.T, method, target, agent []byte) {
		a := fullExample()
		a.Method, a.Target, a.UserAgent = method, target, append(agent, 'x')
		line := AppendAccessJSON(nil, a)
		var object map[string]any
		if err := json.Unmarshal(line, &object); err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		if object["method"] != plainText(method) || object["target"] != plainText(target) {
			t.Errorf("have %q and %q", object["method"], object["target"])
		}
		have := map[string]bool{}
		for key := range object {
			have[key] = true
		}
		if keys == nil {
			keys = have
		}
		if !maps.Equal(keys, have) {
			t.Errorf("the keys are %v", have)
		}
		if !utf8.Valid(line) {
			t.Errorf("no UTF-8: %q", line)
		}
		for _, r := range string(line[:len(line)-1]) {
			if r < ' ' || r >= 0x7f && r <= 0x9f {
				t.Errorf("a control is in %q", line)
			}
		}
	})
}

// plainText is what encoding/json makes of bytes: the plain twin.
func plainText(b []byte) (text string) {
	encoded, _ := json.Marshal(string(b))
	json.Unmarshal(encoded, &text) //nolint:errcheck // it was encoded just now
	return text
}
