package workflow_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// event returns a request over NATS to publish a CloudEvent.
func event(id, kind, data string) subjects.PublishEventRequest {
	return subjects.PublishEventRequest{Event: json.RawMessage(fmt.Sprintf(
		`{"specversion":"1.0","id":%q,"source":"/shop","type":%q,"data":%s}`, id, kind, data))}
}

func TestEventsStartWorkflows(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		c := setupTimed(t, database)
		id, s := c.createScheduled(t, scheduled("on: {one: {with: {type: order.placed, data: '${ .total > 10 }'}}}", "", echoTasks))
		if s.Kind != "on" || !strings.Contains(string(s.Events), `"type":"order.placed"`) || len(s.NextRuns) != 0 {
			t.Errorf("the schedule is %+v", s)
		}
		anyOf, _ := c.createScheduled(t, scheduled("on: {any: [{with: {type: 'order\\..*', source: /shop}}, {with: {type: never}}]}, read: envelope", "",
			"- say: {call: echo, with: {id: '${ .[0].id }'}}\n"))
		one := event("1", "order.placed", `{"total": 12}`)
		done := call(t, c.bundle, subjects.PublishEvent, one)
		if done.ID != "1" || done.Source != "/shop" || len(done.Started) != 2 {
			t.Fatalf("the event started %+v", done)
		}
		outputs := map[string]bool{}
		for _, execution := range done.Started {
			e := c.awaitStatus(t, execution, subjects.ExecutionCompleted, subjects.ExecutionFaulted)
			outputs[string(e.Output)] = true
		}
		if !outputs[`{"given":[{"total":12}]}`] || !outputs[`{"id":"1"}`] {
			t.Errorf("outputs %v", outputs)
		}
		// Published again it starts nothing, and the reply is the same.
		if again := call(t, c.bundle, subjects.PublishEvent, one); fmt.Sprint(again) != fmt.Sprint(done) {
			t.Errorf("published again: %+v", again)
		}
		if done := call(t, c.bundle, subjects.PublishEvent, event("2", "order.placed", `{"total": 3}`)); len(done.Started) != 1 {
			t.Errorf("an event that one schedule matches started %+v", done)
		}
		if done := call(t, c.bundle, subjects.PublishEvent, event("3", "parcel.lost", `{}`)); len(done.Started) != 0 || done.Started == nil {
			t.Errorf("an event that no schedule matches started %+v", done)
		}
		if n, m := len(c.listExecutions(t, id)), len(c.listExecutions(t, anyOf)); n != 1 || m != 2 {
			t.Errorf("%d and %d executions, want 1 and 2", n, m)
		}
		eve := mesh.As{Token: c.mesh.Token(t, actortest.User())}
		if done, err := mesh.Call(t.Context(), c.conn, subjects.PublishEvent, one, eve); err != nil || len(done.Started) != 0 {
			t.Errorf("another user's event started %+v, %v", done, err)
		}
		call(t, c.bundle, subjects.PauseSchedule, subjects.PauseScheduleRequest{ScheduleID: s.ID})
		if done := call(t, c.bundle, subjects.PublishEvent, event("4", "order.placed", `{"total": 99}`)); len(done.Started) != 1 {
			t.Errorf("with one of two schedules paused the event started %+v", done)
		}
		wantCode(t, c.bundle, subjects.CodeInvalid, subjects.PublishEvent, c.as, event("", "order.placed", `{}`))
		wantCode(t, c.bundle, subjects.CodeUnauthenticated, subjects.PublishEvent, mesh.As{}, one)
	})
}

// TestEventWithoutConsent: an event starts nothing without consent. The user is notified of the first refusal alone, and the schedule
// shows the reason until a start succeeds.
func TestEventWithoutConsent(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		c := setupTimed(t, database)
		_, s := c.createScheduled(t, scheduled("on: {one: {with: {type: a}}}", "", echoTasks))
		c.mesh.Revoke(t, c.user, subjects.ScopeWorkflowsExecute)
		for _, id := range []string{"1", "2"} {
			if done := call(t, c.bundle, subjects.PublishEvent, event(id, "a", `1`)); len(done.Started) != 0 {
				t.Errorf("started without consent: %+v", done)
			}
		}
		c.publishedEvents(t, subjects.RunRefused.Subject, 1)
		if s := c.getSchedule(t, s.ID); !strings.Contains(s.Refused, subjects.ScopeWorkflowsExecute) {
			t.Errorf("refused: %q", s.Refused)
		}
		c.mesh.Consent(t, c.user, subjects.ScopeWorkflowsExecute)
		if done := call(t, c.bundle, subjects.PublishEvent, event("3", "a", `1`)); len(done.Started) != 1 {
			t.Errorf("with consent: %+v", done)
		}
		if s := c.getSchedule(t, s.ID); s.Refused != "" {
			t.Errorf("still refused: %q", s.Refused)
		}
	})
}

// TestWebhooksStartWorkflows: an event that a provider delivers starts the matching workflows of the hook's owner, once.
func TestWebhooksStartWorkflows(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		c := setupTimed(t, database)
		id, _ := c.createScheduled(t, scheduled("on: {one: {with: {type: github.issues.opened}}}", "", "- say: {set: '${ .[0].payload.title }'}\n"))
		integration := c.mesh.Conn(t, "integration")
		for _, delivery := range []struct{ id, user, event string }{
			{"1", c.user, "issues.opened"}, {"1", c.user, "issues.opened"}, {"2", actortest.User(), "issues.opened"}, {"3", c.user, "issues.closed"},
			{"4", c.user, "issues.opened"},
		} {
			data, err := json.Marshal(subjects.NewWebhookReceived(delivery.id, delivery.user, time.Now(), subjects.WebhookDelivery{
				IntegrationID: "a", HookID: "b", Provider: "github", Event: delivery.event, DeliveryID: delivery.id,
				Payload: json.RawMessage(`{"title":"issue ` + delivery.id + `"}`),
			}))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := integration.JS.Publish(t.Context(), subjects.WebhookReceived.Subject, data); err != nil {
				t.Fatal(err)
			}
		}
		var all []subjects.Execution
		eventually(t, "both deliveries have started an execution that is completed", func() bool {
			all = c.listExecutions(t, id)
			return len(all) == 2 && all[0].Status == subjects.ExecutionCompleted && all[1].Status == subjects.ExecutionCompleted
		})
		outputs := string(c.getExecution(t, all[0].ID).Output) + string(c.getExecution(t, all[1].ID).Output)
		if !strings.Contains(outputs, `"issue 1"`) || !strings.Contains(outputs, `"issue 4"`) {
			t.Errorf("outputs %s", outputs)
		}
	})
}

// TestEventCycleEnds: a workflow that emits the event that starts it is stopped.
func TestEventCycleEnds(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		c := setupTimed(t, database)
		id, _ := c.createScheduled(t, scheduled("on: {one: {with: {type: ping}}}", "", "- again: {emit: {event: {with: {source: /cycle, type: ping}}}}\n"))
		call(t, c.bundle, subjects.PublishEvent, event("1", "ping", `1`))
		var all []subjects.Execution
		eventually(t, "the last execution of the cycle has failed", func() bool {
			all = c.listExecutions(t, id)
			return len(all) >= 21 && slices.ContainsFunc(all, func(e subjects.Execution) bool { return e.Status == subjects.ExecutionFaulted })
		})
		if len(all) != 21 || all[0].Error == nil || !strings.Contains(all[0].Error.Detail, "in a row") {
			t.Errorf("%d executions, the last one ended with %+v", len(all), all[0].Error)
		}
	})
}
