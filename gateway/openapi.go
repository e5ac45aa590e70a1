package gateway

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/weftmesh/weft/subjects"
)

// apiVersion is the version of the HTTP interface: the v1 of its paths and subjects.
const apiVersion = "1.0.0"

const apiDescription = "weft over HTTP. Every operation is one NATS subject, named in `x-weft-subject`; this document is " +
	"derived from the same declarations.\n\nErrors are `application/problem+json` (RFC 9457) with one of a closed set of " +
	"codes. Lists page by an opaque cursor. Every operation that changes something takes `Idempotency-Key`. " +
	"`Request-Timeout` (seconds) shortens an operation's own timeout. `X-Request-Id` is kept, or made, and comes back."

// security is the name of the one security scheme.
const security = "bearer"

var tagDocs = map[string]string{
	"auth":         "Accounts, sessions and sign-ins.",
	"integration":  "Providers, connections and actions.",
	"workflow":     "Workflows and their executions.",
	"consent":      "What weft may do on a user's behalf.",
	"notification": "Telling people what happened.",
	"gateway":      "What HTTP adds: health and calls that gather several.",
}

// OpenAPI is the OpenAPI 3.1 document of every declared endpoint that HTTP reaches. The same contract gives the same
// bytes.
func OpenAPI() ([]byte, error) { return openAPI(subjects.Endpoints()) }

func openAPI(endpoints []*subjects.Descriptor) ([]byte, error) {
	doc := &document{paths: map[string]map[string]any{}, schemas: map[string]*huma.Schema{}}
	doc.registry = huma.NewMapRegistry(schemaPrefix, huma.DefaultSchemaNamer)
	for _, d := range endpoints {
		if d.Path != "" {
			doc.add(d.HTTPMethod, d.Path, doc.operation(d))
		}
	}
	for _, a := range aggregateList {
		if parts := declared(a.parts, endpoints); len(parts) > 0 {
			doc.add(http.MethodGet, a.route, doc.aggregate(a, parts, endpoints))
		}
	}
	doc.add(http.MethodGet, "/healthz", doc.plain("healthz", "Alive", "The process is alive.", doc.own(struct {
		Status string `json:"status" enum:"ok"`
	}{}, "Liveness"), http.StatusOK))
	doc.add(http.MethodGet, "/readyz", doc.plain("readyz", "Ready",
		"Every actor answers and its stores are reachable: 200, else 503 with the same body.",
		doc.own(Readiness{}, "Readiness"), http.StatusOK, http.StatusServiceUnavailable))
	data, err := json.MarshalIndent(doc.render(), "", "  ")
	if err != nil {
		return nil, fmt.Errorf("rendering the OpenAPI document: %w", err)
	}
	return append(data, '\n'), nil
}

// document is an OpenAPI document under construction.
type document struct {
	paths    map[string]map[string]any
	schemas  map[string]*huma.Schema
	registry huma.Registry
}

func (doc *document) add(method, path string, op map[string]any) {
	if doc.paths[path] == nil {
		doc.paths[path] = map[string]any{}
	}
	doc.paths[path][strings.ToLower(method)] = op
}

func (doc *document) render() map[string]any {
	var tags []map[string]any
	for _, name := range append(subjects.Actors(), "gateway") {
		tags = append(tags, map[string]any{"name": name, "description": tagDocs[name]})
	}
	return map[string]any{
		"openapi": "3.1.0",
		"info": map[string]any{
			"title": "weft", "version": apiVersion, "description": apiDescription,
			"license": map[string]any{"name": "Apache-2.0", "identifier": "Apache-2.0"},
		},
		"servers": []map[string]any{{"url": "/"}},
		"tags":    tags,
		"paths":   doc.paths,
		"components": map[string]any{
			"schemas":   doc.schemas,
			"responses": map[string]any{"Problem": doc.problem()},
			"headers":   responseHeaders(),
			"securitySchemes": map[string]any{security: map[string]any{
				"type": "http", "scheme": "bearer", "bearerFormat": "JWT",
				"description": "The access_token of a session (RFC 9068), or an API key: it reaches what its scopes say.",
			}},
		},
	}
}

// own makes the schema of a type of the gateway's.
func (doc *document) own(v any, name string) *huma.Schema {
	return doc.use(huma.SchemaFromType(doc.registry, reflect.TypeOf(v)), doc.registry.Map(), name)
}

// use copies into the document what a schema refers to. A name is given to a schema that has none.
func (doc *document) use(s *huma.Schema, from map[string]*huma.Schema, name string) *huma.Schema {
	doc.collect(s, from)
	if name == "" {
		return s
	}
	doc.schemas[name] = s
	return &huma.Schema{Ref: schemaPrefix + name}
}

