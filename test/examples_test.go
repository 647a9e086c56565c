package test

import (
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

// example copies an example, and resolves its Gemfile if it has one.
func example(t *testing.T, name string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(testkit.Root(t), "examples", name))); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "Gemfile")); err == nil {
		lock(t, dir)
	}
	return dir
}

func TestTheHelloExampleRuns(t *testing.T) {
	t.Parallel()
	s := testkit.Command{Dir: example(t, "hello")}.Start(t)
	for path, want := range map[string]string{
		"/": "<h1>Serval is serving</h1>", "/env": "SERVER_SOFTWARE: serval", "/stream": "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n",
	} {
		if r := s.Get(path); r.Status != 200 || !strings.Contains(r.Body, want) {
			t.Errorf("%s: got %+v", path, r)
		}
	}
	if r := s.Do("PUT", "/upload", strings.Repeat("x", 100_000)); r.Body != "100000 bytes\n" {
		t.Errorf("an upload got %+v", r)
	}
	form := "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n" + strings.Repeat("x", 123_456) + "\r\n--b--\r\n"
	if r := s.Do("POST", "/upload", form, "Content-Type: multipart/form-data; boundary=b"); r.Body != "123456 bytes\n" {
		t.Errorf("a form got %+v", r)
	}
}

func TestTheSinatraExampleRuns(t *testing.T) {
	t.Parallel()
	s := testkit.Command{Dir: example(t, "sinatra")}.Start(t)
	for range 3 {
		if r := s.Do("POST", "/spots", "", "Content-Length: 0"); r.Status != 303 && r.Status != 302 {
			t.Errorf("got %+v", r)
		}
	}
	if r := s.Get("/spots.json"); r.Body != `{"count":3}` {
		t.Errorf("got %+v", r)
	}
	if r := s.Get("/"); !strings.Contains(r.Body, "Servals spotted: 3") {
		t.Errorf("got %+v", r)
	}
}

func TestTheRailsExampleRuns(t *testing.T) {
	t.Parallel()
	s := testkit.Command{Dir: example(t, "rails"), Flags: []string{"-w", "2", "-t", "5"}}.Start(t)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	page := func(res *http.Response, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text := new(strings.Builder)
		if err := res.Write(text); err != nil || res.StatusCode != 200 {
			t.Fatalf("got %s, %v: %s", res.Status, err, text)
		}
		return text.String()
	}
	form := page(browser.Get(s.URLs[0] + "/"))
	token := regexp.MustCompile(`name="authenticity_token" value="([^"]+)"`).FindStringSubmatch(form)
	if token == nil {
		t.Fatalf("the page has no form: %s", form)
	}
	noted := page(browser.PostForm(s.URLs[0]+"/notes", url.Values{"authenticity_token": token[1:], "note[text]": {"by <the> river"}}))
	if !strings.Contains(noted, "by &lt;the&gt; river") || !strings.Contains(noted, "Noted.") {
		t.Errorf("the note did not appear: %s", noted)
	}
	if r := s.Do("POST", "/notes", "note[text]=forged", "Content-Type: application/x-www-form-urlencoded"); r.Status != 422 {
		t.Errorf("a form without its token got %+v", r)
	}
	if r := s.Do("POST", "/api/notes", `{"text":"in JSON"}`, "Content-Type: application/json"); r.Status != 201 {
		t.Errorf("got %+v", r)
	}
	if r := s.Get("/api/notes"); !strings.Contains(r.Body, "in JSON") || !strings.Contains(r.Body, "river") || strings.Contains(r.Body, "forged") {
		t.Errorf("got %+v", r)
	}
	status := object(t, s.Get("/api/status"))
	if status["server"] != "serval" || status["env"] != "production" || status["notes"] != 2.0 {
		t.Errorf("the status is %v", status)
	}
	k := openCable(t, s.Dial(), "EchoChannel")
	k.perform("say", "over Rails")
	k.expect(`"said":"over Rails"`)
	k.hangUp()
}

func TestTheRailsExampleRunsInDevelopment(t *testing.T) {
	t.Parallel()
	dir := example(t, "rails")
	s := testkit.Command{Dir: dir, Flags: []string{"-e", "development"}}.Start(t)
	if r := s.Get("/api/status"); r.Status != 200 || object(t, r)["env"] != "development" {
		t.Errorf("got %+v", r)
	}
	if r := s.Get("/nowhere"); r.Status != 404 || !strings.Contains(r.Body, "No route matches") {
		t.Errorf("got %+v", r)
	}
	// Rails reloads what changed between two requests.
	path := filepath.Join(dir, "app/controllers/api/status_controller.rb")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, strings.Replace(string(text), "rails: Rails.version", `rails: "reloaded"`, 1))
	testkit.WaitFor(t, "the controller is reloaded", func() bool { return object(t, s.Get("/api/status"))["rails"] == "reloaded" })
}
