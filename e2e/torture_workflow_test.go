//go:build torture

package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/workflow/language"
)

// TestWorkflowStorm injects faults into three workflow processes on one PostgreSQL: SIGKILL at crash points and at random, SIGSTOP
// for longer than the membership timeout, SIGTERM, and interrupted connections to NATS. Meanwhile clients and schedules start
// executions of every kind. Afterwards it checks everything that weft has acknowledged: every execution ends once with the
// history of the reference interpreter and one result for each call; no call is repeated that must not be; no timer fires early, and none
// later than an owner that lives can help, also where it meets a call that takes long; limits hold; each nominal time has one run; no execution is stuck and no slot is occupied.
func TestWorkflowStorm(t *testing.T) {
	s := newWorkflowStorm(t)
	limits, schedules, timers := newStormLimits(s), newStormSchedules(s), newStormTimers(s, s.records)
	var clients sync.WaitGroup
	for range stormClients {
		clients.Go(s.startExecutions)
	}
	clients.Go(s.cancelExecutions)
	for range limitedClients {
		clients.Go(limits.start)
	}
	for range timedClients {
		clients.Go(timers.start)
	}
	s.injectFaults(func() bool { return timers.count() >= timers.wanted() })
	s.over.Store(true)
	clients.Wait()
	s.verify()
	limits.verify()
	schedules.verify()
	timers.verify()
	s.checkIdle()
	t.Logf("%d kills, %d of them at crash points %v, %d pauses, %d terminations, %d disconnections, %d executions, %d cancelled, %d of unknown outcome",
		s.kills, s.crashes(), s.crashed, s.pauses, s.stops, s.cuts, len(s.started), len(s.cancelled), s.unknown)
	t.Logf("%s; %s", limits, schedules)
	t.Logf("%s", timers)
	if s.kills == 0 || len(s.started) == 0 {
		t.Error("the storm had no effect")
	}
}

// stormBinary builds weft with crash points.
var stormBinary = sync.OnceValues(func() (string, error) { return build("weft-torture", weftCommand, "-tags", "torture") })

// crashpoints has those of actors/workflow/crashpoint.go. most bounds how often a process passes the point before it crashes.
var crashpoints = []struct {
	name string
	most int
}{
	{"decided", 25}, {"appended", 25}, {"before_effect", 12}, {"after_effect", 12}, {"before_ack", 30}, {"projecting", 12}, {"projected", 12}, {"child_abandoned", 4},
}

// stormWorker is a workflow process that connects to NATS through a proxy of its own.
type stormWorker struct {
	*running
	proxy *actortest.Relay
	// crash is the point at which the process crashes, or "".
	crash string
}

// workflowStorm is a storm of three workflow processes. workflows and definitions are by index in kinds.
type workflowStorm struct {
	*storm
	workers             [3]*stormWorker
	worker              program
	pauses, stops, cuts int
	crashed             map[string]int
	unknown             int
	workflows           []string
	definitions         []*language.Workflow
	mu                  sync.Mutex
	started             map[string]startedExecution
	cancelled           []string
	resting             string
	// records is the directory in which the workers record the timers that fire.
	records string
}

type startedExecution struct{ kind, n int }

func newWorkflowStorm(t *testing.T) *workflowStorm {
	t.Helper()
	binary, err := stormBinary()
	if err != nil {
		t.Fatal(err)
	}
	p := startProcesses(t, binary)
	p.launch(p.run("others", "--actors", "auth,integration,consent,notification"))
	s := &workflowStorm{
		storm: &storm{t: t, shop: startStubProvider(t, nil)}, worker: p.run("workflow", "--actors", "workflow"), started: map[string]startedExecution{},
		crashed: map[string]int{}, records: t.TempDir(),
	}
	for i := range s.workers {
		s.workers[i] = &stormWorker{proxy: actortest.NewRelay(t, p.nats)}
		if err := s.launch(s.workers[i], false); err != nil {
			t.Fatal(err)
		}
	}
	gateway := p.launch(p.run("gateway", "--gateway", "--http", "127.0.0.1:0"))
	s.url = gateway.ready.HTTP
	s.runner, _ = signUp(t, s.url)
	s.runner.grant(t, "integrations.execute", "workflows.execute")
	s.shop.connect(t, s.runner, "shop")
	for _, kind := range kinds {
		document := stormDocument(kind.name, "{}", "", kind.do)
		definition, faults := language.Parse([]byte(document))
		if len(faults) > 0 {
			t.Fatal(faults)
		}
		s.definitions = append(s.definitions, definition)
		s.workflows = append(s.workflows, s.create(document))
	}
	s.resting = s.create(stormDocument("resting", "{}", "", "\n- rest: {wait: {hours: 1}}\n- say: {call: echo}\n"))
	return s
}

// create creates a workflow and returns its ID.
func (s *workflowStorm) create(document string) string {
	return s.runner.must(s.t, 201, "POST", "/v1/workflows", map[string]any{"definition": document}).text(".id")
}

