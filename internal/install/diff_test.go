package install

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"serval/internal/installation"
	"serval/internal/testkit"
)

func TestADiffReadsLikeOneOfDiff(t *testing.T) {
	top := t.TempDir()
	unit, gone, link := filepath.Join(top, "web.service"), filepath.Join(top, "old.service"), filepath.Join(top, "link")
	record := installed(t, []installation.File{{Path: unit, Text: "a\nb\nc\nd\ne\nf\ng\nh\ni\n", Mode: 0o644}, {Path: gone, Text: "x\n", Mode: 0o644}, {Path: filepath.Join(top, "env"), Text: "A=secret\n", Mode: 0o600}})
	c := change(t, record, []installation.File{{Path: unit, Text: "a\nB\nc\nd\ne\nf\ng\nh\n", Mode: 0o644}, {Path: link, Kind: installation.Link, Text: unit}, {Path: filepath.Join(top, "env"), Text: "A=other\n", Mode: 0o600}})
	want := `--- /web.service
+++ /web.service
@@ -1,9 +1,8 @@
 a
-b
+B
 c
 d
 e
 f
 g
 h
-i
+/link -> /web.service
--- /env
+++ /env
(what is in it is private)
--- /old.service
+++ /dev/null
@@ -1,1 +0,0 @@
-x
`
	if got := strings.ReplaceAll(c.Diff(), top, ""); got != want {
		t.Errorf("it is\n%s\nand should be\n%s", got, want)
	}
}

// diff -u with the same context says the same, up to which of several shortest ways it takes; so what patch makes of it counts.
func TestPatchUnderstandsDiffs(t *testing.T) {
	patch := testkit.Need(t, "patch")
	random := rand.New(rand.NewPCG(1, 2))
	text := func() string {
		var b strings.Builder
		for range random.IntN(40) {
			fmt.Fprintf(&b, "%d\n", random.IntN(6))
		}
		return b.String()
	}
	for range 60 {
		from, to := text(), text()
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, []byte(from), 0o644); err != nil {
			t.Fatal(err)
		}
		if from == to {
			continue
		}
		diff := "--- file\n+++ file\n" + unified(lines(from), lines(to))
		cmd := exec.Command(patch, "--silent", "--fuzz=0", file)
		cmd.Stdin = strings.NewReader(diff)
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s\n%s", err, said, diff)
		}
		if got, _ := os.ReadFile(file); string(got) != to {
			t.Fatalf("%q became %q in place of %q by\n%s", from, got, to, diff)
		}
	}
}
