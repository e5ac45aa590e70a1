package workflow_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// tell publishes an event, and gives the executions that it started.
func (b *bundle) tell(t *testing.T, id, kind, data string) []string {
	t.Helper()
	return call(t, b, subjects.PublishEvent, subjects.PublishEventRequest{Event: json.RawMessage(fmt.Sprintf(
		`{"specversion": "1.0", "id": %q, "source": "https://shop.example", "type": %q, "data": %s}`, id, kind, data))}).Started
}

// wantStarted checks that an event started one execution, and what that was given.
func (b *bundle) wantStarted(t *testing.T, started []string, input string) {
	t.Helper()
	if len(started) != 1 {
		t.Fatalf("started %v, want one execution", started)
	}
	if e := b.until(t, started[0], subjects.ExecutionCompleted, subjects.ExecutionFaulted); string(e.Input) != input {
		t.Errorf("started with %s, want %s", e.Input, input)
	}
}

func wantNone(t *testing.T, started []string) {
	t.Helper()
	if len(started) != 0 {
		t.Errorf("started %v", started)
	}
}

// TestScheduleOnAll: events that belong together start one execution once all of them have come, over a restart too.
func TestScheduleOnAll(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		c := setupTimed(t, database)
		id, s := c.plan(t, scheduled(`on: {all: [
			{with: {type: packed}, correlate: {order: {from: '${ .data.order }'}}},
			{with: {type: paid, data: '${ .total > 0 }'}, correlate: {order: {from: '${ .data.order }'}}}]}`, "", quick))
		if s.Kind != "on" {
			t.Errorf("planned: %+v", s)
		}
		wantNone(t, c.tell(t, "1", "packed", `{"order": 7}`))
		wantNone(t, c.tell(t, "2", "packed", `{"order": 8}`))
		wantNone(t, c.tell(t, "3", "paid", `{"order": 9, "total": 1}`))
		wantNone(t, c.tell(t, "4", "paid", `{"order": 7, "total": 0}`))
		wantNone(t, c.tell(t, "1", "packed", `{"order": 7}`))
		eve := actortest.User()
		_, err := mesh.Call(t.Context(), c.caller, subjects.PublishEvent, subjects.PublishEventRequest{Event: json.RawMessage(
			`{"specversion": "1.0", "id": "5", "source": "https://shop.example", "type": "paid", "data": {"order": 7, "total": 5}}`)},
			mesh.As{Token: c.mesh.Token(t, eve)})
		if err != nil {
			t.Fatal(err)
		}
		_ = c.host.Stop(t)
		c.host = c.start(t)
		seven := c.tell(t, "6", "paid", `{"order": 7, "total": 12}`)
		c.wantStarted(t, seven, `[{"order":7},{"order":7,"total":12}]`)
		if again := c.tell(t, "6", "paid", `{"order": 7, "total": 12}`); !slices.Equal(again, seven) {
			t.Errorf("published again: %v, want %v", again, seven)
		}
		c.wantStarted(t, c.tell(t, "7", "packed", `{"order": 9}`), `[{"order":9,"total":1},{"order":9}]`)
		// Another version that waits for the same goes on; one that waits for something else begins anew.
		update := func(on string) {
			t.Helper()
			call(t, c.bundle, subjects.UpdateWorkflow, subjects.UpdateWorkflowRequest{WorkflowID: id, Definition: yaml(t, scheduled(on, "", "- other: {set: {x: 1}}\n"))})
		}
		update(`on: {all: [{with: {type: packed}, correlate: {order: {from: '${ .data.order }'}}},
			{with: {type: paid, data: '${ .total > 0 }'}, correlate: {order: {from: '${ .data.order }'}}}]}`)
		c.wantStarted(t, c.tell(t, "8", "paid", `{"order": 8, "total": 3}`), `[{"order":8},{"order":8,"total":3}]`)
		wantNone(t, c.tell(t, "9", "packed", `{"order": 10}`))
		update("on: {all: [{with: {type: packed}}, {with: {type: sent}}]}")
		wantNone(t, c.tell(t, "10", "sent", `{"order": 10}`))
		c.wantStarted(t, c.tell(t, "11", "packed", `{"order": 11}`), `[{"order":10},{"order":11}]`)
		if n := len(c.executions(t, id)); n != 4 {
			t.Errorf("%d executions, want 4", n)
		}
	})
}

// TestScheduleUntil: events are gathered until another one comes, or a condition holds.
func TestScheduleUntil(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		c := setupTimed(t, database)
		c.plan(t, strings.Replace(scheduled(`on: {any: [{with: {type: reading}}], until: {one: {with: {type: closed}}}}`, "", quick), "name: timed", "name: event", 1))
		c.plan(t, strings.Replace(scheduled(`on: {any: [{with: {type: reading}}], until: '${ map(.n) | add >= 10 }'}`, "", quick), "name: timed", "name: condition", 1))
		wantNone(t, c.tell(t, "0", "closed", `{}`))
		wantNone(t, c.tell(t, "1", "reading", `{"n": 4}`))
		wantNone(t, c.tell(t, "2", "reading", `{"n": 5}`))
		c.wantStarted(t, c.tell(t, "3", "reading", `{"n": 1}`), `[{"n":4},{"n":5},{"n":1}]`)
		wantNone(t, c.tell(t, "4", "reading", `{"n": 2}`))
		c.wantStarted(t, c.tell(t, "5", "closed", `{}`), `[{"n":4},{"n":5},{"n":1},{"n":2}]`)
		// A condition that fails is a failure of its own, told in the inbox.
		wantNone(t, c.tell(t, "6", "reading", `{"n": "many"}`))
		failed := call(t, c.bundle, subjects.ListFailures, subjects.ListFailuresRequest{}).Items
		if len(failed) != 1 || failed[0].Kind != "start" || failed[0].Trigger != "event" || string(failed[0].Input) != `[{"n":2},{"n":"many"}]` {
			t.Errorf("failures %+v", failed)
		}
	})
}

// TestGatheredIsRefused: what cannot be started when the last event comes is among the failures, and replayed from there.
func TestGatheredIsRefused(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		c := setupTimed(t, database)
		c.plan(t, scheduled(`on: {all: [{with: {type: a}}, {with: {type: b}}]}`, "", quick))
		wantNone(t, c.tell(t, "1", "a", `{"n": 1}`))
		c.mesh.Revoke(t, c.user, subjects.ScopeWorkflowsExecute)
		wantNone(t, c.tell(t, "2", "b", `{"n": 2}`))
		failed := call(t, c.bundle, subjects.ListFailures, subjects.ListFailuresRequest{}).Items
		if len(failed) != 1 || string(failed[0].Input) != `[{"n":1},{"n":2}]` {
			t.Fatalf("failures %+v", failed)
		}
		c.mesh.Consent(t, c.user, subjects.ScopeWorkflowsExecute)
		e := call(t, c.bundle, subjects.ReplayFailure, subjects.ReplayFailureRequest{FailureID: failed[0].ID})
		wantOutput(t, c.until(t, e.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted), `{"given":[{"n":1},{"n":2}]}`)
	})
}

// TestScheduleThatNeverStarts is refused.
func TestScheduleThatNeverStarts(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	for _, on := range []string{"on: {all: []}", "on: {any: [{with: {type: a}}], until: '${ false }'}"} {
		err := wantCode(t, b, subjects.CodeInvalid, subjects.CreateWorkflow, b.ada,
			subjects.WorkflowDefinitionRequest{Definition: yaml(t, scheduled(on, "", quick))})
		if !slices.ContainsFunc(err.Fields, func(f subjects.FieldError) bool { return f.Pointer == "/schedule/on" && f.Line == 2 }) {
			t.Errorf("%s: %+v", on, err.Fields)
		}
	}
}
