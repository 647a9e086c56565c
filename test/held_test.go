package test

import (
	"path/filepath"
	"testing"
	"time"

	"serval/internal/testkit"
)

// held starts a request and returns its connection, once a worker is running it: the apps slow, logged and deployed create
// the file that X-Entered names, before anything else.
func held(t *testing.T, s *testkit.Server, method, path string) *testkit.Client {
	t.Helper()
	entered := filepath.Join(t.TempDir(), "entered")
	c := s.Dial()
	c.Send(testkit.Request(method, path, "", "X-Entered: "+entered))
	testkit.WaitFor(t, "a worker runs "+path, func() bool { return exists(entered) })
	return c
}

// gated starts a request that a worker runs until open is called; its answer is "open\n".
func gated(t *testing.T, s *testkit.Server, method string) (c *testkit.Client, open func()) {
	t.Helper()
	gate := filepath.Join(t.TempDir(), "gate")
	return held(t, s, method, "/gate?file="+gate), func() { write(t, gate, "") }
}

// queued starts a request that no thread is free for, and returns its connection once the front has most likely read it:
// that shows in nothing but time.
func queued(t *testing.T, s *testkit.Server, method, path string) *testkit.Client {
	t.Helper()
	c := s.Dial()
	c.Send(testkit.Request(method, path, ""))
	time.Sleep(testkit.Patience / 400)
	return c
}
