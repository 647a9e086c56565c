package cli

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"serval/internal/config"
)

// pumaFlags are all flags of Puma 8.0.2, long and short, with a value where Puma wants one.
var pumaFlags = `--bind=tcp://127.0.0.1:1 -btcp://127.0.0.1:1 --bind-to-activated-sockets --bind-to-activated-sockets=only
--config=config/puma.rb -Cconfig/puma.rb --no-config --control-url=auto --control-token=x --debug --dir=. --environment=test -etest
--fork-worker --fork-worker=9 -f --include=lib -Ilib --idle-timeout=3 --port=1 -p1 --pidfile=pid --plugin=tmp_restart --preload
--prune-bundler --extra-runtime-dependencies=a,b --quiet -q --log-requests -v --restart-cmd=x -Rx --silent -s --state=x -Sx
--threads=1:2 -t1:2 --early-hints --workers=2 -w2 --tag=x --redirect-stdout=x --redirect-stderr=x --redirect-append
--no-redirect-append --version -V --help -h`

func TestEveryFlagOfPumasIsTaken(t *testing.T) {
	appDir(t)
	if err := os.Mkdir("config", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("config/puma.rb", []byte("tag 'x'\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, flag := range strings.Fields(pumaFlags) {
		root := newRoot(Streams{Out: new(strings.Builder)}, []string{flag}, ignore)
		if err := root.Execute(); err != nil {
			t.Errorf("%s: have %v", flag, err)
		}
	}
}

func TestFlagsWithoutEffectSayWhy(t *testing.T) {
	appDir(t)
	var notices []string
	note := func(_ context.Context, cfg config.Config, _ reloader, _ Streams) error {
		notices = cfg.Notices
		return nil
	}
	for _, flag := range []string{"--debug", "--prune-bundler", "--extra-runtime-dependencies=a,b", "-Rx"} {
		root := newRoot(Streams{Out: new(strings.Builder)}, []string{flag}, note)
		if err := root.Execute(); err != nil || len(notices) != 1 || !strings.Contains(notices[0], " has no effect: ") {
			t.Errorf("%s: have %v and %q", flag, err, notices)
		}
	}
}

// Puma's own parser takes the word after such a flag, if it can be its value.
func TestAnOptionalValueMayFollowASpace(t *testing.T) {
	appDir(t)
	for line, want := range map[string]string{
		"-f 500":                                "500 ",
		"--fork-worker 500 config.ru":           "500 ",
		"-f config.ru":                          "1000 ",
		"-f -w 2":                               "1000 ",
		"-f":                                    "1000 ",
		"-f=7":                                  "7 ",
		"-f7":                                   "7 ",
		"-w 2 --fork-worker=8":                  "8 ",
		"--bind-to-activated-sockets only -p 1": "-1 only",
		"--bind-to-activated-sockets config.ru": "-1 true",
		"-- config.ru":                          "-1 ",
	} {
		have := ""
		note := func(_ context.Context, cfg config.Config, _ reloader, _ Streams) error {
			have = fmt.Sprint(cfg.ForkWorker, " ", cfg.ActivatedSockets)
			return nil
		}
		if err := newRoot(Streams{Out: new(strings.Builder)}, strings.Fields(line), note).Execute(); err != nil || have != want {
			t.Errorf("%s: have %q, want %q, %v", line, have, want, err)
		}
	}
}
