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

// publish publishes an event and returns the ids of the executions that it started.
func (b *bundle) publish(t *testing.T, id, kind, data string) []string {
	t.Helper()
	return call(t, b, subjects.PublishEvent, subjects.PublishEventRequest{Event: json.RawMessage(fmt.Sprintf(
		`{"specversion": "1.0", "id": %q, "source": "https://shop.example", "type": %q, "data": %s}`, id, kind, data))}).Started
}

// wantStarted checks that an event started one execution, and the execution's input.
func (b *bundle) wantStarted(t *testing.T, started []string, input string) {
	t.Helper()
	if len(started) != 1 {
		t.Fatalf("started %v, want one execution", started)
	}
	if e := b.awaitStatus(t, started[0], subjects.ExecutionCompleted, subjects.ExecutionFaulted); string(e.Input) != input {
		t.Errorf("started with %s, want %s", e.Input, input)
	}
}

func wantNoneStarted(t *testing.T, started []string) {
	t.Helper()
	if len(started) != 0 {
		t.Errorf("started %v, want none", started)
	}
}

// TestScheduleOnAll: events that correlate start one execution when all of them have come, also after a restart.
func TestScheduleOnAll(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		c := setupTimed(t, database)
		id, s := c.createScheduled(t, scheduled(`on: {all: [
			{with: {type: packed}, correlate: {order: {from: '${ .data.order }'}}},
			{with: {type: paid, data: '${ .total > 0 }'}, correlate: {order: {from: '${ .data.order }'}}}]}`, "", echoTasks))
		if s.Kind != "on" {
			t.Errorf("the schedule is %+v", s)
		}
		wantNoneStarted(t, c.publish(t, "1", "packed", `{"order": 7}`))
		wantNoneStarted(t, c.publish(t, "2", "packed", `{"order": 8}`))
		wantNoneStarted(t, c.publish(t, "3", "paid", `{"order": 9, "total": 1}`))
		wantNoneStarted(t, c.publish(t, "4", "paid", `{"order": 7, "total": 0}`))
		wantNoneStarted(t, c.publish(t, "1", "packed", `{"order": 7}`))
		eve := actortest.User()
		_, err := mesh.Call(t.Context(), c.conn, subjects.PublishEvent, subjects.PublishEventRequest{Event: json.RawMessage(
			`{"specversion": "1.0", "id": "5", "source": "https://shop.example", "type": "paid", "data": {"order": 7, "total": 5}}`)},
			mesh.As{Token: c.mesh.Token(t, eve)})
		if err != nil {
			t.Fatal(err)
		}
		_ = c.host.Stop(t)
		c.host = c.start(t)
		first := c.publish(t, "6", "paid", `{"order": 7, "total": 12}`)
		c.wantStarted(t, first, `[{"order":7},{"order":7,"total":12}]`)
		if again := c.publish(t, "6", "paid", `{"order": 7, "total": 12}`); !slices.Equal(again, first) {
			t.Errorf("published again, the event started %v, want %v", again, first)
		}
		c.wantStarted(t, c.publish(t, "7", "packed", `{"order": 9}`), `[{"order":9,"total":1},{"order":9}]`)
		// A version with the same schedule keeps the correlations; one with another schedule drops them.
		update := func(on string) {
			t.Helper()
			call(t, c.bundle, subjects.UpdateWorkflow, subjects.UpdateWorkflowRequest{WorkflowID: id, Definition: yaml(t, scheduled(on, "", "- other: {set: {x: 1}}\n"))})
		}
		update(`on: {all: [{with: {type: packed}, correlate: {order: {from: '${ .data.order }'}}},
			{with: {type: paid, data: '${ .total > 0 }'}, correlate: {order: {from: '${ .data.order }'}}}]}`)
		c.wantStarted(t, c.publish(t, "8", "paid", `{"order": 8, "total": 3}`), `[{"order":8},{"order":8,"total":3}]`)
		wantNoneStarted(t, c.publish(t, "9", "packed", `{"order": 10}`))
		update("on: {all: [{with: {type: packed}}, {with: {type: sent}}]}")
		wantNoneStarted(t, c.publish(t, "10", "sent", `{"order": 10}`))
		c.wantStarted(t, c.publish(t, "11", "packed", `{"order": 11}`), `[{"order":10},{"order":11}]`)
		if n := len(c.listExecutions(t, id)); n != 4 {
			t.Errorf("%d executions, want 4", n)
		}
	})
}

