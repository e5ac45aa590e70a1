package workflow_test

import (
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/subjects"
)

// TestOutcomeOfAnInterruptedCall: of a call that is interrupted the history and the error say that its outcome is unknown, if it is not
// safe to repeat and may have been sent. Any other is cancelled without a trace.
func TestOutcomeOfAnInterruptedCall(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b, api := setup(t, database), startSlowAPI(t)
		silent, err := net.Listen("tcp", "127.0.0.1:0") // completes no TLS handshake
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = silent.Close() })
		b.ended = make(chan error, 16)
		tests := map[string]struct {
			call    string
			unknown bool
		}{
			"post":                             {"call: http, with: {method: post, endpoint: 'URL/post', body: {n: 1}}", true},
			"patch":                            {"call: http, with: {method: patch, endpoint: 'URL/patch', body: {n: 1}}", true},
			"get":                              {"call: http, with: {method: get, endpoint: 'URL/get'}", false},
			"put":                              {"call: http, with: {method: put, endpoint: 'URL/put', body: {n: 1}}", false},
			"delete":                           {"call: http, with: {method: delete, endpoint: 'URL/delete'}", false},
			"post that is not sent":            {"call: http, with: {method: post, endpoint: 'https://" + silent.Addr().String() + "/', body: {n: 1}}", false},
			"action that must not be repeated": {"call: github.hold_once", true},
			"action that only reads":           {"call: library.hold", false},
			"action of unknown safety":         {"call: shop.hold", true},
		}
		started := map[string]string{}
		for name, test := range tests {
			started[name] = b.startNew(t, strings.ReplaceAll(`
- a:
    try: [{c: {`+test.call+`, timeout: {after: {seconds: 2}}}}]
    catch: {as: e, do: [{s: {set: {status: '${ $e.status }', outcome: '${ $e.outcome }'}}}]}
`, "URL", api.URL), `{}`).ID
		}
		for name, test := range tests {
			e := b.awaitStatus(t, started[name], subjects.ExecutionCompleted, subjects.ExecutionFaulted)
			want := `{"outcome":null,"status":408}`
			if test.unknown {
				want = `{"outcome":"unknown","status":408}`
			}
			wantOutput(t, e, want)
			interrupted := 0
			for _, event := range b.history(t, e.ID) {
				for _, one := range event.Interrupted {
					if interrupted++; one.Outcome != "unknown" || one.Task != "/do/0/a/try/0/c" || event.Type != "timer_fired" {
						t.Errorf("%s: event %s has %+v", name, event.Type, one)
					}
				}
			}
			for _, task := range e.Tasks {
				if unknown := task.Outcome == "unknown"; task.Name == "c" && unknown != test.unknown {
					t.Errorf("%s: the task is %+v", name, task)
				}
			}
			if (interrupted == 1) != test.unknown {
				t.Errorf("%s: %d calls are interrupted", name, interrupted)
			}
		}
	})
}

// TestUnknownOutcomeOfWhatElseInterrupts: another branch, a fault, a cancellation, and the end of the execution leave an outcome unknown
// as a timeout does.
func TestUnknownOutcomeOfWhatElseInterrupts(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b, api := setup(t, database), startSlowAPI(t)
		const wait = "w: {wait: {milliseconds: 200}}"
		for want, tasks := range map[string]string{
			"task_completed": "- a: {fork: {compete: true, branches: [{p: {POST}}, {" + wait + "}]}}\n",
			"task_faulted": "- a: {fork: {branches: [{p: {POST}}, {d: {do: [{" + wait +
				"}, {r: {raise: {error: {type: 'https://example.com/sad', status: 418, title: Sad}}}}]}}]}}\n",
			"execution_cancelled": "- a: {POST}\n",
		} {
			tasks = strings.ReplaceAll(tasks, "POST", "call: http, with: {method: post, endpoint: '"+api.URL+"/"+want+"'}")
			e := b.startNew(t, tasks, `{}`)
			eventually(t, "the request is made", func() bool { n, _ := api.of("/" + want); return n == 1 })
			if want == "execution_cancelled" {
				call(t, b, subjects.CancelExecution, subjects.ExecutionControlRequest{ExecutionID: e.ID})
			}
			b.awaitStatus(t, e.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted, subjects.ExecutionCancelled)
			found := false
			for _, event := range b.history(t, e.ID) {
				found = found || len(event.Interrupted) == 1 && event.Type == want
			}
			if !found {
				t.Errorf("no event %s has the call: %+v", want, b.history(t, e.ID))
			}
			eventually(t, "the request is cancelled", func() bool { _, n := api.of("/" + want); return n == 1 })
		}
	})
}

