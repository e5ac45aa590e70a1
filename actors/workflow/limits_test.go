package workflow_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// limited is a definition with limits.
func limited(flow, tasks string) string {
	return strings.Replace(workflowOf(tasks), "version: '0.1.0'}", "version: '0.1.0', metadata: {flow: "+flow+"}}", 1)
}

func (b *bundle) createLimited(t *testing.T, flow, tasks string) string {
	t.Helper()
	return call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: yaml(t, limited(flow, tasks))}).ID
}

func (b *bundle) startOf(t *testing.T, workflowID, input string) string {
	t.Helper()
	return call(t, b, subjects.StartExecution, subjects.StartExecutionRequest{WorkflowID: workflowID, Input: json.RawMessage(input)}).ID
}

// statuses counts executions by what they are.
func (b *bundle) statuses(t *testing.T, workflowID string) map[string]int {
	t.Helper()
	counts := map[string]int{}
	page := look(t, b, subjects.ListExecutions, subjects.ListExecutionsRequest{WorkflowID: workflowID, PageRequest: subjects.PageRequest{Limit: 200}})
	for _, e := range page.Items {
		counts[e.Status]++
	}
	return counts
}

// wantAtMost checks by their times that no more than limit executions went on at once.
func wantAtMost(t *testing.T, limit int, all []subjects.Execution) {
	t.Helper()
	type edge struct {
		at   time.Time
		step int
	}
	var edges []edge
	for _, e := range all {
		if e.StartedAt == nil || e.EndedAt == nil {
			t.Fatalf("execution %s is %s and has no times", e.ID, e.Status)
		}
		edges = append(edges, edge{*e.StartedAt, 1}, edge{*e.EndedAt, -1})
	}
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.step, b.step)) })
	most, now := 0, 0
	for _, e := range edges {
		now += e.step
		most = max(most, now)
	}
	if most > limit {
		t.Errorf("%d went on at once, the limit is %d", most, limit)
	}
}

const holding = "- work: {call: github.hold, with: {input: '${ . }'}}\n"

// TestConcurrencyLimit: of each key as many go on at once as the limit says, over a crash too; the others are pending.
func TestConcurrencyLimit(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		_ = b.host.Stop(t)
		kill := b.startMortal(t)
		id := b.createLimited(t, "{concurrency: {key: '${ .customer }', limit: 2}}", holding)
		var ada []string
		for range 6 {
			ada = append(ada, b.startOf(t, id, `{"customer": "ada"}`))
		}
		bob := b.startOf(t, id, `{"customer": "bob"}`)
		for range 3 {
			<-b.held
		}
		if got := b.statuses(t, id); got["running"] != 3 || got["pending"] != 4 {
			t.Fatalf("executions %v", got)
		}
		kill()
		b.host = b.start(t)
		for range 3 {
			<-b.held
		}
		if got := b.statuses(t, id); got["running"] != 3 || got["pending"] != 4 {
			t.Errorf("after the crash: executions %v", got)
		}
		if held := gauge(t, b.host, "workflow_blocked_executions"); held != 4 {
			t.Errorf("%v are held back", held)
		}
		if e := call(t, b, subjects.CancelExecution, subjects.ExecutionControlRequest{ExecutionID: ada[5]}); e.Status != subjects.ExecutionCancelled {
			t.Errorf("cancelled while it waited: %+v", e)
		}
		close(b.hold)
		var all []subjects.Execution
		for _, id := range ada[:5] {
			all = append(all, b.until(t, id, subjects.ExecutionCompleted, subjects.ExecutionFaulted))
		}
		b.until(t, bob, subjects.ExecutionCompleted)
		wantAtMost(t, 2, all)
		for i := 1; i < len(all); i++ {
			if all[i].StartedAt.Before(*all[i-1].StartedAt) {
				t.Errorf("%d began before %d", i, i-1)
			}
		}
	})
}

