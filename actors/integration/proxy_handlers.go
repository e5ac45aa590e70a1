package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/weftmesh/weft/subjects"
)

// proxy sends what no action covers. The provider's answer is the result, also where it is an error; one that
// refuses the credentials marks the connection as it does for an action.
func (a *Actor) proxy(ctx context.Context, r subjects.ProxyRequest) (subjects.ProxyReply, error) {
	none := subjects.ProxyReply{}
	c, err := a.connectionFor(ctx, r.IntegrationID)
	if err != nil {
		return none, err
	}
	provider, err := a.provider(c.Provider)
	if err != nil {
		return none, err
	}
	input, err := proxyInput(r)
	if err != nil {
		return none, err
	}
	o, callID, err := a.use(ctx, c, provider.Proxy, input, callIdentity{})
	if err != nil && (o == nil || o.refused != nil || o.status == 0) {
		return none, err
	}
	encoded, err := json.Marshal(provider.Proxy.Whole(o.link, input, o.answer))
	if err != nil {
		return none, fmt.Errorf("encoding an answer: %w", err)
	}
	reply := subjects.ProxyReply{Attempts: o.attempts, CallID: callID}
	if err := json.Unmarshal(encoded, &reply); err != nil {
		return none, fmt.Errorf("reading an answer: %w", err)
	}
	return reply, nil
}

// proxyInput is a request as the proxy's action takes it: what it does not name is left out.
func proxyInput(r subjects.ProxyRequest) (map[string]any, error) {
	input := map[string]any{"method": r.Method, "path": r.Path}
	if r.Query != nil {
		input["query"] = r.Query
	}
	if r.Headers != nil {
		headers := make(map[string]any, len(r.Headers))
		for name, value := range r.Headers {
			headers[name] = value
		}
		input["headers"] = headers
	}
	if r.ToObject {
		input["to_object"] = true
	}
	if r.Object != "" {
		if len(r.Body) > 0 {
			return nil, subjects.InvalidField("object", "is given beside body")
		}
		input["object"] = r.Object
	}
	if len(r.Body) > 0 {
		decoder := json.NewDecoder(bytes.NewReader(r.Body))
		decoder.UseNumber()
		var body any
		if err := decoder.Decode(&body); err != nil {
			return nil, subjects.InvalidField("body", "must be JSON")
		}
		input["body"] = body
	}
	return input, nil
}
