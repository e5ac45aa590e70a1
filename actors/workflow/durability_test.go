package workflow_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/runtime"
	"github.com/weftmesh/weft/actors/workflow"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const threeSteps = `
- before: {call: github.get}
- hold: {call: github.hold}
- after: {call: github.get, output: {as: "${ .action }"}}
`

// TestCrash kills a process during a call. The next one repeats that call under the same key, and no finished step.
func TestCrash(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		b := setup(t, kind)
		_ = b.host.Stop(t)
		kill := b.startKillable(t)
		e := b.startNew(t, threeSteps, `{}`)
		<-b.reached
		kill()
		if s := len(b.actions("get")); s != 1 {
			t.Fatalf("%d first steps before the crash", s)
		}
		b.start(t)
		<-b.reached
		if s := b.getExecution(t, e.ID); s.Status != subjects.ExecutionRunning {
			t.Errorf("status after the restart: %+v", s)
		}
		close(b.release)
		wantOutput(t, b.awaitStatus(t, e.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted), `"get"`)
		if got := b.actions("get"); len(got) != 2 || got[0] == got[1] {
			t.Errorf("finished steps were repeated: %v", got)
		}
		if got := b.actions("hold"); len(got) != 2 || got[0] != got[1] {
			t.Errorf("the interrupted step was called with the keys %v, want the same one twice", got)
		}
		wantOneResultPerStep(t, b, e.ID, 3)
	})
}

// startKillable runs the actor until kill is called, which closes its connection first: it publishes nothing after that.
func (b *bundle) startKillable(t *testing.T) (kill func()) {
	t.Helper()
	var conn *mesh.Conn
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		_ = runtime.Host(ctx, runtime.HostConfig{
			Actor: "workflow", NATS: b.mesh.Options(t, "workflow"), Database: b.db, KeysetFile: b.keyset,
			Issuer: actortest.Issuer, Audience: actortest.Audience, Telemetry: actortest.Telemetry(t), Version: "0.0.0-test",
		}, workflow.Migrations, func(d actors.Deps) (actors.Service, error) {
			conn = d.Conn
			a, err := workflow.New(d, b.config)
			if err != nil {
				return actors.Service{}, err
			}
			return a.Service(), nil
		}, func() { close(ready) })
	}()
	t.Cleanup(func() { cancel(); <-done })
	select {
	case <-ready:
	case <-done:
		t.Fatal("the actor did not start")
	}
	return func() {
		conn.Close()
		cancel()
		<-done
	}
}

// TestStop stops a process during a call: the call's result is recorded, and the next process continues after it.
func TestStop(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		b := setup(t, kind)
		e := b.startNew(t, threeSteps, `{}`)
		<-b.reached
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			_ = b.host.Stop(t)
		}()
		eventually(t, "requests are refused", func() bool {
			_, err := mesh.Call(t.Context(), b.conn, subjects.GetExecutionStatus, subjects.ExecutionRequest{ExecutionID: e.ID}, b.as)
			return subjects.CodeOf(err) == subjects.CodeUnavailable
		})
		close(b.release)
		<-stopped
		b.start(t)
		wantOutput(t, b.awaitStatus(t, e.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted), `"get"`)
		if got := b.actions("hold"); len(got) != 1 {
			t.Errorf("the step in flight was called %d times, want 1", len(got))
		}
		wantOneResultPerStep(t, b, e.ID, 3)
	})
}

// wantOneResultPerStep checks that a history has no gap and one result for each of so many steps.
func wantOneResultPerStep(t *testing.T, b *bundle, id string, steps int) {
	t.Helper()
	page := call(t, b, subjects.GetExecutionHistory, subjects.ExecutionHistoryRequest{
		ExecutionRequest: subjects.ExecutionRequest{ExecutionID: id}, Limit: 200,
	})
	results := map[int]int{}
	for i, event := range page.Items {
		if event.Sequence != uint64(i+1) {
			t.Errorf("event %d has sequence %d", i, event.Sequence)
		}
		if event.Type == "call_completed" || event.Type == "call_failed" {
			results[event.Run]++
		}
	}
	if len(results) != steps {
		t.Errorf("results of %d steps, want %d", len(results), steps)
	}
	for run, n := range results {
		if n != 1 {
			t.Errorf("run %d has %d results", run, n)
		}
	}
}

