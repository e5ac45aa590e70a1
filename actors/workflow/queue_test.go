package workflow_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// refuses checks that a user's start is refused for what waits, with a time after which it may be tried again.
func (b *bundle) refuses(t *testing.T, as mesh.As, workflowID string) {
	t.Helper()
	err := wantCode(t, b, subjects.CodeRateLimited, subjects.StartExecution, as, subjects.StartExecutionRequest{WorkflowID: workflowID})
	if err.RetryAfter <= 0 {
		t.Errorf("the refusal names no time: %v", err)
	}
}

// TestOneUsersQueue: one user has no more wait for a slot than a user may, over a crash too, and keeps nobody else from starting.
func TestOneUsersQueue(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		_ = b.host.Stop(t)
		b.config.MaxConcurrent, b.config.MaxQueuedPerUser = 1, 3
		kill := b.startMortal(t)
		id := b.create(t, holding)
		var all []string
		for range 4 {
			all = append(all, b.startOf(t, id, "{}"))
		}
		<-b.held
		b.refuses(t, b.ada, id)
		kill()
		b.host = b.start(t)
		<-b.held
		eventually(t, "the others wait", func() bool { return gauge(t, b.host, "workflow_queued_executions") == 3 })
		b.refuses(t, b.ada, id)
		if n := gauge(t, b.host, "workflow_refused_starts_total"); n != 1 {
			t.Errorf("%v refused starts are counted", n)
		}
		ada := b.ada
		bob := actortest.User()
		b.mesh.Consent(t, bob, subjects.ScopeWorkflowsExecute)
		b.ada = mesh.As{Token: b.mesh.Token(t, bob)}
		others := b.startOf(t, b.create(t, quick), "{}")
		b.ada = ada
		close(b.hold)
		for _, id := range all {
			b.until(t, id, subjects.ExecutionCompleted)
		}
		b.until(t, b.startOf(t, id, "{}"), subjects.ExecutionCompleted)
		b.ada = mesh.As{Token: b.mesh.Token(t, bob)}
		b.until(t, others, subjects.ExecutionCompleted)
	})
}

// TestProcessQueue: past what a process has wait, starts are refused to everybody, at once: looked at once, not for seconds.
func TestProcessQueue(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		_ = b.host.Stop(t)
		b.config.MaxConcurrent, b.config.MaxQueued = 1, 0
		b.host = b.start(t)
		id := b.create(t, holding)
		for range 2 {
			b.startOf(t, id, "{}")
		}
		err := wantCode(t, b, subjects.CodeUnavailable, subjects.StartExecution, b.ada, subjects.StartExecutionRequest{WorkflowID: id})
		if err.RetryAfter <= 0 {
			t.Errorf("the refusal names no time: %v", err)
		}
		if n := gauge(t, b.host, "workflow_refused_starts_total"); n != 1 {
			t.Errorf("%v refused starts are counted", n)
		}
		close(b.hold)
	})
}

// TestOneUsersHeldBack: what limits hold back is bounded by user too, over all of the user's workflows, whether it is suspended or not.
func TestOneUsersHeldBack(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		_ = b.host.Stop(t)
		b.config.MaxQueuedPerUser = 2
		kill := b.startMortal(t)
		id := b.createLimited(t, "{concurrency: {limit: 1}}", holding)
		first, second, third := b.startOf(t, id, "{}"), b.startOf(t, id, "{}"), b.startOf(t, id, "{}")
		<-b.held
		b.refuses(t, b.ada, id)
		b.suspend(t, third)
		b.refuses(t, b.ada, id)
		kill()
		b.host = b.start(t)
		<-b.held
		b.refuses(t, b.ada, id)
		b.until(t, b.startOf(t, b.create(t, strings.ReplaceAll(quick, "say", "other")), "{}"), subjects.ExecutionCompleted)
		call(t, b, subjects.CancelExecution, subjects.ExecutionControlRequest{ExecutionID: third})
		third = b.startOf(t, id, "{}")
		b.refuses(t, b.ada, id)
		close(b.hold)
		for _, id := range []string{first, second, third} {
			b.until(t, id, subjects.ExecutionCompleted)
		}
		b.until(t, b.startOf(t, id, "{}"), subjects.ExecutionCompleted)
	})
}

