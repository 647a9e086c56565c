package main

import "time"

// cpu is CPU time in microseconds, mostly that which a request took. Unlike the throughput it hardly depends on what else the
// machine does.
type cpu struct {
	Front   float64 `json:"front"`
	Workers float64 `json:"workers"`
}

func (c cpu) sum() float64 { return c.Front + c.Workers }

// perRequest shares it out among requests.
func (c cpu) perRequest(requests int) cpu {
	return cpu{ratio(c.Front, float64(requests)), ratio(c.Workers, float64(requests))}
}

// meter measures what a server uses from its start on.
type meter struct {
	srv         *server
	workers     []int
	front, rest time.Duration // when it was started
}

func (s *server) startMeter() meter {
	workers := descendants(s.front())
	return meter{s, workers, cpuTime(s.front()), cpuTime(workers...)}
}

// used is what the server has used since.
func (m meter) used() cpu {
	return cpu{microseconds(cpuTime(m.srv.front()) - m.front), microseconds(cpuTime(m.workers...) - m.rest)}
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