// injectFaults injects random faults into random workers for tortureDuration, and until enough says so. Afterwards all workers run without crash points.
func (s *workflowStorm) injectFaults(enough func() bool) {
	injected := time.Now()
	for end := injected.Add(tortureDuration(s.t)); time.Now().Before(end) || !enough() && time.Since(injected) < verifyTimeout; {
		<-time.After(time.Duration(rand.IntN(700)) * time.Millisecond) // random interval between faults
		w := s.workers[rand.IntN(len(s.workers))]
		pause := func() { <-time.After(time.Duration(500+rand.IntN(2500)) * time.Millisecond) }
		fault := rand.IntN(8)
		if s.kills == 0 {
			fault = 7 // a short test kills at least once
		}
		switch {
		case !w.alive():
			s.kills++
			s.crashed[w.crash]++
		case fault < 2:
			_ = w.cmd.Process.Signal(syscall.SIGSTOP)
			pause()
			_ = w.cmd.Process.Signal(syscall.SIGCONT)
			s.pauses++
			continue
		case fault < 4:
			w.proxy.Cut(true)
			pause()
			w.proxy.Cut(false)
			s.cuts++
			continue
		case fault < 5:
			if err := w.stop(); err != nil && w.crash == "" {
				s.t.Error(err)
			}
			s.stops++
		default:
			w.kill()
			s.kills++
		}
		if err := s.launch(w, true); err != nil {
			s.t.Error(err)
			return
		}
	}
	// Workers without a crash point keep running, with their executions in memory.
	for _, w := range s.workers {
		if w.alive() && w.crash == "" {
			continue
		}
		w.kill()
		if err := s.launch(w, false); err != nil {
			s.t.Error(err)
		}
	}
}

// crashes returns the number of crashes at crash points.
func (s *workflowStorm) crashes() (n int) {
	for _, count := range s.crashed {
		n += count
	}
	return n
}

// launch starts a worker. With crash, half of the workers get a random crash point.
func (s *workflowStorm) launch(w *stormWorker, crash bool) error {
	w.crash = ""
	env := append(slices.Clone(s.worker.env), "WEFT_NATS_URL=nats://"+w.proxy.Address(), "WEFT_WORKFLOW_MAX_STEPS=60",
		"WEFT_TORTURE_TIMERS="+filepath.Join(s.records, uuid.NewString()))
	if crash && rand.IntN(2) == 0 {
		point := crashpoints[rand.IntN(len(crashpoints))]
		w.crash = point.name
		env = append(env, fmt.Sprintf("WEFT_TORTURE_CRASH=%s:%d", point.name, 1+rand.IntN(point.most)))
	}
	p := s.worker
	p.env = env
	r, err := start(p)
	if err != nil && w.crash != "" && errors.Is(err, errExited) { // it reached its crash point during the start
		s.kills++
		s.crashed[w.crash]++
		return s.launch(w, false)
	}
	if err != nil {
		return err
	}
	w.running = r
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Log(r.logTail())
		}
		r.kill()
	})
	return nil
}

// alive reports whether the process is running.
func (w *stormWorker) alive() bool {
	select {
	case <-w.exited:
		return false
	default:
		return true
	}
}

// stormNumber is the number of the last execution, which is part of its input.
var stormNumber atomic.Int64

// startExecutions starts executions of every kind in turn. The client chooses the ID, so that it can repeat a start whose
// response was lost.
func (s *workflowStorm) startExecutions() {
	for !s.over.Load() {
		n := int(stormNumber.Add(1))
		kind := n % len(kinds)
		id := uuid.Must(uuid.NewV7()).String()
		_, ok := s.retry(s.runner, http.MethodPost, "/v1/workflows/"+s.workflows[kind]+"/executions",
			map[string]any{"execution_id": id, "input": map[string]any{"n": n}}, http.StatusAccepted)
		if !ok {
			return
		}
		s.mu.Lock()
		s.started[id] = startedExecution{kind: kind, n: n}
		s.mu.Unlock()
	}
}

// cancelExecutions starts executions that wait for an hour, and cancels them.
func (s *workflowStorm) cancelExecutions() {
	for !s.over.Load() {
		id := uuid.Must(uuid.NewV7()).String()
		_, ok := s.retry(s.runner, http.MethodPost, "/v1/workflows/"+s.resting+"/executions", map[string]any{"execution_id": id}, http.StatusAccepted)
		if ok {
			_, ok = s.retry(s.runner, http.MethodPost, "/v1/executions/"+id+"/cancel", map[string]any{}, http.StatusOK)
		}
		if !ok {
			return
		}
		s.cancelled = append(s.cancelled, id)
	}
}

