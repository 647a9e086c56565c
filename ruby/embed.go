// Package ruby carries the worker's runtime, plain Ruby, inside the binary.
package ruby

import "embed"

// Lib is the tree under lib: serval/worker.rb is the file a worker process runs.
//
//go:embed lib
var Lib embed.FS
