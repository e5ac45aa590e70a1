package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/subjects"
)

// readyFor is how long an answer of /readyz is used again.
const readyFor = time.Second

// Readiness is the answer of /readyz.
type Readiness struct {
	Status  string                    `json:"status" enum:"ready,unavailable"`
	Version string                    `json:"version"`
	NATS    string                    `json:"nats" enum:"connected,away"`
	Actors  map[string]ActorReadiness `json:"actors"`
}

// ActorReadiness is what /readyz knows of one actor.
type ActorReadiness struct {
	Status  string            `json:"status" enum:"ok,degraded,away"`
	Version string            `json:"version,omitempty"`
	Checks  map[string]string `json:"checks,omitempty" doc:"Each store by name: ok, or what is wrong."`
}

// healthz says that the process is alive, and nothing else.
func healthz(x *exchange) error {
	x.write(http.StatusOK, typeJSON, []byte(`{"status":"ok"}`))
	return nil
}

// readiness asks every actor's health check, at most once in readyFor however many ask it.
type readiness struct {
	g    *Gateway
	mu   sync.Mutex
	at   time.Time
	last Readiness
}

func (r *readiness) handle(x *exchange) error {
	now := r.now(x.ctx)
	body, err := json.Marshal(now)
	if err != nil {
		return fmt.Errorf("encoding readiness: %w", err)
	}
	status := http.StatusOK
	if now.Status != "ready" {
		status = http.StatusServiceUnavailable
		x.w.Header().Set("Retry-After", "1")
	}
	x.write(status, typeJSON, body)
	return nil
}

// now is at most readyFor old. Who asks meanwhile waits for the one that is under way.
func (r *readiness) now(ctx context.Context) Readiness {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.at.IsZero() && r.g.Now().Sub(r.at) < readyFor {
		return r.last
	}
	r.last = r.ask(context.WithoutCancel(ctx))
	r.at = r.g.Now()
	return r.last
}

func (r *readiness) ask(ctx context.Context) Readiness {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	result := Readiness{Status: "ready", Version: r.g.Version, NATS: "connected", Actors: map[string]ActorReadiness{}}
	if !r.g.Conn.IsConnected() {
		result.NATS, result.Status = "away", "unavailable"
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, actor := range subjects.Actors() {
		wg.Go(func() {
			is := r.actor(ctx, actor)
			mu.Lock()
			defer mu.Unlock()
			result.Actors[actor] = is
			if is.Status != "ok" {
				result.Status = "unavailable"
			}
		})
	}
	wg.Wait()
	return result
}

func (r *readiness) actor(ctx context.Context, actor string) ActorReadiness {
	reply, err := r.g.Conn.Forward(ctx, subjects.HealthChecks[actor].Subject, nats.Header{}, nil)
	if err != nil {
		return ActorReadiness{Status: "away"}
	}
	var health subjects.Health
	if err := json.Unmarshal(reply.Data, &health); err != nil {
		return ActorReadiness{Status: "away"}
	}
	return ActorReadiness{Status: health.Status, Version: health.Version, Checks: health.Checks}
}
