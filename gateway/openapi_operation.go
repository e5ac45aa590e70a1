package gateway

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// operation returns the operation of an endpoint.
func (doc *document) operation(d *subjects.Descriptor) map[string]any {
	op := map[string]any{
		"operationId":    d.Actor + "_" + d.Method,
		"summary":        d.Summary,
		"description":    d.Doc,
		"tags":           []string{d.Actor},
		"responses":      doc.responses(d),
		"security":       []any{map[string]any{security: []string{}}},
		"x-weft-subject": d.Subject,
		"x-weft-timeout": d.Timeout.String(),
	}
	if d.Access.Anyone {
		op["security"] = []any{}
	}
	if d.Access.Anyone && d.Access.SignedIn {
		op["security"] = []any{map[string]any{}, map[string]any{security: []string{}}}
	}
	if d.Access.KeyScope != "" {
		op["x-weft-key-scope"] = d.Access.KeyScope
	}
	if d.Access.Role != "" {
		op["x-weft-role"] = d.Access.Role
	}
	if d.Consent != "" {
		op["x-weft-consent"] = d.Consent
	}
	if len(d.Limits) > 0 {
		var limits []any
		for _, l := range d.Limits {
			limits = append(limits, map[string]any{"by": l.By, "requests": l.Requests, "seconds": int(l.Period.Seconds())})
		}
		op["x-weft-limits"] = limits
	}
	if parameters := doc.parameters(d); len(parameters) > 0 {
		op["parameters"] = parameters
	}
	if body := doc.body(d); body != nil {
		op["requestBody"] = body
	}
	return op
}

func (doc *document) parameters(d *subjects.Descriptor) []any {
	var list []any
	for _, f := range d.Fields {
		where := placeOf(d, f)
		if where == "body" || where == "raw_query" || where == "part" {
			continue
		}
		name := f.Name
		if where == "header" || where == "cookie" {
			name = f.Header
		}
		if name == "Content-Type" || name == "Content-Length" {
			continue // the request body describes them
		}
		schema := doc.useInRequest(f.Schema)
		p := map[string]any{"name": name, "in": where, "required": f.Required || where == "path", "schema": schema}
		if schema.Description != "" {
			p["description"] = schema.Description
		}
		if schema.Type == huma.TypeArray && where == "query" {
			p["style"], p["explode"] = "form", true
		}
		list = append(list, p)
	}
	if d.Mutating {
		list = append(list, map[string]any{
			"name": "Idempotency-Key", "in": "header", "required": false,
			"description": "For 24 hours, the same key and body get the stored response; the same key and another body get 422.",
			"schema":      map[string]any{"type": "string", "minLength": 1, "maxLength": mesh.MaxIdempotencyKey},
		})
	}
	if d.GPC {
		list = append(list, map[string]any{
			"name": "Sec-GPC", "in": "header", "required": false,
			"description": "Global Privacy Control: exactly 1 opts out of the sale and the sharing of personal information. Browsers set it.",
			"schema":      map[string]any{"type": "string"},
		})
	}
	if (d.Tag != "" || d.Parts) && d.HTTPMethod == http.MethodGet {
		list = append(list, map[string]any{
			"name": "If-None-Match", "in": "header", "required": false,
			"description": "ETags of representations that the client has, or *. If the current one is among them, the response is 304 without a body.",
			"schema":      map[string]any{"type": "string"},
		})
	}
	if d.Parts {
		list = append(list, map[string]any{
			"name": "Range", "in": "header", "required": false,
			"description": "A single range of bytes, such as bytes=1048576-. The response is then 206 with that range.",
			"schema":      map[string]any{"type": "string"},
		})
	}
	if d.Stream {
		list = append(list, map[string]any{
			"name": "Last-Event-ID", "in": "header", "required": false,
			"description": "The id of the last event received. The stream resumes after it.",
			"schema":      map[string]any{"type": "string", "maxLength": 64},
		})
	}
	return list
}

// body returns the request body: the request without the fields in path, query, headers and cookies.
func (doc *document) body(d *subjects.Descriptor) map[string]any {
	if d.Body.Kind == subjects.BodyRaw {
		return map[string]any{"required": true, "content": map[string]any{"*/*": map[string]any{"schema": map[string]any{}}}}
	}
	if d.Body.Kind == subjects.BodyParts {
		return map[string]any{"required": true, "content": map[string]any{"*/*": map[string]any{"schema": binary()}}}
	}
	schema, required, empty := doc.bodySchema(d)
	if empty {
		return nil
	}
	media := map[string]any{"schema": schema}
	if example := exampleOf(schema); example != nil {
		media["example"] = example
	}
	content := map[string]any{"application/json": media}
	switch d.Body.Kind {
	case subjects.BodyForm:
		content["application/x-www-form-urlencoded"] = map[string]any{"schema": schema}
	case subjects.BodyJSONOrYAML:
		text := map[string]any{"type": "string", "description": "The document as YAML."}
		content["application/yaml"] = map[string]any{"schema": text}
	}
	return map[string]any{"required": required, "content": content}
}

