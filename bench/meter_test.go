package main

import (
	"os/exec"
	"strconv"
	"testing"
	"time"
)

func TestCPUTimeIsSharedOutAmongRequests(t *testing.T) {
	if got, want := (cpu{Front: 300, Workers: 900}).perRequest(3), (cpu{100, 300}); got != want || got.sum() != 400 {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := (cpu{Front: 300}).perRequest(0); got != (cpu{}) {
		t.Errorf("without requests it is %v", got)
	}
}

func TestAMeterTellsTheFrontFromItsWorkers(t *testing.T) {
	// The first shell only waits for the second one, which computes.
	process := exec.Command("sh", "-c", "sh -c 'while :; do :; done'; true")
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	defer process.Wait()
	srv := &server{process: process}
	for len(descendants(srv.front())) == 0 {
		time.Sleep(time.Millisecond)
	}
	worker := descendants(srv.front())[0]
	defer exec.Command("kill", "-9", strconv.Itoa(worker)).Run()
	m := srv.startMeter()
	for deadline := time.Now().Add(10 * time.Second); m.used().Workers < 50_000; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after ten seconds of a busy worker it shows %v µs", m.used())
		}
	}
	if front := m.used().Front; front > 20_000 {
		t.Errorf("a front that waits used %v µs", front)
	}
}
