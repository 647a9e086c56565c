package unit

import (
	"strconv"
	"strings"
	"syscall"
	"time"

	"serval/internal/sequence"
)

// What systemd waits besides for a sequence that it does not carry out itself, so that it is that which ends the process.
const stopGrace = 15 * time.Second

// stop writes how a process is stopped. A signal and a KILL is what systemd does by itself; longer sequences are carried out by
// serval sequence, which returns when the main process is gone.
func (t *text) stop(serval string, s sequence.Sequence, shell bool) {
	// A signal is for the main process, and what is left when that has gone is killed. A shell that stays in front of its
	// programs would be the only one to hear of it.
	t.set("KillMode", map[bool]string{false: "mixed", true: "control-group"}[shell])
	if len(s) == 2 && s[1].Signal == syscall.SIGKILL || len(s) == 1 {
		t.set("KillSignal", signalName(s[0].Signal))
		if s.Kills() {
			t.set("TimeoutStopSec", seconds(max(s.Total(), time.Second))) // 0 would be for ever
		}
		return
	}
	if shell {
		t.command("ExecStop", serval, "sequence", "--children", s.String(), mainPID)
	} else {
		t.command("ExecStop", serval, "sequence", s.String(), mainPID)
	}
	t.set("KillSignal", signalName(s[len(s)-1].Signal))
	t.set("TimeoutStopSec", seconds(s.Total()+stopGrace))
}

// signalName is a signal as systemd calls it.
func signalName(s syscall.Signal) string { return "SIG" + strings.ToUpper(sequence.Name(s)) }

func seconds(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }
