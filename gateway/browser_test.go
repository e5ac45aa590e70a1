package gateway_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/gateway"
	"github.com/weftmesh/weft/subjects"
)

// A page of another origin can send every header that the OpenAPI document has, and read every one.
func TestCORSCoversTheDocumentedHeaders(t *testing.T) {
	t.Parallel()
	doc := openAPIDocument(t)
	c := relaxed()
	c.CORSOrigins = []string{"https://app.example"}
	s := start(t, c)
	response, _ := s.do(t, "OPTIONS", "/v1/auth/login", "", "Origin: https://app.example", "Access-Control-Request-Method: POST",
		"Access-Control-Request-Headers: content-type, ce-id,CE-Extension, ce-a b")
	allowed := strings.Split(strings.ToLower(response.Header.Get("Access-Control-Allow-Headers")), ", ")
	exposed := strings.Split(strings.ToLower(response.Header.Get("Access-Control-Expose-Headers")), ", ")
	for _, name := range []string{"range", "tracestate", "traceparent", "weft-erasure-token", "authorization", "ce-id", "ce-extension"} {
		if !slices.Contains(allowed, name) {
			t.Errorf("a page may not send %s", name)
		}
	}
	if slices.Contains(allowed, "ce-a b") {
		t.Error("an invalid header name is allowed")
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			for _, parameter := range op.Parameters {
				p := parameter.Value
				if strings.HasPrefix(p.Name, "Sec-") {
					continue // the browser's own (Fetch, §2.2.2 forbidden request-header)
				}
				if p.In == "header" && !slices.Contains(allowed, strings.ToLower(p.Name)) {
					t.Errorf("%s %s: a page may not send %s", method, path, p.Name)
				}
			}
			for _, r := range op.Responses.Map() {
				for name := range r.Value.Headers {
					if !slices.Contains(exposed, strings.ToLower(name)) {
						t.Errorf("%s %s: a page may not read %s", method, path, name)
					}
				}
			}
		}
	}
	for _, name := range []string{"etag", "content-range", "content-disposition"} {
		if !slices.Contains(exposed, name) {
			t.Errorf("a page may not read %s", name)
		}
	}
}

func openAPIDocument(t *testing.T) *openapi3.T {
	t.Helper()
	data, err := gateway.OpenAPI(gateway.ReleaseVersion)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(data)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// A body that would be stored or parsed as something else is refused.
func TestEncodedBodiesAreRefused(t *testing.T) {
	t.Parallel()
	c := relaxed()
	s := start(t, c)
	token := s.Token(t, actortest.User())
	for _, path := range []string{"POST /v1/auth/login", "POST /v1/objects", "POST /v1/events"} {
		method, path, _ := strings.Cut(path, " ")
		for _, header := range []string{
			"Content-Encoding: gzip", "Content-Encoding: br", "Content-Type: multipart/form-data; boundary=x", "Content-Type: Multipart/Mixed",
		} {
			response, body := s.do(t, method, path, "{}", bearer(token), header)
			if response.StatusCode != 415 || !strings.Contains(body, string(subjects.CodeUnsupportedMediaType)) {
				t.Errorf("%s with %s: %d %s", path, header, response.StatusCode, body)
			}
		}
		if response, body := s.do(t, method, path, "{}", bearer(token), "Content-Encoding: identity"); response.StatusCode == 415 {
			t.Errorf("%s with the identity coding: %s", path, body)
		}
	}
}

var entityTag = regexp.MustCompile(`^"[^"]+"$`)

func TestAssetsHaveEntityTags(t *testing.T) {
	t.Parallel()
	s := start(t, relaxed())
	for _, encoding := range []string{"identity", "gzip", "br"} {
		response, _ := s.do(t, "GET", "/docs/swagger-ui.css", "", "Accept-Encoding: "+encoding)
		tag := response.Header.Get("ETag")
		if response.StatusCode != 200 || !entityTag.MatchString(tag) {
			t.Fatalf("%s: %d, ETag %s", encoding, response.StatusCode, tag)
		}
		if again, _ := s.do(t, "GET", "/docs/swagger-ui.css", "", "Accept-Encoding: "+encoding, "If-None-Match: "+tag); again.StatusCode != 304 {
			t.Errorf("%s with its ETag: %d", encoding, again.StatusCode)
		}
	}
}

// Generators of clients name the type of an inline property after the schema and the property: it must not have the name of
// another schema.
func TestSchemaNamesDoNotCollide(t *testing.T) {
	t.Parallel()
	doc := openAPIDocument(t)
	names := map[string]bool{}
	for name := range doc.Components.Schemas {
		names[strings.ToLower(name)] = true
	}
	for name, schema := range doc.Components.Schemas {
		for property := range schema.Value.Properties {
			if derived := strings.ToLower(name + strings.ReplaceAll(property, "_", "")); names[derived] {
				t.Errorf("the property %s of %s gets the name of another schema", property, name)
			}
		}
	}
}

// A later version may add members to a response. A request with an unknown member is refused.
func TestResponsesAreOpenAndRequestsStrict(t *testing.T) {
	t.Parallel()
	data, err := gateway.OpenAPI("1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Info       struct{ Version string }
		Paths      map[string]map[string]map[string]json.RawMessage
		Components struct {
			Schemas map[string]map[string]json.RawMessage
		}
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Info.Version != "1.2.3" {
		t.Errorf("the version is %s", doc.Info.Version)
	}
	isStrict := func(s map[string]json.RawMessage) bool { return string(s["additionalProperties"]) == "false" }
	responses, requests := 0, 0
	for path, item := range doc.Paths {
		for method, op := range item {
			for _, name := range schemasOf(op["responses"], doc.Components.Schemas) {
				responses++
				if isStrict(doc.Components.Schemas[name]) {
					t.Errorf("%s %s: the response %s refuses new members", method, path, name)
				}
			}
			for _, name := range schemasOf(op["requestBody"], doc.Components.Schemas) {
				requests++
				if string(doc.Components.Schemas[name]["type"]) == `"object"` && doc.Components.Schemas[name]["additionalProperties"] == nil {
					t.Errorf("%s %s: the request %s accepts unknown members", method, path, name)
				}
			}
		}
	}
	if responses < 50 || requests < 20 {
		t.Errorf("%d responses and %d requests", responses, requests)
	}
}

var schemaReference = regexp.MustCompile(`"#/components/schemas/([^"]+)"`)

// schemasOf returns the names of the schemas that a part of the document refers to, directly or indirectly.
func schemasOf(part json.RawMessage, schemas map[string]map[string]json.RawMessage) []string {
	var names []string
	for queue := [][]byte{part}; len(queue) > 0; queue = queue[1:] {
		for _, match := range schemaReference.FindAllSubmatch(queue[0], -1) {
			if name := string(match[1]); !slices.Contains(names, name) {
				names = append(names, name)
				for _, member := range schemas[name] {
					queue = append(queue, member)
				}
			}
		}
	}
	return names
}
