package test

import (
	"os/exec"
	"strings"
	"testing"

	"serval/internal/testkit"
)

func TestThePageOnServalNginxShowsItsHelp(t *testing.T) {
	help, err := exec.Command(testkit.Binary(t), "nginx", "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	if p := readPage(t, "docs/reference/nginx.md"); !strings.Contains(p.text, "```text\n"+string(help)+"```\n") {
		t.Errorf("docs/reference/nginx.md shows another help than\n%s", help)
	}
}