// TestFullQueueLosesNothing: a nominal time stays due while its user's queue is full, who publishes an event is told to come
// again, and what events have made whole is kept.
func TestFullQueueLosesNothing(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		c := setupTimed(t, database)
		_ = c.host.Stop(t)
		c.config.MaxConcurrent, c.config.MaxQueuedPerUser = 1, 1
		c.host = c.start(t)
		_, every := c.plan(t, scheduled("every: PT1H", "", quick))
		onEvent, _ := c.plan(t, strings.Replace(scheduled("on: {one: {with: {type: go.on}}}", "", quick), "name: timed", "name: listens", 1))
		gathers, _ := c.plan(t, strings.Replace(
			scheduled("on: {all: [{with: {type: left}}, {with: {type: right}}]}", "", quick), "name: timed", "name: gathers", 1))
		id := c.create(t, holding)
		running, waiting := c.startOf(t, id, "{}"), c.startOf(t, id, "{}")
		<-c.held
		c.refuses(t, c.ada, id)
		event := func(kind string) subjects.PublishEventRequest {
			return subjects.PublishEventRequest{Event: json.RawMessage(
				`{"specversion": "1.0", "id": "` + kind + `", "source": "https://test.example", "type": "` + kind + `"}`)}
		}
		err := wantCode(t, c.bundle, subjects.CodeRateLimited, subjects.PublishEvent, c.ada, event("go.on"))
		if err.RetryAfter <= 0 {
			t.Errorf("the refusal names no time: %v", err)
		}
		call(t, c.bundle, subjects.PublishEvent, event("left"))
		wantCode(t, c.bundle, subjects.CodeRateLimited, subjects.PublishEvent, c.ada, event("right"))
		c.advance(t, time.Hour+time.Second)
		c.runs(t, every.ID, "due")
		close(c.hold)
		for _, id := range []string{running, waiting} {
			c.until(t, id, subjects.ExecutionCompleted)
		}
		c.runs(t, every.ID, "ended")
		call(t, c.bundle, subjects.PublishEvent, event("go.on"))
		for _, id := range []string{onEvent, gathers} {
			eventually(t, "the event's execution is done", func() bool { return c.statuses(t, id)[subjects.ExecutionCompleted] == 1 })
		}
	})
}

// TestFullQueueIsWaitedFor: a step that starts an execution, and a delivery that does, come again until their user's queue has room.
func TestFullQueueIsWaitedFor(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		c := setupTimed(t, database)
		_ = c.host.Stop(t)
		c.config.MaxConcurrent, c.config.MaxQueuedPerUser, c.config.StepRetries = 1, 1, 1000
		c.host = c.start(t)
		onPush, _ := c.plan(t, scheduled("on: {one: {with: {type: github.push}}}", "", quick))
		told, held := c.create(t, strings.ReplaceAll(quick, "say", "told")), c.create(t, holding)
		starter := c.create(t, holding+"- go: {call: workflow.start, with: {workflow_id: "+told+"}}\n")
		refusals := func() float64 { return gauge(t, c.host, "workflow_refused_starts_total") }

		starting, waiting := c.startOf(t, starter, "{}"), c.startOf(t, held, "{}")
		<-c.held
		c.hold <- struct{}{}
		eventually(t, "the step's start is refused", func() bool { return refusals() > 0 })
		if got := c.status(t, starting).Status; got != subjects.ExecutionRunning {
			t.Errorf("the execution is %s whose step starts another", got)
		}
		call(t, c.bundle, subjects.CancelExecution, subjects.ExecutionControlRequest{ExecutionID: waiting})
		c.until(t, starting, subjects.ExecutionCompleted)

		c.startOf(t, held, "{}")
		<-c.held
		c.startOf(t, held, "{}")
		before := refusals()
		c.push(t, json.RawMessage(`{}`))
		eventually(t, "the delivery's start is refused", func() bool { return refusals() > before })
		close(c.hold)
		for id, want := range map[string]int{told: 1, held: 2, onPush: 1} {
			eventually(t, "what was to be started is done", func() bool { return c.statuses(t, id)[subjects.ExecutionCompleted] == want })
		}
		if open := c.failures(t, subjects.ListFailuresRequest{}); len(open) != 0 {
			t.Errorf("failures %+v", open)
		}
	})
}
