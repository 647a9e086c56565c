package logs

import (
	"bytes"
	"fmt"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"
)

func example() *Access {
	return &Access{
		Remote: []byte("127.0.0.1"), Method: []byte("GET"), Target: []byte("/path?q=1"), Proto: "HTTP/1.1", Status: 200, Bytes: 12,
		End:      time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC),
		Duration: 512 * time.Microsecond,
	}
}

func TestAccessLinesAreCommonLogLinesWithSeconds(t *testing.T) {
	for want, change := range map[string]func(*Access){
		`127.0.0.1 - - [22/Nov/2026:18:00:00 +0000] "GET /path?q=1 HTTP/1.1" 200 12 0.0005`: func(a *Access) {},
		`- - - [22/Nov/2026:18:00:00 +0000] "GET /path?q=1 HTTP/1.1" 200 12 0.0005`:         func(a *Access) { a.Remote = nil },
		`127.0.0.1 - - [22/Nov/2026:20:00:00 +0200] "HEAD / HTTP/1.0" 304 - 1.0000`: func(a *Access) {
			a.End = a.End.In(time.FixedZone("EET", 7200))
			a.Method, a.Target, a.Proto, a.Status, a.Bytes = []byte("HEAD"), []byte("/"), "HTTP/1.0", 304, -1
			a.Duration = time.Second
		},
		`127.0.0.1 - - [22/Nov/2026:18:00:00 +0000] "GET / HTTP/1.1" 200 9223372036854775807 90061.0000`: func(a *Access) {
			a.Target, a.Bytes, a.Duration = []byte("/"), math.MaxInt64, 25*time.Hour+time.Minute+time.Second
		},
		`a\x20b\x22 - - [22/Nov/2026:18:00:00 +0000] "GET /\x22\x5c\x0a\x00\x7f\x80\xff~ HTTP/1.1" 200 12 0.0005`: func(a *Access) {
			a.Remote, a.Target = []byte("a b\""), []byte("/\"\\\n\x00\x7f\x80\xff~")
		},
	} {
		a := example()
		change(a)
		if have := string(AppendAccess(nil, a)); have != want+"\n" {
			t.Errorf("have %s\nwant %s", have, want)
		}
	}
}

func TestSecondsAreRoundedToFourDecimals(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0.0000", -time.Second: "0.0000", 49 * time.Microsecond: "0.0000", 50 * time.Microsecond: "0.0001",
		99949 * time.Microsecond: "0.0999", 99950 * time.Microsecond: "0.1000", 999999 * time.Microsecond: "1.0000",
		1234567 * time.Microsecond: "1.2346", 10 * time.Second: "10.0000",
	} {
		if have := string(appendSeconds(nil, d)); have != want {
			t.Errorf("%v: have %s, want %s", d, have, want)
		}
	}
}

// plainAccess is the plain twin of AppendAccess, for requests with nothing to escape.
func plainAccess(a *Access) string {
	return fmt.Sprintf("%s - - [%s] \"%s %s %s\" %d %d %.4f\n",
		a.Remote, a.End.Format("02/Jan/2006:15:04:05 -0700"), a.Method, a.Target, a.Proto, a.Status, a.Bytes, a.Duration.Seconds())
}

func TestAppendingALineAllocatesNothing(t *testing.T) {
	a, dst := example(), make([]byte, 0, 1024)
	a.Target = []byte("/\"escaped\"\n")
	if n := testing.AllocsPerRun(100, func() { dst = AppendAccess(dst[:0], a) }); n != 0 {
		t.Errorf("have %v allocations", n)
	}
}

var lineShape = regexp.MustCompile(`\A[!-~]+ - [!-~]+ \[[^\]]+\] "[^"]*" \d+ (\d+|-) \d+\.\d{4}\n\z`)

func FuzzAppendAccess(f *testing.F) {
	f.Add([]byte("127.0.0.1"), []byte("GET"), []byte("/"))
	f.Add([]byte("a\nb"), []byte("\x1b[2J"), []byte("/\" 200 1 0.1\n127.0.0.1 - - ["))
	f.Fuzz(func(t *testing.T, remote, method, target []byte) {
		a := example()
		a.Remote, a.Method, a.Target = remote, method, target
		line := AppendAccess([]byte("kept"), a)
		rest, ok := bytes.CutPrefix(line, []byte("kept"))
		if !ok || !lineShape.Match(rest) {
			t.Errorf("have %q", line)
		}
		if len(remote) > 0 && len(rest) == len(plainAccess(a)) && string(rest) != plainAccess(a) {
			t.Errorf("nothing was escaped, and yet\nhave %q\nwant %q", rest, plainAccess(a))
		}
	})
}

func BenchmarkAppendAccess(b *testing.B) {
	a, dst := example(), make([]byte, 0, 1024)
	a.Target = []byte("/articles/17/comments?" + strings.Repeat("page=2&", 4))
	full := fullExample()
	full.Target = a.Target
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			dst = AppendAccess(dst[:0], a)
		}
	})
	b.Run("json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			dst = AppendAccessJSON(dst[:0], full)
		}
	})
	b.Run("plain", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = plainAccess(a)
		}
	})
}
