package process

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Row is what the kernel says about a process.
type Row struct {
	ID
	Parent int
	Group  int
	State  byte          // R, S, D, Z, …
	CPU    time.Duration // used so far
	Memory int64         // resident, in bytes
}

// Hertz is how many ticks a second has; the kernel's ABI has had 100 on all of Go's platforms for long (sysconf(3), CLK_TCK).
const hertz = 100

// Fields of /proc/PID/stat behind the command's name, from 0 (proc(5)).
const (
	statState  = 0
	statParent = 1
	statGroup  = 2
	statUser   = 11
	statSystem = 12
	statStart  = 19
	statMemory = 21
)

// Look reads one process's row. A zombie has one, too.
func Look(pid int) (Row, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Row{}, err
	}
	// The name is in parentheses, and may have blanks and parentheses in it.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) <= statMemory {
		return Row{}, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	number := func(i int) int64 {
		n, _ := strconv.ParseInt(string(fields[i]), 10, 64) //nolint:errcheck // the kernel writes numbers
		return n
	}
	return Row{
		ID: ID{pid, uint64(number(statStart))}, Parent: int(number(statParent)), Group: int(number(statGroup)), State: fields[statState][0],
		CPU: time.Duration(number(statUser)+number(statSystem)) * time.Second / hertz, Memory: number(statMemory) * int64(os.Getpagesize()),
	}, nil
}

// Age is how long a process has been there.
func (id ID) Age() (time.Duration, error) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return 0, err
	}
	return time.Duration(now.Nano()) - time.Duration(id.Start)*time.Second/hertz, nil
}

// Table is all processes by their numbers, as they were at one time.
type Table map[int]Row

// All reads the table.
func All() (Table, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	table := make(Table, len(names))
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if row, err := Look(pid); err == nil { // or it has ended meanwhile
			table[pid] = row
		}
	}
	return table, nil
}

// Descendants are a process's children, their children and so on, parents before their children.
func (t Table) Descendants(pid int) (found []Row) {
	children := map[int][]Row{}
	for _, row := range t {
		children[row.Parent] = append(children[row.Parent], row)
	}
	queue := []int{pid}
	for len(queue) > 0 {
		for _, row := range children[queue[0]] {
			found = append(found, row)
			queue = append(queue, row.PID)
		}
		queue = queue[1:]
	}
	return found
}
