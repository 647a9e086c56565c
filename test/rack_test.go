package test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"serval/internal/testkit"
)

func TestTheEnvHasWhatRackAndPumaPromise(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "echo", "-w", "2", "-t", "3")
	r := s.Do("POST", "/a%20b/c?d=e%26f", "hello", "Content-Type: text/plain", "X-Some-Name: some value", "Accept: text/html")
	env := object(t, r)
	want := map[string]any{
		"REQUEST_METHOD": "POST", "REQUEST_URI": "/a%20b/c?d=e%26f", "REQUEST_PATH": "/a%20b/c", "PATH_INFO": "/a%20b/c",
		"QUERY_STRING": "d=e%26f", "SCRIPT_NAME": "", "SERVER_PROTOCOL": "HTTP/1.1",
		"SERVER_NAME": "serval.test", "SERVER_PORT": "80", "REMOTE_ADDR": "127.0.0.1", "GATEWAY_INTERFACE": "CGI/1.2",
		"HTTP_HOST": "serval.test", "HTTP_X_SOME_NAME": "some value", "HTTP_ACCEPT": "text/html", "HTTP_CONNECTION": "close",
		"CONTENT_TYPE": "text/plain", "CONTENT_LENGTH": "5",
		"rack.url_scheme": "http", "rack.multithread": true, "rack.multiprocess": true, "rack.run_once": false, "rack.hijack?": true,
		"rack.input": "(StringIO)", "rack.errors": "(IO)",
	}
	if before(testkit.Rack(t), 3, 1) { // which took it out of the SPEC
		want["HTTP_VERSION"] = "HTTP/1.1"
	}
	for key, value := range want {
		if have, ok := env[key]; !ok || have != value {
			t.Errorf("%s is %#v, want %#v", key, have, value)
		}
	}
	for key, length := range map[string]int{"rack.version": 2, "rack.after_reply": 0, "rack.response_finished": 0} {
		if have, ok := env[key].([]any); !ok || len(have) != length {
			t.Errorf("%s is %#v, want an array of %d", key, env[key], length)
		}
	}
	for _, key := range []string{"rack.hijack", "puma.mark_as_io_bound", "puma.request_body_wait"} {
		if env[key] == nil {
			t.Errorf("there is no %s", key)
		}
	}
	if software, _ := env["SERVER_SOFTWARE"].(string); !strings.HasPrefix(software, "serval ") {
		t.Errorf("SERVER_SOFTWARE is %q", software)
	}
	for _, key := range []string{"HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH", "rack.early_hints", "REMOTE_PORT"} {
		if have, ok := env[key]; ok {
			t.Errorf("%s should not be there, and is %#v", key, have)
		}
	}
}

