package main

import (
	"bytes"
	"context"
	"net/http"
	"testing"
	"time"
)

func TestASlowReaderKeepsTheServerWriting(t *testing.T) {
	begun, finished := make(chan struct{}), make(chan struct{})
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		defer close(finished)
		if r.URL.Path != "/5mb" {
			t.Errorf("it asked for %s", r.URL.Path)
		}
		close(begun)
		// More than the kernel takes on both sides together, so this write ends only when the reader leaves.
		w.Write(bytes.Repeat([]byte("x"), 64<<20))
	})
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan struct{})
	go func() {
		readSlowly(ctx, address)
		close(left)
	}()
	<-begun
	select {
	case <-finished:
		t.Error("the response was taken at once")
	case <-time.After(300 * time.Millisecond):
	}
	cancel()
	<-left
	<-finished
}