// TestLongWait advances the clock past a wait of a month, during which the process restarts.
func TestLongWait(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		var moved atomic.Int64
		now := func() time.Time { return time.Now().Add(time.Duration(moved.Load())) }
		b := setup(t, kind, actortest.WithClock(now))
		e := b.startNew(t, "- rest: {wait: {days: 30}}\n- say: {call: echo, with: {rested: true}}\n", `{}`)
		b.awaitStatus(t, e.ID, subjects.ExecutionWaiting)
		eventually(t, "the execution is evicted", func() bool { return metric(t, b.host, "workflow_active_executions") == 0 })
		_ = b.host.Stop(t)
		moved.Store(int64(30*24*time.Hour - time.Minute))
		b.as = mesh.As{Token: b.mesh.Token(t, b.user)}
		b.start(t)
		if s := b.getExecution(t, e.ID); s.Status != subjects.ExecutionWaiting {
			t.Errorf("a minute before its end the wait is over: the execution is %s", s.Status)
		}
		moved.Store(int64(30*24*time.Hour + time.Second))
		wantOutput(t, b.awaitStatus(t, e.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted), `{"rested":true}`)
	})
}

// TestTwoProcesses runs executions over two processes on one PostgreSQL database. SQLite refuses a second process.
func TestTwoProcesses(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		if kind.Name == database.DialectSQLite {
			wantSecondRefused(t, kind)
			return
		}
		b := setup(t, kind)
		b.config.MaxConcurrent = 2
		second := b.start(t)
		awaitShares(t, b.host, second) // a call in flight is repeated when its partition moves
		id := b.create(t, "- one: {call: github.get}\n- two: {call: github.get}\n- rest: {wait: {milliseconds: 50}}\n- say: {call: echo, with: {n: \"${ 1 }\"}}\n")
		var wg sync.WaitGroup
		for range 40 {
			wg.Go(func() {
				e, err := mesh.Call(t.Context(), b.conn, subjects.ExecuteWorkflow, subjects.ExecuteWorkflowRequest{WorkflowID: id}, b.as)
				if err != nil || e.Status != subjects.ExecutionCompleted {
					t.Errorf("executed: %v, %+v", err, e)
				}
			})
		}
		wg.Wait()
		keys := b.actions("get")
		slices.Sort(keys)
		if len(keys) != 80 || len(slices.Compact(keys)) != 80 {
			t.Errorf("%d calls were made, want 80 with different keys", len(keys))
		}
		eventually(t, "the processes have ended 40 executions together", func() bool {
			first, other := metric(t, b.host, "workflow_executions_total"), metric(t, second, "workflow_executions_total")
			return first+other == 40 && first > 0 && other > 0
		})
	})
}

// awaitShares waits until every process owns the same number of partitions.
func awaitShares(t *testing.T, processes ...*actortest.Hosted) {
	t.Helper()
	share := float64(subjects.WorkflowPartitions / len(processes))
	eventually(t, "every process owns its share of the partitions", func() bool {
		return !slices.ContainsFunc(processes, func(p *actortest.Hosted) bool { return metric(t, p, "workflow_partitions") != share })
	})
}

func wantSecondRefused(t *testing.T, kind actortest.Database) {
	b := setup(t, kind)
	if _, err := database.Open(t.Context(), b.db, b.mesh.Log); !errors.Is(err, database.ErrInUse) {
		t.Errorf("opening the file of a running process: %v", err)
	}
}

// TestPausedProcess pauses a process, as SIGSTOP does, until another owns its partitions. When it resumes, it gives them up
// and records nothing.
func TestPausedProcess(t *testing.T) {
	actortest.OnPostgres(t, func(t *testing.T, kind actortest.Database) {
		b := setup(t, kind)
		_ = b.host.Stop(t)
		// The connection may be closed while it is paused, and with it the reply to the call, which then has to time out.
		b.config.StepTimeout = 10 * time.Second
		proxy := newProxy(t, strings.TrimPrefix(b.mesh.URL(), "nats://"))
		paused := b.startThrough(t, proxy)
		e := b.startNew(t, threeSteps, `{}`)
		<-b.reached
		proxy.freeze()
		b.start(t)
		<-b.reached
		close(b.release)
		wantOutput(t, b.awaitStatus(t, e.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted), `"get"`)
		proxy.thaw()
		eventually(t, "the paused process has no executions", func() bool { return metric(t, paused, "workflow_active_executions") == 0 })
		if got := b.actions("get"); len(got) != 2 {
			t.Errorf("the steps before and after were called %d times, want once each", len(got))
		}
		if n := metric(t, paused, "workflow_executions_total"); n != 0 {
			t.Errorf("the paused process ended %v executions", n)
		}
		wantOneResultPerStep(t, b, e.ID, 3)
	})
}

// TestIdempotencyKey executes a workflow twice under one idempotency key: there is one execution.
func TestIdempotencyKey(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		b := setup(t, kind)
		request := subjects.ExecuteWorkflowRequest{WorkflowID: b.create(t, "- one: {call: github.get}\n")}
		var ids []string
		for range 2 {
			e := keyed(t, b, "once", subjects.ExecuteWorkflow, request)
			if e.Status != subjects.ExecutionCompleted {
				t.Fatalf("%+v", e)
			}
			ids = append(ids, e.ID)
		}
		if ids[0] != ids[1] || len(b.actions("get")) != 1 {
			t.Errorf("executions %v with %d calls", ids, len(b.actions("get")))
		}
	})
}

