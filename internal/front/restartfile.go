package front

import (
	"os"
	"path/filepath"
	"time"
)

// restartEvery is how often tmp/restart.txt is looked at, as in Puma.
const restartEvery = 2 * time.Second

// restartFile is tmp/restart.txt in the app's directory: touching it asks for a hot restart (Puma's plugin tmp_restart).
type restartFile struct {
	path       string
	generation int
	touched    time.Time
	known      bool
}

// look reports whether the file was touched since the last look. It makes the file if there is none. A new generation begins
// anew: its directory may be another release's, with a file of its own.
func (f *restartFile) look(dir string, generation int) bool {
	path := filepath.Join(dir, "tmp", "restart.txt")
	if path != f.path || generation != f.generation {
		*f = restartFile{path: path, generation: generation}
	}
	info, err := os.Stat(path)
	if os.IsNotExist(err) && !f.known {
		if made, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644); err == nil {
			made.Close()
		}
		info, err = os.Stat(path)
	}
	if err != nil {
		return false // as Puma: a file that is gone, or cannot be made, asks for nothing
	}
	before, known := f.touched, f.known
	f.touched, f.known = info.ModTime(), true
	return known && f.touched.After(before)
}

// watchRestartFile restarts the server when the file is touched, as long as the configuration says so.
func (o *operator) watchRestartFile(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var f restartFile
	for {
		if g := o.current.Load(); g.Config.TmpRestart && f.look(g.Config.Directory, g.Number) {
			o.Hot(nil) //nolint:errcheck // logged
		}
		select {
		case <-tick.C:
		case <-o.asked.ended:
			return
		case <-o.replaced:
			return
		}
	}
}
