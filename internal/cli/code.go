package cli

import (
	"io/fs"
	"sync"

	"serval/internal/worker"
	"serval/ruby"
)

// code is Serval's own Ruby, which the binary brings along.
var code = sync.OnceValues(func() (*worker.Runtime, error) {
	lib, err := fs.Sub(ruby.Lib, "lib")
	if err != nil {
		return nil, err
	}
	return worker.NewRuntime(lib)
})

// script is the path of a file of that code.
func script(name string) (string, error) {
	runtime, err := code()
	if err != nil {
		return "", err
	}
	return runtime.Script(name)
}
