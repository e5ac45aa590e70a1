package workflow_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/subjects"
)

// timerTolerance is how late a timer may fire on a machine that has other work.
const timerTolerance = 500 * time.Millisecond

// slowAPI is an HTTP API that answers no request before it is released, and notices when a caller gives up.
type slowAPI struct {
	*httptest.Server
	release chan struct{}

	mu sync.Mutex
	// requests counts the requests by path, cancelled those that were given up.
	requests, cancelled map[string]int
}

func startSlowAPI(t *testing.T) *slowAPI {
	t.Helper()
	s := &slowAPI{release: make(chan struct{}), requests: map[string]int{}, cancelled: map[string]int{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		s.count(s.requests, r.URL.Path)
		select {
		case <-s.release:
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"late":true}`)
		case <-r.Context().Done():
			s.count(s.cancelled, r.URL.Path)
		}
	}))
	t.Cleanup(func() {
		s.answer()
		s.Close()
	})
	return s
}

func (s *slowAPI) count(in map[string]int, path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	in[path]++
}

// of is the number of requests of a path, and how many of them were given up.
func (s *slowAPI) of(path string) (requests, cancelled int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests[path], s.cancelled[path]
}

// answer answers every request.
func (s *slowAPI) answer() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.release:
	default:
		close(s.release)
	}
}

// history returns all events of an execution.
func (b *bundle) history(t *testing.T, id string) []subjects.ExecutionEvent {
	t.Helper()
	return call(t, b, subjects.GetExecutionHistory, subjects.ExecutionHistoryRequest{
		ExecutionRequest: subjects.ExecutionRequest{ExecutionID: id}, Limit: 200,
	}).Items
}

// interruptions are the tests of TestTimersWhileCallsRun: each makes calls of /slow, which is not answered in time.
var interruptions = map[string]struct {
	// head follows the document, tasks are the workflow's.
	head, tasks string
	// output is that of the execution; empty: it faults with a timeout.
	output string
	// takes is how long it takes; requests are those of /slow, all of them given up.
	takes    time.Duration
	requests int
}{
	"a call": {tasks: `- a: {SLOW, timeout: {after: PT0.2S}}`, takes: 200 * time.Millisecond, requests: 1},
	"the workflow": {head: "timeout: {after: {milliseconds: 300}}", tasks: `- a: {SLOW}
- b: {SLOW}`, takes: 300 * time.Millisecond, requests: 1},
	"a named timeout": {head: "use: {timeouts: {soon: {after: {milliseconds: 200}}}}", tasks: `- a: {SLOW, timeout: soon}`,
		takes: 200 * time.Millisecond, requests: 1},
	"an attempt": {tasks: `
- a:
    try: [{b: {SLOW}}]
    catch:
      errors: {with: {status: 408}}
      retry: {delay: {milliseconds: 100}, limit: {attempt: {count: 1, duration: {milliseconds: 200}}}}
      do: [{c: {set: {status: '${ $error.status }'}}}]`, output: `{"status":408}`, takes: 500 * time.Millisecond, requests: 2},
	"a faster branch": {tasks: `
- a:
    fork:
      compete: true
      branches: [{slow: {SLOW}}, {fast: {wait: {milliseconds: 200}}}]
- b: {set: {won: true}}`, output: `{"won":true}`, takes: 200 * time.Millisecond, requests: 1},
	"a branch that faults": {tasks: `
- a:
    try:
    - f:
        fork:
          branches:
          - slow: {SLOW}
          - fails: {do: [{w: {wait: {milliseconds: 200}}}, {r: {raise: {error: {type: 'https://example.com/sad', status: 418, title: Sad}}}}]}
    catch: {as: e, do: [{c: {set: {status: '${ $e.status }'}}}]}`, output: `{"status":418}`, takes: 200 * time.Millisecond, requests: 1},
	"a branch that ends the workflow": {tasks: `
- a:
    fork:
      branches: [{slow: {SLOW}}, {ends: {do: [{w: {wait: {milliseconds: 200}}}, {s: {set: {ended: true}, then: end}}]}}]`,
		output: `{"ended":true}`, takes: 200 * time.Millisecond, requests: 1},
	"caught by type and status": {tasks: `
- a:
    try: [{b: {SLOW, timeout: {after: {milliseconds: 200}}}}]
    catch:
      errors: {with: {type: 'https://serverlessworkflow.io/spec/1.0.0/errors/timeout', status: 408}}
      as: e
      do: [{c: {set: {status: '${ $e.status }', at: '${ $e.instance }'}}}]`,
		output: `{"at":"/do/0/a/try/0/b","status":408}`, takes: 200 * time.Millisecond, requests: 1},
	"a list of tasks": {tasks: `- a: {timeout: {after: {milliseconds: 200}}, do: [{b: {set: {n: 1}}}, {c: {SLOW}}]}`, takes: 200 * time.Millisecond, requests: 1},
	"a loop":          {tasks: `- a: {timeout: {after: {milliseconds: 200}}, for: {each: i, in: '[1, 2]'}, do: [{c: {SLOW}}]}`, takes: 200 * time.Millisecond, requests: 1},
	"the inner of two": {tasks: `
- a:
    timeout: {after: PT10S}
    try: [{b: {timeout: {after: {milliseconds: 200}}, do: [{c: {SLOW}}]}}]
    catch: {as: e, do: [{d: {set: {at: '${ $e.instance }'}}}]}`, output: `{"at":"/do/0/a/try/0/b"}`, takes: 200 * time.Millisecond, requests: 1},
	"the outer of two": {tasks: `
- o:
    try:
    - a:
        timeout: {after: {milliseconds: 200}}
        try: [{b: {SLOW, timeout: {after: PT10S}}}]
        catch: {do: [{never: {set: {caught: inside}}}]}
    catch: {as: e, do: [{d: {set: {at: '${ $e.instance }'}}}]}`, output: `{"at":"/do/0/o/try/0/a"}`, takes: 200 * time.Millisecond, requests: 1},
	"a function": {head: `use: {functions: {slowly: {SLOW}}}`, tasks: `- a: {call: slowly, timeout: {after: {milliseconds: 200}}}`,
		takes: 200 * time.Millisecond, requests: 1},
	"an extension": {head: `use: {extensions: [{x: {extend: set, before: [{b: {SLOW}}]}}]}`,
		tasks: `- a: {timeout: {after: {milliseconds: 200}}, do: [{s: {set: {n: 1}}}]}`, takes: 200 * time.Millisecond, requests: 1},
	"an OpenAPI call": {tasks: `- a: {call: openapi, with: {document: {endpoint: URL/slow}, operationId: x}, timeout: {after: {milliseconds: 200}}}`,
		takes: 200 * time.Millisecond, requests: 1},
	"a child": {tasks: `- a: {run: {workflow: {namespace: test, name: slow, version: '0.1.0'}}, timeout: {after: {milliseconds: 300}}}`,
		takes: 300 * time.Millisecond, requests: 1},
	"a catch": {tasks: `
- a:
    timeout: {after: {milliseconds: 200}}
    try: [{r: {raise: {error: {type: 'https://example.com/sad', status: 418, title: Sad}}}}]
    catch: {do: [{b: {SLOW}}]}`, takes: 200 * time.Millisecond, requests: 1},
}

// TestTimersWhileCallsRun: timeouts, waits and retries act at their times while calls of the execution are being made; what they
// interrupt is cancelled at the provider, and its late answer is ignored.
func TestTimersWhileCallsRun(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		for name, test := range interruptions {
			t.Run(name, func(t *testing.T) {
				api := startSlowAPI(t)
				fill := func(text string) string {
					return strings.NewReplacer("SLOW", "call: http, with: {method: get, endpoint: '"+api.URL+"/slow'}", "URL", api.URL).Replace(text)
				}
				if strings.Contains(test.tasks, "name: slow") {
					b.createNamed(t, "slow", fill("- a: {SLOW}\n"))
				}
				document := "document: {dsl: '1.0.3', namespace: test, name: story, version: '0.1.0'}\n" + fill(test.head) + "\ndo:\n" + fill(test.tasks) + "\n"
				w := call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: yaml(t, document)})
				e := call(t, b, subjects.ExecuteWorkflow, subjects.ExecuteWorkflowRequest{WorkflowID: w.ID, Input: json.RawMessage(`{}`), Timeout: 30})
				if test.output == "" {
					wantFault(t, e, "timeout", http.StatusRequestTimeout)
				} else {
					wantOutput(t, e, test.output)
				}
				if took := e.EndedAt.Sub(*e.StartedAt); took < test.takes || took > test.takes+timerTolerance {
					t.Errorf("the execution takes %s, want %s", took, test.takes)
				}
				eventually(t, "the requests are cancelled", func() bool {
					_, cancelled := api.of("/slow")
					return cancelled == test.requests
				})
				api.answer()
				for _, event := range b.history(t, e.ID) {
					if event.Type == "call_completed" || len(event.Interrupted) > 0 {
						t.Errorf("the history has %+v", event)
					}
				}
			})
		}
	})
}

// TestWaitsBesideACall: a wait and the delay of a retry end at their times while another branch makes a call, whose answer counts.
func TestWaitsBesideACall(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b, api := setup(t, database), startSlowAPI(t)
		e := b.startNew(t, strings.ReplaceAll(`
- both:
    fork:
      branches:
      - slow: {call: http, with: {method: get, endpoint: 'URL/slow'}}
      - waits: {do: [{w: {wait: {milliseconds: 200}}}, {s: {set: {waited: true}}}]}
      - retries:
          try: [{r: {raise: {error: {type: 'https://example.com/sad', status: 418, title: Sad}}}}]
          catch: {retry: {delay: {milliseconds: 200}, limit: {attempt: {count: 2}}}, do: [{s: {set: {retried: true}}}]}
`, "URL", api.URL), `{}`)
		eventually(t, "the branches have ended", func() bool { return b.countEvents(t, e.ID, "task_completed") == 5 })
		requests, cancelled := api.of("/slow")
		if requests != 1 || cancelled != 0 {
			t.Errorf("the call is requested %d times and cancelled %d times", requests, cancelled)
		}
		due := map[string]time.Time{}
		for _, event := range b.history(t, e.ID) {
			switch event.Type {
			case "timer_scheduled":
				due[fmt.Sprintf("wait:%d", event.Run)] = *event.Due
			case "task_retried":
				due[fmt.Sprintf("retry:%d:%d", event.Run, event.Attempt)] = *event.Due
			case "timer_fired":
				if late := event.At.Sub(due[event.Timer]); late < 0 || late > timerTolerance {
					t.Errorf("timer %s fires %s late", event.Timer, late)
				}
			}
		}
		if len(due) != 3 {
			t.Errorf("the timers are %v", due)
		}
		api.answer()
		wantOutput(t, b.awaitStatus(t, e.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted), `[{"late":true},{"waited":true},{"retried":true}]`)
	})
}

// TestInterruptedAction: an action that a timeout interrupts is cancelled in the integration actor.
func TestInterruptedAction(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		b.ended = make(chan error, 1)
		e := b.startNew(t, "- a: {call: github.hold, timeout: {after: {milliseconds: 300}}}\n", `{}`)
		<-b.reached
		select {
		case <-b.ended:
		case <-time.After(30 * time.Second): // the action's own limit is a minute
			t.Error("the action is not cancelled")
		}
		e = b.awaitStatus(t, e.ID, subjects.ExecutionFaulted)
		wantFault(t, e, "timeout", http.StatusRequestTimeout)
	})
}
