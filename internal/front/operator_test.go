package front

import (
	"path/filepath"
	"testing"

	"serval/internal/config"
	"serval/internal/listener"
)

func TestWithSocketsOfSystemdOnlyAHotRestartOpensNoOther(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	binds, err := listener.ParseAll("/", []string{"tcp://127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	open, err := listener.Listen(binds)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.CloseAll(open)
	for use, want := range map[string]int{"only": 0, "true": 1, "": 1} {
		open[0].Activated = "web.socket"
		c, err := rebind(open, config.Config{Directory: "/", Binds: []string{"unix://" + path}, ActivatedSockets: use})
		if err != nil || len(c.opened) != want || len(c.serving) != want+1 || len(c.surplus) != 0 {
			t.Errorf("%q: serving %d, opened %d, surplus %d: %v", use, len(c.serving), len(c.opened), len(c.surplus), err)
		}
		listener.CloseAll(c.opened)
	}
	open[0].Activated = "" // started by hand
	c, err := rebind(open, config.Config{Directory: "/", Binds: []string{"unix://" + path}, ActivatedSockets: "only"})
	if err != nil || len(c.opened) != 1 || len(c.surplus) != 1 {
		t.Errorf("opened %d, surplus %d: %v", len(c.opened), len(c.surplus), err)
	}
	listener.CloseAll(c.opened)
}
