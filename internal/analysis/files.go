package analysis

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"serval/internal/finding"
)

const maxFile = 8 << 20 // bytes of any file that is read

// files are an app's files. Stat is asked of the file system itself: without a method of its own it would be opened, and a pipe
// has nobody at its other end.
type files struct{ fs.FS }

func (f files) exists(path string) bool {
	info, err := fs.Stat(f.FS, path)
	return err == nil && !info.IsDir()
}

func (f files) isDir(path string) bool {
	info, err := fs.Stat(f.FS, path)
	return err == nil && info.IsDir()
}

// read returns a file's text; fs.ErrNotExist if there is none. What is no regular file is not opened: a pipe has no end.
func (f files) read(path string) ([]byte, error) {
	info, err := fs.Stat(f.FS, path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("it is no file but a %s", strings.TrimPrefix(kind(info.Mode()), "a "))
	}
	file, err := f.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("it has more than %d bytes", maxFile)
	}
	return text, err
}

func kind(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "directory"
	case mode&fs.ModeNamedPipe != 0:
		return "pipe"
	case mode&fs.ModeSocket != 0:
		return "socket"
	}
	return "device"
}

// read returns a file's text and whether it is there. One that is there and cannot be read is an error.
func (a *analyst) read(path string) (text []byte, there bool) {
	text, err := a.files.read(path)
	switch {
	case err == nil:
		return text, true
	case errors.Is(err, fs.ErrNotExist):
		return nil, false
	}
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err
	}
	a.found.Add(finding.Error, finding.Place{File: path}, "put it right, or take it away", "this file cannot be read, %v", err)
	return nil, false
}

// sentence adds a finding in the words of an error, which are a cause and a remedy.
func (a *analyst) sentence(level finding.Level, at finding.Place, err error) {
	cause, remedy, _ := strings.Cut(err.Error(), ": ")
	a.found.Add(level, at, remedy, "%s", cause)
}
