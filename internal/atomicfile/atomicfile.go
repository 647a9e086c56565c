// Package atomicfile writes files that are there whole or not at all, whatever happens meanwhile.
package atomicfile

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Write puts a text into a file, which is made with the permissions mode, or replaced. It is written beside its place and
// moved there; its directory has to be there. A link in the way is replaced,
// not followed. The error is that of the file system; see Cause.
func Write(path string, text []byte, mode os.FileMode) error {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // it is gone by then if all went well
	if _, err = file.Write(text); err == nil {
		err = errors.Join(file.Chmod(mode), file.Sync())
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}

// WriteJSON puts a value into a file as indented JSON, which everybody may read, and makes the directory it is in.
func WriteJSON(path string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return Write(path, append(text, '\n'), 0o644)
}

// Cause is a file error without the path, which may be that of a temporary file that nobody has heard of: for a sentence that
// names the path itself.
func Cause(err error) error {
	var one *fs.PathError
	var two *os.LinkError
	switch {
	case errors.As(err, &one):
		return one.Err
	case errors.As(err, &two):
		return two.Err
	}
	return err
}
