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

// wantRefused checks that a start is refused as rate limited, with a time after which to retry.
func (b *bundle) wantRefused(t *testing.T, as mesh.As, workflowID string) {
	t.Helper()
	err := wantCode(t, b, subjects.CodeRateLimited, subjects.StartExecution, as, subjects.StartExecutionRequest{WorkflowID: workflowID})
	if err.RetryAfter <= 0 {
		t.Errorf("the error has no time to retry after: %v", err)
	}
}

// TestQueuePerUser: a user's executions that wait for a slot are bounded, also after a crash, and do not keep other users from
// starting.
func TestQueuePerUser(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		_ = b.host.Stop(t)
		b.config.MaxConcurrent, b.config.MaxQueuedPerUser = 1, 3
		kill := b.startKillable(t)
		id := b.create(t, holdTasks)
		var all []string
		for range 4 {
			all = append(all, b.startExecution(t, id, "{}"))
		}
		<-b.reached
		b.wantRefused(t, b.as, id)
		kill()
		b.host = b.start(t)
		<-b.reached
		eventually(t, "the others wait", func() bool { return metric(t, b.host, "workflow_queued_executions") == 3 })
		b.wantRefused(t, b.as, id)
		if n := metric(t, b.host, "workflow_refused_starts_total"); n != 1 {
			t.Errorf("%v refused starts are counted, want 1", n)
		}
		user := b.as
		bob := actortest.User()
		b.mesh.Consent(t, bob, subjects.ScopeWorkflowsExecute)
		b.as = mesh.As{Token: b.mesh.Token(t, bob)}
		bobs := b.startExecution(t, b.create(t, echoTasks), "{}")
		b.as = user
		close(b.release)
		for _, id := range all {
			b.awaitStatus(t, id, subjects.ExecutionCompleted)
		}
		b.awaitStatus(t, b.startExecution(t, id, "{}"), subjects.ExecutionCompleted)
		b.as = mesh.As{Token: b.mesh.Token(t, bob)}
		b.awaitStatus(t, bobs, subjects.ExecutionCompleted)
	})
}

// TestQueueOfProcess: when a process's queue is full, starts are refused to every user as unavailable, without retries.
func TestQueueOfProcess(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		_ = b.host.Stop(t)
		b.config.MaxConcurrent, b.config.MaxQueued = 1, 0
		b.host = b.start(t)
		id := b.create(t, holdTasks)
		for range 2 {
			b.startExecution(t, id, "{}")
		}
		err := wantCode(t, b, subjects.CodeUnavailable, subjects.StartExecution, b.as, subjects.StartExecutionRequest{WorkflowID: id})
		if err.RetryAfter <= 0 {
			t.Errorf("the error has no time to retry after: %v", err)
		}
		if n := metric(t, b.host, "workflow_refused_starts_total"); n != 1 {
			t.Errorf("%v refused starts are counted, want 1", n)
		}
		close(b.release)
	})
}

// TestPendingPerUser: a user's executions that wait for the limits of workflows are bounded, over all workflows, suspended ones
// included.
func TestPendingPerUser(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		_ = b.host.Stop(t)
		b.config.MaxQueuedPerUser = 2
		kill := b.startKillable(t)
		id := b.createLimited(t, "{concurrency: {limit: 1}}", holdTasks)
		first, second, third := b.startExecution(t, id, "{}"), b.startExecution(t, id, "{}"), b.startExecution(t, id, "{}")
		<-b.reached
		b.wantRefused(t, b.as, id)
		b.suspend(t, third)
		b.wantRefused(t, b.as, id)
		kill()
		b.host = b.start(t)
		<-b.reached
		b.wantRefused(t, b.as, id)
		b.awaitStatus(t, b.startExecution(t, b.create(t, strings.ReplaceAll(echoTasks, "say", "other")), "{}"), subjects.ExecutionCompleted)
		call(t, b, subjects.CancelExecution, subjects.ExecutionControlRequest{ExecutionID: third})
		third = b.startExecution(t, id, "{}")
		b.wantRefused(t, b.as, id)
		close(b.release)
		for _, id := range []string{first, second, third} {
			b.awaitStatus(t, id, subjects.ExecutionCompleted)
		}
		b.awaitStatus(t, b.startExecution(t, id, "{}"), subjects.ExecutionCompleted)
	})
}

