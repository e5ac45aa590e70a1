package workflow_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// lister calls a list endpoint with a cursor and a limit. It returns the items' ids and the next cursor.
type lister func(cursor string, limit int) (ids []string, next string, err error)

// list makes a lister of an endpoint.
func list[Req, Item any](
	t *testing.T, b *bundle, e subjects.Endpoint[Req, subjects.Page[Item]], request func(subjects.PageRequest) Req, id func(Item) string,
) lister {
	return func(cursor string, limit int) (ids []string, next string, err error) {
		page, err := mesh.Call(t.Context(), b.conn, e, request(subjects.PageRequest{Cursor: cursor, Limit: limit}), b.as)
		for _, item := range page.Items {
			ids = append(ids, id(item))
		}
		return ids, page.NextCursor, err
	}
}

// TestLists pages through every list one item at a time, and refuses cursors that no list has returned.
func TestLists(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		const items = 3
		var workflow, failed subjects.Execution
		for i := range items {
			text := strings.Replace(scheduled("every: PT1H", "", "- ask: {call: approval.request, with: {title: a}}\n"), "name: timed", fmt.Sprintf("name: w%d", i), 1)
			w := call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: yaml(t, text)})
			b.pendingApproval(t, b.startExecution(t, w.ID, "{}"))
			b.putSecret(t, fmt.Sprintf("key%d", i), `"value"`)
			failed = b.run(t, "- stop: {raise: {error: {type: 'https://example.com/odd', status: 400, title: Odd}}}\n", "{}")
			workflow.WorkflowID = w.ID
		}
		for i := range items - 1 {
			call(t, b, subjects.UpdateWorkflow, subjects.UpdateWorkflowRequest{
				WorkflowID: workflow.WorkflowID, Definition: yaml(t, workflowOf(fmt.Sprintf("- a: {set: {x: %d}}\n", i))),
			})
		}
		lists := map[string]lister{
			"workflows": list(t, b, subjects.ListWorkflows, func(p subjects.PageRequest) subjects.ListWorkflowsRequest {
				return subjects.ListWorkflowsRequest{PageRequest: p}
			}, func(w subjects.Workflow) string { return w.ID }),
			"versions": list(t, b, subjects.ListWorkflowVersions, func(p subjects.PageRequest) subjects.ListWorkflowVersionsRequest {
				return subjects.ListWorkflowVersionsRequest{WorkflowRequest: subjects.WorkflowRequest{WorkflowID: workflow.WorkflowID}, PageRequest: p}
			}, func(w subjects.Workflow) string { return fmt.Sprint(w.Version) }),
			"executions": list(t, b, subjects.ListExecutions, func(p subjects.PageRequest) subjects.ListExecutionsRequest {
				return subjects.ListExecutionsRequest{PageRequest: p}
			}, func(e subjects.Execution) string { return e.ID }),
			"history": list(t, b, subjects.GetExecutionHistory, func(p subjects.PageRequest) subjects.ExecutionHistoryRequest {
				return subjects.ExecutionHistoryRequest{ExecutionRequest: subjects.ExecutionRequest{ExecutionID: failed.ID}, Limit: p.Limit, Cursor: p.Cursor}
			}, func(e subjects.ExecutionEvent) string { return fmt.Sprint(e.Sequence) }),
			"approvals": list(t, b, subjects.ListApprovals, func(p subjects.PageRequest) subjects.ListApprovalsRequest {
				return subjects.ListApprovalsRequest{PageRequest: p}
			}, func(a subjects.Approval) string { return a.ID }),
			"failures": list(t, b, subjects.ListFailures, func(p subjects.PageRequest) subjects.ListFailuresRequest {
				return subjects.ListFailuresRequest{PageRequest: p}
			}, func(f subjects.Failure) string { return f.ID }),
			"schedules": list(t, b, subjects.ListSchedules, func(p subjects.PageRequest) subjects.ListSchedulesRequest {
				return subjects.ListSchedulesRequest{PageRequest: p}
			}, func(s subjects.WorkflowSchedule) string { return s.ID }),
			"secrets": list(t, b, subjects.ListWorkflowSecrets, func(p subjects.PageRequest) subjects.PageRequest { return p },
				func(s subjects.WorkflowSecret) string { return s.Name }),
		}
		byTime := []string{actors.EncodeCursor("yesterday", failed.ID), actors.EncodeCursor("1")}
		byNumber := []string{actors.EncodeCursor("one"), actors.EncodeCursor("-1"), actors.EncodeCursor("1", "2")}
		invalid := map[string][]string{"executions": byTime, "approvals": byTime, "failures": byTime, "versions": byNumber, "history": byNumber}
		want := map[string]int{"workflows": 2 * items, "executions": 2 * items, "schedules": items - 1}
		for name, page := range lists {
			all, next, err := page("", 200)
			if err != nil || next != "" || len(all) < 2 {
				t.Errorf("%s: one page of %d items, next %q, %v", name, len(all), next, err)
			}
			if n := want[name]; n > 0 && len(all) != n {
				t.Errorf("%s: %d items, want %d", name, len(all), n)
			}
			var single []string
			for cursor := ""; ; {
				ids, next, err := page(cursor, 1)
				if err != nil || len(ids) != 1 {
					t.Errorf("%s: a page of %d items, %v", name, len(ids), err)
					break
				}
				single = append(single, ids...)
				if cursor = next; cursor == "" {
					break
				}
			}
			if !slices.Equal(single, all) {
				t.Errorf("%s: one at a time %v, at once %v", name, single, all)
			}
			for _, cursor := range append(invalid[name], "nonsense", actors.EncodeCursor("a", "b", "c")) {
				if _, _, err := page(cursor, 1); subjects.CodeOf(err) != subjects.CodeInvalid || !strings.Contains(err.Error(), "cursor") {
					t.Errorf("%s: the cursor %q is answered with %v", name, cursor, err)
				}
			}
		}
	})
}

