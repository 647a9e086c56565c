package listener

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestAddressesAreParsedAsPumaWritesThem(t *testing.T) {
	for uri, want := range map[string]Bind{
		"tcp://0.0.0.0:9292":                    {Network: "tcp", Host: "0.0.0.0", Port: 9292, Backlog: 1024},
		"tcp://[::]:9292":                       {Network: "tcp", Host: "::", Port: 9292, Backlog: 1024},
		"tcp://localhost:0":                     {Network: "tcp", Host: "localhost", Backlog: 1024},
		"tcp://:80":                             {Network: "tcp", Port: 80, Backlog: 1024},
		"TCP://127.0.0.1:80/":                   {Network: "tcp", Host: "127.0.0.1", Port: 80, Backlog: 1024},
		"tcp://a:1?backlog=7&low_latency=true":  {Network: "tcp", Host: "a", Port: 1, Backlog: 7},
		"unix:///run/a.sock":                    {Network: "unix", Path: "/run/a.sock", Mode: 0o777, Backlog: 1024},
		"unix://tmp/a.sock":                     {Network: "unix", Path: "tmp/a.sock", Mode: 0o777, Backlog: 1024},
		"unix:///a%20b/c":                       {Network: "unix", Path: "/a b/c", Mode: 0o777, Backlog: 1024},
		"unix:///a?umask=0117&backlog=9":        {Network: "unix", Path: "/a", Mode: 0o660, Backlog: 9},
		"unix:///a?umask=117":                   {Network: "unix", Path: "/a", Mode: 0o660, Backlog: 1024},
		"unix:///a?umask=0111&mode=0600":        {Network: "unix", Path: "/a", Mode: 0o600, Backlog: 1024},
		"unix:///a?mode=640&umask=0":            {Network: "unix", Path: "/a", Mode: 0o640, Backlog: 1024},
		"unix://@name":                          {Network: "unix", Abstract: "name", Mode: 0o777, Backlog: 1024},
		"unix:///" + strings.Repeat("x", 106):   {Network: "unix", Path: "/" + strings.Repeat("x", 106), Mode: 0o777, Backlog: 1024},
		"unix://@" + strings.Repeat("x", 106):   {Network: "unix", Abstract: strings.Repeat("x", 106), Mode: 0o777, Backlog: 1024},
		"tcp://[fe80::1%eth0]:80?backlog=65535": {Network: "tcp", Host: "fe80::1%eth0", Port: 80, Backlog: 65535},
	} {
		have, err := Parse(uri)
		want.URI = uri
		if err != nil || !reflect.DeepEqual(have, want) {
			t.Errorf("%s: %v\nhave %+v\nwant %+v", uri, err, have, want)
		}
	}
}

func TestWrongAddressesAreRefusedWithARemedy(t *testing.T) {
	for uri, want := range map[string]string{
		"":                              "write tcp://HOST:PORT or unix:///PATH",
		"nonsense":                      "write tcp://HOST:PORT or unix:///PATH",
		"localhost:9292":                "the kind of address is missing; write tcp://localhost:9292",
		":9292":                         "the kind of address is missing; write tcp://:9292",
		"[::]:9292":                     "the kind of address is missing; write tcp://[::]:9292",
		"http://0.0.0.0:9292":           `"http" is not a kind of address; write tcp://HOST:PORT`,
		"ssl://0.0.0.0?cert=a":          "the port is missing; write ssl://HOST:PORT",
		"ssl://a:1?cart=a":              `ssl:// does not know the parameter "cart"; it takes cert, key, key_password_command, ca, `,
		"ssl://a:1?verify_mode=always":  `verify_mode must be none, peer or force_peer, not "always"`,
		"tcp://0.0.0.0":                 "the port is missing; write tcp://HOST:PORT",
		"tcp://0.0.0.0:":                "the port is missing; write tcp://HOST:PORT",
		"tcp://[::1]":                   "the port is missing; write tcp://HOST:PORT",
		"tcp://":                        "the port is missing; write tcp://HOST:PORT",
		"tcp://::1:9292":                "put brackets around an IPv6 address, as in tcp://[::1]:9292",
		"tcp://a:65536":                 `the port must be a number from 0 to 65535, not "65536"`,
		"tcp://a:-1":                    `the port must be a number from 0 to 65535, not "-1"`,
		"tcp://a:http":                  `the port must be a number from 0 to 65535, not "http"`,
		"tcp://a:1?backlog=0":           `backlog must be a number above 0, not "0"`,
		"tcp://a:1?backlog=many":        `backlog must be a number above 0, not "many"`,
		"tcp://a:1?low_latency=perhaps": `low_latency must be true or false, not "perhaps"`,
		"tcp://a:1?umask=0117":          `tcp:// does not know the parameter "umask"; it takes backlog and low_latency`,
		"tcp://a:1?%zz":                 "write it as ?backlog=1024",
		"unix://":                       "the path is missing; write unix:///PATH",
		"unix://@":                      "the path is missing; write unix:///PATH, or unix://@NAME",
		"unix:///run/":                  "the path is missing; write unix:///PATH",
		"unix:///a\x00b":                "the path has a NUL byte in it",
		"unix:///a?umask=999":           `umask must be octal permissions, as 0117 or 660, not "999"`,
		"unix:///a?umask=rw":            `umask must be octal permissions, as 0117 or 660, not "rw"`,
		"unix:///a?mode=1777":           `mode must be octal permissions, as 0117 or 660, not "1777"`,
		"unix:///a?reuse=1":             `unix:// does not know the parameter "reuse"; it takes umask, mode and backlog`,
	} {
		_, err := Parse(uri)
		var refusal *Error
		if !errors.As(err, &refusal) || refusal.URI != uri || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: have %v\nwant %s", uri, err, want)
		}
	}
}

func TestRelativePathsCountFromTheDirectory(t *testing.T) {
	binds, err := ParseAll("/srv/app", []string{"unix://tmp/a.sock", "unix:///b", "unix://@c", "tcp://a:1"})
	if err != nil {
		t.Fatal(err)
	}
	if binds[0].Path != "/srv/app/tmp/a.sock" || binds[1].Path != "/b" || binds[2].Path != "" || len(binds) != 4 {
		t.Errorf("have %+v", binds)
	}
}

func TestPathsLongerThanTheKernelTakesAreRefused(t *testing.T) {
	long := strings.Repeat("x", 107)
	for _, test := range []struct{ dir, uri, want string }{
		{"/", "unix:///" + long, "the path has 108 bytes and there is room for 107; choose a shorter one"},
		{"/srv", "unix://" + long, "the path has 112 bytes and there is room for 107; choose a shorter one"},
		{"/", "unix://@" + long, "the name has 107 bytes and there is room for 106; choose a shorter one"},
	} {
		if _, err := ParseAll(test.dir, []string{test.uri}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: have %v\nwant %s", test.uri, err, test.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, uri := range []string{"tcp://[::1]:80?backlog=1", "unix:///a%20b?umask=0117&mode=600", "unix://@a", "ssl://x", "a:b"} {
		f.Add(uri)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		b, err := Parse(uri)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "cannot listen on "+uri+": ") {
				t.Errorf("the error does not name %q: %v", uri, err)
			}
			return
		}
		oneKind := b.Network == "tcp" && b.Path == "" && b.Abstract == "" && b.Port >= 0 && b.Port <= 65535 ||
			b.Network == "unix" && (b.Path == "") != (b.Abstract == "") && b.Mode <= 0o777
		if !oneKind || b.Backlog < 1 {
			t.Errorf("%q became %+v", uri, b)
		}
	})
}
