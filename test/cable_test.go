package test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"serval/internal/testkit"
)

const echoChannel = "Cable::EchoChannel"

func TestActionCableTalksThroughTheHijack(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "cable", "-t", "2")
	k := openCable(t, s.Dial(), echoChannel)
	for i := range 20 {
		k.perform("say", fmt.Sprintf("hello %d", i))
		k.expect(fmt.Sprintf(`"said":"hello %d"`, i))
	}
	long := strings.Repeat("long ", 30_000)
	k.perform("say", long)
	k.expect(long)
	k.hangUp()
	if r := s.Get("/"); r.Status != 200 {
		t.Errorf("got %+v", r)
	}
}

func TestACableReachesAllItsSubscribersAndHoldsNoThread(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "cable", "-t", "1")
	var cables []*cable
	for range 40 {
		cables = append(cables, openCable(t, s.Dial(), echoChannel))
	}
	if r := s.Get("/"); r.Status != 200 {
		t.Errorf("got %+v", r)
	}
	cables[0].perform("shout", "hear me")
	for _, k := range cables {
		k.expect(`"shouted":"hear me"`)
	}
	for i, k := range cables {
		if i%2 == 0 {
			k.Reset() // some leave without a word
		} else {
			k.hangUp()
		}
	}
	testkit.WaitFor(t, "their sockets are closed", func() bool { return len(sockets(t, s.Worker().PID)) < 10 })
}

func sockets(t testing.TB, pid int) (found []string) {
	t.Helper()
	for _, target := range testkit.Descriptors(t, pid) {
		if strings.HasPrefix(target, "socket:") {
			found = append(found, target)
		}
	}
	return found
}

func TestACableOverAUnixSocket(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "cable", "-b", "unix://"+testkit.ShortDir(t)+"/socket")
	k := openCable(t, s.Dial(), echoChannel)
	k.perform("say", "over unix")
	k.expect(`"said":"over unix"`)
	k.hangUp()
}

func TestACableEndsWithItsServer(t *testing.T) {
	t.Parallel()
	s := testkit.Start(t, "cable", "-w", "1")
	k := openCable(t, s.Dial(), echoChannel)
	took(t, "the end", func() {
		s.Signal(syscall.SIGTERM)
		k.Rest()
		s.Exit()
	})
}
