package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"serval/internal/testkit"
)

func TestRailsServesItsAPI(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "rails", "-w", "2", "-t", "5")
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Go(func() {
			c := s.Dial()
			for j := range 25 {
				name := fmt.Sprintf("client-%d-%d", i, j)
				c.Send(testkit.Request("GET", "/hello/"+name, "", "X-Request-Id: "+name))
				r, err := c.TryResponse("GET")
				if err != nil || r.Status != 200 || object(t, r)["hello"] != name || r.Header.Get("X-Request-Id") != name {
					t.Errorf("got %+v, %v", r, err)
					return
				}
			}
		})
	}
	clients.Wait()
	if r := s.Get("/nowhere"); r.Status != 404 {
		t.Errorf("got %+v", r)
	}
	c := s.Dial()
	c.Send(testkit.Request("HEAD", "/", "") + testkit.Request("GET", "/", ""))
	if r := c.Response("HEAD"); r.Status != 200 || r.Body != "" {
		t.Errorf("HEAD got %+v", r)
	}
	r := c.Response("GET")
	if object(t, r)["hello"] != "world" || r.Header.Get("Etag") == "" {
		t.Errorf("GET got %+v", r)
	}
	c.Send(testkit.Request("GET", "/", "", "If-None-Match: "+r.Header.Get("Etag")))
	if r := c.Response("GET"); r.Status != 304 || r.Body != "" {
		t.Errorf("the same again got %+v", r)
	}
}

func TestRailsReloadsItsCodeInDevelopment(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(testkit.Root(t), "examples", "rails"))); err != nil {
		t.Fatal(err)
	}
	lock(t, dir)
	s := testkit.Command{Dir: dir, Flags: []string{"-e", "development"}}.Start(t)
	if r := s.Get("/api/status"); r.Status != 200 || object(t, r)["env"] != "development" {
		t.Errorf("got %+v", r)
	}
	if r := s.Get("/nowhere"); r.Status != 404 || !strings.Contains(r.Body, "No route matches") {
		t.Errorf("got %+v", r)
	}
	path := filepath.Join(dir, "app/controllers/api/status_controller.rb")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, strings.Replace(string(text), "rails: Rails.version", `rails: "reloaded"`, 1))
	testkit.WaitFor(t, "the controller is reloaded", func() bool { return object(t, s.Get("/api/status"))["rails"] == "reloaded" })
}
