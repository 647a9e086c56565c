package logs

import (
	"regexp"
	"strings"
	"testing"
)

func TestRequestIDsThatMayBeUsed(t *testing.T) {
	for id, want := range map[string]bool{
		"a": true, "0123-abc_DEF.9": true, strings.Repeat("x", 128): true,
		"": false, strings.Repeat("x", 129): false, "a b": false, "a\nb": false, "a,b": false, `"`: false, "é": false, "a\x00": false,
	} {
		if have := SaneID([]byte(id)); have != want {
			t.Errorf("%q: have %v", id, have)
		}
	}
}

func TestNewRequestIDsAreRandomUUIDs(t *testing.T) {
	shape := regexp.MustCompile(`\A[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\z`)
	seen := map[string]bool{}
	var id []byte
	for range 1000 {
		id = AppendID(id[:0])
		if !shape.Match(id) || !SaneID(id) || seen[string(id)] {
			t.Fatalf("have %q", id)
		}
		seen[string(id)] = true
	}
	if n := testing.AllocsPerRun(100, func() { id = AppendID(id[:0]) }); n != 0 {
		t.Errorf("have %v allocations", n)
	}
}

func BenchmarkAppendID(b *testing.B) {
	b.ReportAllocs()
	var id []byte
	for b.Loop() {
		id = AppendID(id[:0])
	}
}
