package main

import (
	"context"
	"time"

	generator "serval/internal/load"
)

// steadily performs an action under an open loop on the socket.
func (h *pageHost) steadily(ctx context.Context, action pageAction, run *pageRun) error {
	run.Load = "500/s"
	guard := h.bench.postSentinel()
	defer guard.dismiss()
	var loads []*generator.Load
	for i, method := range []string{"GET", "POST"} {
		loads = append(loads, generator.Start(generator.Config{URL: "unix://" + h.path(pageSocket), Rate: openRate / 2, Offset: inTurn(i), Method: method, Timeout: requestTimeout}))
	}
	stop := func() {
		for _, l := range loads {
			l.Stop()
		}
	}
	defer stop()
	steady := generator.Span{From: time.Now(), To: time.Now().Add(pageSteady)}
	if err := pause(ctx, pageSteady+pagePause); err != nil {
		return err
	}
	var spans []generator.Span
	for range run.Times {
		began := time.Now()
		if err := h.perform(ctx, action); err != nil {
			if ctx.Err() != nil {
				return err
			}
			run.Problems = append(run.Problems, err.Error())
		}
		run.Took = append(run.Took, inMilliseconds(time.Since(began)))
		pause(ctx, afterRestart)
		spans = append(spans, generator.Span{From: began, To: time.Now()})
		if err := pause(ctx, pagePause); err != nil {
			return err
		}
	}
	stop()
	all := generator.Over([]generator.Span{{}}, loads...)
	run.Sent, run.Failed, run.Kinds, run.Slowest, run.Lag = all.Sent, all.Failed, all.Kinds, inMilliseconds(all.Max), inMilliseconds(all.Lag)
	run.Steady = inMilliseconds(generator.Over([]generator.Span{steady}, loads...).Silence)
	for _, span := range spans {
		run.Silences = append(run.Silences, inMilliseconds(generator.Over([]generator.Span{span}, loads...).Silence))
	}
	run.Stills = guard.stills(spans)
	return nil
}

// saturated performs an action while as many requests go through nginx as will.
func (h *pageHost) saturated(ctx context.Context, action pageAction, run *pageRun) error {
	run.Load, run.Times = "saturated", 1
	w := wrk{threads: 2, connections: pageClients, seconds: 4 + 2*run.Boot, url: "http://" + h.ip + "/"}
	type end struct {
		result
		err error
	}
	over := make(chan end, 1)
	go func() {
		r, err := w.run(ctx)
		over <- end{r, err}
	}()
	pause(ctx, pageSteady)
	began := time.Now()
	if err := h.perform(ctx, action); err != nil {
		run.Problems = append(run.Problems, err.Error())
	}
	run.Took = append(run.Took, inMilliseconds(time.Since(began)))
	wrk := <-over
	if wrk.err != nil {
		return wrk.err
	}
	f := wrk.Failures
	run.Sent, run.Failed, run.Slowest = wrk.Requests, f.sum(), wrk.result.Slowest
	run.Kinds = map[string]int{"connect": f.Connect, "read": f.Read, "write": f.Write, "timeout": f.Timeout, "not 2xx": f.Status}
	return nil
}
