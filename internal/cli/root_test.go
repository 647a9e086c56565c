package cli

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"serval/internal/config"
)

// serval runs the whole program, as far as it goes, and returns what it said.
func serval(args ...string) (status int, out, errs string) {
	var stdout, stderr bytes.Buffer
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // what starts by mistake stops at once
	status = Run(ctx, args, strings.NewReader(""), &stdout, &stderr)
	return status, stdout.String(), stderr.String()
}

// appDir makes a directory with a rackup file and goes there.
func appDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.ru"), []byte("run ->(env) { [200, {}, []] }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	return dir
}

// configured is the configuration that a command line leads to.
func configured(t *testing.T, args ...string) config.Config {
	t.Helper()
	var have config.Config
	root := newRoot(Streams{}, args, func(_ context.Context, cfg config.Config, _ reloader, _ Streams) error {
		have = cfg
		return nil
	})
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	return have
}

func TestTheVersionIsPrinted(t *testing.T) {
	for _, flag := range []string{"-V", "--version"} {
		if status, out, errs := serval(flag); status != 0 || out != "serval 0.1.0\n" || errs != "" {
			t.Errorf("%s: have %d, %q, %q", flag, status, out, errs)
		}
	}
}

func TestMistakesInUsageAreOneSentenceAndStatus2(t *testing.T) {
	appDir(t)
	for args, want := range map[string]string{
		"--bnd x":                       "unknown flag --bnd: did you mean --bind? See serval --help",
		"--theads=5":                    "unknown flag --theads: did you mean --threads? See serval --help",
		"--env test":                    "unknown flag --env: did you mean --environment? See serval --help",
		"--frobnicate":                  "unknown flag --frobnicate. See serval --help",
		"-x":                            "unknown flag -x. See serval --help",
		"-qx":                           "unknown flag -x. See serval --help",
		"---bind":                       "bad flag syntax: ---bind. See serval --help",
		"-t":                            "-t needs a value: write -t MIN:MAX. See serval --help",
		"--bind":                        "--bind needs a value: write --bind URI. See serval --help",
		"--quiet=no":                    `--quiet takes no value, and was given "no": leave it out`,
		"a.ru b.ru":                     `one rackup file is enough, and here are 2 ("a.ru", "b.ru"): name one. See serval --help`,
		"-t 5:1":                        `--threads "5:1": the smaller number comes first: write 1:5`,
		"-w some":                       `--workers "some": give a whole number from 0 to 1024, or auto for one per CPU`,
		"-p 99999":                      `--port "99999": give a whole number from 0 to 65535`,
		"--request-timeout later":       `--request-timeout "later": give seconds, as 30 or 1.5, or a unit as in 500ms or 2m`,
		"--max-body=lots":               `--max-body "lots": give a number of bytes, as 500000, 512K, 10M or 1G`,
		"-b localhost:80":               "cannot listen on localhost:80: the kind of address is missing; write tcp://localhost:80",
		"-b ssl://a:1?verify_mode=peer": "cannot listen on ssl://a:1?verify_mode=peer: verify_mode=peer needs to know whose certificates are good: add ca=PATH",
		"--tag=":                        `--tag "": give a value, or leave it out`,
	} {
		status, out, errs := serval(strings.Fields(args)...)
		if status != 2 || out != "" || errs != "serval: "+want+"\n" {
			t.Errorf("serval %s: have %d, %q, %q\nwant %q", args, status, out, errs, want)
		}
	}
	want := "serval: the rackup file's name is empty: name one, or leave it out for config.ru\n"
	if status, _, errs := serval(""); status != 2 || errs != want {
		t.Errorf("an empty name: have %d, %q", status, errs)
	}
}

func TestWhatCannotBeDoneIsOneSentenceAndStatus1(t *testing.T) {
	dir := appDir(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for args, want := range map[string]string{
		"gone.ru":                      "cannot find gone.ru in " + dir + ": name the rackup file (serval path/to/config.ru) or the directory (--dir)",
		"--dir /gone":                  "cannot enter /gone: no such file or directory; name the app's directory with --dir",
		"--spool-dir /gone":            "cannot keep large bodies in /gone (--spool-dir): no such file or directory; name another directory with --spool-dir",
		"--pidfile /gone/pid":          "cannot write /gone/pid: no such file or directory; create its directory or choose another with --pidfile",
		"-b tcp://" + addressOf(taken): "cannot listen on tcp://" + addressOf(taken) + ": the port is taken by PID ",
	} {
		status, _, errs := serval(strings.Fields(args)...)
		if status != 1 || !strings.HasPrefix(errs, "serval: "+want) || strings.Count(errs, "\n") != 1 {
			t.Errorf("serval %s: have %d, %q\nwant %q", args, status, errs, want)
		}
	}
}

func addressOf(l net.Listener) string { return l.Addr().String() }

func TestABadVariableIsNamedAndIsNoMistakeInUsage(t *testing.T) {
	appDir(t)
	t.Setenv("WEB_CONCURRENCY", "x")
	status, _, errs := serval()
	want := `serval: WEB_CONCURRENCY="x": give a whole number from 0 to 1024, or auto for one per CPU` + "\n"
	if status != 1 || errs != want {
		t.Errorf("have %d, %q\nwant %q", status, errs, want)
	}
}

func TestFlagsReachTheConfiguration(t *testing.T) {
	dir := appDir(t)
	if err := os.WriteFile(filepath.Join(dir, "other.ru"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	c := configured(t, "-b", "tcp://127.0.0.1:1", "-p3000", "-w", "2", "--threads=1:3", "-e", "test", "-qv", "-I", "lib:app",
		"--early-hints", "--idle-timeout", "1.5", "--max-body", "10M", "--redirect-append", "--no-redirect-append", "other.ru")
	if len(c.Binds) != 2 || c.Binds[0] != "tcp://127.0.0.1:1" || !strings.HasSuffix(c.Binds[1], ":3000") {
		t.Errorf("have binds %q", c.Binds)
	}
	if c.Workers != 2 || c.MinThreads != 1 || c.MaxThreads != 3 || c.Environment != "test" || !c.LogRequests || !c.EarlyHints ||
		c.IdleTimeout != 1500*time.Millisecond || c.MaxBody != 10<<20 || c.RedirectAppend {
		t.Errorf("have %+v", c)
	}
	if want := []string{dir + "/lib", dir + "/app"}; !slices.Equal(c.Include, want) || c.Rackup != dir+"/other.ru" {
		t.Errorf("have %q and %q", c.Include, c.Rackup)
	}
}

func TestArgumentsAfterTwoDashesAreFiles(t *testing.T) {
	dir := appDir(t)
	if err := os.Rename(dir+"/config.ru", dir+"/-odd.ru"); err != nil {
		t.Fatal(err)
	}
	if c := configured(t, "--", "-odd.ru"); c.Rackup != dir+"/-odd.ru" {
		t.Errorf("have %q", c.Rackup)
	}
}

func TestAnErrorOfTheServerIsStatus1(t *testing.T) {
	appDir(t)
	root := newRoot(Streams{}, nil, func(context.Context, config.Config, reloader, Streams) error {
		return errors.New("the app did not load")
	})
	if err := root.Execute(); err == nil || isUsage(err) {
		t.Errorf("have %v", err)
	}
}
