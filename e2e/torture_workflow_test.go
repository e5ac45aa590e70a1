//go:build torture

package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
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

	"github.com/weftmesh/weft/actors/workflow/language"
)

// A storm over three workflow processes on one PostgreSQL: SIGKILL at named points and at any moment, SIGSTOP for longer
// than a process is believed to live without a word, SIGTERM, and a cut connection to NATS, while clients start executions
// of every kind, and schedules do. What was acknowledged holds: every execution ends once, and has done what the reference
// does; one result for each call; no call made twice that may not be; no timer early; limits are kept; each nominal time has
// its run; nothing is stuck, and no slot taken, when it is over.
func TestWorkflowStorm(t *testing.T) {
	s := newWorkflowStorm(t)
	limits, schedules := newStormLimits(s), newStormSchedules(s)
	var clients sync.WaitGroup
	for range stormClients {
		clients.Go(s.startExecutions)
	}
	clients.Go(s.cancelExecutions)
	for range limitedClients {
		clients.Go(limits.start)
	}
	s.rage()
	s.over.Store(true)
	clients.Wait()
	s.settle()
	limits.settle()
	schedules.settle()
	s.rests()
	t.Logf("%d kills, %d of them at named points %v, %d freezes, %d stops, %d cuts, %d executions, %d cancelled, %d of unknown outcome",
		s.kills, s.crashes(), s.crashed, s.freezes, s.stops, s.cuts, len(s.started), len(s.cancelled), s.unknown)
	t.Logf("%s; %s", limits, schedules)
	if s.kills == 0 || len(s.started) == 0 {
		t.Error("the storm has done nothing")
	}
}

// stormBinary is weft with the named points at which it may die.
var stormBinary = sync.OnceValues(func() (string, error) { return build("weft-torture", weftCommand, "-tags", "torture") })

// crashpoints are those of actors/workflow/crashpoint.go, with how often a process passes them at most before it dies.
var crashpoints = []struct {
	name string
	most int
}{
	{"decided", 25}, {"appended", 25}, {"before_effect", 12}, {"after_effect", 12}, {"before_ack", 30}, {"projecting", 12}, {"projected", 12}, {"child_abandoned", 4},
}

// stormWorker is one workflow process, with a wire of its own to the NATS server.
type stormWorker struct {
	*running
	wire *wire
	// crash is the point at which it dies by itself.
	crash string
}

type workflowStorm struct {
	*storm
	workers              [3]*stormWorker
	worker               program
	freezes, stops, cuts int
	crashed              map[string]int
	unknown              int
	workflows            []string
	definitions          []*language.Workflow
	mu                   sync.Mutex
	started              map[string]startedOne
	cancelled            []string
	resting              string
}

type startedOne struct{ kind, n int }

