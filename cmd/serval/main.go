// Command serval serves a Rack application.
package main

import (
	"context"
	"os"

	"serval/internal/cli"
)

func main() {
	os.Exit(cli.Run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
