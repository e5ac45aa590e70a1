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

// ReleaseVersion is the version of the next release. A build that records no version is "-dev" of it.
const ReleaseVersion = "0.1.0"

const apiDescription = "The HTTP API of weft. An operation with `x-weft-subject` is also available at that NATS subject, and both are derived " +
	"from the same declaration. The operations tagged `gateway` exist over HTTP only.\n\nErrors are `application/problem+json` " +
	"(RFC 9457) with one of a closed set of codes. Lists are paginated by an opaque cursor. Every operation that changes something " +
	"takes `Idempotency-Key`. `Request-Timeout` (seconds) shortens an operation's timeout. The response repeats `X-Request-Id`, " +
	"or has a generated one."

// projectURL is where problems with the API are reported.
const projectURL = "https://github.com/weftmesh/weft"

// security is the name of the only security scheme.
const security = "bearer"

var tagDocs = map[string]string{
	"auth":         "Accounts, sessions and sign-in.",
	"integration":  "Providers, connections and actions.",
	"workflow":     "Workflows and their executions.",
	"consent":      "What weft may do on a user's behalf.",
	"notification": "Notifications to users.",
	"gateway":      "Operations of the HTTP gateway itself: health, and aggregates of several operations.",
}

// OpenAPI returns the OpenAPI 3.1 document of every endpoint with a route and of the gateway's own operations. Its bytes
// depend on the declarations and on version only, which is weft's.
func OpenAPI(version string) ([]byte, error) { return openAPI(version, subjects.Endpoints()) }

func openAPI(version string, endpoints []*subjects.Descriptor) ([]byte, error) {
	doc := &document{
		version: version, paths: map[string]map[string]any{}, schemas: map[string]*huma.Schema{}, strict: map[string]bool{}, open: map[string]bool{},
	}
	doc.registry = huma.NewMapRegistry(schemaPrefix, huma.DefaultSchemaNamer)
	for _, d := range endpoints {
		if d.Path != "" {
			doc.add(d.HTTPMethod, strings.Replace(d.Path, "...}", "}", 1), doc.operation(d))
		}
	}
	for _, a := range aggregates {
		doc.add(http.MethodGet, a.route, doc.aggregate(a))
	}
	doc.add(http.MethodGet, "/healthz", doc.ownOperation("healthz", "Liveness", "The process is alive.", doc.ownSchema(struct {
		Status string `json:"status" enum:"ok"`
	}{}, "Liveness"), http.StatusOK))
	doc.add(http.MethodGet, "/readyz", doc.ownOperation("readyz", "Readiness",
		"200 if every actor replies and its stores are reachable, or else 503 with the same body.",
		doc.ownSchema(Readiness{}, "Readiness"), http.StatusOK, http.StatusServiceUnavailable))
	data, err := json.MarshalIndent(doc.render(), "", "  ")
	if err != nil {
		return nil, fmt.Errorf("rendering the OpenAPI document: %w", err)
	}
	return append(data, '\n'), nil
}

// document is an OpenAPI document under construction.
type document struct {
	version  string
	paths    map[string]map[string]any
	schemas  map[string]*huma.Schema
	registry huma.Registry
	// strict are the names of the schemas of requests, which refuse unknown members. Those of responses are open, so that
	// generated clients accept members that a later version adds.
	strict map[string]bool
	// open are the names of the schemas of responses. A schema of both kinds is published under two names (requestName).
	open map[string]bool
	// requests are the schemas of requests, whose references are renamed once it is known which schemas are of both kinds.
	requests []*huma.Schema
}

func (doc *document) add(method, path string, op map[string]any) {
	if doc.paths[path] == nil {
		doc.paths[path] = map[string]any{}
	}
	doc.paths[path][strings.ToLower(method)] = op
}

