// Package control is how a running server is operated from outside: the control server with Puma's endpoints, the state
// file that tells clients where it is, and the client. What is asked for is carried out by an Operator.
package control

import "time"

// Operator carries out what callers of the control server ask for. Its methods may be called by many goroutines at once.
type Operator interface {
	// Stop and Halt end the server; both return at once. Stop lets requests finish, to the deadline of the configuration.
	// Halt does not.
	Stop()
	Halt()

	// Restart replaces the workers and returns when that is done, or has failed: then the old ones serve as before, and the
	// error is in the app's own words if it is the app's. One restart runs at a time; others wait. report, called from one
	// goroutine at a time, takes the steps.
	Restart(kind Kind, report func(Event)) error

	// Available says why a restart of this kind is not possible with the present configuration; nil when it is.
	Available(kind Kind) error

	// ReopenLogs opens the log files again, after a rotation.
	ReopenLogs()

	// ShowThreads has what all threads of the workers are doing written to the log, and returns at once.
	ShowThreads()

	// Scale adds a worker (by 1) or takes one away (by -1), and returns when it serves, or takes no more requests.
	Scale(by int) error

	// Stats is a look at the server. It is cheap; what memory a process uses is asked for with Memory.
	Stats() Stats

	// Waits says how long requests waited for a thread, and how many waited at once at most since the last call.
	Waits() (waits Waits, queuedMax int)

	// Memory returns the proportional set size of a process in bytes, 0 when it is not known.
	Memory(pid int) int64

	// Ask asks all workers that serve for something: "gc" (collects garbage), "gc-stats", "backtraces". The answers are in
	// the order of the workers' indices; a worker that does not answer within wait has an error in its place.
	Ask(what string, wait time.Duration) []Answer
}

// Kind is a kind of restart.
type Kind string

// The kinds. They are the names of the commands too.
const (
	Hot    Kind = "restart"        // new configuration, new code, all workers at once
	Phased Kind = "phased-restart" // new code, one worker after the other
	Refork Kind = "refork"         // one worker after the other, forked from a warm one
)

// Event is a step on the way to the end of a command.
type Event struct {
	Step   string `json:"event"`            // "booting", "booted", "serving", "retired", "draining", and at last "ok" or "failed"
	Worker *int   `json:"worker,omitempty"` // its index; of the first three
	PID    int    `json:"pid,omitempty"`    // its process id, likewise
	Done   int    `json:"done,omitempty"`   // workers that are at this step or past it
	Total  int    `json:"total,omitempty"`  // of so many
	Held   int    `json:"held,omitempty"`   // "draining": requests that are being served still
	Queued int    `json:"queued,omitempty"` // "draining": requests that wait for a thread
	Error  string `json:"error,omitempty"`  // "failed": why
}

// The first step of what is asked for while the server boots, and the last ones.
const (
	StepBooting = "booting"
	StepOK      = "ok"
	StepFailed  = "failed"
)

// Answer is what one worker answered.
type Answer struct {
	Index, PID int
	JSON       string
	Err        error
}

// Stats is a look at the server.
type Stats struct {
	PID      int
	Started  time.Time
	Booting  bool // the first workers load the app: there are no numbers yet
	Cluster  bool // workers were asked for by number: Puma's cluster mode, else its single mode
	Phase    int  // the newest generation's number
	Wanted   int  // workers there should be
	Requests int  // that were finished since the start, by workers that are gone, too
	Queued   int  // requests that wait for a thread
	Clients  int  // open client connections
	MoldPID  int  // 0: there is none
	Versions Versions
	Workers  []Worker // by index; in a restart old and new ones
	Failure  string   // of the last restart, if it failed
}

// Worker is a look at one worker.
type Worker struct {
	Index, PID  int
	Phase       int // its generation
	Started     time.Time
	LastCheckIn time.Time // when it last said that it is alive
	State       string    // "serving" or "draining"
	Threads     int
	Held        int // requests that it runs now
	Requests    int // requests that it has finished
	Restarts    int // workers that had its place before it
}

// Waits says how long requests waited for a free thread.
type Waits struct{ LastMinute, SinceStart Percentiles }

// Percentiles of a number of requests.
type Percentiles struct {
	Count         int
	P50, P95, P99 time.Duration
}

// Versions are the versions of what runs.
type Versions struct {
	Serval, Ruby, Engine string
	Patchlevel           int
}
