package dispatch

import "serval/internal/logs"

// about names a line of the log that is about this worker.
func (m *member) about(event string, more ...any) logs.Fields {
	return logs.Named(event, append([]any{"worker", m.worker.Index, "worker_pid", m.worker.PID(), "generation", m.cfg.Phase}, more...)...)
}

// about names a line of the log that is about this seat while nobody, or another one than is meant, sits there.
func (s *seat) about(event string, more ...any) logs.Fields {
	return logs.Named(event, append([]any{"worker", s.index}, more...)...)
}
