// Package account finds users and groups of this host, and does things with files as one of them.
package account

import (
	"fmt"
	"os/user"
	"runtime"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Account is who does something: the ids that the kernel goes by.
type Account struct {
	UID, GID uint32
	Groups   []uint32 // the supplementary ones
}

// User finds a user by name or number.
func User(name string) (*user.User, error) {
	u, err := user.Lookup(name)
	if err != nil {
		if u, err = user.LookupId(name); err != nil {
			return nil, fmt.Errorf("there is no user %q on this host", name)
		}
	}
	return u, nil
}

// Group finds a group's id by its name or number.
func Group(name string) (uint32, error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		if g, err = user.LookupGroupId(name); err != nil {
			return 0, fmt.Errorf("there is no group %q on this host", name)
		}
	}
	return Number(g.Gid), nil
}

// Groups finds several.
func Groups(names []string) (ids []uint32, err error) {
	for _, name := range names {
		id, err := Group(name)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// Number is an id as the user database has it, in decimals.
func Number(id string) uint32 {
	n, _ := strconv.ParseUint(id, 10, 32) //nolint:errcheck // the database has nothing else
	return uint32(n)
}

// Do does something with files as that account, with its rights and no others, and so makes files that are its own. A directory that
// a user may write to could have links of his anywhere, and root would follow them. Only root may.
func (a Account) Do(do func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocks: the thread, which is somebody else now, ends with this function
		err := a.become()
		if err == nil {
			err = do()
		}
		done <- err
	}()
	return <-done
}

// become makes the calling thread, and no other, the account's for all that has to do with files (setfsuid(2)). The calls of package
// syscall would change the whole process.
func (a Account) become() error {
	var groups unsafe.Pointer
	if len(a.Groups) > 0 {
		groups = unsafe.Pointer(&a.Groups[0])
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(a.Groups)), uintptr(groups), 0); errno != 0 {
		return fmt.Errorf("setgroups: %w", errno)
	}
	// Neither call fails: what is the case now is told by another one, of an id that there cannot be.
	unix.SetfsgidRetGid(int(a.GID)) //nolint:errcheck // as above
	unix.SetfsuidRetUid(int(a.UID)) //nolint:errcheck // as above
	uid, _ := unix.SetfsuidRetUid(-1)
	if gid, _ := unix.SetfsgidRetGid(-1); uid != int(a.UID) || gid != int(a.GID) {
		return fmt.Errorf("this process may not act as user %d and group %d", a.UID, a.GID)
	}
	return nil
}