func TestTheEnvFollowsTheRequest(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "echo")
	for _, tt := range []struct {
		name, raw string
		want      map[string]any // nil: not there
	}{
		{"a port in Host", "GET / HTTP/1.1\r\nHost: a.test:8080\r\n\r\n", map[string]any{"SERVER_NAME": "a.test", "SERVER_PORT": "8080"}},
		{"an IPv6 Host", "GET / HTTP/1.1\r\nHost: [::1]:81\r\n\r\n", map[string]any{"SERVER_NAME": "[::1]", "SERVER_PORT": "81"}},
		{"no Host", "GET / HTTP/1.0\r\n\r\n", map[string]any{"SERVER_NAME": "localhost", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.0", "HTTP_HOST": nil}},
		{"a proxy that ends TLS", "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\n\r\n", map[string]any{"rack.url_scheme": "https", "SERVER_PORT": "443"}},
		{"no query", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", map[string]any{"QUERY_STRING": "", "CONTENT_LENGTH": nil, "CONTENT_TYPE": nil, "rack.input": "(Serval::NullInput)"}},
		{"a fragment", "GET /a?b#c HTTP/1.1\r\nHost: a\r\n\r\n", map[string]any{"PATH_INFO": "/a", "QUERY_STRING": "b", "REQUEST_URI": "/a?b#c"}},
		{"repeated headers", "GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nx-a: 2\r\nX-A: 3\r\n\r\n", map[string]any{"HTTP_X_A": "1, 2, 3"}},
		{"repeated cookies", "GET / HTTP/1.1\r\nHost: a\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n", map[string]any{"HTTP_COOKIE": "a=1; b=2"}},
		{"an underscore", "GET / HTTP/1.1\r\nHost: a\r\nX_A: 1\r\n\r\n", map[string]any{"HTTP_X_A": "1"}},
		{"an underscore beside a dash", "GET / HTTP/1.1\r\nHost: a\r\nX_A: forged\r\nX-A: true\r\n\r\n", map[string]any{"HTTP_X_A": "true"}},
		{"a dash beside an underscore", "GET / HTTP/1.1\r\nHost: a\r\nX-A: true\r\nX_A: forged\r\n\r\n", map[string]any{"HTTP_X_A": "true"}},
		{"a length with an underscore", "GET / HTTP/1.1\r\nHost: a\r\nContent_Length: 5\r\n\r\n", map[string]any{"CONTENT_LENGTH": nil, "HTTP_CONTENT_LENGTH": nil}},
		{"blanks around a value", "GET / HTTP/1.1\r\nHost: a\r\nX-A: \t b  c \t \r\n\r\n", map[string]any{"HTTP_X_A": "b  c"}},
		{"an empty value", "GET / HTTP/1.1\r\nHost: a\r\nX-A:\r\n\r\n", map[string]any{"HTTP_X_A": ""}},
		{"UTF-8 in a value", "GET / HTTP/1.1\r\nHost: a\r\nX-A: Füßchen\r\n\r\n", map[string]any{"HTTP_X_A": "Füßchen"}},
		{"UTF-8 in the path", "GET /Füßchen HTTP/1.1\r\nHost: a\r\n\r\n", map[string]any{"PATH_INFO": "/Füßchen"}},
		{"a body of no bytes", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", map[string]any{"CONTENT_LENGTH": "0"}},
		{"a chunked body", chunked("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "hello", " there"), map[string]any{"CONTENT_LENGTH": "11", "HTTP_TRANSFER_ENCODING": nil}},
		{"a method of WebDAV", "PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n", map[string]any{"REQUEST_METHOD": "PROPFIND"}},
		{"Ruby code in a name's place", "GET /#{exit!}\"\\ HTTP/1.1\r\nHost: a\r\nX-A: #{exit!}\r\n\r\n", map[string]any{"HTTP_X_A": "#{exit!}"}},
	} {
		for range 2 { // the second time, all names are known
			c := testkit.DialURL(t, s.URLs[0])
			c.Send(tt.raw)
			env := object(t, c.Response("GET"))
			for key, want := range tt.want {
				have, ok := env[key]
				if ok != (want != nil) || ok && have != want {
					t.Errorf("%s: %s is %#v, want %#v", tt.name, key, have, want)
				}
			}
		}
	}
}

func chunked(head string, parts ...string) string { return head + testkit.Chunked(parts...) }

func TestSingleModeWithOneThreadSaysSo(t *testing.T) {
	t.Parallel()
	env := object(t, testkit.Start(t, "echo", "-t", "1").Get("/"))
	if env["rack.multithread"] != false || env["rack.multiprocess"] != false {
		t.Errorf("multithread %v, multiprocess %v", env["rack.multithread"], env["rack.multiprocess"])
	}
}

func TestRequestsWithManyAndStrangeHeadersArrive(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "echo")
	// More header names than the front and the worker agree on shapes for.
	for i := range 1500 {
		name := fmt.Sprintf("X-Name-%d", i)
		c := testkit.DialURL(t, s.URLs[0])
		c.Send(testkit.Request("GET", "/", "", name+": yes", "X-Always: too"))
		env := object(t, c.Response("GET"))
		if env["HTTP_"+strings.ReplaceAll(strings.ToUpper(name), "-", "_")] != "yes" || env["HTTP_X_ALWAYS"] != "too" {
			t.Fatalf("%s did not arrive: %v", name, env)
		}
		c.Close()
	}
	var lines []string
	for i := range 150 {
		lines = append(lines, fmt.Sprintf("X-Many-%d: %d", i, i))
	}
	env := object(t, s.Get("/", lines...))
	if env["HTTP_X_MANY_0"] != "0" || env["HTTP_X_MANY_149"] != "149" {
		t.Errorf("150 headers did not arrive: %v", env)
	}
	if env := object(t, s.Get("/", "X-Long: "+strings.Repeat("v", 70_000))); len(env["HTTP_X_LONG"].(string)) != 70_000 {
		t.Errorf("a long header did not arrive")
	}
}

func TestTheRequestBodyIsReadableInEveryWayAndRewindable(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "lint")
	body := "one\ntwo\n\nfour"
	long := strings.Repeat("a line of a body that is too long for memory\n", 5000) // 225 KB: a file
	for _, tt := range []struct{ path, body, want string }{
		{"/read", body, body},
		{"/read7", body, "one\ntwo|\n\nfour"},
		{"/buffer", body, "one\ntwo|\n\nfour"},
		{"/gets", body, "one\n|two\n|\n|four"},
		{"/each", body, "one\n|two\n|\n|four"},
		{"/rewind", body, body + "|" + body},
		{"/at-end", body, `["", nil, nil]`},
		{"/read", "", ""},
		{"/read7", "", ""},
		{"/gets", "", ""},
		{"/rewind", "", "|"},
		{"/at-end", "", `["", nil, nil]`},
		{"/read", long, long},
		{"/rewind", long, long + "|" + long},
		{"/gets", long, strings.TrimSuffix(strings.ReplaceAll(long, "\n", "\n|"), "|")},
		{"/at-end", long, `["", nil, nil]`},
	} {
		if tt.path == "/rewind" && !before(testkit.Rack(t), 3, 0) {
			tt.want = "cannot rewind" // Rack::Lint hides it
		}
		if r := s.Do("POST", tt.path, tt.body); r.Body != tt.want {
			t.Errorf("%s of %d bytes: got %.200q, want %.200q", tt.path, len(tt.body), r.Body, tt.want)
		}
		c := s.Dial()
		c.Send("POST " + tt.path + " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunksOf(tt.body, 1000))
		if r := c.Response("POST"); r.Body != tt.want {
			t.Errorf("%s of %d chunked bytes: got %.200q, want %.200q", tt.path, len(tt.body), r.Body, tt.want)
		}
	}
}

// chunksOf puts body into chunks of so many bytes.
func chunksOf(body string, size int) string {
	var parts []string
	for body != "" {
		n := min(size, len(body))
		parts = append(parts, body[:n])
		body = body[n:]
	}
	return testkit.Chunked(parts...)
}

func TestABodyThatIsNotReadDoesNotDisturbTheNextRequest(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "echo")
	c := s.Dial()
	for _, size := range []int{0, 1, 100, 70_000, 500_000, 1} {
		c.Send(testkit.Request("POST", "/unread", strings.Repeat("x", size)))
		if r := c.Response("POST"); r.Body != "not read\n" {
			t.Fatalf("%d bytes: got %+v", size, r)
		}
	}
	c.Send(testkit.Request("POST", "/body", "read"))
	if r := c.Response("POST"); r.Body != "read" {
		t.Errorf("got %+v", r)
	}
}

func TestStringsOfTheEnvAreBinaryAndTheClientsOwnMayBeChanged(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "echo")
	for key, encoding := range object(t, s.Get("/encodings", "X-A: ü")) {
		if strings.HasPrefix(key, "HTTP_") && encoding != "ASCII-8BIT" {
			t.Errorf("%s is in %v", key, encoding)
		}
	}
	for range 2 {
		if frozen := list(t, s.Get("/frozen", "Accept: text/html")); slices.Contains(frozen, "HTTP_ACCEPT") || slices.Contains(frozen, "PATH_INFO") {
			t.Errorf("these are frozen: %v", frozen)
		}
	}
}

func TestLintIsContentUnderLoad(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "lint", "-w", "2", "-t", "3")
	big := strings.Repeat("0123456789", 10_000)
	requests := []struct{ method, path, body, want string }{
		{"GET", "/", "", "lint is content\n"},
		{"POST", "/rewind", "twice", "twice|twice"},
		{"POST", "/read", big, big},
		{"GET", "/length", "", "sized\n"},
		{"GET", "/parts", "", "part 0\npart 1\npart 2\n"},
		{"GET", "/empty", "", ""},
		{"GET", "/cookies", "", "two cookies\n"},
		{"POST", "/errors", "x", "written\n"},
		{"HEAD", "/", "", ""},
		{"GET", "/nowhere", "", "no such path\n"},
	}
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			c := s.Dial()
			for i := range 100 {
				q := requests[i%len(requests)]
				c.Send(testkit.Request(q.method, q.path, q.body))
				if r, err := c.TryResponse(q.method); err != nil || r.Body != q.want || r.Status >= 500 {
					t.Errorf("%s %s: %.300v, %v", q.method, q.path, r, err)
					return
				}
			}
		})
	}
	clients.Wait()
	for _, path := range []string{"/hijack", "/partial"} {
		if r := s.Get(path); !strings.HasSuffix(r.Body, "hijacked\n") {
			t.Errorf("%s: got %+v", path, r)
		}
	}
	if s.Logged("LintError") {
		t.Error("Rack::Lint complained")
	}
}