// TestQueuedCallTimesOut: the timeout of a call that is queued fires at its time. The call is never made, and its outcome is
// not unknown.
func TestQueuedCallTimesOut(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b, api := setup(t, database), startSlowAPI(t)
		_ = b.host.Stop(t)
		b.config.MaxSteps = 1
		b.host = b.start(t)
		first := b.startNew(t, "- a: {call: http, with: {method: get, endpoint: '"+api.URL+"/first'}}\n", `{}`)
		eventually(t, "the request is made", func() bool { n, _ := api.of("/first"); return n == 1 })
		e := b.run(t, "- a: {call: http, with: {method: post, endpoint: '"+api.URL+"/second'}, timeout: {after: {milliseconds: 200}}}\n", `{}`)
		wantFault(t, e, "timeout", http.StatusRequestTimeout)
		if e.Error.Outcome != "" || e.EndedAt.Sub(*e.StartedAt) > 200*time.Millisecond+timerTolerance {
			t.Errorf("the execution ends with %+v after %s", e.Error, e.EndedAt.Sub(*e.StartedAt))
		}
		api.answer()
		b.awaitStatus(t, first.ID, subjects.ExecutionCompleted)
		if n, _ := api.of("/second"); n != 0 {
			t.Errorf("the call that timed out is made %d times", n)
		}
	})
}

// TestTimeoutWhileSuspended: a timeout that is due while its execution is suspended fires when that is resumed, before anything else:
// the answer that came too late is ignored, and the call is not made again.
func TestTimeoutWhileSuspended(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b, api := setup(t, database), startSlowAPI(t)
		tasks := "- a: {call: http, with: {method: post, endpoint: '" + api.URL + "/PATH'}, timeout: {after: {milliseconds: 300}}}\n"
		suspended := b.startNew(t, strings.ReplaceAll(tasks, "PATH", "suspended"), `{}`)
		eventually(t, "the request is made", func() bool { n, _ := api.of("/suspended"); return n == 1 })
		b.suspend(t, suspended.ID)
		// Its deadline ends the request a while after the timeout, and the execution stays suspended.
		eventually(t, "the request is cancelled", func() bool { _, n := api.of("/suspended"); return n == 1 })
		if e := b.getExecution(t, suspended.ID); e.Status != subjects.ExecutionSuspended {
			t.Errorf("the execution is %s", e.Status)
		}
		b.resume(t, suspended.ID)
		e := b.awaitStatus(t, suspended.ID, subjects.ExecutionFaulted, subjects.ExecutionCompleted)
		if wantFault(t, e, "timeout", http.StatusRequestTimeout); e.Error.Outcome != "unknown" {
			t.Errorf("the error is %+v", e.Error)
		}
		if n, _ := api.of("/suspended"); n != 1 {
			t.Errorf("the call is made %d times", n)
		}
	})
}

// TestTimeoutAfterARestart: a timeout that is due while no process runs fires once one does, before the call is made again, whether it
// may be repeated or not.
func TestTimeoutAfterARestart(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		for name, action := range map[string]string{"hold": "unsafe", "hold_once": "unsafe too"} {
			_ = b.host.Stop(t)
			kill := b.startKillable(t)
			e := b.startNew(t, "- a: {call: shop."+name+", timeout: {after: {milliseconds: 600}}}\n", `{}`)
			<-b.reached
			kill()
			eventually(t, "the timeout is due", func() bool { return time.Since(e.CreatedAt) > 700*time.Millisecond })
			b.host = b.start(t)
			e = b.awaitStatus(t, e.ID, subjects.ExecutionFaulted, subjects.ExecutionCompleted)
			if wantFault(t, e, "timeout", http.StatusRequestTimeout); e.Error.Outcome != "unknown" {
				t.Errorf("%s (%s): the error is %+v", name, action, e.Error)
			}
			if n := len(b.actions(name)); n != 1 {
				t.Errorf("%s (%s) is called %d times", name, action, n)
			}
		}
	})
}

