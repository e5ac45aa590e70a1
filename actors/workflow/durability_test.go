package workflow_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/database"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/actortest"
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

// TestCrash cuts an actor off in the middle of a call, as kill -9 does, and starts it anew.
func TestCrash(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		b := setup(t, kind)
		_ = b.host.Stop(t)
		kill := b.startMortal(t)
		e := b.begin(t, threeSteps, `{}`)
		<-b.held
		kill()
		if s := len(b.actions("get")); s != 1 {
			t.Fatalf("%d first steps before the crash", s)
		}
		b.start(t)
		<-b.held
		if s := b.status(t, e.ID); s.Status != subjects.ExecutionRunning {
			t.Errorf("status after the restart: %+v", s)
		}
		close(b.hold)
		wantOutput(t, b.until(t, e.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted), `"get"`)
		if got := b.actions("get"); len(got) != 2 || got[0] == got[1] {
			t.Errorf("finished steps were repeated: %v", got)
		}
		if got := b.actions("hold"); len(got) != 2 || got[0] != got[1] {
			t.Errorf("the step that was cut off has the keys %v", got)
		}
		wantOneResultPerStep(t, b, e.ID, 3)
	})
}

// startMortal runs the actor until kill cuts it off from the mesh: nothing that it was about to say is said.
func (b *bundle) startMortal(t *testing.T) (kill func()) {
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

// TestStop stops an actor while a call is under way: its result is kept, and the next process goes on.
func TestStop(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		b := setup(t, kind)
		e := b.begin(t, threeSteps, `{}`)
		<-b.held
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			_ = b.host.Stop(t)
		}()
		eventually(t, "no request is taken any more", func() bool {
			_, err := mesh.Call(t.Context(), b.caller, subjects.GetExecutionStatus, subjects.ExecutionRequest{ExecutionID: e.ID}, b.ada)
			return subjects.CodeOf(err) == subjects.CodeUnavailable
		})
		close(b.hold)
		<-stopped
		b.start(t)
		wantOutput(t, b.until(t, e.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted), `"get"`)
		if got := b.actions("hold"); len(got) != 1 {
			t.Errorf("the step that was under way was made %d times", len(got))
		}
		wantOneResultPerStep(t, b, e.ID, 3)
	})
}

func wantOneResultPerStep(t *testing.T, b *bundle, id string, steps int) {
	t.Helper()
	page := call(t, b, subjects.GetExecutionHistory, subjects.ExecutionHistoryRequest{
		ExecutionRequest: subjects.ExecutionRequest{ExecutionID: id}, PageRequest: subjects.PageRequest{Limit: 200},
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

// TestLongWait moves the clock over a wait of a month that outlives its process.
func TestLongWait(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		var moved atomic.Int64
		now := func() time.Time { return time.Now().Add(time.Duration(moved.Load())) }
		b := setup(t, kind, actortest.WithClock(now))
		e := b.begin(t, "- rest: {wait: {days: 30}}\n- say: {call: echo, with: {rested: true}}\n", `{}`)
		b.until(t, e.ID, subjects.ExecutionWaiting)
		eventually(t, "the execution is parked", func() bool { return gauge(t, b.host, "workflow_active_executions") == 0 })
		_ = b.host.Stop(t)
		moved.Store(int64(30*24*time.Hour - time.Minute))
		b.ada = mesh.As{Token: b.mesh.Token(t, b.user)}
		b.start(t)
		if s := b.status(t, e.ID); s.Status != subjects.ExecutionWaiting {
			t.Errorf("a minute too early it is %s", s.Status)
		}
		moved.Store(int64(30*24*time.Hour + time.Second))
		wantOutput(t, b.until(t, e.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted), `{"rested":true}`)
	})
}

// TestTwoProcesses shares executions out over two actors on one PostgreSQL.
func TestTwoProcesses(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		if kind.Name == database.DialectSQLite {
			wantSecondRefused(t, kind)
			return
		}
		b := setup(t, kind)
		b.config.MaxConcurrent = 2
		second := b.start(t)
		eventually(t, "both own partitions", func() bool {
			return gauge(t, b.host, "workflow_partitions") > 0 && gauge(t, second, "workflow_partitions") > 0
		})
		id := b.create(t, "- one: {call: github.get}\n- two: {call: github.get}\n- rest: {wait: {milliseconds: 50}}\n- say: {call: echo, with: {n: \"${ 1 }\"}}\n")
		var wg sync.WaitGroup
		for range 40 {
			wg.Go(func() {
				e, err := mesh.Call(t.Context(), b.caller, subjects.ExecuteWorkflow, subjects.ExecuteWorkflowRequest{WorkflowID: id}, b.ada)
				if err != nil || e.Status != subjects.ExecutionCompleted {
					t.Errorf("executed: %v, %+v", err, e)
				}
			})
		}
		wg.Wait()
		keys := b.actions("get")
		slices.Sort(keys)
		if len(keys) != 80 || len(slices.Compact(keys)) != 80 {
			t.Errorf("%d calls were made, want 80 different ones", len(keys))
		}
		eventually(t, "both processes have ended all 40 executions together", func() bool {
			first, other := total(t, b.host, "workflow_executions_total"), total(t, second, "workflow_executions_total")
			return first+other == 40 && first > 0 && other > 0
		})
	})
}

func wantSecondRefused(t *testing.T, kind actortest.Database) {
	b := setup(t, kind)
	if _, err := database.Open(t.Context(), b.db, b.mesh.Log); !errors.Is(err, database.ErrInUse) {
		t.Errorf("a second copy on the same file: %v", err)
	}
}