func TestHeadersMayBeListsAndOfEveryKind(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "bodies")
	for path, want := range map[string]map[string][]string{
		"/array-header":      {"X-List": {"a", "b", "c"}},
		"/newline-header":    {"X-Lines": {"a", "b"}},
		"/empty-header":      {"X-Empty": {""}},
		"/integer-header":    {"X-Integer": {"42"}},
		"/mixed-case-header": {"X-Mixed": {"Yes"}, "Content-Type": {"text/plain"}},
	} {
		r := s.Get(path)
		for name, values := range want {
			if have := r.Header[name]; r.Status != 200 || !slices.Equal(have, values) {
				t.Errorf("%s: %d, %s is %q, want %q", path, r.Status, name, have, values)
			}
		}
	}
	if r := s.Get("/nil-header"); r.Status != 200 || r.Body != "a nil header\n" {
		t.Errorf("a header of nil: %+v", r)
	}
	rack3 := testkit.Start(t, "rack3")
	if have := rack3.Get("/").Header["Set-Cookie"]; !slices.Equal(have, []string{"a=1", "b=2"}) {
		t.Errorf("cookies in an array became %q", have)
	}
}

func TestEarlyHintsComeBeforeTheResponse(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "hints", "--early-hints")
	for path, want := range map[string][][]string{
		"/":      {{"</style.css>; rel=preload; as=style", "</app.js>; rel=preload; as=script"}},
		"/list":  {{"</style.css>; rel=preload; as=style", "</app.js>; rel=preload; as=script"}},
		"/twice": {{"</style.css>; rel=preload; as=style"}, {"</app.js>; rel=preload; as=script"}},
		"/empty": {},
	} {
		c := testkit.DialURL(t, s.URLs[0])
		c.Send(testkit.Request("GET", path, ""))
		for _, links := range want {
			if r := c.Response("GET"); r.Status != 103 || !slices.Equal(r.Header["Link"], links) {
				t.Errorf("%s: the hint is %+v, want %q", path, r, links)
			}
		}
		if r := c.Response("GET"); r.Status != 200 || r.Body != "with hints\n" {
			t.Errorf("%s: got %+v", path, r)
		}
	}
	c := s.Dial()
	c.Send("GET / HTTP/1.0\r\n\r\n")
	if r := c.Response("GET"); r.Status != 200 || r.Body != "with hints\n" {
		t.Errorf("an HTTP/1.0 client, which knows no hints, got %+v", r)
	}
	without := testkit.Start(t, "hints")
	if r := without.Get("/"); r.Status != 200 || r.Body != "without hints\n" {
		t.Errorf("without --early-hints: %+v", r)
	}
}

