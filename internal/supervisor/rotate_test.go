package supervisor

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// unzip reads an archive.
func unzip(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zip, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(zip)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestNoLineIsLostWhenALogIsRotatedWhileItIsWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.log")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if !collapses(f) {
		t.Skip("this file system cannot take away the beginning of a file")
	}
	const lines = 60000
	writer := exec.Command("ruby", "-e", fmt.Sprintf(`$stdout.sync = true; %d.times { |i| puts "line #{i} #{"x" * (i %% 80)}"; sleep 0.001 if i %% 100 == 0 }`, lines))
	writer.Stdout = f
	if err := writer.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- writer.Wait() }()
	r := Rotation{Keep: 1000}
	rotations := 0
	for over := false; !over; {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatal(err)
			}
			over = true
		case <-time.After(20 * time.Millisecond):
		}
		if err := r.rotate(path); err != nil {
			t.Fatal(err)
		}
		rotations++
	}
	var all bytes.Buffer
	for n := rotations; n > 0; n-- {
		all.WriteString(unzip(t, fmt.Sprintf("%s.%d.gz", path, n)))
	}
	all.WriteString(text(t, path))
	next := 0
	for s := bufio.NewScanner(&all); s.Scan(); {
		if strings.TrimSpace(s.Text()) == "" {
			continue
		}
		if want := fmt.Sprintf("line %d %s", next, strings.Repeat("x", next%80)); s.Text() != want {
			t.Fatalf("%q in place of %q", s.Text(), want)
		}
		next++
	}
	if next != lines || rotations < 3 {
		t.Errorf("%d lines of %d after %d rotations", next, lines, rotations)
	}
}

func TestLogsAreRotatedBySizeAndDayAndOldOnesGo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.log")
	now := time.Now()
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	look := func(r Rotation, last time.Time, first bool) {
		if err := r.look(path, last, now, first); err != nil {
			t.Fatal(err)
		}
	}
	look(Rotation{Size: 1, Keep: 2}, now, false) // there is none
	write("first\n")
	look(Rotation{Size: 7, Daily: true, Keep: 2}, now, false)
	if text(t, path) != "first\n" {
		t.Error("it is rotated before its time")
	}
	look(Rotation{Size: 6, Keep: 2}, now, false)
	if text(t, path) != "" || unzip(t, path+".1.gz") != "first\n" {
		t.Errorf("%q", text(t, path))
	}
	write("second\n")
	look(Rotation{Daily: true, Keep: 2}, now.AddDate(0, 0, -1), false)
	write("third\n")
	os.Chtimes(path, now, now.AddDate(0, 0, -3))
	look(Rotation{Daily: true, Keep: 2}, now, true)
	if unzip(t, path+".1.gz") != "third\n" || unzip(t, path+".2.gz") != "second\n" {
		t.Error("the archives are not in order")
	}
	if left, _ := filepath.Glob(path + "*"); len(left) != 3 {
		t.Errorf("%v are there", left)
	}
}

func TestTheLogsOfProcessesAreRotated(t *testing.T) {
	s, _ := open(t, "")
	spec := sh(t, "web", "echo said; "+forever)
	if err := s.Start(t.Context(), []Spec{spec}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	s.RotateLogs(ctx, Rotation{Size: 1, Keep: 3}, func(err error) { t.Error(err) })
	if unzip(t, spec.Log+".1.gz") != "said\n" {
		t.Error("what was said is not in the archive")
	}
}
