package test

import (
	"encoding/json"
	"testing"

	"serval/internal/testkit"
)

// object reads a response as a JSON object.
func object(t testing.TB, r *testkit.Response) (o map[string]any) {
	t.Helper()
	parse(t, r, &o)
	return o
}

// list reads a response as a JSON array of strings.
func list(t testing.TB, r *testkit.Response) (l []string) {
	t.Helper()
	parse(t, r, &l)
	return l
}

func parse(t testing.TB, r *testkit.Response, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.Body), into); err != nil {
		t.Fatalf("the response is no such JSON: %v (%+v)", err, r)
	}
}