func (doc *document) collect(s *huma.Schema, from map[string]*huma.Schema) {
	if s == nil {
		return
	}
	if name, ok := strings.CutPrefix(s.Ref, schemaPrefix); ok {
		if doc.schemas[name] == nil {
			doc.schemas[name] = from[name]
			doc.collect(from[name], from)
		}
		return
	}
	doc.collect(s.Items, from)
	if more, ok := s.AdditionalProperties.(*huma.Schema); ok {
		doc.collect(more, from)
	}
	for _, property := range s.Properties {
		doc.collect(property, from)
	}
	for _, list := range [][]*huma.Schema{s.OneOf, s.AnyOf, s.AllOf} {
		for _, one := range list {
			doc.collect(one, from)
		}
	}
}

func (doc *document) problem() map[string]any {
	schema := doc.use(huma.SchemaFromType(doc.registry, reflect.TypeFor[subjects.Problem]()), doc.registry.Map(), "Problem")
	doc.schemas["Problem"].Properties["code"].Enum = codeValues()
	doc.schemas["Problem"].AdditionalProperties = nil
	return map[string]any{
		"description": "What went wrong; `code` says which of a closed set.",
		"headers":     headerRefs("X-Request-Id", "Retry-After", "RateLimit", "RateLimit-Policy", "WWW-Authenticate"),
		"content":     map[string]any{"application/problem+json": map[string]any{"schema": schema}},
	}
}

func codeValues() []any {
	var values []any
	for _, code := range subjects.Codes() {
		values = append(values, string(code))
	}
	return values
}

// responseHeaders are the headers that answers have in common.
func responseHeaders() map[string]any {
	text := func(doc string) map[string]any {
		return map[string]any{"description": doc, "schema": map[string]any{"type": "string"}}
	}
	return map[string]any{
		"X-Request-Id":         text("The request's id: the client's, or one made for it."),
		"RateLimit":            text("What certainly remains of each limit, and the seconds until its window ends."),
		"RateLimit-Policy":     text("Each limit that the request counted on: its quota and window in seconds."),
		"Idempotency-Replayed": text("true where the answer is the stored one of an earlier request with the key."),
		"Location":             text("Where the result is."),
		"WWW-Authenticate":     text("How to sign in (RFC 6750)."),
		"Retry-After": map[string]any{
			"description": "Seconds until another try makes sense.", "schema": map[string]any{"type": "integer", "minimum": 1},
		},
	}
}

func headerRefs(names ...string) map[string]any {
	refs := map[string]any{}
	for _, name := range names {
		refs[name] = map[string]any{"$ref": "#/components/headers/" + name}
	}
	return refs
}

// plain is an operation of the gateway's own that takes nothing.
func (doc *document) plain(id, summary, text string, schema *huma.Schema, statuses ...int) map[string]any {
	responses := map[string]any{"default": map[string]any{"$ref": "#/components/responses/Problem"}}
	for _, status := range statuses {
		responses[strconv.Itoa(status)] = map[string]any{
			"description": http.StatusText(status), "headers": headerRefs("X-Request-Id"),
			"content": map[string]any{"application/json": map[string]any{"schema": schema}},
		}
	}
	return map[string]any{
		"operationId": id, "summary": summary, "description": text, "tags": []string{"gateway"},
		"security": []any{}, "responses": responses,
	}
}

// aggregate is an operation that gathers several endpoints' replies.
func (doc *document) aggregate(a aggregate, parts []part, endpoints []*subjects.Descriptor) map[string]any {
	problem := &huma.Schema{Ref: schemaPrefix + "Problem"}
	schema := &huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{
		"errors": {Type: huma.TypeObject, Description: "The parts that failed, by name.", AdditionalProperties: problem},
	}}
	for _, p := range parts {
		at := slices.IndexFunc(endpoints, func(d *subjects.Descriptor) bool { return d.Name() == p.endpoint })
		reply := endpoints[at].Response
		if p.pick != "" {
			reply = resolve(reply).Properties[p.pick]
		}
		if reply == nil {
			reply = &huma.Schema{}
		}
		schema.Properties[p.name] = doc.use(reply, subjects.Schemas(), "")
	}
	op := doc.plain(strings.TrimPrefix(a.name, "gateway."), a.summary, a.doc, schema, http.StatusOK)
	op["security"] = []any{map[string]any{security: []string{}}}
	if strings.Contains(a.route, "{execution_id}") {
		op["parameters"] = []any{map[string]any{
			"name": "execution_id", "in": "path", "required": true, "schema": map[string]any{"type": "string"},
		}}
	}
	return op
}

// sortedKeys are a map's keys in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
