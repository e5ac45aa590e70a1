//go:build conformance

package machine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cucumber/godog"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// TestConformanceKit runs the specification's own scenarios.
func TestConformanceKit(t *testing.T) {
	root := os.Getenv("WEFT_CONFORMANCE")
	if root == "" {
		root = filepath.Join("..", "..", "..", "..", "shared", "conformance")
	}
	kit := filepath.Join(root, "open-workflow", "ctk")
	if _, err := os.Stat(kit); err != nil {
		t.Fatalf("the conformance kit is not there; set WEFT_CONFORMANCE: %v", err)
	}
	server := httptest.NewServer(standIn())
	t.Cleanup(server.Close)
	ran := 0
	suite := godog.TestSuite{
		Options: &godog.Options{Format: "progress", Paths: []string{kit}, TestingT: t, Strict: true},
		ScenarioInitializer: func(steps *godog.ScenarioContext) {
			ran++
			(&scenario{t: t, server: server}).register(steps)
		},
	}
	if suite.Run() != 0 {
		t.Fatal("the conformance kit is not satisfied")
	}
	if ran != 21 {
		t.Fatalf("%d scenarios ran, the kit has 21", ran)
	}
}

// scenario is one scenario of the kit.
type scenario struct {
	t         *testing.T
	server    *httptest.Server
	driver    *driver
	execution *Execution
	input     any
}

func (s *scenario) register(steps *godog.ScenarioContext) {
	steps.Step(`^a workflow with definition:$`, s.definition)
	steps.Step(`^given the workflow input is:$`, s.given)
	steps.Step(`^the workflow is executed$`, s.execute)
	steps.Step(`^the workflow should complete$`, s.completes)
	steps.Step(`^the workflow should complete with output:$`, s.completesWith)
	steps.Step(`^the workflow should fault$`, s.faults)
	steps.Step(`^the workflow should fault with error:$`, s.faultsWith)
	steps.Step(`^the workflow output should have properties (.+)$`, s.hasProperties)
	steps.Step(`^the workflow output should have a '([^']+)' property with value:$`, s.hasValue)
	steps.Step(`^the workflow output should have a '([^']+)' property containing (\d+) items$`, s.hasItems)
	steps.Step(`^(\w+) should run first$`, s.first)
	steps.Step(`^(\w+) should run last$`, s.last)
	steps.Step(`^(\w+) should run after (\w+)$`, s.after)
}

func (s *scenario) definition(text *godog.DocString) error {
	s.driver = newDriver(s.t, text.Content)
	if faults := s.driver.def.Unsupported(); len(faults) > 0 {
		return faults
	}
	s.driver.reply = s.reply
	return nil
}

func (s *scenario) given(text *godog.DocString) error {
	value, err := readYAML(text.Content)
	s.input = value
	return err
}

// readYAML reads a value by the rules of definitions.
func readYAML(text string) (any, error) {
	w, faults := language.Parse([]byte("document: {dsl: 1.0.3, namespace: a, name: b, version: 1.0.0}\n" +
		"do:\n- a:\n    set:\n      x:\n        " + strings.ReplaceAll(text, "\n", "\n        ") + "\n"))
	if len(faults) > 0 {
		return nil, faults
	}
	return w.Do[0].Set.(map[string]any)["x"], nil
}

func (s *scenario) execute() error {
	if s.input == nil {
		s.input = map[string]any{}
	}
	s.execution = s.driver.run(s.input)
	return nil
}

func (s *scenario) completes() error {
	if s.execution.Status() != Completed {
		return fmt.Errorf("the execution is %s: %w", s.execution.Status(), s.execution.Fault())
	}
	return nil
}

func (s *scenario) completesWith(text *godog.DocString) error {
	if err := s.completes(); err != nil {
		return err
	}
	return equal(s.execution.Output(), text.Content)
}

func equal(got any, text string) error {
	want, err := readYAML(text)
	if err != nil {
		return err
	}
	if !same(got, want) {
		return fmt.Errorf("got %s, want %s", language.Canonical(got), language.Canonical(want))
	}
	return nil
}

func (s *scenario) faults() error {
	if s.execution.Status() != Faulted {
		return fmt.Errorf("the execution is %s", s.execution.Status())
	}
	return nil
}

func (s *scenario) faultsWith(text *godog.DocString) error {
	if err := s.faults(); err != nil {
		return err
	}
	return equal(s.execution.Fault().Value(), text.Content)
}

func (s *scenario) property(path string) (any, error) {
	value := s.execution.Output()
	for name := range strings.SplitSeq(path, ".") {
		object, ok := value.(map[string]any)
		if !ok || !has(object, name) {
			return nil, fmt.Errorf("the output has no %s: %s", path, language.Canonical(s.execution.Output()))
		}
		value = object[name]
	}
	return value, nil
}

func has(object map[string]any, name string) bool { _, ok := object[name]; return ok }

