package workflow_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// TestErasure: workflows, schedules, executions that have ended, run or are evicted, their histories, their entries in the logs and
// their messages in the feed are deleted; another user's are not.
func TestErasure(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		const secret = "kept-nowhere-0451"
		b.putSecret(t, "key", `"`+secret+`"`)
		done := b.run(t, "- say: {call: echo, with: {n: "+secret+"}}\n", `{}`)
		evicted := b.startNew(t, "- rest: {wait: {days: 30}}\n- say: {call: github.get}\n", `{"n":"`+secret+`"}`)
		b.awaitStatus(t, evicted.ID, subjects.ExecutionWaiting)
		eventually(t, "one is evicted", func() bool { return metric(t, b.host, "workflow_active_executions") == 0 })
		running := b.startNew(t, "- hold: {call: github.hold}\n- after: {call: github.get}\n", `{"n":"`+secret+`"}`)
		<-b.reached
		call(t, b, subjects.WatchExecution, subjects.ExecutionRequest{ExecutionID: done.ID})
		call(t, b, subjects.WatchExecution, subjects.ExecutionRequest{ExecutionID: running.ID})
		scheduled := strings.Replace(workflowOf("- a: {set: {x: 1}}\n"), "do:", "schedule: {every: {hours: 1}}\ndo:", 1)
		call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: yaml(t, scheduled)})
		correlated := strings.Replace(scheduled, "{every: {hours: 1}}", "{on: {all: [{with: {type: a}}, {with: {type: b}}]}}", 1)
		call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: yaml(t, correlated)})
		call(t, b, subjects.PublishEvent, event("1", "a", `{"n":"`+secret+`"}`))
		limits := b.createLimited(t, "{concurrency: {limit: 1}, rate: {limit: 9, period: P1D}}", "- rest: {wait: {days: 30}}\n")
		b.awaitStatus(t, b.startExecution(t, limits, `{}`), subjects.ExecutionWaiting)
		b.awaitStatus(t, b.startExecution(t, limits, `{"n":"`+secret+`"}`), subjects.ExecutionPending)
		eve := actortest.User()
		b.mesh.Consent(t, eve, subjects.ScopeWorkflowsExecute)
		asEve := mesh.As{Token: b.mesh.Token(t, eve)}
		hers, err := mesh.Call(t.Context(), b.conn, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{
			Definition: yaml(t, workflowOf("- a: {wait: {days: 1}}\n")),
		}, asEve)
		if err != nil {
			t.Fatal(err)
		}
		kept, err := mesh.Call(t.Context(), b.conn, subjects.StartExecution, subjects.StartExecutionRequest{WorkflowID: hers.ID}, asEve)
		if err != nil {
			t.Fatal(err)
		}

		if answer := b.mesh.Forget(t, "workflow", b.user); answer.Items < 9 { // four workflows, three executions, a schedule, a secret
			t.Errorf("the erasure reports %+v", answer)
		}
		close(b.release)
		if again := b.mesh.Forget(t, "workflow", b.user); again.Items != 0 {
			t.Errorf("a second erasure reports %+v", again)
		}
		for _, id := range []string{done.ID, evicted.ID, running.ID} {
			wantCode(t, b, subjects.CodeNotFound, subjects.GetExecutionStatus, b.as, subjects.ExecutionRequest{ExecutionID: id})
		}
		if n := len(b.actions("get")); n != 0 {
			t.Errorf("%d calls were made for the erased user", n)
		}
		conn := b.mesh.Conn(t, "workflow")
		for _, name := range []string{subjects.WorkflowLog.Name, subjects.WorkflowFeed.Name} {
			stream, err := conn.JS.Stream(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			state := stream.CachedInfo().State
			for at := state.FirstSeq; at <= state.LastSeq; at++ {
				m, err := stream.GetMsg(t.Context(), at)
				if err == nil && (bytes.Contains(m.Data, []byte(secret)) || bytes.Contains(m.Data, []byte(b.user))) {
					t.Errorf("message %d of %s has data of the erased user", at, name)
				}
			}
		}
		s, err := mesh.Call(t.Context(), b.conn, subjects.GetExecutionStatus, subjects.ExecutionRequest{ExecutionID: kept.ID}, asEve)
		if err != nil || s.Status != subjects.ExecutionWaiting {
			t.Errorf("another user's execution: %v, %+v", err, s)
		}
		if err := b.host.Stop(t); err != nil {
			t.Fatal(err)
		}
		tables := actortest.Dump(t, b.db)
		if strings.Contains(tables, b.user) || strings.Contains(tables, secret) || !strings.Contains(tables, eve) {
			t.Error("the tables have data of the erased user, or none of the other user")
		}
	})
}
