package workflow_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// event is a CloudEvent as callers over NATS publish it.
func event(id, kind, data string) subjects.PublishEventRequest {
	return subjects.PublishEventRequest{Event: json.RawMessage(fmt.Sprintf(
		`{"specversion":"1.0","id":%q,"source":"/shop","type":%q,"data":%s}`, id, kind, data))}
}

func TestEventsStartWorkflows(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		c := setupTimed(t, database)
		id, s := c.plan(t, scheduled("on: {one: {with: {type: order.placed, data: '${ .total > 10 }'}}}", "", quick))
		if s.Kind != "on" || !strings.Contains(string(s.Events), `"type":"order.placed"`) || len(s.NextRuns) != 0 {
			t.Errorf("planned: %+v", s)
		}
		whole, _ := c.plan(t, scheduled("on: {any: [{with: {type: 'order\\..*', source: /shop}}, {with: {type: never}}]}, read: envelope", "",
			"- say: {call: echo, with: {id: '${ .[0].id }'}}\n"))
		one := event("1", "order.placed", `{"total": 12}`)
		done := call(t, c.bundle, subjects.PublishEvent, one)
		if done.ID != "1" || done.Source != "/shop" || len(done.Started) != 2 {
			t.Fatalf("published: %+v", done)
		}
		outputs := map[string]bool{}
		for _, execution := range done.Started {
			e := c.until(t, execution, subjects.ExecutionCompleted, subjects.ExecutionFaulted)
			outputs[string(e.Output)] = true
		}
		if !outputs[`{"given":[{"total":12}]}`] || !outputs[`{"id":"1"}`] {
			t.Errorf("outputs %v", outputs)
		}
		// Published again it starts nothing again, but tells what it has started.
		if again := call(t, c.bundle, subjects.PublishEvent, one); fmt.Sprint(again) != fmt.Sprint(done) {
			t.Errorf("published again: %+v", again)
		}
		if done := call(t, c.bundle, subjects.PublishEvent, event("2", "order.placed", `{"total": 3}`)); len(done.Started) != 1 {
			t.Errorf("an event that only one wants: %+v", done)
		}
		if done := call(t, c.bundle, subjects.PublishEvent, event("3", "parcel.lost", `{}`)); len(done.Started) != 0 || done.Started == nil {
			t.Errorf("an event that nobody wants: %+v", done)
		}
		if n, m := len(c.executions(t, id)), len(c.executions(t, whole)); n != 1 || m != 2 {
			t.Errorf("%d and %d executions, want 1 and 2", n, m)
		}
		eve := mesh.As{Token: c.mesh.Token(t, actortest.User())}
		if done, err := mesh.Call(t.Context(), c.caller, subjects.PublishEvent, one, eve); err != nil || len(done.Started) != 0 {
			t.Errorf("somebody else's event: %+v, %v", done, err)
		}
		call(t, c.bundle, subjects.PauseSchedule, subjects.PauseScheduleRequest{ScheduleID: s.ID})
		if done := call(t, c.bundle, subjects.PublishEvent, event("4", "order.placed", `{"total": 99}`)); len(done.Started) != 1 {
			t.Errorf("a paused trigger: %+v", done)
		}
		wantCode(t, c.bundle, subjects.CodeInvalid, subjects.PublishEvent, c.ada, event("", "order.placed", `{}`))
		wantCode(t, c.bundle, subjects.CodeUnauthenticated, subjects.PublishEvent, mesh.As{}, one)
	})
}

func TestEventWithoutConsent(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		c := setupTimed(t, database)
		_, s := c.plan(t, scheduled("on: {one: {with: {type: a}}}", "", quick))
		c.mesh.Revoke(t, c.user, subjects.ScopeWorkflowsExecute)
		for _, id := range []string{"1", "2"} {
			if done := call(t, c.bundle, subjects.PublishEvent, event(id, "a", `1`)); len(done.Started) != 0 {
				t.Errorf("started without consent: %+v", done)
			}
		}
		c.told(t, subjects.RunRefused.Subject, 1)
		if s := c.schedule(t, s.ID); !strings.Contains(s.Refused, subjects.ScopeWorkflowsExecute) {
			t.Errorf("refused: %q", s.Refused)
		}
		c.mesh.Consent(t, c.user, subjects.ScopeWorkflowsExecute)
		if done := call(t, c.bundle, subjects.PublishEvent, event("3", "a", `1`)); len(done.Started) != 1 {
			t.Errorf("with consent: %+v", done)
		}
		if s := c.schedule(t, s.ID); s.Refused != "" {
			t.Errorf("still refused: %q", s.Refused)
		}
	})
}
