package main

import (
	"maps"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"

	"go.uber.org/zap"
)

// reloads are functions that read files again.
type reloads struct {
	mu   sync.Mutex
	next int
	run  map[int]func()
}

// onReload adds a function that SIGHUP calls. The returned function removes it.
func (p *process) onReload(reload func()) (remove func()) {
	r := &p.reloads
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.run == nil {
		r.run = map[int]func(){}
	}
	id := r.next
	r.next++
	r.run[id] = reload
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.run, id)
	}
}

// reloadAtHangup makes SIGHUP read the TLS certificate again, where it would otherwise end the process without draining. It ends
// with the returned function.
func (p *process) reloadAtHangup() (stop func()) {
	hangups, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(hangups, syscall.SIGHUP)
	go func() {
		for {
			select {
			case <-hangups:
				p.reload()
			case <-done:
				return
			}
		}
	}()
	return func() {
		signal.Stop(hangups)
		close(done)
	}
}

func (p *process) reload() {
	p.reloads.mu.Lock()
	run := slices.Collect(maps.Values(p.reloads.run))
	p.reloads.mu.Unlock()
	p.telemetry.Log.Info("reloading at SIGHUP", zap.Bool("gateway", len(run) > 0))
	for _, f := range run {
		f()
	}
}
