package test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"serval/internal/testkit"
)

// smuggled is a request that nobody may serve: it follows one that was refused.
const smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

func TestRequestsWithAmbiguousFramingAreRefusedAndTheirConnectionsClosed(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "echo", "-v")
	for _, bad := range []struct{ name, raw string }{
		{"Content-Length and Transfer-Encoding", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{"Transfer-Encoding and Content-Length", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"},
		{"two lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\nhello"},
		{"the same length twice", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello"},
		{"a list of lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello"},
		{"a length with a plus", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello"},
		{"a length with a minus", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello"},
		{"a hexadecimal length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello"},
		{"a folded header", "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n c\r\n\r\n"},
		{"a header folded with a tab", "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n\tc\r\n\r\n"},
		{"bare line feeds", "GET / HTTP/1.1\nHost: a\n\n"},
		{"one bare line feed", "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\nX-C: d\r\n\r\n"},
		{"a bare carriage return", "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\rX-C: d\r\n\r\n"},
		{"a NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\x00c\r\n\r\n"},
		{"a NUL in the target", "GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n"},
		{"a blank before the colon", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello"},
		{"two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"},
		{"the same Host twice", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"},
		{"no Host", "GET / HTTP/1.1\r\n\r\n"},
		{"chunked, and not last", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"},
		{"chunked twice", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{"something like chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"},
		{"chunked on HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{"a chunk size that is none", chunkedPost("x\r\nhello\r\n0\r\n\r\n")},
		{"a chunk size with a sign", chunkedPost("+5\r\nhello\r\n0\r\n\r\n")},
		{"a chunk size with 0x", chunkedPost("0x5\r\nhello\r\n0\r\n\r\n")},
		{"a chunk size past 64 bits", chunkedPost("10000000000000005\r\nhello\r\n0\r\n\r\n")},
		{"a chunk longer than it says", chunkedPost("4\r\nhello\r\n0\r\n\r\n")},
		{"a chunk size that ends in a line feed", chunkedPost("5\nhello\r\n0\r\n\r\n")},
		{"a Content-Length as trailer", chunkedPost("5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n")},
		{"no version", "GET /\r\nHost: a\r\n\r\n"},
		{"a TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"},
	} {
		t.Run(bad.name, func(t *testing.T) {
			c := testkit.DialURL(t, s.URLs[0])
			c.Send(bad.raw + smuggled)
			refusedWith(t, c, 400)
		})
	}
	for line := range strings.Lines(s.Out.String()) {
		if strings.Contains(line, "smuggled") {
			t.Errorf("a request that followed a refused one was served: %s", line)
		}
	}
}

func chunkedPost(body string) string {
	return "POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body
}

// refusedWith checks that the server answers once, says that it closes, and closes.
func refusedWith(t *testing.T, c *testkit.Client, status int) {
	t.Helper()
	r := c.Response("GET")
	if r.Status != status || !r.Close || r.Header.Get("Date") == "" || r.Body == "" {
		t.Errorf("got %+v, want a %d with text and a date that says it closes", r, status)
	}
	c.End()
}

func TestEachKindOfTooMuchHasItsOwnStatus(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "echo", "--max-target", "100", "--max-header", "1000", "--max-headers", "10", "--max-body", "50")
	line := func(n int) string { return "X-Filler: " + strings.Repeat("x", n-len("X-Filler: \r\n")) + "\r\n" }
	for _, tt := range []struct {
		name string
		raw  string
		want int
	}{
		{"a target of 100 bytes", "GET /" + strings.Repeat("a", 99) + " HTTP/1.1\r\nHost: a\r\n\r\n", 200},
		{"a target of 101 bytes", "GET /" + strings.Repeat("a", 100) + " HTTP/1.1\r\nHost: a\r\n\r\n", 414},
		{"a target without an end", "GET /" + strings.Repeat("a", 5000), 414},
		{"a head of 1000 bytes", "GET / HTTP/1.1\r\nHost: a\r\n" + line(1000-27) + "\r\n", 200},
		{"a head of 1001 bytes", "GET / HTTP/1.1\r\nHost: a\r\n" + line(1001-27) + "\r\n", 431},
		{"a header without an end", "GET / HTTP/1.1\r\nHost: a\r\nX-A: " + strings.Repeat("a", 5000), 431},
		{"10 headers", "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X-A: b\r\n", 9) + "\r\n", 200},
		{"11 headers", "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X-A: b\r\n", 10) + "\r\n", 431},
		{"a body of 50 bytes", testkit.Request("POST", "/", strings.Repeat("x", 50)), 200},
		{"a body said to have 51 bytes", testkit.Request("POST", "/", strings.Repeat("x", 51)), 413},
		{"chunks of 50 bytes", chunkedPost(testkit.Chunked(strings.Repeat("x", 25), strings.Repeat("x", 25))), 200},
		{"chunks of 51 bytes", chunkedPost(testkit.Chunked(strings.Repeat("x", 25), strings.Repeat("x", 26))), 413},
		{"an unknown expectation", "POST / HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\nContent-Length: 1\r\n\r\n", 417},
		{"an unknown method", "BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501},
		{"a method of another case", "get / HTTP/1.1\r\nHost: a\r\n\r\n", 501},
		{"a tunnel", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 501},
		{"an unknown transfer coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
		{"HTTP/2 with prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
		{"HTTP/3", "GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := testkit.DialURL(t, s.URLs[0])
			c.Send(tt.raw)
			if tt.want >= 400 {
				refusedWith(t, c, tt.want)
			} else if r := c.Response("GET"); r.Status != tt.want {
				t.Errorf("got %+v, want a %d", r, tt.want)
			}
		})
	}
}

func TestAConnectionStaysForTheNextRequestUnlessOneSideSaysClose(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "bodies")
	for _, tt := range []struct {
		name  string
		raw   string
		stays bool
	}{
		{"HTTP/1.1", "GET /one HTTP/1.1\r\nHost: a\r\n\r\n", true},
		{"HTTP/1.1 with close", "GET /one HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false},
		{"close in a list, in capitals", "GET /one HTTP/1.1\r\nHost: a\r\nConnection: x, CLOSE\r\n\r\n", false},
		{"close in a second line", "GET /one HTTP/1.1\r\nHost: a\r\nConnection: x\r\nConnection: close\r\n\r\n", false},
		{"HTTP/1.0", "GET /one HTTP/1.0\r\n\r\n", false},
		{"HTTP/1.0 with keep-alive", "GET /one HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
		{"a body of unknown length for HTTP/1.0", "GET /each HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", false},
		{"the app says close", "GET /connection-close HTTP/1.1\r\nHost: a\r\n\r\n", false},
		{"a later HTTP/1", "GET /one HTTP/1.7\r\nHost: a\r\n\r\n", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := testkit.DialURL(t, s.URLs[0])
			c.Send(tt.raw)
			r := c.Response("GET")
			if r.Status != 200 || r.Close == tt.stays || r.Proto != "HTTP/1.1" {
				t.Errorf("got %+v; it should stay: %v", r, tt.stays)
			}
			if strings.Contains(tt.raw, "HTTP/1.0") && tt.stays && r.Header.Get("Connection") != "keep-alive" {
				t.Error("an HTTP/1.0 client was not told that the connection stays")
			}
			if !tt.stays {
				c.End()
				return
			}
			c.Send("GET /one HTTP/1.1\r\nHost: a\r\n\r\n")
			if r := c.Response("GET"); r.Body != "one part\n" {
				t.Errorf("the second request got %+v", r)
			}
		})
	}
}

func TestPipelinedRequestsAreAnsweredInTheirOrder(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "slow", "-w", "2", "-t", "5")
	c := s.Dial()
	c.Send(testkit.Request("GET", "/sleep?s=0.3", "") + testkit.Request("POST", "/fast", "a body") +
		testkit.Request("GET", "/nowhere", "") + testkit.Request("HEAD", "/fast", "") + testkit.Request("GET", "/sleep?s=0.01", ""))
	for i, want := range []struct {
		method, body string
		status       int
	}{{"GET", "slept\n", 200}, {"POST", "fast\n", 200}, {"GET", "no such path\n", 404}, {"HEAD", "", 200}, {"GET", "slept\n", 200}} {
		if r := c.Response(want.method); r.Status != want.status || r.Body != want.body {
			t.Errorf("response %d is %+v, want %v", i, r, want)
		}
	}
}

func TestAThousandPipelinedRequestsAreServed(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "echo", "-w", "2")
	c := s.Dial()
	const requests = 1000
	go func() {
		var all strings.Builder
		for i := range requests {
			all.WriteString(testkit.Request("POST", "/body", fmt.Sprintf("body %d", i)))
		}
		io.WriteString(c.Conn, all.String()) // what fails is missed below
	}()
	for i := range requests {
		if r := c.Response("POST"); r.Body != fmt.Sprintf("body %d", i) {
			t.Fatalf("response %d is %+v", i, r)
		}
	}
}

// conversation is two requests whose bytes may arrive in any pieces. The first body is in chunks, with an extension
// and trailers.
const conversation = "POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX-Long: some more bytes\r\n\r\n" +
	"5;name=\"value\"\r\nhello\r\nA\r\n, in\r\nbits\r\n000\r\nX-Trailer: one\r\nX-Other: two\r\n\r\n" +
	"PUT /body HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\ncounted" +
	"GET /body?last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

func checkConversation(t *testing.T, c *testkit.Client, how string) {
	t.Helper()
	for i, want := range []string{"hello, in\r\nbits", "counted", ""} {
		if r := c.Response("POST"); r.Status != 200 || r.Body != want {
			t.Errorf("%s: response %d is %+v, want %q", how, i, r, want)
		}
	}
	c.End()
}

func TestARequestMayBeSplitAnywhere(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "echo")
	// All first pieces go out before all second ones, so that the server has looked at each first piece by itself.
	clients := make([]*testkit.Client, len(conversation)-1)
	for i := range clients {
		clients[i] = s.Dial()
		clients[i].Send(conversation[:i+1])
	}
	for i, c := range clients {
		c.Send(conversation[i+1:])
	}
	for i, c := range clients {
		checkConversation(t, c, fmt.Sprintf("split after byte %d", i+1))
	}
}

func TestARequestMayComeByteByByte(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "echo")
	c := s.Dial()
	for i := range len(conversation) {
		c.Send(conversation[i : i+1])
		time.Sleep(100 * time.Microsecond) // so that the kernel does not join the bytes
	}
	checkConversation(t, c, "byte by byte")
}

func TestAnEmptyLineBeforeARequestIsForgiven(t *testing.T) { // RFC 9112 §2.2
	t.Parallel()
	s := testkit.Start(t, "hello")
	c := s.Dial()
	for range 2 {
		c.Send("\r\n" + testkit.Request("GET", "/", ""))
		if r := c.Response("GET"); r.Status != 200 {
			t.Errorf("got %+v", r)
		}
	}
}

func TestAClientThatExpectsContinueIsToldToGoOn(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "echo", "--max-body", "1K")
	head := "POST /body HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: %d\r\n\r\n"

	c := s.Dial()
	for range 2 {
		c.Send(fmt.Sprintf(head, 5))
		if line := c.Head(); line != "HTTP/1.1 100 Continue\r\n\r\n" {
			t.Errorf("the client was told %q", line)
		}
		c.Send("hello")
		if r := c.Response("POST"); r.Status != 200 || r.Body != "hello" {
			t.Errorf("got %+v", r)
		}
	}

	c.Send("POST /body HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n")
	if line := c.Head(); line != "HTTP/1.1 100 Continue\r\n\r\n" {
		t.Errorf("before a chunked body the client was told %q", line)
	}
	c.Send(testkit.Chunked("chunked"))
	if r := c.Response("POST"); r.Body != "chunked" {
		t.Errorf("got %+v", r)
	}

	c.Send(fmt.Sprintf(head, 5) + "ahead")
	if r := c.Response("POST"); r.Status != 200 || r.Body != "ahead" {
		t.Errorf("a client that did not wait got %+v", r)
	}

	c.Send(fmt.Sprintf(head, 2000))
	refusedWith(t, c, 413) // and no 100 first

	old := s.Dial()
	old.Send("POST /body HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello")
	if r := old.Response("POST"); r.Status != 200 || r.Body != "hello" {
		t.Errorf("an HTTP/1.0 client got %+v", r)
	}
}

func TestTheTargetHasFourForms(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "echo")
	for _, tt := range []struct {
		line string
		want map[string]any
	}{
		{"GET /a/../b%20c?d=e%26f&g HTTP/1.1", map[string]any{
			"PATH_INFO": "/a/../b%20c", "QUERY_STRING": "d=e%26f&g", "REQUEST_URI": "/a/../b%20c?d=e%26f&g", "SERVER_NAME": "host.test"}},
		{"GET http://other.test:81/a?b HTTP/1.1", map[string]any{
			"PATH_INFO": "/a", "QUERY_STRING": "b", "REQUEST_URI": "http://other.test:81/a?b", "SERVER_NAME": "other.test", "SERVER_PORT": "81"}},
		{"GET http://other.test HTTP/1.1", map[string]any{"PATH_INFO": "/", "QUERY_STRING": ""}},
		{"OPTIONS * HTTP/1.1", map[string]any{"PATH_INFO": "*", "REQUEST_METHOD": "OPTIONS"}},
		{"GET //double?? HTTP/1.1", map[string]any{"PATH_INFO": "//double", "QUERY_STRING": "?"}},
	} {
		c := testkit.DialURL(t, s.URLs[0])
		c.Send(tt.line + "\r\nHost: host.test\r\n\r\n")
		r := c.Response("GET")
		for key, want := range tt.want {
			if have := object(t, r)[key]; have != want {
				t.Errorf("%s: %s is %v, want %v", tt.line, key, have, want)
			}
		}
	}
}

func TestResponsesWithoutABodyHaveNone(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "bodies")
	for _, tt := range []struct {
		method, path string
		status       int
		length       string // the Content-Length that must be there
	}{
		{"HEAD", "/one", 200, "9"},
		{"HEAD", "/each", 200, ""},
		{"HEAD", "/string?kb=300", 200, "307200"},
		{"HEAD", "/status?status=200&length=7", 200, "7"},
		{"HEAD", "/file", 200, "any"},
		{"HEAD", "/call", 200, ""},
		{"GET", "/status?status=204", 204, ""},
		{"GET", "/status?status=204&length=7", 204, ""},
		{"GET", "/status?status=304", 304, ""},
		{"GET", "/status?status=304&length=7", 304, "7"},
		{"GET", "/status?status=205", 205, "0"},
		{"GET", "/empty", 200, "0"},
	} {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			c := testkit.DialURL(t, s.URLs[0])
			c.Send(testkit.Request(tt.method, tt.path, ""))
			head := c.Head()
			status, _, _ := strings.Cut(strings.TrimPrefix(head, "HTTP/1.1 "), " ")
			if status != fmt.Sprint(tt.status) {
				t.Errorf("got %q", head)
			}
			_, length, has := strings.Cut(head, "Content-Length: ")
			length, _, _ = strings.Cut(length, "\r\n")
			if has != (tt.length != "") || has && tt.length != "any" && length != tt.length {
				t.Errorf("Content-Length is %q, want %q", length, tt.length)
			}
			if tt.status == 204 && strings.Contains(head, "Transfer-Encoding") {
				t.Error("a 204 may not have a transfer coding (RFC 9112 §6.1)")
			}
			// Nothing stands between this head and the next.
			c.Send("GET /one HTTP/1.1\r\nHost: a\r\n\r\n")
			if r := c.Response("GET"); r.Body != "one part\n" {
				t.Errorf("the next response is %+v", r)
			}
		})
	}
}

