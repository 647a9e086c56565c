package installation

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"serval/internal/plan"
	"serval/internal/procfile"
)

// Service is one process of the plan with its number: everything a backend has to know.
type Service struct {
	Process plan.Process
	Number  int      // the web server has 0, the others count from 1
	Unit    string   // cloud66_web_server.service, cloud66_process_worker@2.service
	Name    string   // web, worker.2
	Argv    []string // the program as it is found in PATH, by an absolute path where it is there
	Env     []string // all of it, sorted by name
	Missing []string // variables that the command uses and nobody gives a value

	Directory string // where it runs, by its link current where there is one
	User      string // empty: whoever starts it
	Group     string // empty: the user's own
	Log       string // where what it says goes
	Socket    string // the web server's unix socket, empty if it has none
	PIDFile   string // the web server's, empty if it has none
	Address   string // the port or address of a web server without a socket, as its command has it
}

// Count is how many instances of a process there are to be.
func (i Installation) Count(p plan.Process) int {
	if count, set := i.Counts[p.Name]; set && !p.Web {
		return count
	}
	return p.Count
}

// Services are the processes of a plan with all of their instances, the web server first. It reads the environment files;
// errors name file and line.
func (i Installation) Services(p plan.Plan) ([]Service, error) {
	own, err := i.environment()
	if err != nil {
		return nil, err
	}
	var services []Service
	for _, process := range p.Processes {
		first, last := 1, i.Count(process)
		if process.Web {
			first, last = 0, 0
		}
		for number := first; number <= last; number++ {
			s, err := i.service(p, process, strconv.Itoa(number), own)
			if err != nil {
				return nil, err
			}
			s.Number = number
			services = append(services, s)
		}
	}
	return services, nil
}

// Service is one instance of a process, whether or not there are to be as many.
func (i Installation) Service(p plan.Plan, process plan.Process, number int) (Service, error) {
	own, err := i.environment()
	if err != nil {
		return Service{}, err
	}
	s, err := i.service(p, process, strconv.Itoa(number), own)
	s.Number = number
	return s, err
}

// Instance stands for the number of an instance in what Template returns.
const Instance = "\ue000"

// Template is what all instances of a process have in common: a Service with Instance where its number goes, named like the
// template of their units.
func (i Installation) Template(p plan.Plan, process plan.Process) (Service, error) {
	own, err := i.environment()
	if err != nil {
		return Service{}, err
	}
	s, err := i.service(p, process, Instance, own)
	s.Unit = p.Template(process)
	return s, err
}

// Named is one instance of a process as far as its names go: its unit, its log, whose it is. It has neither words nor an
// environment.
func (i Installation) Named(p plan.Plan, process plan.Process, number int) Service {
	s := i.named(p, process, strconv.Itoa(number))
	s.Number = number
	return s
}

func (i Installation) named(p plan.Plan, process plan.Process, number string) Service {
	s := Service{Process: process, Unit: p.Template(process), Name: process.Name, Directory: i.Directory, User: process.User}
	if s.User == "" || s.User == i.User {
		s.User, s.Group = i.User, i.Group
	}
	log := "custom_web.log"
	if !process.Web {
		s.Unit = strings.Replace(s.Unit, "@.", "@"+number+".", 1)
		s.Name = process.Name + "." + number
		log = process.Name + "_" + number + ".log"
	}
	s.Log = filepath.Join(i.Directory, "log", log)
	return s
}

// service is the instance of a process with this number.
func (i Installation) service(p plan.Plan, process plan.Process, number string, own map[string]string) (Service, error) {
	s := i.named(p, process, number)
	env, err := i.variables(process, s.User, own)
	if err != nil {
		return Service{}, fmt.Errorf("%s: %w", process.Name, err)
	}
	lookup := func(name string) (string, bool) { value, found := env[name]; return value, found }
	s.Argv, s.Missing, err = procfile.Argv(procfile.UniqueText(process.Command, unique(process, number)), lookup)
	if err != nil {
		return Service{}, fmt.Errorf("%s: %w", process.Name, err)
	}
	if len(s.Argv) == 0 {
		return Service{}, fmt.Errorf("%s: nothing is left of %q, since its variables have no value: give them one in the environment file", process.Name, process.Command)
	}
	s.Argv[0] = program(s.Argv[0], i.Directory, env["PATH"])
	if process.Web {
		s.Socket, s.PIDFile, s.Address = i.file(process.Socket, env), i.file(process.PIDFile, env), expanded(process.Address, env)
	}
	for _, name := range names(env) {
		s.Env = append(s.Env, name+"="+env[name])
	}
	return s, nil
}

// unique is what takes the place of {{UNIQUE_INT}}: what UniqueInt returns has the instance's number at its end.
func unique(p plan.Process, number string) string {
	return strconv.Itoa(p.UniqueInt(1)/10) + number
}

// file is the absolute path of a socket or pid file as the command has it: a path or a unix:// URI, with variables.
func (i Installation) file(written string, env map[string]string) string {
	path := expanded(written, env)
	path = strings.TrimPrefix(strings.TrimPrefix(path, "unix:"), "//")
	path, _, _ = strings.Cut(path, "?") // Puma's options
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(i.Directory, path)
}

// expanded has values in the place of $VAR and ${VAR:-default}.
func expanded(written string, env map[string]string) string {
	return os.Expand(written, func(name string) string {
		name, otherwise, _ := strings.Cut(name, ":-")
		if value := env[name]; value != "" {
			return value
		}
		return otherwise
	})
}

// program is a program's absolute path; as it is written where PATH does not lead to it.
func program(name, directory, path string) string {
	if filepath.IsAbs(name) {
		return name
	}
	if strings.Contains(name, "/") {
		return filepath.Join(directory, name)
	}
	for _, dir := range filepath.SplitList(path) {
		if !filepath.IsAbs(dir) {
			continue // it would depend on who looks
		}
		full := filepath.Join(dir, name)
		if info, err := os.Stat(full); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return full
		}
	}
	return name
}

func names(env map[string]string) []string {
	var names []string
	for name := range env {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
