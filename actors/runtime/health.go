package runtime

import (
	"context"
	"strconv"
	"strings"
	"sync"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/subjects"
)

// healthCheck binds the actor's health_check.
func (r *Runtime) healthCheck() actors.Binding {
	return actors.Bind(subjects.HealthChecks[r.service.Name], func(ctx context.Context, _ subjects.Empty) (subjects.Health, error) {
		return r.health(ctx), nil
	})
}

// health runs all checks of the service concurrently.
func (r *Runtime) health(ctx context.Context) subjects.Health {
	health := subjects.Health{Actor: r.service.Name, Status: "ok", Version: r.Version, Checks: map[string]string{}}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for name, check := range r.service.Checks {
		wg.Go(func() {
			result := "ok"
			if err := check(ctx); err != nil {
				result = string(subjects.CodeOf(classify(ctx, err)))
			}
			mu.Lock()
			defer mu.Unlock()
			health.Checks[name] = result
			if result != "ok" {
				health.Status = "degraded"
			}
		})
	}
	wg.Wait()
	return health
}

// metadataOf returns the metadata that `nats micro info` shows for an endpoint.
func metadataOf(d *subjects.Descriptor) map[string]string {
	metadata := map[string]string{"doc": d.Doc, "access": d.Access.String(), "timeout": d.Timeout.String()}
	if d.Path != "" {
		metadata["route"] = d.HTTPMethod + " " + d.Path
	}
	if d.Consent != "" {
		metadata["consent"] = d.Consent
	}
	var limits []string
	for _, l := range d.Limits {
		limits = append(limits, strconv.Itoa(l.Requests)+" per "+l.By+" in "+l.Period.String())
	}
	if len(limits) > 0 {
		metadata["limits"] = strings.Join(limits, ", ")
	}
	request, errRequest := d.RequestSchema()
	response, errResponse := d.ResponseSchema()
	if errRequest == nil && errResponse == nil {
		metadata["request_schema"], metadata["response_schema"] = string(request), string(response)
	}
	return metadata
}
