package runtime

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// health is the actor's health_check: every check of the service, at the same time.
func (r *Runtime) health() actors.Binding {
	return actors.Bind(subjects.HealthChecks[r.service.Name], func(ctx context.Context, _ subjects.Empty) (subjects.Health, error) {
		health := subjects.Health{Actor: r.service.Name, Status: "ok", Version: r.Version, Checks: map[string]string{}}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for name, check := range r.service.Checks {
			wg.Go(func() {
				result := "ok"
				if err := check(ctx); err != nil {
					result = string(subjects.CodeOf(coded(ctx, err)))
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
		return health, nil
	})
}

// metadataOf is what `nats micro info` shows of an endpoint.
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

// coded gives a code to what the shared stores say; what is not ours stays as it is and becomes internal.
func coded(ctx context.Context, err error) error {
	var own *subjects.Error
	if err == nil || errors.As(err, &own) {
		return err
	}
	err = database.Classify(err)
	switch {
	case ctx.Err() == nil && (errors.Is(err, kv.ErrUnavailable) || errors.Is(err, database.ErrUnavailable)):
		return &subjects.Error{Code: subjects.CodeUnavailable, Detail: "a store cannot be reached right now", RetryAfter: actors.RetrySoon, Cause: err}
	case errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil:
		return &subjects.Error{Code: subjects.CodeTimeout, Detail: "the request took too long", Cause: err}
	}
	return err
}