// TestFullQueueLosesNothing: while a user's queue is full a scheduled run stays due, publish_event is refused with a time to retry
// after, and complete correlations are kept.
func TestFullQueueLosesNothing(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		c := setupTimed(t, database)
		_ = c.host.Stop(t)
		c.config.MaxConcurrent, c.config.MaxQueuedPerUser = 1, 1
		c.host = c.start(t)
		_, every := c.createScheduled(t, scheduled("every: PT1H", "", echoTasks))
		onEvent, _ := c.createScheduled(t, strings.Replace(scheduled("on: {one: {with: {type: go.on}}}", "", echoTasks), "name: timed", "name: single", 1))
		correlated, _ := c.createScheduled(t, strings.Replace(
			scheduled("on: {all: [{with: {type: left}}, {with: {type: right}}]}", "", echoTasks), "name: timed", "name: correlated", 1))
		id := c.create(t, holdTasks)
		running, waiting := c.startExecution(t, id, "{}"), c.startExecution(t, id, "{}")
		<-c.reached
		c.wantRefused(t, c.as, id)
		event := func(kind string) subjects.PublishEventRequest {
			return subjects.PublishEventRequest{Event: json.RawMessage(
				`{"specversion": "1.0", "id": "` + kind + `", "source": "https://test.example", "type": "` + kind + `"}`)}
		}
		err := wantCode(t, c.bundle, subjects.CodeRateLimited, subjects.PublishEvent, c.as, event("go.on"))
		if err.RetryAfter <= 0 {
			t.Errorf("the error has no time to retry after: %v", err)
		}
		call(t, c.bundle, subjects.PublishEvent, event("left"))
		wantCode(t, c.bundle, subjects.CodeRateLimited, subjects.PublishEvent, c.as, event("right"))
		c.advance(t, time.Hour+time.Second)
		c.awaitRuns(t, every.ID, "due")
		close(c.release)
		for _, id := range []string{running, waiting} {
			c.awaitStatus(t, id, subjects.ExecutionCompleted)
		}
		c.awaitRuns(t, every.ID, "ended")
		call(t, c.bundle, subjects.PublishEvent, event("go.on"))
		for _, id := range []string{onEvent, correlated} {
			eventually(t, "the event's execution is completed", func() bool { return c.statuses(t, id)[subjects.ExecutionCompleted] == 1 })
		}
	})
}

// TestFullQueueIsRetried: a step that starts an execution, and a webhook delivery that does, are attempted again until the user's
// queue has room.
func TestFullQueueIsRetried(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		c := setupTimed(t, database)
		_ = c.host.Stop(t)
		c.config.MaxConcurrent, c.config.MaxQueuedPerUser, c.config.StepRetries = 1, 1, 1000
		c.host = c.start(t)
		onPush, _ := c.createScheduled(t, scheduled("on: {one: {with: {type: github.push}}}", "", echoTasks))
		target, held := c.create(t, strings.ReplaceAll(echoTasks, "say", "target")), c.create(t, holdTasks)
		starter := c.create(t, holdTasks+"- go: {call: workflow.start, with: {workflow_id: "+target+"}}\n")
		refusals := func() float64 { return metric(t, c.host, "workflow_refused_starts_total") }

		starting, waiting := c.startExecution(t, starter, "{}"), c.startExecution(t, held, "{}")
		<-c.reached
		c.release <- struct{}{}
		eventually(t, "the step's start is refused", func() bool { return refusals() > 0 })
		if got := c.getExecution(t, starting).Status; got != subjects.ExecutionRunning {
			t.Errorf("the execution whose step starts another is %s, want it running", got)
		}
		call(t, c.bundle, subjects.CancelExecution, subjects.ExecutionControlRequest{ExecutionID: waiting})
		c.awaitStatus(t, starting, subjects.ExecutionCompleted)

		c.startExecution(t, held, "{}")
		<-c.reached
		c.startExecution(t, held, "{}")
		before := refusals()
		c.deliverPush(t, json.RawMessage(`{}`))
		eventually(t, "the delivery's start is refused", func() bool { return refusals() > before })
		close(c.release)
		for id, want := range map[string]int{target: 1, held: 2, onPush: 1} {
			eventually(t, "the started executions are completed", func() bool { return c.statuses(t, id)[subjects.ExecutionCompleted] == want })
		}
		if open := c.listFailures(t, subjects.ListFailuresRequest{}); len(open) != 0 {
			t.Errorf("the failures are %+v", open)
		}
	})
}
