package main

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"time"
)

// The states of a process and of its parts.
const (
	statusOK       = "ok"
	statusDegraded = "degraded"
	statusStarting = "starting"
	statusReady    = "ready"
	statusStopping = "stopping"
	// statusUnavailable is that of a process one of whose parts does not reach a store.
	statusUnavailable = "unavailable"
)

// readyWithin bounds the checks of one request.
const readyWithin = 3 * time.Second

// partHealth is the health of an actor, or of the gateway, of this process.
type partHealth struct {
	Status string `json:"status"`
	// Checks has each check by name: ok, or the code of the error and what is known of it.
	Checks map[string]string `json:"checks,omitempty"`
}

// processHealth is the body of /readyz on the metrics port.
type processHealth struct {
	Status  string                `json:"status"`
	Version string                `json:"version"`
	Parts   map[string]partHealth `json:"parts"`
}

// health knows the parts of a process. A part has a check while it serves.
type health struct {
	mu       sync.Mutex
	parts    map[string]func(context.Context) partHealth
	stopping bool
}

// expect declares the parts that the process will run.
func (h *health) expect(names []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.parts = map[string]func(context.Context) partHealth{}
	for _, name := range names {
		h.parts[name] = nil
	}
}

// set declares that a part serves, or with a nil check that it does not.
func (h *health) set(name string, check func(context.Context) partHealth) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.parts != nil {
		h.parts[name] = check
	}
}

// stop declares that the process takes no new work.
func (h *health) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopping = true
}

// handleHealthz answers that the process is alive. It checks nothing else.
func (h *health) handleHealthz(w http.ResponseWriter, _ *http.Request) {
	writeHealth(w, http.StatusOK, map[string]string{"status": statusOK})
}

// handleReadyz answers 200 if every part serves and reaches its stores, otherwise 503.
func (h *health) handleReadyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyWithin)
	defer cancel()
	current := h.check(ctx)
	status := http.StatusOK
	if current.Status != statusReady {
		status = http.StatusServiceUnavailable
	}
	writeHealth(w, status, current)
}

func (h *health) check(ctx context.Context) processHealth {
	h.mu.Lock()
	checks := map[string]func(context.Context) partHealth{}
	for name, check := range h.parts {
		checks[name] = check
	}
	stopping := h.stopping
	h.mu.Unlock()
	result := processHealth{Status: statusReady, Version: programVersion(), Parts: map[string]partHealth{}}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for name, check := range checks {
		wg.Go(func() {
			state := partHealth{Status: statusStarting}
			if check != nil {
				state = check(ctx)
			}
			mu.Lock()
			defer mu.Unlock()
			result.Parts[name] = state
		})
	}
	wg.Wait()
	states := make([]string, 0, len(result.Parts))
	for _, part := range result.Parts {
		states = append(states, part.Status)
	}
	switch {
	case stopping:
		result.Status = statusStopping
	case slices.Contains(states, statusStarting) || len(states) == 0:
		result.Status = statusStarting
	case slices.ContainsFunc(states, func(s string) bool { return s != statusOK }):
		result.Status = statusUnavailable
	}
	return result
}

func writeHealth(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
