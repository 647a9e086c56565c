package listener

import "slices"

// Rebind opens the sockets for those of binds that none of the open listeners is for. It returns all that are to serve
// from now on, those of them that are new, and those that no bind wants any more, which are still open. When one cannot
// be opened, the new ones are closed again and nothing has changed.
func Rebind(open []*Listener, binds []Bind) (serving, opened, surplus []*Listener, err error) {
	for _, l := range open {
		if l.Activated != "" {
			serving = append(serving, l) // systemd's, who does not pass it a second time
		} else {
			surplus = append(surplus, l)
		}
	}
	for i := range binds {
		b := &binds[i]
		kept := false
		surplus = slices.DeleteFunc(surplus, func(l *Listener) bool {
			if l.bind != b.key() {
				return false
			}
			serving = append(serving, l)
			kept = true
			return true
		})
		if kept || slices.ContainsFunc(serving, func(l *Listener) bool { return l.bind == b.key() }) {
			continue
		}
		more, err := listen(b, binds)
		if err != nil {
			CloseAll(opened)
			return nil, nil, nil, err
		}
		serving, opened = append(serving, more...), append(opened, more...)
	}
	return serving, opened, surplus, nil
}