func newWorkflowStorm(t *testing.T) *workflowStorm {
	t.Helper()
	binary, err := stormBinary()
	if err != nil {
		t.Fatal(err)
	}
	p := startProcesses(t, binary)
	p.launch(p.run("others", "--actors", "auth,integration,consent,notification"))
	s := &workflowStorm{
		storm: &storm{t: t, shop: startProvider(t, nil)}, worker: p.run("workflow", "--actors", "workflow"), started: map[string]startedOne{},
		crashed: map[string]int{},
	}
	for i := range s.workers {
		s.workers[i] = &stormWorker{wire: startWire(t, p.nats)}
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

func (s *workflowStorm) create(document string) string {
	return s.runner.must(s.t, 201, "POST", "/v1/workflows", map[string]any{"definition": document}).text(".id")
}

// rage does to one worker after the other what may happen to a process, as long as WEFT_TORTURE_DURATION says.
func (s *workflowStorm) rage() {
	for end := time.Now().Add(tortureDuration(s.t)); time.Now().Before(end); {
		<-time.After(time.Duration(rand.IntN(700)) * time.Millisecond) // the storm's own rhythm
		w := s.workers[rand.IntN(len(s.workers))]
		moment := func() { <-time.After(time.Duration(500+rand.IntN(2500)) * time.Millisecond) }
		what := rand.IntN(8)
		if s.kills == 0 {
			what = 7 // a short storm kills, too
		}
		switch {
		case !w.alive():
			s.kills++
			s.crashed[w.crash]++
		case what < 2:
			_ = w.cmd.Process.Signal(syscall.SIGSTOP)
			moment()
			_ = w.cmd.Process.Signal(syscall.SIGCONT)
			s.freezes++
			continue
		case what < 4:
			w.wire.cut()
			moment()
			w.wire.mend()
			s.cuts++
			continue
		case what < 5:
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
	// The last ones live on, with what they hold in memory.
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

func (s *workflowStorm) crashes() (n int) {
	for _, count := range s.crashed {
		n += count
	}
	return n
}

// launch starts a worker, half of those that may crash with a point at which they will.
func (s *workflowStorm) launch(w *stormWorker, crash bool) error {
	w.crash = ""
	env := append(slices.Clone(s.worker.env), "WEFT_NATS_URL=nats://"+w.wire.address)
	if crash && rand.IntN(2) == 0 {
		point := crashpoints[rand.IntN(len(crashpoints))]
		w.crash = point.name
		env = append(env, fmt.Sprintf("WEFT_CRASH=%s:%d", point.name, 1+rand.IntN(point.most)))
	}
	p := s.worker
	p.env = env
	r, err := start(p)
	if err != nil && w.crash != "" && errors.Is(err, errEnded) { // it came to its point before it was ready
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
			s.t.Log(r.lastWords())
		}
		r.kill()
	})
	return nil
}

func (w *stormWorker) alive() bool {
	select {
	case <-w.exited:
		return false
	default:
		return true
	}
}

var stormNumber atomic.Int64

// startExecutions starts one execution after the other, of every kind in turns, under ids of its own: a start whose answer
// was lost is repeated.
func (s *workflowStorm) startExecutions() {
	for !s.over.Load() {
		n := int(stormNumber.Add(1))
		kind := n % len(kinds)
		id := uuid.Must(uuid.NewV7()).String()
		_, ok := s.insist(s.runner, http.MethodPost, "/v1/workflows/"+s.workflows[kind]+"/executions",
			map[string]any{"execution_id": id, "input": map[string]any{"n": n}}, http.StatusAccepted)
		if !ok {
			return
		}
		s.mu.Lock()
		s.started[id] = startedOne{kind: kind, n: n}
		s.mu.Unlock()
	}
}

// cancelExecutions starts executions that would wait for long, and cancels them.
func (s *workflowStorm) cancelExecutions() {
	for !s.over.Load() {
		id := uuid.Must(uuid.NewV7()).String()
		_, ok := s.insist(s.runner, http.MethodPost, "/v1/workflows/"+s.resting+"/executions", map[string]any{"execution_id": id}, http.StatusAccepted)
		if ok {
			_, ok = s.insist(s.runner, http.MethodPost, "/v1/executions/"+id+"/cancel", map[string]any{}, http.StatusOK)
		}
		if !ok {
			return
		}
		s.cancelled = append(s.cancelled, id)
	}
}

// settle waits until everything that was started has ended, and looks at its history.
func (s *workflowStorm) settle() {
	deadline := time.Now().Add(stormSettled)
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
		if kind.maybe {
			if n := s.shop.count(fmt.Sprintf("/post/%d", one.n)); n > 1 {
				s.t.Errorf("%s %s with %d was sent %d times", kind.name, id, one.n, n)
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
		if history := s.look(id, kind.waits, kind.name == "saga"); history != nil && !kind.childs {
			s.agrees(id, one, history)
		}
	}
	for _, id := range s.cancelled {
		if a := s.ended(id, deadline); a.text(".status") != "cancelled" {
			s.t.Errorf("the cancelled execution %s is %s", id, a.text(".status"))
		}
		s.look(id, 0, false)
	}
}

// rests checks that nothing is left when all is over: no execution that goes on, and no slot that one has.
func (s *workflowStorm) rests() {
	for _, status := range []string{"pending", "running", "waiting"} {
		err := eventually(func() (bool, string) {
			list, _ := s.insist(s.runner, http.MethodGet, "/v1/executions?status="+status, nil, http.StatusOK)
			n := list.text(".items | length")
			return n == "0", n + " executions are " + status + ", the first is " + list.text(".items[0]")
		})
		if err != nil {
			s.t.Errorf("when all is over: %v", err)
		}
	}
	for _, w := range s.workers {
		w.rests(s.t)
	}
}

// rests checks by a worker's metrics that nothing holds a slot, nor waits for one.
func (w *stormWorker) rests(t *testing.T) {
	for _, gauge := range []string{"workflow_active_executions", "workflow_queued_executions", "workflow_blocked_executions", "workflow_queued_steps"} {
		err := eventually(func() (bool, string) {
			metrics, err := newClient(strings.TrimSuffix(w.ready.Metrics, "/metrics")).do(t.Context(), http.MethodGet, "/metrics", nil)
			if err != nil {
				return false, err.Error()
			}
			return regexp.MustCompile(`(?m)^\w*` + gauge + `(\{.*\})? 0$`).Match(metrics.body), gauge + " is not 0"
		})
		if err != nil {
			t.Errorf("worker %s when all is over: %v", w.ready.Metrics, err)
		}
	}
}

func (s *workflowStorm) ended(id string, deadline time.Time) (a answer) {
	for first := true; first || a.text(".ended_at") == "" && time.Now().Before(deadline); first = false {
		var ok bool
		if a, ok = s.insist(s.runner, http.MethodGet, "/v1/executions/"+id, nil, http.StatusOK); !ok {
			break
		}
		if a.text(".ended_at") == "" {
			<-time.After(20 * time.Millisecond)
		}
	}
	return a
}

// look checks one execution's history: events in order and without a gap, one end, which is the last, one result for each
// call, no timer early, and a saga undone once. It returns the events.
func (s *workflowStorm) look(id string, waits time.Duration, saga bool) []json.RawMessage {
	history, ok := s.insist(s.runner, http.MethodGet, "/v1/executions/"+id+"/history?limit=200", nil, http.StatusOK)
	if !ok {
		return nil
	}
	var page struct{ Items []json.RawMessage }
	if err := json.Unmarshal(history.body, &page); err != nil {
		s.t.Errorf("the history of %s: %v", id, err)
		return nil
	}
	checks := map[string]string{
		"gapless":           `[.items[].sequence] == [range(1; (.items | length) + 1)]`,
		"one end":           `([.items[] | select(.type | test("^execution_(completed|faulted|cancelled)$"))] | length) == 1`,
		"end is last":       `.items[-1].type | test("^execution_(completed|faulted|cancelled)$")`,
		"one result a call": `[.items[] | select(.type == "call_completed" or .type == "call_failed") | .run] | length == (unique | length)`,
	}
	if saga {
		checks["undone once"] = `([.items[] | select(.type == "task_completed" and .name == "undo")] | length) == 1`
	}
	for what, expression := range checks {
		if holds, err := history.holds(expression); err != nil || !holds {
			s.t.Errorf("the history of %s: %s does not hold (%v)", id, what, err)
		}
	}
	if waits == 0 {
		return page.Items
	}
	between := func(kind string) time.Time {
		at, err := time.Parse(time.RFC3339Nano, history.text(fmt.Sprintf(`[.items[] | select(.type == %q and .name == "rest")][0].at`, kind)))
		if err != nil {
			s.t.Errorf("the history of %s has no %s of its wait: %v", id, kind, err)
		}
		return at
	}
	if took := between("task_completed").Sub(between("task_started")); took < waits {
		s.t.Errorf("the wait of %s took %s, less than %s", id, took, waits)
	}
	return page.Items
}
