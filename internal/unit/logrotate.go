package unit

import (
	"fmt"
	"os/user"
	"path/filepath"
	"strings"

	"serval/internal/installation"
)

// rotation is what logrotate(8) is told of the logs of an app; no file where there is no logrotate or nothing to rotate.
// Programs hold their logs open and have no common way to open them again, so a log is copied and emptied: what is said in
// that moment is lost, and nothing else.
func (r *rendering) rotation() (files []installation.File, err error) {
	if r.Logrotate == "" || len(r.plan.Processes) == 0 {
		return nil, nil
	}
	name := r.plan.Prefix + "_" + r.plan.App
	var b strings.Builder
	fmt.Fprintf(&b, "# Written by serval install for %s in %s.\n# The next install writes it anew.\n", r.plan.App, oneLine(r.installation.Directory))
	for _, p := range r.plan.Processes {
		s, err := r.installation.Template(r.plan, p)
		if err != nil {
			return nil, err
		}
		account, err := account(s.User, s.Group)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "%s {\n\tsu %s\n\tdaily\n\trotate 14\n\tcompress\n\tdelaycompress\n\tcopytruncate\n\tmissingok\n\tnotifempty\n}\n", pattern(s.Log), account)
	}
	return []installation.File{{Path: filepath.Join(r.Logrotate, name), Text: b.String(), Mode: 0o644}}, nil
}

// account is a user and a group as logrotate's su has them.
func account(name, group string) (string, error) {
	if group != "" {
		return name + " " + group, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return "", err
	}
	g, err := user.LookupGroupId(u.Gid)
	if err != nil {
		return "", fmt.Errorf("the group of %s has no name: %w", name, err)
	}
	return name + " " + g.Name, nil
}

// pattern is a log's path as logrotate has it: in quotes, a shell's pattern, with any number in the place of the instance's.
func pattern(log string) string {
	escaped := strings.NewReplacer(`\`, `\\`, `"`, `\"`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(log)
	return `"` + strings.ReplaceAll(escaped, installation.Instance, "[0-9]*") + `"`
}
