package workflow

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/workflow/engine"
	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// send makes an HTTP request, and the requests for the credentials that it needs, and returns the call's output.
func (c *calls) send(ctx context.Context, row engine.Row, call *machine.Call, request *machine.HTTPRequest) (any, error) {
	return request.Send(func(r *machine.HTTPRequest) (machine.HTTPResponse, error) {
		return c.sendOnce(ctx, row, call, r)
	}, c.NewID())
}

// sendOnce makes one HTTP request on the user's behalf, guarded by consent: none starts after a revocation has returned.
// Methods that may change something get an Idempotency-Key, unless the definition sets one.
func (c *calls) sendOnce(ctx context.Context, row engine.Row, call *machine.Call, request *machine.HTTPRequest) (machine.HTTPResponse, error) {
	callContext := ctx
	header := http.Header{}
	for name, value := range request.Headers {
		if err := language.CheckHeader(name, value); err != nil {
			return machine.HTTPResponse{}, machine.NewError(machine.TypeConfiguration, err.Error())
		}
		header.Set(name, value)
	}
	if request.Method != http.MethodGet && request.Method != http.MethodHead && header.Get(mesh.HeaderIdempotencyKey) == "" {
		sum := sha256.Sum256([]byte(call.Key))
		header.Set(mesh.HeaderIdempotencyKey, hex.EncodeToString(sum[:16]))
	}
	sending := func() {
		if !engine.RepeatableMethod(request.Method) {
			engine.CallSent(callContext)
		}
	}
	var response *egress.Response
	err := c.Guard.Do(ctx, row.Grant(), subjects.ScopeWorkflowsExecute, func(ctx context.Context, started func()) (err error) {
		response, err = c.egress.Do(ctx, egress.Request{
			Method: request.Method, URL: request.URL, Header: header, Body: request.Body, NoRedirect: true,
			Timeout: c.config.StepTimeout, Started: started, Sending: sending, MaxBody: request.MaxBody, Permit: func() error { return actors.Permit(ctx) },
		})
		return err
	})
	if err != nil {
		return machine.HTTPResponse{}, err
	}
	headers := make(map[string]string, len(response.Header))
	for name, values := range response.Header {
		headers[name] = strings.Join(values, ", ")
	}
	return machine.HTTPResponse{Status: response.Status, Headers: headers, Body: response.Body}, nil
}
