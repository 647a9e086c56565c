package supervisor

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Rotation says when a log is moved away, and how many of the older ones are kept.
type Rotation struct {
	Size  int64 // bytes from which on; 0: whatever its size
	Daily bool  // at the end of each day
	Keep  int   // 0: nothing is rotated
}

// lookAtLogs is how often logs are looked at.
const lookAtLogs = 30 * time.Second

// RotateLogs rotates the logs of all processes, until ctx is over. complain takes what goes wrong.
func (s *Supervisor) RotateLogs(ctx context.Context, r Rotation, complain func(error)) {
	if r.Keep <= 0 {
		return
	}
	last := time.Now()
	for first := true; first || sleep(ctx, lookAtLogs); first = false {
		now := time.Now()
		done := map[string]bool{}
		for _, spec := range s.specs() {
			if spec.Log == "" || done[spec.Log] {
				continue
			}
			done[spec.Log] = true
			if err := asUser(spec, func() error { return r.look(spec.Log, last, now, first) }); err != nil {
				complain(fmt.Errorf("%s: the log cannot be rotated: %w", spec.Name, err))
			}
		}
		last = now
	}
}

// look rotates a log whose time has come between two looks. Before the first one the last write says when it was.
func (r Rotation) look(path string, last, now time.Time, first bool) error {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return err
	}
	if first {
		last = info.ModTime()
	}
	if r.Size > 0 && info.Size() >= r.Size || r.Daily && last.YearDay() != now.YearDay() {
		return r.rotate(path)
	}
	return nil
}

// rotate moves what is in a log to its archive PATH.1.gz, and older ones to higher numbers. The processes that append to the log
// hold it open and cannot be told, so the file stays, and its beginning is taken away.
func (r Rotation) rotate(path string) error {
	log, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer log.Close()
	cut, end, err := where(log)
	if err != nil {
		return err
	}
	os.Remove(path + ".new") // of a rotation that came to nothing
	archive, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	defer os.Remove(archive.Name()) // it has another name by then if all went well
	defer archive.Close()
	publish := func() error {
		r.shift(path)
		return os.Rename(archive.Name(), path+".1.gz")
	}
	if cut == 0 || !collapses(log) {
		return truncate(log, archive, publish)
	}
	return collapse(log, archive, cut, end, publish)
}

// where says how much of a log can be taken from its beginning in whole blocks, and where the line ends that is cut by that.
func where(log *os.File) (cut, end int64, err error) {
	info, err := log.Stat()
	if err != nil {
		return 0, 0, err
	}
	size := info.Size()
	block := int64(info.Sys().(*syscall.Stat_t).Blksize)
	cut = (size - 1) / block * block // at least a byte has to stay (fallocate(2))
	for ; cut > 0; cut -= block {
		if end, err = lineEnd(log, cut, size); err != nil || end > 0 {
			return cut, end, err
		}
	}
	return 0, 0, nil
}

// lineEnd is where the line that cut falls into ends, its newline included; 0 if it does not before size.
func lineEnd(log *os.File, cut, size int64) (int64, error) {
	buffer := make([]byte, 64<<10)
	for at := cut - 1; at < size; { // the byte before tells whether a line begins at cut
		n, err := log.ReadAt(buffer[:min(int64(len(buffer)), size-at)], at)
		if i := bytes.IndexByte(buffer[:n], '\n'); i >= 0 {
			return at + int64(i) + 1, nil
		}
		if err != nil && err != io.EOF {
			return 0, err
		}
		if n == 0 {
			return 0, nil
		}
		at += int64(n)
	}
	return 0, nil
}

// collapse takes the beginning away in one step of the file system, with which no writer can interfere: nothing is lost.
func collapse(log, archive *os.File, cut, end int64, publish func() error) error {
	zip := gzip.NewWriter(archive)
	_, err := io.Copy(zip, io.NewSectionReader(log, 0, end))
	if err = errors.Join(err, zip.Close(), archive.Sync()); err != nil {
		return err
	}
	if err := publish(); err != nil {
		return err
	}
	if err := unix.Fallocate(int(log.Fd()), unix.FALLOC_FL_COLLAPSE_RANGE, 0, cut); err != nil {
		return err
	}
	// What is left of the line that was cut is in the archive. Blanks take its place, for a byte cannot be taken away.
	if rest := end - cut; rest > 0 {
		_, err = log.WriteAt(append(bytes.Repeat([]byte(" "), int(rest-1)), '\n'), 0)
	}
	return err
}

// collapses reports whether the file system can take away the beginning of a file: ext4 and XFS can.
func collapses(log *os.File) bool {
	var fs unix.Statfs_t
	return unix.Fstatfs(int(log.Fd()), &fs) == nil && (fs.Type == unix.EXT4_SUPER_MAGIC || fs.Type == unix.XFS_SUPER_MAGIC)
}

// truncate copies a log and empties it. What is written between the two is lost, so they are close to each other.
func truncate(log, archive *os.File, publish func() error) error {
	zip := gzip.NewWriter(archive)
	if _, err := io.Copy(zip, log); err != nil {
		return err
	}
	tail := &bytes.Buffer{}
	if _, err := tail.ReadFrom(log); err != nil { // what came while that was compressed
		return err
	}
	if err := log.Truncate(0); err != nil {
		return err
	}
	_, err := tail.WriteTo(zip)
	return errors.Join(err, zip.Close(), archive.Sync(), publish())
}

// shift gives the archives the next number. The oldest goes.
func (r Rotation) shift(path string) {
	name := func(n int) string { return fmt.Sprintf("%s.%d.gz", path, n) }
	for n := r.Keep; n > 0; n-- {
		if n == r.Keep {
			os.Remove(name(n))
		} else {
			os.Rename(name(n), name(n+1)) //nolint:errcheck // there are not that many yet
		}
	}
}
