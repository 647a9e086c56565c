package cli

import (
	"strings"
	"testing"
)

// pumaFlags are all flags of Puma 8.0.2, long and short, with a value where Puma wants one.
var pumaFlags = `--bind=tcp://127.0.0.1:1 -btcp://127.0.0.1:1 --bind-to-activated-sockets --bind-to-activated-sockets=only
--config=config/puma.rb -Cconfig/puma.rb --no-config --control-url=auto --control-token=x --debug --dir=. --environment=test -etest
--fork-worker --fork-worker=9 -f --include=lib -Ilib --idle-timeout=3 --port=1 -p1 --pidfile=pid --plugin=x --preload
--prune-bundler --extra-runtime-dependencies=a,b --quiet -q --log-requests -v --restart-cmd=x -Rx --silent -s --state=x -Sx
--threads=1:2 -t1:2 --early-hints --workers=2 -w2 --tag=x --redirect-stdout=x --redirect-stderr=x --redirect-append
--no-redirect-append --version -V --help -h`

func TestEveryFlagOfPumasIsTakenOrExplained(t *testing.T) {
	appDir(t)
	for _, flag := range strings.Fields(pumaFlags) {
		root := newRoot(Streams{Out: new(strings.Builder)}, []string{flag}, ignore)
		err := root.Execute()
		if err == nil {
			continue
		}
		if !isUsage(err) || !strings.Contains(err.Error(), " is not supported by serval 0.1.0: ") {
			t.Errorf("%s: have %v", flag, err)
		}
	}
}

func TestWhatPumaTakesAndServalDoesNotHasARemedy(t *testing.T) {
	for args, want := range map[string]string{
		"--preload":           "--preload is not supported by serval 0.1.0: leave it out; each worker loads the app itself",
		"-C config/puma.rb":   "--config is not supported by serval 0.1.0: give the file's settings as flags",
		"-S tmp/state -v":     "--state is not supported by serval 0.1.0: use --pidfile",
		"--fork-worker=1000":  "--fork-worker is not supported by serval 0.1.0: leave it out; each worker loads the app itself",
		"--control-url auto ": "--control-url is not supported by serval 0.1.0: leave it out, and send signals to the process named in --pidfile",
	} {
		if status, _, errs := serval(strings.Fields(args)...); status != 2 || errs != "serval: "+want+"\n" {
			t.Errorf("serval %s: have %d, %q\nwant %q", args, status, errs, want)
		}
	}
}
