package test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"serval/internal/testkit"
)

func TestSinatraServesItsRoutes(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "sinatra", "-w", "2", "-t", "3")
	form := "Content-Type: application/x-www-form-urlencoded"
	for _, tt := range []struct {
		method, path, body, want string
		status                   int
	}{
		{"GET", "/", "", "Hello from Sinatra\n", 200},
		{"GET", "/hello/W%C3%B6rld%20wide", "", "Hello, Wörld wide\n", 200},
		{"POST", "/upper", "text=quiet+please", "QUIET PLEASE\n", 200},
		{"GET", "/stream", "", "part 0\npart 1\npart 2\n", 200},
		{"HEAD", "/", "", "", 200},
		{"GET", "/nowhere", "", "", 404},
	} {
		r := s.Do(tt.method, tt.path, tt.body, form)
		if r.Status != tt.status || tt.status == 200 && r.Body != tt.want {
			t.Errorf("%s %s: got %+v", tt.method, tt.path, r)
		}
	}
	if r := s.Get("/away"); r.Status != 302 || r.Header.Get("Location") != "http://serval.test/" {
		t.Errorf("the redirect is %+v", r)
	}
}

func TestSinatraKeepsItsSessionsInCookies(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "sinatra", "-w", "2")
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			c := s.Dial()
			cookie := "Cookie: none=1"
			for i := range 20 {
				c.Send(testkit.Request("GET", "/count", "", cookie))
				r, err := c.TryResponse("GET")
				if err != nil || r.Body != fmt.Sprintf("%d\n", i+1) {
					t.Errorf("visit %d got %+v, %v", i+1, r, err)
					return
				}
				session, _, _ := strings.Cut(r.Header.Get("Set-Cookie"), ";")
				cookie = "Cookie: " + session
			}
		})
	}
	clients.Wait()
}
