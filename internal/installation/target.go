package installation

import (
	"context"
	"os"

	"serval/internal/plan"
)

// Target is a backend as serval install knows it: what it takes on disk for an app to be run by it, now and after the next
// boot. Starting and stopping is for package backend.
type Target interface {
	// Check refuses a host or a user that it cannot be installed on or by. Nothing has been written yet.
	Check() error

	// Files are what is to be on disk, symlinks and directories included, each after the directories it is in. Services are
	// those of i.Services.
	Files(i Installation, p plan.Plan, services []Service) ([]File, error)

	// Owned are paths that belong to an installation besides those that it knows of, such as what was enabled since.
	Owned(i Installation) []string

	// Apply has the backend take notice of what is on disk. It starts and stops nothing. It is called again when a failed
	// install has put back what was there.
	Apply(ctx context.Context) error
}

// Withdrawer is a Target that can stop what it has been told to run.
type Withdrawer interface {
	// Withdraw stops, each in the way of its stop sequence, what runs by files that are about to be taken away, and returns when
	// it has ended. say takes what it does, a line each.
	Withdraw(ctx context.Context, i Installation, paths []string, say func(line string)) error
}

// File is what install puts on disk.
type File struct {
	Path string      // absolute
	Kind FileKind    // Text where nothing is said
	Text string      // of a file; where a symlink points
	Mode os.FileMode // permissions of a file or directory

	Volatile bool // it is written anew at other times, too, so that it differs is no edit by somebody

	// Whose a directory is to be; 0 or -1: that of whoever installs.
	UID, GID int
}

// FileKind is what a File is.
type FileKind int

// The kinds.
const (
	Text      FileKind = iota
	Link               // a symlink
	Directory          // made when it is not there, and never changed or taken away
)
