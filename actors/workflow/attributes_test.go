package workflow_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/subjects"
)

func withAttributes(attributes string) string {
	return strings.Replace(workflowOf("- say: {set: {x: 1}}\n"), "version: '0.1.0'}", "version: '0.1.0', metadata: {attributes: "+attributes+"}}", 1)
}

func TestAttributes(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		w := call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: yaml(t, withAttributes(
			`{order: '${ .order }', who: '${ .customer.name }', big: '${ .total > 100 }', fixed: eu, missing: '${ .nowhere }', wrong: '${ .order | error }'}`))})
		begin := func(input string) string {
			return call(t, b, subjects.ExecuteWorkflow, subjects.ExecuteWorkflowRequest{WorkflowID: w.ID, Input: json.RawMessage(input)}).ID
		}
		first := begin(`{"order": 1001, "customer": {"name": "Ada \"the\" 100%_ \\ countess: 1\"fixed\":\"us\""}, "total": 12}`)
		second := begin(`{"order": 1002, "customer": {"name": "Grace"}, "total": 120}`)
		find := func(attributes ...string) (ids []string) {
			for _, e := range call(t, b, subjects.ListExecutions, subjects.ListExecutionsRequest{Attribute: attributes}).Items {
				ids = append(ids, e.ID)
			}
			return ids
		}
		for _, test := range []struct {
			want       string
			attributes []string
		}{
			{first, []string{"order:1001"}}, {second, []string{"who:Grace"}}, {second, []string{"big:true"}},
			{first, []string{`who:Ada "the" 100%_ \ countess: 1"fixed":"us"`}}, {second, []string{"fixed:eu", "order:1002"}},
		} {
			if got := find(test.attributes...); len(got) != 1 || got[0] != test.want {
				t.Errorf("%v finds %v", test.attributes, got)
			}
		}
		for _, nobody := range []string{"order:100", "order:%", "fixed:us", "missing:null", "wrong:1001", "who:Grac_"} {
			if got := find(nobody); len(got) != 0 {
				t.Errorf("%s finds %v", nobody, got)
			}
		}
		if got := b.status(t, second).Attributes; fmt.Sprint(got) != "map[big:true fixed:eu order:1002 who:Grace]" {
			t.Errorf("attributes %v", got)
		}
		wantCode(t, b, subjects.CodeInvalid, subjects.ListExecutions, b.ada, subjects.ListExecutionsRequest{Attribute: []string{"order"}})
		for _, faulty := range []string{"[]", "{1x: a}", "{a: 1}", "{a: '${ . | }'}"} {
			err := wantCode(t, b, subjects.CodeInvalid, subjects.CreateWorkflow, b.ada,
				subjects.WorkflowDefinitionRequest{Definition: yaml(t, withAttributes(faulty))})
			if len(err.Fields) != 1 || !strings.HasPrefix(err.Fields[0].Pointer, "/document/metadata/attributes") || err.Fields[0].Column < 10 {
				t.Errorf("%s: faults %+v", faulty, err.Fields)
			}
		}
	})
}

// TestWebhooksStartWorkflows: what a provider delivers starts those workflows of the hook's owner that want it, once.
func TestWebhooksStartWorkflows(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		c := setupTimed(t, database)
		id, _ := c.plan(t, scheduled("on: {one: {with: {type: github.issues.opened}}}", "", "- say: {set: '${ .[0].payload.title }'}\n"))
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
		eventually(t, "both deliveries have started an execution", func() bool {
			all = c.executions(t, id)
			return len(all) == 2 && all[0].Status == subjects.ExecutionCompleted && all[1].Status == subjects.ExecutionCompleted
		})
		outputs := string(c.status(t, all[0].ID).Output) + string(c.status(t, all[1].ID).Output)
		if !strings.Contains(outputs, `"issue 1"`) || !strings.Contains(outputs, `"issue 4"`) {
			t.Errorf("outputs %s", outputs)
		}
	})
}
