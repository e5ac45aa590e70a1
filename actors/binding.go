package actors

import (
	"context"
	"fmt"

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
		req, err := e.Decode(data)
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
