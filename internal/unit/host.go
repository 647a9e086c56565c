package unit

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// New is the systemd of this host. serval is the program's path, stateDir the app's.
func New(serval, stateDir string) (*Systemd, error) {
	version, err := systemdVersion()
	if err != nil {
		return nil, err
	}
	s := &Systemd{Directory: UnitDirectory, Version: version, Serval: serval, StateDir: stateDir, Readable: Readable}
	const logrotate = "/etc/logrotate.d"
	if info, err := os.Stat(logrotate); err == nil && info.IsDir() {
		s.Logrotate = logrotate
	}
	return s, nil
}

// systemdVersion is that of the systemd that is installed: 252.
func systemdVersion() (int, error) {
	said, err := exec.Command("systemctl", "--version").Output()
	if err != nil {
		return 0, fmt.Errorf("there is no systemd on this host (%w): choose --backend supervisor", err)
	}
	fields := strings.Fields(string(said)) // systemd 252 (252.38-1~deb12u1)
	if len(fields) > 1 {
		digits, _, _ := strings.Cut(fields[1], ".")
		if version, err := strconv.Atoi(strings.TrimRight(digits, "~rc")); err == nil {
			return version, nil
		}
	}
	return 0, fmt.Errorf("systemctl --version says %q, which is no version", strings.TrimSpace(string(said)))
}

// Readable reports whether a user can read a file, as far as its permissions say. An empty group is the user's own.
func Readable(path, name, group string) bool { return permitted(path, name, group, 4) }

// Writable reports in the same way whether a user can make files in a directory.
func Writable(path, name, group string) bool { return permitted(path, name, group, 3) }

// permitted reports whether a user has all of the permissions of bits (4 read, 2 write, 1 enter) on a path, and may come there.
func permitted(path, name, group string, bits os.FileMode) bool {
	u, err := user.Lookup(name)
	if err != nil {
		return false
	}
	groups, err := u.GroupIds()
	if err != nil {
		return false
	}
	if g, err := user.LookupGroup(group); err == nil {
		groups = append(groups, g.Gid)
	}
	may := func(path string, bits os.FileMode) bool {
		info, err := os.Stat(path)
		if err != nil {
			return false
		}
		owner := info.Sys().(*syscall.Stat_t)
		switch {
		case u.Uid == "0":
			return true
		case strconv.Itoa(int(owner.Uid)) == u.Uid:
			bits <<= 6
		case slices.Contains(groups, strconv.Itoa(int(owner.Gid))):
			bits <<= 3
		}
		return info.Mode()&bits == bits
	}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if !may(dir, 1) {
			return false
		}
		if dir == filepath.Dir(dir) {
			return may(path, bits)
		}
	}
}
