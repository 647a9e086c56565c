package test

import (
	"fmt"
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