// keyed calls an endpoint as the user, under an idempotency key.
func keyed[Req, Res any](t *testing.T, b *bundle, key string, e subjects.Endpoint[Req, Res], request Req) (answer Res) {
	t.Helper()
	body, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := b.conn.Forward(t.Context(), e.Subject, nats.Header{
		mesh.HeaderAuthorization: {"Bearer " + b.as.Token}, mesh.HeaderIdempotencyKey: {key},
	}, body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		t.Fatalf("%v: %s", err, reply.Data)
	}
	return answer
}

// TestKeyedRetryProjects retries, under a key each, executions whose end is not projected yet. Reading them projects the ends of
// other executions as well, which must not be part of the keyed call's transaction.
func TestKeyedRetryProjects(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		b := setup(t, kind)
		id := b.create(t, "- one: {raise: {error: {type: 'https://example.com/broken', status: 400, title: Broken}}}\n")
		for i := range 20 {
			ended := call(t, b, subjects.ExecuteWorkflow, subjects.ExecuteWorkflowRequest{WorkflowID: id})
			e := keyed(t, b, strconv.Itoa(i), subjects.RetryExecution, subjects.RetryExecutionRequest{ExecutionID: ended.ID})
			if e.ID == "" || e.ID == ended.ID {
				t.Fatalf("retry %d: %+v", i, e)
			}
		}
	})
}

// TestTruncatedLogs truncates the logs up to what SQL has: nothing is lost, and a restart needs none of the truncated messages.
func TestTruncatedLogs(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		b := setup(t, kind)
		_ = b.host.Stop(t)
		b.config.CutAfter = 1
		host := b.start(t)
		stream, err := b.mesh.Conn(t, "workflow").JS.Stream(t.Context(), subjects.WorkflowLog.Name)
		if err != nil {
			t.Fatal(err)
		}
		e := b.run(t, "- say: {call: echo, with: {n: 1}}\n- again: {call: echo, with: {n: 2}}\n", `{}`)
		say := b.create(t, "- say: {call: echo}\n")
		eventually(t, "the logs are truncated", func() bool {
			info, err := stream.Info(t.Context())
			if err == nil && info.State.LastSeq <= 80 {
				call(t, b, subjects.ExecuteWorkflow, subjects.ExecuteWorkflowRequest{WorkflowID: say, Timeout: 30})
			}
			return err == nil && info.State.LastSeq > 80 && info.State.Msgs < 30
		})
		_ = host.Stop(t)
		b.start(t)
		if s := b.getExecution(t, e.ID); string(s.Output) != `{"n":2}` || len(s.Tasks) != 2 {
			t.Errorf("after truncation and a restart: %+v", s)
		}
		wantOneResultPerStep(t, b, e.ID, 2)
	})
}

// metric returns the sum of a process's metric over its labels.
func metric(t *testing.T, h *actortest.Hosted, name string) (sum float64) {
	t.Helper()
	families, err := h.Telemetry.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, metric := range family.GetMetric() {
			sum += metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
		}
	}
	return sum
}

// TestStopWithoutNATS checks that a process stops without an error while NATS is unreachable, and that the next one continues.
func TestStopWithoutNATS(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		b := setup(t, kind)
		e := b.startNew(t, "- rest: {wait: {hours: 1}}\n", `{}`)
		b.awaitStatus(t, e.ID, subjects.ExecutionWaiting)
		b.mesh.StopServer(t)
		if err := b.host.Stop(t); err != nil {
			t.Errorf("stopped with %v", err)
		}
		b.mesh.RestartServer(t)
		b.host = b.start(t)
		b.awaitStatus(t, e.ID, subjects.ExecutionWaiting)
	})
}

// TestUnknownOutcome kills a process during a call that must not be repeated: the call fails with the error unknown-outcome.
func TestUnknownOutcome(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		_ = b.host.Stop(t)
		kill := b.startKillable(t)
		e := b.startNew(t, "- pay: {call: github.hold_once}\n", `{}`)
		<-b.reached
		kill()
		b.start(t)
		got := b.awaitStatus(t, e.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted)
		if got.Status != subjects.ExecutionFaulted || got.Error.Type != "urn:weft:error:unknown-outcome" {
			t.Errorf("the execution is %s with %+v", got.Status, got.Error)
		}
		if n := len(b.actions("hold_once")); n != 1 {
			t.Errorf("the action was executed %d times, want 1", n)
		}
		close(b.release)
	})
}
