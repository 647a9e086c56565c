package plan

import (
	"fmt"
	"strings"
)

// The prefixes of unit names.
const (
	Prefix        = "serval"
	Cloud66Prefix = "cloud66" // of an app with a .cloud66 directory
)

// maxName is what a name may have in bytes. With prefix, instance and suffix it stays below systemd's 255.
const maxName = 64

// Unit is the name of a process's systemd unit: cloud66_web_server.service, cloud66_process_worker@2.service. The web
// server has no instances.
func (p Plan) Unit(process Process, instance int) string {
	if process.Web {
		return p.Prefix + "_web_server.service"
	}
	return fmt.Sprintf("%s_process_%s@%d.service", p.Prefix, process.Name, instance)
}

// Template is the name of the unit's file: that of the instances' template for all but the web server.
func (p Plan) Template(process Process) string {
	if process.Web {
		return p.Unit(process, 0)
	}
	return fmt.Sprintf("%s_process_%s@.service", p.Prefix, process.Name)
}

// CheckName refuses names that could mean something in a path or in a unit's name: only letters, digits, - and _ are
// taken, and no name begins with - or _. what says whose name it is.
func CheckName(what, name string) error {
	switch {
	case name == "":
		return fmt.Errorf("the %s is empty: use letters, digits, - and _", what)
	case len(name) > maxName:
		return fmt.Errorf("the %s has %d bytes, and %d are the most: shorten it", what, len(name), maxName)
	case name[0] == '-' || name[0] == '_':
		return fmt.Errorf("the %s %q begins with %q: begin with a letter or digit", what, name, name[:1])
	}
	if i := strings.IndexFunc(name, func(r rune) bool { return !inName(r) }); i >= 0 {
		return fmt.Errorf("the %s %q has a %q in it: use letters, digits, - and _", what, name, []rune(name[i:])[0])
	}
	return nil
}

func inName(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_'
}
