package account

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// root skips what only root can do.
func root(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can be somebody else")
	}
}

func TestUsersAndGroupsAreFoundByNameAndByNumber(t *testing.T) {
	for _, name := range []string{"root", "0"} {
		if u, err := User(name); err != nil || u.Username != "root" {
			t.Errorf("%s is %v, %v", name, u, err)
		}
		if id, err := Group(name); err != nil || id != 0 {
			t.Errorf("group %s is %d, %v", name, id, err)
		}
	}
	if _, err := User("nobody-at-all"); err == nil || !strings.Contains(err.Error(), `no user "nobody-at-all"`) {
		t.Errorf("an unknown user is %v", err)
	}
	if ids, err := Groups([]string{"daemon", "no-group-at-all"}); err == nil || !strings.Contains(err.Error(), `no group "no-group-at-all"`) {
		t.Errorf("an unknown group is %v, %v", ids, err)
	}
}

func TestFilesAreMadeAsTheAccountAndWithItsRights(t *testing.T) {
	root(t)
	dir := t.TempDir()
	for path := dir; path != "/"; path = filepath.Dir(path) {
		if info, err := os.Stat(path); err != nil || info.Mode()&0o001 == 0 {
			if err := os.Chmod(path, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	theirs, shared, ours := filepath.Join(dir, "theirs"), filepath.Join(dir, "shared"), filepath.Join(dir, "ours")
	for path, mode := range map[string]os.FileMode{theirs: 0o700, shared: 0o770, ours: 0o770} {
		if err := errors.Join(os.Mkdir(path, 0o700), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Chown(theirs, 12345, 12345), os.Chown(shared, 0, 23456)); err != nil {
		t.Fatal(err)
	}
	a := Account{UID: 12345, GID: 12346, Groups: []uint32{23456}}
	write := func(path string) error {
		return a.Do(func() error { return os.WriteFile(path, nil, 0o600) })
	}
	for _, path := range []string{filepath.Join(theirs, "a"), filepath.Join(shared, "b")} {
		if err := write(path); err != nil {
			t.Errorf("the account may not write %s: %v", path, err)
		}
	}
	info, err := os.Stat(filepath.Join(theirs, "a"))
	if err != nil {
		t.Fatal(err)
	}
	if s := info.Sys().(*syscall.Stat_t); s.Uid != a.UID || s.Gid != a.GID {
		t.Errorf("its file belongs to %d:%d", s.Uid, s.Gid)
	}
	// This directory is open to group 0, which root has and the account has not.
	if err := write(filepath.Join(ours, "c")); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("with root's groups it writes where it may not: %v", err)
	}
	if err := os.WriteFile(filepath.Join(ours, "c"), nil, 0o600); err != nil {
		t.Errorf("afterwards, root is not root any more: %v", err)
	}
}

func TestWhatFailsIsTold(t *testing.T) {
	root(t)
	want := errors.New("so it is")
	if err := (Account{UID: 12345, GID: 12345}).Do(func() error { return want }); !errors.Is(err, want) {
		t.Errorf("got %v", err)
	}
}