func TestHooksRunOnceTheResponseIsOut(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "hooks")
	finished := func(n int, status, err string) string {
		return fmt.Sprintf("finished %d: env Hash, status %s, headers Hash, error %s\n", n, status, err)
	}
	after := "after_reply 1\nafter_reply 2\n"
	for _, tt := range []struct{ path, body, log string }{
		{"/hooks", "told\n", "each\nclose\n" + after + finished(2, "200", "nil") + finished(1, "200", "nil")},
		{"/array", "an array\n", after + finished(2, "200", "nil") + finished(1, "200", "nil")},
		{"/hook-raises", "told\n", "each\nclose\n" + after + finished(2, "200", "nil") + finished(1, "200", "nil")},
	} {
		if r := s.Get(tt.path); r.Body != tt.body {
			t.Errorf("%s: got %+v", tt.path, r)
		}
		awaitHooks(t, s, tt.path, tt.log)
	}
	for _, path := range []string{"/raise", "/raise-later"} {
		c := s.Dial()
		c.Send(testkit.Request("GET", path, ""))
		c.TryResponse("GET") // a 500, or half a response; told elsewhere
		var log strings.Builder
		testkit.WaitFor(t, "the hooks run after "+path, func() bool {
			log.WriteString(s.Get("/log").Body)
			return strings.Contains(log.String(), "finished 1")
		})
		if have := log.String(); !strings.Contains(have, after) || !strings.Contains(have, "RuntimeError") {
			t.Errorf("%s: the hooks wrote %q", path, have)
		}
	}

	// The response does not wait for its hooks.
	c := s.Dial()
	c.Send(testkit.Request("GET", "/slow-hook", ""))
	c.Response("GET")
	if log := s.Get("/log").Body; strings.Contains(log, "slow") {
		t.Error("the response waited for its hook")
	}
	awaitHooks(t, s, "/slow-hook", "slow\n")
}