// TestScheduleUntil: events are collected until another event comes or a condition holds.
func TestScheduleUntil(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		c := setupTimed(t, database)
		c.createScheduled(t, strings.Replace(scheduled(`on: {any: [{with: {type: reading}}], until: {one: {with: {type: closed}}}}`, "", echoTasks), "name: timed", "name: event", 1))
		c.createScheduled(t, strings.Replace(scheduled(`on: {any: [{with: {type: reading}}], until: '${ map(.n) | add >= 10 }'}`, "", echoTasks), "name: timed", "name: condition", 1))
		wantNoneStarted(t, c.publish(t, "0", "closed", `{}`))
		wantNoneStarted(t, c.publish(t, "1", "reading", `{"n": 4}`))
		wantNoneStarted(t, c.publish(t, "2", "reading", `{"n": 5}`))
		c.wantStarted(t, c.publish(t, "3", "reading", `{"n": 1}`), `[{"n":4},{"n":5},{"n":1}]`)
		wantNoneStarted(t, c.publish(t, "4", "reading", `{"n": 2}`))
		c.wantStarted(t, c.publish(t, "5", "closed", `{}`), `[{"n":4},{"n":5},{"n":1},{"n":2}]`)
		// A condition that cannot be evaluated makes the start a failure.
		wantNoneStarted(t, c.publish(t, "6", "reading", `{"n": "many"}`))
		failed := call(t, c.bundle, subjects.ListFailures, subjects.ListFailuresRequest{}).Items
		if len(failed) != 1 || failed[0].Kind != "start" || failed[0].Trigger != "event" || string(failed[0].Input) != `[{"n":2},{"n":"many"}]` {
			t.Errorf("the failures are %+v", failed)
		}
	})
}

// TestCorrelatedStartIsRefused: a start that is refused when the last event comes is a failure, and can be replayed.
func TestCorrelatedStartIsRefused(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		c := setupTimed(t, database)
		c.createScheduled(t, scheduled(`on: {all: [{with: {type: a}}, {with: {type: b}}]}`, "", echoTasks))
		wantNoneStarted(t, c.publish(t, "1", "a", `{"n": 1}`))
		c.mesh.Revoke(t, c.user, subjects.ScopeWorkflowsExecute)
		wantNoneStarted(t, c.publish(t, "2", "b", `{"n": 2}`))
		failed := call(t, c.bundle, subjects.ListFailures, subjects.ListFailuresRequest{}).Items
		if len(failed) != 1 || string(failed[0].Input) != `[{"n":1},{"n":2}]` {
			t.Fatalf("the failures are %+v", failed)
		}
		c.mesh.Consent(t, c.user, subjects.ScopeWorkflowsExecute)
		e := call(t, c.bundle, subjects.ReplayFailure, subjects.ReplayFailureRequest{FailureID: failed[0].ID})
		wantOutput(t, c.awaitStatus(t, e.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted), `{"given":[{"n":1},{"n":2}]}`)
	})
}

// TestScheduleThatNeverStarts: a schedule that can never start anything is a fault of the definition.
func TestScheduleThatNeverStarts(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	for _, on := range []string{"on: {all: []}", "on: {any: [{with: {type: a}}], until: '${ false }'}"} {
		err := wantCode(t, b, subjects.CodeInvalid, subjects.CreateWorkflow, b.as,
			subjects.WorkflowDefinitionRequest{Definition: yaml(t, scheduled(on, "", echoTasks))})
		if !slices.ContainsFunc(err.Fields, func(f subjects.FieldError) bool { return f.Pointer == "/schedule/on" && f.Line == 2 }) {
			t.Errorf("%s: %+v", on, err.Fields)
		}
	}
}
