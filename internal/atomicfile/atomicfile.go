// Package atomicfile writes files that are there whole or not at all, whatever happens meanwhile.
package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
)

// Write puts a text into a file, which is made with the permissions mode, or replaced. It is written beside its place and
// moved there; its directory has to be there. The error is that of the file system.
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
