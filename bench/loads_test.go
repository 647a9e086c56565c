package main

import (
	"os"
	"testing"
)

func TestEveryLoadHasItsFiles(t *testing.T) {
	t.Chdir("..")
	for _, l := range loads {
		for _, path := range []string{l.app, l.script} {
			if path == "" {
				continue
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s: %v", l.name, err)
			}
		}
		if loadNamed(l.name).about != l.about {
			t.Errorf("two loads are called %s", l.name)
		}
	}
}

func TestTheBrowserSendsEighteenHeaders(t *testing.T) {
	if got := len(browser) + 1; got != 18 { // wrk adds Host
		t.Errorf("it sends %d", got)
	}
}
