package backend

import (
	"strings"
	"testing"
)

func TestChangedVariablesAreNamed(t *testing.T) {
	t.Parallel()
	given := []string{"RACK_ENV=production", "SECRET=1", "PATH=/usr/bin:/bin", "HOME=/home/deploy", "SECRET=2"}
	for _, c := range []struct {
		env  string // what the process has
		want string
	}{
		{"RACK_ENV=production SECRET=2 PATH=/usr/bin:/bin INVOCATION_ID=x JOURNAL_STREAM=y LISTEN_FDS=1 STATE_DIRECTORY=z HOME=/root", ""},
		{"RACK_ENV=production SECRET=1 PATH=/usr/bin:/bin", "SECRET"},
		{"SECRET=2 PATH=/bin", "PATH RACK_ENV"},
		{"RACK_ENV=production SECRET=2 PATH=/usr/bin:/bin GONE=1 ALSO=2", "ALSO GONE"},
		// Bundler has put something before PATH and has told itself things, and the app's code, too.
		{"RACK_ENV=production SECRET=2 PATH=/gems/bin:/usr/bin:/bin BUNDLE_GEMFILE=x RUBYOPT=-rbundler/setup DOTENV=1", ""},
		{"RACK_ENV=production SECRET=2 PATH=/usr/bin:/bin UNICORN_FD=3 DOTENV=1", ""},
		{"RACK_ENV=production SECRET=2 PATH=/usr/bin:/bin SERVAL_HANDOVER=3", ""},
	} {
		env := map[string]string{}
		for _, entry := range strings.Fields(c.env) {
			name, value, _ := strings.Cut(entry, "=")
			env[name] = value
		}
		if got := strings.Join(Changed(env, given), " "); got != c.want {
			t.Errorf("of %s, %q has changed and not %q", c.env, got, c.want)
		}
	}
}
