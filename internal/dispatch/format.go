package dispatch

// Format hands a line of the log to a worker, for the configuration's log_formatter and custom_logger: the first one that
// serves. It returns false, without waiting, when none takes it. It is a logs.Formatter.
func (p *Pool) Format(line []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	var first *member
	for _, m := range p.members {
		if m.state == serving && (first == nil || m.seat.index < first.seat.index) {
			first = m
		}
	}
	return first != nil && first.worker.Log(line)
}
