package workflow_test

import (
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// chains are the ways in which an execution of the workflow "chain" starts another execution of it.
var chains = map[string]string{
	"run without waiting": "- again: {run: {workflow: {namespace: test, name: chain, version: '0.1.0'}, await: false}}\n",
	"run and wait":        "- again: {run: {workflow: {namespace: test, name: chain, version: '0.1.0'}}}\n",
	"workflow.start":      "- again: {call: workflow.start, with: {namespace: test, name: chain, version: '0.1.0'}}\n",
	"an event":            "- again: {emit: {event: {with: {source: urn:x, type: test.chain}}}}\n",
	"two events": "- first: {emit: {event: {with: {source: urn:x, type: test.chain}}}}\n" +
		"- again: {emit: {event: {with: {source: urn:x, type: test.chained}}}}\n",
	"a function": "- again: {call: again}\n",
	"a compensation": "- a: {set: {n: 1}, metadata: {compensate: [{again: {run: {workflow: {namespace: test, name: chain, version: '0.1.0'}, await: false}}}]}}\n" +
		"- fail: {raise: {error: {type: 'https://example.com/sad', status: 500, title: Sad}}}\n",
}

// createChain creates the workflow "chain".
func (b *bundle) createChain(t *testing.T, name, before, tasks string) string {
	t.Helper()
	head := "document: {dsl: '1.0.3', namespace: test, name: chain, version: '0.1.0'}\n"
	switch name {
	case "an event":
		head += "schedule: {on: {one: {with: {type: test.chain}}}}\n"
	case "two events":
		head += "schedule: {on: {all: [{with: {type: test.chain}}, {with: {type: test.chained}}]}}\n"
	case "a function":
		head += "use: {functions: {again: {run: {workflow: {namespace: test, name: chain, version: '0.1.0'}, await: false}}}}\n"
	}
	return call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: yaml(t, head+"do:\n"+before+tasks)}).ID
}

// TestChainsOfExecutionsEnd: executions that start one another, in whatever way, are at most 21.
func TestChainsOfExecutionsEnd(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		for name, tasks := range chains {
			t.Run(name, func(t *testing.T) {
				b := setup(t, database)
				chain := b.createChain(t, name, "", tasks)
				b.startExecution(t, chain, "{}")
				count := func() (all, live int) {
					got := b.statuses(t, chain)
					for _, n := range got {
						all += n
					}
					return all, got[subjects.ExecutionPending] + got[subjects.ExecutionRunning] + got[subjects.ExecutionWaiting]
				}
				eventually(t, "all executions have ended", func() bool {
					all, live := count()
					return all > 20 && live == 0
				})
				if all, _ := count(); all != 21 {
					t.Errorf("%d executions have started one another", all)
				}
			})
		}
	})
}

// TestCancelReachesAllDescendants: cancelling an execution cancels everything that it has led to, also where it has ended itself, and
// what is being started meanwhile. What others have led to runs on.
func TestCancelReachesAllDescendants(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		for name, tasks := range chains {
			if name == "a compensation" { // undoes what was done, also after a cancellation
				continue
			}
			t.Run(name, func(t *testing.T) {
				b, api := setup(t, database), startSlowAPI(t)
				// Each execution starts another one and then makes a call that is not answered; the last one cannot start another.
				slow := "- slow: {call: http, with: {method: get, endpoint: '" + api.URL + "/slow'}}\n"
				if name == "run and wait" {
					slow = ""
					tasks = "- both: {fork: {branches: [{inner: {do: [" + strings.TrimSuffix(strings.Replace(tasks, "- ", "{", 1), "\n") +
						"}]}}, {slow: {call: http, with: {method: get, endpoint: '" + api.URL + "/slow'}}}]}}\n"
				}
				// Long enough for a cancellation on a busy machine before the chain has reached its bound.
				chain := b.createChain(t, name, "- pause: {wait: {milliseconds: 200}}\n", tasks+slow)
				bystander := b.startExecution(t, b.create(t, "- rest: {wait: {hours: 1}}\n"), "{}")
				root := b.startExecution(t, chain, "{}")
				eventually(t, "the chain grows", func() bool { n, _ := api.of("/slow"); return n >= 3 })
				call(t, b, subjects.CancelExecution, subjects.ExecutionControlRequest{ExecutionID: root})
				eventually(t, "all executions have ended", func() bool {
					got := b.statuses(t, chain)
					return got[subjects.ExecutionPending]+got[subjects.ExecutionRunning]+got[subjects.ExecutionWaiting] == 0
				})
				total := 0
				for _, n := range b.statuses(t, chain) {
					total += n
				}
				if total > 20 {
					t.Errorf("the chain has grown to %d executions: it has reached its bound", total)
				}
				b.awaitStatus(t, bystander, subjects.ExecutionWaiting)
			})
		}
	})
}