// TestListFilters: filters select by workflow, name, status, execution and pause; contradictory attributes select nothing.
func TestListFilters(t *testing.T) {
	t.Parallel()
	c := setupTimed(t, actortest.Databases(t)[0])
	first, s := c.createScheduled(t, scheduled("every: PT1H", "", echoTasks))
	_, other := c.createScheduled(t, strings.Replace(scheduled("cron: '0 9 * * *'", "", echoTasks), "name: timed", "name: daily", 1))
	if page := call(t, c.bundle, subjects.ListWorkflows, subjects.ListWorkflowsRequest{Name: "timed"}); len(page.Items) != 1 || page.Items[0].ID != first {
		t.Errorf("by name: %+v", page.Items)
	}
	call(t, c.bundle, subjects.PauseSchedule, subjects.PauseScheduleRequest{ScheduleID: s.ID})
	for paused, want := range map[bool]string{true: s.ID, false: other.ID} {
		if page := call(t, c.bundle, subjects.ListSchedules, subjects.ListSchedulesRequest{Paused: &paused}); len(page.Items) != 1 || page.Items[0].ID != want {
			t.Errorf("paused %v: %+v", paused, page.Items)
		}
	}
	one := c.startNew(t, "- ask: {call: approval.request, with: {title: a}}\n", "{}")
	two := c.startNew(t, "- ask: {call: approval.request, with: {title: b}}\n", "{}")
	approved := c.pendingApproval(t, one.ID)
	c.pendingApproval(t, two.ID)
	c.decide(t, approved.ID, "approve", "")
	for want, r := range map[string]subjects.ListApprovalsRequest{
		one.ID: {Status: subjects.ApprovalApproved}, two.ID: {ExecutionID: two.ID},
	} {
		if page := call(t, c.bundle, subjects.ListApprovals, r); len(page.Items) != 1 || page.Items[0].ExecutionID != want {
			t.Errorf("%+v selects %+v", r, page.Items)
		}
	}
	contradiction := subjects.ListExecutionsRequest{Attribute: []string{"order:1", "order:2"}}
	if page := call(t, c.bundle, subjects.ListExecutions, contradiction); len(page.Items) != 0 || page.NextCursor != "" {
		t.Errorf("an attribute with two values selects %+v", page)
	}
	hour := time.Now().Add(-time.Hour)
	if items := c.listFailures(t, subjects.ListFailuresRequest{FailureFilter: subjects.FailureFilter{WorkflowID: first, Until: &hour}}); len(items) != 0 {
		t.Errorf("failures before there were any: %+v", items)
	}
}
