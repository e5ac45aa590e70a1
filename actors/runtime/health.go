package runtime

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/subjects"
)

const (
	// checkTimeout bounds one check.
	checkTimeout = 2 * time.Second
	// answerMargin is how long before the caller's deadline the health check answers.
	answerMargin = 150 * time.Millisecond
)

// healthCheck binds the actor's health_check.
func (r *Runtime) healthCheck() actors.Binding {
	return actors.Bind(subjects.HealthChecks[r.service.Name], func(ctx context.Context, _ subjects.Empty) (subjects.Health, error) {
		return r.health(ctx), nil
	})
}

// health runs all checks of the service concurrently. It answers before ctx ends, also for those that have not ended by then.
func (r *Runtime) health(ctx context.Context) subjects.Health {
	health := subjects.Health{Actor: r.service.Name, Status: "ok", Version: r.Version, Checks: map[string]string{}}
	within := checkTimeout
	if deadline, ok := ctx.Deadline(); ok {
		within = min(within, time.Until(deadline)-answerMargin)
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for name, check := range r.checks {
		wg.Go(func() {
			result := textOf(ctx, check.result(ctx))
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

// textOf returns ok, or the error's code and what it may disclose.
func textOf(ctx context.Context, err error) string {
	if err == nil {
		return "ok"
	}
	text := string(subjects.CodeOf(classify(ctx, err)))
	var coded *subjects.Error
	if errors.As(err, &coded) && coded.Detail != "" {
		text += ": " + coded.Detail
	}
	return text
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