// TestConcurrencyOfParked: what waits for long is not in memory, and counts.
func TestConcurrencyOfParked(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		id := b.createLimited(t, "{concurrency: {limit: 1}}", "- rest: {listen: {to: {one: {with: {type: go.on}}}}}\n")
		first, second := b.startOf(t, id, "{}"), b.startOf(t, id, "{}")
		eventually(t, "the first one is parked", func() bool { return gauge(t, b.host, "workflow_active_executions") == 0 })
		_ = b.host.Stop(t)
		b.host = b.start(t)
		b.until(t, first, subjects.ExecutionWaiting)
		b.until(t, second, subjects.ExecutionPending)
		publish := func(id string) {
			call(t, b, subjects.PublishEvent, subjects.PublishEventRequest{Event: json.RawMessage(
				`{"specversion": "1.0", "id": "` + id + `", "source": "https://test.example", "type": "go.on"}`)})
		}
		publish("1")
		b.until(t, first, subjects.ExecutionCompleted)
		b.until(t, second, subjects.ExecutionWaiting)
		publish("2")
		b.until(t, second, subjects.ExecutionCompleted)
	})
}

// TestRateLimit: in no period do more begin than the limit says, whoever counts.
func TestRateLimit(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		c := setupTimed(t, database)
		id := c.createLimited(t, "{rate: {key: '${ .customer }', limit: 2, period: PT1H}}", quick)
		for range 5 {
			c.startOf(t, id, `{"customer": "ada"}`)
		}
		other := c.startOf(t, id, `{"customer": "bob"}`)
		c.until(t, other, subjects.ExecutionCompleted)
		want := func(completed, pending int) {
			t.Helper()
			eventually(t, fmt.Sprintf("%d are completed", completed), func() bool {
				return c.statuses(t, id)[subjects.ExecutionCompleted] >= completed
			})
			if got := c.statuses(t, id); got[subjects.ExecutionCompleted] != completed || got[subjects.ExecutionPending] != pending {
				t.Errorf("executions %v, want %d completed and %d pending", got, completed, pending)
			}
		}
		want(3, 3)
		_ = c.host.Stop(t)
		c.advance(t, 30*time.Minute)
		c.host = c.start(t)
		want(3, 3)
		c.advance(t, 30*time.Minute+time.Second)
		want(5, 1)
		c.advance(t, time.Hour+time.Second)
		want(6, 0)
	})
}

// TestPriority: what waits for a limit, for a slot, or for a call begins in the order of priority, then of arrival.
func TestPriority(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, flow, waiting string
		change              func(*bundle)
	}{
		{"limit", "{concurrency: {limit: 1}, priority: '${ .p }'}", "workflow_blocked_executions", func(*bundle) {}},
		{"slot", "{priority: '${ .p }'}", "workflow_queued_executions", func(b *bundle) { b.config.MaxConcurrent = 1 }},
		{"step", "{priority: '${ .p }'}", "workflow_queued_steps", func(b *bundle) { b.config.MaxSteps = 1 }},
	} {
		t.Run(test.name, func(t *testing.T) {
			actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
				b := setup(t, database)
				_ = b.host.Stop(t)
				test.change(b)
				b.host = b.start(t)
				id := b.createLimited(t, test.flow, `
- first: {if: '${ .p == 9 }', call: github.hold, then: end}
- work: {call: github.get, with: {n: '${ .n }'}}
`)
				b.startOf(t, id, `{"p": 9}`)
				<-b.held
				for _, input := range []string{`{"p": -1, "n": 5}`, `{"p": 7, "n": 2}`, `{"p": 3, "n": 4}`, `{"p": 7, "n": 3}`, `{"p": 8, "n": 1}`} {
					b.startOf(t, id, input)
				}
				eventually(t, "the others wait", func() bool { return gauge(t, b.host, test.waiting) == 5 })
				close(b.hold)
				eventually(t, "all are done", func() bool { return b.statuses(t, id)[subjects.ExecutionCompleted] == 6 })
				b.mu.Lock()
				defer b.mu.Unlock()
				var order []string
				for _, r := range b.acted[1:] {
					order = append(order, string(r.Input))
				}
				if got := strings.Join(order, ""); got != `{"n":1}{"n":2}{"n":3}{"n":4}{"n":5}` {
					t.Errorf("begun in the order %s", got)
				}
			})
		})
	}
}

