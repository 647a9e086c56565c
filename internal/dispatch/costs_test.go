package dispatch

import (
	"testing"
	"time"
)

func TestRequestsOfOnePathAreOfOneClass(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"GET /posts", "GET /posts?page=2", true},
		{"GET /posts/17/comments/3", "GET /posts/4711/comments/12", true},
		{"GET /posts/17", "GET /posts/new", false},
		{"GET /posts/1/2", "GET /posts/12", false},
		{"GET /posts", "POST /posts", false},
		{"GET /posts", "GET /post", false},
	} {
		if same := classOf([]byte(c.a)) == classOf([]byte(c.b)); same != c.same {
			t.Errorf("%s and %s are of one class: %t", c.a, c.b, same)
		}
	}
}

func TestAClassIsSlowThatTakesLong(t *testing.T) {
	var c costs
	report, page := classOf([]byte("GET /report")), classOf([]byte("GET /page"))
	if c.slow(report) {
		t.Error("nothing is known of it, and it is slow")
	}
	for i := range 100 {
		c.learn(report, 100*time.Millisecond)
		took := time.Millisecond
		if i%3 == 0 {
			took = 30 * time.Millisecond // beside a computation
		}
		c.learn(page, took)
	}
	if !c.slow(report) || c.slow(page) {
		t.Errorf("what takes 100 ms is slow: %t; what takes one, and now and then 30: %t", c.slow(report), c.slow(page))
	}
	for range 20 {
		c.learn(report, time.Millisecond)
	}
	if c.slow(report) {
		t.Error("what has become quick is slow for ever")
	}
}

func TestAClassMakesWayForAnother(t *testing.T) {
	var c costs
	c.learn(5, time.Second)
	if c.slow(5 + classes) {
		t.Error("a class is taken for another one")
	}
	c.learn(5+classes, time.Second)
	if !c.slow(5+classes) || c.slow(5) {
		t.Error("the newer class is not remembered in the place of the older")
	}
}

func BenchmarkClassOf(b *testing.B) {
	line := []byte("GET /posts/17/comments/3?page=2")
	for b.Loop() {
		classOf(line)
	}
}
