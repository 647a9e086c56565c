// Command serval serves a Rack application.
package main

import (
	"context"
	"os"

	"serval/internal/cli"
)

func main() {
	os.Exit(cli.RunAs(context.Background(), os.Args[0], os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
