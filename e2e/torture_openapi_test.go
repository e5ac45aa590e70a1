//go:build torture

package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/pb33f/libopenapi"
	openapivalidator "github.com/pb33f/libopenapi-validator"

	"github.com/weftmesh/weft/actors/actortest"
)

// contractSettings disables what would reject or slow down many requests.
var contractSettings = []string{"WEFT_LOG_LEVEL=error", "WEFT_GATEWAY_LIMITS_ENABLED=false", "WEFT_AUTH_LOCKOUT_FAILURES=1000"}

// TestOpenAPIContract calls every operation of docs/openapi.json with generated requests, valid and invalid ones, which use
// values of earlier responses. A third-party validator checks that invalid requests are rejected and that every response matches
// the document. No response may be a server error.
func TestOpenAPIContract(t *testing.T) {
	for _, kind := range actortest.Databases(t) {
		t.Run(kind.Name, func(t *testing.T) {
			settings := contractSettings
			if kind.Name == "postgres" {
				settings = append(slices.Clone(settings), "WEFT_DATABASE_URL="+postgresSchemas(t, kind))
			}
			s := newFuzzer(t, startWeft(t, t.TempDir(), settings...).ready.HTTP)
			succeeded := map[string]int{}
			// On a slow machine, continue until every operation has had about twenty attempts.
			until, least := time.Now().Add(tortureDuration(t)), 20*len(s.operations)
			for tries := 0; (tries < least || time.Now().Before(until)) && !t.Failed(); tries++ {
				op := s.operations[s.rnd.IntN(len(s.operations))]
				succeeded[op.id] += s.try(op)
			}
			never := slices.DeleteFunc(slices.Clone(s.operations), func(op operation) bool { return succeeded[op.id] > 0 })
			t.Logf("%d operations, %d of them never succeeded; responses by status: %v", len(s.operations), len(never), s.statuses)
			if len(never) > len(s.operations)/2 && !t.Failed() {
				t.Error("too few operations succeed for a meaningful test")
			}
		})
	}
}

// operation is an operation of the document.
type operation struct {
	method, path, id string
	spec             map[string]any
}

// fuzzer calls operations with requests generated from the document.
type fuzzer struct {
	t          *testing.T
	rnd        *rand.Rand
	doc        map[string]any
	validator  openapivalidator.Validator
	url        string
	client     *client
	operations []operation
	known      map[string][]any // values of earlier responses by field name
	statuses   map[int]int
}

// streaming has operations whose responses do not end, which are not called.
var streaming = []string{"workflow_watch_execution", "notification_stream"}