func TestAnAppsInterimResponseIsTheLastOfItsConnection(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "bodies")
	for _, status := range []string{"100", "102", "103", "199"} {
		c := testkit.DialURL(t, s.URLs[0])
		c.Send(testkit.Request("GET", "/status?status="+status, "") + testkit.Request("GET", "/one", ""))
		if head := c.Head(); !strings.HasPrefix(head, "HTTP/1.1 "+status+" ") {
			t.Errorf("a %s became %q", status, head)
		}
		c.End() // the next response would be taken for the answer to this request
	}
}

func TestEveryResponseHasADate(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "bodies")
	for _, path := range []string{"/one", "/each", "/file", "/nowhere"} {
		date, err := http.ParseTime(s.Get(path).Header.Get("Date"))
		if age := time.Since(date); err != nil || age < -5*time.Second || age > testkit.Patience {
			t.Errorf("%s: the date is %s old (%v)", path, age, err)
		}
	}
	if dates := s.Get("/date").Header["Date"]; len(dates) != 1 || dates[0] != "Thu, 01 Jan 1970 00:00:00 GMT" {
		t.Errorf("the app's own date became %q", dates)
	}
}

func TestABodyOfUnknownLengthIsChunkedOrEndsWithTheConnection(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "bodies")
	c := s.Dial()
	c.Send(testkit.Request("GET", "/each", ""))
	if r := c.Response("GET"); !r.Chunked || r.Close || r.Body != "one\ntwo\nthree\n" {
		t.Errorf("HTTP/1.1 got %+v", r)
	}
	c.Send("GET /each HTTP/1.0\r\n\r\n")
	if r := c.Response("GET"); r.Chunked || r.Length != -1 || r.Body != "one\ntwo\nthree\n" {
		t.Errorf("HTTP/1.0 got %+v", r)
	}
	c.End()
}

