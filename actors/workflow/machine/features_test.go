package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cucumber/godog"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// TestFeatures runs weft's own scenarios, written like those of the conformance test kit (CTK), for features that it does
// not cover.
func TestFeatures(t *testing.T) {
	server := httptest.NewServer(stubServices())
	t.Cleanup(server.Close)
	if ran := runFeatures(t, filepath.Join("testdata", "features"), server); ran < 50 {
		t.Errorf("%d scenarios ran", ran)
	}
}

// runFeatures runs the scenarios of a directory and returns their number.
func runFeatures(t *testing.T, directory string, server *httptest.Server) (ran int) {
	t.Helper()
	suite := godog.TestSuite{
		Options: &godog.Options{Format: "progress", Output: io.Discard, Paths: []string{directory}, TestingT: t, Strict: true},
		ScenarioInitializer: func(steps *godog.ScenarioContext) {
			ran++
			(&scenario{t: t, server: server}).register(steps)
		},
	}
	if suite.Run() != 0 {
		t.Errorf("scenarios in %s failed", directory)
	}
	return ran
}

// scenario is the state of one scenario.
type scenario struct {
	t         *testing.T
	server    *httptest.Server
	driver    *driver
	execution *Execution
	input     any
	faulty    language.Faults
	// failures are the remaining failures of calls by function, returns the outputs of child workflows by name.
	failures map[string]*failure
	returns  map[string]any
	made     []string
	emitted  []any
}

type failure struct{ times, status int }

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
	s.registerOwn(steps)
}

func (s *scenario) definition(text *godog.DocString) error {
	s.failures, s.returns = map[string]*failure{}, map[string]any{}
	w, faults := language.Parse([]byte(text.Content))
	if w != nil {
		faults = w.Unsupported()
	}
	if s.faulty = faults; len(faults) == 0 {
		s.driver = newDriver(s.t, text.Content)
		s.driver.reply = s.reply
	}
	return nil
}

func (s *scenario) given(text *godog.DocString) error {
	value, err := readYAML(text.Content)
	s.input = value
	return err
}

// readYAML reads a YAML value with the parser of definitions.
func readYAML(text string) (any, error) {
	w, faults := language.Parse([]byte("document: {dsl: 1.0.3, namespace: a, name: b, version: 1.0.0}\n" +
		"do:\n- a:\n    set:\n      x:\n        " + strings.ReplaceAll(text, "\n", "\n        ") + "\n"))
	if len(faults) > 0 {
		return nil, faults
	}
	return w.Do[0].Set.(map[string]any)["x"], nil
}

func (s *scenario) execute() error {
	if len(s.faulty) > 0 {
		return s.faulty
	}
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
	if !equalJSON(got, want, nil) {
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

// reply makes HTTP calls against the stub services, whatever their host; functions return their arguments.
func (s *scenario) reply(call *Call) (any, *Error) {
	switch call.Kind {
	case CallEmit:
		s.emitted = append(s.emitted, any(call.Message))
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
	case CallWorkflow:
		w := call.Workflow
		return s.answer(w.Name, w.Name+" "+w.Version+" "+string(language.Canonical(w.Input)), s.returns[w.Name])
	}
	return s.answer(call.Function, call.Function+" "+string(language.Canonical(call.Arguments)), call.Arguments)
}

// answer records a call and returns its output, or the next requested failure.
func (s *scenario) answer(name, made string, output any) (any, *Error) {
	s.made = append(s.made, made)
	if next := s.failures[name]; next != nil && next.times > 0 {
		next.times--
		err := NewError(TypeCommunication, "requested by the scenario")
		err.Status = next.status
		return nil, err
	}
	return output, nil
}

func (s *scenario) send(r *HTTPRequest) (any, *Error) {
	output, err := r.Send(s.exchange, "nonce")
	var failure *Error
	if err != nil && !errors.As(err, &failure) {
		failure = NewError(TypeCommunication, err.Error())
	}
	return output, failure
}

// exchange sends one request to the stub services.
func (s *scenario) exchange(r *HTTPRequest) (HTTPResponse, error) {
	target, err := url.Parse(r.URL)
	if err != nil {
		return HTTPResponse{}, err
	}
	local, _ := url.Parse(s.server.URL)
	host := target.Host
	target.Scheme, target.Host = local.Scheme, local.Host
	request, err := http.NewRequestWithContext(context.Background(), r.Method, target.String(), bytes.NewReader(r.Body))
	if err != nil {
		return HTTPResponse{}, err
	}
	request.Host = host
	for name, value := range r.Headers {
		request.Header.Set(name, value)
	}
	answer, err := s.server.Client().Do(request)
	if err != nil {
		return HTTPResponse{}, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	headers := map[string]string{}
	for name := range answer.Header {
		headers[name] = answer.Header.Get(name)
	}
	return HTTPResponse{Status: answer.StatusCode, Headers: headers, Body: body}, err
}
