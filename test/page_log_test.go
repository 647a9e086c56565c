package test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

// pageLog is the file that what was typed on the hosts of the page, and what that printed, is written to; script/page-log
// names one.
var pageLog = os.Getenv("SERVAL_PAGE_LOG")

var pageLogs = struct {
	sync.Mutex
	of map[string]string // by the test's name
}{of: map[string]string{}}

// keepPageLog writes the file anew with one test more.
func keepPageLog(t *testing.T, said string) {
	if pageLog == "" {
		return
	}
	pageLogs.Lock()
	defer pageLogs.Unlock()
	outcome := "passed"
	if t.Failed() {
		outcome = "FAILED"
	}
	pageLogs.of[t.Name()] = fmt.Sprintf("== %s: %s\n%s\n", t.Name(), outcome, said)
	var all strings.Builder
	for _, name := range slices.Sorted(maps.Keys(pageLogs.of)) {
		all.WriteString(pageLogs.of[name])
	}
	if err := os.WriteFile(pageLog, []byte(all.String()), 0o644); err != nil {
		t.Error(err)
	}
}
