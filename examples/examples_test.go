// Package examples runs each example in Serval and uses it as its README says.
package examples

import (
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"serval/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// run starts Serval in a copy of an example.
func run(t *testing.T, name string, flags ...string) *testkit.Server {
	t.Helper()
	return testkit.Command{Dir: copied(t, name), Flags: flags}.Start(t)
}

// copied copies an example, which may write its lockfile and its database there.
func copied(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if err := os.CopyFS(dir, os.DirFS(name)); err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"Gemfile.lock", "db/*.sqlite3*"} { // of whoever ran the example here
		leftovers, _ := filepath.Glob(filepath.Join(dir, pattern))
		for _, path := range leftovers {
			os.Remove(path)
		}
	}
	return dir
}

// want checks a response.
func want(t *testing.T, r *testkit.Response, status int, part string) {
	t.Helper()
	if r.Status != status || !strings.Contains(r.Body, part) {
		t.Errorf("got %d with %q, want %d with %q in it", r.Status, r.Body, status, part)
	}
}

func TestHello(t *testing.T) {
	t.Parallel()
	s := run(t, "hello", "-w", "2", "-t", "5")
	want(t, s.Get("/"), 200, "Serval is serving")
	want(t, s.Get("/time"), 200, "T")
	want(t, s.Get("/env?a=b"), 200, "QUERY_STRING: a=b\n")
	want(t, s.Get("/nowhere"), 404, "nothing here")
	want(t, s.Get("/upload"), 200, "<form")
	want(t, s.Do("PUT", "/upload", strings.Repeat("x", 100_000)), 200, "100000 bytes\n")
	form := "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n12345\r\n--b--\r\n"
	want(t, s.Do("POST", "/upload", form, "Content-Type: multipart/form-data; boundary=b"), 200, "5 bytes\n")
	stream := s.Get("/stream")
	want(t, stream, 200, "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n")
	if !stream.Chunked {
		t.Error("the stream is not one")
	}
}

func TestHelloTellsNoSecrets(t *testing.T) {
	t.Parallel()
	s := run(t, "hello")
	r := s.Get("/env", "Cookie: session=secret", "Authorization: Basic secret")
	if strings.Contains(r.Body, "secret") {
		t.Errorf("it tells %s", r.Body)
	}
}

func TestSinatra(t *testing.T) {
	t.Parallel()
	s := run(t, "sinatra")
	want(t, s.Get("/hello/serval"), 200, "Hello, serval!\n")
	want(t, s.Do("POST", "/spots", ""), 303, "")
	want(t, s.Get("/spots.json"), 200, `{"count":1}`)
	want(t, s.Get("/"), 200, "Servals spotted: 1")
	want(t, s.Get("/stream"), 200, "part 0\npart 1\npart 2\n")
}

func TestSinatraUnderBundleExec(t *testing.T) {
	t.Parallel()
	s := testkit.Command{Dir: copied(t, "sinatra"), Program: []string{testkit.Need(t, "bundle"), "exec", testkit.Binary(t)}}.Start(t)
	want(t, s.Get("/hello/bundle"), 200, "Hello, bundle!\n")
}

func TestRailsInProductionWithTwoWorkers(t *testing.T) {
	t.Parallel()
	s := run(t, "rails", "-w", "2", "-t", "5")
	useRails(t, s, "production")
}

func TestRailsInDevelopment(t *testing.T) {
	t.Parallel()
	s := run(t, "rails", "-e", "development")
	useRails(t, s, "development")
}

func useRails(t *testing.T, s *testkit.Server, env string) {
	t.Helper()
	want(t, s.Get("/api/status"), 200, fmt.Sprintf(`"env":%q`, env))
	want(t, s.Do("POST", "/api/notes", "text=by+the+river", "Content-Type: application/x-www-form-urlencoded"), 201, `"text":"by the river"`)
	want(t, s.Do("POST", "/api/notes", "text=", "Content-Type: application/x-www-form-urlencoded"), 422, "can't be blank")
	want(t, s.Get("/api/notes"), 200, "by the river")
	noteByForm(t, s)
	shoutOverWebSocket(t, s)
}

// noteByForm fills in the form of the page, with its session cookie and its token.
func noteByForm(t *testing.T, s *testkit.Server) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := http.Client{Jar: jar, Timeout: testkit.Patience}
	page := body(t)(browser.Get("http://" + s.Addr() + "/"))
	token := regexp.MustCompile(`csrf-token" content="([^"]+)"`).FindStringSubmatch(page)
	if token == nil {
		t.Fatalf("there is no token in %s", page)
	}
	fields := url.Values{"authenticity_token": {token[1]}, "note[text]": {"in <tall> grass"}}
	page = body(t)(browser.PostForm("http://"+s.Addr()+"/notes", fields)) // and follows the redirect
	for _, part := range []string{"Noted.", "in &lt;tall&gt; grass"} {
		if !strings.Contains(page, part) {
			t.Errorf("there is no %q in %s", part, page)
		}
	}
}

// body returns a function that reads a response, so that it can be called with both results of a request.
func body(t *testing.T) func(*http.Response, error) string {
	return func(r *http.Response, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		var text strings.Builder
		if err := r.Write(&text); err != nil {
			t.Fatal(err)
		}
		return text.String()
	}
}

// shoutOverWebSocket subscribes to the channel and hears what it says to it.
func shoutOverWebSocket(t *testing.T, s *testkit.Server) {
	t.Helper()
	c := s.Dial()
	c.Send("GET /cable HTTP/1.1\r\nHost: " + s.Addr() + "\r\nOrigin: http://" + s.Addr() + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: actioncable-v1-json\r\n\r\n")
	head := c.Head()
	// RFC 6455, section 1.3, has the answer to this key.
	if !strings.HasPrefix(head, "HTTP/1.1 101 ") || !strings.Contains(head, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") {
		t.Fatalf("instead of a WebSocket came %s", head)
	}
	identifier := `{"channel":"EchoChannel"}`
	say(t, c, map[string]string{"command": "subscribe", "identifier": identifier})
	await(t, c, "confirm_subscription")
	say(t, c, map[string]string{"command": "message", "identifier": identifier, "data": `{"action":"say","text":"hiss"}`})
	await(t, c, `"said":"hiss"`)
	say(t, c, map[string]string{"command": "message", "identifier": identifier, "data": `{"action":"shout","text":"purr"}`})
	await(t, c, `"shouted":"purr"`)
	c.Close()
}
