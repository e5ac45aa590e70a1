package workflow_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/workflow/definition"
	"github.com/weftmesh/weft/subjects"
)

// library serves documents that definitions refer to. Its greeting can change.
func library(t *testing.T, greeting *atomic.Value) *httptest.Server {
	t.Helper()
	var s *httptest.Server
	s = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case path == "/schema.json":
			fmt.Fprint(w, `{"type": "object", "required": ["name"]}`)
		case path == "/greet.yaml":
			fmt.Fprintf(w, "call: %s/functions/salute/1.0.0/function.yaml\nwith: {who: '${ .name }', how: %v}\n", s.URL, greeting.Load())
		case path == "/functions/salute/1.0.0/function.yaml":
			fmt.Fprint(w, "set: {text: '${ \"\\(.how) \\(.who)\" }'}\n")
		case strings.HasPrefix(path, "/chain/"):
			fmt.Fprintf(w, "call: %s%sx\n", s.URL, path)
		case path == "/faulty.yaml":
			fmt.Fprint(w, "sett: {x: 1}\n")
		case path == "/list.yaml":
			fmt.Fprint(w, "- no task\n")
		case path == "/large.yaml":
			fmt.Fprint(w, "set: {x: "+strings.Repeat("x", 300<<10)+"}\n")
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// TestReferencesAreResolved: documents that a definition refers to become part of the version when it is created. Later changes
// of the documents do not change the version.
func TestReferencesAreResolved(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		var greeting atomic.Value
		greeting.Store("Dear")
		s := library(t, &greeting)
		source := strings.Replace(workflowOf("- greet: {call: '"+s.URL+"/greet.yaml', with: {name: '${ .name }'}}\n- again: {call: 'salute:1.0.0@ours', with: {who: '${ .text }', how: Again}}\n"),
			"do:", "input: {schema: {resource: {endpoint: '"+s.URL+"/schema.json'}}}\nuse: {catalogs: {ours: {endpoint: '"+s.URL+"'}}}\ndo:", 1)
		request := subjects.WorkflowDefinitionRequest{Definition: yaml(t, source)}
		if v := call(t, b, subjects.ValidateWorkflow, request); !v.Valid || len(v.Faults) != 0 {
			t.Fatalf("validated: %+v", v)
		}
		if faults := definition.Lint([]byte(source), nil); len(faults) != 0 {
			t.Errorf("linted: %v", faults)
		}
		w := call(t, b, subjects.CreateWorkflow, request)
		if w.Source != source || !strings.Contains(string(w.Document), `"how":"Dear"`) {
			t.Errorf("created: %+v", w)
		}
		run := func(version int, want string) {
			t.Helper()
			wantOutput(t, call(t, b, subjects.ExecuteWorkflow, subjects.ExecuteWorkflowRequest{
				WorkflowID: w.ID, Version: version, Input: []byte(`{"name": "Ada"}`)}), want)
		}
		run(1, `{"text":"Again Dear Ada"}`)
		wantFault(t, call(t, b, subjects.ExecuteWorkflow, subjects.ExecuteWorkflowRequest{WorkflowID: w.ID}), "validation", 400)
		greeting.Store("Hello")
		run(1, `{"text":"Again Dear Ada"}`)
		update := subjects.UpdateWorkflowRequest{WorkflowID: w.ID, Definition: yaml(t, source)}
		for range 2 {
			if next := call(t, b, subjects.UpdateWorkflow, update); next.Version != 2 || next.Digest == w.Digest {
				t.Errorf("updated: %+v", next)
			}
		}
		run(2, `{"text":"Again Hello Ada"}`)
		s.Close()
		_ = b.host.Stop(t)
		b.host = b.start(t)
		run(1, `{"text":"Again Dear Ada"}`)
	})
}

// TestUnresolvableReferences: a definition is refused at the reference if the document is missing, too large, not a task, faulty,
// part of an endless chain, or at an address that weft must not call.
func TestUnresolvableReferences(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	var greeting atomic.Value
	greeting.Store("Dear")
	s := library(t, &greeting)
	for uri, want := range map[string]string{
		s.URL + "/nowhere.yaml": "status 404", s.URL + "/large.yaml": "cannot fetch", s.URL + "/list.yaml": "task",
		s.URL + "/faulty.yaml": "in " + s.URL, s.URL + "/chain/": "at most 20", "http://10.255.255.1/f.yaml": "cannot fetch",
	} {
		err := wantCode(t, b, subjects.CodeInvalid, subjects.CreateWorkflow, b.as,
			subjects.WorkflowDefinitionRequest{Definition: yaml(t, workflowOf("- a: {set: {x: 1}}\n- b: {call: '"+uri+"'}\n"))})
		if len(err.Fields) == 0 || !strings.Contains(err.Fields[0].Message, want) || err.Fields[0].Line != 4 {
			t.Errorf("%s: %+v", uri, err.Fields)
		}
	}
	for _, unsupported := range []string{
		"input: {schema: {resource: {endpoint: {uri: '" + s.URL + "/schema.json', authentication: {bearer: {token: x}}}}}}\ndo: [{a: {set: {x: 1}}}]\n",
		"use: {catalogs: {ours: {endpoint: {uri: '" + s.URL + "', authentication: {bearer: {token: x}}}}}}\ndo: [{a: {call: 'salute:1.0.0@ours'}}]\n",
		"do: [{a: {call: 'file:///etc/passwd'}}]\n",
	} {
		err := wantCode(t, b, subjects.CodeUnsupported, subjects.CreateWorkflow, b.as, subjects.WorkflowDefinitionRequest{
			Definition: yaml(t, strings.SplitAfter(workflowOf(""), "\n")[0]+unsupported)})
		if len(err.Fields) != 1 || err.Fields[0].Code != "unsupported" || err.Fields[0].Line != 2 && err.Fields[0].Line != 3 {
			t.Errorf("%s: %+v", unsupported, err.Fields)
		}
	}
}
