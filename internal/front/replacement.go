package front

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"serval/internal/handover"
	"serval/internal/listener"
)

// replacement is the outcome of a main process that is to go on with another program.
type replacement struct {
	deputy    *handover.Successor
	environ   []string
	listeners []*listener.Listener
}

func (r *replacement) Error() string { return "replaced by " + r.deputy.Program() }

// run puts the new program in place of this one. It returns only when that does not work.
func (r *replacement) run() error {
	err := r.deputy.Succeed(r.environ, r.listeners)
	r.leave(endPatience)
	return fmt.Errorf("the new program serves, but this process cannot become it: %w", err)
}

// leave ends the deputy, and all that was kept for the new program.
func (r *replacement) leave(patience time.Duration) {
	r.deputy.Leave(patience)
	listener.CloseAll(r.listeners)
}

// endPatience is how long a deputy that nobody needs any more may go on serving what it has.
const endPatience = time.Minute

// becomeDeaf drops the signals that nobody is there for, until the new program asks for them.
func (r *replacement) becomeDeaf() { signal.Ignore(deaf...) }

// deaf are the signals that would end a program that is about to be replaced, or has just begun, and does not want them yet.
// What is ignored stays so until the new program asks for it.
var deaf = []os.Signal{syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGTTIN, syscall.SIGTTOU}