func TestNoHeaderSplitsAResponse(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "errors")
	for _, path := range []string{
		"/crlf-value", "/crlf-body", "/cr-value", "/nul-value", "/control-value", "/crlf-name", "/colon-name",
		"/space-name", "/nul-name", "/empty-name",
	} {
		t.Run(path, func(t *testing.T) {
			c := testkit.DialURL(t, s.URLs[0])
			c.Send(testkit.Request("GET", path, ""))
			head := c.Head()
			if !strings.HasPrefix(head, "HTTP/1.1 200 ") {
				t.Fatalf("got %q", head)
			}
			for line := range strings.SplitSeq(strings.TrimSuffix(head, "\r\n\r\n"), "\r\n") {
				if strings.ContainsAny(line, "\r\n\x00\x01") || strings.HasPrefix(strings.ToLower(line), "set-cookie") || strings.HasPrefix(line, "<p>") {
					t.Errorf("the head has the line %q", line)
				}
			}
			body := make([]byte, len("fine\n"))
			if _, err := io.ReadFull(c, body); err != nil || string(body) != "fine\n" {
				t.Errorf("the body is %q, %v", body, err)
			}
			c.Send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			if r := c.Response("GET"); r.Status != 200 || r.Body != "fine\n" {
				t.Errorf("the next response is %+v", r)
			}
			c.End()
		})
	}
	if !s.Logged("header lines of the response were left out") {
		t.Error("the log says nothing of the headers that were left out")
	}
	r := s.Get("/lf-value") // a newline separates two values (Rack 2)
	if have := r.Header["X-A"]; len(have) != 2 || have[0] != "b" || have[1] != "set-cookie: stolen=1" || r.Header["Set-Cookie"] != nil {
		t.Errorf("a value with a newline became %v", r.Header)
	}
	hints := testkit.Start(t, "hints", "--early-hints")
	c := hints.Dial()
	c.Send(testkit.Request("GET", "/split", "") + smuggled)
	raw := c.Head() + c.Head()
	if strings.Contains(strings.ToLower(raw), "\nset-cookie") {
		t.Errorf("a hint split the response: %q", raw)
	}
}