// TestApprovalIsWithdrawnWithItsBranch: a request whose task a timeout or a faster branch has ended is withdrawn, while its execution
// is still running; also one that is still being made.
func TestApprovalIsWithdrawnWithItsBranch(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		for name, tasks := range map[string]string{
			"a timeout":       "- a: {try: [{q: {call: approval.request, with: {title: ok}, timeout: {after: {milliseconds: 300}}}}], catch: {do: [{c: {set: {n: 1}}}]}}\n",
			"a faster branch": "- a: {fork: {compete: true, branches: [{q: {call: approval.request, with: {title: ok}}}, {w: {wait: {milliseconds: 300}}}]}}\n",
			"an attempt": "- a: {try: [{q: {call: approval.request, with: {title: ok}}}], " +
				"catch: {retry: {delay: {hours: 1}, limit: {attempt: {count: 1, duration: {milliseconds: 300}}}}}}\n",
		} {
			e := b.startNew(t, tasks+"- rest: {wait: {hours: 1}}\n", `{}`)
			eventually(t, name+" has the request withdrawn", func() bool {
				page := call(t, b, subjects.ListApprovals, subjects.ListApprovalsRequest{ExecutionID: e.ID, Status: "withdrawn"})
				return len(page.Items) == 1
			})
			if e = b.getExecution(t, e.ID); e.Status != subjects.ExecutionWaiting {
				t.Errorf("%s: the execution is %s", name, e.Status)
			}
			page := call(t, b, subjects.ListApprovals, subjects.ListApprovalsRequest{ExecutionID: e.ID, Status: "pending"})
			if len(page.Items) != 0 {
				t.Errorf("%s leaves %+v", name, page.Items)
			}
		}
	})
}

// TestRetriedChildStartsAgain: each attempt of a task runs a child of its own, so that one that fails does not fail the next.
func TestRetriedChildStartsAgain(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		fails := true
		server := newFlakyServer(t, func() bool { defer func() { fails = false }(); return fails })
		child := b.createNamed(t, "flaky", "- a: {call: http, with: {method: get, endpoint: '"+server+"'}}\n")
		e := b.run(t, `
- a:
    try: [{c: {run: {workflow: {namespace: test, name: flaky, version: '0.1.0'}}}}]
    catch: {retry: {delay: {milliseconds: 20}, limit: {attempt: {count: 3}}}}
`, `{}`)
		wantOutput(t, e, `{"ok":true}`)
		if got := b.statuses(t, child); got[subjects.ExecutionFaulted] != 1 || got[subjects.ExecutionCompleted] != 1 {
			t.Errorf("the children are %v", got)
		}
		// One that runs too long is cancelled, and the next attempt starts another.
		slow := b.createNamed(t, "slow", "- w: {wait: {hours: 1}}\n")
		e = b.run(t, `
- a:
    try: [{c: {run: {workflow: {namespace: test, name: slow, version: '0.1.0'}}}}]
    catch: {retry: {delay: {milliseconds: 20}, limit: {attempt: {count: 2, duration: {milliseconds: 200}}}}}
`, `{}`)
		wantFault(t, e, "timeout", http.StatusRequestTimeout)
		eventually(t, "the children are cancelled", func() bool { return b.statuses(t, slow)[subjects.ExecutionCancelled] == 3 })
	})
}

// newFlakyServer starts an HTTP API that answers 503 while fails says so, and returns its address.
func newFlakyServer(t *testing.T, fails func() bool) string {
	t.Helper()
	api := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if fails() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = w.Write([]byte(`{"ok":true}`))
	}), ReadHeaderTimeout: time.Minute}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = api.Serve(listener) }()
	t.Cleanup(func() { _ = api.Close() })
	return "http://" + listener.Addr().String()
}
