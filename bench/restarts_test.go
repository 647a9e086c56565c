package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"serval/internal/testkit"
)

func TestEveryRestartThatAServerCanDoIsDoneAndServed(t *testing.T) {
	b := aBench(t)
	testkit.Need(t, "puma")
	testkit.Need(t, "bundle")
	for _, kind := range restartKinds {
		if !slices.Contains([]string{"usr1", "usr2", "gemfile", "broken-usr1", "broken-usr2", "kill"}, kind.name) {
			continue // longer than a test should be
		}
		for _, server := range []string{"serval", "puma"} {
			t.Run(kind.name+" "+server, func(t *testing.T) {
				s, err := b.open(t.Context(), server, kind, false, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { s.close() }()
				before := s.answer()
				if err := kind.perform(s, t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := s.serves(t.Context()); err != nil {
					t.Error(err)
				}
				stays := kind.name == "kill" || server == "serval" && strings.HasPrefix(kind.name, "broken")
				if (s.answer() == before) != stays {
					t.Errorf("before it was %q, and then %q", before, s.answer())
				}
				if dir := s.dir; !strings.Contains(s.command(), " --dir DIR/current") {
					t.Errorf("the command line %q has the directory %s", s.command(), dir)
				}
			})
		}
	}
}

func TestAnAnswerOfAnotherReleaseIsNoticed(t *testing.T) {
	b := aBench(t)
	s, err := b.open(t.Context(), "serval", restartKinds[0], false, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if err := s.next(""); err != nil {
		t.Fatal(err)
	}
	if err := s.serves(t.Context()); err == nil || !strings.Contains(err.Error(), `not "release 2 flavour 1 gem 0`) {
		t.Errorf("release 2 was laid out, but nobody was told; got %v", err)
	}
}

func TestASeriesIsUnderLoadFromAllClients(t *testing.T) {
	b := aBench(t)
	b.Restarts = 2
	run, err := b.restartSeries(t.Context(), "serval", restartKinds[0], false, 0)
	if err != nil {
		t.Fatal(err)
	}
	if run.Restarts != 2 || len(run.Took) != 2 || len(run.Problems) > 0 {
		t.Errorf("got %+v", run)
	}
	for i, c := range run.Clients {
		if c.Sent == 0 || c.Failed > 0 {
			t.Errorf("%s: %+v", clientKinds[i].name, c)
		}
	}
	if run.During.P99 == 0 || run.During.Silence == 0 || run.Steady.P99 == 0 || run.Lost != 0 {
		t.Errorf("got %+v", run)
	}
}

func TestAServerThatDoesNotStartIsARowOfItsOwn(t *testing.T) {
	b := aBench(t)
	kind := restartKinds[0]
	kind.flags = []string{"--no-such-flag"}
	run, err := b.restartSeries(t.Context(), "serval", kind, false, 0)
	if err != nil || len(run.Problems) != 1 || !strings.Contains(run.Problems[0], "no-such-flag") {
		t.Errorf("got %+v, %v", run, err)
	}
	if table := restartFailures([]restartRun{run}).String(); !strings.Contains(table, "| usr1 | no | 0 s | serval | 0 | 0 / 0 |") {
		t.Errorf("got %s", table)
	}
}

func TestTheTablesOfRestartsSayWhoFailed(t *testing.T) {
	counts := []clientCount{{Sent: 1000}, {Sent: 1000, Failed: 2}, {Sent: 10}, {Sent: 10}}
	runs := []restartRun{
		{Server: "serval", Kind: "usr1", Restarts: 100, Clients: counts, During: clientTimes{P99: 4, Silence: 12}, Steady: clientTimes{P99: 2, Silence: 8}, Took: []float64{300},
			Silences: []float64{8, 10, 12}, Stills: []float64{4, 4.5, 5}, Quiet: []float64{7}},
		{Server: "serval", Kind: "kill", Preload: true, Restarts: 5, Clients: counts, Lost: 1, Problems: []string{"no"}},
		{Server: "puma", Kind: "usr1", Restarts: 9, Clients: counts},
	}
	failures, times := restartFailures(runs).String(), restartTimes(runs).String()
	for _, want := range []string{
		"| restart | preload | boot | server | times | GET, kept | POST, kept | GET, one each | POST, one each | connections lost | not served |",
		"| usr1 | no | 0 s | serval | 100 | 0 / 1,000 | 2 / 1,000 | 0 / 10 | 0 / 10 | 0 | 0 |",
		"| kill | yes | 0 s | serval | 5 | 0 / 1,000 | 2 / 1,000 | 0 / 10 | 0 / 10 | 1 | 1 |",
	} {
		if !strings.Contains(failures, want) {
			t.Errorf("there is no line %s in\n%s", want, failures)
		}
	}
	if want := "| usr1 | no | 0 s | serval | 100 | 10.0 ms (12.0 ms) | 4.50 ms (5.00 ms) | 7.00 ms | – | 4.00 ms | 2.00 ms | 2.00 | – | – | 300 ms |"; !strings.Contains(times, want) {
		t.Errorf("there is no line %s in\n%s", want, times)
	}
	if words := restartWords("serval", runs); words != "serval: 100 restarts, 2 of 2,020 requests failed, 0 kept connections were lost, the longest silence was 12.0 ms; killed workers failed 2 more." {
		t.Errorf("got %s", words)
	}
}

func TestADeploymentLeavesNothing(t *testing.T) {
	d, err := deploy(0, false)
	if err != nil {
		t.Fatal(err)
	}
	if target, err := os.Readlink(d.current()); err != nil || target != d.path() {
		t.Errorf("the link is %q, %v", target, err)
	}
	if d.answer() != "release 1 flavour 1 gem 0 pid " {
		t.Errorf("got %q", d.answer())
	}
	d.remove()
	if _, err := os.Stat(d.dir); !os.IsNotExist(err) {
		t.Errorf("got %v", err)
	}
}
