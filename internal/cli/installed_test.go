package cli

import (
	"io"
	"strings"
	"testing"

	"serval/internal/analysis"
	"serval/internal/backend"
	"serval/internal/installation"
	"serval/internal/plan"
)

// blog is an app with a web server, two workers and a clock that has no instance.
func blog(t *testing.T, server string) *installedApp {
	t.Helper()
	var p plan.Plan
	p.Add(plan.Process{Name: "web", Web: true, Count: 1, Command: "web", Server: server})
	p.Add(plan.Process{Name: "worker", Count: 1, Command: "worker"})
	p.Add(plan.Process{Name: "clock", Command: "clock"})
	i := &installedApp{Installation: installation.Installation{App: "blog", Directory: "/srv/blog", Counts: map[string]int{"worker": 2}}}
	i.analysis = analysis.Result{Plan: p}
	var err error
	if i.services, err = i.Services(p); err != nil {
		t.Fatal(err)
	}
	return i
}

func TestServicesArePickedByTheirNames(t *testing.T) {
	t.Parallel()
	i := blog(t, "Puma")
	for names, want := range map[string]string{
		"":                         "web worker.1 worker.2",
		"web":                      "web",
		"custom_web":               "web",
		"worker":                   "worker.1 worker.2",
		"worker.2 web worker":      "worker.2 web worker.1",
		"worker.2 worker.2":        "worker.2",
		"clock":                    "there is no clock: clock has 0 instances",
		"worker.3":                 "there is no worker.3: worker has 2 instances",
		"worker.x":                 "there is no worker.x",
		"cloc":                     "did you mean clock?",
		"web.1":                    "There are web, worker, clock",
		"cloud66_web_server":       "There are web, worker, clock",
		"worker wrkr":              "did you mean worker?",
		"../worker":                "there is no process ../worker",
		"worker.2/../../etc/passw": "there is no worker.2/",
	} {
		services, err := i.pick(strings.Fields(names))
		got := ""
		for _, s := range services {
			got += " " + s.Name
		}
		if err != nil {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v", names, err)
			}
		} else if strings.TrimSpace(got) != want {
			t.Errorf("%q are %s", names, got)
		}
	}
}

func TestWishesForNumbersAreRead(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]int{"worker=3": 3, "worker=+1": 3, "worker=-1": 1, "worker=-5": 0, "clock=0": 0, "web=2": 2} {
		w, err := blog(t, "Serval").wish(word)
		if err != nil || w.count != want {
			t.Errorf("%s: %d, %v", word, w.count, err)
		}
	}
	for word, want := range map[string]string{
		"worker": "is not understood", "worker=": "is not understood", "worker=many": "is not understood", "=1": "no process", "wroker=1": "did you mean worker?",
		"worker=10001": "too many", "web=0": "at least 1 worker", "worker=99999999999999999999": "is not understood",
	} {
		if _, err := blog(t, "Serval").wish(word); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", word, err)
		}
	}
	if _, err := blog(t, "Puma").wish("web=2"); err == nil || !strings.Contains(err.Error(), "WEB_CONCURRENCY") {
		t.Errorf("Puma's workers: %v", err)
	}
}

func TestProgressIsPlainLinesWhereNoTerminalIs(t *testing.T) {
	t.Parallel()
	var out, errs strings.Builder
	p := newServiceProgress(Streams{nil, &out, &errs}, "start", false, blog(t, "Puma").services)
	for _, e := range []backend.Event{
		{Service: "web", Kind: backend.Doing, Text: "starting"}, {Service: "worker.1", Kind: backend.Done, Text: "started"},
		{Service: "web", Kind: backend.Warning, Text: "SECRET has changed"}, {Service: "web", Kind: backend.Done, Text: "started"},
	} {
		p.show(e)
	}
	p.end()
	if want := "web       starting\nworker.1  started\nweb       started\n"; out.String() != want || errs.String() != "serval: web: SECRET has changed\n" {
		t.Errorf("it says\n%s\nand complains\n%s", out.String(), errs.String())
	}
	quiet := newServiceProgress(Streams{nil, &out, io.Discard}, "start", true, nil)
	before := out.Len()
	quiet.show(backend.Event{Service: "web", Kind: backend.Done, Text: "started"})
	if out.Len() != before {
		t.Error("it is not quiet")
	}
}