func (s *scenario) hasProperties(list string) error {
	for name := range strings.SplitSeq(list, ",") {
		if _, err := s.property(strings.Trim(name, " '")); err != nil {
			return err
		}
	}
	return nil
}

func (s *scenario) hasValue(path string, text *godog.DocString) error {
	value, err := s.property(path)
	if err != nil {
		return err
	}
	return equal(value, text.Content)
}

func (s *scenario) hasItems(path string, count int) error {
	value, err := s.property(path)
	if err != nil {
		return err
	}
	if items, _ := value.([]any); len(items) != count {
		return fmt.Errorf("%s has %d items, want %d", path, len(items), count)
	}
	return nil
}

func (s *scenario) order() []string {
	var names []string
	for _, run := range Tasks(s.driver.log) {
		names = append(names, run.Name)
	}
	return names
}

func (s *scenario) first(name string) error { return s.at(name, 0) }

func (s *scenario) last(name string) error { return s.at(name, len(s.order())-1) }

func (s *scenario) at(name string, position int) error {
	if order := s.order(); len(order) == 0 || order[position] != name {
		return fmt.Errorf("%s is not at %d in %v", name, position, order)
	}
	return nil
}

func (s *scenario) after(later, earlier string) error {
	order := s.order()
	if i, j := slices.Index(order, earlier), slices.Index(order, later); i < 0 || j <= i {
		return fmt.Errorf("%s does not run after %s in %v", later, earlier, order)
	}
	return nil
}

// reply makes calls over HTTP; every host is the stand-in.
func (s *scenario) reply(call *Call) (any, *Error) {
	switch call.Kind {
	case CallEmit:
		return call.Message, nil
	case CallHTTP:
		return s.send(call.HTTP)
	case CallOpenAPI:
		document, failure := s.send(call.OpenAPI.Document)
		if failure != nil {
			return nil, failure
		}
		request, failure := call.OpenAPI.Request(document)
		if failure != nil {
			return nil, failure
		}
		return s.send(request)
	}
	return nil, NewError(TypeConfiguration, "no such function")
}

func (s *scenario) send(r *HTTPRequest) (any, *Error) {
	target, err := url.Parse(r.URL)
	if err != nil {
		return nil, NewError(TypeConfiguration, err.Error())
	}
	local, _ := url.Parse(s.server.URL)
	host := target.Host
	target.Scheme, target.Host = local.Scheme, local.Host
	request, err := http.NewRequestWithContext(context.Background(), r.Method, target.String(), bytes.NewReader(r.Body))
	if err != nil {
		return nil, NewError(TypeCommunication, err.Error())
	}
	request.Host = host
	for name, value := range r.Headers {
		request.Header.Set(name, value)
	}
	answer, err := s.server.Client().Do(request)
	if err != nil {
		return nil, NewError(TypeCommunication, err.Error())
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, NewError(TypeCommunication, err.Error())
	}
	headers := map[string]string{}
	for name := range answer.Header {
		headers[name] = answer.Header.Get(name)
	}
	return r.Response(HTTPResponse{Status: answer.StatusCode, Headers: headers, Body: body})
}

// standIn answers as the pet store and httpbin do, as far as the kit asks them.
func standIn() http.Handler {
	mux := http.NewServeMux()
	pet := func(id int) map[string]any { return map[string]any{"id": id, "name": "Milou", "status": "available"} }
	mux.HandleFunc("GET petstore.swagger.io/v2/pet/findByStatus", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("status") != "available" {
			writeJSON(w, []any{})
			return
		}
		writeJSON(w, []any{pet(1), pet(2)})
	})
	mux.HandleFunc("GET petstore.swagger.io/v2/pet/{id}", func(w http.ResponseWriter, r *http.Request) {
		var id int
		if _, err := fmt.Sscanf(r.PathValue("id"), "%d", &id); err != nil {
			http.NotFound(w, r)
			return
		}
		writeJSON(w, pet(id))
	})
	mux.HandleFunc("GET petstore.swagger.io/v2/swagger.json", func(w http.ResponseWriter, _ *http.Request) {
		parameter := func(name, in string) []any { return []any{map[string]any{"name": name, "in": in, "required": true}} }
		writeJSON(w, map[string]any{"swagger": "2.0", "host": "petstore.swagger.io", "basePath": "/v2",
			"schemes": []any{"https", "http"}, "paths": map[string]any{
				"/pet/findByStatus": map[string]any{"get": map[string]any{"operationId": "findPetsByStatus",
					"parameters": parameter("status", "query")}},
				"/pet/{petId}": map[string]any{"get": map[string]any{"operationId": "getPetById",
					"parameters": parameter("petId", "path")}}}})
	})
	mux.HandleFunc("GET httpbin.org/basic-auth/{user}/{password}", func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if user != r.PathValue("user") || password != r.PathValue("password") {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		writeJSON(w, map[string]any{"authenticated": true, "user": user})
	})
	return mux
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}
