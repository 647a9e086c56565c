package worker

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// Runtime is the workers' Ruby code on disk. It lives in the binary and is written to a private directory, named by its
// digest, so that two versions of Serval do not meet and a second start finds what the first one wrote.
type Runtime struct {
	files  fs.FS
	digest string
	dirs   []string // where to try to put it, best first
	mu     sync.Mutex
}

// NewRuntime returns the runtime held in files. It writes nothing yet.
func NewRuntime(files fs.FS) (*Runtime, error) {
	sum := sha256.New()
	err := eachFile(files, func(path string, text []byte) error {
		fmt.Fprintf(sum, "%s %d\n", path, len(text))
		sum.Write(text)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read the built-in Ruby code: %w", err)
	}
	r := &Runtime{files: files, digest: hex.EncodeToString(sum.Sum(nil))[:16]}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		r.dirs = append(r.dirs, dir)
	}
	r.dirs = append(r.dirs, os.TempDir(), "/var/tmp")
	return r, nil
}

// Script makes sure that the runtime is on disk, unchanged, and returns the path of a file in it. It is called before
// every start of a worker: what lies in a temporary directory may have been cleaned away since.
func (r *Runtime) Script(name string) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for _, parent := range r.dirs {
		dir := filepath.Join(parent, fmt.Sprintf("serval-%d-%s", os.Getuid(), r.digest))
		err := r.ensure(dir)
		if err == nil {
			return filepath.Join(dir, name), nil
		}
		errs = append(errs, err)
	}
	return "", fmt.Errorf("cannot write Serval's Ruby code anywhere: %w", errors.Join(errs...))
}

func (r *Runtime) ensure(dir string) error {
	if err := safePlace(filepath.Dir(dir)); err != nil {
		return err
	}
	info, err := os.Lstat(dir)
	if err == nil {
		return r.verify(dir, info)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	temporary, err := os.MkdirTemp(filepath.Dir(dir), ".serval-") // 0700
	if err != nil {
		return err
	}
	defer os.RemoveAll(temporary)
	if err := r.write(temporary); err != nil {
		return err
	}
	if err := os.Rename(temporary, dir); err != nil {
		// Another Serval was faster; what it wrote must be the same.
		if info, statErr := os.Lstat(dir); statErr == nil {
			return r.verify(dir, info)
		}
		return err
	}
	return nil
}

// safePlace refuses a directory in which others may rename what is ours: they could put code of theirs into its place
// just after it was verified. In a sticky one, such as /tmp, only its owner can (inode(7)).
func safePlace(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok, stat.Uid != 0 && int(stat.Uid) != os.Getuid():
		return fmt.Errorf("%s belongs to another user", dir)
	case info.Mode().Perm()&0o022 != 0 && info.Mode()&fs.ModeSticky == 0:
		return fmt.Errorf("%s can be written by others and is not sticky", dir)
	}
	return nil
}

// verify refuses a directory that others could have put there or changed: it holds code that is about to run as us.
func (r *Runtime) verify(dir string, info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(stat.Uid) != os.Getuid() || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s exists, but is not a directory that only this user can write to: remove it", dir)
	}
	same := true
	err := eachFile(r.files, func(path string, want []byte) error {
		have, err := os.ReadFile(filepath.Join(dir, path))
		same = same && err == nil && bytes.Equal(have, want)
		return nil
	})
	if err != nil || same {
		return err
	}
	return r.write(dir) // a cleaner of temporary files took some of it
}

func (r *Runtime) write(dir string) error {
	return eachFile(r.files, func(path string, text []byte) error {
		full := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
			return err
		}
		return replaceFile(full, dir, text)
	})
}

// replaceFile puts a whole file into place, by way of one with a name of its own in dir: another Serval may be doing the
// same, and Ruby may be reading.
func replaceFile(path, dir string, text []byte) error {
	part, err := os.CreateTemp(dir, ".part-") // 0600
	if err != nil {
		return err
	}
	_, err = part.Write(text)
	if err = errors.Join(err, part.Close()); err == nil {
		err = os.Rename(part.Name(), path)
	}
	if err != nil {
		os.Remove(part.Name())
	}
	return err
}

func eachFile(files fs.FS, do func(path string, text []byte) error) error {
	return fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		return do(path, text)
	})
}