// TestCancelOfTheEnded: the head of a chain whose first executions have ended is cancelled through any of them; an execution that has
// ended and has no descendant that runs is a conflict.
func TestCancelOfTheEnded(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		chain := b.createChain(t, "", "- pause: {wait: {milliseconds: 100}}\n", chains["run without waiting"])
		ids := func() (ids []string) {
			page := call(t, b, subjects.ListExecutions, subjects.ListExecutionsRequest{WorkflowID: chain, PageRequest: subjects.PageRequest{Limit: 100}})
			for _, e := range page.Items {
				ids = append(ids, e.ID)
			}
			return ids
		}
		root := b.startExecution(t, chain, "{}")
		eventually(t, "the chain grows", func() bool { return len(ids()) >= 5 })
		all := ids()
		middle := all[len(all)-3] // the second after the root
		if e := b.awaitStatus(t, middle, subjects.ExecutionCompleted); e.ID == root {
			t.Fatal("the middle of the chain is its root")
		}
		call(t, b, subjects.CancelExecution, subjects.ExecutionControlRequest{ExecutionID: middle})
		eventually(t, "all executions have ended", func() bool {
			got := b.statuses(t, chain)
			return got[subjects.ExecutionPending]+got[subjects.ExecutionRunning]+got[subjects.ExecutionWaiting] == 0
		})
		if n := len(ids()); n > 15 {
			t.Errorf("the chain has grown to %d executions", n)
		}
		_, err := callAs(t, b, subjects.CancelExecution, subjects.ExecutionControlRequest{ExecutionID: root})
		if subjects.CodeOf(err) != subjects.CodeConflict {
			t.Errorf("cancelling an execution that has ended: %v", err)
		}
	})
}

// TestCompensationStartsAfterACancellation: what a compensation starts is not refused, although its execution was cancelled.
func TestCompensationStartsAfterACancellation(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		undo := b.createNamed(t, "undo", "- a: {set: {n: 1}}\n")
		e := b.startNew(t, "- a: {set: {n: 1}, metadata: {compensate: [{u: {run: {workflow: {namespace: test, name: undo, version: '0.1.0'}}}}]}}\n"+
			"- rest: {wait: {hours: 1}}\n", `{}`)
		b.awaitStatus(t, e.ID, subjects.ExecutionWaiting)
		call(t, b, subjects.CancelExecution, subjects.ExecutionControlRequest{ExecutionID: e.ID})
		b.awaitStatus(t, e.ID, subjects.ExecutionCancelled)
		if got := b.statuses(t, undo); got[subjects.ExecutionCompleted] != 1 {
			t.Errorf("the compensations are %v", got)
		}
	})
}

// callAs calls an endpoint as the user.
func callAs[Req, Res any](t *testing.T, b *bundle, e subjects.Endpoint[Req, Res], req Req) (Res, error) {
	t.Helper()
	return mesh.Call(t.Context(), b.conn, e, req, b.as)
}

// TestRecordedCancellationIsCarriedOut: descendants are cancelled also where the process that recorded the cancellation died before it
// could cancel them.
func TestRecordedCancellationIsCarriedOut(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		child := b.createNamed(t, "waits", "- rest: {wait: {hours: 1}}\n")
		root := b.run(t, "- a: {run: {workflow: {namespace: test, name: waits, version: '0.1.0'}, await: false}}\n", `{}`)
		eventually(t, "the child waits", func() bool { return b.statuses(t, child)[subjects.ExecutionWaiting] == 1 })
		_ = b.host.Stop(t)
		b.execSQL(t, "INSERT INTO cancelled_trees (execution_id, user_id, root, passes, next_at) VALUES (?, ?, ?, 0, 1)", root.ID, b.user, root.ID)
		b.host = b.start(t)
		eventually(t, "the child is cancelled", func() bool { return b.statuses(t, child)[subjects.ExecutionCancelled] == 1 })
	})
}
