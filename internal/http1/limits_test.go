package http1

import (
	"fmt"
	"strings"
	"testing"
)

func TestLimitsAreExact(t *testing.T) {
	fill := func(n int) string { return strings.Repeat("a", n) }
	for _, c := range []struct {
		name string
		lim  Limits
		raw  func(n int) string // a head that uses n of what is limited
		max  int
		want *Error
	}{
		{"method", Limits{AnyMethod: true}, func(n int) string { return fill(n) + " / HTTP/1.0\r\n\r\n" }, 32, errMethodLong},
		{
			"set method", Limits{AnyMethod: true, MethodBytes: 5},
			func(n int) string { return fill(n) + " / HTTP/1.0\r\n\r\n" }, 5, errMethodLong,
		},
		{"target", Limits{}, func(n int) string { return "GET /" + fill(n-1) + " HTTP/1.0\r\n\r\n" }, 12288, errTargetLong},
		{
			"set target", Limits{TargetBytes: 9},
			func(n int) string { return "GET /" + fill(n-1) + " HTTP/1.0\r\n\r\n" }, 9, errTargetLong,
		},
		{"line", Limits{}, func(n int) string { return crlf("GET / HTTP/1.0", "X:"+fill(n-2)) }, 81920, errLineLong},
		{"name", Limits{}, func(n int) string { return crlf("GET / HTTP/1.0", fill(n-1)+":") }, 81920, errLineLong},
		{
			"set line", Limits{HeaderLineBytes: 20},
			func(n int) string { return crlf("GET / HTTP/1.0", "X: "+fill(n-4)+" ") }, 20, errLineLong,
		},
		{
			"head", Limits{},
			func(n int) string { return crlf("GET / HTTP/1.0", "X:"+fill(60000), "Y:"+fill(n-60000-26)) }, 114688, errHeadLong,
		},
		{
			"set head", Limits{HeaderBytes: 40},
			func(n int) string { return crlf("GET / HTTP/1.0", "X:"+fill(n-22)) }, 40, errHeadLong,
		},
		{
			"head of only a request line", Limits{HeaderBytes: 30},
			func(n int) string { return crlf("GET /" + fill(n-18) + " HTTP/1.0") }, 30, errHeadLong,
		},
		{"count", Limits{}, func(n int) string { return "GET / HTTP/1.0\r\n" + strings.Repeat("X:\r\n", n) + "\r\n" }, 200, errFieldCount},
		{
			"set count", Limits{HeaderCount: 3},
			func(n int) string { return "GET / HTTP/1.0\r\n" + strings.Repeat("X:\r\n", n) + "\r\n" }, 3, errFieldCount,
		},
		{
			"body", Limits{BodyBytes: 1000},
			func(n int) string { return crlf("PUT / HTTP/1.0", fmt.Sprint("Content-Length: ", n)) }, 1000, errBodyLong,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			full, over := []byte(c.raw(c.max)), []byte(c.raw(c.max+1))
			if _, done, err := parse(full, &c.lim); !done || err != nil {
				t.Fatalf("at the limit: have done=%v err=%v", done, err)
			}
			if _, done, err := parse(over, &c.lim); done || err != c.want {
				t.Fatalf("one over it: have done=%v err=%v, want %v", done, err, c.want)
			}
			sameInPieces(t, full, &c.lim)
			sameInPieces(t, over, &c.lim)
		})
	}
}

func TestAnEndlessElementIsRefusedAtItsLimit(t *testing.T) {
	for _, c := range []struct {
		start string
		more  int // bytes that may follow before the parser must give up
		want  *Error
	}{
		{"", 33, errMethodLong},
		{"GET ", 12289, errTargetLong},
		{"GET / HTTP/1.1", 1, errVersion},
		{"GET / HTTP/1.1\r\n", 81921, errLineLong},
		{"GET / HTTP/1.1\r\nX:", 81919, errLineLong},
		{"GET / HTTP/1.1\r\nX:" + strings.Repeat("a", 81918) + "\r\nY:", 32748, errHeadLong},
	} {
		raw := []byte(c.start + strings.Repeat("a", c.more))
		if _, done, err := parse(raw[:len(raw)-1], nil); done || err != nil {
			t.Errorf("%.20q: a byte too early: done=%v err=%v", c.start, done, err)
		}
		if _, done, err := parse(raw, nil); done || err != c.want {
			t.Errorf("%.20q: have done=%v err=%v, want %v", c.start, done, err, c.want)
		}
	}
}

func TestMethodsCanBeChosen(t *testing.T) {
	only := &Limits{Methods: map[string]bool{"BREW": true, "CONNECT": true}}
	for _, c := range []struct {
		line string
		lim  *Limits
		want *Error
	}{
		{"BREW /", only, nil},
		{"GET /", only, errMethodUnknown},
		{"CONNECT a.example:443", only, nil},
		{"CONNECT /", only, errAuthority},
		{"brew /", &Limits{AnyMethod: true}, nil},
		{"PRI /", &Limits{AnyMethod: true}, nil},
		{"GET /", &Limits{Methods: map[string]bool{}}, errMethodUnknown},
	} {
		r, done, err := parse([]byte(c.line+" HTTP/1.0\r\n\r\n"), c.lim)
		if c.want == nil && (!done || err != nil) || c.want != nil && err != c.want {
			t.Errorf("%s: have done=%v err=%v, want %v", c.line, done, err, c.want)
		}
		if c.want == nil && strings.HasPrefix(c.line, "CONNECT") {
			raw := []byte(c.line)
			if host := string(r.Host.In(raw)); host != "a.example:443" || !r.Path.Empty() {
				t.Errorf("have host %q and path %q, want the authority and none", host, r.Path.In(raw))
			}
		}
	}
}

func TestEveryRegisteredMethodIsAccepted(t *testing.T) {
	methods := RegisteredMethods()
	if len(methods) < 35 {
		t.Fatalf("only %d methods", len(methods))
	}
	for _, method := range methods {
		if _, done, err := parse([]byte(method+" / HTTP/1.0\r\n\r\n"), nil); !done || err != nil {
			t.Errorf("%s: done=%v err=%v", method, done, err)
		}
	}
}
