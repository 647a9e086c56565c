// Package install puts the files of an installation in place: all of them, or none.
package install

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"serval/internal/atomicfile"
	"serval/internal/installation"
)

// Change is what is to become of the files of an installation.
type Change struct {
	Steps    []Step   // what is to be written, in order; Kind says whether there is anything to do
	Obsolete []Step   // what is there by an earlier install, and is not wanted any more
	Edited   []string // files that somebody has changed since, or that are there by somebody else

	done []func() error // how to undo what has been done, in order
}

// Step is one file.
type Step struct {
	installation.File
	Kind Kind
	Now  state // what is there
}

// Kind is what has to be done.
type Kind int

// The kinds.
const (
	Same Kind = iota
	Create
	Replace
	Remove
)

// String is what is done, for people.
func (k Kind) String() string {
	return [...]string{Same: "same", Create: "new", Replace: "changed", Remove: "removed"}[k]
}

// state is what is at a path.
type state struct {
	there  bool
	link   bool
	text   string // where a link points
	mode   os.FileMode
	folder bool
}

// Compare finds out what it takes to come from what is on disk to the files that are wanted. before is what is installed, nil if
// nothing is; owned are paths besides that belong to it.
func Compare(before *installation.Installation, owned []string, wanted []installation.File) (*Change, error) {
	c := &Change{}
	var earlier []string
	digests := map[string]string{}
	if before != nil {
		earlier = append(slices.Clone(before.Files), owned...)
		digests = before.Digests
	}
	names := map[string]bool{}
	for _, file := range wanted {
		names[file.Path] = true
		step, err := look(file)
		if err != nil {
			return nil, err
		}
		c.Steps = append(c.Steps, step)
		if step.Kind == Replace && (!slices.Contains(earlier, file.Path) || step.edited(digests)) {
			c.Edited = append(c.Edited, file.Path)
		}
	}
	for _, path := range earlier {
		if names[path] {
			continue
		}
		names[path] = true
		now, err := stateOf(path)
		if err != nil {
			return nil, err
		}
		step := Step{File: installation.File{Path: path}, Kind: Remove, Now: now}
		switch {
		case !now.there:
			continue
		case now.folder:
			return nil, fmt.Errorf("%s has been installed as a file, and is a directory now: take it away", path)
		case step.edited(digests):
			c.Edited = append(c.Edited, path)
		}
		c.Obsolete = append(c.Obsolete, step)
	}
	return c, nil
}

// edited reports whether a file is not what install wrote.
func (s Step) edited(digests map[string]string) bool {
	digest, known := digests[s.Path]
	return known && s.Now.there && digest != Digest(s.Now.text)
}

// look finds out what has to be done for a file.
func look(file installation.File) (Step, error) {
	now, err := stateOf(file.Path)
	step := Step{File: file, Now: now}
	switch {
	case err != nil:
		return step, err
	case now.folder && file.Kind != installation.Directory:
		return step, fmt.Errorf("%s is a directory, and a file is to be there: take it away", file.Path)
	case !now.there:
		step.Kind = Create
	case file.Kind == installation.Directory:
	case now.link != (file.Kind == installation.Link) || now.text != file.Text || !now.link && now.mode.Perm() != file.Mode.Perm():
		step.Kind = Replace
	}
	return step, nil
}

// IsLink reports whether it is a symlink.
func (s state) IsLink() bool { return s.link }

func stateOf(path string) (state, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return state{}, nil
	case err != nil:
		return state{}, err
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		if there, statErr := os.Stat(path); statErr == nil && there.IsDir() {
			return state{there: true, folder: true}, nil // a log that links to shared/log
		}
		return state{there: true, link: true, text: target}, err
	case info.IsDir():
		return state{there: true, folder: true}, nil
	}
	text, err := os.ReadFile(path)
	return state{there: true, text: string(text), mode: info.Mode()}, err
}

// Digest tells one text from another: SHA-256 in hexadecimal digits.
func Digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// Nothing reports whether all is as it is to be.
func (c *Change) Nothing() bool {
	return len(c.Obsolete) == 0 && !slices.ContainsFunc(c.Steps, func(s Step) bool { return s.Kind != Same })
}

// Files are the paths of what is wanted, for the record, and what they hold. Directories stay when all else is taken away.
func (c *Change) Files() (paths []string, digests map[string]string) {
	digests = map[string]string{}
	for _, s := range c.Steps {
		if s.File.Kind == installation.Directory {
			continue
		}
		paths = append(paths, s.Path)
		if s.File.Kind == installation.Text && !s.Volatile {
			digests[s.Path] = Digest(s.Text)
		}
	}
	return paths, digests
}

// Write writes what is wanted. On an error everything is as it was.
func (c *Change) Write() error {
	for _, s := range c.Steps {
		if s.Kind == Same {
			continue
		}
		if err := c.write(s); err != nil {
			return errors.Join(err, c.Undo())
		}
	}
	return nil
}

// RemoveObsolete takes away what is not wanted any more. On an error everything is as it was before Write.
func (c *Change) RemoveObsolete() error {
	for _, s := range c.Obsolete {
		if err := os.Remove(s.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(err, c.Undo())
		}
		c.done = append(c.done, func() error { return put(s.Path, s.Now) })
	}
	return nil
}

// Commit makes what has been done stay.
func (c *Change) Commit() { c.done = nil }

// Undo makes everything as it was.
func (c *Change) Undo() (err error) {
	for _, undo := range slices.Backward(c.done) {
		err = errors.Join(err, undo())
	}
	c.done = nil
	if err != nil {
		return fmt.Errorf("cannot put everything back: %w", err)
	}
	return nil
}

// write puts one file in place, with the directories it is in.
func (c *Change) write(s Step) error {
	if s.File.Kind == installation.Directory {
		return c.directory(s.Path, s.Mode, s.UID, s.GID)
	}
	if err := c.directory(filepath.Dir(s.Path), 0o755, 0, 0); err != nil {
		return err
	}
	wanted := state{there: true, link: s.File.Kind == installation.Link, text: s.Text, mode: s.Mode}
	if err := put(s.Path, wanted); err != nil {
		return err
	}
	c.done = append(c.done, func() error {
		if s.Now.there {
			return put(s.Path, s.Now)
		}
		return os.Remove(s.Path)
	})
	return nil
}

// directory makes a directory and those it is in, where they are not there.
func (c *Change) directory(path string, mode os.FileMode, uid, gid int) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil
	}
	if parent := filepath.Dir(path); parent != path {
		if err := c.directory(parent, 0o755, uid, gid); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, mode); err != nil {
		return err
	}
	c.done = append(c.done, func() error { return os.Remove(path) })
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		return err
	}
	if uid <= 0 && gid <= 0 {
		return nil
	}
	return os.Chown(path, uid, gid)
}

// put makes a path be like a state.
func put(path string, s state) error {
	if !s.link {
		return atomicfile.Write(path, []byte(s.text), s.mode.Perm())
	}
	// A link is made beside its place and moved there, like a file.
	beside := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"-new")
	if err := os.Remove(beside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(s.text, beside); err != nil {
		return err
	}
	if err := os.Rename(beside, path); err != nil {
		return errors.Join(err, os.Remove(beside))
	}
	return nil
}