// bodySchema returns the schema of a JSON body. empty means that the endpoint has no field in its body.
func (doc *document) bodySchema(d *subjects.Descriptor) (schema *huma.Schema, required, empty bool) {
	full := resolve(d.Request)
	var outside, inside []string
	for _, f := range d.Fields {
		if where := placeOf(d, f); where == "raw_query" || where == "part" {
			continue
		} else if where == "body" {
			inside = append(inside, f.Name)
			required = required || f.Required
		} else {
			outside = append(outside, f.Name)
		}
	}
	if len(inside) == 0 {
		return nil, false, true
	}
	if len(outside) == 0 {
		return doc.useInRequest(d.Request), required, false
	}
	unknown := full.AdditionalProperties
	if unknown == true { // the default, which generators misread in forms
		unknown = nil
	}
	part := &huma.Schema{
		Type: full.Type, Description: full.Description, AdditionalProperties: unknown,
		Properties: map[string]*huma.Schema{},
	}
	for _, name := range inside {
		part.Properties[name] = full.Properties[name]
	}
	for _, name := range full.Required {
		if slices.Contains(inside, name) {
			part.Required = append(part.Required, name)
		}
	}
	return doc.useInRequest(part), required, false
}

func (doc *document) responses(d *subjects.Descriptor) map[string]any {
	headers := []string{"X-Request-Id", "RateLimit", "RateLimit-Policy"}
	if d.Mutating {
		headers = append(headers, "Idempotency-Replayed")
	}
	if d.Location != "" {
		headers = append(headers, "Location")
	}
	if d.Tag != "" {
		headers = append(headers, "ETag")
	}
	if d.Parts {
		headers = append(headers, "Accept-Ranges", "Content-Disposition", "Content-Range", "ETag")
	}
	success := map[string]any{"description": http.StatusText(d.Status), "headers": headerRefs(headers...)}
	text := map[string]any{"schema": map[string]any{"type": "string"}}
	switch {
	case d.Parts:
		success["content"] = map[string]any{"*/*": map[string]any{"schema": binary()}}
	case d.Stream:
		success["content"] = map[string]any{"text/event-stream": text}
	case d.Produces != "":
		content := map[string]any{}
		for _, name := range []string{d.Produces, d.AlsoProduces} {
			switch {
			case strings.HasSuffix(name, "json"): // any document
				content[name] = map[string]any{"schema": map[string]any{}}
			case name != "":
				content[name] = text
			}
		}
		success["content"] = content
	case d.Status != http.StatusNoContent:
		schema := doc.use(d.Response, subjects.Schemas(), "")
		success["content"] = map[string]any{"application/json": map[string]any{"schema": schema}}
	}
	all := errorResponses()
	all[strconv.Itoa(d.Status)] = success
	if (d.Tag != "" || d.Parts) && d.HTTPMethod == http.MethodGet {
		all[strconv.Itoa(http.StatusNotModified)] = map[string]any{
			"description": "The client has the current representation: If-None-Match names it.", "headers": headerRefs("ETag", "X-Request-Id"),
		}
	}
	if d.Stream {
		all[strconv.Itoa(http.StatusNoContent)] = map[string]any{
			"description": "The client has the last event of the stream already: do not reconnect.", "headers": headerRefs(headers...),
		}
	}
	return all
}

// binary returns the schema of unencoded bytes.
func binary() map[string]any { return map[string]any{"type": "string", "format": "binary"} }

// exampleOf returns an example of a schema with its required properties and those that have an example of their own. It
// returns nil if none can be derived.
func exampleOf(s *huma.Schema) any {
	s = resolve(s)
	switch {
	case len(s.Examples) > 0:
		return s.Examples[0]
	case len(s.Enum) > 0:
		return s.Enum[0]
	case s.Pattern != "":
		return nil
	}
	switch s.Type {
	case huma.TypeObject:
		return exampleObject(s)
	case huma.TypeArray:
		if item := exampleOf(s.Items); item != nil {
			return []any{item}
		}
	case huma.TypeBoolean:
		return true
	case huma.TypeInteger, huma.TypeNumber:
		if s.Minimum != nil {
			return *s.Minimum
		}
		return 1
	case huma.TypeString:
		return exampleText(s)
	}
	return nil
}

// exampleObject returns nil if a property has no example.
func exampleObject(s *huma.Schema) any {
	object := map[string]any{}
	for _, name := range sortedKeys(s.Properties) {
		property := resolve(s.Properties[name])
		if !slices.Contains(s.Required, name) && len(property.Examples) == 0 {
			continue
		}
		value := exampleOf(property)
		if value == nil {
			return nil
		}
		object[name] = value
	}
	return object
}

var exampleTexts = map[string]string{
	"email":     "ada@example.com",
	"uuid":      "01980000-0000-7000-8000-000000000000",
	"date-time": "2026-11-23T12:00:00Z",
	"uri":       "https://example.com/",
	"":          "text",
}

func exampleText(s *huma.Schema) any {
	text, ok := exampleTexts[s.Format]
	if !ok || s.ContentEncoding != "" || s.MinLength != nil && *s.MinLength > len(text) || s.MaxLength != nil && *s.MaxLength < len(text) {
		return nil
	}
	return text
}
