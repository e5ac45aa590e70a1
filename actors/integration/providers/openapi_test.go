//go:build conformance || specs

package providers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"github.com/weftmesh/weft/actors/integration/manifest"
)

// openAPI is an OpenAPI document of a provider.
type openAPI struct {
	doc    *openapi3.T
	router routers.Router
}

// route finds the operation of a request.
func (d *openAPI) route(r *manifest.Request) (*routers.Route, map[string]string, *http.Request, error) {
	request, err := http.NewRequest(r.Method, r.URL, bytes.NewReader(r.Body))
	if err != nil {
		return nil, nil, nil, err
	}
	request.URL, request.Header = separateURLSuffix(d.doc, request.URL), r.Header.Clone()
	if len(r.Body) == 0 {
		request.Body = http.NoBody
	}
	route, params, err := d.router.FindRoute(request)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("%s %s: %w", r.Method, request.URL.Path, err)
	}
	return route, params, request, nil
}

// validate validates a request against the document; found is false if the document has no such operation.
func (d *openAPI) validate(r *manifest.Request) (found bool, err error) {
	route, params, request, err := d.route(r)
	if err != nil {
		return false, err
	}
	if err := checkUnknown(route, request.URL.Query(), r); err != nil {
		return true, err
	}
	return true, openapi3filter.ValidateRequest(context.Background(), &openapi3filter.RequestValidationInput{
		Request: request, PathParams: params, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, SkipSettingDefaults: true},
	})
}

// checkUnknown rejects unknown parameters and fields, which kin-openapi accepts.
func checkUnknown(route *routers.Route, query url.Values, r *manifest.Request) error {
	for name := range query {
		known := slices.ContainsFunc(append(route.Operation.Parameters, route.PathItem.Parameters...), func(p *openapi3.ParameterRef) bool {
			return p.Value.In == "query" && p.Value.Name == name
		})
		if !known {
			return fmt.Errorf("unknown query parameter %q", name)
		}
	}
	if len(r.Body) == 0 {
		return nil
	}
	if route.Operation.RequestBody == nil {
		return fmt.Errorf("the operation has no request body")
	}
	contentType, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	media := route.Operation.RequestBody.Value.Content[contentType]
	if media == nil {
		return fmt.Errorf("the operation has no request body of type %s", contentType)
	}
	var value any
	switch contentType {
	case "application/json", "application/vnd.api+json", "application/scim+json":
		if err := json.Unmarshal(r.Body, &value); err != nil {
			return err
		}
	case "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(r.Body))
		if err != nil {
			return err
		}
		value = bracketed(form)
	case "multipart/form-data":
		fields, err := partNames(r)
		if err != nil {
			return err
		}
		value = fields
	}
	if name := unknownField(value, "", media.Schema); name != "" {
		return fmt.Errorf("unknown body field %q", name)
	}
	return nil
}

// bracketed converts a form with names such as a[b][0] to nested objects, without the values.
func bracketed(form url.Values) map[string]any {
	root := map[string]any{}
	for name := range form {
		steps := strings.Split(strings.TrimSuffix(strings.ReplaceAll(name, "][", "["), "]"), "[")
		node := root
		for _, step := range steps[:len(steps)-1] {
			below, _ := node[step].(map[string]any)
			if below == nil {
				below = map[string]any{}
				node[step] = below
			}
			node = below
		}
		node[steps[len(steps)-1]] = nil
	}
	return root
}

// partNames returns the names of the parts of a multipart body.
func partNames(r *manifest.Request) (map[string]any, error) {
	_, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return nil, err
	}
	fields, reader := map[string]any{}, multipart.NewReader(bytes.NewReader(r.Body), parameters["boundary"])
	for {
		part, err := reader.NextPart()
		if errors.Is(err, io.EOF) {
			return fields, nil
		}
		if err != nil {
			return nil, err
		}
		fields[part.FormName()] = nil
	}
}

// unknownField returns a member of a JSON value, at any depth, that none of the schemas declares; "" if there is none. Schemas
// without properties accept every member.
func unknownField(value any, at string, schemas ...*openapi3.SchemaRef) string {
	schemas = parts(schemas)
	switch v := value.(type) {
	case []any:
		var items []*openapi3.SchemaRef
		for _, schema := range schemas {
			if schema.Value.Items != nil {
				items = append(items, schema.Value.Items)
			}
		}
		for _, item := range v {
			if name := unknownField(item, at+"[]", items...); name != "" {
				return name
			}
		}
	case map[string]any:
		if isList(v, schemas) {
			return unknownField(slices.Collect(maps.Values(v)), at, schemas...)
		}
		free := !slices.ContainsFunc(schemas, func(s *openapi3.SchemaRef) bool { return len(s.Value.Properties) > 0 })
		for name, item := range v {
			var below []*openapi3.SchemaRef
			for _, schema := range schemas {
				if property := schema.Value.Properties[name]; property != nil {
					below = append(below, property)
				}
			}
			if len(below) == 0 && !free {
				return at + "." + name
			}
			if found := unknownField(item, at+"."+name, below...); found != "" {
				return found
			}
		}
	}
	return ""
}

// isList reports whether an object is a list of a bracketed form: its members are numbers, and a schema allows a list.
func isList(object map[string]any, schemas []*openapi3.SchemaRef) bool {
	for name := range object {
		if _, err := strconv.Atoi(name); err != nil {
			return false
		}
	}
	return slices.ContainsFunc(schemas, func(s *openapi3.SchemaRef) bool { return s.Value.Items != nil })
}

// parts returns schemas together with all schemas of which they are composed.
func parts(schemas []*openapi3.SchemaRef) []*openapi3.SchemaRef {
	all := slices.Clone(schemas)
	for i := 0; i < len(all); i++ {
		s := all[i].Value
		for _, more := range [][]*openapi3.SchemaRef{s.AllOf, s.AnyOf, s.OneOf} {
			all = append(all, more...)
		}
	}
	return all
}

// movePaths renames the paths of a document.
func movePaths(doc *openapi3.T, to func(path string) string) {
	for path, item := range doc.Paths.Map() {
		if moved := to(path); moved != path {
			doc.Paths.Delete(path)
			doc.Paths.Set(moved, item)
		}
	}
}

// suffixes matches texts that follow a parameter within a segment, which kin-openapi's router does not support.
var suffixes = regexp.MustCompile(`\}(:\w+|\.json)$`)

// separateSuffix rewrites a path such as {range}:append to {range}/:append.
func separateSuffix(path string) string { return suffixes.ReplaceAllString(path, "}/$1") }

// separateURLSuffix rewrites the URL of a request as separateSuffix rewrites paths.
func separateURLSuffix(doc *openapi3.T, u *url.URL) *url.URL {
	moved := *u
	for path := range doc.Paths.Map() {
		template, suffix := path[:strings.LastIndex(path, "/")], path[strings.LastIndex(path, "/")+1:]
		if !strings.HasPrefix(suffix, ":") && !strings.HasPrefix(suffix, ".") {
			continue
		}
		shape := parameter.ReplaceAllString(regexp.QuoteMeta(template), "[^/]+") + regexp.QuoteMeta(suffix) + "$"
		if regexp.MustCompile(shape).MatchString(u.EscapedPath()) {
			moved.Path = strings.TrimSuffix(u.Path, suffix) + "/" + suffix
			moved.RawPath = strings.TrimSuffix(u.EscapedPath(), suffix) + "/" + suffix
			return &moved
		}
	}
	return &moved
}

// parameter matches a parameter of a path that regexp.QuoteMeta has escaped.
var parameter = regexp.MustCompile(`\\\{[^/]*?\\\}`)
