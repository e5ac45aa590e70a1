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

// readinessTTL is how long the result of /readyz is cached.
const readinessTTL = time.Second

// Readiness is the response of /readyz.
type Readiness struct {
	Status  string                    `json:"status" enum:"ready,unavailable"`
	Version string                    `json:"version"`
	NATS    string                    `json:"nats" enum:"connected,away"`
	Actors  map[string]ActorReadiness `json:"actors"`
}

// ActorReadiness is the readiness of one actor. Status is "away" if it does not reply to its health check.
type ActorReadiness struct {
	Status  string            `json:"status" enum:"ok,degraded,away"`
	Version string            `json:"version,omitempty"`
	Checks  map[string]string `json:"checks,omitempty" doc:"Each check by name: ok, or the code of the error and what is known of it."`
}

// handleHealthz answers that the process is alive. It checks nothing else.
func handleHealthz(rc *requestContext) error {
	rc.write(http.StatusOK, typeJSON, []byte(`{"status":"ok"}`))
	return nil
}

// readiness sends every actor's health check, at most once per readinessTTL for any number of requests.
type readiness struct {
	g    *Gateway
	mu   sync.Mutex
	at   time.Time
	last Readiness
}

func (r *readiness) handle(rc *requestContext) error {
	current := r.current(rc.ctx)
	body, err := json.Marshal(current)
	if err != nil {
		return fmt.Errorf("encoding readiness: %w", err)
	}
	status := http.StatusOK
	if current.Status != "ready" {
		status = http.StatusServiceUnavailable
		rc.w.Header().Set("Retry-After", "1")
	}
	rc.write(status, typeJSON, body)
	return nil
}

// current returns a result that is at most readinessTTL old. Concurrent calls wait for one check.
func (r *readiness) current(ctx context.Context) Readiness {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.at.IsZero() && r.g.Now().Sub(r.at) < readinessTTL {
		return r.last
	}
	r.last = r.check(context.WithoutCancel(ctx))
	r.at = r.g.Now()
	return r.last
}

func (r *readiness) check(ctx context.Context) Readiness {
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
			state := r.checkActor(ctx, actor)
			mu.Lock()
			defer mu.Unlock()
			result.Actors[actor] = state
			if state.Status != "ok" {
				result.Status = "unavailable"
			}
		})
	}
	wg.Wait()
	return result
}

func (r *readiness) checkActor(ctx context.Context, actor string) ActorReadiness {
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