// newFuzzer reads the document and creates an account.
func newFuzzer(t *testing.T, address string) *fuzzer {
	t.Helper()
	text, err := os.ReadFile("../docs/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	s := &fuzzer{t: t, rnd: rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano()))), url: address, statuses: map[int]int{}}
	if err := json.Unmarshal(text, &s.doc); err != nil {
		t.Fatal(err)
	}
	document, err := libopenapi.NewDocument(text)
	if err != nil {
		t.Fatal(err)
	}
	var errs []error
	if s.validator, errs = openapivalidator.NewValidator(document); len(errs) > 0 {
		t.Fatal(errs)
	}
	paths, _ := s.doc["paths"].(map[string]any)
	for path, item := range paths {
		methods, _ := item.(map[string]any)
		for method, spec := range methods {
			op := operation{method: strings.ToUpper(method), path: path, spec: spec.(map[string]any)}
			if op.id, _ = op.spec["operationId"].(string); !slices.Contains(streaming, op.id) {
				s.operations = append(s.operations, op)
			}
		}
	}
	slices.SortFunc(s.operations, func(a, b operation) int { return strings.Compare(a.id, b.id) })
	s.signUp()
	return s
}

// signUp creates an account with resources of several kinds, and forgets the values of earlier ones.
func (s *fuzzer) signUp() {
	s.t.Helper()
	s.client, _ = signUp(s.t, s.url)
	s.known = map[string][]any{}
	for _, scope := range []string{"workflows.execute", "integrations.execute", "notifications.send"} {
		s.create("/v1/consents", map[string]any{"scope": scope, "purpose": "a test"})
	}
	for _, definition := range definitions[:len(definitions)-1] {
		s.create("/v1/workflows", map[string]any{"definition": strings.Replace(definition, "name: echo", "name: w-"+uuid.NewString()[:6], 1)})
	}
	s.create("/v1/integrations", map[string]any{"provider": "http", "auth": "none", "settings": map[string]any{"base_url": s.url}})
}

// create creates a resource and learns its values.
func (s *fuzzer) create(path string, body any) {
	s.t.Helper()
	var tree any
	if err := json.Unmarshal(s.client.must(s.t, http.StatusCreated, http.MethodPost, path, body).body, &tree); err != nil {
		s.t.Fatal(err)
	}
	s.learn(path, tree)
}

// try calls an operation, in one of four cases three times concurrently, checks the responses and returns how many are successes.
func (s *fuzzer) try(op operation) (succeeded int) {
	s.t.Helper()
	request, body := s.request(op)
	valid, _ := s.validator.ValidateHttpRequest(request.Clone(s.t.Context()))
	replies := make([]*http.Response, 1+2*(s.rnd.IntN(4)/3))
	errs := make([]error, len(replies))
	var calls sync.WaitGroup
	for i := range replies {
		calls.Go(func() {
			r := request.Clone(s.t.Context())
			if r.Body = http.NoBody; len(body) > 0 {
				r.Body = io.NopCloser(bytes.NewReader(body))
			}
			if replies[i], errs[i] = s.client.http.Do(r); errs[i] == nil {
				var data []byte
				data, errs[i] = io.ReadAll(replies[i].Body)
				_ = replies[i].Body.Close()
				replies[i].Body = io.NopCloser(bytes.NewReader(data))
			}
		})
	}
	calls.Wait()
	signedOut := false
	for i, reply := range replies {
		if errs[i] != nil {
			s.t.Errorf("%s %s %.2000s: %v", op.method, request.URL.RequestURI(), body, errs[i])
			continue
		}
		request.Body = io.NopCloser(bytes.NewReader(body))
		s.checkResponse(op, request, body, valid, reply)
		if reply.StatusCode < 300 {
			succeeded++
		}
		signedOut = signedOut || reply.StatusCode == http.StatusUnauthorized && request.Header.Get("Authorization") != "" ||
			op.id == "auth_delete_account" && reply.StatusCode < 300
	}
	if signedOut {
		s.signUp()
	}
	return succeeded
}

// libraryText matches how errors of the libraries in use begin, and an error that is prefixed twice.
var libraryText = regexp.MustCompile(`\b(jsontext|json|mail|strconv|yaml|gojq|sql|bun|nats|koanf): |cannot unmarshal|decoding failed due to`)

// checkResponse checks a response against the document and learns its values. valid reports whether the request is valid.
func (s *fuzzer) checkResponse(op operation, request *http.Request, body []byte, valid bool, reply *http.Response) {
	s.t.Helper()
	data, err := io.ReadAll(reply.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	reply.Body = io.NopCloser(bytes.NewReader(data))
	s.statuses[reply.StatusCode]++
	what := fmt.Sprintf("%s %s %.2000s\nreturned %d: %.2000s", op.method, request.URL.RequestURI(), body, reply.StatusCode, data)
	if reply.StatusCode >= 500 {
		s.t.Errorf("a server error: %s", what)
	}
	if reply.StatusCode >= 400 && libraryText.Match(data) {
		s.t.Errorf("a library's error text: %s", what)
	}
	// weft treats null as absent, which the document does not say.
	if !valid && reply.StatusCode < 400 && !bytes.Contains(body, []byte("null")) {
		s.t.Errorf("an invalid request succeeded: %s", what)
	}
	if ok, errs := s.validator.ValidateHttpResponse(request, reply); !ok {
		s.t.Errorf("the response does not match the document: %s\n%s", what, errs[0])
	}
	var tree any
	if json.Unmarshal(data, &tree) == nil {
		s.learn(op.path, tree)
	}
}

// learn records the strings of a response by field name. An id is recorded by the name of its path parameter.
func (s *fuzzer) learn(path string, tree any) {
	switch v := tree.(type) {
	case []any:
		for _, one := range v {
			s.learn(path, one)
		}
	case map[string]any:
		for name, value := range v {
			if text, ok := value.(string); ok && text != "" {
				if name == "id" {
					name = resource(path) + "_id"
				}
				s.known[name] = append(s.known[name], text)
				if n := len(s.known[name]); n > 200 {
					s.known[name] = s.known[name][n-100:]
				}
				continue
			}
			s.learn(path, value)
		}
	}
}

// resource returns the resource of a path: workflow for /v1/workflows/{workflow_id}.
func resource(path string) string {
	parts := slices.DeleteFunc(strings.Split(path, "/"), func(part string) bool { return part == "" || strings.HasPrefix(part, "{") })
	last := parts[len(parts)-1]
	if i := slices.Index(parts, "workflows"); i >= 0 && i+1 < len(parts) && strings.HasPrefix(parts[i+1], "execut") {
		last = "executions"
	}
	return strings.TrimSuffix(last[strings.LastIndexByte(last, '-')+1:], "s")
}

// request generates a request, in one of two cases a valid one.
func (s *fuzzer) request(op operation) (*http.Request, []byte) {
	s.t.Helper()
	invalid := s.rnd.IntN(2) == 0
	path, query, header := op.path, url.Values{}, http.Header{}
	parameters, _ := op.spec["parameters"].([]any)
	for _, each := range parameters {
		p := s.resolve(each)
		name, _ := p["name"].(string)
		required, _ := p["required"].(bool)
		if !required && s.rnd.IntN(3) > 0 {
			continue
		}
		value := s.value(name, s.resolve(p["schema"]), 0)
		if invalid && s.rnd.IntN(6) == 0 {
			value = s.oddValue()
		}
		text := asText(value)
		switch p["in"] {
		case "path":
			if strings.Trim(text, ".") == "" {
				text = "-" // a dot segment would change the path
			}
			path = strings.Replace(path, "{"+name+"}", url.PathEscape(text), 1)
		case "query":
			query.Set(name, text)
		case "header":
			header.Set(name, strings.Map(func(r rune) rune {
				if r < ' ' || r > '~' {
					return -1
				}
				return r
			}, text))
		}
	}
	body := s.body(op, invalid, header)
	address := s.url + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	request, err := http.NewRequestWithContext(s.t.Context(), op.method, address, bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for name := range header {
		request.Header.Set(name, header.Get(name))
	}
	if op.spec["security"] != nil && (!invalid || s.rnd.IntN(20) > 0) {
		request.Header.Set("Authorization", "Bearer "+s.client.token)
	}
	return request, body
}

// body generates a request body and sets its content type.
func (s *fuzzer) body(op operation, invalid bool, header http.Header) []byte {
	spec := s.resolve(op.spec["requestBody"])
	content, _ := spec["content"].(map[string]any)
	media, ok := content["application/json"].(map[string]any)
	if !ok {
		if len(content) == 0 {
			return nil
		}
		if op.id == "workflow_publish_event" {
			header.Set("Content-Type", "application/cloudevents+json")
			event := map[string]any{"specversion": "1.0", "id": uuid.NewString(), "source": "/a", "type": "com.example.a", "data": s.oddValue()}
			if invalid {
				return []byte(asText(s.mutate(event)))
			}
			return []byte(asText(event))
		}
		header.Set("Content-Type", "application/octet-stream")
		return []byte(s.text(0, 2000))
	}
	if op.id == "workflow_execute_workflow" { // waits for a minute by default
		header.Set("Content-Type", "application/json")
		return fmt.Appendf(nil, `{"timeout": 1, "input": %s}`, asText(map[string]any{"given": s.oddValue()}))
	}
	if required, _ := spec["required"].(bool); !required && s.rnd.IntN(3) == 0 {
		return nil
	}
	header.Set("Content-Type", "application/json")
	tree, hasExample := media["example"]
	if !hasExample || s.rnd.IntN(3) > 0 {
		tree = s.value("", s.resolve(media["schema"]), 0)
	}
	if invalid {
		tree = s.mutate(tree)
	}
	data, err := json.Marshal(tree)
	if err != nil {
		s.t.Fatal(err)
	}
	if invalid && s.rnd.IntN(10) == 0 {
		data = data[:s.rnd.IntN(len(data))]
	}
	return data
}
