package listener

import (
	"net"
	"path/filepath"
	"slices"
	"testing"
)

// urls are the addresses of listeners, in order of their names.
func names(listeners []*Listener) (names []string) {
	for _, l := range listeners {
		names = append(names, l.Name)
	}
	slices.Sort(names)
	return names
}

func parse(t *testing.T, uris ...string) []Bind {
	t.Helper()
	binds, err := ParseAll("/", uris)
	if err != nil {
		t.Fatal(err)
	}
	return binds
}

func TestRebindKeepsWhatIsWantedStillAndOpensTheRest(t *testing.T) {
	dir := t.TempDir()
	kept, gone, added := "unix://"+dir+"/kept", "unix://"+dir+"/gone", "unix://"+dir+"/added"
	open, err := Listen(parse(t, kept, gone, "tcp://127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer CloseAll(open)
	serving, opened, surplus, err := Rebind(open, parse(t, added, kept+"?umask=0077", "tcp://127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer CloseAll(opened)
	if want := []string{"tcp://127.0.0.1:0", added, kept}; !slices.Equal(names(serving), want) {
		t.Errorf("%q serve, want %q", names(serving), want)
	}
	if want := []string{added}; !slices.Equal(names(opened), want) {
		t.Errorf("%q were opened, want %q", names(opened), want)
	}
	if want := []string{gone}; !slices.Equal(names(surplus), want) {
		t.Errorf("%q are surplus, want %q", names(surplus), want)
	}
	if c, err := net.Dial("unix", filepath.Join(dir, "gone")); err != nil {
		t.Errorf("what is surplus was closed: %v", err)
	} else {
		c.Close()
	}
}

func TestRebindKeepsAllSocketsOfAName(t *testing.T) {
	open, err := Listen(parse(t, "tcp://localhost:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer CloseAll(open)
	serving, opened, surplus, err := Rebind(open, parse(t, "tcp://localhost:0"))
	if err != nil || len(serving) != len(open) || len(opened)+len(surplus) > 0 {
		t.Errorf("%q serve, %q opened, %q surplus, %v", names(serving), names(opened), names(surplus), err)
	}
}

func TestRebindChangesNothingWhenASocketCannotBeOpened(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	open, err := Listen(parse(t, "unix://"+dir+"/kept"))
	if err != nil {
		t.Fatal(err)
	}
	defer CloseAll(open)
	if _, _, _, err := Rebind(open, parse(t, "unix://"+dir+"/new", "tcp://"+taken.Addr().String())); err == nil {
		t.Fatal("a taken port was opened")
	}
	if _, err := net.Dial("unix", dir+"/new"); err == nil {
		t.Error("what was opened before the failure is open still")
	}
	if c, err := net.Dial("unix", dir+"/kept"); err != nil {
		t.Errorf("what was open is closed: %v", err)
	} else {
		c.Close()
	}
}
