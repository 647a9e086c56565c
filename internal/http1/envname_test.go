package http1

import "testing"

func TestAppendEnvName(t *testing.T) {
	for name, want := range map[string]string{
		"Accept":          "HTTP_ACCEPT",
		"x-forwarded-FOR": "HTTP_X_FORWARDED_FOR",
		"Content-Type":    "CONTENT_TYPE",
		"content-length":  "CONTENT_LENGTH",
		"Content_Length":  "HTTP_CONTENT_LENGTH",
		"Content_Type":    "HTTP_CONTENT_TYPE",
		"X.a!b":           "HTTP_X.A!B",
	} {
		if have := string(AppendEnvName([]byte(">"), []byte(name))); have != ">"+want {
			t.Errorf("%s: have %s, want %s", name, have, want)
		}
	}
}
