package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"serval/internal/testkit"
)

// floorRounds are figures of two rounds over two numbers of connections.
func floorRounds() ([]floorCell, Options) {
	cells := []floorCell{
		{Program: "Ruby", CPU: cpu{Workers: 1}, Requests: 10},
		{Program: "Ruby", CPU: cpu{Workers: 3}, Requests: 10},
	}
	for i, us := range []float64{4, 8} {
		cells = append(cells,
			floorCell{Program: "C", Connections: 16, Round: i + 1, CPU: cpu{Front: us}, Requests: 1000},
			floorCell{Program: "Go", Connections: 16, Round: i + 1, CPU: cpu{Front: us + 1}, Requests: 1000},
			floorCell{Program: "serval", Connections: 16, Round: i + 1, CPU: cpu{Front: us * 2, Workers: us}, Requests: 1000},
			floorCell{Program: "C", Connections: 64, Round: i + 1, CPU: cpu{Front: us / 2}, Requests: 1000},
			floorCell{Program: "serval", Connections: 64, Round: i + 1, CPU: cpu{Front: 5, Workers: 5}, Requests: 1000, Failures: i * 7},
		)
	}
	return cells, Options{Connections: counts{16, 64}, Rounds: 2}
}

func TestTheFloorIsTheLoopInCAndTheAppInRuby(t *testing.T) {
	cells, o := floorRounds()
	got := floorTable(cells, o).String()
	for _, line := range []string{"| 16 | 6.0 | 7.0 | 2.0 | 8.0 | 12.0 + 6.0 | 18.0 | 2.25 |\n", "| 64 | 3.0 | 0.0 | 2.0 | 5.0 | 5.0 + 5.0 | 10.0 | 2.00 |\n"} {
		if !strings.Contains(got, line) {
			t.Errorf("there is no %q in\n%s", line, got)
		}
	}
}

func TestTheWordsOnTheFloorNameTheGoalAndWhatFailed(t *testing.T) {
	got := strings.Join(floorWords(floorRounds()), "\n")
	for _, words := range []string{"16 connections: serval takes 18.0 µs, 2.25 times the floor of 8.0 µs; the goal is at most 2.",
		"serval failed to answer 7 of 1,000 requests well over 64 connections in round 2."} {
		if !strings.Contains(got, words) {
			t.Errorf("there is no %q in\n%s", words, got)
		}
	}
	if strings.Count(got, "failed") != 1 {
		t.Errorf("one failed, but they say\n%s", got)
	}
}

func TestTheFloorIsMeasuredAtFourNumbersOfConnectionsUnlessOthersAreGiven(t *testing.T) {
	var o Options
	if got := o.floorConnections(); got.String() != "16,64,256,10000" {
		t.Errorf("got %v", got)
	}
	o.Connections = counts{3}
	if got := o.floorConnections(); got.String() != "3" {
		t.Errorf("got %v", got)
	}
}

func TestABareLoopAnswersEachRequest(t *testing.T) {
	b := aBench(t)
	for _, l := range bareLoops {
		t.Run(l.language, func(t *testing.T) {
			path, err := l.compile(t.Context(), t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			srv, err := b.startPeer(t.Context(), l.peer(), []string{path}, setup{}, "/")
			if err != nil {
				t.Fatal(err)
			}
			defer srv.stop()
			conn, err := dial(t.Context(), srv.address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			for range 3 {
				if err := ask(conn, "GET / HTTP/1.1\r\nHost: "+srv.address+"\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
			}
			if want := l.program + " 127.0.0.1 PORT"; srv.command != want {
				t.Errorf("its command line is %q, want %q", srv.command, want)
			}
		})
	}
}

func TestASourceThatDoesNotCompileIsNamed(t *testing.T) {
	source := filepath.Join(t.TempDir(), "broken.c")
	if err := os.WriteFile(source, []byte("int main(void) { return nothing; }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	broken := bareLoops[0]
	broken.source = source
	_, err := broken.compile(t.Context(), t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "cannot compile "+source) || !strings.Contains(err.Error(), "nothing") {
		t.Errorf("got %v", err)
	}
}

func TestTheAppIsCalledWithoutAServer(t *testing.T) {
	b := aBench(t)
	c, err := runRubyLoop(t.Context(), b.rubyLoop())
	if err != nil {
		t.Fatal(err)
	}
	if c.Program != "Ruby" || c.Requests < 1000 || c.CPU.Workers <= 0 || c.CPU.Workers > 1000 {
		t.Errorf("got %+v", c)
	}
	if _, err := runRubyLoop(t.Context(), []string{"ruby", rubyLoop, "test/apps/boot_error.ru", "1", "1"}); err == nil {
		t.Error("an app that does not load was called")
	}
}

func TestTheFloorIsMeasuredFromEndToEnd(t *testing.T) {
	testkit.Need(t, "wrk")
	b := aBench(t)
	b.Connections = counts{4}
	found, err := b.floor(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cells := found.raw.([]floorCell)
	if len(cells) != 4 {
		t.Fatalf("got %+v, want a figure for C, Go, serval and Ruby", cells)
	}
	for _, c := range cells {
		if c.Round != 1 || c.Requests == 0 || c.Failures > 0 || c.CPU.sum() <= 0 {
			t.Errorf("got %+v", c)
		}
	}
	for _, command := range []string{"cc -O2 -o loop bench/floor/loop.c", "loop 127.0.0.1 PORT", "ruby bench/floor/loop.rb bench/apps/hello.ru 1 1"} {
		if !strings.Contains(strings.Join(found.commands, "\n"), command) {
			t.Errorf("there is no %q in %q", command, found.commands)
		}
	}
}
