package actors

import (
	"context"
	"fmt"

	"github.com/weftmesh/weft/mesh/compute"
	"github.com/weftmesh/weft/subjects"
)

// Binding is an endpoint with its handler. Handle takes the encoded request and returns the encoded reply.
type Binding struct {
	Desc   *subjects.Descriptor
	Handle func(ctx context.Context, data []byte) ([]byte, error)
}

// Bind binds a handler to an endpoint. The handler gets a request that satisfies the endpoint's schema, and a context with the
// verified caller (CallerFrom) and the caller's deadline.
func Bind[Req, Res any](
	e subjects.Endpoint[Req, Res], handler func(context.Context, Req) (Res, error),
) Binding {
	return Binding{Desc: e.Describe(), Handle: func(ctx context.Context, data []byte) ([]byte, error) {
		req, err := decode(ctx, e, data)
		if err != nil {
			return nil, err
		}
		res, err := handler(ctx, req)
		if err != nil {
			return nil, err
		}
		reply, err := subjects.Encode(res)
		if err != nil {
			return nil, fmt.Errorf("encoding the reply of %s: %w", e.Subject, err)
		}
		return reply, nil
	}}
}

// decode decodes a request: a large one in the process's pool, in turns between callers.
func decode[Req, Res any](ctx context.Context, e subjects.Endpoint[Req, Res], data []byte) (Req, error) {
	if len(data) < compute.Large {
		return e.Decode(data)
	}
	var req Req
	var err error
	if failed := compute.Default.Do(ctx, CallerFrom(ctx).UserID, func() { req, err = e.Decode(data) }); failed != nil {
		err = &subjects.Error{Code: subjects.CodeUnavailable, Reason: subjects.ReasonOverloaded, RetryAfter: subjects.RetrySoon, Cause: failed}
	}
	return req, err
}

// Service declares what the runtime runs for an actor.
type Service struct {
	// Name is the actor's name.
	Name string
	// Bindings are the endpoints. The runtime adds health_check.
	Bindings []Binding
	// Workers process jobs and events.
	Workers []Worker
	// Background has the background tasks by name. Each runs until its context ends; one that fails is logged and restarted.
	Background map[string]func(context.Context) error
	// Checks has the checks of health_check by name. A check returns nil if the store or service is usable.
	Checks map[string]func(context.Context) error
}