func awaitHooks(t *testing.T, s *testkit.Server, path, want string) {
	t.Helper()
	var log strings.Builder
	testkit.WaitFor(t, "the hooks of "+path+" have run", func() bool {
		log.WriteString(s.Get("/log").Body)
		return log.Len() >= len(want)
	})
	if log.String() != want {
		t.Errorf("%s: the hooks wrote %q, want %q", path, log.String(), want)
	}
}

func TestAnExceptionBeforeTheResponseIsA500(t *testing.T) {
	t.Parallel()
	production := testkit.Start(t, "errors")
	development := testkit.Start(t, "errors", "-e", "development")
	for path, message := range map[string]string{
		"/raise": "before the response", "/raise-cause": "with a cause", "/raise-exception": "not a StandardError",
		"/throw": "nowhere", "/exit": "exit", "/abort": "leaving", "/interrupt": "as if Ctrl-C", "/no-memory": "failed to allocate",
		"/too-deep": "stack level too deep", "/raise-first": "before the first part",
		"/raise-later-length": "short of the length", // so short a body is sent whole or not at all
	} {
		c := testkit.DialURL(t, production.URLs[0])
		c.Send(testkit.Request("GET", path, ""))
		if r := c.Response("GET"); r.Status != 500 || r.Close || r.Body != "Internal Server Error\n" {
			t.Errorf("production, %s: got %+v", path, r)
		}
		if r := production.Get(path, "Accept: text/html"); strings.Contains(r.Body, message) || strings.Contains(r.Body, ".ru:") || !strings.Contains(r.Body, "<h1>") {
			t.Errorf("production, %s: the page is %+v", path, r)
		}
		production.AwaitLog(message)
		if r := development.Get(path); r.Status != 500 || !strings.Contains(r.Body, message) || !strings.Contains(r.Body, "errors.ru:") {
			t.Errorf("development, %s: got %+v", path, r)
		}
	}
	page := development.Get("/raise-html", "Accept: text/html")
	if !strings.HasPrefix(page.Header.Get("Content-Type"), "text/html") || strings.Contains(page.Body, "<script>") || !strings.Contains(page.Body, "&lt;script&gt;") {
		t.Errorf("the page is %+v", page)
	}
	if r := production.Get("/kill-thread"); r.Status != 500 {
		t.Errorf("a request that ended its thread got %+v", r)
	}
	if r := production.Get("/"); r.Body != "fine\n" {
		t.Errorf("after all that, the app answers %+v", r)
	}
}

