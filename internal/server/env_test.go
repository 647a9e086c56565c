package server

import (
	"fmt"
	"strings"
	"testing"

	"serval/internal/http1"
	"serval/internal/wire"
)

// envOf returns the env that the front gives the request with this head, as the worker sees it.
func envOf(t testing.TB, e *encoder, head string) map[string]string {
	t.Helper()
	return envWith(t, e, head, meta{})
}

func envWith(t testing.TB, e *encoder, head string, m meta) map[string]string {
	t.Helper()
	var h http1.Request
	if done, err := h.Parse([]byte(head), &http1.Limits{}); !done || err != nil {
		t.Fatalf("%q does not parse: %v, %v", head, done, err)
	}
	m.remote, m.bodySize = []byte("192.0.2.7"), -1
	var b wire.Builder
	e.encode(&b, &h, []byte(head), &m)
	var request wire.Frame
	if err := wire.Decode(b.Frame, &request); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	values := strings.Split(strings.TrimSuffix(string(request.Head), "\x00"), "\x00")
	if b.Shape == nil {
		for i := 0; i+1 < len(values); i += 2 {
			env[values[i]] = values[i+1]
		}
		return env
	}
	var define wire.Frame
	if err := wire.Decode(b.Shape.Define, &define); err != nil {
		t.Fatal(err)
	}
	for entry := range strings.SplitSeq(strings.TrimSuffix(string(define.Head), "\x00"), "\x00") {
		if name, constant, ok := strings.Cut(entry, "="); ok {
			env[name] = constant
		} else {
			env[entry], values = values[0], values[1:]
		}
	}
	return env
}

func TestTheEnvOfARequest(t *testing.T) {
	for name, test := range map[string]struct {
		head string
		want map[string]string
	}{
		"a plain one": {
			"GET /a%20b/../c?q=1&r HTTP/1.1\r\nHost: example.com:8080\r\nAccept: */*\r\nContent-Type: x/y\r\n\r\n",
			map[string]string{
				"REQUEST_METHOD": "GET", "REQUEST_URI": "/a%20b/../c?q=1&r", "PATH_INFO": "/a%20b/../c", "QUERY_STRING": "q=1&r",
				"SERVER_PROTOCOL": "HTTP/1.1", "SERVER_NAME": "example.com", "SERVER_PORT": "8080", "REMOTE_ADDR": "192.0.2.7",
				"rack.url_scheme": "http", "HTTP_HOST": "example.com:8080", "HTTP_ACCEPT": "*/*", "CONTENT_TYPE": "x/y",
			},
		},
		"HTTP/1.0 without Host": {
			"GET / HTTP/1.0\r\n\r\n",
			map[string]string{"SERVER_PROTOCOL": "HTTP/1.0", "SERVER_NAME": "localhost", "SERVER_PORT": "80", "QUERY_STRING": ""},
		},
		"a rare method":     {"PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n", map[string]string{"REQUEST_METHOD": "PROPFIND"}},
		"an IPv6 host":      {"GET / HTTP/1.1\r\nHost: [::1]:81\r\n\r\n", map[string]string{"SERVER_NAME": "[::1]", "SERVER_PORT": "81"}},
		"IPv6 without port": {"GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n", map[string]string{"SERVER_NAME": "[::1]", "SERVER_PORT": "80"}},
		"an absolute target": {
			"GET http://real.example:9/p?q HTTP/1.1\r\nHost: forged.example\r\n\r\n",
			map[string]string{"SERVER_NAME": "real.example", "SERVER_PORT": "9", "HTTP_HOST": "real.example:9", "PATH_INFO": "/p", "QUERY_STRING": "q", "REQUEST_URI": "http://real.example:9/p?q"},
		},
		"an absolute target without path": {"GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", map[string]string{"PATH_INFO": "/"}},
		"behind TLS":                      {"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\n\r\n", map[string]string{"rack.url_scheme": "https", "SERVER_PORT": "443"}},
		"not behind TLS":                  {"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Ssl: off\r\n\r\n", map[string]string{"rack.url_scheme": "http", "SERVER_PORT": "80"}},
		"repeated headers":                {"GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nx-a: 2\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n", map[string]string{"HTTP_X_A": "1, 2", "HTTP_COOKIE": "a=1; b=2"}},
		"an underscore":                   {"GET / HTTP/1.1\r\nHost: a\r\nx_a: 1\r\n\r\n", map[string]string{"HTTP_X_A": "1"}},
		"an underscore that masks":        {"GET / HTTP/1.1\r\nHost: a\r\nx_a: forged\r\nX-A: real\r\n\r\n", map[string]string{"HTTP_X_A": "real"}},
		"an underscore that masks late":   {"GET / HTTP/1.1\r\nHost: a\r\nX-A: real\r\nx_a: forged\r\n\r\n", map[string]string{"HTTP_X_A": "real"}},
		"an underscore in framing":        {"GET / HTTP/1.1\r\nHost: a\r\nContent_Length: 5\r\nTransfer_Encoding: chunked\r\n\r\n", map[string]string{"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "", "HTTP_CONTENT_LENGTH": ""}},
		"chunked":                         {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", map[string]string{"HTTP_TRANSFER_ENCODING": ""}},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEncoder()
			for range 2 { // the second time by what was learnt
				env := envOf(t, e, test.head)
				for key, want := range test.want {
					if env[key] != want {
						t.Errorf("%s is %q instead of %q", key, env[key], want)
					}
				}
			}
		})
	}
}

func TestUnderscoresCanBeLeftOut(t *testing.T) {
	head := "GET / HTTP/1.1\r\nHost: a\r\nX_A: 1\r\n\r\n"
	if env := envWith(t, newEncoder(), head, meta{hideUnderscores: true}); env["HTTP_X_A"] != "" {
		t.Errorf("have %q", env)
	}
	if env := envOf(t, newEncoder(), head); env["HTTP_X_A"] != "1" {
		t.Errorf("have %q", env)
	}
}

func TestASchemeCanBeGiven(t *testing.T) {
	for scheme, port := range map[string]string{"http": "80", "https": "443"} {
		head := "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\n\r\n"
		env := envWith(t, newEncoder(), head, meta{scheme: scheme})
		if env["rack.url_scheme"] != scheme || env["SERVER_PORT"] != port {
			t.Errorf("%s: have %q", scheme, env)
		}
	}
}

// The quick way of plainFields and the careful one of mergedFields must agree on all that both can do.
func FuzzFields(f *testing.F) {
	f.Add("Accept", "text/html", "Cookie", "a=b")
	f.Add("X-A", "1", "x-a", "2")
	f.Add("x_y", "1", "X-Y", "2")
	e := newEncoder()
	f.Fuzz(func(t *testing.T, name1, value1, name2, value2 string) {
		head := fmt.Sprintf("GET / HTTP/1.1\r\nHost: a\r\n%s: %s\r\n%s: %s\r\n\r\n", name1, value1, name2, value2)
		var h http1.Request
		if done, err := h.Parse([]byte(head), &http1.Limits{}); !done || err != nil {
			return
		}
		var quick, careful wire.Builder
		quick.Start()
		careful.Start()
		if !e.plainFields(&quick, &h, []byte(head), &meta{}) {
			return
		}
		e.mergedFields(&careful, &h, []byte(head), &meta{})
		quick.Finish(e.keys, nil, false)
		careful.Finish(e.keys, nil, false)
		if string(quick.Frame) != string(careful.Frame) {
			t.Errorf("%q: the quick way gives %q and the careful one %q", head, quick.Frame, careful.Frame)
		}
	})
}