// TestLimitsOfChosenIDs: an execution whose id its caller chose, or that follows from what starts it, is counted with the
// others, is found by its id, and is started once.
func TestLimitsOfChosenIDs(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		_ = b.host.Stop(t)
		kill := b.startMortal(t)
		id := b.createLimited(t, "{concurrency: {limit: 1}}", holding)
		var ids []string
		for range 2 {
			for _, digit := range "01234567" {
				chosen := strings.TrimRight(uuid.NewSHA1(uuid.NameSpaceURL, []byte(b.user+string(digit))).String(), "0123456789abcdef")
				chosen += "0123456789a" + string(digit)
				e := call(t, b, subjects.StartExecution, subjects.StartExecutionRequest{WorkflowID: id, ExecutionID: chosen})
				if e.ID != chosen {
					t.Fatalf("started as %s, want %s", e.ID, chosen)
				}
				ids = append(ids, chosen)
			}
		}
		ids = ids[:8]
		<-b.held
		if got := b.statuses(t, id); got["running"] != 1 || got["pending"] != 7 {
			t.Fatalf("executions %v", got)
		}
		other := call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: yaml(t, workflowOf(quick))}).ID
		wantCode(t, b, subjects.CodeConflict, subjects.StartExecution, b.ada, subjects.StartExecutionRequest{WorkflowID: other, ExecutionID: ids[0]})
		kill()
		b.host = b.start(t)
		<-b.held
		close(b.hold)
		var all []subjects.Execution
		for _, id := range ids {
			all = append(all, b.until(t, id, subjects.ExecutionCompleted, subjects.ExecutionFaulted))
		}
		wantAtMost(t, 1, all)
		if got := b.statuses(t, id); got["completed"] != 8 {
			t.Errorf("executions %v", got)
		}
	})
}

// TestLimitedChildren: a child that waits for its workflow's limits is waited for, and cancelled with its parent.
func TestLimitedChildren(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		child := b.createLimited(t, "{concurrency: {limit: 1}}", holding)
		parent := call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: yaml(t, `
document: {dsl: '1.0.3', namespace: test, name: parent, version: '0.1.0'}
do:
- child:
    run: {workflow: {namespace: test, name: story, version: '0.1.0', input: {n: '${ .n }'}}}
    output: {as: '${ .input.input.n }'}
`)}).ID
		var parents []string
		for n := range 4 {
			parents = append(parents, b.startOf(t, parent, fmt.Sprintf(`{"n": %d}`, n)))
		}
		eventually(t, "one child runs, the others wait", func() bool {
			got := b.statuses(t, child)
			return got["running"] == 1 && got["pending"] == 3
		})
		<-b.held
		var last string
		for _, e := range call(t, b, subjects.ListExecutions, subjects.ListExecutionsRequest{WorkflowID: child}).Items {
			if e.Status == subjects.ExecutionPending {
				last = string(b.status(t, e.ID).Input)
				break
			}
		}
		var n int
		if _, err := fmt.Sscanf(last, `{"n":%d}`, &n); err != nil {
			t.Fatal(err)
		}
		call(t, b, subjects.CancelExecution, subjects.ExecutionControlRequest{ExecutionID: parents[n]})
		eventually(t, "the child of the cancelled one is cancelled", func() bool { return b.statuses(t, child)["cancelled"] == 1 })
		close(b.hold)
		for i, id := range parents {
			if i != n {
				wantOutput(t, b.until(t, id, subjects.ExecutionCompleted, subjects.ExecutionFaulted), fmt.Sprint(i))
			}
		}
	})
}

