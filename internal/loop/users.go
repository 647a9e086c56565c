package loop

import "sync/atomic"

// users counts who uses a descriptor just now. Who closes it need not wait for them, which would be a trap for an owner with a
// lock of its own: the last of them closes it.
type users struct{ state atomic.Int64 }

// closing is set in the state once nobody may join any more; below it is the number of users.
const closing = 1 << 32

// join is to be followed by leave, unless it is too late.
func (u *users) join() bool {
	for {
		now := u.state.Load()
		if now&closing != 0 {
			return false
		}
		if u.state.CompareAndSwap(now, now+1) {
			return true
		}
	}
}

// leave says whether it is the caller's to close the descriptor.
func (u *users) leave() (last bool) { return u.state.Add(-1) == closing }

// close lets nobody join any more. Its caller, who is the only one to be told true, has joined and is to leave.
func (u *users) close() bool {
	for {
		now := u.state.Load()
		if now&closing != 0 {
			return false
		}
		if u.state.CompareAndSwap(now, now+1|closing) {
			return true
		}
	}
}

// closed says that nobody may join any more.
func (u *users) closed() bool { return u.state.Load()&closing != 0 }
