package cli

import "testing"

func TestSuggestionsAreNearOrNone(t *testing.T) {
	flags := newRoot(Streams{}, nil, ignore).Flags()
	for typed, want := range map[string]string{
		"--bnd": "--bind", "--bidn": "--bind", "--binds": "--bind", "--prot": "--port", "--thread": "--threads",
		"--keepalive": "--keepalive-timeout", "--max-conections": "--max-connections", "--keep-alive-timeout": "--keepalive-timeout",
		"--reqest-timeout": "--request-timeout", "--log-request": "--log-requests", "--no-redirect": "--no-redirect-append",
		"--frobnicate": "", "--x": "", "--daemon": "", "-x": "",
		"--preloda": "--preload", "--prune-bundle": "", // what has no effect is not suggested
	} {
		if have := suggest(flags, typed); have != want {
			t.Errorf("%s: have %q, want %q", typed, have, want)
		}
	}
}

func TestAMistypedCommandIsNotTakenForARackupFile(t *testing.T) {
	root := newRoot(Streams{}, nil, ignore)
	for typed, want := range map[string]string{
		"analyse": "analyze", "anlyze": "analyze", "conifg": "config", "configs": "config",
		"config.ru": "", "./analyse": "", "cfg": "", "app": "", "": "", "x": "",
	} {
		if have := suggestCommand(root, typed); have != want {
			t.Errorf("%q: have %q, want %q", typed, have, want)
		}
	}
	if err := onlyRackup(root, []string{"analyse"}); err == nil || !isUsage(err) || err.Error() != "there is no command analyse: did you mean serval analyze? See serval --help" {
		t.Error(err)
	}
}

func TestDistanceCountsSlips(t *testing.T) {
	for pair, want := range map[[2]string]int{
		{"", ""}: 0, {"a", ""}: 1, {"", "ab"}: 2, {"bind", "bind"}: 0, {"bnd", "bind"}: 1, {"bimd", "bind"}: 1,
		{"bidn", "bind"}: 1, {"kitten", "sitting"}: 3, {"abc", "xyz"}: 3,
	} {
		if have := distance(pair[0], pair[1]); have != want {
			t.Errorf("%q: have %d, want %d", pair, have, want)
		}
		if have := distance(pair[1], pair[0]); have != want {
			t.Errorf("%q, the other way: have %d, want %d", pair, have, want)
		}
	}
}
