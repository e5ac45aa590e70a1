package actors

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/weftmesh/weft/subjects"
)

// Binding is an endpoint with its handler.
type Binding struct {
	Desc   *subjects.Descriptor
	Handle func(ctx context.Context, data []byte) ([]byte, error)
}

// Bind binds a handler to an endpoint. The handler gets a request that satisfies the endpoint's schema,
// the verified caller (CallerFrom) and a context that ends with the caller's deadline.
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
		reply, err := json.Marshal(res)
		if err != nil {
			return nil, fmt.Errorf("encoding the reply of %s: %w", e.Subject, err)
		}
		return reply, nil
	}}
}

// Service is an actor as the runtime runs it.
type Service struct {
	// Name is the actor's.
	Name string
	// Bindings are its endpoints; health_check is the runtime's.
	Bindings []Binding
	// Workers are the jobs and events it works off.
	Workers []Worker
	// Background run until their context ends; one that fails is logged and started again.
	Background map[string]func(context.Context) error
	// Checks are its stores, for health_check: nil is ok.
	Checks map[string]func(context.Context) error
}
