package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// part is one call of an aggregation.
type part struct {
	// name is the part's in the answer.
	name string
	// endpoint is <actor>.<method>. A part whose endpoint is not declared, or does not take the field needs, is left out.
	endpoint, needs string
	// request makes the call's message.
	request func(arguments) map[string]any
	// pick is the field of the reply that is the part; empty takes the whole.
	pick string
	// after names the part whose reply the request needs; must ends the whole aggregation with its error.
	after string
	must  bool
}

// arguments are what a part's request is made of: the path's parameters and the replies so far.
type arguments struct {
	id      string
	replies map[string]json.RawMessage
}

// aggregate is a GET that asks several endpoints at once, as the caller.
type aggregate struct {
	name, route, summary, doc string
	parts                     []part
}

func latest(n int) func(arguments) map[string]any {
	return func(arguments) map[string]any { return map[string]any{"limit": n} }
}

var aggregateList = []aggregate{
	{
		name: "gateway.overview", route: "/v1/overview", summary: "Everything at a glance",
		doc: "Profile, connections, latest executions, consents and unread count in one call. A part that fails is named in " +
			"`errors`; the rest comes. It counts as one request.",
		parts: []part{
			{name: "profile", endpoint: "auth.get_user_profile"},
			{name: "connections", endpoint: "integration.get_user_integrations", request: latest(50), pick: "items"},
			{name: "executions", endpoint: "workflow.list_executions", request: latest(10), pick: "items"},
			{name: "consents", endpoint: "consent.list_consents", request: latest(50), pick: "items"},
			{
				name: "unread_count", endpoint: "notification.list_notifications", pick: "unread_count",
				request: latest(1),
			},
		},
	},
	{
		name: "gateway.full_execution", route: "/v1/executions/{execution_id}/full", summary: "An execution with what belongs to it",
		doc: "The execution, the workflow version that it runs, and its notifications. A part that fails is named in `errors`; " +
			"without the execution itself the answer is its error.",
		parts: []part{
			{
				name: "execution", endpoint: "workflow.get_execution_status", must: true,
				request: func(a arguments) map[string]any { return map[string]any{"execution_id": a.id} },
			},
			{
				name: "workflow", endpoint: "workflow.get_workflow", after: "execution",
				request: func(a arguments) map[string]any { return fieldsOf(a.replies["execution"], "workflow_id", "version") },
			},
			{
				name: "notifications", endpoint: "notification.list_notifications", needs: "execution_id", pick: "items",
				request: func(a arguments) map[string]any { return map[string]any{"execution_id": a.id, "limit": 50} },
			},
		},
	},
}

// fieldsOf takes fields out of a reply.
func fieldsOf(reply json.RawMessage, names ...string) map[string]any {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(reply, &all); err != nil {
		return nil
	}
	some := map[string]any{}
	for _, name := range names {
		if value, ok := all[name]; ok {
			some[name] = value
		}
	}
	return some
}

// aggregates are the operations of the aggregations that have a part at all.
func (g *Gateway) aggregates(endpoints []*subjects.Descriptor) []*operation {
	var ops []*operation
	for _, a := range aggregateList {
		if parts := declared(a.parts, endpoints); len(parts) > 0 {
			a.parts = parts
			ops = append(ops, &operation{name: a.name, route: a.route, handle: a.handle})
		}
	}
	return ops
}

// declared leaves out the parts that the endpoints cannot answer, and all where one is missing that must be.
func declared(parts []part, endpoints []*subjects.Descriptor) []part {
	var found []part
	for _, p := range parts {
		switch {
		case p.answeredBy(endpoints):
			found = append(found, p)
		case p.must:
			return nil
		}
	}
	return found
}

func (p part) answeredBy(endpoints []*subjects.Descriptor) bool {
	return slices.ContainsFunc(endpoints, func(d *subjects.Descriptor) bool {
		return d.Name() == p.endpoint && (p.needs == "" ||
			slices.ContainsFunc(d.Fields, func(f subjects.Field) bool { return f.Name == p.needs }))
	})
}

func (a aggregate) handle(x *exchange) error {
	ctx, cancel := context.WithTimeout(x.ctx, subjects.DefaultTimeout)
	defer cancel()
	if err := x.admit(ctx, nil, false); err != nil {
		return err
	}
	if err := x.authorize(subjects.User); err != nil {
		return err
	}
	if x.r.URL.RawQuery != "" {
		return subjects.Errorf(subjects.CodeInvalid, "this takes no query parameters")
	}
	args := arguments{id: x.r.PathValue("execution_id"), replies: map[string]json.RawMessage{}}
	answer, failed := map[string]json.RawMessage{}, map[string]subjects.Problem{}
	// First what stands alone, then what needs another's reply.
	for _, second := range []bool{false, true} {
		var round []part
		for _, p := range a.parts {
			if (p.after != "") == second {
				round = append(round, p)
			}
		}
		if err := x.ask(ctx, round, args, answer, failed); err != nil {
			return err
		}
	}
	body := map[string]any{}
	for name, value := range answer {
		body[name] = value
	}
	if len(failed) > 0 {
		body["errors"] = failed
	}
	data, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", a.name, err)
	}
	x.write(http.StatusOK, typeJSON, data)
	return nil
}

// ask calls the parts at the same time. The error is that of a part that must be.
func (x *exchange) ask(
	ctx context.Context, parts []part, args arguments, answer map[string]json.RawMessage, failed map[string]subjects.Problem,
) error {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var fatal error
	for _, p := range parts {
		if _, missing := failed[p.after]; missing {
			continue
		}
		wg.Go(func() {
			whole, picked, err := x.one(ctx, p, args)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				answer[p.name], args.replies[p.name] = picked, whole
			case p.must:
				fatal = err
			default:
				failed[p.name] = subjects.ProblemOf(err, x.id, mesh.TraceID(x.ctx))
			}
		})
	}
	wg.Wait()
	return fatal
}

// one calls one part with the caller's token, and takes its field out of the reply.
func (x *exchange) one(ctx context.Context, p part, args arguments) (whole, picked json.RawMessage, err error) {
	rt := x.g.byName[p.endpoint]
	var data []byte
	if p.request != nil {
		if data, err = rt.encode(p.request(args)); err != nil {
			return nil, nil, err
		}
	}
	header := nats.Header{mesh.HeaderAuthorization: {"Bearer " + x.caller.token}}
	reply, err := x.g.forward(ctx, rt, header, data, false)
	if err != nil {
		return nil, nil, err
	}
	if p.pick == "" {
		return reply.Data, reply.Data, nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(reply.Data, &fields); err != nil {
		return nil, nil, fmt.Errorf("reading a reply of %s: %w", p.endpoint, err)
	}
	if picked = fields[p.pick]; picked == nil {
		picked = json.RawMessage("null")
	}
	return reply.Data, picked, nil
}

// encode renders a request of the gateway's own, validated.
func (rt *route) encode(values map[string]any) ([]byte, error) {
	data, err := json.Marshal(values)
	if err != nil {
		return nil, fmt.Errorf("encoding a request for %s: %w", rt.d.Name(), err)
	}
	return data, rt.d.Validate(data)
}
