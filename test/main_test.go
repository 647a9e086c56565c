// Package test meets the built binary from outside: real clients on one side, real Ruby on the other.
package test

import (
	"os"
	"testing"

	"serval/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }
