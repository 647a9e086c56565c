package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"serval/internal/backend"
)

// restartPassenger has Passenger restart an app: by its own tool, which does that at once, or where that is missing by a file that
// Passenger looks at with the next request.
func restartPassenger(ctx context.Context, directory string, say backend.Progress) error {
	if tool, err := exec.LookPath("passenger-config"); err == nil {
		say(backend.Event{Service: "web", Kind: backend.Doing, Text: "asking Passenger to restart it"})
		out, err := exec.CommandContext(ctx, tool, "restart-app", "--ignore-app-not-running", "--ignore-passenger-not-running", directory).CombinedOutput()
		if err != nil {
			return fmt.Errorf("web: passenger-config restart-app failed: %w\n%s", err, bytes.TrimSpace(out))
		}
		say(backend.Event{Service: "web", Kind: backend.Done, Text: "Passenger starts it anew with the next request"})
		return nil
	}
	path := filepath.Join(directory, "tmp", "restart.txt")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	file.Close()
	now := time.Now()
	if err := os.Chtimes(path, now, now); err != nil {
		return err
	}
	say(backend.Event{Service: "web", Kind: backend.Done, Text: "Passenger starts it anew with the next request (" + path + ")"})
	return nil
}
