package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/subjects"
)

// execute calls an action. The HTTP request is made outside of any transaction.
func (a *Actor) execute(ctx context.Context, r subjects.ExecuteActionRequest) (subjects.ActionResult, error) {
	none := subjects.ActionResult{}
	c, err := a.calls.connectionNamed(ctx, r.IntegrationID)
	if err != nil {
		return none, notStarted(ctx, nil, err)
	}
	action, err := a.registry.action(c.Provider, r.Action)
	if err != nil {
		return none, err
	}
	input, err := decodeObject(r.Input)
	if err != nil {
		return none, subjects.InvalidField("input", "must be a JSON object")
	}
	o, callID, err := a.calls.run(ctx, c, action, input, callIdentity{key: r.CallKey, repeated: r.Repeated, noWait: r.NoWait, client: r.Client})
	if err != nil && len(action.Before) == 0 {
		return none, notStarted(ctx, o, err)
	}
	if err != nil {
		return none, err
	}
	output, err := subjects.Encode(o.output)
	if err != nil {
		return none, fmt.Errorf("encoding an output: %w", err)
	}
	return subjects.ActionResult{Output: output, ProviderRequestID: o.requestID, Attempts: o.attempts, CallID: callID}, nil
}

// proxy sends a request that no action covers. Its result is the provider's response, also if that is an error. A response
// that refuses the credentials marks the connection as it does for an action.
func (a *Actor) proxy(ctx context.Context, r subjects.ProxyRequest) (subjects.ProxyReply, error) {
	none := subjects.ProxyReply{}
	c, err := a.calls.connectionNamed(ctx, r.IntegrationID)
	if err != nil {
		return none, err
	}
	provider, err := a.registry.find(c.Provider)
	if err != nil {
		return none, err
	}
	input, err := proxyInput(r)
	if err != nil {
		return none, err
	}
	o, callID, err := a.calls.run(ctx, c, provider.Proxy, input, callIdentity{})
	if err != nil && (o == nil || o.refused != nil || o.status == 0) {
		return none, err
	}
	whole, unreadable := provider.Proxy.Whole(o.connection, input, o.answer)
	if unreadable != nil {
		return none, &subjects.Error{Code: subjects.CodeProvider, Detail: c.Provider + " answered what cannot be read: " + unreadable.Error()}
	}
	encoded, err := subjects.Encode(whole)
	if err != nil {
		return none, fmt.Errorf("encoding a response: %w", err)
	}
	reply := subjects.ProxyReply{Attempts: o.attempts, CallID: callID}
	if err := json.Unmarshal(encoded, &reply); err != nil {
		return none, fmt.Errorf("decoding a response: %w", err)
	}
	return reply, nil
}

// proxyInput is a request as input of the manifest's proxy action. Fields that are not set are left out.
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
			return nil, subjects.InvalidField("object", "must not be given together with body")
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

func (a *Actor) listCalls(ctx context.Context, r subjects.ListCallsRequest) (subjects.Page[subjects.CallRecord], error) {
	none := subjects.Page[subjects.CallRecord]{}
	after, err := actors.DecodeCursor(r.Cursor, 1)
	if err != nil {
		return none, err
	}
	if _, err := a.connections.get(ctx, actors.CallerFrom(ctx).UserID, r.IntegrationID); err != nil {
		return none, err
	}
	if err := a.callLog.flush(ctx); err != nil {
		return none, err
	}
	rows, err := pageOfCalls(ctx, a.DB.DB, actors.CallerFrom(ctx).UserID, r, after[0])
	if err != nil {
		return none, err
	}
	items := make([]subjects.CallRecord, len(rows))
	for i, row := range rows {
		items[i] = row.resource()
	}
	return actors.PageOf(items, r.PageLimit(), func(c subjects.CallRecord) []string { return []string{c.ID} }), nil
}
