package logs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Redirect puts files in the place of standard output and standard error, for this process and all it starts from now
// on. An empty path leaves its stream alone. Without continuing, the files are emptied first. Two equal paths share one
// open file. Nothing changes when one of the files cannot be opened.
func Redirect(stdoutPath, stderrPath string, continuing bool) error {
	out, err := openLog(stdoutPath, continuing)
	if err != nil {
		return err
	}
	defer out.Close()
	errs := out
	if stderrPath != stdoutPath {
		if errs, err = openLog(stderrPath, continuing); err != nil {
			return err
		}
		defer errs.Close()
	}
	if err := replace(out, unix.Stdout); err != nil {
		return err
	}
	return replace(errs, unix.Stderr)
}

// Reopen is Redirect again, after a log rotation moved the files away. It never empties one: whoever rotates may not
// have moved it yet.
func Reopen(stdoutPath, stderrPath string) error { return Redirect(stdoutPath, stderrPath, true) }

// openLog opens for appending always, so that workers that write to the same file do not overwrite each other. The
// nil file stands for a stream that stays.
func openLog(path string, continuing bool) (*os.File, error) {
	if path == "" {
		return nil, nil
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_APPEND
	if !continuing {
		flags |= os.O_TRUNC
	}
	f, err := os.OpenFile(path, flags, 0o666)
	if err != nil {
		return nil, fmt.Errorf("cannot write the log %s: %w; choose another file or change its permissions", path, reason(err))
	}
	return f, nil
}

// reason is what the kernel said, without the operation and the path.
func reason(err error) error {
	var of *fs.PathError
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}

func replace(f *os.File, fd int) error {
	if f == nil {
		return nil
	}
	if err := unix.Dup3(int(f.Fd()), fd, 0); err != nil {
		return fmt.Errorf("cannot redirect to the log %s: %w; start serval again", f.Name(), err)
	}
	return nil
}
