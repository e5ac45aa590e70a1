package workflow_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// onEvent returns the definition of a workflow that an event starts.
func onEvent(t *testing.T, name, kind string) json.RawMessage {
	t.Helper()
	return yaml(t, "document: {dsl: '1.0.3', namespace: test, name: "+name+", version: '0.1.0'}\n"+
		"schedule: {on: {one: {with: {type: '"+kind+"'}}}}\ndo:\n- say: {set: '${ .[0].data }'}\n")
}

// publishAs publishes an event as an extension, and returns the error code of the answer, if any.
func publishAs(t *testing.T, conn *nats.Conn, name, request string) string {
	t.Helper()
	m, err := conn.Request(subjects.PublishExtensionEvent.Describe().EnrolledSubject(subjects.KindExtension, name), []byte(request), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return m.Header.Get(mesh.HeaderErrorCode)
}

// TestExtensionEvents publishes events as an extension: they start the workflows of those who listen for them, once, and of a user alone
// if they name one.
func TestExtensionEvents(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		eve := mesh.As{Token: b.mesh.Token(t, actortest.User())}
		other := actortest.User()
		bob := mesh.As{Token: b.mesh.Token(t, other)}
		b.mesh.Consent(t, other, subjects.ScopeWorkflowsExecute)
		acme := enroll(t, b, "acme").connect()
		request := subjects.WorkflowDefinitionRequest{Definition: onEvent(t, "ordered", "ext.acme.ordered")}
		mine := call(t, b, subjects.CreateWorkflow, request)
		call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: onEvent(t, "others", "ext.other.ordered")})
		theirs, err := mesh.Call(t.Context(), b.conn, subjects.CreateWorkflow, request, bob)
		if err != nil {
			t.Fatal(err)
		}
		count := func(as mesh.As, workflow string) int {
			page, err := mesh.Call(t.Context(), b.conn, subjects.ListExecutions, subjects.ListExecutionsRequest{WorkflowID: workflow}, as)
			if err != nil {
				t.Fatal(err)
			}
			return len(page.Items)
		}
		for range 2 { // the second one starts nothing
			if code := publishAs(t, acme, "acme", `{"id":"1","event":"ordered","user_id":"`+b.user+`","data":{"n":1}}`); code != "" {
				t.Fatalf("refused with %s", code)
			}
		}
		eventually(t, "the event has started the workflow", func() bool { return count(b.as, mine.ID) == 1 })
		if code := publishAs(t, acme, "acme", `{"id":"2","event":"ordered","data":{"n":2}}`); code != "" {
			t.Fatalf("refused with %s", code)
		}
		eventually(t, "the event has started both users' workflows", func() bool { return count(b.as, mine.ID) == 2 && count(bob, theirs.ID) == 1 })
		if n := count(b.as, mine.ID); n != 2 {
			t.Errorf("%d executions were started, want 2", n)
		}
		page := call(t, b, subjects.ListExecutions, subjects.ListExecutionsRequest{})
		if len(page.Items) != 2 {
			t.Errorf("%d executions of all workflows, want 2: another extension's events were taken for acme's", len(page.Items))
		}
		// A running execution that listens receives them too.
		waiting := b.startNew(t, "- wait: {listen: {to: {one: {with: {type: ext.acme.paid}}}}}\n", `{}`)
		b.awaitStatus(t, waiting.ID, subjects.ExecutionWaiting)
		if code := publishAs(t, acme, "acme", `{"id":"3","event":"paid","data":{"n":3}}`); code != "" {
			t.Fatalf("refused with %s", code)
		}
		done := b.awaitStatus(t, waiting.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted)
		if !strings.Contains(string(done.Output), `{"n":3}`) {
			t.Errorf("the execution received %s", done.Output)
		}
		for request, want := range map[string]string{
			`{"id":"","event":"ordered"}`: "invalid", `{"id":"1","event":"Ordered"}`: "invalid", `{"id":"1","event":"a..b"}`: "invalid",
			`{"id":"1","event":"a","user_id":"x"}`: "invalid", `{"id":"1","event":"a","more":1}`: "invalid",
			`{"id":"1","event":"a","data":{"a":1,"a":2}}`:                          "invalid",
			`{"id":"1","event":"a","data":"` + strings.Repeat("x", 300<<10) + `"}`: "too_large",
		} {
			if code := publishAs(t, acme, "acme", request); code != want {
				t.Errorf("%.60s: %q, want %s", request, code, want)
			}
		}
		if _, err := mesh.Call(t.Context(), b.conn, subjects.PublishExtensionEvent, subjects.PublishExtensionEventRequest{ID: "1", Event: "a"}, eve); err == nil {
			t.Error("a user published an event of an extension")
		}
	})
}

// TestExtensionEventRate publishes more events than the rate of an extension allows.
func TestExtensionEventRate(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	_ = b.host.Stop(t)
	b.config.Extensions.MaxEvents = 60
	b.host = b.start(t)
	acme, other := enroll(t, b, "acme").connect(), enroll(t, b, "other").connect()
	codes := map[string]int{}
	for i := range 15 {
		codes[publishAs(t, acme, "acme", fmt.Sprintf(`{"id":"%d","event":"a"}`, i))]++
	}
	if codes[""] < 10 || codes["rate_limited"] == 0 {
		t.Errorf("the answers are %v", codes)
	}
	if code := publishAs(t, other, "other", `{"id":"1","event":"a"}`); code != "" {
		t.Errorf("another extension was refused with %s", code)
	}
}
