package supervisor

import (
	"context"
	"syscall"
	"time"

	"serval/internal/process"
)

// sweepPatience is how long what a process has left behind may take to end after TERM.
const sweepPatience = 5 * time.Second

// sweep ends what is left of a process group whose leader has ended and was waited for: workers of a server that was killed,
// for one.
func sweep(hurry context.Context, group int) {
	if group <= 1 || syscall.Kill(-group, 0) != nil {
		return
	}
	// Nobody gets the number of a group that has members. One whose leader lives is a new one of somebody else's.
	if row, err := process.Look(group); err == nil && row.State != 'Z' {
		return
	}
	left := members(group)
	for _, m := range left {
		m.Signal(syscall.SIGTERM) //nolint:errcheck // it has ended then
	}
	patience, cancel := context.WithTimeout(hurry, sweepPatience)
	defer cancel()
	for _, m := range left {
		select {
		case <-m.Exited():
		case <-patience.Done():
			m.Signal(syscall.SIGKILL) //nolint:errcheck // as above
		}
		m.Close()
	}
}

// members are the living processes of a group.
func members(group int) (found []*process.Handle) {
	table, err := process.All()
	if err != nil {
		return nil
	}
	for _, row := range table {
		if row.Group != group || row.State == 'Z' {
			continue
		}
		if handle, err := row.ID.Open(); err == nil {
			found = append(found, handle)
		}
	}
	return found
}