func (doc *document) render() map[string]any {
	problem := doc.problem()
	schemas := doc.published()
	var tags []map[string]any
	for _, name := range append(subjects.Actors(), "gateway") {
		tags = append(tags, map[string]any{"name": name, "description": tagDocs[name]})
	}
	return map[string]any{
		"openapi": "3.1.0",
		"info": map[string]any{
			"title": "weft", "version": doc.version, "description": apiDescription,
			"contact": map[string]any{"name": "weft", "url": projectURL},
			"license": map[string]any{"name": "Apache-2.0", "identifier": "Apache-2.0"},
		},
		"servers":  []map[string]any{{"url": "/"}},
		"tags":     tags,
		"paths":    doc.paths,
		"webhooks": webhooks(),
		"components": map[string]any{
			"schemas":   schemas,
			"responses": map[string]any{"Problem": problem},
			"headers":   responseHeaders(),
			"securitySchemes": map[string]any{security: map[string]any{
				"type": "http", "scheme": "bearer", "bearerFormat": "JWT",
				"description": "The access_token of a session (RFC 9068), or an API key, which is limited to its scopes.",
			}},
		},
	}
}

// requestName is the name of a schema as requests have it, where responses have it too.
func (doc *document) requestName(name string) string {
	if doc.strict[name] && doc.open[name] {
		return name + "Request"
	}
	return name
}

// published returns the schemas: those of responses without their refusal of unknown members.
func (doc *document) published() map[string]*huma.Schema {
	for _, s := range doc.requests {
		doc.rename(s)
	}
	schemas := make(map[string]*huma.Schema, len(doc.schemas))
	for name, s := range doc.schemas {
		if doc.strict[name] {
			request := cloneSchema(s)
			doc.rename(request)
			schemas[doc.requestName(name)] = request
		}
		if doc.strict[name] && !doc.open[name] {
			continue
		}
		if s.AdditionalProperties == false {
			open := *s
			open.AdditionalProperties = nil
			s = &open
		}
		schemas[name] = s
	}
	return schemas
}

// parts are the schemas that a schema consists of.
func parts(s *huma.Schema) []*huma.Schema {
	list := slices.Concat([]*huma.Schema{s.Items, s.Not}, s.OneOf, s.AnyOf, s.AllOf, slices.Collect(maps.Values(s.Properties)))
	if values, ok := s.AdditionalProperties.(*huma.Schema); ok {
		list = append(list, values)
	}
	return slices.DeleteFunc(list, func(part *huma.Schema) bool { return part == nil })
}

// rename makes a cloned schema of a request refer to the schemas of requests.
func (doc *document) rename(s *huma.Schema) {
	if name, ok := strings.CutPrefix(s.Ref, schemaPrefix); ok {
		s.Ref = schemaPrefix + doc.requestName(name)
	}
	for _, part := range parts(s) {
		doc.rename(part)
	}
}

// cloneSchema copies a schema with all that it consists of.
func cloneSchema(s *huma.Schema) *huma.Schema {
	if s == nil {
		return nil
	}
	c := *s
	c.Items, c.Not = cloneSchema(s.Items), cloneSchema(s.Not)
	for _, list := range []*[]*huma.Schema{&c.OneOf, &c.AnyOf, &c.AllOf} {
		*list = slices.Clone(*list)
		for i, part := range *list {
			(*list)[i] = cloneSchema(part)
		}
	}
	if values, ok := s.AdditionalProperties.(*huma.Schema); ok {
		c.AdditionalProperties = cloneSchema(values)
	}
	c.Properties = maps.Clone(s.Properties)
	for name, property := range c.Properties {
		c.Properties[name] = cloneSchema(property)
	}
	return &c
}

// useInRequest is use for a schema of a request. It returns a copy.
func (doc *document) useInRequest(s *huma.Schema) *huma.Schema {
	doc.collect(s, subjects.Schemas(), doc.strict)
	s = cloneSchema(s)
	doc.requests = append(doc.requests, s)
	return s
}

// ownSchema returns the schema of one of the gateway's own types.
func (doc *document) ownSchema(v any, name string) *huma.Schema {
	return doc.use(huma.SchemaFromType(doc.registry, reflect.TypeOf(v)), doc.registry.Map(), name)
}

