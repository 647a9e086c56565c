package supervisor

import (
	"testing"

	"serval/internal/testkit"
)

func TestWhoWantsTheEndIsAnsweredBeforeIt(t *testing.T) {
	dir := testkit.ShortDir(t)
	for range 200 {
		s := &Supervisor{Records: dir}
		if err := s.Open(); err != nil {
			t.Fatal(err)
		}
		server, err := Claim(dir)
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan struct{})
		go func() {
			defer close(served)
			server.Serve(s)
		}()
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			<-server.End()
			server.Close()
		}()
		if err := NewClient(dir).End(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-closed
		<-served
	}
}