// TestLimitsOverProcesses: with two processes, of which one goes, no more run than the limits say, and all end.
func TestLimitsOverProcesses(t *testing.T) {
	actortest.OnPostgres(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		second := b.start(t)
		eventually(t, "both own partitions", func() bool {
			return gauge(t, b.host, "workflow_partitions") > 0 && gauge(t, second, "workflow_partitions") > 0
		})
		var workflows []string
		for range 4 {
			workflows = append(workflows, b.createLimited(t, "{concurrency: {limit: 2}}", "- one: {call: github.get}\n- rest: {wait: {milliseconds: 20}}\n- two: {call: github.get}\n"))
		}
		ids := make([][]string, len(workflows))
		var all sync.WaitGroup
		for i, workflow := range workflows {
			all.Go(func() {
				for range 10 {
					e, err := mesh.Call(t.Context(), b.caller, subjects.StartExecution, subjects.StartExecutionRequest{WorkflowID: workflow}, b.ada)
					if err != nil {
						t.Errorf("starting: %v", err)
						return
					}
					ids[i] = append(ids[i], e.ID)
				}
			})
		}
		all.Wait()
		_ = second.Stop(t)
		for _, started := range ids {
			var ended []subjects.Execution
			for _, id := range started {
				ended = append(ended, b.until(t, id, subjects.ExecutionCompleted, subjects.ExecutionFaulted))
			}
			wantAtMost(t, 2, ended)
		}
	})
}

// TestLimitFaults: what is wrong with declared limits is told by its place; an input that they cannot be applied to is
// refused.
func TestLimitFaults(t *testing.T) {
	t.Parallel()
	b := setup(t, actortest.Databases(t)[0])
	for flow, want := range map[string]string{
		"[]": "", "{concurency: {limit: 1}}": "/concurency", "{concurrency: {key: a}}": "/concurrency", "{concurrency: 3}": "/concurrency",
		"{concurrency: {limit: 0}}": "/concurrency/limit", "{concurrency: {limit: 1.5}}": "/concurrency/limit", "{concurrency: {limit: '1'}}": "/concurrency/limit",
		"{concurrency: {limit: 1, key: '${ . | }'}}": "/concurrency/key", "{concurrency: {limit: 1, key: 3}}": "/concurrency/key",
		"{rate: {limit: 1}}": "/rate", "{rate: {limit: 1, period: PT0.5S}}": "/rate/period", "{rate: {limit: 1, period: P1Y}}": "/rate/period",
		"{rate: {limit: 1, period: soon}}": "/rate/period", "{rate: {limit: 1, period: PT1S, burst: 2}}": "/rate/burst",
		"{priority: 101}": "/priority", "{priority: high}": "/priority", "{priority: '${ . | }'}": "/priority",
	} {
		err := wantCode(t, b, subjects.CodeInvalid, subjects.CreateWorkflow, b.ada,
			subjects.WorkflowDefinitionRequest{Definition: yaml(t, limited(flow, quick))})
		if len(err.Fields) != 1 || err.Fields[0].Pointer != "/document/metadata/flow"+want || err.Fields[0].Line != 1 || err.Fields[0].Column < 80 {
			t.Errorf("%s: faults %+v", flow, err.Fields)
		}
	}
	for _, flow := range []string{
		"{concurrency: {limit: 1, key: '${ .a.b }'}}", "{rate: {limit: 1, period: PT1S, key: '${ .a.b }'}}", "{priority: '${ .a }'}", "{priority: '${ .a.b }'}",
	} {
		err := wantCode(t, b, subjects.CodeInvalid, subjects.StartExecution, b.ada,
			subjects.StartExecutionRequest{WorkflowID: b.createLimited(t, flow, quick), Input: json.RawMessage(`{"a": "text"}`)})
		if len(err.Fields) != 1 || err.Fields[0].Field != "input" {
			t.Errorf("%s: %+v", flow, err.Fields)
		}
	}
}