// use copies the schemas that s refers to into the document. If name is set, it also adds s under that name and returns a
// reference to it.
func (doc *document) use(s *huma.Schema, from map[string]*huma.Schema, name string) *huma.Schema {
	doc.collect(s, from, doc.open)
	if name == "" {
		return s
	}
	doc.schemas[name], doc.open[name] = s, true
	return &huma.Schema{Ref: schemaPrefix + name}
}

// collect copies the schemas that s refers to, directly or indirectly, into the document, and adds their names to a set.
func (doc *document) collect(s *huma.Schema, from map[string]*huma.Schema, names map[string]bool) {
	if s == nil { // Problem, which render adds
		return
	}
	if name, ok := strings.CutPrefix(s.Ref, schemaPrefix); ok && !names[name] {
		names[name], doc.schemas[name] = true, from[name]
		doc.collect(from[name], from, names)
	}
	for _, part := range parts(s) {
		doc.collect(part, from, names)
	}
}

func (doc *document) problem() map[string]any {
	schema := doc.use(huma.SchemaFromType(doc.registry, reflect.TypeFor[subjects.Problem]()), doc.registry.Map(), "Problem")
	doc.schemas["Problem"].Properties["code"].Enum = codeValues()
	doc.schemas["Problem"].AdditionalProperties = nil
	return map[string]any{
		"description": "The error. `code` is one of a closed set.",
		"headers":     headerRefs("X-Request-Id", "Retry-After", "RateLimit", "RateLimit-Policy", "WWW-Authenticate"),
		"content":     map[string]any{"application/problem+json": map[string]any{"schema": schema}},
	}
}

// errorResponses returns the responses of errors: of requests that are refused (4XX), and of all others.
func errorResponses() map[string]any {
	problem := map[string]any{"$ref": "#/components/responses/Problem"}
	return map[string]any{"4XX": problem, "default": problem}
}

func codeValues() []any {
	var values []any
	for _, code := range subjects.Codes() {
		values = append(values, string(code))
	}
	return values
}

// responseHeaders are the header components that responses refer to.
func responseHeaders() map[string]any {
	text := func(doc string) map[string]any {
		return map[string]any{"description": doc, "schema": map[string]any{"type": "string"}}
	}
	return map[string]any{
		"X-Request-Id":         text("The request id: the client's, or a generated one."),
		"RateLimit":            text("For each limit, a lower bound of the remaining requests and the seconds until its window ends."),
		"RateLimit-Policy":     text("Each limit that the request counted against, with its quota and window in seconds."),
		"Idempotency-Replayed": text("true if the response is the stored one of an earlier request with the same key."),
		"Location":             text("The URL of the result."),
		"WWW-Authenticate":     text("The authentication challenge (RFC 6750)."),
		"Accept-Ranges":        text("bytes: the file can be requested in ranges."),
		"Content-Disposition":  text("attachment, with the file's name."),
		"Content-Range":        text("The range of bytes in a response with status 206, and the file's size."),
		"ETag":                 text("Identifies the resource's version, for If-Match and If-None-Match, or a file's content, for If-None-Match and If-Range."),
		"Retry-After": map[string]any{
			"description": "Seconds to wait before a retry.", "schema": map[string]any{"type": "integer", "minimum": 1},
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

// ownOperation returns one of the gateway's own operations. It takes no parameters and no token.
func (doc *document) ownOperation(id, summary, text string, schema *huma.Schema, statuses ...int) map[string]any {
	responses := errorResponses()
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

// aggregate returns the operation of an aggregate.
func (doc *document) aggregate(a aggregate) map[string]any {
	schema := huma.SchemaFromType(doc.registry, reflect.TypeOf(a.response))
	schema.AdditionalProperties = nil
	op := doc.ownOperation(strings.TrimPrefix(a.name, "gateway."), a.summary, a.description(), doc.use(schema, subjects.Schemas(), ""), http.StatusOK)
	op["security"] = []any{map[string]any{security: []string{}}}
	if strings.Contains(a.route, "{execution_id}") {
		op["parameters"] = []any{map[string]any{
			"name": "execution_id", "in": "path", "required": true, "schema": map[string]any{"type": "string"},
		}}
	}
	return op
}

// sortedKeys returns the keys of a map in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
