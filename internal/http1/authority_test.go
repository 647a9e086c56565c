package http1

import "testing"

func TestValidAuthority(t *testing.T) {
	for _, good := range []string{
		"a", "app.example", "app.example:80", "app.example:", "127.0.0.1:65535", "[::1]", "[::1]:8080", "[::ffff:1.2.3.4]",
		"[2001:DB8::1]:0", "web_1", "xn--bcher-kva.example", "a.", "a%20b", "a~!$&'()*+;=",
	} {
		if !validAuthority([]byte(good)) {
			t.Errorf("%q is refused", good)
		}
	}
	for _, wrong := range []string{
		"", ":80", "a:65536", "a:8080x", "a:-1", "a:80:80", "a b", "u@a", "a,b", "a/", "a?", "a#", `a\`, "[", "[]", "[::1", "[::1]a",
		"[::1]]", "[1.2.3.4]", "[::1%eth0]", "::1", "\x80", "a\x00", "<a>",
	} {
		if validAuthority([]byte(wrong)) {
			t.Errorf("%q is accepted", wrong)
		}
	}
}