// TestFrozenWorker freezes a process, as SIGSTOP does, until another has its execution; when it wakes, it steps aside.
func TestFrozenWorker(t *testing.T) {
	actortest.OnPostgres(t, func(t *testing.T, kind actortest.Database) {
		b := setup(t, kind)
		_ = b.host.Stop(t)
		// A line that is frozen for long is given up, and with it the answer to the call: that ends in its time.
		b.config.StepTimeout = 10 * time.Second
		line := newLine(t, strings.TrimPrefix(b.mesh.URL(), "nats://"))
		frozen := b.startOver(t, line)
		e := b.begin(t, threeSteps, `{}`)
		<-b.held
		line.freeze()
		b.start(t)
		<-b.held
		close(b.hold)
		wantOutput(t, b.until(t, e.ID, subjects.ExecutionCompleted, subjects.ExecutionFaulted), `"get"`)
		line.thaw()
		eventually(t, "the frozen one steps aside", func() bool { return gauge(t, frozen, "workflow_active_executions") == 0 })
		if got := b.actions("get"); len(got) != 2 {
			t.Errorf("the steps around were made %d times, want 2", len(got))
		}
		if n := total(t, frozen, "workflow_executions_total"); n != 0 {
			t.Errorf("the frozen one ended %v executions", n)
		}
		wantOneResultPerStep(t, b, e.ID, 3)
	})
}

func (b *bundle) startOver(t *testing.T, l *line) *actortest.Hosted {
	t.Helper()
	return b.mesh.Host(t, "workflow", b.db, workflow.Migrations, func(d actors.Deps) (actors.Service, error) {
		a, err := workflow.New(d, b.config)
		if err != nil {
			return actors.Service{}, err
		}
		return a.Service(), nil
	}, func(c *runtime.HostConfig) { c.NATS.URL = "nats://" + l.listener.Addr().String() })
}

// line is a TCP connection that can be frozen: nothing goes either way until it thaws.
type line struct {
	listener net.Listener
	mu       sync.RWMutex
	frozen   atomic.Bool
}

func newLine(t *testing.T, to string) *line {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{listener: listener}
	t.Cleanup(func() {
		_ = listener.Close()
		l.thaw()
	})
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				_ = near.Close()
				continue
			}
			go l.carry(near, far)
			go l.carry(far, near)
		}
	}()
	return l
}

func (l *line) freeze() { l.mu.Lock(); l.frozen.Store(true) }

func (l *line) thaw() {
	if l.frozen.CompareAndSwap(true, false) {
		l.mu.Unlock()
	}
}

func (l *line) carry(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		l.mu.RLock()
		if n > 0 {
			if _, e := to.Write(buffer[:n]); e != nil {
				err = e
			}
		}
		l.mu.RUnlock()
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				return
			}
			return
		}
	}
}

// TestIdempotencyKey repeats an execute under one key: there is one execution.
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

// keyed calls an endpoint as Ada, under an idempotency key.
func keyed[Req, Res any](t *testing.T, b *bundle, key string, e subjects.Endpoint[Req, Res], request Req) (answer Res) {
	t.Helper()
	body, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := b.caller.Forward(t.Context(), e.Subject, nats.Header{
		mesh.HeaderAuthorization: {"Bearer " + b.ada.Token}, mesh.HeaderIdempotencyKey: {key},
	}, body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		t.Fatalf("%v: %s", err, reply.Data)
	}
	return answer
}

// TestIdempotencyKeysHoldNoFold retries, under a key each, executions that have ended and whose end SQL does not have yet.
// Reading them writes what others ended as well, which is no part of the call.
func TestIdempotencyKeysHoldNoFold(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		b := setup(t, kind)
		id := b.create(t, "- one: {raise: {error: {type: 'https://example.com/broken', status: 400, title: Broken}}}\n")
		for i := range 20 {
			ended := call(t, b, subjects.ExecuteWorkflow, subjects.ExecuteWorkflowRequest{WorkflowID: id})
			e := keyed(t, b, strconv.Itoa(i), subjects.RetryExecution, subjects.RetryExecutionRequest{ExecutionID: ended.ID})
			if e.ID == "" || e.ID == ended.ID {
				t.Fatalf("the retry of the %dth: %+v", i, e)
			}
		}
	})
}

// TestCut cuts the logs behind what SQL holds: SQL still tells all of it, and nothing of what is cut is needed.
func TestCut(t *testing.T) {
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
		eventually(t, "the logs are cut", func() bool {
			b.run(t, "- say: {call: echo}\n", `{}`)
			info, err := stream.Info(t.Context())
			return err == nil && info.State.LastSeq > 40 && info.State.Msgs < 20
		})
		_ = host.Stop(t)
		b.start(t)
		if s := b.status(t, e.ID); string(s.Output) != `{"n":2}` || len(s.Tasks) != 2 {
			t.Errorf("after the cut: %+v", s)
		}
		wantOneResultPerStep(t, b, e.ID, 2)
	})
}

func gauge(t *testing.T, h *actortest.Hosted, name string) float64 { return total(t, h, name) }

// total sums a metric over its labels.
func total(t *testing.T, h *actortest.Hosted, name string) (sum float64) {
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

// TestStopWithoutNATS: a process can be stopped while NATS cannot be reached, and has not failed: what it holds there ends by itself.
func TestStopWithoutNATS(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		b := setup(t, kind)
		e := b.begin(t, "- rest: {wait: {hours: 1}}\n", `{}`)
		b.until(t, e.ID, subjects.ExecutionWaiting)
		b.mesh.StopServer(t)
		if err := b.host.Stop(t); err != nil {
			t.Errorf("stopped with %v", err)
		}
		b.mesh.RestartServer(t)
		b.host = b.start(t)
		b.until(t, e.ID, subjects.ExecutionWaiting)
	})
}