func TestAnExceptionInTheBodyCutsTheConnectionAndSendsNoSecondResponse(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "errors")
	for _, path := range []string{"/raise-later", "/exit-later", "/raise-late", "/raise-late?length=1"} {
		for _, protocol := range []string{"HTTP/1.1", "HTTP/1.0"} {
			c := testkit.DialURL(t, s.URLs[0])
			c.Send("GET " + path + " " + protocol + "\r\nHost: a\r\n\r\n")
			r, err := c.TryResponse("GET")
			if err == nil {
				t.Errorf("%s, %s: the client takes %+v for a whole response", path, protocol, r)
			}
			rest, _ := c.Rest()
			if r != nil && (r.Status != 200 || strings.Contains(r.Body, "HTTP/1.1")) || strings.Contains(rest, "HTTP/1.1") {
				t.Errorf("%s, %s: got %+v, then %q", path, protocol, r, rest)
			}
		}
	}
	if r := s.Get("/raise-close"); r.Body != "all of it\n" {
		t.Errorf("an error in close changed the response: %+v", r)
	}
	if r := s.Get("/"); r.Body != "fine\n" {
		t.Errorf("got %+v", r)
	}
}

func TestWhatIsNoResponseIsA500WithAReason(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "errors")
	for _, path := range []string{
		"/nil", "/string", "/pair", "/quad", "/status-text", "/status-nil", "/status-0", "/status-99", "/status-1000", "/status-negative",
		"/headers-nil", "/headers-string", "/body-nil", "/body-integer",
	} {
		if r := s.Get(path); r.Status != 500 {
			t.Errorf("%s: got %+v", path, r)
		}
		s.AwaitLog("(GET " + path + ")")
	}
	for path, status := range map[string]int{"/status-string": 201, "/status-unknown": 599, "/headers-pairs": 200, "/body-numbers": 200, "/body-nils": 200} {
		if r := s.Get(path); r.Status != status {
			t.Errorf("%s: got %+v, want a %d", path, r, status)
		}
	}
	lengths := map[string]string{"/length-text": "fine\n", "/length-negative": "fine\n", "/length-and-chunked": ""}
	for _, path := range slices.Sorted(maps.Keys(lengths)) {
		c := s.Dial()
		c.Send(testkit.Request("GET", path, ""))
		if r := c.Response("GET"); r.Body != lengths[path] {
			t.Errorf("%s: got %+v, want %q", path, r, lengths[path])
		}
		c.Send(testkit.Request("GET", "/", ""))
		if r := c.Response("GET"); r.Body != "fine\n" {
			t.Errorf("after %s: got %+v", path, r)
		}
	}
}

// before says whether a release is older than major.minor.
func before(release string, major, minor int) bool {
	var have [2]int
	fmt.Sscanf(release, "%d.%d", &have[0], &have[1]) //nolint:errcheck // what is no number is old
	return slices.Compare(have[:], []int{major, minor}) < 0
}
