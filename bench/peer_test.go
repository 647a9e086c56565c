package main

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

func TestAPeerIsStartedAsItsVariableSays(t *testing.T) {
	t.Setenv("IODINE", "ruby -I /opt/iodine/lib /opt/iodine/exe/iodine")
	p := peerNamed("iodine")
	program, err := p.program(Options{})
	if err != nil || len(program) != 4 {
		t.Fatalf("got %q, %v", program, err)
	}
	s := setup{app: "hello.ru", workers: 2, threads: 5, address: "127.0.0.1:9292"}
	want := "env RACK_ENV=production ruby -I /opt/iodine/lib /opt/iodine/exe/iodine -b 127.0.0.1 -p 9292 -w 2 -t 5 hello.ru"
	if got := strings.Join(p.command(program, s), " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := p.typed(Options{}, s), "env RACK_ENV=production iodine -b 127.0.0.1 -p PORT -w 2 -t 5 hello.ru"; got != want {
		t.Errorf("in the report it is\n     %s\nwant %s", got, want)
	}
}

func TestAPeerThatIsNotGivenIsLeftOutOrTold(t *testing.T) {
	for _, p := range peers {
		t.Setenv(p.variable(), "")
	}
	t.Setenv("AGOO", "agoo")
	if got, want := given(), (list{"serval", "puma", "unicorn", "agoo"}); !reflect.DeepEqual(got, want) {
		t.Errorf("%v are measured, want %v", got, want)
	}
	o := Options{Servers: given()}
	if got, want := o.aboutPeers()[0], "Left out: puma8, iodine, falcon, pitchfork, passenger, thruster."; !strings.HasSuffix(got, want) {
		t.Errorf("got %q, want it to end with %q", got, want)
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := peerNamed("puma8").program(o); err == nil || !strings.Contains(err.Error(), "set PUMA8 to the command") {
		t.Errorf("got %v", err)
	}
}

func TestEveryPeerIsToldHowMuchToStartAndWhere(t *testing.T) {
	for _, p := range peers {
		line := p.typed(Options{Serval: "bin/serval"}, setup{app: "hello.ru", workers: 3, threads: 7})
		for _, part := range []string{"PORT", "hello.ru", "3"} {
			if !strings.Contains(line, part) {
				t.Errorf("%s: there is no %s in %s", p.name, part, line)
			}
		}
		if !p.single && p.name != "falcon" && !strings.Contains(line, "7") {
			t.Errorf("%s: there are no 7 threads in %s", p.name, line)
		}
	}
	thruster := peerNamed("thruster").typed(Options{}, setup{app: "hello.ru", workers: 2, threads: 5})
	if !strings.Contains(thruster, "HTTP_PORT=PORT TARGET_PORT=PORT2") || !strings.Contains(thruster, "thruster puma -C - -b tcp://127.0.0.1:PORT2") {
		t.Errorf("thruster does not stand in front of puma: %s", thruster)
	}
}

func TestTheVersionIsWhatAPeerPrintsOnAnyLine(t *testing.T) {
	script := t.TempDir() + "/iodine"
	if err := os.WriteFile(script, []byte("#!/bin/sh\n[ \"$1\" = --version ] && echo && echo 'server version 0.7.59'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("IODINE", script)
	if got := versionOf(peerNamed("iodine"), Options{}); got != "0.7.59" {
		t.Errorf("got %q", got)
	}
}
