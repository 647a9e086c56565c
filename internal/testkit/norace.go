//go:build !race

package testkit

// Race says that the tests, and the servers they start, run under the race detector, which costs time and memory.
const Race = false

const slowness = 1
