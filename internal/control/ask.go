package control

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// collect has all workers collect garbage.
func (s *Server) collect(w http.ResponseWriter, _ *http.Request) {
	if err := firstError(s.op.Ask("gc", patience)); err != nil {
		failed(w, err)
		return
	}
	ok(w)
}

// gcStats has the sums over all workers where Puma has its master's values, and the workers' own values beside them.
func (s *Server) gcStats(w http.ResponseWriter, _ *http.Request) {
	answers := s.op.Ask("gc-stats", patience)
	if err := firstError(answers); err != nil {
		failed(w, err)
		return
	}
	type workerGC struct {
		Index int                `json:"index"`
		PID   int                `json:"pid"`
		GC    map[string]float64 `json:"gc"`
	}
	sums, each := map[string]any{}, []workerGC{}
	for _, a := range answers {
		var all map[string]any
		if err := json.Unmarshal([]byte(a.JSON), &all); err != nil {
			failed(w, fmt.Errorf("worker %d (PID %d) did not answer in JSON: %w", a.Index, a.PID, err))
			return
		}
		own := workerGC{a.Index, a.PID, map[string]float64{}}
		for name, value := range all {
			if n, isNumber := value.(float64); isNumber {
				own.GC[name] = n
				sum, _ := sums[name].(float64)
				sums[name] = sum + n
			}
		}
		each = append(each, own)
	}
	sums["workers"] = each
	writeJSON(w, sums)
}

// backtraces has the threads of all workers, named after these.
func (s *Server) backtraces(w http.ResponseWriter, _ *http.Request) {
	answers := s.op.Ask("backtraces", patience)
	if err := firstError(answers); err != nil {
		failed(w, err)
		return
	}
	type thread struct {
		Name      string   `json:"name"`
		Backtrace []string `json:"backtrace"`
	}
	all := []thread{}
	for _, a := range answers {
		var threads []thread
		if err := json.Unmarshal([]byte(a.JSON), &threads); err != nil {
			failed(w, fmt.Errorf("worker %d (PID %d) did not answer in JSON: %w", a.Index, a.PID, err))
			return
		}
		for _, t := range threads {
			t.Name = fmt.Sprintf("Worker %d (PID: %d): %s", a.Index, a.PID, t.Name)
			all = append(all, t)
		}
	}
	writeJSON(w, all)
}

// firstError is the first worker's trouble; that there is no worker is one, too.
func firstError(answers []Answer) error {
	for _, a := range answers {
		if a.Err != nil {
			return a.Err
		}
	}
	if len(answers) == 0 {
		return errNoWorker
	}
	return nil
}
