package sequence

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestEveryFormOfASequenceIsUnderstood(t *testing.T) {
	for text, want := range map[string]string{
		"quit, 75, term, 15, kill":                         "quit, 75, term, 15, kill",
		"quit,75,term,15,kill":                             "quit, 75, term, 15, kill",
		"term 90 kill":                                     "term, 90, kill",
		"SIGTERM, 90, SIGKILL":                             "term, 90, kill",
		"Term, 90s, KILL":                                  "term, 90, kill",
		":quit, 30.seconds, :term, 11.seconds, :kill":      "quit, 30, term, 11, kill",
		"[:quit, 1.second, :kill]":                         "quit, 1, kill",
		"term":                                             "term",
		"tstp, 120, term, 30, kill":                        "tstp, 120, term, 30, kill",
		"usr1, 0, kill":                                    "usr1, 0, kill",
		" \tttin, 120, term, 5, kill ":                     "ttin, 120, term, 5, kill",
		"hup, 86400, int":                                  "hup, 86400, int",
		"quit, 1, cont, 1, winch, 1, ttou, 1, urg":         "quit, 1, cont, 1, winch, 1, ttou, 1, urg",
		"pwr, 1, abrt, 1, usr2, 1, stop, 1, alrm, 1, kill": "pwr, 1, abrt, 1, usr2, 1, stop, 1, alrm, 1, kill",
	} {
		s, err := Parse(text)
		if err != nil || s.String() != want {
			t.Errorf("%q is %q, %v; want %q", text, s, err, want)
		}
		again, err := Parse(s.String())
		if err != nil || again.String() != s.String() {
			t.Errorf("%q printed and parsed again is %q, %v", text, again, err)
		}
	}
}

func TestASequenceHasStepsWithTimes(t *testing.T) {
	s := MustParse("quit, 75, term, 15, kill")
	want := Sequence{{syscall.SIGQUIT, 75 * time.Second}, {syscall.SIGTERM, 15 * time.Second}, {syscall.SIGKILL, 0}}
	if len(s) != 3 || s[0] != want[0] || s[1] != want[1] || s[2] != want[2] {
		t.Errorf("the steps are %v", s)
	}
	if s.Total() != 90*time.Second || !s.Kills() || MustParse("term, 5, int").Kills() || Sequence(nil).Kills() {
		t.Errorf("it takes %s, kills %v", s.Total(), s.Kills())
	}
}

func TestAMistakeNamesTheWord(t *testing.T) {
	for text, word := range map[string]string{
		"":                                       "empty",
		"  ":                                     "empty",
		"term, 90":                               `"90" is the last word`,
		"trem, 90, kill":                         `"trem" is no signal`,
		"term, soon, kill":                       `"soon" is not a number of seconds`,
		"term, -5, kill":                         `"-5" seconds are out of range`,
		"term, 1.5, kill":                        `"1.5" is not a number`,
		"term, +5, kill":                         `"+5" is not a number`,
		"term, 90001, kill":                      `"90001" seconds are out of range`,
		"term, 99999999999999999999, kill":       "99999999999999999999",
		"term, kill":                             `"kill" is a signal where seconds belong`,
		"15, 90, 9":                              `"15" is a number where a signal's name belongs: write term`,
		"70, 90, 9":                              `write one such as term`,
		"term,, kill":                            "a comma with nothing",
		"term, 90, kill,":                        "a comma with nothing",
		"sig, 5, kill":                           "missing",
		"term, s, kill":                          `"s" is not a number`,
		"term, 5 seconds, kill":                  `"seconds" is no signal`,
		strings.Repeat("term, 1, ", 16) + "kill": "33 words",
	} {
		if s, err := Parse(text); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%q is %q, %v; want an error with %s", text, s, err, word)
		}
	}
}

func TestASequenceIsTextInJSON(t *testing.T) {
	text, err := json.Marshal(struct{ Stop Sequence }{MustParse("term 90 kill")})
	if err != nil || string(text) != `{"Stop":"term, 90, kill"}` {
		t.Fatalf("%s, %v", text, err)
	}
	var back struct{ Stop Sequence }
	if err := json.Unmarshal(text, &back); err != nil || back.Stop.String() != "term, 90, kill" {
		t.Errorf("%v, %v", back, err)
	}
	if err := json.Unmarshal([]byte(`{"Stop":"nope"}`), &back); err == nil {
		t.Error("a wrong one is taken")
	}
}

func TestSignalsHaveTheManifestsNames(t *testing.T) {
	for signal, name := range map[syscall.Signal]string{syscall.SIGUSR2: "usr2", syscall.SIGHUP: "hup", syscall.SIGKILL: "kill"} {
		if got := Name(signal); got != name {
			t.Errorf("%v is called %q", signal, got)
		}
		if back, err := ParseSignal(name); err != nil || back != signal {
			t.Errorf("%q is %v, %v", name, back, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"quit, 75, term, 15, kill", "term 90", ":term, 3.seconds, :kill", "[", ",", "s"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if (err == nil) != (len(s) > 0) {
			t.Fatalf("%q: %v with %v", text, s, err)
		}
		if err != nil {
			return
		}
		again, err := Parse(s.String())
		if err != nil || again.String() != s.String() {
			t.Fatalf("%q prints as %q, which is %v, %v", text, s, again, err)
		}
	})
}
