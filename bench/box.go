package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// box is a machine with a systemd of its own (script/systemd-sandbox).
type box struct{ name, root, ip string }

const boxScript = "script/systemd-sandbox"

// servalInside is where serval is in a box.
const servalInside = "/usr/local/bin/serval"

// machineOfItsOwn boots a machine that has a serval.
func (b *bench) machineOfItsOwn(ctx context.Context) (*box, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("a machine with a systemd of its own takes root: run it as root")
	}
	serval, err := filepath.Abs(b.Serval)
	if err != nil {
		return nil, err
	}
	m := &box{name: fmt.Sprintf("bench-%d", os.Getpid())}
	if _, err := boxed(ctx, "up", m.name, "--ttl", "7200", "--bind-ro", serval+":"+servalInside); err != nil {
		return nil, err
	}
	if m.root, err = boxed(ctx, "path", m.name, ""); err == nil {
		m.ip, err = boxed(ctx, "ip", m.name)
	}
	if err != nil {
		m.down()
	}
	return m, err
}

// down shuts the machine down, even when the bench was interrupted.
func (m *box) down() { boxed(context.Background(), "down", m.name) }

// boxed runs the script and returns what it printed.
func boxed(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, boxScript, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	out, err := cmd.CombinedOutput()
	text := string(bytes.TrimSpace(out))
	if err != nil {
		return text, fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, text)
	}
	return text, nil
}

// run runs a command of the shell's inside, and returns what it printed.
func (m *box) run(ctx context.Context, command string) (string, error) {
	return boxed(ctx, "exec", m.name, "--", "bash", "-c", command)
}

// path is where a path inside is outside; it works for unix sockets.
func (m *box) path(path string) string { return m.root + path }

func (m *box) write(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(m.path(path)), 0o755); err != nil {
		return err
	}
	return os.WriteFile(m.path(path), []byte(text), 0o644)
}
