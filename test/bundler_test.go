package test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"serval/internal/testkit"
)

// bundled makes an app with a Gemfile of these gems, installed from what is on the machine.
func bundled(t *testing.T, rackup string, gems ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	gemfile := "source Gem.sources.to_a.first\n"
	for _, gem := range gems {
		gemfile += "gem \"" + gem + "\"\n"
	}
	write(t, filepath.Join(dir, "Gemfile"), gemfile)
	write(t, filepath.Join(dir, "config.ru"), rackup)
	lock(t, dir)
	return dir
}

// lock resolves a Gemfile with what is installed, without network.
func lock(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.Command(testkit.Need(t, "bundle"), "lock", "--local")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("bundle lock --local: %v (make test installs the gems)\n%s", err, out)
	}
}

// whatIsThere tells the bundle and whether two gems can be had.
const whatIsThere = `
can = lambda do |name|
  require name
  "has #{name}"
rescue LoadError
  "has no #{name}"
end
facts = [defined?(Bundler) ? "bundle #{File.realpath(Bundler.default_gemfile)}" : "no bundle", can.("sinatra/base"), can.("rack/utils")]
run ->(_) { [200, {}, [facts.join(", ")]] }
`

func TestAnAppRunsInItsBundleHoweverItIsStarted(t *testing.T) {
	t.Parallel()
	dir := bundled(t, whatIsThere, "rack")
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := "bundle " + real + "/Gemfile, has no sinatra/base, has rack/utils"
	for name, start := range map[string]testkit.Command{
		"serval":             {Dir: dir},
		"serval --dir":       {Flags: []string{"--dir", dir}},
		"bundle exec serval": {Dir: dir, Program: []string{testkit.Need(t, "bundle"), "exec", testkit.Binary(t)}},
		"BUNDLE_GEMFILE":     {App: dir + "/config.ru", Env: []string{"BUNDLE_GEMFILE=" + dir + "/Gemfile"}},
	} {
		t.Run(name, func(t *testing.T) {
			if have := start.Start(t).Get("/").Body; have != want {
				t.Errorf("the app has %q, want %q", have, want)
			}
		})
	}
	with := bundled(t, whatIsThere, "rack", "sinatra")
	if have := (testkit.Command{Dir: with}).Start(t).Get("/").Body; !strings.HasSuffix(have, "has sinatra/base, has rack/utils") {
		t.Errorf("with sinatra in the Gemfile, the app has %q", have)
	}
	without := t.TempDir()
	write(t, filepath.Join(without, "config.ru"), whatIsThere)
	if have := (testkit.Command{Dir: without}).Start(t).Get("/").Body; !strings.HasPrefix(have, "no bundle, has sinatra/base") {
		t.Errorf("without a Gemfile, the app has %q", have)
	}
}

func TestABundleThatIsNotWholeIsReportedInBundlersWords(t *testing.T) {
	t.Parallel()
	dir := bundled(t, whatIsThere, "rack")
	write(t, filepath.Join(dir, "Gemfile"), "source Gem.sources.to_a.first\ngem \"rack\"\ngem \"no-such-gem-anywhere\"\n")
	s := testkit.Command{Dir: dir}.Launch(t)
	if status := s.Exit(); status.ExitStatus() != 1 {
		t.Errorf("it ended with %v", status)
	}
	if text := s.Err.String(); !strings.Contains(text, "serval: the app did not boot") || !strings.Contains(text, "no-such-gem-anywhere") {
		t.Errorf("standard error is %q", text)
	}
	s = testkit.Command{Dir: bundled(t, "run ->(_) { [200, {}, []] }\n")}.Launch(t)
	s.Exit()
	if text := s.Err.String(); !strings.Contains(text, `cannot load rack: add gem "rack" to the Gemfile`) {
		t.Errorf("standard error is %q", text)
	}
}