// verify waits until every execution has ended, and checks result and history.
func (s *workflowStorm) verify() {
	deadline := time.Now().Add(verifyTimeout)
	for id, one := range s.started {
		kind := kinds[one.kind]
		a := s.ended(id, deadline)
		want := ""
		if kind.output != "" {
			expression := strings.ReplaceAll(kind.output, "$n", strconv.Itoa(one.n))
			value, err := jq(expression, []byte("null"))
			if err != nil {
				s.t.Fatal(err)
			}
			want = asText(value)
		}
		got := a.text(".output // empty")
		if kind.mayBeUnknown {
			if n := s.shop.count(fmt.Sprintf("/post/%d", one.n)); n > 1 {
				s.t.Errorf("%s %s with %d made its call %d times", kind.name, id, one.n, n)
			}
			if a.text(".status") == "faulted" && a.text(".error.type") == "urn:weft:error:unknown-outcome" {
				s.unknown++
				continue
			}
		}
		if a.text(".status") != kind.status || want != "" && got != want {
			s.t.Errorf("%s %s with %d is %s with %s, want %s with %s: %s", kind.name, id, one.n, a.text(".status"), got, kind.status, want, a.text(".error"))
			continue
		}
		if history := s.checkHistory(id, kind.waits, kind.name == "saga"); history != nil && !kind.timedChild {
			s.compareWithReference(id, one, history)
		}
	}
	for _, id := range s.cancelled {
		if a := s.ended(id, deadline); a.text(".status") != "cancelled" {
			s.t.Errorf("the cancelled execution %s is %s", id, a.text(".status"))
		}
		s.checkHistory(id, 0, false)
	}
}

// checkIdle checks that no execution is running and that the workers have released all slots.
func (s *workflowStorm) checkIdle() {
	for _, status := range []string{"pending", "running", "waiting"} {
		err := eventually(func() (bool, string) {
			list, _ := s.retry(s.runner, http.MethodGet, "/v1/executions?status="+status, nil, http.StatusOK)
			n := list.text(".items | length")
			return n == "0", n + " executions are " + status + ", the first is " + list.text(".items[0]")
		})
		if err != nil {
			s.t.Errorf("after all executions have ended: %v", err)
		}
	}
	for _, w := range s.workers {
		w.checkIdle(s.t)
	}
}

// checkIdle checks by the metrics of a worker that no execution has a slot or waits for one.
func (w *stormWorker) checkIdle(t *testing.T) {
	for _, gauge := range []string{"workflow_active_executions", "workflow_queued_executions", "workflow_blocked_executions", "workflow_queued_steps"} {
		err := eventually(func() (bool, string) {
			metrics, err := newClient(strings.TrimSuffix(w.ready.Metrics, "/metrics")).do(t.Context(), http.MethodGet, "/metrics", nil)
			if err != nil {
				return false, err.Error()
			}
			return regexp.MustCompile(`(?m)^\w*` + gauge + `(\{.*\})? 0$`).Match(metrics.body), gauge + " is not 0"
		})
		if err != nil {
			t.Errorf("worker %s after all executions have ended: %v", w.ready.Metrics, err)
		}
	}
}

// ended polls an execution until it has ended, at the latest until deadline, and returns its last state.
func (s *workflowStorm) ended(id string, deadline time.Time) (a answer) {
	for first := true; first || a.text(".ended_at") == "" && time.Now().Before(deadline); first = false {
		var ok bool
		if a, ok = s.retry(s.runner, http.MethodGet, "/v1/executions/"+id, nil, http.StatusOK); !ok {
			break
		}
		if a.text(".ended_at") == "" {
			<-time.After(20 * time.Millisecond)
		}
	}
	return a
}

// checkHistory checks the history of an execution and returns its events: they are in order without gaps, exactly one ends the
// execution and is the last, each call has one result, the task "rest" takes at least waits, and a saga is compensated once.
func (s *workflowStorm) checkHistory(id string, waits time.Duration, saga bool) []json.RawMessage {
	history, ok := s.retry(s.runner, http.MethodGet, "/v1/executions/"+id+"/history?limit=200", nil, http.StatusOK)
	if !ok {
		return nil
	}
	var page struct{ Items []json.RawMessage }
	if err := json.Unmarshal(history.body, &page); err != nil {
		s.t.Errorf("the history of %s: %v", id, err)
		return nil
	}
	checks := map[string]string{
		"gapless":             `[.items[].sequence] == [range(1; (.items | length) + 1)]`,
		"one end":             `([.items[] | select(.type | test("^execution_(completed|faulted|cancelled)$"))] | length) == 1`,
		"end is last":         `.items[-1].type | test("^execution_(completed|faulted|cancelled)$")`,
		"one result per call": `[.items[] | select(.type == "call_completed" or .type == "call_failed") | .run] | length == (unique | length)`,
	}
	if saga {
		checks["compensated once"] = `([.items[] | select(.type == "task_completed" and .name == "undo")] | length) == 1`
	}
	for what, expression := range checks {
		if holds, err := history.holds(expression); err != nil || !holds {
			s.t.Errorf("the history of %s: %s does not hold (%v)", id, what, err)
		}
	}
	if waits == 0 {
		return page.Items
	}
	timeOf := func(kind string) time.Time {
		at, err := time.Parse(time.RFC3339Nano, history.text(fmt.Sprintf(`[.items[] | select(.type == %q and .name == "rest")][0].at`, kind)))
		if err != nil {
			s.t.Errorf("the history of %s has no %s event of the wait: %v", id, kind, err)
		}
		return at
	}
	if took := timeOf("task_completed").Sub(timeOf("task_started")); took < waits {
		s.t.Errorf("the wait of %s took %s, less than %s", id, took, waits)
	}
	return page.Items
}
