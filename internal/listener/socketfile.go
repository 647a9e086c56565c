package listener

import "os"

// socketFile remembers which file a listener made, so that it never removes the one of a successor at the same path.
type socketFile struct {
	path string
	info os.FileInfo
}

func newSocketFile(path string) (*socketFile, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	return &socketFile{path, info}, nil
}

func (f *socketFile) remove() {
	if now, err := os.Lstat(f.path); err == nil && os.SameFile(now, f.info) {
		os.Remove(f.path)
	}
}
