package gateway_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"

	"github.com/weftmesh/weft/gateway"
	"github.com/weftmesh/weft/subjects"
)

func TestOpenAPIIsValid(t *testing.T) {
	t.Parallel()
	data, err := gateway.OpenAPI(gateway.ReleaseVersion)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(data)
	if err != nil {
		t.Fatalf("kin-openapi: %v", err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Errorf("kin-openapi: %v", err)
	}
	v := newValidator(t, data)
	if ok, errs := v.ValidateDocument(); !ok {
		for _, e := range errs {
			t.Errorf("libopenapi: %s: %s %v", e.Message, e.Reason, e.SchemaValidationErrors)
		}
	}
	again, err := gateway.OpenAPI(gateway.ReleaseVersion)
	if err != nil || !bytes.Equal(data, again) {
		t.Error("two calls return different documents")
	}
	for _, d := range subjects.Endpoints() {
		if d.Path == "" {
			continue
		}
		op := doc.Paths.Find(d.Path).GetOperation(d.HTTPMethod)
		if op == nil || op.OperationID != d.Actor+"_"+d.Method || op.Extensions["x-weft-subject"] != d.Subject {
			t.Errorf("%s has no operation", d.Subject)
			continue
		}
		tokens := 1
		switch {
		case d.Access.Anyone && d.Access.SignedIn:
			tokens = 2 // optional
		case d.Access.Anyone:
			tokens = 0
		}
		if op.Security == nil || len(*op.Security) != tokens {
			t.Errorf("%s has security %v", d.Subject, op.Security)
		}
	}
}

func newValidator(t *testing.T, data []byte) validator.Validator {
	t.Helper()
	doc, err := libopenapi.NewDocument(data)
	if err != nil {
		t.Fatalf("libopenapi: %v", err)
	}
	v, errs := validator.NewValidator(doc)
	if len(errs) > 0 {
		t.Fatalf("libopenapi: %v", errs)
	}
	return v
}

func TestExamplesSatisfyTheirSchemas(t *testing.T) {
	t.Parallel()
	data, err := gateway.OpenAPI(gateway.ReleaseVersion)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(data)
	if err != nil {
		t.Fatal(err)
	}
	examples := 0
	for _, d := range subjects.Endpoints() {
		if d.Path == "" {
			continue
		}
		op := doc.Paths.Find(d.Path).GetOperation(d.HTTPMethod)
		if op.RequestBody == nil || op.RequestBody.Value.Content["application/json"] == nil || op.RequestBody.Value.Content["application/json"].Example == nil {
			continue
		}
		examples++
		media := op.RequestBody.Value.Content["application/json"]
		if err := media.Schema.Value.VisitJSON(media.Example); err != nil {
			t.Errorf("%s: %v", d.Name(), err)
		}
	}
	if examples < 3 {
		t.Errorf("only %d examples", examples)
	}
}

// Requests and responses are validated against the document by an independent implementation.
func TestOpenAPIMatchesResponses(t *testing.T) {
	t.Parallel()
	endpoints := append([]*subjects.Descriptor{things}, subjects.Login.Describe())
	data, err := gateway.OpenAPIOf(endpoints)
	if err != nil {
		t.Fatal(err)
	}
	v := newValidator(t, data)
	s := start(t, relaxed(), things)
	s.listen(t, things, map[string]string{"ok": "yes"})
	for _, test := range []struct {
		method, path, body string
		valid              bool
		status             int
	}{
		{"POST", "/t/things/a?count=3&tags=x&tags=y", `{"name":"n"}`, true, 200},
		{"POST", "/t/things/a?count=30", `{"name":"n"}`, false, 400},
		{"POST", "/t/things/a", `{"name":"much too long a name"}`, false, 400},
		{"POST", "/t/things/a", `{"name":7}`, false, 400},
		{"POST", "/t/things/a", `{"more":7}`, false, 400},
		{"POST", "/v1/auth/login", `{"email":"a@b.c","password":"x"}`, true, 503},
		{"POST", "/v1/auth/login", `{"email":"a@b.c"}`, false, 400},
	} {
		request := httptest.NewRequest(test.method, test.path, strings.NewReader(test.body))
		request.Header.Set("Content-Type", "application/json")
		if valid, errs := v.ValidateHttpRequest(request); valid != test.valid {
			t.Errorf("%s %s: valid by the document is %v: %v", test.path, test.body, valid, errs)
		}
		response, body := s.do(t, test.method, test.path, test.body)
		if response.StatusCode != test.status {
			t.Errorf("%s %s: status %d, want %d: %s", test.path, test.body, response.StatusCode, test.status, body)
		}
		request = httptest.NewRequest(test.method, test.path, strings.NewReader(test.body))
		request.Header.Set("Content-Type", "application/json")
		response.Body = io.NopCloser(strings.NewReader(body))
		if valid, errs := v.ValidateHttpResponse(request, response); !valid {
			t.Errorf("%s %s: the response does not match the document: %v: %s", test.path, test.body, errs[0], body)
		}
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	s := start(t, relaxed())
	for _, test := range []scenario{
		{path: "/", status: 200, contains: []string{"/docs", "/openapi.json", "/readyz"}, reply: []string{"Content-Type: text/html; charset=utf-8", "X-Content-Type-Options: nosniff"}},
		{path: "/openapi.json", status: 200, contains: []string{`"openapi": "3.1.0"`, "weft.v1.auth.login"}, reply: []string{"Content-Type: application/json"}},
		{path: "/docs", status: 200, contains: []string{"/openapi.json", "/docs/swagger-ui-bundle.js"}, absent: []string{"https://unpkg", "cdn"}},
		{path: "/docs/swagger-ui-bundle.js", status: 200},
		{path: "/docs/swagger-ui.css", status: 200},
		{path: "/docs/nothing.js", status: 404},
		{path: "/healthz", status: 200, contains: []string{`"ok"`}},
		{path: "/v1/overview", status: 401, code: subjects.CodeUnauthenticated, reply: []string{`WWW-Authenticate: Bearer realm="weft"`}},
	} {
		t.Run(test.path, func(t *testing.T) {
			response, body := s.do(t, http.MethodGet, test.path, "")
			test.check(t, response, body)
			if page := strings.HasPrefix(response.Header.Get("Content-Type"), "text/html"); page && response.Header.Get("Content-Security-Policy") == "" {
				t.Error("no Content-Security-Policy")
			}
		})
	}
	response, _ := s.do(t, http.MethodGet, "/docs", "")
	policy := response.Header.Get("Content-Security-Policy")
	if strings.Count(policy, "'sha256-") != 2 || strings.Contains(strings.Split(policy, "style-src")[0], "unsafe") {
		t.Errorf("the policy of /docs allows other scripts than its own: %s", policy)
	}
	if response, body := s.do(t, http.MethodHead, "/openapi.json", ""); response.StatusCode != 200 || body != "" || response.ContentLength < 100 {
		t.Errorf("HEAD: %d, %d bytes, length %d", response.StatusCode, len(body), response.ContentLength)
	}
}

func TestReadyzChecksEveryActor(t *testing.T) {
	t.Parallel()
	s := start(t, relaxed())
	if response, body := s.do(t, http.MethodGet, "/readyz", ""); response.StatusCode != 503 || !strings.Contains(body, `"auth":{"status":"away"`) {
		t.Errorf("without actors: %d %s", response.StatusCode, body)
	}
	for _, actor := range subjects.Actors() {
		s.actor(t, actor)
	}
	var ready gateway.Readiness
	eventually(t, "every actor is ready", func() bool {
		response, body := s.do(t, http.MethodGet, "/readyz", "")
		if err := json.Unmarshal([]byte(body), &ready); err != nil {
			t.Fatal(err)
		}
		return response.StatusCode == 200
	})
	if ready.Status != "ready" || ready.NATS != "connected" || len(ready.Actors) != 5 || ready.Actors["consent"].Status != "ok" {
		t.Errorf("got %+v", ready)
	}
}
